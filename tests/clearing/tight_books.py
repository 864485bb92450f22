"""Small crowded books, solved exactly in no time: most orders fit, many lose, and whole-dollar prices make ties."""

import random
from dataclasses import replace
from decimal import Decimal

from marketplace.clearing.model import Bid, Book, Lot, Order, Pool

PRICES_USD = {"ask": (1, 3), "value": (1, 6), "more": (1, 2)}


def tight_book(seed, *, orders_max=7):
    """Make a crowded book; in two of five all prices are whole dollars."""
    pick = random.Random(seed)
    periods, pools, step = pick.randint(2, 6), pick.randint(1, 2), pick.choice((1, 1, 1, 100, 100))

    def price(kind):
        low, high = PRICES_USD[kind]
        return Decimal(pick.randint(low * 100 // step, high * 100 // step) * step) / 100

    lots = []
    for pool in range(pools):
        for at in range(pick.randint(1, 3)):
            begin = pick.choice((0, 0, 1))
            lots.append(Lot(f"l{pool}_{at}", f"p{pool}", pick.randint(1, 4), begin, periods, price("ask")))
    orders = []
    for at in range(pick.randint(3, orders_max)):
        duration = pick.randint(1, max(1, periods * 2 // 3))
        first = pick.randint(0, periods - duration)
        chosen = sorted(pick.sample(range(pools), pick.randint(1, pools)))
        bids = tuple(bid for pool in chosen for bid in _bid(pick, price, pool, lots))
        orders.append(Order(f"o{at}", pick.choice((1, 1, 2, 3)), duration, first, first + pick.randint(0, 3), bids))
    made = tuple(Pool(f"p{pool}", pick.choice((1, 8))) for pool in range(pools))
    return Book(pick.choice((1, 24)), periods, made, tuple(lots), tuple(orders))


def _bid(pick, price, pool, lots):
    value = price("value")
    yield Bid(f"p{pool}", value)
    if pick.random() < 0.35:
        mine = [lot.lot_id for lot in lots if lot.pool_id == f"p{pool}"]
        chosen = tuple(sorted(pick.sample(mine, pick.randint(1, len(mine)))))
        yield Bid(f"p{pool}", value + price("more"), chosen, "m")


def raise_order(book, order_id, value):
    """Return the book with every bid of an order that is under a value lifted to it."""
    return replace(
        book,
        orders=tuple(_lift(order, value) if order.order_id == order_id else order for order in book.orders),
    )


def _lift(order, value):
    bids = (replace(bid, value_usd_per_gpu_hour=max(bid.value_usd_per_gpu_hour, value)) for bid in order.bids)
    return replace(order, bids=tuple(bids))


def change_order(book, order_id, **changes):
    """Return the book with members of one order changed."""
    return replace(
        book,
        orders=tuple(replace(order, **changes) if order.order_id == order_id else order for order in book.orders),
    )


def find_decision(clearing, order_id):
    """Return the decision about an order."""
    return next(decision for decision in clearing.decisions if decision.order_id == order_id)
