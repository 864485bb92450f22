"""Insertions: place an order that is out into the present allocation, and find the value that this needs.

An insertion is one placement of the order. Where lots are free, it costs their asks. Where they are not, it displaces
accepted orders, cheapest first, and the order must be worth strictly more than they added. At the value of an
insertion there is thus an allocation, with lawful prices, that is worth more than the present one. The least of these
values is an upper estimate of the order's price to win; on small books `winning.py` finds the exact one from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from marketplace.clearing.arrays.allocation import TOLERANCE_MICRO, Allocation, Placing
from marketplace.clearing.arrays.carrying import stack
from marketplace.clearing.arrays.grid import Grid, window_sums
from marketplace.clearing.arrays.ruled import find_rival
from marketplace.clearing.money import CENT_MICRO, ceil_cent, micro
from marketplace.clearing.program.bound import Shadow
from marketplace.core.money import PRICE_MAX_USD_PER_GPU_HOUR

PLACEMENTS_MAX = 4
WAITS_SHORT = (1.05, 1.15, 1.3, 1.5)
"""An order that needs at least the n-th of these multiples of its own value is skipped in the next n runs."""
ROUNDS_MAX = 200
VALUE_MICRO_MAX = micro(PRICE_MAX_USD_PER_GPU_HOUR)


@dataclass(frozen=True, slots=True)
class Insertion:
    """One placement of an order that is out, and what it needs.

    Attributes:
        candidate: The bid.
        start: The first period.
        value_micro: The least value per GPU-hour at which the insertion raises welfare, in micro-dollars.
        victims: Orders that must leave their placements.
        displaced: Those of them that find no other placement.
        rest: Welfare after the insertion less the order's own value, in micro-dollars.
    """

    candidate: int
    start: int
    value_micro: int
    victims: tuple[int, ...]
    displaced: tuple[int, ...]
    rest: Fraction


def count_hours(grid: Grid, candidate: int) -> int:
    """Return the GPU-hours of a placement."""
    bid = grid.candidates[candidate]
    order_row = grid.order_rows[bid.order]
    return bid.nodes * order_row.duration * grid.pool_arrays[bid.pool].gpus * grid.hours


def find_insertions(allocation: Allocation, shadow: Shadow, order: int, limit: int = PLACEMENTS_MAX) -> list[Insertion]:
    """Return the insertions of an order that is out, cheapest first; empty if no value would suffice.

    Args:
        allocation: The present allocation; it is unchanged afterwards.
        shadow: Shadow prices; they decide which placements are tried first.
        order: The order.
        limit: The most placements to try.
    """
    insertions = []
    for candidate, start in _promising(allocation, shadow, order, limit):
        insertion = _work_out(allocation, order, candidate, start)
        if insertion is not None:
            insertions.append(insertion)
    return sorted(insertions, key=lambda insertion: (insertion.value_micro, insertion.candidate, insertion.start))


def insert_improving(allocation: Allocation, shadow: Shadow, orders: Sequence[int]) -> None:
    """Insert those of the orders that are worth more than what they displace. Welfare never falls."""
    ImprovingInsertion(allocation, shadow).run(orders)


class ImprovingInsertion:
    """Inserts orders that raise welfare. The further an order's value is below what it needs, the more runs skip it."""

    def __init__(self, allocation: Allocation, shadow: Shadow) -> None:
        self.allocation, self.shadow = allocation, shadow
        self._waits: dict[int, int] = {}

    def run(self, orders: Sequence[int]) -> None:
        """Insert those of the orders that are worth more than what they displace. Welfare never falls."""
        for order in orders:
            if not self.allocation.out[order]:
                continue
            if self._waits.get(order, 0):
                self._waits[order] -= 1
            else:
                self._waits[order] = self._insert(order)

    def _insert(self, order: int) -> int:
        """Insert an order if that gains welfare; return how many of the next runs skip it."""
        candidates, nearest = self.allocation.grid.candidates, WAITS_SHORT[-1]
        for insertion in find_insertions(self.allocation, self.shadow, order):
            value = candidates[insertion.candidate].value
            if insertion.value_micro <= value and _bring_in(self.allocation, insertion):
                return 0
            nearest = min(nearest, insertion.value_micro / max(value, 1))
        return sum(nearest >= short for short in WAITS_SHORT)


def _bring_in(allocation: Allocation, insertion: Insertion) -> bool:
    """Carry out an insertion; undo it and return False if it gained nothing or broke a rule."""
    before, placed = allocation.total, list(allocation.placed)
    for victim in insertion.victims:
        allocation.remove(victim)
    allocation.place(insertion.candidate, insertion.start)
    for victim in insertion.victims:
        allocation.insert(victim)
    pools = {
        allocation.grid.candidates[placing[0]].pool
        for order in insertion.victims
        if (placing := allocation.placed[order])
    }
    pools.add(allocation.grid.candidates[insertion.candidate].pool)
    if (
        allocation.total > before + TOLERANCE_MICRO
        and not allocation.list_unsupported(pools)
        and not allocation.breaks_rules()
    ):
        return True
    allocation.restore(placed)
    allocation.total = before
    return False


