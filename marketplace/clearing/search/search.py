"""Finds good allocations: greedy in several orders, ruin and recreate, then integer programs around what is found.

Budgets are counts, never seconds, and every random choice comes from one seed, so that a search repeats itself.
"""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.grid import Floats, Grid
from marketplace.clearing.money import MICRO
from marketplace.clearing.program.bound import Shadow
from marketplace.clearing.program.program import CandidateTable, RowTable
from marketplace.clearing.program.prospects import Prospects
from marketplace.clearing.search.diving import Root
from marketplace.clearing.search.marginal import ImprovingInsertion
from marketplace.clearing.search.neighbourhood import (
    LIGHT_WORK,
    LOSSES_NARROW,
    WORK_WELL,
    NeighbourhoodLimits,
    Neighbourhoods,
)
from marketplace.clearing.search.ruin import Ruin
from marketplace.clearing.search.worker_pool import THREADS, WorkerPools

RUINS_PER_ROUND = 30
"""A book of many equal placements gets no dive, so more is left to improve."""
SETTLE_ROUNDS = 24
PATIENCE_ROUNDS = 14
PATIENCE_ROUNDS_SMALL = 1
PATIENCE_ROUNDS_SHORT = 4
SHORT_OF_BOUND = 0.03
"""A search of a small book lasts longer if it is short of the bound by this share, since prices may have cost much."""
SMALL_COLUMNS_MAX = 3_000
BRIEF_COLUMNS_MAX = 2_000
"""A small book with more placements may take more than two seconds; if it is short of the bound, twice as long."""
ROUNDS_LEAST = 2
SMALL_LIMITS = NeighbourhoodLimits(columns=250, pools=6, batch=4, work=LIGHT_WORK)
ROUND_LIMITS_OF_BRIEF = (
    NeighbourhoodLimits(columns=700, pools=20, batch=2, work=LIGHT_WORK, losses=LOSSES_NARROW),
    SMALL_LIMITS,
)
"""The first decides about most of a small book anew, without the placements that lose much."""
LIGHT_LIMITS = NeighbourhoodLimits(columns=250, pools=8, batch=6, work=LIGHT_WORK)
ROUND_LIMITS = (NeighbourhoodLimits(columns=350, pools=8, batch=6, work=WORK_WELL, losses=LOSSES_NARROW), LIGHT_LIMITS)
"""Rounds take turns: programs that are mostly solved to the end, and small ones, which cost a third."""
ROUND_LIMITS_OF_EQUALS = (NeighbourhoodLimits(columns=500, pools=8, batch=6), LIGHT_LIMITS)
EQUAL_LOSS = 0.003
EQUALS_MIN = 8
"""Placements of an order, in the mean, that are as good as its best; so many make large programs hard to solve."""
GAIN_RELATIVE = 1e-6


def greedy(grid: Grid, prospects: Prospects) -> Allocation:
    """Insert orders by several priorities, by plain gain and by gain over scarcity, and return the best result."""
    surplus: Floats = prospects.best
    orders = [order for order, best in enumerate(surplus.tolist()) if best > float("-inf")]
    size = {order: _size(grid, order) for order in orders}
    best = Allocation(grid)
    for priority in (
        {order: surplus[order] / size[order] for order in orders},
        {
            order: max(grid.candidates[candidate].value for candidate in grid.order_rows[order].candidates)
            for order in orders
        },
        {order: surplus[order] for order in orders},
    ):
        for shaded in (False, True):
            allocation = Allocation(grid)
            ranked = sorted(orders, key=lambda order: (-priority[order], order))
            for order in ranked:
                allocation.insert(order, prospects.shades[order] if shaded else None)
            for order in allocation.sort_by_depth(ranked):
                if allocation.out[order]:
                    allocation.insert(order)
            if allocation.total > best.total:
                best = allocation
    return best


