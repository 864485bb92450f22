"""A buyer of resold hours that leaves early: they are their seller's again, who pays for them and gets the fee."""

from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import pytest

from marketplace.application.access import parties
from marketplace.application.delivery import grants
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.supply import inventory, sites
from marketplace.auditor.capacity import Capacity
from marketplace.auditor.fees import Fees
from marketplace.auditor.promises import Promises
from marketplace.core.errors import Refusal
from marketplace.core.money import ceil_cents, floor_cents, parse_ratio
from marketplace.domain.party import PARTY
from tests.application.trading.test_resale import DAY, buy, report, resell, sell_on, settle
from tests.support.market.auditing import audit_log, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

HOURS = 3 * 24 * 8
"""GPU-hours that are resold."""


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def leave(market, done, *, at=0, by=None, grant=None):
    """End a resold grant early, so many days after its start and at least three days from now; its buyer by default."""
    bought = grant or done.bought
    market.clock.at = max(market.clock.at, bought.issued.start - 5 * DAY)
    end = {"at": bought.issued.start + at * DAY, "reason": "no longer needed"}
    context = market.context(by or done.sale.buyer)
    await grants.terminate_grant(market.handler, context, bought.issued.grant_id, **end)
    return await market.state("grant", bought.issued.grant_id)


async def sum_free(market, *parties):
    return [(await market.account(party)).available_usd for party in parties]


async def drain(market, party):
    await market.keep(party, (await market.account(party)).available_usd)


@pytest.mark.parametrize("cash", ["4", "1.5"])
@pytest.mark.parametrize("day", [0, 1])
async def test_hours_that_a_buyer_gives_up_are_their_sellers_again_at_its_price(market, cash, day):
    async with market.worker():
        done = await sell_on(market, cash=cash, ask=str(Decimal(cash) - 1), trade_cash="4", equity="0")
        source, bought, trade = done.source.issued, done.bought.issued, done.trade
        paid, owed = parse_ratio(bought.price_usd_per_gpu_hour), parse_ratio(source.price_usd_per_gpu_hour)
        before = await sum_free(market, trade.provider, trade.startup)
        ended = await leave(market, done, at=day)
        hours = HOURS * (3 - day) // 3
        assert ended.end_fee_usd == ceil_cents(paid * hours / 10), "a share of the buyer's own price"
        after = await sum_free(market, trade.provider, trade.startup)
        added = max(owed - paid, Fraction(0)) * hours  # which is free again
        assert after[0] == before[0], "the provider lost nothing, and gets nothing"
        assert after[1] - before[1] == Fraction(ended.end_fee_usd) + added - owed * hours
        returned = await market.state("grant", ended.terminated.returned_grant_id)
        known = returned.issued
        assert (known.startup_id, known.nodes, known.start, known.end) == (trade.startup, 1, ended.end, bought.end)
        assert (known.price_usd_per_gpu_hour, known.ends, known.service, known.mark) == (
            source.price_usd_per_gpu_hour,
            source.ends,
            source.service,
            "assumed",
        )
        again = await resell(market, trade, returned, first=1, last=2)
        assert (await market.state("lot", again)).status == "listed", "the seller sells them again"
        await inventory.withdraw_lot(market.handler, market.context(trade.startup), again, reason="needed")
        if day:
            await report(market, done.bought, [(0, day, 1)])
            await report(market, returned, [(0, 3 - day, 1)])
            await report(market, done.source, [(0, 5, 4), (5, 8, 3), (8, 10, 4)])
            await settle(market, done.source, returned)
    if day:
        earned = (await market.account(trade.provider)).available_usd - before[0]
        assert earned == owed * 4 * 10 * 24 * 8, "as if its buyer had never sold any"
    ledger = await check_log(market.log)
    assert await audit_log(market.log) == []
    assert ledger.states["grant"][known.grant_id].status == ("completed" if day else "issued")
    for audit in (Fees, Capacity, Promises):
        assert await find_faults(audit, market.log) == []


