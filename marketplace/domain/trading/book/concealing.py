"""What others may learn of sealed offers, from quotes and from the demand that is published after a clearing.

In the book of quotes and of indicative prices every offer is rounded up to the next published price step. In published
demand, offers are rounded down to a step, and those of fewer than three startups are added to the next lower step.

The steps are the preferred numbers R20 of ISO 3, some 12 percent apart: 1, 1.12, 1.25, 1.4, … 9, 10, 11.2, … dollars
per GPU-hour. Asks are public and stay as they are.

Invariants:
    1. The book contains the step of a sealed offer, not its price. So no number of quotes, of any size, span or price,
       tells more than the two steps between which the offer is.
    2. For quotes and indicative prices no offer is rounded down, in published demand none is rounded up, and an offer
       at a step stays there.
    3. No step of published demand is made of offers of fewer than three startups.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from decimal import ROUND_CEILING, Context, Decimal
from functools import cache
from typing import Final, NamedTuple

from msgspec import structs

from events.book import Book
from marketplace.core.money import PRICE_STEP, ZERO

STEPS: Final = tuple(
    Decimal(step)
    for step in (
        *("1", "1.12", "1.25", "1.4", "1.6", "1.8", "2", "2.24", "2.5", "2.8"),
        *("3.15", "3.55", "4", "4.5", "5", "5.6", "6.3", "7.1", "8", "9", "10"),
    )
)
STARTUPS_MIN: Final = 3
"""The fewest startups whose offers make a step of published demand."""
_EXACT: Final = Context(prec=60)


class Demand(NamedTuple):
    """The highest offer of one order for a class: its value, its volume and who made it."""

    usd_per_gpu_hour: Decimal
    gpu_hours: int
    startup_id: str


class DemandStep(NamedTuple):
    """The volume that is demanded at a price step and not at a higher one, and how many orders demand it."""

    usd_per_gpu_hour: Decimal
    gpu_hours: int
    orders: int


def round_up_price(price: Decimal) -> Decimal:
    """Return the lowest price step that is not below a price per GPU-hour; 0 stays 0."""
    if price == ZERO:
        return price
    steps = _list_steps(price.adjusted())
    return steps[bisect_left(steps, price)]


def round_down_price(price: Decimal) -> Decimal:
    """Return the highest price step that is not above a price per GPU-hour; 0 stays 0."""
    if price == ZERO:
        return price
    steps = _list_steps(price.adjusted())
    above = bisect_right(steps, price)
    return steps[above - 1] if above else ZERO


@cache
def _list_steps(exponent: int) -> tuple[Decimal, ...]:
    """Return the price steps of a decade, lowest first."""
    scale = Decimal(1).scaleb(exponent)
    return tuple((step * scale).quantize(PRICE_STEP, ROUND_CEILING, _EXACT).normalize(_EXACT) for step in STEPS)


def conceal_demand(offers: Iterable[Demand]) -> list[DemandStep]:
    """Return the demand of sealed offers of one class as everybody may see it, highest price first.

    A step has offers of `STARTUPS_MIN` startups or more; those of fewer are added to a lower step, or to the last one.
    Empty if all offers are of fewer startups.
    """
    steps: list[DemandStep] = []
    group: list[Demand] = []
    rounded = sorted(each._replace(usd_per_gpu_hour=round_down_price(each.usd_per_gpu_hour)) for each in offers)
    for at, offer in enumerate(reversed(rounded)):
        group.append(offer)
        ends = at + 1 == len(rounded) or rounded[-at - 2].usd_per_gpu_hour < offer.usd_per_gpu_hour
        if ends and len({each.startup_id for each in group}) >= STARTUPS_MIN:
            steps.append(_sum_group(group))
            group = []
    if group and steps:
        rest, last = _sum_group(group), steps[-1]
        steps[-1] = DemandStep(rest.usd_per_gpu_hour, last.gpu_hours + rest.gpu_hours, last.orders + rest.orders)
    return steps


def _sum_group(group: list[Demand]) -> DemandStep:
    return DemandStep(group[-1].usd_per_gpu_hour, sum(each.gpu_hours for each in group), len(group))


def conceal_offers(book: Book) -> Book:
    """Return a book in which the value of every bid is rounded up to a price step; backstop orders stay as they are."""
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
