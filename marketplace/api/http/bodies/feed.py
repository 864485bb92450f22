"""Answers of the event feed."""

from datetime import datetime
from typing import Any

import msgspec

from events.issuer_holders import Depth
from events.registry import parse_body, parse_type
from events.types import Event


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as CloudEvents 1.0 in JSON; see `events.envelope` for the attributes."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    dataschema: str
    correlationid: str
    causationid: str
    actor: str
    data: msgspec.Raw
    hash: str = ""
    previoushash: str = ""
    actorkey: str = ""
    actorperson: str = ""
    fingerprint: str = ""
    traceparent: str = ""

    def parse(self) -> Event:
        """Return the data as its type, such as `events.grant.GrantIssued`.

        Raises:
            UnknownEventType: This release does not know the type.
        """
        return parse_body(parse_type(self.type), bytes(self.data))


class FeedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One event and its position.

    Attributes:
        sequence: Position in the log; resume after it.
        event: The event.
        depth: How much of its data the reader sees. Below ``full``, others' amounts are summed or left out.
    """

    sequence: int
    event: CloudEvent
    depth: Depth = "full"


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events in the log's order.

    Attributes:
        items: The events.
        next_after: Send it as `after` in the next request. It advances even if no event concerned the reader.
        head: The last sequence that this server knows; the reader lags behind by its distance from `next_after`.
    """

    items: list[FeedItem]
    next_after: int
    head: int


class ChainEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a command in a chain.

    Attributes:
        sequence: Position in the log.
        tag: Its type, such as ``grant.issued.v1``.
        aggregate: The kind of its aggregate.
        aggregate_id: Its aggregate.
    """

    sequence: int
    tag: str
    aggregate: str
    aggregate_id: str


class ChainCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command in the chain of causes and effects around an event.

    Attributes:
        command_id: The command.
        follows: The event that it followed; null where the chain begins.
        actor: Who asked for it: a party, the platform, or a worker.
        step: What the worker did; null for a client's command.
        occurred_at: When.
        events: What it recorded, at most 100 events.
    """

    command_id: str
    follows: int | None
    actor: str
    step: str | None
    occurred_at: datetime
    events: tuple[ChainEvent, ...]


class StatesAround(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an aggregate before and after one of its events, as this release folds them.

    Attributes:
        aggregate: The kind of the aggregate.
        aggregate_id: The aggregate.
        previous: The event of the aggregate before this one; null for its first.
        next: The event after this one; null for its last.
        before: The state before, as JSON; null before the first event.
        after: The state after.
    """

    aggregate: str
    aggregate_id: str
    previous: int | None
    next: int | None
    before: Any
    after: Any
