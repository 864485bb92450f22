"""Queries of the feed: the events that concern a party, and the events of a command."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from events.issuer_holders import Depth
from marketplace.projections.engine.queries import PAGE_ROWS_MAX, load_all, page
from marketplace.projections.feed.projection import BLOCK, BLOCK_ROWS, event_index, event_parties
from marketplace.projections.feed.visibility import EVERYONE, FULL


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """The position of one event; its body is in the log.

    Attributes:
        correlation_id: The command that began the chain of its command; None if its own command did.
        depth: How much of the body the party sees.
    """

    sequence: int
    aggregate: str
    aggregate_id: str
    tag: str
    event_id: str
    command_id: str
    correlation_id: str | None
    fingerprint: str
    occurred_at: datetime
    depth: Depth = FULL


class _ConcernedView(EventView, frozen=True, kw_only=True):
    """An event with a party that it concerns."""

    party_id: str


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to read.

    Attributes:
        kinds: Only of these kinds of aggregates; None: of all.
        tags: Only of these types, such as ``grant.issued.v1``; none: of all.
        hidden: None of these types.
        aggregate_id: Only of this aggregate.
        event_id: Only the event with this id.
        command_id: Only what this command recorded, and the commands whose chain it began.
        until: Only up to this sequence, so that a filter that finds little reads no whole log.
    """

    kinds: frozenset[str] | None = None
    tags: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    aggregate_id: str | None = None
    event_id: str | None = None
    command_id: str | None = None
    until: int


