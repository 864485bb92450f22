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

_VERBS: Final = ("get", "post", "put", "patch", "delete")
_HEAD: Final = """# Every operation of the API, with a body that it accepts. Fill in a key and your market's ids:
# here, and in bodies, whose ids of 01jdm5v5tze1xa6a4sbz1gk3c name nothing.
@api = {api}
@key = mkp_...
{variables}
"""
_VARIABLE: Final = re.compile(r"{{([a-z_]+)}}")


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
    needed = [each for each in parameters if each.get("required")]
    query = "&".join(f"{each['name']}={{{{{each['name']}}}}}" for each in needed if each["in"] == "query")
    address = path.replace("{", "{{").replace("}", "}}") + ("?" + query if query else "")
    lines = [f"### {operation['operationId']}: {operation['summary']}", f"{verb.upper()} {{{{api}}}}{address}"]
    if operation.get("security") != [{}]:
        lines.append("Authorization: Bearer {{key}}")
    if any(each["name"] == "Idempotency-Key" for each in parameters):
        lines.append("Idempotency-Key: {{$guid}}")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        body = json.dumps(content["example"], indent=2, ensure_ascii=False)
        return "\n".join([*lines, f"Content-Type: {kind}", "", body, ""])
    return "\n".join([*lines, ""])


def _follow(components: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        *_, kind, name = part["$ref"].split("/")
        part = components[kind][name]
    return part
