"""The OpenAPI document and the docs page: complete, and fit for a machine without internet."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fix_service import ago

from service.app import create_app
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
    return create_app(Settings(), "postgresql:///never-asked").openapi_schema.to_schema()


def test_the_document_is_served(client, document):
    response = client.get("/api/openapi.json")
    assert response.status_code == 200
    assert response.json() == document


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
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
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
        if status.startswith(("4", "5")) and path != "/health/ready" and "problem" not in str(response):
            assert path.endswith("/batch"), f"{status} of {path} is no problem+json"


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
        "voltage": {"type": "number", "minimum": 0, "maximum": 1000},
        "timestamp": TIME,
    },
    "/v1/telemetry/vehicle": {
        "vehicleId": ID,
        "kwhDeliveredDc": ENERGY,
        "soc": {"type": "number", "minimum": 0, "maximum": 100},
        "batteryTemp": {"type": "number", "minimum": -60, "maximum": 150},
        "timestamp": TIME,
    },
}


@pytest.mark.parametrize("path", READINGS)
def test_a_readings_fields_and_limits_are_documented(document, path):
    schema = resolve(document, body(document, "post", path)["schema"])
    assert set(schema["required"]) == set(READINGS[path]), "here type may be absent"
    for field, rules in READINGS[path].items():
        documented = resolve(document, schema["properties"][field])
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
        for reading in example.get("readings", [example]):
            reading["timestamp"] = ago(seconds=30)
        assert client.post(path, json=example).status_code == 201, example


def test_the_batch_limits_are_documented(document):
    text = str(operation(document, "post", "/v1/telemetry/batch"))
    assert re.search(r"50[,_ ]?000", text)
    assert "16 MiB" in text


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
