"""Folds the events of issuers into holdings and their history.

Five kinds of row make up the fully diluted company: ``stock`` (by class), ``option`` and ``warrant`` (by security),
``promised`` (by promise) and ``pool`` (the plan's shares that are neither granted nor promised). Every event moves
shares between them as signed entries, so that the rows of a cap table sum to its total at any sequence.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from events import issuer as issuer_events
from events.types import Event
from marketplace.core.errors import Corrupt
from marketplace.projections.engine.projection import Handler, Projection
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.equity.cap_tables import tables
from marketplace.projections.equity.cap_tables.options import OnOption, split_options, write_granted, write_option
from marketplace.projections.equity.cap_tables.programmes import (
    OnProgramme,
    extend_programme,
    write_observation,
    write_programme,
    write_source,
)
from marketplace.projections.equity.cap_tables.register import Register
from marketplace.projections.equity.cap_tables.shown import show_pricing, show_waterfall
from marketplace.projections.equity.cap_tables.warrants import (
    OnTranche,
    OnWarrant,
    split_warrants,
    write_issued,
    write_tranche,
    write_warrant,
)

_CLASS_FIELDS: Final = (
    "issuer_id",
    "class_id",
    "kind",
    "shares_authorised",
    "liquidation_multiple",
    "seniority",
    "participation",
    "participation_cap_multiple",
    "price_protection",
    "protection_basis",
    "first_refusal",
)
_OFFER_FIELDS: Final = ("holder_id", "holder_id_after", "class_id", "shares", "price_usd_per_share", "decide_until")


def render_fraction(value: Fraction) -> str:
    """Return an exact fraction as the events write it, for example ``7/3``."""
    return f"{value.numerator}/{value.denominator}"


def _formed(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerFormed) -> None:
    changes.put(
        tables.issuers,
        issuer_id=event.issuer_id,
        party_id=event.party_id,
        legal_name=event.legal_name,
        jurisdiction=event.jurisdiction,
        formed_on=event.formed_on,
        status="active",
        plan_shares_reserved=0,
    )


def _imported(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerImported) -> None:
    origin = {"source": event.source, "package_hash": event.package_hash}
    changes.put(tables.imports, issuer_id=event.issuer_id, imported_at=fact.time, **origin)


def _stakeholder_added(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerStakeholderAdded) -> None:
    changes.put(
        tables.stakeholders,
        issuer_id=event.issuer_id,
        holder_id=event.holder_id,
        name=event.name,
        kind=event.kind,
    )


def _class_created(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerStockClassCreated) -> None:
    price = None if event.price_per_share_usd is None else render_fraction(Fraction(event.price_per_share_usd))
    fields = {name: getattr(event, name) for name in _CLASS_FIELDS}
    changes.put(tables.stock_classes, price_per_share_usd=price, conversion_price_usd=price, **fields)


def _authorised_adjusted(
    changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerAuthorisedSharesAdjusted
) -> None:
    adjusted = {"shares_authorised": event.shares_authorised}
    changes.update(tables.stock_classes, event.issuer_id, event.class_id, **adjusted)


def _conversion_price_adjusted(
    changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerConversionPriceAdjusted
) -> None:
    adjusted = {"conversion_price_usd": event.conversion_price_usd}
    changes.update(tables.stock_classes, event.issuer_id, event.class_id, **adjusted)


def _plan_adjusted(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerStockPlanAdjusted) -> None:
    before = _get_issuer(changes, fact)["plan_shares_reserved"]
    changes.update(tables.issuers, event.issuer_id, plan_shares_reserved=event.shares_reserved)
    Register(changes, fact).pool(event.shares_reserved - before)


def _get_issuer(changes: WriteBatch, fact: RecordedEvent) -> Any:
    row = changes.find(tables.issuers, fact.id)
    if row is None:
        raise Corrupt(f"event {fact.sequence} is about issuer {fact.id}, which the log never formed")
    return row


def _stock_issued(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerStockIssued) -> None:
    Register(changes, fact).stock(event.holder_id, event.class_id, event.shares)


def _stock_offered(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerStockOffered) -> None:
    offer = {name: getattr(event, name) for name in _OFFER_FIELDS}
    changes.put(tables.offers, transfer_id=event.transfer_id, issuer_id=event.issuer_id, status="offered", **offer)


def _first_refusal_waived(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerFirstRefusalWaived) -> None:
    changes.update(tables.offers, event.transfer_id, status="waived")


def _first_refusal_exercised(
    changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerFirstRefusalExercised
) -> None:
    changes.update(tables.offers, event.transfer_id, status="exercised")


def _offer_withdrawn(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerStockOfferWithdrawn) -> None:
    changes.update(tables.offers, event.transfer_id, status="withdrawn")


def _stock_converted(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerStockConverted) -> None:
    register = Register(changes, fact)
    register.stock(event.holder_id, event.class_id, -event.shares)
    register.stock(event.holder_id, event.class_id_after, event.shares_after)


def _stock_transferred(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerStockTransferred) -> None:
    offer = changes.find(tables.offers, event.transfer_id)
    if offer is not None and offer["status"] != "exercised":
        changes.update(tables.offers, event.transfer_id, status="transferred")
    register = Register(changes, fact)
    register.stock(event.holder_id, event.class_id, -event.shares)
    register.stock(event.holder_id_after, event.class_id, event.shares)


def _stock_repurchased(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerStockRepurchased) -> None:
    Register(changes, fact).stock(event.holder_id, event.class_id, -event.shares)


def _stock_split(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerStockSplit) -> None:
    """Multiply everything. Stock stays whole; rights and the pool are rounded down if the split says so."""
    ratio = Fraction(event.numerator, event.denominator)
    issuer = _get_issuer(changes, fact)
    reserved = issuer["plan_shares_reserved"] * ratio
    rounded = event.fractions is not None
    reserved = int(reserved) if rounded else _whole(fact, reserved)
    changes.update(tables.issuers, fact.id, plan_shares_reserved=reserved)
    for row in changes.rows(tables.stock_classes):
        if row["issuer_id"] == fact.id:
            authorised = int(row["shares_authorised"] * ratio)
            price = _divide(row["price_per_share_usd"], ratio)
            converts = _divide(row["conversion_price_usd"], ratio)
            prices = {"price_per_share_usd": price, "conversion_price_usd": converts}
            changes.update(tables.stock_classes, fact.id, row["class_id"], shares_authorised=authorised, **prices)
    register = Register(changes, fact)
    held = [row for row in changes.rows(tables.holdings) if row["issuer_id"] == fact.id]
    for row in sorted(held, key=lambda row: (row["kind"], row["holder_id"], row["security"])):
        after = row["shares"] * ratio
        shares = int(after) if rounded and row["kind"] != "stock" else _whole(fact, after)
        if row["kind"] == "pool" and event.pool_shares_available is not None:
            shares = event.pool_shares_available
        delta = shares - row["shares"]
        price = _divide(row["exercise_price_usd"], ratio)
        register.move(row["kind"], row["holder_id"], row["security"], delta, exercise_price_usd=price)
    split_warrants(changes, fact, event)
    split_options(changes, fact, ratio)


def _whole(fact: RecordedEvent, shares: Fraction) -> int:
    if shares.denominator != 1:
        raise Corrupt(f"the split of event {fact.sequence} leaves {render_fraction(shares)} shares in issuer {fact.id}")
    return int(shares)


def _divide(price: str | None, ratio: Fraction) -> str | None:
    return None if price is None else render_fraction(Fraction(price) / ratio)


def _option_promised(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerOptionPromised) -> None:
    register = Register(changes, fact)
    register.pool(-event.shares)
    register.move("promised", event.holder_id, event.promise_id, event.shares)


def _promise_withdrawn(
    changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerOptionPromiseWithdrawn
) -> None:
    _settle_promise(changes, fact, Register(changes, fact), event.promise_id)


def _settle_promise(changes: WriteBatch, fact: RecordedEvent, register: Register, promise_id: str) -> None:
    """Return the rest of a promise to the pool."""
    for row in changes.rows(tables.holdings):
        if (row["issuer_id"], row["kind"], row["security"]) == (fact.id, "promised", promise_id):
            register.pool(row["shares"])
            register.move("promised", row["holder_id"], promise_id, -row["shares"])


def _option_granted(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerOptionGranted) -> None:
    register = Register(changes, fact)
    if event.promise_id is not None:
        _settle_promise(changes, fact, register, event.promise_id)
    register.pool(-event.shares)
    price = render_fraction(Fraction(event.exercise_price_usd))
    register.move("option", event.holder_id, event.option_id, event.shares, exercise_price_usd=price)
    write_granted(changes, event)


def _option_exercised(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerOptionExercised) -> None:
    register = Register(changes, fact)
    register.move("option", event.holder_id, event.option_id, -event.shares)
    register.stock(event.holder_id, event.class_id, event.shares)
    write_option(changes, fact, event)


def _option_transferred(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerOptionTransferred) -> None:
    register = Register(changes, fact)
    row = changes.find(tables.holdings, fact.id, "option", event.holder_id, event.option_id)
    price = None if row is None else row["exercise_price_usd"]
    register.move("option", event.holder_id, event.option_id, -event.shares)
    register.move("option", event.holder_id_after, event.option_id, event.shares, exercise_price_usd=price)
    write_option(changes, fact, event)


def _option_cancelled(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerOptionCancelled) -> None:
    register = Register(changes, fact)
    register.move("option", event.holder_id, event.option_id, -event.shares)
    register.pool(event.shares)
    write_option(changes, fact, event)


def _warrant_issued(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerWarrantIssued) -> None:
    price = render_fraction(Fraction(event.exercise_price_usd))
    terms = {"exercise_price_usd": price, "expires_at": event.expires_at}
    Register(changes, fact).move("warrant", event.holder_id, event.warrant_id, event.shares, event.class_id, **terms)
    write_issued(changes, event)


def _warrant_exercised(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerWarrantExercised) -> None:
    register = Register(changes, fact)
    register.move("warrant", event.holder_id, event.warrant_id, -event.shares - event.shares_surrendered)
    register.stock(event.holder_id, event.class_id, event.shares)
    write_warrant(changes, fact, event)


def _warrant_expired(
    changes: WriteBatch,
    fact: RecordedEvent,
    event: issuer_events.IssuerWarrantExpired | issuer_events.IssuerWarrantCancelled,
) -> None:
    Register(changes, fact).move("warrant", event.holder_id, event.warrant_id, -event.shares)
    write_warrant(changes, fact, event)


def _warrant_transferred(
    changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerWarrantTransferred
) -> None:
    row = changes.find(tables.holdings, fact.id, "warrant", event.holder_id, event.warrant_id)
    if row is not None:
        register, names = Register(changes, fact), ("exercise_price_usd", "expires_at")
        terms = {name: row[name] for name in names}
        register.move("warrant", event.holder_id, event.warrant_id, -event.shares)
        register.move("warrant", event.holder_id_after, event.warrant_id, event.shares, row["class_id"], **terms)
    write_warrant(changes, fact, event)


def _dilution_limited(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerDilutionLimited) -> None:
    limit = {"dilution_max": event.dilution_max, "dilution_valuation_usd": event.valuation_usd}
    changes.update(tables.issuers, event.issuer_id, **limit)


def _financing_opened(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerFinancingOpened) -> None:
    changes.put(
        tables.financings,
        financing_id=event.financing_id,
        issuer_id=event.issuer_id,
        name=event.name,
        status="open",
        terms=event.terms,
        pro_rata=event.pro_rata,
        pro_rata_until=event.pro_rata_until,
        open_until=event.open_until,
        opened_at=fact.time,
    )


def _holder_terms_agreed(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerHolderTermsAgreed) -> None:
    changes.update(tables.issuers, event.issuer_id, holder_terms=event.terms, bound=list(event.bound))


def _pro_rata_answered(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerProRataAnswered) -> None:
    changes.put(
        tables.pro_rata_answers,
        financing_id=event.financing_id,
        holder_id=event.holder_id,
        issuer_id=event.issuer_id,
        amount_usd=event.amount_usd,
    )


def _financing_priced(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerFinancingPriced) -> None:
    priced = {"status": "priced", "pricing": show_pricing(event.pricing), "priced_sequence": fact.sequence}
    offered = {"pro_rata": event.pro_rata} if event.pro_rata else {}
    changes.update(tables.financings, event.financing_id, **priced, **offered)


def _financing_closed(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerFinancingClosed) -> None:
    closed = {"status": "closed", "approval": event.approval, "closed_at": fact.time}
    changes.update(tables.financings, event.financing_id, **closed)


def _financing_abandoned(
    changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerFinancingAbandoned
) -> None:
    abandoned = {"status": "abandoned", "reason": event.reason, "closed_at": fact.time}
    changes.update(tables.financings, event.financing_id, **abandoned)


def _valuation_recorded(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerValuationRecorded) -> None:
    changes.put(
        tables.valuations,
        issuer_id=event.issuer_id,
        recorded_sequence=fact.sequence,
        price_usd_per_share=event.price_usd_per_share,
        method=event.method,
        effective_on=event.effective_on,
        recorded_at=fact.time,
    )


def _liquidity_declared(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerLiquidityDeclared) -> None:
    if event.replaces is not None:
        changes.update(tables.liquidity_events, event.replaces, status="replaced")
    changes.put(
        tables.liquidity_events,
        liquidity_id=event.liquidity_id,
        issuer_id=event.issuer_id,
        kind=event.kind,
        status="declared",
        waterfall=show_waterfall(event.waterfall),
        later=(),
        declared_at=fact.time,
        pay_until=event.pay_until,
    )


def _liquidity_withdrawn(changes: WriteBatch, _: RecordedEvent, event: issuer_events.IssuerLiquidityWithdrawn) -> None:
    changes.update(tables.liquidity_events, event.liquidity_id, status="withdrawn", reason=event.reason)


def _distribution_paid(changes: WriteBatch, fact: RecordedEvent, event: issuer_events.IssuerDistributionPaid) -> None:
    paid = {"status": "paid", "paid_usd": event.amount_usd, "paid_at": fact.time}
    paid |= {"payouts": event.payouts, "later": event.later}
    changes.update(tables.liquidity_events, event.liquidity_id, **paid)
    changes.update(tables.issuers, event.issuer_id, status="ended")


_TERMS: Final = (
    issuer_events.IssuerStockSplit,
    issuer_events.IssuerAuthorisedSharesAdjusted,
    issuer_events.IssuerConversionPriceAdjusted,
)
_OFFERS: Final = (
    issuer_events.IssuerFirstRefusalWaived,
    issuer_events.IssuerFirstRefusalExercised,
    issuer_events.IssuerStockOfferWithdrawn,
    issuer_events.IssuerStockTransferred,
)


def _noted(_changes: WriteBatch, _fact: RecordedEvent, _event: Event) -> None:
    """Update only the issuer's version."""


