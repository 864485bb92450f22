"""The event feed: its pages, and events in its form. A tenant gets what concerns it, the platform everything.

The platform's feed comes from the log. A tenant's feed comes from the projection that knows whom each event concerns,
with the bodies from the log. Both are in the log's order, without gaps or repeats, and resume after any sequence.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from events.envelope import CONTENT_TYPE, SPEC_VERSION, TYPE_PREFIX, Envelope, render_time
from events.issuer_holders import Depth
from events.registry import parse_type, render_body
from marketplace.api.http.bodies.feed import CloudEvent, FeedItem, FeedPage
from marketplace.api.http.queries import Reader
from marketplace.api.http.services import Services
from marketplace.core.errors import Corrupt
from marketplace.core.ids import rename_id
from marketplace.log.events import parse_event
from marketplace.log.port import Recorded
from marketplace.projections.engine.positions import load_reached
from marketplace.projections.feed import PROJECTION, EventView, list_events
from marketplace.projections.feed.queries import EventFilter
from marketplace.projections.feed.visibility import limit_seen

BODIES_AT_ONCE_MAX: Final = 32
FILTERED_MAX: Final = 100_000
"""Events that a page with a filter looks through at most."""
_PROPOSED: Final = "marketplace.proposal.made.v1"
"""An event of which even its company does not see all: the holders of a buyer are shown to the buyer only."""
_COVERING: Final = tuple(
    f"{TYPE_PREFIX}{name}."
    for name in ("auction", "bond", "grant.transferred", "issuer", "mandate", "proposal", "register", "schedule")
)
"""Events that follow others of their aggregate which some of their readers see in part or not at all."""
_encode = msgspec.json.Encoder(decimal_format="string").encode


def is_limited(recorded: Recorded, depth: Depth, party_id: str | None) -> bool:
    """Return whether a party sees less of an event than is stored."""
    return depth != "full" or (party_id is not None and recorded.envelope.type == _PROPOSED)


def hides_hash(recorded: Recorded, depth: Depth, party_id: str | None) -> bool:
    """Return whether a party does not see an event's hashes: with them it could find hidden amounts by trying.

    The hash of an event covers all earlier ones of its aggregate. So no party sees any of an auction, which would tell
    sealed offers, and of the other kinds in `_COVERING`, nor of another's account, nor of a grant that it uses by
    transfer.
    """
    if party_id is None:
        return False
    kind, _, id_ = recorded.envelope.subject.partition("/")
    is_foreign = kind == "account" and id_ != rename_id("acc", party_id)
    return depth != "full" or is_foreign or recorded.envelope.type.startswith(_COVERING)


def hides_person(envelope: Envelope, party_id: str | None) -> bool:
    """Return whether a party does not see which key and person acted: those of another party are that party's own."""
    return party_id not in (None, envelope.actor) and envelope.actor.startswith("pty_")


