"""The OpenAPI document, corrected where Litestar describes a type otherwise than the API reads and writes it."""

from typing import Any, Final

from litestar import Request
from litestar.handlers.http_handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import Method

from events.rendering.json_schema import PYTHON_END

_SCALARS: Final = (str, int, float, list, type(None))
_ENDINGS: Final = ("_one", "_all")


def name_operation(route_handler: HTTPRouteHandler, http_method: Method, path_components: list[Any]) -> str:
    """Return the id of an operation: its module and what it does, such as ``orders.place`` or ``grants.list``."""
    del http_method, path_components
    module = route_handler.fn.__module__.rpartition(".")[2]
    name = route_handler.handler_name
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return f"{module}.{name}"


class Document(JsonRenderPlugin):
    """Serves the document as ``/schema/openapi.json``."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the corrected document as JSON."""
        return super().render(request, correct_document(openapi_schema))


def correct_document(part: Any) -> Any:
    """Return a part of the document in which arrays, defaults and patterns say what the API accepts.

    - Litestar describes the items of ``tuple[X, ...]`` as X or anything (`oneOf: [X, {}]`), which accepts no X.
    - A default beside `oneOf` that is an object makes generators drop the type.
    - Patterns are those of ECMA-262, as JSON Schema asks.
    """
    if isinstance(part, list):
        return [correct_document(each) for each in part]
    if not isinstance(part, dict):
        return part
    corrected = {name: correct_document(value) for name, value in part.items()}
    choices = corrected.get("oneOf")
    if isinstance(choices, list):
        kept = [choice for choice in choices if choice != {}]
        if kept != choices:
            rest = {name: value for name, value in corrected.items() if name != "oneOf"}
            corrected = {**rest, **kept[0]} if len(kept) == 1 else {**rest, "oneOf": kept}
        if not isinstance(corrected.get("default"), _SCALARS):
            del corrected["default"]
    if isinstance(corrected.get("pattern"), str):
        corrected["pattern"] = corrected["pattern"].replace(PYTHON_END, "$")
    return corrected
