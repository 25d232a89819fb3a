"""Mappings: which vehicle a meter serves, from when, until when, and what a new mapping takes over."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from fix_service import ago, meter_reading, now, rfc3339, send, vehicle_reading

DAY = now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)


def at(hour: float) -> str:
    """Return a time on the day that these tests map."""
    return rfc3339(DAY + timedelta(hours=hour))


def put(client, meter: str, vehicle: str, **validity: str):
    response = client.put(f"/v1/telemetry/mapping/{meter}/{vehicle}", json=validity)
    assert response.status_code == 200, response.text
    return response.json()


def mapped(client, **query: str) -> list[tuple]:
    response = client.get("/v1/telemetry/mappings", params=query)
    assert response.status_code == 200, response.text
    return [(m["meterId"], m["vehicleId"], m["from"], m["to"]) for m in response.json()]


def test_a_meters_first_mapping_covers_its_past_and_future(client):
    assert put(client, "M1", "V1") == {"meterId": "M1", "vehicleId": "V1", "from": None, "to": None}
    assert mapped(client) == [("M1", "V1", None, None)]


def test_a_mapping_without_a_body_is_one_without_bounds(client):
    assert client.put("/v1/telemetry/mapping/M1/V1").status_code == 200
    assert client.put("/v1/telemetry/mapping/M2/V1", content=b"null").status_code in (200, 400)
    assert ("M1", "V1", None, None) in mapped(client)


def test_readings_before_the_first_mapping_are_attributed(client):
    send(client, meter_reading(kwhConsumedAc=2, timestamp=ago(hours=3)), vehicle_reading(timestamp=ago(hours=3)))
    put(client, "METER-001", "VH-001")
    assert client.get("/v1/analytics/performance/VH-001").json()["totalKwhConsumedAc"] == 2


def test_a_later_mapping_starts_now_and_ends_the_older_one(client):
    put(client, "M1", "V1")
    before = now()
    second = put(client, "M1", "V2")
    started = datetime.fromisoformat(second["from"])
    assert before - timedelta(seconds=1) <= started <= now() + timedelta(seconds=1)
    assert mapped(client) == [("M1", "V1", None, second["from"]), ("M1", "V2", second["from"], None)]


def test_energy_goes_to_the_vehicle_that_was_mapped_when_it_flowed(client):
    put(client, "METER-001", "V1")
    put(client, "METER-001", "V2", **{"from": ago(hours=2)})
    send(
        client,
        meter_reading(kwhConsumedAc=1, timestamp=ago(hours=3)),
        meter_reading(kwhConsumedAc=10, timestamp=ago(hours=1)),
        *(vehicle_reading(vehicleId=v, timestamp=ago(hours=4)) for v in ("V1", "V2")),
    )
    energies = [client.get(f"/v1/analytics/performance/{v}").json()["totalKwhConsumedAc"] for v in ("V1", "V2")]
    assert energies == [1, 10]


def test_a_vehicles_meters_add_up(client):
    for n, meter in enumerate(("M1", "M2")):
        put(client, meter, "VH-001")
        send(client, meter_reading(meterId=meter, kwhConsumedAc=n + 1))
    send(client, vehicle_reading())
    assert client.get("/v1/analytics/performance/VH-001").json()["totalKwhConsumedAc"] == 3


def test_a_new_mapping_splits_an_older_one_that_reaches_past_it(client):
    put(client, "M1", "V1", **{"from": at(0), "to": at(12)})
    assert put(client, "M1", "V2", **{"from": at(4), "to": at(6)}) == {
        "meterId": "M1", "vehicleId": "V2", "from": at(4), "to": at(6),
    }  # fmt: skip
    assert mapped(client) == [
        ("M1", "V1", at(0), at(4)),
        ("M1", "V2", at(4), at(6)),
        ("M1", "V1", at(6), at(12)),
    ]


def test_a_new_mapping_swallows_shortens_and_leaves_alone_what_it_meets(client):
    put(client, "M1", "V1", **{"from": at(0), "to": at(2)})
    put(client, "M1", "V2", **{"from": at(2), "to": at(5)})
    put(client, "M1", "V3", **{"from": at(6), "to": at(7)})
    put(client, "M1", "V4", **{"from": at(8), "to": at(10)})
    put(client, "M2", "V1", **{"from": at(0), "to": at(10)})
    put(client, "M1", "V5", **{"from": at(4), "to": at(9)})
    assert mapped(client) == [
        ("M1", "V1", at(0), at(2)),
        ("M1", "V2", at(2), at(4)),
        ("M1", "V5", at(4), at(9)),
        ("M1", "V4", at(9), at(10)),
        ("M2", "V1", at(0), at(10)),
    ]


def test_an_open_mapping_in_the_past_takes_over_everything_after_it(client):
    put(client, "M1", "V1")
    put(client, "M1", "V2", **{"from": at(0)})
    assert mapped(client) == [("M1", "V1", None, at(0)), ("M1", "V2", at(0), None)]


def test_a_first_mapping_with_only_an_end_covers_all_before_it(client):
    assert put(client, "M1", "V1", to=at(5)) == {"meterId": "M1", "vehicleId": "V1", "from": None, "to": at(5)}


def test_a_mapping_put_again_changes_nothing(client):
    for _ in range(2):
        put(client, "M1", "V1", **{"from": at(0), "to": at(4)})
    for _ in range(2):
        put(client, "M2", "V1")
    assert mapped(client) == [("M1", "V1", at(0), at(4)), ("M2", "V1", None, None)]


def test_a_vehicle_may_be_mapped_to_several_meters(client):
    put(client, "M1", "V1")
    put(client, "M2", "V1")
    assert mapped(client, vehicleId="V1") == [("M1", "V1", None, None), ("M2", "V1", None, None)]


def test_bounds_with_an_offset_mean_the_same_instant(client):
    start, end = (
        at(4).replace("Z", "+00:00"),
        (DAY + timedelta(hours=6)).isoformat().replace("06:00:00+00:00", "08:00:00+02:00"),
    )
    put(client, "M1", "V1", **{"from": start, "to": end})
    assert mapped(client) == [("M1", "V1", at(4), at(6))]


@pytest.mark.parametrize(
    ("validity", "field"),
    [
        ({"from": "2026-01-01T00:00:00"}, "from"),
        ({"to": "tomorrow"}, "to"),
        ({"from": 5}, "from"),
        ({"from": at(5), "to": at(5)}, None),
        ({"from": at(5), "to": at(4)}, None),
    ],
)
def test_a_bad_validity_is_refused(client, validity, field):
    response = client.put("/v1/telemetry/mapping/M1/V1", json=validity)
    assert response.status_code == 400, response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    assert field is None or response.json()["field"] == field
    assert response.json()["detail"]
    assert mapped(client) == []


def test_bad_ids_are_refused_by_field(client):
    long = "x" * 65
    for path, field in {
        f"{long}/V1": "meterId",
        f"M1/{long}": "vehicleId",
        "%20M/V1": "meterId",
        "M%00/V": "meterId",
        "M%0A/V": "meterId",
    }.items():
        response = client.put(f"/v1/telemetry/mapping/{path}")
        assert response.status_code == 400, (path, response.text)
        assert response.json()["field"] == field
    assert client.put(f"/v1/telemetry/mapping/{'x' * 64}/充电桩%20%3F").status_code == 200


def test_delete_ends_a_mapping_now_and_keeps_its_past(client):
    put(client, "M1", "V1")
    response = client.delete("/v1/telemetry/mapping/M1/V1")
    assert response.status_code == 204
    ((meter, vehicle, start, end),) = mapped(client)
    assert (meter, vehicle, start) == ("M1", "V1", None)
    assert abs((now() - datetime.fromisoformat(end)).total_seconds()) < 60
    assert mapped(client, at=rfc3339(now() + timedelta(minutes=1))) == []


def test_delete_can_cut_a_period_out(client):
    put(client, "M1", "V1")
    assert client.delete("/v1/telemetry/mapping/M1/V1", params={"from": at(2), "to": at(4)}).status_code == 204
    assert mapped(client) == [("M1", "V1", None, at(2)), ("M1", "V1", at(4), None)]


def test_delete_of_what_is_not_mapped_gets_404_and_changes_nothing(client):
    put(client, "M1", "V1")
    for path in ("M1/V2", "M2/V1", "nobody/nothing", "M%00/V1"):
        response = client.delete(f"/v1/telemetry/mapping/{path}")
        assert response.status_code in (400, 404), (path, response.text)
        assert response.headers["content-type"].startswith("application/problem+json")
    assert mapped(client) == [("M1", "V1", None, None)]


def test_mappings_are_ordered_and_narrowed_by_meter_vehicle_and_time(client):
    put(client, "M2", "V1", **{"from": at(0), "to": at(4)})
    put(client, "M1", "V2", **{"from": at(4), "to": at(8)})
    put(client, "M1", "V1", **{"from": at(0), "to": at(4)})
    everything = mapped(client)
    assert [(m, v) for m, v, *_ in everything] == [("M1", "V1"), ("M1", "V2"), ("M2", "V1")]
    assert mapped(client, meterId="M1") == everything[:2]
    assert mapped(client, vehicleId="V1") == [everything[0], everything[2]]
    assert mapped(client, at=at(4)) == [everything[1]]
    assert mapped(client, meterId="nobody") == []


def test_devices_that_never_reported_may_be_mapped(client):
    put(client, "ghost-meter", "ghost-vehicle")
    assert client.get("/v1/status/overview").json()["totalMeters"] == 0
    assert client.get("/v1/status/meter/ghost-meter").status_code == 404


def test_a_changed_mapping_moves_past_energy_at_once(client, connection):
    send(client, *(meter_reading(kwhConsumedAc=1, timestamp=ago(hours=h)) for h in (2, 4, 6)))
    send(client, *(vehicle_reading(vehicleId=v, timestamp=ago(hours=2)) for v in ("V1", "V2")))
    put(client, "METER-001", "V1")
    connection.execute("CALL engine.refresh_rollups()")
    put(client, "METER-001", "V2", **{"from": ago(hours=5)})
    energies = [client.get(f"/v1/analytics/performance/{v}").json()["totalKwhConsumedAc"] for v in ("V1", "V2")]
    assert energies == [1, 2]


@pytest.mark.parametrize(
    ("field", "time"), [("to", "9999-12-31T23:59:59-23:59"), ("from", "0001-01-01T00:00:00+23:59")]
)
def test_a_validity_beyond_the_edge_of_time_is_refused_and_not_kept(client, field, time):
    response = client.put("/v1/telemetry/mapping/M1/V1", json={field: time})
    assert (response.status_code, response.json()["field"]) == (400, field)
    assert client.get("/v1/telemetry/mappings").json() == []


def test_the_edges_of_time_are_kept(client):
    edges = {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}
    assert client.put("/v1/telemetry/mapping/M1/V1", json=edges).status_code == 200
    (mapping,) = client.get("/v1/telemetry/mappings").json()
    assert {name: mapping[name] for name in edges} == edges


def test_an_empty_bound_is_no_absent_one(client):
    client.put("/v1/telemetry/mapping/M1/V1")
    for name in ("from", "to"):
        response = client.delete(f"/v1/telemetry/mapping/M1/V1?{name}=")
        assert (response.status_code, response.json()["field"]) == (400, name)
    assert client.get("/v1/telemetry/mappings?at=").status_code == 400
    (mapping,) = client.get("/v1/telemetry/mappings").json()
    assert mapping["to"] is None


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        (b'{"form": "2026-01-01T00:00:00Z"}', "form", "is not known here: a mapping takes from and to"),
        (b'{"from": null, "from": null}', "from", "must come once, and comes twice"),
        (b'{"from": 7}', "from", "must be an RFC 3339 time such as 2026-02-12T10:30:00Z, in quotes"),
        (b'{"to": NaN}', "to", "must be a finite number: JSON has no NaN and no Infinity"),
    ],
)
def test_a_field_that_a_mapping_does_not_know_or_that_comes_twice_is_refused(client, body, field, reason):
    response = client.put("/v1/telemetry/mapping/M1/V1", content=body)
    assert (response.status_code, response.json()["field"]) == (400, field), response.text
    assert response.json()["detail"] == f"{field} {reason}"
    assert mapped(client) == []


def test_a_bound_of_a_mapping_is_cut_to_microseconds(client):
    put(client, "M1", "V1", **{"from": "2026-01-01T23:59:59.9999999Z"})
    assert [start for _, _, start, _ in mapped(client)] == ["2026-01-01T23:59:59.999999Z"]
