"""What every answer has in common: a request id, headers for browsers and caches, a count in the metrics, and HEAD.

It stands outside the framework's routes, so that it also wraps the answers of paths that do not exist.
"""

import re
import time
from typing import Any, Final

import structlog
import uuid_utils
from litestar.types import ASGIApp, Message, Receive, Send

from marketplace.api.http.cursors import REQUEST
from marketplace.api.http.metrics import Metrics
from marketplace.api.http.rate_limit import Headers

ADDED: Final = "marketplace.headers"
"""The member of a request's scope that collects headers of its answer, which refusals carry too."""
REQUEST_ID: Final = b"request-id"
_REQUEST_ID: Final = re.compile(rb"^[!-~]{1,128}$")
SAFE: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
]
NOT_STORED: Final = (b"cache-control", b"no-store")


def build_request_id() -> str:
    """Return a new request id; ids sort by time."""
    return str(uuid_utils.uuid7())


class Envelope:
    """ASGI application around the framework's.

    Args:
        app: The framework's application.
        metrics: Counts the answers.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._methods: dict[str, bytes] = {}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request. HEAD is answered as GET, without the body, and never opens a stream."""
        started, method, (seen, answer) = time.perf_counter(), scope["method"], read_head(scope, send)
        request_id = find_request_id(scope)
        added: Headers = [(REQUEST_ID, request_id.encode()), *SAFE]
        seen[ADDED] = added

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                if NOT_STORED[0] not in [name.lower() for name, _ in message["headers"]]:
                    added.append(NOT_STORED)
                if method == "OPTIONS" and "path_template" in seen:
                    added.append((b"allow", self._find_methods(seen)))
                    message["headers"] = [header for header in message["headers"] if header[0] != b"allow"]
                message["headers"] = [*message["headers"], *added]
                route, seconds = seen.get("path_template", "none"), time.perf_counter() - started
                self._metrics.observe(method, route, message["status"], seconds)
            await answer(message)

        tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        token = REQUEST.set((scope["path"], scope["query_string"]))
        try:
            await self._app(seen, receive, send_marked)
        finally:
            REQUEST.reset(token)
            structlog.contextvars.reset_contextvars(**tokens)

    def _find_methods(self, scope: Any) -> bytes:
        """Return the methods of a path, for `Allow`.

        Litestar 2 answers OPTIONS with the methods that the path had when its first handler was registered
        (litestar#4169).
        """
        if not self._methods:
            routes = scope["litestar_app"].routes
            self._methods = {route.path_format: ", ".join(list_methods(route.methods)).encode() for route in routes}
        return self._methods[scope["path_template"]]


def list_methods(methods: Any) -> list[str]:
    """Return the methods that a path answers: HEAD wherever it answers GET."""
    return sorted({*methods, "HEAD"} if "GET" in methods else methods)


def read_head(scope: Any, send: Send) -> tuple[Any, Send]:
    """Return a request and where its answer goes: for HEAD with GET, which opens no stream, and without the body."""
    if scope["method"] != "HEAD":
        return scope, send

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message["body"] = b""
        await send(message)

    headers = [header for header in scope["headers"] if header[0] != b"accept"]
    return {**scope, "method": "GET", "headers": headers}, send_head


def find_request_id(scope: Any) -> str:
    """Return the request id that the client chose, or a new one."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _REQUEST_ID.match(value):
            text: str = value.decode()
            return text
    return build_request_id()
