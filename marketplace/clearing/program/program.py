"""The book as a linear program: orders' placements on one side, lots' nodes on the other.

Per pool, layer and period one row says that placements are carried by lots; per order one row says that it runs once.
The same program, with some orders fixed, is what the neighbourhood search solves as an integer program.
"""

from dataclasses import dataclass, replace
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.carrying import stack_alone
from marketplace.clearing.arrays.grid import Floats, Grid, Integers, list_runs, window_sums
from marketplace.clearing.arrays.rules import is_parent
from marketplace.clearing.arrays.taken import Taken, fits_alone
from marketplace.clearing.program.rule_rows import RuleRows, add_rule_rows

USD_SCALE = 1e-6


@dataclass(frozen=True, slots=True)
class Columns:
    """Placements that are worth considering: they fit the empty pools and their value exceeds their asks there."""

    way: Integers
    start: Integers

    def take(self, chosen: NDArray[np.bool_] | Integers) -> "Columns":
        """Return some of the placements."""
        return Columns(self.way[chosen], self.start[chosen])


class WayTable:
    """The ways of a grid as arrays, for vectorised work on placements."""

    def __init__(self, grid: Grid) -> None:
        ways = grid.ways
        self.order = np.array([way.order for way in ways], dtype=np.int64)
        self.pool = np.array([way.pool for way in ways], dtype=np.int64)
        self.layer = np.array([way.layer for way in ways], dtype=np.int64)
        self.value = np.array([way.value for way in ways], dtype=np.float64)
        self.nodes = np.array([way.nodes for way in ways], dtype=np.int64)
        self.duration = np.array([grid.wishes[way.order].duration for way in ways], dtype=np.int64)
        self.hours = np.array([grid.yards[way.pool].gpus * grid.hours for way in ways], dtype=np.float64)


