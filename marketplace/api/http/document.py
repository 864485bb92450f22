"""The OpenAPI document: routes and parameters as Litestar finds them, types as `shapes.py` describes them.

What many operations share stands once: parameters, headers, answers to commands, and problems by range of status.
"""

import inspect
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final, get_args, get_origin

from litestar import Litestar, Request, Response
from litestar.handlers.http_handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute
from litestar.types import Method

from events.rendering.docstrings import render_markdown
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.deprecation import mark_operation
from marketplace.api.http.errors import list_codes
from marketplace.api.http.examples import load_examples
from marketplace.api.http.known_values import PREFIXED
from marketplace.api.http.problems import MEDIA_TYPE, Problem
from marketplace.api.http.shapes import REF, Schema, Shapes

JSON: Final = "application/json"
_Operation = tuple[str, str, Schema, HTTPRouteHandler]
_ENDINGS: Final = ("_one", "_all")
_SECTIONS: Final = ("\nArgs:", "\nReturns:", "\nRaises:")
_VERBS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_NOISE: Final = ("deprecated", "allowEmptyValue", "allowReserved")
_DRAWN: Final = "400"
"""A status that Litestar adds to every route with parameters."""
_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_HEADERS: Final = {
    "Request-Id": ("Names the request in the server's log; the client's own, if it sent one", _TEXT),
    "ETag": ("The aggregate's version, for `If-Match`", {"type": "string", "pattern": '^"[0-9]+"$'}),
    "Commit-Seq": ("Position in the log; send it as `Min-Seq` to read what the command did", _COUNT),
    "Idempotent-Replayed": ("`true` if the command had taken effect before", {"type": "string", "const": "true"}),
    "Location": ("Path of what was created or proposed", _TEXT),
    "Retry-After": ("Seconds after which the same request may succeed", _COUNT),
    "WWW-Authenticate": ("How to authenticate, with status 401", _TEXT),
    "RateLimit-Limit": ("Requests that the key may send in a window", _COUNT),
    "RateLimit-Policy": ("The limit and its window in seconds, such as `600;w=60`", _TEXT),
    "RateLimit-Remaining": ("Requests that are left in the window", _COUNT),
    "RateLimit-Reset": ("Seconds until the window is over", _COUNT),
}
_ENDING: Final = {
    "Deprecation": {"description": "Since when the operation or a parameter is deprecated (RFC 9745)", "schema": _TEXT},
    "Sunset": {"description": "From when it may be gone (RFC 8594)", "schema": _TEXT},
}
_LIMITS: Final = ("RateLimit-Limit", "RateLimit-Policy", "RateLimit-Remaining", "RateLimit-Reset")
_COMMANDED: Final = ("Request-Id", "Commit-Seq", "ETag", "Idempotent-Replayed", *_LIMITS)
_SHORT: Final = {"Idempotency-Key": "Key", "Min-Seq": "Min", "created_from": "Since", "created_before": "Before"}
"""What many operations refer to has a short name among the components."""
_EVENT_STREAM: Final = {
    "description": "Server-sent events. `id` is the sequence, `event` the type, `data` a `FeedItem` as JSON. Comments "
    "keep the stream alive.",
    "type": "string",
    "examples": [
        'id: 7\nevent: order.placed.v1\ndata: {"sequence":7,"event":{"specversion":"1.0","type":"…"},"depth":"own"}\n\n'
    ],
}
_ABOUT: Final = """Startups pay for GPU capacity with cash, equity or both.

Send the key as `Authorization: Bearer`. Every POST carries an `Idempotency-Key`, which names its command for ever.
Decimals are strings without exponents. Dollars (`usd` in the member's name, or the unit `USD`) have two places or
more: `480.00`, `6.155`; others as few as they need: `0.2`. Instants are RFC 3339 with an offset; in requests they,
and dates, lie between 1800-01-01 and 2199-12-31 in UTC. Fractions are rounded half to even; where one counts, a
member that ends in `_exact` states it. Refusals are problems (RFC 9457): branch on `code`, whose page `type` names.
Any operation may answer any of them. Requests may carry a W3C `traceparent`. Every answer carries a `Request-Id`,
and with a key `RateLimit-Limit`, `RateLimit-Policy`, `RateLimit-Remaining` and `RateLimit-Reset`. The days of
examples count from the market's, their ids name nothing.
Answers may have further members later; bodies may not have members that are not described here."""


