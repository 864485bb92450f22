"""Checks the rules between orders of a book: sizes, groups, links and limits.

Refusals, in this order: `invalid_sizes`, `backstop_linked`, `unknown_parent`, `linked_cycle`, `invalid_limit`,
`unknown_limit`, `invalid_use`, `ambiguous_bid`.
"""

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import Final

from marketplace.clearing.model import Bid, Book, Limit, Order, Use
from marketplace.core.errors import Refusal

SIZES_MAX: Final = 64
LIMITS_MAX: Final = 200_000
AMOUNT_MAX: Final = Decimal(1_000_000_000)
PLACES_MAX: Final = 6


def check_rules(book: Book, nodes_max: int) -> None:
    """Refuse a book whose rules between orders contradict themselves, naming the member by a JSON pointer.

    Raises:
        Refusal: With one of the codes of the module's docstring.
    """
    named = [(f"/orders/{index}", order) for index, order in enumerate(book.orders)]
    named += [(f"/backstops/{index}", order) for index, order in enumerate(book.backstops)]
    for pointer, order in named:
        _check_sizes(order, pointer, nodes_max)
    for index, order in enumerate(book.backstops):
        _check_alone(order, f"/backstops/{index}")
    check_links(book)
    _check_limits(book)
    if any(bid.uses for _, order in named for bid in order.bids):
        known = {limit.limit_id for limit in book.limits}
        for pointer, order in named:
            for at, bid in enumerate(order.bids):
                _check_uses(bid, f"{pointer}/bids/{at}", known)
            _check_bids_differ(order, f"{pointer}/bids")


def _check_alone(order: Order, pointer: str) -> None:
    """Refuse a backstop that is tied to another order: what others leave is not known before they are decided.

    Raises:
        Refusal: ``backstop_linked``.
    """
    if order.group_id is not None or order.parent_id is not None:
        raise Refusal(
            "backstop_linked",
            f"backstop {order.order_id} is of a group or needs another order; let it stand alone",
            pointer=f"{pointer}/group_id" if order.group_id is not None else f"{pointer}/parent_id",
        )


def _check_sizes(order: Order, pointer: str, nodes_max: int) -> None:
    if len(order.sizes) >= SIZES_MAX or any(not 1 <= size <= nodes_max for size in order.sizes):
        raise Refusal(
            "invalid_sizes",
            f"order {order.order_id} has {len(order.sizes)} further sizes; expected fewer than {SIZES_MAX}, each from 1"
            f" to {nodes_max} nodes",
            pointer=f"{pointer}/sizes",
            sizes=len(order.sizes),
        )
    sizes = {order.nodes, *order.sizes}
    for at, bid in enumerate(order.bids):
        if bid.sizes is not None and not set(bid.sizes) <= sizes:
            raise Refusal(
                "invalid_sizes",
                f"order {order.order_id} bids for {sorted(set(bid.sizes) - sizes)} nodes, which are none of its sizes;"
                " add them to its sizes or drop them from the bid",
                pointer=f"{pointer}/bids/{at}/sizes",
                sizes=len(bid.sizes),
            )


def check_links(book: Book) -> None:
    """Refuse a book in which an order depends on one that it does not list, or on itself.

    Raises:
        Refusal: ``unknown_parent`` or ``linked_cycle``.
    """
    parents = {order.order_id: order.parent_id for order in book.orders}
    for index, order in enumerate(book.orders):
        if order.parent_id is not None and order.parent_id not in parents:
            raise Refusal(
                "unknown_parent",
                f"order {order.order_id} depends on {order.parent_id!r}, which the book does not list; add it or drop"
                " the link",
                pointer=f"/orders/{index}/parent_id",
                parent_id=order.parent_id,
            )
    clear: set[str] = set()
    for index, order in enumerate(book.orders):
        seen: dict[str, None] = {}
        at: str | None = order.order_id
        while at is not None and at not in clear:
            if at in seen:
                raise Refusal(
                    "linked_cycle",
                    f"order {order.order_id} depends on itself through {', '.join(seen)}; drop one of the links",
                    pointer=f"/orders/{index}/parent_id",
                    order_ids=list(seen),
                )
            seen[at] = None
            at = parents[at]
        clear.update(seen)


