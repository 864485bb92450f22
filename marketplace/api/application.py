"""The HTTP application: middleware, routes and problem documents."""

from collections.abc import Sequence
from copy import copy
from functools import cache
from typing import Any, Final

import msgspec
from litestar import Litestar, Request, Response, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.serialization import default_serializer

from events.plain_json import encode_plain
from marketplace import __version__
from marketplace.api.feed.stream import Feeds
from marketplace.api.http import clock, contract, operation
from marketplace.api.http.auth_middleware import AuthMiddleware, Limits
from marketplace.api.http.commands import provide_command
from marketplace.api.http.document import Document, name_operation
from marketplace.api.http.envelope import Envelope
from marketplace.api.http.errors import get_error, list_errors
from marketplace.api.http.keys import list_scopes
from marketplace.api.http.metrics import Metrics
from marketplace.api.http.paging import provide_listing
from marketplace.api.http.problems import HANDLERS
from marketplace.api.http.queries import provide_reader
from marketplace.api.http.reference import ReferencePage, get_asset
from marketplace.api.http.request_file import RequestFile
from marketplace.api.http.services import Services
from marketplace.api.http.strict_json import StrictBody
from marketplace.core.discovery import find_constants

_ROOMS: Final = ("access", "supply", "trading", "delivery", "metering", "billing", "equity", "feed")
ROUTERS: Final = [router for room in _ROOMS for router in find_constants(f"marketplace.api.{room}", Router)]
"""The routers of these folders. Like the test clock, they need an API key. A router's `opt` names its feature."""

_VIEW: Final = msgspec.Struct | list | tuple | dict


def create_application(services: Services) -> Litestar:
    """Return the application that uses these services. The caller starts and stops them."""
    application, metrics = copy(_build(services.settings.body_bytes_max)), Metrics(services)
    application.state = State(
        {
            "services": services,
            "metrics": metrics,
            "limits": Limits(services),
            "scopes": _list_scopes(),
            "feeds": Feeds(services),
        }
    )
    application.asgi_handler = Envelope(application.asgi_handler, metrics)
    return application


@cache
def _build(body_bytes_max: int) -> Litestar:
    """Return the application without services: its routes, which several applications of one process share."""
    return Litestar(
        route_handlers=[*ROUTERS, clock.ROUTER, operation.ROUTER, contract.ROUTER],
        middleware=[AuthMiddleware],
        dependencies={
            "command": Provide(provide_command),
            "reader": Provide(provide_reader),
            "listing": Provide(provide_listing, sync_to_thread=False),
        },
        dto=StrictBody,
        return_dto=None,
        after_request=_encode,
        exception_handlers=HANDLERS,
        request_max_body_size=body_bytes_max,
        openapi_config=OpenAPIConfig(
            title="Compute-for-equity marketplace",
            version=__version__,
            path="/schema",
            openapi_router=Router(
                "/schema",
                route_handlers=[get_asset, list_errors, get_error],
                include_in_schema=False,
                before_request=_require_document,
            ),
            render_plugins=[Document(), ReferencePage(), RequestFile()],
            operation_id_creator=name_operation,
            components=Components(security_schemes={"apiKey": SecurityScheme(type="http", scheme="bearer")}),
            security=[{"apiKey": []}],
        ),
        logging_config=None,
        debug=False,
    )


async def _encode(response: Any) -> Any:
    """Encode an answer in place of the framework, which writes small decimals with exponents."""
    if type(response) is Response and isinstance(response.content, _VIEW):
        response.content = encode_plain(response.content, default_serializer)
    return response


def _list_scopes() -> Any:
    routers = [*ROUTERS, clock.ROUTER]
    return list_scopes((router.opt["feature"] for router in routers), _list_own_scopes([*routers, operation.ROUTER]))


def _require_document(request: Request[Any, Any, Any]) -> None:
    """Refuse other paths below ``/schema``, so that they are answered as problems. Litestar would answer HTML.

    Raises:
        NotFoundException: It is such a path.
    """
    if "path" in request.path_params:
        raise NotFoundException


def _list_own_scopes(routers: Sequence[Router]) -> set[str]:
    """Return the scopes of single routes that need a scope of their own in place of their feature's."""
    routes = (route for router in routers for route in router.routes)
    handlers = (handler for route in routes for handler in getattr(route, "route_handlers", ()))
    return {handler.opt["scope"] for handler in handlers if "scope" in handler.opt}
