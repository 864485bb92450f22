"""Nobody's equity moves without those whose it is: proposals, votes, and what makes a proposal void."""

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec import structs

from events.account import ConsentAct
from events.financing import Approval
from events.proposal import Voter
from marketplace.application.billing import approvals
from marketplace.application.equity import consents, instruments, issuers
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder, RecordValuation
from marketplace.domain.equity.issuer.stock_commands import (
    ConvertStock,
    CreateStockClass,
    IssueStock,
    RepurchaseStock,
    SplitStock,
    TransferStock,
)
from marketplace.domain.equity.proposal import DECIDE_WITHIN
from tests.application.equity.test_equity import act, build_round, found, invest, pay_in
from tests.support.market.agreeing import act_agreed, agree_all
from tests.support.market.invariants import check_log
from tests.support.market.market import SAFE, Market, for_cash


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def propose(market, party_id, issuer_id, build, **members):
    """Send an act, and return the proposal that it became."""
    context = market.context(party_id)
    await issuers.act(market.handler, context, build(issuer_id=issuer_id, **members))
    return await consents.find_proposal(market.handler, context)


async def vote(market, party_id, proposal_id):
    await consents.agree(market.handler, market.context(party_id), proposal_id)
    return await market.state("proposal", proposal_id)


async def own(market, startup, fund, shares=1_000):
    """Let a fund hold common stock of a startup, with its agreement."""
    issuer_id = rename_id("iss", startup)
    proposal_id = await propose(
        market,
        startup,
        issuer_id,
        IssueStock,
        security_id=derive_id("sec", fund),
        holder_id=fund,
        class_id="common",
        shares=shares,
        price_usd_per_share=Decimal(1),
    )
    assert (await vote(market, fund, proposal_id)).status == "effective"


async def build(market):
    trade = await market.trade()
    await found(market, trade.startup)
    await pay_in(market, trade.fund)
    await act(market, trade.startup, AddStakeholder, holder_id=trade.fund, name="Fund", kind="investor")
    await own(market, trade.startup, trade.fund)
    return trade


def repurchase(trade, **members):
    return {
        "repurchase_id": derive_id("rep", trade.fund),
        "holder_id": trade.fund,
        "class_id": "common",
        "shares": 1_000,
        "price_usd_per_share": Decimal("0.01"),
        **members,
    }


async def count_shares(market, trade, holder_id=None):
    issuer = await market.state("issuer", trade.issuer)
    return issuer.holdings.get((holder_id or trade.fund, "common"), 0)


async def test_stock_is_bought_back_only_when_its_holder_agrees(market):
    trade = await build(market)
    free = repurchase(trade, price_usd_per_share=Decimal(0))
    proposal_id = await propose(market, trade.startup, trade.issuer, RepurchaseStock, **free)
    proposal = await market.state("proposal", proposal_id)
    asked = [consent.electorate for consent in proposal.made.consents]
    assert asked == [f"holder/{trade.fund}", "class/common"], "it invested, so that the class votes too"
    assert await count_shares(market, trade) == 1_000
    with pytest.raises(Refusal, match="does not need the agreement") as caught:
        await consents.agree(market.handler, market.context(trade.startup), proposal_id)
    assert caught.value.code == "not_asked"
    assert (await vote(market, trade.fund, proposal_id)).status == "effective"
    assert await count_shares(market, trade) == 0
    await check_log(market.log)


async def test_a_holder_proposes_what_its_company_must_agree_to(market):
    trade = await build(market)
    transfer = {
        "transfer_id": derive_id("trf", trade.fund),
        "holder_id": trade.fund,
        "holder_id_after": trade.startup,
        "class_id": "common",
        "shares": 10,
        "at": market.clock.now(),
    }
    proposal_id = await propose(market, trade.fund, trade.issuer, TransferStock, **transfer)
    proposal = await market.state("proposal", proposal_id)
    assert [consent.electorate for consent in proposal.made.consents] == ["company"]
    assert (await vote(market, trade.startup, proposal_id)).status == "effective"
    assert await count_shares(market, trade) == 990


async def test_a_holder_changes_nothing_of_the_company_by_itself(market):
    trade = await build(market)
    valuation = {"price_usd_per_share": Decimal(9), "method": "mine", "effective_on": market.clock.now().date()}
    with pytest.raises(Refusal) as caught:
        await issuers.record_valuation(
            market.handler, market.context(trade.fund), RecordValuation(issuer_id=trade.issuer, **valuation)
        )
    assert caught.value.code == "issuer_unknown"
    stakeholder = {"holder_id": derive_id("stk", trade.fund), "name": "A friend", "kind": "other"}
    with pytest.raises(Refusal) as caught:
        await propose(market, trade.fund, trade.issuer, AddStakeholder, **stakeholder)
    assert caught.value.code == "company_proposes"
    stranger = await market.party("Stranger", "fund")
    with pytest.raises(Refusal) as caught:
        await propose(market, stranger, trade.issuer, AddStakeholder, **stakeholder)
    assert caught.value.code == "issuer_unknown"
    for nobody in (rename_id("pty", trade.order), trade.issuer):
        with pytest.raises(Refusal) as caught:
            await propose(market, trade.startup, trade.issuer, AddStakeholder, **{**stakeholder, "holder_id": nobody})
        assert caught.value.code == "party_unknown"


