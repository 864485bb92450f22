"""Every operation as a request that an editor can send: ``/schema/requests.http``, with the document's examples.

The format is that of the HTTP clients in VS Code and JetBrains' editors. Its first lines declare every variable.
`tests/api/test_endpoints.py` sends each request with a body to a market, with that market's ids.
"""

import json
import re
from typing import Any, Final

from litestar import Request
from litestar.enums import MediaType
from litestar.openapi.plugins import OpenAPIRenderPlugin

from marketplace.api.http.document import load_document
from marketplace.api.http.known_values import PREFIXED
from marketplace.api.http.queries import WHOSE

_VERBS: Final = ("get", "post", "put", "patch", "delete")
_HEAD: Final = """# Every operation of the API, with a body that it accepts. Fill in a key and your market's ids here.
@api = {api}
@key = mkp_...
{variables}
"""
_VARIABLE: Final = re.compile(r"{{([a-z0-9_]+)}}")
_MADE_UP: Final = re.compile(r"([a-z]{3})_01jdm5v5tze1xa6a4sbz1gk3c[0-9a-z]")
"""An id of the examples, which names nothing."""
_KINDS: Final = {prefix: aggregate for aggregate, prefix in PREFIXED.items()}
_FRESH: Final = "{{$timestamp}}"
"""The second of the request. It is the one fresh value that VS Code and JetBrains' editors write alike."""
_ONCE: Final = frozenset({"reference"})
"""Members whose text counts once in a market."""


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
    names = sorted({name for each in requests for name in _VARIABLE.findall(each)} - {"api", "key"})
    variables = "\n".join(f"@{name} = ..." for name in names)
    return "\n".join([_HEAD.format(api=api, variables=variables), *requests])


def _render_request(components: dict[str, Any], verb: str, path: str, operation: dict[str, Any]) -> str:
    parameters = [_follow(components, each) for each in operation.get("parameters", ())]
    needed = [each for each in parameters if each.get("required") or each["description"] == WHOSE]
    query = "&".join(f"{each['name']}={{{{{each['name']}}}}}" for each in needed if each["in"] == "query")
    address = path.replace("{", "{{").replace("}", "}}") + ("?" + query if query else "")
    lines = [f"### {operation['operationId']}: {operation['summary']}", f"{verb.upper()} {{{{api}}}}{address}"]
    if operation.get("security") != [{}]:
        lines.append("Authorization: Bearer {{key}}")
    if any(each["name"] == "Idempotency-Key" for each in parameters):
        lines.append(f"Idempotency-Key: {operation['operationId']}-{_FRESH}")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        body = json.dumps(use_variables(content["example"])[0], indent=2, ensure_ascii=False)
        return "\n".join([*lines, f"Content-Type: {kind}", "", body, ""])
    return "\n".join([*lines, ""])


def use_variables(example: Any) -> tuple[Any, dict[str, str]]:
    """Return an example with variables in place of its ids, by the members that hold them, and the id of each variable.

    What counts once in a market is fresh in every request, so that the file can be sent again.
    """
    names: dict[str, str] = {}

    def name(made_up: str, member: str) -> str:
        for known, id_ in names.items():
            if id_ == made_up:
                return known
        kind = member.removesuffix("s") if member.endswith("_ids") else member
        kind = kind if "_id" in kind else f"{_KINDS.get(made_up[:3], made_up[:3])}_id"
        while kind in names:
            kind += "_2"
        names[kind] = made_up
        return kind

    def fill(value: Any, member: str) -> Any:
        if isinstance(value, dict):
            return {key: fill(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [fill(each, member) for each in value]
        if member in _ONCE:
            return _FRESH
        is_made_up = isinstance(value, str) and _MADE_UP.fullmatch(value)
        return f"{{{{{name(value, member)}}}}}" if is_made_up else value

    return fill(example, ""), names


def _follow(components: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        *_, kind, name = part["$ref"].split("/")
        part = components[kind][name]
    return part