def _stamp(handler: Handler) -> Handler:
    """Return a handler that also sets the issuer's version to its event."""

    def handle(changes: WriteBatch, fact: RecordedEvent, event: Event) -> None:
        handler(changes, fact, event)
        changes.update(tables.issuers, fact.id)

    return handle


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    issuer_ids = {fact.id for fact in batch}
    await changes.load(connection, tables.issuers, {(issuer_id,) for issuer_id in issuer_ids})
    moved = {fact.id for fact in batch if _HANDLERS[type(fact.event)] is not _noted}
    await changes.load_where(connection, tables.holdings, "issuer_id", moved)
    terms = {fact.id for fact in batch if isinstance(fact.event, _TERMS)}
    await changes.load_where(connection, tables.stock_classes, "issuer_id", terms)
    transfers = {(fact.event.transfer_id,) for fact in batch if isinstance(fact.event, _OFFERS)}
    await changes.load(connection, tables.offers, transfers)
    warrants = {(fact.id, fact.event.warrant_id) for fact in batch if isinstance(fact.event, OnTranche | OnWarrant)}
    await changes.load(connection, tables.warrants, warrants)
    options = {(fact.id, fact.event.option_id) for fact in batch if isinstance(fact.event, OnOption)}
    await changes.load(connection, tables.options, options)
    extended = {(fact.id, fact.event.programme_id) for fact in batch if isinstance(fact.event, OnProgramme)}
    await changes.load(connection, tables.programmes, extended)
    splits = {fact.id for fact in batch if isinstance(fact.event, issuer_events.IssuerStockSplit)}
    for table in (tables.warrants, tables.options):
        await changes.load_where(connection, table, "issuer_id", splits)


