"""What containers ask the running service: the health check of its image."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

DOCKERFILE = (Path(__file__).parents[2] / "deploy" / "Dockerfile").read_text()


def check(number: int) -> int:
    """Run the image's health check here; return its exit status."""
    (text,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", DOCKERFILE, re.MULTILINE)
    _, *arguments = json.loads(text)
    environment = os.environ | {"PORT": str(number)}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, timeout=30).returncode


def test_the_health_check_tells_a_service_that_is_ready_from_one_that_is_not_there(port):
    assert check(port) == 0
    assert check(1) == 1
