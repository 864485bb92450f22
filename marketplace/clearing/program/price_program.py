"""Which of the lawful uniform prices are published: linear programs, one after the other, decide.

An allocation mostly leaves room for many uniform prices. Prices are lawful if every used lot gets at least its ask and
no accepted order pays more than its value. Among them these aims decide, each only among the prices that are best for
those before:

1. The least forgone gain where nodes are idle: what idle nodes would earn above their asks at the prices, plus what
   rejected orders would gain at the prices, counting only placements that idle nodes could carry whole at asks that
   the order would pay.
2. The least forgone gain of all rejected orders that rules between orders do not keep out.
3. The least change of price between neighbouring periods with the same lots on offer.
4. The least that is paid in all.

1 and 2 are what power markets call lost opportunity costs; for divisible orders both are zero at the prices of a
competitive equilibrium. No price is above the highest bid that could use its pool and period, unless a used lot asks
more. Where nothing runs, the price is the cheapest ask.

A rejected order gains on its best placement only. The programs begin without placements and add the best one of every
order at the prices just found, until none is missing.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import highspy
import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.carrying import stack
from marketplace.clearing.arrays.grid import Flags, Floats, Integers
from marketplace.clearing.program.bound import SHADOW_MICRO_MAX
from marketplace.clearing.program.program import CandidateTable, Columns, list_columns, new_solver, run_solver

Micros = NDArray[np.int64]
ROUNDS_MAX: Final = 200
"""Rounds of added placements for each aim; if they do not suffice, later aims begin from what was found."""
TOLERANCE: Final = 1e-10
"""The most by which the solver may violate a row, or a later aim may worsen an earlier one, relative to the amounts."""


@dataclass(frozen=True, slots=True)
class _Gains:
    """Placements of rejected orders: what each would gain is `worth` less `scale` times the prices of its run."""

    order: Integers
    pool: Integers
    start: Integers
    end: Integers
    worth: Floats
    scale: Floats
    free: Flags

    def take_free(self) -> "_Gains":
        """Return the placements that idle nodes could carry whole at asks that their order would pay."""
        return _Gains(**{name: getattr(self, name)[self.free] for name in self.__slots__})


@dataclass(slots=True)
class _Aim:
    """One aim: the costs of its columns, and which placements' gains it counts."""

    cost: dict[int, float] = field(default_factory=dict)
    free_only: bool | None = None


def choose_prices(allocation: Allocation, floors: list[Micros], idles: list[Micros]) -> list[Floats]:
    """Return a price per pool and period in micro-dollars, to be rounded down.

    Args:
        allocation: Every accepted order's value covers the floors of its run.
        floors: Per pool the highest used ask of each period, the least that its price can be.
        idles: Per pool the price of each period in which nothing runs.
    """
    if not floors:
        return []
    program = _Program(allocation, floors, idles)
    if program.count:
        program.run()
    return program.render()


def lower_needless(allocation: Allocation, floors: list[Micros], prices: list[Micros]) -> None:
    """Lower each price above an idle node's ask to that ask, if no rejected order would gain at the lower price.

    Only orders count that idle nodes could serve whole at asks that they would pay.

    The solver's tolerance lets later aims raise a price by some micro-dollars; what they raised is taken back here.

    Args:
        allocation: What runs.
        floors: Per pool the highest used ask of each period; no price goes below it.
        prices: Per pool the price of each period, changed in place.
    """
    targets = [_find_targets(allocation, pool, floor) for pool, floor in enumerate(floors)]
    if not any((price > target).any() for price, target in zip(prices, targets, strict=True)):
        return
    gains = _list_gains(allocation, np.stack(floors).astype(np.float64)).take_free()
    for pool, (price, target) in enumerate(zip(prices, targets, strict=True)):
        mine = np.flatnonzero(gains.pool == pool)
        start, end, scale = gains.start[mine], gains.end[mine], gains.scale[mine]
        sums = np.concatenate([[0], price.cumsum()])
        gain = gains.worth[mine] - scale * (sums[end] - sums[start])
        noise = 1.0 + 1e-12 * np.abs(gains.worth[mine])
        for period in np.flatnonzero(price > target).tolist():
            over = (start <= period) & (period < end)
            lowered = gain + scale * float(price[period] - target[period])
            if not (over & (lowered > noise)).any():
                gain = np.where(over, lowered, gain)
                price[period] = target[period]


