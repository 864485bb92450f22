"""Auctions: one sealed call, from its opening until every decision is carried out.

Subject: ``marketplace.auction.<auction_id>``.

A server accepts messages of at most 8 MiB, and the book or the result of a thousand orders may be larger. Their rows
are therefore stored in parts of at most `PART_BYTES_MAX`, in one append with the event that states how many there are:
all or none. A book has bounds too, so that no single order prevents an auction from being locked, stored or cleared.
Orders that break a bound are left out one by one, with the orders that depend on them. Each gets the reason.

Invariants:
    1. The book is frozen once; every attempt to clear works on the same book.
    2. A clearing decides every order of the book exactly once, in the book's order, the backstop orders last.
    3. A frozen book includes every change of supply that was recorded while the auction collected.
    4. A result is published once, and not after the last attempt failed: then its orders are released.
    5. Joining parts gives what was split, row by row, so that a book's hash can be checked from its parts. A book with
       an unreadable part is never cleared, because its hash differs from the frozen one.
    6. A part exceeds `PART_BYTES_MAX` only if it contains a single row, with the pools that this row names.

Refusals in order: auction_unknown · auction_exists · time_naive · phases_reversed · horizon_too_long ·
value_out_of_bounds · auction_<status> · supply_changed · book_mismatch · decisions_incomplete ·
auction_carried_out.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from events.auction import (
    AuctionBookFrozen,
    AuctionBound,
    AuctionCleared,
    AuctionCompleted,
    AuctionEvent,
    AuctionFailed,
    AuctionIndicated,
    AuctionLocked,
    AuctionOpened,
    AuctionOrdersDeferred,
    AuctionResultPublished,
    AuctionSupplyChanged,
    Certificate,
    Decision,
    Deferral,
    IdleSupply,
    Price,
    RulePrice,
    ShadowPrice,
)
from events.book import Book, BookLot, BookOrder, BookPool
from events.plain_json import encode_event
from events.types import Reason
from marketplace.clearing.book import BIDS_PER_ORDER_MAX, PERIODS_MAX
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.horizon import build_horizon
from marketplace.core.intervals import require_aware
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown, require_bounds

PART_BYTES_MAX: Final = 512 * 1024
ROW_BYTES_MAX: Final = 1024 * 1024
"""The most bytes of one order in the book, as stored."""
BOOK_BYTES_MAX: Final = 64 * 1024 * 1024
"""The most bytes of all orders of the book, which are stored in one append."""
ATTEMPTS_MAX = 3
"""The most attempts to clear. After so many failures, an auction may release its orders."""


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
        idle_supply: Idle nodes that ask less than the price, with the cause.
    """

    auction_id: str
    prices: tuple[Price, ...]
    decisions: tuple[Decision, ...]
    certificate: Certificate
    shadow_prices: tuple[ShadowPrice, ...] = ()
    rule_prices: tuple[RulePrice, ...] = ()
    idle_supply: tuple[IdleSupply, ...] = ()


class OpenAuction(msgspec.Struct, frozen=True, kw_only=True):
    """Open an auction, which then collects orders.

    Attributes:
        auction_id: The auction.
        locks_at: When it locks its orders and freezes its book.
        horizon_start: The first instant that it awards.
        period_hours: The hours of a period.
        periods: How many periods it awards.
        seed: Seed of the engine's search.
        indicative_at: When it publishes indicative prices; None: never.
        no_cancel_at: When it binds its orders; None: not before the lock.
    """

    auction_id: str
    locks_at: datetime
    horizon_start: datetime
    period_hours: Literal[1, 24, 120]
    periods: int
    seed: int
    indicative_at: datetime | None = None
    no_cancel_at: datetime | None = None


class IndicateAuction(msgspec.Struct, frozen=True, kw_only=True):
    """Publish the prices that the current book would have. `orders` is how many orders it has."""

    auction_id: str
    orders: int
    book_hash: str
    prices: tuple[Price, ...]


class BindAuction(msgspec.Struct, frozen=True, kw_only=True):
    """Begin the no-cancel phase: the `orders` present ones are locked, and are neither cancelled nor amended."""

    auction_id: str
    orders: int


class ChangeSupply(msgspec.Struct, frozen=True, kw_only=True):
    """Record a change of supply before the book is frozen; each counts. `cause` is the id of the quote or lot."""

    auction_id: str
    cause: str


class LockAuction(msgspec.Struct, frozen=True, kw_only=True):
    """Freeze the book, and defer the orders that it does not admit.

    `changes` is the number of supply changes that the book includes; None if the caller does not know.
    """

    auction_id: str
    book: Book
    book_hash: str
    deferrals: tuple[Deferral, ...] = ()
    changes: int | None = None


