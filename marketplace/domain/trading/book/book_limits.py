"""The bounds of one book, so that no single order prevents an auction from being locked, stored or cleared.

Orders that break a bound are left out one by one, with the orders that depend on them. Each gets the reason.
"""

from typing import Final, NamedTuple

import msgspec

from events.book import Book, BookOrder
from events.types import Reason
from marketplace.clearing.book import BIDS_PER_ORDER_MAX
from marketplace.domain.trading.auction_parts import measure

ROW_BYTES_MAX: Final = 1024 * 1024
"""The most bytes of one order in the book, as stored."""
BOOK_BYTES_MAX: Final = 64 * 1024 * 1024
"""The most bytes of all orders of the book, which are stored in one append."""


class FittedBook(NamedTuple):
    """A book within the bounds, and the orders left out."""

    book: Book
    dropped: dict[str, Reason]


def fit_book(book: Book, bytes_max: int = BOOK_BYTES_MAX) -> FittedBook:
    """Return the book without what breaks a bound. The last orders are left out first."""
    dropped: dict[str, Reason] = {}
    kept: dict[str, list[BookOrder]] = {"orders": [], "backstops": []}
    size = 0
    for member, rows in kept.items():
        for order in getattr(book, member):
            own = measure(order)
            reason = _find_reason(order, own, bytes_max - size, bytes_max)
            if reason is None:
                rows.append(order)
                size += own
            else:
                dropped[order.order_id] = reason
    if not dropped:
        return FittedBook(book, dropped)
    orders = _drop_dependent(kept["orders"], dropped)
    return FittedBook(msgspec.structs.replace(book, orders=tuple(orders), backstops=tuple(kept["backstops"])), dropped)


def _find_reason(order: BookOrder, own: int, left: int, bytes_max: int) -> Reason | None:
    if len(order.bids) > BIDS_PER_ORDER_MAX:
        text = (
            f"it can be served in {len(order.bids):,} ways, more than the {BIDS_PER_ORDER_MAX:,} that one order may"
            " have"
            "; name fewer mandates, classes or regions"
        )
        return Reason(code="bids_too_many", text=text, facts={"bids": str(len(order.bids))})
    if own > ROW_BYTES_MAX:
        text = (
            f"its possible placements take {own:,} bytes in the book, more than the {ROW_BYTES_MAX:,} of one order;"
            " name"
            " fewer mandates, classes or regions"
        )
        return Reason(code="order_too_large", text=text, facts={"bytes": str(own)})
    if own > left:
        text = f"the book is full: it may have {bytes_max:,} bytes, and this order comes last"
        return Reason(code="book_full", text=text, facts={"bytes": str(own)})
    return None


def _drop_dependent(orders: list[BookOrder], dropped: dict[str, Reason]) -> list[BookOrder]:
    """Remove the orders that depend on one left out, and return the rest."""
    while True:
        lost = [order for order in orders if order.parent_id in dropped]
        if not lost:
            return orders
        for order in lost:
            text = f"its parent order {order.parent_id} does not take part"
            dropped[order.order_id] = Reason(code="parent_absent", text=text, facts={"parent_id": str(order.parent_id)})
        orders = [order for order in orders if order.order_id not in dropped]
