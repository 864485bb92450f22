"""Idle nodes that ask less than the price of their period, and why.

A price above the ask of an idle node has one of two causes. A lot in use asks exactly that price. Or, at the lowest ask
of the idle nodes, rejected orders would forgo more than they do; the prices weigh both (`program/price_program.py`).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Literal

import numpy as np

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.grid import PoolArrays
from marketplace.clearing.model import Book, Decision, IdleSupply, LotShare
from marketplace.clearing.money import usd
from marketplace.clearing.program.bound import runs_of
from marketplace.clearing.program.pricing import Micros

Cause = Literal["used_lot", "rejected_orders"]


def list_idle_supply(
    allocation: Allocation, prices: list[Micros], decisions: Sequence[Decision]
) -> tuple[IdleSupply, ...]:
    """List idle nodes whose ask is below the price, by pool and lot, in runs of equal periods.

    Args:
        allocation: What runs, backstop orders apart.
        prices: Per pool the price of each period in micro-dollars.
        decisions: All decisions, those of backstop orders included: what these use is not idle.
    """
    shares: dict[str, list[LotShare]] = defaultdict(list)
    for decision in decisions:
        for share in () if decision.match is None else decision.match.lots:
            shares[share.lot_id].append(share)
    return tuple(
        idle
        for pool, arrays in enumerate(allocation.grid.pool_arrays)
        for idle in _list_idle(arrays, allocation.load[pool] > 0, np.rint(allocation.top[pool]), prices[pool], shares)
    )


def _list_idle(
    arrays: PoolArrays, busy: Micros, highest: Micros, price: Micros, shares: dict[str, list[LotShare]]
) -> Iterator[IdleSupply]:
    for step, (lot_id, ask) in enumerate(zip(arrays.lot_ids, arrays.asks_micro, strict=True)):
        left = arrays.offered[step].astype(np.int64)
        for share in shares[lot_id]:
            left[share.from_period : share.to_period] -= share.nodes
        shown = busy & (left > 0) & (price > ask)
        for begin, end in runs_of(np.stack([left, price, highest.astype(np.int64), shown.astype(np.int64)])):
            if shown[begin]:
                cause: Cause = "used_lot" if price[begin] == highest[begin] else "rejected_orders"
                nodes, paid = int(left[begin]), usd(int(price[begin]))
                yield IdleSupply(lot_id, nodes, begin, end, usd(int(ask)), paid, cause)


def sum_idle_supply(book: Book, idle: Sequence[IdleSupply]) -> Decimal:
    """Return what idle supply would earn above its asks at the prices, in US dollars."""
    pools = {lot.lot_id: lot.pool_id for lot in book.lots}
    gpus = {pool.pool_id: pool.gpus_per_node for pool in book.pools}
    return sum(
        (
            (row.price_usd_per_gpu_hour - row.ask_usd_per_gpu_hour)
            * (row.nodes * (row.to_period - row.from_period) * gpus[pools[row.lot_id]] * book.period_hours)
            for row in idle
        ),
        Decimal(0),
    )
