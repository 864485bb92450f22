"""A site that is late: lots move, and grants lack their nodes until it is ready, if their startups keep them."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from marketplace.application.delivery import grants
from marketplace.application.supply import inventory, sites
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.billing.remedies import find_ending
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def convert(market, ready_day):
    """Return a trade on a site that is ready at a day, from which its lot is on sale."""
    trade = await market.trade(days=10, status="planned")
    state = await market.state("pool", trade.pool)
    context = market.context(trade.provider)
    site = state.opened.site_id
    await sites.schedule_conversion(
        market.handler, context, site, former_use="bitcoin mining", ready_at=market.day(ready_day)
    )
    return trade, site


async def slip(market, trade, site, day):
    await sites.slip_conversion(
        market.handler, market.context(trade.provider), site, ready_at=market.day(day), reason="transformer is late"
    )


async def end_for_cause(market, trade, grant_id, at):
    startup = market.context(trade.startup)
    await grants.terminate_grant(
        market.handler, startup, grant_id, at=at, reason="too late", by="startup", for_cause=True
    )


async def test_a_startup_ends_a_grant_that_its_late_site_cannot_deliver_and_may_claim_all_of_it(market):
    trade, site = await convert(market, 1)
    async with market.worker():
        grant = await market.award(trade)
        grant_id = grant.issued.grant_id
        with pytest.raises(Refusal) as caught:
            await end_for_cause(market, trade, grant_id, market.day(1))
        assert caught.value.code == "cause_missing"
        await slip(market, trade, site, 2)
        with pytest.raises(Refusal) as caught:
            await end_for_cause(market, trade, grant_id, market.day(1))
        assert caught.value.code == "cause_missing", "within the day in which a provider may answer"
        await slip(market, trade, site, 20)
        with pytest.raises(Refusal) as caught:
            await end_for_cause(market, trade, grant_id, market.day(10))
        assert (caught.value.code, caught.value.pointer) == ("cause_missing", "/at"), "the site may be ready in time"
        await end_for_cause(market, trade, grant_id, market.day(1))
        ended = await market.until("grant", grant_id, "terminated")
    pool = await market.state("pool", trade.pool)
    assert pool.reserved() == []
    assert (ended.end, ended.end_fee_usd) == (market.day(1), 0)
    (gap,) = find_ending(ended).gaps
    issued = grant.issued
    assert gap == (issued.start, issued.end, issued.nodes * issued.gpus_per_node)
    assert (await market.account(trade.startup)).held_usd == 0
    assert (await market.state("mandate", trade.mandate)).used_usd == 0
    assert (await market.state("instrument", rename_id("ins", grant_id))).status == "lapsed"
    await check_log(market.log)


async def test_a_slip_there_and_back_ends_no_grant_and_its_hours_are_not_sold_again(market):
    trade, site = await convert(market, 1)
    async with market.worker(), market.worker():
        grant = await market.award(trade)
        grant_id, nodes = grant.issued.grant_id, (await market.state("pool", trade.pool)).opened.nodes
        await slip(market, trade, site, 100)
        await market.until("lot", trade.lot, "withdrawn")
        await slip(market, trade, site, 1)
        with pytest.raises(Refusal) as caught:
            await inventory.list_lot(
                market.handler,
                market.context(trade.provider),
                pool_id=trade.pool,
                nodes=nodes,
                start=market.day(1),
                end=market.day(91),
                ask_usd_per_gpu_hour=Decimal(6),
            )
        assert caught.value.code == "pool_full"
        market.clock.at = market.day(1)
        await market.until("grant", grant_id, "active")
    assert (await market.state("grant", grant_id)).nodes_available == grant.issued.nodes
    await check_log(market.log)


async def test_a_grant_that_goes_on_after_its_site_is_ready_lacks_its_nodes_until_then(market):
    trade, site = await convert(market, 1)
    async with market.worker(), market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        await slip(market, trade, site, 3)
        await asyncio.sleep(0.2)
        assert (await market.state("grant", grant_id)).status == "issued"
        market.clock.at = market.day(1)
        await market.until("grant", grant_id, "degraded")
        market.clock.at = market.day(3)
        await market.until("grant", grant_id, "active")
    (outage,) = (await market.state("grant", grant_id)).outages
    assert (outage.start, outage.end, outage.nodes) == (market.day(1), market.day(3), 0)
    await check_log(market.log)


async def test_a_grant_that_is_kept_through_all_its_days_without_power_is_never_charged(market):
    trade, site = await convert(market, 1)
    async with market.worker(), market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        await slip(market, trade, site, 20)
        market.clock.at = market.day(1)
        await market.until("grant", grant_id, "degraded")
        for day, status in ((13, "issued"), (30, "accepted")):
            market.clock.at = market.day(day)
            await market.until("statement", derive_id("stm", grant_id, "0"), status)
        await market.until("grant", grant_id, "completed")
    (outage,) = (await market.state("grant", grant_id)).outages
    assert (outage.start, outage.nodes) == (market.day(1), 0)
    account = await market.account(trade.provider)
    assert account.available_usd == 0
    await check_log(market.log)


@pytest.mark.parametrize("last", [2.01, 2.5])
async def test_the_startup_may_end_or_shorten_a_grant_for_cause_while_its_site_is_late(market, last):
    trade, site = await convert(market, 1)
    async with market.worker():
        grant_id = (await market.award(trade)).issued.grant_id
        await slip(market, trade, site, 3)
        market.clock.at = market.day(1)
        await market.until("grant", grant_id, "degraded")
        market.clock.at = market.day(2.01)  # a day for the provider's answer
        startup, at = market.context(trade.startup), market.day(last)
        await grants.terminate_grant(
            market.handler, startup, grant_id, at=at, reason="too late", by="startup", for_cause=True
        )
        ended = await market.until("grant", grant_id, "terminated")
    assert (ended.end, bool(ended.end_fee_usd)) == (at, False)
    await check_log(market.log)


async def test_a_slip_that_was_missed_is_caught_up_with_after_a_restart(market):
    trade, site = await convert(market, 1)
    async with market.worker():
        grant = await market.award(trade)
    await slip(market, trade, site, 200)
    async with market.worker(), market.worker():
        await market.until("lot", trade.lot, "withdrawn")
    assert (await market.state("grant", grant.issued.grant_id)).status == "issued"
    await check_log(market.log)


async def test_a_slip_beyond_the_end_of_a_lot_withdraws_it(market):
    trade, site = await convert(market, 1)
    async with market.worker():
        await slip(market, trade, site, 200)
        await market.until("lot", trade.lot, "withdrawn")
    assert not (await market.state("pool", trade.pool)).offers


async def test_a_lot_that_would_be_over_by_now_is_not_listed(market):
    trade, _ = await convert(market, 1)
    market.clock.at = market.day(40)
    context = market.context(trade.provider)
    span = {"start": market.day(30), "end": market.day(40)}
    ask = {"nodes": 1, "ask_usd_per_gpu_hour": 2}
    with pytest.raises(Refusal) as caught:
        await inventory.list_lot(market.handler, context, pool_id=trade.pool, **span, **ask)
    assert (caught.value.code, caught.value.pointer) == ("lot_past", "/end")
    _, pool = await market.pool(trade.provider)
    lot = await market.lot(trade.provider, pool, nodes=2, start=30, end=90)
    assert (await market.state("lot", lot)).start == market.day(40), "it sells no day that has passed"
    auction = await market.auction(locks_at=41, horizon=42)
    for asked, begins in ((50, 50), (20, 40), (30, 40)):
        span = {"start": market.day(asked), "end": market.day(91), "reason": "a mistake", "auction_ids": [auction]}
        await inventory.reschedule_lot(market.handler, market.context(trade.provider), lot, **span)
        assert (await market.state("lot", lot)).start == market.day(begins)
    events = [event async for page in market.log.read() for event in page]
    changed = [event.body for event in events if event.envelope.type.endswith("auction.supply_changed.v1")]
    assert [msgspec.json.decode(body)["cause"] for body in changed] == [lot, lot], "a lot that stays changes nothing"


async def test_a_slip_that_leaves_less_than_the_shortest_order_withdraws_the_lot(market):
    trade, _ = await convert(market, 1)
    short = await inventory.list_lot(
        market.handler,
        market.context(trade.provider),
        pool_id=(await market.pool(trade.provider, status="planned"))[1],
        nodes=4,
        start=market.day(1),
        end=market.day(31),
        ask_usd_per_gpu_hour=(await market.state("lot", trade.lot)).ask_usd_per_gpu_hour,
        duration_hours_min=24 * 20,
    )
    other = (await market.state("lot", short.id)).listed.pool_id
    other_site = (await market.state("pool", other)).opened.site_id
    await sites.schedule_conversion(
        market.handler, market.context(trade.provider), other_site, former_use="office", ready_at=market.day(1)
    )
    async with market.worker():
        await slip(market, trade, other_site, 20)
        await market.until("lot", short.id, "withdrawn")
    assert (await market.state("lot", trade.lot)).status == "listed"


async def test_a_slip_leaves_grants_that_begin_after_it_also_on_withdrawn_lots(market):
    trade, site = await convert(market, 1)
    async with market.worker():
        early = await market.award(trade)
        order = await market.order(trade.startup, earliest=40, latest=40, days=10, nodes=2)
        auction = await market.auction(locks_at=0.6)
        market.clock.at = market.day(0.6)
        await market.until_carried_out(auction)
        late = (await market.state("order", order)).grant_id
        await inventory.withdraw_lot(market.handler, market.context(trade.provider), trade.lot, reason="sold elsewhere")
        await slip(market, trade, site, 20)
        early_id = early.issued.grant_id
        await end_for_cause(market, trade, early_id, market.day(1))
        assert (await market.state("grant", early_id)).status == "terminated"
        assert (await market.state("grant", late)).status == "issued"
        market.clock.at = market.day(40)
        await market.until("grant", late, "active")
        await grants.terminate_grant(
            market.handler, market.context(), late, at=market.day(41), reason="done", by="startup"
        )
    await check_log(market.log)
