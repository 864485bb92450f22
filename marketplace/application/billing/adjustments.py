"""Adjustments: readings of a settled period arrive, change or are voided, or an outage of it is reported.

The settled statement does not change. A higher amount becomes a statement of its own, which is compared with the
startup's meter, and accepted or disputed like any other. A lower amount is credited at once. Only one adjustment of a
period is open at a time; the next one covers everything that changed meanwhile.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from events.instants import FOREVER
from events.service import ServiceResult
from events.statement import Adjustment, Charges, Metering, ServiceCredit, StatementCredited, StatementIssued
from marketplace.application.equity.clawbacks import claw_back
from marketplace.application.equity.consents import propose_reduction
from marketplace.application.steps.access import load_grant
from marketplace.application.steps.claim_amounts import return_excess
from marketplace.application.steps.service_review import review_service
from marketplace.application.steps.statement_chain import load_chain, sum_stated, take_number
from marketplace.application.steps.statement_payment import list_tranches, pay_back, pay_rest, return_fees
from marketplace.application.steps.undisputed import find_settling, issue
from marketplace.captable.positions import CREDIT
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO, round_cents
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import Debit, Reserve
from marketplace.domain.billing.account_state import require_funds
from marketplace.domain.billing.delivered import compare_meters, count_delivered
from marketplace.domain.billing.settlement import (
    build_tariff,
    compute_charges,
    leave_to_reseller,
    settle_without_equity,
    subtract_credit,
)
from marketplace.domain.billing.statement import STATEMENT, IssueStatement, Statement
from marketplace.domain.billing.statement_chain import (
    compute_due,
    compute_returned,
    find_correctable,
    find_credit,
    is_decided,
    is_worse,
    name_adjustment,
    require_difference,
    require_settled,
    require_spaced,
    sum_charged,
)
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.periods import ACCEPTANCE, Period, list_periods
from marketplace.domain.equity.instrument.clawback import is_late, needs_holder
from marketplace.domain.equity.instrument.commands import ReversePrincipal
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.trading.mandate import MANDATE, ReleaseBudget, get_budget_hold
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


@dataclass(frozen=True, slots=True)
class Case:
    """One adjustment.

    Attributes:
        grant: The grant; for a service line, what `build_bill` returns.
        period: The period that is adjusted.
        statement_id: The id of the adjustment's statement.
        adjustment: What changed.
        service_line_id: The service line; None for compute.
    """

    grant: Grant
    period: Period
    statement_id: str
    adjustment: Adjustment
    service_line_id: str | None = None

    def name(self) -> dict[str, Any]:
        """Return the fields that a charge and a credit share."""
        issued = self.grant.issued
        return {
            "statement_id": self.statement_id,
            "grant_id": issued.grant_id,
            "startup_id": issued.startup_id,
            "provider_id": issued.provider_id,
            "reseller_id": None if issued.resale is None else issued.resale.seller_id,
            "period_start": self.period.start,
            "period_end": self.period.end,
            "adjustment": self.adjustment,
            "service_line_id": self.service_line_id,
        }


async def adjust_statement(handler: Handler, context: Context, grant_id: str, index: int) -> Receipt:
    """State the difference between what is known of a settled period now and what was last stated.

    Raises:
        Refusal: ``grant_unknown`` · ``statement_unknown`` · ``statement_<status>`` while a statement of the period is
            open · ``nothing_to_adjust`` · ``adjustment_early``; for a credit, ``funds_insufficient`` if the
            provider's account cannot pay it.
    """
    period = list_periods(await load_grant(UnitOfWork(handler.cache, context), grant_id, "provider"))[index]
    return await run_adjustment(
        handler, context, period, lambda unit, statement_id: _adjust(unit, grant_id, period, statement_id)
    )


async def run_adjustment(
    handler: Handler, context: Context, period: Period, adjust: Callable[[UnitOfWork, str], Awaitable[None]]
) -> Receipt:
    """Run the next adjustment of a period. `adjust` decides it, given the id of its statement.

    If the provider's account cannot pay a credit, it keeps what comes in for that.
    """
    chain = await load_chain(UnitOfWork(handler.cache, context), period)
    statement_id = name_adjustment(period.statement_id, len(chain) - 1)
    own = msgspec.structs.replace(context, command_id=derive_id("cmd", context.command_id, statement_id))
    try:
        return await handler.run(own, STATEMENT, statement_id, lambda unit: adjust(unit, statement_id))
    except Refusal as refusal:
        if refusal.code == "funds_insufficient":
            await _reserve_owed(handler, own, refusal, statement_id)
        raise


async def _reserve_owed(handler: Handler, context: Context, refusal: Refusal, statement_id: str) -> None:
    """Keep on an account what it needs to pay a credit, after a refusal with ``funds_insufficient``."""
    account_id, needed = str(refusal.facts["account_id"]), Decimal(str(refusal.facts["needed_usd"]))
    own = msgspec.structs.replace(context, command_id=derive_id("cmd", context.command_id, "reserve"))

    async def work(unit: UnitOfWork) -> None:
        command = Reserve(account_id=account_id, amount_usd=needed, until=FOREVER, cause=statement_id)
        await unit.decide(ACCOUNT, account_id, command)

    await handler.run(own, ACCOUNT, account_id, work)


async def _adjust(unit: UnitOfWork, grant_id: str, period: Period, statement_id: str) -> None:
    """Credit a period if it costs less or its service was worse; otherwise state what more it costs.

    If both changed, this is the credit, and the next adjustment states the rest.
    """
    grant = await load_grant(unit, grant_id, "provider")
    chain = await load_chain(unit, period)
    require_settled(chain)
    usage = await unit.load(USAGE, name_usage(grant_id))
    before, after = chain[-1].gpu_seconds_metered, count_delivered(usage, grant, period.start, period.end)
    service = await review_service(unit, grant, period, after, chain[-1].service)
    require_difference(chain, after, service)
    require_spaced(chain, period, unit.context.at)
    more = int(compute_due(chain, after) - sum_charged(chain))
    is_credit = more <= 0 or is_worse(chain, service)
    lost = [0 if known is None else known.gpu_seconds_unavailable for known in (chain[-1].service, service)]
    adjustment = Adjustment(
        statement_id=period.statement_id,
        gpu_seconds_before=before,
        gpu_seconds_after=before if is_credit and more > 0 else after,
        unavailable_before=lost[0],
        unavailable_after=lost[1],
    )
    case, stated = Case(grant, period, statement_id, adjustment), await sum_stated(unit, grant)
    await take_number(unit, grant_id, list_periods(grant), statement_id)
    if is_credit:
        less = max(-more, 0)
        charges = compute_charges(build_tariff(grant.issued), stated - less, less)
        await credit(unit, case, chain, charges, service=_keep_credit(chain, service), closed=usage.closed)
        return
    startup = await unit.load(USAGE, name_usage(grant_id, "startup"))
    decided = is_decided(chain, after)
    metering = None if decided else compare_meters(usage, startup, grant, period.start, period.end)
    statement = StatementIssued(
        **case.name(),
        charges=compute_charges(build_tariff(grant.issued), stated, more),
        accept_until=unit.context.at + ACCEPTANCE,
        gpu_seconds_before=stated,
        metering=metering,
        service=service,
        holder_accepts=grant.holder_accepts,
    )
    counted = None if metering is None else _find_count(chain, metering, after)
    await issue(unit, grant, statement, counted)


def _keep_credit(chain: list[Statement], service: ServiceResult | None) -> ServiceResult | None:
    """Return a service result with at least the credit that the last statement gave; None without a service level."""
    given = chain[-1].service
    if service is None or given is None or service.credit >= given.credit:
        return service
    return msgspec.structs.replace(service, credit=given.credit, consequence=given.consequence)


def _find_count(chain: list[Statement], metering: Metering, metered: int) -> int:
    """Return how many GPU-seconds of an adjustment the startup's meter supports."""
    supported = metered - metering.provider_gpu_seconds + metering.startup_gpu_seconds
    return max(int(compute_due(chain, supported) - sum_charged(chain)), 0)