_HANDLERS: Final[dict[type[Event], Handler]] = {
    issuer_events.IssuerFormed: _formed,
    issuer_events.IssuerImported: _imported,
    issuer_events.IssuerStakeholderAdded: _stakeholder_added,
    issuer_events.IssuerStockClassCreated: _class_created,
    issuer_events.IssuerStockPlanAdjusted: _plan_adjusted,
    issuer_events.IssuerAuthorisedSharesAdjusted: _authorised_adjusted,
    issuer_events.IssuerStockIssued: _stock_issued,
    issuer_events.IssuerStockOffered: _stock_offered,
    issuer_events.IssuerFirstRefusalWaived: _first_refusal_waived,
    issuer_events.IssuerFirstRefusalExercised: _first_refusal_exercised,
    issuer_events.IssuerStockOfferWithdrawn: _offer_withdrawn,
    issuer_events.IssuerStockTransferred: _stock_transferred,
    issuer_events.IssuerStockRepurchased: _stock_repurchased,
    issuer_events.IssuerStockSplit: _stock_split,
    issuer_events.IssuerStockConverted: _stock_converted,
    issuer_events.IssuerConversionPriceAdjusted: _conversion_price_adjusted,
    issuer_events.IssuerOptionPromised: _option_promised,
    issuer_events.IssuerOptionPromiseWithdrawn: _promise_withdrawn,
    issuer_events.IssuerOptionGranted: _option_granted,
    issuer_events.IssuerOptionExercised: _option_exercised,
    issuer_events.IssuerOptionTransferred: _option_transferred,
    issuer_events.IssuerOptionCancelled: _option_cancelled,
    issuer_events.IssuerWarrantIssued: _warrant_issued,
    issuer_events.IssuerWarrantExercised: _warrant_exercised,
    issuer_events.IssuerWarrantExpired: _warrant_expired,
    issuer_events.IssuerWarrantCancelled: _warrant_expired,
    issuer_events.IssuerDilutionLimited: _dilution_limited,
    issuer_events.IssuerHolderTermsAgreed: _holder_terms_agreed,
    issuer_events.IssuerFinancingOpened: _financing_opened,
    issuer_events.IssuerProRataAnswered: _pro_rata_answered,
    issuer_events.IssuerFinancingPriced: _financing_priced,
    issuer_events.IssuerFinancingClosed: _financing_closed,
    issuer_events.IssuerFinancingAbandoned: _financing_abandoned,
    issuer_events.IssuerValuationRecorded: _valuation_recorded,
    issuer_events.IssuerLiquidityDeclared: _liquidity_declared,
    issuer_events.IssuerLiquidityWithdrawn: _liquidity_withdrawn,
    issuer_events.IssuerDistributionPaid: _distribution_paid,
    issuer_events.IssuerInstrumentSigned: _noted,
    issuer_events.IssuerWarrantVested: write_tranche,
    issuer_events.IssuerWarrantReleased: write_tranche,
    issuer_events.IssuerWarrantPriced: write_tranche,
    issuer_events.IssuerWarrantVestingReversed: write_tranche,
    issuer_events.IssuerWarrantTransferred: _warrant_transferred,
    issuer_events.IssuerMilestoneAttested: write_warrant,
    issuer_events.IssuerProgrammeOpened: write_programme,
    issuer_events.IssuerProgrammeGrantAdded: extend_programme,
    issuer_events.IssuerPurchasesStated: extend_programme,
    issuer_events.IssuerPriceSourceNamed: write_source,
    issuer_events.IssuerPriceObserved: write_observation,
    issuer_events.IssuerPriceCorrected: write_observation,
    issuer_events.IssuerExposureRecorded: _noted,
    issuer_events.IssuerProposalCounted: _noted,
    issuer_events.IssuerRefusalCounted: _noted,
}

PROJECTION: Final = Projection(
    name="cap_tables",
    version=13,
    tables=tables.TABLES,
    reads=("issuer",),
    handlers={event_class: _stamp(handler) for event_class, handler in _HANDLERS.items()},
    load=_load,
)