def name_operation(route_handler: HTTPRouteHandler, http_method: Method, path_components: list[Any]) -> str:
    """Return the id of an operation, such as ``orders.place``: a method of the typed client, `client.orders.place`.

    It is the one that the route states, or else the tag and the name of the function.
    """
    del http_method, path_components
    if isinstance(route_handler.operation_id, str):
        return route_handler.operation_id
    (tag,) = route_handler.resolve_tags()
    name = route_handler.handler_name
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return f"{name_group(tag)}.{name}"


def name_group(tag: str) -> str:
    """Return the group of operations that a tag names: of ``API keys``, ``api_keys``."""
    return tag.lower().replace(" ", "_")


class Document(JsonRenderPlugin):
    """Serves the document as ``/schema/openapi.json``."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document as JSON."""
        return super().render(request, load_document(request.app, openapi_schema))


def load_document(app: Litestar, drawn: dict[str, Any]) -> dict[str, Any]:
    """Return the document of an application, which is built once, from Litestar's own document (`drawn`).

    The days of its examples count from the market's day, which the test clock moves.
    """
    if "document" not in app.state:
        app.state["document"] = build_document(app, drawn)
    document: dict[str, Any] = app.state["document"]
    _put_examples(document["paths"], app.state["services"].handler.clock.now())
    return document


def _put_examples(paths: dict[str, Any], now: datetime) -> None:
    """Give each operation with a body its example, as of a day."""
    examples = load_examples(now)
    for item in paths.values():
        for operation in item.values():
            if "requestBody" in operation and operation["operationId"] in examples:
                content, *_ = operation["requestBody"]["content"].values()
                content["example"] = examples[operation["operationId"]]


