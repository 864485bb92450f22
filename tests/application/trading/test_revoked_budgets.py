"""What a revoked mandate still holds for open orders goes back to the holder's account when they end."""

import pytest

from marketplace.application.trading import mandates, orders
from marketplace.log.memory import MemoryLog
from tests.support.market.market import Market

BUDGET = 1_000_000


async def cancel(market, trade):
    await market.cancel(trade.startup, trade.order)


async def expire(market, trade):
    market.clock.at = market.day(3)
    await orders.expire_order(market.handler, market.context(), trade.order)


@pytest.mark.parametrize("end", [cancel, expire])
async def test_an_order_that_ends_after_the_revoke_frees_the_holders_money(end):
    market = Market(MemoryLog())
    trade = await market.trade(days=10)
    assert (await market.account(trade.fund)).held_usd == BUDGET
    await mandates.revoke_mandate(market.handler, market.context(trade.fund), trade.mandate, reason="no more")
    await end(market, trade)
    account = await market.account(trade.fund)
    assert (account.available_usd, account.held_usd) == (BUDGET, 0)
