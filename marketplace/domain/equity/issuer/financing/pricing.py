"""Convert a priced round's inputs to the equity mathematics, and its results back to events.

Nothing is assumed here: every convention comes from the terms of the round or of the instrument.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from events.financing import (
    Allotment,
    Conversion,
    ConvertingInstrument,
    Forfeit,
    PayToPlay,
    PayToPlayDuty,
    PriceAdjustment,
    RoundPricing,
    RoundTerms,
)
from events.types import NoteTerms, SafeTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import SHARE_PRICE_PLACES, ZERO, render_ratio, round_ratio
from marketplace.core.rounding import round_places, round_whole
from marketplace.domain.equity.issuer.rules import get_class, require_authorised
from marketplace.domain.equity.issuer.state import RUN, Issuer, capitalization_of
from marketplace.domain.equity.whole_shares import gives_much, loses_much, require_fine
from marketplace.equity import model
from marketplace.equity.certificates import ENGINE_VERSION
from marketplace.equity.model import AFTER_PRICE
from marketplace.equity.participation import pay_to_play
from marketplace.equity.rounds import price_round

SIGNED_DEFINITION: Final = "yc_standard"
"""How the cap of a SAFE or note counts the company, whatever definition a round states."""


def list_positions(instruments: Sequence[ConvertingInstrument]) -> list[int]:
    """Return the position of each run in its instrument, from 0. Tranches with other terms form another run."""
    seen: Counter[str] = Counter()
    positions = []
    for instrument in instruments:
        positions.append(seen[instrument.instrument_id])
        seen[instrument.instrument_id] += 1
    return positions


def order_instruments(instruments: Iterable[ConvertingInstrument]) -> tuple[ConvertingInstrument, ...]:
    """Return the instruments by id; runs of one instrument stay in their order."""
    return tuple(sorted(instruments, key=lambda instrument: instrument.instrument_id))


def name_runs(instruments: Sequence[ConvertingInstrument]) -> list[str]:
    """Return the name of each run for the engine: the instrument's id, with a number from the second run on."""
    return [
        instrument.instrument_id if position == 0 else f"{instrument.instrument_id}{RUN}{position}"
        for instrument, position in zip(instruments, list_positions(instruments), strict=True)
    ]


def price_instruments(
    state: Issuer,
    terms: RoundTerms,
    instruments: tuple[ConvertingInstrument, ...],
    at: datetime,
    forfeits: tuple[Forfeit, ...],
) -> RoundPricing:
    """Return the priced round.

    Raises:
        Refusal: Those of `marketplace.equity.rounds.price_round`; then ``price_rounds_to_zero``, ``conversion_empty``,
            ``conversion_coarse``, ``allotment_empty``, ``allotment_coarse``.
    """
    capitalization = capitalize(state, forfeits, at)
    names = name_runs(instruments)
    result = price_round(
        capitalization, list_safes(instruments, names), _build_terms(terms), list_notes(instruments, names)
    )
    pricing = RoundPricing(
        engine_version=ENGINE_VERSION,
        capitalization_exact=render_ratio(capitalization.fully_diluted),
        instruments=instruments,
        price_usd_per_share=result.price_usd_rounded,
        price_exact=render_ratio(result.price_usd),
        conversions=tuple(
            _render_conversion(result.conversion(name), instrument, terms)
            for name, instrument in zip(names, instruments, strict=True)
        ),
        allotments=_render_allotments(result, terms),
        adjustments=tuple(_render_adjustment(each) for each in result.adjustments),
        forfeits=forfeits,
        pool_increase_shares=result.pool_increase,
        pool_increase_exact=render_ratio(result.pool_increase_exact),
        post_money_shares=result.fully_diluted,
        post_money_exact=render_ratio(result.fully_diluted_exact),
        certificate_json=render_certificate(result.certificate),
    )
    _require_sane(pricing, terms)
    return pricing


