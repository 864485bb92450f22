"""Pay an accepted statement: cash, budget and principal move in the append of its acceptance."""

from decimal import Decimal

import msgspec

from events.grant import EquityPart, ResalePart
from events.statement import Charges, ServiceCredit
from marketplace.application.steps.dilution import track_instrument
from marketplace.application.steps.mandate_hold import adjust_mandate_hold
from marketplace.application.steps.paying import capture_or_debit, pay
from marketplace.application.steps.stock_agreements import issue_owed
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT, AdjustHold, CaptureHold, Debit
from marketplace.domain.billing.statement import Statement
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.equity.instrument.instrument import INSTRUMENT, AccruePrincipal, LapseInstrument
from marketplace.domain.trading.mandate import MANDATE, ReleaseBudget
from marketplace.execution.unit_of_work import UnitOfWork


async def pay_statement(unit: UnitOfWork, grant: Grant, statement_id: str, statement: Statement) -> None:
    """Pay the provider from the startup's and the mandate's holds, pay its service credit back, and accrue principal.

    In a resale, the seller receives what exceeds its debt to the provider, or adds what is missing.
    """
    issued, charges = grant.issued, statement.charges
    due_usd = charges.reseller_receives_usd
    startup = CaptureHold(
        account_id=issued.startup_account_id,
        hold_id=issued.hold_id,
        amount_usd=charges.cash_usd,
        payee_account_id=issued.provider_account_id,
        cause=statement_id,
    )
    due_usd = await _pay(unit, startup, issued.resale, due_usd)
    if issued.resale is not None:
        seller = CaptureHold(
            account_id=issued.resale.seller_account_id,
            hold_id=issued.resale.hold_id,
            amount_usd=charges.reseller_pays_usd,
            payee_account_id=issued.provider_account_id,
            cause=statement_id,
        )
        await capture_or_debit(unit, seller)
    equity = issued.equity
    if equity is not None and equity.holder_account_id is not None:
        holder = CaptureHold(
            account_id=equity.holder_account_id,
            hold_id=rename_id("hld", equity.mandate_id),
            amount_usd=charges.holder_usd,
            payee_account_id=issued.provider_account_id,
            cause=statement_id,
        )
        await _pay(unit, holder, issued.resale, due_usd)
    if statement.service_credit is not None:
        await pay_back(unit, grant, statement_id, statement.service_credit)
    if equity is not None and statement.net.principal_usd:
        accrue = AccruePrincipal(
            instrument_id=equity.instrument_id,
            tranche_id=derive_id("trn", statement_id),
            principal_usd=statement.net.principal_usd,
            statement_id=statement_id,
            on_day=unit.context.at.date(),
            service=statement.service,
        )
        await unit.decide(INSTRUMENT, equity.instrument_id, accrue)
        await issue_owed(unit, equity.instrument_id)


async def _pay(unit: UnitOfWork, capture: CaptureHold, resale: ResalePart | None, due_usd: Decimal) -> Decimal:
    """Pay the seller of a resale its due and the provider the rest. Return what the seller is still due."""
    part_usd = min(due_usd, capture.amount_usd)
    if resale is not None:
        seller_id = resale.seller_account_id
        await capture_or_debit(unit, msgspec.structs.replace(capture, amount_usd=part_usd, payee_account_id=seller_id))
    await capture_or_debit(unit, msgspec.structs.replace(capture, amount_usd=capture.amount_usd - part_usd))
    return due_usd - part_usd


async def pay_back(unit: UnitOfWork, grant: Grant, statement_id: str, amounts: Charges | ServiceCredit) -> None:
    """Let the provider and a resale's seller pay back startup and holder. What a payer owes itself does not move."""
    issued, resale = grant.issued, grant.issued.resale
    payees = [(issued.startup_account_id, amounts.cash_usd)]
    if issued.equity is not None and issued.equity.holder_account_id is not None:
        payees.append((issued.equity.holder_account_id, amounts.holder_usd))
    due_usd = ZERO
    if resale is not None and isinstance(amounts, Charges):
        due_usd, added_usd = amounts.reseller_receives_usd, amounts.reseller_pays_usd
        await _give_back(unit, issued.provider_account_id, resale.seller_account_id, added_usd, statement_id)
    for account_id, amount_usd in payees:
        part_usd = min(due_usd, amount_usd)
        due_usd -= part_usd
        if resale is not None:
            await _give_back(unit, resale.seller_account_id, account_id, part_usd, statement_id)
        await _give_back(unit, issued.provider_account_id, account_id, amount_usd - part_usd, statement_id)


async def _give_back(unit: UnitOfWork, payer_id: str, payee_id: str, amount_usd: Decimal, cause: str) -> None:
    if payer_id == payee_id:
        return
    debit = Debit(account_id=payer_id, amount_usd=amount_usd, payee_account_id=payee_id, cause=cause, owed=True)
    await pay(unit, debit)


async def release_undelivered(unit: UnitOfWork, grant: Grant, holder_paid_usd: Decimal, reason: str) -> None:
    """Free what was set aside for undelivered capacity of a grant, and let the rest of its instrument lapse."""
    issued = grant.issued
    adjust = AdjustHold(account_id=issued.startup_account_id, hold_id=issued.hold_id, amount_usd=ZERO, reason=reason)
    await unit.decide(ACCOUNT, issued.startup_account_id, adjust)
    if issued.resale is not None and issued.resale.commitment_usd:
        seller_id, hold_id = issued.resale.seller_account_id, issued.resale.hold_id
        free = AdjustHold(account_id=seller_id, hold_id=hold_id, amount_usd=ZERO, reason=reason)
        await unit.decide(ACCOUNT, seller_id, free)
    if issued.equity is not None:
        await _release_equity(unit, issued.equity, issued.hold_id, holder_paid_usd, reason)


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
