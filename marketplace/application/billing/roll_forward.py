"""Apply the remedy for a statement period below the promised availability, in the append that issues the statement.

The instrument's terms name the remedy; without equity the grant's own terms do. A period that rolls forward is not
charged, and the grant is extended by the period's length. The nodes come from lots of the grant's pool at or below its
price. `domain/delivery/service_level.py` says when a grant can be extended, and what happens otherwise.
"""

from datetime import datetime

import msgspec

from events.service import ServiceResult
from events.types import LotShare, ServiceConsequence
from marketplace.application.delivery.substitution import load_lots
from marketplace.application.steps.capacity import change_capacity, has_capacity
from marketplace.application.steps.usage_bounds import limit_grant
from marketplace.core.errors import Refusal
from marketplace.domain.delivery.grant import GRANT, ExtendGrant, Grant
from marketplace.domain.delivery.periods import Period
from marketplace.domain.delivery.service_level import assess, choose_remedy, find_extension
from marketplace.domain.delivery.substitution import build_shares
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.supply.pool import POOL, Pool, ReserveCapacity
from marketplace.execution.unit_of_work import UnitOfWork


async def settle_service(unit: UnitOfWork, grant: Grant, period: Period, delivered: int) -> ServiceResult | None:
    """Return a period's service result and its remedy, and extend the grant if the period rolls forward."""
    result = assess(grant, period.start, period.end, delivered)
    if result is None or result.met:
        return result
    stated = await _find_consequence(unit, grant)
    extended = stated == "roll_forward" and await _roll_forward(unit, grant, period)
    return msgspec.structs.replace(result, consequence=choose_remedy(grant, stated, extended=extended))


async def _find_consequence(unit: UnitOfWork, grant: Grant) -> ServiceConsequence:
    assert grant.issued.service is not None, "only a promised service level is assessed"
    if grant.issued.equity is None:
        return grant.issued.service.consequence
    instrument = await unit.get(INSTRUMENT, grant.issued.equity.instrument_id)
    consequence = instrument.terms.service_consequence
    assert consequence is not None, "an instrument that is drawn down names the remedy"
    return consequence


async def _roll_forward(unit: UnitOfWork, grant: Grant, period: Period) -> bool:
    """Extend a grant by the length of a period. Return whether there was room."""
    span = find_extension(grant, period, unit.context.at)
    if span is None:
        return False
    start, end = span
    pool = await unit.get(POOL, grant.pool_id)
    lots = await _find_room(unit, grant, pool, start, end)
    if lots is None:
        return False
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
    """Return the lots that can carry a grant over a span, or None."""
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
