"""Priced stock and warrants: how many shares, or rights, outstanding principal buys at the agreed price.

All principal becomes shares or rights as it accrues, from the first whole one on; until then it stays owed. Later
dollars that do not buy a whole one are carried into the next conversion, so that the total over all is exact. Because
dollars are carried, a split in between changes nothing. Clawbacks reduce both dollars and shares.
"""

from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

from events.financing import ConvertingInstrument
from events.types import PricedTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import render_ratio
from marketplace.core.rounding import round_whole
from marketplace.domain.equity.instrument.state import ClawedBack, Instrument, Run


class Purchase(NamedTuple):
    """The shares, or rights to shares, that a run of principal buys.

    Attributes:
        run: The principal.
        terms: Its terms.
        price_usd: Price of one share, or of the right to one, after splits.
        split: The split factor since the terms were signed.
        shares_exact: Shares or rights that its own dollars buy, as a fraction.
        shares: Whole shares or rights that these and the carried dollars buy; may be 0.
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


def buys_none(state: Instrument, purchase: Purchase) -> bool:
    """Return whether an instrument has bought no share so far and still could not buy one. Its principal stays owed."""
    return purchase.shares == 0 and not any(conversion.shares for conversion in state.conversions)


def require_purchase(state: Instrument, purchase: Purchase | None) -> None:
    """Refuse to issue shares, or rights, under an instrument that owes none, or less than its first one.

    Raises:
        Refusal: ``nothing_to_convert`` · ``conversion_empty``.
    """
    instrument_id = state.issued.instrument_id
    if purchase is None:
        raise Refusal(
            "nothing_to_convert",
            f"instrument {instrument_id} owes no shares; principal of priced stock becomes shares as it accrues",
            instrument_id=instrument_id,
        )
    if buys_none(state, purchase):
        raise Refusal(
            "conversion_empty",
            f"{purchase.run.principal_usd} USD of instrument {instrument_id} buy no whole share at"
            f" {purchase.price_usd} USD and stay owed; split the stock, or let more accrue",
            instrument_id=instrument_id,
            principal_usd=str(purchase.run.principal_usd),
            price_exact=render_ratio(purchase.price_usd),
        )


def list_converting(
    instruments: Iterable[Instrument], at: datetime, *, held_back: bool = False
) -> tuple[ConvertingInstrument, ...]:
    """Return an issuer's outstanding principal that converts in a round or is paid out in a sale.

    Args:
        instruments: The issuer's instruments.
        at: Now.
        held_back: Whether a declared sale holds stock back that principal bought since; its payment pays that in cash.

    Raises:
        Refusal: ``shares_owed`` if priced stock was paid for and not issued yet.
    """
    converting: list[ConvertingInstrument] = []
    for instrument in instruments:
        if isinstance(instrument.terms, PricedTerms) and instrument.outstanding_usd and not held_back:
            instrument_id = instrument.issued.instrument_id
            raise Refusal(
                "shares_owed",
                f"instrument {instrument_id} has {instrument.outstanding_usd} USD of principal that bought shares of "
                f"{instrument.terms.class_id} which are not issued; split the stock where they are less"
                " than one, and issue them first",
                instrument_id=instrument_id,
                outstanding_usd=str(instrument.outstanding_usd),
            )
        converting.extend(instrument.list_converting(at))
    return tuple(converting)


def _sum_carried(state: Instrument) -> Fraction:
    carried = Fraction(0)
    for position, conversion in enumerate(state.conversions):
        taken = state.takings.get(position, ClawedBack())
        shares = conversion.shares - taken.shares
        dollars = Fraction(conversion.amount_exact) - taken.amount
        carried += dollars - shares * Fraction(conversion.price_usd_per_share)
    return carried
