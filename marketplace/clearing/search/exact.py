"""Solves a small book to its true optimum under uniform prices.

The integer program alone knows no prices. Where its answer has an order whose value is under the lowest lawful price of
its run, the program learns about prices for that order's placements (a lot in use lifts its period's price to its ask,
and a placement's mean price must not exceed its value) and is solved again, until no order is left without a price.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.grid import Grid
from marketplace.clearing.program.program import (
    USD_SCALE,
    CandidateTable,
    Columns,
    Program,
    RowTable,
    build_program,
    list_columns,
    new_solver,
    run_solver,
)

PASSES_MAX = 20
OPTIMAL = "Optimal"


class Found(NamedTuple):
    """The best allocation that prices can support, None where there is none, and whether it is proven to be the best.

    `unpriced_micro` is the welfare of the best allocation if prices need not suit it, None where it is not proven.
    """

    allocation: Allocation | None
    proven: bool
    unpriced_micro: int | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard the solver tries: the relative gap at which it may stop, and how many nodes it may open."""

    gap: float
    nodes: int


class Exact:
    """A book's integer program, with prices added as they turn out to matter."""

    def __init__(self, grid: Grid, columns: Columns, effort: Effort) -> None:
        self.grid = grid
        self.candidates = CandidateTable(grid)
        self.table = RowTable(grid)
        self.columns = columns
        self.program = build_program(grid, self.candidates, self.table, columns, np.zeros(self.table.rows), whole=True)
        self.solver = new_solver(1)
        self.solver.setOptionValue("mip_rel_gap", effort.gap)
        self.solver.setOptionValue("mip_abs_gap", 0.0)
        self.solver.setOptionValue("mip_max_nodes", effort.nodes)
        self.solver.passModel(self.program.model)
        self._prices = _PriceRows(grid, self.table, self.program, self.solver)

    def require(self, order: int) -> None:
        """Demand that an order runs."""
        row = len(self.program.rows) + int(np.searchsorted(self.program.orders, order))
        self.solver.changeRowBounds(row, 1.0, 1.0)

    def solve(self) -> Found:
        """Return the best allocation that prices can support, and what is proven about it.

        The solver begins from nothing: given a start, HiGHS 1.16 with presolve takes some answers for optimal that a
        better one exceeds by one step of an objective that it finds to be integral.
        """
        priced: set[tuple[int, int]] = set()
        unpriced: int | None = None
        for _ in range(PASSES_MAX):
            run_solver(self.solver)
            status = self.solver.modelStatusToString(self.solver.getModelStatus())
            values = np.array(self.solver.getSolution().col_value)[: len(self.columns.candidate)]
            if len(values) < len(self.columns.candidate) or not np.isfinite(
                self.solver.getInfo().objective_function_value
            ):
                return Found(None, status == "Infeasible", unpriced)
            allocation = self._read(values)
            if self._must_retry(allocation, values):
                continue
            if not priced and status == OPTIMAL:
                unpriced = allocation.exact_micros()
            unsupported = {(order, self._pool(allocation, order)) for order in allocation.list_unsupported()}
            if not unsupported:
                return Found(allocation, status == OPTIMAL, unpriced)
            if unsupported <= priced:
                break
            for order, pool in sorted(unsupported - priced):
                self._prices.add(order, pool)
            priced |= unsupported
        if allocation.breaks_rules():
            return Found(None, proven=False, unpriced_micro=unpriced)
        for order in allocation.with_children(allocation.list_unsupported()):
            allocation.remove(order)
        return Found(allocation, proven=False, unpriced_micro=unpriced)

    def _must_retry(self, allocation: Allocation, values: np.ndarray) -> bool:
        """Prepare another run where the answer cannot be used.

        Within the solver's tolerance an answer may break a limit; such a choice is excluded.
        """
        if allocation.breaks_rules():
            chosen = np.flatnonzero(values > 0.5).astype(np.int32)  # noqa: PLR2004 - as `_read`
            self.solver.addRow(-np.inf, len(chosen) - 1.0, len(chosen), chosen, np.ones(len(chosen)))
            return True
        return False

    def _read(self, values: np.ndarray) -> Allocation:
        allocation = Allocation(self.grid)
        for at in np.flatnonzero(values > 0.5).tolist():  # noqa: PLR2004 - whole within the solver's tolerance
            allocation.place(int(self.columns.candidate[at]), int(self.columns.start[at]))
        return allocation

    def _pool(self, allocation: Allocation, order: int) -> int:
        placing = allocation.placed[order]
        if placing is None:
            raise AssertionError(f"order {order} loses but is not placed")
        return self.grid.candidates[placing[0]].pool


