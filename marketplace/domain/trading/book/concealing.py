"""The book that quotes are computed from: every offer in it is rounded up to the next published price step.

The steps are the preferred numbers R20 of ISO 3, some 12 percent apart: 1, 1.12, 1.25, 1.4, … 9, 10, 11.2, … dollars
per GPU-hour. Asks are public and stay as they are.

Invariants:
    1. The book contains the step of a sealed offer, not its price. So no number of quotes, of any size, span or price,
       tells more than the two steps between which the offer is.
    2. No offer is rounded down, and an offer at a step stays there.
"""

from decimal import ROUND_CEILING, Context, Decimal
from typing import Final

from msgspec import structs

from events.book import Book
from marketplace.core.money import PRICE_PLACES, ZERO

STEPS: Final = tuple(
    Decimal(step)
    for step in (
        *("1", "1.12", "1.25", "1.4", "1.6", "1.8", "2", "2.24", "2.5", "2.8"),
        *("3.15", "3.55", "4", "4.5", "5", "5.6", "6.3", "7.1", "8", "9", "10"),
    )
)
_EXACT: Final = Context(prec=60)
_LAST_PLACE: Final = Decimal(1).scaleb(-PRICE_PLACES)


def round_up_price(price: Decimal) -> Decimal:
    """Return the least price step that is not under a price per GPU-hour; 0 stays 0."""
    if price == ZERO:
        return price
    scale = Decimal(1).scaleb(price.adjusted())
    steps = ((step * scale).quantize(_LAST_PLACE, ROUND_CEILING, _EXACT) for step in STEPS)
    return next(step for step in steps if step >= price).normalize(_EXACT)


def conceal_offers(book: Book) -> Book:
    """Return a book with every order's offers at price steps."""
    orders = tuple(
        structs.replace(
            order,
            bids=tuple(
                structs.replace(bid, value_usd_per_gpu_hour=round_up_price(bid.value_usd_per_gpu_hour))
                for bid in order.bids
            ),
        )
        for order in book.orders
    )
    return structs.replace(book, orders=orders)
