"""Acts on an issuer that touch more than the issuer: a round, the sale of the company, money that moves with stock.

These functions check no rights. `application/equity/consents.py` runs them, reads from their events who must agree, and
then stores the events or proposes the act.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from events.account import AccountDebited
from events.financing import Approval, ConvertingInstrument, LaterPrincipal
from events.issuer_holders import StatedAgreement
from marketplace.application.steps.dilution import notify_favoured, track_instrument
from marketplace.application.steps.paying import pay
from marketplace.application.steps.pro_rata import pay_pro_rata
from marketplace.application.steps.stock_agreements import name_holder, name_party
from marketplace.application.steps.takeover import name_assumed, name_buyer
from marketplace.core.ids import is_id, rename_id
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import Debit
from marketplace.domain.equity.instrument.commands import AmendInstrument, RepayNote, TransferInstrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.stock import list_converting
from marketplace.domain.equity.issuer.commands import (
    BuyerStock,
    CloseFinancing,
    DeclareLiquidity,
    NewStakeholder,
    PriceFinancing,
)
from marketplace.domain.equity.issuer.financing.financing import list_conversions, require_current, require_unclosed
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.payments import Payment, list_payments, refuse_payer, require_all
from marketplace.domain.equity.issuer.rights_commands import Delivery
from marketplace.domain.equity.issuer.sale.liquidity import PAY_DAYS, require_payable
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.party import PARTY
from marketplace.execution.unit_of_work import UnitOfWork


async def load_converting(unit: UnitOfWork, issuer: Issuer) -> tuple[ConvertingInstrument, ...]:
    """Return an issuer's outstanding instruments that convert in a round or are paid in a sale, one value per run.

    Raises:
        Refusal: ``shares_owed``.
    """
    instruments = [await unit.get(INSTRUMENT, instrument_id) for instrument_id in sorted(issuer.instruments)]
    return list_converting(instruments, unit.context.at, held_back=issuer.find_sale() is not None)


async def load_outstanding(unit: UnitOfWork, issuer: Issuer) -> tuple[LaterPrincipal, ...]:
    """Return all principal that is outstanding under an issuer's instruments, also what still owes shares."""
    found = []
    for instrument_id in sorted(issuer.instruments):
        instrument = await unit.get(INSTRUMENT, instrument_id)
        holder_id, amount_usd = instrument.holder_id, instrument.outstanding_usd
        if amount_usd:
            found.append(LaterPrincipal(instrument_id=instrument_id, holder_id=holder_id, amount_usd=amount_usd))
    return tuple(found)


async def close_round(
    unit: UnitOfWork, issuer_id: str, financing_id: str, *, approval: Approval, at: datetime, again: bool = False
) -> None:
    """Issue the shares of a priced round, convert the issuer's instruments, and take the money of party investors.

    `at` is when it was asked for. With `again`, the round is first priced once more, if the company changed since then.

    Raises:
        Refusal: ``financing_closed`` if another command closed it · refusals of the issuer, its instruments and the
            investors' accounts, among them ``price_expired``.
    """
    issuer = await unit.get(ISSUER, issuer_id, Issuer)
    require_unclosed(issuer, financing_id)
    require_current(issuer, financing_id, unit.context.at)
    instruments = await load_converting(unit, issuer)
    if again:
        price = PriceFinancing(
            issuer_id=issuer_id, financing_id=financing_id, instruments=instruments, at=at, again=True
        )
        await unit.decide(ISSUER, issuer_id, price, long=True)
        issuer = await unit.get(ISSUER, issuer_id, Issuer)
    command = CloseFinancing(
        issuer_id=issuer_id,
        financing_id=financing_id,
        instruments=instruments,
        approval=approval,
        at=at,
        stakeholders=await _name_holders(unit, issuer, financing_id, instruments),
    )
    await unit.decide(ISSUER, issuer_id, command, long=True)
    for conversion in list_conversions(issuer, financing_id):
        await unit.decide(INSTRUMENT, conversion.instrument_id, conversion)
    for investment in issuer.financings[financing_id].opened.terms.investments:
        if is_id(investment.holder_id, "pty"):
            await _pay(unit, Payment(investment.holder_id, issuer.formed.party_id, investment.amount_usd, financing_id))
    await pay_pro_rata(unit, issuer, financing_id)


async def pay_for_stock(unit: UnitOfWork, issuer_id: str) -> None:
    """Pay, between accounts of parties, for the stock and the exercised rights of this decision.

    Raises:
        Refusal: ``funds_insufficient`` · ``account_unknown``.
    """
    before = await unit.read_before(ISSUER, issuer_id)
    assert isinstance(before, Issuer), "stock moves in an issuer that exists"
    payments = [*list_payments(before, unit.list_events(ISSUER, issuer_id))]
    company_id = before.formed.party_id
    if unit.context.party_id in {None, company_id}:
        account = await unit.get(ACCOUNT, rename_id("acc", company_id))
        require_all([each for each in payments if each.payer_id == company_id], account.available_usd)
    for payment in payments:
        await _pay(unit, payment)


