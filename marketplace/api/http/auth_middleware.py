"""The checks that every request passes first: credentials, scope, rate, and form.

Refusals in order: header_invalid · rate_limited · credentials_… · scope_missing · encoding_unsupported ·
media_type_unsupported · header_invalid · <aggregate>_unknown for a path that holds no id of that kind ·
parameter_unsupported · requests_exhausted.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple, get_args
from urllib.parse import parse_qsl, unquote_to_bytes

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from marketplace.api.http.body_faults import FAULTS_MAX
from marketplace.api.http.deprecation import find_headers
from marketplace.api.http.drain import has_body
from marketplace.api.http.envelope import ADDED
from marketplace.api.http.keys import SEALED, Principal
from marketplace.api.http.known_values import PREFIXED, require_id, suggest
from marketplace.api.http.media_types import EVENT_STREAM, parse_media_type, prefers, require_utf8
from marketplace.api.http.problems import list_fields
from marketplace.api.http.rate_limit import AtOnce, Headers, RateLimit
from marketplace.api.http.services import Services
from marketplace.core.errors import Refusal, join_refusals
from marketplace.core.ids import is_id
from marketplace.domain.refusals import refuse_unknown

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FILTERED: Final = {
    **{aggregate: prefix for aggregate, prefix in PREFIXED.items() if aggregate != "account"},
    "event": "evt",
    "provider": "pty",
    "startup": "pty",
}
"""Prefixes of the ids by which lists are filtered. Others are of several kinds: entries of an account may be those of a
grant, and a holder need not be a party."""
_WHOLE: Final = re.compile(r"-?[0-9]+", re.ASCII)
_JSON: Final = b"application/json"
_IDENTITY: Final = b"identity"
SESSION: Final = "marketplace.session"
"""The member of a request's scope in which the console names the key of a session; no client can set it."""
_SINGLE: Final = (
    b"authorization",
    b"content-encoding",
    b"content-type",
    b"idempotency-key",
    b"if-match",
    b"last-event-id",
    b"min-seq",
    b"request-id",
    b"traceparent",
)


class Limits:
    """How often each key, and each address without a valid key, may send requests, over all routes together."""

    def __init__(self, services: Services) -> None:
        self.keys = RateLimit(services.settings.requests_per_minute_max)
        self.addresses = RateLimit(services.settings.anonymous_requests_per_minute_max)
        self.at_once = AtOnce(services.settings.requests_at_once_max)


class _Parameter(NamedTuple):
    """A parameter of a query: whether it may stand several times, and whether it is a whole number."""

    repeats: bool
    is_whole: bool


def _is_whole(annotation: Any) -> bool:
    return int in (annotation, *get_args(annotation))


class AuthMiddleware:
    """ASGI middleware. A route's `opt` names its feature; a route without one is open to all.

    A route whose `opt` says `public` is open to all where the settings allow it. The `opt` may also state a `scope` in
    place of the feature's, whether the route is `sealed` (it shows the platform other parties' offers), which of its
    parts are `deprecated` (`deprecation.py`), the `media_types` and `encodings` that it accepts (by default
    uncompressed JSON), and whether it `streams`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._parameters: dict[Any, dict[str, _Parameter]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or raise an error that becomes a problem document."""
        assert scope["type"] == ScopeType.HTTP, "there are no other routes"
        feature: str | None = scope["route_handler"].opt.get("feature")
        if feature is None:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._is_public(scope, headers):
            _hit_address(scope)
            self._read_query(scope)
            await self._app(scope, receive, send)
            return
        principal = scope["user"] = await self._admit(scope, headers)
        _require_form(scope, headers)
        self._read_query(scope)
        if scope["route_handler"].opt.get("streams") and prefers(scope, EVENT_STREAM):
            await self._app(scope, receive, send)
            return
        limits: Limits = scope["litestar_app"].state["limits"]
        limits.at_once.begin(principal.key_id)
        try:
            await self._app(scope, receive, send)
        finally:
            limits.at_once.end(principal.key_id)

    @staticmethod
    def _is_public(scope: Any, headers: dict[bytes, bytes]) -> bool:
        """Return whether the route is open to everybody here, and the request comes without a key."""
        services: Services = scope["litestar_app"].state["services"]
        is_open = services.settings.public_market and scope["route_handler"].opt.get("public", False)
        return is_open and b"authorization" not in headers and SESSION not in scope

    def _read_query(self, scope: Any) -> None:
        """Refuse parameters that the route does not have, and announce in headers what of it will end."""
        names = self._require_parameters(scope) if scope["query_string"] else set()
        added: Headers = scope[ADDED]
        added += find_headers(scope["route_handler"].opt, names)

    def _require_parameters(self, scope: Any) -> set[str]:
        """Return the names of the query's parameters, and refuse those that would pass in silence.

        These are parameters that the route does not have, repeats of one that has one value, the word `null`, which
        Litestar reads as no value, whole numbers in other forms, such as `1e2`, and ids that nothing can have.

        Raises:
            Refusal: ``parameter_unsupported`` · ``parameter_repeated`` · ``request_invalid``, with those of the other
                parameters as `others`, up to `FAULTS_MAX` in all.
        """
        if not self._parameters:
            for route in scope["litestar_app"].routes:
                for handler, model in getattr(route, "route_handler_map", {}).values():
                    fields = list_fields(handler)
                    names = {
                        each.field_alias: _Parameter(each.is_sequence, _is_whole(fields[each.field_name].annotation))
                        for each in model.expected_query_params
                    }
                    self._parameters[handler] = self._parameters.get(handler, {}) | names
        known = self._parameters[scope["route_handler"]]
        seen: set[str] = set()
        refused: list[Refusal] = []
        for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
            try:
                _require_parameter(name, value, known, seen)
            except Refusal as refusal:
                refused.append(refusal)
                if len(refused) == FAULTS_MAX:
                    break
            seen.add(name)
        if refused:
            raise join_refusals(refused)
        return seen

    async def _admit(self, scope: Any, headers: dict[bytes, bytes]) -> Principal:
        added: Headers = scope[ADDED]
        services: Services = scope["litestar_app"].state["services"]
        limits: Limits = scope["litestar_app"].state["limits"]
        authorization = headers.get(b"authorization")
        try:
            _require_single(scope, headers)
            if SESSION in scope:
                principal = await services.keys.admit(scope[SESSION])
            else:
                principal = await services.keys.verify(
                    None if authorization is None else authorization.decode("latin-1")
                )
        except Refusal:
            _hit_address(scope)
            raise
        limits.keys.hit(principal.key_id, added)
        for needed in _list_needed(scope, principal):
            if not principal.allows(needed):
                text = f"this key lacks the scope {needed}; ask for one that has it"
                raise Refusal("scope_missing", text, scope=needed)
        return principal


