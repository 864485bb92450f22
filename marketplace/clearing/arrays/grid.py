"""The book as arrays: what the search computes on.

Money inside the engine is micro-dollars per GPU-hour as float64, exact for every price that a book may hold; published
values are recomputed from integers. Lots of a pool are sorted by ask and called steps. The sets of lots that bids on a
pool name are its layers, narrowest first; `carrying` says which lots carry what.
"""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.rules import Rules, compile_rules
from marketplace.clearing.model import Bid, Book, Lot, Order
from marketplace.clearing.money import micro

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One bid of one order at one of its sizes, as indexes into the grid."""

    order: int
    bid: int
    pool: int
    layer: int
    value: float
    nodes: int


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order: largest size, clipped inclusive start window, candidates; `last` < `first` when nothing fits."""

    nodes: int
    duration: int
    first: int
    last: int
    candidates: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PoolArrays:
    """One pool: its steps by rising ask, what each offers per period, and its layers, narrowest first.

    `plain` says that every bid on the pool may use every lot.
    """

    gpus: int
    lot_ids: tuple[str, ...]
    asks_micro: tuple[int, ...]
    ask: Floats
    offered: Floats
    layers: tuple[tuple[int, ...], ...]
    plain: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """A whole book, compiled."""

    periods: int
    hours: int
    pool_arrays: tuple[PoolArrays, ...]
    order_rows: tuple[OrderRow, ...]
    candidates: tuple[Candidate, ...]
    rules: Rules | None = None


def compile_book(book: Book) -> Grid:
    """Turn a checked book into arrays; only lots without nodes are left out."""
    index = {pool.pool_id: at for at, pool in enumerate(book.pools)}
    lots: list[list[Lot]] = [[] for _ in book.pools]
    for lot in book.lots:
        if lot.nodes:
            lots[index[lot.pool_id]].append(lot)
    steps = [sorted({(lot.ask_usd_per_gpu_hour, lot.lot_id) for lot in group}) for group in lots]
    names: list[set[frozenset[str]]] = [set() for _ in book.pools]
    everything = [frozenset(lot_id for _, lot_id in group) for group in steps]
    chosen: dict[tuple[int, int], frozenset[str]] = {}
    for order_at, order in enumerate(book.orders):
        for bid_at, bid in enumerate(order.bids):
            pool = index[bid.pool_id]
            allowed = everything[pool] if bid.lot_ids is None else everything[pool] & frozenset(bid.lot_ids)
            chosen[order_at, bid_at] = allowed
            names[pool].add(allowed)
    layers = [
        sorted(sets | {full}, key=lambda s: (len(s), sorted(s))) for sets, full in zip(names, everything, strict=True)
    ]
    pool_arrays = tuple(
        _compile_pool_arrays(pool.gpus_per_node, lots[at], steps[at], layers[at], book.periods)
        for at, pool in enumerate(book.pools)
    )
    candidates: list[Candidate] = []
    order_rows: list[OrderRow] = []
    for order_at, order in enumerate(book.orders):
        begin = len(candidates)
        for bid_at, bid in enumerate(order.bids):
            pool = index[bid.pool_id]
            layer = layers[pool].index(chosen[order_at, bid_at])
            value = float(micro(bid.value_usd_per_gpu_hour))
            candidates.extend(
                Candidate(order_at, bid_at, pool, layer, value, nodes) for nodes in list_sizes(order, bid)
            )
        order_rows.append(_compile_wish(order, range(begin, len(candidates)), book.periods))
    rules = compile_rules(book, [(candidate.order, candidate.bid, candidate.nodes) for candidate in candidates])
    return Grid(book.periods, book.period_hours, pool_arrays, tuple(order_rows), tuple(candidates), rules)


def list_sizes(order: Order, bid: Bid) -> list[int]:
    """Return the sizes at which a bid would take an order, the largest first."""
    return sorted({order.nodes, *order.sizes} if bid.sizes is None else set(bid.sizes), reverse=True)


def _compile_pool_arrays(
    gpus: int, lots: list[Lot], steps: list[tuple[Decimal, str]], layers: list[frozenset[str]], periods: int
) -> PoolArrays:
    at = {step: row for row, step in enumerate(steps)}
    offered = np.zeros((len(steps), periods))
    for lot in lots:
        offered[at[lot.ask_usd_per_gpu_hour, lot.lot_id], lot.from_period : lot.to_period] = lot.nodes
    members: dict[str, list[int]] = defaultdict(list)
    for row, (_, lot_id) in enumerate(steps):
        members[lot_id].append(row)
    asks = tuple(micro(ask) for ask, _ in steps)
    return PoolArrays(
        gpus,
        tuple(lot_id for _, lot_id in steps),
        asks,
        np.array(asks, dtype=np.float64),
        offered,
        tuple(tuple(sorted(row for lot_id in layer for row in members[lot_id])) for layer in layers),
        len(layers) == 1,
    )


def _compile_wish(order: Order, candidates: range, periods: int) -> OrderRow:
    last = min(order.start_latest, periods - order.duration_periods)
    return OrderRow(
        max(order.nodes, *order.sizes, 1), order.duration_periods, order.start_earliest, last, tuple(candidates)
    )


def window_sums(values: Floats, length: int) -> Floats:
    """Sum every run of `length` neighbours along the last axis."""
    sums = np.add.accumulate(values, axis=-1)
    runs: Floats = sums[..., length - 1 :].copy()
    runs[..., 1:] -= sums[..., :-length]
    return runs


def list_runs(first: Integers, length: Integers) -> Integers:
    """List the whole numbers of several runs, one run after another: of each, `length` from `first` on."""
    offset = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    runs: Integers = np.repeat(first, length) + offset
    return runs