async def list_events(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    chosen: EventFilter | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[EventView]:
    """Return the events above the sequence `after` that concern a party, in the log's order.

    Args:
        connection: Where to read.
        party_id: The tenant; None for the platform, which sees everything.
        chosen: Only these.
        after: The last sequence of the previous page.
        limit: Rows of a page, at most 1,000.
    """
    query = select(event_index).where(event_index.c.sequence > after).order_by(event_index.c.sequence)
    if chosen is not None:
        query = query.where(*_list_conditions(chosen))
    if party_id is not None and chosen is not None:
        mine = event_parties.c.party_id.in_((party_id, EVERYONE))
        query = query.join(event_parties, event_parties.c.sequence == event_index.c.sequence).where(mine)
        query = query.add_columns(event_parties.c.depth)
    elif party_id is not None:
        seen = _seen_by(party_id, after, min(limit, PAGE_ROWS_MAX))
        query = query.join(seen, seen.c.sequence == event_index.c.sequence).add_columns(seen.c.depth)
    return await load_all(connection, page(query, limit), EventView)


async def list_concerned(
    connection: AsyncConnection, parties: Collection[str | None], *, after: int, until: int
) -> list[tuple[str | None, EventView]]:
    """Return the events in a span of the log that concern any of some parties, each with the party.

    An event that everybody sees is there once, with `EVERYONE`. None among the parties stands for the platform. The
    events are in no order, and only the span limits them.
    """
    span = (event_index.c.sequence > after, event_index.c.sequence <= until)
    named = [*(party_id for party_id in parties if party_id is not None), EVERYONE]
    both = event_parties.c.sequence == event_index.c.sequence
    mine = select(event_index, event_parties.c.depth, event_parties.c.party_id).join(event_parties, both)
    found = await load_all(connection, mine.where(*span, event_parties.c.party_id.in_(named)), _ConcernedView)
    rows: list[tuple[str | None, EventView]] = [(view.party_id, view) for view in found]
    if None in parties:
        rows += [(None, view) for view in await load_all(connection, select(event_index).where(*span), EventView)]
    return rows


def _list_conditions(chosen: EventFilter) -> Iterator[Any]:
    yield event_index.c.sequence <= chosen.until
    if chosen.kinds is not None:
        yield event_index.c.aggregate.in_(chosen.kinds)
    if chosen.tags:
        yield event_index.c.tag.in_(chosen.tags)
    if chosen.hidden:
        yield event_index.c.tag.not_in(chosen.hidden)
    if chosen.aggregate_id is not None:
        yield event_index.c.aggregate_id == chosen.aggregate_id
    if chosen.event_id is not None:
        yield event_index.c.event_id == chosen.event_id
    if chosen.command_id is not None:
        yield (event_index.c.command_id == chosen.command_id) | (event_index.c.correlation_id == chosen.command_id)


def _seen_by(party_id: str, after: int, limit: int) -> Any:
    """Return the next sequences of a party and of public events. Each half is one scan of an index."""
    halves = [
        select(event_parties.c.sequence, event_parties.c.depth)
        .where(event_parties.c.party_id == name, event_parties.c.sequence > after)
        .order_by(event_parties.c.sequence)
        .limit(limit)
        .subquery()
        for name in (party_id, EVERYONE)
    ]
    return union_all(*(select(half.c.sequence, half.c.depth) for half in halves)).subquery()


async def is_visible(connection: AsyncConnection, sequence: int, party_id: str) -> bool:
    """Return whether an event concerns a party, and the party sees the whole of it."""
    mine = (event_parties.c.depth == FULL) & event_parties.c.party_id.in_((party_id, EVERYONE))
    query = select(func.count()).select_from(event_parties).where(event_parties.c.sequence == sequence, mine)
    return bool((await connection.execute(query)).scalar_one())


async def list_visible(connection: AsyncConnection, sequences: Collection[int], party_id: str) -> set[int]:
    """Return those of the events that concern a party and that it sees as a whole."""
    mine = (event_parties.c.depth == FULL) & event_parties.c.party_id.in_((party_id, EVERYONE))
    query = select(event_parties.c.sequence).where(event_parties.c.sequence.in_(sequences), mine)
    return {row[0] for row in await connection.execute(query)}


async def list_command_events(connection: AsyncConnection, command_id: str, *, limit: int = 1_000) -> list[EventView]:
    """Return the events that one command recorded, in order; empty if it never took effect."""
    query = select(event_index).where(event_index.c.command_id == command_id).order_by(event_index.c.sequence)
    return await load_all(connection, page(query, limit), EventView)


async def list_client_commands(connection: AsyncConnection, *, after: int, limit: int) -> list[tuple[int, str, str]]:
    """Return the events of clients' commands above the sequence `after`: sequence, command, fingerprint.

    The fingerprint of a client's command is a hash in hex. A worker's names the worker and its step, with a slash.
    """
    columns = (event_index.c.sequence, event_index.c.command_id, event_index.c.fingerprint)
    query = select(*columns).where(event_index.c.sequence > after, event_index.c.fingerprint.not_like("%/%"))
    rows = await connection.execute(query.order_by(event_index.c.sequence).limit(limit))
    return [(row.sequence, row.command_id, row.fingerprint) for row in rows]


async def find_sequence_before(connection: AsyncConnection, start: datetime) -> int:
    """Return the sequence before the first event from an instant on; the last one if there is no such event yet.

    Times do not rise with the sequence: imported events are older. So the first block of the log whose latest time
    reaches the instant is searched, and no other.
    """
    sequence, time = event_index.c.sequence, event_index.c.occurred_at
    last = select(func.max(sequence)).scalar_subquery()
    number = func.generate_series(0, last.op("/")(BLOCK_ROWS)).column_valued("number")
    blocks = select(number).order_by(number).subquery()
    latest = select(func.max(time)).where(blocks.c.number == BLOCK).scalar_subquery()
    reached = select(blocks.c.number).where(latest >= start).order_by(blocks.c.number).limit(1).cte("reached")
    begun = select(reached.c.number * BLOCK_ROWS).scalar_subquery()
    block = sequence.between(begun, begun + BLOCK_ROWS - 1)
    first = select(func.min(sequence)).where(block, time >= start).scalar_subquery()
    return int((await connection.execute(select(func.coalesce(first - 1, last, 0)))).scalar_one())


async def find_time_of(connection: AsyncConnection, sequence: int) -> datetime | None:
    """Return when the event at a sequence occurred, or the last event if the sequence is later; None before any."""
    query = select(event_index.c.occurred_at).where(event_index.c.sequence <= sequence)
    row = (await connection.execute(query.order_by(event_index.c.sequence.desc()).limit(1))).first()
    return None if row is None else row.occurred_at
