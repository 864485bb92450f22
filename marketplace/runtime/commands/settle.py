"""What an accepted statement moves: cash, budget and principal, in the atomic append of its acceptance."""

from decimal import Decimal

import msgspec

from events.grant import EquityPart, ResalePart
from events.statement import Charges
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.account import ACCOUNT, AdjustHold, CaptureHold
from marketplace.domain.grant import Grant
from marketplace.domain.instrument import INSTRUMENT, AccruePrincipal, Instrument, LapseInstrument
from marketplace.domain.mandate import MANDATE, ReleaseBudget
from marketplace.runtime.commands.mandates import adjust_mandate_hold
from marketplace.runtime.commands.payments import capture_or_debit
from marketplace.runtime.unit import Unit


async def settle_statement(unit: Unit, grant: Grant, statement_id: str, charges: Charges) -> None:
    """Pay the provider from the startup's hold and from the mandate's, and let principal accrue.

    Of a resale the seller is paid what is above what it owes the provider, or adds what is below.
    """
    issued, due_usd = grant.issued, charges.reseller_receives_usd
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
    if equity is None:
        return
    if equity.holder_account_id is not None:
        holder = CaptureHold(
            account_id=equity.holder_account_id,
            hold_id=rename_id("hld", equity.mandate_id),
            amount_usd=charges.holder_usd,
            payee_account_id=issued.provider_account_id,
            cause=statement_id,
        )
        await _pay(unit, holder, issued.resale, due_usd)
    if charges.principal_usd:
        accrue = AccruePrincipal(
            instrument_id=equity.instrument_id,
            tranche_id=derive_id("trn", statement_id),
            principal_usd=charges.principal_usd,
            statement_id=statement_id,
            on_day=unit.context.at.date(),
        )
        await unit.decide(INSTRUMENT, equity.instrument_id, accrue)


async def _pay(unit: Unit, capture: CaptureHold, resale: ResalePart | None, due_usd: Decimal) -> Decimal:
    """Pay the seller of a resale what is due to it, the provider the rest; return what is due to the seller still."""
    part_usd = min(due_usd, capture.amount_usd)
    if resale is not None:
        seller_id = resale.seller_account_id
        await capture_or_debit(unit, msgspec.structs.replace(capture, amount_usd=part_usd, payee_account_id=seller_id))
    await capture_or_debit(unit, msgspec.structs.replace(capture, amount_usd=capture.amount_usd - part_usd))
    return due_usd - part_usd


async def release_undelivered(unit: Unit, grant: Grant, holder_paid_usd: Decimal, reason: str) -> None:
    """Free what was set aside for a grant and not delivered, and let the rest of its instrument lapse."""
    issued = grant.issued
    adjust = AdjustHold(account_id=issued.startup_account_id, hold_id=issued.hold_id, amount_usd=ZERO, reason=reason)
    await unit.decide(ACCOUNT, issued.startup_account_id, adjust)
    if issued.resale is not None and issued.resale.commitment_usd:
        seller_id, hold_id = issued.resale.seller_account_id, issued.resale.hold_id
        free = AdjustHold(account_id=seller_id, hold_id=hold_id, amount_usd=ZERO, reason=reason)
        await unit.decide(ACCOUNT, seller_id, free)
    if issued.equity is not None:
        await _release_equity(unit, issued.equity, issued.hold_id, holder_paid_usd, reason)


async def _release_equity(unit: Unit, equity: EquityPart, hold_id: str, holder_paid_usd: Decimal, reason: str) -> None:
    release = ReleaseBudget(mandate_id=equity.mandate_id, hold_id=hold_id, keep_usd=holder_paid_usd, reason=reason)
    await unit.decide(MANDATE, equity.mandate_id, release)
    await adjust_mandate_hold(unit, equity.mandate_id, reason)
    instrument: Instrument = await unit.load(INSTRUMENT, equity.instrument_id)
    if instrument.status in {"drawing", "suspended"} and instrument.undrawn_usd:
        lapse = LapseInstrument(instrument_id=equity.instrument_id, reason=reason)
        await unit.decide(INSTRUMENT, equity.instrument_id, lapse)
