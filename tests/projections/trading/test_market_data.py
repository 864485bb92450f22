"""The index from fills alone, its rule for thin days, curves of frozen books, and list prices beside them."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from events.auction import AuctionOpened
from events.book import Book, BookBid, BookLot, BookOrder, BookPool
from events.grant import GrantIssued
from events.pricelist import ListPrice, PricelistPublished
from events.types import LotShare
from marketplace.domain.trading.auction import FrozenBook, split_book
from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.runner import Projector
from marketplace.projections.trading import market as market_data
from marketplace.projections.trading.market.index import Listed, Traded, compute_index, list_in_force
from marketplace.projections.trading.market.queries import list_list_prices, load_curves, load_index
from tests.projections.conftest import fill
from tests.projections.market import CASH, PAID, POOL, PROVIDER, START, STARTUP
from tests.projections.story import BEGIN, HOUR, Story, make_id, usd

MONDAY = date(2026, 3, 2)
TODAY = BEGIN.date()


def traded(day, startup="a", fills=1, gpu_hours=100, paid="200"):
    when = MONDAY + timedelta(days=day)
    return Traded(day=when, startup_id=startup, fills=fills, gpu_hours=gpu_hours, paid_usd=Decimal(paid))


def index_of(*rows, day=0, listed=()):
    when = MONDAY + timedelta(days=day)
    (point,) = compute_index(rows, listed, when, when + timedelta(days=1))
    return point


def test_the_index_is_weighted_by_volume():
    point = index_of(traded(0, "a", 2, 300, "600"), traded(0, "b", 1, 100, "400"))
    assert (point.index_usd_per_gpu_hour, point.days, point.fills, point.gpu_hours) == (Decimal("2.5"), 1, 3, 400)


def test_a_thin_day_takes_in_the_days_before_it_until_there_is_enough():
    rows = (traded(0), traded(-3, "b"), traded(-5, "c", paid="800"), traded(-6, "d", paid="9999"))
    point = index_of(*rows)
    assert (point.days, point.fills, point.index_usd_per_gpu_hour) == (6, 3, Decimal(4))


@pytest.mark.parametrize(
    ("rows", "fills"),
    [
        ((), 0),
        ((traded(0, "a", 99),), 99),
        ((traded(0, "a"), traded(0, "b")), 2),
        ((traded(0, "a", 2), traded(-30, "b")), 2),
        ((traded(0, "a", 2), traded(1, "b")), 2),
    ],
    ids=["none", "one startup", "two fills", "too old", "of tomorrow"],
)
def test_there_is_no_index_where_fills_are_too_few_and_it_says_how_many_there_were(rows, fills):
    point = index_of(*rows)
    assert (point.index_usd_per_gpu_hour, point.days, point.fills) == (None, 0, fills)


def test_the_thirtieth_day_back_still_counts():
    assert index_of(traded(0, "a", 2), traded(-29, "b")).days == 30


def listed(price, day, provider="RunPod", product=""):
    when = MONDAY + timedelta(days=day)
    return Listed(provider=provider, product=product, region="", listed_on=when, usd_per_gpu_hour=Decimal(price))


def test_a_list_price_holds_until_the_next_of_the_same_product():
    rows = [listed("3", -10), listed("2.5", 0), listed("4", -5, "AWS"), listed("9", 1, "AWS")]
    assert sorted(list_in_force(rows, MONDAY)) == [Decimal("2.5"), Decimal(4)]
    assert list_in_force(rows, MONDAY - timedelta(days=11)) == []
    point = index_of(listed=rows)
    assert (point.list_usd_per_gpu_hour_min, point.list_usd_per_gpu_hour_median) == (Decimal("2.5"), Decimal("3.25"))
    assert point.list_prices == 2


def build_grant(number, startup, price="5/2", nodes=1):
    end = START + 24 * HOUR
    return GrantIssued(
        grant_id=make_id("grt", number),
        order_id=make_id("ord", number),
        startup_id=startup,
        provider_id=PROVIDER,
        pool_id=POOL,
        gpu_class="H100_SXM",
        nodes=nodes,
        gpus_per_node=8,
        start=START,
        end=end,
        lots=(LotShare(lot_id=make_id("lot", 1), nodes=nodes, start=START, end=end),),
        price_usd_per_gpu_hour=price,
        value_usd_per_gpu_hour=usd("3"),
        cash_usd_per_gpu_hour=usd("3"),
        startup_account_id=CASH,
        provider_account_id=PAID,
        hold_id=make_id("hld", number),
        cash_commitment_usd=usd("480"),
    )


def build_book():
    pool = BookPool(pool_id=POOL, gpus_per_node=8, gpu_class="H100_SXM", region="us-east")
    other = BookPool(pool_id=make_id("pol", 2), gpus_per_node=8, gpu_class="H100_SXM", region="us-west")
    lots = tuple(
        BookLot(
            lot_id=make_id("lot", number),
            pool_id=pool.pool_id,
            nodes=2,
            from_period=0,
            to_period=10,
            ask_usd_per_gpu_hour=usd(ask),
        )
        for number, ask in ((1, "2"), (2, "1.5"))
    )
    orders = tuple(
        BookOrder(
            order_id=make_id("ord", number),
            nodes=1,
            duration_periods=5,
            start_earliest=0,
            start_latest=2,
            bids=tuple(
                BookBid(pool_id=pool_id, value_usd_per_gpu_hour=usd(value))
                for pool_id, value in ((pool.pool_id, values[0]), (other.pool_id, values[1]))
            ),
        )
        for number, values in ((1, ("3", "4")), (2, ("4", "1")), (3, ("2", "2")))
    )
    return Book(period_hours=24, periods=10, pools=(pool, other), lots=lots, orders=orders)


def tell() -> Story:
    story = Story()
    row = ListPrice(
        gpu_class="H100_SXM", provider="AWS", usd_per_gpu_hour=usd("4"), listed_on=TODAY, source="https://aws.example"
    )
    story.tell(PricelistPublished(pricelist_id=make_id("prl", 1), name="first", prices=(row,)))
    later = ListPrice(
        gpu_class="H100_SXM", provider="AWS", usd_per_gpu_hour=usd("5"), listed_on=TODAY, source="https://aws.example"
    )
    story.tell(PricelistPublished(pricelist_id=make_id("prl", 2), name="mended", prices=(later,)))
    auction_id = make_id("auc", 1)
    opened = AuctionOpened(
        auction_id=auction_id, locks_at=BEGIN, horizon_start=START, period_hours=24, periods=10, seed=1
    )
    story.tell(opened)
    parts = split_book(auction_id, FrozenBook(book=build_book(), book_hash="0" * 64), (), bytes_max=1)
    assert len(parts) > 4
    story.tell(*parts)
    rival = make_id("pty", 9)
    story.tell(build_grant(1, STARTUP), build_grant(2, STARTUP, "7/3"), build_grant(3, rival, "2/1", nodes=2))
    return story


async def test_awards_tables_and_books_become_market_data(engine: AsyncEngine, memory_log: MemoryLog):

    story = tell()
    await fill(memory_log, story.recorded)
    await Projector(memory_log, engine, [market_data.PROJECTION]).catch_up()
    async with engine.connect() as connection:
        (point,) = await load_index(connection, "H100_SXM", start=TODAY, end=TODAY + timedelta(days=1))
        rows = await list_list_prices(connection)
        assert await list_list_prices(connection, after=("H100_SXM", "AWS", "", "", TODAY.isoformat())) == []
        assert await list_list_prices(connection, gpu_class="B200") == []
        curves = await load_curves(connection, "H100_SXM")
        assert await load_curves(connection, "H100_SXM", auction_id=make_id("auc", 1)) == curves
        assert await load_curves(connection, "B200") == []
    paid = Decimal(192) * (Decimal("2.5") + Decimal(4)) + Decimal(448)
    assert point.index_usd_per_gpu_hour == round(paid / 768, 6)
    assert (point.fills, point.gpu_hours, point.list_usd_per_gpu_hour_min) == (3, 768, 5)
    assert [(row.provider, row.usd_per_gpu_hour, row.pricelist_id) for row in rows] == [("AWS", 5, make_id("prl", 2))]
    hours, order = 2 * 8 * 240, 8 * 120
    assert [(step.side, step.price_usd_per_gpu_hour, step.cumulative_gpu_hours, step.count) for step in curves] == [
        ("ask", Decimal("1.5"), hours, 1),
        ("ask", 2, 2 * hours, 1),
        ("bid", 4, 2 * order, 2),
        ("bid", 2, 3 * order, 1),
    ]
