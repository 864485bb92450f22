"""Warm start: a book that changed a little takes over the solution of the earlier book, in a fraction of the time.

Any prices of lots that are not under their asks prove a bound, so the prices of the earlier book do. Orders that ran
there still run, unless the nodes that carried them are gone; the others are inserted where they gain. The result is an
approximation: a valid bound and a feasible allocation, neither of them as good as a search would find.
"""

from dataclasses import replace
from fractions import Fraction

from marketplace.clearing.arrays.allocation import Allocation, Placing
from marketplace.clearing.arrays.grid import Grid, compile_book
from marketplace.clearing.arrays.rules import compile_rules
from marketplace.clearing.book import check_book
from marketplace.clearing.model import Book, Order
from marketplace.clearing.money import MICRO
from marketplace.clearing.program.bound import Shadow
from marketplace.clearing.search.marginal import count_hours, insert_improving
from marketplace.clearing.search.solving import Solved


def grow(before: Book, known: Solved, book: Book) -> Solved | None:
    """Return the solution of a book that has only further orders at its end, made from that of the earlier book.

    None if anything else changed, if there are rules between orders, or if the book was solved to its optimum, since
    small books are soon solved again.

    Raises:
        Refusal: As `check_book`, where an added order breaks a rule.
    """
    count = len(before.orders)
    if known.proven or known.allocation.grid.rules is not None or not _is_longer(before, book):
        return None
    added = book.orders[count:]
    if any(order.group_id or order.parent_id or any(bid.uses for bid in order.bids) for order in added):
        return None
    check_book(replace(book, orders=added, backstops=()))
    grid: Grid | None = known.allocation.grid
    for end in range(count, len(book.orders)):
        grid = None if grid is None else extend_grid(grid, replace(book, orders=book.orders[: end + 1]))
    if grid is None:
        return None
    allocation = known.allocation.branch(grid)
    new = range(count, len(book.orders))
    insert_improving(allocation, known.shadow, list(new))
    bound = known.bound + sum((_gain_most(grid, known.shadow, order) for order in new), Fraction(0))
    return Solved(allocation, known.shadow, bound, known.rounds, proven=False)


def _is_longer(before: Book, book: Book) -> bool:
    terms = ("period_hours", "periods", "pools", "lots", "limits")
    alike = all(getattr(before, name) == getattr(book, name) for name in terms)
    return alike and before.orders == book.orders[: len(before.orders)]


def _gain_most(grid: Grid, shadow: Shadow, order: int) -> Fraction:
    """Return the US dollars that an order would gain at most at the shadow prices, 0 where it would stay out."""
    order_row, most = grid.order_rows[order], 0
    for candidate in order_row.candidates if order_row.last >= order_row.first else ():
        bid = grid.candidates[candidate]
        costs = shadow.shade(bid.pool, bid.layer, order_row.first, order_row.last, order_row.duration)
        hours = bid.nodes * grid.pool_arrays[bid.pool].gpus * grid.hours
        most = max(most, int(bid.value) * count_hours(grid, candidate) - int(costs.min()) * hours)
    return Fraction(most, MICRO)


def extend_grid(grid: Grid, book: Book, *, worthless: bool = False) -> Grid | None:
    """Return a grid with the book's last order; None where that uses lots in a combination that nobody used before.

    Args:
        grid: Of the book without it.
        book: The book.
        worthless: Whether its bids count as worth nothing.
    """
    plain = replace(book.orders[-1], group_id=None, parent_id=None)
    alone = compile_book(replace(book, orders=(plain,), limits=()))
    at, begin = len(grid.order_rows), len(grid.candidates)
    candidates = []
    for candidate in alone.candidates:
        layers, wanted = (
            grid.pool_arrays[candidate.pool].layers,
            alone.pool_arrays[candidate.pool].layers[candidate.layer],
        )
        if wanted not in layers:
            return None
        candidates.append(
            replace(candidate, order=at, layer=layers.index(wanted), value=0 if worthless else candidate.value)
        )
    order_row = replace(alone.order_rows[0], candidates=tuple(range(begin, begin + len(candidates))))
    every = (*grid.candidates, *candidates)
    rules = compile_rules(book, ((candidate.order, candidate.bid, candidate.nodes) for candidate in every))
    return replace(grid, order_rows=(*grid.order_rows, order_row), candidates=every, rules=rules)


def resume(grid: Grid, book: Book, before: Book, known: Allocation) -> Allocation | None:
    """Return an allocation of a book, made from that of an earlier book with the same periods.

    None if it breaks a rule between orders.
    """
    places = {order.order_id: at for at, order in enumerate(before.orders)}
    allocation = Allocation(grid)
    for at, order in enumerate(book.orders):
        was = places.get(order.order_id)
        placing = None if was is None else _find_again(grid, at, order, (known, before.orders[was], was))
        if placing is not None:
            allocation.place(*placing)
    _clear_away(allocation)
    values = [
        max((grid.candidates[candidate].value for candidate in order_row.candidates), default=0)
        for order_row in grid.order_rows
    ]
    outside = sorted((at for at in range(len(values)) if allocation.out[at]), key=lambda at: (-values[at], at))
    for at in allocation.sort_by_depth(outside):
        allocation.insert(at)
    return None if allocation.list_unsupported() or allocation.breaks_rules() else allocation


def _find_again(grid: Grid, at: int, order: Order, was: tuple[Allocation, Order, int]) -> Placing | None:
    """Return where an order that ran in the other book would run in this one; None if it cannot."""
    known, before, place = was
    placing, order_row = known.placed[place], grid.order_rows[at]
    if placing is None or not order_row.first <= placing[1] <= order_row.last:
        return None
    if order_row.duration != known.grid.order_rows[place].duration:
        return None
    candidate = known.grid.candidates[placing[0]]
    bid = before.bids[candidate.bid]
    for each in order_row.candidates:
        mine = order.bids[grid.candidates[each].bid]
        if (mine.pool_id, mine.mandate_id, grid.candidates[each].nodes) == (
            bid.pool_id,
            bid.mandate_id,
            candidate.nodes,
        ):
            return each, placing[1]
    return None


def _clear_away(allocation: Allocation) -> None:
    """Remove all orders of each overloaded pool, and then every order that no price suits."""
    for pool, members in enumerate(allocation.members):
        if allocation.is_overloaded(pool):
            for order in list(members):
                allocation.remove(order)
    while unsupported := allocation.list_unsupported():
        for order in unsupported:
            allocation.remove(order)
