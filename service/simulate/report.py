"""What a person sees of a simulation: the progress while it runs, and the tables at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as RemainingColumn
from rich.table import Table
from rich.text import Text

from service.simulate.check import fleet_path, rfc3339
from service.simulate.delivery import Delivered
from service.simulate.replay import Placed
from service.simulate.sender import Tally
from service.simulate.truth import FleetEnergy, kwh

_LINES_SHOWN = 20


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = task.completed / task.elapsed if task.elapsed else 0.0
        return Text(f"{task.completed:,.0f} readings, {rate:,.0f}/s")


def progress_bar(console: Console) -> Progress:
    """Make the bar; advance its task by the readings that the engine has answered."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        _RateColumn(),
        TimeElapsedColumn(),
        RemainingColumn(),
        console=console,
    )


@dataclass(frozen=True)
class Period:
    """The half-open time [start, end) over which the truth is told, in minutes since the epoch."""

    start: int
    end: int

    @property
    def hours(self) -> int:
        """Length in whole hours, rounded up, as the API wants it."""
        return -(-(self.end - self.start) // 60)


def show_sent(console: Console, tally: Tally, seconds: float, delivered: Delivered | None) -> None:
    """Print what was sent and what the engine answered."""
    table = Table(title="Sent", show_header=False, title_justify="left")
    table.add_row("readings sent", f"{tally.sent:,}")
    table.add_row("stored", f"{tally.stored:,}")
    table.add_row("duplicates", f"{tally.duplicates:,}")
    table.add_row("failed", f"{tally.failed:,}")
    if delivered is not None:
        table.add_row("different readings", f"{delivered.readings:,}")
        table.add_row("sent twice on purpose", f"{delivered.duplicates:,}")
        table.add_row("sent late on purpose", f"{delivered.late:,}")
        table.add_row("never sent (silent devices)", f"{delivered.lost:,}")
    table.add_row("requests, retries", f"{tally.requests:,}, {tally.retries:,}")
    table.add_row("seconds", f"{seconds:,.1f}")
    table.add_row("readings/s", f"{tally.sent / max(seconds, 1e-9):,.0f}")
    console.print(table)
    for error in tally.errors:
        console.print(f"failed: {error}", markup=False)


def show_fleet(console: Console, energy: FleetEnergy, period: Period) -> None:
    """Print the fleet's true totals over the period, and where the engine tells the same."""
    table = Table(title="True totals of the fleet", show_header=False, title_justify="left")
    table.add_row("from", rfc3339(period.start * 60))
    table.add_row("to (excluded)", rfc3339(period.end * 60))
    table.add_row("vehicles", f"{energy.total_vehicles:,}")
    table.add_row("AC consumed, kWh", f"{energy.total_kwh_consumed_ac:,.4f}")
    table.add_row("DC delivered, kWh", f"{energy.total_kwh_delivered_dc:,.4f}")
    table.add_row("loss, kWh", f"{energy.total_energy_loss:,.4f}")
    ratio = energy.avg_efficiency_ratio
    table.add_row("efficiency ratio", "unknown" if ratio is None else f"{ratio:.4f}")
    table.add_row("vehicles with warnings", f"{energy.vehicles_with_warnings:,}")
    table.add_row("vehicles critical", f"{energy.vehicles_critical:,}")
    console.print(table)
    console.print(f"compare: {fleet_path(period.hours, period.end * 60)}", soft_wrap=True, markup=False)


def show_replay(console: Console, placed: Sequence[Placed]) -> None:
    """Print the energy of every session, the sum at each station and the total."""

    def say(vehicle: str, station: str, start: str, end: str, ac: str, dc: str) -> None:
        line = f"{vehicle:<{names}}  {station:<{places}}  {start:<20}  {end:<20}  {ac:>9}  {dc:>9}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    # Plain lines and no table: a narrow screen would cut ids short, and they are there to be looked up.
    names = max(len(stay.session.vehicle) for stay in placed)
    places = max(7, *(len(stay.session.station) for stay in placed))
    say("vehicle", "station", "from", "to (excluded)", "AC kWh", "DC kWh")
    stations: dict[str, list[int]] = {}
    for stay in placed:
        ac, dc = stay.ac_units, stay.dc_units
        sums = stations.setdefault(stay.session.station, [0, 0, 0])
        for index, units in enumerate((1, ac, dc)):
            sums[index] += units
        start, end = rfc3339(stay.start), rfc3339(stay.end)
        say(stay.session.vehicle, stay.session.station, start, end, f"{kwh(ac):.4f}", f"{kwh(dc):.4f}")
    table = Table(title="True energy at each station", title_justify="left", show_footer=True)
    totals = [sum(sums[index] for sums in stations.values()) for index in range(3)]
    table.add_column("station", "total")
    table.add_column("sessions", f"{totals[0]:,}", justify="right")
    table.add_column("AC kWh", f"{kwh(totals[1]):,.4f}", justify="right")
    table.add_column("DC kWh", f"{kwh(totals[2]):,.4f}", justify="right")
    for station in sorted(stations):
        count, ac, dc = stations[station]
        table.add_row(station, f"{count:,}", f"{kwh(ac):,.4f}", f"{kwh(dc):,.4f}")
    console.print(table)


def show_check(console: Console, lines: Sequence[str], what: str, hint: str) -> None:
    """Print the outcome of `--check`; `hint` names what else than a wrong engine can make a difference."""
    if not lines:
        console.print(f"check: the engine's answers equal the truth ({what})", markup=False)
        return
    for line in lines[:_LINES_SHOWN]:
        console.print(f"differs: {line}", markup=False, soft_wrap=True)
    console.print(f"check: {len(lines)} differences ({what}). {hint}", markup=False)