async def credit(
    unit: UnitOfWork,
    case: Case,
    chain: list[Statement],
    charges: Charges,
    *,
    closed: bool,
    service: ServiceResult | None = None,
) -> None:
    """Credit what was charged too much, and what is missing of the service credit, and pay both back.

    Args:
        unit: The decision.
        case: The adjustment.
        chain: The statements of the period so far, oldest first.
        charges: The amounts charged too much.
        closed: Whether the grant is fully settled, so that no budget is kept for it.
        service: The service result of the period by what is known now; None if nothing was promised.

    Raises:
        Refusal: ``funds_insufficient``, if the provider's account cannot pay it.
    """
    held_usd = sum((known.sign * known.charges.holder_usd for known in chain), ZERO)
    if charges.holder_usd > held_usd:  # the holder did not pay for it
        charges = settle_without_equity(charges, None, **await find_settling(unit, chain[-1], case.grant))
    keeps_usd = charges.reseller_receives_usd - compute_returned(chain, charges, unit.context.at)
    if keeps_usd:
        own, fee = build_tariff(case.grant.issued).is_own_capacity, case.grant.issued.platform_fee
        charges = leave_to_reseller(charges, keeps_usd, fee, is_own_capacity=own)
    more = find_credit(chain, charges, service, sign=-1)
    given = None if more is None else ServiceCredit(**{name: -getattr(more, name) for name in more.__struct_fields__})
    until = None if closed or case.service_line_id else find_correctable(case.grant, case.adjustment, unit.context.at)
    statement = StatementCredited(
        **case.name(),
        charges=charges,
        service_credit=given,
        service=service,
        correct_until=until,
        reseller_keeps_usd=keeps_usd,
    )
    await unit.decide(STATEMENT, case.statement_id, IssueStatement(issued=statement))
    net = subtract_credit(charges, given)
    proposed, kept_usd = await _reverse(unit, case, net.principal_usd, chain)
    refund = _find_refund(case, net, proposed)
    unpaid_usd = _price_principal(case, net, kept_usd + sum((each.principal_usd for each in proposed), ZERO))
    paid = msgspec.structs.replace(net, holder_usd=net.holder_usd - unpaid_usd)
    await return_fees(unit, case.grant, case.statement_id, paid)
    await _require_refund(unit, case.grant, paid)
    await pay_back(unit, case.grant, case.statement_id, paid)
    if case.service_line_id is None:
        await return_excess(unit, case.grant, case.statement_id)
    fee = case.grant.issued.platform_fee
    for payer_id in [case.grant.issued.provider_account_id, *(() if fee is None else (fee.account_id,))]:
        free = Reserve(account_id=payer_id, amount_usd=ZERO, until=FOREVER, cause=case.statement_id)
        await unit.decide(ACCOUNT, payer_id, free)
    if proposed:
        issuer_id = rename_id("iss", case.grant.issued.startup_id)
        await propose_reduction(unit, issuer_id, case.statement_id, proposed, refund)
    if closed:
        await _release_budget(unit, case.grant, paid)


