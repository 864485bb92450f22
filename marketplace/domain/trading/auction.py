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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

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
    """Bind the orders that are present."""

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


@dataclass(frozen=True, slots=True)
class Auction:
    """An auction. Later fields are set when its status says so.

    Attributes:
        changes: Changes of supply while it collects: held quotes and withdrawn resale lots.
    """

    opened: AuctionOpened
    status: Literal["collecting", "locked", "failed", "cleared", "settled"] = "collecting"
    locked: FrozenBook | None = None
    attempts: int = 0
    cleared: Result | None = None
    settled: AuctionSettled | None = None
    indicated: AuctionIndicated | None = None
    bound: AuctionBound | None = None
    book_parts: tuple[AuctionBookFrozen, ...] = ()
    result_parts: tuple[AuctionResultPublished, ...] = ()
    changes: frozenset[str] = frozenset()

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
        """Whether it will not be cleared any more, and only releases its orders."""
        return self.status == "failed" and self.attempts >= ATTEMPTS_MAX


def holds_up(rival: Auction, auction: Auction, *, earlier: bool) -> bool:
    """Return whether an auction must settle before another one may lock.

    A frozen book contains what is unsold. If two auctions award capacity of the same time, the second one's book is
    correct only once every match of the first one was carried out or has become impossible. An auction that failed for
    good settles when its orders are released, so that no auction waits for ever.

    Args:
        rival: The auction that may have to settle first.
        auction: The auction that is to lock.
        earlier: Whether the rival locks first. A later one matters only once it is locked.
    """
    if rival.status == "settled" or (rival.status == "collecting" and not earlier):
        return False
    return rival.horizon_start < auction.horizon_end and auction.horizon_start < rival.horizon_end


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
    _require_status(state, "collecting")
    return split_prices(AuctionIndicated(**{name: getattr(command, name) for name in command.__struct_fields__}))


def _bind(command: BindAuction, state: Auction) -> Sequence[AuctionEvent]:
    if state.bound is not None:
        return []
    _require_status(state, "collecting")
    return [AuctionBound(auction_id=command.auction_id, orders=command.orders)]


def _require_status(state: Auction, *allowed: str) -> None:
    if state.status not in allowed:
        raise refuse_status("auction", state.opened.auction_id, state.status, " or ".join(allowed))


def _change_supply(command: ChangeSupply, state: Auction) -> Sequence[AuctionEvent]:
    if command.cause in state.changes:
        return []
    _require_status(state, "collecting")
    return [AuctionSupplyChanged(auction_id=command.auction_id, cause=command.cause)]


def _lock(command: LockAuction, state: Auction) -> Sequence[AuctionEvent]:
    frozen = FrozenBook(book=command.book, book_hash=command.book_hash)
    if state.locked == frozen:
        return []
    _require_status(state, "collecting")
    if command.changes is not None and command.changes != len(state.changes):
        raise Refusal(
            "supply_changed",
            f"the book includes {command.changes} of the {len(state.changes)} changes of supply; read it again",
            auction_id=command.auction_id,
        )
    return split_book(command.auction_id, frozen, command.deferrals)


def _clear(command: ClearAuction, state: Auction) -> Sequence[AuctionEvent]:
    result = Result(**{name: getattr(command, name) for name in command.__struct_fields__})
    if state.cleared == result:
        return []
    if state.failed_for_good:
        raise refuse_status("auction", command.auction_id, state.status, "locked")
    _require_status(state, "locked", "failed")
    assert state.locked is not None, "a locked auction has its book"
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
    if command.attempt <= state.attempts or state.failed_for_good:
        return []
    _require_status(state, "locked", "failed")
    return [AuctionFailed(auction_id=command.auction_id, reason=command.reason, attempt=command.attempt)]


def _settle(command: SettleAuction, state: Auction) -> Sequence[AuctionEvent]:
    event = AuctionSettled(**{name: getattr(command, name) for name in command.__struct_fields__})
    if state.settled == event:
        return []
    if not state.failed_for_good:
        _require_status(state, "cleared")
    return [event]


def _gather(state: Auction, event: AuctionBookFrozen | AuctionResultPublished | AuctionSupplyChanged) -> Auction:
    """Collect a part until the event that completes the parts, or record a change of supply."""
    if isinstance(event, AuctionBookFrozen):
        return replace(state, book_parts=(*state.book_parts, event))
    if isinstance(event, AuctionSupplyChanged):
        return replace(state, changes=state.changes | {event.cause})
    return replace(state, result_parts=(*state.result_parts, event))


def evolve(state: AuctionState, event: AuctionEvent) -> AuctionState:
    """Return the state after an event."""
    if isinstance(event, AuctionOpened):
        return Auction(event)
    assert state is not None, "an auction is opened first"
    match event:
        case AuctionOrdersDeferred():
            return state
        case AuctionIndicated():
            return replace(state, indicated=event)
        case AuctionBound():
            return replace(state, bound=event)
        case AuctionBookFrozen() | AuctionResultPublished() | AuctionSupplyChanged():
            return _gather(state, event)
        case AuctionLocked():
            return replace(state, status="locked", locked=join_book(state.book_parts, event), book_parts=())
        case AuctionCleared():
            return replace(state, status="cleared", cleared=join_result(state.result_parts, event), result_parts=())
        case AuctionFailed():
            return replace(state, status="failed", attempts=event.attempt)
        case AuctionSettled():
            return replace(state, status="settled", settled=event)


AUCTION: Decider[AuctionCommand, AuctionEvent, AuctionState] = Decider("auction", "auc", None, decide, evolve)