class _PriceRows:
    """Adds prices of pools and periods to a program, in US dollars."""

    def __init__(self, grid: Grid, table: RowTable, program: Program, solver: Any) -> None:
        self.grid = grid
        self.program = program
        self.solver = solver
        self.columns = int(program.model.num_col_)
        self.price: dict[tuple[int, int], int] = {}
        self.candidates = CandidateTable(grid)
        self.base = table.spots
        self.draws: dict[int, list[int]] = {}
        for at, spot in enumerate(table.spot[program.cells].tolist()):
            self.draws.setdefault(spot, []).append(len(program.columns.candidate) + at)

    def add(self, order: int, pool: int) -> None:
        """Limit an order's mean price on a pool to its value."""
        columns = self.program.columns
        mine = (self.candidates.order[columns.candidate] == order) & (self.candidates.pool[columns.candidate] == pool)
        for at in np.flatnonzero(mine).tolist():
            candidate, start = int(columns.candidate[at]), int(columns.start[at])
            duration = self.grid.order_rows[order].duration
            arrays = self.grid.pool_arrays[pool]
            budget = self.grid.candidates[candidate].value * duration * USD_SCALE
            span = range(start, start + duration)
            offered = arrays.offered[:, start : start + duration] > 0
            most = float(np.where(offered, arrays.ask[:, None], 0.0).max(axis=0).sum()) * USD_SCALE
            if most > budget:
                prices = [self._price(pool, period) for period in span]
                index = np.array([*prices, at], dtype=np.int32)
                value = np.array([*([1.0] * duration), most - budget])
                self.solver.addRow(-np.inf, most, len(index), index, value)

    def _price(self, pool: int, period: int) -> int:
        if (pool, period) not in self.price:
            price = self._column(np.inf)
            self.price[pool, period] = price
            arrays = self.grid.pool_arrays[pool]
            for step, ask in enumerate(arrays.ask.tolist()):
                draws = self.draws.get((int(self.base[pool]) + step) * self.grid.periods + period, [])
                if draws:
                    used = self._column(1.0)
                    self.solver.changeColIntegrality(used, self._whole())
                    self._row({**dict.fromkeys(draws, 1.0), used: -float(arrays.offered[step, period])})
                    self._row({used: ask * USD_SCALE, price: -1.0})
        return self.price[pool, period]

    def _whole(self) -> Any:
        return self.program.model.integrality_[0]

    def _column(self, most: float) -> int:
        self.solver.addCol(0.0, 0.0, most, 0, np.zeros(0, dtype=np.int32), np.zeros(0))
        self.columns += 1
        return self.columns - 1

    def _row(self, entries: dict[int, float]) -> None:
        index, value = np.array(list(entries), dtype=np.int32), np.array(list(entries.values()))
        self.solver.addRow(-np.inf, 0.0, len(index), index, value)


def solve_exactly(grid: Grid, effort: Effort, *, required: int | None = None) -> Found:
    """Return the best allocation of a grid that prices can support and what is proven about it.

    Args:
        grid: The book.
        effort: When the solver may stop.
        required: An order that must run.
    """
    columns = list_columns(grid, () if required is None else (required,))
    if not len(columns.candidate):
        return Found(Allocation(grid), proven=True, unpriced_micro=0) if required is None else Found(None, proven=True)
    exact = Exact(grid, columns, effort)
    if required is not None:
        if required not in exact.program.orders:
            return Found(None, proven=True)
        exact.require(required)
    return exact.solve()
