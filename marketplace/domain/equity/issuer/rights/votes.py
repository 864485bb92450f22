"""How much options and warrants count in a vote: by what they are worth, so that free rights decide for nobody.

A right is worth the best known price of a share, as converted, less its exercise price. That is the highest of the
independent prices and of the price at which parties bought a twentieth of the stock, so that a straw's few shares make
none. A right that costs as much or more counts `FAR` at most, and the less the more it costs. Where no price is known
that values all stock at more than `FOUNDERS_USD_MAX`, a share counts at that value, and rights that cost more in
proportion. The best right of a group counts one for each share, and no right counts nothing.

What may be exercised now and what has not vested are two groups, so that rights that may never vest decide for no
others.
"""

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from math import ceil
from typing import Final, NamedTuple

from events.issuer import IssuerStockIssued
from marketplace.core.ids import is_id
from marketplace.domain.equity.issuer.as_converted import measure_stock
from marketplace.domain.equity.issuer.financing.pro_rata import FOUNDERS_USD_MAX
from marketplace.domain.equity.issuer.rights.fair_value import BOUGHT_MIN, find_highest_price
from marketplace.domain.equity.issuer.state import Issuer, Purchase, list_live_warrants

FAR: Final = Fraction(1, 100)
"""The most that a right counts which costs a known price or more, beside one that costs nothing."""


class _Right(NamedTuple):
    group: str
    holder_id: str
    shares: int
    price_usd: Fraction
    class_id: str | None = None


def weigh_rights(state: Issuer, interested: frozenset[str], at: datetime) -> Iterator[tuple[str, str, int]]:
    """Yield the group, the holder and the weight of each option and warrant; those that expired are left out.

    Args:
        state: The issuer.
        interested: The company and who is related to it, whose prices alone do not count.
        at: Now.
    """
    stock, known = measure_stock(state), find_known_price(state, interested, at)
    least = Fraction(FOUNDERS_USD_MAX) / max(stock, Fraction(1))
    price, far = (known, FAR) if known > least else (least, Fraction(1))
    rows = [(right, _value(state, right, price, far)) for right in _list_rights(state, at)]
    best: dict[str, Fraction] = {}
    for right, worth in rows:
        best[right.group] = max(best.get(right.group, worth), worth)
    for right, worth in rows:
        yield right.group, right.holder_id, ceil(right.shares * worth / best[right.group])


def _list_rights(state: Issuer, at: datetime) -> Iterator[_Right]:
    for _, option in sorted(state.options.items()):
        if option.shares_outstanding:
            yield _Right("options", option.holder_id, option.shares_outstanding, option.exercise_price_usd)
    for _, warrant in list_live_warrants(state, at):
        for tranche in warrant.tranches:
            price = warrant.exercise_price_usd if tranche.price_usd is None else tranche.price_usd
            now, later = tranche.exercisable, tranche.outstanding - tranche.exercisable
            for group, shares in (("warrants", now), ("unvested_warrants", later)):
                if shares:
                    yield _Right(group, warrant.holder_id, shares, price, warrant.issued.class_id)


def _value(state: Issuer, right: _Right, price_usd: Fraction, far: Fraction) -> Fraction:
    """Return what a right is worth, over the price of a common share."""
    ratio = Fraction(1) if right.class_id is None else state.classes[right.class_id].conversion_ratio
    cost = right.price_usd / ratio / price_usd
    return ratio * max(1 - cost, far / max(cost, Fraction(1)))


def find_known_price(state: Issuer, interested: frozenset[str], at: datetime) -> Fraction:
    """Return the best known USD of a share, as converted; 0 if none is known."""
    independent = find_highest_price(state, interested, at.date()) or Fraction(0)
    return max(independent, _find_bought_price(state, interested))


def _find_bought_price(state: Issuer, interested: frozenset[str]) -> Fraction:
    """Return the highest USD of a share, as converted, at which others bought `BOUGHT_MIN` of the stock; 0 if none."""
    least, bought = measure_stock(state) * BOUGHT_MIN, Fraction(0)
    for price, shares in sorted(_list_bought(state, interested), reverse=True):
        bought += shares
        if bought >= least:
            return price
    return Fraction(0)


def _list_bought(state: Issuer, interested: frozenset[str]) -> Iterator[tuple[Fraction, Fraction]]:
    """Yield the USD of a share and the shares of what others bought, after all splits, as converted."""
    lots: list[tuple[IssuerStockIssued | Purchase, Fraction, Fraction]] = []
    for name, each in state.securities.items():
        price = Fraction(each.price_usd_per_share)
        lots.append((each, price * state.split_at_issue[name], each.shares * price))
    lots += [(each, each.price_usd, each.usd) for each in state.purchases.values()]
    for lot, price, usd in lots:
        if price and is_id(lot.holder_id, "pty") and lot.holder_id not in interested:
            now = price / state.split_ratio / state.classes[lot.class_id].conversion_ratio
            yield now, usd / now