def _promising(allocation: Allocation, shadow: Shadow, order: int, limit: int) -> list[Placing]:
    grid = allocation.grid
    order_row = grid.order_rows[order]
    ranked: list[tuple[float, int, int]] = []
    for candidate in order_row.candidates:
        bid = grid.candidates[candidate]
        if order_row.last < order_row.first:
            continue
        begin, end = order_row.first, order_row.last + order_row.duration
        arrays = grid.pool_arrays[bid.pool]
        for load, weight in ((np.zeros_like(allocation.loads[bid.pool]), 1), (allocation.loads[bid.pool], 0)):
            loads = load[:, begin:end].copy()
            loads[bid.layer] += bid.nodes
            cost, _, short, _ = stack(arrays, loads, begin, end)
            blocked = window_sums(short.astype(np.float64), order_row.duration) > 0
            if weight:
                score = (
                    shadow.shade(bid.pool, bid.layer, order_row.first, order_row.last, order_row.duration)
                    / order_row.duration
                )
            else:
                score = window_sums(cost - allocation.cost[bid.pool, begin:end], order_row.duration) / (
                    bid.nodes * order_row.duration
                )
            score = np.where(blocked, np.inf, score)
            at = int(score.argmin())
            if np.isfinite(score[at]):
                ranked.append((float(score[at]), candidate, order_row.first + at))
    ranked.sort()
    return list(dict.fromkeys((candidate, start) for _, candidate, start in ranked))[:limit]


def _work_out(allocation: Allocation, order: int, candidate: int, start: int) -> Insertion | None:
    """Return the insertion at one placement, None if no value suffices; the allocation is unchanged."""
    grid = allocation.grid
    bid, order_row = grid.candidates[candidate], grid.order_rows[order]
    hours = count_hours(grid, candidate)
    before = allocation.exact_micros()
    displaced: list[tuple[int, Placing]] = []
    try:
        for _ in range(ROUNDS_MAX):
            victim = _next_victim(allocation, order, candidate, start)
            if victim is None:
                break
            displaced.extend((gone, allocation.remove(gone)) for gone in allocation.with_children([victim]))
        else:
            return None
        if not allocation.has_room(candidate, start) or not allocation.keeps_rules(candidate, start):
            return None
        allocation.place(candidate, start)
        moved = [victim for victim, _ in displaced if allocation.insert(victim) > 0]
        rest = allocation.exact_micros() - int(bid.value) * hours
        least = ceil_cent(Fraction(before - rest, hours))
        if displaced and least * hours + rest <= before:
            least += CENT_MICRO
        span = slice(start, start + order_row.duration)
        least = max(least, ceil_cent(Fraction(int(allocation.top[bid.pool, span].sum()), order_row.duration)), 0)
        for victim in moved:
            allocation.remove(victim)
        allocation.remove(order)
    finally:
        for victim, (victim_way, victim_start) in reversed(displaced):
            if allocation.placed[victim] is None:
                allocation.place(victim_way, victim_start)
    gone = tuple(victim for victim, _ in displaced if victim not in moved)
    victims = tuple(victim for victim, _ in displaced)
    return Insertion(candidate, start, least, victims, gone, Fraction(rest)) if least <= VALUE_MICRO_MAX else None


def _next_victim(allocation: Allocation, order: int, candidate: int, start: int) -> int | None:
    """Return the accepted order that frees most per dollar of its welfare, None if the new order fits."""
    grid = allocation.grid
    bid, order_row = grid.candidates[candidate], grid.order_rows[order]
    end = start + order_row.duration
    if allocation.has_room(candidate, start):
        if not allocation.keeps_rules(candidate, start):
            return find_rival(allocation, candidate, start, _worth)
        hurt = allocation.hurts(candidate, start)
        return min(hurt, key=lambda other: (_worth(allocation, other), other)) if hurt else None
    loads = allocation.loads[bid.pool][:, start:end].copy()
    loads[bid.layer] += bid.nodes
    short = stack(grid.pool_arrays[bid.pool], loads, start, end)[2]
    best, best_score = None, np.inf
    for other in sorted(allocation.members[bid.pool]):
        placing = allocation.placed[other]
        if placing is None:
            continue
        begin, length = placing[1], grid.order_rows[other].duration
        low, high = max(begin, start) - start, min(begin + length, end) - start
        if low >= high:
            continue
        relief = min(grid.candidates[placing[0]].nodes, bid.nodes) * int(short[low:high].sum())
        if relief:
            score = _worth(allocation, other) / relief
            if score < best_score:
                best, best_score = other, score
    return best


def _worth(allocation: Allocation, order: int) -> float:
    """Return what an accepted order adds over the highest asks of its run, a cheap proxy of its marginal value."""
    grid = allocation.grid
    placing = allocation.placed[order]
    if placing is None:
        return 0.0
    bid, order_row = grid.candidates[placing[0]], grid.order_rows[order]
    run = allocation.top[bid.pool, placing[1] : placing[1] + order_row.duration].sum()
    return float((bid.value * order_row.duration - run) * bid.nodes * grid.pool_arrays[bid.pool].gpus * grid.hours)
