"""The OpenAPI document and the docs page: complete, and fit for a machine without internet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime

import jsonschema_rs
import pytest

from service.app import create_app
from service.http.documentation import document_of
from service.settings import Settings

OPERATIONS = {
    ("post", "/v1/telemetry"): {201, 400, 408, 413, 415, 503},
    ("post", "/v1/telemetry/meter"): {201, 400, 408, 413, 415, 503},
    ("post", "/v1/telemetry/vehicle"): {201, 400, 408, 413, 415, 503},
    ("post", "/v1/telemetry/batch"): {201, 400, 408, 413, 415, 503},
    ("put", "/v1/telemetry/mapping/{meterId}/{vehicleId}"): {200, 400, 408, 413, 415, 503},
    ("delete", "/v1/telemetry/mapping/{meterId}/{vehicleId}"): {204, 400, 404, 503},
    ("get", "/v1/telemetry/mappings"): {200, 400, 503},
    ("delete", "/v1/telemetry/meters/{meterId}/readings"): {200, 400, 503},
    ("delete", "/v1/telemetry/vehicles/{vehicleId}/readings"): {200, 400, 503},
    ("get", "/v1/telemetry/refusals"): {200, 400, 503},
    ("get", "/v1/analytics/performance/{vehicleId}"): {200, 400, 404, 503},
    ("get", "/v1/analytics/fleet/efficiency"): {200, 400, 503},
    ("get", "/v1/analytics/trend/{vehicleId}"): {200, 400, 503},
    ("get", "/v1/status/meter/{meterId}"): {200, 404, 503},
    ("get", "/v1/status/vehicle/{vehicleId}"): {200, 404, 503},
    ("get", "/v1/status/overview"): {200, 503},
    ("get", "/v1/status/vehicles/charging"): {200, 503},
    ("get", "/v1/status/vehicles/warnings"): {200, 503},
    ("get", "/v1/status/meters/online"): {200, 503},
    ("get", "/v1/status/meters"): {200, 400, 503},
    ("get", "/v1/status/vehicles"): {200, 400, 503},
    ("get", "/health"): {200},
    ("get", "/health/live"): {200},
    ("get", "/health/ready"): {200, 503},
    ("get", "/metrics"): {200},
}


@pytest.fixture(scope="module")
def document() -> dict:
    return document_of(create_app(Settings(), "postgresql:///never-asked"))


def without_times(document: dict) -> dict:
    return json.loads(re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>", json.dumps(document)))


def test_the_document_is_served(client, document):
    response = client.get("/api/openapi.json")
    assert response.status_code == 200
    assert without_times(response.json()) == without_times(document)


def operation(document: dict, method: str, path: str) -> dict:
    item = document["paths"].get(path)
    assert item, f"{path} is not documented"
    return item[method]


def schemas(node: object) -> Iterator[dict]:
    """Yield every schema of an object in a document, wherever it stands."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from schemas(child)


def resolve(document: dict, schema: dict) -> dict:
    while "$ref" in schema:
        _, components, kind, name = schema["$ref"].split("/")
        schema = document[components][kind][name]
    return schema


def body(document: dict, method: str, path: str) -> dict:
    """Return the JSON body of a request as it is documented."""
    return operation(document, method, path)["requestBody"]["content"]["application/json"]


def request_examples(document: dict, path: str) -> list:
    media = body(document, "post", path)
    schema = resolve(document, media["schema"])
    found = [example["value"] for example in media.get("examples", {}).values()]
    for part in [schema, *schema.get("anyOf", []), *schema.get("oneOf", [])]:
        found += resolve(document, part).get("examples", [])
    return found


