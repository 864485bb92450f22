"""The rules between orders as rows of the linear program, and their dual prices as part of the proof of the bound.

Prices are micro-dollars per unit of a rule, whole numbers that are never negative; any such prices prove a bound, so
that a limit whose price is left out is merely not made use of.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.model import RulePrice
from marketplace.clearing.money import MICRO, usd
from marketplace.clearing.rules import Floats, Rules, Taken

Integers = NDArray[np.int64]
PRICE_MICRO_MAX = 10**14


@dataclass(frozen=True, slots=True)
class RuleRows:
    """Rules' rows within a program: `names` counts totals, then span x period; `base` is the first row's number."""

    names: Integers
    scale: Floats
    base: int


class RulePrices:
    """What a unit of each row is worth: Python integers for totals, an array per period for spans."""

    def __init__(self, rules: Rules, total: list[int], span: Integers) -> None:
        self.rules = rules
        self.total = total
        self.span = span
        self._sums = np.concatenate([np.zeros((len(span), 1), np.int64), span.cumsum(axis=1)], axis=1)

    def charge(self, way: int, starts: Integers, duration: int) -> NDArray[np.object_]:
        """Return what a way's uses cost from each start, in millionths of a micro-dollar, exact."""
        fixed = sum(self.total[row] * use for row, use in self.rules.total_uses[way])
        cost = np.full(len(starts), fixed, dtype=object)
        for row, use in self.rules.span_uses[way]:
            cost += (self._sums[row, starts + duration] - self._sums[row, starts]).astype(object) * use
        return cost

    def charge_micro(self, way: int, starts: Integers, duration: int) -> Floats:
        """Return what a way's uses cost from each start, in micro-dollars, for the search."""
        cost: Floats = self.charge(way, starts, duration).astype(np.float64) / MICRO
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
                for begin, end in itertools.pairwise(edges)
                if prices[begin]
            ]
        return tuple(found)


def read_prices(rules: Rules, rows: RuleRows | None, duals: Floats) -> RulePrices:
    """Turn the duals of a program's rows into prices; rows that it does not have are worth nothing."""
    count, periods = len(rules.totals), rules.span_room.shape[1]
    prices = np.zeros(count + rules.span_room.size, dtype=np.int64)
    if rows is not None and len(duals) >= rows.base + len(rows.names):
        found = np.nan_to_num(np.abs(duals[rows.base : rows.base + len(rows.names)])) / rows.scale
        prices[rows.names] = np.rint(np.clip(found * MICRO * MICRO, 0, PRICE_MICRO_MAX)).astype(np.int64)
    return RulePrices(rules, prices[:count].tolist(), prices[count:].reshape(-1, periods))


def add_rule_rows(
    model: highspy.HighsLp, rules: Rules, placings: tuple[Integers, Integers, Integers], taken: Taken | None
) -> RuleRows | None:
    """Append to a program a row for every rule that its placements touch.

    Args:
        model: The program, columns first those of the placements.
        rules: The book's rules.
        placings: Way, start and duration of each placement, ways rising.
        taken: What orders outside the program take.

    Returns:
        Where the rows are, None where no placement is under a rule.
    """
    column, name, use = _list_entries(rules, *placings)
    rooms = np.concatenate([rules.total_room, rules.span_room.ravel()])
    if taken is not None:
        rooms -= np.concatenate([taken.total, taken.span.ravel()])
    bound = np.isfinite(rooms[name])
    column, name, use = column[bound], name[bound], use[bound]
    if not len(name):
        return None
    names, row = np.unique(name, return_inverse=True)
    scale = np.zeros(len(names))
    np.maximum.at(scale, row, np.abs(use))
    base = int(model.num_row_)
    model.num_row_ = base + len(names)
    model.row_lower_ = np.concatenate([np.array(model.row_lower_), np.full(len(names), -highspy.kHighsInf)])
    model.row_upper_ = np.concatenate([np.array(model.row_upper_), rooms[names] / scale])
    _append(model.a_matrix_, column, base + row, use / scale[row])
    return RuleRows(names, scale, base)


def _append(matrix: Any, column: Integers, row: Integers, value: Floats) -> None:
    """Add entries to a matrix that is stored by columns."""
    start = np.array(matrix.start_, dtype=np.int64)
    columns = np.concatenate([np.repeat(np.arange(len(start) - 1), np.diff(start)), column])
    order = np.argsort(columns, kind="stable")
    matrix.index_ = np.concatenate([np.array(matrix.index_, dtype=np.int64), row])[order].astype(np.int32)
    matrix.value_ = np.concatenate([np.array(matrix.value_), value])[order]
    counts = np.bincount(columns, minlength=len(start) - 1)
    matrix.start_ = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _list_entries(
    rules: Rules, way: Integers, start: Integers, duration: Integers
) -> tuple[Integers, Integers, Floats]:
    columns, names, uses = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    at, begin, count = np.unique(way, return_index=True, return_counts=True)
    for one, low, many in zip(at.tolist(), begin.tolist(), count.tolist(), strict=True):
        mine = np.arange(low, low + many)
        for row, use in rules.total_uses[one]:
            columns.append(mine)
            names.append(np.full(many, row))
            uses.append(np.full(many, float(use)))
        length = int(duration[low])
        for row, use in rules.span_uses[one]:
            periods = (start[mine][:, None] + np.arange(length)).ravel()
            columns.append(np.repeat(mine, length))
            names.append(len(rules.totals) + row * rules.span_room.shape[1] + periods)
            uses.append(np.full(many * length, float(use)))
    return np.concatenate(columns), np.concatenate(names), np.concatenate(uses)
