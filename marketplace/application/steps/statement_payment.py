"""Pay a statement: cash, budget and principal move in the append that accepts it, or the part that nobody disputes."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

import msgspec

from events.grant import EquityPart, GrantIssued, ResalePart
from events.instants import FOREVER
from events.service import ServiceResult
from events.statement import Charges, ServiceCredit
from marketplace.application.steps.dilution import track_instrument
from marketplace.application.steps.mandate_hold import adjust_mandate_hold
from marketplace.application.steps.paying import capture_or_debit, pay
from marketplace.application.steps.prepaid import cover_late
from marketplace.application.steps.stages import cover
from marketplace.application.steps.stock_agreements import issue_owed
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO, round_cents
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, CaptureHold, Debit, Reserve
from marketplace.domain.billing.account_state import RESERVE_SHARE, RESERVED_FOR, get_hold
from marketplace.domain.billing.settlement import (
    Totals,
    build_tariff,
    compute_totals,
    subtract_credit,
    subtract_settled,
)
from marketplace.domain.billing.statement import Statement
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.equity.instrument.commands import AccruePrincipal, LapseInstrument, ReduceCommitment
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.trading.mandate import MANDATE, ReleaseBudget, get_budget_hold
from marketplace.execution.unit_of_work import UnitOfWork

_FEES_RESERVED_FOR: Final = RESERVED_FOR + timedelta(days=1)


class Payment(NamedTuple):
    """What a statement pays at once.

    Attributes:
        statement_id: The statement.
        cause: The cause that the payments name.
        tranche_id: The tranche that accrues.
        charges: What is paid. The GPU-seconds do not matter.
        credit: The service credit; negative amounts are taken back; None for none.
        service: The service result of the period; None if nothing was promised.
        earlier: The tranches of parts of the statement that were paid before.
    """

    statement_id: str
    cause: str
    tranche_id: str
    charges: Charges
    credit: ServiceCredit | None
    service: ServiceResult | None
    earlier: tuple[str, ...] = ()


def name_part(statement_id: str, number: int = 0) -> tuple[str, str]:
    """Return the cause that payments name, and the tranche, of an undisputed part, numbered from 0."""
    name = f"part/{number}" if number else "part"
    return derive_id("stm", statement_id, name), derive_id("trn", statement_id, name)


def list_tranches(statement_id: str, statement: Statement) -> list[str]:
    """Return the tranches that a statement may have made, the last one first."""
    parts = [name_part(statement_id, number)[1] for number in reversed(range(statement.parts))]
    return [derive_id("trn", statement_id), *parts]


async def pay_statement(unit: UnitOfWork, grant: Grant, statement_id: str, statement: Statement) -> None:
    """Pay an accepted statement, less the undisputed parts that were paid before.

    Raises:
        Refusal: As `make_payment`.
    """
    part = statement.settled
    charges = subtract_settled(statement.charges, None if part is None else part.charges)
    credit = _subtract_given(statement.service_credit, None if part is None else part.credit)
    tranche_id, *earlier = list_tranches(statement_id, statement)
    payment = Payment(
        statement_id, statement_id, tranche_id, charges, credit, statement.service, earlier=tuple(earlier)
    )
    await cover_late(unit, grant, statement, charges)
    await make_payment(unit, grant, payment)
    await keep_due(unit, grant, statement_id, ZERO)


async def keep_due(unit: UnitOfWork, grant: Grant, statement_id: str, amount_usd: Decimal) -> None:
    """Keep USD on the startup's account for a statement of a grant on credit until it is paid; 0 ends it."""
    account_id = grant.issued.startup_account_id
    if grant.issued.credit_usd:
        reserve = Reserve(account_id=account_id, amount_usd=amount_usd, until=FOREVER, cause=statement_id)
        await unit.decide(ACCOUNT, account_id, reserve)