def _find_targets(allocation: Allocation, pool: int, floor: Micros) -> Micros:
    """Return the least price of each period that pays every used lot and some idle node its ask, if nodes are idle."""
    arrays, load = allocation.grid.pool_arrays[pool], allocation.load[pool]
    left = stack(arrays, allocation.loads[pool], 0, len(floor))[3]
    never = np.iinfo(np.int64).max
    asks = np.where(left > 0, np.array(arrays.asks_micro, dtype=np.int64)[:, None], never)
    lowest = asks.min(axis=0, initial=never)
    return np.where(load > 0, np.maximum(lowest, floor), never)


class _Program:
    """The linear program, in units of the highest price that is possible."""

    def __init__(self, allocation: Allocation, floors: list[Micros], idles: list[Micros]) -> None:
        grid = allocation.grid
        self.allocation = allocation
        self.least = np.stack(floors).astype(np.float64)
        self.runs = allocation.load > 0
        self.price = np.where(self.runs, self.least, np.stack(idles).astype(np.float64))
        most = np.clip(find_highest_bids(allocation), self.least, np.maximum(self.least, SHADOW_MICRO_MAX))
        self.most = np.where(self.runs, most, self.price)
        self.unit = max(1.0, float(self.most.max(initial=0.0)))
        self.column = np.full(self.runs.shape, -1, dtype=np.int64)
        self.column[self.runs] = np.arange(int(self.runs.sum()))
        self.count = int(self.runs.sum())
        self.hours = np.array([arrays.gpus * grid.hours for arrays in grid.pool_arrays], dtype=np.float64)
        self.gains = _list_gains(allocation, self.price)
        self.weight = max(1.0, float((self.allocation.offered * self.hours[:, None]).max(initial=0.0)))
        self.solver = new_solver(1)
        for tolerance in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            self.solver.setOptionValue(tolerance, TOLERANCE)
        self.added: set[tuple[bool, int]] = set()
        self._add_prices()
        self.gain_of = {
            (free, order): self._add_column()
            for free, some in ((True, self.gains.free), (False, slice(None)))
            for order in np.unique(self.gains.order[some]).tolist()
        }

    def _add_prices(self) -> None:
        lower, upper = self.least[self.runs] / self.unit, self.most[self.runs] / self.unit
        none: tuple[Any, ...] = (0, np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0))
        self.solver.addCols(self.count, np.zeros(self.count), lower, upper, *none)
        self.columns = self.count
        for pool, members in enumerate(self.allocation.members):
            for order in sorted(members):
                candidate, start = self.allocation.placed[order]  # type: ignore[misc]
                end = start + self.allocation.grid.order_rows[order].duration
                budget = self.allocation.grid.candidates[candidate].value * (end - start)
                if self.most[pool, start:end].sum() > budget:
                    index = self.column[pool, start:end]
                    self._add_row(-highspy.kHighsInf, budget / self.unit, index, np.ones(end - start))

    def _add_row(self, low: float, high: float, index: Integers, value: Floats) -> None:
        self.solver.addRow(low, high, len(index), index.astype(np.int32), value)

    def _add_column(self) -> int:
        self.solver.addCol(0.0, 0.0, highspy.kHighsInf, 0, np.zeros(0, np.int32), np.zeros(0))
        self.columns += 1
        return self.columns - 1

    def run(self) -> None:
        """Pursue the aims in turn."""
        idle = self._add_idle()
        for aim in (_Aim(idle, free_only=True), _Aim(free_only=False), _Aim(self._add_steps()), _Aim(self._pay())):
            if not self._pursue(aim):
                return

    def _add_idle(self) -> dict[int, float]:
        """Add what idle nodes would earn above their asks, and return its costs."""
        cost: dict[int, float] = {}
        for pool, arrays in enumerate(self.allocation.grid.pool_arrays):
            left = stack(arrays, self.allocation.loads[pool], 0, self.runs.shape[1])[3]
            for step, period in np.argwhere((left > 0) & self.runs[pool] & (arrays.ask[:, None] < self.most[pool])):
                above = self._add_column()
                cost[above] = float(left[step, period]) * self.hours[pool] / self.weight
                index = np.array([above, self.column[pool, period]])
                self._add_row(-arrays.ask[step] / self.unit, highspy.kHighsInf, index, np.array([1.0, -1.0]))
        return cost

    def _add_steps(self) -> dict[int, float]:
        """Add the change of price between neighbouring periods with the same lots on offer, and return its costs."""
        cost: dict[int, float] = {}
        for pool, arrays in enumerate(self.allocation.grid.pool_arrays):
            same = (arrays.offered[:, 1:] == arrays.offered[:, :-1]).all(axis=0)
            for period in np.flatnonzero(same & self.runs[pool, 1:] & self.runs[pool, :-1]).tolist():
                change = self._add_column()
                cost[change] = 1.0
                index = np.array([change, *self.column[pool, period : period + 2]])
                for sign in (1.0, -1.0):
                    self._add_row(0.0, highspy.kHighsInf, index, np.array([1.0, sign, -sign]))
        return cost

    def _pay(self) -> dict[int, float]:
        paid = (self.allocation.load * self.hours[:, None])[self.runs] / self.weight
        return dict(enumerate(paid.tolist()))

    def _pursue(self, aim: _Aim) -> bool:
        """Find the prices that are best for an aim, and hold later ones to it; return whether that was possible."""
        cost = dict(aim.cost)
        if aim.free_only is not None:
            cost |= {at: 1.0 for (free, _), at in self.gain_of.items() if free == aim.free_only}
        costs = np.zeros(self.columns)
        costs[list(cost)] = list(cost.values())
        self.solver.changeColsCost(self.columns, np.arange(self.columns, dtype=np.int32), costs)
        for _ in range(ROUNDS_MAX):
            run_solver(self.solver)
            if self.solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
                return False
            found = np.array(self.solver.getSolution().col_value)
            self.price[self.runs] = np.clip(
                found[: self.count] * self.unit, self.least[self.runs], self.most[self.runs]
            )
            if not self._add_missing(found, aim):
                break
        index = np.array(list(cost), dtype=np.int64)
        if len(index):
            value = float(costs[index] @ found[index])
            self._add_row(-highspy.kHighsInf, value + TOLERANCE * max(1.0, abs(value)), index, costs[index])
        return True

    def _add_missing(self, found: Floats, aim: _Aim) -> bool:
        """Add every rejected order's best placement at the prices, if its gain is not counted yet."""
        added = self._add_best(found, free=True)
        return (not aim.free_only and self._add_best(found, free=False)) or added

    def _add_best(self, found: Floats, *, free: bool) -> bool:
        gains, added = self.gains, False
        chosen = np.flatnonzero(gains.free) if free else np.arange(len(gains.order))
        if not len(chosen):
            return False
        sums = np.concatenate([np.zeros((len(self.price), 1)), self.price.cumsum(axis=1)], axis=1)
        pool = gains.pool[chosen]
        paid = sums[pool, gains.end[chosen]] - sums[pool, gains.start[chosen]]
        gain = gains.worth[chosen] - gains.scale[chosen] * paid
        order = gains.order[chosen]
        ranked = np.lexsort((-gain, order))
        best = ranked[np.concatenate([[True], np.diff(order[ranked]) > 0])]
        noise = TOLERANCE * self.unit * self.weight
        for at in best[gain[best] > noise].tolist():
            key = (free, int(order[at]))
            counted = found[self.gain_of[key]] * self.unit * self.weight
            if gain[at] > counted + noise and (free, int(chosen[at])) not in self.added:
                self.added.add((free, int(chosen[at])))
                self._add_gain(key, int(chosen[at]))
                added = True
        return added

    def _add_gain(self, key: tuple[bool, int], at: int) -> None:
        gains = self.gains
        pool, span = int(gains.pool[at]), slice(int(gains.start[at]), int(gains.end[at]))
        running = self.runs[pool, span]
        scale = float(gains.scale[at]) / self.weight
        fixed = float(self.price[pool, span][~running].sum()) / self.unit * scale
        prices = self.column[pool, span][running]
        index = np.array([self.gain_of[key], *prices])
        worth = float(gains.worth[at]) / (self.unit * self.weight)
        self._add_row(worth - fixed, highspy.kHighsInf, index, np.array([1.0, *np.full(len(prices), scale)]))

    def render(self) -> list[Floats]:
        """Return the prices found."""
        return list(self.price)


