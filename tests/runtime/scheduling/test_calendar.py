"""The market's days: auctions open by the calendar, indicate, bind, lock; orders keep or lose their place."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from marketplace.application.trading import auctions
from marketplace.application.trading.orders import amend_order
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_command_id, derive_id
from marketplace.core.instants import render_instant
from marketplace.domain.trading.order_terms import SHORT_DAYS
from marketplace.execution.handler import Handler
from marketplace.log.memory import MemoryLog
from marketplace.runtime.scheduling.calendar import RHYTHMS, find_lock, list_calls, open_call
from marketplace.runtime.worker import Worker
from tests.support.market.invariants import check_log
from tests.support.market.market import Market, running_worker

RUN_HOURS_MAX = 24 * 366 * 5


def call_id(name, number):
    command_id = derive_command_id("calendar", f"{name}/{render_instant(find_lock(name, number))}")
    return derive_id("auc", command_id)


def test_the_next_auction_of_each_rhythm_locks_after_now():
    now = datetime(2026, 1, 1, 11, 59, 59, tzinfo=UTC)
    wednesday = datetime(2026, 1, 7, 12, tzinfo=UTC)
    assert [find_lock(*call) for call in list_calls(now)] == [*[datetime(2026, 1, 1, 12, tzinfo=UTC)] * 2, wednesday]
    at_noon = [find_lock(*call) for call in list_calls(now + timedelta(seconds=1))]
    assert at_noon == [datetime(2026, 1, 1, 13, tzinfo=UTC), datetime(2026, 1, 2, 12, tzinfo=UTC), wednesday]
    after = [find_lock(*call) for call in list_calls(wednesday)]
    assert after[1:] == [wednesday + timedelta(days=1), wednesday + timedelta(days=7)]


def test_every_rhythm_sells_after_its_lock_and_passes_its_phases_before():
    for rhythm in RHYTHMS.values():
        assert rhythm.every > rhythm.indicative > rhythm.no_cancel > timedelta(0)
        assert rhythm.lead >= timedelta(0)
    daily, near, long = RHYTHMS["daily"], RHYTHMS["near"], RHYTHMS["long"]
    assert daily.offset + daily.lead == long.offset + long.lead == timedelta(days=1)
    assert (near.every, daily.every, long.every) == (timedelta(hours=1), timedelta(days=1), timedelta(days=7))
    assert long.period_hours * long.periods >= RUN_HOURS_MAX + 24 * SHORT_DAYS, "the longest run has time to begin"


async def test_each_week_an_auction_takes_the_orders_that_end_after_half_a_year():
    """They stayed open without a decision, and kept their cash, because no auction of the calendar took them."""
    market = Market(MemoryLog())
    provider = await market.party("Provider", "provider")
    _, pool = await market.pool(provider)
    await market.lot(provider, pool, end=1_000)
    startup = await market.party("Startup", "startup", usd=1_000_000)
    years, later, short, narrow = [
        await market.order(startup, nodes=1, days=days, earliest=earliest, latest=latest)
        for days, earliest, latest in ((730, 1, 300), (5, 200, 300), (180, 1, 300), (730, 8, 11))
    ]
    calls = dict(list_calls(market.clock.now()))
    async with market.worker():
        await open_call(market.handler, "long", calls["long"])
        market.clock.at = find_lock("long", calls["long"])
        await market.until_carried_out(call_id("long", calls["long"]))
    won = [await market.state("order", order) for order in (years, later)]
    assert [order.status for order in won] == ["matched"] * 2
    grant = await market.state("grant", won[0].grant_id)
    assert (grant.issued.start, grant.end - grant.issued.start) == (market.day(7), timedelta(days=730))
    left = [await market.state("order", order) for order in (short, narrow)]
    assert [order.status for order in left] == ["open"] * 2, "one fits a daily auction, one begins between two periods"
    await check_log(market.log)


async def test_several_workers_open_an_auction_of_the_calendar_once():
    market = Market(MemoryLog())
    calls = list_calls(market.clock.now())
    for handler in (market.handler, Handler(market.log, market.clock)):
        for name, number in calls:
            await open_call(handler, name, number)
    for name, number in calls:
        opened = (await market.state("auction", call_id(name, number))).opened
        assert opened.locks_at == find_lock(name, number)
        assert opened.indicative_at < opened.no_cancel_at < opened.locks_at < opened.horizon_start
    assert (await market.log.health()).last_sequence == len(calls) == 3


async def test_a_missed_auction_is_left_out():
    market = Market(MemoryLog())
    name, number = list_calls(market.clock.now())[0]
    with pytest.raises(Refusal) as refused:
        await open_call(market.handler, name, number - 2)
    assert refused.value.code == "lock_past"


async def test_a_worker_keeps_the_calendar():
    market = Market(MemoryLog())
    async with running_worker(Worker(Handler(market.log, market.clock), calendar=True)):
        for _ in range(2):
            for name, number in list_calls(market.clock.now()):
                await market.until("auction", call_id(name, number), "collecting", "locked", "cleared")
            market.clock.at += timedelta(hours=1)
    await check_log(market.log)


async def open_phased(market):
    receipt = await auctions.open_auction(
        market.handler,
        market.context(),
        locks_at=market.day(0.5),
        horizon_start=market.day(1),
        period_hours=24,
        periods=90,
        seed=1,
        indicative_at=market.day(0.3),
        no_cancel_at=market.day(0.4),
    )
    return receipt.id


async def build():
    """Return a market of four nodes at 2 dollars, two rival orders for all of them, and an auction with phases."""
    market = Market(MemoryLog())
    provider = await market.party("Provider", "provider")
    _, pool = await market.pool(provider)
    await market.lot(provider, pool)
    startup = await market.party("Startup", "startup", usd=1_000_000)
    orders = [await market.order(startup, nodes=4, days=20, latest=1, cash=cash) for cash in ("3", "4")]
    return market, pool, startup, orders, await open_phased(market)


async def wait_for(market, auction, member):
    """Return an auction's state once one of its members is set."""
    while True:
        state = await market.state("auction", auction)
        if getattr(state, member) is not None:
            return state
        await market.tick()


