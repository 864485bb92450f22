"""What a provider corrects after principal became shares takes nothing from its holder without its agreement."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from events.financing import Approval
from marketplace.application.billing import accounts, adjustments
from marketplace.application.billing.adjustments import adjust_statement
from marketplace.application.equity import consents, issuers
from marketplace.application.equity.clawbacks import reverse_principal
from marketplace.application.metering import usage
from marketplace.auditor.reductions import Reductions
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.instrument.clawback import REDUCE_WITHIN
from marketplace.domain.equity.proposal import DECIDE_WITHIN
from tests.application.equity.test_equity import build_round, deliver_all, found, pay_in
from tests.support.market.agreeing import agree_all
from tests.support.market.auditing import CapTableConsents, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import SAFE, Market


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
    before, fund = await look(market, trade, grant), await market.account(trade.fund)
    proposal_id = await correct(market, trade, grant)
    assert (await look(market, trade, grant), await market.account(trade.fund)) == (before, fund)
    made = (await market.state("proposal", proposal_id)).made
    assert [consent.electorate for consent in made.consents] == [f"holder/{trade.fund}"]
    assert made.proposer_id == trade.startup
    refund, _ = (provider := await market.account(trade.provider)).reserves[proposal_id]
    free = provider.count_free(market.clock.now())
    account_id = rename_id("acc", trade.provider)
    withdraw = {"amount_usd": free + refund, "reference": "out"}
    with pytest.raises(Refusal, match="covers"):
        await accounts.withdraw(market.handler, market.context(trade.provider), account_id, **withdraw)
    await consents.agree(market.handler, market.context(trade.fund), proposal_id)
    assert (await market.state("proposal", proposal_id)).status == "effective"
    shares, principal, debt = await look(market, trade, grant)
    assert (shares < before[0], principal < before[1], debt) == (True, True, 0)
    credit = await market.state("statement", name_adjustment(list_periods(grant)[0].statement_id, 0))
    assert (await market.account(trade.fund)).available_usd - fund.available_usd == credit.net.holder_usd == refund > 0
    provider = await market.account(trade.provider)
    assert provider.count_free(market.clock.now()) == free, "counted once"
    assert proposal_id not in provider.reserves
    await check_log(market.log)
    assert await find_faults(CapTableConsents, market.log) == []
    for fault, said in FAULTS:
        texts = [text for _, _, text in await find_faults(Reductions, market.log, **fault)]
        assert (texts == []) if said is None else any(said in text for text in texts), (fault, texts)


FAULTS = (
    ({}, None),
    ({"drop": "proposal.carried_out.v1"}, "reverses it alone"),
    ({"consents": []}, "was not asked"),
    ({"interest_from": "2020-01-01"}, "became something else, and accrued on 2020"),
    ({"drop": "statement.credited.v1"}, "more than it credits"),
    ({"became": "outstanding"}, "became shares, not outstanding"),
    ({"debt_exact": "999999/1"}, "USD are taken for"),
    ({"amount_exact": "1/1"}, "USD are taken for"),
    ({"drop": "issuer.stock_repurchased.v1"}, "were to be returned"),
)
"""What is wrong in a log, and what the auditor says."""


async def test_the_auditor_finds_a_market_that_asks_no_holder(delivered, monkeypatch):
    """Market code without the rule: a credit takes what became shares, and what was settled long ago."""
    market, trade, grant = delivered
    await close_series_a(market, trade)
    monkeypatch.setattr(adjustments, "needs_holder", lambda *_, **__: False)
    await correct(market, trade, grant)
    texts = [text for _, _, text in await find_faults(Reductions, market.log)]
    assert len(texts) == 1
    assert "became, which did not agree" in texts[0]


@pytest.mark.parametrize("is_sold", [True, False])
async def test_the_auditor_finds_money_back_for_what_its_holder_keeps(delivered, monkeypatch, is_sold):
    market, trade, grant = delivered
    await (sell if is_sold else close_series_a)(market, trade)
    market.clock.at += REDUCE_WITHIN + timedelta(days=1)
    monkeypatch.setattr(adjustments, "_price_principal", lambda *_: Decimal(0))
    await correct(market, trade, grant)
    texts = [text for _, _, text in await find_faults(Reductions, market.log)]
    assert len(texts) == 1
    assert "which keeps" in texts[0]


async def test_a_holder_that_is_silent_keeps_its_shares(delivered):
    market, trade, grant = delivered
    await close_series_a(market, trade)
    before, fund = await look(market, trade, grant), await market.account(trade.fund)
    proposal_id = await correct(market, trade, grant)
    market.clock.at += DECIDE_WITHIN + timedelta(seconds=1)
    await consents.lapse(market.handler, market.context(), proposal_id)
    assert (await look(market, trade, grant), await market.account(trade.fund)) == (before, fund), (
        "and has paid for them"
    )
    assert proposal_id not in (await market.account(trade.provider)).reserves


async def test_a_sale_ends_reductions(delivered):
    market, trade, grant = delivered
    await sell(market, trade)
    before, fund = await look(market, trade, grant), await market.account(trade.fund)
    proposal_id = await correct(market, trade, grant)
    assert await market.state("proposal", proposal_id) is None
    assert await look(market, trade, grant) == before
    assert before[2] == 0
    assert await market.account(trade.fund) == fund, "the sale paid its principal, so that nothing is paid back for it"
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


async def test_the_platform_reverses_nothing_once_a_sale_is_paid(delivered):
    market, trade, grant = delivered
    await sell(market, trade)
    before = await look(market, trade, grant)
    with pytest.raises(Refusal) as caught:
        await reverse(market, grant)
    assert caught.value.code == "issuer_ended"
    assert await look(market, trade, grant) == before


async def reverse(market, grant, amount_usd="10"):
    instrument_id = rename_id("ins", grant.issued.grant_id)
    tranche = (await market.state("instrument", instrument_id)).tranches[0]
    await reverse_principal(
        market.handler,
        market.context(),
        instrument_id,
        tranche_id=tranche.tranche_id,
        principal_usd=Decimal(amount_usd),
        reason="an audit",
        reduction="debt",
    )


async def test_what_became_shares_is_not_reduced_after_half_a_year(delivered):
    market, trade, grant = delivered
    await close_series_a(market, trade)
    before, fund = await look(market, trade, grant), await market.account(trade.fund)
    startup = (await market.account(trade.startup)).available_usd
    market.clock.at += REDUCE_WITHIN + timedelta(days=1)
    proposal_id = await correct(market, trade, grant)
    assert await market.state("proposal", proposal_id) is None
    assert await market.account(trade.fund) == fund, "who keeps its shares is paid nothing back for them"
    credit = await market.state("statement", name_adjustment(list_periods(grant)[0].statement_id, 0))
    assert (await market.account(trade.startup)).available_usd - startup == credit.net.cash_usd > 0
    assert await find_faults(Reductions, market.log) == []
    with pytest.raises(Refusal) as caught:
        await reverse(market, grant)
    assert caught.value.code == "reduction_late"
    assert await look(market, trade, grant) == before
    await check_log(market.log)


@pytest.mark.parametrize(("days", "asks"), [(0, False), (31, True), (REDUCE_WITHIN.days + 1, True)])
async def test_outstanding_principal_that_is_settled_for_long_is_reduced_as_its_holder_agrees(delivered, days, asks):
    """A provider took a fund's principal back at what it had cost, before a round in which it was worth much more."""
    market, trade, grant = delivered
    before = await look(market, trade, grant)
    market.clock.at += timedelta(days=days)
    proposal_id = await correct(market, trade, grant)
    assert (await look(market, trade, grant) == before) == asks
    if asks:
        await consents.agree(market.handler, market.context(trade.fund), proposal_id)
    assert (await look(market, trade, grant))[1] < before[1]
    await check_log(market.log)


