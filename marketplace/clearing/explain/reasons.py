"""Why an order was not matched: every reason with its numbers, the decisive one first.

Codes, in the order in which they decide: `no_eligible_pool` (no bid at all), `never_feasible` (does not fit the pools
even when empty), `below_ask` (worth less than the cheapest asks that could carry it), `paradoxically_rejected` (in the
money at the published prices, yet all-or-nothing orders leave no room that is worth more), `outbid` (displaced by
orders that are worth more). `no_capacity` and `fragmented` follow as circumstances. `never_feasible` names an
irreducible conflicting set of the order's constraints; the other decisive reasons state the single changes that win.
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.carrying import stack, stack_alone
from marketplace.clearing.arrays.grid import Grid, Wish, window_sums
from marketplace.clearing.arrays.ruled import list_rule_reasons
from marketplace.clearing.explain.relaxing import find_conflict, list_relaxations, tell_conflict
from marketplace.clearing.explain.winning import PriceToWin
from marketplace.clearing.model import Book, Order, Reason
from marketplace.clearing.money import MICRO, say_amount, say_rate, show, usd
from marketplace.clearing.program.pricing import Micros


def regret_micros(allocation: Allocation, prices: list[Micros], order: int) -> tuple[int, int, int]:
    """Return what an order would gain at the prices on its best placement, with way and start; 0 out of the money."""
    grid = allocation.grid
    wish = grid.wishes[order]
    best = (0, -1, -1)
    for at in wish.ways if wish.last >= wish.first else ():
        way = grid.ways[at]
        span = slice(wish.first, wish.last + wish.duration)
        _, short = stack_alone(grid.yards[way.pool], way.layer, way.nodes, span.start, span.stop)
        sums = np.concatenate([[0], np.cumsum(prices[way.pool][span])])
        total = sums[wish.duration :] - sums[: -wish.duration]
        total = np.where(window_sums(short, wish.duration) > 0, np.iinfo(np.int64).max, total)
        low = int(total.argmin())
        if total[low] == np.iinfo(np.int64).max:
            continue
        per_gpu = int(way.value) * wish.duration - int(total[low])
        gain = per_gpu * way.nodes * grid.yards[way.pool].gpus * grid.hours
        if gain > best[0]:
            best = (gain, at, wish.first + low)
    return best


def list_reasons(
    book: Book, allocation: Allocation, prices: list[Micros], order: int, to_win: PriceToWin | None
) -> tuple[Reason, ...]:
    """Return the reasons why an order is out, the decisive one first."""
    grid = allocation.grid
    wish = grid.wishes[order]
    hopeless = find_hopeless(grid, order, book.orders[order])
    floor = cheapest_alone(grid, wish)
    if hopeless is not None or floor is None:
        return () if hopeless is None else (hopeless,)
    cheapest, at, start = floor
    facts = {
        "pool_id": book.pools[grid.ways[at].pool].pool_id,
        "start_period": str(start),
        "ask_usd_per_gpu_hour": show(cheapest / MICRO),
        "value_usd_per_gpu_hour": show(usd(int(grid.ways[at].value))),
    }
    if to_win is not None:
        facts["price_to_win_usd_per_gpu_hour"] = show(usd(to_win.value_micro))
        facts["price_to_win_guarantee"] = "exact" if to_win.exact else "indicative"
    found = list_rule_reasons(book, allocation, order)
    if all(_margin_alone(grid, wish, way) <= 0 for way in wish.ways):
        worth, ask = say_rate(facts["value_usd_per_gpu_hour"]), say_rate(facts["ask_usd_per_gpu_hour"])
        text = f"worth {worth} USD per GPU-hour where the cheapest asks come to {ask}"
        found.append(Reason("below_ask", text, facts))
    gain, way, at_start = regret_micros(allocation, prices, order)
    if gain > 0:
        pool_id = book.pools[grid.ways[way].pool].pool_id
        why = "no whole placement is worth more than what it would displace"
        if found:
            why = "what was said before keeps it out"
        text = f"in the money on {pool_id} by {say_amount(usd(gain))} USD at the published prices, but {why}"
        more = {"pool_id": pool_id, "start_period": str(at_start), "regret_usd": show(usd(gain))}
        found.append(Reason("paradoxically_rejected", text, facts | more))
    if not found:
        text = (
            f"orders that together are worth as much or more took the capacity, and its value of"
            f" {say_rate(facts['value_usd_per_gpu_hour'])} USD per GPU-hour is not above the published prices"
        )
        found.append(Reason("outbid", text, facts))
    found[0] = replace(found[0], facts={**found[0].facts, **list_relaxations(allocation, order)})
    return (*found, *_circumstances(allocation, order))


def find_hopeless(grid: Grid, order: int, asked: Order) -> Reason | None:
    """Return why an order could not be served whatever it offered, None where it could on the empty pools."""
    wish = grid.wishes[order]
    if not wish.ways:
        return tell_conflict(Reason("no_eligible_pool", "no pool and mandate would take this order", {}), asked)
    if cheapest_alone(grid, wish) is not None:
        return None
    return tell_conflict(_never_feasible(grid, order, asked.start_latest), asked)


def cheapest_alone(grid: Grid, wish: Wish) -> tuple[Fraction, int, int] | None:
    """Return the least mean ask of an order on the empty pools in micro-dollars, with its way and start."""
    best: tuple[Fraction, int, int] | None = None
    for at in wish.ways if wish.last >= wish.first else ():
        way = grid.ways[at]
        cost, short = stack_alone(grid.yards[way.pool], way.layer, way.nodes, wish.first, wish.last + wish.duration)
        total = np.where(window_sums(short, wish.duration) > 0, np.inf, window_sums(cost, wish.duration))
        low = int(total.argmin())
        if np.isfinite(total[low]):
            mean = Fraction(round(float(total[low])), way.nodes * wish.duration)
            if best is None or mean < best[0]:
                best = (mean, at, wish.first + low)
    return best


def _margin_alone(grid: Grid, wish: Wish, at: int) -> float:
    way = grid.ways[at]
    cost, short = stack_alone(grid.yards[way.pool], way.layer, way.nodes, wish.first, wish.last + wish.duration)
    total = np.where(window_sums(short, wish.duration) > 0, np.inf, window_sums(cost, wish.duration))
    return way.value * way.nodes * wish.duration - float(total.min())


def _never_feasible(grid: Grid, order: int, start_latest: int) -> Reason:
    """Say what would have to give for the order to fit the empty pools: start, size or duration."""
    wish = grid.wishes[order]
    least = min(grid.ways[at].nodes for at in wish.ways)
    starts, sizes, lengths = [], [0], [0]
    for at in wish.ways:
        way = grid.ways[at]
        yard = grid.yards[way.pool]
        steps = list(yard.layers[way.layer])
        room = yard.offered[steps].sum(axis=0) if steps else np.zeros(grid.periods)
        enough = (room >= way.nodes).astype(np.float64)
        if wish.duration <= grid.periods:
            starts += np.flatnonzero(window_sums(enough, wish.duration) == wish.duration).tolist()
        for start in range(wish.first, min(start_latest, grid.periods - 1) + 1):
            span = room[start : start + wish.duration]
            if len(span) == wish.duration:
                sizes.append(int(span.min()))
            broken = np.flatnonzero(enough[start:] == 0)
            lengths.append(min(int(broken[0]) if len(broken) else grid.periods - start, wish.duration))
    conflict = find_conflict(grid, order, start_latest)
    facts = {
        "conflict": ",".join(conflict),
        "largest_nodes": str(max(sizes)),
        "longest_duration_periods": str(max(lengths)),
    }
    if starts:
        nearest = min(starts, key=lambda start: (max(wish.first - start, start - start_latest, 0), start))
        facts["nearest_feasible_start"] = str(nearest)
    best = [f"{max(sizes)} nodes for that long"] * (max(sizes) > 0)
    best += [f"{least} nodes for {max(lengths) * grid.hours} hours"] * (max(lengths) > 0)
    text = (
        f"no eligible pool offers {least} nodes for {wish.duration * grid.hours} hours from a start inside the window;"
        f" {'at most ' + ' or '.join(best) if best else 'in it neither fewer nodes nor fewer hours fit'}"
    )
    return Reason("never_feasible", text, facts)


def _circumstances(allocation: Allocation, order: int) -> tuple[Reason, ...]:
    """Tell whether room is left: none at all (`no_capacity`), or enough, but in pieces (`fragmented`)."""
    grid = allocation.grid
    wish = grid.wishes[order]
    total, longest = 0.0, 0
    least = min((grid.ways[at].nodes for at in wish.ways), default=wish.nodes)
    for at in wish.ways:
        way = grid.ways[at]
        begin, end = wish.first, wish.last + wish.duration
        yard = grid.yards[way.pool]
        steps = list(yard.layers[way.layer])
        if not steps:
            continue
        left = stack(yard, allocation.loads[way.pool][:, begin:end], begin, end)[3][steps].sum(axis=0)
        total += float(left.sum())
        runs = window_sums((left >= least).astype(np.float64), wish.duration)
        longest = max(longest, int(runs.max()))
    if longest >= wish.duration:
        return ()
    facts = {"free_node_periods": str(int(total)), "needed_node_periods": str(least * wish.duration)}
    if total >= least * wish.duration:
        text = (
            f"{int(total) * grid.hours} node-hours are free in its pools and window, but nowhere {least} nodes for"
            f" {wish.duration * grid.hours} hours in one run"
        )
        return (Reason("fragmented", text, facts),)
    needed = least * wish.duration * grid.hours
    text = f"only {int(total) * grid.hours} node-hours are left in its pools and window, it needs {needed}"
    return (Reason("no_capacity", text, facts),)