def list_columns(grid: Grid, keep: int | None = None) -> Columns:
    """List the placements of every order that could ever be accepted, in order of way and start.

    Args:
        grid: The book.
        keep: An order of which every placement that fits is listed, whatever it is worth.
    """
    costs: dict[tuple[int, int, int], tuple[Floats, Floats]] = {}
    ways, starts = [], []
    for at, way in enumerate(grid.ways):
        wish = grid.wishes[way.order]
        if wish.last < wish.first:
            continue
        key = (way.pool, way.layer, way.nodes)
        if key not in costs:
            costs[key] = stack_alone(grid.yards[way.pool], way.layer, way.nodes, 0, grid.periods)
        cost, short_by = costs[key]
        span = slice(wish.first, wish.last + wish.duration)
        total = window_sums(cost[span], wish.duration)
        good = window_sums(short_by[span], wish.duration) == 0
        if way.order != keep:
            worth = way.value * way.nodes * wish.duration
            good &= (total <= worth) if is_parent(grid.rules, way.order) else (total < worth)
        found = np.flatnonzero(good) + wish.first
        if grid.rules is not None:
            found = found[fits_alone(grid.rules, at, found, wish.duration)]
        ways.append(np.full(len(found), at))
        starts.append(found)
    if not ways:
        return Columns(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    return Columns(np.concatenate(ways).astype(np.int64), np.concatenate(starts).astype(np.int64))


class RowTable:
    """Numbers the rows pool x layer x period of a grid, and lists which lots may carry each of them.

    Entries run parallel: `row`, the lot's `ask`, its nodes `most`, `hours` (GPU-hours of a node and period), `spot`
    (the number of pool x step x period) and `shared`, which says that several rows draw on the spot.
    """

    def __init__(self, grid: Grid) -> None:
        counts = [len(yard.layers) for yard in grid.yards]
        self.base = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.spots = np.concatenate([[0], np.cumsum([len(yard.ask) for yard in grid.yards])]).astype(np.int64)
        self.rows = int(self.base[-1]) * grid.periods
        parts: list[tuple[Floats, ...]] = []
        for pool, yard in enumerate(grid.yards):
            for layer, steps in enumerate(yard.layers):
                for step in steps:
                    live = np.flatnonzero(yard.offered[step])
                    full = np.ones(len(live))
                    parts.append(
                        (
                            (self.base[pool] + layer) * grid.periods + live,
                            full * yard.ask[step],
                            yard.offered[step, live],
                            full * (yard.gpus * grid.hours),
                            (self.spots[pool] + step) * grid.periods + live,
                            full * (not yard.plain),
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
    ways: WayTable,
    table: RowTable,
    columns: Columns,
    fixed: Floats,
    *,
    whole: bool,
    taken: Taken | None = None,
    reach: Columns | None = None,
) -> Program:
    """Write the program of some placements, with other orders' loads fixed.

    Args:
        grid: The book.
        ways: Its ways.
        table: Its rows.
        columns: The placements to decide about.
        fixed: Nodes per row that are already taken by orders outside the program.
        whole: Whether placements are all or nothing.
        taken: What orders outside the program take of the rules between orders.
        reach: The placements whose rows are written; None for those alone that are decided about.
    """
    live = _live_rows(grid, table, ways, columns if reach is None else reach)
    program = _build_capacity(grid, (ways, table), columns, (live, fixed[live]), whole=whole)
    if grid.rules is None:
        return program
    placings = (columns.way, columns.start, ways.duration[columns.way])
    return replace(program, rules=add_rule_rows(program.model, grid.rules, placings, taken))


def _build_capacity(
    grid: Grid, tables: tuple[WayTable, RowTable], columns: Columns, rows: tuple[Integers, Floats], *, whole: bool
) -> Program:
    (ways, table), (live, fixed) = tables, rows
    way = columns.way
    count = len(way)
    duration = ways.duration[way]
    touched = _touch(grid, tables, columns)
    renumber = np.full(table.rows, -1, dtype=np.int64)
    renumber[live] = np.arange(len(live))
    orders, order_row = np.unique(ways.order[way], return_inverse=True)
    cells = np.flatnonzero(renumber[table.row] >= 0)
    shared = table.shared[cells]
    names, cell_row = np.unique(table.spot[cells][shared], return_inverse=True)
    base_orders, base_cells = len(live), len(live) + len(orders)

    entries = np.concatenate([duration + 1, 1 + shared]).astype(np.int64)
    begin = np.concatenate([[0], np.cumsum(entries)]).astype(np.int64)
    index = np.zeros(int(begin[-1]), dtype=np.int32)
    value = np.zeros(int(begin[-1]))
    at = list_runs(begin[:count], duration)
    index[at], value[at] = renumber[touched], np.repeat(ways.nodes[way], duration)
    index[begin[1 : count + 1] - 1], value[begin[1 : count + 1] - 1] = base_orders + order_row, 1.0
    at = begin[count:-1]
    index[at], value[at] = renumber[table.row[cells]], -1.0
    at = at[shared] + 1
    index[at], value[at] = base_cells + cell_row, 1.0

    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(entries), base_cells + len(names)
    worth = ways.value[way] * ways.nodes[way] * duration * ways.hours[way]
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


def _touch(grid: Grid, tables: tuple[WayTable, RowTable], columns: Columns) -> Integers:
    """Return every row that each placement takes something of, one placement after the other."""
    ways, table = tables
    rows = (table.base[ways.pool[columns.way]] + ways.layer[columns.way]) * grid.periods + columns.start
    return list_runs(rows, ways.duration[columns.way])


def _live_rows(grid: Grid, table: RowTable, ways: WayTable, columns: Columns) -> Integers:
    """Return the rows that placements touch, and in pools of several layers the sister rows of the same period."""
    mark = np.zeros(table.rows, dtype=np.bool_)
    mark[_touch(grid, (ways, table), columns)] = True
    for pool in np.unique(ways.pool[columns.way]):
        low, high = int(table.base[pool]), int(table.base[pool + 1])
        if high - low > 1:
            block = mark[low * grid.periods : high * grid.periods].reshape(high - low, grid.periods)
            block |= block.any(axis=0)
    return np.flatnonzero(mark)


def new_solver(seed: int) -> Any:
    """Return a silent solver that repeats itself: one thread, a fixed seed, no clock."""
    solver = highspy._Highs()  # type: ignore[attr-defined]  # noqa: SLF001 - the wrapper's callbacks print a banner that no option silences
    for name, setting in (("output_flag", False), ("threads", 1), ("random_seed", seed % 2**31)):
        solver.setOptionValue(name, setting)
    return solver


def run_solver(solver: Any) -> None:
    """Run a solver to its end.

    Raises:
        MemoryError: It ran out of memory. It tells that by a status only, as it tells that its budget is used up; a
            search that went on would come to a right result, and not to the one that a repetition gives.
    """
    solver.run()
    if solver.getModelStatus() == highspy.HighsModelStatus.kMemoryLimit:
        raise MemoryError("the solver ran out of memory")