@pytest.mark.parametrize("kept", ["withdrawn", "closing", "without power"])
async def test_hours_go_back_whatever_their_provider_does_with_its_lot(market, kept):
    async with market.worker():
        done = await sell_on(market, cash="4", ask="3", trade_cash="4", equity="0")
        provider, pool = market.context(done.trade.provider), await market.state("pool", done.trade.pool)
        if kept == "withdrawn":
            await inventory.withdraw_lot(market.handler, provider, done.trade.lot, reason="sold elsewhere")
        elif kept == "closing":
            closes_at = market.clock.now() + 15 * DAY
            more = {"closes_at": closes_at, "reason": "the hall is sold"}
            await inventory.announce_closing(market.handler, provider, done.trade.pool, **more)
        else:
            less = {"power_energised_kw": 0, "at": market.clock.now(), "reason": "a fuse blew"}
            await sites.derate_site(market.handler, provider, pool.opened.site_id, **less)
        ended = await leave(market, done)
        returned = (await market.state("grant", ended.terminated.returned_grant_id)).issued
        reserved = (await market.state("pool", done.trade.pool)).reservations[returned.grant_id]
    assert (reserved.start, reserved.end, reserved.lots) == (returned.start, returned.end, returned.lots)
    assert [share.lot_id for share in returned.lots] == [done.trade.lot]
    await check_log(market.log)
    for audit in (Fees, Capacity):
        assert await find_faults(audit, market.log) == []
    lost = find_faults(Fees, market.log, lambda message: message.read().get("grant_id") == returned.grant_id)
    assert await lost != [], "the grant that the end names was issued"


@pytest.mark.parametrize(("cash", "equity"), [("4", "0"), ("1.5", "0"), ("4", "3")])
async def test_a_seller_that_cannot_pay_for_the_hours_again_gets_what_the_fee_leaves_or_adds_to_it(
    market, cash, equity
):
    """The provider gets the fee of what it is owed, so that no seller leaves its deal through a buyer of its own."""
    async with market.worker():
        trade_cash = "4" if equity == "0" else "1"
        done = await sell_on(market, cash=cash, ask=str(Decimal(cash) - 1), trade_cash=trade_cash, equity=equity)
        source, bought, trade = done.source.issued, done.bought.issued, done.trade
        if equity == "0":
            await drain(market, trade.startup)
        before = await sum_free(market, trade.provider, trade.startup, done.sale.buyer)
        ended = await leave(market, done)
        after = await sum_free(market, trade.provider, trade.startup, done.sale.buyer)
    paid, owed = (parse_ratio(known.price_usd_per_gpu_hour) * HOURS for known in (bought, source))
    assert paid != owed
    assert ended.terminated.returned_grant_id is None
    assert ended.end_fee_usd == ceil_cents(paid / 10)
    changed = [now - was for now, was in zip(after, before, strict=True)]
    added = floor_cents(max(owed - paid, Fraction(0)))
    assert changed[0] == ceil_cents(owed / 10)
    assert changed[1] == ceil_cents(paid / 10) - ceil_cents(owed / 10) + added
    assert changed[2] == floor_cents(paid) - ceil_cents(paid / 10)
    await check_log(market.log)
    for audit in (Fees, Capacity):
        assert await find_faults(audit, market.log) == []


async def test_a_buyer_of_resold_hours_brings_its_own_end_forward_for_cause_alone(market):
    """Otherwise it would give up the last hour first, and then the rest when its seller has spent its money."""
    async with market.worker():
        done = await sell_on(market, cash="4", ask="3", trade_cash="4", equity="0")
        await leave(market, done, at=2)
        with pytest.raises(Refusal) as caught:
            await leave(market, done, at=1)
        assert caught.value.code == "grant_bought"
        await market.deposit(done.trade.provider, 1_000)
        ended = await leave(market, done, at=1, by=done.trade.provider)
    assert [end.returned_grant_id is None for end in ended.terminations] == [False, True]
    assert [end.reseller_receives_usd for end in ended.terminations] == [ended.terminations[0].fee_usd, 0]
    await check_log(market.log)
    assert await find_faults(Fees, market.log) == []


