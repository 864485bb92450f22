"""Cuts that bring the relaxation nearer to whole placements: what orders cannot share of a pool in one period.

Take one pool, one period and the cheapest few of its lots. A cover is a set of orders that together need more nodes
than those lots have; the difference is the excess. Either dearer lots carry the excess, or at least one whole order
of the cover stays out. This is a continuous cover inequality: each order that stays out frees at most the excess, and
dearer lots carry the rest. Mixed-integer rounding strengthens it: all coefficients are divided by the size of one order
of the cover and rounded, so that the inequality also counts the other orders of the pool and period. If the lots are
all lots of the pool, no dearer ones exist, and the cut is a lifted cover inequality of the pool's capacity.

Sources: H. Marchand and L. Wolsey, "The 0-1 knapsack problem with a single continuous variable" (1999), and
"Aggregation and mixed integer rounding to solve MIPs" (2001).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marketplace.clearing.arrays.grid import Flags, Floats, Grid, Integers, list_runs
from marketplace.clearing.program.program import CandidateTable, Program, RowTable

VIOLATION_LEAST: Final = 0.01
"""By how much of an order the relaxation must break a cut for it to be added."""
SIZES_MAX: Final = 12
"""Cuts are rounded by at most this many sizes of orders, the most frequent ones."""
ROUND: Final = 1e-9
PART_LEAST: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Cover:
    """One cut of a pool and period, from which the coefficient of every item there follows.

    Attributes:
        place: Pool times periods, plus the period.
        step: The last of the lots, by rising ask, that the cover overfills.
        excess: The nodes that the members need beyond those lots.
        whole: Nodes that coefficients are rounded by.
        members: Order, nodes and coefficient of each that is in the cover.
    """

    place: int
    step: int
    excess: float
    whole: float
    members: tuple[tuple[int, float, float], ...]

    def weigh(self, order: Integers, size: Floats) -> Floats:
        """Return the coefficients of items that run in its pool and period, whether the cut was found with them or not.

        Args:
            order: Whose they are.
            size: The nodes that each takes.
        """
        found = _round(size / self.whole, self.excess / self.whole)
        for whose, nodes, factor in self.members:
            found[(order == whose) & (size == nodes)] = factor
        return found


@dataclass(frozen=True, slots=True)
class Cuts:
    """Rows `sum of value x column <= upper`, one after another: row r has the entries from begin[r] to begin[r + 1]."""

    covers: list[Cover]
    begin: Integers
    index: Integers
    value: Floats
    upper: Floats


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows with an item that the relaxation takes in part, and their items; within a row, the most taken come first."""

    rows: Integers
    items: Integers
    row: Integers
    begins: Integers
    size: Floats
    taken: Floats


