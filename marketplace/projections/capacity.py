"""Capacity: what each pool offers, what is reserved and what has failed, as steps over time; and the market's depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import Boolean, Column, Index
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from events import pool as pool_events
from events.types import LotShare
from marketplace.projections.changes import Changes
from marketplace.projections.facts import Fact
from marketplace.projections.projection import Projection, all_of, tags_of
from marketplace.projections.reading import PAGE_ROWS_MAX, parse_row
from marketplace.projections.schema import Origin, define, define_history, instant, text, whole

offers: Final = define(
    "capacity_offers_v1",
    text("pool_id", key=True),
    text("lot_id", key=True),
    whole("nodes"),
    instant("start"),
    instant("end"),
    Column("recalled", Boolean, nullable=False),
    text("grant_id", null=True),
    origin=Origin("pool", "pool_id"),
)
reservations: Final = define(
    "reservations_v1",
    text("pool_id", key=True),
    text("grant_id", key=True),
    whole("sequence", key=True),
    whole("line", key=True),
    text("lot_id"),
    whole("nodes"),
    instant("start"),
    instant("end"),
    instant("released_at", null=True),
    text("resale_lot_id", null=True),
    Index("ix_reservations_v1_grant", "grant_id"),
    Index("ix_reservations_v1_lot", "lot_id"),
    origin=Origin("pool", "pool_id"),
)
outages: Final = define_history(
    "outages_v1",
    text("pool_id", key=True),
    whole("sequence", key=True),
    text("incident_id"),
    whole("nodes"),
    instant("at"),
    origin=Origin("pool", "pool_id"),
)


def _offered(changes: Changes, _: Fact, event: pool_events.PoolCapacityOffered) -> None:
    span = {"nodes": event.nodes, "start": event.start, "end": event.end}
    changes.put(offers, pool_id=event.pool_id, lot_id=event.lot_id, recalled=False, grant_id=event.grant_id, **span)


def _recalled(changes: Changes, _: Fact, event: pool_events.PoolCapacityRecalled) -> None:
    changes.update(offers, event.pool_id, event.lot_id, recalled=True)


def _reserved(changes: Changes, fact: Fact, event: pool_events.PoolCapacityReserved) -> None:
    _put_shares(changes, fact, event.grant_id, event.lots)


def _put_shares(
    changes: Changes, fact: Fact, grant_id: str, lots: tuple[LotShare, ...], resale_lot_id: str | None = None
) -> None:
    for line, share in enumerate(lots):
        changes.put(
            reservations,
            pool_id=fact.id,
            grant_id=grant_id,
            sequence=fact.sequence,
            line=line,
            lot_id=share.lot_id,
            nodes=share.nodes,
            start=share.start,
            end=share.end,
            resale_lot_id=resale_lot_id,
        )


def _resold(changes: Changes, fact: Fact, event: pool_events.PoolCapacityResold) -> None:
    """Void what the seller's grant had, and write what it keeps and what the buyer's has."""
    for row in changes.rows(reservations):
        if (row["pool_id"], row["grant_id"]) == (event.pool_id, event.grant_id_before):
            key = (row["pool_id"], row["grant_id"], row["sequence"], row["line"])
            changes.update(reservations, *key, released_at=row["start"])
    _put_shares(changes, fact, event.grant_id_before, event.lots_left)
    _put_shares(changes, fact, event.grant_id, event.lots, event.lot_id)


def _released(changes: Changes, _: Fact, event: pool_events.PoolCapacityReleased) -> None:
    for row in changes.rows(reservations):
        mine = row["pool_id"] == event.pool_id and row["grant_id"] == event.grant_id
        if mine and (row["released_at"] is None or row["released_at"] > event.at):
            key = (row["pool_id"], row["grant_id"], row["sequence"], row["line"])
            changes.update(reservations, *key, released_at=event.at)


def _failed(changes: Changes, fact: Fact, event: pool_events.PoolNodeFailed) -> None:
    changes.append(outages, event.pool_id, fact.sequence, event.incident_id, event.nodes, event.at)


def _restored(changes: Changes, fact: Fact, event: pool_events.PoolNodeRestored) -> None:
    changes.append(outages, event.pool_id, fact.sequence, event.incident_id, -event.nodes, event.at)


async def _load(changes: Changes, batch: Sequence[Fact], connection: AsyncConnection) -> None:
    released = {f.event.grant_id for f in batch if isinstance(f.event, pool_events.PoolCapacityReleased)}
    resold = {f.event.grant_id_before for f in batch if isinstance(f.event, pool_events.PoolCapacityResold)}
    await changes.load_where(connection, reservations, "grant_id", released | resold)


PROJECTION: Final = Projection(
    name="capacity",
    version=1,
    tables=(offers, reservations, outages),
    handlers={
        pool_events.PoolCapacityOffered: _offered,
        pool_events.PoolCapacityRecalled: _recalled,
        pool_events.PoolCapacityReserved: _reserved,
        pool_events.PoolCapacityResold: _resold,
        pool_events.PoolCapacityReleased: _released,
        pool_events.PoolNodeFailed: _failed,
        pool_events.PoolNodeRestored: _restored,
    },
    ignores=tags_of(pool_events.PoolOpened, pool_events.PoolClosingAnnounced)
    | all_of(
        "party", "site", "lot", "mandate", "order", "auction", "grant", "usage", "statement", "account", "instrument",
        "issuer", "clock", "quote", "pricelist", "service_line",
    ),
    load=_load,
)  # fmt: skip


class CapacityStep(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of one pool over a span in which nothing changes.

    Attributes:
        start: First instant.
        end: Instant after the last.
        offered: Nodes that the provider's lots offer; what a grant resells is among those reserved.
        reserved: Nodes taken by grants.
        failed: Nodes that do not work; an outage without an end counts until the end of the window.
        free: Offered nodes that are neither reserved nor failed.
    """

    start: datetime
    end: datetime
    offered: int
    reserved: int
    failed: int
    free: int


