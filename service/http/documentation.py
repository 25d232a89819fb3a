"""The OpenAPI document, made from the routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, Operation, RequestBody, SecurityScheme

from service import __version__
from service.errors import MEANINGS
from service.http.pages import STATIC_PATH, secure_page
from service.http.problems import Problem

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

_KEYS = (
    "`ev-engine keys create` creates keys. An operation names the scope that its key must have. No key is needed where "
    "the service listens to its own machine only, or runs with AUTH=off."
)

_GUARD_PROBLEMS = (401, 403, 429)


def _schema(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a struct or a union, with every definition inline.

    Litestar fills the document's components from the signatures of handlers. A body that a route reads by itself has
    no entry there to refer to.
    """
    (schema,), definitions = msgspec.json.schema_components([kind])

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            examples = {"examples": [_EXAMPLES[name]]} if name in _EXAMPLES else {}
            return inline(definitions[name]) | examples
        return {key: inline(value) for key, value in node.items() if key != "discriminator"}

    inlined: dict[str, Any] = inline(schema)
    tag_field = getattr(kind, "__struct_config__", None) and kind.__struct_config__.tag_field
    if tag_field in inlined.get("required", []):
        # The tag is needed only where several structs are possible.
        inlined["required"].remove(tag_field)
    return inlined


def _problem_responses(statuses: tuple[int, ...]) -> dict[str, Any]:
    media = {"application/problem+json": {"schema": _schema(Problem)}}
    return {str(status): {"description": MEANINGS[status], "content": dict(media)} for status in statuses}


def documented(
    *problems: int, body: Any = None, needs_body: bool = True, refusal: Any = None, needs_key: bool = True
) -> type[Operation]:
    """Return an operation that documents its problems, by HTTP status, and its JSON body.

    `body` is a struct or a union of structs; Litestar cannot document a body that a route reads by itself. `refusal` is
    what a 400 may hold instead of a problem. With `needs_key`, the problems of the guard are added.
    """

    if needs_key:
        problems += _GUARD_PROBLEMS

    @dataclass
    class Documented(Operation):
        def __post_init__(self) -> None:
            if body is not None:
                media: Any = {"application/json": {"schema": _schema(body)}}
                self.request_body = RequestBody(content=media, required=needs_body)
            answers = _problem_responses(problems)
            if refusal is not None:
                answers["400"]["content"] |= {"application/json": {"schema": _schema(refusal)}}
            self.responses = (self.responses or {}) | answers

    return Documented


def openapi_config(options: dict[str, Any]) -> OpenAPIConfig:
    """Return the OpenAPI configuration; `options` are those of the routes that serve the document and its page."""
    bearer = SecurityScheme(type="http", scheme="bearer", bearer_format="ev_<id>_<secret>", description=_KEYS)
    api_key = SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header", description=_KEYS)
    return OpenAPIConfig(
        title="EV Ingestion Engine",
        version=__version__,
        description="Telemetry of smart meters and electric vehicles: durable ingest, exact energy accounting.",
        components=Components(security_schemes={"bearer": bearer, "apiKey": api_key}),
        openapi_router=Router(
            "/api",
            route_handlers=[],
            include_in_schema=False,
            after_request=secure_page,
            dto=None,
            return_dto=None,
            **options,
        ),
        render_plugins=[
            JsonRenderPlugin(path="/openapi.json"),
            SwaggerRenderPlugin(
                path="/docs",
                js_url=f"{STATIC_PATH}/js/swagger-ui-bundle.js",
                css_url=f"{STATIC_PATH}/css/swagger-ui.css",
                standalone_preset_js_url=f"{STATIC_PATH}/js/swagger-ui-standalone-preset.js",
                favicon="<link rel='icon' href='data:,'>",
            ),
        ],
    )
