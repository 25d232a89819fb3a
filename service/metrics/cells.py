"""Numbers that a process counts in, and that its sibling workers can read: doubles in a file that all of them map."""

from __future__ import annotations

import fcntl
import mmap
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

_CELLS = 2048
_BYTES = 8 * _CELLS

Doubles: TypeAlias = "memoryview[float]"


class Cells:
    """The cells of this process; adding to one is an addition in memory.

    In a folder, each worker has a file. Workers that are gone leave theirs behind, so that what they counted still
    counts; a lock, which ends with its process, tells them apart. Every worker hands out its cells in the same order.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._used = 0
        self.values: Doubles
        if folder is None:
            self.values = memoryview(array("d", bytes(_BYTES)))
            return
        # The descriptor stays open: it carries the lock.
        self._path = folder / f"{os.getpid()}.cells"
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Written, not left as a hole: a full disk must show here, not at some later addition.
        os.write(descriptor, bytes(_BYTES))
        self.values = memoryview(mmap.mmap(descriptor, _BYTES)).cast("d")

    def take(self, count: int) -> int:
        """Return the place of `count` cells that nobody else uses."""
        place = self._used
        self._used += count
        if self._used > _CELLS:
            raise ValueError(f"more than {_CELLS} cells are needed")
        return place

    def all(self) -> Iterator[tuple[bool, Doubles]]:
        """Yield the cells of every worker, and whether it is alive; one's own first."""
        yield True, self.values
        if self._folder is None:
            return
        for path in self._folder.glob("*.cells"):
            content = b"" if path == self._path else path.read_bytes()
            if len(content) == _BYTES:
                yield _is_locked(path), memoryview(content).cast("d")


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