def find_highest_bids(allocation: Allocation) -> Floats:
    """Return, per pool and period, the highest value of a bid that could use it, in micro-dollars; 0 without one."""
    grid = allocation.grid
    highest = np.zeros((len(grid.pool_arrays), grid.periods))
    for candidate in grid.candidates:
        order_row = grid.order_rows[candidate.order]
        if order_row.last >= order_row.first:
            span = highest[candidate.pool, order_row.first : order_row.last + order_row.duration]
            np.maximum(span, candidate.value, out=span)
    return highest


def _list_gains(allocation: Allocation, least: Floats) -> _Gains:
    """List rejected orders' placements that rules allow, that fit the empty pools and gain at the least prices."""
    grid = allocation.grid
    table = CandidateTable(grid)
    columns = list_columns(grid, range(len(grid.order_rows)))
    columns = columns.take(allocation.out[table.order[columns.candidate]])
    sums = np.concatenate([np.zeros((len(least), 1)), least.cumsum(axis=1)], axis=1)
    pool, end = table.pool[columns.candidate], columns.start + table.duration[columns.candidate]
    paid = sums[pool, end] - sums[pool, columns.start]
    columns = columns.take(table.value[columns.candidate] * (end - columns.start) > paid)
    if allocation.taken is not None:
        columns = columns.take(_list_allowed(allocation, columns))
    candidate = columns.candidate
    scale = table.nodes[candidate] * table.hours[candidate]
    duration = table.duration[candidate]
    return _Gains(
        order=table.order[candidate],
        pool=table.pool[candidate],
        start=columns.start,
        end=columns.start + duration,
        worth=table.value[candidate] * duration * scale,
        scale=scale,
        free=_list_free(allocation, columns, duration),
    )


