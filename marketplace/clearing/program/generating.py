"""Column generation: the cut relaxation of some placements becomes one of all of them, and so a bound on every answer.

A relaxation begins with the placements of small reduced cost at the shadow prices. Its cuts hold for all others too,
with the coefficients that rounding gives these, so that its duals tell what any placement would gain. Those that gain
are added until hardly any does.

For any duals that are not negative, the answers of a linear program are worth at most what its rows allow at those
duals, plus what each column gains beyond them (weak duality). Whatever tolerances a solver works with and wherever the
generation ends, that sum bounds what any allocation is worth, whether prices suit it or not.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import highspy
import numpy as np

from marketplace.clearing.arrays.grid import Floats, Grid, Integers, list_runs
from marketplace.clearing.money import MICRO
from marketplace.clearing.program.program import USD_SCALE, CandidateTable, RowTable
from marketplace.clearing.program.prospects import Prospects
from marketplace.clearing.program.tightening import Relaxation

ROUNDING: Final = 1e-9
"""What sums of a million numbers may be wrong by, as a share of the largest."""
PRICINGS_MAX: Final = 3
PER_ORDER_MAX: Final = 4
"""How many placements of an order are added at a time, those that gain most."""
GAIN_LEAST: Final = 1e-6
"""US dollars that a placement must gain to be added."""


@dataclass(frozen=True, slots=True)
class Generated:
    """A relaxation that needs no further placements.

    Attributes:
        relaxation: The linear program, solved.
        kept: The placements that it has.
        loss: Per placement of the book, its reduced cost at the duals, in micro-dollars.
        ceiling: US dollars that no allocation is worth more than, rounded up to a micro-dollar.
    """

    relaxation: Relaxation
    kept: Integers
    loss: Floats
    ceiling: Fraction


def generate(
    grid: Grid, prospects: Prospects, tables: tuple[CandidateTable, RowTable], relaxation: Relaxation, kept: Integers
) -> Generated:
    """Add placements that gain to a relaxation that was solved and has a row wherever a placement may be.

    A book with rules between orders must have all of its placements there: the rules' duals are charged to no other.
    """
    ceiling = math.inf
    for pricing in range(PRICINGS_MAX + 1):
        dual = np.maximum(0.0, np.array(relaxation.solver.getSolution().row_dual))
        others = np.setdiff1d(np.arange(len(prospects.order)), kept)
        gain = _Pricing(grid, prospects, tables[1], others).gain(relaxation, dual)
        order, most = prospects.order[others], np.zeros(len(grid.order_rows))
        np.maximum.at(most, order, gain)
        ceiling = min(ceiling, _bound(relaxation.solver.getLp(), dual) + float(most.sum()))
        wanted = _choose(order, gain)
        if not len(wanted) or pricing == PRICINGS_MAX:
            break
        wider = np.union1d(kept, others[wanted])
        more = Relaxation(grid, tables, prospects.columns.take(wider), prospects.columns, relaxation.cuts)
        more.begin_at(relaxation, np.searchsorted(wider, kept))
        if not more.solve():
            break
        relaxation, kept = more, wider
    loss = np.zeros(len(prospects.order))
    loss[kept], loss[others] = relaxation.read_losses(), np.maximum(0.0, -gain) * MICRO
    return Generated(relaxation, kept, loss, Fraction(math.ceil(ceiling * (1 + ROUNDING) * MICRO), MICRO))


def _choose(order: Integers, gain: Floats) -> Integers:
    """Return of each order the few placements that gain most."""
    ranked = np.lexsort((-gain, order))
    ranked = ranked[gain[ranked] > GAIN_LEAST]
    first = np.searchsorted(order[ranked], order[ranked])
    return np.sort(ranked[np.arange(len(ranked)) - first < PER_ORDER_MAX])


class _Pricing:
    """What placements that a relaxation leaves out would gain."""

    def __init__(self, grid: Grid, prospects: Prospects, table: RowTable, others: Integers) -> None:
        self.order, self.nodes = prospects.order[others], prospects.nodes[others].astype(np.float64)
        self.worth = prospects.worth[others] * USD_SCALE
        pool, begin = prospects.pool[others], prospects.columns.start[others]
        duration = prospects.end[others] - begin
        self.row = (table.base[pool] + prospects.layer[others]) * grid.periods + begin
        self.end = self.row + duration
        self.orders, self.rows = len(grid.order_rows), table.rows
        place = list_runs(pool * grid.periods + begin, duration)
        ranked = np.argsort(place, kind="stable")
        self.place, self.entry = place[ranked], np.repeat(np.arange(len(others)), duration)[ranked]

    def gain(self, relaxation: Relaxation, dual: Floats) -> Floats:
        """Return the US dollars that each gains at the duals of a relaxation."""
        live, orders = relaxation.live, relaxation.orders
        price, rent = np.zeros(self.rows), np.zeros(self.orders)
        price[live] = dual[: len(live)]
        rent[orders] = dual[len(live) : len(live) + len(orders)]
        sums = np.concatenate([[0.0], np.cumsum(price)])
        gain: Floats = self.worth - self.nodes * (sums[self.end] - sums[self.row]) - rent[self.order]
        charge = dual[relaxation.rows : relaxation.rows + len(relaxation.cuts)]
        for at in np.flatnonzero(charge > 0).tolist():
            cover = relaxation.cuts[at]
            low, high = np.searchsorted(self.place, [cover.place, cover.place + 1])
            mine = self.entry[low:high]
            gain[mine] -= charge[at] * cover.weigh(self.order[mine], self.nodes[mine])
        return gain


def _bound(model: Any, dual: Floats) -> float:
    """Return what rows `A x <= upper` allow at some duals and what columns `0 <= x <= most` gain beyond them."""
    matrix = model.a_matrix_
    begin, index, value = np.array(matrix.start_), np.array(matrix.index_), np.array(matrix.value_)
    major = np.repeat(np.arange(len(begin) - 1), np.diff(begin))
    by_column = matrix.format_ == highspy.MatrixFormat.kColwise
    rows, columns = (index, major) if by_column else (major, index)
    cost, most = np.array(model.col_cost_), np.array(model.col_upper_)
    gain = cost - np.bincount(columns, weights=value * dual[rows], minlength=len(cost))
    binds = dual > 0
    return float(np.array(model.row_upper_)[binds] @ dual[binds] + np.maximum(gain, 0.0) @ most)