def list_forfeits(state: Issuer, terms: RoundTerms) -> tuple[Forfeit, ...]:
    """Return the preferred stock that becomes common because holders and their affiliates do not pay their part.

    Fractions of a preferred share stay preferred; fractions of a common share are forfeited. Empty without pay-to-play.

    Raises:
        Refusal: ``stock_class_unknown`` · ``stock_class_not_preferred`` · ``stock_class_not_common`` ·
            ``stock_class_over_authorised``.
    """
    duties = terms.pay_to_play
    if duties is None:
        return ()
    paid = {investment.holder_id: investment.amount_usd for investment in terms.investments}
    sums = (sum((paid.get(each, ZERO) for each in (duty.holder_id, *duty.paid_by)), ZERO) for duty in duties.duties)
    forfeits = tuple(_forfeit(state, duties, *each) for each in zip(duties.duties, sums, strict=True))
    common = get_class(state, duties.class_id_after, ("common",))
    require_authorised(common, sum(forfeit.shares_after for forfeit in forfeits))
    return tuple(forfeit for forfeit in forfeits if forfeit.shares)


def _forfeit(state: Issuer, duties: PayToPlay, duty: PayToPlayDuty, paid_usd: Decimal) -> Forfeit:
    stock_class = get_class(state, duty.class_id, ("preferred",))
    price, conversion_price = stock_class.price_usd, stock_class.conversion_price_usd
    assert price is not None, "preferred stock has an issue price"
    assert conversion_price is not None, "preferred stock has a conversion price"
    held = state.holdings.get((duty.holder_id, duty.class_id), 0)
    played = pay_to_play(held, duty.obligation_usd, paid_usd, duties.common_per_preferred)
    shares = round_whole(played.preferred_converted, "floor")
    exact = shares * price / conversion_price * Fraction(duties.common_per_preferred)
    return Forfeit(
        holder_id=duty.holder_id,
        class_id=duty.class_id,
        shares=shares,
        class_id_after=duties.class_id_after,
        shares_exact=render_ratio(exact),
        shares_after=round_whole(exact, "floor"),
    )


def capitalize(state: Issuer, forfeits: Iterable[Forfeit], at: datetime | None) -> model.Capitalization:
    """Return the company on which a round is priced: after these forfeits, without warrants expired by `at`."""
    company = capitalization_of(state, at)
    held = {(holding.holder_id, holding.class_id): holding.shares for holding in company.holdings}
    for forfeit in forfeits:
        for class_id, shares in ((forfeit.class_id, -forfeit.shares), (forfeit.class_id_after, forfeit.shares_after)):
            key = (forfeit.holder_id, class_id)
            held[key] = held.get(key, 0) + shares
    holdings = (
        model.Holding(holder, class_id, shares) for (holder, class_id), shares in sorted(held.items()) if shares
    )
    return replace(company, holdings=tuple(holdings))


def round_price(price: Fraction, terms: RoundTerms) -> Decimal:
    """Return a price per share, rounded as the terms state."""
    return round_places(price, terms.price_places, terms.price_rounding)


def price_conversion(conversion: Conversion, terms: RoundTerms) -> Decimal:
    """Return the issue price in USD of a class that is created for one conversion.

    It is the rounded price if the round divides by rounded prices, and otherwise the exact price. An exact price that
    does not fit into the terms' places is rounded down to the most places that a price per share may have.
    """
    if conversion.price_rounded_usd is not None:
        return conversion.price_rounded_usd
    exact = Fraction(conversion.price_usd_per_share)
    printed = round_price(exact, terms)
    return printed if Fraction(printed) == exact else round_places(exact, SHARE_PRICE_PLACES, "floor")


def list_safes(instruments: Sequence[ConvertingInstrument], names: Sequence[str]) -> list[model.Safe]:
    """Return the SAFEs among instruments, under the names of their runs."""
    return [
        model.Safe(
            name,
            instrument.holder_id,
            instrument.principal_usd,
            _build_safe_terms(instrument.terms),
            instrument.mfn_election
            if instrument.mfn_election is None or instrument.mfn_election == "declined"
            else _build_safe_terms(instrument.mfn_election),
        )
        for instrument, name in zip(instruments, names, strict=True)
        if isinstance(instrument.terms, SafeTerms)
    ]