class DepthLevel(msgspec.Struct, frozen=True, kw_only=True):
    """One price of one GPU class: what is bid or asked there.

    Attributes:
        side: ``bid``: open orders; ``ask``: listed lots that are not sold out.
        price_usd_per_gpu_hour: Cash and face value of the equity, or the ask.
        node_hours: Node-hours at this price.
        count: Orders or lots.
    """

    side: str
    price_usd_per_gpu_hour: Decimal
    node_hours: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class _Span:
    kind: str
    nodes: int
    start: datetime
    end: datetime


_SPANS: Final = """
WITH kept AS (
 SELECT pool_id, nodes, start, CASE WHEN released_at < "end" THEN greatest(start, released_at) ELSE "end" END AS until
   FROM reservations_v1 WHERE pool_id = :pool_id AND start < :end
)
SELECT 'offered' AS kind, nodes, start, "end" FROM capacity_offers_v1
 WHERE pool_id = :pool_id AND NOT recalled AND grant_id IS NULL AND start < :end AND "end" > :start
UNION ALL
SELECT 'reserved', nodes, start, until FROM kept WHERE until > :start
UNION ALL
SELECT 'failed', nodes, at, :end FROM outages_v1 WHERE pool_id = :pool_id AND at < :end
"""


async def load_calendar(
    connection: AsyncConnection, pool_id: str, *, start: datetime, end: datetime
) -> list[CapacityStep]:
    """Return the capacity of a pool over ``[start, end)`` as steps, at most 1,000 of them from the start.

    An unknown pool offers nothing.
    """
    result = await connection.execute(sql(_SPANS), {"pool_id": pool_id, "start": start, "end": end})
    spans = [_Span(*row) for row in result]
    return _sweep(spans, start, end)[:PAGE_ROWS_MAX]


def _sweep(spans: Sequence[_Span], start: datetime, end: datetime) -> list[CapacityStep]:
    deltas: dict[datetime, dict[str, int]] = {start: {}}
    for span in spans:
        for time, sign in ((max(span.start, start), 1), (span.end, -1)):
            if time < end:
                delta = deltas.setdefault(time, {})
                delta[span.kind] = delta.get(span.kind, 0) + sign * span.nodes
    level = {"offered": 0, "reserved": 0, "failed": 0}
    times = sorted(deltas)
    steps: list[CapacityStep] = []
    for time, after in zip(times, [*times[1:], end], strict=True):
        for kind, nodes in deltas[time].items():
            level[kind] += nodes
        free = max(0, level["offered"] - level["reserved"] - level["failed"])
        step = CapacityStep(start=time, end=after, free=free, **level)
        if steps and _same(steps[-1], step):
            step = msgspec.structs.replace(steps.pop(), end=after)
        steps.append(step)
    return steps


