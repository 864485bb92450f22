"""Compute for SAFEs adds up: what is large to an investor needs a dilution limit that it agreed to."""

from decimal import Decimal

from msgspec import structs

from marketplace.application.billing import service_lines
from tests.application.equity.test_earlier_promises import SAFE, founded, refuse, set_limit
from tests.application.equity.test_holder_terms import hold
from tests.application.equity.test_note_orders import offer_equity
from tests.support.market.auditing import CountedOffers, find_faults
from tests.support.market.invariants import check_log

__all__ = ["founded"]
USUAL = structs.replace(SAFE, valuation_cap_usd=Decimal(10_000_000))


async def test_orders_that_are_small_alone_are_large_together(founded):
    """An angel paid 6 USD at a value of 80,006; a friend's fund took all of a sale by orders of a few thousand each."""
    market, trade = founded
    angel = await market.party("Angel", "fund")
    await hold(market, trade.startup, angel, 600)
    first = await offer_equity(market, trade, "safe", USUAL, days=5)
    (known,) = (await market.state("issuer", trade.issuer)).exposures[first]
    assert known.amount_usd < Decimal("8000.60") < 2 * known.amount_usd
    market.instrument = USUAL
    more = {"cash": "1", "equity": "3", "mandate_ids": (trade.mandate,), "days": 5, "latest": 1}
    refusal = await refuse("dilution_unagreed", market.order(trade.startup, **more))
    assert refusal.facts["holders"] == [angel]
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until_carried_out(trade.auction)
    assert (await market.state("order", first)).status == "matched"
    await refuse("dilution_unagreed", market.order(trade.startup, **more))
    await set_limit(market, trade)
    assert (await market.state("order", await market.order(trade.startup, **more))).status == "open"
    assert await find_faults(CountedOffers, market.log) == []
    found = await find_faults(CountedOffers, market.log, drop="issuer.dilution_limited.v1")
    assert [rule for rule, _, _ in found] == ["dilution"]
    await check_log(market.log)


async def test_hours_of_work_are_no_way_around_the_limit_of_those_to_whom_they_are_large(founded):
    """A founder's provider sold 48 GPU-hours, and then work for millions of principal, which asked nobody."""
    market, trade = founded
    angel = await market.party("Angel", "fund")
    await hold(market, trade.startup, angel, 600)
    order_id = await offer_equity(market, trade, "safe", USUAL, days=5)
    async with market.worker():
        market.clock.at = max(market.clock.at, market.day(0.5))
        await market.until_carried_out(trade.auction)
        grant_id = (await market.state("order", order_id)).grant_id
        market.clock.at = (await market.state("grant", grant_id)).issued.start
        more = {"name": "work", "price_usd_per_hour": Decimal(500), "hours": Decimal(40), "workers": 1}
        line = await service_lines.propose_service_line(
            market.handler, market.context(trade.provider), grant_id, **more
        )
        await service_lines.approve_service_line(market.handler, market.context(trade.fund), line.id)
        agree = (market.handler, market.context(trade.startup), line.id)
        refusal = await refuse("dilution_unagreed", service_lines.agree_service_line(*agree))
        assert refusal.facts["holders"] == [angel]
        await set_limit(market, trade)
        await service_lines.agree_service_line(market.handler, market.context(trade.startup), line.id)
    assert (await market.state("service_line", line.id)).status == "agreed"
    assert await find_faults(CountedOffers, market.log) == []
    found = await find_faults(CountedOffers, market.log, drop="issuer.dilution_limited.v1")
    assert "dilution" in [rule for rule, _, _ in found]
    await check_log(market.log)
