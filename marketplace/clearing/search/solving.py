"""From a grid to the best allocation that its budget allows: bound, greedy, search, exact where the book is small."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.grid import Grid
from marketplace.clearing.money import MICRO
from marketplace.clearing.program.bound import Shadow, bound_of, solve_relaxation
from marketplace.clearing.program.program import CandidateTable, RowTable, list_columns
from marketplace.clearing.program.prospects import Prospects
from marketplace.clearing.program.symmetry import drop_symmetric
from marketplace.clearing.search.diving import COLUMNS_MANY, dive, tighten_relaxation
from marketplace.clearing.search.exact import Effort, solve_exactly
from marketplace.clearing.search.search import SMALL_COLUMNS_MAX, Budget, greedy, has_equals, improve, is_small
from marketplace.clearing.search.worker_pool import THREADS, WorkerPools

EXACT_COLUMNS_MAX = 600
EXACT_EFFORT = Effort(gap=0, nodes=300)
BOUND_RELATIVE = 1e-9
"""How near the bound an allocation is when nothing is left to search for."""
ROUNDS_SMALL = 40
ROUNDS_LEAST = 16
ROUNDS_USUAL = 60
ROUNDS_MAX = 240
COLUMNS_PER_ROUND = 150
ROUNDS_OF_MANY_LEAST = 30
COLUMNS_PER_ROUND_OF_MANY = 1_500


@dataclass(frozen=True, slots=True)
class Solved:
    """An allocation, what proves how good it is, and how it was found.

    Attributes:
        bound: US dollars that no allocation is worth more than, by prices that anyone can check.
        unpriced: The same bound, if an integer program about the whole book proved the optimum without price rules;
            otherwise None.
        ceiling: The same by cuts and unfinished programs, None where there were none.
    """

    allocation: Allocation
    shadow: Shadow
    bound: Fraction
    rounds: int
    proven: bool
    unpriced: Fraction | None = None
    ceiling: Fraction | None = None

    @property
    def dual_bound(self) -> Fraction:
        """US dollars that no allocation exceeds: by the program that has proven it, or by the least of the bounds."""
        proven = self.ceiling if self.unpriced is None else self.unpriced
        return self.bound if proven is None else min(proven, self.bound)


def solve(grid: Grid, seed: int, iterations: int | None, workers: WorkerPools = THREADS) -> Solved:
    """Find an allocation that prices can support.

    Args:
        grid: The book.
        seed: Decides every random choice.
        iterations: Rounds of search; None chooses by the number of placements.
        workers: Where tasks run in parallel; it changes the time taken and nothing else.
    """
    candidates, table, columns = CandidateTable(grid), RowTable(grid), list_columns(grid)
    distinct = drop_symmetric(grid, candidates, columns)
    shadow = solve_relaxation(grid, candidates, table, distinct, seed)
    bound = bound_of(grid, candidates, columns, shadow)
    prospects = Prospects(grid, candidates, distinct, shadow)
    rounds = default_rounds(len(columns.candidate)) if iterations is None else iterations
    starts, root = [greedy(grid, prospects)], None
    if len(columns.candidate) > EXACT_COLUMNS_MAX and not has_equals(prospects):
        root = tighten_relaxation(grid, prospects, (candidates, table))
        if root is not None and not (rounds and is_small(prospects)):
            starts.append(dive(root))
    allocation = max(starts, key=lambda start: start.total)
    unpriced: Fraction | None = None
    if len(columns.candidate) <= EXACT_COLUMNS_MAX:
        found, proven, unpriced_micro = solve_exactly(grid, EXACT_EFFORT)
        unpriced = None if unpriced_micro is None else Fraction(unpriced_micro, MICRO)
        if found is not None and (proven or found.total > allocation.total):
            allocation = found
        if proven:
            begin_early(allocation)
            return Solved(allocation, shadow, bound, 0, proven=True, unpriced=unpriced)
    ceiling = None if root is None else root.ceiling
    least = bound if ceiling is None else min(bound, ceiling)
    if allocation.total >= float(least) * MICRO * (1 - BOUND_RELATIVE):
        return Solved(allocation, shadow, bound, 0, proven=False, unpriced=least if unpriced is None else unpriced)
    done = improve(allocation, prospects, (candidates, table, shadow), Budget(bound, seed, rounds, workers), root)
    known = done.unpriced if unpriced is None else unpriced
    return Solved(allocation, shadow, bound, done.rounds, proven=False, unpriced=known, ceiling=done.ceiling)


def begin_early(allocation: Allocation) -> None:
    """Move each accepted order, in the book's order, to the earliest start of its candidate that is worth the same."""
    for order in np.flatnonzero(~allocation.out).tolist():
        candidate, start = allocation.remove(order)
        options = allocation.options(order)
        gains = options.gain[options.candidates.index(candidate)]
        for early in np.flatnonzero(gains == gains[start - options.first]).tolist():
            if options.first + early >= start or not allocation.hurts(candidate, options.first + early):
                start = min(start, options.first + early)
                break
        allocation.place(candidate, start)


def default_rounds(columns: int) -> int:
    """Return the rounds of search that a book of so many placements gets when none are asked for.

    The first rounds gain most, and a round costs more in a book of many placements. A small book goes on for as long as
    rounds help.
    """
    if columns <= SMALL_COLUMNS_MAX:
        return ROUNDS_SMALL
    if columns > COLUMNS_MANY:
        return min(ROUNDS_MAX, max(ROUNDS_OF_MANY_LEAST, columns // COLUMNS_PER_ROUND_OF_MANY))
    return max(ROUNDS_LEAST, min(ROUNDS_USUAL, columns // COLUMNS_PER_ROUND))
