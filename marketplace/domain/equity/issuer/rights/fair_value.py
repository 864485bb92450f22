"""The fair value of a share, from a stated source.

The latest price counts that the holder and the company did not make alone: the price of a closed round in which another
party here invested, or a valuation that the platform recorded. If there is none, the company's own latest valuation
counts, but those who are diluted vote on what rests on it.
"""

from decimal import Decimal
from typing import Final, NamedTuple

from marketplace.core.errors import Refusal
from marketplace.core.rounding import round_half_even
from marketplace.domain.equity.issuer.state import Issuer, PriceMark

PLACES: Final = 12


class FairValue(NamedTuple):
    """The value of a share.

    Attributes:
        price_usd: Dollars, to 12 places.
        source: Where it comes from.
        is_independent: Whether holder and company did not make it alone.
    """

    price_usd: Decimal
    source: str
    is_independent: bool


def find_fair_value(state: Issuer, holder_id: str) -> FairValue | None:
    """Return the value of a share for an act between the company and a holder; None if no price is known."""
    marks = state.price_marks
    independent = next((mark for mark in reversed(marks) if _is_independent(mark, holder_id)), None)
    mark = independent or next(reversed(marks), None)
    if mark is None:
        return None
    return FairValue(round_half_even(mark.price_usd, PLACES).normalize(), mark.source, independent is not None)


def _is_independent(mark: PriceMark, holder_id: str) -> bool:
    return mark.makers is None or bool(mark.makers - {holder_id})


def require_fair_value(state: Issuer, holder_id: str) -> FairValue:
    """Return the value of a share that a net exercise counts with.

    Raises:
        Refusal: ``fair_value_missing``.
    """
    found = find_fair_value(state, holder_id)
    if found is None:
        raise Refusal(
            "fair_value_missing",
            f"no round of {state.formed.issuer_id} has closed and no valuation is recorded, so a net exercise has no"
            " value of a share to count with; record a valuation, or exercise for cash",
            pointer="/settlement",
        )
    return found