class ClearAuction(Result, frozen=True, kw_only=True):
    """Publish prices and decisions."""


class FailAuction(msgspec.Struct, frozen=True, kw_only=True):
    """Record that an attempt to clear, numbered from 1, gave no publishable result."""

    auction_id: str
    reason: str
    attempt: int


class CompleteAuction(msgspec.Struct, frozen=True, kw_only=True):
    """Record that every decision was carried out, or that an auction that failed for good released its orders.

    The numbers count orders; `impossible` are matches that could not be carried out.
    """

    auction_id: str
    matched: int
    unmatched: int
    impossible: int


AuctionCommand = (
    OpenAuction
    | IndicateAuction
    | BindAuction
    | ChangeSupply
    | LockAuction
    | ClearAuction
    | FailAuction
    | CompleteAuction
)


Status = Literal["collecting", "locked", "failed", "cleared"]


@dataclass(frozen=True, slots=True)
class Auction(ABC):
    """An auction; each status has a class with what an auction of that status has.

    Attributes:
        opened: Its terms.
        indicated: The last part of the indicative prices; None if none were published.
        bound: The start of its no-cancel phase; None if it has not begun.
        changes: How often a held quote, or a lot that was moved or withdrawn, changed supply while it collected.
    """

    opened: AuctionOpened
    indicated: AuctionIndicated | None = None
    bound: AuctionBound | None = None
    changes: int = 0

    @property
    @abstractmethod
    def status(self) -> Status:
        """Return ``collecting``, ``locked``, ``failed`` or ``cleared``."""

    @property
    def is_carried_out(self) -> bool:
        """Return whether every decision was carried out, or every order released."""
        return False

    @property
    def horizon_start(self) -> datetime:
        """Return the first instant that it can award."""
        return self.opened.horizon_start

    @property
    def horizon_end(self) -> datetime:
        """Return the instant after the last that it can award."""
        return build_horizon(self.opened).end

    def takes_orders(self, at: datetime) -> bool:
        """Return whether it collects orders, and its lock time has not come."""
        return self.status == "collecting" and at < self.opened.locks_at


