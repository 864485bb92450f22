"""Affiliates of a warrant's holder: the register says who they are when a warrant changes hands or is attested."""

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
import pytest_asyncio

from events.vesting import AttestedMilestone, WarrantTranche
from marketplace.application.access.relations import declare_relation, end_relation
from marketplace.application.equity import consents, issuers, warrants
from marketplace.auditor.relations import Relations
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.rights_commands import ExerciseOption, GrantOption, IssueWarrant, TransferOption
from marketplace.domain.equity.issuer.stock_commands import AdjustStockPlan, CreateStockClass, IssueStock
from tests.application.equity.test_holder_terms import PAPER
from tests.support.market.agreeing import act_agreed, agree_all
from tests.support.market.auditing import CountedVotes, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest_asyncio.fixture
async def deal(memory_log):
    """Return a company whose warrant a fund holds, and which names one affiliate of the fund."""
    market = Market(memory_log)
    company, fund, named, later, engineer = [
        await market.party(name, "startup" if name == "Company" else "fund")
        for name in ("Company", "Fund", "Named", "Later", "Engineer")
    ]
    deal = SimpleNamespace(market=market, company=company, fund=fund, named=named, later=later, engineer=engineer)
    deal.issuer, deal.warrant = await market.issuer(company), rename_id("wrt", company)
    await act_agreed(market, company, CreateStockClass, class_id="common", kind="common", shares_authorised=1_000)
    for party_id in (fund, named, later):
        stakeholder = {"holder_id": party_id, "name": "Holder", "kind": "investor"}
        await act_agreed(market, company, AddStakeholder, **stakeholder)
    works = AttestedMilestone(name="works", description="it trains", attester_id=engineer)
    issue = IssueWarrant(
        issuer_id=deal.issuer,
        warrant_id=deal.warrant,
        holder_id=fund,
        class_id="common",
        shares=100,
        exercise_price_usd=Decimal(1),
        expires_at=market.clock.now() + timedelta(days=900),
        settlement="cash",
        tranches=(WarrantTranche(shares=100, conditions=((works,),)),),
        transfer="affiliates",
        affiliate_ids=(named,),
    )
    context = market.context(company)
    await warrants.issue_warrant(market.handler, context, issue)
    await agree_all(market, context)
    return deal


async def relate(deal, *, found=False, one=None, two=None):
    told = {"kind": "affiliate", "reason": "the same owner"}
    one, two = one or deal.fund, two or deal.later
    for party_id, other in [(one, two)] if found else [(one, two), (two, one)]:
        context = deal.market.context(None if found else party_id)
        receipt = await declare_relation(deal.market.handler, context, party_id, related_id=other, **told)
    return receipt.id


async def end(deal, relation_id):
    context = deal.market.context()
    await end_relation(deal.market.handler, context, deal.fund, relation_id, reason="it was sold")


async def propose(deal, to, sender=None):
    context = deal.market.context(sender or deal.fund)
    sides = {"holder_id": sender or deal.fund, "holder_id_after": to}
    await warrants.transfer_warrant(deal.market.handler, context, deal.issuer, deal.warrant, **sides)
    return await consents.find_proposal(deal.market.handler, context), context


async def read_holder(deal):
    return (await deal.market.state("issuer", deal.issuer)).warrants[deal.warrant].holder_id


async def refuse(deal, to):
    with pytest.raises(Refusal) as caught:
        await propose(deal, to)
    assert caught.value.code == "transfer_excluded"


async def test_an_affiliate_that_was_found_later_gets_a_warrant_and_gives_it_back_after_the_relation_ended(deal):
    await refuse(deal, deal.later)
    relation_id = await relate(deal, found=True)
    proposal_id, context = await propose(deal, deal.later)
    assert (await deal.market.state("proposal", proposal_id)).voters == {deal.later}
    await agree_all(deal.market, context)
    assert await read_holder(deal) == deal.later
    await end(deal, relation_id)
    _, context = await propose(deal, deal.fund, sender=deal.later)
    await agree_all(deal.market, context)
    assert await read_holder(deal) == deal.fund
    await refuse(deal, deal.later)
    await check_log(deal.market.log)


