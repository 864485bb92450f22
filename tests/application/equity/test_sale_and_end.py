"""After the sale is paid nothing accrues, and what is delivered is settled before that."""

from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.application.billing import statements
from marketplace.application.equity import issuers
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.delivery.periods import list_periods
from tests.application.equity.test_equity import build_round, found, invest, pay_in
from tests.support.market.agreeing import agree_all
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
async def delivering(memory_log):
    """Return a market, a trade and its grant of forty days, of whose first period nothing is delivered yet."""
    market = Market(memory_log)
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 10_000)
    async with market.worker():
        grant = await market.award(trade)
    return market, trade, grant


async def declare(market, trade):
    context = market.context(trade.startup)
    await issuers.declare_liquidity(
        market.handler, context, trade.issuer, proceeds_usd=Decimal(1_000_000), safe_seniority=1
    )
    await agree_all(market, context)
    return derive_id("liq", context.command_id)


async def pay(market, trade, sale):
    await pay_in(market, trade.startup)
    await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, sale)


async def test_silence_after_the_sale_costs_the_holder_nothing_and_the_cash_part_is_paid(delivering):
    market, trade, grant = delivering
    await pay(market, trade, await declare(market, trade))
    await market.deliver(grant, 10)
    first = list_periods(grant)[0]
    market.clock.at = first.end + timedelta(hours=25)
    await statements.issue_statement(market.handler, market.context(), grant.issued.grant_id, 0)
    issued = await market.state("statement", first.statement_id)
    fund, provider = [(await market.account(party)) for party in (trade.fund, trade.provider)]
    market.clock.at += timedelta(days=8)
    await statements.accept_statement(market.handler, market.context(), first.statement_id, by="silence")
    assert await market.account(trade.fund) == fund
    paid = (await market.account(trade.provider)).available_usd - provider.available_usd
    assert paid == issued.charges.cash_usd > 0
    assert issued.charges.holder_usd > 0
    instrument = await market.state("instrument", rename_id("ins", grant.issued.grant_id))
    assert instrument.principal_usd == 0
    await check_log(market.log)


async def test_a_sale_is_not_paid_before_what_was_delivered_is_settled(delivering):
    market, trade, grant = delivering
    await market.deliver(grant, 10)
    sale = await declare(market, trade)
    with pytest.raises(Refusal) as caught:
        await pay(market, trade, sale)
    assert caught.value.code == "delivery_unsettled"
    assert caught.value.facts["grants"] == [grant.issued.grant_id]
    first = list_periods(grant)[0]
    market.clock.at = first.end + timedelta(hours=25)
    await statements.issue_statement(market.handler, market.context(), grant.issued.grant_id, 0)
    await statements.accept_statement(market.handler, market.context(trade.startup), first.statement_id)
    with pytest.raises(Refusal) as caught:
        await pay(market, trade, sale)
    assert caught.value.code == "liquidity_stale"
    await pay(market, trade, await declare(market, trade))
    await check_log(market.log)


async def test_a_round_that_opens_withdraws_a_declared_sale(delivering):
    market, trade, _ = delivering
    sale = await declare(market, trade)
    opened = market.context(trade.startup)
    await issuers.open_financing(market.handler, opened, trade.issuer, name="Series A", terms=build_round(trade.fund))
    with pytest.raises(Refusal) as caught:
        await pay(market, trade, sale)
    assert caught.value.code == "liquidity_withdrawn"
    with pytest.raises(Refusal) as caught:
        await declare(market, trade)
    assert caught.value.code == "financing_open"
    round_id = derive_id("fin", opened.command_id)
    await issuers.abandon_financing(
        market.handler, market.context(trade.startup), trade.issuer, round_id, reason="the buyer is back"
    )
    await pay(market, trade, await declare(market, trade))
