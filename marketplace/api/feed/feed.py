"""The event feed: pages and a stream of server-sent events. A tenant gets what concerns it, the platform everything.

The platform's feed comes from the log. A tenant's feed comes from the projection that knows whom each event concerns,
with the bodies from the log. Both are in the log's order, without gaps or repeats, and resume after any sequence.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from events.envelope import CONTENT_TYPE, SPEC_VERSION, Envelope, render_time
from events.issuer_holders import Depth
from events.registry import parse_type, render_body
from marketplace.api.http.bodies.feed import CloudEvent, FeedItem, FeedPage
from marketplace.api.http.problems import describe_unavailable, describe_unreadable
from marketplace.api.http.queries import Reader
from marketplace.api.http.streams import OpenStream
from marketplace.core.errors import Corrupt, Refusal, Unavailable, UnreadableEvent
from marketplace.domain.equity.information import limit_event
from marketplace.log.events import parse_event
from marketplace.log.port import Recorded
from marketplace.projections.engine.positions import load_reached
from marketplace.projections.feed import PROJECTION, EventView, list_events
from marketplace.projections.feed.queries import EventFilter

BODIES_AT_ONCE_MAX: Final = 32
STREAM_PAGE: Final = 200
FILTERED_MAX: Final = 100_000
"""Events that a page with a filter looks through at most."""
KEEP_ALIVE_SECONDS: Final = 15.0
PACE_SECONDS: Final = 0.01
"""How long a stream waits with new events before it reads them, for each open stream of the process. All streams
together then read at most a hundred times a second, whatever their number and that of the events."""
PROJECTION_SECONDS_MAX: Final = 5.0
_PROPOSED: Final = "marketplace.proposal.made.v1"
"""An event of which even its company does not see all: the holders of a buyer are shown to the buyer only."""
OPERATOR_SECONDS: Final = 5.0
"""How often a stream checks whether the message that blocks it was annotated."""
_encode = msgspec.json.Encoder(decimal_format="string").encode


def render_item(recorded: Recorded, depth: Depth = "full", party_id: str | None = None) -> FeedItem:
    """Return a stored event in the feed's form. The body is the stored bytes, unless a depth limits what is seen."""
    envelope: Envelope = recorded.envelope
    body = recorded.body
    if depth != "full" or (party_id is not None and envelope.type == _PROPOSED):
        body = render_body(limit_event(parse_event(recorded), party_id, depth))
    event = CloudEvent(
        specversion=SPEC_VERSION,
        id=envelope.id,
        source=envelope.source,
        type=envelope.type,
        subject=envelope.subject,
        time=render_time(envelope.time),
        datacontenttype=CONTENT_TYPE,
        dataschema=envelope.dataschema,
        correlationid=envelope.correlationid,
        causationid=envelope.causationid,
        actor=envelope.actor,
        actorkey=envelope.actorkey,
        actorperson=envelope.actorperson,
        hash=envelope.hash,
        previoushash=envelope.previoushash,
        fingerprint=envelope.fingerprint,
        traceparent=envelope.traceparent,
        data=msgspec.Raw(body),
    )
    return FeedItem(sequence=recorded.sequence, event=event, depth=depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a reader asks for and may see.

    Attributes:
        party_id: Only what concerns this party: the tenant, or the one that the platform names; None: everything.
        kinds: Only events of these kinds of aggregates; None: of all.
        tags: Only events of these types; none: of all.
        aggregate_id: Only events of this aggregate.
    """

    party_id: str | None = None
    kinds: frozenset[str] | None = None
    tags: frozenset[str] = frozenset()
    aggregate_id: str | None = None

    @property
    def filters(self) -> bool:
        """Tell whether it leaves out something that concerns the party."""
        return self.kinds is not None or bool(self.tags) or self.aggregate_id is not None


class Loaded(NamedTuple):
    """A page; the event before which the projection of the feed stopped, if it did; and whether more follows now."""

    page: FeedPage
    stopped: int | None = None
    more: bool = False


async def load_page(reader: Reader, after: int, limit: int, selection: Selection) -> FeedPage:
    """Return the events above `after` that concern the reader.

    A message that an operator annotated as passed over is left out. A damaged message without annotation ends a page.

    Raises:
        UnreadableEvent: The reader's next message is damaged and not annotated.
        Unavailable: NATS cannot be reached; for a tenant, or if something is selected, PostgreSQL too.
    """
    return (await _load(reader, after, limit, selection)).page


async def _load(reader: Reader, after: int, limit: int, selection: Selection) -> Loaded:
    if selection == Selection():
        page = await _load_all(reader, after, limit)
        return Loaded(page, more=len(page.items) == limit)
    async with reader.connect() as connection:
        reached = await load_reached(connection, [PROJECTION])
        end, chosen = reached.position, None
        if selection.filters:
            end = min(end, after + FILTERED_MAX)
            chosen = EventFilter(
                kinds=selection.kinds, tags=selection.tags, aggregate_id=selection.aggregate_id, until=end
            )
        found = await list_events(connection, party_id=selection.party_id, chosen=chosen, after=after, limit=limit)
    page = await _load_bodies(reader, found, after)
    if len(found) == limit or (found and page.next_after < found[-1].sequence):
        return Loaded(page, more=len(found) == limit)
    page = msgspec.structs.replace(page, next_after=max(page.next_after, end))
    stopped = next((position + 1 for position in reached.stopped.values()), None)
    return Loaded(page, more=True) if end < reached.position else Loaded(page, stopped)


async def _load_all(reader: Reader, after: int, limit: int) -> FeedPage:
    items: list[FeedItem] = []
    pages = reader.services.handler.log.read(after)
    async with contextlib.aclosing(pages) as closing:  # type: ignore[type-var]
        async for page in closing:
            for recorded in page:
                is_damaged = recorded.damage is not None and not recorded.annotated
                if is_damaged and not items:
                    parse_event(recorded)
                if is_damaged or len(items) == limit:
                    return _build_page(reader, items, after)
                items += [] if recorded.void else [render_item(recorded)]
                after = recorded.sequence
    return _build_page(reader, items, after)


def _build_page(reader: Reader, items: list[FeedItem], after: int) -> FeedPage:
    return FeedPage(items=items, next_after=after, head=max(after, reader.services.follower.position))


async def _load_bodies(reader: Reader, views: Sequence[EventView], after: int) -> FeedPage:
    """Return the events at these positions. A damaged one ends the page, as in the platform's feed.

    The index may know an event that was damaged or lost later.
    """
    items: list[FeedItem] = []
    for begin in range(0, len(views), BODIES_AT_ONCE_MAX):
        some = views[begin : begin + BODIES_AT_ONCE_MAX]
        bodies = await asyncio.gather(*(reader.services.handler.log.find(view.sequence) for view in some))
        for view, recorded in zip(some, bodies, strict=True):
            sequence = view.sequence
            if recorded is None:
                raise Corrupt(f"event {sequence} is in the feed but not in the log; rebuild the projection feed")
            if recorded.damage is not None and not recorded.annotated:
                if not items:
                    parse_event(recorded)
                return _build_page(reader, items, after)
            depth = "full" if reader.party_id is None else view.depth
            items += [] if recorded.void else [render_item(recorded, depth, reader.party_id)]
            after = sequence
    return _build_page(reader, items, after)


def render_message(item: FeedItem) -> bytes:
    """Return one server-sent event: its id is the sequence, its name the event's type."""
    name = parse_type(item.event.type)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (item.sequence, name.encode(), _encode(item))


@contextlib.contextmanager
def _listen(reader: Reader) -> Iterator[OpenStream]:
    """Yield a stream that wakes when the process has seen new events, or when it must end."""
    follower, principal = reader.services.follower, reader.principal
    with reader.services.streams.open(principal.key_id, principal.tenant) as opened:

        def hear(page: list[Recorded]) -> None:
            del page
            opened.wake.set()

        follower.listen(hear)
        try:
            yield opened
        finally:
            follower.unlisten(hear)


async def stream(reader: Reader, after: int, selection: Selection) -> AsyncIterator[bytes]:
    """Yield server-sent events above `after` while client, key and process exist, with comments in between.

    A server that is unavailable for a while delays the stream but does not end it.
    """
    try:
        async with contextlib.aclosing(_follow(reader, after, selection)) as messages:
            async for message in messages:
                yield message
    except Refusal as refusal:
        yield _comment(str(refusal))
    except Unavailable as error:
        yield _comment(describe_unavailable(error, is_operator=reader.party_id is None))


def _comment(text: str) -> bytes:
    return b": %b\n\n" % text.replace("\n", " ").encode()


async def _follow(reader: Reader, position: int, selection: Selection) -> AsyncGenerator[bytes, None]:
    told: int | None = None
    loop = asyncio.get_running_loop()
    sent = loop.time()
    with _listen(reader) as opened:
        yield b"retry: 1000\n\n"
        while not opened.ended.is_set():
            opened.wake.clear()
            try:
                loaded = await opened.unless_ended(_load_next(reader, position, selection))
            except Unavailable as error:
                yield _comment(describe_unavailable(error, is_operator=reader.party_id is None))
                await opened.unless_ended(asyncio.sleep(error.retry_after_seconds))
                continue
            except UnreadableEvent as error:
                yield _comment(describe_unreadable(error, is_operator=reader.party_id is None))
                await opened.unless_ended(asyncio.sleep(OPERATOR_SECONDS))
                continue
            if loaded is None:
                return
            page, stopped, more = loaded
            for item in page.items:
                if opened.ended.is_set():
                    return
                yield render_message(item)
                sent = loop.time()
            more = more and page.next_after > position
            position = page.next_after
            if loop.time() - sent >= KEEP_ALIVE_SECONDS:
                yield _keep_alive(position)
                sent = loop.time()
            if more or opened.ended.is_set():
                continue
            if stopped is not None and stopped != told:
                yield _comment(
                    f"the feed stopped before event {stopped}, which it cannot apply; it continues once the operator "
                    "has annotated the event or rebuilt the feed"
                )
            told = stopped
            waits = max(sent + KEEP_ALIVE_SECONDS - loop.time(), 0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(opened.wake.wait(), waits if stopped is None else OPERATOR_SECONDS)
                await opened.unless_ended(asyncio.sleep(PACE_SECONDS * reader.services.streams.count()))


def _keep_alive(position: int) -> bytes:
    """Return a message without data: clients see that the stream lives, and resume after `position`."""
    return b"id: %d\n: keep-alive\n\n" % position


async def _load_next(reader: Reader, position: int, selection: Selection) -> Loaded:
    """Return what `_load` returns. For a tenant, first wait a while for the projections to reach the process."""
    watch = reader.services.watch
    if reader.party_id is not None and watch is not None:
        with contextlib.suppress(Unavailable):
            await watch.wait_for(reader.services.follower.position, PROJECTION_SECONDS_MAX)
    return await _load(reader, position, STREAM_PAGE, selection)