async def test_no_other_party_asks_for_an_exercise_or_a_transfer_of_a_warrant(deal):
    """It read the strike in the effects of its proposal, how many shares were left, and who held the warrant."""
    holds = {"holder_id": deal.named, "class_id": "common", "shares": 1, "price_usd_per_share": Decimal(0)}
    await act_agreed(
        deal.market, deal.company, IssueStock, security_id=rename_id("sec", deal.named), **holds, approval=PAPER
    )
    context, at = deal.market.context(deal.named), {"exercise_id": rename_id("exr", deal.named), "net": False}
    asked = [
        lambda name: warrants.exercise_warrant(
            deal.market.handler, context, deal.issuer, warrant_id=name, shares=10**9, **at
        ),
        lambda name: warrants.transfer_warrant(
            deal.market.handler, context, deal.issuer, name, holder_id=deal.named, holder_id_after=deal.named
        ),
    ]
    answers = []
    for ask in asked:
        for warrant_id in (deal.warrant, rename_id("wrt", deal.named)):
            with pytest.raises(Refusal) as caught:
                await ask(warrant_id)
            answers.append((caught.value.code, caught.value.facts))
    assert answers == [("company_proposes", {"party_id": deal.named})] * 4, "as for a warrant that does not exist"


async def issue_to_keyless(deal, **terms):
    """Issue a warrant to a holder without a key; return the ids of both."""
    keyless, warrant_id = rename_id("stk", deal.company), rename_id("wrt", deal.later)
    await act_agreed(deal.market, deal.company, AddStakeholder, holder_id=keyless, name="Later", kind="investor")
    issue = IssueWarrant(
        issuer_id=deal.issuer,
        warrant_id=warrant_id,
        holder_id=keyless,
        class_id="common",
        shares=50,
        exercise_price_usd=Decimal(1),
        expires_at=deal.market.clock.now() + timedelta(days=900),
        settlement="cash",
        **terms,
    )
    await warrants.issue_warrant(deal.market.handler, context := deal.market.context(deal.company), issue)
    await agree_all(deal.market, context)
    return keyless, warrant_id


async def test_a_warrant_of_a_holder_without_a_key_passes_to_the_party_that_it_is(deal):
    """An imported warrant stayed with a holder that could never use its own key; only stock could be transferred."""
    keyless, other = await issue_to_keyless(deal)
    context = deal.market.context(deal.company)
    sides = {"holder_id": keyless, "holder_id_after": deal.later}
    await warrants.transfer_warrant(deal.market.handler, context, deal.issuer, other, **sides)
    made = (await deal.market.state("proposal", await consents.find_proposal(deal.market.handler, context))).made
    assert {each.electorate for each in made.consents} == {f"holder/{deal.later}", "unvested_warrants"}
    await agree_all(deal.market, context)
    assert (await deal.market.state("issuer", deal.issuer)).warrants[other].holder_id == deal.later
    stays = {"holder_id": deal.later, "holder_id_after": keyless}
    with pytest.raises(Refusal) as caught:
        await warrants.transfer_warrant(
            deal.market.handler, deal.market.context(deal.later), deal.issuer, other, **stays
        )
    assert caught.value.code == "transfer_excluded"
    await check_log(deal.market.log)
    assert await find_faults(CountedVotes, deal.market.log) == []
    silent = await find_faults(CountedVotes, deal.market.log, drop="proposal.agreed.v1")
    assert any("warrant_transferred" in text for *_, text in silent)


async def test_a_warrant_that_joined_its_holders_party_passes_to_that_partys_affiliates_and_back(deal):
    """Its first holder had no key and so no affiliates: the party that it is could never pass it on."""
    keyless, other = await issue_to_keyless(deal, transfer="affiliates")
    await relate(deal, found=True)
    for sender, before, after in (
        (deal.company, keyless, deal.later),
        (deal.later, deal.later, deal.fund),
        (deal.fund, deal.fund, deal.later),
    ):
        context, sides = deal.market.context(sender), {"holder_id": before, "holder_id_after": after}
        await warrants.transfer_warrant(deal.market.handler, context, deal.issuer, other, **sides)
        await agree_all(deal.market, context)
        assert (await deal.market.state("issuer", deal.issuer)).warrants[other].holder_id == after
    assert await find_faults(Relations, deal.market.log) == []


