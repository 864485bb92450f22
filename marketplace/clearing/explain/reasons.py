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
from marketplace.clearing.arrays.carrying import stack, stack_candidate
from marketplace.clearing.arrays.grid import Grid, OrderRow, window_sums
from marketplace.clearing.arrays.ruled import list_rule_reasons
from marketplace.clearing.explain.relaxing import add_conflict, find_conflict, list_relaxations
from marketplace.clearing.explain.winning import PriceToWin
from marketplace.clearing.model import Book, Order, Reason
from marketplace.clearing.money import MICRO, say_amount, say_rate, show, usd
from marketplace.clearing.program.pricing import Micros


def regret_micros(allocation: Allocation, prices: list[Micros], order: int) -> tuple[int, int, int]:
    """Return an order's gain at the prices on its best placement, in micro-dollars, with its candidate and start.

    ``(0, -1, -1)`` if it gains on none.
    """
    grid = allocation.grid
    order_row = grid.order_rows[order]
    best = (0, -1, -1)
    for at in order_row.candidates if order_row.last >= order_row.first else ():
        candidate = grid.candidates[at]
        span = slice(order_row.first, order_row.last + order_row.duration)
        _, short = stack_candidate(grid, order_row, at)
        sums = np.concatenate([[0], np.cumsum(prices[candidate.pool][span])])
        total = sums[order_row.duration :] - sums[: -order_row.duration]
        total = np.where(window_sums(short, order_row.duration) > 0, np.iinfo(np.int64).max, total)
        low = int(total.argmin())
        if total[low] == np.iinfo(np.int64).max:
            continue
        per_gpu = int(candidate.value) * order_row.duration - int(total[low])
        gain = per_gpu * candidate.nodes * grid.pool_arrays[candidate.pool].gpus * grid.hours
        if gain > best[0]:
            best = (gain, at, order_row.first + low)
    return best


def list_reasons(
    book: Book, allocation: Allocation, prices: list[Micros], order: int, to_win: PriceToWin | None
) -> tuple[Reason, ...]:
    """Return the reasons why an order is out, the decisive one first."""
    grid = allocation.grid
    order_row = grid.order_rows[order]
    hopeless = find_hopeless(grid, order, book.orders[order])
    floor = cheapest_alone(grid, order_row)
    if hopeless is not None or floor is None:
        return () if hopeless is None else (hopeless,)
    cheapest, at, start = floor
    facts = {
        "pool_id": book.pools[grid.candidates[at].pool].pool_id,
        "start_period": str(start),
        "ask_usd_per_gpu_hour": show(cheapest / MICRO),
        "value_usd_per_gpu_hour": show(usd(int(grid.candidates[at].value))),
    }
    if to_win is not None:
        facts["price_to_win_usd_per_gpu_hour"] = show(usd(to_win.value_micro))
        facts["price_to_win_guarantee"] = "exact" if to_win.exact else "indicative"
    found = list_rule_reasons(book, allocation, order)
    if all(_margin_alone(grid, order_row, candidate) <= 0 for candidate in order_row.candidates):
        worth, ask = say_rate(facts["value_usd_per_gpu_hour"]), say_rate(facts["ask_usd_per_gpu_hour"])
        text = f"worth {worth} USD per GPU-hour where the cheapest asks come to {ask}"
        found.append(Reason("below_ask", text, facts))
    gain, candidate, at_start = regret_micros(allocation, prices, order)
    if gain > 0:
        pool_id = book.pools[grid.candidates[candidate].pool].pool_id
        why = "no whole placement is worth more than what it would displace"
        if found:
            why = "the reason given first keeps it out"
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
    """Return why no value that an order could offer would be enough, None where it could be served on empty pools."""
    order_row = grid.order_rows[order]
    if not order_row.candidates:
        return add_conflict(Reason("no_eligible_pool", "no pool and mandate would take this order", {}), asked)
    if cheapest_alone(grid, order_row) is not None:
        return None
    return add_conflict(_never_feasible(grid, order, asked.start_latest), asked)


def cheapest_alone(grid: Grid, order_row: OrderRow) -> tuple[Fraction, int, int] | None:
    """Return the least mean ask of an order on the empty pools in micro-dollars, with its candidate and start."""
    best: tuple[Fraction, int, int] | None = None
    for at in order_row.candidates if order_row.last >= order_row.first else ():
        candidate = grid.candidates[at]
        cost, short = stack_candidate(grid, order_row, at)
        total = np.where(window_sums(short, order_row.duration) > 0, np.inf, window_sums(cost, order_row.duration))
        low = int(total.argmin())
        if np.isfinite(total[low]):
            mean = Fraction(round(float(total[low])), candidate.nodes * order_row.duration)
            if best is None or mean < best[0]:
                best = (mean, at, order_row.first + low)
    return best


