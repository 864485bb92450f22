"""Auctions: one frozen book, one decision per order."""

import msgspec
import pytest

from events.auction import (
    AuctionBookFrozen,
    AuctionBound,
    AuctionCleared,
    AuctionCompleted,
    AuctionFailed,
    AuctionIndicated,
    AuctionLocked,
    AuctionOpened,
    AuctionResultPublished,
    AuctionSupplyChanged,
    Certificate,
    Decision,
    Price,
)
from events.book import Book, BookBid, BookLot, BookOrder, BookPool
from events.types import Reason
from marketplace.domain.trading.auction import (
    AUCTION,
    BindAuction,
    ChangeSupply,
    ClearAuction,
    CompleteAuction,
    FailAuction,
    IndicateAuction,
    LockAuction,
)
from tests.domain import build
from tests.domain.build import LOT, NAIVE, ORDER, POOL, Row, builder, hour, id_of, open_auction, usd
from tests.support.spec import Given

ORDER_2 = id_of("ord", 2)
BID = BookBid(pool_id=POOL, value_usd_per_gpu_hour=usd("2.00"), mandate_id=build.MANDATE, lot_ids=(LOT,))
BOOK = Book(
    period_hours=1,
    periods=48,
    pools=(BookPool(pool_id=POOL, gpus_per_node=8, gpu_class="H100_SXM", region="us-central"),),
    lots=(BookLot(lot_id=LOT, pool_id=POOL, nodes=6, from_period=0, to_period=48, ask_usd_per_gpu_hour=usd("1.9")),),
    orders=tuple(
        BookOrder(order_id=order_id, nodes=2, duration_periods=10, start_earliest=8, start_latest=18, bids=(BID,))
        for order_id in (ORDER, ORDER_2)
    ),
)
LOST = Reason(code="no_capacity", text="no lot is free for 10 hours")
DECISIONS = tuple(Decision(order_id=order_id, reasons=(LOST,), regret_usd=usd(0)) for order_id in (ORDER, ORDER_2))
CERTIFICATE = Certificate(
    book_hash="b" * 64,
    engine_version="1",
    seed=7,
    iterations=100,
    welfare_usd=usd(0),
    lp_bound_usd=usd(0),
    gap=usd(0),
    prices_hash="p" * 64,
    decisions_hash="d" * 64,
)
PRICE = Price(pool_id=POOL, from_period=0, to_period=48, price_usd_per_gpu_hour=usd("1.9"))

lock = builder(LockAuction(auction_id=build.AUCTION, book=BOOK, book_hash="b" * 64))
clear = builder(ClearAuction(auction_id=build.AUCTION, prices=(PRICE,), decisions=DECISIONS, certificate=CERTIFICATE))
fail = builder(FailAuction(auction_id=build.AUCTION, reason="the verifier disagreed", attempt=1))
complete = builder(CompleteAuction(auction_id=build.AUCTION, matched=0, unmatched=2, impossible=0))
_DEFAULT = open_auction()
OPENED = AuctionOpened(**{name: getattr(_DEFAULT, name) for name in _DEFAULT.__struct_fields__})
FROZEN = AuctionBookFrozen(
    auction_id=build.AUCTION,
    part=0,
    period_hours=BOOK.period_hours,
    pools=BOOK.pools,
    lots=BOOK.lots,
    orders=BOOK.orders,
)
LOCKED_LAST = AuctionLocked(
    auction_id=build.AUCTION,
    book_hash="b" * 64,
    period_hours=BOOK.period_hours,
    periods=BOOK.periods,
    parts=1,
    orders=2,
)
LOCKED = (FROZEN, LOCKED_LAST)
FAILED = AuctionFailed(auction_id=build.AUCTION, reason="the verifier disagreed", attempt=1)
LAST = AuctionFailed(auction_id=build.AUCTION, reason="the verifier disagreed", attempt=3)
CLEARED = (
    AuctionResultPublished(auction_id=build.AUCTION, part=0, prices=(PRICE,), decisions=DECISIONS),
    AuctionCleared(auction_id=build.AUCTION, certificate=CERTIFICATE, parts=1, matched=0, unmatched=2),
)
COMPLETED = AuctionCompleted(auction_id=build.AUCTION, matched=0, unmatched=2, impossible=0)
INDICATE = IndicateAuction(auction_id=build.AUCTION, orders=2, book_hash="b" * 64, prices=(PRICE,))
BIND = BindAuction(auction_id=build.AUCTION, orders=2)
INDICATED = AuctionIndicated(auction_id=build.AUCTION, orders=2, book_hash="b" * 64, prices=(PRICE,))
BOUND = AuctionBound(auction_id=build.AUCTION, orders=2)
OTHER_BOOK = Certificate(
    **{n: getattr(CERTIFICATE, n) for n in CERTIFICATE.__struct_fields__} | {"book_hash": "c" * 64}
)

