"""The fold of an issuer: from one event to the next state, one function per event."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

from immutables import Map

from events.issuer import (
    IssuerDistributionPaid,
    IssuerEvent,
    IssuerFinancingAbandoned,
    IssuerFinancingClosed,
    IssuerFinancingOpened,
    IssuerFinancingPriced,
    IssuerFormed,
    IssuerImported,
    IssuerInstrumentSigned,
    IssuerLiquidityDeclared,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerValuationRecorded,
    IssuerWarrantExercised,
    IssuerWarrantIssued,
)
from marketplace.domain.issuer_state import (
    Financing,
    Importing,
    Issuer,
    IssuerState,
    Option,
    Sale,
    StockClass,
    Warrant,
    capitalization_of,
)


def evolve(state: IssuerState, event: IssuerEvent) -> IssuerState:
    """Return the state after an event."""
    if isinstance(event, IssuerImported):
        return Importing(event)
    if isinstance(event, IssuerFormed):
        return Issuer(event, state.imported if isinstance(state, Importing) else None)
    assert isinstance(state, Issuer), "an issuer is formed first"
    return HANDLED[type(event)](state, event)


def _add_stakeholder(state: Issuer, event: IssuerStakeholderAdded) -> Issuer:
    return replace(state, stakeholders=state.stakeholders.set(event.holder_id, event))


def _create_class(state: Issuer, event: IssuerStockClassCreated) -> Issuer:
    price = None if event.price_per_share_usd is None else Fraction(event.price_per_share_usd)
    created = StockClass(event, event.shares_authorised, 0, price)
    return replace(state, classes=state.classes.set(event.class_id, created))


def _adjust_plan(state: Issuer, event: IssuerStockPlanAdjusted) -> Issuer:
    return replace(state, shares_reserved=event.shares_reserved)


def _move(state: Issuer, holder_id: str, class_id: str, shares: int) -> Issuer:
    """Return the state after a holder's shares changed by `shares`, which may be negative."""
    key = (holder_id, class_id)
    held = state.holdings.get(key, 0) + shares
    holdings = state.holdings.set(key, held) if held else state.holdings.delete(key)
    stock_class = state.classes[class_id]
    outstanding = stock_class.shares_outstanding + shares
    classes = state.classes.set(class_id, replace(stock_class, shares_outstanding=outstanding))
    return replace(state, holdings=holdings, classes=classes)


def _issue_stock(state: Issuer, event: IssuerStockIssued) -> Issuer:
    after = replace(state, securities=state.securities.set(event.security_id, event))
    return _move(after, event.holder_id, event.class_id, event.shares)


def _transfer_stock(state: Issuer, event: IssuerStockTransferred) -> Issuer:
    after = _move(state, event.holder_id, event.class_id, -event.shares)
    return _move(after, event.holder_id_after, event.class_id, event.shares)


def _repurchase_stock(state: Issuer, event: IssuerStockRepurchased) -> Issuer:
    return _move(state, event.holder_id, event.class_id, -event.shares)


def _split_stock(state: Issuer, event: IssuerStockSplit) -> Issuer:
    ratio = Fraction(event.numerator, event.denominator)
    classes = {
        class_id: StockClass(
            known.created,
            int(known.shares_authorised * ratio),
            int(known.shares_outstanding * ratio),
            None if known.price_usd is None else known.price_usd / ratio,
        )
        for class_id, known in state.classes.items()
    }
    options = {
        option_id: Option(
            known.granted,
            int(known.shares * ratio),
            int(known.shares_outstanding * ratio),
            known.exercise_price_usd / ratio,
        )
        for option_id, known in state.options.items()
    }
    warrants = {
        warrant_id: Warrant(known.issued, int(known.shares_outstanding * ratio), known.exercise_price_usd / ratio)
        for warrant_id, known in state.warrants.items()
    }
    return replace(
        state,
        classes=Map(classes),
        holdings=Map({key: int(shares * ratio) for key, shares in state.holdings.items()}),
        shares_reserved=int(state.shares_reserved * ratio),
        options=Map(options),
        warrants=Map(warrants),
    )


