"""Market depth: the asks for a GPU class at each price. Bids are sealed while they are open."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.projections.engine.queries import PAGE_ROWS_MAX, At, parse_row
from marketplace.projections.feed import find_time_of
from marketplace.projections.supply.capacity.points import bind
from marketplace.projections.views.supply import DepthLevel, PublicDepth

PARTIES_MIN: Final = 3
"""How many providers a step of public depth has at least."""


class Ask(NamedTuple):
    """What one provider asks at one price, in USD per GPU-hour: its node-hours that are neither sold nor held."""

    price: Decimal
    node_hours: Decimal
    provider_id: str


_NOW: Final = """
WITH listed AS (
 SELECT lot_id, pool_id, nodes, start, "end", ask_usd_per_gpu_hour, further_asks FROM lots WHERE status = 'listed'
)"""
_THEN: Final = """
WITH latest AS (
 SELECT lot_id, max(pool_id) AS pool_id, max(nodes) AS nodes,
        (array_agg(status ORDER BY sequence DESC) FILTER (WHERE status IS NOT NULL))[1] AS status,
        (array_agg(start ORDER BY sequence DESC) FILTER (WHERE start IS NOT NULL))[1] AS start,
        (array_agg("end" ORDER BY sequence DESC) FILTER (WHERE "end" IS NOT NULL))[1] AS "end",
        (array_agg(ask_usd_per_gpu_hour ORDER BY sequence DESC) FILTER (WHERE further_asks IS NOT NULL))[1]
         AS ask_usd_per_gpu_hour,
        (array_agg(further_asks ORDER BY sequence DESC) FILTER (WHERE further_asks IS NOT NULL))[1] AS further_asks
   FROM lot_terms AS t WHERE HAPPENED(t) GROUP BY lot_id
), listed AS (
 SELECT * FROM latest WHERE status = 'listed'
)"""
_LEVELS: Final = """, offered AS (
 SELECT lot_id, l.nodes, greatest(l.start, :since) AS start, l."end", ask_usd_per_gpu_hour, further_asks
   FROM listed AS l JOIN pools USING (pool_id) WHERE gpu_class = :gpu_class AND l."end" > :since
), taken AS (
 SELECT o.lot_id, r.pool_id, r.grant_id, r.sequence, r.nodes, r.start, r."end"
   FROM offered AS o JOIN reservations AS r ON r.lot_id = o.lot_id WHERE HAPPENED(r)
 UNION ALL
 SELECT o.lot_id, r.pool_id, r.grant_id, r.sequence, r.nodes, r.start, r."end"
   FROM offered AS o JOIN reservations AS r ON r.resale_lot_id = o.lot_id WHERE HAPPENED(r)
), kept AS (
 SELECT r.lot_id, r.nodes, r.start,
        CASE WHEN freed.at < r."end" THEN greatest(r.start, freed.at) ELSE r."end" END AS until
   FROM taken AS r
   LEFT JOIN LATERAL (
    SELECT min(coalesce(e.at, '-infinity')) AS at FROM releases AS e
     WHERE e.pool_id = r.pool_id AND e.grant_id = r.grant_id AND e.sequence > r.sequence AND HAPPENED(e)
   ) AS freed ON true
), sold AS (
 SELECT lot_id, sum(nodes * extract(epoch FROM until - greatest(start, :since))) / 3600 AS node_hours
   FROM kept WHERE until > :since GROUP BY lot_id
), steps AS (
 SELECT l.lot_id, extract(epoch FROM l."end" - l.start) / 3600 AS hours, f.price,
        coalesce(f.nodes, l.nodes - coalesce(sum(f.nodes) OVER (PARTITION BY l.lot_id), 0)) AS nodes
   FROM offered AS l
  CROSS JOIN LATERAL (
   SELECT l.ask_usd_per_gpu_hour AS price, NULL::numeric AS nodes
    UNION ALL
   SELECT (step->>'ask_usd_per_gpu_hour')::numeric, (step->>'nodes')::numeric
     FROM jsonb_array_elements(l.further_asks) AS step
  ) AS f
), spent AS (
 SELECT steps.*, coalesce(s.node_hours, 0) AS sold,
        coalesce(sum(nodes * hours) OVER cheaper, 0) AS before
   FROM steps LEFT JOIN sold AS s USING (lot_id)
 WINDOW cheaper AS (PARTITION BY lot_id ORDER BY price ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), asks AS (
 SELECT lot_id, price, nodes * hours - least(greatest(sold - before, 0), nodes * hours) AS node_hours FROM spent
)"""
_BY_PRICE: Final = """
SELECT price AS price_usd_per_gpu_hour, trim_scale(round(sum(node_hours), 4)) AS node_hours, count(*) AS count FROM asks
 WHERE node_hours > 0 GROUP BY price ORDER BY price LIMIT :limit
"""
_BY_PROVIDER: Final = """
SELECT price, round(sum(node_hours), 4) AS node_hours, lots.provider_id FROM asks JOIN lots USING (lot_id)
 WHERE node_hours > 0 GROUP BY price, lots.provider_id ORDER BY price, lots.provider_id LIMIT :limit
"""


async def load_depth(
    connection: AsyncConnection, gpu_class: str, *, now: datetime, at: At = None, limit: int = PAGE_ROWS_MAX
) -> list[DepthLevel]:
    """Return a GPU class's asks, cheapest first, as of `now` or `at`."""
    query = (_NOW if at is None else _THEN) + _LEVELS + _BY_PRICE
    since = await find_time_of(connection, at) if isinstance(at, int) else at
    bound = {"gpu_class": gpu_class, "since": since or now, "limit": min(limit, PAGE_ROWS_MAX)}
    result = await connection.execute(*bind(query, at, **bound))
    return [parse_row(row, DepthLevel) for row in result.mappings()]


async def load_public_depth(connection: AsyncConnection, gpu_class: str, *, now: datetime) -> list[PublicDepth]:
    """Return a GPU class's asks now, cheapest first, in steps of `PARTIES_MIN` providers or more.

    Fewer providers make no step, so that nobody learns what a single one asks.
    """
    query = _NOW + _LEVELS + _BY_PROVIDER
    result = await connection.execute(*bind(query, None, gpu_class=gpu_class, since=now, limit=PAGE_ROWS_MAX))
    return merge_asks([Ask(*row) for row in result])


def merge_asks(asks: Sequence[Ask]) -> list[PublicDepth]:
    """Return asks, which are given in the order of their prices, in steps of `PARTIES_MIN` providers or more.

    Too few asks at the end join the step before them. Empty if all are of fewer providers.
    """
    steps: list[list[Ask]] = [[]]
    for ask in asks:
        if len({each.provider_id for each in steps[-1]}) >= PARTIES_MIN and ask.price > steps[-1][-1].price:
            steps.append([])
        steps[-1].append(ask)
    if len({each.provider_id for each in steps[-1]}) < PARTIES_MIN:
        rest = steps.pop()
        if not steps:
            return []
        steps[-1] += rest
    return [_render_step(step) for step in steps]


def _render_step(step: Sequence[Ask]) -> PublicDepth:
    hours = sum((ask.node_hours for ask in step), Decimal(0))
    mean = sum((ask.price * ask.node_hours for ask in step), Decimal(0)) / hours
    return PublicDepth(mean_usd_per_gpu_hour=round(mean, 4), node_hours=round(hours, 1))


async def list_classes(connection: AsyncConnection) -> list[str]:
    """Return every GPU class that a pool has, in order."""
    from_pools: Any = sql("SELECT DISTINCT gpu_class FROM pools ORDER BY gpu_class LIMIT 1000")
    return [row.gpu_class for row in await connection.execute(from_pools)]