async def pay_part(unit: UnitOfWork, grant: Grant, before: Statement, after: Statement) -> None:
    """Pay an undisputed part of a disputed statement: what is settled in `after`, less what was in `before`."""
    known, part = before.settled, after.settled
    assert part is not None, "a part was settled"
    charges = subtract_settled(part.charges, None if known is None else known.charges)
    credit = _subtract_given(part.credit, None if known is None else known.credit)
    _, *tranches = list_tranches(part.statement_id, after)
    payment = Payment(
        part.statement_id, part.part_id, tranches[0], charges, credit, after.service, earlier=tuple(tranches[1:])
    )
    await cover_late(unit, grant, after, charges)
    await make_payment(unit, grant, payment)


def _subtract_given(credit: ServiceCredit | None, given: ServiceCredit | None) -> ServiceCredit | None:
    if given is None:
        return credit
    parts = {
        name: (ZERO if credit is None else getattr(credit, name)) - getattr(given, name)
        for name in ServiceCredit.__struct_fields__
    }
    return ServiceCredit(**parts) if any(parts.values()) else None


async def make_payment(unit: UnitOfWork, grant: Grant, payment: Payment) -> None:
    """Pay the provider from the startup's and the mandate's holds, pay its service credit back, and accrue principal.

    The platform gets its fees. In a resale, the seller receives what exceeds the provider's price, or adds what is
    missing.

    Raises:
        Refusal: Refusals of the accounts and of the instrument.
    """
    issued, cause, credit = grant.issued, payment.cause, payment.credit
    takes_back = credit is not None and credit.provider_usd <= 0
    charges = subtract_credit(payment.charges, credit) if takes_back else payment.charges
    due_usd = charges.reseller_receives_usd
    await cover(unit, grant, charges)
    startup = CaptureHold(
        account_id=issued.startup_account_id,
        hold_id=issued.hold_id,
        amount_usd=charges.cash_usd,
        payee_account_id=issued.provider_account_id,
        cause=cause,
    )
    due_usd = await _pay(unit, startup, issued.resale, due_usd)
    await _pay_as_seller(unit, issued.resale, issued.provider_account_id, charges.reseller_pays_usd, cause)
    equity = issued.equity
    if equity is not None and equity.holder_account_id is not None:
        holder = CaptureHold(
            account_id=equity.holder_account_id,
            hold_id=rename_id("hld", equity.mandate_id),
            amount_usd=charges.holder_usd,
            payee_account_id=issued.provider_account_id,
            cause=cause,
        )
        await _pay(unit, holder, issued.resale, due_usd)
    await _pay_fees(unit, issued, cause, charges)
    if credit is not None and not takes_back:
        await return_fees(unit, grant, cause, credit)
        await pay_back(unit, grant, cause, credit)
    net = subtract_credit(charges, None if takes_back else credit)
    await _reserve(unit, issued.provider_account_id, net.provider_usd, cause)
    if issued.resale is not None:
        await _reserve(unit, issued.resale.seller_account_id, net.reseller_receives_usd, cause)
    if equity is not None:
        await _accrue(unit, equity, payment)


async def _pay_fees(unit: UnitOfWork, issued: GrantIssued, cause: str, charges: Charges) -> None:
    """Pay the platform its fees: the startup's from the hold of its cash, the provider's from what it just received.

    The seller of a resale pays from what it received, or from the hold of what it adds.
    """
    fee = issued.platform_fee
    if fee is None:
        return
    startup = CaptureHold(
        account_id=issued.startup_account_id,
        hold_id=issued.hold_id,
        amount_usd=charges.startup_fee_usd,
        payee_account_id=fee.account_id,
        cause=name_fee(cause),
    )
    await capture_or_debit(unit, startup)
    await _pay_as_seller(unit, issued.resale, fee.account_id, charges.reseller_fee_usd, name_fee(cause))
    await _give_back(unit, issued.provider_account_id, fee.account_id, charges.provider_fee_usd, name_fee(cause))
    fees_usd = charges.startup_fee_usd + charges.provider_fee_usd + charges.reseller_fee_usd
    await _reserve_fees(unit, fee.account_id, fees_usd)


