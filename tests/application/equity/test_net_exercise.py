"""A net exercise counts with a value of a share from a stated source, never with one that its sender sets."""

from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.application.equity import consents, issuers, warrants
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.domain.equity.issuer.commands import AddStakeholder, RecordValuation
from marketplace.domain.equity.issuer.rights_commands import IssueWarrant
from marketplace.domain.equity.issuer.stock_commands import IssueStock
from marketplace.domain.equity.proposal import WAIVED_AFTER
from tests.application.equity.test_consents import build, count_shares, propose, vote
from tests.application.equity.test_equity import act, pay_in
from tests.support.market.agreeing import agree_all
from tests.support.market.auditing import OfferedParts, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
async def warranted(memory_log):
    """Return a market, a trade whose fund holds a warrant on 1,000 shares at 10, and another stockholder."""
    market = Market(memory_log)
    trade = await build(market)
    other = await market.party("Other", "fund")
    await pay_in(market, other)
    await act(market, trade.startup, AddStakeholder, holder_id=other, name="Other", kind="investor")
    stock = {"security_id": derive_id("sec", other), "holder_id": other, "class_id": "common", "shares": 5_000}
    proposal_id = await propose(
        market, trade.startup, trade.issuer, IssueStock, **stock, price_usd_per_share=Decimal(1)
    )
    await vote(market, other, proposal_id)
    await vote(market, trade.fund, proposal_id)
    terms = IssueWarrant(
        issuer_id=trade.issuer,
        warrant_id=derive_id("wrt", trade.issuer),
        holder_id=trade.fund,
        class_id="common",
        shares=1_000,
        exercise_price_usd=Decimal(10),
        expires_at=market.clock.now() + timedelta(days=900),
        settlement="net",
    )
    context = market.context(trade.startup)
    await warrants.issue_warrant(market.handler, context, terms)
    await agree_all(market, context)
    return market, trade, other


async def value(market, party_id, issuer_id, usd):
    command = RecordValuation(
        issuer_id=issuer_id,
        price_usd_per_share=Decimal(usd),
        method="409A",
        effective_on=market.clock.now().date(),
    )
    await issuers.record_valuation(market.handler, market.context(party_id), command)


async def exercise(market, trade, sender, shares=1_000):
    """Exercise net, and return the proposal that it became."""
    context = market.context(sender)
    await warrants.exercise_warrant(
        market.handler,
        context,
        trade.issuer,
        exercise_id=derive_id("exr", context.command_id),
        warrant_id=derive_id("wrt", trade.issuer),
        shares=shares,
        net=True,
    )
    return await consents.find_proposal(market.handler, context)


async def test_the_platform_s_valuation_counts_and_not_a_later_one_of_the_company(warranted):
    market, trade, _ = warranted
    with pytest.raises(Refusal) as caught:
        await exercise(market, trade, trade.fund)
    assert caught.value.code == "fair_value_missing"
    await value(market, None, trade.issuer, 155)
    await value(market, trade.startup, trade.issuer, 1_000_000)
    assert await exercise(market, trade, trade.fund) is None
    assert await count_shares(market, trade) == 1_000 + 1_000 * 145 // 155
    issuer = (await check_log(market.log)).states["issuer"][trade.issuer]
    (exercised,) = (each for each in issuer.acts.values() if type(each).__name__ == "IssuerWarrantExercised")
    assert exercised.fair_value_usd == 155
    assert exercised.fair_value_source.endswith("by the platform")


async def test_those_who_are_diluted_vote_on_a_value_that_the_company_alone_stated(warranted):
    market, trade, other = warranted
    await value(market, trade.startup, trade.issuer, 1_000_000)
    proposal_id = await exercise(market, trade, trade.startup)
    made = (await market.state("proposal", proposal_id)).made
    assert {consent.electorate for consent in made.consents} == {
        f"holder/{trade.fund}",
        "class/common",
        "disinterested_class/common",
        "warrants",
        "pro_rata",
    }
    assert (await vote(market, trade.fund, proposal_id)).status == "open"
    await consents.refuse(market.handler, market.context(other), proposal_id, reason="at a million?")
    assert (await market.state("proposal", proposal_id)).status == "refused"
    assert await count_shares(market, trade) == 1_000


async def test_an_exercise_that_was_proposed_is_void_once_another_value_is_recorded(warranted):
    market, trade, other = warranted
    await value(market, trade.startup, trade.issuer, 20)
    proposal_id = await exercise(market, trade, trade.fund)
    await value(market, trade.startup, trade.issuer, 40)
    assert (await vote(market, other, proposal_id)).status == "void"
    assert await count_shares(market, trade) == 1_000


@pytest.mark.parametrize(
    ("refuses", "by"),
    [(True, "fund"), (True, "startup"), (False, "fund")],
    ids=["refuses", "refuses its company", "silent"],
)
async def test_an_investor_may_refuse_a_value_that_the_company_alone_stated(warranted, refuses, by):
    """A founder's majority let a vendor have 799,000 shares for nothing, at 800 times what investors had paid."""
    market, trade, other = warranted
    angel = await market.party("Angel", "fund", usd=5_000)
    await act(market, trade.startup, AddStakeholder, holder_id=angel, name="Angel", kind="investor")
    stock = {"security_id": derive_id("sec", angel), "holder_id": angel, "class_id": "common", "shares": 1_000}
    stock["price_usd_per_share"] = Decimal(2)
    proposal_id = await propose(market, trade.startup, trade.issuer, IssueStock, **stock)
    for holder_id in (angel, other, trade.fund):
        await vote(market, holder_id, proposal_id)
    await value(market, trade.startup, trade.issuer, 1_000)
    proposal_id = await exercise(market, trade, getattr(trade, by))
    assert (await vote(market, other, proposal_id)).status == "open"
    if refuses:
        await consents.refuse(market.handler, market.context(angel), proposal_id, reason="I paid two.")
        assert (await market.state("proposal", proposal_id)).status == "refused"
        refusals = (await market.state("issuer", trade.issuer)).refusals
        assert set(refusals) == ({angel} if by == "startup" else set()), "what a holder asks is not its company's act"
        assert await find_faults(OfferedParts, market.log) == []
        await value(market, None, trade.issuer, 20)
        assert await exercise(market, trade, trade.fund) is None, "at the platform's value the holder needs nobody"
        assert await count_shares(market, trade) == 1_500
    else:
        market.clock.at += WAIVED_AFTER
        assert (await vote(market, trade.fund, proposal_id)).status == "effective", "it agrees again"
        assert await find_faults(OfferedParts, market.log) == []
        early = {"proposed_at": market.clock.now().isoformat()}
        assert "pro_rata" in {kind for kind, *_ in await find_faults(OfferedParts, market.log, **early)}
    await check_log(market.log)


async def test_a_valuation_is_not_dated_ahead(warranted):
    market, trade, _ = warranted
    command = RecordValuation(
        issuer_id=trade.issuer,
        price_usd_per_share=Decimal(1),
        method="409A",
        effective_on=market.clock.now().date() + timedelta(days=1),
    )
    with pytest.raises(Refusal) as caught:
        await issuers.record_valuation(market.handler, market.context(trade.startup), command)
    assert caught.value.code == "valuation_in_future"
