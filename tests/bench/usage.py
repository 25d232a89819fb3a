"""What processes use: CPU time and memory, from /proc."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

_SAMPLE_SECONDS = 0.25


@dataclass
class Usage:
    """CPU seconds of each group of processes, and the most memory that one process of each held."""

    seconds: float = 0.0
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    rss_mib: dict[str, float] = field(default_factory=dict)
    machine_cpu_seconds: float = 0.0

    def text(self, others: Mapping[str, float] | None = None) -> str:
        """Return CPU shares as text, in cores."""
        used = self.cpu_seconds | dict(others or {})
        shares = ", ".join(f"{name} {cpu / self.seconds:.2f}" for name, cpu in used.items())
        foreign = (self.machine_cpu_seconds - sum(used.values())) / self.seconds
        return f"cores used: {shares}, anything else here {max(foreign, 0):.2f}"


@contextmanager
def measured(roots: Mapping[str, int]) -> Iterator[Usage]:
    """Yield a Usage that is filled when the block ends; `roots` names groups by their first process."""
    usage = Usage(rss_mib=dict.fromkeys(roots, 0.0))
    ended = threading.Event()

    def sample() -> None:
        while not ended.is_set():
            for name, pid in roots.items():
                usage.rss_mib[name] = max([usage.rss_mib[name], *map(_rss_mib, _family(pid))])
            ended.wait(_SAMPLE_SECONDS)

    sampler = threading.Thread(target=sample, daemon=True)
    before, busy, started = _cpu(roots), _machine(), time.monotonic()
    sampler.start()
    try:
        yield usage
    finally:
        usage.seconds = time.monotonic() - started
        usage.machine_cpu_seconds = _machine() - busy
        usage.cpu_seconds = {name: cpu - before[name] for name, cpu in _cpu(roots).items()}
        ended.set()
        sampler.join()


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _rss_mib(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return float(process.memory_info().rss) / 2**20
    return 0.0


def _cpu(roots: Mapping[str, int]) -> dict[str, float]:
    """Return CPU seconds by group, those of children that have ended included."""
    return {name: sum(map(_cpu_seconds, _family(pid))) for name, pid in roots.items()}


def _cpu_seconds(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _machine() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
