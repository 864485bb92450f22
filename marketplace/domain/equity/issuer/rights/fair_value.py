"""The fair value of a share, from a stated source.

What counts is the latest price that the holder and the company did not make alone: the price of a closed round in which
another party here invested, or a valuation that the platform recorded, of the last 12 months. If there is none, the
latest price of any origin counts, and those whom it dilutes vote on the act. A warrant may state a mean of recorded
prices instead, whose last price is at most 30 days old.
"""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from marketplace.core.errors import Refusal
from marketplace.core.rounding import round_half_even
from marketplace.domain.equity.issuer.rights.averages import find_average
from marketplace.domain.equity.issuer.state import Issuer, PriceMark, Warrant

PLACES: Final = 12
VALID: Final = timedelta(days=366)
"""How long after its effective day a valuation is independent."""
FRESH: Final = timedelta(days=30)
"""How old the last price of a mean may be."""


class FairValue(NamedTuple):
    """The value of a share.

    Attributes:
        price_usd: Dollars, to 12 places.
        source: Where it comes from.
        is_independent: Whether somebody beside holder and company made it.
    """

    price_usd: Decimal
    source: str
    is_independent: bool


def find_fair_value(state: Issuer, interested: frozenset[str], on_day: date) -> FairValue | None:
    """Return the value of a share for an act between the company and a holder; None if no price is known.

    Args:
        state: The issuer.
        interested: The holder and its affiliates.
        on_day: The day of the act.
    """
    marks = state.price_marks
    independent = _find_independent(state, interested, on_day)
    mark = independent or next(reversed(marks), None)
    if mark is None:
        return None
    return FairValue(round_half_even(mark.price_usd, PLACES).normalize(), mark.source, independent is not None)


def _find_independent(state: Issuer, interested: frozenset[str], on_day: date) -> PriceMark | None:
    """Return the latest price that these parties and the company did not make alone."""
    for mark in reversed(state.price_marks):
        is_valid = mark.effective_on is None or on_day - mark.effective_on <= VALID
        if is_valid and (mark.makers is None or mark.makers - interested):
            return mark
    return None


def find_independent_price(state: Issuer, interested: frozenset[str], on_day: date) -> Fraction | None:
    """Return the latest price, exact, that these parties and the company did not make alone; None: there is none."""
    mark = _find_independent(state, interested, on_day)
    return None if mark is None else mark.price_usd


def find_value_for_warrant(state: Issuer, warrant: Warrant, on_day: date) -> FairValue | None:
    """Return the value of a share that a net exercise of a warrant counts with; None if none is known."""
    terms = warrant.issued.fair_value
    if terms is None:
        return find_fair_value(state, warrant.interested, on_day)
    average, source = find_average(state, terms), state.price_sources[terms.source_id]
    if average is None or source.latest is None or on_day - source.latest.day > FRESH:
        return None
    text = f"mean of {terms.days} days to {source.latest.day}, {terms.source_id}"
    return FairValue(round_half_even(average, PLACES).normalize(), text, is_independent=True)


def require_fair_value(state: Issuer, warrant: Warrant, on_day: date) -> FairValue:
    """Return the value of a share that a net exercise counts with.

    Raises:
        Refusal: ``fair_value_missing``.
    """
    found = find_value_for_warrant(state, warrant, on_day)
    if found is None:
        raise Refusal(
            "fair_value_missing",
            f"no round of {state.formed.issuer_id} has closed and no valuation or recent mean that the warrant counts"
            " with is recorded, so a net exercise has no value of a share; record one, or exercise for cash",
            pointer="/settlement",
        )
    return found