def test_the_document_is_openapi_3_and_hangs_together(document):
    assert document["openapi"].startswith("3.")
    assert document["info"]["title"]
    assert document["info"]["version"]
    text = str(document)
    for name in re.findall(r"#/components/schemas/([^'\"]+)", text):
        assert name in document["components"]["schemas"], name
    operation_ids = [
        o["operationId"] for item in document["paths"].values() for o in item.values() if "operationId" in o
    ]
    assert len(operation_ids) == len(set(operation_ids))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_is_described_with_its_answers_and_errors(document, method, path):
    found = operation(document, method, path)
    assert found["summary"]
    responses = found["responses"]
    assert {str(status) for status in OPERATIONS[method, path]} <= set(responses)
    for status, response in responses.items():
        if status.startswith(("4", "5")) and path != "/health/ready":
            response = resolve(document, response)
            assert "application/problem+json" in response["content"], f"{status} of {path} is no problem+json"


def test_every_parameter_of_a_period_or_page_has_its_limits(document):
    limits = {"hours": (1, 8760), "limit": (1, 1000), "page": (1, None)}
    seen = set()
    for path in (
        "/v1/analytics/performance/{vehicleId}",
        "/v1/analytics/trend/{vehicleId}",
        "/v1/analytics/fleet/efficiency",
        "/v1/status/meters",
        "/v1/status/vehicles",
    ):
        for parameter in operation(document, "get", path)["parameters"]:
            if parameter["name"] in limits:
                low, high = limits[parameter["name"]]
                assert parameter["schema"]["minimum"] == low, path
                assert high is None or parameter["schema"]["maximum"] == high, path
                seen.add((path, parameter["name"]))
    assert len(seen) == 7


ID = {"type": "string", "minLength": 1, "maxLength": 64}
ENERGY = {"type": "number", "minimum": 0}
TIME = {"type": "string", "format": "date-time"}
READINGS = {
    "/v1/telemetry/meter": {
        "meterId": ID,
        "kwhConsumedAc": ENERGY,
        "voltage": {"type": "number", "minimum": 0, "maximum": 1000, "nullable": True},
        "timestamp": TIME,
    },
    "/v1/telemetry/vehicle": {
        "vehicleId": ID,
        "kwhDeliveredDc": ENERGY,
        "soc": {"type": "number", "minimum": 0, "maximum": 100, "nullable": True},
        "batteryTemp": {"type": "number", "minimum": -60, "maximum": 150, "nullable": True},
        "timestamp": TIME,
    },
}


@pytest.mark.parametrize("path", READINGS)
def test_a_readings_fields_and_limits_are_documented(document, path):
    schema = resolve(document, body(document, "post", path)["schema"])
    assert set(schema["required"]) == set(READINGS[path]), "here type may be absent"
    for field, rules in READINGS[path].items():
        documented = resolve(document, schema["properties"][field])
        if {"type": "null"} in documented.get("anyOf", []):
            [known] = [kind for kind in documented["anyOf"] if kind != {"type": "null"}]
            documented = documented | known | {"nullable": True}
        assert {rule: documented.get(rule) for rule in rules} == rules, field
        if rules is ENERGY:
            assert documented.get("maximum", documented.get("exclusiveMaximum")) <= 10**8
    assert schema["examples"]


@pytest.mark.parametrize(
    "path", ["/v1/telemetry", "/v1/telemetry/meter", "/v1/telemetry/vehicle", "/v1/telemetry/batch"]
)
def test_examples_of_requests_are_accepted(client, document, path):
    examples = request_examples(document, path)
    assert examples
    for example in examples:
        assert client.post(path, json=example).status_code == 201, example


def test_the_batch_limits_are_documented(document):
    batch = resolve(document, body(document, "post", "/v1/telemetry/batch")["schema"])
    assert "50,000" in batch["properties"]["readings"]["description"]
    too_large = operation(document, "post", "/v1/telemetry/batch")["responses"]["413"]
    assert "16 MiB" in resolve(document, too_large)["description"]


def test_every_field_is_described(document):
    silent = {
        f"{schema.get('title', '?')}.{name}"
        for schema in schemas([document["paths"], document["components"]])
        for name, field in schema["properties"].items()
        if not (field.get("description") or resolve(document, field).get("description") or "enum" in field)
    }
    assert not silent


