"""Books for the tests: hand-made ones and random ones of any size, by seed."""

import random
from decimal import Decimal

from marketplace.clearing.model import Bid, Book, Lot, Order, Pool


def order(name, nodes, duration, window, *bids, value="5"):
    """Make an order; without bids it bids `value` on pool `p`."""
    return Order(name, nodes, duration, *window, bids or (Bid("p", Decimal(value)),))


def book(*orders, lots=(("a", 4, 0, 10, "1"),), periods=10, gpus=8, hours=24):
    """Make a book of one pool `p`."""
    rows = tuple(Lot(lot_id, "p", nodes, begin, end, Decimal(ask)) for lot_id, nodes, begin, end, ask in lots)
    return Book(hours, periods, (Pool("p", gpus),), rows, tuple(orders))


def random_book(seed, *, orders=10, pools=2, periods=12, mandates=False, cents=100):
    """Make a random book: a few lots per pool, orders on some pools, optionally mandates' bids on one lot."""
    pick = random.Random(seed)
    lots = []
    for pool in range(pools):
        for step in range(pick.randint(1, 3)):
            begin = pick.randint(0, periods // 2)
            end = pick.randint(begin + 1, periods)
            ask = Decimal(pick.randint(100, 100 + 2 * cents)) / 100
            lots.append(Lot(f"l{pool}_{step}", f"p{pool}", pick.randint(1, 6), begin, end, ask))
    made = []
    for at in range(orders):
        duration = pick.randint(1, max(1, periods // 2))
        first = pick.randint(0, periods - 1)
        bids = tuple(
            bid
            for pool in sorted(pick.sample(range(pools), pick.randint(1, pools)))
            for bid in _random_bids(pick, pool, lots, mandates)
        )
        made.append(Order(f"o{at}", pick.choice((1, 1, 2, 3, 4)), duration, first, first + pick.randint(0, 4), bids))
    return Book(
        24, periods, tuple(Pool(f"p{pool}", pick.choice((4, 8))) for pool in range(pools)), tuple(lots), tuple(made)
    )


def _random_bids(pick, pool, lots, mandates):
    value = Decimal(pick.randint(100, 600)) / 100
    yield Bid(f"p{pool}", value)
    mine = [lot.lot_id for lot in lots if lot.pool_id == f"p{pool}"]
    if mandates and pick.random() < 0.6:
        yield Bid(f"p{pool}", value + Decimal(pick.randint(1, 200)) / 100, (pick.choice(mine),), "m")


def market_book(seed, *, orders=200, pools=20, periods=90, mandates=False):
    """Make a book like a real market's: large fabrics, windows of two weeks, sizes in powers of two.

    With `mandates`, half of the bids may use only some lots of a pool, in sets that overlap as mandates do.
    """
    pick = random.Random(seed)
    lots = []
    for pool in range(pools):
        for step in range(pick.randint(2, 3)):
            begin = pick.randint(0, 30)
            end = min(periods, begin + pick.randint(30, 70))
            ask = Decimal(pick.randint(15000, 40000)) / 10000
            lots.append(Lot(f"l{pool}_{step}", f"p{pool}", pick.choice((8, 16, 32, 64)), begin, end, ask))
    made = []
    for at in range(orders):
        duration = min(periods, max(1, round(pick.lognormvariate(2.4, 0.7))))
        first = pick.randint(0, max(0, periods - duration))
        value = Decimal(pick.randint(15000, 60000)) / 10000
        chosen = sorted(pick.sample(range(pools), pick.randint(1, max(1, pools // 5))))
        bids = tuple(Bid(f"p{pool}", value, _pick_lots(pick, lots, pool) if mandates else None) for pool in chosen)
        nodes = pick.choice((1, 1, 2, 2, 4, 4, 8, 16, 32))
        made.append(Order(f"o{at:05d}", nodes, duration, first, first + pick.randint(0, 14), bids))
    return Book(24, periods, tuple(Pool(f"p{pool}", 8) for pool in range(pools)), tuple(lots), tuple(made))


def _pick_lots(pick, lots, pool):
    mine = [lot.lot_id for lot in lots if lot.pool_id == f"p{pool}"]
    return None if pick.random() < 0.5 else tuple(sorted(pick.sample(mine, pick.randint(1, len(mine)))))
