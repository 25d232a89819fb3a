"""The OpenAPI document, and a docs page that needs no internet."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import MediaType, Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, Operation, RequestBody, SecurityScheme
from litestar.params import FromPath
from litestar.response import File
from msgspec import Meta

from service import __version__
from service.errors import NotFoundError
from service.keys.scope import OPEN

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

_KEYS = (
    "Made with `ev-engine keys create`. An operation names the scope that its key must have; none is asked for where "
    "the service listens to its own machine only, or runs with AUTH=off."
)

_PROBLEMS = {
    400: "The request breaks a rule; the problem names the field and the reason",
    401: "No key, or one that is not good (only where keys are asked for)",
    403: "The key is for other scopes or devices",
    404: "Not known",
    408: "The body did not arrive in time",
    413: "More than 16 MiB or 50,000 readings",
    415: "Unknown Content-Encoding",
    429: "More requests than one key or address may send; come back after Retry-After seconds",
    503: "Overloaded, or the database is away; come back after Retry-After seconds",
}

_GUARD_PROBLEMS = (401, 403, 429)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as RFC 9457 has it; `field` is what it is about."""

    title: Annotated[str, Meta(description="HTTP status in words")]
    status: Annotated[int, Meta(description="HTTP status")]
    type: Annotated[str, Meta(description="Kind of problem")] = "about:blank"
    detail: Annotated[str | None, Meta(description="What is wrong and what to do")] = None
    field: Annotated[str | None, Meta(description="Field of the request that it is about")] = None


def _schema(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a struct or a union, every definition in its place.

    The framework fills the document's components from handler signatures alone; bodies that a route reads by itself
    have no entry there to refer to.
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
        # Only where several structs are possible must the tag say which.
        inlined["required"].remove(tag_field)
    return inlined


def _problem_responses(statuses: tuple[int, ...]) -> dict[str, Any]:
    media = {"application/problem+json": {"schema": _schema(Problem)}}
    return {str(status): {"description": _PROBLEMS[status], "content": dict(media)} for status in statuses}


def documented(
    *problems: int, body: Any = None, needs_body: bool = True, refusal: Any = None, needs_key: bool = True
) -> type[Operation]:
    """Return an operation documented with its problems and, if it takes one, its JSON body.

    Where keys may be asked for, the guard's problems are among them.
    `body` is a struct or a union of structs; what a route reads by itself, the framework cannot document. `refusal` is
    what a 400 may carry instead of a problem.
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


def openapi_config() -> OpenAPIConfig:
    """Return the OpenAPI configuration."""
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
            after_request=_secure_page,
            dto=None,
            return_dto=None,
            **OPEN,
        ),
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


def _secure_page(response: Response[Any]) -> Response[Any]:
    """Let a page load and run what it brings along and nothing else, and nobody show it in a frame."""
    if response.media_type == MediaType.HTML:
        scripts = b" ".join(b"'sha256-%s'" % digest for digest in _inline_scripts(response.content)).decode()
        response.headers |= {
            "Content-Security-Policy": (
                f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
                "img-src 'self' data:; font-src 'self'; connect-src 'self'; "
                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            ),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
        }
    return response


def _inline_scripts(page: bytes) -> list[bytes]:
    """Return the SHA-256 of each script inside a page, as a Content-Security-Policy names it."""
    scripts = re.findall(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", page, re.DOTALL)
    return [base64.b64encode(hashlib.sha256(script).digest()) for script in scripts]


def docs_assets_router() -> Router:
    """Return the route that serves Swagger UI's own files."""
    spec = importlib.util.find_spec("flask_openapi_swagger")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0], "templates", "swagger")
    # Nothing that a caller names is looked for: only what is here when the service starts.
    files = {f"/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*") if path.is_file()}

    @get("/{file:path}", include_in_schema=False)
    async def asset(file: FromPath[str]) -> File:
        if file not in files:
            raise NotFoundError("there is no such file")
        return File(files[file], content_disposition_type="inline")

    return Router(_STATIC_PATH, route_handlers=[asset], **OPEN)
