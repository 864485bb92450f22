"""Assess a statement period, and apply the remedy for one below the promised availability.

The remedy is the credit by the schedule, unless the provider's terms and the grant's instrument name another one. What
was delivered is charged under each of them. If a period rolls forward, the grant is extended by what it did not
deliver, on nodes of lots of the grant's pool at or below its price. What an extension does not deliver is credited.
`domain/delivery/service_level.py` says when.
"""

from collections.abc import Sequence
from datetime import datetime

from events.service import ServiceResult
from events.types import LotShare
from marketplace.application.delivery.substitution import load_lots
from marketplace.application.steps.binding import require_lots_kept
from marketplace.application.steps.capacity import change_capacity, has_capacity
from marketplace.application.steps.service_review import find_consequences
from marketplace.application.steps.usage_bounds import limit_grant
from marketplace.core.errors import Refusal
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.grant_commands import ExtendGrant
from marketplace.domain.delivery.periods import Period
from marketplace.domain.delivery.service_level import apply_remedy, assess, choose_remedy, find_extension
from marketplace.domain.delivery.substitution import build_shares
from marketplace.domain.supply.pool import POOL, Pool
from marketplace.domain.supply.pool_commands import ReserveCapacity
from marketplace.execution.unit_of_work import UnitOfWork


async def settle_service(
    unit: UnitOfWork, grant: Grant, period: Period, delivered: int, auction_ids: Sequence[str]
) -> ServiceResult | None:
    """Return a period's service result with its remedy, and extend the grant if the period rolls forward.

    `delivered` are the GPU-seconds that are charged. None if nothing was promised.

    Raises:
        Refusal: ``lot_frozen`` if one of `auction_ids`, those that are not completed, has frozen the room for it.
    """
    result = assess(grant, period.start, period.end, delivered)
    if result is None or result.met:
        return result
    offered, agreed = await find_consequences(unit, grant)
    rolls = choose_remedy(offered, agreed, result, extended=True) == "roll_forward"
    extended = rolls and await _roll_forward(unit, grant, period, result, auction_ids)
    return apply_remedy(result, choose_remedy(offered, agreed, result, extended=extended))


async def _roll_forward(
    unit: UnitOfWork, grant: Grant, period: Period, result: ServiceResult, auction_ids: Sequence[str]
) -> bool:
    """Extend a grant by what a period did not deliver. Return whether there was room."""
    span = find_extension(grant, result, period.start, unit.context.at)
    if span is None:
        return False
    start, end = span
    pool = await unit.get(POOL, grant.pool_id)
    lots = await _find_room(unit, grant, pool, start, end)
    if lots is None:
        return False
    await require_lots_kept(unit, dict.fromkeys(share.lot_id for share in lots), auction_ids)
    grant_id = grant.issued.grant_id
    extend = ExtendGrant(
        grant_id=grant_id, statement_id=period.statement_id, start=start, end=end, lots=lots, at=unit.context.at
    )
    await limit_grant(unit, await unit.decide(GRANT, grant_id, extend))
    await change_capacity(unit, _reserve(grant, start, end, lots))
    return True


async def _find_room(
    unit: UnitOfWork, grant: Grant, pool: Pool, start: datetime, end: datetime
) -> tuple[LotShare, ...] | None:
    """Return the lots that can carry a grant over a span; None if they cannot."""
    try:
        lots = build_shares(grant, pool, await load_lots(unit, grant, pool), start, end)
    except Refusal:
        return None
    return lots if await has_capacity(unit, _reserve(grant, start, end, lots)) else None


def _reserve(grant: Grant, start: datetime, end: datetime, lots: tuple[LotShare, ...]) -> ReserveCapacity:
    return ReserveCapacity(
        pool_id=grant.pool_id,
        grant_id=grant.issued.grant_id,
        nodes=grant.issued.nodes,
        start=start,
        end=end,
        lots=lots,
    )
