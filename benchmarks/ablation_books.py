"""The books of the ablation: every kind and size that the clearing engine treats differently, from fixed seeds."""

import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from benchmarks.markets import write_cluster, write_synthetic
from marketplace.clearing.model import Bid, Book, Limit, Order, Use
from marketplace.cli.instance import parse_instance_dir

POWER_KW_PER_NODE = Decimal(10)
BUDGET_PER_NODE = Decimal(1)


def synthetic(seed: int, orders: int, pools: int, *, supply: float = 1.0) -> Book:
    """Fabrics around list prices; `supply` scales the nodes of every lot."""
    with tempfile.TemporaryDirectory(prefix="marketplace-ablation-") as name:
        book = parse_instance_dir(write_synthetic(Path(name) / "book", seed, orders, pools))
    lots = tuple(replace(lot, nodes=max(1, round(lot.nodes * supply))) for lot in book.lots)
    return replace(book, lots=lots)


def cluster(seed: int, orders: int, pools: int) -> Book:
    """Many equal pools of a dozen nodes, and short jobs that come in bursts."""
    with tempfile.TemporaryDirectory(prefix="marketplace-ablation-") as name:
        return parse_instance_dir(write_cluster(Path(name) / "book", seed, orders, pools))


def ruled(seed: int, orders: int, pools: int, *, supply: float = 1.0) -> Book:
    """Exclusive groups, links, size ranges, a limit of power and budgets, each on some orders; a few backstops."""
    book, pick = synthetic(seed, orders, pools, supply=supply), random.Random(seed)  # noqa: S311 - a market that repeats itself, no secret
    made = [_add_rules(pick, at, order) for at, order in enumerate(book.orders)]
    nodes = sum(lot.nodes for lot in book.lots)
    limits = (
        Limit("power", POWER_KW_PER_NODE * nodes / 4, 0, book.periods),
        *(Limit(f"budget_{at}", BUDGET_PER_NODE * nodes * 2) for at in range(4)),
    )
    backstops = tuple(
        replace(order, order_id=f"backstop_{order.order_id}", bids=order.bids[:1]) for order in book.orders[::20]
    )
    return replace(book, orders=tuple(made), limits=limits, backstops=backstops)


def _add_rules(pick: random.Random, at: int, order: Order) -> Order:
    uses = []
    if pick.random() < 0.5:
        uses.append(Use("power", POWER_KW_PER_NODE))
    if pick.random() < 0.3:
        uses.append(Use(f"budget_{at % 4}", BUDGET_PER_NODE))
    bids = tuple(replace(bid, uses=tuple(uses)) for bid in order.bids)
    return replace(
        order,
        bids=bids,
        sizes=(order.nodes // 2,) if order.nodes > 1 and pick.random() < 0.3 else (),
        group_id=f"group_{at // 3}" if pick.random() < 0.3 else None,
        parent_id=f"order_{at - 1:05d}" if at and pick.random() < 0.15 else None,
    )


def mandates(seed: int, orders: int, pools: int) -> Book:
    """Half of the bids also have a dearer one on some lots of their pool, in sets that overlap as mandates do."""
    book, pick = synthetic(seed, orders, pools, supply=0.5), random.Random(seed)  # noqa: S311 - a market that repeats itself, no secret
    mine: dict[str, list[str]] = {}
    for lot in book.lots:
        mine.setdefault(lot.pool_id, []).append(lot.lot_id)
    made = (
        replace(order, bids=tuple(each for bid in order.bids for each in _split(pick, bid, mine)))
        for order in book.orders
    )
    return replace(book, orders=tuple(made))


def _split(pick: random.Random, bid: Bid, lots: dict[str, list[str]]) -> list[Bid]:
    pool = lots.get(bid.pool_id, [])
    if not pool or pick.random() < 0.5:
        return [bid]
    chosen = tuple(sorted(pick.sample(pool, pick.randint(1, len(pool)))))
    value = bid.value_usd_per_gpu_hour * Decimal("1.1")
    return [
        bid,
        replace(bid, lot_ids=chosen, mandate_id="mandate", value_usd_per_gpu_hour=value.quantize(Decimal("0.0001"))),
    ]


def repeated(seed: int, kinds: int, copies: int, pools: int) -> Book:
    """Few kinds of orders, each of which many startups ask for alike."""
    book = synthetic(seed, kinds, pools)
    made = (replace(order, order_id=f"{order.order_id}_{copy:03d}") for copy in range(copies) for order in book.orders)
    return replace(book, orders=tuple(made))


BOOKS: dict[str, Callable[[], Book]] = {
    "tiny": lambda: synthetic(1, 40, 6),
    "tiny, scarce": lambda: synthetic(2, 60, 6, supply=0.25),
    "tiny, ruled": lambda: ruled(3, 40, 6, supply=0.5),
    "small": lambda: synthetic(405, 150, 16),
    "small, scarce": lambda: synthetic(6, 150, 16, supply=0.3),
    "small, ruled": lambda: ruled(7, 120, 16, supply=0.4),
    "small, mandates": lambda: mandates(8, 120, 12),
    "medium, slack": lambda: synthetic(9, 300, 36, supply=2.0),
    "medium, scarce": lambda: synthetic(10, 240, 30, supply=0.5),
    "medium, ruled": lambda: ruled(11, 230, 30, supply=0.4),
    "medium, mandates": lambda: mandates(12, 240, 24),
    "medium, few equal pools": lambda: cluster(13, 330, 6),
    "medium, equal pools": lambda: cluster(13, 200, 12),
    "medium, repeated": lambda: repeated(14, 40, 12, 16),
    "large, scarce": lambda: synthetic(15, 500, 50, supply=0.6),
}
"""By name: up to 600 placements are tiny, up to 3,000 small, up to 10,000 medium."""
