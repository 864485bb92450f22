"""Adjustments: readings of a period arrive, change or are voided after its statement was settled.

The settled statement does not change. A higher amount becomes a statement of its own, which is accepted or disputed
like any other. A lower amount is credited at once. Only one adjustment of a period is open at a time; the next one
covers everything that changed meanwhile.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from events.service import ServiceResult
from events.statement import Adjustment, Charges, ServiceCredit, StatementCredited, StatementIssued
from marketplace.application.equity.clawbacks import claw_back
from marketplace.application.equity.consents import propose_reduction
from marketplace.application.steps.access import load_grant
from marketplace.application.steps.statement_chain import load_chain, sum_metered, take_turn
from marketplace.application.steps.statement_payment import pay_back
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO, round_cents
from marketplace.domain.billing.account import Debit
from marketplace.domain.billing.settlement import (
    apply_consequence,
    build_tariff,
    compute_charges,
    compute_service_credit,
    subtract_credit,
)
from marketplace.domain.billing.statement import STATEMENT, IssueStatement, Statement
from marketplace.domain.billing.statement_chain import name_adjustment, require_difference, require_settled
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.periods import ACCEPTANCE, Period, list_periods
from marketplace.domain.equity.instrument.clawback import is_late, needs_holder
from marketplace.domain.equity.instrument.instrument import INSTRUMENT, ReversePrincipal
from marketplace.domain.equity.issuer.issuer import ISSUER, Issuer
from marketplace.domain.metering.usage import USAGE, count_gpu_seconds, name_usage
from marketplace.domain.trading.mandate import MANDATE, ReleaseBudget
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


@dataclass(frozen=True, slots=True)
class Case:
    """One adjustment.

    Attributes:
        grant: The grant; for a service line, in the form that settles the line.
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
            "period_start": self.period.start,
            "period_end": self.period.end,
            "adjustment": self.adjustment,
            "service_line_id": self.service_line_id,
        }


async def adjust_statement(handler: Handler, context: Context, grant_id: str, index: int) -> Receipt:
    """State the difference between the current metering of a settled period and what was last stated.

    Raises:
        Refusal: ``grant_unknown`` · ``statement_unknown`` · ``statement_<status>`` while a statement of the period is
            open · ``nothing_to_adjust``; for a credit, ``funds_insufficient`` if the provider's account cannot pay it.
    """
    unit = UnitOfWork(handler.cache, context)
    period = list_periods(await load_grant(unit, grant_id, "provider"))[index]
    statement_id = name_adjustment(period.statement_id, len(await load_chain(unit, period)) - 1)
    own = msgspec.structs.replace(context, command_id=derive_id("cmd", context.command_id, statement_id))

    async def work(current: UnitOfWork) -> None:
        await _adjust(current, grant_id, period, statement_id)

    return await handler.run(own, STATEMENT, statement_id, work)


async def _adjust(unit: UnitOfWork, grant_id: str, period: Period, statement_id: str) -> None:
    grant = await load_grant(unit, grant_id, "provider")
    chain = await load_chain(unit, period)
    require_settled(chain)
    usage = await unit.load(USAGE, name_usage(grant_id))
    before, after = chain[-1].gpu_seconds_metered, count_gpu_seconds(usage, period.start, period.end)
    require_difference(before, after, is_service=False)
    adjustment = Adjustment(statement_id=period.statement_id, gpu_seconds_before=before, gpu_seconds_after=after)
    case, stated = Case(grant, period, statement_id, adjustment), await sum_metered(unit, grant)
    await take_turn(unit, grant_id, list_periods(grant), statement_id)
    if after > before:
        await _charge(unit, case, stated, chain[0].service)
        return
    charged = sum(known.sign * known.charges.gpu_seconds for known in chain)
    less = max(charged - after, 0)
    charges = compute_charges(build_tariff(grant.issued), stated - less, less)
    await credit(unit, case, chain, apply_consequence(charges, chain[0].service), closed=usage.closed)


async def _charge(unit: UnitOfWork, case: Case, stated: int, service: ServiceResult | None) -> None:
    """Charge the usage above what was stated. The period's service credit applies to it too."""
    more = case.adjustment.gpu_seconds_after - case.adjustment.gpu_seconds_before
    statement = StatementIssued(
        **case.name(),
        charges=apply_consequence(compute_charges(build_tariff(case.grant.issued), stated, more), service),
        accept_until=unit.context.at + ACCEPTANCE,
        gpu_seconds_before=stated,
        service=service,
        holder_accepts=case.grant.holder_accepts,
    )
    await unit.decide(STATEMENT, case.statement_id, IssueStatement(issued=statement))


