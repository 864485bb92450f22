"""The desk of one request: who is signed in, what the menu shows, and the API as that key sees it."""

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec
from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.response import Redirect, Template
from litestar.status_codes import HTTP_204_NO_CONTENT, HTTP_303_SEE_OTHER
from litestar.types import ASGIApp, Receive, Scope, Send

from marketplace.api.access.parties import NAMES_MAX
from marketplace.api.http.auth_middleware import SESSION
from marketplace.api.http.bodies.answers import Page
from marketplace.api.http.keys import Principal
from marketplace.api.http.rate_limit import RateLimit
from marketplace.api.http.services import Services
from marketplace.client import MarketplaceClient, ProblemError, new_key
from marketplace.console.menu import MENU, Entry
from marketplace.console.sessions import COOKIE, IDLE_SECONDS_MAX, PATH, Session, Sessions
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.projections.views.access import PartyView

T = TypeVar("T")
D = TypeVar("D")
_ENTRIES_MAX: Final = 8
"""Entries of a menu that need no folding."""
LIVE: Final = "marketplace-live"
"""Header of a request that a page sends by itself after an event: the event's sequence, which the answer must show."""
_SEQUENCE: Final = re.compile(r"^[0-9]{1,15}$")
_HIDDEN: Final = frozenset(
    {"curves_unknown", "instrument_unknown", "issuer_unknown", "party_unknown", "platform_only", "scope_missing"}
)
"""Codes with which the API refuses what a key may not see; a page leaves that part out."""
_BASE_URL: Final = "http://console.internal"


class SignedOut(Exception):  # noqa: N818 - a state, answered with the sign-in page
    """The request has no valid session."""


class Door:
    """What the console needs of its process.

    Args:
        services: The API's services.
        sessions: Signs sessions.
        api: The API's application.
        is_secure: Whether browsers send the cookie over TLS alone.
    """

    def __init__(self, services: Services, sessions: Sessions, api: ASGIApp, *, is_secure: bool) -> None:
        self.is_secure = is_secure
        self.services = services
        self.sessions = sessions
        self.attempts = RateLimit(services.settings.anonymous_requests_per_minute_max)
        self._api = api

    def open_client(self, session: Session) -> MarketplaceClient:
        """Return the API as the key of a session sees it. Its reads show the session's last command."""

        async def enter(scope: Scope, receive: Receive, send: Send) -> None:
            scope[SESSION] = session.key_id  # type: ignore[typeddict-unknown-key]
            await self._api(scope, receive, send)

        client = MarketplaceClient(_BASE_URL, "", httpx.ASGITransport(enter))  # type: ignore[arg-type]
        client.last_sequence = session.sequence
        return client

    def open_public_client(self, address: tuple[str, int] | None) -> MarketplaceClient:
        """Return the API as somebody without a key sees it, whose requests count for their address."""

        async def enter(scope: Scope, receive: Receive, send: Send) -> None:
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
            scope["client"] = address
            await self._api(scope, receive, send)

        return MarketplaceClient(_BASE_URL, "", httpx.ASGITransport(enter))  # type: ignore[arg-type]

    def build_cookie(self, session: Session | None) -> Cookie:
        """Return the cookie of a session; with None, a cookie that ends the session in the browser."""
        return Cookie(
            COOKIE,
            path=PATH,
            value="" if session is None else self.sessions.render(session),
            max_age=0 if session is None else IDLE_SECONDS_MAX,
            httponly=True,
            samesite="strict",
            secure=self.is_secure,
        )


class Listing(NamedTuple, Generic[T]):
    """A page of a list.

    Attributes:
        items: Its rows.
        older: The address of the next page; None on the last page.
        newer: The address of the first page; None on the first page.
    """

    items: Sequence[T]
    older: str | None
    newer: str | None


