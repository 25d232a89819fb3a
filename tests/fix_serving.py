"""The service as `make run` starts it: a process of its own, which other programs call over the network."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_service import wait_until
from ports import free_port


@pytest.fixture
def port(database_url: str, tmp_path: Path) -> Iterator[int]:
    """Run the real service, as `make run` does, on the test's database."""
    port = free_port()
    environment = os.environ | {"DATABASE_URL": database_url, "PORT": str(port), "DB_POOL_MIN": "1"}
    command = [str(Path(sys.executable).parent / "ev-engine"), "serve"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log) as service:

        def ready() -> bool:
            assert service.poll() is None, (tmp_path / "log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1).close()
            except OSError:
                return False
            return True

        try:
            wait_until(ready, 30)
            yield port
        finally:
            service.terminate()
            service.wait(30)
    assert service.returncode == 0, (tmp_path / "log").read_text()
