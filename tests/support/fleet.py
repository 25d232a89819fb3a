"""A small fleet on whole hours of the past, for tests that need exact sums over exact periods."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from fix_service import Client, meter_reading, now, rfc3339, send, vehicle_reading
from psycopg import Connection

# Midnight UTC two days ago: everything within a day after it is past, kept, and old enough to be rolled up.
MIDNIGHT = now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
MICROSECOND = timedelta(microseconds=1)


def moment(hour: float = 0, **more: float) -> datetime:
    """Return a time on the day of the fleet."""
    return MIDNIGHT + timedelta(hours=hour, **more)


def at(hour: float = 0, **more: float) -> str:
    """Return a time on the day of the fleet as it is sent."""
    return rfc3339(moment(hour, **more))


def charge(client: Client, vehicle: str, time: str | datetime, dc: float, ac: float | None = None, **fields: object):
    """Have a vehicle report, and its meter ("M-" and its id) when there is AC energy."""
    time = time if isinstance(time, str) else rfc3339(time)
    readings = [vehicle_reading(vehicleId=vehicle, kwhDeliveredDc=dc, timestamp=time, **fields)]
    if ac is not None:
        readings.append(meter_reading(meterId=f"M-{vehicle}", kwhConsumedAc=ac, timestamp=time))
    send(client, *readings)


def map_own_meter(client: Client, *vehicles: str) -> None:
    """Map vehicles to their own meters."""
    for vehicle in vehicles:
        assert client.put(f"/v1/telemetry/mapping/M-{vehicle}/{vehicle}").status_code == 200


def before_and_after_refresh(connection: Connection) -> Iterator[str]:
    """Yield twice: while answers come from raw history, and after they were rolled up."""
    yield "before a refresh"
    connection.execute("CALL engine.refresh_rollups()")
    yield "after a refresh"