def render_item(recorded: Recorded, depth: Depth = "full", party_id: str | None = None) -> FeedItem:
    """Return a stored event in the feed's form. The body is the stored bytes, unless a depth limits what is seen."""
    envelope: Envelope = recorded.envelope
    body = recorded.body
    if is_limited(recorded, depth, party_id):
        body = render_body(limit_seen(parse_event(recorded), party_id, depth))
    hidden = hides_hash(recorded, depth, party_id)
    foreign = hides_person(envelope, party_id)
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
        actorkey="" if foreign else envelope.actorkey,
        actorperson="" if foreign else envelope.actorperson,
        hash="" if hidden else envelope.hash,
        previoushash="" if hidden else envelope.previoushash,
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
        hidden: No events of these types.
        aggregate_id: Only events of this aggregate.
        event_id: Only the event with this id.
        command_id: Only events of this command, and of those whose chain it began.
    """

    party_id: str | None = None
    kinds: frozenset[str] | None = None
    tags: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    aggregate_id: str | None = None
    event_id: str | None = None
    command_id: str | None = None

    def takes(self, view: EventView) -> bool:
        """Return whether it selects an event that concerns the party."""
        return (
            (self.kinds is None or view.aggregate in self.kinds)
            and (not self.tags or view.tag in self.tags)
            and view.tag not in self.hidden
            and self.aggregate_id in {None, view.aggregate_id}
            and self.event_id in {None, view.event_id}
            and self.command_id in {None, view.command_id, view.correlation_id}
        )

    @property
    def filters(self) -> bool:
        """Whether it may leave out events that concern the party."""
        return self.narrows or self.kinds is not None or bool(self.tags or self.hidden)

    @property
    def narrows(self) -> bool:
        """Whether it asks for one aggregate, event or command, which an index finds anywhere in the log."""
        return any(one is not None for one in (self.aggregate_id, self.event_id, self.command_id))


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
    return (await load_selected(reader, after, limit, selection)).page


async def load_selected(reader: Reader, after: int, limit: int, selection: Selection) -> Loaded:
    """Return a page as `load_page` does, whether more follows, and where the projection stopped.

    Raises:
        UnreadableEvent: As `load_page`.
        Unavailable: As `load_page`.
    """
    if selection == Selection():
        page = await load_whole(reader.services, after, limit)
        return Loaded(page, more=len(page.items) == limit)
    async with reader.connect() as connection:
        reached = await load_reached(connection, [PROJECTION])
        end, chosen = reached.position, None
        if selection.filters:
            end = end if selection.narrows else min(end, after + FILTERED_MAX)
            chosen = EventFilter(
                kinds=selection.kinds,
                tags=selection.tags,
                hidden=selection.hidden,
                aggregate_id=selection.aggregate_id,
                event_id=selection.event_id,
                command_id=selection.command_id,
                until=end,
            )
        found = await list_events(connection, party_id=selection.party_id, chosen=chosen, after=after, limit=limit)
    page = await _load_bodies(reader, found, after)
    if len(found) == limit or (found and page.next_after < found[-1].sequence):
        return Loaded(page, more=len(found) == limit)
    page = msgspec.structs.replace(page, next_after=max(page.next_after, end))
    stopped = next((position + 1 for position in reached.stopped.values()), None)
    return Loaded(page, more=True) if end < reached.position else Loaded(page, stopped)


async def load_whole(services: Services, after: int, limit: int) -> FeedPage:
    """Return the events of the log above `after`, as the platform sees them.

    Raises:
        UnreadableEvent: The next message is damaged and not annotated.
        Unavailable: NATS cannot be reached.
    """
    items: list[FeedItem] = []
    pages = services.handler.log.read(after)
    async with contextlib.aclosing(pages) as closing:  # type: ignore[type-var]
        async for page in closing:
            for recorded in page:
                is_damaged = recorded.damage is not None and not recorded.annotated
                if is_damaged and not items:
                    parse_event(recorded)
                if is_damaged or len(items) == limit:
                    return _build_page(services, items, after)
                items += [] if recorded.void else [render_item(recorded)]
                after = recorded.sequence
    return _build_page(services, items, after)


def _build_page(services: Services, items: list[FeedItem], after: int) -> FeedPage:
    return FeedPage(items=items, next_after=after, head=max(after, services.follower.position))


async def find_all(services: Services, sequences: Sequence[int]) -> list[Recorded]:
    """Return the events of the log at these positions, at most `BODIES_AT_ONCE_MAX`.

    Raises:
        Corrupt: One is not in the log.
        Unavailable: NATS cannot be reached.
    """
    found = await asyncio.gather(*(services.handler.log.find(sequence) for sequence in sequences))
    missing = next((sequence for sequence, each in zip(sequences, found, strict=True) if each is None), None)
    if missing is not None:
        raise Corrupt(f"event {missing} is in the feed but not in the log; rebuild the projection feed")
    return [each for each in found if each is not None]


async def _load_bodies(reader: Reader, views: Sequence[EventView], after: int) -> FeedPage:
    """Return the events at these positions. A damaged one ends the page, as in the platform's feed.

    The index may know an event that was damaged or lost later.
    """
    items: list[FeedItem] = []
    for begin in range(0, len(views), BODIES_AT_ONCE_MAX):
        some = views[begin : begin + BODIES_AT_ONCE_MAX]
        for view, recorded in zip(some, await find_all(reader.services, [view.sequence for view in some]), strict=True):
            sequence = view.sequence
            if recorded.damage is not None and not recorded.annotated:
                if not items:
                    parse_event(recorded)
                return _build_page(reader.services, items, after)
            depth = "full" if reader.party_id is None else view.depth
            items += [] if recorded.void else [render_item(recorded, depth, reader.party_id)]
            after = sequence
    return _build_page(reader.services, items, after)


def render_message(item: FeedItem) -> bytes:
    """Return one server-sent event: its id is the sequence, its name the event's type."""
    name = parse_type(item.event.type)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (item.sequence, name.encode(), _encode(item))
