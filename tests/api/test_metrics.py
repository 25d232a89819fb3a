"""Metrics: what became of readings, commits, queues, the pool, the rollups; over all workers, and all in docs/operate.md."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from fix_service import ago, client_of, meter_reading, now, send, vehicle_reading, wait_until
from pages import PAGES
from ports import free_port
from prometheus_client.parser import text_string_to_metric_families
from staging import ingest, meter, refresh

from service.app import create_app
from service.database.cluster import command_line

PATH = "/v1/telemetry"


def parsed(text: str) -> dict[tuple, float]:
    """Return every sample under its name and labels."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def scrape(client):
    def read() -> dict[tuple, float]:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return parsed(answer.text)

    return read


def outcomes(samples) -> tuple:
    return tuple(samples["ev_engine_readings_total", name] for name in ("accepted", "duplicate", "refused", "shed"))


def test_readings_are_counted_by_what_became_of_them(client, scrape):
    assert outcomes(scrape()) == (0, 0, 0, 0)
    reading = meter_reading()
    for body in (reading, reading, meter_reading(voltage=-1), vehicle_reading(), {"type": "neither"}):
        client.post(PATH, json=body)
    assert outcomes(scrape()) == (2, 1, 2, 0)
    batch = [reading, meter_reading(meterId="M2"), meter_reading(meterId="M3"), vehicle_reading(soc=101),
             meter_reading(meterId="M4", timestamp=ago(days=200))]  # fmt: skip
    client.post(f"{PATH}/batch", json={"readings": batch})
    assert outcomes(scrape()) == (4, 2, 4, 0)
    client.post(f"{PATH}/batch", content=b"{")
    assert outcomes(scrape()) == (4, 2, 5, 0)


def test_problems_are_counted_by_their_status(open_client, make_key):
    client, key = open_client(auth="on", key_rate_limit=2), make_key("ingest")
    reader = make_key("read")
    assert client.get("/v1/status/overview").status_code == 401
    assert client.get("/v1/status/overview", headers=key).status_code == 403
    assert client.post("/v1/telemetry/batch", json={"readings": [{}]}, headers=key).status_code == 400
    while client.post("/v1/telemetry", headers=key).status_code != 429:
        pass
    lines = client.get("/metrics", headers=reader).text.splitlines()
    counted = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("ev_engine_http_problems")}
    for status in (401, 403, 429):
        assert counted[f'ev_engine_http_problems_total{{status="{status}"}}'] == 1, status
    assert counted['ev_engine_http_problems_total{status="400"}'] >= 1
    assert counted['ev_engine_http_problems_total{status="other"}'] == 0


def test_readings_that_are_shed_are_counted(open_client, connect):
    client = open_client(ingest_writers=1, ingest_queue_readings=2, request_timeout_seconds=1)
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    blocker = connect(autocommit=False)
    blocker.execute("LOCK TABLE meter_telemetry_history IN EXCLUSIVE MODE")
    assert client.post(PATH, json=meter_reading()).status_code == 503
    blocker.rollback()
    samples = parsed(client.get("/metrics").text)
    assert outcomes(samples) == (0, 0, 0, 1)
    assert samples["ev_engine_http_problems_total", "503"] == 1


def test_commits_are_measured(client, scrape):
    send(client, *(meter_reading(meterId=f"M{n}") for n in range(30)))
    client.post(PATH, json=vehicle_reading())
    samples = scrape()
    assert samples["ev_engine_commit_readings_count",] == 2
    assert samples["ev_engine_commit_readings_sum",] == 31
    assert samples["ev_engine_commit_readings_bucket", "1.0"] == 1
    assert samples["ev_engine_commit_readings_bucket", "20.0"] == 1
    assert samples["ev_engine_commit_readings_bucket", "50.0"] == 2
    assert samples["ev_engine_commit_duration_seconds_count",] == 2
    assert 0 < samples["ev_engine_commit_duration_seconds_sum",] < 20


def test_every_endpoint_has_its_latency_by_template_and_not_by_id(client, scrape):
    client.post(PATH, json=vehicle_reading(vehicleId="V1"))
    for name in ("V1", "V2", "V3"):
        client.get(f"/v1/status/vehicle/{name}")
    client.get("/v1/no/such/path")
    samples = scrape()
    name = "ev_engine_http_request_duration_seconds_count"
    assert samples[name, "GET", "/v1/status/vehicle/{vehicleId}"] == 3
    assert samples[name, "POST", "/v1/telemetry"] == 1
    assert samples["ev_engine_http_problems_total", "404"] == 3
    seconds = samples["ev_engine_http_request_duration_seconds_sum", "POST", "/v1/telemetry"]
    assert 0 < seconds < 20
    assert not any("V1" in label for key in samples for label in map(str, key))


def test_queue_and_connections_are_told(open_client, connect):
    client = open_client(ingest_writers=1, db_pool_min=2, db_pool_max=4, ingest_queue_readings=77)
    read = lambda: parsed(client.get("/metrics").text)  # noqa: E731
    wait_until(lambda: read()["ev_engine_pool_connections", "idle"] >= 2)
    samples = read()
    assert samples["ev_engine_queue_limit_readings",] == 77
    assert samples["ev_engine_workers",] == 1
    assert samples["ev_engine_ingest_connections",] == 1
    assert samples["ev_engine_pool_connections", "used"] == 0
    assert samples["ev_engine_database_up",] == 1
    blocker = connect(autocommit=False)
    blocker.execute("LOCK TABLE meter_telemetry_history IN EXCLUSIVE MODE")
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send, client, *(meter_reading(meterId=f"M{n}") for n in range(5)))
        try:
            wait_until(lambda: read()["ev_engine_queue_readings",] == 5)
        finally:
            blocker.rollback()
        sent.result()
    assert read()["ev_engine_queue_readings",] == 0


