"""The fold of an issuer's events, one function per event."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final, Literal

from immutables import Map
from msgspec import structs

from events.financing import ConvertingInstrument
from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerConversionPriceAdjusted,
    IssuerDilutionLimited,
    IssuerDistributionPaid,
    IssuerEvent,
    IssuerExposureRecorded,
    IssuerFinancingAbandoned,
    IssuerFinancingClosed,
    IssuerFinancingOpened,
    IssuerFinancingPriced,
    IssuerFirstRefusalExercised,
    IssuerFirstRefusalWaived,
    IssuerFormed,
    IssuerHolderTermsAgreed,
    IssuerImported,
    IssuerInstrumentSigned,
    IssuerLiquidityDeclared,
    IssuerLiquidityWithdrawn,
    IssuerMilestoneAttested,
    IssuerOptionCancelled,
    IssuerOptionExercised,
    IssuerOptionGranted,
    IssuerOptionPromised,
    IssuerOptionPromiseWithdrawn,
    IssuerOptionTransferred,
    IssuerPriceCorrected,
    IssuerPriceObserved,
    IssuerPriceSourceNamed,
    IssuerProgrammeGrantAdded,
    IssuerProgrammeOpened,
    IssuerProposalCounted,
    IssuerProRataAnswered,
    IssuerPurchasesStated,
    IssuerRefusalCounted,
    IssuerStakeholderAdded,
    IssuerStockClassCreated,
    IssuerStockConverted,
    IssuerStockIssued,
    IssuerStockOffered,
    IssuerStockOfferWithdrawn,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
    IssuerStockTransferred,
    IssuerValuationRecorded,
    IssuerWarrantCancelled,
    IssuerWarrantExercised,
    IssuerWarrantExpired,
    IssuerWarrantIssued,
    IssuerWarrantPriced,
    IssuerWarrantReleased,
    IssuerWarrantTransferred,
    IssuerWarrantVested,
    IssuerWarrantVestingReversed,
)
from events.issuer_dilution import Exposure
from events.types import NoteTerms
from marketplace.core.ids import is_id
from marketplace.core.money import parse_ratio
from marketplace.domain.equity.issuer.dilution import set_limit
from marketplace.domain.equity.issuer.financing.financing import list_conversion_classes
from marketplace.domain.equity.issuer.rights import tranches
from marketplace.domain.equity.issuer.rights.averages import (
    add_observation,
    correct_observation,
    split_prices,
    use_prices,
)
from marketplace.domain.equity.issuer.rights.fair_value import find_mean_price
from marketplace.domain.equity.issuer.rights.tranches import Tranche
from marketplace.domain.equity.issuer.state import (
    COUNT_WITHIN,
    Act,
    Exercised,
    Financing,
    Importing,
    Issuer,
    IssuerState,
    Offer,
    Option,
    PriceMark,
    PriceSource,
    Programme,
    Purchase,
    Sale,
    StockClass,
    Warrant,
    capitalization_of,
)
from marketplace.domain.party import is_joining
from marketplace.equity.capitalization import EXISTING_DEFINITIONS, counted_by, existing_shares


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
    created = StockClass(event, event.shares_authorised, 0, price, price)
    return replace(state, classes=state.classes.set(event.class_id, created))


def _adjust_authorised(state: Issuer, event: IssuerAuthorisedSharesAdjusted) -> Issuer:
    adjusted = replace(state.classes[event.class_id], shares_authorised=event.shares_authorised)
    return replace(state, classes=state.classes.set(event.class_id, adjusted))


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


def _count(state: Issuer, class_id: str, shares: int) -> Issuer:
    """Add shares of a class to those of instruments, or subtract them."""
    counted = max(state.instrument_shares.get(class_id, 0) + shares, 0)
    return replace(state, instrument_shares=state.instrument_shares.set(class_id, counted))


def _keep(state: Issuer, act_id: str, act: Act) -> Issuer:
    return replace(state, acts=state.acts.set(act_id, act))


def _issue_stock(state: Issuer, event: IssuerStockIssued) -> Issuer:
    after = replace(
        state,
        securities=state.securities.set(event.security_id, event),
        split_at_issue=state.split_at_issue.set(event.security_id, state.split_ratio),
    )
    if event.cause in state.instruments:
        after = _count(after, event.class_id, event.shares)
    after = _move(after, event.holder_id, event.class_id, event.shares)
    if event.cause is not None:
        return after
    shares = sum(each.shares_outstanding for each in after.classes.values())
    worth = Fraction(event.price_usd_per_share) * shares
    return replace(after, worth_at_issue=after.worth_at_issue.set(event.security_id, worth))


def _offer_stock(state: Issuer, event: IssuerStockOffered) -> Issuer:
    return replace(state, offers=state.offers.set(event.transfer_id, Offer(event, "offered", state.split_ratio)))


def _answer_offer(
    state: Issuer, transfer_id: str, status: Literal["waived", "exercised", "withdrawn", "transferred"]
) -> Issuer:
    answered = replace(state.offers[transfer_id], status=status)
    return replace(state, offers=state.offers.set(transfer_id, answered))


def _waive(state: Issuer, event: IssuerFirstRefusalWaived) -> Issuer:
    return _answer_offer(state, event.transfer_id, "waived")


def _use_first_refusal(state: Issuer, event: IssuerFirstRefusalExercised) -> Issuer:
    return _answer_offer(state, event.transfer_id, "exercised")


def _withdraw_offer(state: Issuer, event: IssuerStockOfferWithdrawn) -> Issuer:
    return _answer_offer(state, event.transfer_id, "withdrawn")


def _transfer_stock(state: Issuer, event: IssuerStockTransferred) -> Issuer:
    after = _keep(state, event.transfer_id, event)
    offer = state.offers.get(event.transfer_id)
    if offer is not None and offer.status != "exercised":
        after = _answer_offer(after, event.transfer_id, "transferred")
    after = _move(after, event.holder_id, event.class_id, -event.shares)
    if event.holder_id_after == state.formed.party_id:
        price = Fraction(0) if offer is None else Fraction(offer.offered.price_usd_per_share)
        after = _buy_back(after, event.holder_id, event.shares, price)
    return _move(after, event.holder_id_after, event.class_id, event.shares)


def _buy_back(state: Issuer, holder_id: str, shares: int, price: Fraction) -> Issuer:
    """Return the state without the money, and the weight of the prices, at which the company's new stock was bought.

    `price` is what it paid for a share, in USD.
    """
    return replace(
        state,
        price_marks=tuple(mark.buy_back(holder_id, shares) for mark in state.price_marks),
        paid_back=state.paid_back.set(holder_id, state.paid_back.get(holder_id, Fraction(0)) + shares * price),
    )


def _repurchase_stock(state: Issuer, event: IssuerStockRepurchased) -> Issuer:
    after = _move(_keep(state, event.repurchase_id, event), event.holder_id, event.class_id, -event.shares)
    if event.cause not in state.instruments:
        return _buy_back(after, event.holder_id, event.shares, Fraction(event.price_usd_per_share))
    price = find_mean_price(state, event.holder_id, event.class_id)  # what a clawback takes back was never paid in
    return _count(_buy_back(after, event.holder_id, event.shares, price), event.class_id, -event.shares)


def _convert_stock(state: Issuer, event: IssuerStockConverted) -> Issuer:
    after = _move(_keep(state, event.conversion_id, event), event.holder_id, event.class_id, -event.shares)
    return _move(after, event.holder_id, event.class_id_after, event.shares_after) if event.shares_after else after


def _adjust_conversion_price(state: Issuer, event: IssuerConversionPriceAdjusted) -> Issuer:
    price = Fraction(event.conversion_price_usd)
    adjusted = replace(state.classes[event.class_id], conversion_price_usd=price)
    return replace(state, classes=state.classes.set(event.class_id, adjusted))


def _split_stock(state: Issuer, event: IssuerStockSplit) -> Issuer:
    ratio = Fraction(event.numerator, event.denominator)
    classes = {
        class_id: StockClass(
            known.created,
            int(known.shares_authorised * ratio),
            int(known.shares_outstanding * ratio),
            None if known.price_usd is None else known.price_usd / ratio,
            None if known.conversion_price_usd is None else known.conversion_price_usd / ratio,
        )
        for class_id, known in state.classes.items()
    }
    options = {option_id: known.split(ratio) for option_id, known in state.options.items()}
    warrants = {
        warrant_id: replace(
            known,
            exercise_price_usd=known.exercise_price_usd / ratio,
            tranches=tranches.split(known.tranches, ratio),
            split=known.split * ratio,
        )
        for warrant_id, known in state.warrants.items()
    }
    return replace(
        _keep(state, event.split_id, event),
        split_ratio=state.split_ratio * ratio,
        instrument_shares=Map({class_id: int(n * ratio) for class_id, n in state.instrument_shares.items()}),
        promises=Map({promise_id: int(shares * ratio) for promise_id, shares in state.promises.items()}),
        price_marks=tuple(mark.split(ratio) for mark in state.price_marks),
        classes=Map(classes),
        holdings=Map({key: int(shares * ratio) for key, shares in state.holdings.items()}),
        shares_reserved=int(state.shares_reserved * ratio),
        options=Map(options),
        warrants=Map(warrants),
        price_sources=Map({id: split_prices(source, ratio) for id, source in state.price_sources.items()}),  # noqa: A001
    )


def _promise_option(state: Issuer, event: IssuerOptionPromised) -> Issuer:
    return replace(
        state,
        promises=state.promises.set(event.promise_id, event.shares),
        promised=state.promised.set(event.promise_id, event),
    )


def _withdraw_promise(state: Issuer, event: IssuerOptionPromiseWithdrawn) -> Issuer:
    return replace(state, promises=state.promises.delete(event.promise_id))


def _grant_option(state: Issuer, event: IssuerOptionGranted) -> Issuer:
    option = Option(
        event, event.holder_id, event.shares, event.shares, Fraction(event.exercise_price_usd), event.shares
    )
    granted = replace(state, options=state.options.set(event.option_id, option))
    if event.promise_id is None:
        return granted
    return replace(granted, promises=state.promises.delete(event.promise_id))


def _exercise_option(state: Issuer, event: IssuerOptionExercised) -> Issuer:
    option = state.options[event.option_id]
    after = option.use(event.shares)
    exercised = replace(_keep(state, event.exercise_id, event), options=state.options.set(event.option_id, after))
    bought = _buy(exercised, event, option.exercise_price_usd)
    used = Exercised(event.option_id, option.exercise_price_usd, event.shares, event.class_id, event.shares)
    return _move(_use_beside_sale(bought, used), event.holder_id, event.class_id, event.shares)


def _use_beside_sale(state: Issuer, used: Exercised) -> Issuer:
    sale = state.find_sale()
    if sale is None:
        return state
    after = replace(sale, exercised=(*sale.exercised, used))
    return replace(state, sales=state.sales.set(sale.declared.liquidity_id, after))


def _buy(state: Issuer, event: IssuerOptionExercised | IssuerWarrantExercised, price_usd: Fraction) -> Issuer:
    ratio, is_option = state.split_ratio, isinstance(event, IssuerOptionExercised)
    bought = Purchase(event.holder_id, event.class_id, event.shares / ratio, price_usd * ratio, is_option)
    return replace(state, purchases=state.purchases.set(event.exercise_id, bought))


def _transfer_option(state: Issuer, event: IssuerOptionTransferred) -> Issuer:
    moved = replace(state.options[event.option_id], holder_id=event.holder_id_after)
    return replace(_keep(state, event.transfer_id, event), options=state.options.set(event.option_id, moved))


def _cancel_option(state: Issuer, event: IssuerOptionCancelled) -> Issuer:
    after = state.options[event.option_id].end(event.shares, event.service_ended_on)
    return replace(_keep(state, event.cancellation_id, event), options=state.options.set(event.option_id, after))


def _issue_warrant(state: Issuer, event: IssuerWarrantIssued) -> Issuer:
    price = Fraction(event.exercise_price_usd)
    warrant = Warrant(event, event.holder_id, price, tranches.build_tranches(event))
    return replace(state, warrants=state.warrants.set(event.warrant_id, warrant))


def _put_tranche(state: Issuer, warrant_id: str, index: int, tranche: Tranche) -> Issuer:
    warrant = state.warrants[warrant_id]
    after = (*warrant.tranches[:index], tranche, *warrant.tranches[index + 1 :])
    return replace(state, warrants=state.warrants.set(warrant_id, replace(warrant, tranches=after)))


def _vest_warrant(state: Issuer, event: IssuerWarrantVested) -> Issuer:
    before = state.warrants[event.warrant_id].tranches[event.tranche]
    after = _put_tranche(state, event.warrant_id, event.tranche, tranches.vest(before, event))
    return after if event.price_usd_per_share is None else use_prices(after, event.warrant_id)


def _reverse_vesting(state: Issuer, event: IssuerWarrantVestingReversed) -> Issuer:
    before = state.warrants[event.warrant_id].tranches[event.tranche]
    return _put_tranche(state, event.warrant_id, event.tranche, tranches.reverse(before, event))


def _release_warrant(state: Issuer, event: IssuerWarrantReleased) -> Issuer:
    before = state.warrants[event.warrant_id].tranches[event.tranche]
    return _put_tranche(state, event.warrant_id, event.tranche, replace(before, is_released=True))


def _price_warrant(state: Issuer, event: IssuerWarrantPriced) -> Issuer:
    before = state.warrants[event.warrant_id].tranches[event.tranche]
    priced = replace(before, price_usd=Fraction(event.exercise_price_usd))
    return use_prices(_put_tranche(state, event.warrant_id, event.tranche, priced), event.warrant_id)


def _attest(state: Issuer, event: IssuerMilestoneAttested) -> Issuer:
    warrant = state.warrants[event.warrant_id]
    attested = replace(warrant, attested=warrant.attested.set(event.milestone, event))
    return replace(state, warrants=state.warrants.set(event.warrant_id, attested))


def _transfer_warrant(state: Issuer, event: IssuerWarrantTransferred) -> Issuer:
    moved = replace(state.warrants[event.warrant_id], holder_id=event.holder_id_after)
    if event.holder_id == moved.issued.holder_id and is_joining(event.holder_id, event.holder_id_after):
        moved = replace(moved, joined_id=event.holder_id_after)
    return replace(_keep(state, event.transfer_id, event), warrants=state.warrants.set(event.warrant_id, moved))


def _exercise_warrant(state: Issuer, event: IssuerWarrantExercised) -> Issuer:
    warrant = state.warrants[event.warrant_id]
    left = tranches.use(warrant.tranches, event.shares + event.shares_surrendered, event.tranche)
    after = replace(
        _keep(state, event.exercise_id, event),
        warrants=state.warrants.set(event.warrant_id, replace(warrant, tranches=left)),
    )
    if event.fair_value_usd is not None and warrant.issued.fair_value is not None:
        after = use_prices(after, event.warrant_id)
    stated = event.exercise_price_usd
    price = warrant.exercise_price_usd if stated is None else parse_ratio(stated)
    if event.fair_value_usd is None and not event.shares_surrendered:
        after = _buy(after, event, price)
    rights = event.shares + event.shares_surrendered
    after = _use_beside_sale(after, Exercised(event.warrant_id, price, rights, event.class_id, event.shares))
    return _move(_count(after, event.class_id, event.shares), event.holder_id, event.class_id, event.shares)


def _cancel_warrant(state: Issuer, event: IssuerWarrantCancelled) -> Issuer:
    warrant = state.warrants[event.warrant_id]
    after = replace(warrant, tranches=tranches.cancel(warrant.tranches, event.shares))
    return replace(_keep(state, event.cancellation_id, event), warrants=state.warrants.set(event.warrant_id, after))


def _expire_warrant(state: Issuer, event: IssuerWarrantExpired) -> Issuer:
    warrant = state.warrants[event.warrant_id]
    expired = replace(warrant, tranches=tranches.expire(warrant.tranches), expired=True)
    return replace(state, warrants=state.warrants.set(event.warrant_id, expired))


def _open_programme(state: Issuer, event: IssuerProgrammeOpened) -> Issuer:
    return replace(state, programmes=state.programmes.set(event.programme_id, Programme(event)))


def _add_grant(state: Issuer, event: IssuerProgrammeGrantAdded) -> Issuer:
    programme = state.programmes[event.programme_id]
    added = replace(programme, grants=programme.grants.set(event.grant_id, event))
    return replace(state, programmes=state.programmes.set(event.programme_id, added))


def _state_purchases(state: Issuer, event: IssuerPurchasesStated) -> Issuer:
    programme = state.programmes[event.programme_id]
    stated = programme.stated if event.replaces is None else programme.stated.delete(event.replaces)
    counted = replace(programme, stated=stated.set(event.purchases_id, event))
    return replace(state, programmes=state.programmes.set(event.programme_id, counted))


def _name_source(state: Issuer, event: IssuerPriceSourceNamed) -> Issuer:
    return replace(state, price_sources=state.price_sources.set(event.source_id, PriceSource(event)))


def _observe(state: Issuer, event: IssuerPriceObserved) -> Issuer:
    observed = add_observation(state.price_sources[event.source_id], event)
    return replace(state, price_sources=state.price_sources.set(event.source_id, observed))


def _correct(state: Issuer, event: IssuerPriceCorrected) -> Issuer:
    corrected = correct_observation(state.price_sources[event.source_id], event)
    return replace(state, price_sources=state.price_sources.set(event.source_id, corrected))


def _sign_instrument(state: Issuer, event: IssuerInstrumentSigned) -> Issuer:
    agreed = state.split_ratio if event.split_ratio is None else parse_ratio(event.split_ratio)
    signed = replace(
        state,
        instruments=state.instruments.set(event.instrument_id, event),
        split_at_issue=state.split_at_issue.set(event.instrument_id, agreed),
        shares_at_signing=state.shares_at_signing.update(_count_at_signing(state, event)),
    )
    counted = Exposure(terms=event.terms, amount_usd=event.commitment_usd)
    return _date_answers(_set_exposure(signed, event.instrument_id, (counted,)))


def _date_answers(state: Issuer) -> Issuer:
    """Return the state in which an open round knows who took a part of it before its instruments changed."""
    after = state.financings
    for financing_id, financing in state.financings.items():
        taken = frozenset(holder_id for holder_id, amount in financing.answers.items() if amount)
        if financing.status == "open" and taken:
            after = after.set(financing_id, replace(financing, outdated=financing.outdated | taken))
    return state if after is state.financings else replace(state, financings=after)


def _count_at_signing(state: Issuer, event: IssuerInstrumentSigned) -> dict[tuple[str, str], Fraction]:
    if not isinstance(event.terms, NoteTerms):
        return {}
    company = capitalization_of(state)
    return {
        (event.instrument_id, definition): existing_shares(company, counted_by(definition, "pre_money"))
        / state.split_ratio
        for definition in EXISTING_DEFINITIONS
    }


def _record_exposure(state: Issuer, event: IssuerExposureRecorded) -> Issuer:
    after = _set_exposure(state, event.subject_id, event.exposures)
    if event.holder_id is not None:
        passed = structs.replace(state.instruments[event.subject_id], holder_id=event.holder_id)
        after = replace(after, instruments=after.instruments.set(event.subject_id, passed))
    known = [each.terms for each in state.exposures.get(event.subject_id, ())]
    changes = any(each.terms not in known for each in event.exposures)
    return _date_answers(after) if changes and event.subject_id in state.instruments else after


def _set_exposure(state: Issuer, subject_id: str, exposures: tuple[Exposure, ...]) -> Issuer:
    """Return the state in which an order or instrument has these exposures; none: it no longer counts."""
    if exposures:
        splits = state.split_at_issue
        if subject_id not in splits:
            splits = splits.set(subject_id, state.split_ratio)
        return replace(state, exposures=state.exposures.set(subject_id, exposures), split_at_issue=splits)
    left = state.exposures.delete(subject_id) if subject_id in state.exposures else state.exposures
    splits = state.split_at_issue
    if subject_id in splits and subject_id not in state.instruments:
        splits = splits.delete(subject_id)
    return replace(state, exposures=left, split_at_issue=splits)


def _settle_converted(state: Issuer, instruments: Sequence[ConvertingInstrument]) -> Issuer:
    """Return the state in which converted principal no longer counts as pending."""
    for instrument in instruments:
        known = state.exposures.get(instrument.instrument_id, ())
        left, after = instrument.principal_usd, []
        for exposure in sorted(known, key=lambda each: each.terms != instrument.terms):
            taken = min(left, exposure.amount_usd)
            left -= taken
            if exposure.amount_usd > taken:
                after.append(structs.replace(exposure, amount_usd=exposure.amount_usd - taken))
        state = _set_exposure(state, instrument.instrument_id, tuple(after))
    return state


def _open_financing(state: Issuer, event: IssuerFinancingOpened) -> Issuer:
    financings = state.financings.set(event.financing_id, Financing(event, "open", event.pro_rata))
    return replace(state, financings=financings)


def _count_proposal(state: Issuer, event: IssuerProposalCounted) -> Issuer:
    since = event.proposed_at - COUNT_WITHIN
    recent = {proposal_id: known for proposal_id, known in state.proposals.items() if known[1] > since}
    known = (event.proposer_id, event.proposed_at, event.concludes)
    counted = Map(recent).set(event.proposal_id, known)
    return replace(state, proposals=counted)


def _count_refusal(state: Issuer, event: IssuerRefusalCounted) -> Issuer:
    own = state.refusals.get(event.party_id, Map())
    own = own.set(event.proposal_id, event.refused_at) if event.stands else own.delete(event.proposal_id)
    refusals = state.refusals.set(event.party_id, own) if own else state.refusals.delete(event.party_id)
    return replace(state, refusals=refusals)


def _agree_holder_terms(state: Issuer, event: IssuerHolderTermsAgreed) -> Issuer:
    return replace(state, holder_terms=event.terms, bound=frozenset(event.bound))


def _answer_pro_rata(state: Issuer, event: IssuerProRataAnswered) -> Issuer:
    financing = state.financings[event.financing_id]
    basis = None if event.amount_usd else financing.basis  # a price without its money is stale
    answered = replace(financing, answers=financing.answers.set(event.holder_id, event.amount_usd), basis=basis)
    return replace(state, financings=state.financings.set(event.financing_id, answered))


def _price_financing(state: Issuer, event: IssuerFinancingPriced) -> Issuer:
    financing = state.financings[event.financing_id]
    basis = capitalization_of(state)
    offers = event.pro_rata or financing.offers
    priced = replace(financing, pricing=event.pricing, basis=basis, close_until=event.close_until, offers=offers)
    return replace(state, financings=state.financings.set(event.financing_id, priced))


def _close_financing(state: Issuer, event: IssuerFinancingClosed) -> Issuer:
    closed = replace(state.financings[event.financing_id], status="closed")
    pricing = closed.pricing
    assert pricing is not None, "a round is priced before it is closed"
    price, whole = Fraction(pricing.price_usd_per_share), Fraction(pricing.post_money_shares)
    bought = {each.holder_id: Fraction(each.shares) for each in pricing.allotments if is_id(each.holder_id, "pty")}
    bought.pop(state.formed.party_id, None)
    after = replace(
        _settle_converted(state, pricing.instruments),
        financings=state.financings.set(event.financing_id, closed),
        price_marks=(
            *state.price_marks,
            PriceMark(price, event.financing_id, bought, closed.priced_on, whole),
        ),
    )
    classes = list_conversion_classes(closed.terms, pricing)
    for conversion, class_id in zip(pricing.conversions, classes, strict=True):
        after = _count(after, class_id, conversion.shares)
    return after


def _abandon_financing(state: Issuer, event: IssuerFinancingAbandoned) -> Issuer:
    abandoned = replace(state.financings[event.financing_id], status="abandoned")
    return replace(state, financings=state.financings.set(event.financing_id, abandoned))


def _record_valuation(state: Issuer, event: IssuerValuationRecorded) -> Issuer:
    price = Fraction(event.price_usd_per_share)
    makers: dict[str, Fraction] | None = None if event.recorded_by == "platform" else {}
    source = f"valuation {event.method} of {event.effective_on}, by the {event.recorded_by}"
    mark = PriceMark(price, source, makers, event.effective_on)
    return replace(
        state,
        valuations=(*state.valuations, event),
        price_marks=(*state.price_marks, mark),
    )


def _declare_liquidity(state: Issuer, event: IssuerLiquidityDeclared) -> Issuer:
    sales = state.sales.set(event.liquidity_id, Sale(event, "declared"))
    if event.replaces is not None:
        sales = sales.set(event.replaces, replace(sales[event.replaces], status="replaced"))
    return replace(state, sales=sales, liquidity_id=event.liquidity_id)


def _withdraw_liquidity(state: Issuer, event: IssuerLiquidityWithdrawn) -> Issuer:
    withdrawn = replace(state.sales[event.liquidity_id], status="withdrawn")
    after = replace(state, sales=state.sales.set(event.liquidity_id, withdrawn))
    return replace(after, liquidity_id=None) if state.liquidity_id == event.liquidity_id else after


def _pay_distribution(state: Issuer, event: IssuerDistributionPaid) -> Issuer:
    sale = state.sales[event.liquidity_id]
    declared = sale.declared
    if event.payouts is not None:
        declared = structs.replace(declared, waterfall=structs.replace(declared.waterfall, payouts=event.payouts))
    paid = replace(sale, declared=declared, status="paid", later=event.later)
    return replace(state, sales=state.sales.set(event.liquidity_id, paid), is_ended=True)


HANDLED: Final[dict[type[IssuerEvent], Callable[[Issuer, Any], Issuer]]] = {
    IssuerStakeholderAdded: _add_stakeholder,
    IssuerStockClassCreated: _create_class,
    IssuerAuthorisedSharesAdjusted: _adjust_authorised,
    IssuerStockPlanAdjusted: _adjust_plan,
    IssuerStockIssued: _issue_stock,
    IssuerStockOffered: _offer_stock,
    IssuerFirstRefusalWaived: _waive,
    IssuerFirstRefusalExercised: _use_first_refusal,
    IssuerStockOfferWithdrawn: _withdraw_offer,
    IssuerStockTransferred: _transfer_stock,
    IssuerStockRepurchased: _repurchase_stock,
    IssuerStockSplit: _split_stock,
    IssuerStockConverted: _convert_stock,
    IssuerConversionPriceAdjusted: _adjust_conversion_price,
    IssuerOptionPromised: _promise_option,
    IssuerOptionPromiseWithdrawn: _withdraw_promise,
    IssuerOptionGranted: _grant_option,
    IssuerOptionExercised: _exercise_option,
    IssuerOptionTransferred: _transfer_option,
    IssuerOptionCancelled: _cancel_option,
    IssuerWarrantIssued: _issue_warrant,
    IssuerWarrantVested: _vest_warrant,
    IssuerWarrantReleased: _release_warrant,
    IssuerWarrantPriced: _price_warrant,
    IssuerWarrantVestingReversed: _reverse_vesting,
    IssuerWarrantTransferred: _transfer_warrant,
    IssuerMilestoneAttested: _attest,
    IssuerProgrammeOpened: _open_programme,
    IssuerProgrammeGrantAdded: _add_grant,
    IssuerPurchasesStated: _state_purchases,
    IssuerPriceSourceNamed: _name_source,
    IssuerPriceObserved: _observe,
    IssuerPriceCorrected: _correct,
    IssuerWarrantExercised: _exercise_warrant,
    IssuerWarrantExpired: _expire_warrant,
    IssuerWarrantCancelled: _cancel_warrant,
    IssuerInstrumentSigned: _sign_instrument,
    IssuerDilutionLimited: set_limit,
    IssuerExposureRecorded: _record_exposure,
    IssuerProposalCounted: _count_proposal,
    IssuerRefusalCounted: _count_refusal,
    IssuerHolderTermsAgreed: _agree_holder_terms,
    IssuerFinancingOpened: _open_financing,
    IssuerProRataAnswered: _answer_pro_rata,
    IssuerFinancingPriced: _price_financing,
    IssuerFinancingClosed: _close_financing,
    IssuerFinancingAbandoned: _abandon_financing,
    IssuerValuationRecorded: _record_valuation,
    IssuerLiquidityDeclared: _declare_liquidity,
    IssuerLiquidityWithdrawn: _withdraw_liquidity,
    IssuerDistributionPaid: _pay_distribution,
}