CHANGE = ChangeSupply(auction_id=build.AUCTION, cause=build.QUOTE)
CHANGED = AuctionSupplyChanged(auction_id=build.AUCTION, cause=build.QUOTE)
REFUSALS = [
    Row("auction_unknown", (), lock()),
    Row("auction_exists", (OPENED,), open_auction(seed=8)),
    Row("time_naive", (), open_auction(locks_at=NAIVE), "/locks_at"),
    Row("time_naive", (), open_auction(horizon_start=NAIVE), "/horizon_start"),
    Row("time_naive", (), open_auction(no_cancel_at=NAIVE), "/no_cancel_at"),
    Row("phases_reversed", (), open_auction(no_cancel_at=hour(1.5)), "/no_cancel_at"),
    Row("phases_reversed", (), open_auction(indicative_at=hour(0.8), no_cancel_at=hour(0.5))),
    Row("horizon_too_long", (), open_auction(periods=182 * 24 + 1), "/periods"),
    Row("value_out_of_bounds", (), open_auction(periods=0)),
    Row("auction_collecting", (OPENED,), clear()),
    Row("auction_collecting", (OPENED,), fail()),
    Row("auction_collecting", (OPENED,), complete()),
    Row("auction_locked", (OPENED, *LOCKED), lock(book_hash="c" * 64)),
    Row("auction_locked", (OPENED, *LOCKED), complete()),
    Row("auction_locked", (OPENED, *LOCKED), INDICATE),
    Row("auction_locked", (OPENED, *LOCKED), BIND),
    Row("auction_locked", (OPENED, *LOCKED), CHANGE),
    Row("auction_failed", (OPENED, *LOCKED, FAILED), lock(book_hash="c" * 64)),
    Row("auction_failed", (OPENED, *LOCKED, FAILED), complete()),
    Row("auction_failed", (OPENED, *LOCKED, LAST), clear()),
    Row("auction_cleared", (OPENED, *LOCKED, *CLEARED), clear(prices=())),
    Row("auction_cleared", (OPENED, *LOCKED, *CLEARED), fail()),
    Row("auction_cleared", (OPENED, *LOCKED, *CLEARED, COMPLETED), clear(prices=())),
    Row("supply_changed", (OPENED, CHANGED), lock(changes=0)),
    Row("supply_changed", (OPENED, CHANGED, CHANGED), lock(changes=1)),
    Row("supply_changed", (OPENED,), lock(changes=1)),
    Row("book_mismatch", (OPENED, *LOCKED), clear(certificate=OTHER_BOOK)),
    Row("decisions_incomplete", (OPENED, *LOCKED), clear(decisions=DECISIONS[:1]), "/decisions"),
    Row("decisions_incomplete", (OPENED, *LOCKED), clear(decisions=(*DECISIONS, DECISIONS[0]))),
    Row("decisions_incomplete", (OPENED, *LOCKED), clear(decisions=DECISIONS[::-1])),
    Row("decisions_incomplete", (OPENED, *LOCKED), clear(decisions=(DECISIONS[0], DECISIONS[0]))),
    Row("auction_carried_out", (OPENED, *LOCKED, *CLEARED, COMPLETED), complete(matched=1)),
]
PRECEDENCE = [
    Row("auction_unknown", (), clear(decisions=())),
    Row("auction_exists", (OPENED,), open_auction(locks_at=NAIVE)),
    Row("auction_collecting", (OPENED,), clear(certificate=OTHER_BOOK, decisions=())),
    Row("book_mismatch", (OPENED, *LOCKED), clear(certificate=OTHER_BOOK, decisions=())),
]