async def test_stock_is_issued_only_with_the_votes_of_those_it_dilutes(market):
    trade = await build(market)
    other = await market.party("Other", "fund")
    await pay_in(market, other)
    await act(market, trade.startup, AddStakeholder, holder_id=other, name="Other", kind="investor")
    shares = {"class_id": "common", "shares": 500, "price_usd_per_share": Decimal(1)}
    issue = {"security_id": derive_id("sec", other), "holder_id": other, **shares}
    proposal_id = await propose(market, trade.startup, trade.issuer, IssueStock, **issue)
    made = (await market.state("proposal", proposal_id)).made
    assert {consent.electorate: consent.voters for consent in made.consents} == {
        f"holder/{other}": (Voter(party_id=other, weight=1),),
        "class/common": (Voter(party_id=trade.fund, weight=1_000),),
        "pro_rata": (Voter(party_id=trade.fund, weight=1_000_000),),
    }
    assert (await vote(market, other, proposal_id)).status == "open"
    assert (await vote(market, trade.fund, proposal_id)).status == "effective"
    third = await propose(
        market,
        trade.startup,
        trade.issuer,
        IssueStock,
        security_id=derive_id("sec", trade.fund, "third"),
        holder_id=trade.startup,
        **{**shares, "shares": 100_000},
    )
    assert (await vote(market, other, third)).status == "open"
    await consents.refuse(market.handler, market.context(trade.fund), third, reason="too cheap")
    assert (await market.state("proposal", third)).status == "refused"
    assert await count_shares(market, trade, trade.startup) == 8_000_000


async def test_a_majority_of_a_class_binds_the_rest(market):
    trade = await build(market)
    other = await market.party("Other", "fund")
    await pay_in(market, other)
    await act(market, trade.startup, AddStakeholder, holder_id=other, name="Other", kind="investor")
    issue = {
        "security_id": derive_id("sec", other),
        "holder_id": other,
        "class_id": "common",
        "shares": 500,
        "price_usd_per_share": Decimal(1),
    }
    first = await propose(market, trade.startup, trade.issuer, IssueStock, **issue)
    await vote(market, other, first)
    await vote(market, trade.fund, first)
    context = market.context(trade.startup)
    await issuers.declare_liquidity(market.handler, context, trade.issuer, proceeds_usd=Decimal(1), safe_seniority=1)
    sale = await consents.find_proposal(market.handler, context)
    await consents.refuse(market.handler, market.context(other), sale, reason="for a dollar?")
    assert (await market.state("proposal", sale)).status == "open"
    assert (await vote(market, trade.fund, sale)).status == "effective"
    assert (await market.state("issuer", trade.issuer)).liquidity_id == derive_id("liq", context.command_id)


async def test_the_company_is_not_sold_against_a_safe_holder(market):
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 50_000)
    context = market.context(trade.startup)
    await issuers.declare_liquidity(market.handler, context, trade.issuer, proceeds_usd=Decimal(1), safe_seniority=1)
    sale = await consents.find_proposal(market.handler, context)
    made = (await market.state("proposal", sale)).made
    assert [(consent.electorate, consent.voters) for consent in made.consents] == [
        (f"holder/{trade.fund}", (Voter(party_id=trade.fund, weight=1),)),
        ("instruments", (Voter(party_id=trade.fund, weight=5_000_000),)),
    ]
    clerk = structs.replace(market.context(trade.fund), actor_person="p1")
    await approvals.set_limit(market.handler, clerk, rename_id("acc", trade.fund), limit_usd=Decimal(49_000))
    await consents.agree(market.handler, structs.replace(market.context(trade.fund), actor_person="p1"), sale)
    (asked,) = (await market.account(trade.fund)).approvals.values()
    assert asked.requested.act == ConsentAct(proposal_id=sale, value_usd=Decimal(50_000)), "one person gives up 49,999"
    assert (await market.state("proposal", sale)).agreed == frozenset()
    await consents.refuse(market.handler, market.context(trade.fund), sale, reason="too little")
    assert (await market.state("issuer", trade.issuer)).liquidity_id is None