async def _pay_as_seller(
    unit: UnitOfWork, resale: ResalePart | None, payee_account_id: str, amount_usd: Decimal, cause: str
) -> None:
    """Pay what the seller of a resale owes, from the hold of what it adds, or else from what it has available."""
    if resale is not None:
        capture = CaptureHold(
            account_id=resale.seller_account_id,
            hold_id=resale.hold_id,
            amount_usd=amount_usd,
            payee_account_id=payee_account_id,
            cause=cause,
        )
        await capture_or_debit(unit, capture)


async def _reserve_fees(unit: UnitOfWork, account_id: str, fees_usd: Decimal) -> None:
    """Keep a share of the platform's fees for those that corrections give back, in one reserve per day."""
    day = unit.context.at.date()
    cause, until = (
        derive_id("fee", account_id, day.isoformat()),
        datetime.combine(day, time(), UTC) + _FEES_RESERVED_FOR,
    )
    known = (await unit.get(ACCOUNT, account_id)).reserves.get(cause, (ZERO, until))[0]
    more = round_cents(Fraction(fees_usd) * RESERVE_SHARE)
    if more > 0:
        reserve = Reserve(account_id=account_id, amount_usd=known + more, until=until, cause=cause)
        await unit.decide(ACCOUNT, account_id, reserve)


def name_fee(cause: str) -> str:
    """Return the cause that payments of the platform's fee name, given that of the statement's other payments."""
    return rename_id("fee", cause)


async def _reserve(unit: UnitOfWork, account_id: str, received_usd: Decimal, cause: str) -> None:
    """Keep a share of what a provider, or a seller of a resale, received, for corrections."""
    amount = round_cents(Fraction(received_usd) * RESERVE_SHARE)
    if amount > 0:
        until = unit.context.at + RESERVED_FOR
        await unit.decide(
            ACCOUNT, account_id, Reserve(account_id=account_id, amount_usd=amount, until=until, cause=cause)
        )


async def _accrue(unit: UnitOfWork, equity: EquityPart, payment: Payment) -> None:
    principal_usd = subtract_credit(payment.charges, payment.credit).principal_usd
    if not principal_usd:
        return
    accrue = AccruePrincipal(
        instrument_id=equity.instrument_id,
        tranche_id=payment.tranche_id,
        principal_usd=principal_usd,
        statement_id=payment.statement_id,
        on_day=unit.context.at.date(),
        service=payment.service,
        part_ids=payment.earlier,
    )
    await unit.decide(INSTRUMENT, equity.instrument_id, accrue)
    await issue_owed(unit, equity.instrument_id)


async def _pay(unit: UnitOfWork, capture: CaptureHold, resale: ResalePart | None, due_usd: Decimal) -> Decimal:
    """Pay the seller of a resale up to `due_usd`, and the provider the rest. Return what the seller is still due."""
    part_usd = min(due_usd, capture.amount_usd)
    if resale is not None:
        seller_id = resale.seller_account_id
        await capture_or_debit(unit, msgspec.structs.replace(capture, amount_usd=part_usd, payee_account_id=seller_id))
    await capture_or_debit(unit, msgspec.structs.replace(capture, amount_usd=capture.amount_usd - part_usd))
    return due_usd - part_usd


async def return_fees(unit: UnitOfWork, grant: Grant, statement_id: str, amounts: Charges | ServiceCredit) -> None:
    """Pay the platform's fees on what is credited back to startup, provider and the seller of a resale.

    Raises:
        Refusal: ``funds_insufficient`` if the platform's account does not have them.
    """
    issued, fee = grant.issued, grant.issued.platform_fee
    if fee is not None:
        cause = name_fee(statement_id)
        await _give_back(unit, fee.account_id, issued.startup_account_id, amounts.startup_fee_usd, cause)
        await _give_back(unit, fee.account_id, issued.provider_account_id, amounts.provider_fee_usd, cause)
        if issued.resale is not None and isinstance(amounts, Charges):
            await _give_back(unit, fee.account_id, issued.resale.seller_account_id, amounts.reseller_fee_usd, cause)