def test_goes_through_its_phases_once_each():
    phased = {"indicative_at": hour(0.5), "no_cancel_at": hour(0.75)}
    opened = msgspec.structs.replace(OPENED, **phased)
    Given(AUCTION).when(open_auction(**phased)).then(opened)
    Given(AUCTION, opened).when(INDICATE).then(INDICATED)
    Given(AUCTION, opened, INDICATED).when(msgspec.structs.replace(INDICATE, orders=3)).then_nothing()
    Given(AUCTION, opened, INDICATED).when(BIND).then(BOUND)
    Given(AUCTION, opened, INDICATED, BOUND).when(BIND).then_nothing()
    Given(AUCTION, opened, INDICATED, BOUND).when(lock()).then(*LOCKED)


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(AUCTION, row)


def test_opens():
    Given(AUCTION).when(open_auction()).then(OPENED)
    Given(AUCTION, OPENED, *LOCKED, *CLEARED).when(open_auction()).then_nothing()


def test_locks_once():
    Given(AUCTION, OPENED).when(lock()).then(*LOCKED)
    Given(AUCTION, OPENED, *LOCKED, FAILED, *CLEARED, COMPLETED).when(lock()).then_nothing()


def test_what_is_taken_while_it_collects_is_in_the_book_that_is_frozen():
    Given(AUCTION, OPENED).when(CHANGE).then(CHANGED, repeatable=False)
    Given(AUCTION, OPENED, CHANGED).when(lock(changes=1)).then(*LOCKED)
    Given(AUCTION, OPENED, CHANGED, CHANGED).when(lock(changes=2)).then(*LOCKED)
    Given(AUCTION, OPENED).when(lock(changes=0)).then(*LOCKED)


def test_clears_the_book_that_was_frozen():
    Given(AUCTION, OPENED, *LOCKED).when(clear()).then(*CLEARED)
    Given(AUCTION, OPENED, *LOCKED, *CLEARED, COMPLETED).when(clear()).then_nothing()


def test_a_failed_attempt_is_followed_by_the_next_on_the_same_book():
    Given(AUCTION, OPENED, *LOCKED).when(fail()).then(FAILED)
    second = AuctionFailed(auction_id=build.AUCTION, reason="the verifier disagreed", attempt=2)
    Given(AUCTION, OPENED, *LOCKED, FAILED).when(fail(attempt=2)).then(second)
    Given(AUCTION, OPENED, *LOCKED, FAILED, second).when(fail()).then_nothing()
    Given(AUCTION, OPENED, *LOCKED, FAILED, second).when(clear()).then(*CLEARED)


def test_an_attempt_keeps_its_number_even_where_an_earlier_one_left_no_trace():
    Given(AUCTION, OPENED, *LOCKED).when(fail(attempt=3)).then(LAST)


def test_after_the_last_attempt_orders_are_let_go_and_nothing_else_happens():
    Given(AUCTION, OPENED, *LOCKED, LAST).when(fail(attempt=4)).then_nothing()
    nobody = complete(matched=0)
    Given(AUCTION, OPENED, *LOCKED, LAST).when(nobody).then(msgspec.structs.replace(COMPLETED, matched=0))


def test_completes():
    Given(AUCTION, OPENED, *LOCKED, *CLEARED).when(complete()).then(COMPLETED)


def test_a_result_names_when_it_locks_and_begins():
    state = AUCTION.fold([OPENED])
    assert (state.opened.locks_at, state.opened.horizon_start) == (hour(1), hour(2))
