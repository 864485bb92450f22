"""Priced stock and warrants: how many shares, or rights, outstanding principal buys at the agreed price.

All principal becomes shares or rights as it accrues. Dollars that do not buy a whole one are carried into the next
conversion, so that the total over all conversions is exact. Because dollars are carried, a split in between changes
nothing. Clawbacks reduce both dollars and shares.
"""

from fractions import Fraction
from typing import NamedTuple

from events.types import PricedTerms
from marketplace.core.rounding import round_whole
from marketplace.domain.equity.instrument.state import ClawedBack, Instrument, Run


class Purchase(NamedTuple):
    """What a run of principal buys.

    Attributes:
        run: The principal.
        terms: Its terms.
        price_usd: Price of one share, or of the right to one, after splits, exact.
        split: The split factor since the terms were signed.
        shares_exact: Shares for its own dollars, exact.
        shares: Whole shares or rights, including what was carried; may be 0.
    """

    run: Run
    terms: PricedTerms
    price_usd: Fraction
    split: Fraction
    shares_exact: Fraction
    shares: int


def find_purchase(state: Instrument, split: Fraction) -> Purchase | None:
    """Return what the oldest outstanding run buys. None if there is no run, or its terms state no price.

    Args:
        state: The instrument.
        split: The split factor since it was signed.
    """
    run = next(iter(state.list_runs()), None)
    if run is None or not isinstance(run.terms, PricedTerms):
        return None
    price = Fraction(run.terms.price_usd_per_share) / split
    amount = Fraction(run.principal_usd)
    shares = max(round_whole((amount + _sum_carried(state)) / price, "floor"), 0)
    return Purchase(run, run.terms, price, split, amount / price, shares)


def _sum_carried(state: Instrument) -> Fraction:
    carried = Fraction(0)
    for position, conversion in enumerate(state.conversions):
        taken = state.takings.get(position, ClawedBack())
        shares = conversion.shares - taken.shares
        dollars = Fraction(conversion.amount_exact) - taken.amount
        carried += dollars - shares * Fraction(conversion.price_usd_per_share)
    return carried