class Desk:
    """One signed-in request.

    Attributes:
        principal: The key.
        party: Its party; None for the platform, and for a key that may not read it.
        client: The API.
        position: The page shows at least the events up to this sequence. A later event makes a live page ask again.
    """

    def __init__(
        self,
        request: Request[Any, Any, Any],
        principal: Principal,
        session: Session,
        client: MarketplaceClient,
        *,
        is_due: bool,
    ) -> None:
        self.request = request
        self.principal = principal
        self.party: PartyView | None = None
        self.client = client
        self.position = 0
        self._session = session
        self._is_due = is_due

    @property
    def party_id(self) -> str:
        """The party that is signed in.

        Raises:
            ProblemError: ``party_only``: a key of the platform is signed in.
        """
        if self.principal.party_id is None:
            raise ProblemError(403, {"code": "party_only", "detail": "this page is for a party; sign in with its key"})
        return self.principal.party_id

    @property
    def desks(self) -> tuple[str, ...]:
        """The desks whose pages the menu shows: the operator's or one per role of the party, then the market's."""
        if self.principal.party_id is None:
            return ("operator", "market")
        return (*(role for role in self.roles if role in MENU), "market")

    @property
    def menu(self) -> tuple[Entry, ...]:
        """The pages that this key may open."""
        entries = dict.fromkeys(entry for name in self.desks for entry in MENU[name])
        return tuple(one for one in entries if self.principal.allows(f"{one.feature}:read"))

    @property
    def unfolded(self) -> int:
        """How many entries of the menu always show; in a narrow window the others fold."""
        return len(self.menu) if len(self.menu) <= _ENTRIES_MAX else _ENTRIES_MAX - 1

    @property
    def first(self) -> str:
        """The path of the first page.

        Raises:
            ProblemError: ``scope_missing``: the key opens no page.
        """
        if not self.menu:
            text = "this key opens no page; sign in with one that has auctions:read, events:read or orders:read"
            raise ProblemError(403, {"code": "scope_missing", "detail": text})
        return self.menu[0].path

    @property
    def now(self) -> datetime:
        """The market's time."""
        door: Door = self.request.app.state["door"]
        return door.services.handler.clock.now()

    @property
    def key(self) -> str:
        """A new idempotency key. A form holds it, so that a second press sends the same command."""
        return new_key()

    def may(self, scope: str) -> bool:
        """Return whether the key has a scope, such as ``orders:write``."""
        return self.principal.allows(scope)

    @property
    def roles(self) -> tuple[str, ...]:
        """The party's roles; none for the platform, and for a key that may not read its party."""
        return () if self.party is None else self.party.roles

    @property
    def address(self) -> str:
        """The path and query of the request, at which the page asks for its part again."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    async def load_names(self, party_ids: Iterable[str | None]) -> dict[str, str]:
        """Return the names of parties by id, as far as the key may read them. What is no party has no name."""
        wanted = sorted({one for one in party_ids if one and is_id(one, "pty")})
        found: dict[str, str] = {}
        with contextlib.suppress(ProblemError):
            for start in range(0, len(wanted), NAMES_MAX):
                asked = wanted[start : start + NAMES_MAX]
                found |= {one.party_id: one.name async for one in self.client.parties.list_names(party_id=asked)}
        return found

    async def load_page(
        self,
        source: str,
        row: type[T],
        address: str,
        cursor: str | None,
        filters: Mapping[str, str | None] = MappingProxyType({}),
        **query: Any,
    ) -> Listing[T]:
        """Return a page of a list, with links to the others, which keep its filters.

        Args:
            source: The list in the API, such as ``/v1/orders``.
            row: Its rows.
            address: The list in the console, such as ``/console/orders``.
            cursor: Where the page begins; None: at the first row.
            filters: What the page was asked for; an empty text filters nothing.
            query: What the console itself asks for.
        """
        stated = {name: text for name, text in filters.items() if text}
        asked: dict[str, Any] = {"cursor": cursor, **stated, **query}
        page = await self.client.get(source, Page[row], **asked)  # type: ignore[valid-type]
        return Listing(
            page.items,
            page.next_cursor and f"{address}?{urlencode({'cursor': page.next_cursor, **stated})}",
            (f"{address}?{urlencode(stated)}" if stated else address) if cursor else None,
        )

    @property
    def is_live(self) -> bool:
        """Whether the page asks by itself, because something happened; this is not use of the session."""
        return LIVE in self.request.headers

    @property
    def is_partial(self) -> bool:
        """Whether a form asks, and takes a part of a page."""
        return "hx-request" in self.request.headers

    def show(self, name: str, live: str | None = None, **context: Any) -> Template:
        """Return a page, or a part of it where a form on it asks.

        Args:
            name: The template. `equity/sale.html` includes `equity/sale.part.html`, which is the part.
            live: Which events change the page, as a query of the feed, such as ``aggregate=order``; empty: all events.
                None, or a key without ``events:read``: the page stays as it is.
            context: What it shows.
        """
        if self.is_partial and not name.endswith(".part.html"):
            name = name.replace(".html", ".part.html")
        follows = None if live is None or not self.may("events:read") else f"{PATH}/live?{live}&after={self.position}"
        return Template(template_name=name, context={"desk": self, "live": follows, **context}, cookies=self._renew())

    def go(self, path: str) -> Response[Any]:
        """Return the answer to a form whose command took effect: the page to look at next."""
        if self.is_partial:
            return Response(None, status_code=HTTP_204_NO_CONTENT, headers={"HX-Redirect": path}, cookies=self._renew())
        return Redirect(path, status_code=HTTP_303_SEE_OTHER, cookies=self._renew())

    def _renew(self) -> list[Cookie]:
        """Return the session's cookie where it must be signed again: its time, or its last command, changed."""
        sequence = self.client.last_sequence
        if self.is_live or (not self._is_due and sequence == self._session.sequence):
            return []
        door: Door = self.request.app.state["door"]
        return [door.build_cookie(msgspec.structs.replace(self._session, sequence=sequence))]


async def attempt(answer: Awaitable[T], otherwise: D, *codes: str) -> T | D:
    """Return an answer of the API, or `otherwise` where the key may not see it or `codes` refuse it."""
    try:
        return await answer
    except ProblemError as problem:
        if problem.code in _HIDDEN or problem.code in codes:
            return otherwise
        raise


async def collect(rows: AsyncIterator[T]) -> list[T]:
    """Return all rows of a list, so that several lists can be awaited together."""
    return [one async for one in rows]


Desked = NamedDependency[SkipValidation[Desk]]


async def provide_desk(request: Request[Any, Any, Any]) -> AsyncIterator[Desk]:
    """Yield the desk of a request.

    Raises:
        SignedOut: There is no session, or its key is not valid any more.
    """
    door: Door = request.app.state["door"]
    found = door.sessions.read(request.cookies.get(COOKIE))
    if found is None:
        raise SignedOut
    session, is_due = found
    try:
        principal = await door.services.keys.admit(session.key_id)
    except Refusal:
        raise SignedOut from None
    async with door.open_client(session) as client:
        told = request.headers.get(LIVE, "")
        if _SEQUENCE.match(told):
            client.last_sequence = max(client.last_sequence, int(told))
        desk = Desk(request, principal, session, client, is_due=is_due)
        if principal.party_id is not None and principal.allows("parties:read"):
            desk.party = await client.parties.get(principal.party_id)
        if door.services.watch is not None:
            desk.position = door.services.watch.position
        yield desk
