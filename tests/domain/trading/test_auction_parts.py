"""Books and results of any size are stored in parts of bounded size, and are what they were."""

import hashlib

import pytest
from msgspec import structs

from events.auction import AuctionIndicated, AuctionOpened, Decision, Price
from events.book import Book, BookBid, BookLot, BookOrder, BookPool
from events.registry import render_body
from events.types import Reason
from marketplace.domain.trading.auction import (
    AUCTION,
    PART_BYTES_MAX,
    FrozenBook,
    LockAuction,
    LockedAuction,
    Result,
    join_book,
    join_result,
    split_book,
    split_prices,
    split_result,
)
from marketplace.embedded.nats import PAYLOAD_BYTES_MAX
from tests.domain import build
from tests.domain.build import id_of, usd
from tests.domain.trading.test_auction import CERTIFICATE, OPENED

BATCH_MESSAGES_MAX = 1_000


def build_book(orders, pools=10, lots=12, mandates=4):
    """Return a book as large as orders of that many ways to be served make it."""
    pool_ids = [id_of("pol", number) for number in range(pools)]
    lot_ids = {
        pool_id: [id_of("lot", 100 * place + number) for number in range(lots)]
        for place, pool_id in enumerate(pool_ids)
    }
    bids = tuple(
        BookBid(
            pool_id=pool_id,
            value_usd_per_gpu_hour=usd("2.5"),
            lot_ids=tuple(lot_ids[pool_id]),
            mandate_id=id_of("mdt", number),
        )
        for pool_id in pool_ids
        for number in range(mandates)
    )
    return Book(
        period_hours=1,
        periods=96,
        pools=tuple(
            BookPool(pool_id=pool_id, gpus_per_node=8, gpu_class="H100_SXM", region="us-east") for pool_id in pool_ids
        ),
        lots=tuple(
            BookLot(
                lot_id=lot_id, pool_id=pool_id, nodes=2, from_period=0, to_period=96, ask_usd_per_gpu_hour=usd("1.9")
            )
            for pool_id, known in lot_ids.items()
            for lot_id in known
        ),
        orders=tuple(
            BookOrder(
                order_id=id_of("ord", number),
                nodes=1,
                duration_periods=24,
                start_earliest=0,
                start_latest=72,
                bids=bids,
            )
            for number in range(orders)
        ),
    )


def freeze(book):
    return FrozenBook(book=book, book_hash=hashlib.sha256(b"book").hexdigest())


@pytest.mark.parametrize("bytes_max", [1, 10_000, PART_BYTES_MAX])
def test_a_book_is_joined_as_it_was_split(bytes_max):
    frozen = freeze(build_book(40))
    *parts, locked = split_book(build.AUCTION, frozen, (), bytes_max)
    assert join_book(parts, locked) == frozen
    assert [part.part for part in parts] == list(range(locked.parts))
    for part in parts:
        listed = {pool.pool_id for pool in part.pools}
        assert {bid.pool_id for order in part.orders for bid in order.bids} <= listed
        assert {lot.pool_id for lot in part.lots} <= listed


def test_a_book_that_is_larger_than_a_message_may_be_is_stored_in_one_batch():
    """1,390 orders made a book that no server took."""
    frozen = freeze(build_book(1_390))
    opened = AUCTION.fold([OPENED])
    whole = len(render_body(OPENED)) + sum(len(str(order)) for order in frozen.book.orders)
    assert whole > PAYLOAD_BYTES_MAX
    events = AUCTION.decide(LockAuction(auction_id=build.AUCTION, book=frozen.book, book_hash=frozen.book_hash), opened)
    sizes = [len(render_body(event)) for event in events]
    assert len(events) <= BATCH_MESSAGES_MAX
    assert max(sizes) < 1_000_000
    state = AUCTION.fold(events, opened)
    assert state.locked == frozen
    assert isinstance(state, LockedAuction)


def test_a_result_is_joined_as_it_was_split():
    reason = Reason(
        code="outbid", text="others offered more " * 20, facts={str(number): "x" * 40 for number in range(20)}
    )
    result = Result(
        auction_id=build.AUCTION,
        prices=tuple(
            Price(pool_id=id_of("pol", number), from_period=0, to_period=1, price_usd_per_gpu_hour=usd("2"))
            for number in range(2_000)
        ),
        decisions=tuple(
            Decision(order_id=id_of("ord", number), reasons=(reason,), regret_usd=usd(0)) for number in range(10_000)
        ),
        certificate=CERTIFICATE,
    )
    *parts, cleared = split_result(result)
    assert join_result(parts, cleared) == result
    assert max(len(render_body(part)) for part in parts) < 1_000_000
    assert len(parts) <= BATCH_MESSAGES_MAX
    assert (cleared.matched, cleared.unmatched) == (0, 10_000)


def test_indicative_prices_of_many_pools_come_in_parts():
    prices = tuple(
        Price(pool_id=id_of("pol", number), from_period=0, to_period=1, price_usd_per_gpu_hour=usd("2"))
        for number in range(20_000)
    )
    events = split_prices(AuctionIndicated(auction_id=build.AUCTION, orders=2, book_hash="b" * 64, prices=prices))
    assert max(len(render_body(event)) for event in events) < 1_000_000
    assert tuple(price for event in events for price in event.prices) == prices


def test_a_book_of_which_a_part_was_passed_over_is_never_cleared():
    assert isinstance(OPENED, AuctionOpened)
    *parts, locked = split_book(build.AUCTION, freeze(build_book(40)), (), 10_000)
    state = AUCTION.fold([OPENED, *parts[:-1], locked])
    assert len(state.locked.book.orders) < 40
    assert structs.replace(state.locked, book_hash="").book_hash != locked.book_hash
