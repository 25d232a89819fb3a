"""The command `ev-engine simulate`."""

from __future__ import annotations

import math
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from service.cli.console import clear_errors, needs_simulator
from service.simulate.limits import OLDEST_DAYS


def _minutes(_ctx: click.Context, _param: click.Parameter, text: str) -> float:
    if text == "forever":
        return math.inf
    if not text.isascii() or not text.isdigit():
        raise click.BadParameter(f"{text!r} is neither a whole number of minutes nor 'forever'")
    return float(text)


def _faults(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    if not texts:
        return {}
    with needs_simulator():
        from service.simulate.causes import KINDS
    if "help" in texts:
        for name, kind in KINDS.items():
            click.echo(f"{name:<20}{kind.what}")
        sys.exit()
    counts: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in KINDS or not number.isascii() or not number.isdigit():
            raise click.BadParameter(f"{text!r} is not KIND=N, where KIND is one of {', '.join(KINDS)}")
        counts[name] = int(number)
    return counts


def _instant(_ctx: click.Context, _param: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise click.BadParameter(f"{text!r} is no time with offset such as 2026-02-12T10:30:00Z")
    return instant


@click.command()
@click.option(
    "--url",
    default=lambda: f"http://127.0.0.1:{os.environ.get('PORT') or 3000}",
    show_default="http://127.0.0.1:3000, or its PORT",
    help="Where the engine is.",
)
@click.option(
    "--key",
    envvar="EV_ENGINE_KEY",
    metavar="KEY",
    help="API key with scopes ingest, admin (it maps devices) and read (for --check), where the engine asks for one; "
    "or variable EV_ENGINE_KEY.",
)
@click.option(
    "--devices",
    type=click.IntRange(1, 1_000_000),
    default=100,
    show_default=True,
    help="How many meters, and as many vehicles.",
)
@click.option(
    "--hours",
    type=click.IntRange(0, OLDEST_DAYS * 24),
    default=24,
    show_default=True,
    help="Hours of history to backfill up to now; a day of 10,000 devices needs 144 MB of memory.",
)
@click.option(
    "--speed",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Pace of the backfill in simulated time per real time: 1 = real time, 60 = an hour a minute, "
    "0 = as fast as the engine takes it. Nothing is ever sent ahead of the clock.",
)
@click.option(
    "--live",
    callback=_minutes,
    metavar="MINUTES",
    default="0",
    show_default=True,
    help="Minutes to go on in real time after the backfill, or 'forever' (until Ctrl-C).",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Same seed, same readings.")
@click.option("--end", callback=_instant, metavar="TIME", help="Where the history ends instead of now, with offset.")
@click.option("--batch", type=click.IntRange(1, 50_000), default=5000, show_default=True, help="Readings per request.")
@click.option("--connections", type=click.IntRange(1, 64), default=4, show_default=True, help="Requests at a time.")
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Send the real sessions of this CSV file (ACN-Data or EPFL) instead of a simulated fleet, moved by "
    "whole days to end before now.",
)
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="First local day to replay; default: the file's first.")
@click.option(
    "--days",
    type=click.IntRange(1, OLDEST_DAYS),
    default=1,
    show_default=True,
    help="How many days to replay.",
)
@click.option(
    "--truth",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the fleet's true totals and every vehicle's sums over the last 24 h to this JSON file.",
)
@click.option(
    "--fault",
    "faults",
    callback=_faults,
    multiple=True,
    metavar="KIND=N",
    help="Give N pairs of devices a fault (repeat for more kinds); --truth tells what must come out. "
    "--fault help lists the kinds.",
)
@click.option("--check", is_flag=True, help="Compare the engine's answers with the truth; exit 1 if any differs.")
def simulate(
    url: str,
    key: str | None,
    devices: int,
    hours: int,
    speed: float,
    live: float,
    seed: int,
    end: datetime | None,
    batch: int,
    connections: int,
    replay: Path | None,
    day: datetime | None,
    days: int,
    truth: Path | None,
    check: bool,
    faults: dict[str, int],
) -> None:
    """Send a believable EV fleet, or real charging sessions, to a running engine.

    The fleet arrives, plugs in, charges with a taper and loses 5 to 12 % (a few chargers more), with hot
    batteries, gaps, duplicates and late readings. The same --seed and --devices tell the same story however
    often they run; the faults `degrading` and `offline` count from the end of the history: repeat them with the
    same --end. At the end the true totals are printed beside the request that should answer the same.
    """
    # Here and not above: the extra may be missing, and its tables of text would slow every other command's start.
    from rich.console import Console

    with needs_simulator():
        from service.simulate.run import Options, run_fleet, run_replay

    if live and (end is not None or replay is not None):
        raise click.UsageError("--live goes on from now: use it without --end and --replay")
    if replay is not None and truth is not None:
        raise click.UsageError("--truth is for a simulated fleet; a replay prints every session")
    if replay is not None and faults:
        raise click.UsageError("--fault is for a simulated fleet")
    if replay is None and (day is not None or days != 1):
        raise click.UsageError("--day and --days choose what to --replay")
    now = datetime.now(UTC)
    if end is not None and end > now:
        raise click.UsageError("--end must not be in the future")
    options = Options(
        url=url,
        key=key,
        devices=devices,
        hours=hours,
        speed=speed,
        live_minutes=live,
        seed=seed,
        batch=batch,
        connections=connections,
        end=end or now,
        truth_file=truth,
        check=check,
        faults=faults,
    )
    console = Console()
    with clear_errors():
        if replay is not None:
            passed = run_replay(options, replay, day.date() if day else None, days, console)
        else:
            passed = run_fleet(options, console)
    sys.exit(0 if passed else 1)
