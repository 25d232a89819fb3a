"""Parameters: a call says which it knows, takes each once, and takes ids that are ids; HEAD answers as GET does."""

from __future__ import annotations

import asyncio

import pytest
from fix_service import meter_reading, send, vehicle_reading
from litestar import Litestar, get
from litestar.response import Stream
from litestar.routes import HTTPRoute

from service.http.head import serve_head

PERIOD = "this call takes end and hours"
NOTHING = "this call takes no parameters in its query"


@pytest.mark.parametrize(
    ("method", "path", "field", "reason"),
    [
        ("GET", "/v1/analytics/fleet/efficiency?hour=48", "hour", f"is not known here: {PERIOD}"),
        (
            "GET",
            "/v1/analytics/performance/V1?meterid=M1",
            "meterid",
            "is not known here: this call takes end, hours and meterId",
        ),
        ("PUT", "/v1/telemetry/mapping/M1/V1?from=2026-01-01T00:00:00Z", "from", f"is not known here: {NOTHING}"),
        ("DELETE", "/v1/telemetry/mapping/M1/V1?form=x", "form", "is not known here: this call takes from and to"),
        ("GET", "/v1/status/overview?page=1", "page", f"is not known here: {NOTHING}"),
        ("GET", "/v1/analytics/trend/V1?hours=24&hours=48", "hours", "must come once, and comes twice"),
        ("GET", "/v1/analytics/trend/V1?hours=24&hours=24", "hours", "must come once, and comes twice"),
        ("GET", "/health/live?x", "x", f"is not known here: {NOTHING}"),
        ("GET", "/v1/status/overview?%00=1", "'\\x00'", f"is not known here: {NOTHING}"),
        ("HEAD", "/v1/status/overview?page=1", None, None),
        ("POST", "/v1/telemetry/batch?dryRun=true", "dryRun", f"is not known here: {NOTHING}"),
    ],
)
def test_a_parameter_that_a_call_does_not_know_or_that_comes_twice_is_refused(client, method, path, field, reason):
    send(client, meter_reading(), vehicle_reading(vehicleId="V1"))
    response = client.request(method, path)
    assert response.status_code == 400, response.text
    if reason:
        assert (response.json()["field"], response.json()["detail"]) == (field, f"{field} {reason}")
    assert client.get("/v1/telemetry/mappings").json() == []


def test_every_call_of_the_api_refuses_what_it_does_not_know(client):
    asked = 0
    for route in client.app.routes:
        assert isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items():
            if method != "OPTIONS" and handler.resolve_include_in_schema():
                path = route.path_format.format(meterId="M1", vehicleId="V1", alertId=1, name="rule")
                response = client.request(method, f"{path}?nobody=knows")
                assert (response.status_code, response.json().get("field")) == (400, "nobody"), path
                asked += 1
    assert asked > 20


def test_the_key_is_asked_for_before_a_parameter_is_judged(guarded):
    assert guarded.get("/v1/status/overview?page=1").status_code == 401


def test_pages_take_any_parameter(client):
    assert client.get("/api/docs?from=a-link").status_code == 200


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/status/meter/%00", "meterId must not hold control characters (U+0000)"),
        ("/v1/status/meter/a%E2%80%8Bb", "meterId must not hold invisible characters or marks of direction (U+200B)"),
        ("/v1/status/vehicle/%FF", "path is not UTF-8: percent-encode the UTF-8 bytes of an id"),
        ("/v1/analytics/trend/%20V1", "vehicleId must not begin or end with white space"),
        ("/v1/telemetry/mappings?meterId=%00", "meterId must not hold control characters (U+0000)"),
        ("/v1/telemetry/mappings?meterId=%FF", "query is not UTF-8: percent-encode the UTF-8 bytes of a text"),
        ("/v1/analytics/performance/V1?meterId=", "meterId must not be empty"),
    ],
)
def test_an_id_that_no_device_can_have_is_refused(client, path, words):
    response = client.get(path)
    assert (response.status_code, response.json()["detail"]) == (400, words)


def test_one_request_does_not_change_the_parameters_of_the_next(client):
    for _ in range(3):
        assert client.get("/v1/status/meter/e%CC%81").json()["detail"] == "meter 'é' has never reported"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/status/overview",
        "/v1/status/meter/METER-001",
        "/v1/status/meter/nobody",
        "/health",
        "/metrics",
        "/api/docs",
    ],
)
def test_head_answers_as_get_does_without_the_body(client, path):
    send(client, meter_reading())
    get, head = client.get(path), client.head(path)
    assert head.status_code == get.status_code
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.content == b""
    assert int(head.headers["content-length"]) > 10


def test_head_of_a_call_that_only_takes_readings_is_not_allowed(client):
    assert client.head("/v1/telemetry/batch").status_code == 405


def test_head_of_a_stream_ends_at_once():
    async def endless():
        while True:
            yield "data"
            await asyncio.sleep(0.01)

    @get("/stream")
    async def stream() -> Stream:
        return Stream(endless())

    app = Litestar([stream], openapi_config=None)
    serve_head(app)
    sent = []

    async def ask() -> None:
        scope = {"type": "http", "method": "HEAD", "path": "/stream", "query_string": b"", "headers": []}

        answered = asyncio.Event()

        async def receive() -> dict:
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message["more_body"]:
                answered.set()

        async with asyncio.timeout(10):
            await app(scope, receive, send)

    asyncio.run(ask())
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    assert bodies == [{"type": "http.response.body", "body": b"", "more_body": False}]
