"""Rules between orders beyond the capacity of lots: limits that they share, exclusive groups, and links to parents.

All three are rows of one kind: what accepted placings take of a row must not exceed its room. A placing takes of a
limit what its bid uses. A group has room for one, and each placing takes one. A link has room for none: the child takes
one, and the parent adds one. Amounts are millionths of their unit, whole numbers in float64, exact for every placing
that fits alone; `constraint_usage.py` counts them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.model import Book
from marketplace.clearing.money import MICRO, micro

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Uses = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rows of a book and what each candidate takes of them.

    Attributes:
        totals: Kind and id of the rows that hold over all periods together.
        total_room: What each of them has.
        spans: Ids of the limits that hold in each period.
        span_room: What each of them has per period, inf where it does not bind.
        total_uses: Per candidate, (row, taken per period of the run for a limit, in all for a group or link).
        span_uses: Per candidate, (row, taken in each period of the run).
        children: Per order, those that are linked to it.
        parents: Per order, the one it is linked to, -1 for none.
        depth: Per order, how many parents are above it.
    """

    totals: tuple[tuple[str, str], ...]
    total_room: Floats
    spans: tuple[str, ...]
    span_room: Floats
    total_uses: tuple[Uses, ...]
    span_uses: tuple[Uses, ...]
    children: tuple[tuple[int, ...], ...]
    parents: tuple[int, ...]
    depth: tuple[int, ...]


def compile_rules(book: Book, candidates: Iterable[tuple[int, int, int]]) -> Rules | None:
    """Return the rules of a checked book, None where it has none.

    Args:
        book: The book.
        candidates: Order, bid and nodes of every candidate; not read where the book has no rules.
    """
    groups = sorted({order.group_id for order in book.orders if order.group_id is not None})
    index = {order.order_id: at for at, order in enumerate(book.orders)}
    parents = tuple(-1 if order.parent_id is None else index[order.parent_id] for order in book.orders)
    linked = [at for at, parent in enumerate(parents) if parent >= 0]
    if not (book.limits or groups or linked):
        return None
    whole = [limit for limit in book.limits if limit.from_period is None]
    spans = tuple(sorted({limit.limit_id for limit in book.limits if limit.from_period is not None}))
    totals = (
        *(("limit", limit.limit_id) for limit in whole),
        *(("group", group) for group in groups),
        *(("link", book.orders[at].order_id) for at in linked),
    )
    room = [*(micro(limit.amount) for limit in whole), *(MICRO for _ in groups), *(0 for _ in linked)]
    span_room = np.full((len(spans), book.periods), np.inf)
    for limit in book.limits:
        if limit.from_period is not None:
            span_room[spans.index(limit.limit_id), limit.from_period : limit.to_period] = micro(limit.amount)
    children: list[list[int]] = [[] for _ in book.orders]
    for at in linked:
        children[parents[at]].append(at)
    uses = _list_uses(book, candidates, totals, spans, children)
    return Rules(
        totals,
        np.array(room, dtype=np.float64),
        spans,
        span_room,
        tuple(total for total, _ in uses),
        tuple(span for _, span in uses),
        tuple(map(tuple, children)),
        parents,
        tuple(_depth(parents, at) for at in range(len(parents))),
    )


def _list_uses(
    book: Book,
    candidates: Iterable[tuple[int, int, int]],
    totals: tuple[tuple[str, str], ...],
    spans: tuple[str, ...],
    children: list[list[int]],
) -> list[tuple[Uses, Uses]]:
    row = {name: at for at, name in enumerate(totals)}
    span_row = {name: at for at, name in enumerate(spans)}
    found: list[tuple[Uses, Uses]] = []
    for order_at, bid_at, nodes in candidates:
        order = book.orders[order_at]
        total: list[tuple[int, int]] = []
        span: list[tuple[int, int]] = []
        for use in order.bids[bid_at].uses:
            amount = micro(use.amount_per_node_period) * nodes
            if not amount:
                continue
            if use.limit_id in span_row:
                span.append((span_row[use.limit_id], amount))
            else:
                total.append((row["limit", use.limit_id], amount * order.duration_periods))
        if order.group_id is not None:
            total.append((row["group", order.group_id], MICRO))
        if order.parent_id is not None:
            total.append((row["link", order.order_id], MICRO))
        total.extend((row["link", book.orders[child].order_id], -MICRO) for child in children[order_at])
        found.append((tuple(total), tuple(span)))
    return found


def _depth(parents: tuple[int, ...], at: int) -> int:
    depth = 0
    while parents[at] >= 0:
        at, depth = parents[at], depth + 1
    return depth


def is_parent(rules: Rules | None, order: int) -> bool:
    """Return whether others depend on an order, so that it may be of use though it gains nothing itself."""
    return rules is not None and bool(rules.children[order])
