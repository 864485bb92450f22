"""The book as a linear program: orders' placements on one side, lots' nodes on the other.

Per pool, layer and period one row says that placements are carried by lots; per order one row says that it runs once.
The same program, with some orders fixed, is what the neighbourhood search solves as an integer program.
"""

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.carrying import stack_alone
from marketplace.clearing.arrays.constraint_usage import ConstraintUsage, fits_alone
from marketplace.clearing.arrays.grid import Floats, Grid, Integers, list_runs, window_sums
from marketplace.clearing.arrays.rules import is_parent
from marketplace.clearing.program.rule_rows import RuleRows, add_rule_rows

USD_SCALE = 1e-6


@dataclass(frozen=True, slots=True)
class Columns:
    """Placements that are worth considering: they fit the empty pools and their value exceeds their asks there."""

    candidate: Integers
    start: Integers

    def take(self, chosen: NDArray[np.bool_] | Integers) -> "Columns":
        """Return some of the placements."""
        return Columns(self.candidate[chosen], self.start[chosen])


class CandidateTable:
    """The candidates of a grid as arrays, for vectorised work on placements."""

    def __init__(self, grid: Grid) -> None:
        candidates = grid.candidates
        self.order = np.array([candidate.order for candidate in candidates], dtype=np.int64)
        self.pool = np.array([candidate.pool for candidate in candidates], dtype=np.int64)
        self.layer = np.array([candidate.layer for candidate in candidates], dtype=np.int64)
        self.value = np.array([candidate.value for candidate in candidates], dtype=np.float64)
        self.nodes = np.array([candidate.nodes for candidate in candidates], dtype=np.int64)
        self.duration = np.array(
            [grid.order_rows[candidate.order].duration for candidate in candidates], dtype=np.int64
        )
        self.hours = np.array(
            [grid.pool_arrays[candidate.pool].gpus * grid.hours for candidate in candidates], dtype=np.float64
        )