def _grant_option(state: Issuer, event: IssuerOptionGranted) -> Issuer:
    option = Option(event, event.shares, event.shares, Fraction(event.exercise_price_usd))
    return replace(state, options=state.options.set(event.option_id, option))


def _exercise_option(state: Issuer, event: IssuerOptionExercised) -> Issuer:
    option = state.options[event.option_id]
    after = replace(option, shares_outstanding=option.shares_outstanding - event.shares)
    exercised = replace(state, options=state.options.set(event.option_id, after))
    return _move(exercised, event.holder_id, event.class_id, event.shares)


def _issue_warrant(state: Issuer, event: IssuerWarrantIssued) -> Issuer:
    warrant = Warrant(event, event.shares, Fraction(event.exercise_price_usd))
    return replace(state, warrants=state.warrants.set(event.warrant_id, warrant))


def _exercise_warrant(state: Issuer, event: IssuerWarrantExercised) -> Issuer:
    warrant = state.warrants[event.warrant_id]
    left = warrant.shares_outstanding - event.shares - event.shares_surrendered
    after = replace(state, warrants=state.warrants.set(event.warrant_id, replace(warrant, shares_outstanding=left)))
    return _move(after, event.holder_id, event.class_id, event.shares)


def _sign_instrument(state: Issuer, event: IssuerInstrumentSigned) -> Issuer:
    return replace(state, instruments=state.instruments.set(event.instrument_id, event))


def _open_financing(state: Issuer, event: IssuerFinancingOpened) -> Issuer:
    return replace(state, financings=state.financings.set(event.financing_id, Financing(event, "open")))


def _price_financing(state: Issuer, event: IssuerFinancingPriced) -> Issuer:
    financing = state.financings[event.financing_id]
    priced = replace(financing, pricing=event.pricing, basis=capitalization_of(state))
    return replace(state, financings=state.financings.set(event.financing_id, priced))


def _close_financing(state: Issuer, event: IssuerFinancingClosed) -> Issuer:
    closed = replace(state.financings[event.financing_id], status="closed")
    return replace(state, financings=state.financings.set(event.financing_id, closed))


def _abandon_financing(state: Issuer, event: IssuerFinancingAbandoned) -> Issuer:
    abandoned = replace(state.financings[event.financing_id], status="abandoned")
    return replace(state, financings=state.financings.set(event.financing_id, abandoned))


def _record_valuation(state: Issuer, event: IssuerValuationRecorded) -> Issuer:
    return replace(state, valuations=(*state.valuations, event))


def _declare_liquidity(state: Issuer, event: IssuerLiquidityDeclared) -> Issuer:
    sale = Sale(event, capitalization_of(state), "declared")
    return replace(state, sales=state.sales.set(event.liquidity_id, sale), liquidity_id=event.liquidity_id)


def _pay_distribution(state: Issuer, event: IssuerDistributionPaid) -> Issuer:
    paid = replace(state.sales[event.liquidity_id], status="paid")
    return replace(state, sales=state.sales.set(event.liquidity_id, paid))


HANDLED: Final[dict[type[IssuerEvent], Callable[[Issuer, Any], Issuer]]] = {
    IssuerStakeholderAdded: _add_stakeholder,
    IssuerStockClassCreated: _create_class,
    IssuerStockPlanAdjusted: _adjust_plan,
    IssuerStockIssued: _issue_stock,
    IssuerStockTransferred: _transfer_stock,
    IssuerStockRepurchased: _repurchase_stock,
    IssuerStockSplit: _split_stock,
    IssuerOptionGranted: _grant_option,
    IssuerOptionExercised: _exercise_option,
    IssuerWarrantIssued: _issue_warrant,
    IssuerWarrantExercised: _exercise_warrant,
    IssuerInstrumentSigned: _sign_instrument,
    IssuerFinancingOpened: _open_financing,
    IssuerFinancingPriced: _price_financing,
    IssuerFinancingClosed: _close_financing,
    IssuerFinancingAbandoned: _abandon_financing,
    IssuerValuationRecorded: _record_valuation,
    IssuerLiquidityDeclared: _declare_liquidity,
    IssuerDistributionPaid: _pay_distribution,
}
