"""Orders that are alike in everything: a search need only know as many of them as could ever run together.

A thousand identical orders make a thousand times the work and no better answer: whichever of them are accepted, the
first ones of the book may stand for them.
"""

import numpy as np

from marketplace.clearing.arrays.grid import Grid
from marketplace.clearing.program.program import Columns, WayTable

SPARE = 2
"""Twins beyond those that could run: with one of them out in any case, the relaxation gives none of them a surplus."""


def list_twins(grid: Grid) -> list[int]:
    """Return per order the first order of the book that is like it; itself where rules tell orders apart."""
    if grid.rules is not None:
        return list(range(len(grid.wishes)))
    known: dict[tuple[object, ...], int] = {}
    found = []
    for order, wish in enumerate(grid.wishes):
        ways = tuple((way.pool, way.layer, way.value, way.nodes) for way in (grid.ways[at] for at in wish.ways))
        found.append(known.setdefault((wish.duration, wish.first, wish.last, ways), order))
    return found


def drop_twins(grid: Grid, ways: WayTable, columns: Columns) -> Columns:
    """Return the placements without those of twins that come after as many as could ever run together."""
    twins = list_twins(grid)
    members: dict[int, list[int]] = {}
    for order, first in enumerate(twins):
        members.setdefault(first, []).append(order)
    spare = [order for first, alike in members.items() for order in alike[_most(grid, first) + SPARE :]]
    return columns.take(~np.isin(ways.order[columns.way], spare)) if spare else columns


def _most(grid: Grid, order: int) -> int:
    """Return how many orders like this one the lots of its pools could carry at most, over all of its window."""
    wish = grid.wishes[order]
    least: dict[int, int] = {}
    for way in (grid.ways[at] for at in wish.ways):
        least[way.pool] = min(way.nodes, least.get(way.pool, way.nodes))
    span = slice(wish.first, wish.last + wish.duration)
    offers = {pool: int(grid.yards[pool].offered[:, span].sum()) for pool in least}
    return sum(offers[pool] // (nodes * wish.duration) for pool, nodes in least.items())