def list_columns(grid: Grid, keep: Container[int] = ()) -> Columns:
    """List the placements of every order that could ever be accepted, in order of candidate and start.

    Args:
        grid: The book.
        keep: Orders whose placements are all listed if they fit, also those that are worth less than their asks.
    """
    costs: dict[tuple[int, int, int], tuple[Floats, Floats]] = {}
    candidates, starts = [], []
    for at, candidate in enumerate(grid.candidates):
        order_row = grid.order_rows[candidate.order]
        if order_row.last < order_row.first:
            continue
        key = (candidate.pool, candidate.layer, candidate.nodes)
        if key not in costs:
            costs[key] = stack_alone(
                grid.pool_arrays[candidate.pool], candidate.layer, candidate.nodes, 0, grid.periods
            )
        cost, short_by = costs[key]
        span = slice(order_row.first, order_row.last + order_row.duration)
        total = window_sums(cost[span], order_row.duration)
        good = window_sums(short_by[span], order_row.duration) == 0
        if candidate.order not in keep:
            worth = candidate.value * candidate.nodes * order_row.duration
            good &= (total <= worth) if is_parent(grid.rules, candidate.order) else (total < worth)
        found = np.flatnonzero(good) + order_row.first
        if grid.rules is not None:
            found = found[fits_alone(grid.rules, at, found, order_row.duration)]
        candidates.append(np.full(len(found), at))
        starts.append(found)
    if not candidates:
        return Columns(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    return Columns(np.concatenate(candidates).astype(np.int64), np.concatenate(starts).astype(np.int64))


class RowTable:
    """Numbers the rows pool x layer x period of a grid, and lists which lots may carry each of them.

    Entries run parallel: `row`, the lot's `ask`, its nodes `most`, `hours` (GPU-hours of a node and period), `spot`
    (the number of pool x step x period) and `shared`, which says that several rows draw on the spot.
    """

    def __init__(self, grid: Grid) -> None:
        counts = [len(arrays.layers) for arrays in grid.pool_arrays]
        self.base = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.spots = np.concatenate([[0], np.cumsum([len(arrays.ask) for arrays in grid.pool_arrays])]).astype(np.int64)
        self.rows = int(self.base[-1]) * grid.periods
        parts: list[tuple[Floats, ...]] = []
        for pool, arrays in enumerate(grid.pool_arrays):
            for layer, steps in enumerate(arrays.layers):
                for step in steps:
                    live = np.flatnonzero(arrays.offered[step])
                    full = np.ones(len(live))
                    parts.append(
                        (
                            (self.base[pool] + layer) * grid.periods + live,
                            full * arrays.ask[step],
                            arrays.offered[step, live],
                            full * (arrays.gpus * grid.hours),
                            (self.spots[pool] + step) * grid.periods + live,
                            full * (not arrays.plain),
                        )
                    )
        row, self.ask, self.most, self.hours, spot, shared = (_join([part[at] for part in parts]) for at in range(6))
        self.row, self.spot = row.astype(np.int64), spot.astype(np.int64)
        self.shared = shared > 0


def _join(parts: list[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.zeros(0)


@dataclass(frozen=True, slots=True)
class Program:
    """A HiGHS model with what is needed to read its answer back.

    Its columns are the placements, then the `cells` (entries of the row table); its rows are `rows`, then `orders`, and
    last those of `rules`.
    """

    model: highspy.HighsLp
    columns: Columns
    rows: Integers
    orders: Integers
    cells: Integers
    rules: RuleRows | None = None


def build_program(
    grid: Grid,
    candidates: CandidateTable,
    table: RowTable,
    columns: Columns,
    fixed: Floats,
    *,
    whole: bool,
    taken: ConstraintUsage | None = None,
    row_columns: Columns | None = None,
) -> Program:
    """Write the program of some placements, with other orders' loads fixed.

    Args:
        grid: The book.
        candidates: Its candidates.
        table: Its rows.
        columns: The placements to decide about.
        fixed: Nodes per row that are already taken by orders outside the program.
        whole: Whether placements are all or nothing.
        taken: What orders outside the program take of the rules between orders.
        row_columns: The placements whose rows are written; None for those of `columns`.
    """
    live = _live_rows(grid, table, candidates, columns if row_columns is None else row_columns)
    program = _build_capacity(grid, (candidates, table), columns, (live, fixed[live]), whole=whole)
    if grid.rules is None:
        return program
    placings = (columns.candidate, columns.start, candidates.duration[columns.candidate])
    return replace(program, rules=add_rule_rows(program.model, grid.rules, placings, taken))


def _build_capacity(
    grid: Grid, tables: tuple[CandidateTable, RowTable], columns: Columns, rows: tuple[Integers, Floats], *, whole: bool
) -> Program:
    (candidates, table), (live, fixed) = tables, rows
    candidate = columns.candidate
    count = len(candidate)
    duration = candidates.duration[candidate]
    touched = _touch(grid, tables, columns)
    renumber = np.full(table.rows, -1, dtype=np.int64)
    renumber[live] = np.arange(len(live))
    orders, order_index = np.unique(candidates.order[candidate], return_inverse=True)
    cells = np.flatnonzero(renumber[table.row] >= 0)
    shared = table.shared[cells]
    names, cell_row = np.unique(table.spot[cells][shared], return_inverse=True)
    base_orders, base_cells = len(live), len(live) + len(orders)

    entries = np.concatenate([duration + 1, 1 + shared]).astype(np.int64)
    begin = np.concatenate([[0], np.cumsum(entries)]).astype(np.int64)
    index = np.zeros(int(begin[-1]), dtype=np.int32)
    value = np.zeros(int(begin[-1]))
    at = list_runs(begin[:count], duration)
    index[at], value[at] = renumber[touched], np.repeat(candidates.nodes[candidate], duration)
    index[begin[1 : count + 1] - 1], value[begin[1 : count + 1] - 1] = base_orders + order_index, 1.0
    at = begin[count:-1]
    index[at], value[at] = renumber[table.row[cells]], -1.0
    at = at[shared] + 1
    index[at], value[at] = base_cells + cell_row, 1.0

    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(entries), base_cells + len(names)
    worth = candidates.value[candidate] * candidates.nodes[candidate] * duration * candidates.hours[candidate]
    model.col_cost_ = np.concatenate([worth, -table.ask[cells] * table.hours[cells]]) * USD_SCALE
    model.col_lower_ = np.zeros(len(entries))
    model.col_upper_ = np.concatenate([np.ones(count), table.most[cells]])
    model.row_lower_ = np.full(model.num_row_, -highspy.kHighsInf)
    most = np.zeros(len(names))
    most[cell_row] = table.most[cells][shared]
    model.row_upper_ = np.concatenate([-fixed, np.ones(len(orders)), most])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = begin.astype(np.int32), index, value
    model.sense_ = highspy.ObjSense.kMaximize
    if whole:
        kinds = [highspy.HighsVarType.kInteger] * count + [highspy.HighsVarType.kContinuous] * len(cells)
        model.integrality_ = kinds
    return Program(model, columns, live, orders, cells)


def _touch(grid: Grid, tables: tuple[CandidateTable, RowTable], columns: Columns) -> Integers:
    """Return every row that each placement takes something of, one placement after the other."""
    candidates, table = tables
    rows = (
        table.base[candidates.pool[columns.candidate]] + candidates.layer[columns.candidate]
    ) * grid.periods + columns.start
    return list_runs(rows, candidates.duration[columns.candidate])


def _live_rows(grid: Grid, table: RowTable, candidates: CandidateTable, columns: Columns) -> Integers:
    """Return the rows that placements touch, and in pools of several layers the sister rows of the same period."""
    mark = np.zeros(table.rows, dtype=np.bool_)
    mark[_touch(grid, (candidates, table), columns)] = True
    for pool in np.unique(candidates.pool[columns.candidate]):
        low, high = int(table.base[pool]), int(table.base[pool + 1])
        if high - low > 1:
            block = mark[low * grid.periods : high * grid.periods].reshape(high - low, grid.periods)
            block |= block.any(axis=0)
    return np.flatnonzero(mark)


def new_solver(seed: int) -> Any:
    """Return a silent solver whose runs are reproducible: one thread, a fixed seed, no clock."""
    solver = highspy._Highs()  # type: ignore[attr-defined]  # noqa: SLF001 - the wrapper's callbacks print a banner that no option silences
    for name, setting in (("output_flag", False), ("threads", 1), ("random_seed", seed % 2**31)):
        solver.setOptionValue(name, setting)
    return solver


def run_solver(solver: Any) -> None:
    """Run a solver to its end.

    Raises:
        MemoryError: It ran out of memory. The solver reports this only as a status, like a budget that is used up. The
            result of a search that ignored it would be valid but not reproducible.
    """
    solver.run()
    if solver.getModelStatus() == highspy.HighsModelStatus.kMemoryLimit:
        raise MemoryError("the solver ran out of memory")
