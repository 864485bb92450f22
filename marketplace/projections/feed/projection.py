"""Indexes the log: which command made which events, when, and whom each concerns."""

from collections.abc import Iterable, Sequence
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
from marketplace.projections.feed.visibility import (
    find_used,
    get_audience,
    get_joined,
    get_joining,
    get_relatives,
    name_users,
)

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
    members = _list_parties(changes, get_relatives(fact))
    users = _list_parties(changes, _list_groups(fact))
    audience = get_audience(fact, members, list_depths(changes, get_issuer(fact) or ""), users)
    for party_id, depth in sorted(audience.items()):
        changes.append(event_parties, party_id, fact.sequence, depth)
    fold(changes, fact)
    joining = get_joining(fact, members)
    if joining:
        changes.put(owners, id=get_joined(fact), parties=sorted(joining))


def _list_groups(fact: RecordedEvent) -> list[str]:
    grant_id = find_used(fact)
    return [] if grant_id is None else [name_users(grant_id)]


def _list_parties(changes: WriteBatch, groups: Iterable[str]) -> set[str]:
    rows = (changes.find(owners, group) for group in groups)
    return {party_id for row in rows if row is not None for party_id in row["parties"]}


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    groups = {(group,) for fact in batch for group in (*get_relatives(fact), *_list_groups(fact))}
    await changes.load(connection, owners, groups)
    await load(changes, batch, connection)


PROJECTION: Final = Projection(
    name="feed",
    version=12,
    tables=(event_index, event_parties, owners, event_holders, event_instruments),
    reads=AGGREGATES,
    handlers=dict.fromkeys(EVENT_TYPES.values(), _index),
    load=_load,
)