def test_the_docs_page_works_without_internet(client):
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert not re.findall(r"""(?:src|href|url)\s*[=:(]\s*["']?(?:https?:)?//[^"'\s)]+""", page.text)
    files = re.findall(r"""(?:src|href)=["'](/[^"']+)["']""", page.text)
    assert len(files) >= 2
    for file in files:
        asset = client.get(file)
        assert asset.status_code == 200, file
        assert len(asset.content) > 1000
        if file.endswith(".css"):
            assert not re.search(r"url\(\s*[\"']?https?://", asset.text)


@pytest.mark.parametrize("name", ["%00", "x" * 300, "../../__init__.py", "%2e%2e/%2e%2e/__init__.py", "css", "nope.js"])
def test_a_file_that_the_docs_page_does_not_have_is_not_found(client, name):
    assert client.get(f"/api/docs/static/{name}").status_code == 404


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def operations(document: dict) -> Iterator[tuple[str, str, dict]]:
    for path, item in document["paths"].items():
        for method, found in item.items():
            yield method, path, found


def test_structs_and_problems_are_described_once_and_referred_to(document):
    assert not list(schemas(document["paths"])), "a schema of an object stands inside a call"
    for reference in references(document):
        assert resolve(document, {"$ref": reference})
    named = set(references(document))
    for kind in ("schemas", "responses"):
        assert {f"#/components/{kind}/{name}" for name in document["components"][kind]} <= named, "nobody refers to it"
    assert len(json.dumps(document)) < 120_000


def test_calls_have_short_names(document):
    names = [found["operationId"] for _, _, found in operations(document)]
    assert all(re.fullmatch(r"[a-z][A-Za-z]{2,29}", name) for name in names), names
    assert len(names) == len(set(names)) > 20


@pytest.mark.parametrize(
    ("schema", "field", "values"),
    [
        ("Performance", "efficiencyStatus", {"excellent", "good", "warning", "critical", "unknown"}),
        ("MeterStatus", "status", {"online", "offline", "error"}),
        ("VehicleStatus", "chargingState", {"charging", "discharging", "idle", "offline"}),
        ("Accepted", "type", {"meter", "vehicle"}),
        ("Health", "status", {"ok", "degraded"}),
    ],
)
def test_a_field_of_few_values_lists_them(document, schema, field, values):
    assert set(document["components"]["schemas"][schema]["properties"][field]["enum"]) == values


def test_every_answer_has_an_example_that_fits_its_schema(document):
    seen = 0
    for method, path, found in operations(document):
        for status, response in found["responses"].items():
            for kind, media in resolve(document, response).get("content", {}).items():
                assert "example" in media, (method, path, status)
                if kind.endswith("json"):
                    whole = {"components": document["components"]} | media["schema"]
                    jsonschema_rs.validator_for(whole, validate_formats=True).validate(media["example"])
                    seen += 1
    assert seen > 100


def test_times_have_their_format(document):
    for name, schema in document["components"]["schemas"].items():
        for field, rules in schema.get("properties", {}).items():
            if re.search(r"At$|^period|^hour$|^timestamp$|^from$|^to$", field):
                assert "date-time" in str(rules), (name, field)


def test_examples_are_of_today_whenever_they_are_asked_for():
    app = create_app(Settings(), "postgresql:///never-asked")
    for day in ("2026-11-27", "2027-03-01"):
        text = json.dumps(document_of(app, datetime.fromisoformat(f"{day}T12:00:00+00:00")))
        assert set(re.findall(r'"timestamp": "(\S{10})T', text)) == {day}


FILES = {"/css/swagger-ui.css": "text/css", "/js/swagger-ui-bundle.js": "text/javascript"}


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_the_docs_page_has_the_type_that_a_browser_needs(client, file):
    response = client.get(f"/api/docs/static{file}")
    assert response.headers["content-type"] == f"{FILES[file]}; charset=utf-8"