def _same(one: CapacityStep, two: CapacityStep) -> bool:
    return (one.offered, one.reserved, one.failed) == (two.offered, two.reserved, two.failed)


_DEPTH: Final = """
WITH bids AS (
 SELECT (offer->>'cash_usd_per_gpu_hour')::numeric + (offer->>'equity_usd_per_gpu_hour')::numeric AS price,
        (terms->>'nodes')::numeric * (terms->>'duration_hours')::numeric AS node_hours
   FROM orders_v1, jsonb_array_elements(terms->'offers') AS offer
  WHERE status IN ('open', 'locked') AND offer->>'gpu_class' = :gpu_class
), kept AS (
 SELECT lot_id, resale_lot_id, nodes, start,
        CASE WHEN released_at < "end" THEN greatest(start, released_at) ELSE "end" END AS until
   FROM reservations_v1
), taken AS (
 SELECT lot_id, nodes, start, until FROM kept
 UNION ALL SELECT resale_lot_id, nodes, start, until FROM kept WHERE resale_lot_id IS NOT NULL
), sold AS (
 SELECT lot_id, sum(nodes * extract(epoch FROM until - start)) / 3600 AS node_hours FROM taken GROUP BY lot_id
), steps AS (
 SELECT l.lot_id, extract(epoch FROM l."end" - l.start) / 3600 AS hours, f.price,
        coalesce(f.nodes, l.nodes - coalesce(sum(f.nodes) OVER (PARTITION BY l.lot_id), 0)) AS nodes
   FROM lots_v1 AS l JOIN pools_v1 AS p USING (pool_id)
  CROSS JOIN LATERAL (
   SELECT l.ask_usd_per_gpu_hour AS price, NULL::numeric AS nodes
    UNION ALL
   SELECT (step->>'ask_usd_per_gpu_hour')::numeric, (step->>'nodes')::numeric
     FROM jsonb_array_elements(l.further_asks) AS step
  ) AS f
  WHERE p.gpu_class = :gpu_class AND l.status = 'listed'
), spent AS (
 SELECT steps.*, coalesce(s.node_hours, 0) AS sold,
        coalesce(sum(nodes * hours) OVER cheaper, 0) AS before
   FROM steps LEFT JOIN sold AS s USING (lot_id)
 WINDOW cheaper AS (PARTITION BY lot_id ORDER BY price ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), asks AS (
 SELECT price, nodes * hours - least(greatest(sold - before, 0), nodes * hours) AS node_hours FROM spent
), levels AS (
 SELECT 'bid' AS side, price AS price_usd_per_gpu_hour, sum(node_hours) AS node_hours, count(*) AS count
   FROM bids GROUP BY price
 UNION ALL
 SELECT 'ask', price, sum(node_hours), count(*) FROM asks WHERE node_hours > 0 GROUP BY price
)
SELECT side, price_usd_per_gpu_hour, trim_scale(node_hours) AS node_hours, count FROM levels
 ORDER BY side, CASE side WHEN 'ask' THEN price_usd_per_gpu_hour ELSE -price_usd_per_gpu_hour END LIMIT :limit
"""


async def load_depth(connection: AsyncConnection, gpu_class: str, *, limit: int = PAGE_ROWS_MAX) -> list[DepthLevel]:
    """Return the asks of a GPU class from the cheapest, then the bids from the dearest."""
    bound = min(limit, PAGE_ROWS_MAX)
    result = await connection.execute(sql(_DEPTH), {"gpu_class": gpu_class, "limit": bound})
    return [parse_row(row, DepthLevel) for row in result.mappings()]


async def list_classes(connection: AsyncConnection) -> list[str]:
    """Return every GPU class that a pool has, in order."""
    from_pools: Any = sql("SELECT DISTINCT gpu_class FROM pools_v1 ORDER BY gpu_class LIMIT 1000")
    return [row.gpu_class for row in await connection.execute(from_pools)]
