"""Symmetric orders: of orders that are alike in everything, the search keeps as many as could ever run together.

A thousand identical orders take a thousand times the work and give no better answer: whichever of them are accepted,
the first ones of the book can be accepted instead.
"""

import numpy as np

from marketplace.clearing.arrays.grid import Grid
from marketplace.clearing.program.program import CandidateTable, Columns

SPARE = 2
"""Kept beyond those that could run: as one of them loses in any case, the relaxation gives none a surplus."""


def list_symmetric(grid: Grid) -> list[int]:
    """Return per order the first order of the book that is like it; itself if the book has rules between orders."""
    if grid.rules is not None:
        return list(range(len(grid.order_rows)))
    known: dict[tuple[object, ...], int] = {}
    found = []
    for order, order_row in enumerate(grid.order_rows):
        candidates = tuple(
            (candidate.pool, candidate.layer, candidate.value, candidate.nodes)
            for candidate in (grid.candidates[at] for at in order_row.candidates)
        )
        found.append(known.setdefault((order_row.duration, order_row.first, order_row.last, candidates), order))
    return found


def drop_symmetric(grid: Grid, candidates: CandidateTable, columns: Columns) -> Columns:
    """Return the placements, without those of symmetric orders beyond as many as could ever run together."""
    firsts = list_symmetric(grid)
    members: dict[int, list[int]] = {}
    for order, first in enumerate(firsts):
        members.setdefault(first, []).append(order)
    spare = [order for first, alike in members.items() for order in alike[_most(grid, first) + SPARE :]]
    return columns.take(~np.isin(candidates.order[columns.candidate], spare)) if spare else columns


def _most(grid: Grid, order: int) -> int:
    """Return how many orders like this one the lots of its pools could carry at most, over all of its window."""
    order_row = grid.order_rows[order]
    least: dict[int, int] = {}
    for candidate in (grid.candidates[at] for at in order_row.candidates):
        least[candidate.pool] = min(candidate.nodes, least.get(candidate.pool, candidate.nodes))
    span = slice(order_row.first, order_row.last + order_row.duration)
    offers = {pool: int(grid.pool_arrays[pool].offered[:, span].sum()) for pool in least}
    return sum(offers[pool] // (nodes * order_row.duration) for pool, nodes in least.items())
