"""Uniform prices per pool and period, and which lots carry whom; everything here is whole micro-dollars, exact.

No price of a period may be below the highest ask that is used in it. `price_program.py` chooses among the prices that
are left. They are rounded down; then, order by order, what still lies above the asks is scaled down over the order's
run until the mean does not exceed its value. Scaling only ever lowers prices, so one pass serves all. At last prices
above the ask of an idle node are lowered to it where no rejected order would forgo anything for it, so that each price
above an idle node's ask has a cause that anyone can check.
"""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.carrying import stack
from marketplace.clearing.arrays.grid import PoolArrays
from marketplace.clearing.arrays.node_assignment import assign
from marketplace.clearing.model import LotShare, PriceRun
from marketplace.clearing.money import usd
from marketplace.clearing.program.bound import runs_of
from marketplace.clearing.program.price_program import choose_prices, lower_needless

Micros = NDArray[np.int64]
ROUNDING = 0.1
"""What the solver's arithmetic may have lost of a whole micro-dollar."""


def set_prices(allocation: Allocation) -> list[Micros]:
    """Return each pool's price per period in micro-dollars; orders that no price can serve are taken out first."""
    grid = allocation.grid
    for pool in range(len(grid.pool_arrays)):
        while unsupported := _above_value(allocation, pool, _lowest(allocation, pool)):
            for order in allocation.with_children(unsupported):
                allocation.remove(order)
    floors = [_lowest(allocation, pool) for pool in range(len(grid.pool_arrays))]
    idles = [_cheapest_offer(arrays) for arrays in grid.pool_arrays]
    prices = []
    for pool, chosen in enumerate(choose_prices(allocation, floors, idles)):
        price = np.floor(chosen + ROUNDING).astype(np.int64)
        for order in sorted(allocation.members[pool]):
            _scale_down(allocation, order, price, floors[pool])
        prices.append(price)
    lower_needless(allocation, floors, prices)
    return prices


def _lowest(allocation: Allocation, pool: int) -> Micros:
    lowest: Micros = np.rint(allocation.top[pool]).astype(np.int64)
    return lowest


def _cheapest_offer(arrays: PoolArrays) -> Micros:
    best = np.zeros(arrays.offered.shape[1], dtype=np.int64)
    for step in reversed(range(len(arrays.asks_micro))):
        best = np.where(arrays.offered[step] > 0, arrays.asks_micro[step], best)
    return best


def _run(allocation: Allocation, order: int) -> tuple[int, slice, int]:
    placing = allocation.placed[order]
    if placing is None:
        raise AssertionError(f"order {order} is a member of a pool but not placed")
    candidate, start = placing
    duration = allocation.grid.order_rows[order].duration
    return candidate, slice(start, start + duration), int(allocation.grid.candidates[candidate].value) * duration


def _above_value(allocation: Allocation, pool: int, floor: Micros) -> list[int]:
    found = []
    for order in sorted(allocation.members[pool]):
        _, span, budget = _run(allocation, order)
        if int(floor[span].sum()) > budget:
            found.append(order)
    return found


def _scale_down(allocation: Allocation, order: int, price: Micros, floor: Micros) -> None:
    _, span, budget = _run(allocation, order)
    total, least = int(price[span].sum()), int(floor[span].sum())
    if total <= budget:
        return
    for period in range(span.start, span.stop):
        excess = int(price[period]) - int(floor[period])
        price[period] = int(floor[period]) + excess * (budget - least) // (total - least)


def render_price_runs(allocation: Allocation, pool_ids: list[str], prices: list[Micros]) -> tuple[PriceRun, ...]:
    """List the prices of every pool in runs, for the periods in which the pool offers anything."""
    found = []
    for pool, price in enumerate(prices):
        offered = (allocation.offered[pool] > 0).astype(np.int64)
        for begin, end in runs_of(np.stack([price, offered])):
            if offered[begin]:
                found.append(PriceRun(pool_ids[pool], begin, end, usd(int(price[begin]))))
    return tuple(found)


def share_lots(allocation: Allocation, pool: int) -> dict[int, tuple[LotShare, ...]]:
    """Hand the used nodes of a pool to its orders: narrower layers first, and an order that runs on a lot keeps it."""
    grid = allocation.grid
    arrays = grid.pool_arrays[pool]
    members = sorted(allocation.members[pool], key=lambda order: (_layer(allocation, order), order))
    takes: dict[int, dict[tuple[int, int], int]] = {order: {} for order in members}
    spans = {order: _run(allocation, order)[1] for order in members}
    for period in sorted({period for span in spans.values() for period in range(span.start, span.stop)}):
        running = [order for order in members if spans[order].start <= period < spans[order].stop]
        by_layer: dict[int, list[int]] = defaultdict(list)
        for order in running:
            by_layer[_layer(allocation, order)].append(order)
        needs = {layer: sum(_nodes(allocation, order) for order in orders) for layer, orders in by_layer.items()}
        left = stack(arrays, allocation.loads[pool][:, period : period + 1], period, period + 1)[3]
        used = [int(nodes) for nodes in arrays.offered[:, period] - left[:, 0]]
        for layer, quota in assign(arrays.layers, needs, used).items():
            orders = by_layer[layer]
            _hand_out(takes, orders, quota, period, [_nodes(allocation, order) for order in orders])
    return {order: _render_shares(arrays, takes[order]) for order in members}


def _layer(allocation: Allocation, order: int) -> int:
    placing = allocation.placed[order]
    return -1 if placing is None else allocation.grid.candidates[placing[0]].layer


def _nodes(allocation: Allocation, order: int) -> int:
    placing = allocation.placed[order]
    return 0 if placing is None else allocation.grid.candidates[placing[0]].nodes


def _hand_out(
    takes: dict[int, dict[tuple[int, int], int]],
    orders: list[int],
    quota: dict[int, int],
    period: int,
    needs: list[int],
) -> None:
    for order, need in zip(orders, needs, strict=True):
        mine = takes[order]
        for step in sorted(quota):
            take = min(mine.get((step, period - 1), 0), quota[step])
            if take:
                mine[step, period] = take
                quota[step] -= take
                need -= take  # noqa: PLW2901 - what is left to place is the point of the loop
        takes[order][-1, period] = need
    for order in orders:
        mine = takes[order]
        need = mine.pop((-1, period))
        for step in sorted(quota):
            take = min(need, quota[step])
            if take:
                mine[step, period] = mine.get((step, period), 0) + take
                quota[step] -= take
                need -= take


def _render_shares(arrays: PoolArrays, takes: dict[tuple[int, int], int]) -> tuple[LotShare, ...]:
    shares: list[LotShare] = []
    for (step, period), nodes in sorted(takes.items()):
        lot_id = arrays.lot_ids[step]
        last = shares[-1] if shares else None
        if last is not None and last.lot_id == lot_id and last.nodes == nodes and last.to_period == period:
            shares[-1] = LotShare(lot_id, nodes, last.from_period, period + 1)
        else:
            shares.append(LotShare(lot_id, nodes, period, period + 1))
    return tuple(shares)
