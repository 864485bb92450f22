"""The console beside the API: one address, the same rules.

A page is rendered from answers of the API. The console asks it inside the process, as the key of the session, so that
rights, visibility and limits are decided in one place.
"""

import re
import traceback
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import structlog
from litestar import Litestar, Request, Response, Router
from litestar.config.csrf import CSRFConfig
from litestar.datastructures import CacheControlHeader, State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Redirect, Template
from litestar.static_files import create_static_files_router
from litestar.status_codes import (
    HTTP_303_SEE_OTHER,
    HTTP_401_UNAUTHORIZED,
    HTTP_404_NOT_FOUND,
    HTTP_500_INTERNAL_SERVER_ERROR,
    HTTP_503_SERVICE_UNAVAILABLE,
)
from litestar.template.config import TemplateConfig
from litestar.types import ASGIApp, ExceptionHandlersMap, Message, Receive, Scope, Send

from marketplace.api.http.auth_middleware import SESSION
from marketplace.api.http.envelope import REQUEST_ID, find_request_id, read_head
from marketplace.api.http.services import Services
from marketplace.client import ProblemError
from marketplace.console import signing_in
from marketplace.console.desk import Door, SignedOut, provide_desk
from marketplace.console.formats import FILTERS
from marketplace.console.forms import name_field, provide_form
from marketplace.console.rules import RULES
from marketplace.console.sessions import COOKIE, PATH, PURPOSE, Sessions
from marketplace.core.discovery import find_constants
from marketplace.core.errors import Unavailable
from marketplace.plots.svg import STATIC as PLOTS

LIVE_PATH: Final = f"{PATH}/live"
_FEED_PATH: Final = "/v1/events"
_log = structlog.get_logger(__name__)
_EVENT_NAME: Final = re.compile(rb"(?m)^event: [^\n]*\n")
_HERE: Final = Path(__file__).parent
ROOMS: Final = ("operator", "trading", "supply", "market", "equity")
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
    ),
)


def mount_console(application: Litestar, services: Services, *, is_secure: bool = False) -> None:
    """Let the API's application answer the console's pages too.

    Args:
        application: The API's application.
        services: Its services.
        is_secure: Whether browsers reach it over TLS alone, so that cookies must not travel otherwise.
    """
    sessions = Sessions(services.keys.derive_secret(PURPOSE))
    console = _create(services, Door(services, sessions, application, is_secure=is_secure))
    application.asgi_handler = _Front(application.asgi_handler, console, sessions)


class _Front:
    """Passes pages to the console and everything else to the API, and opens the feed for a session's live updates."""

    def __init__(self, api: ASGIApp, console: Litestar, sessions: Sessions) -> None:
        self._api = api
        self._console = console
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path == LIVE_PATH:
            await self._follow(scope, receive, send)
        elif path in ("/", PATH) or path.startswith(f"{PATH}/"):
            request_id = find_request_id(scope)
            scope, send = read_head(scope, send)
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await self._console(scope, receive, _add_headers(send, request_id))
        else:
            await self._api(scope, receive, send)

    async def _follow(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer as the feed does; the session stands for the key.

        The feed names each event by its type. A page waits for any event, so the names are left out.
        """
        found = self._sessions.read(Request[Any, Any, Any](scope).cookies.get(COOKIE))
        headers = [(name, value) for name, value in scope["headers"] if name not in (b"authorization", b"cookie")]
        inner: Any = {**scope, "path": _FEED_PATH, "raw_path": _FEED_PATH.encode(), "headers": headers}
        if found is not None:
            inner[SESSION] = found[0].key_id

        async def send_unnamed(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = _EVENT_NAME.sub(b"", message["body"])
            await send(message)

        await self._api(inner, receive, send_unnamed)


def _add_headers(send: Send, request_id: str) -> Send:
    async def send_marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (REQUEST_ID, request_id.encode()), *_HEADERS]
            if not any(name.lower() == b"cache-control" for name, _ in message["headers"]):
                message["headers"] = [*message["headers"], (b"cache-control", b"no-store")]
        await send(message)

    return send_marked


def _create(services: Services, door: Door) -> Litestar:
    engine = JinjaTemplateEngine(directory=_HERE / "templates")
    engine.engine.filters.update(FILTERS)
    engine.engine.globals["rules"] = RULES
    engine.engine.trim_blocks = engine.engine.lstrip_blocks = True
    files = create_static_files_router(
        path="/static",
        directories=[_HERE / "static", PLOTS],
        cache_control=CacheControlHeader(max_age=3_600, public=True),
    )
    pages = [router for room in ROOMS for router in find_constants(f"marketplace.console.{room}", Router)]
    return Litestar(
        route_handlers=[
            signing_in.to_console,
            Router(
                PATH,
                route_handlers=[files, *signing_in.HANDLERS, *pages],
                dependencies={"desk": Provide(provide_desk), "form": Provide(provide_form)},
            ),
        ],
        template_config=TemplateConfig(instance=engine),
        csrf_config=CSRFConfig(
            secret=services.keys.derive_secret("marketplace.console.csrf.v1").hex(),
            cookie_name="marketplace_csrf",
            cookie_path=PATH,
            cookie_samesite="strict",
            cookie_httponly=True,
            cookie_secure=door.is_secure,
            exclude=[f"^{PATH}/static"],
        ),
        exception_handlers=_HANDLERS,
        openapi_config=None,
        state=State({"door": door}),
        logging_config=None,
        debug=False,
    )


def _ask_to_sign_in(request: Request[Any, Any, Any], _: Exception) -> Response[Any]:
    """Lead to the sign-in page. If htmx asked for a part of a page, let it load that page as a whole."""
    if "hx-request" in request.headers:
        return Response(b"", status_code=HTTP_401_UNAUTHORIZED, headers={"HX-Redirect": f"{PATH}/sign-in"})
    return Redirect(f"{PATH}/sign-in", status_code=HTTP_303_SEE_OTHER)


def _show_problem(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer a refusal with a page that says it; a part of a page gets a part."""
    errors: list[tuple[str, str]] = []
    if isinstance(error, ProblemError):
        status, code, detail = error.status, error.code, error.detail
        errors = [(name_field(one["pointer"]), one["detail"]) for one in error.problem.get("errors", ())]
    elif isinstance(error, HTTPException) and error.status_code < HTTP_500_INTERNAL_SERVER_ERROR:
        status, code, detail = error.status_code, HTTPStatus(error.status_code).phrase, error.detail
        detail = f"there is no page {request.url.path}" if status == HTTP_404_NOT_FOUND else detail
    elif isinstance(error, Unavailable):
        status, code, detail = HTTP_503_SERVICE_UNAVAILABLE, "unavailable", str(error)
    else:
        _log.error("console_failed", error=repr(error), trace=traceback.format_exception(error))
        status, code, detail = HTTP_500_INTERNAL_SERVER_ERROR, "internal_error", "an error of the console was logged"
    name = "problem.part.html" if "hx-request" in request.headers else "problem.html"
    context = {"status": status, "code": code, "detail": detail, "errors": errors, "desk": None}
    return Template(name, context=context, status_code=status)


_HANDLERS: Final[ExceptionHandlersMap] = {SignedOut: _ask_to_sign_in, Exception: _show_problem}
