"""Backstop orders in a market: they take what is left at their price, and nobody else notices."""

from decimal import Decimal

import pytest

from marketplace.application.delivery import grants
from marketplace.clearing.verify.verifier import find_violations
from marketplace.core.errors import Refusal
from marketplace.runtime.auctions.audit import load_published, repeat
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def open_market(market, *, nodes=4):
    provider = await market.party("Provider", "provider")
    _, pool = await market.pool(provider, nodes=nodes)
    await market.lot(provider, pool, nodes=nodes, end=31)
    return provider


async def run(market):
    auction = await market.auction(periods=30)
    market.clock.at = market.day(0.5)
    await market.until_carried_out(auction, seconds=60)
    return auction


async def test_a_fund_buys_what_is_left_at_its_price_and_hands_it_to_a_startup(market):
    async with market.worker():
        provider = await open_market(market)
        startup = await market.party("Startup", "startup", usd=100_000)
        fund = await market.party("Fund", "fund", usd=1_000_000)
        first = await market.order(startup, cash="3", nodes=3, days=10, latest=1)
        stop = await market.order(
            fund, cash="2.25", nodes=4, nodes_min=1, days=10, latest=1, backstop=True, standing=True
        )
        auction = await run(market)
        won = await market.state("grant", (await market.state("order", first)).grant_id)
        left = await market.state("grant", (await market.state("order", stop)).grant_id)
        assert (won.issued.price_usd_per_gpu_hour, left.issued.price_usd_per_gpu_hour) == ("2/1", "9/4")
        assert (won.mark, left.mark) == (None, "backstop"), "it sets no price of the index"
        assert (left.issued.nodes, left.startup_id, left.issued.provider_id) == (1, fund, provider)
        await grants.transfer_grant(market.handler, market.context(fund), left.issued.grant_id, startup_id=startup)
        assert (await market.state("grant", left.issued.grant_id)).startup_id == startup
        assert (await market.account(fund)).held_usd == Decimal("2.25") * 8 * 24 * 10
    published = await load_published(market.log, auction)
    assert find_violations(published.book, published.clearing) == ()
    assert repeat(published) == published.clearing.certificate
    assert (len(published.clearing.decisions), len(published.clearing.backstops)) == (1, 1)
    await check_log(market.log)


async def test_a_backstop_never_displaces_an_order_however_much_it_offers(market):
    async with market.worker():
        await open_market(market, nodes=2)
        startup = await market.party("Startup", "startup", usd=100_000)
        fund = await market.party("Fund", "fund", usd=1_000_000)
        stop = await market.order(fund, cash="9", nodes=2, days=30, latest=1, backstop=True, standing=True)
        first = await market.order(startup, cash="2.5", nodes=2, days=5, earliest=4, latest=4)
        await run(market)
        assert (await market.state("order", first)).status == "matched"
        state = await market.state("order", stop)
        assert state.status == "open"
        assert (await market.account(fund)).held_usd == state.cash_hold_usd
    ledger = await check_log(market.log)
    [cleared] = [auction.cleared for auction in ledger.states["auction"].values()]
    lost = cleared.decisions[-1]
    assert (lost.order_id, lost.reasons[0].code) == (stop, "nothing_left")
    assert cleared.decisions[0].total_usd == Decimal(2) * 2 * 8 * 24 * 5


@pytest.mark.parametrize("backstop", [True, False])
async def test_only_a_backstop_is_a_fund_s_to_place(market, backstop):
    fund = await market.party("Fund", "fund", usd=1_000_000)
    if backstop:
        order = await market.order(fund, cash="2", backstop=True)
        assert (await market.state("order", order)).placed.startup_id == fund
        return
    with pytest.raises(Refusal) as caught:
        await market.order(fund, cash="2")
    assert caught.value.code == "role_missing"


async def test_a_backstop_is_not_quoted(market):
    startup = await market.party("Startup", "startup", usd=10_000)
    async with open_desk(market) as desk:
        with pytest.raises(Refusal) as caught:
            await desk.ask(startup, cash="2", backstop=True)
    assert (caught.value.code, caught.value.pointer) == ("backstop_unquoted", "/terms/backstop")
