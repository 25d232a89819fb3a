"""The figures that have something to be compared with, as an SVG of plain text and bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tests.bench.figure import Figure, amount

_WIDTH, _LEFT, _RIGHT = 1000, 375, 160
_ROW, _BAR, _PANEL_HEAD, _PANEL_FOOT = 26, 14, 46, 34
_GOOD, _BAD, _PLAIN, _INK, _FAINT = "#2f855a", "#c05621", "#718096", "#1a202c", "#e2e8f0"


def write_chart(path: Path, facts: dict[str, Any], figures: Sequence[Figure]) -> None:
    """Write bars: rates on a linear scale, latencies on a logarithmic one, other figures as a share of their target."""
    rates = [figure for figure in figures if figure.unit in ("rows/s", "readings/s") and "load" not in figure.what]
    times = [figure for figure in figures if figure.unit == "ms" and _is_shown(figure)]
    panels = [
        _panel("Ingest rate (a line marks the target: at least)", rates, _linear(rates)),
        _panel("Latency, logarithmic (a line marks the target: below)", times, _logarithmic(times)),
    ]
    top, parts = 78, []
    for height, content in panels:
        if height:
            parts.append(f'<g transform="translate(0 {top})">{content}</g>')
            top += height
    machine, options = facts["machine"], facts["options"]
    below = (
        f"{facts['date']} · {machine['cores']} cores of {machine['cpu']}, {machine['ram_gib']} GiB, shared by load, "
        f"service and database{' · quick run' if options['quick'] else ''}"
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}" '
        f'font-family="system-ui, Helvetica, Arial, sans-serif" font-size="13" fill="{_INK}">\n'
        f'<rect width="{_WIDTH}" height="{top}" fill="#ffffff"/>\n'
        + _text(24, 34, f"EV Ingestion Engine, {options['edition']} edition", size=20, weight=600)
        + _text(24, 56, below, size=12, fill=_PLAIN)
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _is_shown(figure: Figure) -> bool:
    return figure.below is not None or figure.what.startswith("latency p99")


Scale = tuple[Callable[[float], float], list[float], str]


def _linear(figures: Sequence[Figure]) -> Scale:
    """Return the place (0 to 1) of a value, the ticks and the unit."""
    most = max([figure.value for figure in figures] + [figure.at_least or 0 for figure in figures], default=1.0) * 1.02
    step = 10 ** math.floor(math.log10(most))
    step = next(step * part for part in (0.2, 0.5, 1.0) if most / (step * part) <= 6 or part == 1.0)
    return lambda value: value / most, [step * n for n in range(int(most / step) + 1)], ""


def _logarithmic(figures: Sequence[Figure]) -> Scale:
    values = [figure.value for figure in figures] + [figure.below for figure in figures if figure.below]
    low = 10 ** math.floor(math.log10(max(min(values, default=1.0), 0.01)))
    high = max(values, default=10.0) * 1.3
    span = math.log10(high / low)
    ticks = [low * 10**n for n in range(int(span) + 1)]
    return lambda value: math.log10(max(value, low) / low) / span, ticks, " ms"


def _panel(title: str, figures: Sequence[Figure], scale: Scale) -> tuple[int, str]:
    """Return the height and the SVG of a panel; nothing without figures."""
    if not figures:
        return 0, ""
    place, ticks, unit = scale
    width = _WIDTH - _LEFT - _RIGHT
    bottom = _PANEL_HEAD + _ROW * len(figures)
    parts = [_text(24, 24, title, size=14, weight=600)]
    for tick in ticks:
        x = _LEFT + place(tick) * width
        parts.append(f'<path d="M{x:.1f} {_PANEL_HEAD - 4}V{bottom}" stroke="{_FAINT}"/>')
        parts.append(_text(x, bottom + 16, f"{tick:,g}{unit}" if tick < 1e6 else f"{tick:,.0f}", "middle", 11, _PLAIN))
    for number, figure in enumerate(figures):
        top = _PANEL_HEAD + _ROW * number + (_ROW - _BAR) / 2
        fill = {True: _GOOD, False: _BAD, None: _PLAIN}[figure.met]
        length = max(place(figure.value) * width, 1.0)
        parts.append(_text(_LEFT - 12, top + _BAR - 3, f"{figure.part}: {figure.what}", "end"))
        parts.append(f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2" fill="{fill}"/>')
        target = figure.at_least if figure.at_least is not None else figure.below
        if target is not None:
            x = _LEFT + place(target) * width
            parts.append(f'<path d="M{x:.1f} {top - 4}v{_BAR + 8}" stroke="{_INK}" stroke-width="2"/>')
        parts.append(_text(_WIDTH - 24, top + _BAR - 3, amount(figure.value, figure.unit), "end", weight=600))
    return bottom + _PANEL_FOOT, "".join(parts)


def _text(
    x: float, y: float, words: str, anchor: str = "start", size: int = 13, fill: str = _INK, weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{fill}">{escape(words)}</text>'
    )