async def test_a_round_closes_with_its_investors_money_or_not_at_all(market):
    trade = await market.trade()
    await found(market, trade.startup)
    opened = market.context(trade.startup)
    terms = build_round(trade.fund)
    await issuers.open_financing(market.handler, opened, trade.issuer, name="Series A", terms=terms)
    financing = derive_id("fin", opened.command_id)
    await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
    closing = market.context(trade.startup)
    await issuers.close_financing(
        market.handler, closing, trade.issuer, financing, approval=Approval(document="minutes")
    )
    with pytest.raises(Refusal) as caught:
        await agree_all(market, closing)
    assert caught.value.code == "funds_insufficient"
    assert (await market.state("issuer", trade.issuer)).financings[financing].status == "open"


async def test_a_proposal_is_void_when_the_company_changed_since(market):
    trade = await build(market)
    proposal_id = await propose(market, trade.startup, trade.issuer, RepurchaseStock, **repurchase(trade))
    await act(
        market, trade.startup, SplitStock, split_id=derive_id("spl", trade.fund, "two"), numerator=2, denominator=1
    )
    second = await propose(
        market,
        trade.startup,
        trade.issuer,
        RepurchaseStock,
        **repurchase(trade, repurchase_id=derive_id("rep", trade.fund, "b")),
    )
    assert (await vote(market, trade.fund, second)).status == "effective"
    third = await propose(
        market,
        trade.startup,
        trade.issuer,
        RepurchaseStock,
        **repurchase(trade, repurchase_id=derive_id("rep", trade.fund, "c")),
    )
    assert (await vote(market, trade.fund, third)).status == "effective"
    proposal = await vote(market, trade.fund, proposal_id)
    assert proposal.status == "void"
    assert await count_shares(market, trade) == 0
    with pytest.raises(Refusal) as caught:
        await consents.agree(market.handler, market.context(trade.fund), proposal_id)
    assert caught.value.code == "proposal_void"


async def test_silence_is_a_refusal(market):
    trade = await build(market)
    proposal_id = await propose(market, trade.startup, trade.issuer, RepurchaseStock, **repurchase(trade))
    with pytest.raises(Refusal) as caught:
        await consents.lapse(market.handler, market.context(), proposal_id)
    assert caught.value.code == "proposal_not_due"
    async with market.worker():
        market.clock.at += DECIDE_WITHIN + timedelta(seconds=1)
        assert (await market.until("proposal", proposal_id, "lapsed")).agreed == frozenset()
    with pytest.raises(Refusal) as caught:
        await consents.agree(market.handler, market.context(trade.fund), proposal_id)
    assert caught.value.code == "proposal_lapsed"
    assert await count_shares(market, trade) == 1_000


async def test_an_agreement_is_taken_back_and_a_proposal_withdrawn_by_who_made_it(market):
    trade = await build(market)
    other = await market.party("Other", "fund")
    await pay_in(market, other)
    await act(market, trade.startup, AddStakeholder, holder_id=other, name="Other", kind="investor")
    transfer = {
        "transfer_id": derive_id("trf", other),
        "holder_id": trade.fund,
        "holder_id_after": other,
        "class_id": "common",
        "shares": 10,
        "at": market.clock.now(),
    }
    proposal_id = await propose(market, trade.startup, trade.issuer, TransferStock, **transfer)
    await vote(market, other, proposal_id)
    await consents.withdraw_consent(market.handler, market.context(other), proposal_id, reason="second thoughts")
    assert (await vote(market, trade.fund, proposal_id)).status == "open"
    with pytest.raises(Refusal) as caught:
        await consents.withdraw_proposal(market.handler, market.context(other), proposal_id, reason="no")
    assert caught.value.code == "not_proposer"
    stranger = await market.party("Stranger", "fund")
    with pytest.raises(Refusal) as caught:
        await consents.agree(market.handler, market.context(stranger), proposal_id)
    assert caught.value.code == "proposal_unknown"
    await consents.withdraw_proposal(market.handler, market.context(trade.startup), proposal_id, reason="no buyer")
    assert (await market.state("proposal", proposal_id)).status == "withdrawn"


async def test_a_consolidation_takes_no_share_for_less_than_the_latest_price(market):
    trade = await build(market)
    consolidate = {"split_id": derive_id("spl", trade.fund, "small"), "numerator": 1, "denominator": 1_000_000}
    give_up = await propose(market, trade.startup, trade.issuer, SplitStock, **consolidate, fractions="give_up")
    made = (await market.state("proposal", give_up)).made
    assert [consent.electorate for consent in made.consents] == [f"holder/{trade.fund}", "class/common"]
    assert await count_shares(market, trade) == 1_000


