"""Limits, browsers and proxies, seen from outside."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from fix_service import meter_reading, wait_until


def test_a_key_that_sends_too_much_is_told_when_to_come_back(open_client, make_key):
    client = open_client(auth="on", key_rate_limit=0.4, address_rate_limit=1_000_000)
    greedy, other = make_key("ingest"), make_key("ingest")
    for _ in range(2):
        assert client.post("/v1/telemetry", json=meter_reading(), headers=greedy).status_code == 201
    refused = client.post("/v1/telemetry", json=meter_reading(), headers=greedy)
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    wait = int(refused.headers["retry-after"])
    assert 1 <= wait <= 3
    assert refused.headers["ratelimit-policy"] == '"key";q=2;w=5'
    assert refused.headers["ratelimit"] == f'"key";r=0;t={wait}'
    assert client.post("/v1/telemetry", json=meter_reading(), headers=other).status_code == 201
    assert client.get("/health/live", headers=greedy).status_code == 200, "open calls count no key"


def test_an_address_that_sends_too_much_is_refused_whatever_its_keys(open_client, make_key):
    client = open_client(auth="on", address_rate_limit=0.4)
    for _ in range(2):
        assert client.get("/v1/status/overview", headers=make_key("read")).status_code == 200
    for headers in (make_key("read"), {}):
        refused = client.get("/v1/status/overview", headers=headers)
        assert refused.status_code == 429
        assert refused.headers["ratelimit-policy"] == '"address";q=2;w=5'
    assert client.get("/health/live").status_code == 429


def test_addresses_are_limited_without_keys_too(open_client):
    client = open_client(host="0.0.0.0", auth="off", address_rate_limit=0.4)
    codes = [client.post("/v1/telemetry", json=meter_reading()).status_code for _ in range(3)]
    assert codes == [201, 201, 429]


def test_a_made_up_address_does_not_help(open_client):
    client = open_client(host="0.0.0.0", auth="off", address_rate_limit=0.2)
    codes = [
        client.get("/v1/status/overview", headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code for n in range(3)
    ]
    assert codes == [200, 429, 429]


def test_guessing_costs_the_guesser_and_not_the_database(open_client, make_key):
    client = open_client(auth="on", address_rate_limit=40)
    codes = [
        client.get("/v1/status/overview", headers={"X-API-Key": f"ev_{n:012x}_{n:064x}"}).status_code for n in range(4)
    ]
    assert codes == [401, 401, 429, 429]


def test_a_key_that_was_revoked_costs_its_address_no_more_than_any_request(open_client, make_key, keys, connection):
    """Its device goes on sending for a while, and other devices may share its address."""
    # 100 requests at once: the penalty for one unknown key uses them up.
    client = open_client(auth="on", address_rate_limit=20)
    revoked, other = make_key("read", name="gone"), make_key("read", name="stays")

    def status(key: dict[str, str]) -> int:
        return client.get("/v1/status/overview", headers=key).status_code

    assert (status(revoked), status(other)) == (200, 200)
    keys.revoke("gone")
    (since,) = connection.execute("SELECT clock_timestamp()").fetchone()
    # Requests count here, so the database tells when the service has asked for changes and has their answer.
    asked = """SELECT EXISTS (SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%%find_keys%%'
        AND query_start > %s AND state = 'idle')"""
    wait_until(lambda: connection.execute(asked, [since]).fetchone()[0])
    wait_until(lambda: status(revoked) == 401)
    assert [status(revoked) for _ in range(3)] == [401] * 3
    assert status(other) == 200


def test_the_service_is_not_limited_on_its_own_machine(client):
    codes = {client.get("/health/live").status_code for _ in range(2000)}
    assert codes == {200}


def test_other_web_origins_may_not_call_unless_configured(open_client, make_key):
    origin = {"Origin": "https://dash.example"}
    preflight = origin | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    closed = open_client(auth="on")
    assert "access-control-allow-origin" not in closed.get("/health/live", headers=origin).headers
    assert "access-control-allow-origin" not in closed.options("/v1/status/overview", headers=preflight).headers

    configured = open_client(auth="on", cors_origins=("https://dash.example",))
    answer = configured.options("/v1/status/overview", headers=preflight)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "https://dash.example"
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    answer = configured.get("/v1/status/overview", headers=origin | make_key("read"))
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://dash.example")
    refused = configured.get("/v1/status/overview", headers=origin)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://dash.example")
    other = configured.get("/v1/status/overview", headers={"Origin": "https://evil.example"} | make_key("read"))
    assert other.headers.get("access-control-allow-origin") != "https://evil.example"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/api/docs", "/api", "/api/oauth2-redirect.html", "/api/nowhere"])
def test_pages_run_what_they_bring_along_and_nothing_else(client, path):
    page = client.get(path)
    if not page.headers["content-type"].startswith("text/html"):
        return
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert not re.search(r"\son\w+=", page.text), "an inline handler would not run"
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", page.text, re.DOTALL)
    for script in inline:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy["script-src"]
    if path == "/api/docs":
        assert inline


def test_the_document_says_how_to_authenticate(guarded):
    document = guarded.get("/api/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert (schemes["apiKey"]["in"], schemes["apiKey"]["name"]) == ("header", "X-API-Key")
    for path, item in document["paths"].items():
        for operation in item.values():
            is_open = path in ("/health/live", "/health/ready")
            assert bool(operation.get("security")) != is_open, path
            assert {} not in operation.get("security", []), path
            assert ({"401", "403", "429"} <= set(operation["responses"])) != is_open, path
    assert document["paths"]["/v1/telemetry"]["post"]["security"] == [{"bearer": ["ingest"]}, {"apiKey": ["ingest"]}]


def test_the_document_of_an_open_service_says_that_no_key_is_needed(client):
    for path, item in client.get("/api/openapi.json").json()["paths"].items():
        for operation in item.values():
            assert {} in operation["security"], path
