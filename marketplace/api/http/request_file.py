"""Every operation as a request that an editor can send: ``/schema/requests.http``, rendered from the OpenAPI document.

The format is that of the HTTP clients in VS Code and JetBrains' editors. ``api`` and ``key`` are its variables.
"""

import json
from typing import Any, Final

from litestar import Request
from litestar.enums import MediaType
from litestar.openapi.plugins import OpenAPIRenderPlugin

from marketplace.api.http.document import load_document

_VERBS: Final = ("get", "post", "put", "patch", "delete")
_HEAD: Final = """# Every operation of the API, with the members that it needs. Fill in ids and values.
@api = {api}
@key = mkp_...
"""
_PLAIN: Final = {"string": "", "integer": 1, "number": 1, "boolean": False, "null": None}
_DEPTH_MAX: Final = 8


class RequestFile(OpenAPIRenderPlugin):
    """Serves the file as ``/schema/requests.http``."""

    def __init__(self) -> None:
        super().__init__(path="/requests.http", media_type=MediaType.TEXT)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the file, for the address that was asked."""
        return render_requests(load_document(request.app, openapi_schema), str(request.base_url).rstrip("/")).encode()


def render_requests(document: dict[str, Any], api: str) -> str:
    """Return every operation of a document as a request to an address."""
    requests = [
        _render_request(document["components"], verb, path, item[verb])
        for path, item in sorted(document["paths"].items())
        for verb in _VERBS
        if verb in item
    ]
    return "\n".join([_HEAD.format(api=api), *requests])


def _render_request(components: dict[str, Any], verb: str, path: str, operation: dict[str, Any]) -> str:
    parameters = [_follow(components, each) for each in operation.get("parameters", ())]
    needed = [each for each in parameters if each.get("required")]
    query = "&".join(f"{each['name']}={{{{{each['name']}}}}}" for each in needed if each["in"] == "query")
    address = path.replace("{", "{{").replace("}", "}}") + ("?" + query if query else "")
    lines = [f"### {operation['operationId']}: {operation['summary']}", f"{verb.upper()} {{{{api}}}}{address}"]
    if operation.get("security") != [{}]:
        lines.append("Authorization: Bearer {{key}}")
    if any(each["name"] == "Idempotency-Key" for each in parameters):
        lines.append("Idempotency-Key: {{$guid}}")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        body = json.dumps(_build_example(components, content["schema"], 0), indent=2)
        return "\n".join([*lines, f"Content-Type: {kind}", "", body, ""])
    return "\n".join([*lines, ""])


def _follow(components: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        *_, kind, name = part["$ref"].split("/")
        part = components[kind][name]
    return part


def _build_example(components: dict[str, Any], schema: dict[str, Any], depth: int) -> Any:
    """Return a value of the schema's shape with the members that it requires; texts are empty where none is known."""
    schema = _follow(components, schema)
    for known in ("const", "default"):
        if known in schema:
            return schema[known]
    for several in ("enum", "examples"):
        if schema.get(several):
            return schema[several][0]
    for choices in ("oneOf", "anyOf", "allOf"):
        if schema.get(choices):
            return _build_example(components, schema[choices][0], depth)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" and depth < _DEPTH_MAX:
        needed = schema.get("required", ())
        return {name: _build_example(components, schema["properties"][name], depth + 1) for name in needed}
    if kind == "array":
        return [_build_example(components, schema["items"], depth + 1)] if schema.get("minItems") else []
    return _PLAIN.get(kind)