def _list_allowed(allocation: Allocation, columns: Columns) -> Flags:
    allowed = np.ones(len(columns.candidate), dtype=np.bool_)
    assert allocation.taken is not None
    for candidate in np.unique(columns.candidate).tolist():
        mine = columns.candidate == candidate
        order_row = allocation.grid.order_rows[allocation.grid.candidates[candidate].order]
        starts = order_row.last - order_row.first + 1
        blocked = allocation.taken.list_blocked(candidate, order_row.first, starts, order_row.duration)
        allowed[mine] = ~blocked[columns.start[mine] - order_row.first]
    return allowed


def _list_free(allocation: Allocation, columns: Columns, duration: Integers) -> Flags:
    """Return, for each placement, whether the idle nodes could carry it whole, and it would pay the dearest of them.

    Otherwise a provider could raise a price above its idle nodes' ask: by further nodes at an ask that nobody pays, and
    an order of its own that is too large for the others.
    """
    grid = allocation.grid
    short: dict[tuple[int, int, int], tuple[Integers, Floats]] = {}
    free = np.zeros(len(columns.candidate), dtype=np.bool_)
    for candidate in np.unique(columns.candidate).tolist():
        bid = grid.candidates[candidate]
        key = (bid.pool, bid.layer, bid.nodes)
        if key not in short:
            arrays, loads = grid.pool_arrays[bid.pool], allocation.loads[bid.pool].copy()
            before = stack(arrays, loads, 0, grid.periods)[3]
            loads[bid.layer] += bid.nodes
            _, _, missing, left = stack(arrays, loads, 0, grid.periods)
            dearest = np.where(before > left, arrays.ask[:, None], 0.0).max(axis=0)
            short[key] = tuple(np.concatenate([[0], np.cumsum(each)]) for each in (missing, dearest))  # type: ignore[assignment]
        low, high = np.searchsorted(columns.candidate, [candidate, candidate + 1])
        start, end = columns.start[low:high], columns.start[low:high] + duration[low:high]
        lacking, asked = ((sums[end] - sums[start]) for sums in short[key])
        free[low:high] = (lacking == 0) & (asked <= bid.value * duration[low:high])
    return free
