"""The capacity calendar: offered, reserved, failed and free nodes of pools at every instant of a span."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.projections.engine.queries import PAGE_ROWS_MAX, At
from marketplace.projections.supply.capacity.points import bind
from marketplace.projections.views.supply import CapacityStep


@dataclass(frozen=True, slots=True)
class _Span:
    pool_id: str
    kind: str
    nodes: int
    start: datetime
    end: datetime


_SPANS: Final = """
WITH known AS (
 SELECT DISTINCT ON (lot_id) pool_id, nodes, start, "end", grant_id FROM capacity_offers AS o
  WHERE pool_id = ANY(:pool_ids) AND HAPPENED(o) ORDER BY lot_id, sequence DESC
), kept AS (
 SELECT r.pool_id, r.nodes, r.resale_lot_id, r.start,
        CASE WHEN freed.at < r."end" THEN greatest(r.start, freed.at) ELSE r."end" END AS until
   FROM reservations AS r
   LEFT JOIN LATERAL (
    SELECT min(coalesce(e.at, '-infinity')) AS at FROM releases AS e
     WHERE e.pool_id = r.pool_id AND e.grant_id = r.grant_id AND e.sequence > r.sequence AND HAPPENED(e)
   ) AS freed ON true
  WHERE r.pool_id = ANY(:pool_ids) AND r.start < :end AND NOT r.held AND HAPPENED(r)
)
SELECT pool_id, 'offered' AS kind, nodes, start, "end" FROM known
 WHERE nodes IS NOT NULL AND grant_id IS NULL AND start < :end AND "end" > :start
UNION ALL
SELECT pool_id, 'reserved', nodes, start, until FROM kept WHERE until > :start
UNION ALL
SELECT pool_id, 'resold', nodes, start, until FROM kept WHERE until > :start AND resale_lot_id IS NOT NULL
UNION ALL
SELECT pool_id, 'failed', nodes, f.at, :end FROM outages AS f
 WHERE pool_id = ANY(:pool_ids) AND f.at < :end AND HAPPENED(f)
"""


async def load_calendar(
    connection: AsyncConnection, pool_ids: Collection[str], *, start: datetime, end: datetime, at: At = None
) -> list[CapacityStep]:
    """Return the capacity of pools over ``[start, end)`` as steps, pool after pool, at most the first 1,000 of each.

    An unknown pool offers nothing. With `at`, return what was known by then.
    """
    spans: dict[str, list[_Span]] = {pool_id: [] for pool_id in pool_ids}
    for row in await connection.execute(*bind(_SPANS, at, pool_ids=list(spans), start=start, end=end)):
        spans[row.pool_id].append(_Span(*row))
    return [step for pool_id, found in spans.items() for step in _sweep(pool_id, found, start, end)[:PAGE_ROWS_MAX]]


def _sweep(pool_id: str, spans: Sequence[_Span], start: datetime, end: datetime) -> list[CapacityStep]:
    deltas: dict[datetime, dict[str, int]] = {start: {}}
    for span in spans:
        for time, sign in ((max(span.start, start), 1), (span.end, -1)):
            if time < end:
                delta = deltas.setdefault(time, {})
                delta[span.kind] = delta.get(span.kind, 0) + sign * span.nodes
    level = {"offered": 0, "reserved": 0, "resold": 0, "failed": 0}
    times = sorted(deltas)
    steps: list[CapacityStep] = []
    for time, after in zip(times, [*times[1:], end], strict=True):
        for kind, nodes in deltas[time].items():
            level[kind] += nodes
        free = max(0, level["offered"] - level["reserved"] - level["failed"])
        step = CapacityStep(pool_id=pool_id, start=time, end=after, free=free, **level)
        if steps and _same(steps[-1], step):
            step = replace(steps.pop(), end=after)
        steps.append(step)
    return steps


def _same(one: CapacityStep, two: CapacityStep) -> bool:
    return replace(two, start=one.start, end=one.end) == one