async def test_indicative_prices_are_published_before_orders_are_bound_and_bind_nobody():
    market, pool, startup, orders, auction = await build()
    async with market.worker():
        market.clock.at = market.day(0.3)
        state = await wait_for(market, auction, "indicated")
        assert (state.status, state.indicated.orders) == ("collecting", 2)
        assert {price.pool_id for price in state.indicated.prices} == {pool}
        steps = {price.price_usd_per_gpu_hour for price in state.indicated.prices}
        assert steps == {Decimal(2), Decimal("3.15")}, "the loser's sealed 3 is only told by its price step"
        await market.cancel(startup, orders[0])
    assert (await market.state("order", orders[0])).status == "cancelled"


async def test_an_order_that_is_bound_is_not_cancelled_and_one_that_comes_later_still_takes_part():
    market, _, startup, orders, auction = await build()
    async with market.worker():
        market.clock.at = market.day(0.4)
        assert (await wait_for(market, auction, "bound")).bound.orders == 2
        with pytest.raises(Refusal) as refused:
            await market.cancel(startup, orders[0])
        assert refused.value.code == "order_locked"
        late = await market.order(startup, nodes=4, days=20, latest=1, cash="5")
        market.clock.at = market.day(0.5)
        state = await market.until_carried_out(auction)
    assert [order.order_id for order in state.locked.book.orders] == [*orders, late]
    assert [(await market.state("order", order)).status for order in (*orders, late)] == [
        "unmatched",
        "unmatched",
        "matched",
    ]
    await check_log(market.log)


async def test_an_engine_that_fails_at_indicating_fails_nothing_else(monkeypatch):
    market, _, _, _, auction = await build()
    monkeypatch.setattr("marketplace.runtime.auctions.clearing.price_book", lambda *_: 1 / 0)
    async with market.worker():
        market.clock.at = market.day(0.5)
        state = await market.until_carried_out(auction)
    assert (state.indicated, state.completed.matched) == (None, 1)


async def test_a_standing_order_goes_into_the_next_auction():
    market, _, startup, orders, first = await build()
    standing = await market.order(startup, nodes=4, days=20, latest=30, cash="2.5", standing=True)
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(first)
        assert (await market.state("order", standing)).status in {"open", "matched"}
        second = await market.auction(locks_at=0.9)
        market.clock.at = market.day(0.9)
        await market.until_carried_out(second)
    del orders
    order = await market.state("order", standing)
    assert order.terms.offers[0].cash_usd_per_gpu_hour == Decimal("2.5")
    assert order.status in {"open", "matched"}
    await check_log(market.log)


async def amend(market, startup, order, **terms):
    whole = market.terms(**{"nodes": 4, "days": 20, "latest": 1, **terms})
    return await amend_order(market.handler, market.context(startup), order, terms=whole)


@pytest.mark.parametrize(("cash", "first"), [("3.5", 0), ("2.5", 1)], ids=["improved", "worsened"])
async def test_an_amendment_that_only_improves_keeps_the_place_in_the_book(cash, first):
    market, _, startup, orders, auction = await build()
    await amend(market, startup, orders[0], cash=cash)
    async with market.worker():
        market.clock.at = market.day(0.5)
        state = await market.until_carried_out(auction)
    assert [order.order_id for order in state.locked.book.orders] == [orders[first], orders[1 - first]]
