"""Dives from the linear relaxation to whole placements: takes what it wants most, solves it again, and so on.

The relaxation knows what every order costs every other one, which no greedy priority does. In each step the placements
that it wants at least half of, those of the largest worth first, are taken as they are; what then no longer fits, or
would pay over its value, is shut; and the relaxation is solved again from where it was. So large orders find their
place while small ones still give way. All budgets are counts.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import highspy
import numpy as np

from marketplace.clearing.allocation import Allocation
from marketplace.clearing.grid import Flags, Floats, Grid
from marketplace.clearing.program import Integers, RowTable, WayTable, build_program, new_solver, run_solver
from marketplace.clearing.prospects import Prospects, list_affordable

LOSS_MAX: Final = 0.1
"""How much of its worth a placement may lose at the shadow prices and still be considered."""
KEPT_MAX: Final = 33_000
"""Placements that a dive considers at most: those that lose least."""
SHARE_OF_LEFT: Final = 0.02
SHARE_OF_ALL: Final = 0.001
"""How much of the worth that is open, and at least how much of all, a step decides."""
WANTED_LEAST: Final = 0.5
WANTED_NONE: Final = 1e-6
STEPS_MAX: Final = 2_000
PIVOTS_MAX: Final = 30_000
"""Pivots of one step; a relaxation that takes more is left, and the rest of the orders inserted one by one."""


@dataclass(frozen=True, slots=True)
class Bent:
    """How a dive ranks placements: by worth times the wanted share to a power. Dives that differ end differently."""

    power: float


BENTS: Final = (Bent(2.0), Bent(1.5), Bent(0.5), Bent(1.0))
COLUMNS_FEW: Final = 3_000
COLUMNS_MANY: Final = 30_000
"""Of a book of fewer placements, which is soon decided as a whole, and of one of more, there are only two dives."""
THREADS: Final = 2


def dive_from_relaxation(grid: Grid, prospects: Prospects, tables: tuple[WayTable, RowTable]) -> list[Allocation]:
    """Return what several dives find, two side by side, each filled up with the orders that still find a place."""
    kept = _choose_kept(prospects)
    if not len(kept):
        return [Allocation(grid)]
    bents = BENTS if COLUMNS_FEW < len(prospects.order) <= COLUMNS_MANY else BENTS[:2]
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda bent: _Dive(grid, prospects, tables, (kept, bent)).run(), bents))


def _choose_kept(prospects: Prospects) -> Integers:
    """Return the placements that lose little of their worth."""
    kept = np.flatnonzero(prospects.loss <= LOSS_MAX * prospects.worth)
    share = prospects.loss[kept] / np.maximum(prospects.worth[kept], 1.0)
    return np.sort(kept[np.argsort(share, kind="stable")[:KEPT_MAX]])


class _Dive:
    def __init__(
        self,
        grid: Grid,
        prospects: Prospects,
        tables: tuple[WayTable, RowTable],
        choice: tuple[Integers, Bent],
    ) -> None:
        kept, self.bent = choice
        self.grid, self.prospects = grid, prospects
        self.allocation = Allocation(grid)
        self.order, self.worth = prospects.order[kept], prospects.worth[kept]
        self.columns = prospects.columns.take(kept)
        self.open = np.ones(len(kept), dtype=np.bool_)
        self.kinds = self._list_kinds(kept)
        self.runs = (self.columns.start, prospects.end[kept])
        self.value = prospects.value[kept]
        ways, table = tables
        program = build_program(grid, ways, table, self.columns, np.zeros(table.rows), whole=False)
        self.solver = new_solver(1)
        self.solver.passModel(program.model)

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
        """Dive to the end and insert what is still out."""
        total = 0.0
        wanted = self._solve()
        self.solver.setOptionValue("presolve", "off")
        self.solver.setOptionValue("simplex_iteration_limit", PIVOTS_MAX)
        for _ in range(STEPS_MAX):
            if wanted is None:
                break
            ready = np.flatnonzero((wanted > WANTED_NONE) & self.open & self._may_come(self.order))
            if not len(ready):
                break
            left = float((wanted * self.worth)[ready].sum())
            total = total or left
            self._decide(ready, wanted, max(SHARE_OF_LEFT * left, SHARE_OF_ALL * total))
            wanted = self._solve()
        self._fill()
        return self.allocation

    def _solve(self) -> Floats | None:
        """Return what the relaxation wants of each placement, None where it cannot be solved.

        From where it was, the solver now and then ends without an answer; then it begins anew, once.
        """
        run_solver(self.solver)
        if self.solver.getModelStatus() == highspy.HighsModelStatus.kUnknown:
            self.solver.clearSolver()
            run_solver(self.solver)
        if self.solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        return np.array(self.solver.getSolution().col_value)[: len(self.order)]

    def _may_come(self, orders: Integers) -> Flags:
        """Tell of which orders the parent, where they have one, is in."""
        if self.grid.rules is None:
            return np.ones(len(orders), dtype=np.bool_)
        parents = np.array(self.grid.rules.parents)[orders]
        come: Flags = (parents < 0) | ~self.allocation.out[parents]
        return come

    def _decide(self, ready: Integers, wanted: Floats, goal: float) -> None:
        """Take the weightiest placements until their worth comes to a goal, and shut what is then out of question."""
        ranked = ready[np.argsort(-(wanted[ready] ** self.bent.power) * self.worth[ready], kind="stable")]
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
        pools = {self.grid.ways[int(self.columns.way[at])].pool: None for at in taken}
        shut.extend(at for pool in pools for at in self._list_shut(pool))
        self.open[shut] = False
        self._hold(taken, 1.0)
        self._hold(shut, 0.0)

    def _take(self, at: int) -> bool:
        allocation, bid = self.allocation, self.grid.ways[int(self.columns.way[at])]
        placing = int(self.columns.way[at]), int(self.columns.start[at])
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
        return mine[list_affordable(self.grid.yards[pool], loads, size, runs, self.value[mine])]

    def _hold(self, columns: list[int], at: float) -> None:
        if columns:
            bounds = np.full(len(columns), at)
            self.solver.changeColsBounds(len(columns), np.array(columns, dtype=np.int32), bounds, bounds)

    def _fill(self) -> None:
        allocation, best = self.allocation, self.prospects.best
        orders = np.flatnonzero(np.isfinite(best) & allocation.out)
        for order in allocation.sort_by_depth(orders[np.argsort(-best[orders], kind="stable")].tolist()):
            allocation.insert(order)