def _build_safe_terms(terms: SafeTerms) -> model.SafeTerms:
    return model.SafeTerms(
        conversion_timing=terms.conversion_timing,
        valuation_cap_usd=terms.valuation_cap_usd,
        discount=terms.discount,
        most_favoured_nation=terms.most_favoured_nation,
        capitalization_definition=SIGNED_DEFINITION,
    )


def list_notes(
    instruments: Sequence[ConvertingInstrument], names: Sequence[str], *, apart: bool = False
) -> list[model.Note]:
    """Return the notes among instruments, one for each day from which interest runs.

    Args:
        instruments: SAFEs and notes.
        names: Names of their runs.
        apart: Whether parts of a note get names of their own, as a sale needs; a round rounds them together.
    """
    return [
        model.Note(
            f"{name}{RUN}{part}" if apart and part else name,
            instrument.holder_id,
            accrual.principal_usd,
            model.NoteTerms(
                annual_rate=instrument.terms.annual_rate,
                interest=instrument.terms.interest,
                day_count=instrument.terms.day_count,
                issued_on=accrual.interest_from,
                matures_on=instrument.terms.matures_on,
                valuation_cap_usd=instrument.terms.valuation_cap_usd,
                discount=instrument.terms.discount,
                capitalization_definition=SIGNED_DEFINITION,
                repayment_multiple=instrument.terms.repayment_multiple,
            ),
        )
        for instrument, name in zip(instruments, names, strict=True)
        if isinstance(instrument.terms, NoteTerms)
        for part, accrual in enumerate(instrument.accruals)
    ]


def _build_terms(terms: RoundTerms) -> model.RoundTerms:
    return model.RoundTerms(
        pre_money_usd=terms.pre_money_usd,
        investments=tuple(model.Investment(each.holder_id, each.amount_usd) for each in terms.investments),
        pool_post_money=terms.pool_post_money,
        pricing_convention=terms.pricing_convention,
        capitalization_definition=terms.capitalization_definition,
        share_rounding=terms.share_rounding,
        price_places=terms.price_places,
        price_rounding=terms.price_rounding,
        conversion_price_places=terms.conversion_price_places,
        pool_timing=terms.pool_timing,
        closing_date=terms.closing_date,
    )


def _render_conversion(conversion: model.Conversion, instrument: ConvertingInstrument, terms: RoundTerms) -> Conversion:
    assert conversion.branch != "fixed_ownership", "no terms of the events fix an ownership"
    return Conversion(
        instrument_id=instrument.instrument_id,
        holder_id=conversion.holder_id,
        branch=conversion.branch,
        amount_exact=render_ratio(conversion.amount_usd),
        price_usd_per_share=render_ratio(conversion.price_usd),
        shares_exact=render_ratio(conversion.shares_exact),
        shares=conversion.shares,
        alternatives={each.branch: render_ratio(each.price_usd) for each in conversion.alternatives},
        price_rounded_usd=conversion.price_usd_rounded if terms.share_rounding in AFTER_PRICE else None,
    )


def _render_allotments(result: model.RoundResult, terms: RoundTerms) -> tuple[Allotment, ...]:
    return tuple(
        Allotment(
            holder_id=bought.holder_id,
            amount_usd=investment.amount_usd,
            shares_exact=render_ratio(bought.shares_exact),
            shares=bought.shares,
        )
        for bought, investment in zip(result.new_money, terms.investments, strict=True)
    )


def _render_adjustment(adjustment: model.PriceAdjustment) -> PriceAdjustment:
    return PriceAdjustment(
        class_id=adjustment.class_id,
        triggered=adjustment.triggered,
        conversion_price_usd_before=render_ratio(adjustment.conversion_price_before_usd),
        conversion_price_usd=render_ratio(adjustment.conversion_price_after_usd),
        as_converted_before=render_ratio(adjustment.as_converted_before),
        as_converted=render_ratio(adjustment.as_converted_after),
    )