@dataclass(frozen=True, slots=True)
class CollectingAuction(Auction):
    """An auction that takes orders; `book_parts` are the parts of its book that are frozen so far."""

    book_parts: tuple[AuctionBookFrozen, ...] = ()

    @property
    def status(self) -> Status:
        """Return ``collecting``."""
        return "collecting"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenAuction(Auction, ABC):
    """An auction whose book is frozen.

    Attributes:
        locked: The book.
        attempts: Attempts at clearing it that failed.
    """

    locked: FrozenBook
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedAuction(FrozenAuction):
    """An auction without a result yet; `result_parts` are the parts that are published so far."""

    result_parts: tuple[AuctionResultPublished, ...] = ()

    @property
    def status(self) -> Status:
        """Return ``failed`` once an attempt at clearing it failed, ``locked`` before."""
        return "failed" if self.attempts else "locked"


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonedAuction(LockedAuction):
    """An auction whose attempts all failed. It is not cleared any more, and only releases its orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearedAuction(FrozenAuction):
    """An auction with a result that is being carried out."""

    cleared: Result

    @property
    def status(self) -> Status:
        """Return ``cleared``."""
        return "cleared"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedAuction(FrozenAuction):
    """An auction that is over; `cleared` is None where it failed for good."""

    cleared: Result | None
    completed: AuctionCompleted

    @property
    def status(self) -> Status:
        """Return ``cleared``, or ``failed`` where it released its orders."""
        return "failed" if self.cleared is None else "cleared"

    @property
    def is_carried_out(self) -> bool:
        """Return True."""
        return True


AuctionState = Auction | None


def decide(command: AuctionCommand, state: AuctionState) -> Sequence[AuctionEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, OpenAuction):
        return _open(command, state)
    if state is None:
        raise refuse_unknown("auction", command.auction_id)
    match command:
        case IndicateAuction():
            return _indicate(command, state)
        case BindAuction():
            return _bind(command, state)
        case LockAuction():
            return _lock(command, state)
        case ChangeSupply():
            return _change_supply(command, state)
        case ClearAuction():
            return _clear(command, state)
        case FailAuction():
            return _fail(command, state)
        case CompleteAuction():
            return _complete(command, state)


def _open(command: OpenAuction, state: AuctionState) -> Sequence[AuctionEvent]:
    event = AuctionOpened(**{name: getattr(command, name) for name in command.__struct_fields__})
    if state is not None:
        if state.opened == event:
            return []
        raise refuse_exists("auction", command.auction_id)
    require_aware(command.locks_at, "/locks_at")
    require_aware(command.horizon_start, "/horizon_start")
    phases = [at for at in (command.indicative_at, command.no_cancel_at, command.locks_at) if at is not None]
    for at in phases[:-1]:
        require_aware(at, "/indicative_at" if at is command.indicative_at else "/no_cancel_at")
    if phases != sorted(phases):
        raise Refusal(
            "phases_reversed",
            "an auction collects, then indicates, then binds, then locks; state these times in this order",
            pointer="/no_cancel_at",
        )
    if command.periods > PERIODS_MAX:
        raise Refusal(
            "horizon_too_long",
            f"{command.periods} periods are more than the {PERIODS_MAX} that one auction clears; that is 182 days of"
            " hours, use days for more",
            pointer="/periods",
            periods_max=PERIODS_MAX,
        )
    require_bounds(event)
    return [event]


def _indicate(command: IndicateAuction, state: Auction) -> Sequence[AuctionEvent]:
    if state.indicated is not None:
        return []
    require_collecting(state)
    return split_prices(AuctionIndicated(**{name: getattr(command, name) for name in command.__struct_fields__}))


def _bind(command: BindAuction, state: Auction) -> Sequence[AuctionEvent]:
    if state.bound is not None:
        return []
    require_collecting(state)
    return [AuctionBound(auction_id=command.auction_id, orders=command.orders)]


def require_collecting(state: Auction) -> None:
    """Refuse what only a collecting auction does.

    Raises:
        Refusal: ``auction_<status>``.
    """
    if not isinstance(state, CollectingAuction):
        raise refuse_status("auction", state.opened.auction_id, state.status, "collecting")


def _change_supply(command: ChangeSupply, state: Auction) -> Sequence[AuctionEvent]:
    require_collecting(state)
    return [AuctionSupplyChanged(auction_id=command.auction_id, cause=command.cause)]


def _lock(command: LockAuction, state: Auction) -> Sequence[AuctionEvent]:
    frozen = FrozenBook(book=command.book, book_hash=command.book_hash)
    if isinstance(state, FrozenAuction) and state.locked == frozen:
        return []
    require_collecting(state)
    if command.changes is not None and command.changes != state.changes:
        raise Refusal(
            "supply_changed",
            f"the book includes {command.changes} of the {state.changes} changes of supply; read it again",
            auction_id=command.auction_id,
        )
    return split_book(command.auction_id, frozen, command.deferrals)


def _clear(command: ClearAuction, state: Auction) -> Sequence[AuctionEvent]:
    result = Result(**{name: getattr(command, name) for name in command.__struct_fields__})
    if isinstance(state, ClearedAuction | CompletedAuction) and state.cleared == result:
        return []
    state = _require_locked(state)
    if command.certificate.book_hash != state.locked.book_hash:
        raise Refusal(
            "book_mismatch",
            f"the result is of book {command.certificate.book_hash}, the frozen book is {state.locked.book_hash}",
        )
    book = state.locked.book
    expected = [order.order_id for order in (*book.orders, *book.backstops)]
    if [decision.order_id for decision in command.decisions] != expected:
        raise Refusal(
            "decisions_incomplete",
            f"the book has {len(expected)} orders; each needs one decision, in the book's order",
            pointer="/decisions",
            orders=len(expected),
            decisions=len(command.decisions),
        )
    return split_result(result)


def _require_locked(state: Auction) -> LockedAuction:
    if not isinstance(state, LockedAuction) or isinstance(state, AbandonedAuction):
        allowed = "locked" if state.status == "failed" else "locked or failed"
        raise refuse_status("auction", state.opened.auction_id, state.status, allowed)
    return state


def _fail(command: FailAuction, state: Auction) -> Sequence[AuctionEvent]:
    if isinstance(state, AbandonedAuction) or (isinstance(state, FrozenAuction) and command.attempt <= state.attempts):
        return []
    _require_locked(state)
    return [AuctionFailed(auction_id=command.auction_id, reason=command.reason, attempt=command.attempt)]


def _complete(command: CompleteAuction, state: Auction) -> Sequence[AuctionEvent]:
    event = AuctionCompleted(**{name: getattr(command, name) for name in command.__struct_fields__})
    if isinstance(state, CompletedAuction):
        if state.completed == event:
            return []
        raise Refusal(
            "auction_carried_out",
            f"auction {command.auction_id} was carried out with another outcome; nothing of it changes now",
        )
    if not isinstance(state, ClearedAuction | AbandonedAuction):
        raise refuse_status("auction", command.auction_id, state.status, "cleared")
    return [event]


def evolve(state: AuctionState, event: AuctionEvent) -> AuctionState:
    """Return the state after an event."""
    match state, event:
        case None, AuctionOpened():
            return CollectingAuction(event)
        case Auction(), AuctionOrdersDeferred():
            return state
        case CollectingAuction(), _:
            return _collect(state, event)
        case LockedAuction(), AuctionResultPublished():
            return replace(state, result_parts=(*state.result_parts, event))
        case LockedAuction(), AuctionFailed():
            return _fail_attempt(state, event)
        case LockedAuction(), AuctionCleared():
            result = join_result(state.result_parts, event)
            return ClearedAuction(**_copy(state), locked=state.locked, attempts=state.attempts, cleared=result)
        case ((LockedAuction() | ClearedAuction()), AuctionCompleted()):
            cleared = state.cleared if isinstance(state, ClearedAuction) else None
            return CompletedAuction(
                **_copy(state), locked=state.locked, attempts=state.attempts, cleared=cleared, completed=event
            )
    raise AssertionError(f"{type(event).__name__} does not follow on {state!r:.80}")


def _fail_attempt(state: LockedAuction, event: AuctionFailed) -> LockedAuction:
    if event.attempt < ATTEMPTS_MAX:
        return replace(state, attempts=event.attempt)
    return AbandonedAuction(
        **_copy(state), locked=state.locked, attempts=event.attempt, result_parts=state.result_parts
    )


def _collect(state: CollectingAuction, event: AuctionEvent) -> Auction:
    match event:
        case AuctionIndicated():
            return replace(state, indicated=event)
        case AuctionBound():
            return replace(state, bound=event)
        case AuctionSupplyChanged():
            return replace(state, changes=state.changes + 1)
        case AuctionBookFrozen():
            return replace(state, book_parts=(*state.book_parts, event))
        case AuctionLocked():
            return LockedAuction(**_copy(state), locked=join_book(state.book_parts, event))
    raise AssertionError(f"{type(event).__name__} does not follow on an auction that collects")


def _copy(state: Auction) -> dict[str, Any]:
    """Return the fields that every status of an auction has."""
    return {field.name: getattr(state, field.name) for field in fields(Auction)}


def _measure(row: msgspec.Struct) -> int:
    """Return the bytes of a row in the body of an event, including the comma after it."""
    return len(encode_event(row)) + 1


class FittedBook(NamedTuple):
    """A book within the bounds, and why each other order was left out, by its id."""

    book: Book
    dropped: dict[str, Reason]


def fit_book(book: Book, bytes_max: int = BOOK_BYTES_MAX) -> FittedBook:
    """Return the book without the orders that break a bound, and without those that depend on them.

    If the whole is more than `bytes_max`, the last orders are left out.
    """
    dropped: dict[str, Reason] = {}
    kept: dict[str, list[BookOrder]] = {"orders": [], "backstops": []}
    size = 0
    for member, rows in kept.items():
        for order in getattr(book, member):
            own = _measure(order)
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
        own = _measure(row)
        needed = own + sum(_measure(pool) for pool in beside if pool.pool_id not in pools)
        if part and size + needed > bytes_max:
            yield {name: tuple(known) for name, known in part.items()}
            part, pools, size = {}, set(), 0
        fresh = [pool for pool in beside if pool.pool_id not in pools]
        if fresh:
            part.setdefault("pools", []).extend(fresh)
            pools |= {pool.pool_id for pool in fresh}
            size += sum(_measure(pool) for pool in fresh)
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
    members = ("decisions", "prices", "shadow_prices", "rule_prices", "idle_supply")
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
        idle_supply=gather(lambda part: part.idle_supply),
    )


def split_prices(indicated: AuctionIndicated, bytes_max: int = PART_BYTES_MAX) -> list[AuctionIndicated]:
    """Return the events with indicative prices, each of at most `bytes_max`; at least one."""
    parts = list(_pack((_Row("prices", price) for price in indicated.prices), bytes_max)) or [{"prices": ()}]
    return [msgspec.structs.replace(indicated, part=part, prices=rows["prices"]) for part, rows in enumerate(parts)]


AUCTION: Decider[AuctionCommand, AuctionEvent, AuctionState] = Decider("auction", "auc", None, decide, evolve)
