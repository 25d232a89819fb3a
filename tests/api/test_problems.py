"""Errors: RFC 9457 problems, whatever goes wrong."""

from __future__ import annotations

import pytest
from fix_service import meter_reading


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/telemetry/nothing", 404),
        ("PATCH", "/v1/telemetry", 405),
        ("GET", "/v1/telemetry/batch", 405),
        ("GET", "/v1/status/meter/unknown", 404),
        ("GET", "/v1/status/vehicles?limit=0", 400),
        ("GET", "/v1/analytics/trend/V1?hours=0", 400),
        ("GET", "/v1/analytics/performance/V1?end=never", 400),
        ("POST", "/v1/telemetry", 400),
        ("DELETE", "/v1/telemetry/mapping/M1/V1", 404),
    ],
)
def test_every_error_is_a_problem(client, method, path, status):
    response = client.request(method, path)
    assert response.status_code == status, response.text
    assert response.headers["content-type"].split(";")[0] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem.get("type", "about:blank")
    assert set(problem) <= {"type", "title", "status", "detail", "instance", "field"}


def test_a_problem_names_the_field_and_the_reason(client):
    problem = client.post("/v1/telemetry", json=meter_reading(voltage=1001)).json()
    assert (problem["field"], problem["detail"]) == ("voltage", "voltage must be <= 1000")


def test_a_refused_parameter_is_named_as_a_field(client):
    problem = client.get("/v1/analytics/trend/V1", params={"hours": 9000}).json()
    assert problem["field"] == "hours"
    assert "8760" in problem["detail"]


def test_ids_that_no_device_can_have_are_unknown_not_failures(client):
    for path in ("analytics/performance/%00", "status/meter/%00", "status/vehicle/%00"):
        assert client.get(f"/v1/{path}").status_code in (400, 404), path
    assert client.get("/v1/analytics/trend/%00").status_code in (200, 400, 404)
    for query in ("meterId=%00", "vehicleId=%00"):
        assert client.get(f"/v1/telemetry/mappings?{query}").status_code in (200, 400), query
    assert client.get("/v1/analytics/performance/V1?meterId=%00").status_code in (400, 404)


@pytest.mark.parametrize("host", ["a:99999", "a:b:c", "[", ""])
def test_a_strange_host_does_not_turn_a_problem_into_a_failure(open_client, host):
    client = open_client(auth="off")
    assert client.get("/nope", headers={"Host": host}).status_code == 404
    assert client.get("/v1/status/meter/nope", headers={"Host": host}).status_code == 404
    assert client.post("/v1/telemetry", content=b"{}", headers={"Host": host}).status_code == 400


def test_a_wrong_method_is_told_the_right_ones(client):
    for path, allowed in (
        ("/v1/telemetry/batch", "OPTIONS, POST"),
        ("/v1/telemetry/mapping/M/V", "DELETE, OPTIONS, PUT"),
    ):
        response = client.get(path)
        assert (response.status_code, response.headers["allow"]) == (405, allowed)
