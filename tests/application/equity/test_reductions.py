"""What a provider corrects after principal became shares takes nothing from its holder without its agreement."""

from datetime import timedelta
from decimal import Decimal

import pytest

from events.financing import Approval
from marketplace.application.billing.adjustments import adjust_statement
from marketplace.application.equity import consents, issuers
from marketplace.application.metering import usage
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.delivery.periods import list_periods
from tests.application.equity.test_equity import build_round, deliver_all, pay_in
from tests.support.market.agreeing import agree_all
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


async def close_series_a(market, trade):
    opened = market.context(trade.startup)
    await issuers.open_financing(market.handler, opened, trade.issuer, name="Series A", terms=build_round(trade.fund))
    financing = derive_id("fin", opened.command_id)
    await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
    await pay_in(market, trade.fund)
    closing = market.context(trade.startup)
    paper = Approval(document="consent 7")
    await issuers.close_financing(market.handler, closing, trade.issuer, financing, approval=paper)
    await agree_all(market, closing)


async def sell(market, trade):
    context = market.context(trade.startup)
    await issuers.declare_liquidity(
        market.handler, context, trade.issuer, proceeds_usd=Decimal(1_000_000), safe_seniority=1
    )
    await agree_all(market, context)
    await pay_in(market, trade.startup)
    sale = derive_id("liq", context.command_id)
    await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, sale)


async def correct(market, trade, grant):
    """Void a day of a settled period as its provider, and return the id of the proposal that the credit makes."""
    await usage.void_usage(
        market.handler,
        market.context(trade.provider),
        grant.issued.grant_id,
        source="dcgm",
        reading_id="day-4",
        reason="another grant's",
    )
    await adjust_statement(market.handler, market.context(), grant.issued.grant_id, 0)
    credit = name_adjustment(list_periods(grant)[0].statement_id, 0)
    assert (await market.state("statement", credit)).sign == -1
    return derive_id("prp", credit)


async def look(market, trade, grant):
    """Return the fund's shares, and the principal and the debt of the grant's instrument."""
    issuer = await market.state("issuer", trade.issuer)
    instrument = await market.state("instrument", rename_id("ins", grant.issued.grant_id))
    shares = sum(held for (holder, _), held in issuer.holdings.items() if holder == trade.fund)
    return shares, instrument.principal_usd, instrument.debt_usd


@pytest.fixture
async def delivered(memory_log):
    market = Market(memory_log)
    trade, grant = await deliver_all(market)
    return market, trade, grant


async def test_shares_go_only_when_their_holder_agrees(delivered):
    market, trade, grant = delivered
    await close_series_a(market, trade)
    before = await look(market, trade, grant)
    proposal_id = await correct(market, trade, grant)
    assert await look(market, trade, grant) == before
    made = (await market.state("proposal", proposal_id)).made
    assert [consent.electorate for consent in made.consents] == [f"holder/{trade.fund}"]
    assert made.proposer_id == trade.startup
    await consents.agree(market.handler, market.context(trade.fund), proposal_id)
    assert (await market.state("proposal", proposal_id)).status == "effective"
    shares, principal, debt = await look(market, trade, grant)
    assert (shares < before[0], principal < before[1], debt) == (True, True, 0)
    await check_log(market.log)


async def test_a_holder_that_is_silent_keeps_its_shares(delivered):
    market, trade, grant = delivered
    await close_series_a(market, trade)
    before = await look(market, trade, grant)
    proposal_id = await correct(market, trade, grant)
    market.clock.at += consents.DECIDE_WITHIN + timedelta(seconds=1)
    await consents.lapse(market.handler, market.context(), proposal_id)
    assert await look(market, trade, grant) == before


async def test_a_sale_ends_reductions(delivered):
    market, trade, grant = delivered
    await sell(market, trade)
    before = await look(market, trade, grant)
    proposal_id = await correct(market, trade, grant)
    assert await market.state("proposal", proposal_id) is None
    assert await look(market, trade, grant) == before
    assert before[2] == 0
    await check_log(market.log)


async def test_a_reduction_that_was_proposed_before_a_sale_is_void_after_it(delivered):
    market, trade, grant = delivered
    await close_series_a(market, trade)
    proposal_id = await correct(market, trade, grant)
    await sell(market, trade)
    before = await look(market, trade, grant)
    await consents.agree(market.handler, market.context(trade.fund), proposal_id)
    assert (await market.state("proposal", proposal_id)).status == "void"
    assert await look(market, trade, grant) == before
