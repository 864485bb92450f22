"""The API's reference as one page of HTML, rendered here from the OpenAPI document, without external content."""

import html
from typing import Any, Final

from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

from marketplace.api.http.document import load_document

_STYLE: Final = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8886; } code, pre { font: 13px/1.45 ui-monospace, monospace; }
details { margin: .3rem 0; padding: .3rem .6rem; border: 1px solid #8884; border-radius: .4rem; }
summary { cursor: pointer; } .verb { display: inline-block; width: 4.2rem; font-weight: 600; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
"""
_VERBS: Final = ("get", "post", "put", "patch", "delete")


class ReferencePage(OpenAPIRenderPlugin):
    """Serves the page at ``/schema``."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the page."""
        return render_page(load_document(request.app, openapi_schema), self.get_openapi_json_route(request)).encode()


def render_page(document: dict[str, Any], document_path: str) -> str:
    """Return the reference of an OpenAPI document as HTML."""
    info = document["info"]
    title = html.escape(f"{info['title']} {info['version']}")
    groups: dict[str, list[str]] = {}
    for path, item in sorted(document["paths"].items()):
        for verb in _VERBS:
            if verb in item:
                tag = (item[verb].get("tags") or ["other"])[0]
                operation = _inline(item[verb], document["components"])
                groups.setdefault(tag, []).append(_render_operation(path, verb, operation))
    sections = "".join(f"<h2>{html.escape(tag)}</h2>{''.join(rows)}" for tag, rows in sorted(groups.items()))
    schemas = document.get("components", {}).get("schemas", {})
    shapes = "".join(_render_schema(name, schema) for name, schema in sorted(schemas.items()))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f'<h1>{title}</h1><p>The same as <a href="{html.escape(document_path)}">OpenAPI 3.1</a> for machines.</p>'
        f"{sections}<h2>Shapes</h2>{shapes}</html>"
    )


def _inline(operation: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Return an operation with its parameters and answers in place of references to them."""

    def follow(part: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in part:
            return part
        *_, kind, name = part["$ref"].split("/")
        found: dict[str, Any] = components[kind][name]
        return found

    return {
        **operation,
        "parameters": [follow(each) for each in operation.get("parameters", ())],
        "responses": {status: follow(answer) for status, answer in operation["responses"].items()},
    }


def _render_operation(path: str, verb: str, operation: dict[str, Any]) -> str:
    head = f'<span class="verb">{verb.upper()}</span> <code>{html.escape(path)}</code>'
    summary = html.escape(operation.get("summary") or "")
    description = html.escape(operation.get("description") or "")
    parameters = "".join(
        f"<tr><td><code>{html.escape(one['name'])}</code><td>{html.escape(one['in'])}"
        f"<td>{_render_type(one.get('schema', {}))}<td>{html.escape(one.get('description') or '')}</tr>"
        for one in operation.get("parameters") or ()
    )
    table = f"<table><tr><th>parameter<th>in<th>type<th></tr>{parameters}</table>" if parameters else ""
    body = "".join(
        f"<p>Body: {_render_type(content.get('schema', {}))}</p>"
        for content in (operation.get("requestBody") or {}).get("content", {}).values()
    )
    answers = "".join(
        f"<tr><td>{html.escape(status)}<td>{_render_answer(answer)}</tr>"
        for status, answer in sorted((operation.get("responses") or {}).items())
    )
    return (
        f"<details><summary>{head} — {summary}</summary><p>{description}</p>{table}{body}"
        f"<table><tr><th>status<th>answer</tr>{answers}</table></details>"
    )


def _render_answer(answer: dict[str, Any]) -> str:
    shapes = [_render_type(content.get("schema", {})) for content in (answer.get("content") or {}).values()]
    return ", ".join(shapes) or html.escape(answer.get("description") or "")


def _render_schema(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required") or ())
    rows = "".join(
        f"<tr><td><code>{html.escape(field)}</code><td>{_render_type(shape)}"
        f"<td>{'required' if field in required else ''}<td>{html.escape(str(shape.get('description') or ''))}</tr>"
        for field, shape in (schema.get("properties") or {}).items()
    )
    return (
        f'<details id="{html.escape(name)}"><summary><code>{html.escape(name)}</code></summary>'
        f"<p>{html.escape(str(schema.get('description') or ''))}</p><table>{rows}</table></details>"
    )


def _render_type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rsplit("/", 1)[1])
        return f'<a href="#{name}"><code>{name}</code></a>'
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return " or ".join(_render_type(one) for one in schema[several])
    if schema.get("type") == "array":
        return f"list of {_render_type(schema.get('items') or {})}"
    kind = schema.get("type")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind or "any")
    if schema.get("enum"):
        words = " | ".join(str(value) for value in schema["enum"])
    return f"<code>{html.escape(words)}</code>"
