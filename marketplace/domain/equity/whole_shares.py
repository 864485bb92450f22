"""How much rounding to whole shares may take from money that becomes stock, and give to it.

What it takes is lost; what it gives dilutes everybody else, and a share may be worth a million.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from marketplace.core.errors import Refusal
from marketplace.core.money import render_ratio, round_ratio

ROUNDING_MAX: Final = Fraction(1, 100)
"""The largest part of its exact shares that money may lose or gain by rounding to whole ones."""
GIVEN_USD_MAX: Final = Decimal(1)
"""What rounding may give in any case, so that a share that costs no more is always rounded as stated."""


def takes_much(exact: Fraction, shares: int) -> bool:
    """Return whether rounding takes more than `ROUNDING_MAX` of the exact shares."""
    return exact - shares > exact * ROUNDING_MAX


def gives_much(exact: Fraction, shares: int, price_usd: Fraction) -> bool:
    """Return whether rounding gives more than `ROUNDING_MAX` of the exact shares, and than `GIVEN_USD_MAX`."""
    given = shares - exact
    return given > exact * ROUNDING_MAX and given * price_usd > GIVEN_USD_MAX


def loses_much(exact: Fraction, shares: int, price_usd: Fraction) -> bool:
    """Return whether rounding takes more than `ROUNDING_MAX` of the exact shares, and than `GIVEN_USD_MAX`."""
    lost = exact - shares
    return lost > exact * ROUNDING_MAX and lost * price_usd > GIVEN_USD_MAX


def require_fine(instrument_id: str, exact: Fraction, shares: int, price_usd: Fraction) -> None:
    """Refuse a conversion that loses or gains too much by rounding to whole shares.

    Args:
        instrument_id: What converts.
        exact: Its shares, exact.
        shares: Its whole shares.
        price_usd: The exact price of a share.

    Raises:
        Refusal: ``conversion_coarse``.
    """
    if takes_much(exact, shares):
        consequence = "and the rest of its principal would be lost"
    elif gives_much(exact, shares, price_usd):
        consequence = "and the other holders would pay for the difference"
    else:
        return
    raise Refusal(
        "conversion_coarse",
        f"{instrument_id} would become {shares} of {round_ratio(exact, 4):f} shares, {consequence}; split the stock,"
        " or state more places of the price",
        instrument_id=instrument_id,
        shares=shares,
        shares_exact=render_ratio(exact),
    )