async def repay_note(unit: UnitOfWork, instrument_id: str, *, cause: str, at: datetime) -> None:
    """Repay a note with its interest up to the day of `at`, from the company's account.

    Raises:
        Refusal: Refusals of the instrument · ``funds_insufficient``.
    """
    known = await unit.get(INSTRUMENT, instrument_id)
    converts = (await unit.get(ISSUER, known.issued.issuer_id, Issuer)).is_changing
    command = RepayNote(instrument_id=instrument_id, cause=cause, on_day=at.date(), converts=converts)
    instrument = await unit.decide(INSTRUMENT, instrument_id, command)
    assert instrument.repaid is not None, "the repayment was decided just before"
    company_id = rename_id("pty", instrument.issued.issuer_id)
    await _pay(unit, Payment(company_id, instrument.holder_id, instrument.repaid.amount_usd, cause))
    await track_instrument(unit, instrument_id)


async def amend_instrument(unit: UnitOfWork, command: AmendInstrument) -> None:
    """Record new terms of an instrument, count it anew toward its issuer's limit, and notify most-favoured SAFEs.

    Raises:
        Refusal: Refusals of the instrument and of the issuer.
    """
    await unit.decide(INSTRUMENT, command.instrument_id, command)
    await track_instrument(unit, command.instrument_id)
    if unit.list_events(INSTRUMENT, command.instrument_id):
        await notify_favoured(unit, command.instrument_id)


async def transfer_instrument(unit: UnitOfWork, command: TransferInstrument) -> None:
    """Transfer a whole instrument to the party that its holder is, which becomes a stakeholder by it.

    Raises:
        Refusal: Refusals of the instrument and of the issuer.
    """
    instrument = await unit.decide(INSTRUMENT, command.instrument_id, command)
    if await unit.load(PARTY, command.holder_id_after) is not None:
        await name_holder(unit, instrument.issued.issuer_id, command.holder_id_after)
    await track_instrument(unit, command.instrument_id, owed=True)


async def _pay(unit: UnitOfWork, payment: Payment) -> None:
    """Pay from one party's account to another's. Another party's money is checked by `require_paid` alone."""
    debit = Debit(
        account_id=rename_id("acc", payment.payer_id),
        amount_usd=payment.amount_usd,
        payee_account_id=rename_id("acc", payment.payee_id),
        cause=payment.cause,
        at=unit.context.at,
        on_trust=unit.context.party_id not in {None, payment.payer_id},
    )
    await pay(unit, debit)


async def require_paid(unit: UnitOfWork) -> None:
    """Refuse to store payments of accounts that lack the money, or keep it for others.

    A proposal is made without this check. So nobody finds out what others have by proposing acts that they would pay
    for. The refusal tells no balance. A refund that waited for a proposal is paid from what is kept for it.

    Raises:
        Refusal: ``funds_insufficient``.
    """
    debited = (event for _, event in unit.list_effects() if isinstance(event, AccountDebited))
    paid = [event for event in debited if not is_id(event.cause, "prp")]
    for account_id in sorted({event.account_id for event in paid}):
        account = await unit.get(ACCOUNT, account_id)
        if account.available_usd < account.sum_reserves(unit.context.at):
            last = [event for event in paid if event.account_id == account_id][-1]
            payee_id = rename_id("pty", last.payee_account_id)
            raise refuse_payer(Payment(last.party_id, payee_id, last.amount_usd, last.cause))


async def _name_holders(
    unit: UnitOfWork, issuer: Issuer, financing_id: str, instruments: Sequence[ConvertingInstrument]
) -> tuple[NewStakeholder, ...]:
    financing = issuer.financings.get(financing_id)
    if financing is None:
        return ()
    holders = [investment.holder_id for investment in financing.terms.investments]
    holders.extend(instrument.holder_id for instrument in instruments)
    named = []
    for holder_id in dict.fromkeys(holders):
        if holder_id in issuer.stakeholders or not is_id(holder_id, "pty"):
            continue
        party = await unit.load(PARTY, holder_id)
        if party is not None:
            named.append(name_party(party))
    return tuple(named)


async def sell_company(
    unit: UnitOfWork,
    issuer_id: str,
    liquidity_id: str,
    *,
    proceeds_usd: Decimal,
    safe_seniority: int | None,
    stock: BuyerStock | None,
    at: datetime,
    agreed: tuple[StatedAgreement, ...] = (),
    assumed_by: str | None = None,
    pay_days: int = PAY_DAYS,
    delivered: Mapping[str, Delivery],
    interested: Mapping[str, frozenset[str]],
    again: bool = False,
) -> None:
    """Declare the sale of an issuer, with its waterfall as of `at`; see `issuers.declare_liquidity`.

    `delivered` and `interested` are as in `VestWarrants`. With `again`, it was agreed to, and takes effect.

    Raises:
        Refusal: ``liquidity_overdue`` if it may not be paid any more · refusals of the issuer.
    """
    issuer = await unit.get(ISSUER, issuer_id, Issuer)
    command = DeclareLiquidity(
        issuer_id=issuer_id,
        liquidity_id=liquidity_id,
        proceeds_usd=proceeds_usd,
        instruments=await load_converting(unit, issuer),
        at=at,
        safe_seniority=safe_seniority,
        stock=await name_buyer(unit, issuer_id, stock, again=again),
        agreed=agreed,
        assumed=await name_assumed(unit, issuer, assumed_by, stock, at),
        pay_days=pay_days,
        delivered=delivered,
        interested=interested,
    )
    require_payable(liquidity_id, at + timedelta(days=pay_days), unit.context.at)
    await unit.decide(ISSUER, issuer_id, command, long=True)