def test_age_of_history_and_how_long_it_is_kept_are_told(scrape, connection):
    ingest(connection, meter("M1", now() - timedelta(days=3)))
    connection.execute("UPDATE engine.retention SET keep = NULL WHERE relation LIKE 'vehicle%'")
    samples = scrape()
    day = 86400
    assert 3 * day <= samples["ev_engine_history_age_seconds", "meter"] <= 4 * day
    assert samples["ev_engine_history_retention_seconds", "meter"] == 90 * day
    assert ("ev_engine_history_retention_seconds", "vehicle") not in samples
    assert ("ev_engine_history_age_seconds", "vehicle") not in samples
    assert samples["ev_engine_database_bytes",] > 1e6


@pytest.mark.edition("timescale", reason="in the other, triggers leave the rollups exact")
def test_rollups_that_trail_behind_are_told(scrape, connection):
    ingest(connection, meter("M1", now() - timedelta(days=3)))
    assert scrape()["ev_engine_rollup_lag_seconds",] > 2 * 86400
    refresh(connection)
    samples = scrape()
    assert (samples["ev_engine_rollup_lag_seconds",], samples["ev_engine_stale_device_hours",]) == (0, 0)
    ingest(connection, meter("M1", now() - timedelta(days=2)), meter("M2", now() - timedelta(days=2)))
    assert scrape()["ev_engine_stale_device_hours",] == 2
    connection.execute("DELETE FROM meter_telemetry_history WHERE meter_id = 'M2'")
    assert scrape()["ev_engine_rollup_lag_seconds",] > 2 * 86400, (
        "written past the engine: nothing rolled up is trusted"
    )


def test_without_its_database_the_service_still_tells_what_it_knows(settings):
    with client_of(create_app(settings(request_timeout_seconds=0.2), "postgresql://127.0.0.1:1/nowhere")) as client:
        assert client.post(PATH, json=meter_reading()).status_code == 503
        samples = parsed(client.get("/metrics").text)
    assert samples["ev_engine_database_up",] == 0
    assert samples["ev_engine_readings_total", "shed"] == 1
    assert ("ev_engine_rollup_lag_seconds",) not in samples


def test_many_may_scrape_at_once(client):
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: client.get("/metrics").status_code, range(40))) == [200] * 40


def test_the_documentation_lists_every_metric_and_no_other(client):
    client.post(PATH, json=meter_reading())
    told = set(re.findall(r"^# TYPE (\S+)", client.get("/metrics").text, re.MULTILINE))
    listed = set(re.findall(r"^\| `(ev_engine_\w+)", PAGES["docs/operate.md"], re.MULTILINE))
    assert listed == told


def test_metrics_follow_prometheus_conventions(client):
    text = client.get("/metrics").text
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE):
        assert name.startswith("ev_engine_")
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb)\b", name)
    assert len(re.findall(r"^# HELP \S+ \S", text, re.MULTILINE)) == len(re.findall("^# TYPE", text, re.MULTILINE))


class TestWorkers:
    @pytest.fixture
    def service(self, database_url: str, tmp_path: Path):
        """Two workers, a process each; yield where they are and how to find them."""
        port = free_port()
        environment = os.environ | {
            "DATABASE_URL": database_url, "PORT": str(port), "WORKERS": "2", "DB_POOL_MIN": "1", "TMPDIR": str(tmp_path),
        }  # fmt: skip
        command = [str(Path(sys.executable).parent / "ev-engine"), "serve"]
        with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log) as process:
            url = f"http://127.0.0.1:{port}"
            try:
                wait_until(lambda: get(f"{url}/health/ready"), 60)
                yield url, process.pid
            finally:
                process.terminate()
                process.wait(30)
        assert not list(tmp_path.glob("ev-engine-metrics-*")), "its folder goes with it"

    def test_whichever_worker_is_asked_tells_of_all_of_them_and_of_those_that_died(self, service):
        url, parent = service
        read = lambda: parsed(get(f"{url}/metrics"))  # noqa: E731
        wait_until(lambda: read()["ev_engine_workers",] == 2)
        for n in range(40):
            body = meter_reading(meterId=f"M{n}")
            # A connection of its own each: the system deals them out to both.
            assert post(f"{url}{PATH}", body) == 201
        assert {outcomes(read()) for _ in range(10)} == {(40, 0, 0, 0)}
        name = "ev_engine_http_request_duration_seconds_count"
        assert read()[name, "POST", PATH] == 40

        victim = workers(parent)[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(workers(parent)) == 2 and victim not in workers(parent))
        wait_until(lambda: get(f"{url}/metrics") and read()["ev_engine_workers",] == 2)
        assert post(f"{url}{PATH}", meter_reading(meterId="M40")) == 201
        assert outcomes(read()) == (41, 0, 0, 0), "a counter never goes back"


def workers(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children")
    if not children.exists():
        pytest.skip("the workers' ids are found in /proc")
    return [pid for pid in map(int, children.read_text().split()) if "ev-engine" in command_line(pid)]


def get(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return None


def post(url: str, body: dict) -> int:
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=10) as answer:
        return answer.status
