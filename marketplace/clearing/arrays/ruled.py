"""What rules between orders do to one order: whom it would have to displace, and why it is out.

Reason codes, which come before all others: `group_served` (another order of its group was accepted, which is worth
more), `parent_unmatched` (the order that it depends on was not accepted), `limit_reached` (at every placement a limit
has less left than it would take).
"""

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR

import numpy as np

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.model import Book, Reason
from marketplace.clearing.money import say_amount, show, usd


def find_rival(
    allocation: Allocation, candidate: int, start: int, worth: Callable[[Allocation, int], float]
) -> int | None:
    """Return the accepted order whose removal frees room in the full rows at the least cost, None if none does.

    Args:
        allocation: The present state.
        candidate: Where the newcomer would run.
        start: When.
        worth: What an accepted order adds.
    """
    taken = allocation.taken
    if taken is None:
        return None
    grid, rules = allocation.grid, taken.rules
    totals, spans = taken.find_full(candidate, start, grid.order_rows[grid.candidates[candidate].order].duration)
    end = start + grid.order_rows[grid.candidates[candidate].order].duration
    best, best_score = None, float("inf")
    for other, placing in enumerate(allocation.placed):
        if placing is None:
            continue
        overlap = min(end, placing[1] + grid.order_rows[other].duration) - max(start, placing[1])
        relief = sum(use / _scale(rules.total_room[row]) for row, use in rules.total_uses[placing[0]] if row in totals)
        if overlap > 0:
            relief += sum(use for row, use in rules.span_uses[placing[0]] if row in spans) / 1e6
        if relief > 0 and worth(allocation, other) / relief < best_score:
            best, best_score = other, worth(allocation, other) / relief
    return best


def _scale(room: float) -> float:
    return max(room, 1.0)


def list_rule_reasons(book: Book, allocation: Allocation, order: int) -> list[Reason]:
    """Return why rules between orders keep an order out, nothing where they leave it a placement."""
    taken = allocation.taken
    if taken is None:
        return []
    request = book.orders[order]
    found = []
    mates = [
        other.order_id
        for at, other in enumerate(book.orders)
        if request.group_id is not None and other.group_id == request.group_id and not allocation.out[at]
    ]
    if mates:
        text = f"{mates[0]} of the same group was accepted, and of a group at most one is"
        found.append(Reason("group_served", text, {"group_id": str(request.group_id), "order_id": mates[0]}))
    parent = taken.rules.parents[order]
    if parent >= 0 and allocation.out[parent]:
        text = f"it is accepted only together with {request.parent_id}, which was not accepted"
        found.append(Reason("parent_unmatched", text, {"parent_id": str(request.parent_id)}))
    if not found:
        found.extend(_limit_reached(allocation, order))
    return found


def _limit_reached(allocation: Allocation, order: int) -> list[Reason]:
    taken, grid = allocation.taken, allocation.grid
    order_row = grid.order_rows[order]
    starts = order_row.last - order_row.first + 1
    if taken is None or starts <= 0 or not order_row.candidates:
        return []
    if not all(
        taken.list_blocked(candidate, order_row.first, starts, order_row.duration).all()
        for candidate in order_row.candidates
    ):
        return []
    candidate = order_row.candidates[-1]
    totals, spans = taken.find_full(candidate, order_row.first, order_row.duration)
    if totals:
        row = totals[0]
        limit_id, left = taken.rules.totals[row][1], taken.rules.total_room[row] - taken.total[row]
        needed = dict(taken.rules.total_uses[candidate])[row]
    else:
        limit_id, span = taken.rules.spans[spans[0]], slice(order_row.first, order_row.first + order_row.duration)
        left = np.min(taken.rules.span_room[spans[0], span] - taken.span[spans[0], span])
        needed = dict(taken.rules.span_uses[candidate])[spans[0]]
    facts = {"limit_id": limit_id, "left": show(usd(int(left))), "needed": show(usd(needed))}
    amounts = say_amount(usd(int(left)), ROUND_FLOOR), say_amount(usd(needed), ROUND_CEILING)
    rest, need = (amount.removesuffix(".00") for amount in amounts)
    text = f"of the limit {limit_id} {rest} is left, and this order would take {need}"
    return [Reason("limit_reached", text, facts)]