async def credit(unit: UnitOfWork, case: Case, chain: list[Statement], charges: Charges, *, closed: bool) -> None:
    """Credit what was charged above the metered usage. Nothing if a dispute already lowered the charge below it.

    Args:
        unit: The decision.
        case: The adjustment.
        chain: The statements of the period so far, oldest first.
        charges: The amounts charged too much.
        closed: Whether the grant is fully settled, so that no budget is kept for it.
    """
    given = _find_given(chain, charges)
    statement = StatementCredited(**case.name(), charges=charges, service_credit=given)
    await unit.decide(STATEMENT, case.statement_id, IssueStatement(issued=statement))
    net = subtract_credit(charges, given)
    proposed = await _reverse(unit, case, net.principal_usd, chain)
    refund = _find_refund(case, net, proposed)
    paid = net if refund is None else msgspec.structs.replace(net, holder_usd=net.holder_usd - refund.amount_usd)
    await pay_back(unit, case.grant, case.statement_id, paid)
    if proposed:
        issuer_id = rename_id("iss", case.grant.issued.startup_id)
        await propose_reduction(unit, issuer_id, case.statement_id, proposed, refund)
    if closed:
        await _release_budget(unit, case.grant, paid)


def _find_refund(case: Case, net: Charges, proposed: list[ReversePrincipal]) -> Debit | None:
    """Return the refund that the provider pays once the holder agrees to lose what its principal became, or None.

    A holder that does not agree keeps what its principal became, and gets no refund for it. In a resale, the seller has
    a part in the money, and no refund waits.
    """
    issued = case.grant.issued
    payee_id = None if issued.equity is None or issued.resale is not None else issued.equity.holder_account_id
    if payee_id in {None, issued.provider_account_id} or not net.principal_usd:
        return None
    waiting = sum((each.principal_usd for each in proposed), ZERO)
    amount = round_cents(Fraction(net.holder_usd) * Fraction(waiting) / Fraction(net.principal_usd))
    if not amount:
        return None
    return Debit(
        account_id=issued.provider_account_id,
        amount_usd=amount,
        payee_account_id=payee_id,
        cause=derive_id("prp", case.statement_id),
        owed=True,
    )


def _find_given(chain: list[Statement], less: Charges) -> ServiceCredit | None:
    """Return the part of the period's service credit that no longer applies once `less` is credited."""
    service = chain[0].service
    if service is None or not service.credit:
        return None
    left = Charges(**{name: _sum(chain, name) - getattr(less, name) for name in Charges.__struct_fields__})
    due = compute_service_credit(left, service.credit)
    return ServiceCredit(
        **{name: _sum_given(chain, name) - getattr(due, name) for name in ServiceCredit.__struct_fields__}
    )


def _sum(chain: list[Statement], name: str) -> Any:
    return sum(known.sign * getattr(known.charges, name) for known in chain)


def _sum_given(chain: list[Statement], name: str) -> Any:
    given = [(known.sign, known.service_credit) for known in chain if known.service_credit is not None]
    return sum((sign * getattr(credit, name) for sign, credit in given), ZERO)


async def _reverse(
    unit: UnitOfWork, case: Case, principal_usd: Decimal, chain: list[Statement]
) -> list[ReversePrincipal]:
    """Reverse principal of the period, youngest tranche first. Return the reversals that need the holder's agreement.

    A reversal needs it if the principal became shares or money, may do so soon, or accrued long ago (`needs_holder`).
    If it is too late (`is_late`), or a sale of the company is paid, nothing is reversed. The instrument's terms say
    whether a reversal cancels shares or makes the holder owe their price.
    """
    equity = case.grant.issued.equity
    if equity is None:
        return []
    left = principal_usd
    proposed: list[ReversePrincipal] = []
    issuer = await unit.get(ISSUER, rename_id("iss", case.grant.issued.startup_id), Issuer)
    for known in [] if issuer.is_ended else reversed(chain):
        instrument = await unit.get(INSTRUMENT, equity.instrument_id)
        tranche = instrument.find_tranche(derive_id("trn", known.issued.statement_id))
        amount = ZERO if tranche is None else min(left, tranche.principal_usd)
        if tranche is None or not amount or is_late(tranche, unit.context.at.date()):
            continue
        reverse = ReversePrincipal(
            instrument_id=equity.instrument_id,
            tranche_id=tranche.tranche_id,
            principal_usd=amount,
            reason=f"credit {case.statement_id}",
            settlement=instrument.issued.terms.reduction,
            on_day=unit.context.at.date(),
        )
        left -= amount
        if needs_holder(tranche, unit.context.at.date(), is_pending=issuer.is_changing):
            proposed.append(reverse)
        else:
            await claw_back(unit, reverse)
    return proposed


async def _release_budget(unit: UnitOfWork, grant: Grant, charges: Charges) -> None:
    """Release the budget that a fully settled grant held for the amount that is now credited."""
    equity, hold_id = grant.issued.equity, grant.issued.hold_id
    if equity is None or not charges.holder_usd:
        return
    mandate = await unit.get(MANDATE, equity.mandate_id)
    keep_usd = max(mandate.holds[hold_id].total_usd - charges.holder_usd, ZERO)
    reason = "a credit after the grant's end"
    release = ReleaseBudget(mandate_id=equity.mandate_id, hold_id=hold_id, keep_usd=keep_usd, reason=reason)
    await unit.decide(MANDATE, equity.mandate_id, release)
