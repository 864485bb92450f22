"""An auction whose engine fails every time decides nothing, and lets its orders go with everything they held."""

from decimal import Decimal

import pytest

from marketplace.core.errors import MarketplaceError, Refusal
from marketplace.core.ids import rename_id
from marketplace.log.memory import MemoryLog
from marketplace.runtime import worker
from marketplace.runtime.auctions import clearing
from tests.support.market.market import Market


@pytest.mark.parametrize("fault", [MarketplaceError("the solver stopped early"), AssertionError("4 nodes have no lot")])
async def test_orders_of_an_auction_that_fails_for_good_are_freed(monkeypatch, fault):
    def fail(opened, locked):
        raise fault

    monkeypatch.setattr(clearing, "clear_book", fail)
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.005)
    market = Market(MemoryLog())
    provider = await market.party("Provider", "provider")
    startup = await market.party("Startup", "startup", usd=100_000)
    _, pool = await market.pool(provider)
    await market.lot(provider, pool)
    order = await market.order(startup)
    standing = await market.order(startup, standing=True)
    auction = await market.auction()
    async with market.worker():
        market.clock.at = market.day(0.5)
        completed = await market.until_carried_out(auction)
    assert completed.attempts == 3
    assert (await market.state("order", order)).status == "unmatched"
    assert (await market.state("order", standing)).status == "open"
    account = await market.state("account", rename_id("acc", startup))
    assert account.held_usd == Decimal(3 * 2 * 8 * 48)


async def test_an_offer_whose_value_no_price_could_state_is_refused():
    market = Market(MemoryLog())
    fund = await market.party("Fund", "fund", usd=1_000_000)
    startup = await market.party("Startup", "startup", usd=100_000)
    mandate = await market.mandate(fund, credit="0.333")
    await market.issuer(startup)
    with pytest.raises(Refusal) as refused:
        await market.order(startup, cash="1", equity="1.23456", mandate_ids=(mandate,))
    assert refused.value.code == "value_too_precise"
    assert refused.value.pointer == "/terms/offers/0"
