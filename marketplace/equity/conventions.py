"""The conventions that the terms of a round must state before anything is computed.

Nothing is assumed, because the price depends on each convention: a missing one is refused by name, and an unknown one
with the list of known ones.
"""

from collections.abc import Collection, Mapping
from typing import get_args

from marketplace.core.errors import Refusal
from marketplace.core.rounding import RoundingMode
from marketplace.equity.capitalization import DEFINITIONS
from marketplace.equity.exact import not_negative, positive, proper_fraction
from marketplace.equity.model import AFTER_PRICE, PoolTiming, PricingConvention, RoundTerms, ShareRounding

PRICE_PLACES_MAX = 12
INVESTMENTS_MAX = 10_000

_CHOICES: Mapping[str, Collection[str]] = {
    "pricing_convention": get_args(PricingConvention),
    "capitalization_definition": DEFINITIONS,
    "share_rounding": get_args(ShareRounding),
    "price_rounding": get_args(RoundingMode),
}


def check_terms(terms: RoundTerms) -> None:
    """Refuse terms that leave a convention open or hold an impossible number.

    Raises:
        Refusal: In this order: ``missing_convention``, ``unknown_convention``, ``price_places_out_of_range``,
            ``conversion_price_places_unexpected``, ``no_investment``, ``too_many_investments``, ``not_positive``,
            ``fraction_out_of_range``, ``negative``, ``pool_stated_twice``, ``rounding_needs_percent_ownership``.
    """
    for name, choices in _CHOICES.items():
        _check_choice(name, getattr(terms, name), choices)
    if terms.price_places is None:
        _refuse_missing("price_places", "the digits after the point of the printed price")
    elif not 0 <= terms.price_places <= PRICE_PLACES_MAX:
        raise Refusal(
            "price_places_out_of_range",
            f"price_places is {terms.price_places}; it must be from 0 to {PRICE_PLACES_MAX}",
            pointer="/price_places",
        )
    _check_conversion_places(terms)
    if terms.pool_post_money is not None or terms.pool_increase_shares:
        _check_choice("pool_timing", terms.pool_timing, get_args(PoolTiming))
    _check_numbers(terms)
    if terms.share_rounding == "floor_fixed_point" and terms.pricing_convention != "percent_ownership":
        raise Refusal(
            "rounding_needs_percent_ownership",
            "floor_fixed_point is defined for percent_ownership only; choose another share_rounding",
            pointer="/share_rounding",
        )


def _check_conversion_places(terms: RoundTerms) -> None:
    places = terms.conversion_price_places
    if places is None:
        return
    if terms.share_rounding not in AFTER_PRICE:
        raise Refusal(
            "conversion_price_places_unexpected",
            f"share_rounding {terms.share_rounding} does not divide by a printed conversion price; leave"
            " conversion_price_places out, or choose floor_after_price or nearest_after_price",
            pointer="/conversion_price_places",
        )
    if not 0 <= places <= PRICE_PLACES_MAX:
        raise Refusal(
            "price_places_out_of_range",
            f"conversion_price_places is {places}; it must be from 0 to {PRICE_PLACES_MAX}",
            pointer="/conversion_price_places",
        )


def _check_numbers(terms: RoundTerms) -> None:
    if not terms.investments:
        raise Refusal("no_investment", "a priced round needs at least one investment", pointer="/investments")
    if len(terms.investments) > INVESTMENTS_MAX:
        raise Refusal(
            "too_many_investments", f"{len(terms.investments)} investments exceed the limit of {INVESTMENTS_MAX}"
        )
    positive(terms.pre_money_usd, "pre_money_usd")
    for investment in terms.investments:
        positive(investment.amount_usd, f"investment of {investment.holder_id}")
    if terms.pool_post_money is not None:
        proper_fraction(terms.pool_post_money, "pool_post_money")
    if terms.pool_increase_shares is not None:
        not_negative(terms.pool_increase_shares, "pool_increase_shares")
        if terms.pool_post_money is not None:
            raise Refusal(
                "pool_stated_twice",
                "the pool is given both as a target and as an increase in shares; state one of them",
                pointer="/pool_increase_shares",
            )


def _check_choice(name: str, value: str | None, choices: Collection[str]) -> None:
    if value is None:
        _refuse_missing(name, f"one of {', '.join(choices)}")
    if value not in choices:
        raise Refusal(
            "unknown_convention",
            f"{name} is {value!r}; use one of {', '.join(choices)}",
            pointer=f"/{name}",
            convention=name,
        )


def _refuse_missing(name: str, what: str) -> None:
    raise Refusal(
        "missing_convention",
        f"{name} is not given, and the answer depends on it; state {what}",
        pointer=f"/{name}",
        convention=name,
    )
