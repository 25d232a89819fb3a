"""The OpenAPI document: Litestar lists the calls, and msgspec describes what they take and what they answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args, get_origin

import msgspec
from litestar import Litestar, Response, Router
from litestar.connection import Request
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, Operation, SecurityScheme
from litestar.routes import HTTPRoute
from litestar.types import Method
from msgspec.inspect import DateTimeType, ListType, Metadata, StructType, Type, UnionType, type_info

from service import __version__
from service.errors import MEANINGS
from service.http.examples import REFUSED_BATCH, answer_example, parameter_example, problem_example, request_examples
from service.http.pages import STATIC_PATH, secure_page
from service.http.problems import Problem

_KEYS = (
    "`ev-engine keys create` creates keys. An operation names the scope that its key must have. No key is needed where "
    "the service listens to its own machine only, or runs with AUTH=off."
)

_GUARD_PROBLEMS = (401, 403, 429)
_SCHEMAS = "#/components/schemas/"


@dataclass(frozen=True)
class _Facts:
    """What Litestar cannot know about a call: its problems, its body, and what a 400 may hold instead of a problem."""

    problems: tuple[int, ...]
    body: Any
    needs_body: bool
    refusal: Any


class _Documented(Operation):
    facts: Any = None


def documented(
    *problems: int, body: Any = None, needs_body: bool = True, refusal: Any = None, needs_key: bool = True
) -> type[Operation]:
    """Return an operation that documents its problems, by HTTP status, and its JSON body.

    `body` is a struct or a union of structs; Litestar cannot document a body that a route reads by itself. `refusal` is
    what a 400 may hold instead of a problem. With `needs_key`, the problems of the guard are added.
    """
    facts = _Facts(problems + _GUARD_PROBLEMS if needs_key else problems, body, needs_body, refusal)
    return type("Documented", (_Documented,), {"facts": facts})


@dataclass(frozen=True)
class _Call:
    operation: dict[str, Any]
    facts: _Facts
    answer: Any
    """The type of its answer; None when that is no struct."""


def document_of(app: Litestar, now: datetime | None = None) -> dict[str, Any]:
    """Return the OpenAPI document of an application, with examples of the present day.

    Every struct is a schema of its own and every problem a response of its own, to which calls refer.
    """
    now = now or datetime.now(UTC)
    document: dict[str, Any] = app.openapi_schema.to_schema()
    calls = list(_calls(app, document))
    kinds = [kind for call in calls for kind in (call.answer, call.facts.body, call.facts.refusal) if kind is not None]
    schemas, components = _schemas([*kinds, Problem])
    components = document["components"].setdefault("schemas", {}) | components
    document["components"]["schemas"] = components
    problems: dict[str, Any] = {}
    for call in calls:
        answers = call.operation["responses"]
        for status, answer in answers.items():
            if status.startswith("2") and call.answer is not None:
                answer["content"] = _json(schemas[call.answer])
            for media in answer.get("content", {}).values():
                media["example"] = answer_example(media["schema"], components, now, good=status.startswith("2"))
        for status in call.facts.problems:
            problems[f"Problem{status}"] = _problem(status, schemas[Problem])
            answers[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
        if call.facts.refusal is not None:
            # Generated clients read the first kind of content, whichever arrives: it stands for both.
            either = _json({"anyOf": [schemas[call.facts.refusal], schemas[Problem]]})
            either["application/json"]["example"] = REFUSED_BATCH
            answers["400"] = _problem(400, schemas[Problem])
            answers["400"]["content"] = either | answers["400"]["content"]
        if call.facts.body is not None:
            schema = _body_schema(call.facts.body, schemas[call.facts.body], components)
            examples = request_examples(getattr(call.facts.body, "__name__", "Reading"), now)
            content = _json(schema)
            content["application/json"]["examples"] = {name: {"value": value} for name, value in examples.items()}
            call.operation["requestBody"] = {"content": content, "required": call.facts.needs_body}
        voids = "Void" in call.operation["operationId"]
        for parameter in call.operation.get("parameters", ()):
            example = parameter_example(parameter["name"], now)
            if (parameter["in"] == "path" or voids) and example is not None:
                parameter["example"] = example
    document["components"]["responses"] = dict(sorted(problems.items()))
    _add_examples(components, now)
    document["components"]["schemas"] = {name: components[name] for name in sorted(_used(document, components))}
    return document


def _calls(app: Litestar, document: dict[str, Any]) -> Iterator[_Call]:
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for method, (handler, _) in route.route_handler_map.items():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                facts = getattr(handler.operation_class, "facts", None) or _Facts((), None, True, None)
                yield _Call(operation, facts, _answer_of(handler))


def _answer_of(handler: HTTPRouteHandler) -> Any:
    kind = handler.parsed_fn_signature.return_type.annotation
    if isinstance(get_origin(kind), type) and issubclass(get_origin(kind), Response):
        (kind,) = get_args(kind)
    inner = get_args(kind)[0] if get_origin(kind) is list else kind
    return kind if isinstance(inner, type) and issubclass(inner, msgspec.Struct) else None


def _schemas(kinds: list[Any]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """Return the schema of each type, which refers to those of its parts, and the schemas that they refer to."""
    distinct = list(dict.fromkeys(kinds))
    schemas, components = msgspec.json.schema_components(distinct, ref_template=_SCHEMAS + "{name}")
    for kind in distinct:
        _say_which_are_times(type_info(kind), components, set())
    return dict(zip(distinct, schemas, strict=True)), components


def _say_which_are_times(info: Type, components: dict[str, Any], seen: set[Any]) -> None:
    """Give times their format, which msgspec gives only to those that it checks for an offset."""
    match info:
        case UnionType(types=parts):
            for part in parts:
                _say_which_are_times(part, components, seen)
        case ListType(item_type=item):
            _say_which_are_times(item, components, seen)
        case Metadata(type=inner):
            _say_which_are_times(inner, components, seen)
        case StructType(cls=cls, fields=fields) if cls not in seen:
            seen.add(cls)
            for field in fields:
                if _is_time(field.type):
                    schema = components[cls.__name__]["properties"][field.encode_name]
                    for option in (schema, *schema.get("anyOf", ())):
                        if option.get("type") == "string":
                            option["format"] = "date-time"
                _say_which_are_times(field.type, components, seen)


def _is_time(info: Type) -> bool:
    match info:
        case UnionType(types=parts):
            return any(map(_is_time, parts))
        case Metadata(type=inner):
            return _is_time(inner)
    return isinstance(info, DateTimeType)


def _body_schema(kind: Any, schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a request's body.

    A struct of a union names itself in a field, which is needed only where several structs are possible.
    """
    tag_field = getattr(kind, "__struct_config__", None) and kind.__struct_config__.tag_field
    if not tag_field:
        return schema
    tagged = components[kind.__name__]
    name = f"{kind.__name__}Alone"
    required = [field for field in tagged["required"] if field != tag_field]
    components[name] = tagged | {"title": name, "required": required}
    return {"$ref": _SCHEMAS + name}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _problem(status: int, schema: dict[str, Any]) -> dict[str, Any]:
    media = {"application/problem+json": {"schema": schema, "example": problem_example(status)}}
    return {"description": MEANINGS[status], "content": media}


