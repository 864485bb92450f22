"""The fair value of a share, from a stated source.

What counts is the latest price that the holder and the company, with all whom firm relations connect with them now, did
not make alone: the price of a round in which another party here invested, priced in the last 12 months, or a valuation
that the platform recorded in them. If there is none, the latest price of any origin counts, and those whom it dilutes
vote on the act. A warrant may state a mean of recorded prices instead, whose last price is at most 30 days old.
"""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from marketplace.core.errors import Refusal
from marketplace.core.rounding import round_half_even
from marketplace.domain.equity.issuer.rights.averages import find_average
from marketplace.domain.equity.issuer.state import Issuer, PriceMark, Warrant
from marketplace.domain.register import Register

PLACES: Final = 12
VALID: Final = timedelta(days=366)
"""How long after its day a valuation, or the price of a round, is independent."""
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
        interested: The holder and its affiliates; of a warrant, see `find_interested`.
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
        if _is_independent(mark, interested, on_day):
            return mark
    return None


def _is_independent(mark: PriceMark, interested: frozenset[str], on_day: date) -> bool:
    is_valid = mark.effective_on is None or on_day - mark.effective_on <= VALID
    return is_valid and (mark.makers is None or bool(mark.makers - interested))


def find_independent_price(state: Issuer, interested: frozenset[str], on_day: date) -> Fraction | None:
    """Return the latest price, exact, that these parties and the company did not make alone; None: there is none."""
    mark = _find_independent(state, interested, on_day)
    return None if mark is None else mark.price_usd


def find_interested(warrant: Warrant, company_id: str, register: Register) -> frozenset[str]:
    """Return who has an interest in a warrant: its holders, their affiliates, the company, and all related to them."""
    return frozenset().union(*(register.list_group(each) for each in {*warrant.interested, company_id}))


def find_buyout_price(
    state: Issuer, holder_id: str, class_id: str, related: frozenset[str], on_day: date
) -> Fraction | None:
    """Return the least price, exact, at which a majority may buy a holder's fraction of a share; None if none is known.

    It is the highest of the independent prices that are valid, as converted, the prices at which the holder got stock
    of the class, and the preference. A price that a majority made lately is thus no bargain.

    Args:
        state: The issuer.
        holder_id: Who is bought out.
        class_id: The class of its stock.
        related: The company, and who is related to it.
        on_day: The day of the act.
    """
    stock_class = state.classes[class_id]
    prices = [mark.price_usd for mark in state.price_marks if _is_independent(mark, related | {holder_id}, on_day)]
    if not prices:
        return None
    paid = [
        Fraction(issued.price_usd_per_share) * state.split_at_issue[security_id] / state.split_ratio
        for security_id, issued in state.securities.items()
        if (issued.holder_id, issued.class_id) == (holder_id, class_id)
    ]
    multiple = Fraction(stock_class.created.liquidation_multiple or 0)
    preference = (stock_class.price_usd or Fraction(0)) * multiple
    return max(max(prices) * max(Fraction(1), stock_class.conversion_ratio), preference, *paid)


def find_value_for_warrant(
    state: Issuer, warrant: Warrant, interested: frozenset[str], on_day: date
) -> FairValue | None:
    """Return the value of a share that a net exercise of a warrant counts with; None if none is known."""
    terms = warrant.issued.fair_value
    if terms is None:
        return find_fair_value(state, interested, on_day)
    average, source = find_average(state, terms), state.price_sources[terms.source_id]
    if average is None or source.latest is None or on_day - source.latest.day > FRESH:
        return None
    text = f"mean of {terms.days} days to {source.latest.day}, {terms.source_id}"
    return FairValue(round_half_even(average, PLACES).normalize(), text, is_independent=True)


def require_fair_value(state: Issuer, warrant: Warrant, interested: frozenset[str], on_day: date) -> FairValue:
    """Return the value of a share that a net exercise counts with.

    Raises:
        Refusal: ``fair_value_missing``.
    """
    found = find_value_for_warrant(state, warrant, interested, on_day)
    if found is None:
        raise Refusal(
            "fair_value_missing",
            f"no round of {state.formed.issuer_id} has closed and no valuation or recent mean that the warrant counts"
            " with is recorded, so a net exercise has no value of a share; record one, or exercise for cash",
            pointer="/settlement",
        )
    return found
