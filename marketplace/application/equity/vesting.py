"""Vesting and exercise of warrants.

What vests is checked when delivery is accepted, on a date, when a price becomes known, and at an exercise.
"""

from datetime import datetime

from marketplace.application.steps.statement_chain import find_chain
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.issuer.issuer import ISSUER, ExerciseWarrant, Issuer, VestWarrants
from marketplace.domain.equity.issuer.rights.fair_value import require_fair_value
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.unit_of_work import UnitOfWork


async def vest(unit: UnitOfWork, issuer_id: str) -> None:
    """Record every tranche of the issuer's warrants whose conditions hold now. Nothing if no tranche is open."""
    issuer = await unit.load(ISSUER, issuer_id)
    if not isinstance(issuer, Issuer) or not _has_open_tranches(issuer):
        return
    command = VestWarrants(
        issuer_id=issuer_id, delivered_gpu_seconds=await count_delivered(unit, issuer), at=unit.context.at
    )
    await unit.decide(ISSUER, issuer_id, command)


def _has_open_tranches(issuer: Issuer) -> bool:
    return any(
        not warrant.expired and len(warrant.vested) < len(warrant.issued.tranches)
        for warrant in issuer.warrants.values()
    )


async def count_delivered(unit: UnitOfWork, issuer: Issuer) -> dict[str, int]:
    """Return the accepted GPU-seconds, less credits, of each grant that the issuer's warrants count."""
    grants = {warrant.issued.grant_id for warrant in issuer.warrants.values() if warrant.issued.grant_id is not None}
    return {grant_id: await _count_accepted(unit, grant_id) for grant_id in sorted(grants)}


async def _count_accepted(unit: UnitOfWork, grant_id: str) -> int:
    grant = await unit.load(GRANT, grant_id)
    accepted = 0
    for period in [] if grant is None else list_periods(grant):
        for known in await find_chain(unit, period):
            if known.status == "accepted":
                accepted += known.sign * known.charges.gpu_seconds
    return accepted


async def exercise(
    unit: UnitOfWork, issuer_id: str, *, exercise_id: str, warrant_id: str, shares: int, net: bool, at: datetime
) -> None:
    """Exercise the vested part of a warrant; if `net`, at the fair value of a share from a stated source.

    Raises:
        Refusal: ``warrant_unknown`` · ``fair_value_missing`` · refusals of the issuer.
    """
    issuer = await unit.get(ISSUER, issuer_id, Issuer)
    warrant = issuer.warrants.get(warrant_id)
    if warrant is None:
        raise refuse_unknown("warrant", warrant_id)
    fair = require_fair_value(issuer, warrant.issued.holder_id) if net else None
    command = ExerciseWarrant(
        issuer_id=issuer_id,
        exercise_id=exercise_id,
        warrant_id=warrant_id,
        shares=shares,
        fair_value_usd=None if fair is None else fair.price_usd,
        fair_value_source=None if fair is None else fair.source,
        delivered_gpu_seconds=await count_delivered(unit, issuer),
        at=at,
    )
    await unit.decide(ISSUER, issuer_id, command)
