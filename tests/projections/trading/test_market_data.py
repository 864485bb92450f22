"""The index from fills alone, its rule for thin days, curves of frozen books, and list prices beside them."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncEngine

from events.auction import AuctionOpened, Certificate
from events.book import Book, BookBid, BookLot, BookOrder, BookPool
from events.grant import GrantIssued, GrantMarked
from events.pricelist import ListPrice, PricelistPublished
from events.register import RegisterRelationEnded, RegisterRelationFound, RegisterRelationStated
from events.service import ServiceResult
from events.statement import (
    Adjustment,
    Charges,
    ServiceCredit,
    StatementAccepted,
    StatementCredited,
    StatementServiceCredited,
)
from events.types import LotShare
from marketplace.cli.prices import OURS, parse_prices
from marketplace.core.money import ZERO
from marketplace.domain.trading.auction import FrozenBook, Result, split_book, split_result
from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.runner import Projector
from marketplace.projections.trading import auctions, orders
from marketplace.projections.trading import market as market_data
from marketplace.projections.trading.market.index import HISTORY_DAYS, Listed, Traded, compute_index, list_in_force
from marketplace.projections.trading.market.queries import list_list_prices, load_curves, load_index
from marketplace.projections.trading.market.ties import Tie, Word
from tests.projections.conftest import fill
from tests.projections.market import CASH, PAID, POOL, PROVIDER, START, STARTUP, place_order
from tests.projections.story import BEGIN, HOUR, Story, make_id, usd

MONDAY = date(2026, 3, 2)
TODAY = BEGIN.date()
NOW = BEGIN + timedelta(days=1)


CLOSE = datetime(2026, 3, 3, tzinfo=UTC)
"""The end of Monday."""


def traded(day, startup="a", price="2", gpu_hours=200, fills=1, marked_at=None, seller=None):
    when = MONDAY + timedelta(days=day)
    return Traded(
        day=when,
        startup_id=startup,
        seller_id=seller or f"seller to {startup}",
        price_usd_per_gpu_hour=f"{Fraction(price).numerator}/{Fraction(price).denominator}",
        fills=fills,
        gpu_hours=gpu_hours,
        marked_at=marked_at,
    )


def index_of(*rows, day=0, listed=(), ties=(), now=None):
    when = MONDAY + timedelta(days=day)
    (point,) = compute_index(rows, listed, ties, when, when + timedelta(days=1), now=now or CLOSE + timedelta(days=400))
    return point


HONEST = (traded(0, "a", "2.00"), traded(0, "b", "2.01"), traded(0, "c", "2.02"))


def test_the_index_is_the_mean_of_the_middle_third_by_volume():
    point = index_of(
        traded(0, "a", "2", 300), traded(0, "b", "3", 300), traded(0, "c", "4", 150), traded(0, "d", "5", 150)
    )
    assert (point.index_usd_per_gpu_hour, point.status, point.print_day) == (3, "printed", MONDAY)
    assert (point.days, point.fills, point.gpu_hours, point.revision) == (1, 4, 900, 0)


@pytest.mark.parametrize(("price", "gpu_hours"), [("894.65", 1), ("5000.01", 10**6), ("0.001", 10**6)])
def test_one_buyer_moves_it_only_within_what_others_paid_at_any_price_and_volume(price, gpu_hours):
    point = index_of(*HONEST, traded(0, "washer", price, gpu_hours))
    assert Decimal("2.00") <= point.index_usd_per_gpu_hour <= Decimal("2.02")


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=3, max_size=8),
    st.tuples(st.integers(1, 10**9), st.integers(1, 10**12)),
)
def test_fills_of_related_parties_never_count_and_no_buyer_decides(fills, wash):
    rows = [traded(0, f"buyer {number}", price, 192 + hours) for number, (price, hours) in enumerate(fills)]
    index = index_of(*rows, traded(0, "washer", *wash)).index_usd_per_gpu_hour
    assert min(price for price, _ in fills) <= index <= max(price for price, _ in fills)
    related = [traded(0, f"related {number}", *wash, marked_at=CLOSE - timedelta(hours=1)) for number in range(3)]
    assert index_of(*rows, *related).index_usd_per_gpu_hour == index_of(*rows).index_usd_per_gpu_hour


@pytest.mark.parametrize("price", ["894.65", "5000.01", "0.001"])
def test_three_unrelated_shells_on_a_day_of_their_own_print_no_price_that_nobody_else_pays(price):
    shells = [traded(10, f"shell {number}", price, 10**6) for number in range(3)]
    point = index_of(*HONEST, *shells, day=10)
    assert (point.index_usd_per_gpu_hour, point.status) == (Decimal("2.01"), "carried")
    later = [traded(10, f"buyer {number}", "2.40") for number in range(3)]
    assert index_of(*HONEST, *shells, *later, day=10).index_usd_per_gpu_hour == Decimal("2.40")


def test_one_seller_with_any_number_of_shells_moves_it_only_within_what_others_traded_at():
    shells = [traded(0, f"shell {number}", "3.99", 10**6, seller="shells") for number in range(9)]
    point = index_of(*HONEST, *shells)
    assert Decimal("2.00") <= point.index_usd_per_gpu_hour <= Decimal("2.02")
    for one_side in ({"seller": "one"}, {"startup": "one"}):
        rows = [traded(0, **{"startup": name, "seller": name} | one_side) for name in "abc"]
        assert index_of(*rows).status == "none"


@pytest.mark.parametrize(("price", "status"), [("5000.01", "none"), ("0.9", "none"), ("19", "printed")])
def test_a_class_that_nobody_traded_prints_nothing_far_from_the_list_prices(price, status):
    shells = [traded(0, f"shell {number}", price) for number in range(3)]
    prices = [listed("4", 0), listed("5", 0, "Lambda"), listed("6", 0, "AWS")]
    assert index_of(*shells, listed=prices).status == status


def test_a_print_without_a_list_price_or_a_fill_that_is_a_month_old_is_provisional():
    shells = [traded(0, f"shell {number}") for number in range(3)]
    first = index_of(*shells)
    assert (first.status, first.is_provisional) == ("printed", True)
    assert not index_of(*shells, listed=[listed("5", 0)]).is_provisional
    later = [traded(day, f"shell {day % 3}") for day in range(1, 31)]
    assert index_of(*shells, *later, day=29).is_provisional
    assert not index_of(*shells, *later, day=30).is_provisional
    marked = [traded(0, "shell 9", marked_at=CLOSE), *later]
    assert index_of(*marked, day=30).is_provisional, "a fill that was marked since counts no more"
    assert index_of(*shells, day=3).is_provisional, "a carried print stays what it was"


def test_shells_with_any_volume_move_the_index_by_a_twentieth_a_day_at_most_and_honest_fills_bring_it_back():
    rows = list(HONEST)
    prices = ["3.90", "7.50", "14.82", "14.82", "14.82"]
    for day, price in enumerate(prices, start=1):
        rows += [traded(day, f"shell {number}", price, 10 ** (3 + day)) for number in range(3)]
        point = index_of(*rows, day=day)
        assert point.index_usd_per_gpu_hour <= Decimal("2.01") * Decimal("1.05") ** day + Decimal("0.000001")
    later = [traded(day, f"honest {number}", "2", 10**9) for day in range(6, 14) for number in range(3)]
    assert index_of(*rows, *later, day=13).index_usd_per_gpu_hour == 2


def test_a_thin_class_follows_its_price_by_a_twentieth_for_each_day_since_the_latest_print():
    risen = [traded(10, f"buyer {number}", "3.90") for number in range(3)]
    assert index_of(*HONEST, *risen, day=10).index_usd_per_gpu_hour == Decimal("2.01") * Decimal("1.5")
    fallen = [traded(10, f"buyer {number}", "1.20") for number in range(3)]
    assert index_of(*HONEST, *fallen, day=10).index_usd_per_gpu_hour == Decimal("1.34")
    again = [traded(day, f"buyer {number}", "3.90") for day in (20, 40) for number in range(3)]
    assert index_of(*HONEST, *again, day=40).index_usd_per_gpu_hour == Decimal("3.90")


def test_three_shells_that_sell_to_each_other_in_a_ring_print_nothing():
    ring = [traded(0, buyer, seller=seller) for buyer, seller in ("ab", "bc", "ca")]
    assert index_of(*ring).status == "none"
    assert index_of(*HONEST, *ring).status == "printed"


def test_a_price_that_everybody_pays_for_a_month_is_not_left_out_for_ever():
    risen = [traded(day, f"buyer {day}", "6") for day in range(1, 35)]
    point = index_of(*HONEST, *risen, day=34)
    assert (point.index_usd_per_gpu_hour, point.status) == (6, "printed")


def test_a_thin_day_takes_in_the_days_before_it_until_there_is_enough():
    rows = (traded(0), traded(-3, "b"), traded(-5, "c", "3"), traded(-6, "d", "9999"))
    point = index_of(*rows)
    assert (point.days, point.fills, point.status) == (6, 3, "printed")
    assert point.index_usd_per_gpu_hour == Decimal("2.608696"), (
        "three days after a print of 3, at most three steps less"
    )
    assert index_of(*rows[:3]).index_usd_per_gpu_hour == 2


def sell_daily(days, sellers=6, hours=200):
    """Return fills of so many sellers, each to another buyer on each day, at 2.00 and a cent more for each seller."""
    return [
        traded(day, f"buyer {number} of {day}", f"{200 + number}/100", hours, seller=f"seller {number}")
        for day in days
        for number in range(sellers)
    ]


def shell(day, price, hours, whose=""):
    """Return what three shells that sell trade with three that buy."""
    return [
        traded(day, f"{whose}shell {number} that buys", price, hours, seller=f"{whose}shell {number}")
        for number in range(3)
    ]


@pytest.mark.parametrize("price", ["1.10", "2.50", "3.99"])
@pytest.mark.parametrize("last", [59, 60])
def test_six_new_shells_move_no_index_beyond_what_those_who_sold_before_were_paid(price, last):
    """Alone on their day, or beside others, and with a thousand times the volume of a month."""
    point = index_of(*sell_daily(range(last + 1)), *shell(60, price, 10**7), day=60)
    assert (point.status, point.is_provisional) == ("printed", False)
    assert Decimal("2.00") <= point.index_usd_per_gpu_hour <= Decimal("2.05")


@pytest.mark.parametrize(
    ("before", "now", "low", "high"),
    [
        (900, 10**6, "2.00", "2.05"),
        (10**6, 900, "2.00", "2.05"),
        (1_500, 1_500, "2.051", "2.09"),
        (2_100, 2_100, "2.10", "2.10"),
    ],
)
def test_shells_move_a_day_by_what_they_sold_a_month_before_and_sell_again_beside_a_usual_week(before, now, low, high):
    """A usual week is 9,000 GPU-hours: a third of it moves nothing, two thirds the whole twentieth of a day."""
    rows = [*sell_daily(range(60)), *shell(30, "2.02", before), *shell(60, "2.10", now)]
    point = index_of(*rows, day=60)
    assert not point.is_provisional
    assert Decimal(low) <= point.index_usd_per_gpu_hour <= Decimal(high)


DUST = [traded(1, f"dust buyer {number}", "1/10000", 1_152_000, seller=f"shell {number}") for number in range(2)]
"""115.20 USD each, in a circle."""


def test_dust_of_a_month_ago_gives_shells_no_weight():
    shells = [
        traded(40, f"shell {number} that buys", "3.80", 1_536, seller=f"shell {number % 2}") for number in range(4)
    ]
    honest = [row for day in (0, 20, 40) for row in shell(day, "2.00", 192, whose="honest ")]
    point = index_of(*honest, *DUST, *shells, day=40)
    assert (point.status, point.is_provisional, point.index_usd_per_gpu_hour) == ("printed", False, 2)


@pytest.mark.parametrize(("day", "before"), [(17, (0,)), (70, (0, 20, 50))])
def test_dust_stops_no_print_in_a_young_class_nor_where_its_sellers_sold_dust_before(day, before):
    honest = [row for known in (*before, day) for row in shell(known, "2.00", 192, whose="honest ")]
    again = [structs.replace(row, day=row.day + timedelta(days=day - 11)) for row in DUST]
    point = index_of(*honest, *DUST, *again, day=day)
    assert (point.status, point.is_provisional, point.index_usd_per_gpu_hour) == ("printed", day < 30, 2)


@pytest.mark.parametrize("before", [(), (0,)])
def test_dust_sets_no_print_where_nothing_before_bounds_it(before):
    """On the first day of a class, and after a month without fills by sellers who sold dust then."""
    honest = [row for known in (*before, 60) for row in shell(known, "2.00", 192, whose="honest ")]
    again = [structs.replace(row, day=MONDAY + timedelta(days=60)) for row in DUST]
    point = index_of(*honest, *(DUST if before else ()), *again, day=60)
    assert (point.status, point.is_provisional, point.index_usd_per_gpu_hour) == ("printed", not before, 2)


def test_where_nobody_trades_who_sold_before_the_day_prints_provisionally_and_no_later_price_follows_from_it():
    rows = [*sell_daily(range(30)), *[row for day in range(61, 71) for row in shell(day, "2.60", 200)]]
    point = index_of(*rows, day=70)
    assert (point.status, point.is_provisional, point.index_usd_per_gpu_hour) == ("printed", True, Decimal("2.60"))
    later = index_of(*rows, *sell_daily([71]), day=71)
    assert (later.is_provisional, later.days, later.index_usd_per_gpu_hour) == (False, 1, Decimal("2.025"))


def test_a_carried_print_is_limited_by_one_that_rests_on_what_was_sold_a_year_before_it():
    days = {0: "2.00", 366: "2.00", 416: "20.00"}
    rows = [row for day, price in days.items() for row in shell(day, price, 3_000)]
    point = index_of(*rows, day=782)
    assert (point.status, point.is_provisional, point.index_usd_per_gpu_hour) == ("carried", False, Decimal("7.00"))
    read = [row for row in rows if MONDAY + timedelta(days=782 - HISTORY_DAYS) <= row.day]
    assert index_of(*read, day=782) == point


def test_shells_with_any_volume_leave_no_later_honest_fill_out():
    rows = list(sell_daily(range(60)))
    for day, price in ((60, "3.90"), (61, "7.50"), (62, "14.00")):
        rows += shell(day, price, 10**7)
    point = index_of(*rows, *sell_daily([63]), day=63)
    assert (point.is_provisional, point.days) == (False, 10)
    assert Decimal("2.00") <= point.index_usd_per_gpu_hour <= Decimal("2.05")


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (traded(0, "a", fills=99),),
        (traded(0, "a"), traded(0, "b")),
        (traded(0, "a"), traded(0, "b"), traded(-30, "c")),
        (traded(0, "a"), traded(0, "b"), traded(1, "c")),
        tuple(traded(0, name, gpu_hours=63) for name in "abc"),
    ],
    ids=["none", "one buyer", "two buyers", "too old", "of tomorrow", "too little"],
)
def test_there_is_no_index_where_fills_are_too_few_and_it_says_so(rows):
    point = index_of(*rows)
    assert (point.index_usd_per_gpu_hour, point.status, point.print_day, point.days) == (None, "none", None, 0)


def test_the_thirtieth_day_back_still_counts():
    assert index_of(traded(0, "a"), traded(0, "b"), traded(-29, "c")).days == 30


def test_a_day_without_fills_or_with_too_few_carries_the_latest_print_and_names_its_day():
    alone = traded(40, "d", "9")
    for day in (1, 39, 40, 366):
        point = index_of(*HONEST, alone, day=day)
        assert (point.status, point.print_day, point.index_usd_per_gpu_hour) == ("carried", MONDAY, Decimal("2.01"))
    assert index_of(*HONEST, alone, day=367).status == "none"


def test_a_fill_that_is_marked_later_is_left_out_by_a_named_revision_and_the_first_value_stays():
    wash = [traded(0, name, "4", marked_at=CLOSE + timedelta(days=2, hours=hour)) for hour, name in enumerate("xyz")]
    before = index_of(*HONEST, *wash, now=CLOSE + timedelta(days=1))
    assert (before.index_usd_per_gpu_hour, before.revision) == (Decimal("3.01"), 0)
    after = index_of(*HONEST, *wash)
    (revision,) = after.revisions
    assert (after.index_usd_per_gpu_hour, after.first_usd_per_gpu_hour) == (Decimal("2.01"), Decimal("3.01"))
    assert (after.revision, revision.revised_at) == (1, CLOSE + timedelta(days=2, hours=2))
    carried = index_of(*HONEST, *wash, day=1)
    assert (carried.status, carried.revision, carried.index_usd_per_gpu_hour) == ("carried", 1, Decimal("2.01"))
    gone = index_of(*(structs.replace(row, marked_at=CLOSE + timedelta(days=9)) for row in HONEST))
    assert (gone.status, gone.index_usd_per_gpu_hour, gone.revision) == ("none", None, 1)


def test_a_fill_that_is_marked_on_its_day_never_counted():
    wash = traded(0, "x", "9", marked_at=CLOSE - timedelta(hours=1))
    assert (index_of(*HONEST, wash).revision, index_of(*HONEST, wash).fills) == (0, 3)


def tie(one, other, known_at=CLOSE - timedelta(days=1), since=None, ended_at=None, alone=False):
    word = Word(known_at=known_at, since=since, is_firm=not alone)
    return Tie(party_id=one, other=other, words=(word,), ended_at=ended_at)


LATE = CLOSE + timedelta(days=2)


@pytest.mark.parametrize(
    ("ties", "expected"),
    [
        ([tie("a", "b")], ("none", 0)),
        ([tie("a", "owner"), tie("b", "owner")], ("none", 0)),
        ([tie("a", "owner", alone=True), tie("b", "owner", alone=True)], ("none", 0)),
        ([tie("seller to a", "seller to c")], ("none", 0)),
        ([tie("a", "seller to b")], ("printed", 0)),
        ([tie("a", "b", LATE)], ("none", 1)),
        ([tie("a", "b", LATE), tie("b", "a", LATE + timedelta(days=1))], ("none", 1)),
        ([tie("a", "b", LATE, alone=True)], ("printed", 0)),
        ([tie("a", "b", LATE, since=CLOSE)], ("printed", 0)),
        ([tie("a", "b", since=CLOSE - timedelta(hours=1))], ("none", 0)),
        ([tie("a", "b", ended_at=LATE)], ("none", 0)),
        ([tie("a", "b", ended_at=CLOSE - timedelta(days=1, hours=1))], ("printed", 0)),
        ([tie("x", "a", alone=True), tie("x", "b", alone=True)], ("printed", 0)),
        ([tie("x", "y"), tie("x", "a", alone=True), tie("y", "b", alone=True)], ("printed", 0)),
    ],
)
def test_buyers_or_sellers_that_are_related_to_each_other_count_as_one(ties, expected):
    point = index_of(*HONEST, ties=ties)
    assert (point.status, point.revision) == expected
    assert point.first_usd_per_gpu_hour == (None if expected == ("none", 0) else Decimal("2.01"))


def test_related_buyers_weigh_a_third_together():
    rows = [traded(0, name, price, 10**6) for name, price in zip("xyz", ("3.97", "3.98", "3.99"), strict=True)]
    assert index_of(*HONEST, *rows).index_usd_per_gpu_hour > Decimal("3.97")
    owned = [tie(name, "owner") for name in "xyz"]
    assert Decimal("2.00") <= index_of(*HONEST, *rows, ties=owned).index_usd_per_gpu_hour <= Decimal("2.02")


def test_a_day_that_is_not_over_may_still_change():
    now = CLOSE - timedelta(hours=1)
    assert not index_of(*HONEST, now=now).is_closed
    assert index_of(*HONEST, now=CLOSE).is_closed


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
        provider_id=PROVIDER if number == 1 else make_id("pty", 50 + number),
        pool_id=POOL,
        gpu_class="H100_SXM",
        nodes=nodes,
        gpus_per_node=8,
        start=START,
        end=end,
        lots=(LotShare(lot_id=make_id("lot", 1), nodes=nodes, start=START, end=end),),
        price_usd_per_gpu_hour=price,
        cash_share="1/1",
        startup_account_id=CASH,
        provider_account_id=PAID,
        hold_id=make_id("hld", number),
        cash_commitment_usd=usd("480"),
    )


def charge(gpu_hours):
    seconds = round(gpu_hours * 3_600)
    paid = usd(str(gpu_hours))
    return Charges(gpu_seconds=seconds, provider_usd=paid, cash_usd=paid, holder_usd=ZERO, principal_usd=ZERO)


def pay(number, gpu_hours, statement=None):
    charged = {"charges": charge(gpu_hours), "by": "acceptance"}
    return StatementAccepted(
        statement_id=make_id("stm", statement or number), grant_id=make_id("grt", number), **charged
    )


def credit_service(number, gpu_hours, share="0.5", statement=None):
    paid = usd(str(gpu_hours))
    return StatementServiceCredited(
        statement_id=make_id("stm", statement or number),
        grant_id=make_id("grt", number),
        startup_id=STARTUP,
        provider_id=PROVIDER,
        service=ServiceResult(
            gpu_seconds_promised=2,
            gpu_seconds_unavailable=1,
            gpu_seconds_delivered=1,
            availability="1/2",
            availability_min=Decimal("0.99"),
            met=False,
            credit=Decimal(share),
        ),
        credit=ServiceCredit(provider_usd=paid, cash_usd=paid, holder_usd=ZERO, principal_usd=ZERO),
    )


def give_back(number, gpu_hours):
    return StatementCredited(
        statement_id=make_id("stm", 100 + number),
        grant_id=make_id("grt", number),
        startup_id=STARTUP,
        provider_id=PROVIDER,
        period_start=START,
        period_end=START + 24 * HOUR,
        charges=charge(gpu_hours),
        adjustment=Adjustment(statement_id=make_id("stm", number)),
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
    google = next(row for row in parse_prices(OURS) if (row.provider, row.gpu_class) == ("Google Cloud", "H100_SXM"))
    story.tell(
        PricelistPublished(
            pricelist_id=make_id("prl", 1), name="first", prices=(row, structs.replace(google, listed_on=TODAY))
        )
    )
    later = ListPrice(
        gpu_class="H100_SXM", provider="AWS", usd_per_gpu_hour=usd("5"), listed_on=TODAY, source="https://aws.example"
    )
    story.tell(PricelistPublished(pricelist_id=make_id("prl", 2), name="mended", prices=(later,)))
    auction_id = make_id("auc", 1)
    opened = AuctionOpened(
        auction_id=auction_id, locks_at=BEGIN, horizon_start=START, period_hours=24, periods=10, seed=1
    )
    story.tell(opened)
    for number, startup in enumerate((STARTUP, make_id("pty", 9), make_id("pty", 10)), start=1):
        place_order(story, number, startup)
    parts = split_book(auction_id, FrozenBook(book=build_book(), book_hash="0" * 64), (), bytes_max=1)
    assert len(parts) > 4
    story.tell(*parts)
    rival = make_id("pty", 9)
    story.tell(build_grant(1, STARTUP), build_grant(2, STARTUP, "7/3"), build_grant(3, rival, "2/1", nodes=2))
    story.tell(build_grant(4, make_id("pty", 10), "3/1", nodes=2), build_grant(5, make_id("pty", 11), "900/1", nodes=9))
    for number, hours in enumerate((192, 192, 384, 384, 1728), start=1):
        story.tell(pay(number, hours))
    relation = {"relation_id": make_id("rel", 1), "reason": "found"}
    story.tell(GrantMarked(grant_id=make_id("grt", 5), mark="related", **relation))
    story.tell(structs.replace(build_grant(6, make_id("pty", 12), "800/1", nodes=9), mark="own_capacity"))
    for number in (7, 8, 9):
        backstop = structs.replace(build_grant(number, make_id("pty", 6 + number), "3/1", nodes=9), mark="backstop")
        story.tell(backstop, pay(number, 1_728))
    return story


def clear(story: Story) -> None:
    certificate = Certificate(
        book_hash="0" * 64,
        engine_version="1",
        seed=1,
        iterations=1,
        welfare_usd=usd("1"),
        lp_bound_usd=usd("1"),
        gap=usd("0"),
        prices_hash="0" * 64,
        decisions_hash="0" * 64,
    )
    result = Result(auction_id=make_id("auc", 1), prices=(), decisions=(), certificate=certificate)
    story.tell(*split_result(result))


async def test_awards_tables_and_books_become_market_data(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell()
    projections = [market_data.PROJECTION, orders.PROJECTION, auctions.PROJECTION]
    await fill(memory_log, story.recorded)
    await Projector(memory_log, engine, projections).catch_up()
    async with engine.connect() as connection:
        assert await load_curves(connection, "H100_SXM") == [], "offers are sealed while the auction is not cleared"
    clear(story)
    await fill(memory_log, story.recorded)
    await Projector(memory_log, engine, projections).catch_up()
    async with engine.connect() as connection:
        (point,) = await load_index(connection, "H100_SXM", start=TODAY, end=TODAY + timedelta(days=1), now=NOW)
        rows = await list_list_prices(connection)
        assert await list_list_prices(connection, after=("H100_SXM", "AWS", "", "", TODAY)) == rows[1:]
        assert await list_list_prices(connection, gpu_class="B200") == []
        curves = await load_curves(connection, "H100_SXM")
        assert await load_curves(connection, "H100_SXM", auction_id=make_id("auc", 1)) == curves
        assert await load_curves(connection, "B200") == []
    assert point.index_usd_per_gpu_hour == Decimal("2.416667")
    assert (point.fills, point.gpu_hours, point.list_prices, point.list_usd_per_gpu_hour_min) == (4, 1152, 2, 5)
    google = Decimal("10.9791")
    assert point.list_usd_per_gpu_hour_median == (5 + google) / 2
    assert [(row.provider, row.usd_per_gpu_hour, row.pricelist_id) for row in rows] == [
        ("AWS", 5, make_id("prl", 2)),
        ("Google Cloud", google, make_id("prl", 1)),
    ]
    hours, order = 2 * 8 * 240, 8 * 120
    assert [(step.side, step.price_usd_per_gpu_hour, step.cumulative_gpu_hours, step.count) for step in curves] == [
        ("ask", Decimal("1.5"), hours, 1),
        ("ask", 2, 2 * hours, 1),
        ("bid", 2, 3 * order, 3),
    ]


async def test_a_fill_counts_once_it_is_paid_at_what_its_first_statement_charges_until_over_a_tenth_is_credited_back(
    engine: AsyncEngine, memory_log: MemoryLog
):
    story, projector = Story(), Projector(memory_log, engine, [market_data.PROJECTION])
    buyers = [STARTUP, make_id("pty", 9), make_id("pty", 10)]
    for number, buyer in enumerate(buyers, start=1):
        story.tell(build_grant(number, buyer, f"{number + 1}/1", nodes=9))

    async def read() -> tuple[str, int, Decimal | None, int]:
        await fill(memory_log, story.recorded)
        await projector.catch_up()
        async with engine.connect() as connection:
            (point,) = await load_index(connection, "H100_SXM", start=TODAY, end=TODAY + timedelta(days=1), now=NOW)
        return point.status, point.gpu_hours, point.index_usd_per_gpu_hour, point.fills

    assert await read() == ("none", 0, None, 0), "what was granted and not paid counts nowhere"
    story.tell(*(pay(number, hours) for number, hours in ((1, 100), (2, 100), (3, 0.9))))
    assert (await read())[0] == "none", "less than an hour does not count"
    story.tell(pay(3, 100), pay(1, 900))
    assert await read() == ("printed", 300, Decimal(3), 3)
    story.tell(give_back(1, 60), credit_service(1, 40, statement=20))
    assert (await read())[0] == "printed", "nine tenths of what was charged in all stay"
    story.tell(give_back(1, 1))
    assert (await read())[0] == "none"


async def test_a_fill_counts_what_was_paid_net_of_its_statement_s_service_credit_until_later_credits_leave_too_little(
    engine: AsyncEngine, memory_log: MemoryLog
):
    """Lots ask 3.00 and credit 0.49 of it below an availability of 1, which no month reaches."""
    story, projector = Story(), Projector(memory_log, engine, [market_data.PROJECTION])
    for number in (1, 2, 3):
        story.tell(build_grant(number, make_id("pty", 8 + number), "3/1", nodes=9))
        story.tell(pay(number, 100), credit_service(number, 49, "0.49"))

    async def read() -> tuple[str, Decimal | None, int]:
        await fill(memory_log, story.recorded)
        await projector.catch_up()
        async with engine.connect() as connection:
            (point,) = await load_index(connection, "H100_SXM", start=TODAY, end=TODAY + timedelta(days=1), now=NOW)
        return point.status, point.index_usd_per_gpu_hour, point.revision

    assert await read() == ("printed", Decimal("1.53"), 0)
    story.tell(pay(1, 900, statement=20), credit_service(1, 441, "0.49", statement=20))
    assert await read() == ("printed", Decimal("1.53"), 0), "a later credit of the same share changes nothing"


@pytest.mark.parametrize(("share", "expected"), [("0.10", "printed"), ("0.11", "none")])
async def test_later_service_credits_of_more_than_a_tenth_leave_a_fill_out(
    engine: AsyncEngine, memory_log: MemoryLog, share: str, expected: str
):
    """The first month is without a credit, so that the fill counts in full; each later one is credited."""
    story, projector = Story(), Projector(memory_log, engine, [market_data.PROJECTION])
    for number in (1, 2, 3):
        story.tell(build_grant(number, make_id("pty", 8 + number), "3/1", nodes=9), pay(number, 100))
    credited = 100_000 * Decimal(share)
    story.tell(pay(1, 99_900, statement=20), credit_service(1, credited, share, statement=20))
    await fill(memory_log, story.recorded)
    await projector.catch_up()
    async with engine.connect() as connection:
        (point,) = await load_index(connection, "H100_SXM", start=TODAY, end=TODAY + timedelta(days=1), now=NOW)
    assert point.status == expected


async def test_what_the_register_says_of_buyers_groups_them_in_the_index(engine: AsyncEngine, memory_log: MemoryLog):
    story, projector = tell(), Projector(memory_log, engine, [market_data.PROJECTION])
    said = {"register_id": make_id("reg", 0), "relation_id": make_id("rel", 9), "reason": "one owner"}
    other, affiliate = make_id("pty", 10), {"kind": "affiliate"}

    async def read_status() -> str:
        await fill(memory_log, story.recorded)
        await projector.catch_up()
        async with engine.connect() as connection:
            (point,) = await load_index(connection, "H100_SXM", start=TODAY, end=TODAY + timedelta(days=1), now=NOW)
        return point.status

    story.tell(RegisterRelationStated(**said, **affiliate, party_id=other, related_id=STARTUP, since=NOW))
    story.tell(RegisterRelationStated(**said, **affiliate, party_id=STARTUP, related_id=other, firm=True))
    assert await read_status() == "none"
    story.tell(RegisterRelationEnded(**said, party_id=other, related_id=STARTUP, at=BEGIN - timedelta(days=1)))
    assert await read_status() == "printed"
    story.tell(
        RegisterRelationFound(
            **said | {"relation_id": make_id("rel", 10)}, **affiliate, party_id=other, owner="lei:5493001kjtiigc8y1r12"
        )
    )
    story.tell(
        RegisterRelationStated(
            **said | {"relation_id": make_id("rel", 11)},
            **affiliate,
            party_id=STARTUP,
            owner="lei:5493001kjtiigc8y1r12",
        )
    )
    assert await read_status() == "none"
