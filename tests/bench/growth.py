"""Whether ingest slows down as history grows: two databases side by side, by turns."""

from __future__ import annotations

from contextlib import ExitStack

from tests.bench.batch import send_batches
from tests.bench.figure import Figure
from tests.bench.history import load_history
from tests.bench.options import Options
from tests.bench.stage import minutes_for, open_stage


def measure_growth(options: Options) -> list[Figure]:
    """Measure batches after little and after much history; turns make a busy machine slow both."""
    minutes = minutes_for(options, options.growth_rounds * options.growth_seconds)
    with ExitStack() as stack:
        stages = []
        for number, rows in enumerate(options.growth_history):
            stage = stack.enter_context(open_stage(options, f"growth_{number}", minutes))
            load_history(stage, rows, stage.timeline.next)
            stages.append(stage)
        readings, seconds = [0, 0], [0.0, 0.0]
        for turn in range(options.growth_rounds * 2):
            # Little, much, much, little: what drifts over time meets both.
            which = (turn + turn // 2) % 2
            load, _ = send_batches(stages[which], options.growth_seconds)
            readings[which] += load.readings
            seconds[which] += load.seconds
    rates = [count / time for count, time in zip(readings, seconds, strict=True)]
    few, many = options.growth_history
    return [
        Figure("growth", f"batches after {few / 1e6:g} M rows", rates[0], "readings/s"),
        Figure("growth", f"batches after {many / 1e6:g} M rows", rates[1], "readings/s"),
        Figure("growth", "rate kept", rates[1] / rates[0] * 100, "%", at_least=80, note="in turns, same machine"),
    ]
