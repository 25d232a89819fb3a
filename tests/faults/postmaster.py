"""A database server of the test's own: durable as in production, and free to be killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg

from service.database.cluster import Cluster, command_line
from service.database.installation import Installation


class Postmaster:
    """A private cluster as `make run` makes it; started, killed, frozen and started again."""

    def __init__(self, data_dir: Path, installation: Installation) -> None:
        self._place = data_dir, installation
        self._cluster = Cluster(*self._place)
        self._stack = ExitStack()
        self.pid = 0
        self.url = ""

    @property
    def runs(self) -> bool:
        # It is no child of ours: a killed one may wait for long to be reaped, and has no command line then.
        return bool(self.pid and command_line(self.pid))

    @property
    def log_path(self) -> Path:
        return self._cluster.log_path

    def start(self) -> None:
        """Start the server and wait until it accepts connections; recovers what a crash left."""
        self.stop()
        self._cluster = Cluster(*self._place)  # one is good for one start
        self._stack.enter_context(self._cluster.running())
        self._cluster.prepare_database("faults")
        self.url = self._cluster.url("faults")
        self.pid = int((self._cluster.path / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        self._stack.close()

    def end(self, sent: signal.Signals) -> None:
        """Send SIGKILL or SIGQUIT to the postmaster and wait until it is gone."""
        os.kill(self.pid, sent)
        wait_for(lambda: not self.runs, 30)

    def kill_backend(self, pid: int) -> None:
        """Kill one of this server's processes."""
        assert pid in children(self.pid)
        os.kill(pid, signal.SIGKILL)

    def survives(self) -> bool:
        """Return whether the postmaster still runs a little later: after a panic it may give up."""
        with suppress(AssertionError):
            wait_for(lambda: not self.runs, 1)
        return self.runs

    def wait_until_accepting(self, seconds: float = 60) -> None:
        """Wait until a server that came back by itself answers."""

        def answers() -> bool:
            with suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2) as connection:
                return connection.execute("SELECT true").fetchone() == (True,)
            return False

        wait_for(answers, seconds)

    def freeze(self) -> list[int]:
        """Stop the postmaster and all its children, as a hung machine would; return their ids, for `thaw`."""
        frozen: list[int] = []
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGSTOP)
            frozen.append(self.pid)
        for child in children(self.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP)
                frozen.append(child)
        return frozen

    def thaw(self, frozen: list[int]) -> None:
        for pid in frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def children(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def wait_for(condition: Callable[[], object], seconds: float) -> float:
    """Wait until the condition holds and return how long that took; fail after `seconds`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"waited in vain for {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - started
