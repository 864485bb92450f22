"""``GET /v1/events``: the feed as pages, or as server-sent events if the client requests them."""

import asyncio
import gzip
import re
from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, Any, Final

from litestar import MediaType, Request, Response, Router, get
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from events.envelope import TYPE_PREFIX
from events.plain_json import encode_plain
from events.registry import AGGREGATES, EVENT_TYPES
from marketplace.api.feed.feed import Selection, load_page
from marketplace.api.feed.stream import stream
from marketplace.api.http.bodies.feed import FeedPage
from marketplace.api.http.keys import Principal
from marketplace.api.http.known_values import suggest
from marketplace.api.http.media_types import EVENT_STREAM, prefers
from marketplace.api.http.queries import (
    ACTS,
    SEQUENCE,
    Read,
    Reader,
    Word,
    describe_instant,
    list_kinds,
    parse_instant,
    require_in_log,
)
from marketplace.api.http.visibility import FAMILIES
from marketplace.core.errors import Refusal
from marketplace.domain.deciders import PREFIXES
from marketplace.projections.engine.projection import get_aggregate
from marketplace.projections.feed import find_sequence_before
from marketplace.projections.feed.visibility import PLATFORM

PATH: Final = "/v1/events"
_GZIP: Final = re.compile(r"(?:^|,)\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[^,]*)?(?:,|$)")
_COMPRESSED_BYTES_MIN: Final = 1_000
_LEVEL: Final = 4
_REQUESTS: Final = frozenset({"account.approval_requested.v1"})
"""Events that state terms of orders, mandates and proposals."""
_KINDS: Final = {prefix: aggregate for aggregate, prefix in PREFIXES.items()}
_OTHER_LOG: Final = "the position is of another log, or of one that was restored to an earlier state; begin at 0"
After = Annotated[
    int,
    QueryParameter(
        ge=0, le=2**53 - 1, description="Only events above this sequence", schema_extra={"minimum": 0}
    ),  # Litestar leaves a bound of 0 out
]
EventLimit = Annotated[int, QueryParameter(ge=1, le=1_000, description="Events of a page")]
Tags = Annotated[
    list[str] | None,
    QueryParameter(name="type", max_items=50, description="Only events of these types, such as `grant.issued.v1`"),
]
Kinds = Annotated[
    list[str] | None,
    QueryParameter(name="aggregate", max_items=50, description="Only events of these kinds, such as `grant`"),
]
EventId = Annotated[str | None, QueryParameter(max_length=60, description="Only the event with this `id`")]
CommandId = Annotated[
    str | None,
    QueryParameter(max_length=60, description="Only events of this command, and of commands whose chain it began"),
]
From = Annotated[
    str | None,
    describe_instant(
        "Begin at the first event that occurred at this RFC 3339 instant or later; all after it follow", "from"
    ),
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        description="Where a stream or a page is resumed, in place of `after`",
        schema_extra={"pattern": SEQUENCE.pattern},
    ),
]


def _select(
    reader: Reader, tags: Collection[str], kinds: Collection[str], aggregate_id: str | None, party_id: str | None
) -> Selection:
    """Return what filters select together.

    Raises:
        Refusal: ``request_invalid``, ``scope_missing`` or ``party_unknown`` for one that can never match.
    """
    _require_known("type", tags, EVENT_TYPES)
    _require_known("aggregate", kinds, AGGREGATES)
    of_id = None if aggregate_id is None else _find_kind(aggregate_id)
    require_scopes(reader.principal, [*map(get_aggregate, tags), *kinds, *([] if of_id is None else [of_id])])
    _require_shown(reader, tags, kinds, of_id)
    _require_together(tags, kinds, of_id)
    shown = list_kinds(reader.principal)
    if kinds:
        shown = frozenset(kinds) if shown is None else shown & frozenset(kinds)
    hidden = _REQUESTS if reader.hidden_acts else frozenset()
    return Selection(
        party_id=reader.narrow(party_id), kinds=shown, tags=frozenset(tags), hidden=hidden, aggregate_id=aggregate_id
    )


def _require_known(name: str, values: Collection[str], known: Collection[str]) -> None:
    for value in values:
        if value not in known:
            text = f"no event has the {name} {value!r}{suggest(value.removeprefix(TYPE_PREFIX), known)}"
            raise _refuse(name, text)


def _refuse(name: str, text: str) -> Refusal:
    return Refusal("request_invalid", text, pointer=f"/{name}")


def _find_kind(aggregate_id: str) -> str:
    """Return the kind of an aggregate by the prefix of its id."""
    kind = _KINDS.get(aggregate_id[:3])
    if kind is None:
        text = f"no aggregate has an id that begins with {aggregate_id[:4]}; prefixes are {', '.join(sorted(_KINDS))}"
        raise _refuse("aggregate_id", text)
    return kind


