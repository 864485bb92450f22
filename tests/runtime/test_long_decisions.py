"""A decision that takes seconds leaves the process free to answer others."""

import asyncio
import threading
from decimal import Decimal

import pytest

from marketplace.application.billing import accounts
from marketplace.application.equity import issuers
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.financing import financing
from marketplace.domain.equity.issuer.sale import liquidity, payouts
from tests.application.equity.test_equity import build_round, found
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS


class Slow:
    """Stands before a function and lets it go on once the market has answered another command."""

    def __init__(self, function):
        self.function = function
        self.begun = threading.Event()
        self.answered = threading.Event()

    def __call__(self, *positional, **named):
        self.begun.set()
        assert self.answered.wait(PATIENCE_SECONDS), "the event loop stood still while an equity event was computed"
        return self.function(*positional, **named)


@pytest.fixture
async def market(memory_log):
    market = Market(memory_log)
    market.startup = await market.party("Startup", "startup", usd=100)
    market.issuer_id = await market.issuer(market.startup)
    await found(market, market.startup)
    return market


async def answer_meanwhile(market, slow, running):
    """Answer a command on another aggregate before a slow one is over."""
    task = asyncio.create_task(running)
    assert await asyncio.to_thread(slow.begun.wait, PATIENCE_SECONDS)
    account_id = rename_id("acc", market.startup)
    await accounts.deposit(market.handler, market.context(), account_id, amount_usd=Decimal(1), reference="x")
    assert not task.done()
    slow.answered.set()
    return await task


async def test_a_command_is_answered_while_a_round_is_priced(market, monkeypatch):
    opening = market.context(market.startup)
    terms = build_round(await market.party("Fund", "fund"))
    await issuers.open_financing(market.handler, opening, market.issuer_id, name="Series A", terms=terms)
    slow = Slow(financing.price_instruments)
    monkeypatch.setattr(financing, "price_instruments", slow)
    financing_id = derive_id("fin", opening.command_id)
    pricing = issuers.price_financing(market.handler, market.context(market.startup), market.issuer_id, financing_id)
    receipt = await answer_meanwhile(market, slow, pricing)
    assert receipt.sequence > 0
    assert (await market.state("issuer", market.issuer_id)).financings[financing_id].pricing is not None


async def test_a_command_is_answered_while_the_proceeds_of_a_sale_are_shared(market, monkeypatch):
    slow = Slow(payouts.share_proceeds)
    monkeypatch.setattr(liquidity, "share_proceeds", slow)
    declaring = issuers.declare_liquidity(
        market.handler, market.context(market.startup), market.issuer_id, proceeds_usd=Decimal(1_000_000)
    )
    receipt = await answer_meanwhile(market, slow, declaring)
    assert receipt.sequence > 0
    assert len((await market.state("issuer", market.issuer_id)).sales) == 1
