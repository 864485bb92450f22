"""The fair value of a share, from a stated source.

What counts is the latest price that the holder and the company did not make alone: the price of a closed round in which
another party here invested, or a valuation that the platform recorded. If there is none, the latest price of any origin
counts, and those whom it dilutes vote on the act. A warrant may state a mean of recorded prices instead.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from marketplace.core.errors import Refusal
from marketplace.core.rounding import round_half_even
from marketplace.domain.equity.issuer.rights.averages import find_average
from marketplace.domain.equity.issuer.state import Issuer, PriceMark, Warrant

PLACES: Final = 12


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


def find_fair_value(state: Issuer, interested: frozenset[str]) -> FairValue | None:
    """Return the value of a share for an act between the company and a holder; None if no price is known.

    Args:
        state: The issuer.
        interested: The holder and its affiliates.
    """
    marks = state.price_marks
    independent = _find_independent(state, interested)
    mark = independent or next(reversed(marks), None)
    if mark is None:
        return None
    return FairValue(round_half_even(mark.price_usd, PLACES).normalize(), mark.source, independent is not None)


def _find_independent(state: Issuer, interested: frozenset[str]) -> PriceMark | None:
    """Return the latest price that these parties and the company did not make alone."""
    return next((mark for mark in reversed(state.price_marks) if mark.makers is None or mark.makers - interested), None)


def find_independent_price(state: Issuer, interested: frozenset[str]) -> Fraction | None:
    """Return the latest price, exact, that these parties and the company did not make alone; None: there is none."""
    mark = _find_independent(state, interested)
    return None if mark is None else mark.price_usd


def find_value_for_warrant(state: Issuer, warrant: Warrant) -> FairValue | None:
    """Return the value of a share that a net exercise of a warrant counts with; None if none is known."""
    terms = warrant.issued.fair_value
    if terms is None:
        return find_fair_value(state, warrant.interested)
    average = find_average(state, terms)
    if average is None:
        return None
    source = state.price_sources[terms.source_id]
    assert source.latest is not None, "a mean has an observation"
    text = f"mean of {terms.days} days to {source.latest.day}, {terms.source_id}"
    return FairValue(round_half_even(average, PLACES).normalize(), text, is_independent=True)


def require_fair_value(state: Issuer, warrant: Warrant) -> FairValue:
    """Return the value of a share that a net exercise counts with.

    Raises:
        Refusal: ``fair_value_missing``.
    """
    found = find_value_for_warrant(state, warrant)
    if found is None:
        raise Refusal(
            "fair_value_missing",
            f"no round of {state.formed.issuer_id} has closed and no valuation or mean that the warrant counts with is"
            " recorded, so a net exercise has no value of a share; record one, or exercise for cash",
            pointer="/settlement",
        )
    return found