def _size(grid: Grid, order: int) -> float:
    order_row = grid.order_rows[order]
    return float(
        order_row.nodes
        * order_row.duration
        * max(grid.pool_arrays[grid.candidates[candidate].pool].gpus for candidate in order_row.candidates)
    )


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget of a search.

    Attributes:
        bound: US dollars that no allocation is worth more than.
        seed: Decides every random choice.
        rounds: How many rounds at most.
        workers: Where tasks run in parallel; it changes the time taken and nothing else.
    """

    bound: Fraction
    seed: int
    rounds: int
    workers: WorkerPools = THREADS


@dataclass(frozen=True, slots=True)
class Improved:
    """How a search ended.

    Attributes:
        rounds: How many it had.
        ceiling: US dollars that no allocation is worth more than, with uniform prices or without; None if not proven.
        unpriced: The same where a program about every order has proven it to within its gap, None elsewhere.
    """

    rounds: int
    ceiling: Fraction | None
    unpriced: Fraction | None

    @classmethod
    def by(cls, programs: Neighbourhoods, rounds: int) -> Self:
        """Return what programs have proven by then."""
        return cls(rounds, programs.ceiling, programs.unpriced)


def improve(
    allocation: Allocation,
    prospects: Prospects,
    tables: tuple[CandidateTable, RowTable, Shadow],
    budget: Budget,
    root: Root | None,
) -> Improved:
    """Improve an allocation in place for a number of rounds, or until rounds stop gaining.

    No step lowers the welfare, and none depends on the number of rounds, so more rounds never give less.

    Args:
        allocation: Where to begin.
        prospects: The book's placements.
        tables: The book's candidates and rows, and its shadow prices.
        budget: How far it may go.
        root: The relaxation with its cuts, where there is one.
    """
    pick = random.Random(budget.seed)  # noqa: S311 - a search that repeats itself, no secret
    if not budget.rounds or not len(prospects.order):
        return Improved(0, None if root is None else root.ceiling, None)
    ruin = Ruin(allocation, prospects, pick)
    small = is_small(prospects)
    limits = choose_limits(prospects)
    programs = Neighbourhoods(allocation, prospects, tables, (pick, limits[0]), root)
    slices = 1 if small else SETTLE_ROUNDS
    orders = np.unique(prospects.order).tolist()
    inserting = ImprovingInsertion(allocation, tables[2])
    inserting.run(sorted(orders, key=lambda order: -prospects.best[order]))
    idle = 0
    if small:
        programs.decide_whole()
        if programs.is_best():
            return Improved.by(programs, 0)
        programs.dive()
    with budget.workers.start(programs.context) as worker_pool:
        for done in range(1, budget.rounds + 1):
            before = allocation.total
            programs.limits = limits[done % len(limits)]
            batch = programs.begin(worker_pool)
            ruin.run(RUINS_PER_ROUND)
            inserting.run(orders[done % slices :: slices])
            programs.end(batch)
            idle = 0 if allocation.total > before * (1 + GAIN_RELATIVE) else idle + 1
            ceiling = budget.bound if programs.unpriced is None else min(budget.bound, programs.unpriced)
            if done >= ROUNDS_LEAST and idle >= _patience(allocation, ceiling, len(prospects.order)):
                return Improved.by(programs, done)
    return Improved.by(programs, budget.rounds)


def _patience(allocation: Allocation, bound: Fraction, columns: int) -> int:
    """Return after how many rounds without a gain a search over so many placements ends."""
    if columns > SMALL_COLUMNS_MAX:
        return PATIENCE_ROUNDS
    if allocation.total >= float(bound) * MICRO * (1 - SHORT_OF_BOUND):
        return PATIENCE_ROUNDS_SMALL
    return PATIENCE_ROUNDS_SHORT if columns <= BRIEF_COLUMNS_MAX else 2 * PATIENCE_ROUNDS_SHORT


def choose_limits(prospects: Prospects) -> tuple[NeighbourhoodLimits, ...]:
    """Return the limits that rounds alternate between, by size and by how many placements are equally good."""
    if len(prospects.order) <= SMALL_COLUMNS_MAX:
        return ROUND_LIMITS_OF_BRIEF if len(prospects.order) <= BRIEF_COLUMNS_MAX else (SMALL_LIMITS,)
    return ROUND_LIMITS_OF_EQUALS if has_equals(prospects) else ROUND_LIMITS


def is_small(prospects: Prospects) -> bool:
    """Return whether a book has few enough placements, at most `SMALL_COLUMNS_MAX`, for programs about every order."""
    return len(prospects.order) <= SMALL_COLUMNS_MAX


def has_equals(prospects: Prospects) -> bool:
    """Return whether most orders have many placements that are about as good as their best."""
    equals = int((prospects.loss <= EQUAL_LOSS * prospects.worth).sum())
    return equals > EQUALS_MIN * len(np.unique(prospects.order))
