"""Set aside the cash of a grant's stages from available money, and pay for hours in which delivery was withheld."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from events.grant import GrantStagePaid, GrantWithholdingEnded
from events.instants import FOREVER
from events.statement import Charges, StatementIssued
from marketplace.application.steps.paying import pay
from marketplace.application.steps.statement_chain import find_chain
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, CaptureHold, Reserve
from marketplace.domain.billing.account_state import Account, require_free
from marketplace.domain.billing.delivered import is_hardly_delivered
from marketplace.domain.billing.settlement import subtract_settled
from marketplace.domain.billing.stages import build_collection, find_spare
from marketplace.domain.billing.statement import Statement, find_undisputed
from marketplace.domain.billing.statement_chain import price_amount
from marketplace.domain.delivery.grant import GRANT, Grant, find_price
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.trading.order import ORDER, MatchedOrder
from marketplace.execution.unit_of_work import UnitOfWork


async def collect(unit: UnitOfWork, grant: Grant, *, is_asked: bool = False, is_chased: bool = True) -> Grant:
    """Set aside what the stages of a grant need by now, or record the consequence if the money is missing.

    Args:
        unit: The decision.
        grant: The grant, which is staged.
        is_asked: Whether its startup asks to pay, perhaps before a stage begins; False for the scheduler.
        is_chased: Whether missing money has its next consequence; False if only a payment counts.

    Returns:
        The grant after that.

    Raises:
        Refusal: Refusals of the grant · ``account_closed`` · ``funds_insufficient`` · ``funds_reserved`` if the rest is
            kept for other statements or corrections.
    """
    issued, at = grant.issued, unit.context.at
    account = await unit.get(ACCOUNT, issued.startup_account_id)
    unpaid = await _list_unpaid(unit, grant)
    command = build_collection(
        grant,
        at,
        available_usd=ZERO if account.closed else account.available_usd,
        free_usd=ZERO if account.closed else account.count_free(at, unpaid),
        set_aside_usd=_sum_set_aside(grant, account),
        spare_usd=compute_spare(unit, grant, account),
        due_usd=_sum_due(unit, grant, account, unpaid),
        deal_usd=await sum_deal(unit, grant),
        is_asked=is_asked,
        is_chased=is_chased,
        is_silent=await is_undelivered(unit, grant),
    )
    known = len(unit.list_events(GRANT, issued.grant_id))
    after = await unit.decide(GRANT, issued.grant_id, command)
    for event in unit.list_events(GRANT, issued.grant_id)[known:]:
        if isinstance(event, GrantWithholdingEnded):
            capture = CaptureHold(
                account_id=issued.startup_account_id,
                hold_id=issued.hold_id,
                amount_usd=event.damages_usd,
                payee_account_id=issued.provider_account_id,
                cause=event.payment_id,
            )
            await pay(unit, capture)
        elif isinstance(event, GrantStagePaid):
            if event.amount_usd > command.available_usd:
                require_free(issued.startup_account_id, account, event.amount_usd, at, unpaid)
            await raise_hold(unit, grant, event.amount_usd, "the next stage of the grant")
    return after


async def is_undelivered(unit: UnitOfWork, grant: Grant) -> bool:
    """Return whether delivery is withheld of a grant of which the provider's meter counted too little before."""
    if grant.withheld is None:
        return False
    usage = await unit.load(USAGE, name_usage(grant.issued.grant_id))
    return is_hardly_delivered(usage, grant, grant.issued.start, grant.withheld.at)


async def _list_unpaid(unit: UnitOfWork, grant: Grant) -> dict[str, Statement]:
    """Return the statements of a grant with credit that are not paid, by id; none of other grants."""
    if not grant.issued.credit_usd:
        return {}
    chains = [await find_chain(unit, period) for period in list_periods(grant)]
    return {
        statement.issued.statement_id: statement
        for chain in chains
        for statement in chain
        if isinstance(statement.issued, StatementIssued) and statement.status != "accepted"
    }


def _sum_due(unit: UnitOfWork, grant: Grant, account: Account, unpaid: Mapping[str, Statement]) -> Decimal:
    """Return the USD that a grant on credit paid, and that its unpaid statements need once they cannot be disputed.

    0 for another grant.
    """
    issued, due_usd = grant.issued, ZERO
    if not issued.credit_usd:
        return ZERO
    for statement in unpaid.values():
        if not statement.is_acceptance_open(unit.context.at):
            charges = statement.charges
            if statement.dispute is not None:
                charges = price_amount(grant, statement, find_undisputed(statement, unit.context.at))
            rest = subtract_settled(charges, None if statement.settled is None else statement.settled.charges)
            due_usd += rest.cash_usd + rest.startup_fee_usd
    return due_usd + account.holds[issued.hold_id].captured_usd - grant.sum_end_fees("startup")


async def cover(unit: UnitOfWork, grant: Grant, charges: Charges) -> None:
    """Raise the hold of a grant, from available money, to the charges that are paid from it.

    This is done for a grant on credit, and once the startup was sold, so that it pays the equity part in cash.

    Raises:
        Refusal: ``account_closed`` · ``funds_insufficient``.
    """
    in_cash = await is_sold(unit, grant.startup_id)
    if not (grant.issued.credit_usd or in_cash):
        return
    missing_usd = await find_missing(unit, grant, charges)
    if in_cash:
        await free_kept(unit, grant, missing_usd)
    await raise_hold(unit, grant, missing_usd, "a statement of a grant on credit, or after the company was sold")


