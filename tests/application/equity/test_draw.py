"""What a drawdown fixes at signing, on each way by which a grant is paid in equity."""

from decimal import Decimal

from marketplace.application.trading.quotes import take_quote
from marketplace.core.ids import rename_id
from marketplace.domain.billing.draw import build_draw
from tests.application.trading.test_held_quotes import hold
from tests.application.trading.test_resale import resell
from tests.support.market.desk import open_desk
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


async def load_draw(market, grant):
    """Return what the instrument of a grant fixed, held to the grant."""
    instrument = await market.state("instrument", grant.issued.equity.instrument_id)
    draw = instrument.issued.draw
    order = await market.state("order", grant.issued.order_id)
    assert draw == build_draw(grant.issued, order.placed.quote_id)
    return draw


async def test_a_match_names_its_auction(memory_log):
    market = Market(memory_log)
    trade = await market.trade()
    async with market.worker():
        grant = await market.award(trade)
    draw = await load_draw(market, grant)
    assert (draw.source.kind, draw.source.id, draw.source.seller_grant_id) == ("auction", trade.auction, None)
    assert (draw.unit, draw.gpu_class, draw.acceptance_hours) == ("gpu_hour", "H100_SXM", 168)
    assert (draw.start, draw.end) == (grant.issued.start, grant.issued.end)
    await check_log(market.log)


async def test_a_quote_that_was_taken_is_named(memory_log):
    market = Market(memory_log)
    trade = await market.trade()
    async with open_desk(market) as desk:
        terms = {"cash": "1", "equity": "3", "mandate_ids": (trade.mandate,), "nodes": 2, "days": 10}
        quote_id = (await hold(desk, trade.startup, **terms)).id
        await take_quote(market.handler, market.context(trade.startup), quote_id)
    draw = await load_draw(market, await market.state("grant", rename_id("grt", quote_id)))
    assert (draw.source.kind, draw.source.id, draw.source.seller_grant_id) == ("quote", quote_id, None)
    await check_log(market.log)


async def test_a_resale_names_its_auction_and_the_grant_of_its_seller(memory_log):
    market = Market(memory_log)
    trade = await market.trade(days=10, nodes=4)
    async with market.worker():
        source = await market.award(trade)
        await resell(market, trade, source, mandate_ids=(trade.mandate,))
        buyer = await market.party("Buyer", "startup", usd=100_000)
        await market.issuer(buyer)
        paid = {"cash": "2", "equity": "3", "mandate_ids": (trade.mandate,)}
        order = await market.order(buyer, **paid, days=3, nodes=1, earliest=6, latest=6)
        auction = await market.auction(locks_at=2, horizon=2)
        market.clock.at = market.day(2)
        await market.until_carried_out(auction, seconds=60)
    bought = await market.state("grant", (await market.state("order", order)).grant_id)
    assert bought.issued.resale is not None
    assert Decimal(bought.issued.equity.principal_commitment_usd) > 0
    draw = await load_draw(market, bought)
    assert (draw.source.kind, draw.source.id) == ("resale", auction)
    assert draw.source.seller_grant_id == source.issued.grant_id
    assert (await load_draw(market, source)).source.id == trade.auction
    await check_log(market.log)