def render_certificate(certificate: Mapping[str, object]) -> str:
    """Return the canonical JSON of a certificate."""
    return msgspec.json.encode(certificate, order="deterministic").decode()


def _require_sane(pricing: RoundPricing, terms: RoundTerms) -> None:
    lowest = min([pricing.price_usd_per_share, *(price_conversion(each, terms) for each in pricing.conversions)])
    if lowest <= 0:
        raise Refusal(
            "price_rounds_to_zero",
            f"a price per share is 0 at {terms.price_places} places; state more price places",
            pointer="/terms/price_places",
            price_places=terms.price_places,
        )
    _require_shares(pricing)
    for allotment in pricing.allotments:
        if allotment.shares == 0:
            raise Refusal(
                "allotment_empty",
                f"{allotment.amount_usd} USD of {allotment.holder_id} buy less than one share at "
                f"{pricing.price_usd_per_share} USD; raise the investment, or split the stock before the round",
                holder_id=allotment.holder_id,
                amount_usd=str(allotment.amount_usd),
            )
        if gives_much(Fraction(allotment.shares_exact), allotment.shares, Fraction(pricing.price_exact)):
            raise Refusal(
                "allotment_coarse",
                f"{allotment.amount_usd} USD of {allotment.holder_id} would buy {allotment.shares} shares at"
                f" {pricing.price_usd_per_share} USD by rounding up, and the other holders would pay for the"
                " difference; raise the investment, or round down",
                holder_id=allotment.holder_id,
                amount_usd=str(allotment.amount_usd),
            )


def require_whole(pricing: RoundPricing, stated: Collection[str]) -> None:
    """Refuse a round in which rounding takes much of the money of a holder that is not stated, who signed no price.

    Raises:
        Refusal: ``allotment_coarse``.
    """
    for allotment in pricing.allotments:
        exact, price = Fraction(allotment.shares_exact), Fraction(pricing.price_exact)
        if allotment.holder_id not in stated and loses_much(exact, allotment.shares, price):
            raise Refusal(
                "allotment_coarse",
                f"{allotment.amount_usd} USD of {allotment.holder_id}, which joins by right, would buy"
                f" {allotment.shares} shares and lose more than a hundredth by rounding down; split the stock before"
                " the round",
                holder_id=allotment.holder_id,
                amount_usd=str(allotment.amount_usd),
            )


def _require_shares(pricing: RoundPricing) -> None:
    """Refuse a round in which an instrument becomes less than a share, or rounding takes from it or gives it much.

    Raises:
        Refusal: ``conversion_empty`` · ``conversion_coarse``.
    """
    shares: Counter[str] = Counter()
    exact: dict[str, Fraction] = {}
    amounts: dict[str, Fraction] = {}
    for conversion in pricing.conversions:
        instrument_id = conversion.instrument_id
        shares[instrument_id] += conversion.shares
        exact[instrument_id] = exact.get(instrument_id, Fraction(0)) + Fraction(conversion.shares_exact)
        amounts[instrument_id] = amounts.get(instrument_id, Fraction(0)) + Fraction(conversion.amount_exact)
    for conversion in pricing.conversions:
        if shares[conversion.instrument_id] == 0:
            raise Refusal(
                "conversion_empty",
                f"{conversion.instrument_id} would become {round_ratio(Fraction(conversion.shares_exact)):f} of a"
                " share, so its principal would be lost; split the stock before the round",
                instrument_id=conversion.instrument_id,
                shares_exact=conversion.shares_exact,
                price_exact=conversion.price_usd_per_share,
            )
    for instrument_id, count in shares.items():
        require_fine(instrument_id, exact[instrument_id], count, amounts[instrument_id] / exact[instrument_id])
