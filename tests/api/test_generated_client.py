"""A client that is generated from the OpenAPI document: it comes out whole, and its calls and answers fit the service."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from types import ModuleType

import pytest
from fix_service import now

pytestmark = pytest.mark.edition("postgres", reason="the document and the answers are the same on both editions")

SCRIPTS = Path(sys.executable).parent


@pytest.fixture
def generated(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Generate a client from the running service's document; return what imports a module of it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/openapi.json") as response:
        (tmp_path / "openapi.json").write_bytes(response.read())
    done = subprocess.run(
        [
            *(SCRIPTS / "openapi-python-client", "generate", "--path", tmp_path / "openapi.json", "--meta", "none"),
            *("--output-path", tmp_path / "fleet_client", "--fail-on-warning"),
        ],
        env=os.environ | {"PATH": f"{SCRIPTS}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(name: str = "") -> ModuleType:
        return importlib.import_module(f"fleet_client{name and '.'}{name}")

    yield load
    for name in [name for name in sys.modules if name.partition(".")[0] == "fleet_client"]:
        del sys.modules[name]


def test_a_generated_client_makes_a_call_of_each_kind(generated, port):
    models = generated("models")
    with generated().Client(base_url=f"http://127.0.0.1:{port}") as client:

        def call(name: str, *arguments, **named):
            return generated(f"api.{name}").sync_detailed(*arguments, client=client, **named)

        time = now() - timedelta(minutes=1)
        meter = {"meter_id": "M1", "kwh_consumed_ac": 0.2, "voltage": 230.5}
        vehicle = {"vehicle_id": "V1", "soc": 70, "kwh_delivered_dc": 0.18, "battery_temp": 30.5}

        reading = models.MeterReading(type_=models.MeterReadingType.METER, timestamp=time, **meter)
        stored = call("telemetry.telemetry_any_reading", body=reading)
        assert stored.status_code == HTTPStatus.CREATED
        assert (stored.parsed.type_, stored.parsed.id) == (models.AcceptedType.METER, "M1")
        alone = models.VehicleReadingAlone(timestamp=time, **vehicle)
        assert call("telemetry.telemetry_vehicle_reading", body=alone).parsed.id == "V1"
        batch = models.Batch(readings=[reading])
        assert call("telemetry.telemetry_batch", body=batch).parsed.duplicates == 1

        mapping = call("mappings.mappings_map_device", "M1", "V1", body=models.Validity(from_=time - timedelta(days=1)))
        assert mapping.parsed.from_ == time - timedelta(days=1)
        assert [found.vehicle_id for found in call("mappings.mappings").parsed] == ["V1"]

        performance = call("analytics.analytics_performance", "V1", hours=1).parsed
        assert (performance.efficiency_ratio, performance.warning) == (0.9, None)
        assert performance.efficiency_status is models.PerformanceEfficiencyStatus.GOOD
        assert isinstance(performance.period_start, datetime)
        assert performance.coverage.meter > 0
        assert [hour.kwh_consumed_ac for hour in call("analytics.analytics_trend", "V1").parsed] == [0.2]
        assert call("analytics.analytics_fleet_efficiency").parsed.total_vehicles == 1

        page = call("status.status_meters", limit=1).parsed
        assert [(found.meter_id, found.status.value) for found in page.data] == [("M1", "online")]
        charging = call("status.status_charging").parsed
        assert [found.charging_state for found in charging] == [models.VehicleStatusChargingState.CHARGING]
        assert call("health.health").parsed.status is models.HealthStatus.OK

        assert call("mappings.mappings_unmap_device", "M1", "V1").status_code == HTTPStatus.NO_CONTENT


def test_a_generated_client_understands_what_is_refused(generated, port):
    models = generated("models")
    with generated().Client(base_url=f"http://127.0.0.1:{port}") as client:
        unknown = generated("api.status.status_meter").sync_detailed("nobody", client=client)
        assert (unknown.status_code, unknown.parsed.title) == (HTTPStatus.NOT_FOUND, "Not Found")
        wrong = models.MeterReadingAlone(meter_id="M1", kwh_consumed_ac=-1, voltage=230, timestamp=now())
        refused = generated("api.telemetry.telemetry_meter_reading").sync_detailed(client=client, body=wrong)
        assert (refused.parsed.field, refused.parsed.detail) == ("kwhConsumedAc", "kwhConsumedAc must be >= 0")
        reading = models.MeterReading.from_dict(wrong.to_dict() | {"type": "meter"})
        batch = generated("api.telemetry.telemetry_batch")
        none_good = batch.sync_detailed(client=client, body=models.Batch(readings=[reading]))
        assert (none_good.status_code, none_good.parsed.failed) == (HTTPStatus.BAD_REQUEST, 1)
        empty = batch.sync_detailed(client=client, body=models.Batch(readings=[]))
        assert (empty.status_code, empty.parsed.field) == (HTTPStatus.BAD_REQUEST, "readings")


def test_a_typescript_client_is_generated_where_its_generator_is(port, tmp_path):
    """`npm install --global openapi-typescript typescript` brings the generator and the compiler."""
    tools = ("openapi-typescript", "tsc")
    if any(subprocess.run(["which", tool], capture_output=True).returncode for tool in tools):
        pytest.skip(f"NO TYPESCRIPT: {' and '.join(tools)} are not both installed, so no TypeScript client was made")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/openapi.json") as response:
        (tmp_path / "openapi.json").write_bytes(response.read())
    subprocess.run(["openapi-typescript", "openapi.json", "-o", "fleet.ts"], cwd=tmp_path, check=True)
    (tmp_path / "use.ts").write_text(
        'import type { components } from "./fleet";\n'
        'const state: components["schemas"]["VehicleStatus"]["chargingState"] = "charging";\n'
        'const reading: components["schemas"]["MeterReadingAlone"] = '
        f"{json.dumps({'meterId': 'M1', 'kwhConsumedAc': 0.2, 'voltage': 230.5, 'timestamp': now().isoformat()})};\n"
        "export { state, reading };\n"
    )
    done = subprocess.run(["tsc", "--noEmit", "--strict", "use.ts"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
