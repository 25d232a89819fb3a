"""What a demo has loaded already, in a small file beside its database."""

from __future__ import annotations

from pathlib import Path

import msgspec

Span = tuple[int, int]
"""A half-open time [start, end) in minutes since the epoch."""


class Record(msgspec.Struct):
    """The end of the history at the first start, and the spans that are loaded, in order and apart from each other."""

    until: int
    loaded: list[Span] = []

    @classmethod
    def read(cls, path: Path, now: int) -> Record:
        """Return what the file says; a record that begins at minute `now` when it is missing or damaged."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError):
            return cls(now)

    def add(self, start: int, end: int, path: Path) -> None:
        """Note that [start, end) is loaded, if it has a length, and write the file whole or not at all."""
        if start >= end:
            return
        merged: list[Span] = []
        for low, high in sorted([*self.loaded, (start, end)]):
            if merged and low <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(merged[-1][1], high)
            else:
                merged.append((low, high))
        self.loaded = merged
        draft = path.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(self))
        draft.replace(path)

    def missing(self, start: int, end: int) -> list[Span]:
        """Return the parts of [start, end) that are not loaded, in order."""
        gaps = []
        for low, high in [*self.loaded, (end, end)]:
            if start < min(low, end):
                gaps.append((start, min(low, end)))
            start = max(start, high)
        return gaps
