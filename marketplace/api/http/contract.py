"""The contract of the events over HTTP: their JSON Schemas and the AsyncAPI document, open to all."""

from importlib.resources import files
from typing import Final

from litestar import MediaType, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from events.registry import EVENT_TYPES, render_schema_name

_FOLDER: Final = files("events")
_SCHEMAS: Final = frozenset(render_schema_name(tag) for tag in EVENT_TYPES)


def _serve(path: str) -> Response[bytes]:
    return Response(_FOLDER.joinpath(path).read_bytes(), media_type=MediaType.JSON)


@get("/asyncapi.json", sync_to_thread=True)
def get_asyncapi() -> Response[bytes]:
    """Return the AsyncAPI document of all events."""
    return _serve("asyncapi.json")


@get("/schemas/{name:str}", sync_to_thread=True)
def get_schema(name: FromPath[str]) -> Response[bytes]:
    """Return the JSON Schema that a `dataschema` such as ``urn:marketplace:schema:<name>`` names."""
    if name not in _SCHEMAS:
        raise NotFoundException
    return _serve(f"schemas/{name}")


ROUTER: Final = Router("/contract", route_handlers=[get_asyncapi, get_schema], include_in_schema=False)
