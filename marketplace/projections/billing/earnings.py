"""What a provider earned by statements, summed in the database."""

from datetime import datetime
from typing import Final

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.projections.engine.queries import PAGE_ROWS_MAX, parse_row
from marketplace.projections.views.billing import Earned, EarningsView

_SUMS: Final = """
WITH amounts AS (
 SELECT grant_id, status, to_char((period_end - interval '1 microsecond') AT TIME ZONE 'UTC', 'YYYY-MM') AS month,
        (charges->>'gpu_seconds')::bigint AS gpu_seconds,
        (charges->>'provider_usd')::numeric - (charges->>'provider_fee_usd')::numeric AS net,
        coalesce((service_credit->>'provider_usd')::numeric, 0) AS credited,
        coalesce((service_credit->>'provider_usd')::numeric - (service_credit->>'provider_fee_usd')::numeric, 0)
         AS back,
        coalesce((settled->>'provider_usd')::numeric - (settled->>'provider_fee_usd')::numeric, 0) AS paid
   FROM statements
  WHERE provider_id = :provider_id AND period_end > :start AND period_end <= :end
), earned AS (
 SELECT grant_id, month, CASE status WHEN 'credited' THEN -credited ELSE credited END AS credited,
        CASE status WHEN 'credited' THEN -gpu_seconds ELSE gpu_seconds END AS gpu_seconds,
        CASE status WHEN 'accepted' THEN net - back WHEN 'credited' THEN back - net ELSE paid - back END AS earned,
        CASE WHEN status IN ('accepted', 'credited') THEN 0 ELSE net - paid END AS waiting
   FROM amounts
)
SELECT month, grant_id, coalesce(sum(gpu_seconds), 0)::bigint AS gpu_seconds,
       trim_scale(coalesce(sum(earned), 0)) AS earned_usd, trim_scale(coalesce(sum(credited), 0)) AS credited_usd,
       trim_scale(coalesce(sum(waiting), 0)) AS waiting_usd
  FROM earned GROUP BY GROUPING SETS ((), (month), (grant_id))
 ORDER BY month DESC NULLS LAST, grant_id DESC NULLS FIRST LIMIT :limit
"""
_MONTHS_MAX: Final = 1_200


async def load_earnings(
    connection: AsyncConnection, provider_id: str, *, start: datetime, end: datetime
) -> EarningsView:
    """Return what a provider earned by the statements whose periods end in ``(start, end]``, at most 1,000 grants."""
    bound = {"provider_id": provider_id, "start": start, "end": end, "limit": _MONTHS_MAX + PAGE_ROWS_MAX + 1}
    rows = [parse_row(row, Earned) for row in (await connection.execute(sql(_SUMS), bound)).mappings()]
    grants = tuple(row for row in rows if row.grant_id is not None)
    return EarningsView(
        total=next(row for row in rows if row.month is None and row.grant_id is None),
        months=tuple(row for row in rows if row.month is not None),
        grants=grants[:PAGE_ROWS_MAX],
    )
