"""The checks that every request passes first: credentials, scope, rate, and form.

Refusals in order: rate_limited · credentials_… · scope_missing · encoding_unsupported · media_type_unsupported ·
header_invalid · <aggregate>_unknown for a path that holds no id of that kind · requests_exhausted.
"""

import time
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from marketplace.api.http.drain import has_body
from marketplace.api.http.keys import SEALED, Principal
from marketplace.api.http.metrics import Metrics
from marketplace.api.http.rate_limit import AtOnce, Headers, RateLimit
from marketplace.api.http.services import Services
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.domain.deciders import PREFIXES
from marketplace.domain.refusals import refuse_unknown

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PREFIXES: Final = {
    **PREFIXES,
    "key": "key",
    "financing": "fin",
    "liquidity": "liq",
    "option": "opt",
    "warrant": "wrt",
    "offer": "trf",
    "promise": "prm",
}
_JSON: Final = b"application/json"
_IDENTITY: Final = b"identity"
_STREAM_TYPE: Final = b"text/event-stream"


class Limits:
    """How often each key, and each address without a valid key, may send requests, over all routes together."""

    def __init__(self, services: Services) -> None:
        self.keys = RateLimit(services.settings.requests_per_minute_max)
        self.addresses = RateLimit(services.settings.anonymous_requests_per_minute_max)
        self.at_once = AtOnce(services.settings.requests_at_once_max)


class AuthMiddleware:
    """ASGI middleware. A route's `opt` names its feature; a route without one is open to all.

    The `opt` may also state a `scope` in place of the feature's, whether the route is `sealed` (it shows the platform
    other parties' offers), the `media_types` and `encodings` that it accepts (by default uncompressed JSON), and
    whether it `streams`.
    """

    def __init__(self, app: ASGIApp, services: Services, limits: Limits, metrics: Metrics) -> None:
        self._app = app
        self._services = services
        self._limits = limits
        self._metrics = metrics
        self._methods: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or raise an error that becomes a problem document."""
        assert scope["type"] == ScopeType.HTTP, "there are no other routes"
        started = time.perf_counter()
        added: Headers = []

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                if scope["method"] == "OPTIONS":
                    added.append((b"allow", self._find_methods(scope)))
                    message["headers"] = [header for header in message["headers"] if header[0] != b"allow"]
                message["headers"] = [*message["headers"], *added]
                seconds = time.perf_counter() - started
                self._metrics.observe(scope["method"], scope["path_template"], message["status"], seconds)
            await send(message)

        feature: str | None = scope["route_handler"].opt.get("feature")
        if feature is None:
            await self._app(scope, receive, send_measured)
            return
        headers = dict(scope["headers"])
        principal = scope["user"] = await self._admit(scope, headers, added)
        _require_form(scope, headers)
        if scope["route_handler"].opt.get("streams") and _STREAM_TYPE in headers.get(b"accept", b""):
            await self._app(scope, receive, send_measured)
            return
        with self._limits.at_once.enter(principal.key_id):
            await self._app(scope, receive, send_measured)

    async def _admit(self, scope: Any, headers: dict[bytes, bytes], added: Headers) -> Principal:
        authorization = headers.get(b"authorization")
        try:
            principal = await self._services.keys.verify(
                None if authorization is None else authorization.decode("latin-1")
            )
        except Refusal:
            address = (scope.get("client") or ("unknown", 0))[0]
            added += self._limits.addresses.hit(address)
            raise
        added += self._limits.keys.hit(principal.key_id)
        for needed in _list_needed(scope, principal):
            if not principal.allows(needed):
                text = f"this key lacks the scope {needed}; ask for one that has it"
                raise Refusal("scope_missing", text, scope=needed)
        return principal

    def _find_methods(self, scope: Any) -> bytes:
        """Return the methods of a path, for `Allow`.

        Litestar 2 answers OPTIONS with the methods that the path had when its first handler was registered
        (litestar#4169).
        """
        if not self._methods:
            routes = scope["litestar_app"].routes
            self._methods = {route.path_format: ", ".join(sorted(route.methods)).encode() for route in routes}
        return self._methods[scope["path_template"]]


def _list_needed(scope: Any, principal: Principal) -> tuple[str, ...]:
    """Return the scopes that a request needs."""
    options = scope["route_handler"].opt
    verb = "read" if scope["method"] in _READS else "write"
    own = options.get("scope") if scope["method"] != "OPTIONS" else None
    needed = own or f"{options['feature']}:{verb}"
    return (needed, SEALED) if options.get("sealed") and principal.party_id is None else (needed,)


def _require_form(scope: Any, headers: dict[bytes, bytes]) -> None:
    """Refuse unsupported encodings and media types, characters that cannot be stored, and paths with an invalid id."""
    options = scope["route_handler"].opt
    encodings: tuple[bytes, ...] = options.get("encodings", (_IDENTITY,))
    if headers.get(b"content-encoding", _IDENTITY) not in encodings:
        known = ", ".join(encoding.decode() for encoding in encodings)
        raise Refusal("encoding_unsupported", f"bodies are read as {known} here; send it with such a Content-Encoding")
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    media_types: tuple[bytes, ...] = options.get("media_types", (_JSON,))
    if has_body(headers) and media_type not in media_types:
        known = " or ".join(known.decode() for known in media_types)
        raise Refusal(
            "media_type_unsupported", f"this route does not accept this media type; send Content-Type: {known}"
        )
    if b"%00" in scope["query_string"]:
        raise Refusal("header_invalid", "the query contains a NUL character; leave it out")
    for name, value in scope["path_params"].items():
        aggregate = name.removesuffix("_id")
        if aggregate in _PREFIXES and not is_id(value, _PREFIXES[aggregate]):
            raise refuse_unknown(aggregate, value if value.isprintable() else "of unprintable characters")