def _is_amount(amount: Decimal) -> bool:
    if not amount.is_finite() or not 0 <= amount <= AMOUNT_MAX:
        return False
    exponent = amount.normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -PLACES_MAX


def _check_limits(book: Book) -> None:
    spans: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for index, limit in enumerate(book.limits):
        spans[limit.limit_id].append(_check_limit(limit, f"/limits/{index}", index, book.periods))
    for limit_id, entries in spans.items():
        for (_, end, _), (begin, _, index) in pairwise(sorted(entries)):
            if begin < end:
                raise Refusal(
                    "invalid_limit",
                    f"limit {limit_id} has two amounts for period {begin}; give it one, or disjoint spans",
                    pointer=f"/limits/{index}",
                    limit_id=limit_id,
                )


def _check_limit(limit: Limit, pointer: str, index: int, periods: int) -> tuple[int, int, int]:
    if index >= LIMITS_MAX or not limit.limit_id or not _is_amount(limit.amount):
        raise Refusal(
            "invalid_limit",
            f"limit {limit.limit_id!r} has the amount {limit.amount}; expected at most {LIMITS_MAX} limits with an id"
            f" and an amount from 0 to {AMOUNT_MAX} with at most {PLACES_MAX} places",
            pointer=pointer,
            limit_id=limit.limit_id,
        )
    if limit.from_period is None and limit.to_period is None:
        return 0, periods, index
    begin, end = limit.from_period, limit.to_period
    if begin is None or end is None or not 0 <= begin < end <= periods:
        raise Refusal(
            "invalid_limit",
            f"limit {limit.limit_id} spans [{begin}, {end}); expected a span inside [0, {periods}), or none",
            pointer=pointer,
            limit_id=limit.limit_id,
        )
    return begin, end, index


def _check_uses(bid: Bid, pointer: str, known: set[str]) -> None:
    names = [use.limit_id for use in bid.uses]
    for at, use in enumerate(bid.uses):
        if use.limit_id not in known:
            raise Refusal(
                "unknown_limit",
                f"{pointer} uses limit {use.limit_id!r}, which the book does not list; add the limit or drop the use",
                pointer=f"{pointer}/uses/{at}",
                limit_id=use.limit_id,
            )
        if not _is_amount(use.amount_per_node_period) or names.count(use.limit_id) > 1:
            raise Refusal(
                "invalid_use",
                f"{pointer} takes {use.amount_per_node_period} of limit {use.limit_id}; expected each limit once, from"
                f" 0 to {AMOUNT_MAX} with at most {PLACES_MAX} places",
                pointer=f"{pointer}/uses/{at}",
                limit_id=use.limit_id,
            )


def _check_bids_differ(order: Order, pointer: str) -> None:
    """Refuse two bids that a match could not tell apart although they take different limits.

    A match names its lots, so bids of equal value and mandate can be told apart if they share no lot.

    Raises:
        Refusal: ``ambiguous_bid``.
    """
    seen: dict[tuple[str, str | None, Decimal], dict[str | None, tuple[Use, ...]]] = defaultdict(dict)
    for index, bid in enumerate(order.bids):
        known = seen[bid.pool_id, bid.mandate_id, bid.value_usd_per_gpu_hour]
        mine = list[str | None]([None] if bid.lot_ids is None else bid.lot_ids)
        shared = known if None in mine or None in known else [lot_id for lot_id in mine if lot_id in known]
        if any(known[lot_id] != bid.uses for lot_id in shared):
            raise Refusal(
                "ambiguous_bid",
                f"order {order.order_id} bids twice on lots of pool {bid.pool_id} at {bid.value_usd_per_gpu_hour} and"
                " takes different limits; let bids differ in lots, value or mandate",
                pointer=f"{pointer}/{index}",
                order_id=order.order_id,
            )
        known.update(dict.fromkeys(mine, bid.uses))