def _margin_alone(grid: Grid, order_row: OrderRow, at: int) -> float:
    candidate = grid.candidates[at]
    cost, short = stack_candidate(grid, order_row, at)
    total = np.where(window_sums(short, order_row.duration) > 0, np.inf, window_sums(cost, order_row.duration))
    return candidate.value * candidate.nodes * order_row.duration - float(total.min())


def _never_feasible(grid: Grid, order: int, start_latest: int) -> Reason:
    """Return the reason of an order that fits no empty pool, with the start, size or duration that would fit."""
    order_row = grid.order_rows[order]
    least = min(grid.candidates[at].nodes for at in order_row.candidates)
    starts, sizes, lengths = [], [0], [0]
    for at in order_row.candidates:
        candidate = grid.candidates[at]
        arrays = grid.pool_arrays[candidate.pool]
        steps = list(arrays.layers[candidate.layer])
        room = arrays.offered[steps].sum(axis=0) if steps else np.zeros(grid.periods)
        enough = (room >= candidate.nodes).astype(np.float64)
        if order_row.duration <= grid.periods:
            starts += np.flatnonzero(window_sums(enough, order_row.duration) == order_row.duration).tolist()
        for start in range(order_row.first, min(start_latest, grid.periods - 1) + 1):
            span = room[start : start + order_row.duration]
            if len(span) == order_row.duration:
                sizes.append(int(span.min()))
            broken = np.flatnonzero(enough[start:] == 0)
            lengths.append(min(int(broken[0]) if len(broken) else grid.periods - start, order_row.duration))
    conflict = find_conflict(grid, order, start_latest)
    facts = {
        "conflict": ",".join(conflict),
        "largest_nodes": str(max(sizes)),
        "longest_duration_periods": str(max(lengths)),
    }
    if starts:
        nearest = min(starts, key=lambda start: (max(order_row.first - start, start - start_latest, 0), start))
        facts["nearest_feasible_start"] = str(nearest)
    best = [f"{max(sizes)} nodes for that long"] * (max(sizes) > 0)
    best += [f"{least} nodes for {max(lengths) * grid.hours} hours"] * (max(lengths) > 0)
    text = (
        f"no eligible pool offers {least} nodes for {order_row.duration * grid.hours} hours from a start inside the"
        " window;"
        f" {'at most ' + ' or '.join(best) if best else 'in it neither fewer nodes nor fewer hours fit'}"
    )
    return Reason("never_feasible", text, facts)


def _circumstances(allocation: Allocation, order: int) -> tuple[Reason, ...]:
    """Return reasons by the room that is left: too little (`no_capacity`), or enough, but in pieces (`fragmented`)."""
    grid = allocation.grid
    order_row = grid.order_rows[order]
    total, longest = 0.0, 0
    least = min((grid.candidates[at].nodes for at in order_row.candidates), default=order_row.nodes)
    for at in order_row.candidates:
        candidate = grid.candidates[at]
        begin, end = order_row.first, order_row.last + order_row.duration
        arrays = grid.pool_arrays[candidate.pool]
        steps = list(arrays.layers[candidate.layer])
        if not steps:
            continue
        left = stack(arrays, allocation.loads[candidate.pool][:, begin:end], begin, end)[3][steps].sum(axis=0)
        total += float(left.sum())
        runs = window_sums((left >= least).astype(np.float64), order_row.duration)
        longest = max(longest, int(runs.max()))
    if longest >= order_row.duration:
        return ()
    facts = {"free_node_periods": str(int(total)), "needed_node_periods": str(least * order_row.duration)}
    if total >= least * order_row.duration:
        text = (
            f"{int(total) * grid.hours} node-hours are free in its pools and window, but nowhere {least} nodes for"
            f" {order_row.duration * grid.hours} hours in one run"
        )
        return (Reason("fragmented", text, facts),)
    needed = least * order_row.duration * grid.hours
    text = f"only {int(total) * grid.hours} node-hours are left in its pools and window, it needs {needed}"
    return (Reason("no_capacity", text, facts),)
