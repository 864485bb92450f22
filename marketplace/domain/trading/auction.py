"""Auctions: one sealed call, from its opening until every decision is carried out.

Subject: ``marketplace.auction.<auction_id>``.

Invariants:
    1. The book is frozen once; every attempt to clear works on the same book.
    2. A clearing decides every order of the book exactly once, in the book's order, the backstop orders last.
    3. A frozen book includes every change of supply that was recorded while the auction collected.
    4. A result is published once, and not after the last attempt failed: then its orders are released.

Refusals in order: auction_unknown · auction_exists · time_naive · phases_reversed · horizon_too_long ·
auction_<status> · supply_changed · book_mismatch · decisions_incomplete.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from events.auction import (
    AuctionBookFrozen,
    AuctionBound,
    AuctionCleared,
    AuctionEvent,
    AuctionFailed,
    AuctionIndicated,
    AuctionLocked,
    AuctionOpened,
    AuctionOrdersDeferred,
    AuctionResultPublished,
    AuctionSettled,
    AuctionSupplyChanged,
    Deferral,
    Price,
)
from events.book import Book
from marketplace.clearing.book import PERIODS_MAX
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown, require_aware
from marketplace.domain.trading.auction_parts import (
    FrozenBook,
    Result,
    join_book,
    join_result,
    split_book,
    split_prices,
    split_result,
)

ATTEMPTS_MAX = 3
"""The most attempts to clear. After so many failures, an auction may release its orders."""


class OpenAuction(msgspec.Struct, frozen=True, kw_only=True):
    """Open an auction, which then collects orders."""

    auction_id: str
    locks_at: datetime
    horizon_start: datetime
    period_hours: Literal[1, 24]
    periods: int
    seed: int
    indicative_at: datetime | None = None
    no_cancel_at: datetime | None = None


class IndicateAuction(msgspec.Struct, frozen=True, kw_only=True):
    """Publish the prices that the current book would have."""

    auction_id: str
    orders: int
    book_hash: str
    prices: tuple[Price, ...]


class BindAuction(msgspec.Struct, frozen=True, kw_only=True):
    """Begin the no-cancel phase: the present orders are locked, and are neither cancelled nor amended."""

    auction_id: str
    orders: int


class ChangeSupply(msgspec.Struct, frozen=True, kw_only=True):
    """Record a change of supply before the book is frozen."""

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
    """Record that an attempt gave no publishable result."""

    auction_id: str
    reason: str
    attempt: int


class SettleAuction(msgspec.Struct, frozen=True, kw_only=True):
    """Record that every decision was carried out, or that an auction that failed for good released its orders."""

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
    | SettleAuction
)


Status = Literal["collecting", "locked", "failed", "cleared", "settled"]


@dataclass(frozen=True, slots=True)
class Auction(ABC):
    """An auction; each status has a class with what an auction of that status has.

    Attributes:
        opened: Its terms.
        indicated: The indicative prices; None where none were published.
        bound: That its orders were bound before the lock; None where they were not.
        changes: Causes that took capacity off sale while it collected: held quotes and withdrawn lots of resale.
    """

    opened: AuctionOpened
    indicated: AuctionIndicated | None = None
    bound: AuctionBound | None = None
    changes: frozenset[str] = frozenset()

    @property
    @abstractmethod
    def status(self) -> Status:
        """Return ``collecting``, ``locked``, ``failed``, ``cleared`` or ``settled``."""

    @property
    def horizon_start(self) -> datetime:
        """Return the first instant that it can award."""
        return self.opened.horizon_start

    @property
    def horizon_end(self) -> datetime:
        """Return the instant after the last that it can award."""
        return self.opened.horizon_start + self.opened.periods * timedelta(hours=self.opened.period_hours)

    @property
    def failed_for_good(self) -> bool:
        """Whether it will not be cleared any more and only releases its orders."""
        return False


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

    @property
    def failed_for_good(self) -> bool:
        """Whether it will not be cleared any more and only releases its orders."""
        return self.attempts >= ATTEMPTS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearedAuction(FrozenAuction):
    """An auction with a result that is being carried out."""

    cleared: Result

    @property
    def status(self) -> Status:
        """Return ``cleared``."""
        return "cleared"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledAuction(FrozenAuction):
    """An auction that is over; `cleared` is None where it failed for good."""

    cleared: Result | None
    settled: AuctionSettled

    @property
    def status(self) -> Status:
        """Return ``settled``."""
        return "settled"


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
        case SettleAuction():
            return _settle(command, state)


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
    if command.cause in state.changes:
        return []
    require_collecting(state)
    return [AuctionSupplyChanged(auction_id=command.auction_id, cause=command.cause)]


def _lock(command: LockAuction, state: Auction) -> Sequence[AuctionEvent]:
    frozen = FrozenBook(book=command.book, book_hash=command.book_hash)
    if isinstance(state, FrozenAuction) and state.locked == frozen:
        return []
    require_collecting(state)
    if command.changes is not None and command.changes != len(state.changes):
        raise Refusal(
            "supply_changed",
            f"the book includes {command.changes} of the {len(state.changes)} changes of supply; read it again",
            auction_id=command.auction_id,
        )
    return split_book(command.auction_id, frozen, command.deferrals)


def _clear(command: ClearAuction, state: Auction) -> Sequence[AuctionEvent]:
    result = Result(**{name: getattr(command, name) for name in command.__struct_fields__})
    if isinstance(state, ClearedAuction | SettledAuction) and state.cleared == result:
        return []
    if state.failed_for_good:
        raise refuse_status("auction", command.auction_id, state.status, "locked")
    if not isinstance(state, LockedAuction):
        raise refuse_status("auction", command.auction_id, state.status, "locked or failed")
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


def _fail(command: FailAuction, state: Auction) -> Sequence[AuctionEvent]:
    if isinstance(state, FrozenAuction) and command.attempt <= state.attempts:
        return []
    if state.failed_for_good:
        return []
    if not isinstance(state, LockedAuction):
        raise refuse_status("auction", command.auction_id, state.status, "locked or failed")
    return [AuctionFailed(auction_id=command.auction_id, reason=command.reason, attempt=command.attempt)]


def _settle(command: SettleAuction, state: Auction) -> Sequence[AuctionEvent]:
    event = AuctionSettled(**{name: getattr(command, name) for name in command.__struct_fields__})
    if isinstance(state, SettledAuction) and state.settled == event:
        return []
    if not isinstance(state, ClearedAuction) and not state.failed_for_good:
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
            return replace(state, attempts=event.attempt)
        case LockedAuction(), AuctionCleared():
            result = join_result(state.result_parts, event)
            return ClearedAuction(**_copy(state), locked=state.locked, attempts=state.attempts, cleared=result)
        case ((LockedAuction() | ClearedAuction()), AuctionSettled()):
            cleared = state.cleared if isinstance(state, ClearedAuction) else None
            return SettledAuction(
                **_copy(state), locked=state.locked, attempts=state.attempts, cleared=cleared, settled=event
            )
    raise AssertionError(f"{type(event).__name__} does not follow on {state!r:.80}")


def _collect(state: CollectingAuction, event: AuctionEvent) -> Auction:
    match event:
        case AuctionIndicated():
            return replace(state, indicated=event)
        case AuctionBound():
            return replace(state, bound=event)
        case AuctionSupplyChanged():
            return replace(state, changes=state.changes | {event.cause})
        case AuctionBookFrozen():
            return replace(state, book_parts=(*state.book_parts, event))
        case AuctionLocked():
            return LockedAuction(**_copy(state), locked=join_book(state.book_parts, event))
    raise AssertionError(f"{type(event).__name__} does not follow on an auction that collects")


def _copy(state: Auction) -> dict[str, Any]:
    """Return the fields that every status of an auction has."""
    return {field.name: getattr(state, field.name) for field in fields(Auction)}


AUCTION: Decider[AuctionCommand, AuctionEvent, AuctionState] = Decider("auction", "auc", None, decide, evolve)