def _hit_address(scope: Any) -> None:
    """Count a request without a valid key for its address.

    Raises:
        Refusal: ``rate_limited``.
    """
    limits: Limits = scope["litestar_app"].state["limits"]
    limits.addresses.hit((scope.get("client") or ("unknown", 0))[0], scope[ADDED])


def _require_parameter(name: str, value: str, known: Mapping[str, _Parameter], seen: Collection[str]) -> None:
    """Refuse a value of the query as `_require_parameters` says; `seen` are the parameters before it."""
    if name not in known:
        listed = f"; use {', '.join(sorted(known))}" if known else ""
        text = f"this route has no parameter {name!r}{listed}{suggest(name, known)}"
        raise Refusal("parameter_unsupported", text, pointer=f"/{name}")
    if name in seen and not known[name].repeats:
        raise Refusal("parameter_repeated", f"{name} has one value; send it once", pointer=f"/{name}")
    if value == "null":
        raise Refusal("request_invalid", f"{name} cannot be null; leave it out", pointer=f"/{name}")
    if known[name].is_whole and not _WHOLE.fullmatch(value):
        raise Refusal("request_invalid", f"{name} must be a whole number, in digits alone", pointer=f"/{name}")
    if name.endswith("_id"):
        require_id(name, value, _FILTERED.get(name.removesuffix("_id")))


def _require_single(scope: Any, headers: dict[bytes, bytes]) -> None:
    """Refuse a header that stands twice, where readers could take different ones.

    Raises:
        Refusal: ``header_invalid``.
    """
    if len(headers) == len(scope["headers"]):
        return
    names = [name for name, _ in scope["headers"]]
    for name in _SINGLE:
        if names.count(name) > 1:
            raise Refusal("header_invalid", f"the header {name.decode()} stands twice in the request; send it once")


def _list_needed(scope: Any, principal: Principal) -> tuple[str, ...]:
    """Return the scopes that a request needs."""
    options = scope["route_handler"].opt
    verb = "read" if scope["method"] in _READS else "write"
    own = options.get("scope") if scope["method"] != "OPTIONS" else None
    needed = own or f"{options['feature']}:{verb}"
    return (needed, SEALED) if options.get("sealed") and principal.party_id is None else (needed,)


def _require_form(scope: Any, headers: dict[bytes, bytes]) -> None:
    """Refuse unsupported encodings and media types, characters that cannot be stored, and paths with an invalid id.

    Raises:
        Refusal: ``encoding_unsupported`` · ``media_type_unsupported`` · ``header_invalid`` for a query that is not
            UTF-8 or has a NUL · ``<aggregate>_unknown`` for an id in the path.
    """
    options = scope["route_handler"].opt
    encodings: tuple[bytes, ...] = options.get("encodings", (_IDENTITY,))
    if headers.get(b"content-encoding", _IDENTITY).lower() not in encodings:
        known = ", ".join(encoding.decode() for encoding in encodings)
        raise Refusal("encoding_unsupported", f"bodies are read as {known} here; send it with such a Content-Encoding")
    media_type, charset = parse_media_type(headers.get(b"content-type", b""))
    media_types: tuple[bytes, ...] = options.get("media_types", (_JSON,))
    if has_body(headers) and media_type not in media_types:
        known = " or ".join(known.decode() for known in media_types)
        raise Refusal(
            "media_type_unsupported", f"this route does not accept this media type; send Content-Type: {known}"
        )
    require_utf8(charset)
    if b"%00" in scope["query_string"]:
        raise Refusal("header_invalid", "the query contains a NUL character; leave it out")
    if b"%" in scope["query_string"] or not scope["query_string"].isascii():
        try:
            unquote_to_bytes(scope["query_string"]).decode()
        except UnicodeDecodeError:
            raise Refusal("header_invalid", "the query is not UTF-8; send it so, percent-encoded") from None
    for name, value in scope["path_params"].items():
        aggregate = name.removesuffix("_id")
        if aggregate in PREFIXED and not is_id(value, PREFIXED[aggregate]):
            raise refuse_unknown(aggregate, value if value.isprintable() else "of unprintable characters")
