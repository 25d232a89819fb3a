"""DATABASE_READ_URL names a database that cannot be written: what writes goes to the other one."""

from __future__ import annotations

import psycopg
import pytest
from fix_service import meter_reading, send, vehicle_reading, wait_until
from psycopg.conninfo import conninfo_to_dict, make_conninfo


@pytest.fixture
def read_url(servers, edition, database_url):
    """The test's database by a login whose sessions are read-only, as those of a replica are."""
    with psycopg.connect(servers.get(edition).url, autocommit=True) as admin:
        admin.execute("CREATE ROLE ev_test_reader LOGIN PASSWORD 'secret' IN ROLE ev_engine")
        admin.execute("ALTER ROLE ev_test_reader SET default_transaction_read_only = on")
        yield make_conninfo(**conninfo_to_dict(database_url) | {"user": "ev_test_reader", "password": "secret"})
        admin.execute("DROP ROLE ev_test_reader")


def test_every_route_that_writes_uses_the_primary(open_client, read_url):
    client = open_client(database_read_url=read_url)
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    send(client, meter_reading(), vehicle_reading())
    assert client.post("/v1/telemetry/meter", json=meter_reading(meterId="M2")).status_code == 201
    assert client.put("/v1/telemetry/mapping/METER-001/VH-001").status_code == 200
    assert len(client.get("/v1/telemetry/mappings").json()) == 1
    assert client.delete("/v1/telemetry/mapping/METER-001/VH-001").status_code == 204
    assert client.get("/v1/analytics/performance/VH-001").status_code == 200
    assert client.get("/health").json()["problems"] == []
