"""Checks a book before anything is computed from it, so that the engine only ever meets sane numbers.

Refusals, in this order: `book_too_large`, `invalid_book` (period length and horizon), `duplicate_id`, `unknown_pool`,
`invalid_quantity`, `invalid_span`, `invalid_price`, `overlapping_lot`, `foreign_lot`, then as `check_rules`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise

from marketplace.clearing.book_rules import check_rules
from marketplace.clearing.model import Book, Lot, Order
from marketplace.core.errors import Refusal
from marketplace.core.money import PRICE_MAX_USD_PER_GPU_HOUR, PRICE_PLACES

NODES_MAX = 1_000_000
GPUS_PER_NODE_MAX = 1_024
PERIODS_MAX = 182 * 24
PERIOD_HOURS_MAX = 24 * 31
POOLS_MAX = 10_000
LOTS_MAX = 100_000
ORDERS_MAX = 100_000
BACKSTOPS_MAX = 100
BIDS_PER_ORDER_MAX = 1_000


def check_book(book: Book) -> None:
    """Refuse a book that breaks a rule, naming the member by a JSON pointer.

    Raises:
        Refusal: With one of the codes of the module's docstring.
    """
    _check_sizes(book)
    _check_whole(book.period_hours, 1, PERIOD_HOURS_MAX, "/period_hours", "invalid_book")
    _check_whole(book.periods, 1, PERIODS_MAX, "/periods", "invalid_book")
    _check_unique([pool.pool_id for pool in book.pools], "/pools")
    _check_unique([order.order_id for order in (*book.orders, *book.backstops)], "/orders")
    for index, pool in enumerate(book.pools):
        _check_whole(pool.gpus_per_node, 1, GPUS_PER_NODE_MAX, f"/pools/{index}/gpus_per_node", "invalid_quantity")
    pools = {pool.pool_id for pool in book.pools}
    for index, lot in enumerate(book.lots):
        _check_lot(lot, f"/lots/{index}", pools, book.periods)
    home = _check_homes(book.lots)
    _check_overlaps(book.lots)
    for index, order in enumerate(book.orders):
        _check_order(order, f"/orders/{index}", pools, home)
    for index, order in enumerate(book.backstops):
        _check_order(order, f"/backstops/{index}", pools, home)
    check_rules(book, NODES_MAX)


def _check_sizes(book: Book) -> None:
    for name, count, limit in (
        ("pools", len(book.pools), POOLS_MAX),
        ("lots", len(book.lots), LOTS_MAX),
        ("orders", len(book.orders), ORDERS_MAX),
        ("backstops", len(book.backstops), BACKSTOPS_MAX),
    ):
        if count > limit:
            raise Refusal(
                "book_too_large",
                f"the book holds {count} {name}, more than the {limit} that one auction clears; split it",
                pointer=f"/{name}",
                count=count,
                limit=limit,
            )


def _check_whole(value: int, least: int, most: int, pointer: str, code: str) -> None:
    if isinstance(value, bool) or not least <= value <= most:
        raise Refusal(
            code,
            f"{pointer} is {value!r}, expected a whole number from {least} to {most}",
            pointer=pointer,
            value=str(value),
        )


def _check_unique(names: Sequence[str], pointer: str) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if not name or name in seen:
            raise Refusal(
                "duplicate_id",
                f"{pointer}/{index} has the id {name!r}, which is empty or already taken; give each its own",
                pointer=f"{pointer}/{index}",
                id=name,
            )
        seen.add(name)


def _check_pool(pool_id: str, pools: set[str], pointer: str) -> None:
    if pool_id not in pools:
        raise Refusal(
            "unknown_pool",
            f"{pointer} names pool {pool_id!r}, which the book does not list; add the pool or drop the entry",
            pointer=f"{pointer}/pool_id",
            pool_id=pool_id,
        )


def check_price(price: Decimal, pointer: str) -> None:
    """Refuse a price that is not a finite Decimal from 0 to a billion with at most six places.

    Raises:
        Refusal: ``invalid_price``.
    """
    if price.is_finite() and 0 <= price <= PRICE_MAX_USD_PER_GPU_HOUR:
        exponent = price.normalize().as_tuple().exponent
        if isinstance(exponent, int) and exponent >= -PRICE_PLACES:
            return
    raise Refusal(
        "invalid_price",
        f"{pointer} is {price}, expected US dollars from 0 to {PRICE_MAX_USD_PER_GPU_HOUR} with at most {PRICE_PLACES}"
        " places",
        pointer=pointer,
        value=str(price),
    )


def _check_lot(lot: Lot, pointer: str, pools: set[str], periods: int) -> None:
    _check_pool(lot.pool_id, pools, pointer)
    _check_whole(lot.nodes, 0, NODES_MAX, f"{pointer}/nodes", "invalid_quantity")
    if not 0 <= lot.from_period < lot.to_period <= periods:
        raise Refusal(
            "invalid_span",
            f"lot {lot.lot_id} spans [{lot.from_period}, {lot.to_period}), expected a span inside [0, {periods})",
            pointer=f"{pointer}/to_period",
            from_period=lot.from_period,
            to_period=lot.to_period,
        )
    check_price(lot.ask_usd_per_gpu_hour, f"{pointer}/ask_usd_per_gpu_hour")


def _check_homes(lots: Iterable[Lot]) -> dict[str, str]:
    home: dict[str, str] = {}
    for index, lot in enumerate(lots):
        if home.setdefault(lot.lot_id, lot.pool_id) != lot.pool_id or not lot.lot_id:
            raise Refusal(
                "duplicate_id",
                f"lot {lot.lot_id!r} is listed in pools {home[lot.lot_id]} and {lot.pool_id}; a lot has one pool",
                pointer=f"/lots/{index}/lot_id",
                id=lot.lot_id,
            )
    return home


def _check_overlaps(lots: Iterable[Lot]) -> None:
    spans: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for index, lot in enumerate(lots):
        spans[lot.lot_id].append((lot.from_period, lot.to_period, index))
    for lot_id, entries in spans.items():
        entries.sort()
        for (_, end, _), (begin, _, index) in pairwise(entries):
            if begin < end:
                raise Refusal(
                    "overlapping_lot",
                    f"lot {lot_id} has two entries for period {begin}; give one lot disjoint spans",
                    pointer=f"/lots/{index}/from_period",
                    lot_id=lot_id,
                    period=begin,
                )


def _check_order(order: Order, pointer: str, pools: set[str], home: dict[str, str]) -> None:
    _check_whole(order.nodes, 1, NODES_MAX, f"{pointer}/nodes", "invalid_quantity")
    _check_whole(order.duration_periods, 1, PERIODS_MAX, f"{pointer}/duration_periods", "invalid_quantity")
    if not 0 <= order.start_earliest <= order.start_latest:
        raise Refusal(
            "invalid_span",
            f"order {order.order_id} may start from {order.start_earliest} to {order.start_latest}; "
            "expected 0 <= start_earliest <= start_latest",
            pointer=f"{pointer}/start_latest",
            start_earliest=order.start_earliest,
            start_latest=order.start_latest,
        )
    _check_whole(len(order.bids), 0, BIDS_PER_ORDER_MAX, f"{pointer}/bids", "book_too_large")
    for index, bid in enumerate(order.bids):
        at = f"{pointer}/bids/{index}"
        _check_pool(bid.pool_id, pools, at)
        check_price(bid.value_usd_per_gpu_hour, f"{at}/value_usd_per_gpu_hour")
        for lot_id in sorted(bid.lot_ids or ()):
            if home.get(lot_id, bid.pool_id) != bid.pool_id:
                raise Refusal(
                    "foreign_lot",
                    f"order {order.order_id} bids on pool {bid.pool_id} with lot {lot_id} of pool {home[lot_id]}; name"
                    " lots of the same pool",
                    pointer=f"{at}/lot_ids",
                    lot_id=lot_id,
                )