async def pay_seller_rest(handler: Handler, context: Context, account_id: str, statement_id: str) -> Receipt:
    """Pay what the seller of resold hours could not give back when they were credited.

    Raises:
        Refusal: ``funds_insufficient`` until its account has all of it.
    """

    async def work(unit: UnitOfWork) -> None:
        statement = await unit.get(STATEMENT, statement_id)
        grant = await load_grant(unit, statement.issued.grant_id, "provider")
        await pay_rest(unit, grant, statement_id, statement.charges)

    return await handler.run(context, ACCOUNT, account_id, work)


async def _require_refund(unit: UnitOfWork, grant: Grant, paid: Charges) -> None:
    """Refuse a credit that the provider's account cannot pay in full. In a resale, its seller pays a part.

    Raises:
        Refusal: ``funds_insufficient``.
    """
    issued = grant.issued
    if issued.resale is None:
        holder_id = None if issued.equity is None else issued.equity.holder_account_id
        holder_usd = ZERO if holder_id in {None, issued.provider_account_id} else paid.holder_usd
        account = await unit.get(ACCOUNT, issued.provider_account_id)
        require_funds(issued.provider_account_id, account, paid.cash_usd + holder_usd)


def _find_refund(case: Case, net: Charges, proposed: list[ReversePrincipal]) -> Debit | None:
    """Return the refund that the provider pays once the holder agrees to lose what its principal became, or None.

    A holder that does not agree keeps what its principal became, and gets no refund for it.
    """
    issued = case.grant.issued
    amount = _price_principal(case, net, sum((each.principal_usd for each in proposed), ZERO))
    if not amount:
        return None
    assert issued.equity is not None, "its holder paid for it"
    assert issued.equity.holder_account_id is not None, "its holder paid for it"
    return Debit(
        account_id=issued.provider_account_id,
        amount_usd=amount,
        payee_account_id=issued.equity.holder_account_id,
        cause=derive_id("prp", case.statement_id),
        owed=True,
    )