async def test_an_option_of_a_holder_without_a_key_passes_to_the_party_that_it_is(deal):
    """An imported option stayed with a holder that could never exercise it by its own key."""
    keyless, option_id = rename_id("stk", deal.company), rename_id("opt", deal.company)
    await act_agreed(deal.market, deal.company, AddStakeholder, holder_id=keyless, name="Later", kind="employee")
    await act_agreed(deal.market, deal.company, AdjustStockPlan, shares_reserved=50, approval=PAPER)
    granted = {"option_id": option_id, "holder_id": keyless, "shares": 50, "exercise_price_usd": Decimal(0)}
    await act_agreed(deal.market, deal.company, GrantOption, **granted)
    passes = {"option_id": option_id, "holder_id": keyless, "holder_id_after": deal.later}
    pass_on = TransferOption(issuer_id=deal.issuer, transfer_id=rename_id("trf", deal.later), **passes)
    with pytest.raises(Refusal) as caught:
        await issuers.act(deal.market.handler, deal.market.context(deal.fund), pass_on)
    assert caught.value.code == "company_proposes", "also from a holder of the company"
    context = deal.market.context(deal.company)
    await issuers.act(deal.market.handler, context, pass_on)
    made = (await deal.market.state("proposal", await consents.find_proposal(deal.market.handler, context))).made
    assert {each.electorate for each in made.consents} == {f"holder/{deal.later}", "unvested_warrants"}
    await agree_all(deal.market, context)
    use = {"exercise_id": rename_id("exr", deal.later), "option_id": option_id, "class_id": "common", "shares": 20}
    exercised = ExerciseOption(issuer_id=deal.issuer, **use, at=deal.market.clock.now())
    await issuers.act(deal.market.handler, deal.market.context(deal.later), exercised)
    state = await deal.market.state("issuer", deal.issuer)
    assert (state.options[option_id].holder_id, state.holdings[deal.later, "common"]) == (deal.later, 20)
    await check_log(deal.market.log)
    assert await find_faults(CountedVotes, deal.market.log) == []
    silent = await find_faults(CountedVotes, deal.market.log, drop="proposal.agreed.v1")
    assert any("option_transferred" in text for *_, text in silent)


async def test_the_company_agrees_where_only_the_two_say_that_they_are_affiliates(deal):
    await declare_relation(
        deal.market.handler,
        deal.market.context(deal.later),
        deal.later,
        kind="affiliate",
        reason="so it says",
        related_id=deal.fund,
    )
    await refuse(deal, deal.later)
    await relate(deal)
    proposal_id, _ = await propose(deal, deal.later)
    assert (await deal.market.state("proposal", proposal_id)).voters == {deal.later, deal.company}


async def test_a_named_affiliate_whose_relation_ended_gets_nothing_and_what_it_was_to_get_is_void(deal):
    relation_id = await relate(deal, found=True, two=deal.named)
    proposal_id, _ = await propose(deal, deal.named)
    await end(deal, relation_id)
    await refuse(deal, deal.named)
    await consents.agree(deal.market.handler, deal.market.context(deal.named), proposal_id)
    assert (await deal.market.state("proposal", proposal_id)).status == "void"
    assert await read_holder(deal) == deal.fund


async def attest(deal):
    named = {"milestone": "works", "document": "report.pdf"}
    context = deal.market.context(deal.engineer)
    await warrants.attest_milestone(deal.market.handler, context, deal.issuer, deal.warrant, **named)


async def test_a_warrant_that_vests_while_a_proposal_waits_voids_nothing(deal):
    """Its holder, a small part of those that were asked, became a group of its own, and the proposal void."""
    never = AttestedMilestone(name="never", description="it flies", attester_id=deal.engineer)
    issue = IssueWarrant(
        issuer_id=deal.issuer,
        warrant_id=rename_id("wrt", deal.named),
        holder_id=deal.named,
        class_id="common",
        shares=500,
        exercise_price_usd=Decimal(1),
        expires_at=deal.market.clock.now() + timedelta(days=900),
        settlement="cash",
        tranches=(WarrantTranche(shares=500, conditions=((never,),)),),
    )
    await warrants.issue_warrant(deal.market.handler, context := deal.market.context(deal.company), issue)
    await agree_all(deal.market, context)
    context = deal.market.context(deal.company)
    terms = {"kind": "preferred", "price_per_share_usd": Decimal(1), "liquidation_multiple": Decimal(1)}
    created = CreateStockClass(issuer_id=deal.issuer, class_id="gold", shares_authorised=10, **terms)
    await issuers.act(deal.market.handler, context, created)
    proposal_id = await consents.find_proposal(deal.market.handler, context)
    made = (await deal.market.state("proposal", proposal_id)).made
    assert {each.electorate for each in made.consents} == {"unvested_warrants"}
    await attest(deal)
    await consents.agree(deal.market.handler, deal.market.context(deal.named), proposal_id)
    assert (await deal.market.state("proposal", proposal_id)).status == "effective"
    await check_log(deal.market.log)
    assert await find_faults(CountedVotes, deal.market.log) == []


@pytest.mark.parametrize("found", [True, False])
async def test_who_became_an_affiliate_of_the_holder_attests_nothing_for_it(deal, found):
    await relate(deal, found=found, two=deal.engineer)
    with pytest.raises(Refusal) as caught:
        await attest(deal)
    assert caught.value.code == "attested_by_beneficiary"
