"""Indexes the log: which command made which events, when, and whom each concerns."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, Index, literal_column
from sqlalchemy.ext.asyncio import AsyncConnection

from events.registry import AGGREGATES, EVENT_TYPES
from events.types import Event
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, define_history, document, instant, text, whole
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.feed.holders import (
    event_holders,
    event_instruments,
    fold,
    get_issuer,
    list_depths,
    load,
)
from marketplace.projections.feed.visibility import get_audience, get_joined, get_joining, get_relatives

BLOCK_ROWS: Final = 10_000
BLOCK: Final = literal_column(f"(sequence / {BLOCK_ROWS})", BigInteger)
"""The block of the log in which an event is. Its index finds the latest time of each block by one look-up."""
event_index: Final = define_history(
    "event_index",
    whole("sequence", key=True),
    text("aggregate"),
    text("aggregate_id"),
    text("tag"),
    text("event_id"),
    text("command_id"),
    text("correlation_id", null=True),
    text("fingerprint"),
    instant("occurred_at"),
    Index("ix_event_index_command", "command_id"),
    Index("ix_event_index_aggregate", "aggregate_id", "sequence"),
    Index("ix_event_index_correlation", "correlation_id"),
    Index("ix_event_index_event", "event_id"),
    Index("ix_event_index_block", BLOCK, "occurred_at"),
    origin=Origin(),
)
"""`correlation_id` is NULL where the event's command began its chain."""
event_parties: Final = define_history(
    "event_parties",
    text("party_id", key=True),
    whole("sequence", key=True),
    text("depth"),
    origin=Origin(),
)
owners: Final = define("event_owners", text("id", key=True), document("parties"), origin=Origin())


def _index(changes: WriteBatch, fact: RecordedEvent, _: Event) -> None:
    envelope = fact.envelope
    chain = None if envelope.correlationid == envelope.causationid else envelope.correlationid
    names = (fact.aggregate, fact.id, fact.tag, envelope.id, envelope.causationid, chain, envelope.fingerprint)
    changes.append(event_index, fact.sequence, *names, envelope.time)
    members: set[str] = set()
    for relative in get_relatives(fact):
        row = changes.find(owners, relative)
        if row is not None:
            members.update(row["parties"])
    audience = get_audience(fact, members, list_depths(changes, get_issuer(fact) or ""))
    for party_id, depth in sorted(audience.items()):
        changes.append(event_parties, party_id, fact.sequence, depth)
    fold(changes, fact)
    joining = get_joining(fact, members)
    if joining:
        changes.put(owners, id=get_joined(fact), parties=sorted(joining))


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    await changes.load(connection, owners, {(relative,) for fact in batch for relative in get_relatives(fact)})
    await load(changes, batch, connection)


PROJECTION: Final = Projection(
    name="feed",
    version=6,
    tables=(event_index, event_parties, owners, event_holders, event_instruments),
    reads=AGGREGATES,
    handlers=dict.fromkeys(EVENT_TYPES.values(), _index),
    load=_load,
)
