"""Who may call what: every cell of the table in docs/security.md, on every route there is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fix_keys import bearer
from fix_service import meter_reading, vehicle_reading
from litestar.testing import TestClient
from pages import PAGES

from service.access.guard import Guard, assert_guarded, make_guard
from service.access.scope import Scope
from service.access.secret import mint
from service.access.store import open_keys
from service.app import create_app
from service.settings import Settings

HOLDERS = ("no key", "ingest", "read", "admin")
BODIES = {
    "/v1/telemetry": meter_reading(),
    "/v1/alerts/rules/{name}": {"kind": "hotBattery", "threshold": 60},
    "/v1/telemetry/meter": meter_reading(),
    "/v1/telemetry/vehicle": vehicle_reading(),
    "/v1/telemetry/batch": {"readings": [meter_reading(), vehicle_reading()]},
}
PERIOD = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
PARAMETERS = {
    "{meterId}": "METER-001",
    "{vehicleId}": "VH-001",
    "{alertId}": "1",
    "{name}": "rule",
    "{file}": "css/swagger-ui.css",
}


def table() -> list[tuple[str, str, str]]:
    """Return the cells: call, holder, what the page says."""
    (block,) = re.findall(r"<!-- who may -->\n(.*?)\n\n", PAGES["docs/security.md"], re.DOTALL)
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
    assert tuple(name.strip("`") for name in head[1:]) == HOLDERS
    return [
        (call, holder, cell)
        for calls, *cells in lines
        for call in re.findall(r"`([A-Z]+ [^`]+)`", calls)
        for holder, cell in zip(HOLDERS, cells, strict=True)
    ]


@pytest.fixture(scope="module")
def callers(servers, edition) -> Iterator[dict]:
    """The service asking for keys, and a key for each scope; one for the whole table."""
    with servers.database(edition) as url, open_keys(url) as store:
        headers = {scope.value: bearer(store.create(scope.value, [scope]).text) for scope in Scope}
        settings = Settings(host="0.0.0.0", db_pool_min=1, db_pool_max=4)
        with TestClient(create_app(settings, url)) as client:
            yield headers | {"no key": {}, "client": client}


@pytest.mark.parametrize(("call", "holder", "cell"), table())
def test_cell(callers, call, holder, cell):
    method, path = call.split(" ")
    body = BODIES.get(path)
    for name, value in PARAMETERS.items():
        path = path.replace(name, value)
    if path.endswith("/stream") and cell == "yes":
        return  # its answer has no end; test_status_stream.py hears it
    query = PERIOD if path.endswith("/readings") else None
    response = callers["client"].request(method, path, headers=callers[holder], json=body, params=query)
    if cell == "yes":
        assert response.status_code < 300 or response.status_code == 404, response.text
        return
    assert response.status_code == int(cell), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == int(cell)
    assert response.json()["detail"]
    assert ("www-authenticate" in response.headers) == (cell == "401")


def test_metrics_may_be_opened(servers, edition):
    with servers.database(edition) as url:
        settings = Settings(host="0.0.0.0", db_pool_min=1, db_pool_max=4, metrics_open="on")
        with TestClient(create_app(settings, url)) as client:
            assert client.get("/metrics").status_code == 200
            assert client.get("/health").status_code == 401


def test_the_table_has_every_route():
    app = create_app(Settings(), "postgresql:///never-asked")
    routes = set()
    for route in app.routes:
        path = re.sub(r":\w+\}", "}", route.path).replace("{file_path}", "{file}")
        routes |= {f"{method} {path}" for method in route.methods - {"OPTIONS", "HEAD"}}
    # The framework's own page of 404s, and Swagger UI's for OAuth, which nothing here uses.
    routes -= {"GET /api/{path}", "GET /api/oauth2-redirect.html"}
    assert {call for call, _, _ in table()} == routes


@pytest.mark.parametrize(
    "key",
    ["", "ev_", "secret", "ev_0123456789ab_" + "0" * 63, "é" * 80, mint().text, "ev_0123456789ab_" + "Z" * 64, "\x00"],
)
def test_what_is_no_good_key_gets_401_and_says_so(callers, key):
    headers = {"Authorization": b"Bearer " + key.encode()}
    for _ in range(2):
        response = callers["client"].get("/v1/status/overview", headers=headers)
        assert response.status_code == 401
        assert ("invalid_token" in response.headers["www-authenticate"]) == bool(key)


def test_a_known_key_with_another_secret_is_refused(callers):
    good = callers["read"]["Authorization"]
    assert callers["client"].get("/v1/status/overview", headers={"Authorization": good}).status_code == 200
    wrong = good[:-1] + ("0" if good[-1] != "0" else "1")
    assert callers["client"].get("/v1/status/overview", headers={"Authorization": wrong}).status_code == 401


def test_both_headers_carry_a_key(callers):
    key = callers["read"]["Authorization"].removeprefix("Bearer ")
    for headers in (
        {"X-API-Key": key},
        {"authorization": f"bearer {key}"},
        {"X-API-Key": key, "Authorization": "Basic dXNlcjpwYXNz"},
    ):
        assert callers["client"].get("/v1/status/overview", headers=headers).status_code == 200, headers
    headers = {"X-API-Key": key, "Authorization": "Bearer other"}
    assert callers["client"].get("/v1/status/overview", headers=headers).status_code == 401


def test_a_key_in_the_url_is_not_looked_at(callers):
    key = callers["read"]["Authorization"].removeprefix("Bearer ")
    assert callers["client"].get("/v1/status/overview", params={"key": key, "api_key": key}).status_code == 401


@pytest.mark.parametrize(
    ("settings", "asks"),
    [
        ({"host": "127.0.0.1"}, False),
        ({"host": "127.3.2.1"}, False),
        ({"host": "::1"}, False),
        ({"host": "localhost"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "10.0.0.5"}, True),
        ({"host": "engine.example.com"}, True),
        ({"host": "127.0.0.1", "auth": "on"}, True),
        ({"host": "127.0.0.1", "trusted_proxies": ("x",)}, True),
        ({"host": "0.0.0.0", "auth": "off"}, False),
    ],
)
def test_keys_are_asked_for_unless_only_this_machine_calls(settings, asks):
    guard = make_guard(Settings(**settings), "postgresql:///never-asked")
    assert (isinstance(guard, Guard) and guard._keyring is not None) == asks


def test_a_route_that_would_go_around_the_guard_stops_the_start():
    from litestar import Litestar, asgi, get

    guard = make_guard(Settings(auth="on"), "postgresql:///never-asked")

    async def own(_: object) -> None: ...

    @get("/sneaky", before_request=own)
    async def sneaky() -> None: ...

    @asgi("/mounted", is_mount=True, copy_scope=True)
    async def mounted(scope: object, receive: object, send: object) -> None: ...

    for handler in (sneaky, mounted):
        with pytest.raises(RuntimeError, match=handler.paths and sorted(handler.paths)[0]):
            assert_guarded(Litestar([handler], before_request=guard.check, openapi_config=None), guard.check)


def test_a_route_that_does_not_say_what_it_needs_needs_admin(callers):
    from litestar import get

    @get("/forgotten")
    async def forgotten() -> str:
        return "here"

    client = callers["client"]
    client.app.register(forgotten)
    for holder, status in {"no key": 401, "ingest": 403, "read": 403, "admin": 200}.items():
        assert client.get("/forgotten", headers=callers[holder]).status_code == status


def test_without_keys_only_this_machines_own_names_are_answered_to(open_client):
    client = open_client()
    for headers in ({"Host": "evil.example:3000"}, {"Host": "evil.example", "Origin": "http://evil.example"}):
        for method, path in (
            ("GET", "/v1/status/overview"),
            ("PUT", "/v1/telemetry/mapping/M/V"),
            ("GET", "/api/docs"),
        ):
            response = client.request(method, path, headers=headers)
            assert (response.status_code, "AUTH=on" in response.json()["detail"]) == (403, True)
    for host in ("localhost:3000", "127.0.0.1", "[::1]:3000"):
        assert client.get("/v1/status/overview", headers={"Host": host}).status_code == 200
    assert open_client(auth="off").get("/v1/status/overview", headers={"Host": "evil.example"}).status_code == 200


def test_a_key_is_bound_to_an_id_in_whatever_form_it_was_written(guarded, make_key):
    composed, decomposed = "Zähler 7", "Za\u0308hler 7"
    for binding in ({"device_id": decomposed}, {"device_prefix": decomposed[:5]}):
        key = make_key("ingest", **binding)
        for name in (composed, decomposed):
            assert guarded.post("/v1/telemetry", json=meter_reading(meterId=name), headers=key).status_code == 201
        assert guarded.post("/v1/telemetry", json=meter_reading(), headers=key).status_code == 403