async def test_a_holder_that_accepts_statements_itself_is_asked_before_its_principal_is_reduced(memory_log):
    """A provider took a fund's principal back at what it had cost, the day before its startup opened a rich round."""
    market = Market(memory_log)
    trade, grant = await deliver_all(market, startup_accepts_alone=False)
    before, fund = await look(market, trade, grant), await market.account(trade.fund)
    proposal_id = await correct(market, trade, grant)
    assert (await look(market, trade, grant), await market.account(trade.fund)) == (before, fund)
    await check_log(market.log)
    await consents.agree(market.handler, market.context(trade.fund), proposal_id)
    assert (await look(market, trade, grant))[1] < before[1]
    credit = await market.state("statement", name_adjustment(list_periods(grant)[0].statement_id, 0))
    assert (await market.account(trade.fund)).available_usd - fund.available_usd == credit.net.holder_usd > 0
    await check_log(market.log)


async def test_an_instrument_that_says_so_leaves_the_shares_and_lets_their_price_be_owed(memory_log):
    market = Market(memory_log)
    market.instrument = msgspec.structs.replace(SAFE, reduction="debt")
    trade, grant = await deliver_all(market)
    await close_series_a(market, trade)
    before = await look(market, trade, grant)
    proposal_id = await correct(market, trade, grant)
    await consents.agree(market.handler, market.context(trade.fund), proposal_id)
    shares, principal, debt = await look(market, trade, grant)
    assert (shares, principal < before[1], debt > 0) == (before[0], True, True)
    await check_log(market.log)


async def test_a_credit_takes_the_youngest_principal_first_and_pays_its_holder_back_for_it(memory_log):
    """The auditor took what could no longer be reversed for what the credit left."""
    market = Market(memory_log)
    trade = await market.trade()
    await found(market, trade.startup)
    await market.lot(trade.provider, trade.pool, start=100, end=400, mandate_ids=(trade.mandate,))
    order = await market.order(
        trade.startup, cash="1", equity="3", mandate_ids=(trade.mandate,), nodes=1, days=240, earliest=100, latest=101
    )
    trade.order, trade.auction = order, await market.auction(locks_at=0.6, horizon=100, periods=300)
    async with market.worker():
        market.clock.at = market.day(0.6)
        grant = await market.award(trade)
        statement_id = list_periods(grant)[0].statement_id
        late, credit = (name_adjustment(statement_id, index) for index in range(2))
        await market.deliver(grant, 10)
        market.clock.at = list_periods(grant)[0].end + timedelta(hours=25)
        market.clock.at = (await market.until("statement", statement_id, "issued")).issued.accept_until
        await market.until("statement", statement_id, "accepted")
        await close_series_a(market, trade)
        market.clock.at += REDUCE_WITHIN
        await market.deliver(grant, 1, first=12)
        market.clock.at = (await market.until("statement", late, "issued", seconds=60)).issued.accept_until
        await market.until("statement", late, "accepted", seconds=60)
        before = await market.account(trade.fund)
        void = {"source": "dcgm", "reading_id": "day-12", "reason": "another grant's"}
        await usage.void_usage(market.handler, market.context(trade.provider), grant.issued.grant_id, **void)
        credited = await market.until("statement", credit, "accepted", seconds=60)
        after = await market.account(trade.fund)
    assert after.available_usd + after.held_usd - before.available_usd - before.held_usd == credited.net.holder_usd > 0
    assert await find_faults(Reductions, market.log) == []
