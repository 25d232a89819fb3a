"""The service as its users start it: `ev-engine serve`, a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from ports import free_port
from postmaster import children, wait_for

from service.database.cluster import command_line

REQUEST_TIMEOUT_SECONDS = 2
START_SECONDS = 60
QUIET = {
    "DB_POOL_MIN": "1",
    "DB_POOL_MAX": "8",
    "REQUEST_TIMEOUT_SECONDS": str(REQUEST_TIMEOUT_SECONDS),
    "FLEET_CACHE_SECONDS": "0",
}


class Service:
    """One `ev-engine serve`."""

    def __init__(self, log_path: Path, **environment: str) -> None:
        self.port = free_port()
        self.log_path = log_path
        self._environment = os.environ | QUIET | {"PORT": str(self.port)} | environment
        self.port = int(self._environment["PORT"])
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.spawn()
        wait_for(lambda: self._serves(), START_SECONDS)

    def spawn(self) -> None:
        """Start and do not wait."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [Path(sys.executable).parent / "ev-engine", "serve"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _serves(self) -> bool:
        ready = self.ready()
        assert self.runs, self.log()
        return ready

    def ready(self) -> bool:
        return self.get("/health/ready") is not None

    def get(self, path: str) -> Any:
        """Return the body of a 200, else None."""
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return json.load(answer)
        return None

    @property
    def url(self) -> str:
        """The URL of the private database."""
        lines = self._postmaster_file()
        return f"postgresql://postgres@/faults?host={lines[4]}&port={lines[3]}"

    def database_pid(self) -> int:
        return int(self._postmaster_file()[0])

    def _postmaster_file(self) -> list[str]:
        (file,) = Path(self._environment["DATA_DIR"]).glob("*/postmaster.pid")
        return file.read_text().splitlines()

    def workers(self) -> list[int]:
        """Return the ids of the processes that serve."""
        assert self.process is not None
        return [pid for pid in children(self.process.pid) if "ev-engine" in command_line(pid)]

    def processes(self) -> list[int]:
        """Return the ids of the service and its workers."""
        assert self.process is not None
        return [self.process.pid, *self.workers()]

    def rss_mb(self) -> float:
        """Return the memory of the service and its workers in MB."""
        pages = 0
        for pid in self.processes():
            with suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def open_files(self) -> int:
        """Return how many files and sockets the workers hold."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.processes()[1:])

    def kill(self) -> None:
        """End it as the kernel would when memory runs out: at once, with all of its workers."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def signal(self, sent: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, sent)

    def stop(self, seconds: float = 30) -> int:
        """Ask it to stop and return its exit status; kill what remains after `seconds`."""
        if self.process is None:
            return 0
        try:
            if self.runs:
                self.signal(signal.SIGTERM)
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")
