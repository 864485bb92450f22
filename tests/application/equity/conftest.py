"""Holders that several modules of this room begin with."""

import pytest

from tests.application.equity.test_equity import found
from tests.application.equity.test_holder_terms import hold


@pytest.fixture
async def held(market):
    """Return a trade whose startup has common stock with a fund (1,000), a bank (600) and an angel (400)."""
    trade = await market.trade()
    await found(market, trade.startup)
    bank, angel = await market.party("Bank", "fund"), await market.party("Angel", "fund")
    for holder_id, shares in ((trade.fund, 1_000), (bank, 600), (angel, 400)):
        await hold(market, trade.startup, holder_id, shares)
    return trade, bank, angel
