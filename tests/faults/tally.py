"""The table at the end of a run: what each fault did, over all its repetitions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

COLUMNS = (
    ("fault", 54),
    ("edition", 9),
    ("runs", 4),
    ("acknowledged", 12),
    ("lost", 5),
    ("duplicated", 10),
    ("longest request s", 17),
    ("recovery s", 10),
)


@dataclass
class Line:
    """One fault on one edition; of times the longest is kept."""

    runs: int = 0
    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    longest_request: float = 0.0
    recovery: float | None = None


@dataclass
class Tally:
    """Lines, and statuses of the answers to hostile input (0: connection ended), by test and edition."""

    lines: dict[tuple[str, str], Line] = field(default_factory=dict)
    hostile: dict[tuple[str, str], Counter[int]] = field(default_factory=dict)

    def line(self, fault: str, edition: str) -> Line:
        return self.lines.setdefault((fault, edition), Line())

    def table(self) -> list[str]:
        """Return the table as text."""
        rows = [[name.ljust(width) for name, width in COLUMNS]]
        for (fault, edition), line in sorted(self.lines.items()):
            recovery = "" if line.recovery is None else f"{line.recovery:.2f}"
            values = (
                *(fault, edition, line.runs, line.acknowledged, line.lost, line.duplicated),
                *(f"{line.longest_request:.2f}", recovery),
            )
            rows.append([str(value).ljust(width) for value, (_, width) in zip(values, COLUMNS, strict=True)])
        return ["  ".join(row).rstrip() for row in rows]

    def hostile_table(self) -> list[str]:
        """Return what was answered to hostile input as text."""
        return [
            f"{name:54}  {edition:9}  {counts.total():6} requests: "
            + ", ".join(f"{status or 'no answer'} x {counts[status]}" for status in sorted(counts))
            for (name, edition), counts in sorted(self.hostile.items())
        ]
