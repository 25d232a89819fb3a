"""The demo's fleet: newest first, live at once, and going on where an earlier demo ended."""

from collections import Counter

import pytest
from fake_engine import fake_engine
from fix_service import wait_until

from service.simulate.demo import Demo, Story, cut
from service.simulate.record import Record
from service.simulate.run import time as clock
from service.simulate.sender import SendError

STORY = Story(devices=2, days=1, faults={})
HOUR, DAY = 60, 1440


@pytest.fixture
def engine():
    with fake_engine() as server:
        yield server


class Played:
    """What a demo said and sent, up to its last word: minutes of the readings, in the order of their arrival."""

    def __init__(self, engine, path):
        self.said = []
        before = len(engine.readings)
        requests = engine.requests["readings"]
        with Demo(engine.url, path, self.said.append, STORY).playing():
            wait_until(lambda: "all history is there" in " ".join(self.said))
        self.minutes = [int(time.timestamp()) // 60 for _, time in list(engine.readings)[before:]]
        self.readings = engine.requests["readings"] - requests


def test_the_latest_hour_comes_first_and_then_the_rest_newest_first(engine, tmp_path):
    at_ready = []
    said = []

    def say(line):
        said.append(line)
        if "ready" in line:
            at_ready.extend(engine.readings)

    with Demo(engine.url, tmp_path / "record", say, STORY).playing():
        wait_until(lambda: "all history is there" in said[-1] if said else False)
    now = Record.read(tmp_path / "record", 0).until
    minutes = {int(time.timestamp()) // 60 for _, time in at_ready}
    assert min(minutes) == now - HOUR
    assert set(range(now - HOUR, now)) <= minutes
    assert {int(time.timestamp()) // 60 for _, time in engine.readings} >= set(range(now - DAY, now))
    assert f"open {engine.url}/" in said[0]
    assert len(engine.mappings) == 2


def test_a_later_demo_sends_what_is_missing_and_the_latest_hours_again(engine, tmp_path, monkeypatch):
    path = tmp_path / "record"
    first = Played(engine, path)
    again = Played(engine, path)
    assert first.readings > 2 * 2 * DAY * 0.9
    assert again.readings < 2 * 2 * (6 * HOUR + 10)
    assert again.minutes == [] or min(again.minutes) >= Record.read(path, 0).until

    real = clock.time
    monkeypatch.setattr(clock, "time", lambda: real() + 10 * 3600)
    later = Played(engine, path)
    missed = Counter(later.minutes)
    now = Record.read(path, 0).loaded[-1][1]
    assert set(range(now - 10 * HOUR + 1, now)) <= set(missed)
    assert later.readings < 2 * 2 * 11 * HOUR


def test_a_demo_ends_while_it_waits_for_an_engine_that_never_comes(tmp_path):
    said = []
    with Demo("http://127.0.0.1:9", tmp_path / "record", said.append, STORY).playing():
        pass
    assert said == []


def ends_with(demo, said):
    """Play until the demo says that it has stopped; raise what it raises."""
    with demo.playing():
        wait_until(lambda: "has stopped" in "".join(said))


def test_a_refused_batch_ends_the_demo_with_its_reason(engine, tmp_path):
    engine.failures = [413, 413]  # of the live fleet, and of its history
    said = []
    with pytest.raises(SendError, match="413"):
        ends_with(Demo(engine.url, tmp_path / "record", said.append, STORY), said)
    assert "413" in said[-1]


def test_a_record_that_cannot_be_written_ends_the_demo_with_its_reason(engine, tmp_path):
    said = []
    with pytest.raises(OSError, match="missing"):
        ends_with(Demo(engine.url, tmp_path / "missing" / "record", said.append, STORY), said)
    assert "missing" in said[-1]


def test_a_record_keeps_spans_apart_and_in_order(tmp_path):
    path = tmp_path / "record"
    record = Record.read(path, 77)
    for start, end in ((10, 20), (30, 40), (20, 25), (5, 5), (50, 60)):
        record.add(start, end, path)
    assert record.loaded == [(10, 25), (30, 40), (50, 60)]
    assert Record.read(path, 99) == record
    assert record.missing(0, 55) == [(0, 10), (25, 30), (40, 50)]
    assert record.missing(12, 24) == []
    assert record.missing(35, 100) == [(40, 50), (60, 100)]
    path.write_text("{")
    assert Record.read(path, 99) == Record(99)


def test_gaps_are_cut_into_days_newest_first():
    assert list(cut([(0, 100), (200, 200 + DAY + 1)])) == [(201, 201 + DAY), (200, 201), (0, 100)]