def _require_shown(reader: Reader, tags: Collection[str], kinds: Collection[str], of_id: str | None) -> None:
    """Refuse to filter by events that only the platform sees, or that state what the key's scopes hide."""
    for tag in tags:
        if tag in _REQUESTS and reader.hidden_acts:
            scope = "orders:sealed" if reader.party_id is None else f"{ACTS[min(reader.hidden_acts)]}:read"
            text = f"this key lacks the scope {scope}, which events of the type {tag} need; ask for one that has it"
            raise Refusal("scope_missing", text, scope=scope)
    if reader.party_id is None:
        return
    shown = EVENT_TYPES.keys() - PLATFORM
    for tag in PLATFORM.intersection(tags):
        raise _refuse("type", f"only the platform sees events of the type {tag!r}{suggest(tag, shown)}")
    hidden = {get_aggregate(tag) for tag in PLATFORM} - {get_aggregate(tag) for tag in shown}
    for name, named in (("aggregate", kinds), ("aggregate_id", [of_id])):
        for kind in hidden.intersection(named):
            raise _refuse(name, f"only the platform sees events of the kind {kind!r}")


def _require_together(tags: Collection[str], kinds: Collection[str], of_id: str | None) -> None:
    """Refuse filters that exclude one another."""
    for tag in tags:
        kind = get_aggregate(tag)
        if kinds and kind not in kinds:
            raise _refuse("type", f"events of the type {tag!r} are of the kind {kind!r}, which aggregate leaves out")
        if of_id not in {None, kind}:
            raise _refuse(
                "type", f"events of the type {tag!r} are of the kind {kind!r}, and aggregate_id is of {of_id!r}"
            )
    if kinds and of_id is not None and of_id not in kinds:
        raise _refuse("aggregate_id", f"it is of the kind {of_id!r}, which aggregate leaves out")


def require_scopes(principal: Principal, kinds: Collection[str]) -> None:
    """Refuse to ask for events of kinds that the key's scopes hide.

    Raises:
        Refusal: ``scope_missing``.
    """
    for kind in kinds:
        scope = f"{FAMILIES[kind]}:read"
        if not principal.allows(scope):
            text = f"this key lacks the scope {scope}, which events of {kind} need; ask for one that has it"
            raise Refusal("scope_missing", text, scope=scope)


async def _find_start(reader: Reader, text: str | None) -> int:
    """Return the sequence above which all events from an instant on are; 0 without an instant."""
    if text is None:
        return 0
    start = parse_instant(text, "/from")
    async with reader.connect() as connection:
        return await find_sequence_before(connection, start)


async def _answer_page(page: FeedPage, request: Request[Any, Any, Any]) -> Response[Any]:
    """Return a page, as gzip if it is long and the client reads that."""
    content, headers = encode_plain(page), {"Vary": "Accept, Accept-Encoding"}
    if len(content) >= _COMPRESSED_BYTES_MIN and _GZIP.search(request.headers.get("accept-encoding", "").lower()):
        content = await asyncio.to_thread(gzip.compress, content, _LEVEL)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=MediaType.JSON, headers=headers)


@get("/", summary="Read the event feed", opt={"streams": True, "sealed": True})
async def read(
    *,
    request: Request[Any, Any, Any],
    reader: Read,
    after: After = 0,
    limit: EventLimit = 500,
    tags: Tags = None,
    kinds: Kinds = None,
    aggregate_id: Word = None,
    event_id: EventId = None,
    command_id: CommandId = None,
    party_id: Word = None,
    start: From = None,
    last_event_id: LastEventId = None,
) -> Response[FeedPage]:
    """Return a page of events, or with ``Accept: text/event-stream`` all later events as they happen.

    A key sees the kinds of its read scopes. Filters combine. `Last-Event-ID` counts as `after`. A stream takes no
    `limit`.

    Raises:
        Refusal: ``scope_missing`` for a type or aggregate that the key's scopes hide, ``request_invalid`` for
            filters that can never match, or a stream with a `limit`, ``header_invalid`` for a `Last-Event-ID` that is
            no sequence, either for a position beyond the log's end, ``streams_exhausted``.
    """
    selection = _select(reader, tags or (), kinds or (), aggregate_id, party_id)
    selection = replace(selection, event_id=event_id, command_id=command_id)
    after = max(after, await _find_start(reader, start))
    streams = prefers(dict(request.scope), EVENT_STREAM)
    if last_event_id is None:
        await require_in_log(reader.services, after, "request_invalid", "after", remedy=_OTHER_LOG, pointer="/after")
    else:
        if not SEQUENCE.fullmatch(last_event_id):
            raise Refusal("header_invalid", "Last-Event-ID must be a sequence that the feed gave")
        after = int(last_event_id)
        await require_in_log(reader.services, after, "header_invalid", "Last-Event-ID", remedy=_OTHER_LOG)
    if not streams:
        return await _answer_page(await load_page(reader, after, limit, selection), request)
    if "limit" in request.query_params:
        raise Refusal("request_invalid", "a stream has no pages; leave limit out", pointer="/limit")
    if selection != Selection():
        reader.services.get_engine()
    reader.services.streams.require_room(reader.principal.key_id, reader.principal.tenant)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    messages = stream(request.app.state["feeds"], reader, after, selection)
    return Stream(messages, media_type=EVENT_STREAM, headers=headers)  # type: ignore[return-value]


ROUTER: Final = Router(PATH, route_handlers=[read], tags=["events"], opt={"feature": "events"})
