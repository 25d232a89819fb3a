"""Sending over HTTP, and the command as a whole, against a small engine on loopback."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from click.testing import CliRunner
from fake_engine import fake_engine

from service.cli.simulate import simulate
from service.simulate.causes import KINDS
from service.simulate.sender import EngineClient, Sender, SendError
from service.simulate.wire import Batch


@pytest.fixture
def engine():
    with fake_engine() as server:
        yield server


@pytest.fixture
def sender(engine):
    client = EngineClient(engine.url, patience_seconds=5)
    sender = Sender(client, connections=2)
    yield sender
    sender.close(wait=False)


def a_batch(*times):
    readings = [{"meterId": "M1", "kwhConsumedAc": 1, "timestamp": time} for time in times]
    return Batch(json.dumps({"readings": readings}).encode(), len(readings))


NOON, LATER = "2026-02-12T12:00:00Z", "2026-02-12T12:01:00Z"


def test_a_busy_or_broken_engine_is_tried_again(engine, sender):
    engine.failures = [503, 429, "drop", 503]
    sender.send(a_batch(NOON))
    sender.drain()
    assert sender.tally.stored == 1
    assert sender.tally.retries == 4
    assert engine.requests["batch"] == 5


def test_answers_are_counted(engine, sender):
    sender.send(a_batch(NOON, LATER))
    sender.drain()
    sender.send(a_batch(NOON, "bad"))
    sender.send(a_batch("bad"))
    sender.drain()
    tally = sender.tally
    assert (tally.sent, tally.stored, tally.duplicates, tally.failed) == (5, 2, 1, 2)
    assert tally.errors == ["bad time", "bad time"]


def test_a_refused_batch_ends_the_sending(engine, sender):
    engine.failures = [413]
    sender.send(a_batch(NOON))
    with pytest.raises(SendError, match="smaller --batch"):
        sender.drain()
    with pytest.raises(SendError, match="413"):
        sender.send(a_batch(LATER))


def test_patience_ends(engine):
    client = EngineClient(engine.url, patience_seconds=0)
    engine.failures = [503]
    with pytest.raises(SendError, match="answered 503"):
        client.request("POST", "/v1/telemetry/batch", a_batch(NOON).body)
    client.close()


def test_a_url_that_is_none_is_refused():
    with pytest.raises(SendError, match="not an http"):
        EngineClient("localhost:3000")


def run(engine, *options):
    return CliRunner().invoke(simulate, ["--url", engine.url, *options], catch_exceptions=False)


END = "2026-02-12T20:00:00Z"


def test_a_fleet_is_sent_and_its_truth_is_what_the_engine_answers(engine, tmp_path):
    engine.failures = [503, "drop"]
    truth = tmp_path / "truth.json"
    chosen = ["--devices", "20", "--hours", "3", "--end", END, "--batch", "700", "--truth", str(truth)]
    result = run(engine, *chosen)
    assert result.exit_code == 0, result.output
    assert "2026-02-12T17:00:00Z" in result.output
    assert "/v1/analytics/fleet/efficiency?hours=3&end=2026-02-12T20%3A00%3A00Z" in result.output
    assert len(engine.mappings) == 20

    document = json.loads(truth.read_text())
    end = datetime(2026, 2, 12, 20, tzinfo=UTC)
    start = end - timedelta(hours=3)
    told = engine.fleet(start, end)
    assert {name: document["fleet"][name] for name in told} == told
    for each in document["vehicles"]["performance"]:
        found = engine.performance(each["vehicleId"], start, end)
        assert Decimal(str(each["totalKwhConsumedAc"])) == found["ac"]
        assert Decimal(str(each["totalKwhDeliveredDc"])) == found["dc"]
        assert each["readingsCount"] == len(found["temps"])

    # The same story again changes nothing, even when it begins elsewhere.
    before = dict(engine.readings)
    again = run(engine, "--devices", "20", "--hours", "2", "--end", "2026-02-12T19:30:00Z")
    assert again.exit_code == 0, again.output
    assert engine.readings == before


def test_a_check_finds_a_vehicle_that_the_engine_gets_wrong(engine):
    chosen = ["--devices", "20", "--hours", "2", "--end", END, "--check"]
    result = run(engine, *chosen)
    assert result.exit_code == 0, result.output
    assert "equal the truth" in result.output

    engine.stolen_units = 1
    wrong = run(engine, *chosen)
    assert wrong.exit_code == 1
    assert "VH-00001: totalKwhConsumedAc is" in wrong.output


JPL_CSV = (
    "arrival,departure,delivered_energy (kWh),station_id,session_id\n"
    "2019-05-01 05:04:06-07:00,2019-05-01 07:56:21-07:00,14.8751,AG-1,1_1 2019-05-01 12:04:06.01\n"
    "2019-05-01 07:56:21-07:00,2019-05-01 09:00:00-07:00,3.3333,AG-1,1_2 2019-05-01 14:04:06.01\n"
    "2019-05-01 08:00:00-07:00,2019-05-01 08:09:00-07:00,0.508,AG-2,1_3 2019-05-01 14:04:06.01\n"
)


def test_a_replay_checks_every_session_and_finds_what_is_wrong(engine, tmp_path):
    path = tmp_path / "jpl.csv"
    path.write_text(JPL_CSV)
    result = run(engine, "--replay", str(path), "--check")
    assert result.exit_code == 0, result.output
    assert "equal the truth" in result.output
    assert "1_1 2019-05-01 12:04:06.01" in result.output
    assert "18.7164" in result.output

    engine.stolen_units = 1
    wrong = run(engine, "--replay", str(path), "--check")
    assert wrong.exit_code == 1
    assert "totalKwhConsumedAc is 14.8752, true is 14.8751" in wrong.output
    assert "station AG-1" in wrong.output


def test_live_goes_on_to_the_present_minute(engine, monkeypatch):
    # A past --end is not live; so let live run behind a clock that is already ahead of it.
    import service.simulate.run as runner

    real = runner.time.time
    monkeypatch.setattr(runner.time, "time", lambda: real() + 600)
    result = run(engine, "--devices", "3", "--hours", "0", "--live", "4")
    assert result.exit_code == 0, result.output
    minutes = {time.replace(second=0) for _, time in engine.readings}
    assert len(minutes) == 4


def test_ctrl_c_finishes_the_minute_and_tells_the_truth(engine):
    def interrupt():
        engine.on_batch = None
        os.kill(os.getpid(), signal.SIGINT)

    engine.on_batch = interrupt
    before = signal.getsignal(signal.SIGINT)  # in a background job of a shell: ignored
    result = run(engine, "--devices", "120", "--hours", "0", "--live", "forever", "--check")
    assert result.exit_code == 0, result.output
    assert "equal the truth" in result.output
    # One that begins as the minute ends sends its first batch, and is interrupted, in the next.
    assert len({time.replace(second=0) for _, time in engine.readings}) <= 2
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    "options",
    [
        ["--live", "soon"],
        ["--live", "5", "--end", END],
        ["--end", "2026-02-12T20:00:00"],
        ["--end", "2999-01-01T00:00:00Z"],
        ["--day", "2019-05-01"],
        ["--fault", "sulking=1"],
        ["--fault", "offline"],
    ],
)
def test_contradicting_options_are_refused(engine, options):
    assert run(engine, *options).exit_code == 2


def test_a_fleet_with_every_fault_is_still_told_to_the_last_digit(engine, tmp_path):
    truth = tmp_path / "truth.json"
    chosen = [option for kind in KINDS for option in ("--fault", f"{kind}=1")]
    result = run(engine, *chosen, "--devices", "40", "--hours", "26", "--end", END, "--truth", str(truth), "--check")
    assert result.exit_code == 0, result.output
    assert "equal the truth" in result.output
    told = json.loads(truth.read_text())["vehicles"]["faults"]
    assert {each["fault"] for each in told} == set(KINDS)


def test_more_faults_than_devices_are_refused(engine):
    result = run(engine, "--devices", "10", "--hours", "1", "--fault", "degrading=11")
    assert result.exit_code == 1
    assert "of 10 pairs can have a fault, 11 are asked for" in result.output


def test_no_engine_is_said_plainly(engine, monkeypatch):
    monkeypatch.setattr("service.simulate.run._GREETING_SECONDS", 0)
    result = CliRunner().invoke(simulate, ["--url", "http://127.0.0.1:9", "--devices", "1"])
    assert result.exit_code == 1
    assert "make run" in result.output
