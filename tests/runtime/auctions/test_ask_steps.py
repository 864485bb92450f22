"""Lots with several asks: the first nodes are sold first, and the last one that is used sets the price."""

from decimal import Decimal

import pytest

from events.types import LotShare
from marketplace.application.trading.quotes import hold_quote, take_quote
from marketplace.clearing.verify.verifier import find_violations
from marketplace.core.money import parse_ratio
from marketplace.domain.supply.placement import place_run
from marketplace.runtime.auctions.audit import load_published
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def open_market(market, *further, nodes=8):
    provider = await market.party("Provider", "provider")
    _, pool = await market.pool(provider, nodes=nodes)
    lot = await market.lot(provider, pool, nodes=nodes, ask="2", end=31, further=further)
    startup = await market.party("Startup", "startup", usd=1_000_000)
    return pool, lot, startup


async def clear(market, locks_at=0.5, horizon=1):
    auction = await market.auction(locks_at=locks_at, horizon=horizon, periods=30 - horizon)
    market.clock.at = market.day(locks_at)
    await market.until_carried_out(auction, seconds=60)
    return auction


@pytest.mark.parametrize(("nodes", "price"), [(4, 2), (5, 3), (6, 3), (7, 4)])
async def test_the_dearest_step_that_is_used_sets_the_price(market, nodes, price):
    async with market.worker():
        _, lot, startup = await open_market(market, (2, "3"), (2, "4"))
        order = await market.order(startup, cash="5", nodes=nodes, days=10, latest=1)
        auction = await clear(market)
        grant = await market.state("grant", (await market.state("order", order)).grant_id)
    assert parse_ratio(grant.issued.price_usd_per_gpu_hour) == price
    assert grant.issued.lots == (LotShare(lot_id=lot, nodes=nodes, start=grant.issued.start, end=grant.issued.end),)
    published = await load_published(market.log, auction)
    assert find_violations(published.book, published.clearing) == ()
    assert [row.ask_usd_per_gpu_hour for row in published.book.lots] == [2, 3, 4]
    await check_log(market.log)


async def test_what_is_left_of_a_lot_is_its_dear_end(market):
    async with market.worker():
        pool, _, startup = await open_market(market, (2, "3"), (2, "4"))
        first = await market.order(startup, cash="5", nodes=5, days=10, latest=1)
        await clear(market)
        assert (await market.state("order", first)).status == "matched"
        second = await market.order(startup, cash="2.9", nodes=1, days=5, earliest=2, latest=2)
        third = await market.order(startup, cash="3.5", nodes=1, days=5, earliest=2, latest=2)
        await clear(market, locks_at=1.5, horizon=2)
        assert (await market.state("order", second)).status == "unmatched"
        grant = await market.state("grant", (await market.state("order", third)).grant_id)
    assert parse_ratio(grant.issued.price_usd_per_gpu_hour) == 3
    state = await market.state("pool", pool)
    assert max(load.amount for load in state.unsold(grant.issued.lots[0].lot_id, market.day(3), market.day(4))) == 2
    await check_log(market.log)


async def test_a_held_quote_pays_no_step_under_its_ask(market):
    async with market.worker():
        _, lot, startup = await open_market(market, (2, "3"), (2, "4"))
        async with open_desk(market) as desk:
            terms = market.terms(cash="5", nodes=6, days=5, earliest=2, latest=2)
            receipt = await hold_quote(
                market.handler,
                market.context(startup),
                desk.quoter,
                startup_id=startup,
                terms=terms,
                hold_seconds=600,
            )
            await take_quote(market.handler, market.context(startup), receipt.id)
        quote = await market.state("quote", receipt.id)
        grant = await market.state("grant", quote.held.match.grant_id)
    assert [share.lot_id for share in grant.issued.lots] == [lot]
    assert parse_ratio(grant.issued.price_usd_per_gpu_hour) >= 3
    await check_log(market.log)


async def test_outside_an_auction_the_cheapest_steps_of_several_lots_carry(market):
    pool, first, _ = await open_market(market, (2, "3"), (2, "4"), nodes=8)
    provider = (await market.state("pool", pool)).opened.provider_id
    _, other_pool = await market.pool(provider, nodes=8)
    lots = [
        await market.lot(provider, other_pool, nodes=3, ask="2", further=((1, "5"),)),
        await market.lot(provider, other_pool, nodes=3, ask="3"),
    ]
    state = await market.state("pool", other_pool)
    known = [await market.state("lot", lot) for lot in lots]
    placed = place_run(state, known, 5, market.day(2), market.day(4))
    assert {share.lot_id: share.nodes for share in placed.shares} == dict(zip(lots, (2, 3), strict=True))
    assert placed.floor == 3
    assert place_run(state, known, 6, market.day(2), market.day(4)).floor == 5
    assert place_run(state, known, 7, market.day(2), market.day(4)) is None
    assert first not in lots
    assert Decimal(3) == placed.floor
