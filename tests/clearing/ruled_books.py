"""Small books with groups, links, limits and sizes, and their optimum by trying everything."""

import itertools
import random
from dataclasses import replace
from decimal import Decimal

from marketplace.clearing.model import Bid, Book, Limit, Lot, Order, Pool, Use

LIMITS = (Limit("budget", Decimal(900)), Limit("power", Decimal("30.5"), 0, 3), Limit("power", Decimal(12), 3, 6))


def random_ruled_book(seed, *, orders=5, pools=2, periods=6):
    """Make a book of few orders, half of which are in a group, linked, or use a budget or a limit per period."""
    pick = random.Random(seed)
    lots = [
        Lot(f"l{pool}{step}", f"p{pool}", pick.randint(1, 4), 0, pick.randint(3, periods), Decimal(pick.randint(1, 4)))
        for pool in range(pools)
        for step in range(2)
    ]
    made = []
    for at in range(orders):
        first = pick.randint(0, 3)
        bids = tuple(
            Bid(f"p{pool}", Decimal(pick.randint(2, 9)) + Decimal(at) / 100, uses=_random_uses(pick))
            for pool in sorted(pick.sample(range(pools), pick.randint(1, pools)))
        )
        nodes = pick.randint(1, 4)
        made.append(
            Order(
                f"o{at}",
                nodes,
                pick.randint(1, 3),
                first,
                first + pick.randint(0, 2),
                bids,
                sizes=tuple(sorted(pick.sample(range(1, 4), pick.randint(1, 2)))) if pick.random() < 0.4 else (),
                group_id=pick.choice((None, None, "g", "h")),
                parent_id=f"o{pick.randrange(at)}" if at and pick.random() < 0.35 else None,
            )
        )
    budget = replace(LIMITS[0], amount=Decimal(pick.randint(50, 900)))
    rows = tuple(Pool(f"p{pool}", 2) for pool in range(pools))
    return Book(1, periods, rows, tuple(lots), tuple(made), (budget, *LIMITS[1:]))


def _random_uses(pick):
    uses = (Use("budget", Decimal(pick.randint(1, 4000)) / 100), Use("power", Decimal(pick.randint(1, 90)) / 10))
    return tuple(use for use in uses if pick.random() < 0.5)


def find_optimum(book):
    """Return the best welfare in dollars of any choice that keeps every rule and has prices, by trying all."""
    best = Decimal(0)
    choices = [[None, *_list_placings(book, order)] for order in book.orders]
    for chosen in itertools.product(*choices):
        if keeps_rules(book, chosen):
            best = max(best, _welfare(book, chosen))
    return best


def _list_placings(book, order):
    last = min(order.start_latest, book.periods - order.duration_periods)
    return [
        (bid, nodes, start)
        for bid in order.bids
        for nodes in {order.nodes, *order.sizes}
        for start in range(order.start_earliest, last + 1)
    ]


def keeps_rules(book, chosen):
    """Tell whether the placings, one or None per order, keep groups, links and limits."""
    names = {order.order_id for order, placing in zip(book.orders, chosen, strict=True) if placing}
    groups = [order.group_id for order in book.orders if order.order_id in names and order.group_id]
    if len(groups) != len(set(groups)):
        return False
    if any(order.parent_id not in {None, *names} for order in book.orders if order.order_id in names):
        return False
    return all(_keeps_limit(book, chosen, limit) for limit in book.limits)


def _keeps_limit(book, chosen, limit):
    taken = [Decimal(0)] * book.periods
    for order, placing in zip(book.orders, chosen, strict=True):
        for use in placing[0].uses if placing else ():
            if use.limit_id == limit.limit_id:
                for period in range(placing[2], placing[2] + order.duration_periods):
                    taken[period] += use.amount_per_node_period * placing[1]
    if limit.from_period is None:
        return sum(taken) <= limit.amount
    return max(taken[limit.from_period : limit.to_period]) <= limit.amount


def _welfare(book, chosen):
    """Return value less asks, -1 where something does not fit or has no price."""
    total, tops = Decimal(0), {}
    placed = [(order, placing) for order, placing in zip(book.orders, chosen, strict=True) if placing]
    for pool, period in itertools.product(book.pools, range(book.periods)):
        need = sum(
            placing[1]
            for order, placing in placed
            if placing[0].pool_id == pool.pool_id and placing[2] <= period < placing[2] + order.duration_periods
        )
        offers = [lot for lot in book.lots if lot.pool_id == pool.pool_id and lot.from_period <= period < lot.to_period]
        tops[pool.pool_id, period] = Decimal(0)
        for lot in sorted(offers, key=lambda lot: lot.ask_usd_per_gpu_hour):
            take = min(need, lot.nodes)
            need -= take
            total -= lot.ask_usd_per_gpu_hour * take * pool.gpus_per_node * book.period_hours
            if take:
                tops[pool.pool_id, period] = lot.ask_usd_per_gpu_hour
        if need:
            return Decimal(-1)
    for order, (bid, nodes, start) in placed:
        span = range(start, start + order.duration_periods)
        if sum(tops[bid.pool_id, period] for period in span) > bid.value_usd_per_gpu_hour * len(span):
            return Decimal(-1)
        gpus = next(pool.gpus_per_node for pool in book.pools if pool.pool_id == bid.pool_id)
        total += bid.value_usd_per_gpu_hour * nodes * len(span) * gpus * book.period_hours
    return total