async def test_a_split_after_the_proposal_makes_it_void_since_its_numbers_mean_less(market):
    trade = await build(market)
    some = repurchase(trade, shares=100)
    proposal_id = await propose(market, trade.startup, trade.issuer, RepurchaseStock, **some)
    await act(market, trade.startup, SplitStock, split_id=derive_id("spl", trade.fund), numerator=10, denominator=1)
    proposal = await vote(market, trade.fund, proposal_id)
    assert (proposal.status, await count_shares(market, trade)) == ("void", 10_000)


async def test_a_shell_that_joins_meanwhile_neither_decides_nor_blocks(market):
    """Founders' stock goes to a shell only by a vote, so that the fund alone still decides about the sale."""
    trade = await build(market)
    context = market.context(trade.startup)
    await issuers.declare_liquidity(market.handler, context, trade.issuer, proceeds_usd=Decimal(9), safe_seniority=1)
    sale = await consents.find_proposal(market.handler, context)
    shell = await market.party("Shell", "fund")
    await act(market, trade.startup, AddStakeholder, holder_id=shell, name="Shell", kind="investor")
    gift = {
        "transfer_id": derive_id("trf", shell),
        "holder_id": trade.startup,
        "holder_id_after": shell,
        "class_id": "common",
        "shares": 1_000_000,
        "at": market.clock.now(),
    }
    packing = await propose(market, trade.startup, trade.issuer, TransferStock, **gift)
    asked = {consent.electorate for consent in (await market.state("proposal", packing)).made.consents}
    assert asked == {f"holder/{shell}", "class/common", "pro_rata"}
    assert (await vote(market, shell, packing)).status == "open"
    assert (await vote(market, trade.fund, sale)).status == "effective"


async def test_a_shells_cash_buys_no_stock_of_the_company_without_those_whom_it_dilutes(market):
    """A hundred dollars by a shell's mandate bought a hundred million shares, and the votes that go with them."""
    trade = await build(market)
    shell = await market.party("Shell", "fund", usd=1_000)
    context = market.context(trade.startup)
    mandate = await market.mandate(shell, **for_cash(1_000))
    terms = {"startup_id": trade.startup, "mandate_id": mandate, "amount_usd": Decimal(100), "terms": SAFE}
    receipt = await instruments.invest(market.handler, context, **terms)
    proposal_id = await consents.find_proposal(market.handler, context)
    made = (await market.state("proposal", proposal_id)).made
    assert [consent.electorate for consent in made.consents] == ["class/common"]
    assert await market.state("instrument", receipt.id) is None
    again = await instruments.invest(market.handler, context, **terms)
    assert (again.repeated, again.id) == (True, receipt.id)
    assert (await vote(market, trade.fund, proposal_id)).status == "effective"
    assert (await market.state("instrument", receipt.id)).principal_usd == 100
    await check_log(market.log)


async def test_the_same_request_twice_is_one_proposal(market):
    trade = await build(market)
    context = market.context(trade.startup)
    command = RepurchaseStock(issuer_id=trade.issuer, **repurchase(trade))
    first = await issuers.act(market.handler, context, command)
    again = await issuers.act(market.handler, context, command)
    assert (again.repeated, again.sequence) == (True, first.sequence)
    assert await consents.find_proposal(market.handler, context) is not None


async def test_senior_stock_is_made_by_vote_and_converted_by_its_holder_alone(market):
    trade = await build(market)
    preferred = {"class_id": "seed", "shares_authorised": 1_000, "price_per_share_usd": Decimal(1)}
    rank = {"kind": "preferred", "liquidation_multiple": Decimal(1), "seniority": 1}
    senior = await propose(market, trade.startup, trade.issuer, CreateStockClass, **preferred, **rank)
    made = (await market.state("proposal", senior)).made
    assert [consent.electorate for consent in made.consents] == ["class/common"]
    assert "seed" not in (await market.state("issuer", trade.issuer)).classes
    assert (await vote(market, trade.fund, senior)).status == "effective"
    issue = {"security_id": derive_id("sec", trade.fund, "seed"), "holder_id": trade.fund, "class_id": "seed"}
    await act_agreed(market, trade.startup, IssueStock, **issue, shares=100, price_usd_per_share=Decimal(1))
    convert = {"holder_id": trade.fund, "class_id": "seed", "shares": 60, "class_id_after": "common"}

    async def try_it(party_id):
        members = convert | {"conversion_id": derive_id("cnv", party_id)}
        return await propose(market, party_id, trade.issuer, ConvertStock, **members)

    made = (await market.state("proposal", await try_it(trade.startup))).made
    assert [consent.electorate for consent in made.consents] == [f"holder/{trade.fund}"]
    assert await count_shares(market, trade) == 1_000
    assert await try_it(trade.fund) is None
    assert await count_shares(market, trade) == 1_060
    await check_log(market.log)