async def free_kept(unit: UnitOfWork, grant: Grant, amount_usd: Decimal | None = None) -> None:
    """Free what the startup's account keeps for statements of a grant since the company was sold; None frees all."""
    account_id, grant_id = grant.issued.startup_account_id, grant.issued.grant_id
    kept = (await unit.get(ACCOUNT, account_id)).reserves.get(grant_id)
    if kept is not None:
        left_usd = ZERO if amount_usd is None else max(kept[0] - amount_usd, ZERO)
        reserve = Reserve(account_id=account_id, amount_usd=left_usd, until=FOREVER, cause=grant_id)
        await unit.decide(ACCOUNT, account_id, reserve)


async def is_sold(unit: UnitOfWork, startup_id: str) -> bool:
    """Return whether a startup was sold and the proceeds are paid out."""
    issuer = await unit.load(ISSUER, rename_id("iss", startup_id))
    return isinstance(issuer, Issuer) and issuer.is_ended


async def find_missing(unit: UnitOfWork, grant: Grant, charges: Charges) -> Decimal:
    """Return the USD of cash and fee that charges take beyond what the hold of their grant has; at least 0."""
    hold = (await unit.get(ACCOUNT, grant.issued.startup_account_id)).holds.get(grant.issued.hold_id)
    left_usd = ZERO if hold is None else hold.left_usd
    return max(charges.cash_usd + charges.startup_fee_usd - left_usd, ZERO)


async def raise_hold(unit: UnitOfWork, grant: Grant, amount_usd: Decimal, reason: str) -> None:
    """Set more of the startup's available money aside in the hold of its grant, if it has one.

    Raises:
        Refusal: ``account_closed`` · ``funds_insufficient``.
    """
    account_id, hold_id = grant.issued.startup_account_id, grant.issued.hold_id
    hold = (await unit.get(ACCOUNT, account_id)).holds.get(hold_id)
    if amount_usd and hold is not None:
        raised_usd = hold.left_usd + amount_usd
        adjust = AdjustHold(account_id=account_id, hold_id=hold_id, amount_usd=raised_usd, reason=reason)
        await unit.decide(ACCOUNT, account_id, adjust)


def compute_spare(unit: UnitOfWork, grant: Grant, account: Account) -> Decimal:
    """Return the USD that the hold of a staged grant has beyond the cost of its delivered hours."""
    at, issued = unit.context.at, grant.issued
    end = max(min(at, grant.end), issued.start)
    withheld = sum((load.end - load.start for load in grant.list_withheld(end)), start=end - end)
    set_aside_usd = _sum_set_aside(grant, account)
    spare = find_spare(issued, set_aside_usd, end - issued.start - withheld, grant.damages_usd)
    return min(spare, account.holds[issued.hold_id].left_usd)


def _sum_set_aside(grant: Grant, account: Account) -> Decimal:
    """Return what the hold of a grant has, and what it paid, without fees of early ends."""
    hold = account.holds[grant.issued.hold_id]
    return hold.left_usd + hold.captured_usd - grant.sum_end_fees("startup")


async def sum_deal(unit: UnitOfWork, grant: Grant) -> Fraction:
    """Return the price in USD of a deal: of a grant, and of all others that its startup has from the same provider.

    A grant counts while the account sets money aside or takes credit for it, or principal may accrue.
    """
    issued = grant.issued
    account = await unit.get(ACCOUNT, issued.startup_account_id)
    held = [hold for hold_id, hold in account.holds.items() if hold.left_usd or hold_id in account.committed]
    grant_ids = {issued.grant_id, *await _list_drawing(unit, issued.startup_id)}
    for purpose in {hold.purpose for hold in held}:
        order = await unit.load(ORDER, purpose) if purpose.startswith("ord_") else None
        grant_ids.add(order.grant_id if isinstance(order, MatchedOrder) else purpose)
    price_usd = Fraction(0)
    for grant_id in sorted(grant_ids):
        other = await unit.load(GRANT, grant_id) if grant_id.startswith("grt_") else None
        if other is not None and other.issued.provider_id == issued.provider_id:
            price_usd += find_price(other.issued)
    return price_usd


async def _list_drawing(unit: UnitOfWork, startup_id: str) -> list[str]:
    """Return the grants of a startup for which principal may still accrue.

    It loads every instrument that may become equity, as every vote on the issuer does. Mandates bound how many there
    are: each takes budget of at least the least order value. A sale of the company takes 999 of them at most.
    """
    issuer = await unit.load(ISSUER, rename_id("iss", startup_id))
    known = [each for each in issuer.instruments if each in issuer.exposures] if isinstance(issuer, Issuer) else []
    instruments = [await unit.get(INSTRUMENT, instrument_id) for instrument_id in sorted(known)]
    return [rename_id("grt", each.issued.instrument_id) for each in instruments if each.open_usd]