def build_document(app: Litestar, drawn: dict[str, Any]) -> dict[str, Any]:
    """Return the document: routes and parameters from Litestar's document, types, answers and texts from the code."""
    handlers = dict(_list_handlers(app))
    operations = [
        (path, verb, item[verb], handlers[verb, path])
        for path, item in drawn["paths"].items()
        for verb in _VERBS
        if verb in item
    ]
    bodies = [handler.parsed_data_field.annotation for *_, handler in operations if handler.parsed_data_field]
    answers = [answer for *_, handler in operations if (answer := _find_answer(handler)) is not None]
    shapes = Shapes(bodies, [*answers, Problem, ReceiptBody])
    _name_codes(shapes.components)
    paths: dict[str, Any] = {path: {} for path in drawn["paths"]}
    for path, verb, operation, handler in operations:
        paths[path][verb] = _describe_operation(verb, operation, handler, shapes)
    return {
        "openapi": drawn["openapi"],
        "info": {
            **drawn["info"],
            "description": _ABOUT,
            "contact": {"name": "The operator of this market"},
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": drawn["servers"],
        "tags": list(_list_tags(operations)),
        "paths": paths,
        "components": {
            "schemas": dict(sorted(shapes.components.items())),
            "parameters": _share_parameters(paths),
            "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in _HEADERS.items()},
            "responses": _share_responses(shapes),
            "securitySchemes": drawn["components"]["securitySchemes"],
        },
        "security": drawn["security"],
    }


def _name_codes(components: dict[str, Schema]) -> None:
    """Let a problem's code be one of those that are raised."""
    text = "What is refused. `/schema/errors/{code}` tells what it means and what to do. Codes may be added"
    components["ErrorCode"] = {"type": "string", "description": text, "enum": list_codes()}
    code = components["Problem"]["properties"]["code"]
    components["Problem"]["properties"]["code"] = {"$ref": f"{REF}ErrorCode", "description": code["description"]}


def _list_handlers(app: Litestar) -> Iterator[tuple[tuple[str, str], HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    yield (method.lower(), route.path_format), handler


def _find_answer(handler: HTTPRouteHandler) -> Any:
    """Return the type of a handler's answer; None if it is not JSON."""
    answer = handler.parsed_fn_signature.return_type.annotation
    if get_origin(answer) is Response:
        answer = get_args(answer)[0]
    return None if answer in (bytes, str, Any, None, type(None)) else answer


def _list_tags(operations: Iterable[_Operation]) -> Iterator[Schema]:
    """Yield the tags, each with the first sentence of the module that is named like it, or else that has its routes."""
    modules: dict[str, str] = {}
    for _, _, operation, handler in operations:
        for tag in operation["tags"]:
            name = handler.fn.__module__
            if tag not in modules or name.endswith(f".{name_group(tag)}"):
                modules[tag] = name
    for tag, name in modules.items():
        text = (sys.modules[name].__doc__ or tag).partition("\n\n")[0]
        yield {"name": tag, "description": " ".join(render_markdown(text).split())}


def _describe_operation(verb: str, operation: Schema, handler: HTTPRouteHandler, shapes: Shapes) -> Schema:
    described = {name: value for name, value in operation.items() if name not in _NOISE}
    text = inspect.cleandoc(handler.fn.__doc__ or "")
    for section in _SECTIONS:
        text = text.partition(section)[0]
    described["description"] = "\n\n".join(
        " ".join(paragraph.split()) for paragraph in render_markdown(text).split("\n\n")
    )
    described["parameters"] = [
        _describe_parameter(each, required=verb == "post" and not handler.opt.get("repeatable", False))
        for each in operation.get("parameters", ())
        if each["name"] != "traceparent"
    ]
    mark_operation(described, handler.opt)
    if handler.parsed_data_field:
        described["requestBody"]["content"] = {
            JSON: {"schema": shapes.refer(handler.parsed_data_field.annotation)},
        }
    described["responses"] = _describe_responses(operation["responses"], handler, shapes)
    return described


def _describe_parameter(parameter: Schema, *, required: bool) -> Schema:
    """Return a parameter without null, which no query and no header can send."""
    schema = parameter["schema"]
    described = {name: value for name, value in parameter.items() if name not in _NOISE}
    choices = [choice for choice in schema.get("oneOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        schema = {**choices[0], **{name: value for name, value in schema.items() if name != "oneOf"}}
    if isinstance(schema.get("enum"), list):
        schema = {**schema, "type": "string", "enum": [value for value in schema["enum"] if value is not None]}
    described["schema"] = {
        name: int(value) if isinstance(value, float) else value
        for name, value in schema.items()
        if name != "description"
    }
    name = parameter["name"]
    if parameter["in"] == "path" and name.removesuffix("_id") in PREFIXED:
        described["schema"]["pattern"] = f"^{PREFIXED[name.removesuffix('_id')]}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"
    words = name.removesuffix("_id").replace("_", " ")
    described.setdefault("description", f"The {words}" if parameter["required"] else f"Only with this {words}")
    if name == "Idempotency-Key" and required:
        described["required"] = True
    return described if described["required"] else {**{k: v for k, v in described.items() if k != "required"}}


def _describe_responses(drawn: Mapping[str, Schema], handler: HTTPRouteHandler, shapes: Shapes) -> Schema:
    answer = _find_answer(handler)
    if answer is ReceiptBody:
        success = "201" if "201" in drawn else "200"
        found: Schema = {success: _refer("responses", "Created" if success == "201" else "Receipt")}
        found["202"] = _refer("responses", "Proposed")
    else:
        found = {
            status: _describe_answer(response, answer, handler, shapes)
            for status, response in sorted(drawn.items())
            if status != _DRAWN
        }
    return found | {"4XX": _refer("responses", "Refused"), "5XX": _refer("responses", "Failed")}


def _describe_answer(response: Schema, answer: Any, handler: HTTPRouteHandler, shapes: Shapes) -> Schema:
    content = {kind: dict(media) for kind, media in response.get("content", {}).items()}
    if "application/zip" in content:
        content["application/zip"] = {"schema": {"type": "string", "format": "binary"}}
    if JSON in content and answer is not None:
        content[JSON] = {"schema": shapes.refer(answer)}
    if handler.opt.get("streams"):
        content["text/event-stream"] = {"schema": _EVENT_STREAM}
    is_response = get_origin(handler.parsed_fn_signature.return_type.annotation) is Response
    has_version = is_response and "last_sequence" in getattr(answer, "__struct_fields__", ())
    headers = {"ETag": _refer("headers", "ETag")} if has_version and "GET" in handler.http_methods else {}
    headers |= _ENDING if handler.opt.keys() & {"deprecated", "deprecated_parameters"} else {}
    return {"description": "OK"} | {name: part for name, part in (("headers", headers), ("content", content)) if part}


def _share_parameters(paths: Mapping[str, Any]) -> dict[str, Schema]:
    """Move the parameters that several operations share to components, and return these."""
    operations = [operation for item in paths.values() for operation in item.values()]
    counts = Counter(_render_key(each) for operation in operations for each in operation["parameters"])
    names: dict[str, str] = {}
    components: dict[str, Schema] = {}
    for key, count in counts.most_common():
        if count > 1:
            parameter = json.loads(key)
            name = _SHORT.get(parameter["name"], parameter["name"])
            if name in components and parameter["in"] == "query":
                name += ".query"
            while name in components:
                name += "2"
            names[key], components[name] = name, parameter
    for operation in operations:
        operation["parameters"] = [
            _refer("parameters", names[key]) if (key := _render_key(each)) in names else each
            for each in operation["parameters"]
        ]
        if not operation["parameters"]:
            del operation["parameters"]
    return dict(sorted(components.items()))


def _render_key(parameter: Schema) -> str:
    return json.dumps(parameter, sort_keys=True)


@cache
def _refer(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _share_responses(shapes: Shapes) -> dict[str, Schema]:
    """Return the answers that operations share: receipts of commands, and problems."""
    receipt, problem = {JSON: {"schema": shapes.refer(ReceiptBody)}}, {MEDIA_TYPE: {"schema": shapes.refer(Problem)}}

    def describe(text: str, headers: Iterable[str], content: Schema) -> Schema:
        return {
            "description": text,
            "headers": {name: _refer("headers", name) for name in headers},
            "content": content,
        }

    return {
        "Receipt": describe("The command took effect", _COMMANDED, receipt),
        "Created": describe("The command created something, at `Location`", (*_COMMANDED, "Location"), receipt),
        "Proposed": describe(
            "Others must agree first: the id is of the proposal or request, at `Location`",
            (*_COMMANDED, "Location"),
            receipt,
        ),
        "Refused": describe(
            "Refused, nothing was changed: 400 not well-formed; 401 no valid key; 403 the key may not; 404 unknown, or "
            "another tenant's; 408 too slow; 409 not in this state, or the same command still runs; 412 stale "
            "`If-Match`; 413 too large; 415 not JSON; 422 against a rule, or the key names another command; 429 too "
            "many requests",
            ("Request-Id", "Retry-After", "WWW-Authenticate", *_LIMITS),
            problem,
        ),
        "Failed": describe(
            "500 an error of the server, 503 a server that it needs is away. Send the same again, with its "
            "`Idempotency-Key`",
            ("Request-Id", "Retry-After", *_LIMITS),
            problem,
        ),
    }