def _add_examples(components: dict[str, Any], now: datetime) -> None:
    components["Problem"]["examples"] = [problem_example(400)]
    for name, schema in components.items():
        if examples := request_examples(name.removesuffix("Alone"), now):
            schema["examples"] = list(examples.values())


def _used(document: dict[str, Any], components: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that calls refer to, and of those that these refer to."""
    used: set[str] = set()
    waiting: list[Any] = [document["paths"], document["components"]["responses"]]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            name = str(node.get("$ref", "")).removeprefix(_SCHEMAS)
            if name in components and name not in used:
                used.add(name)
                waiting.append(components[name])
            waiting += node.values()
    return used


def _operation_id(handler: HTTPRouteHandler, _method: Method, _path: list[Any]) -> str:
    """Return the short name of a call: its tag and what it does, such as statusMeters."""
    (tag, *_) = handler.resolve_tags() or ["call"]
    words = [word for word in handler.handler_name.split("_") if word.lower() != tag.lower()]
    return tag.lower() + "".join(word.capitalize() for word in words)


class _Json(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, document_of(request.app))


class _SwaggerUi(SwaggerRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, document_of(request.app))


def openapi_config(options: dict[str, Any]) -> OpenAPIConfig:
    """Return the OpenAPI configuration; `options` are those of the routes that serve the document and its page."""
    bearer = SecurityScheme(type="http", scheme="bearer", bearer_format="ev_<id>_<secret>", description=_KEYS)
    api_key = SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header", description=_KEYS)
    return OpenAPIConfig(
        title="EV Ingestion Engine",
        version=__version__,
        description="Telemetry of smart meters and electric vehicles: durable ingest, exact energy accounting.",
        components=Components(security_schemes={"bearer": bearer, "apiKey": api_key}),
        operation_id_creator=_operation_id,
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
            _Json(path="/openapi.json"),
            _SwaggerUi(
                path="/docs",
                js_url=f"{STATIC_PATH}/js/swagger-ui-bundle.js",
                css_url=f"{STATIC_PATH}/css/swagger-ui.css",
                standalone_preset_js_url=f"{STATIC_PATH}/js/swagger-ui-standalone-preset.js",
                favicon="<link rel='icon' href='data:,'>",
            ),
        ],
    )