async def pay_back(unit: UnitOfWork, grant: Grant, statement_id: str, amounts: Charges | ServiceCredit) -> None:
    """Pay what is credited back from provider, and a resale's seller, to startup and holder.

    What a payer owes itself does not move. A seller pays what it has. Its account keeps what comes in for the rest
    (`pay_rest`), so that nobody waits for the provider's part.

    Raises:
        Refusal: ``funds_insufficient`` if the provider's account does not have its part.
    """
    issued, resale = grant.issued, grant.issued.resale
    if resale is not None and isinstance(amounts, Charges):
        added_usd = amounts.reseller_pays_usd
        await _give_back(unit, issued.provider_account_id, resale.seller_account_id, added_usd, statement_id)
    rest_usd = ZERO
    for account_id, amount_usd, part_usd in _split_refund(issued, amounts):
        if resale is not None:
            seller_id = resale.seller_account_id
            paid_usd = min(part_usd, (await unit.get(ACCOUNT, seller_id)).available_usd)
            rest_usd += part_usd - paid_usd
            await _give_back(unit, seller_id, account_id, paid_usd, statement_id)
        await _give_back(unit, issued.provider_account_id, account_id, amount_usd - part_usd, statement_id)
    if rest_usd and resale is not None:
        keep = Reserve(
            account_id=resale.seller_account_id, amount_usd=rest_usd, until=FOREVER, cause=name_rest(statement_id)
        )
        await unit.decide(ACCOUNT, resale.seller_account_id, keep)


def _split_refund(issued: GrantIssued, amounts: Charges | ServiceCredit) -> list[tuple[str, Decimal, Decimal]]:
    """Return account and amount of each payer that is credited, and which part of that the seller of a resale pays.

    What a seller owes itself, as the holder of its buyer's equity, is left out.
    """
    payees = [(issued.startup_account_id, amounts.cash_usd)]
    if issued.equity is not None and issued.equity.holder_account_id is not None:
        payees.append((issued.equity.holder_account_id, amounts.holder_usd))
    due_usd = amounts.reseller_receives_usd if issued.resale is not None and isinstance(amounts, Charges) else ZERO
    parts: list[tuple[str, Decimal, Decimal]] = []
    for account_id, amount_usd in payees:
        part_usd = min(due_usd, amount_usd)
        due_usd -= part_usd
        is_own = issued.resale is not None and account_id == issued.resale.seller_account_id
        parts.append((account_id, amount_usd - part_usd, ZERO) if is_own else (account_id, amount_usd, part_usd))
    return parts


def name_rest(statement_id: str) -> str:
    """Return the cause of what the seller of a resale still has to give back for a credit, given the credit's id."""
    return rename_id("rst", statement_id)


async def pay_rest(unit: UnitOfWork, grant: Grant, statement_id: str, charges: Charges) -> None:
    """Pay what the seller of a resale could not give back when hours were credited; nothing if it has.

    Args:
        unit: The decision.
        grant: The grant of the buyer.
        statement_id: The credit.
        charges: What it gives back.

    Raises:
        Refusal: ``funds_insufficient`` until the seller's account has all of it; it keeps what comes in meanwhile.
    """
    resale, cause = grant.issued.resale, name_rest(statement_id)
    assert resale is not None, "only the seller of a resale pays a rest"
    seller_id = resale.seller_account_id
    rest_usd, until = (await unit.get(ACCOUNT, seller_id)).reserves.get(cause, (ZERO, FOREVER))
    free = Reserve(account_id=seller_id, amount_usd=ZERO, until=until, cause=cause)
    await unit.decide(ACCOUNT, seller_id, free)
    for account_id, _, part_usd in reversed(_split_refund(grant.issued, charges)):
        now_usd = min(rest_usd, part_usd)
        rest_usd -= now_usd
        await _give_back(unit, seller_id, account_id, now_usd, cause)


async def _give_back(unit: UnitOfWork, payer_id: str, payee_id: str, amount_usd: Decimal, cause: str) -> None:
    if payer_id == payee_id:
        return
    debit = Debit(account_id=payer_id, amount_usd=amount_usd, payee_account_id=payee_id, cause=cause, owed=True)
    await pay(unit, debit)


