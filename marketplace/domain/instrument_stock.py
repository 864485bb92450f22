"""Priced stock: how many shares the oldest outstanding principal buys at the price that was agreed.

Principal becomes shares as it accrues, all of it. Shares are whole over all conversions together: dollars that bought
no whole share are carried into the next conversion, so that nobody is off by a share. Carried are dollars, so a split
in between changes nothing. What clawbacks took is counted out, dollars and shares alike.
"""

from fractions import Fraction
from typing import NamedTuple

from events.types import StockTerms
from marketplace.core.rounding import round_whole
from marketplace.domain.instrument_state import Instrument, Run, Taken


class Purchase(NamedTuple):
    """What a run of principal buys.

    Attributes:
        run: The principal.
        terms: Its terms.
        price_usd: Price of one share as shares are now, exact.
        shares_exact: What its own dollars come to.
        shares: Whole shares, with what was carried; may be none.
    """

    run: Run
    terms: StockTerms
    price_usd: Fraction
    shares_exact: Fraction
    shares: int


def find_purchase(state: Instrument, split: Fraction) -> Purchase | None:
    """Return what the oldest outstanding run buys; None where there is none, or it is not priced stock.

    Args:
        state: The instrument.
        split: By how much splits multiplied a share since it was signed.
    """
    run = next(iter(state.list_runs()), None)
    if run is None or not isinstance(run.terms, StockTerms):
        return None
    price = Fraction(run.terms.price_usd_per_share) / split
    amount = Fraction(run.principal_usd)
    shares = max(round_whole((amount + _sum_carried(state)) / price, "floor"), 0)
    return Purchase(run, run.terms, price, amount / price, shares)


def _sum_carried(state: Instrument) -> Fraction:
    carried = Fraction(0)
    for position, conversion in enumerate(state.conversions):
        taken = state.takings.get(position, Taken())
        shares = conversion.shares - taken.shares
        dollars = Fraction(conversion.amount_exact) - taken.amount
        carried += dollars - shares * Fraction(conversion.price_usd_per_share)
    return carried
