"""Money moves with stock, in the append that moves the stock, or neither moves."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec import structs

from events.account import ConsentAct
from marketplace.application.billing.approvals import set_limit
from marketplace.application.equity import consents, issuers, warrants
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder, RecordValuation
from marketplace.domain.equity.issuer.rights_commands import ExerciseOption, GrantOption, IssueWarrant
from marketplace.domain.equity.issuer.stock_commands import (
    ExerciseFirstRefusal,
    IssueStock,
    OfferStock,
    RepurchaseStock,
    SplitStock,
    TransferStock,
)
from tests.application.equity.test_consents import build, count_shares, propose, repurchase, vote
from tests.application.equity.test_equity import act, pay_in
from tests.application.equity.test_holder_terms import hold
from tests.support.market.agreeing import agree_all
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def measure(market, trade):
    """Return the available dollars of the startup and the fund."""
    return [(await market.account(party)).available_usd for party in (trade.startup, trade.fund)]


async def agree_on(market, trade, build_command, **members):
    """Let the company propose, and the fund agree."""
    proposal_id = await propose(market, trade.startup, trade.issuer, build_command, **members)
    assert (await vote(market, trade.fund, proposal_id)).status == "effective"


async def test_a_repurchase_pays_its_holder_or_takes_no_share(market):
    trade = await build(market)
    startup, fund = await measure(market, trade)
    price = Decimal("0.123456")
    await agree_on(market, trade, RepurchaseStock, **repurchase(trade, shares=999, price_usd_per_share=price))
    assert await measure(market, trade) == [startup - Decimal("123.34"), fund + Decimal("123.34")]
    dear = repurchase(
        trade, repurchase_id=derive_id("rep", trade.fund, "dear"), shares=1, price_usd_per_share=Decimal(10**7)
    )
    with pytest.raises(Refusal) as caught:
        await propose(market, trade.startup, trade.issuer, RepurchaseStock, **dear)
    assert caught.value.code == "funds_insufficient"
    assert await count_shares(market, trade) == 1
    await check_log(market.log)


async def test_an_agreement_that_the_payer_cannot_keep_changes_nothing_and_shows_no_balance(market):
    trade = await build(market)
    startup, _ = await measure(market, trade)
    price = startup // 1_000
    first = await propose(
        market, trade.startup, trade.issuer, RepurchaseStock, **repurchase(trade, price_usd_per_share=price)
    )
    again = repurchase(trade, repurchase_id=derive_id("rep", trade.fund, "half"), shares=500, price_usd_per_share=price)
    await agree_on(market, trade, RepurchaseStock, **again)
    more = {
        "security_id": derive_id("sec", trade.fund, "more"),
        "holder_id": trade.fund,
        "class_id": "common",
        "shares": 500,
    }
    await agree_on(market, trade, IssueStock, **more, price_usd_per_share=Decimal(0))
    with pytest.raises(Refusal) as caught:
        await vote(market, trade.fund, first)
    assert caught.value.code == "funds_insufficient"
    assert "available_usd" not in caught.value.facts
    assert (await market.state("proposal", first)).status == "open"
    await pay_in(market, trade.startup)
    assert (await vote(market, trade.fund, first)).status == "effective"
    assert await count_shares(market, trade) == 0


async def test_a_proposal_at_any_price_tells_nobody_what_another_can_pay(market):
    """By the prices that were refused, a company read what a fund had, and a holder what the company had."""
    trade = await build(market)
    issue = {
        "security_id": derive_id("sec", trade.fund, "dear"),
        "holder_id": trade.fund,
        "class_id": "common",
        "shares": 1,
    }
    dear = {"price_usd_per_share": Decimal(10**8)}
    issued = await propose(market, trade.startup, trade.issuer, IssueStock, **issue, **dear)
    bought = await propose(market, trade.fund, trade.issuer, RepurchaseStock, **repurchase(trade, **dear))
    for voter, proposal_id in ((trade.fund, issued), (trade.startup, bought)):
        with pytest.raises(Refusal) as caught:
            await vote(market, voter, proposal_id)
        assert caught.value.code == "funds_insufficient", "the payer is told, once it agrees"
        assert (await market.state("proposal", proposal_id)).status == "open"
    kept = await propose(
        market, trade.fund, trade.issuer, RepurchaseStock, **repurchase(trade, price_usd_per_share=Decimal(1))
    )
    await market.keep(trade.startup, (await market.account(trade.startup)).available_usd)
    with pytest.raises(Refusal) as caught:
        await vote(market, trade.startup, kept)
    assert caught.value.code == "funds_reserved"
    assert (await market.state("proposal", kept)).status == "open", "what is kept for others voids nothing"


async def test_a_priced_issue_is_paid_for(market):
    trade = await build(market)
    startup, fund = await measure(market, trade)
    issue = {"security_id": derive_id("sec", trade.fund, "two"), "holder_id": trade.fund, "class_id": "common"}
    await agree_on(market, trade, IssueStock, **issue, shares=30, price_usd_per_share=Decimal("1.50"))
    assert await measure(market, trade) == [startup + 45, fund - 45]
    assert await count_shares(market, trade) == 1_030


async def test_a_consolidation_pays_cash_in_lieu(market):
    trade = await build(market)
    startup, fund = await measure(market, trade)
    split = {"split_id": derive_id("spl", trade.fund, "lieu"), "numerator": 1, "denominator": 300}
    await agree_on(market, trade, SplitStock, **split, fractions="cash_in_lieu", cash_usd_per_share=Decimal("0.70"))
    assert await count_shares(market, trade) == 3
    assert await measure(market, trade) == [startup - 70, fund + 70]


async def test_who_pays_several_holders_in_lieu_is_told_what_each_still_lacks(market):
    """The refusal named the gap of the second one, beside the money that the first one would have taken."""
    trade = await build(market)
    bank = await market.party("Bank", "fund")
    await hold(market, trade.startup, bank, 200)
    startup, _ = await measure(market, trade)
    split = {"split_id": derive_id("spl", trade.fund, "lieu"), "numerator": 1, "denominator": 300}
    price = {"fractions": "cash_in_lieu", "cash_usd_per_share": startup / 200}
    with pytest.raises(Refusal) as caught:
        await propose(market, trade.startup, trade.issuer, SplitStock, **split, **price)
    assert caught.value.code == "funds_insufficient"
    facts, needed = caught.value.facts, {trade.fund: startup / 2, bank: startup}
    assert Decimal(facts["needed_usd"]) == sum(needed.values())
    assert Decimal(facts["missing_usd"]) == startup / 2
    first, second = sorted(needed)
    gap = startup - needed[first]
    assert [each.partition(": ")[0] for each in facts["missing_by_payee_usd"]] == [second]
    assert Decimal(facts["missing_by_payee_usd"][0].partition(": ")[2]) == needed[second] - gap
    assert str(needed[second] - gap) in caught.value.message


async def test_an_exercise_for_cash_pays_the_company(market):
    trade = await build(market)
    warrant = IssueWarrant(
        issuer_id=trade.issuer,
        warrant_id=derive_id("wrt", trade.issuer),
        holder_id=trade.fund,
        class_id="common",
        shares=1_000,
        exercise_price_usd=Decimal("0.123"),
        expires_at=market.clock.now() + timedelta(days=900),
        settlement="either",
    )
    context = market.context(trade.startup)
    await warrants.issue_warrant(market.handler, context, warrant)
    await agree_all(market, context)
    option = {"option_id": derive_id("opt", trade.fund), "holder_id": trade.fund, "shares": 100}
    await agree_on(market, trade, GrantOption, **option, exercise_price_usd=Decimal(2))
    startup, fund = await measure(market, trade)
    await warrants.exercise_warrant(
        market.handler,
        market.context(trade.fund),
        trade.issuer,
        exercise_id=derive_id("exr", warrant.warrant_id),
        warrant_id=warrant.warrant_id,
        shares=101,
        net=False,
    )
    assert await measure(market, trade) == [startup + Decimal("12.43"), fund - Decimal("12.43")]
    exercise = {"exercise_id": derive_id("exr", trade.fund), "option_id": option["option_id"], "class_id": "common"}
    await agree_on(market, trade, ExerciseOption, **exercise, shares=50, at=market.clock.now())
    assert await measure(market, trade) == [startup + Decimal("112.43"), fund - Decimal("112.43")]


async def test_offered_stock_is_paid_for_by_who_takes_it(market):
    trade = await build(market)
    other = await market.party("Other", "fund")
    await pay_in(market, other, 100)
    await act(market, trade.startup, AddStakeholder, holder_id=other, name="Other", kind="investor")
    offer = {
        "transfer_id": derive_id("trf", trade.fund),
        "holder_id": trade.fund,
        "holder_id_after": trade.startup,
        "class_id": "common",
        "shares": 10,
        "price_usd_per_share": Decimal(7),
        "decide_until": market.clock.now() + timedelta(days=30),
        "at": market.clock.now(),
    }
    await propose(market, trade.fund, trade.issuer, OfferStock, **offer)
    _, fund = await measure(market, trade)
    taken = {"transfer_id": offer["transfer_id"], "holder_id": other, "at": market.clock.now()}
    proposal_id = await propose(market, trade.startup, trade.issuer, ExerciseFirstRefusal, **taken)
    assert (await vote(market, other, proposal_id)).status == "open", "its class has no right of first refusal"
    assert (await vote(market, trade.fund, proposal_id)).status == "effective"
    assert (await measure(market, trade))[1] == fund + 70
    assert (await market.account(other)).available_usd == 30


async def test_one_person_buys_no_stock_above_the_limit_of_its_account(market):
    trade = await build(market)
    account_id = rename_id("acc", trade.fund)
    person = structs.replace(market.context(trade.fund), actor_person="p1")
    await set_limit(market.handler, person, account_id, limit_usd=Decimal(1_100))
    asked = []
    for number, price in ((1, "1.5"), (2, "0.06"), (3, "0.06")):
        stock = {"security_id": derive_id("sec", trade.fund, str(number)), "price_usd_per_share": Decimal(price)}
        buying = {"holder_id": trade.fund, "class_id": "common", "shares": 1_000, **stock}
        asked.append(await propose(market, trade.startup, trade.issuer, IssueStock, **buying))
    await vote(market, trade.fund, asked[1])
    before = await market.account(trade.fund)
    for proposal_id in (asked[0], asked[2]):
        person = structs.replace(market.context(trade.fund), actor_person="p1")
        await consents.agree(market.handler, person, proposal_id)
        assert (await market.state("proposal", proposal_id)).agreed == frozenset()
    after = await market.account(trade.fund)
    assert (after.available_usd, after.used) == (before.available_usd, before.used)
    acts = [each.requested.act for each in after.approvals.values()]
    values = {asked[0]: Decimal(1_500), asked[2]: Decimal(1_060)}  # it votes with what it has, too
    assert {each.proposal_id: each.value_usd for each in acts} == values
    assert {type(each) for each in acts} == {ConsentAct}


async def limit(market, party_id, usd, person="p1"):
    context = structs.replace(market.context(party_id), actor_person=person)
    await set_limit(market.handler, context, rename_id("acc", party_id), limit_usd=Decimal(usd))


async def value(market, trade, usd):
    """Let the platform record what a share is worth."""
    command = RecordValuation(
        issuer_id=trade.issuer,
        price_usd_per_share=Decimal(usd),
        method="audit",
        effective_on=market.clock.now().date(),
        recorded_by="platform",
    )
    await issuers.record_valuation(market.handler, market.context(), command)


def give(trade, shares, number=1):
    return {
        "transfer_id": derive_id("trf", trade.fund, f"{shares} {number}"),
        "holder_id": trade.fund,
        "holder_id_after": trade.startup,
        "class_id": "common",
        "shares": shares,
        "at": datetime(2026, 1, 1, tzinfo=UTC),
    }


def offer(market, trade, price):
    until = market.clock.now() + timedelta(days=30)
    price = {"price_usd_per_share": Decimal(price)}
    return {**give(trade, 100), **price, "decide_until": until, "at": market.clock.now()}


async def refuse_alone(market, sender, trade, build_command, members):
    with pytest.raises(Refusal) as caught:
        await propose(market, sender, trade.issuer, build_command, **members)
    assert caught.value.code == "limit_exceeded"


async def test_one_person_gives_away_no_stock_above_the_limit_of_its_party(market):
    trade = await build(market)
    given = await propose(market, trade.startup, trade.issuer, TransferStock, **give(trade, 1_000))
    await limit(market, trade.fund, 1_000)
    person = structs.replace(market.context(trade.fund), actor_person="p1")
    await consents.agree(market.handler, person, given)
    (asked,) = (await market.account(trade.fund)).approvals.values()
    assert asked.requested.act == ConsentAct(proposal_id=given, value_usd=None), "no price of a share is known"
    assert (await market.state("proposal", given)).agreed == frozenset()
    await refuse_alone(market, trade.fund, trade, TransferStock, give(trade, 1))
    today = {"method": "mine", "effective_on": market.clock.now().date()}
    own = RecordValuation(issuer_id=trade.issuer, price_usd_per_share=Decimal("0.0001"), **today)
    await issuers.record_valuation(market.handler, market.context(trade.startup), own)
    await refuse_alone(market, trade.fund, trade, TransferStock, give(trade, 1))  # the company alone stated one
    await value(market, trade, "10")
    for build_command, members in (
        (TransferStock, give(trade, 101)),
        (OfferStock, {**offer(market, trade, "0"), "shares": 101}),
        (RepurchaseStock, repurchase(trade, shares=112, price_usd_per_share=Decimal(1))),
    ):
        await refuse_alone(market, trade.fund, trade, build_command, members)
    await propose(market, trade.fund, trade.issuer, OfferStock, **offer(market, trade, "10"))
    await propose(market, trade.fund, trade.issuer, TransferStock, **give(trade, 60))
    await refuse_alone(market, trade.fund, trade, TransferStock, give(trade, 60, 2))
    market.clock.at += timedelta(hours=25)
    await propose(market, trade.fund, trade.issuer, TransferStock, **give(trade, 60, 2))
    assert await count_shares(market, trade) == 1_000
    await check_log(market.log)


async def test_without_a_limit_one_person_gives_stock_away_with_the_agreement_of_the_others(market):
    trade = await build(market)
    proposal_id = await propose(market, trade.fund, trade.issuer, TransferStock, **give(trade, 1_000))
    assert (await vote(market, trade.startup, proposal_id)).status == "effective"
    assert await count_shares(market, trade) == 0