async def release_undelivered(unit: UnitOfWork, grant: Grant, holder_paid_usd: Decimal, reason: str) -> None:
    """Free what was set aside for undelivered capacity of a grant, and let the rest of its instrument lapse.

    `holder_paid_usd` is the part of the mandate's budget that stays committed, because it was paid.
    """
    issued = grant.issued
    adjust = AdjustHold(account_id=issued.startup_account_id, hold_id=issued.hold_id, amount_usd=ZERO, reason=reason)
    await unit.decide(ACCOUNT, issued.startup_account_id, adjust)
    if issued.resale is not None and issued.resale.commitment_usd:
        seller_id, hold_id = issued.resale.seller_account_id, issued.resale.hold_id
        free = AdjustHold(account_id=seller_id, hold_id=hold_id, amount_usd=ZERO, reason=reason)
        await unit.decide(ACCOUNT, seller_id, free)
    if issued.equity is not None:
        await _release_equity(unit, issued.equity, issued.hold_id, holder_paid_usd, reason)


def price_cut(grant: Grant, ended_before: int) -> tuple[Totals, Totals]:
    """Return what the hours cost that a grant was to deliver before its last early ends, and those after them.

    `ended_before` is the GPU-seconds that the ends before these cut.
    """
    tariff, left = build_tariff(grant.issued), grant.gpu_seconds_left
    before, kept = (compute_totals(tariff, left - min(less, left)) for less in (ended_before, grant.gpu_seconds_ended))
    return before, kept


async def free_cut(unit: UnitOfWork, grant: Grant, ended_before: int, fee_usd: Decimal, reason: str) -> None:
    """Free the cash and budget of the hours that the last early end of a grant cuts, and what a reseller adds for them.

    Of a grant in stages or on credit, what is set aside is no part of certain hours, and stays until its statements are
    settled. Since those on credit may stay unpaid for ever, their budget and principal are freed now.

    Args:
        unit: The decision.
        grant: The grant after that end.
        ended_before: The GPU-seconds that earlier ends cut.
        fee_usd: What the end's fee took of the hold.
        reason: Why.
    """
    issued, (before, kept) = grant.issued, price_cut(grant, ended_before)
    if issued.stages is None and not issued.credit_usd:
        account_id, hold_id = issued.startup_account_id, issued.hold_id
        left_usd = get_hold(await unit.get(ACCOUNT, account_id), account_id, hold_id).left_usd
        freed_usd = min(max(before.startup_usd - kept.startup_usd - fee_usd, ZERO), left_usd)
        adjust = AdjustHold(account_id=account_id, hold_id=hold_id, amount_usd=left_usd - freed_usd, reason=reason)
        await unit.decide(ACCOUNT, account_id, adjust)
    if issued.resale is not None and issued.resale.commitment_usd:
        seller_id, hold_id = issued.resale.seller_account_id, issued.resale.hold_id
        left_usd = get_hold(await unit.get(ACCOUNT, seller_id), seller_id, hold_id).left_usd
        paid_usd = grant.terminations[-1].reseller_pays_usd
        freed_usd = min(max(before.reseller_usd - kept.reseller_usd - paid_usd, ZERO), left_usd)
        adjust = AdjustHold(account_id=seller_id, hold_id=hold_id, amount_usd=left_usd - freed_usd, reason=reason)
        await unit.decide(ACCOUNT, seller_id, adjust)
    if issued.credit_usd:
        await free_equity(unit, issued, before, kept, reason, cause=issued.grant_id)
    elif issued.equity is not None:
        await _free_budget(unit, issued.equity, issued.hold_id, before.holder_usd - kept.holder_usd, reason)


