"""Finds good allocations: greedy in several orders, then repair."""

import numpy as np

from marketplace.clearing.allocation import Allocation
from marketplace.clearing.bound import Shadow
from marketplace.clearing.grid import Floats, Grid


def shade_of(grid: Grid, shadow: Shadow, order: int, share: float) -> Floats | None:
    """Return what a share of the scarcity prices would charge each option of an order, shaped like its options."""
    wish = grid.wishes[order]
    if wish.last < wish.first or not wish.ways:
        return None
    ways = sorted(wish.ways, key=lambda way: not grid.yards[grid.ways[way].pool].plain)
    rows = []
    for way in ways:
        bid = grid.ways[way]
        sums = shadow.shade(bid.pool, bid.layer, wish.first, wish.last, wish.duration)
        rows.append(sums * (share * wish.nodes * grid.yards[bid.pool].gpus * grid.hours))
    return np.stack(rows)


def greedy(grid: Grid, shadow: Shadow) -> Allocation:
    """Insert orders by several priorities and return the best result."""
    best, best_welfare = Allocation(grid), -1.0
    shades = [shade_of(grid, shadow, order, 1.0) for order in range(len(grid.wishes))]
    for priority in (_by_surplus, _by_value):
        for share in (False, True):
            allocation = Allocation(grid)
            for order in sorted(range(len(grid.wishes)), key=lambda o: (-priority(grid, shadow, shades[o], o), o)):
                allocation.insert(order, shades[order] if share else None)
            for order, placing in enumerate(allocation.placed):
                if placing is None:
                    allocation.insert(order)
            welfare = allocation.welfare()
            if welfare > best_welfare:
                best, best_welfare = allocation, welfare
    return best


def _by_value(grid: Grid, _shadow: Shadow, _shade: Floats | None, order: int) -> float:
    return max((grid.ways[way].value for way in grid.wishes[order].ways), default=0.0)


def _by_surplus(grid: Grid, _shadow: Shadow, shade: Floats | None, order: int) -> float:
    if shade is None:
        return -1.0
    wish = grid.wishes[order]
    ways = sorted(wish.ways, key=lambda way: not grid.yards[grid.ways[way].pool].plain)
    best = -1e30
    for row, way in enumerate(ways):
        bid = grid.ways[way]
        hours = wish.nodes * grid.yards[bid.pool].gpus * grid.hours
        best = max(best, (bid.value * wish.duration * hours - float(shade[row].min())) / (wish.duration * hours))
    return best
