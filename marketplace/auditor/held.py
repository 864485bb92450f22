"""Computes how much options and warrants count in a vote: what each is worth at the best price that is known.

That is the highest of the prices of others, and of those at which others bought a twentieth of the stock. Without one
that values the stock above 100,000 USD, a share counts at that value.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from math import ceil
from typing import Final, NamedTuple

from marketplace.auditor.prices import OUTSIDE_MIN, Company

_LEAST_USD: Final = 100_000
_FAR: Final = Fraction(1, 100)
"""The most that a right counts which costs as much as a known price."""
ONE: Final = Fraction(1)


class Held(NamedTuple):
    """Options, or shares of a warrant: the group that votes, the USD of a share, and the common shares that it is."""

    group: str
    holder_id: str
    shares: int
    price: Fraction
    ratio: Fraction = ONE


def weigh_rights(
    company: Company,
    holdings: Mapping[tuple[str, str, str], int],
    rights: Sequence[Held],
    related: set[str],
    now: datetime,
) -> Iterator[tuple[Held, int]]:
    """Yield the weight of rights. The best of a group counts one for each share.

    Args:
        company: Its prices.
        holdings: Its cap table.
        rights: They.
        related: The company and who is related to it, who make no price.
        now: When.
    """
    stock, known = _measure_stock(company, holdings), find_known(company, holdings, related, now)
    least = Fraction(_LEAST_USD) / max(stock, ONE)
    far, price = (_FAR, known) if known > least else (ONE, least)
    worth = []
    for each in rights:
        cost = each.price / each.ratio / price
        worth.append(each.ratio * max(1 - cost, far / max(cost, ONE)))
    for each, value in zip(rights, worth, strict=True):
        best = max(other for right, other in zip(rights, worth, strict=True) if right.group == each.group)
        yield each, ceil(each.shares * value / best)


def find_known(
    company: Company, holdings: Mapping[tuple[str, str, str], int], related: set[str], now: datetime
) -> Fraction:
    """Return the best known USD of a common share, which nobody related to the company made; 0 if there is none."""
    bought = _find_bought(company, _measure_stock(company, holdings), related)
    return max(company.find_highest(related, now.date()) or Fraction(0), bought)


def _measure_stock(company: Company, holdings: Mapping[tuple[str, str, str], int]) -> Fraction:
    rows = ((kind, name, shares) for (kind, _, name), shares in holdings.items() if kind == "stock")
    return sum((shares * company.find_ratio(kind, name) for kind, name, shares in rows), Fraction(0))


def _find_bought(company: Company, stock: Fraction, related: set[str]) -> Fraction:
    """Return the highest price, in USD as converted, at which others bought a twentieth of the stock; 0 if none did."""
    bought: dict[Fraction, Fraction] = {}
    for lot in (*company.lots, *company.purchases, *company.exercised):
        if lot.price and lot.holder_id.startswith("pty_") and lot.holder_id not in related:
            ratio = company.find_ratio("stock", lot.class_id)
            bought[lot.price / ratio] = bought.get(lot.price / ratio, Fraction(0)) + lot.shares * ratio
    enough = (
        price for price in bought if sum(n for other, n in bought.items() if other >= price) >= stock * OUTSIDE_MIN
    )
    return max(enough, default=Fraction(0))