async def keep_correctable(
    unit: UnitOfWork, grant: Grant, holder_paid_usd: Decimal, lowered: Sequence[Charges]
) -> None:
    """Free what was set aside for a settled grant, except what its lowered readings may cost again.

    `holder_paid_usd` is as in `release_undelivered`, `lowered` what was credited.
    """
    issued, reason = grant.issued, "only lowered readings keep the grant open"
    keep_usd = sum((each.cash_usd + each.startup_fee_usd for each in lowered), ZERO)
    hold = (await unit.get(ACCOUNT, issued.startup_account_id)).holds.get(issued.hold_id)
    if hold is not None and hold.left_usd > keep_usd:
        adjust = AdjustHold(
            account_id=issued.startup_account_id, hold_id=issued.hold_id, amount_usd=keep_usd, reason=reason
        )
        await unit.decide(ACCOUNT, issued.startup_account_id, adjust)
    equity = issued.equity
    if equity is None:
        return
    budget_usd = holder_paid_usd + sum((each.holder_usd for each in lowered), ZERO)
    release = ReleaseBudget(mandate_id=equity.mandate_id, hold_id=issued.hold_id, keep_usd=budget_usd, reason=reason)
    await unit.decide(MANDATE, equity.mandate_id, release)
    await adjust_mandate_hold(unit, equity.mandate_id, reason)
    instrument = await unit.get(INSTRUMENT, equity.instrument_id)
    less_usd = instrument.open_usd - sum((each.principal_usd for each in lowered), ZERO)
    if less_usd > 0:
        cause = derive_id("cor", issued.grant_id)
        reduce = ReduceCommitment(instrument_id=equity.instrument_id, amount_usd=less_usd, cause=cause)
        await unit.decide(INSTRUMENT, equity.instrument_id, reduce)
        await track_instrument(unit, equity.instrument_id)


async def free_equity(
    unit: UnitOfWork, issued: GrantIssued, before: Totals, after: Totals, reason: str, *, cause: str
) -> None:
    """Free budget and principal of hours that a grant does not deliver any more.

    Args:
        unit: The decision.
        issued: The grant.
        before: What all hours cost that it was to deliver until now.
        after: What those cost that it delivered or may still deliver.
        reason: Why, for the mandate.
        cause: The id of what the hours went to, or of the grant.
    """
    equity = issued.equity
    if equity is None:
        return
    await _free_budget(unit, equity, issued.hold_id, before.holder_usd - after.holder_usd, reason)
    instrument = await unit.get(INSTRUMENT, equity.instrument_id)
    less_usd = min(before.principal_usd - after.principal_usd, instrument.open_usd)
    if less_usd:
        reduce = ReduceCommitment(instrument_id=equity.instrument_id, amount_usd=less_usd, cause=cause)
        await unit.decide(INSTRUMENT, equity.instrument_id, reduce)
        await track_instrument(unit, equity.instrument_id)


async def _free_budget(unit: UnitOfWork, equity: EquityPart, hold_id: str, amount_usd: Decimal, reason: str) -> None:
    mandate = await unit.get(MANDATE, equity.mandate_id)
    keep_usd = max(get_budget_hold(mandate, equity.mandate_id, hold_id).total_usd - amount_usd, ZERO)
    release = ReleaseBudget(mandate_id=equity.mandate_id, hold_id=hold_id, keep_usd=keep_usd, reason=reason)
    await unit.decide(MANDATE, equity.mandate_id, release)
    await adjust_mandate_hold(unit, equity.mandate_id, reason)


async def _release_equity(
    unit: UnitOfWork, equity: EquityPart, hold_id: str, holder_paid_usd: Decimal, reason: str
) -> None:
    release = ReleaseBudget(mandate_id=equity.mandate_id, hold_id=hold_id, keep_usd=holder_paid_usd, reason=reason)
    await unit.decide(MANDATE, equity.mandate_id, release)
    await adjust_mandate_hold(unit, equity.mandate_id, reason)
    instrument = await unit.get(INSTRUMENT, equity.instrument_id)
    if instrument.open_usd:
        lapse = LapseInstrument(instrument_id=equity.instrument_id, reason=reason)
        await unit.decide(INSTRUMENT, equity.instrument_id, lapse)
        await track_instrument(unit, equity.instrument_id)
