"""Free what the hold of a grant that was paid in advance keeps for hours that a settled period did not deliver.

A late reading may still charge them. So their cash stays for `FREED_AFTER` from the end of the period, and is freed
with the next payment of a statement, except what an open adjustment charges: no startup disputes one until its cash is
free. A reading that charges them later is paid from the startup's available money, and never from what other periods
need. Of a grant that is open for lowered readings alone, what these could cost is set aside (`keep_correctable`).
"""

from decimal import Decimal
from typing import Final

from events.statement import Charges
from marketplace.application.steps.stages import is_sold, raise_hold
from marketplace.application.steps.statement_chain import find_chain
from marketplace.core.money import CENT, ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.billing.statement import Statement
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.periods import PERIOD, list_periods
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.execution.unit_of_work import UnitOfWork

FREED_AFTER: Final = PERIOD
"""How long after its end a settled period keeps the cash of the hours that it did not deliver."""


async def free_settled(unit: UnitOfWork, grant: Grant) -> None:
    """Lower the hold of a prepaid grant to what its open periods may still cost."""
    if await _is_prepaid(unit, grant):
        needed_usd, left_usd = await _find_needed(unit, grant), await _find_left(unit, grant)
        if needed_usd < left_usd:
            adjust = AdjustHold(
                account_id=grant.issued.startup_account_id,
                hold_id=grant.issued.hold_id,
                amount_usd=needed_usd,
                reason="hours that settled periods did not deliver",
            )
            await unit.decide(ACCOUNT, grant.issued.startup_account_id, adjust)


async def cover_late(unit: UnitOfWork, grant: Grant, statement: Statement, charges: Charges) -> None:
    """Raise the hold of a prepaid grant by what an adjustment charges after its period's cash may have been freed.

    Raises:
        Refusal: ``account_closed`` · ``funds_insufficient``.
    """
    issued = statement.issued
    if issued.service_line_id is not None:
        return
    due_usd = charges.cash_usd + charges.startup_fee_usd
    is_late = issued.adjustment is not None and issued.period_end + FREED_AFTER <= unit.context.at
    if due_usd and is_late and await _is_prepaid(unit, grant):
        lacking_usd = await _find_needed(unit, grant) + due_usd - await _find_left(unit, grant)
        await raise_hold(unit, grant, max(min(lacking_usd, due_usd), ZERO), "readings after the cash was freed")


async def _is_prepaid(unit: UnitOfWork, grant: Grant) -> bool:
    """Return whether all cash of a grant was set aside for its hours, and pays them as agreed while they may count."""
    issued = grant.issued
    if issued.stages is not None or issued.credit_usd or await is_sold(unit, grant.startup_id):
        return False
    limits = (await unit.load(USAGE, name_usage(issued.grant_id))).limits
    return limits is None or limits.gpu_seconds_max is None


async def _find_left(unit: UnitOfWork, grant: Grant) -> Decimal:
    hold = (await unit.get(ACCOUNT, grant.issued.startup_account_id)).holds.get(grant.issued.hold_id)
    return ZERO if hold is None else hold.left_usd


async def _find_needed(unit: UnitOfWork, grant: Grant) -> Decimal:
    """Return the USD that a grant's open periods may still cost, with a cent for the rounding of each.

    A period is open until its statement is settled and `FREED_AFTER` is over; then only its open adjustments count.
    """
    stated = still = count = 0
    for period in list_periods(grant):
        chain = await find_chain(unit, period)
        paid = sum(map(_count_paid, chain))
        stated += paid
        is_open = not chain or chain[0].status != "accepted"
        if is_open or unit.context.at < period.end + FREED_AFTER:
            still += max(grant.count_left(period.start) - grant.count_left(period.end) - paid, 0)
            count += 1
        elif adjusted := sum(known.sign * known.charges.gpu_seconds for known in chain) - paid:
            still += adjusted
            count += 1
    tariff = build_tariff(grant.issued)
    before, after = (compute_totals(tariff, gpu_seconds) for gpu_seconds in (stated, stated + still))
    return after.startup_usd - before.startup_usd + count * CENT


def _count_paid(statement: Statement) -> int:
    """Return the GPU-seconds of a statement that were paid, or given back; of an open one, those of its parts."""
    if statement.status == "accepted":
        return statement.sign * statement.charges.gpu_seconds
    return 0 if statement.settled is None else statement.settled.charges.gpu_seconds
