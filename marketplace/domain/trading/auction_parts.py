"""Split a book or a result of any size into events of bounded size, and join them again.

A server accepts messages of at most 8 MiB, and a book of a thousand orders may be larger. Rows are therefore stored in
parts of at most `PART_BYTES_MAX`, in one append with the event that states how many there are: all or none.

Invariants:
    1. Joining gives what was split, row by row, so that a book's hash can be checked from its parts. A book with an
       unreadable part is never cleared, because its hash differs from the frozen one.
    2. A part exceeds `PART_BYTES_MAX` only if it contains a single row, with the pools that this row names.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from events.auction import (
    AuctionBookFrozen,
    AuctionCleared,
    AuctionIndicated,
    AuctionLocked,
    AuctionOrdersDeferred,
    AuctionResultPublished,
    Certificate,
    Decision,
    Deferral,
    Price,
    RulePrice,
    ShadowPrice,
)
from events.book import Book, BookLot, BookOrder, BookPool

PART_BYTES_MAX: Final = 512 * 1024
_ENCODER: Final = msgspec.json.Encoder(decimal_format="string")
Rows = Mapping[str, Sequence[msgspec.Struct]]


class FrozenBook(msgspec.Struct, frozen=True, kw_only=True):
    """The book of an auction, and its hash, which certificates state."""

    book: Book
    book_hash: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an auction.

    Attributes:
        auction_id: The auction.
        prices: Uniform prices, in runs of equal periods.
        decisions: One per order of the book, in the book's order, then one per backstop order.
        certificate: How to check it.
        shadow_prices: The proof of the certificate's bound.
        rule_prices: The part of that proof for limits, groups and links.
    """

    auction_id: str
    prices: tuple[Price, ...]
    decisions: tuple[Decision, ...]
    certificate: Certificate
    shadow_prices: tuple[ShadowPrice, ...] = ()
    rule_prices: tuple[RulePrice, ...] = ()


def measure(row: msgspec.Struct) -> int:
    """Return the bytes of a row in the body of an event, including the comma after it."""
    return len(_ENCODER.encode(row)) + 1


class _Row(NamedTuple):
    """A row, the field of the part that contains it, and what must be in the same part."""

    member: str
    row: msgspec.Struct
    beside: tuple[BookPool, ...] = ()


def _pack(rows: Iterable[_Row], bytes_max: int) -> Iterator[dict[str, tuple[Any, ...]]]:
    """Yield the parts of the rows."""
    part: dict[str, list[Any]] = {}
    pools: set[str] = set()
    size = 0
    for member, row, beside in rows:
        own = measure(row)
        needed = own + sum(measure(pool) for pool in beside if pool.pool_id not in pools)
        if part and size + needed > bytes_max:
            yield {name: tuple(known) for name, known in part.items()}
            part, pools, size = {}, set(), 0
        fresh = [pool for pool in beside if pool.pool_id not in pools]
        if fresh:
            part.setdefault("pools", []).extend(fresh)
            pools |= {pool.pool_id for pool in fresh}
            size += sum(measure(pool) for pool in fresh)
        part.setdefault(member, []).append(row)
        if isinstance(row, BookPool):
            pools.add(row.pool_id)
        size += own
    if part:
        yield {name: tuple(known) for name, known in part.items()}


def _walk_book(book: Book) -> Iterator[_Row]:
    pools = {pool.pool_id: pool for pool in book.pools}

    def name(row: msgspec.Struct) -> tuple[BookPool, ...]:
        match row:
            case BookLot():
                return (pools[row.pool_id],)
            case BookOrder():
                return tuple(pools[pool_id] for pool_id in dict.fromkeys(bid.pool_id for bid in row.bids))
            case _:
                return ()

    for member in ("pools", "lots", "orders", "limits", "backstops"):
        for row in getattr(book, member):
            yield _Row(member, row, name(row))


def split_book(
    auction_id: str, frozen: FrozenBook, deferrals: Sequence[Deferral], bytes_max: int = PART_BYTES_MAX
) -> list[AuctionBookFrozen | AuctionOrdersDeferred | AuctionLocked]:
    """Return the events that freeze a book and defer the orders not admitted; `auction.locked` is last."""
    book = frozen.book
    parts = list(_pack(_walk_book(book), bytes_max)) or [{}]
    deferred = _pack((_Row("deferrals", deferral) for deferral in deferrals), bytes_max)
    return [
        *(
            AuctionBookFrozen(auction_id=auction_id, part=part, period_hours=book.period_hours, **rows)
            for part, rows in enumerate(parts)
        ),
        *(AuctionOrdersDeferred(auction_id=auction_id, part=part, **rows) for part, rows in enumerate(deferred)),
        AuctionLocked(
            auction_id=auction_id,
            book_hash=frozen.book_hash,
            period_hours=book.period_hours,
            periods=book.periods,
            parts=len(parts),
            orders=len(book.orders),
            backstops=len(book.backstops),
            deferred=len(deferrals),
        ),
    ]


def join_book(parts: Sequence[AuctionBookFrozen], locked: AuctionLocked) -> FrozenBook:
    """Return the book that was split. If an operator passed over a part, its rows are missing."""
    pools = {pool.pool_id: pool for part in parts for pool in part.pools}
    book = Book(
        period_hours=locked.period_hours,
        periods=locked.periods,
        pools=tuple(pools.values()),
        lots=tuple(lot for part in parts for lot in part.lots),
        orders=tuple(order for part in parts for order in part.orders),
        limits=tuple(limit for part in parts for limit in part.limits),
        backstops=tuple(order for part in parts for order in part.backstops),
    )
    return FrozenBook(book=book, book_hash=locked.book_hash)


def split_result(result: Result, bytes_max: int = PART_BYTES_MAX) -> list[AuctionResultPublished | AuctionCleared]:
    """Return the events that publish a result; `auction.cleared` is last."""
    members = ("decisions", "prices", "shadow_prices", "rule_prices")
    rows = (_Row(member, row) for member in members for row in getattr(result, member))
    parts = list(_pack(rows, bytes_max)) or [{}]
    matched = sum(decision.match is not None for decision in result.decisions)
    return [
        *(AuctionResultPublished(auction_id=result.auction_id, part=part, **known) for part, known in enumerate(parts)),
        AuctionCleared(
            auction_id=result.auction_id,
            certificate=result.certificate,
            parts=len(parts),
            matched=matched,
            unmatched=len(result.decisions) - matched,
        ),
    ]


def join_result(parts: Sequence[AuctionResultPublished], cleared: AuctionCleared) -> Result:
    """Return the result that was split. If an operator passed over a part, its rows are missing."""

    def gather(get: Callable[[AuctionResultPublished], tuple[Any, ...]]) -> tuple[Any, ...]:
        return tuple(row for part in parts for row in get(part))

    return Result(
        auction_id=cleared.auction_id,
        prices=gather(lambda part: part.prices),
        decisions=gather(lambda part: part.decisions),
        certificate=cleared.certificate,
        shadow_prices=gather(lambda part: part.shadow_prices),
        rule_prices=gather(lambda part: part.rule_prices),
    )


def split_prices(indicated: AuctionIndicated, bytes_max: int = PART_BYTES_MAX) -> list[AuctionIndicated]:
    """Return indicative prices in parts, at least one."""
    parts = list(_pack((_Row("prices", price) for price in indicated.prices), bytes_max)) or [{"prices": ()}]
    return [msgspec.structs.replace(indicated, part=part, prices=rows["prices"]) for part, rows in enumerate(parts)]
