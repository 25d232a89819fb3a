"""The OpenAPI document, and a docs page that needs no internet."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec
from litestar import Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Reference,
    RequestBody,
)
from litestar.static_files import create_static_files_router

from service import __version__

_STATIC_PATH = "/api/docs/static"

_METER = {
    "type": "meter",
    "meterId": "METER-001-NYC",
    "kwhConsumedAc": 0.1254,
    "voltage": 240.5,
    "timestamp": "2026-02-12T10:30:00.000Z",
}
_VEHICLE = {
    "type": "vehicle",
    "vehicleId": "VH-TESLA-001",
    "soc": 75.5,
    "kwhDeliveredDc": 0.1129,
    "batteryTemp": 35.2,
    "timestamp": "2026-02-12T10:30:00.000Z",
}
_EXAMPLES: dict[str, Any] = {
    "MeterReading": _METER,
    "VehicleReading": _VEHICLE,
    "Batch": {"readings": [_METER, _VEHICLE]},
    "Validity": {"from": "2026-02-12T08:00:00Z", "to": "2026-02-12T18:00:00Z"},
    "Problem": {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "soc must be <= 100",
        "field": "soc",
    },
}

_PROBLEMS = {
    400: "The request breaks a rule; the problem names the field and the reason",
    404: "Not known",
    413: "More than 16 MiB or 50,000 readings",
    415: "Unknown Content-Encoding",
    503: "Overloaded, or the database is away; come back after Retry-After seconds",
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as RFC 9457 has it; `field` is what it is about."""

    title: str
    status: int
    type: str = "about:blank"
    detail: str | None = None
    field: str | None = None


def problem_responses(*statuses: int) -> dict[str, OpenAPIResponse | Reference]:
    """Return the documentation of the problems that an operation may answer with."""
    media = {"application/problem+json": OpenAPIMediaType(schema=Reference("#/components/schemas/Problem"))}
    return {str(status): OpenAPIResponse(description=_PROBLEMS[status], content=media) for status in statuses}


@cache
def json_body(kind: Any) -> type[Operation]:
    """Return an operation whose request body is documented as `kind` (a struct or a union of structs)."""
    names = [member.__name__ for member in get_args(kind) or (kind,)]
    schemas: dict[str, Any] = {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
    media = {
        "schema": schemas if len(names) > 1 else schemas["oneOf"][0],
        "examples": {name: {"value": _EXAMPLES[name]} for name in names},
    }

    @dataclass
    class JsonBody(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(required=True, content={"application/json": media})  # type: ignore[dict-item]
            self.responses = (self.responses or {}) | problem_responses(400, 413, 415, 503)

    return JsonBody


def openapi_config(documented: list[Any]) -> OpenAPIConfig:
    """Return the OpenAPI configuration; `documented` are the structs that request bodies refer to."""
    _, schemas = msgspec.json.schema_components([*documented, Problem], ref_template="#/components/schemas/{name}")
    for name, schema in schemas.items():
        if name in _EXAMPLES:
            schema["examples"] = [_EXAMPLES[name]]
    return OpenAPIConfig(
        title="EV Ingestion Engine",
        version=__version__,
        description="Telemetry of smart meters and electric vehicles: durable ingest, exact energy accounting.",
        path="/api",
        components=Components(schemas=schemas),
        render_plugins=[
            JsonRenderPlugin(path="/openapi.json"),
            SwaggerRenderPlugin(
                path="/docs",
                js_url=f"{_STATIC_PATH}/js/swagger-ui-bundle.js",
                css_url=f"{_STATIC_PATH}/css/swagger-ui.css",
                standalone_preset_js_url=f"{_STATIC_PATH}/js/swagger-ui-standalone-preset.js",
                favicon="<link rel='icon' href='data:,'>",
            ),
        ],
    )


def docs_assets_router() -> Router:
    """Return the route that serves Swagger UI's own files."""
    spec = importlib.util.find_spec("flask_openapi_swagger")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0], "templates", "swagger")
    return create_static_files_router(path=_STATIC_PATH, directories=[folder], include_in_schema=False)
