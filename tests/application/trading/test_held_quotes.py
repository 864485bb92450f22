"""Held quotes: never more than there is, never longer than stated, and a grant at the price that was held."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from marketplace.application.supply.inventory import announce_closing
from marketplace.application.supply.schedules import publish_schedule
from marketplace.application.trading import mandates
from marketplace.application.trading.auctions import lock_auction
from marketplace.application.trading.quotes import expire_quote, hold_quote, release_quote, take_quote
from marketplace.auditor.capacity import Capacity
from marketplace.auditor.fees import Fees
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.instants import render_instant
from marketplace.core.money import ceil_cents, parse_ratio
from marketplace.domain.supply.schedule import STANDARD, compute_end_fee
from marketplace.domain.trading.book.book import build_book
from marketplace.domain.trading.book.market_snapshot import Supply
from marketplace.execution.handler import Handler
from marketplace.log.memory import MemoryLog
from marketplace.runtime.auctions.clearing import compute_book_hash
from tests.support.market.auditing import find_faults
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


async def build(log=None):
    """Return a market with four nodes at 2 dollars and a startup."""
    market = Market(log or MemoryLog())
    provider = await market.party("Provider", "provider")
    _, pool = await market.pool(provider)
    await market.lot(provider, pool)
    startup = await market.party("Startup", "startup", usd=1_000_000)
    return market, pool, startup


async def hold(desk, startup, *, seconds=600, key=None, handler=None, **terms):
    market = desk.market
    return await hold_quote(
        handler or market.handler,
        market.context(startup, key),
        desk.quoter,
        startup_id=startup,
        terms=market.terms(**{"nodes": 4, "days": 20, "latest": 1, **terms}),
        hold_seconds=seconds,
    )


async def test_a_held_quote_reserves_what_it_names_and_sets_the_cash_aside():
    market, pool, startup = await build()
    async with open_desk(market) as desk:
        receipt = await hold(desk, startup)
    quote = await market.state("quote", receipt.id)
    match = quote.held.match
    assert parse_ratio(match.price_usd_per_gpu_hour) == Decimal("2.00")
    reservation = (await market.state("pool", pool)).reservations[match.grant_id]
    assert (reservation.start, reservation.end) == (match.start, match.end)
    assert quote.held.cash_hold_usd == 3 * 4 * 8 * 20 * 24
    fee = ceil_cents(Fraction(2) * 4 * 8 * 20 * 24 * Fraction("0.001") * 4 / 6)
    assert quote.held.fee.fee_usd == quote.held.fee.deposit_usd == fee
    assert (await market.account(startup)).held_usd == quote.held.cash_hold_usd + fee


@pytest.mark.parametrize(("end", "parts"), [("taken", 0), ("released", 1), ("expired", 4)])
async def test_a_hold_costs_its_time_unless_the_quote_is_taken(end, parts):
    market, _, startup = await build()
    async with open_desk(market) as desk:
        quote_id = (await hold(desk, startup)).id
        held = (await market.state("quote", quote_id)).held
        if end == "taken":
            await take_quote(market.handler, market.context(startup), quote_id)
        else:
            market.clock.at += timedelta(seconds=150 * parts)
            act = release_quote if end == "released" else expire_quote
            more = {"reason": "changed plans"} if end == "released" else {}
            await act(market.handler, market.context(startup if more else None), quote_id, **more)
    fee = ceil_cents(Fraction(held.fee.fee_usd) * parts / 4)
    quote, provider = await market.state("quote", quote_id), await market.state("account", held.fee.payee_account_id)
    assert (quote.status, quote.fee_usd, provider.available_usd) == (end, fee, fee)
    account = await market.account(startup)
    assert account.available_usd + account.held_usd == 1_000_000 - fee
    assert account.counts.get("quo", 0) == 0
    assert await find_faults(Fees, market.log) == []
    assert bool(await find_faults(Fees, market.log, drop="account.hold_captured.v1")) == bool(parts)
    await check_log(market.log)


async def test_a_startup_without_money_holds_nothing_and_one_with_money_no_more_than_its_quota():
    market, _, startup = await build()
    fund = await market.party("Fund", "fund", usd=1_000_000)
    poor = await market.party("Poor", "startup")
    await market.issuer(poor)
    mandate = await market.mandate(fund)
    other = await market.party("Other", "provider")
    _, pool = await market.pool(other)
    await market.lot(other, pool, mandate_ids=(mandate,))
    rules = msgspec.structs.replace(STANDARD, quotes_max=2)
    await publish_schedule(market.handler, market.context(), terms=rules)
    async with open_desk(market) as desk:
        with pytest.raises(Refusal) as caught:
            await hold(desk, poor, cash="0", equity="5", mandate_ids=(mandate,), nodes=1)
        assert caught.value.code == "funds_insufficient"
        for _ in range(2):
            quote_id = (await hold(desk, startup, nodes=1)).id
        with pytest.raises(Refusal) as caught:
            await hold(desk, startup, nodes=1)
        assert (caught.value.code, caught.value.facts["quota"]) == ("holds_exhausted", 2)
        await release_quote(market.handler, market.context(startup), quote_id, reason="changed plans")
        await hold(desk, startup, nodes=1)


async def test_of_two_who_hold_the_last_nodes_one_is_refused():
    market, pool, startup = await build()
    rival = await market.party("Rival", "startup", usd=1_000_000)
    async with open_desk(market) as desk:
        held = await asyncio.gather(hold(desk, startup), hold(desk, rival), return_exceptions=True)
    refused = [one for one in held if isinstance(one, Refusal)]
    assert len(refused) == 1
    assert refused[0].code in {"quote_unavailable", "lot_sold", "never_feasible"}
    assert len((await market.state("pool", pool)).reservations) == 1
    await check_log(market.log)


class RaceCases:
    async def test_many_processes_that_hold_at_once_never_hold_more_than_there_is(self, log):
        market, pool, _ = await build(log)
        rivals = [await market.party(f"Rival {number}", "startup", usd=1_000_000) for number in range(6)]
        async with open_desk(market) as desk:
            handlers = [Handler(log, market.clock) for _ in rivals]
            held = await asyncio.gather(
                *(hold(desk, rival, nodes=2, handler=handler) for rival, handler in zip(rivals, handlers, strict=True)),
                return_exceptions=True,
            )
        assert sum(not isinstance(one, BaseException) for one in held) == 2
        assert all(isinstance(one, Refusal) for one in held if isinstance(one, BaseException)), held
        assert len((await market.state("pool", pool)).reservations) == 2
        await check_log(log)


class TestRaceOnMemory(RaceCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestRaceOnJetStream(RaceCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


async def test_a_hold_that_is_repeated_holds_once():
    market, pool, startup = await build()
    async with open_desk(market) as desk:
        first = await hold(desk, startup, key="k", nodes=2)
        again = await hold(desk, startup, key="k", nodes=2)
    assert (again.id, again.repeated) == (first.id, True)
    assert len((await market.state("pool", pool)).reservations) == 1


async def test_a_quote_that_is_taken_becomes_a_grant_at_its_price():
    market, _, startup = await build()
    async with open_desk(market) as desk:
        quote_id = (await hold(desk, startup)).id
        await take_quote(market.handler, market.context(startup), quote_id)
        await take_quote(market.handler, market.context(startup), quote_id)
    order = await market.state("order", rename_id("ord", quote_id))
    grant = await market.state("grant", order.grant_id)
    assert (order.status, order.placed.quote_id, grant.issued.auction_id) == ("matched", quote_id, None)
    assert parse_ratio(grant.issued.price_usd_per_gpu_hour) == Decimal("2.00")
    assert (await market.account(startup)).held_usd == grant.issued.cash_commitment_usd
    await check_log(market.log)


async def test_a_quote_for_equity_is_taken_with_its_instrument():
    market = Market(MemoryLog())
    trade = await market.trade()
    async with open_desk(market) as desk:
        terms = {"cash": "1", "equity": "3", "mandate_ids": (trade.mandate,), "nodes": 2, "days": 10}
        quote_id = (await hold(desk, trade.startup, **terms)).id
        await take_quote(market.handler, market.context(trade.startup), quote_id)
    grant = await market.state("grant", rename_id("grt", quote_id))
    instrument = await market.state("instrument", grant.issued.equity.instrument_id)
    assert instrument.issued.commitment_usd == grant.issued.equity.principal_commitment_usd > 0
    await check_log(market.log)


async def test_a_quote_that_is_taken_after_its_pool_was_announced_to_close_keeps_the_fee_of_its_end():
    market, pool, startup = await build()
    provider = (await market.state("pool", pool)).opened.provider_id
    await market.deposit(provider, 100_000)
    async with open_desk(market) as desk:
        quote_id = (await hold(desk, startup, seconds=600)).id
        closes_at = market.clock.now() + timedelta(days=15)
        context = market.context(provider)
        await announce_closing(market.handler, context, pool, closes_at=closes_at, reason="the lease ends")
        assert not (await market.account(provider)).reserves
        await take_quote(market.handler, market.context(startup), quote_id)
    grant = await market.state("grant", (await market.state("quote", quote_id)).held.match.grant_id)
    price_usd = 2 * Fraction(grant.count_left(closes_at), 3_600)
    ((kept_usd, _),) = (await market.account(provider)).reserves.values()
    assert kept_usd == compute_end_fee(grant.issued.ends.fees, price_usd, timedelta(days=15)) > 0


async def test_what_is_released_is_free_again():
    market, pool, startup = await build()
    async with open_desk(market) as desk:
        quote_id = (await hold(desk, startup)).id
        await release_quote(market.handler, market.context(startup), quote_id, reason="changed plans")
        assert (await market.account(startup)).held_usd == 0
        assert (await market.state("pool", pool)).reserved() == []
        assert (await hold(desk, startup)).id != quote_id
    await check_log(market.log)


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
async def test_a_quote_expires_on_time_also_after_a_restart(restart):
    market, pool, startup = await build()
    async with open_desk(market) as desk:
        quote_id = (await hold(desk, startup, seconds=600)).id
    if restart:
        market.clock.at += timedelta(seconds=600)
    async with market.worker():
        market.clock.at += timedelta(seconds=0 if restart else 600)
        await market.until("quote", quote_id, "expired")
    assert (await market.account(startup)).held_usd == 0
    assert (await market.state("pool", pool)).reserved() == []
    with pytest.raises(Refusal) as refused:
        await take_quote(market.handler, market.context(startup), quote_id)
    assert refused.value.code == "quote_expired"
    await check_log(market.log)


async def test_a_quote_that_is_over_is_not_taken_though_nobody_has_ended_it_yet():
    market, _, startup = await build()
    async with open_desk(market) as desk:
        quote_id = (await hold(desk, startup, seconds=600)).id
    market.clock.at += timedelta(seconds=600)
    with pytest.raises(Refusal) as refused:
        await take_quote(market.handler, market.context(startup), quote_id)
    assert refused.value.code == "quote_lapsed"


@pytest.mark.parametrize("no_cancel_at", [None, 0.4])
async def test_no_hold_keeps_capacity_from_an_auction(no_cancel_at):
    """A hold ends before orders are bound, so that its capacity is in the book."""
    market, _, startup = await build()
    rival = await market.party("Rival", "startup", usd=1_000_000)
    auction = await market.auction(no_cancel_at=no_cancel_at)
    binds_at = market.day(no_cancel_at or 0.5)
    market.clock.at = binds_at - timedelta(minutes=1)
    async with open_desk(market) as desk:
        with pytest.raises(Refusal) as caught:
            await hold(desk, startup, seconds=61)
        assert (caught.value.code, caught.value.facts["auction_id"]) == ("quote_meets_auction", auction)
        assert caught.value.facts["held_until_max"] == render_instant(binds_at)
        assert (await market.account(startup)).held_usd == 0
        quote_id = (await hold(desk, startup, seconds=60)).id
    order = await market.order(rival, cash="9", nodes=4, days=20, latest=1)
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
    assert (await market.state("order", order)).status == "matched"
    assert (await market.state("quote", quote_id)).status == "expired"
    assert await find_faults(Capacity, market.log) == []
    later = render_instant(binds_at + timedelta(seconds=1))
    assert [fault[0] for fault in await find_faults(Capacity, market.log, expires_at=later)] == ["hold"]
    await check_log(market.log)


@pytest.mark.parametrize(("minutes", "expected"), [(59, "unmatched"), (60, "matched")])
async def test_a_hold_that_is_older_than_an_auction_lasts_on_an_hour_at_most(minutes, expected):
    market, _, startup = await build()
    rival = await market.party("Rival", "startup", usd=1_000_000)
    binds_at = market.day(0.5)
    market.clock.at = binds_at - timedelta(minutes=minutes)
    async with open_desk(market) as desk:
        await hold(desk, startup, seconds=3_600)
    auction = await market.auction()
    order = await market.order(rival, cash="9", nodes=4, days=20, latest=1)
    async with market.worker():
        market.clock.at = binds_at
        await market.until_carried_out(auction)
    assert (await market.state("order", order)).status == expected
    await check_log(market.log)


async def test_a_hold_of_what_an_auction_cannot_award_may_outlast_its_lock():
    market, _, startup = await build()
    auction = await market.auction(periods=10)
    market.clock.at = market.day(0.5) - timedelta(minutes=1)
    async with open_desk(market) as desk:
        quote_id = (await hold(desk, startup, seconds=600, earliest=11, latest=11)).id
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
    await take_quote(market.handler, market.context(startup), quote_id)
    assert await find_faults(Capacity, market.log) == []
    await check_log(market.log)


async def test_nothing_is_held_while_an_auction_decides():
    market, _, startup = await build()
    await market.order(startup, nodes=2, days=20, latest=1)
    auction = await market.auction()
    opened = (await market.state("auction", auction)).opened
    book = build_book(opened, Supply(pools={}, lots={}, mandates={}), ())
    await lock_auction(market.handler, market.context(), auction, book=book, book_hash=compute_book_hash(book))
    async with open_desk(market) as desk:
        with pytest.raises(Refusal) as refused:
            await hold(desk, startup, nodes=2)
    assert refused.value.code == "market_deciding"


@pytest.mark.parametrize(
    ("terms", "seconds", "code"),
    [
        ({"cash": "1"}, 600, "price_above_offer"),
        ({"nodes": 5}, 600, "never_feasible"),
        ({}, 3_601, "hold_too_long"),
        ({"cash": "9000"}, 600, "funds_insufficient"),
        ({"group": "either"}, 600, "quote_linked"),
    ],
)
async def test_what_cannot_be_held_is_refused_and_sets_nothing_aside(terms, seconds, code):
    market, pool, startup = await build()
    async with open_desk(market) as desk:
        with pytest.raises(Refusal) as refused:
            await hold(desk, startup, seconds=seconds, **terms)
    assert refused.value.code == code
    assert (await market.account(startup)).held_usd == 0
    assert (await market.state("pool", pool)).reserved() == []


async def test_nobody_takes_or_releases_what_another_holds():
    market, _, startup = await build()
    rival = await market.party("Rival", "startup", usd=1_000_000)
    async with open_desk(market) as desk:
        quote_id = (await hold(desk, startup)).id
    for command in (
        take_quote(market.handler, market.context(rival), quote_id),
        release_quote(market.handler, market.context(rival), quote_id, reason="mine now"),
    ):
        with pytest.raises(Refusal) as refused:
            await command
        assert refused.value.code == "quote_unknown"


@pytest.mark.parametrize("act", ["revoke", "refuse"])
async def test_a_quote_whose_mandate_no_longer_pays_cannot_be_taken_and_costs_the_time_until_it_is_released(act):
    market = Market(MemoryLog())
    trade = await market.trade()
    await market.cancel(trade.startup, trade.order)
    async with open_desk(market) as desk:
        quote_id = (await hold(desk, trade.startup, cash="1", equity="3", mandate_ids=(trade.mandate,))).id
    held = (await market.state("quote", quote_id)).held
    market.clock.at += timedelta(seconds=150)
    more = {"hold_id": held.hold_id} if act == "refuse" else {}
    end = mandates.refuse_order if act == "refuse" else mandates.revoke_mandate
    await end(market.handler, market.context(trade.fund), trade.mandate, reason="no more", **more)
    with pytest.raises(Refusal) as caught:
        await take_quote(market.handler, market.context(trade.startup), quote_id)
    assert caught.value.code == {"revoke": "mandate_revoked", "refuse": "approval_missing"}[act]
    await release_quote(market.handler, market.context(trade.startup), quote_id, reason="nobody pays the equity part")
    quote = await market.state("quote", quote_id)
    assert quote.fee_usd == ceil_cents(Fraction(held.fee.fee_usd) / 4)
    assert (await market.account(trade.startup)).held_usd == 0
    assert (await market.state("mandate", trade.mandate)).used_usd == 0
    await check_log(market.log)
