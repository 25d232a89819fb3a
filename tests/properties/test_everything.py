"""Whatever comes in whatever order, every answer equals the model's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import timedelta

import pytest
from engine import Engine, utc_now
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from model import MeterReading, Reading, VehicleReading
from strategies import METERS, VEHICLES, ZONES, Draft, Moment, batches, drafts, hours, measures_of, moments

meters, vehicles = st.sampled_from(METERS), st.sampled_from(VEHICLES)
edges = st.none() | moments(ahead_hours=30)
NewEngine = Callable[[], AbstractContextManager[Engine]]


def at(moment: Moment | None):
    """Return the time of a moment, None for none."""
    return moment and moment.at(utc_now())


class Interleavings(RuleBasedStateMachine):
    """Ingest, duplicates, late rows, voids, deletions, mappings, refreshes, columnstore, and a look at some answers."""

    def __init__(self, new_engine: NewEngine) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.engine = self._stack.enter_context(new_engine())

    @rule(drafts=batches, endpoint=st.sampled_from(["batch", "batch", "any", "typed"]))
    def ingest(self, drafts: list[Draft], endpoint: str) -> None:
        self.engine.send([draft.reading() for draft in drafts], endpoint)

    @precondition(lambda self: self.engine.model.readings())
    @rule(data=st.data(), drafts=st.lists(drafts, max_size=3))
    def resend(self, data: st.DataObject, drafts: list[Draft]) -> None:
        batch = [draft.reading() for draft in drafts]
        for _ in range(data.draw(st.integers(1, 4))):
            batch.insert(data.draw(st.integers(0, len(batch))), self._other(data))
        self.engine.send(batch)

    @rule(meter=meters, vehicle=vehicles, start=edges, end=edges)
    def map(self, meter: str, vehicle: str, start: Moment | None, end: Moment | None) -> None:
        self.engine.map(meter, vehicle, at(start), at(end))

    @rule(meter=meters, vehicle=vehicles, start=edges, end=edges)
    def unmap(self, meter: str, vehicle: str, start: Moment | None, end: Moment | None) -> None:
        self.engine.unmap(meter, vehicle, at(start), at(end))

    @rule(
        device=st.one_of(st.tuples(st.just(MeterReading), meters), st.tuples(st.just(VehicleReading), vehicles)),
        start=moments(),
        hours=st.sampled_from([0, 1, 2, 30]),
    )
    def void(self, device: tuple[type[Reading], str], start: Moment, hours: int) -> None:
        begin = start.at(utc_now())
        self.engine.void(*device, begin, begin + timedelta(hours=hours))

    @precondition(lambda self: self.engine.model.readings())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.engine.delete([self._known(data)])

    @rule()
    def refresh(self) -> None:
        self.engine.refresh()
        self.engine.check_rollups()

    @precondition(lambda self: self.engine.chunks())
    @rule(data=st.data(), back=st.booleans())
    def convert(self, data: st.DataObject, back: bool) -> None:
        chunks = self.engine.chunks()
        chunk = chunks[data.draw(st.integers(0, len(chunks) - 1))]
        if back:
            self.engine.to_rowstore(chunk)
        else:
            self.engine.to_columnstore(chunk)

    @rule(vehicle=vehicles, hours=hours, end=edges)
    def analyse(self, vehicle: str, hours: int, end: Moment | None) -> None:
        self.engine.check_analytics([vehicle], METERS, hours, at(end))

    def teardown(self) -> None:
        with self._stack:
            self.look_back()

    def look_back(self) -> None:
        """Hold all that the example left behind against the model."""
        self.engine.check_history()
        for hours in (1, 24, 60):
            self.engine.check_analytics([*VEHICLES, "nobody"], METERS, hours)
        self.engine.refresh()
        self.engine.check_analytics(VEHICLES, METERS, 24)
        self.engine.check_rollups()

    def _known(self, data: st.DataObject) -> Reading:
        readings = self.engine.model.readings()
        return readings[data.draw(st.integers(0, len(readings) - 1))]

    def _other(self, data: st.DataObject) -> Reading:
        reading = self._known(data)
        if data.draw(st.booleans()):
            return reading
        return type(reading)(reading.device, reading.ts, *data.draw(measures_of(reading)))


class ThroughTheEngine(Interleavings):
    """Nobody adds to history past the engine: hot status is the history's latest, too."""

    @rule(zone=st.sampled_from(ZONES))
    def move_house(self, zone: str) -> None:
        self.engine.set_timezone(zone)

    @rule()
    def look(self) -> None:
        self.engine.check_status([*VEHICLES, "nobody"], [*METERS, "nobody"])

    def look_back(self) -> None:
        self.look()
        super().look_back()


class PastTheEngine(Interleavings):
    """Repairs and imports write history directly: analytics and rollups follow it all the same."""

    @rule(drafts=batches)
    def insert(self, drafts: list[Draft]) -> None:
        known = {(r.device, r.ts) for r in self.engine.model.readings()}
        fresh = {(r.device, r.ts): r for r in (draft.reading() for draft in drafts)}
        if rows := [r for key, r in fresh.items() if key not in known]:
            self.engine.insert(rows)

    @precondition(lambda self: self.engine.model.readings())
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        reading = self._known(data)
        self.engine.update(type(reading)(reading.device, reading.ts, *data.draw(measures_of(reading))))


@pytest.mark.parametrize("machine", [ThroughTheEngine, PastTheEngine])
def test_every_answer_equals_the_models(
    new_engine: NewEngine, machine: Callable[[NewEngine], Interleavings], record_property: Callable[[str, object], None]
) -> None:
    examples = 0

    def begin() -> Interleavings:
        nonlocal examples
        examples += 1
        return machine(new_engine)

    run_state_machine_as_test(
        begin,
        settings=settings(suppress_health_check=list(HealthCheck)),
    )
    record_property("examples", examples)
