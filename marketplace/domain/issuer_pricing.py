"""Between the issuer's events and the equity mathematics: inputs that way, results this way.

Conventions that `RoundTerms` of the events does not state are named here, once, and stand in every certificate.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from events.financing import (
    Allotment,
    Conversion,
    ConvertingInstrument,
    Payout,
    RoundPricing,
    RoundTerms,
    Waterfall,
)
from marketplace.core.errors import Refusal
from marketplace.core.money import render_ratio
from marketplace.core.rounding import RoundingMode, round_places
from marketplace.domain.issuer_state import Issuer, capitalization_of, list_option_grants, render_seniority
from marketplace.equity import model
from marketplace.equity.certificates import ENGINE_VERSION
from marketplace.equity.rounds import price_round
from marketplace.equity.waterfall import distribute

CAPITALIZATION_DEFINITION: Final = "yc_standard"
"""A cap is measured as the SAFE's own form says."""
POOL_TIMING: Final = "pre_money"
"""A pool top-up is inside the pre-money valuation: it dilutes those who were there before."""
PRICE_ROUNDING: Final[RoundingMode] = "half_even"
_RUN: Final = "#"


def list_positions(instruments: Sequence[ConvertingInstrument]) -> list[int]:
    """Return which run of its instrument each value is, from 0; tranches of other terms are a run of their own."""
    seen: Counter[str] = Counter()
    positions = []
    for instrument in instruments:
        positions.append(seen[instrument.instrument_id])
        seen[instrument.instrument_id] += 1
    return positions


def price_instruments(
    state: Issuer, terms: RoundTerms, instruments: tuple[ConvertingInstrument, ...], at: datetime
) -> RoundPricing:
    """Return the priced round.

    Raises:
        Refusal: Those of `marketplace.equity.rounds.price_round`; then ``price_rounds_to_zero``, ``allotment_empty``.
    """
    capitalization = capitalization_of(state, at)
    result = price_round(capitalization, _list_safes(instruments), _build_terms(terms))
    pricing = RoundPricing(
        engine_version=ENGINE_VERSION,
        capitalization_shares=int(capitalization.fully_diluted),
        instruments=instruments,
        price_usd_per_share=result.price_usd_rounded,
        price_exact=render_ratio(result.price_usd),
        conversions=tuple(
            _render_conversion(conversion, instrument)
            for conversion, instrument in zip(result.conversions, instruments, strict=True)
        ),
        allotments=tuple(
            Allotment(
                holder_id=bought.holder_id,
                amount_usd=investment.amount_usd,
                shares_exact=render_ratio(bought.shares_exact),
                shares=bought.shares,
            )
            for bought, investment in zip(result.new_money, terms.investments, strict=True)
        ),
        pool_increase_shares=result.pool_increase,
        post_money_shares=result.fully_diluted,
        certificate_json=_render_certificate(result.certificate),
    )
    _require_sane(pricing, terms)
    return pricing


def round_price(price: Fraction, terms: RoundTerms) -> Decimal:
    """Return a price per share with the places that the terms state, halves to even."""
    return round_places(price, terms.price_places, PRICE_ROUNDING)


def share_proceeds(
    state: Issuer,
    proceeds_usd: Decimal,
    instruments: tuple[ConvertingInstrument, ...],
    at: datetime,
    safe_seniority: int | None,
) -> Waterfall:
    """Return who gets what of a sale.

    Raises:
        Refusal: Those of `marketplace.equity.waterfall.distribute`.
    """
    result = distribute(
        proceeds_usd,
        capitalization_of(state, at),
        safes=_list_safes(instruments),
        options=list_option_grants(state, at),
        on_day=at.date(),
        safe_seniority=None if safe_seniority is None else render_seniority(safe_seniority),
    )
    gave_way = {item for election in result.elections if election.choice != "hold" for item in election.item_ids}
    return Waterfall(
        engine_version=ENGINE_VERSION,
        proceeds_usd=proceeds_usd,
        instruments=order_instruments(instruments),
        payouts=tuple(
            Payout(
                holder_id=payout.holder_id,
                security=payout.item_id.partition(_RUN)[0],
                amount_exact=render_ratio(payout.amount_usd_exact),
                amount_usd=payout.amount_usd,
                as_converted=payout.item_id in gave_way,
            )
            for payout in result.payouts
        ),
        certificate_json=_render_certificate(result.certificate),
    )


def order_instruments(instruments: Iterable[ConvertingInstrument]) -> tuple[ConvertingInstrument, ...]:
    """Return the instruments by id; runs of one instrument stay in their order."""
    return tuple(sorted(instruments, key=lambda instrument: instrument.instrument_id))


def _list_safes(instruments: tuple[ConvertingInstrument, ...]) -> list[model.Safe]:
    return [
        model.Safe(
            instrument.instrument_id if position == 0 else f"{instrument.instrument_id}{_RUN}{position}",
            instrument.holder_id,
            instrument.principal_usd,
            model.SafeTerms(
                conversion_timing=instrument.terms.conversion_timing,
                valuation_cap_usd=instrument.terms.valuation_cap_usd,
                discount=instrument.terms.discount,
                most_favoured_nation=instrument.terms.most_favoured_nation,
            ),
        )
        for instrument, position in zip(instruments, list_positions(instruments), strict=True)
    ]


def _build_terms(terms: RoundTerms) -> model.RoundTerms:
    return model.RoundTerms(
        pre_money_usd=terms.pre_money_usd,
        investments=tuple(model.Investment(each.holder_id, each.amount_usd) for each in terms.investments),
        pool_post_money=terms.pool_post_money,
        pricing_convention=terms.pricing_convention,
        capitalization_definition=CAPITALIZATION_DEFINITION,
        share_rounding=terms.share_rounding,
        price_places=terms.price_places,
        price_rounding=PRICE_ROUNDING,
        pool_timing=POOL_TIMING,
    )


def _render_conversion(conversion: model.Conversion, instrument: ConvertingInstrument) -> Conversion:
    assert conversion.branch != "fixed_ownership", "no terms of the events fix an ownership"
    return Conversion(
        instrument_id=instrument.instrument_id,
        holder_id=conversion.holder_id,
        branch=conversion.branch,
        price_usd_per_share=render_ratio(conversion.price_usd),
        shares_exact=render_ratio(conversion.shares_exact),
        shares=conversion.shares,
        alternatives={each.branch: render_ratio(each.price_usd) for each in conversion.alternatives},
    )


def _render_certificate(certificate: dict[str, object]) -> str:
    return msgspec.json.encode(certificate, order="deterministic").decode()


def _require_sane(pricing: RoundPricing, terms: RoundTerms) -> None:
    lowest = min(
        pricing.price_usd_per_share,
        *(round_price(Fraction(each.price_usd_per_share), terms) for each in pricing.conversions),
        pricing.price_usd_per_share,
    )
    if lowest <= 0:
        raise Refusal(
            "price_rounds_to_zero",
            f"a price per share is 0 at {terms.price_places} places; state more price places",
            pointer="/terms/price_places",
            price_places=terms.price_places,
        )
    for allotment in pricing.allotments:
        if allotment.shares == 0:
            raise Refusal(
                "allotment_empty",
                f"{allotment.amount_usd} USD of {allotment.holder_id} buy less than one share at "
                f"{pricing.price_usd_per_share} USD; raise the investment",
                holder_id=allotment.holder_id,
                amount_usd=str(allotment.amount_usd),
            )