def _price_principal(case: Case, net: Charges, principal_usd: Decimal) -> Decimal:
    """Return what the holder paid for a part of the principal that is credited.

    It is 0 where the provider holds the equity itself. In a resale, the seller has a part in the money, and no refund
    waits.
    """
    issued = case.grant.issued
    payee_id = None if issued.equity is None or issued.resale is not None else issued.equity.holder_account_id
    if payee_id in {None, issued.provider_account_id} or not net.principal_usd:
        return ZERO
    return round_cents(Fraction(net.holder_usd) * Fraction(principal_usd) / Fraction(net.principal_usd))


async def _reverse(
    unit: UnitOfWork, case: Case, principal_usd: Decimal, chain: list[Statement]
) -> tuple[list[ReversePrincipal], Decimal]:
    """Reverse principal of the period, youngest tranche first.

    Return the reversals that need the holder's agreement, and the dollars that stay with the holder: tranches that are
    too late to reverse (`is_late`) are left as they are, and all of them once a sale of the company is paid.
    """
    equity = case.grant.issued.equity
    if equity is None:
        return [], ZERO
    left, kept = principal_usd, ZERO
    proposed: list[ReversePrincipal] = []
    issuer = await unit.get(ISSUER, rename_id("iss", case.grant.issued.startup_id), Issuer)
    for tranche_id in (each for known in reversed(chain) for each in list_tranches(known.issued.statement_id, known)):
        instrument = await unit.get(INSTRUMENT, equity.instrument_id)
        tranche = instrument.find_tranche(tranche_id)
        amount = ZERO if tranche is None else min(left, tranche.principal_usd)
        if tranche is None or not amount:
            continue
        left -= amount
        if issuer.is_ended or is_late(tranche, unit.context.at.date()):
            kept += amount
            continue
        reverse = ReversePrincipal(
            instrument_id=equity.instrument_id,
            tranche_id=tranche.tranche_id,
            principal_usd=amount,
            reason=f"{CREDIT}{case.statement_id}",
            reduction=instrument.issued.terms.reduction,
            on_day=unit.context.at.date(),
        )
        pending, accepts = issuer.is_changing, case.grant.holder_accepts
        if needs_holder(tranche, unit.context.at.date(), is_pending=pending, accepts=accepts):
            proposed.append(reverse)
        else:
            await claw_back(unit, reverse)
    return proposed, kept


async def _release_budget(unit: UnitOfWork, grant: Grant, charges: Charges) -> None:
    """Release the budget that a fully settled grant held for the amount that is now credited."""
    equity, hold_id = grant.issued.equity, grant.issued.hold_id
    if equity is None or not charges.holder_usd:
        return
    mandate = await unit.get(MANDATE, equity.mandate_id)
    keep_usd = max(get_budget_hold(mandate, equity.mandate_id, hold_id).total_usd - charges.holder_usd, ZERO)
    reason = "a credit after the grant's end"
    release = ReleaseBudget(mandate_id=equity.mandate_id, hold_id=hold_id, keep_usd=keep_usd, reason=reason)
    await unit.decide(MANDATE, equity.mandate_id, release)
