"""An upper bound on welfare that anyone can check: prices of lots that are not below their asks.

For any such prices, no allocation's welfare exceeds what orders would gain if each took its best placement at those
prices, plus what lots would earn above their asks if all were sold (weak duality). The linear program's dual gives the
prices for which that is least; whatever the solver returns, the bound computed from it here is exact and valid.
"""

from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.grid import Floats, Grid, PoolArrays
from marketplace.clearing.model import ShadowPrice
from marketplace.clearing.money import MICRO, usd
from marketplace.clearing.program.program import (
    CandidateTable,
    Columns,
    RowTable,
    build_program,
    new_solver,
    run_solver,
)
from marketplace.clearing.program.rule_prices import RulePrices, read_prices

Micros = NDArray[np.int64]
SHADOW_MICRO_MAX = 10**15
"""The highest price that is ever published; shadow prices may be higher, so that the bound stays close."""
SHADOW_SUM_MAX = 2**62
"""The most micro-dollars that a lot's shadow prices sum to over all periods, so that int64 holds the sums."""
SIMPLEX_COLUMNS_MAX = 70_000


class Shadow:
    """Shadow prices, in micro-dollars per GPU-hour: of each lot and period, and of the cheapest lot for each layer."""

    def __init__(self, grid: Grid, lots: list[Micros], rules: RulePrices | None = None) -> None:
        self.grid = grid
        self.lots = lots
        self.rules = rules
        self.rows = [
            np.stack([_cheapest(arrays, cells, layer) for layer in arrays.layers])
            for arrays, cells in zip(grid.pool_arrays, lots, strict=True)
        ]
        self.sums = [
            np.concatenate([np.zeros((len(rows), 1), np.int64), rows.cumsum(axis=1)], axis=1) for rows in self.rows
        ]

    def shade(self, pool: int, layer: int, first: int, last: int, duration: int) -> Micros:
        """Return the shadow prices summed over a run from each start of a window, per GPU, micro-dollars an hour."""
        sums = self.sums[pool][layer]
        shade: Micros = sums[first + duration : last + duration + 1] - sums[first : last + 1]
        return shade


def _cheapest(arrays: PoolArrays, cells: Micros, layer: tuple[int, ...]) -> Micros:
    periods = arrays.offered.shape[1]
    best = np.full(periods, SHADOW_SUM_MAX // periods, dtype=np.int64)
    for step in layer:
        best = np.where(arrays.offered[step] > 0, np.minimum(best, cells[step]), best)
    return best


def solve_relaxation(grid: Grid, candidates: CandidateTable, table: RowTable, columns: Columns, seed: int) -> Shadow:
    """Solve the linear relaxation and return its dual as prices per lot and period."""
    duals = np.zeros(table.rows)
    rule_rows, found = None, np.zeros(0)
    if len(columns.candidate):
        program = build_program(grid, candidates, table, columns, np.zeros(table.rows), whole=False)
        solver = new_solver(seed)
        if len(columns.candidate) > SIMPLEX_COLUMNS_MAX:
            solver.setOptionValue("solver", "ipm")
            solver.setOptionValue("run_crossover", "off")
        solver.passModel(program.model)
        run_solver(solver)
        found = np.array(solver.getSolution().row_dual)
        if len(found) >= len(program.rows):
            duals[program.rows] = np.abs(found[: len(program.rows)])
        rule_rows = program.rules
    return shadow_of(grid, table, duals, None if grid.rules is None else read_prices(grid.rules, rule_rows, found))


def shadow_of(grid: Grid, table: RowTable, duals: Floats, rules: RulePrices | None = None) -> Shadow:
    """Turn duals of the rows, US dollars per node and period, into prices of lots that are not under their asks."""
    lots = []
    for pool, arrays in enumerate(grid.pool_arrays):
        low, high = int(table.base[pool]) * grid.periods, int(table.base[pool + 1]) * grid.periods
        price = np.nan_to_num(duals[low:high]).reshape(-1, grid.periods) * (1e6 / (arrays.gpus * grid.hours))
        rounded = np.rint(np.clip(price, 0, SHADOW_SUM_MAX // grid.periods)).astype(np.int64)
        cells = np.repeat(np.array(arrays.asks_micro, dtype=np.int64)[:, None], grid.periods, axis=1)
        for layer, steps in enumerate(arrays.layers):
            for step in steps:
                cells[step] = np.maximum(cells[step], rounded[layer])
        lots.append(cells)
    return Shadow(grid, lots, rules)


def bound_of(grid: Grid, candidates: CandidateTable, columns: Columns, shadow: Shadow) -> Fraction:
    """Return the bound in US dollars, rounded up to a micro-dollar where rules between orders have prices."""
    gains = [0] * len(grid.order_rows)
    candidate, begin, count = np.unique(columns.candidate, return_index=True, return_counts=True)
    for at, low, high in zip(candidate.tolist(), begin.tolist(), (begin + count).tolist(), strict=True):
        bid = grid.candidates[at]
        order_row = grid.order_rows[bid.order]
        sums = shadow.sums[bid.pool][bid.layer]
        starts = columns.start[low:high]
        costs, scale = sums[starts + order_row.duration] - sums[starts], bid.nodes * int(candidates.hours[at]) * MICRO
        if shadow.rules is None:
            least = int(costs.min()) * scale
        else:
            least = (costs.astype(object) * scale + shadow.rules.charge(at, starts, order_row.duration)).min()
        gains[bid.order] = max(gains[bid.order], int(bid.value) * order_row.duration * scale - least)
    total = sum(gains) + (0 if shadow.rules is None else shadow.rules.rent())
    for arrays, cells in zip(grid.pool_arrays, shadow.lots, strict=True):
        for step, ask in enumerate(arrays.asks_micro):
            for begin_at, end_at in runs_of(np.stack([cells[step], arrays.offered[step].astype(np.int64)])):
                above = int(cells[step, begin_at]) - ask
                nodes = int(arrays.offered[step, begin_at]) * (end_at - begin_at)
                total += above * nodes * arrays.gpus * grid.hours * MICRO
    return Fraction(-(-total // MICRO), MICRO)


def runs_of(rows: Micros) -> list[tuple[int, int]]:
    """Return the spans over which every row stays the same."""
    changes = np.flatnonzero((np.diff(rows, axis=1) != 0).any(axis=0)) + 1
    edges = [0, *changes.tolist(), rows.shape[1]]
    return list(pairwise(edges))


def render_shadow(shadow: Shadow) -> tuple[ShadowPrice, ...]:
    """Return the shadow prices by lot; successive periods with one price are one item.

    Periods in which the price equals the ask, or in which the lot offers no nodes, are left out.
    """
    found = []
    for arrays, cells in zip(shadow.grid.pool_arrays, shadow.lots, strict=True):
        for step, (lot_id, ask) in enumerate(zip(arrays.lot_ids, arrays.asks_micro, strict=True)):
            price = np.where(arrays.offered[step] > 0, cells[step], ask)
            for begin, end in runs_of(price[None, :]):
                if price[begin] != ask:
                    found.append(ShadowPrice(lot_id, begin, end, usd(int(price[begin]))))
    return tuple(found)
