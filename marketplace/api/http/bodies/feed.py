"""Answers of the event feed."""

import msgspec

from events.issuer_holders import Depth


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
    hash: str
    data: msgspec.Raw
    previoushash: str = ""
    actorkey: str = ""
    actorperson: str = ""
    fingerprint: str = ""
    traceparent: str = ""


class FeedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One event and its position.

    Attributes:
        sequence: Position in the log; resume after it.
        event: The event.
        depth: How much of its data the reader sees. Below ``full``, others' amounts are summed or left out. The hash is
            always that of the stored body.
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
