"""The simulator's extra: what happens without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_NUMPY = "import sys; sys.modules['numpy'] = None; from service.cli import main; main(sys.argv[1:])"


def run_without_numpy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT_NUMPY, *arguments], capture_output=True, text=True)


def test_the_simulator_without_its_extra_says_in_one_line_how_to_get_it():
    done = run_without_numpy("simulate", "--devices", "1", "--hours", "0")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "make simulate" in done.stderr


@pytest.mark.parametrize("module", ["service.app", "service.server", "service.cli"])
def test_the_service_does_not_need_the_extra(module):
    code = f"import sys; sys.modules['numpy'] = None; import {module}"
    subprocess.run([sys.executable, "-c", code], check=True)
