"""Priced stock and warrants bought with compute or cash, issued in the append in which their principal accrues."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import msgspec

from events.types import PricedTerms, StakeholderKind, StockTerms, WarrantTerms
from marketplace.application.steps.access import require_owner
from marketplace.application.steps.binding import require_offers_kept
from marketplace.application.steps.dilution import track_instrument
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, is_id, rename_id
from marketplace.core.money import SHARE_PRICE_PLACES
from marketplace.core.rounding import round_places
from marketplace.domain.equity.instrument.commands import ConvertInstrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.state import Instrument
from marketplace.domain.equity.instrument.stock import Purchase, buys_none, find_purchase, require_purchase
from marketplace.domain.equity.issuer.commands import AddStakeholder, IssuerCommand, NewStakeholder
from marketplace.domain.equity.issuer.holder_commands import AgreeHolderTerms
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights_commands import IssueWarrant, TransferWarrant
from marketplace.domain.equity.issuer.rules import (
    SHARES_MAX,
    get_class,
    raise_authorised,
    require_authorised,
    require_no_sale,
)
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.equity.issuer.stock_commands import IssueStock, OfferStock, TransferStock
from marketplace.domain.equity.issuer.takeover import build_command
from marketplace.domain.party import PARTY, Party
from marketplace.domain.refusals import require_found
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork

RUNS_MAX = 100
TOGETHER_MAX = 50


async def issue_shares(handler: Handler, context: Context, instrument_id: str) -> Receipt:
    """Issue the shares or rights that priced principal still owes, as the holder or the company.

    Raises:
        Refusal: ``instrument_unknown`` · ``nothing_to_convert`` · ``conversion_empty`` ·
            ``stock_class_over_authorised`` · ``sale_declared`` · ``market_deciding``.
    """

    async def work(unit: UnitOfWork) -> None:
        instrument = require_found("instrument", instrument_id, await unit.load(INSTRUMENT, instrument_id))
        owners = (instrument.holder_id, rename_id("pty", instrument.issued.issuer_id))
        require_owner(unit.context, owners, "instrument", instrument_id)
        require_no_sale(await unit.get(ISSUER, instrument.issued.issuer_id, Issuer))
        require_purchase(instrument, await _find(unit, instrument_id))
        await issue_owed(unit, instrument_id, strict=True)

    return await handler.run(context, INSTRUMENT, instrument_id, work)


async def issue_all_owed(unit: UnitOfWork, issuer_id: str) -> None:
    """Issue what the instruments of an issuer owe, once a declared sale that held it back has ended unpaid.

    One append holds so much of `TOGETHER_MAX` instruments. Of the others it stays owed, and is issued as more accrues,
    or at the request of its holder or the company.
    """
    issuer, issued = await unit.get(ISSUER, issuer_id, Issuer), 0
    for instrument_id in sorted(issuer.instruments):
        instrument = await unit.get(INSTRUMENT, instrument_id)
        if isinstance(instrument.terms, PricedTerms) and instrument.outstanding_usd and issued < TOGETHER_MAX:
            await issue_owed(unit, instrument_id)
            issued += 1


async def issue_owed(unit: UnitOfWork, instrument_id: str, *, strict: bool = False) -> None:
    """Convert the outstanding principal of priced stock into shares, and of warrants into rights to buy shares.

    Other instruments do not change. Where too few shares are authorised, the issue raises that: the company took the
    principal for them. If the principal buys no whole share, or the class would have more than `SHARES_MAX`, it stays
    owed and can be converted later. So it does while a sale is declared.

    Raises:
        Refusal: ``market_deciding`` while an auction has locked an order that pays in shares of the issuer at a price ·
            if `strict`, ``stock_class_unknown`` · ``stock_class_over_authorised``.
    """
    for _ in range(RUNS_MAX):
        purchase = await _find(unit, instrument_id)
        if purchase is None:
            return
        instrument = await unit.get(INSTRUMENT, instrument_id)
        if buys_none(instrument, purchase):
            return
        issuer = await unit.get(ISSUER, instrument.issued.issuer_id, Issuer)
        if isinstance(purchase.terms, StockTerms):
            try:
                widest = replace(get_class(issuer, purchase.terms.class_id), shares_authorised=SHARES_MAX)
                require_authorised(widest, purchase.shares)
            except Refusal:
                if strict:
                    raise
                return
        await _issue(unit, instrument, purchase)


async def _find(unit: UnitOfWork, instrument_id: str) -> Purchase | None:
    instrument = await unit.get(INSTRUMENT, instrument_id)
    issuer = await unit.get(ISSUER, instrument.issued.issuer_id, Issuer)
    if issuer.is_ended or issuer.find_sale() is not None:
        return None  # a declared sale counts the stock as it is, and its payment pays what accrues meanwhile in cash
    signed = issuer.split_at_issue.get(instrument_id, issuer.split_ratio)
    return find_purchase(instrument, issuer.split_ratio / signed)


async def _issue(unit: UnitOfWork, instrument: Instrument, purchase: Purchase) -> None:
    issued, run = instrument.issued, purchase.run
    kind = "sec" if isinstance(purchase.terms, StockTerms) else "wrt"
    security_id = derive_id(kind, issued.instrument_id, f"{run.tranches[-1].tranche_id} {len(instrument.conversions)}")
    convert = ConvertInstrument(
        instrument_id=issued.instrument_id,
        cause=security_id,
        principal_usd=run.principal_usd,
        amount_exact=Fraction(run.principal_usd),
        branch="agreed_price",
        price=purchase.price_usd,
        class_id=purchase.terms.class_id,
        shares_exact=purchase.shares_exact,
        shares=purchase.shares,
    )
    await unit.decide(INSTRUMENT, issued.instrument_id, convert)
    await track_instrument(unit, issued.instrument_id, owed=True)
    if not purchase.shares:
        return
    await name_holder(unit, issued.issuer_id, instrument.holder_id)
    if isinstance(purchase.terms, WarrantTerms):
        await _issue_warrant(unit, instrument, purchase, purchase.terms, security_id)
    else:
        await _issue_stock(unit, instrument, purchase, security_id)
    await require_offers_kept(unit, issued.issuer_id)


async def _issue_stock(unit: UnitOfWork, instrument: Instrument, purchase: Purchase, security_id: str) -> None:
    issued = instrument.issued
    issue = IssueStock(
        issuer_id=issued.issuer_id,
        security_id=security_id,
        holder_id=instrument.holder_id,
        class_id=purchase.terms.class_id,
        shares=purchase.shares,
        price_usd_per_share=round_places(purchase.price_usd, SHARE_PRICE_PLACES, "half_even"),
        cause=issued.instrument_id,
    )
    issuer = await unit.get(ISSUER, issued.issuer_id, Issuer)
    for raised in raise_authorised(issuer, issue.class_id, issue.shares, issued.instrument_id):
        await unit.decide(ISSUER, issued.issuer_id, build_command(raised, unit.context.at))
    await unit.decide(ISSUER, issued.issuer_id, issue)


async def _issue_warrant(
    unit: UnitOfWork, instrument: Instrument, purchase: Purchase, terms: WarrantTerms, warrant_id: str
) -> None:
    """Issue the rights that a run of principal bought. All of them may be exercised at once."""
    issued = instrument.issued
    price = Fraction(terms.exercise_price_usd) / purchase.split
    issue = IssueWarrant(
        issuer_id=issued.issuer_id,
        warrant_id=warrant_id,
        holder_id=instrument.holder_id,
        class_id=terms.class_id,
        shares=purchase.shares,
        exercise_price_usd=round_places(price, SHARE_PRICE_PLACES, "half_even"),
        expires_at=terms.expires_at,
        settlement=terms.settlement,
        cause=issued.instrument_id,
    )
    await unit.decide(ISSUER, issued.issuer_id, issue)


async def name_holder(unit: UnitOfWork, issuer_id: str, holder_id: str) -> None:
    """Register a holder as a stakeholder of the issuer, if it is not one."""
    issuer = await unit.get(ISSUER, issuer_id, Issuer)
    if holder_id in issuer.stakeholders:
        return
    party = await unit.load(PARTY, holder_id)
    named = NewStakeholder(holder_id=holder_id, name=holder_id, kind="investor") if party is None else name_party(party)
    await unit.decide(ISSUER, issuer_id, AddStakeholder(issuer_id=issuer_id, **msgspec.structs.asdict(named)))


async def name_receivers(unit: UnitOfWork, command: IssuerCommand) -> None:
    """Register the parties here to whom holders pass stock or a warrant, or that holder terms name, as stakeholders.

    The company need not do it first: it would hold up a lawful sale by leaving it undone.
    """
    named: Sequence[str] = ()
    if isinstance(command, OfferStock | TransferStock | TransferWarrant):
        named = (command.holder_id_after,)
    elif isinstance(command, AgreeHolderTerms):
        named = (*command.terms.pro_rata, *command.terms.pro_rata_waived)
    for holder_id in named:
        if is_id(holder_id, PARTY.prefix) and await unit.load(PARTY, holder_id) is not None:
            await name_holder(unit, command.issuer_id, holder_id)


def name_party(party: Party) -> NewStakeholder:
    """Return a party as a stakeholder: by its name, as a provider or else as an investor."""
    kind: StakeholderKind = "provider" if party.has_role("provider") else "investor"
    return NewStakeholder(holder_id=party.registered.party_id, name=party.registered.name, kind=kind)
