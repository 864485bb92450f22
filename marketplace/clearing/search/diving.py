"""Dives from the linear relaxation to whole placements: place what it wants most, solve it again, and so on.

The relaxation knows what every order costs every other one, which no greedy priority does. Each step places what the
relaxation wants by at least half, the weightiest first. It closes the placements that then no longer fit or would pay
over their value, and solves the relaxation again from its last basis. So large orders find a place while small ones can
still move. Cuts (`covers.py`), before the first step and between steps, make the solutions less fractional. All budgets
are counts.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.grid import Flags, Floats, Grid, Integers
from marketplace.clearing.program.generating import generate
from marketplace.clearing.program.program import CandidateTable, RowTable
from marketplace.clearing.program.prospects import Prospects, list_affordable
from marketplace.clearing.program.tightening import NONE, Cutting, Relaxation

SHARE_OF_ALL: Final = 0.001
"""The least share of all worth that a step decides."""
WANTED_LEAST: Final = 0.5
WANTED_NONE: Final = 1e-6
ROUNDS_FIRST: Final = 4
GENERATIONS: Final = 2
"""How often placements that gain at the prices of the cut relaxation are added to it, which is then cut further."""
STEPS_MAX: Final = 2_000
STEPS_PER_PRUNING: Final = 10
ENTRIES_PER_STEP: Final = 200_000
"""Below twice this many placements times periods, every step looks for cuts; below three times, every second one
does."""


@dataclass(frozen=True, slots=True)
class Depth:
    """The limits of a dive.

    Attributes:
        loss: The highest reduced cost of a placement that is considered, as a share of its worth.
        kept: How many placements are considered at most, those of the least reduced costs.
        cutting: How much is cut before and during dives.
        step: The share of the open worth that a step decides.
        gathers: Whether all that is wanted of an order counts for its most wanted placement.
    """

    loss: float
    kept: int
    cutting: Cutting
    step: float
    gathers: bool = True


COLUMNS_FEW: Final = 3_000
COLUMNS_MANY: Final = 30_000
COLUMNS_HUGE: Final = 100_000
DEPTH_OF_FEW: Final = Depth(np.inf, 33_000, Cutting(20, 1e-4, 4), 0.05)
DEPTH: Final = Depth(0.05, 33_000, Cutting(20, 5e-5, 1), 0.05)
DEPTH_OF_MANY: Final = Depth(0.02, 17_000, Cutting(20, 3e-4, 10), 0.08)
DEPTH_OF_HUGE: Final = Depth(0.1, 33_000, NONE, 0.05, gathers=False)
"""A relaxation of so many placements is not cut, because that takes minutes each time; so it stays more fractional."""


@dataclass(frozen=True, slots=True)
class Root:
    """The relaxation with its cuts, from which dives begin, and the program about every order of a small book.

    Attributes:
        kept: The numbers of the placements that it has.
        every: After how many steps dives look for cuts, 0 for never.
        depth: The limits of dives.
        ceiling: US dollars that no allocation is worth more than, with uniform prices or without; None if not proven.
    """

    grid: Grid
    prospects: Prospects
    relaxation: Relaxation
    kept: Integers
    every: int
    depth: Depth
    ceiling: Fraction | None = None

    @property
    def of_all(self) -> Relaxation | None:
        """The relaxation if it is one of all placements; None otherwise."""
        return self.relaxation if len(self.kept) == len(self.prospects.order) else None


def tighten_relaxation(grid: Grid, prospects: Prospects, tables: tuple[CandidateTable, RowTable]) -> Root | None:
    """Return the relaxation of the placements that matter, cut; None where there are none or it is not solved.

    The reduced costs of placements at its prices are stored in the prospects.
    """
    count = len(prospects.order)
    depth, ceiling = _choose_depth(count), None
    kept = _choose_kept(prospects, depth)
    if not len(kept):
        return None
    cutting, first, generations = depth.cutting, depth.cutting, 0
    if len(kept) == count:
        generations = 1
    elif grid.rules is None and cutting.rounds:
        first, generations = replace(cutting, rounds=ROUNDS_FIRST), GENERATIONS
    relaxation = Relaxation(grid, tables, prospects.columns.take(kept), prospects.columns)
    if not relaxation.tighten(first):
        return None
    for _ in range(generations):
        found = generate(grid, prospects, tables, relaxation, kept)
        prospects.sharpen(np.arange(count), found.loss)
        ceiling = found.ceiling if ceiling is None else min(ceiling, found.ceiling)
        if len(found.kept) == len(kept):
            break
        relaxation, kept = found.relaxation, found.kept
        if not relaxation.tighten(cutting):
            return None
    prospects.sharpen(kept, relaxation.read_losses())
    every = cutting.every and max(cutting.every, relaxation.covers.entries // ENTRIES_PER_STEP)
    return Root(grid, prospects, relaxation, kept, every, depth, ceiling)


def dive(root: Root) -> Allocation:
    """Return the allocation that a dive from a relaxation ends with."""
    return _Dive(root).run()


def _choose_depth(columns: int) -> Depth:
    if columns <= COLUMNS_FEW:
        return DEPTH_OF_FEW
    if columns > COLUMNS_HUGE:
        return DEPTH_OF_HUGE
    return DEPTH if columns <= COLUMNS_MANY else DEPTH_OF_MANY


def _choose_kept(prospects: Prospects, depth: Depth) -> Integers:
    """Return the placements whose reduced cost is a small share of their worth."""
    kept = np.flatnonzero(prospects.loss <= depth.loss * prospects.worth)
    share = prospects.loss[kept] / np.maximum(prospects.worth[kept], 1.0)
    return np.sort(kept[np.argsort(share, kind="stable")[: depth.kept]])


class _Dive:
    def __init__(self, root: Root) -> None:
        grid, prospects, kept = root.grid, root.prospects, root.kept
        self.grid, self.prospects, self.relaxation = grid, prospects, root.relaxation.branch()
        self.every, self.depth = root.every, root.depth
        self.allocation = Allocation(grid)
        self.order, self.worth = prospects.order[kept], prospects.worth[kept]
        self.columns = prospects.columns.take(kept)
        self.open = np.ones(len(kept), dtype=np.bool_)
        self.kinds = self._list_kinds(kept)
        self.runs = (self.columns.start, prospects.end[kept])
        self.value = prospects.value[kept]

    def _list_kinds(self, kept: Integers) -> dict[int, list[tuple[int, int, Integers]]]:
        """Return per pool its pairs of layer and nodes, each with the placements of that kind."""
        prospects = self.prospects
        keys = np.stack([prospects.pool[kept], prospects.layer[kept], prospects.nodes[kept]])
        kinds, kind = np.unique(keys, axis=1, return_inverse=True)
        ranked = np.argsort(kind.ravel(), kind="stable")
        parts = np.split(ranked, np.cumsum(np.bincount(kind.ravel(), minlength=kinds.shape[1]))[:-1])
        found: dict[int, list[tuple[int, int, Integers]]] = {}
        for (pool, layer, nodes), mine in zip(kinds.T.tolist(), parts, strict=True):
            found.setdefault(pool, []).append((layer, nodes, mine))
        return found

    def run(self) -> Allocation:
        """Dive to the end, insert what is still out, and return where every order is."""
        total = 0.0
        for step in range(STEPS_MAX):
            if not self._solve(step):
                break
            wanted = self.relaxation.read()
            ready = np.flatnonzero((wanted > WANTED_NONE) & self.open & self._may_come(self.order))
            if not len(ready):
                break
            left = float((wanted * self.worth)[ready].sum())
            total = total or left
            self._decide(ready, wanted, max(self.depth.step * left, SHARE_OF_ALL * total))
        self._fill()
        return self.allocation

    def _solve(self, step: int) -> bool:
        """Solve the relaxation as it is now, in some steps with new cuts; return whether there is a solution."""
        solved = self.relaxation.solve()
        if solved and step and self.every and step % self.every == 0:
            prune = step % STEPS_PER_PRUNING == 0
            return self.relaxation.solve() if self.relaxation.cut(prune=prune) else True
        return solved

    def _may_come(self, orders: Integers) -> Flags:
        """Return, for each order, whether it has no parent or an accepted one."""
        if self.grid.rules is None:
            return np.ones(len(orders), dtype=np.bool_)
        parents = np.array(self.grid.rules.parents)[orders]
        come: Flags = (parents < 0) | ~self.allocation.out[parents]
        return come

    def _decide(self, ready: Integers, wanted: Floats, goal: float) -> None:
        """Take the weightiest placements until their worth reaches a goal, and close those that are then impossible."""
        wanted = self._gather(ready, wanted) if self.depth.gathers else wanted
        ranked = ready[np.argsort(-(wanted[ready] ** 2) * self.worth[ready], kind="stable")]
        chosen = ranked[wanted[ranked] >= WANTED_LEAST] if wanted[ready].max() >= WANTED_LEAST else ranked[:1]
        taken: list[int] = []
        shut: list[int] = []
        for at in chosen.tolist():
            if not self.allocation.out[self.order[at]]:
                continue
            goal -= self.worth[at]
            (taken if self._take(at) else shut).append(at)
            if goal <= 0:
                break
        self.open[shut] = False
        self.open &= self.allocation.out[self.order]
        pools = {self.grid.candidates[int(self.columns.candidate[at])].pool: None for at in taken}
        shut.extend(at for pool in pools for at in self._list_shut(pool))
        self.open[shut] = False
        self.relaxation.hold(taken, 1.0)
        self.relaxation.hold(shut, 0.0)

    def _gather(self, ready: Integers, wanted: Floats) -> Floats:
        """Count all that is wanted of an order for its most wanted placement.

        A large order that is wanted in many places in part would otherwise be decided last, when none has room for it.
        """
        ranked = ready[np.lexsort((-wanted[ready], self.order[ready]))]
        first = np.concatenate([[True], np.diff(self.order[ranked]) != 0])
        gathered = wanted.copy()
        gathered[ranked[first]] = np.minimum(1.0, np.add.reduceat(wanted[ranked], np.flatnonzero(first)))
        return gathered

    def _take(self, at: int) -> bool:
        allocation, bid = self.allocation, self.grid.candidates[int(self.columns.candidate[at])]
        placing = int(self.columns.candidate[at]), int(self.columns.start[at])
        if not len(self._find_good(bid.pool, (bid.layer, bid.nodes), np.array([at]))):
            return False
        if not allocation.keeps_rules(*placing) or allocation.hurts(*placing):
            return False
        allocation.place(*placing)
        return True

    def _list_shut(self, pool: int) -> list[int]:
        """Return the open placements on a pool that no longer fit or would pay over their value."""
        found: list[int] = []
        for layer, nodes, kind in self.kinds[pool]:
            mine = kind[self.open[kind]]
            if len(mine):
                found.extend(np.setdiff1d(mine, self._find_good(pool, (layer, nodes), mine)).tolist())
        return found

    def _find_good(self, pool: int, size: tuple[int, int], mine: Integers) -> Integers:
        """Return those of some placements of one layer and size that fit a pool as it is and can pay for it."""
        start, end = self.runs
        loads = self.allocation.loads[pool]
        runs = start[mine], end[mine]
        return mine[list_affordable(self.grid.pool_arrays[pool], loads, size, runs, self.value[mine])]

    def _fill(self) -> None:
        allocation, best = self.allocation, self.prospects.best
        orders = np.flatnonzero(np.isfinite(best) & allocation.out)
        for order in allocation.sort_by_depth(orders[np.argsort(-best[orders], kind="stable")].tolist()):
            allocation.insert(order)
