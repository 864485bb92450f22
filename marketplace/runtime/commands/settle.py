"""What an accepted statement moves: cash, budget and principal, in the atomic append of its acceptance."""

from decimal import Decimal

from events.grant import EquityPart
from events.statement import Charges, ServiceCredit
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.account import ACCOUNT, AdjustHold, CaptureHold, Debit
from marketplace.domain.grant import Grant
from marketplace.domain.instrument import INSTRUMENT, AccruePrincipal, Instrument, LapseInstrument
from marketplace.domain.mandate import MANDATE, ReleaseBudget
from marketplace.domain.statement import Statement
from marketplace.runtime.commands.mandates import adjust_mandate_hold
from marketplace.runtime.commands.payments import capture_or_debit, pay
from marketplace.runtime.unit import Unit


async def settle_statement(unit: Unit, grant: Grant, statement_id: str, statement: Statement) -> None:
    """Pay the provider from the startup's hold and from the mandate's, give back what it credits, accrue the rest."""
    issued, charges = grant.issued, statement.charges
    startup = CaptureHold(
        account_id=issued.startup_account_id,
        hold_id=issued.hold_id,
        amount_usd=charges.cash_usd,
        payee_account_id=issued.provider_account_id,
        cause=statement_id,
    )
    await capture_or_debit(unit, startup)
    equity = issued.equity
    if equity is not None and equity.holder_account_id is not None:
        holder = CaptureHold(
            account_id=equity.holder_account_id,
            hold_id=rename_id("hld", equity.mandate_id),
            amount_usd=charges.holder_usd,
            payee_account_id=issued.provider_account_id,
            cause=statement_id,
        )
        await capture_or_debit(unit, holder)
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


async def pay_back(unit: Unit, grant: Grant, statement_id: str, amounts: Charges | ServiceCredit) -> None:
    """Let the provider pay startup and holder back what each of them paid; what it paid itself stays where it is."""
    issued = grant.issued
    payees = [(issued.startup_account_id, amounts.cash_usd)]
    if issued.equity is not None and issued.equity.holder_account_id is not None:
        payees.append((issued.equity.holder_account_id, amounts.holder_usd))
    for account_id, amount_usd in payees:
        if account_id == issued.provider_account_id:
            continue
        debit = Debit(
            account_id=issued.provider_account_id,
            amount_usd=amount_usd,
            payee_account_id=account_id,
            cause=statement_id,
            owed=True,
        )
        await pay(unit, debit)


async def release_undelivered(unit: Unit, grant: Grant, holder_paid_usd: Decimal, reason: str) -> None:
    """Free what was set aside for a grant and not delivered, and let the rest of its instrument lapse."""
    issued = grant.issued
    adjust = AdjustHold(account_id=issued.startup_account_id, hold_id=issued.hold_id, amount_usd=ZERO, reason=reason)
    await unit.decide(ACCOUNT, issued.startup_account_id, adjust)
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
