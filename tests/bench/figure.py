"""One measured figure, what it should be, and how samples become figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure of one part; without a target it is there to explain the others."""

    part: str
    what: str
    value: float
    unit: str
    at_least: float | None = None
    below: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.value < self.below if self.below is not None else None

    @property
    def target(self) -> str:
        """Return the target in words."""
        if self.at_least is not None:
            return f">= {amount(self.at_least, self.unit)}"
        return f"< {amount(self.below, self.unit)}" if self.below is not None else ""


def amount(value: float, unit: str) -> str:
    """Return a value with its unit, in as many digits as mean something."""
    digits = 0 if abs(value) >= 100 or value == int(value) else 2 if abs(value) < 10 else 1
    return f"{value:,.{digits}f} {unit}".strip()


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that at least so many percent do not exceed (nearest rank); nan of none."""
    if not samples:
        return math.nan
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