@pytest.mark.parametrize("by", ["startup", "provider"])
async def test_a_seller_that_left_its_provider_is_not_made_to_buy_the_hours_again(market, by):
    """An end by the provider changes nothing: it would end the rest, and its shell would give up the hours."""
    async with market.worker():
        done = await sell_on(market, cash="4", ask="3", trade_cash="4", equity="0")
        await market.deposit(done.trade.provider, 1_000)
        market.clock.at = done.bought.issued.start - 5 * DAY
        side = market.context(getattr(done.trade, by))
        end = {"at": done.source.end - DAY, "reason": "no longer needed"}
        await grants.terminate_grant(market.handler, side, done.source.issued.grant_id, **end)
        ended = await leave(market, done)
    assert (ended.terminated.returned_grant_id is None) == (by == "startup")
    await check_log(market.log)
    assert await find_faults(Fees, market.log) == []
    left = [text for _, _, text in await find_faults(Fees, market.log, by="startup")]
    assert any("returns grt" in text for text in left) == (by == "provider")


async def test_of_a_providers_fee_the_seller_gets_the_part_of_the_price_that_it_adds(market):
    async with market.worker():
        done = await sell_on(market, cash="1.5", ask="0.5", trade_cash="4", equity="0")
        parties = done.trade.provider, done.trade.startup, done.sale.buyer
        await market.deposit(done.trade.provider, 1_000)
        before = await sum_free(market, *parties)
        ended = await leave(market, done, by=done.trade.provider)
        after = await sum_free(market, *parties)
    paid, owed = (parse_ratio(known.issued.price_usd_per_gpu_hour) * HOURS for known in (done.bought, done.source))
    fee = ended.end_fee_usd
    assert (fee, ended.terminated.reseller_receives_usd) == (ceil_cents(owed / 10), floor_cents((owed - paid) / 10))
    part = ended.terminated.reseller_receives_usd
    changed = [now - was for now, was in zip(after, before, strict=True)]
    assert changed == [-fee, part + floor_cents(owed - paid), fee - part + floor_cents(paid)]
    await check_log(market.log)
    assert await find_faults(Fees, market.log) == []


async def test_hours_go_back_to_a_seller_that_was_cleared_since_this_process_read_of_it(market):
    """A process that had read of its suspension freed the hours that their seller could buy again."""
    async with market.worker():
        done = await sell_on(market, cash="4", ask="3", trade_cash="4", equity="0")
        seller, bought = done.trade.startup, done.bought.issued
        await parties.suspend_party(market.handler, market.context(), seller, reason="a court order")
        behind = market.process("behind")
        await behind.handler.cache.load(PARTY, seller)
        await parties.clear_party(market.handler, market.context(), seller, checks=("sanctions",))
        market.clock.at = bought.start - 5 * DAY
        end = {"at": bought.start, "reason": "no longer needed"}
        await grants.terminate_grant(behind.handler, behind.context(done.sale.buyer), bought.grant_id, **end)
    assert (await market.state("grant", bought.grant_id)).terminated.returned_grant_id is not None
    await check_log(market.log)


async def test_resold_hours_move_nowhere_where_their_sellers_order_would_not_have_them(market):
    """Their provider moved them, and its shell ended them: they were the provider's, and not their seller's."""
    async with market.worker():
        trade = await market.trade(days=10, nodes=4, cash="4", equity="0")
        await market.cancel(trade.startup, trade.order)
        trade.order = await market.order(
            trade.startup, cash="4", days=10, nodes=4, latest=1, regions=("us-east",), interconnect="infiniband"
        )
        grant = await market.award(trade)
        await resell(market, trade, grant, ask="3")
        sale = await buy(market, cash="4")
        bought = await market.state("grant", (await market.state("order", sale.order)).grant_id)
        provider = market.context(trade.provider)
        _, south = await market.pool(trade.provider, region="br-south")
        _, alike = await market.pool(trade.provider)
        for pool in (south, alike):
            await market.lot(trade.provider, pool, ask="2", nodes=4)
        move = {"reason": "the hall is refitted"}
        with pytest.raises(Refusal) as caught:
            await substitute_grant(market.handler, provider, bought.issued.grant_id, pool_id=south, **move)
        assert caught.value.code == "pool_unwelcome"
        await substitute_grant(market.handler, provider, bought.issued.grant_id, pool_id=alike, **move)
        ended = await leave(market, SimpleNamespace(bought=bought, sale=sale))
    assert ended.terminated.returned_grant_id is not None
    await check_log(market.log)
