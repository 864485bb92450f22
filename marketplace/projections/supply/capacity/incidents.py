"""Incidents: nodes of pools that stopped working, open or ended."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.projections.engine.queries import parse_row
from marketplace.projections.views.supply import IncidentView

_INCIDENTS: Final = """
SELECT * FROM (
 SELECT o.pool_id, o.incident_id, p.provider_id, p.gpu_class, p.region,
        max(o.nodes) AS nodes, min(o.at) FILTER (WHERE o.nodes > 0) AS began_at,
        CASE WHEN sum(o.nodes) > 0 THEN NULL ELSE max(o.at) FILTER (WHERE o.nodes < 0) END AS ended_at,
        max(o.sequence) AS last_sequence
   FROM outages AS o JOIN pools AS p ON p.pool_id = o.pool_id
  WHERE CAST(:provider_id AS text) IS NULL OR p.provider_id = :provider_id
  GROUP BY o.pool_id, o.incident_id, p.provider_id, p.gpu_class, p.region
) AS found
 WHERE last_sequence < :before AND (CAST(:is_open AS boolean) IS NULL OR (ended_at IS NULL) = :is_open)
   AND (CAST(:created_from AS timestamptz) IS NULL OR began_at >= :created_from)
   AND (CAST(:created_before AS timestamptz) IS NULL OR began_at < :created_before)
 ORDER BY last_sequence DESC LIMIT :limit
"""


async def list_incidents(
    connection: AsyncConnection,
    *,
    provider_id: str | None = None,
    is_open: bool | None = None,
    created_from: datetime | None = None,
    created_before: datetime | None = None,
    before: int,
    limit: int,
) -> list[IncidentView]:
    """Return incidents of a provider or of all, the latest change first, below the sequence `before`.

    `created_from` and `created_before` bound when they began.
    """
    bound: dict[str, Any] = {
        "provider_id": provider_id,
        "is_open": is_open,
        "created_from": created_from,
        "created_before": created_before,
        "before": before,
        "limit": limit,
    }
    result = await connection.execute(text(_INCIDENTS), bound)
    return [parse_row(row, IncidentView) for row in result.mappings()]
