"""A pool that leaves the market: notice, no new matches, and an end for what still runs."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec import structs

from events.service import STANDARD_SERVICE
from marketplace.application.billing.accounts import withdraw
from marketplace.application.delivery.grants import terminate_grant
from marketplace.application.supply.inventory import announce_closing, withdraw_lot
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.supply.schedule import compute_end_fee
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_hostile_meters import AuditedCauses
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


async def build():
    """Return a market whose one order of 40 days was matched, with the trade and its grant."""
    market = Market(MemoryLog())
    trade = await market.trade()
    async with market.worker():
        grant = await market.award(trade)
    return market, trade, grant


async def announce(market, trade, days):
    at = market.clock.now() + timedelta(days=days)
    context = market.context(trade.provider)
    await announce_closing(market.handler, context, trade.pool, closes_at=at, reason="the lease ends")
    return at


async def test_a_pool_that_leaves_takes_nothing_longer_at_once():
    market, trade, grant = await build()
    await announce(market, trade, 20)
    async with market.worker():
        await market.until("lot", trade.lot, "withdrawn")
    with pytest.raises(Refusal) as refused:
        await market.lot(trade.provider, trade.pool)
    assert refused.value.code == "pool_closing"
    assert (await market.state("grant", grant.issued.grant_id)).status in {"issued", "active"}
    await check_log(market.log)


async def test_a_pool_that_leaves_later_keeps_what_ends_before():
    """An announced closing in ten years took a reseller's lot off the market, and a late grant's choice to move."""
    market, trade, _ = await build()
    await announce(market, trade, 100)
    async with market.worker():
        short = await market.lot(trade.provider, trade.pool, start=91, end=100)
        await market.until("lot", short, "listed")
    assert (await market.state("lot", trade.lot)).status == "listed"
    with pytest.raises(Refusal) as refused:
        await market.lot(trade.provider, trade.pool, start=100, end=101)
    assert refused.value.code == "pool_closing"
    await check_log(market.log)


async def test_a_closing_keeps_the_notice_that_was_promised():
    """A provider that promised 1,000 hours of notice closed the pool in 336, and sold its nodes elsewhere."""
    market = Market(MemoryLog())
    trade = await market.trade()
    await withdraw_lot(market.handler, market.context(trade.provider), trade.lot, reason="a longer notice")
    service = structs.replace(STANDARD_SERVICE, notice_hours_min=500)
    await market.lot(trade.provider, trade.pool, mandate_ids=(trade.mandate,), service=service)
    async with market.worker():
        grant = await market.award(trade)
    await market.deposit(trade.provider, 10_000)
    with pytest.raises(Refusal) as refused:
        await announce(market, trade, 20)
    assert refused.value.code == "notice_too_short"
    assert refused.value.facts["grant_id"] == grant.issued.grant_id
    await announce(market, trade, 500 / 24)


async def test_what_still_runs_when_the_pool_leaves_ends_then():
    market, trade, grant = await build()
    await market.deposit(trade.provider, 10_000)
    closes_at = await announce(market, trade, 20)
    available, account_id = (await market.account(trade.provider)).available_usd, rename_id("acc", trade.provider)
    payout = {"amount_usd": available, "reference": "all of it"}
    with pytest.raises(Refusal) as refused:
        await withdraw(market.handler, market.context(trade.provider), account_id, **payout)
    assert refused.value.code == "funds_reserved", "the fee of the end is kept from the notice on"
    async with market.worker():
        await market.until("grant", grant.issued.grant_id, "issued", "active")
        market.clock.at = closes_at - timedelta(seconds=1)
        await market.until("grant", grant.issued.grant_id, "active")
        market.clock.at = closes_at
        ended = await market.until("grant", grant.issued.grant_id, "terminated", "completed")
    assert ended.end == closes_at
    assert available - ended.end_fee_usd == Decimal(refused.value.facts["free_usd"])
    reservation = (await market.state("pool", trade.pool)).reservations[grant.issued.grant_id]
    assert reservation.end == closes_at


async def test_a_date_that_was_put_off_ends_nothing_before():
    market, trade, grant = await build()
    first = await announce(market, trade, 20)
    last = await announce(market, trade, 30)
    async with market.worker():
        market.clock.at = first
        await market.until("grant", grant.issued.grant_id, "active")
        market.clock.at = last
        ended = await market.until("grant", grant.issued.grant_id, "terminated", "completed")
    assert ended.end == last


async def test_an_announced_closing_is_the_notice_of_the_ends_that_it_brings():
    """An honest closing, announced 721 hours ahead, paid the fee of an end without notice."""
    market, trade, grant = await build()
    await market.deposit(trade.provider, 100_000)
    told = market.clock.now()
    closes_at = await announce(market, trade, 721 / 24)
    async with market.worker():
        await market.until("grant", grant.issued.grant_id, "issued", "active")
        market.clock.at = closes_at
        ended = await market.until("grant", grant.issued.grant_id, "terminated", "completed")
    (end,) = ended.terminations
    assert (end.announced_at, end.noticed_at) == (told, closes_at)
    price_usd = Fraction(grant.issued.price_usd_per_gpu_hour) * Fraction(grant.count_left(closes_at), 3_600)
    assert end.fee_usd == compute_end_fee(grant.issued.ends.fees, price_usd, closes_at - told)
    assert end.fee_usd < compute_end_fee(grant.issued.ends.fees, price_usd, timedelta())
    assert await find_faults(AuditedCauses, market.log) == []
    stolen = await find_faults(AuditedCauses, market.log, "pool.closing_announced.v1")
    assert [rule for rule, *_ in stolen] == ["cause"]


async def test_a_startup_relies_on_the_first_date_of_a_closing_that_is_put_off():
    market, trade, grant = await build()
    await market.deposit(trade.provider, 100_000)
    first = await announce(market, trade, 20)

    async def leave(at):
        context = market.context(trade.startup)
        await terminate_grant(
            market.handler, context, grant.issued.grant_id, at=at, reason="as announced", for_cause=True
        )

    with pytest.raises(Refusal, match="announced and put off"):
        await leave(first)
    last = await announce(market, trade, 30)
    for at in (first - timedelta(seconds=1), last):
        with pytest.raises(Refusal, match="announced and put off"):
            await leave(at)
    market.clock.at = first + timedelta(seconds=1)
    with pytest.raises(Refusal, match="announced and put off"):
        await leave(first)
    market.clock.at = first
    await leave(first)
    ended = (await market.state("grant", grant.issued.grant_id)).terminated
    assert (ended.at, ended.fee_usd, ended.nodes_failed) == (first, 0, grant.issued.nodes)
    assert await find_faults(AuditedCauses, market.log) == []
    assert [rule for rule, *_ in await find_faults(AuditedCauses, market.log, "pool.closing_announced.v1")] == ["cause"]


async def test_a_pool_leaves_after_notice_only_and_by_its_provider_only():
    market, trade, _ = await build()
    with pytest.raises(Refusal) as refused:
        await announce(market, trade, 13)
    assert refused.value.code == "notice_too_short"
    context = market.context(trade.startup)
    at = market.clock.now() + timedelta(days=20)
    with pytest.raises(Refusal) as refused:
        await announce_closing(market.handler, context, trade.pool, closes_at=at, reason="not mine")
    assert refused.value.code == "pool_unknown"


async def test_what_still_runs_when_the_pool_leaves_is_moved_where_there_is_room():
    market, trade, grant = await build()
    closes_at = await announce(market, trade, 20)
    _, other = await market.pool(trade.provider)
    dear = await market.lot(trade.provider, other, ask="9", nodes=1)
    lot = await market.lot(trade.provider, other, ask="2", nodes=3)
    async with market.worker():
        market.clock.at = closes_at - timedelta(seconds=1)
        await market.until("grant", grant.issued.grant_id, "active", seconds=60)
        market.clock.at = closes_at
        async with asyncio.timeout(60):
            while (moved := await market.state("grant", grant.issued.grant_id)).pool_id != other:
                await market.tick()
    assert (moved.status, moved.end) == ("active", grant.end)
    assert {share.lot_id for share in moved.lots} == {lot} - {dear}
    assert (await market.state("pool", trade.pool)).reservations[grant.issued.grant_id].end == closes_at
    assert (await market.state("pool", other)).reservations[grant.issued.grant_id].end == grant.end
    await check_log(market.log)


async def test_a_grant_of_a_pool_that_leaves_stays_until_an_auction_that_froze_the_room_is_completed():
    market, trade, grant = await build()
    await market.deposit(trade.provider, 10_000)
    closes_at = await announce(market, trade, 20)
    _, other = await market.pool(trade.provider)
    await market.lot(trade.provider, other)
    auction = await market.auction(locks_at=20.51, horizon=21, no_cancel_at=20.4)
    async with market.worker():
        market.clock.at = closes_at
        await market.until("grant", grant.issued.grant_id, "active", seconds=60)
        market.clock.at = market.day(20.51)
        await market.until_carried_out(auction)
        market.clock.at += timedelta(minutes=20)
        async with asyncio.timeout(60):
            while (moved := await market.state("grant", grant.issued.grant_id)).pool_id != other:
                await market.tick()
    assert (moved.status, moved.end) == ("active", grant.end)
    assert (await market.state("pool", other)).reservations[grant.issued.grant_id].start >= market.day(20.51)
    await check_log(market.log)
