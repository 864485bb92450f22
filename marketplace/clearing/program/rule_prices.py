"""Dual prices of the rules between orders, as part of the proof of the bound.

Prices are micro-dollars per unit of a rule, whole numbers that are never negative; any such prices prove a bound, and a
limit without a price only leaves the bound weaker.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.rules import Floats, Rules
from marketplace.clearing.model import RulePrice
from marketplace.clearing.money import MICRO, usd
from marketplace.clearing.program.rule_rows import Integers, RuleRows

PRICE_MICRO_MAX = 10**14


class RulePrices:
    """What a unit of each row is worth: Python integers for totals, an array per period for spans."""

    def __init__(self, rules: Rules, total: list[int], span: Integers) -> None:
        self.rules = rules
        self.total = total
        self.span = span
        self._sums = np.concatenate([np.zeros((len(span), 1), np.int64), span.cumsum(axis=1)], axis=1)

    def charge(self, candidate: int, starts: Integers, duration: int) -> NDArray[np.object_]:
        """Return what a candidate's uses cost from each start, in millionths of a micro-dollar, exact."""
        fixed = sum(self.total[row] * use for row, use in self.rules.total_uses[candidate])
        cost = np.full(len(starts), fixed, dtype=object)
        for row, use in self.rules.span_uses[candidate]:
            cost += (self._sums[row, starts + duration] - self._sums[row, starts]).astype(object) * use
        return cost

    def charge_micro(self, candidate: int, starts: Integers, duration: int) -> Floats:
        """Return what a candidate's uses cost from each start, in micro-dollars, for the search."""
        cost: Floats = self.charge(candidate, starts, duration).astype(np.float64) / MICRO
        return cost

    def rent(self) -> int:
        """Return what all rows would earn if they were used up, in millionths of a micro-dollar."""
        rules = self.rules
        total = sum(price * int(room) for price, room in zip(self.total, rules.total_room.tolist(), strict=True))
        for prices, rooms in zip(self.span.tolist(), rules.span_room.tolist(), strict=True):
            total += sum(price * int(room) for price, room in zip(prices, rooms, strict=True) if price)
        return total

    def render(self) -> tuple[RulePrice, ...]:
        """List the prices that are not zero, those per period in runs."""
        found = [
            RulePrice(kind, name, usd(price))
            for (kind, name), price in zip(self.rules.totals, self.total, strict=True)
            if price
        ]
        for name, prices in zip(self.rules.spans, self.span, strict=True):
            edges = [0, *(np.flatnonzero(np.diff(prices)) + 1).tolist(), len(prices)]
            found += [
                RulePrice("limit", name, usd(int(prices[begin])), begin, end)
                for begin, end in pairwise(edges)
                if prices[begin]
            ]
        return tuple(found)


def read_prices(rules: Rules, rows: RuleRows | None, duals: Floats) -> RulePrices:
    """Turn the duals of a program's rows into prices; a rule without a row has the price 0."""
    count, periods = len(rules.totals), rules.span_room.shape[1]
    prices = np.zeros(count + rules.span_room.size, dtype=np.int64)
    if rows is not None and len(duals) >= rows.base + len(rows.names):
        found = np.nan_to_num(np.abs(duals[rows.base : rows.base + len(rows.names)])) / rows.scale
        prices[rows.names] = np.rint(np.clip(found * MICRO * MICRO, 0, PRICE_MICRO_MAX)).astype(np.int64)
    return RulePrices(rules, prices[:count].tolist(), prices[count:].reshape(-1, periods))