class Covers:
    """Finds cuts for one program of placements.

    What runs in a pool and period is listed as items: the placements of one order, of one size, that cover the period.
    At most one of them is taken, so all placements of an item share one variable between 0 and 1.

    Attributes:
        entries: Placements times the periods that they run, which is what looking for cuts costs.
    """

    def __init__(self, grid: Grid, tables: tuple[CandidateTable, RowTable], program: Program) -> None:
        candidates, table = tables
        candidate, start = program.columns.candidate, program.columns.start
        periods = self.periods = grid.periods
        duration = candidates.duration[candidate]
        entries = self.entries = int(duration.sum())
        place = list_runs(candidates.pool[candidate] * periods + start, duration)
        order, size = np.repeat(candidates.order[candidate], duration), np.repeat(candidates.nodes[candidate], duration)
        ranked = np.lexsort((size, order, place))
        place, order, size = place[ranked], order[ranked], size[ranked]
        first = np.ones(entries, dtype=np.bool_)
        first[1:] = (np.diff(place) != 0) | (np.diff(order) != 0) | (np.diff(size) != 0)
        self.column = np.repeat(np.arange(len(candidate)), duration)[ranked]
        self.item = np.cumsum(first) - 1
        self.begins = np.append(np.flatnonzero(first), entries)
        self.order, self.size = order[first], size[first].astype(np.float64)
        places, self.row = np.unique(place[first], return_inverse=True)
        self.places, self.rows = places, len(places)
        self.items_from = np.searchsorted(self.row, np.arange(self.rows + 1))
        self.wanted = np.bincount(self.row, self.size, self.rows)
        sizes, counts = np.unique(self.size, return_counts=True)
        self.sizes = sorted(sizes[np.argsort(-counts, kind="stable")[:SIZES_MAX]].tolist(), reverse=True)
        self._list_lots(grid, table, program, places)

    def _list_lots(self, grid: Grid, table: RowTable, program: Program, places: Integers) -> None:
        """Note what each lot offers in each row, and which columns draw on it."""
        steps = max(len(arrays.ask) for arrays in grid.pool_arrays)
        self.offered = np.zeros((self.rows, steps))
        for row, place in enumerate(places.tolist()):
            arrays = grid.pool_arrays[place // self.periods]
            self.offered[row, : len(arrays.ask)] = arrays.offered[:, place % self.periods]
        self.within = np.cumsum(self.offered, axis=1)
        self.least = np.where(self.offered > 0, self.within, np.inf).min(axis=1)
        pools = np.repeat(np.arange(len(grid.pool_arrays)), [len(arrays.layers) for arrays in grid.pool_arrays])
        rows = table.row[program.cells]
        pool = pools[rows // self.periods]
        place = pool * self.periods + rows % self.periods
        met = np.isin(place, places)
        self.cell_row = np.searchsorted(places, place[met])
        self.cell_step = (table.spot[program.cells] // self.periods - table.spots[pool])[met]
        self.cell_column = len(program.columns.candidate) + np.flatnonzero(met)
        self.cells_ranked = np.argsort(self.cell_row, kind="stable")
        self.cells_from = np.searchsorted(self.cell_row[self.cells_ranked], np.arange(self.rows + 1))

    def find(self, values: Floats) -> Cuts | None:
        """Return cuts that an answer of the relaxation breaks, None where there are none.

        Args:
            values: What the relaxation takes of each column.
        """
        taken = np.bincount(self.item, values[self.column], len(self.row)).astype(np.float64)
        halves = np.bincount(self.row, (taken > PART_LEAST) & (taken < 1 - PART_LEAST), self.rows)
        rows = np.flatnonzero((halves > 0) & (self.wanted > self.least))
        if not len(rows):
            return None
        renumber = np.full(self.rows, -1)
        renumber[rows] = np.arange(len(rows))
        items = np.flatnonzero(renumber[self.row] >= 0)
        items = items[np.lexsort((-self.size[items], -taken[items], self.row[items]))]
        row = renumber[self.row[items]]
        begins = np.searchsorted(row, np.arange(len(rows) + 1))
        part = _Part(rows, items, row, begins, self.size[items], taken[items])
        drawn = np.zeros((len(rows), self.offered.shape[1] + 1))
        cells = np.flatnonzero(renumber[self.cell_row] >= 0)
        np.add.at(drawn, (renumber[self.cell_row[cells]], self.cell_step[cells]), values[self.cell_column[cells]])
        dearer = np.cumsum(drawn[:, ::-1], axis=1)[:, ::-1]
        found: list[tuple[float, Cover]] = []
        for step in range(self.offered.shape[1]):
            found.extend(self._find_at(step, part, dearer[:, step + 1]))
        chosen = _choose(found, self.periods)
        return self.write(chosen) if chosen else None

    def _find_at(self, step: int, part: "_Part", rest: Floats) -> list[tuple[float, Cover]]:
        """Find covers of what the lots up to a step have, in some rows at once, each with how deep its cut is."""
        rows, row, size, taken = len(part.rows), part.row, part.size, part.taken
        within = self.within[part.rows, step]
        open_ = (self.wanted[part.rows] > within) & (self.offered[part.rows, step] > 0)
        inside, excess = _cover(open_, within, part)
        found: list[tuple[float, Cover]] = []
        for whole in self.sizes:
            live = open_ & (excess > 0) & (excess < whole)
            live &= np.bincount(row, inside & (size == whole), rows) > 0
            if not live.any():
                continue
            share = np.where(live, excess / whole, 1.0)[row]
            factors = _round(np.where(inside, -size, size) / whole, share)
            used = np.bincount(row, factors * np.where(inside, 1 - taken, taken), rows)
            broken = used + 1 - rest / np.where(live, excess, 1.0)
            norm = np.sqrt(np.bincount(row, factors * factors, rows))
            for at in np.flatnonzero(live & (broken > VIOLATION_LEAST)).tolist():
                span = slice(part.begins[at], part.begins[at + 1])
                items, factor = part.items[span][inside[span]], -factors[span][inside[span]]
                members = zip(self.order[items].tolist(), self.size[items].tolist(), factor.tolist(), strict=True)
                place = int(self.places[part.rows[at]])
                cover = Cover(place, step, float(excess[at]), whole, tuple(members))
                found.append((float(broken[at] / norm[at]), cover))
        return found

    def write(self, covers: list[Cover]) -> Cuts:
        """Write covers as rows: each member's coefficient for staying out becomes one for being in."""
        index: list[Integers] = []
        value: list[Floats] = []
        lengths, upper = [0], []
        for cover in covers:
            row = int(np.searchsorted(self.places, cover.place))
            items = np.arange(self.items_from[row], self.items_from[row + 1])
            factor = cover.weigh(self.order[items], self.size[items])
            items, factor = items[factor != 0], factor[factor != 0]
            counts = self.begins[items + 1] - self.begins[items]
            entries = list_runs(self.begins[items], counts)
            cells = self.cells_ranked[self.cells_from[row] : self.cells_from[row + 1]]
            cells = cells[self.cell_step[cells] > cover.step]
            index += [self.column[entries], self.cell_column[cells]]
            value += [np.repeat(factor, counts), np.full(len(cells), -1 / cover.excess)]
            lengths.append(len(entries) + len(cells))
            upper.append(sum(factor for _, _, factor in cover.members) - 1.0)
        return Cuts(covers, np.cumsum(lengths), np.concatenate(index), np.concatenate(value), np.array(upper))


def _choose(found: list[tuple[float, Cover]], periods: int) -> list[Cover]:
    """Return covers, the deepest first, one of those that differ only by the period."""
    chosen: dict[tuple[object, ...], Cover] = {}
    for _, cover in sorted(found, key=lambda candidate: -candidate[0]):
        orders = tuple(sorted(whose for whose, _, _ in cover.members))
        chosen.setdefault((cover.place // periods, cover.step, cover.excess, orders), cover)
    return list(chosen.values())


def _round(parts: Floats, share: Floats | float) -> Floats:
    """Round coefficients by the share that is left of one (mixed-integer rounding)."""
    full = np.floor(parts + ROUND)
    return full + np.maximum(0.0, np.maximum(parts - full, 0.0) - 1 + share) / share


def _cover(open_: Flags, within: Floats, part: _Part) -> tuple[Flags, Floats]:
    """Take each row's first items until they need too much, and drop those that are not needed for that.

    Returns:
        Which items are in their row's cover, and by how many nodes each row's cover is too large.
    """
    row, size, begins = part.row, part.size, part.begins[:-1]
    sums = np.cumsum(size)
    sums -= np.concatenate([[0.0], sums])[begins][row]
    inside = open_[row] & (sums - size <= within[row])
    excess = np.bincount(row, size * inside, len(within)) - within
    count = np.bincount(row, inside, len(within)).astype(np.int64)
    for back in range(2, int(count.max(initial=0)) + 1):
        at = (begins + count - back)[open_ & (count >= back)]
        drop = at[size[at] < excess[row[at]]]
        inside[drop] = False
        excess[row[drop]] -= size[drop]
    return inside, excess
