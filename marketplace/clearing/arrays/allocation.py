"""A partial answer that the search changes: which order runs where, what the lots then cost, and whether prices exist.

Invariants: no pool carries more than its lots offer; every accepted order's value covers the mean of the highest used
asks over its run, which is the lowest uniform price that could be charged, so that prices exist for every state.
"""

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass

import numpy as np

from marketplace.clearing.arrays.carrying import stack
from marketplace.clearing.arrays.constraint_usage import ConstraintUsage
from marketplace.clearing.arrays.grid import Candidate, Flags, Floats, Grid, PoolArrays, window_sums

TRIES_MAX = 6
FLOAT_EXACT_MAX = 2**52
"""Micro-dollars up to which `total` or a pool's costs, sums of whole numbers, are exact."""
TOLERANCE_MICRO = 10.0
"""How much the sums of two equal allocations may differ."""
Placing = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Options:
    """What each candidate and start of an order would add to welfare, in micro-dollars.

    `gain` has a row per candidate and a column per start, from the period `first` on. It is -inf where the placing does
    not fit, or the lowest price possible would exceed the order's value.
    """

    candidates: tuple[int, ...]
    first: int
    gain: Floats


class Allocation:
    """Placements of a grid's orders, with running loads, costs and highest used asks per pool and period.

    `total` follows the welfare in micro-dollars as placements come and go; `welfare` computes it anew.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        pool_arrays, periods = grid.pool_arrays, grid.periods
        count, steps = len(pool_arrays), max([1, *(len(arrays.ask) for arrays in pool_arrays)])
        self.placed: list[Placing | None] = [None] * len(grid.order_rows)
        self.members: list[dict[int, None]] = [{} for _ in pool_arrays]
        self.loads = [np.zeros((len(arrays.layers), periods)) for arrays in pool_arrays]
        self.load = np.zeros((count, periods))
        self.cost = np.zeros((count, periods))
        self.top = np.zeros((count, periods))
        self.offered = np.zeros((count, periods))
        self.total = 0.0
        self.out = np.ones(len(grid.order_rows), dtype=np.bool_)
        self.taken = None if grid.rules is None else ConstraintUsage(grid.rules)
        self._below = np.zeros((count, steps, periods))
        self._rise = np.zeros((count, steps))
        for at, arrays in enumerate(pool_arrays):
            self._prepare(at, arrays)
        self._plain = np.array([arrays.plain for arrays in pool_arrays], dtype=np.bool_)
        self._groups = [self._group(order) for order in range(len(grid.order_rows))]

    def _prepare(self, at: int, arrays: PoolArrays) -> None:
        rows = len(arrays.ask)
        if rows:
            total = np.cumsum(arrays.offered, axis=0)
            self.offered[at] = total[-1]
            self._below[at, 1:rows] = total[:-1]
            self._below[at, rows:] = total[-1]
            self._rise[at, :rows] = np.diff(arrays.ask, prepend=0.0)

    def _group(self, order: int) -> "_Group":
        candidates = self.grid.order_rows[order].candidates
        plain = tuple(candidate for candidate in candidates if self._plain[self.grid.candidates[candidate].pool])
        pools = np.array([self.grid.candidates[candidate].pool for candidate in plain], dtype=np.intp)
        values = np.array([self.grid.candidates[candidate].value for candidate in plain], dtype=np.float64)
        gpus = np.array([self.grid.pool_arrays[pool].gpus * self.grid.hours for pool in pools], dtype=np.float64)
        nodes = np.array([self.grid.candidates[candidate].nodes for candidate in plain], dtype=np.float64)[:, None]
        return _Group(
            plain,
            pools,
            values,
            gpus,
            nodes,
            tuple(candidate for candidate in candidates if candidate not in set(plain)),
        )

    def branch(self, grid: Grid) -> "Allocation":
        """Return an independent copy, on a grid with the same pools and further orders at its end."""
        copied = copy(self)
        more = range(len(self.placed), len(grid.order_rows))
        copied.grid = grid
        copied.placed = [*self.placed, *(None for _ in more)]
        copied.members = [dict(members) for members in self.members]
        copied.loads = [loads.copy() for loads in self.loads]
        copied.load, copied.cost, copied.top = self.load.copy(), self.cost.copy(), self.top.copy()
        copied.out = np.concatenate([self.out, np.ones(len(more), dtype=np.bool_)])
        if grid.rules is not None:
            copied.taken = ConstraintUsage(grid.rules)
            for order, placing in enumerate(copied.placed):
                if placing is not None:
                    copied.taken.shift(*placing, grid.order_rows[order].duration, 1)
        copied._groups = [*self._groups, *(copied._group(order) for order in more)]  # noqa: SLF001 - of our own class
        return copied

    def restore(self, placed: list[Placing | None]) -> None:
        """Go back to placements that this allocation had before."""
        for order, placing in enumerate(placed):
            if self.placed[order] != placing and self.placed[order] is not None:
                self.remove(order)
        for order, placing in enumerate(placed):
            if placing is not None and self.placed[order] is None:
                self.place(*placing)
        self.total = self.welfare()

    def options(self, order: int) -> Options:
        """Value every candidate and start of an order against the present state."""
        order_row = self.grid.order_rows[order]
        group = self._groups[order]
        plain, pools, layered = group.plain, group.pools, group.layered
        starts = order_row.last - order_row.first + 1
        if starts <= 0:
            return Options((), order_row.first, np.zeros((0, 0)))
        begin, end = order_row.first, order_row.last + order_row.duration
        gain = np.empty((len(plain) + len(layered), starts))
        if plain:
            load = self.load[pools, begin:end] + group.nodes
            over = load[:, None, :] - self._below[pools, :, begin:end]
            rise = self._rise[pools][:, None, :]
            top = np.matmul(rise, over > 0)[:, 0]
            cost = np.matmul(rise, np.maximum(over, 0.0, out=over))[:, 0]
            cost -= self.cost[pools, begin:end]
            short = load > self.offered[pools, begin:end]
            gains = _gains(cost, top, short, group.values[:, None], (group.nodes, order_row.duration))
            gain[: len(plain)] = gains * group.gpus[:, None]
        for row, candidate in enumerate(layered, len(plain)):
            bid = self.grid.candidates[candidate]
            loads = self.loads[bid.pool][:, begin:end].copy()
            loads[bid.layer] += bid.nodes
            arrays = self.grid.pool_arrays[bid.pool]
            cost, top, short, _ = stack(arrays, loads, begin, end)
            cost -= self.cost[bid.pool, begin:end]
            gain[row] = _gains(cost, top, short, bid.value, (bid.nodes, order_row.duration)) * (
                arrays.gpus * self.grid.hours
            )
        if self.taken is not None:
            for row, candidate in enumerate(plain + layered):
                gain[row, self.taken.list_blocked(candidate, order_row.first, starts, order_row.duration)] = -np.inf
        return Options(plain + layered, order_row.first, gain)

    def place(self, candidate: int, start: int) -> None:
        """Accept an order on one of its candidates; the caller has made sure that it fits."""
        bid = self.grid.candidates[candidate]
        self.placed[bid.order] = (candidate, start)
        self.out[bid.order] = False
        self.members[bid.pool][bid.order] = None
        self._shift(bid, start, bid.nodes)
        if self.taken is not None:
            self.taken.shift(candidate, start, self.grid.order_rows[bid.order].duration, 1)

    def remove(self, order: int) -> Placing:
        """Take an accepted order out and return where it was."""
        placing = self.placed[order]
        if placing is None:
            raise AssertionError(f"order {order} is not placed")
        self.placed[order] = None
        self.out[order] = True
        bid = self.grid.candidates[placing[0]]
        del self.members[bid.pool][order]
        self._shift(bid, placing[1], -bid.nodes)
        if self.taken is not None:
            self.taken.shift(*placing, self.grid.order_rows[order].duration, -1)
        return placing

    def with_children(self, orders: list[int]) -> list[int]:
        """Return accepted orders and all accepted ones that depend on them, each once, parents before children."""
        rules = self.grid.rules
        if rules is None:
            return orders
        found = dict.fromkeys(orders)
        queue = list(orders)
        while queue:
            for child in rules.children[queue.pop()]:
                if not self.out[child] and child not in found:
                    found[child] = None
                    queue.append(child)
        return self.sort_by_depth(list(found))

    def sort_by_depth(self, orders: list[int]) -> list[int]:
        """Return orders with parents before children, otherwise as they were."""
        rules = self.grid.rules
        return orders if rules is None else sorted(orders, key=rules.depth.__getitem__)

    def breaks_rules(self) -> bool:
        """Return whether placings take more of a limit than it has, or break a group or a link."""
        return self.taken is not None and self.taken.is_broken()

    def _shift(self, bid: Candidate, start: int, nodes: int) -> None:
        pool, duration = bid.pool, self.grid.order_rows[bid.order].duration
        end = start + duration
        self.loads[pool][bid.layer, start:end] += nodes
        self.load[pool, start:end] += nodes
        cost, top = self._costs(pool, start, end)
        added = float(np.add.reduce(cost - self.cost[pool, start:end]))
        self.cost[pool, start:end], self.top[pool, start:end] = cost, top
        self.total += (bid.value * nodes * duration - added) * (self.grid.pool_arrays[pool].gpus * self.grid.hours)

    def _costs(self, pool: int, begin: int, end: int) -> tuple[Floats, Floats]:
        arrays = self.grid.pool_arrays[pool]
        if not arrays.plain:
            cost, top, _, _ = stack(arrays, self.loads[pool][:, begin:end], begin, end)
            return cost, top
        over = self.load[pool, begin:end] - self._below[pool, :, begin:end]
        rise = self._rise[pool]
        top = rise @ (over > 0)
        return rise @ np.maximum(over, 0.0, out=over), top

    def has_room(self, candidate: int, start: int) -> bool:
        """Return whether the lots can carry a further placing."""
        bid = self.grid.candidates[candidate]
        end = start + self.grid.order_rows[bid.order].duration
        loads = self.loads[bid.pool][:, start:end].copy()
        loads[bid.layer] += bid.nodes
        return not stack(self.grid.pool_arrays[bid.pool], loads, start, end)[2].any()

    def keeps_rules(self, candidate: int, start: int) -> bool:
        """Return whether a further placing keeps the rules between orders."""
        return self.taken is None or self.taken.fits(
            candidate, start, self.grid.order_rows[self.grid.candidates[candidate].order].duration
        )

    def hurts(self, candidate: int, start: int) -> list[int]:
        """Return the accepted orders that a further order's placing would push above their value."""
        bid = self.grid.candidates[candidate]
        order_row = self.grid.order_rows[bid.order]
        end = start + order_row.duration
        arrays, pool = self.grid.pool_arrays[bid.pool], bid.pool
        if arrays.plain:
            over = self.load[pool, start:end] + bid.nodes - self._below[pool, :, start:end]
            top = self._rise[pool] @ (over > 0)
        else:
            loads = self.loads[pool][:, start:end].copy()
            loads[bid.layer] += bid.nodes
            top = stack(arrays, loads, start, end)[1]
        raised = top - self.top[pool, start:end]
        if not (raised > 0).any():
            return []
        after = self.top[pool].copy()
        after[start:end] = top
        return self._list_unsupported(pool, after, start, end)

    def _list_unsupported(self, pool: int, top: Floats, begin: int, end: int) -> list[int]:
        unsupported = []
        sums = [0, *np.cumsum(top.astype(np.int64)).tolist()]
        candidates, order_rows = self.grid.candidates, self.grid.order_rows
        for order in self.members[pool]:
            candidate, start = self.placed[order]  # type: ignore[misc]
            duration = order_rows[order].duration
            finish = start + duration
            if start < end and finish > begin and sums[finish] - sums[start] > candidates[candidate].value * duration:
                unsupported.append(order)
        return unsupported

    def is_overloaded(self, pool: int) -> bool:
        """Return whether a pool carries more than its lots offer, which only an unchecked `place` can bring about."""
        arrays = self.grid.pool_arrays[pool]
        return bool(stack(arrays, self.loads[pool], 0, self.grid.periods)[2].any())

    def list_unsupported(self, pools: Iterable[int] | None = None) -> list[int]:
        """Return the accepted orders, of some pools or of all, whose value is under the lowest price possible."""
        return [
            order
            for pool in (range(len(self.members)) if pools is None else pools)
            for order in self._list_unsupported(pool, self.top[pool], 0, self.grid.periods)
        ]

    def insert(self, order: int, shade: Floats | None = None) -> float:
        """Place an order where it gains most and hurts nobody; return the gain, 0 when it stays out.

        Args:
            order: The order.
            shade: Subtracted from each gain when choosing, same shape as the options, for shadow prices.
        """
        options = self.options(order)
        score = options.gain if shade is None else options.gain - shade
        allowed = options.gain > 0
        for _ in range(TRIES_MAX):
            if not allowed.any():
                return 0.0
            at = int(np.where(allowed, score, -np.inf).argmax())
            row, start = divmod(at, score.shape[1])
            candidate = options.candidates[row]
            if not self.hurts(candidate, options.first + start):
                self.place(candidate, options.first + start)
                return float(options.gain[row, start])
            allowed[row, start] = False
        return 0.0

    def exact_micros(self) -> int:
        """Return accepted value less asks, in micro-dollars, exact for any prices."""
        if abs(self.total) < FLOAT_EXACT_MAX:
            return round(self.total)
        total = 0
        for placing in self.placed:
            if placing is not None:
                bid = self.grid.candidates[placing[0]]
                order_row = self.grid.order_rows[bid.order]
                hours = bid.nodes * order_row.duration * self.grid.pool_arrays[bid.pool].gpus * self.grid.hours
                total += int(bid.value) * hours
        for pool, arrays in enumerate(self.grid.pool_arrays):
            if self.members[pool]:
                total -= self._asks_micro(pool, arrays) * arrays.gpus * self.grid.hours
        return total

    def _asks_micro(self, pool: int, arrays: PoolArrays) -> int:
        """Return the asks of a pool's used nodes over all periods; its costs are whole numbers, exact while small."""
        asks = float(self.cost[pool].sum())
        if asks < FLOAT_EXACT_MAX:
            return round(asks)
        left = stack(arrays, self.loads[pool], 0, self.grid.periods)[3]
        used = (arrays.offered - left).sum(axis=1)
        return sum(ask * int(nodes) for ask, nodes in zip(arrays.asks_micro, used.tolist(), strict=True))

    def welfare(self) -> float:
        """Return accepted value less asks, in micro-dollars."""
        total = 0.0
        for placing in self.placed:
            if placing is not None:
                bid = self.grid.candidates[placing[0]]
                order_row = self.grid.order_rows[bid.order]
                total += (
                    bid.value * bid.nodes * order_row.duration * self.grid.pool_arrays[bid.pool].gpus * self.grid.hours
                )
        for pool, arrays in enumerate(self.grid.pool_arrays):
            total -= float(self.cost[pool].sum()) * arrays.gpus * self.grid.hours
        return total


@dataclass(frozen=True, slots=True)
class _Group:
    """An order's candidates on pools of one layer as arrays, and its other candidates."""

    plain: tuple[int, ...]
    pools: np.ndarray
    values: Floats
    gpus: Floats
    nodes: Floats
    layered: tuple[int, ...]


def _gains(cost: Floats, top: Floats, short: Flags, value: Floats | float, size: tuple[Floats | int, int]) -> Floats:
    nodes, duration = size
    gain = value * (nodes * duration) - window_sums(cost, duration)
    blocked = window_sums(top, duration) > value * duration
    if short.any():
        blocked |= window_sums(short.astype(np.float64), duration) > 0
    gain[blocked] = -np.inf
    return gain
