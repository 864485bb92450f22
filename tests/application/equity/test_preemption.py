"""Investors have a pro rata right unless they waived it: in rounds, and on stock and warrants that a vote issues."""

import asyncio
import json
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec import structs

from events.financing import Investment
from events.issuer_holders import HolderTerms
from events.mandate import MandateTerms
from events.types import SafeTerms
from marketplace.application.equity import consents, instruments, issuers
from marketplace.application.trading import mandates
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.core.money import floor_cents
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.financing.pro_rata import list_entitled
from marketplace.domain.equity.issuer.state import measure_ownership, total_shares
from marketplace.domain.equity.issuer.stock_commands import CreateStockClass, IssueStock
from marketplace.domain.equity.preemption import REFUSED_FOR
from marketplace.domain.equity.proposal import DECIDE_WITHIN, WAIVED_AFTER
from tests.application.equity.test_equity import act, build_round, found, invest, pay_in
from tests.application.equity.test_holder_terms import PAPER, hold, list_asked, open_round, price, take, vote
from tests.application.equity.test_hostile_pairs import ask, join, propose_closing
from tests.application.equity.test_hostile_parties import refuse
from tests.application.equity.test_hostile_variants import agree_open, propose_warrant
from tests.application.equity.test_maturity import STOCK, build_terms
from tests.application.equity.test_note_orders import offer_equity
from tests.application.equity.test_second_persons import agree, approve, limit
from tests.application.equity.test_warrant_orders import agree as build_warrant
from tests.application.equity.test_warrant_orders import exercise
from tests.support.market.agreeing import act_agreed, agree_all, decline_all
from tests.support.market.auditing import CountedStakes, CountedVotes, OfferedParts, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import SAFE, Market

INSTANT = timedelta(microseconds=1)


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


@pytest.fixture
async def led(market):
    """Return a trade whose founder's party votes alone, beside a fund that paid a hundred times its price."""
    trade = await market.trade()
    await found(market, trade.startup)
    founder = await market.party("Founder", "fund", usd=9_000)
    await act(market, trade.startup, AddStakeholder, holder_id=founder, name="Founder", kind="founder")
    stock = {"security_id": derive_id("sec", founder), "holder_id": founder, "class_id": "common", "shares": 8_000}
    await act_agreed(market, trade.startup, IssueStock, **stock, price_usd_per_share=Decimal("0.0001"))
    await hold(market, trade.startup, trade.fund, 450)
    return trade, founder


async def list_offers(market, trade, financing):
    opened = (await market.state("issuer", trade.issuer)).financings[financing].opened
    return {each.holder_id: each.amount_max_usd for each in opened.pro_rata}, opened.pro_rata_until


async def issue_first(market, trade, class_id="boss", usd=5_000):
    """Create a class that ranks before all others by the founder's vote, and propose shares of it for a straw."""
    straw = await market.party("Straw", "fund", usd=usd)
    await act(market, trade.startup, AddStakeholder, holder_id=straw, name="Straw", kind="investor")
    terms = {"price_per_share_usd": Decimal(1_000_000), "liquidation_multiple": Decimal(10), "seniority": 9}
    created = {"class_id": class_id, "kind": "preferred", "shares_authorised": 10, **terms}
    proposal_id, _ = await ask(market, trade.startup, CreateStockClass, startup=trade.startup, **created)
    await agree_open(market, proposal_id)
    issued = {"security_id": derive_id("sec", straw), "holder_id": straw, "class_id": class_id, "shares": 10}
    price_usd = {"price_usd_per_share": Decimal("0.01")}
    proposal_id, asked = await ask(market, trade.startup, IssueStock, startup=trade.startup, **issued, **price_usd)
    assert "pro_rata" in asked
    return straw, proposal_id


async def check_waited(market):
    """Check the log, also by the auditor, which finds an issue that took effect before its time was over."""
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []
    early = {"proposed_at": market.clock.now().isoformat()}
    assert "pro_rata" in {kind for kind, *_ in await find_faults(OfferedParts, market.log, **early)}


@pytest.mark.parametrize("takes", [True, False], ids=["takes", "silent"])
async def test_a_straw_buys_a_round_only_beside_the_part_that_a_fund_was_offered(market, led, takes):
    """A majority sold a round to a straw alone; the fund had no say on it and no part of it."""
    trade, _ = led
    straw = await market.party("Straw", "fund", usd=5_000_000)
    part = measure_ownership(await market.state("issuer", trade.issuer), market.clock.now())[trade.fund]
    financing = await open_round(market, trade, straw)
    offers, until = await list_offers(market, trade, financing)
    assert offers == {trade.fund: floor_cents(part * 5_000_000)}, "founders and the straw are no investors"
    assert until == market.clock.now() + timedelta(days=10)
    await refuse("pro_rata_open", price(market, trade, financing))
    if takes:
        await take(market, trade, financing, trade.fund, offers[trade.fund])
    else:
        market.clock.at = until - INSTANT
        await refuse("pro_rata_open", price(market, trade, financing))
        market.clock.at = until
    await price(market, trade, financing)
    assert await agree_open(market, await propose_closing(market, trade, financing)) == "effective"
    holdings = (await market.state("issuer", trade.issuer)).holdings
    bought = holdings.get((trade.fund, "series-a"), 0)
    assert (bought > 0) is takes
    if takes:
        assert abs(Decimal(bought) / holdings[straw, "series-a"] - Decimal(str(float(part)))) < Decimal("0.0001")
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def test_the_auditor_finds_a_round_without_offers_or_priced_too_early(market, led):
    trade, _ = led
    straw = await market.party("Straw", "fund", usd=5_000_000)
    financing = await open_round(market, trade, straw)
    await take(market, trade, financing, trade.fund, "0")
    await price(market, trade, financing)
    assert await find_faults(OfferedParts, market.log) == []
    ((kind, _, text),) = await find_faults(OfferedParts, market.log, drop="issuer.pro_rata_answered.v1")
    assert (kind, trade.fund in text) == ("pro_rata", True)
    for fault in ({"pro_rata": []}, {"pro_rata_until": market.clock.now().isoformat()}):
        assert "pro_rata" in {kind for kind, *_ in await find_faults(OfferedParts, market.log, **fault)}


async def test_stock_by_a_vote_waits_for_an_investor_whose_silence_waives_its_part(market, led):
    """A majority gave a party that nobody knew ten shares that got all of the next sale, the same minute."""
    trade, founder = led
    straw, proposal_id = await issue_first(market, trade)
    asked = await list_asked(market, proposal_id)
    assert asked["pro_rata"] == (1, Decimal(1))
    assert await vote(market, founder, proposal_id) == "open"
    assert await vote(market, straw, proposal_id) == "open", "all but the fund have agreed"
    market.clock.at += WAIVED_AFTER - INSTANT
    await refuse("not_asked", vote(market, trade.startup, proposal_id))
    market.clock.at += INSTANT
    assert await vote(market, trade.startup, proposal_id) == "effective", "the company agrees again"
    with pytest.raises(Refusal) as caught:
        await vote(market, trade.startup, proposal_id)
    assert caught.value.code == "proposal_effective"
    await check_waited(market)


async def test_an_investor_that_refuses_in_time_ends_an_issue_and_is_offered_a_round(market, led):
    trade, founder = led
    straw, proposal_id = await issue_first(market, trade)
    for party_id in (founder, straw):
        await vote(market, party_id, proposal_id)
    await consents.refuse(market.handler, market.context(trade.fund), proposal_id, reason="offer me my part")
    assert (await market.state("proposal", proposal_id)).status == "refused"
    await pay_in(market, straw)
    offers, _ = await list_offers(market, trade, await open_round(market, trade, straw))
    assert set(offers) == {trade.fund}


@pytest.mark.parametrize("late", ["founder", "money"])
async def test_a_refusal_counts_until_the_issue_takes_effect_and_is_refused_after_it(market, led, late):
    """A founder, or a buyer without money, waited a week longer for a higher price, and the fund's refusal was lost."""
    trade, founder = led
    straw, proposal_id = await issue_first(market, trade, usd=0 if late == "money" else 5_000)
    for party_id in (straw,) if late == "founder" else (straw, founder):
        assert await vote(market, party_id, proposal_id) == "open"
    market.clock.at += WAIVED_AFTER + timedelta(days=1)
    assert await refuse_issue(market, trade.fund, proposal_id) == "refused"
    await pay_in(market, straw)
    await refuse("proposal_refused", vote(market, founder if late == "founder" else trade.startup, proposal_id))
    issuer = await market.state("issuer", trade.issuer)
    assert (straw, "boss") not in issuer.holdings
    assert issuer.refusals[trade.fund][proposal_id] == market.clock.now(), "it stands as any other"
    assert await find_faults(OfferedParts, market.log) == []


async def test_an_investor_takes_a_refusal_back_that_ended_an_issue(market, led):
    """A refusal ended the proposal at once, could not be changed, and stood for half a year against every warrant."""
    trade, founder = led
    _, proposal_id = await issue_first(market, trade)
    assert await refuse_issue(market, trade.fund, proposal_id) == "refused"
    await refuse("proposal_refused", vote(market, founder, proposal_id))
    assert (await market.state("issuer", trade.issuer)).refusals
    for _ in range(2):
        assert await vote(market, trade.fund, proposal_id) == "refused"
        assert not (await market.state("issuer", trade.issuer)).refusals
    straw, again = await issue_first(market, trade, "second")
    market.clock.at += WAIVED_AFTER
    assert await vote(market, straw, again) == "open"
    assert await vote(market, founder, again) == "effective", "the fund's silence agrees again"
    assert await find_faults(OfferedParts, market.log) == []
    dropped = await find_faults(OfferedParts, market.log, drop="proposal.refused.v1")
    assert "pro_rata" in {kind for kind, *_ in dropped}


async def test_a_refusal_that_is_taken_back_leaves_the_investors_other_ones(market, led):
    """An investor that took one back lost all of them; an older one could not be taken back."""
    trade, _ = led
    first, second, third = [await offer_stock(market, trade, price_usd) for price_usd in ("0.009", "0.0091", "0.0092")]
    for refused in (first, second):
        market.clock.at += INSTANT
        assert await refuse_issue(market, trade.fund, refused) == "refused"
    assert await vote(market, trade.fund, second) == "refused"
    market.clock.at += WAIVED_AFTER
    assert await vote(market, trade.startup, third) == "void", "the first refusal stands"
    assert await vote(market, trade.fund, first) == "refused"
    assert not (await market.state("issuer", trade.issuer)).refusals
    again = await offer_stock(market, trade, "0.009")
    market.clock.at += WAIVED_AFTER
    assert await vote(market, trade.startup, again) == "effective"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def test_a_refusal_above_the_limit_is_taken_back_by_two_persons(market, led):
    """One person took back what protected a stake for half a year, though agreeing would have needed a second one."""
    trade, _ = led
    _, proposal_id = await issue_first(market, trade)
    assert await refuse_issue(market, trade.fund, proposal_id) == "refused"
    await limit(market, trade.fund, 1)
    asked = await agree(market, trade.fund, proposal_id)
    act = (await market.account(trade.fund)).approvals[asked].requested.act
    assert (act.proposal_id, act.value_usd) == (proposal_id, Decimal("4.50"))
    assert (await market.state("issuer", trade.issuer)).refusals
    await approve(market, trade.fund, asked)
    assert not (await market.state("issuer", trade.issuer)).refusals
    assert (await market.state("proposal", proposal_id)).status == "refused"
    assert await agree(market, trade.fund, proposal_id) is None, "nothing is left to take back"
    assert await find_faults(OfferedParts, market.log) == []
    assert await find_faults(CountedStakes, market.log) == []
    assert await find_faults(CountedStakes, market.log, drop="account.approval_given.v1"), (
        "one person alone took it back"
    )


async def test_an_issue_that_took_effect_is_refused_no_more(market, led):
    trade, founder = led
    straw, proposal_id = await issue_first(market, trade)
    for party_id in (straw, founder):
        await vote(market, party_id, proposal_id)
    market.clock.at += WAIVED_AFTER
    assert await vote(market, trade.startup, proposal_id) == "effective"
    await refuse("proposal_effective", refuse_issue(market, trade.fund, proposal_id))
    assert trade.fund not in (await market.state("issuer", trade.issuer)).refusals


async def test_a_warrant_waits_for_investors_too_and_one_that_agrees_ends_the_wait(market, led):
    trade, founder = led
    straw = await market.party("Straw", "fund", usd=5_000)
    await act(market, trade.startup, AddStakeholder, holder_id=straw, name="Straw", kind="investor")
    _, proposal_id = await propose_warrant(market, trade, straw, 50_000, "0.0001")
    for party_id in (founder, straw):
        assert await vote(market, party_id, proposal_id) == "open"
    assert await vote(market, trade.fund, proposal_id) == "effective"


async def test_a_safe_counts_at_its_cap_and_without_one_at_the_rounds_valuation(market):
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 50_000)
    straw = await market.party("Straw", "fund", usd=5_000_000)
    offers, _ = await list_offers(market, trade, await open_round(market, trade, straw))
    assert offers == {trade.fund: Decimal("25000.00")}, "50,000 at a cap of 10 M are a two-hundredth of 5 M"


async def test_an_investor_waives_its_right_itself_and_nobody_in_its_place(market, led):
    trade, founder = led
    context = market.context(trade.startup)
    terms = HolderTerms(pro_rata_waived=(trade.fund,))
    await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=terms, approval=PAPER)
    proposal_id = await consents.find_proposal(market.handler, context)
    assert f"holder/{trade.fund}" in await list_asked(market, proposal_id)
    assert await vote(market, founder, proposal_id) == "open", "a majority waives nobody else's right"
    assert await vote(market, trade.fund, proposal_id) == "effective"
    straw = await market.party("Straw", "fund", usd=5_000_000)
    financing = await open_round(market, trade, straw)
    assert await list_offers(market, trade, financing) == ({}, None)
    await price(market, trade, financing)
    await check_log(market.log)


async def test_a_right_is_waived_by_its_party_alone_also_before_it_invests(market):
    """Founders waived the right of a fund that held nothing yet, and would have had none as it invested."""
    trade = await market.trade()
    await found(market, trade.startup)
    founder = await market.party("Founder", "fund", usd=9_000)
    await hold(market, trade.startup, founder, 8_000)
    await act(market, trade.startup, AddStakeholder, holder_id=trade.fund, name="Fund", kind="investor")
    context = market.context(trade.startup)
    terms = HolderTerms(pro_rata_waived=(trade.fund,))
    await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=terms, approval=PAPER)
    proposal_id = await consents.find_proposal(market.handler, context)
    assert await vote(market, founder, proposal_id) == "open"
    assert await vote(market, trade.fund, proposal_id) == "effective"
    assert await find_faults(CountedVotes, market.log) == []

    def is_of_fund(message):
        return message.event_type == "proposal.agreed.v1" and message.read()["party_id"] == trade.fund

    ((_, _, text),) = await find_faults(CountedVotes, market.log, drop=is_of_fund, consents=[])
    assert trade.fund in text


async def test_who_alone_bought_a_class_of_common_stock_is_an_investor(market, led):
    """A company sold its funds a class of common stock of their own, whose least price is theirs."""
    trade, _ = led
    angel = await market.party("Angel", "fund", usd=9_000)
    common = {"class_id": "common-b", "kind": "common", "shares_authorised": 1_000}
    await act_agreed(market, trade.startup, CreateStockClass, **common)
    await hold(market, trade.startup, angel, 450, "common-b")
    issuer = await market.state("issuer", trade.issuer)
    assert set(list_entitled(issuer)) == {trade.fund, angel}
    straw = await market.party("Straw", "fund", usd=5_000_000)
    offers, _ = await list_offers(market, trade, await open_round(market, trade, straw))
    assert angel in offers
    assert await find_faults(OfferedParts, market.log) == []


@pytest.mark.parametrize("exercised", [False, True], ids=["held", "exercised"])
async def test_who_bought_a_warrant_for_principal_is_an_investor(market, exercised):
    """Principal that became a warrant is open no more, and an exercise issues no security."""
    trade = await market.trade(days=10)
    await found(market, trade.startup)
    await market.cancel(trade.startup, trade.order)
    await offer_equity(market, trade, "warrant", build_warrant(market))
    await invest(market, trade, 1_000, build_warrant(market, service_consequence=None))
    issuer = await market.state("issuer", trade.issuer)
    ((warrant_id, warrant),) = issuer.warrants.items()
    if exercised:
        await exercise(market, trade, warrant_id, warrant.shares_outstanding)
        issuer = await market.state("issuer", trade.issuer)
    assert list_entitled(issuer) == (trade.fund,)
    straw = await market.party("Straw", "fund", usd=5_000_000)
    offers, _ = await list_offers(market, trade, await open_round(market, trade, straw))
    assert set(offers) == {trade.fund}
    assert await find_faults(OfferedParts, market.log) == []
    assert "pro_rata" in {kind for kind, *_ in await find_faults(OfferedParts, market.log, pro_rata=[])}


async def test_an_offer_by_default_takes_no_say_on_a_cheap_round(market, led):
    """Who may buy its part by right under the terms has no say on the price; all investors would have none."""
    trade, founder = led
    await pay_in(market, founder)
    sham = {"pre_money_usd": Decimal(9_000), "investments": (Investment(holder_id=founder, amount_usd=Decimal(999)),)}
    context = market.context(trade.startup)
    terms = structs.replace(build_round(founder), **sham, price_places=8)
    await issuers.open_financing(market.handler, context, trade.issuer, name="A", terms=terms)
    financing = derive_id("fin", context.command_id)
    _, market.clock.at = await list_offers(market, trade, financing)
    await price(market, trade, financing)
    made = (await market.state("proposal", await propose_closing(market, trade, financing))).made
    (apart,) = (each for each in made.consents if each.electorate == "disinterested_class/common")
    assert {voter.party_id for voter in apart.voters} == {trade.fund}


async def test_who_needs_no_waiver_waits_for_nobody(market):
    """A company without investors issues founders' stock at once."""
    trade = await market.trade()
    await found(market, trade.startup)
    founder = await market.party("Founder", "fund", usd=9_000)
    await act(market, trade.startup, AddStakeholder, holder_id=founder, name="Founder", kind="founder")
    stock = {"security_id": derive_id("sec", founder), "holder_id": founder, "class_id": "common", "shares": 8_000}
    _, asked = await ask(
        market, trade.startup, IssueStock, startup=trade.startup, **stock, price_usd_per_share=Decimal("0.0001")
    )
    assert asked == {f"holder/{founder}"}


async def ask_straw(market, trade, cap_usd, *, usd=1, **changes):
    """Propose that a straw buys a SAFE, for a dollar by default; return the straw, the proposal and who is asked."""
    straw = await market.party("Straw", "fund", usd=20_000)
    terms = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(cap_usd))
    terms = structs.replace(terms, **changes)
    mandate = await open_mandate(market, straw, 20_000)
    context = market.context(trade.startup)
    members = {"startup_id": trade.startup, "mandate_id": mandate, "amount_usd": Decimal(usd), "terms": terms}
    await instruments.invest(market.handler, context, **members)
    proposal_id = await consents.find_proposal(market.handler, context)
    return straw, proposal_id, set(await list_asked(market, proposal_id))


async def open_mandate(market, fund, usd=5_000):
    """Let a fund take instruments for cash on any terms."""
    terms = MandateTerms(
        instrument_kinds=("safe", "convertible_note"),
        equity_credit=Decimal(1),
        budget_usd=Decimal(0),
        direct_budget_usd=Decimal(usd),
        issuer_usd_max=Decimal(usd),
        valuation_cap_usd_min=Decimal(1),
        valuation_cap_usd_max=Decimal(1_000_000_000_000),
        dilution_max=Decimal(1),
    )
    context = market.context(fund)
    receipt = await mandates.grant_mandate(market.handler, context, holder_id=fund, funding="cash", terms=terms)
    return receipt.id


async def test_a_cheap_safe_for_cash_waits_for_investors_and_a_dear_one_for_nobody(market, led):
    """A majority sold most of the company to a straw for a dollar, the same minute; stock had to wait for a week."""
    trade, founder = led
    agreeing = [founder]
    paid = Decimal("0.01") * total_shares(await market.state("issuer", trade.issuer)).fully_diluted
    for cap, changes, waits in (
        ("2", {}, True),
        (paid - Decimal("0.01"), {}, True),
        (paid, {}, False),
        (paid, {"discount": Decimal("0.3")}, False),
        (paid, {"discount": Decimal("0.31")}, True),
    ):
        straw, proposal_id, asked = await ask_straw(market, trade, cap, **changes)
        by_silence = cap == "2"  # its first refusal stands, so that its silence agrees to nothing after that
        assert (("pro_rata" if by_silence else f"holder/{trade.fund}") in asked) is waits, (cap, changes)
        for party_id in agreeing:
            status = await vote(market, party_id, proposal_id)
        assert status == ("open" if waits else "effective")
        if not waits:
            agreeing = [founder, straw]
        else:
            await consents.refuse(market.handler, market.context(trade.fund), proposal_id, reason="offer me my part")
            assert (await market.state("proposal", proposal_id)).status == "refused"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def find_paid(market, trade):
    """Return the value of all stock, in USD, at what the fund paid for a share."""
    return Decimal("0.01") * total_shares(await market.state("issuer", trade.issuer)).stock


async def test_a_large_safe_waits_for_investors_also_at_a_cap_that_undercuts_nobody(market, led):
    """A friend's SAFE of 8.9 M at the fund's own valuation took a sale; its money was withdrawn in the same minute."""
    trade, founder = led
    large = int(await find_paid(market, trade) / 10) + 1
    _, proposal_id, asked = await ask_straw(market, trade, 1_000_000, usd=large)
    assert "pro_rata" in asked
    assert await refuse_issue(market, trade.fund, proposal_id) == "refused"
    market.clock.at += REFUSED_FOR
    straw, proposal_id, asked = await ask_straw(market, trade, 1_000_000, usd=large)
    assert "pro_rata" in asked
    assert await vote(market, founder, proposal_id) == "open"
    market.clock.at += WAIVED_AFTER
    assert await vote(market, trade.startup, proposal_id) == "effective", "silence agrees"
    assert straw in list_entitled(await market.state("issuer", trade.issuer))
    await check_waited(market)


async def test_small_safes_of_a_year_are_large_together(market, led):
    """Ten friends would have signed just under the tenth each, or all at once."""
    trade, founder = led
    small = int(await find_paid(market, trade) / 10)

    async def sign(usd):
        straw, proposal_id, asked = await ask_straw(market, trade, 1_000_000, usd=usd)
        return straw, proposal_id, "pro_rata" in asked

    first, second = await sign(small), await sign(small)
    assert (first[2], second[2]) == (False, False)
    assert await vote(market, founder, first[1]) == "effective"
    assert await vote(market, founder, second[1]) == "void", "the fund was not asked"
    _, proposal_id, waits = await sign(1)
    assert waits
    market.clock.at += timedelta(days=367)
    _, proposal_id, waits = await sign(small)
    assert not waits, "a year is over"
    assert await agree_open(market, proposal_id) == "effective"
    assert await find_faults(OfferedParts, market.log) == []


async def test_a_cap_that_most_favoured_principal_may_elect_shows_it_and_counts_it(market, led):
    """A dollar's SAFE gave old principal of a friend its cap, and the fund read of the dollar alone."""
    trade, founder = led
    usd = int(await find_paid(market, trade) / 10)
    favoured = SafeTerms(conversion_timing="post_money", most_favoured_nation=True)
    friend, signed = await join(market, trade.startup, usd, favoured, uncapped=True)
    market.clock.at += timedelta(days=400)
    _, proposal_id, asked = await ask_straw(market, trade, 1_000_000)
    assert "pro_rata" in asked
    made = (await market.state("proposal", proposal_id)).made
    (notice,) = (json.loads(each.body_json) for each in made.effects if each.type == "instrument.mfn_noticed.v1")
    assert (notice["instrument_id"], notice["principal_usd"]) == (signed, f"{usd}.00")
    assert Decimal(notice["terms"]["valuation_cap_usd"]) == 1_000_000
    assert {voter.party_id for each in made.consents if each.electorate == "pro_rata" for voter in each.voters} == {
        trade.fund,
        friend,
    }
    _, other, _ = await ask_straw(market, trade, 1_000_000)
    _, later = await join(market, trade.startup, 1, favoured, uncapped=True)
    for party_id in (founder, friend):
        assert await vote(market, party_id, other) == "open"
    market.clock.at += WAIVED_AFTER
    assert await vote(market, trade.startup, other) == "void", "more principal may elect it"
    assert await find_faults(OfferedParts, market.log) == []
    assert later in (await market.state("issuer", trade.issuer)).instruments


async def test_the_election_that_a_proposal_shows_is_open_once_it_takes_effect(market, led):
    trade, founder = led
    favoured = SafeTerms(conversion_timing="post_money", most_favoured_nation=True)
    friend, signed = await join(market, trade.startup, 20, favoured, uncapped=True)
    _, proposal_id, _ = await ask_straw(market, trade, 1_000_000)
    assert await vote(market, founder, proposal_id) == "open"
    assert await vote(market, friend, proposal_id) == "effective", "it is small"
    (notice,) = (await market.state("instrument", signed)).notices.values()
    assert (notice.principal_usd, notice.elect_until) == (Decimal(20), market.clock.now() + timedelta(days=10))
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def test_an_extension_by_which_a_note_becomes_large_waits_for_investors(market, led):
    """A friend's note at 20 per cent was extended from 30 days to 2099 by company, founder and friend."""
    trade, founder = led
    usd = int(await find_paid(market, trade) / 10) - 500
    terms = build_terms(market, days=60)
    friend, note = await join(market, trade.startup, usd, terms, note_days_min=1)
    for days, waits in ((90, False), (3_000, True)):
        wanted = structs.replace(terms, matures_on=terms.matures_on + timedelta(days=days))
        context = market.context(trade.startup)
        await instruments.amend_instrument(market.handler, context, note, terms=wanted, applies_to_earlier=True)
        proposal_id = await consents.find_proposal(market.handler, context)
        assert ("pro_rata" in await list_asked(market, proposal_id)) is waits
        for party_id in (founder, friend):
            status = await vote(market, party_id, proposal_id)
        assert status == ("open" if waits else "effective")
    market.clock.at += WAIVED_AFTER
    assert await vote(market, trade.startup, proposal_id) == "effective"
    assert await find_faults(OfferedParts, market.log) == []
    early = {"proposed_at": market.clock.now().isoformat()}
    assert "pro_rata" in {kind for kind, *_ in await find_faults(OfferedParts, market.log, **early)}


async def test_better_terms_of_a_safe_wait_for_investors_as_a_cheap_one_does(market, led):
    """A straw signed at a dear cap, and its cap was lowered by the founder's vote."""
    trade, founder = led
    straw, proposal_id, _ = await ask_straw(market, trade, 1_000_000)
    assert await vote(market, founder, proposal_id) == "effective"
    signed = next(iter((await market.state("issuer", trade.issuer)).instruments))
    for cap, waits in ((2_000_000, False), (2, True)):
        terms = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(cap))
        context = market.context(trade.startup)
        await instruments.amend_instrument(market.handler, context, signed, terms=terms, applies_to_earlier=True)
        proposal_id = await consents.find_proposal(market.handler, context)
        assert ("pro_rata" in await list_asked(market, proposal_id)) is waits
        for party_id in (founder, straw):
            status = await vote(market, party_id, proposal_id)
        assert status == ("open" if waits else "effective")
    market.clock.at += WAIVED_AFTER
    assert await vote(market, trade.startup, proposal_id) == "effective"
    await check_waited(market)


@pytest.mark.parametrize("became", [None, STOCK], ids=["sooner", "in place of stock"])
async def test_no_lender_has_its_money_back_alone_by_an_amendment_of_its_note(market, led, became):
    """A founder moved a friend's maturity to the next day, and repaid the note then without asking anybody."""
    trade, founder = led
    terms = build_terms(market, days=400, at_maturity=became)
    friend, note = await join(market, trade.startup, 1_000, terms, note_days_min=1)
    days = timedelta(days=399 if became is None else 0)
    sooner = structs.replace(terms, matures_on=terms.matures_on - days, at_maturity=None)
    later = structs.replace(terms, matures_on=terms.matures_on + timedelta(days=30))
    for wanted, waits in ((later, False), (sooner, True), (sooner, True)):
        context = market.context(trade.startup)
        await instruments.amend_instrument(market.handler, context, note, terms=wanted, applies_to_earlier=True)
        proposal_id = await consents.find_proposal(market.handler, context)
        asked = await list_asked(market, proposal_id)
        assert ("pro_rata" in asked or f"holder/{trade.fund}" in asked) is waits
        for party_id in (founder, friend):
            status = await vote(market, party_id, proposal_id)
        assert status == ("open" if waits else "effective")
        if waits and "pro_rata" in asked:
            assert asked["pro_rata"][1] == 1, "any refusal ends it"
            assert await refuse_issue(market, trade.fund, proposal_id) == "refused"
    assert await vote(market, trade.fund, proposal_id) == "effective"
    assert (await market.state("instrument", note)).terms == sooner
    assert await find_faults(OfferedParts, market.log) == []

    def is_of_fund(message):
        body = message.read()
        is_last = body.get("proposal_id") == proposal_id
        return message.event_type == "proposal.agreed.v1" and is_last and body["party_id"] == trade.fund

    ((kind, _, text),) = await find_faults(OfferedParts, market.log, drop=is_of_fund)
    assert (kind, trade.fund in text) == ("pro_rata", True)


async def test_silence_is_carried_out_by_itself_once_the_time_has_passed(market, led):
    """A company had to come back between the 7th and the 14th day, or its issue lapsed."""
    trade, founder = led
    first, proposal_id = await issue_first(market, trade)
    async with market.worker():
        await vote(market, first, proposal_id)
        market.clock.at += WAIVED_AFTER
        await asyncio.sleep(0.3)
        assert (await market.state("proposal", proposal_id)).status == "open", "the founder has not agreed"
        assert await vote(market, founder, proposal_id) == "effective"
        straw, proposal_id = await issue_first(market, trade, "boss-b")
        for party_id in (founder, first, straw):
            assert await vote(market, party_id, proposal_id) == "open"
        market.clock.at += WAIVED_AFTER - INSTANT
        await asyncio.sleep(0.3)
        assert (await market.state("proposal", proposal_id)).status == "open"
        market.clock.at += INSTANT
        await market.until("proposal", proposal_id, "effective")
    assert (await market.state("issuer", trade.issuer)).holdings[straw, "boss-b"] == 10
    await check_waited(market)


async def test_a_voter_that_becomes_an_investor_at_the_price_of_an_offer_does_not_stop_it(market, led):
    """The auditor said that a founder, who bought a SAFE while an issue waited, had had no time to refuse it."""
    trade, founder = led
    second = await market.party("Second", "fund", usd=9_000)
    await act(market, trade.startup, AddStakeholder, holder_id=second, name="Second", kind="founder")
    stock = {"security_id": derive_id("sec", second), "holder_id": second, "class_id": "common", "shares": 500}
    await act_agreed(market, trade.startup, IssueStock, **stock, price_usd_per_share=Decimal("0.0001"))
    terms = SafeTerms(conversion_timing="pre_money", valuation_cap_usd=Decimal(20_000_000))
    bank, _ = await join(market, trade.startup, 1_000, terms)
    buyer = await market.party("Buyer", "fund", usd=5_000)
    await act(market, trade.startup, AddStakeholder, holder_id=buyer, name="Buyer", kind="investor")
    offer = {"security_id": derive_id("sec", buyer), "holder_id": buyer, "class_id": "common", "shares": 2}
    offer["price_usd_per_share"] = Decimal(10)
    proposal_id, _ = await ask(market, trade.startup, IssueStock, startup=trade.startup, **offer)
    for party_id in (founder, bank, buyer):
        assert await vote(market, party_id, proposal_id) == "open"
    cap = Decimal(10 * total_shares(await market.state("issuer", trade.issuer)).fully_diluted)
    context, mandate = market.context(trade.startup), await open_mandate(market, second)
    members = {"startup_id": trade.startup, "mandate_id": mandate, "amount_usd": Decimal(50)}
    terms = structs.replace(terms, valuation_cap_usd=cap)
    await instruments.invest(market.handler, context, **members, terms=terms)
    await agree_all(market, context)
    assert second in list_entitled(await market.state("issuer", trade.issuer))
    market.clock.at += WAIVED_AFTER
    assert await vote(market, trade.startup, proposal_id) == "effective"
    assert await find_faults(OfferedParts, market.log) == []


async def test_silence_is_carried_out_once_the_buyer_can_pay(market, led):
    trade, founder = led
    async with market.worker():
        straw, proposal_id = await issue_first(market, trade, usd=0)
        for party_id in (founder, straw):
            assert await vote(market, party_id, proposal_id) == "open"
        market.clock.at += WAIVED_AFTER
        await asyncio.sleep(0.3)
        assert (await market.state("proposal", proposal_id)).status == "open"
        await pay_in(market, straw)
        market.clock.at += timedelta(hours=1)
        await market.until("proposal", proposal_id, "effective")
    await check_log(market.log)


@pytest.mark.parametrize(
    ("cap", "usd", "status"),
    [("20_000_000", 4_000, "effective"), ("60_000", 4_000, "void"), ("60_000", 1, "effective")],
    ids=["fair", "cheap", "tiny"],
)
async def test_a_safe_that_makes_an_offer_no_worse_does_not_void_it(market, led, cap, usd, status):
    """Every SAFE of a company that rolled them voided each issue that waited for its investors."""
    trade, founder = led
    bank, _ = await join(market, trade.startup, 50_000)
    buyer = await market.party("Buyer", "fund", usd=5_000)
    await act(market, trade.startup, AddStakeholder, holder_id=buyer, name="Buyer", kind="investor")
    offer = {"security_id": derive_id("sec", buyer), "holder_id": buyer, "class_id": "common", "shares": 2}
    offer["price_usd_per_share"] = Decimal(2)
    proposal_id, asked = await ask(market, trade.startup, IssueStock, startup=trade.startup, **offer)
    assert "pro_rata" in asked
    for party_id in (founder, bank, buyer):
        assert await vote(market, party_id, proposal_id) == "open"
    _, rolling, _ = await ask_straw(market, trade, cap, usd=usd)
    await agree_open(market, rolling)
    async with market.worker():
        market.clock.at += WAIVED_AFTER
        await market.until("proposal", proposal_id, "effective", "void")
    assert (await market.state("proposal", proposal_id)).status == status
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def test_an_investor_that_joined_meanwhile_and_paid_more_is_asked_as_well(market, led):
    """A fund invested beside a cheap issue that nobody had told it of, and that silence then carried out."""
    trade, founder = led
    straw, proposal_id = await issue_first(market, trade)
    for party_id in (founder, straw):
        assert await vote(market, party_id, proposal_id) == "open"
    angel = await market.party("Angel", "fund", usd=9_000)
    await hold(market, trade.startup, angel, 1)
    market.clock.at += WAIVED_AFTER
    assert await vote(market, trade.startup, proposal_id) == "void"


async def test_who_invests_while_a_round_is_open_is_offered_its_part_as_it_is_priced(market, led):
    """A company opened a round before a fund came, and sold it to a straw; the fund was offered nothing."""
    trade, _ = led
    straw = await market.party("Straw", "fund", usd=5_000_000)
    financing = await open_round(market, trade, straw)
    late, _ = await join(market, trade.startup, 1_000_000)
    await decline_all(market, trade.issuer)
    await price(market, trade, financing)
    state = (await market.state("issuer", trade.issuer)).financings[financing]
    (offer,) = (each for each in state.offers if each.holder_id == late)
    assert offer.amount_max_usd == Decimal(500_000), "a tenth of 5 M"
    assert offer.until == market.clock.now() + timedelta(days=10)
    await refuse("pro_rata_open", propose_closing(market, trade, financing))
    await refuse("pro_rata_open", price(market, trade, financing))
    await refuse("amount_above_pro_rata", take(market, trade, financing, late, "500000.01"))
    await pay_in(market, late)
    await take(market, trade, financing, late, "400000")
    await refuse("financing_stale", propose_closing(market, trade, financing))
    await price(market, trade, financing)
    assert await agree_open(market, await propose_closing(market, trade, financing)) == "effective"
    assert (await market.state("issuer", trade.issuer)).holdings[late, "series-a"] > 0
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []
    assert "pro_rata" in {kind for kind, *_ in await find_faults(OfferedParts, market.log, pro_rata=[])}


async def test_a_late_investor_that_is_silent_holds_a_round_up_for_its_time_alone(market, led):
    trade, _ = led
    straw = await market.party("Straw", "fund", usd=5_000_000)
    financing = await open_round(market, trade, straw)
    await join(market, trade.startup, 1_000_000)
    await decline_all(market, trade.issuer)
    await price(market, trade, financing)
    market.clock.at += timedelta(days=10) - INSTANT
    await refuse("pro_rata_open", propose_closing(market, trade, financing))
    market.clock.at += INSTANT
    assert await agree_open(market, await propose_closing(market, trade, financing)) == "effective"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def test_a_part_that_is_taken_late_ends_no_round(market, led):
    """Who joined shortly before the end of a round took a dollar of it, and it could be priced no more."""
    trade, _ = led
    straw = await market.party("Straw", "fund", usd=5_000_000)
    context = market.context(trade.startup)
    await issuers.open_financing(
        market.handler, context, trade.issuer, name="A", terms=build_round(straw), open_days=20
    )
    financing, opened = derive_id("fin", context.command_id), market.clock.now()
    market.clock.at = opened + timedelta(days=15)
    late, _ = await join(market, trade.startup, 1_000_000)
    await price(market, trade, financing)
    market.clock.at = opened + timedelta(days=25) - INSTANT
    await pay_in(market, late)
    await take(market, trade, financing, late, "400000")
    market.clock.at = opened + timedelta(days=32) - INSTANT
    await price(market, trade, financing)
    market.clock.at += INSTANT
    await refuse("financing_overdue", price(market, trade, financing))
    assert await agree_open(market, await propose_closing(market, trade, financing)) == "effective", "at its price"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


@pytest.mark.parametrize("priced", [False, True])
async def test_a_round_that_is_not_closed_in_time_ends_by_itself(market, led, priced):
    """A round stayed open for ever at the terms and the offers of its first day."""
    trade, _ = led
    straw = await market.party("Straw", "fund", usd=5_000_000)
    context = market.context(trade.startup)
    await issuers.open_financing(
        market.handler, context, trade.issuer, name="A", terms=build_round(straw), open_days=20
    )
    financing, opened = derive_id("fin", context.command_id), market.clock.now()
    await take(market, trade, financing, trade.fund, "1")
    held = (await market.account(trade.fund)).available_usd
    async with market.worker():
        market.clock.at = opened + timedelta(days=20) - INSTANT
        if priced:
            await price(market, trade, financing)
        await asyncio.sleep(0.2)
        assert (await market.state("issuer", trade.issuer)).financings[financing].status == "open"
        market.clock.at += INSTANT
        if priced:
            await asyncio.sleep(0.2)
            await refuse("financing_overdue", price(market, trade, financing))
            assert (await market.state("issuer", trade.issuer)).financings[financing].status == "open"
            market.clock.at += timedelta(days=30)
        for _ in range(500):
            await asyncio.sleep(0.02)
            if (await market.state("issuer", trade.issuer)).financings[financing].status != "open":
                break
    assert (await market.account(trade.fund)).available_usd == held + 1
    await open_round(market, trade, straw)
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []
    assert "pro_rata" in {
        kind for kind, *_ in await find_faults(OfferedParts, market.log, open_until="2036-01-01T00:00:00Z")
    }


async def refuse_issue(market, party_id, proposal_id):
    await consents.refuse(market.handler, market.context(party_id), proposal_id, reason="offer me my part")
    return (await market.state("proposal", proposal_id)).status


async def offer_stock(market, trade, price_usd):
    """Propose two shares for a new buyer, and let all but the fund agree; return the proposal."""
    buyer = await market.party("Buyer", "fund", usd=5_000)
    await act(market, trade.startup, AddStakeholder, holder_id=buyer, name="Buyer", kind="investor")
    stock = {"security_id": derive_id("sec", buyer), "holder_id": buyer, "class_id": "common", "shares": 2}
    price_usd = {"price_usd_per_share": Decimal(price_usd)}
    proposal_id, _ = await ask(market, trade.startup, IssueStock, startup=trade.startup, **stock, **price_usd)
    await agree_but(market, trade.fund, proposal_id)
    return proposal_id


async def offer_warrant(market, trade, shares, last=None):
    """Propose a warrant for a new customer, and let all but the fund agree, or all but `last`; return the proposal."""
    customer = await market.party("Customer", "fund", usd=5_000)
    await act(market, trade.startup, AddStakeholder, holder_id=customer, name="Customer", kind="investor")
    _, proposal_id = await propose_warrant(market, trade, customer, shares, "0.0001")
    await agree_but(market, last or trade.fund, proposal_id)
    return proposal_id


async def agree_but(market, party_id, proposal_id):
    """Let all voters but one agree, while the proposal is open."""
    for voter_id in sorted((await market.state("proposal", proposal_id)).voters - {party_id}):
        assert await vote(market, voter_id, proposal_id) == "open"


@pytest.fixture
async def backed(market, led):
    """Return a trade whose fund has 450 shares beside a bank with 100,000 at the same price."""
    trade, _ = led
    bank = await market.party("Bank", "fund")
    await hold(market, trade.startup, bank, 100_000)
    return trade


async def test_the_others_overcome_the_refusal_of_who_bears_little_and_not_its_silence(market, backed):
    """One small investor refused every issue, also issues at a high price, and nobody could end that."""
    proposal_id = await offer_stock(market, backed, "0.01")
    assert await refuse_issue(market, backed.fund, proposal_id) == "open"
    assert await vote(market, backed.startup, proposal_id) == "effective", "the company agrees again"
    cheap = await offer_stock(market, backed, "0.009")
    market.clock.at += WAIVED_AFTER
    await refuse("not_asked", vote(market, backed.startup, cheap))
    assert await vote(market, backed.fund, cheap) == "effective"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def test_who_refuses_and_then_agrees_has_no_refusal_that_stands(market, backed):
    """It agreed after all, and was asked by itself about every cheaper issue and warrant for half a year."""
    proposal_id = await offer_stock(market, backed, "0.01")
    assert await refuse_issue(market, backed.fund, proposal_id) == "open"
    assert await vote(market, backed.fund, proposal_id) == "effective"
    assert not (await market.state("issuer", backed.issuer)).refusals
    cheap = await offer_stock(market, backed, "0.009")
    market.clock.at += WAIVED_AFTER
    assert await vote(market, backed.startup, cheap) == "effective", "its silence agrees"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def test_a_small_investor_stops_one_of_two_warrants_and_no_row_of_them(market, backed):
    """It could refuse each customer's warrant, for which there is no round; a row of small ones left it nothing."""
    first = await offer_warrant(market, backed, 10_000)
    assert await refuse_issue(market, backed.fund, first) == "open"
    assert await vote(market, backed.startup, first) == "effective"
    second = await offer_warrant(market, backed, 10_000)
    assert f"holder/{backed.fund}" in await list_asked(market, second)
    market.clock.at += WAIVED_AFTER
    await refuse("not_asked", vote(market, backed.startup, second))
    assert await refuse_issue(market, backed.fund, second) == "refused"
    market.clock.at += REFUSED_FOR
    third = await offer_warrant(market, backed, 10_000)
    assert await refuse_issue(market, backed.fund, third) == "open"
    assert await vote(market, backed.startup, third) == "effective"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def test_any_investor_stops_a_great_warrant_and_stock_below_what_it_paid(market, backed):
    assert await refuse_issue(market, backed.fund, await offer_warrant(market, backed, 2_000_000)) == "refused"
    market.clock.at += REFUSED_FOR
    assert await refuse_issue(market, backed.fund, await offer_stock(market, backed, "0.009")) == "refused"


async def test_a_company_that_proposes_again_gains_nothing_by_a_silence(market, led):
    """It proposed the same every day until an investor that had refused each time was away for a week."""
    trade, _ = led
    assert await refuse_issue(market, trade.fund, await offer_stock(market, trade, "0.009")) == "refused"
    again = await offer_stock(market, trade, "0.009")
    async with market.worker():
        market.clock.at += DECIDE_WITHIN
        await market.until("proposal", again, "lapsed")
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def test_a_refusal_reaches_what_was_proposed_beside_it(market, led):
    """A company proposed two issues at once; the fund refused one, and its silence agreed to the other."""
    trade, _ = led
    first, second = [await offer_stock(market, trade, price_usd) for price_usd in ("0.009", "0.0091")]
    assert await refuse_issue(market, trade.fund, first) == "refused"
    market.clock.at += WAIVED_AFTER
    assert await vote(market, trade.startup, second) == "void"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def test_who_refuses_one_of_two_issues_may_still_agree_to_the_other(market, led):
    trade, _ = led
    first, second = [await offer_stock(market, trade, price_usd) for price_usd in ("0.009", "0.0091")]
    assert await refuse_issue(market, trade.fund, first) == "refused"
    assert await vote(market, trade.fund, second) == "effective"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


@pytest.mark.parametrize(("price_usd", "asked"), [("0.009", True), ("0.01", False)])
async def test_a_customer_refuses_stock_below_its_exercise_price_whatever_the_votes_of_free_rights(
    market, led, price_usd, asked
):
    """The founder's friend had more free rights than a customer, and issued itself the company beside them."""
    trade, _ = led
    friend, customer = [await market.party(name, "fund", usd=5_000) for name in ("Friend", "Customer")]
    for party_id, strike in ((friend, "0.0001"), (customer, "0.01")):
        await act(market, trade.startup, AddStakeholder, holder_id=party_id, name="A holder", kind="investor")
        await agree_open(market, (await propose_warrant(market, trade, party_id, 10, strike))[1])
        market.clock.at += WAIVED_AFTER
    proposal_id = await offer_stock(market, trade, price_usd)
    consents_asked = (await market.state("proposal", proposal_id)).made.consents
    (offered,) = [each for each in consents_asked if each.electorate == "pro_rata"]
    assert {each.party_id for each in offered.voters} == {trade.fund} | ({customer} if asked else set())
    assert await vote(market, trade.fund, proposal_id) == "effective", "all others have agreed"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []

    def is_left_out(message):
        body = message.read()
        return message.event_type == "proposal.agreed.v1" and body["party_id"] == customer

    faults = await find_faults(OfferedParts, market.log, drop=is_left_out)
    assert [kind for kind, _, text in faults if customer in text] == (["pro_rata"] if asked else [])


async def test_the_auditor_weighs_refusals_itself(market, backed):
    bank = next(each for each in list_entitled(await market.state("issuer", backed.issuer)) if each != backed.fund)
    proposal_id = await offer_stock(market, backed, "0.01")
    await refuse_issue(market, backed.fund, proposal_id)
    assert await vote(market, backed.startup, proposal_id) == "effective"
    warrant = await offer_warrant(market, backed, 10_000, last=bank)
    assert await vote(market, bank, warrant) == "effective"
    assert await find_faults(OfferedParts, market.log) == []

    def is_left_out(message):
        body = message.read()
        return message.event_type == "proposal.agreed.v1" and (body["proposal_id"], body["party_id"]) == vote_left_out

    for vote_left_out in ((warrant, backed.fund), (proposal_id, bank)):
        ((kind, _, text),) = await find_faults(OfferedParts, market.log, drop=is_left_out)
        assert (kind, vote_left_out[1] in text) == ("pro_rata", True), "a refusal stands, and a silence lasts a week"


@pytest.mark.parametrize(
    ("convention", "asks"), [("pre_money_method", True), ("dollars_invested", True), ("percent_ownership", False)]
)
@pytest.mark.parametrize("refuses", [True, False], ids=["refuses", "silent"])
async def test_who_took_its_part_of_a_round_may_refuse_what_is_signed_after(market, led, convention, asks, refuses):
    """A friend's SAFE, signed after a binding answer, took two fifths of what the fund bought, and nobody asked it."""
    trade, _ = led
    straw = await market.party("Straw", "fund", usd=5_000_000)
    context = market.context(trade.startup)
    terms = structs.replace(build_round(straw), pricing_convention=convention, pool_post_money=Decimal(0))
    await issuers.open_financing(market.handler, context, trade.issuer, name="A", terms=terms)
    financing = derive_id("fin", context.command_id)
    offers, until = await list_offers(market, trade, financing)
    await take(market, trade, financing, trade.fund, offers[trade.fund])
    safe = structs.replace(SAFE, discount=None, valuation_cap_usd=Decimal(900_000_000))
    await join(market, trade.startup, 10_000, safe)
    market.clock.at = until
    await price(market, trade, financing)
    market.clock.at += timedelta(days=10)
    await price(market, trade, financing)
    proposal_id = await propose_closing(market, trade, financing)
    made = (await market.state("proposal", proposal_id)).made
    assert (f"holder/{trade.fund}" in {each.electorate for each in made.consents}) is asks
    if asks and refuses:
        await consents.refuse(market.handler, market.context(trade.fund), proposal_id, reason="I answered before.")
        assert (await market.state("proposal", proposal_id)).status == "refused"
        return
    proposal = await market.state("proposal", proposal_id)
    for party_id in sorted(proposal.voters - proposal.agreed - ({trade.fund} if asks else set())):
        await vote(market, party_id, proposal_id)
    if asks:
        assert (await market.state("proposal", proposal_id)).status == "open"
        market.clock.at += WAIVED_AFTER
        await vote(market, trade.startup, proposal_id)
    assert (await market.state("proposal", proposal_id)).status == "effective"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []
    early = {"proposed_at": market.clock.now().isoformat()}
    assert bool(await find_faults(OfferedParts, market.log, **early)) is asks


async def test_a_closing_is_found_sound_if_next_to_nothing_is_signed_while_it_waits(market, led):
    """The closing took effect, as its shares hardly changed, and the auditor said that the fund had not been asked."""
    trade, founder = led
    safe = structs.replace(SAFE, discount=None, valuation_cap_usd=Decimal(900_000_000))
    friend, _ = await join(market, trade.startup, 10_000, safe)
    straw = await market.party("Straw", "fund", usd=5_000_000)
    context = market.context(trade.startup)
    terms = structs.replace(build_round(straw), pricing_convention="pre_money_method", pool_post_money=Decimal(0))
    await issuers.open_financing(market.handler, context, trade.issuer, name="A", terms=terms)
    financing = derive_id("fin", context.command_id)
    offers, until = await list_offers(market, trade, financing)
    await take(market, trade, financing, trade.fund, offers[trade.fund])
    market.clock.at = until
    await price(market, trade, financing)
    proposal_id = await propose_closing(market, trade, financing)
    for party_id in (founder, friend):
        assert await vote(market, party_id, proposal_id) == "open"
    await join(market, trade.startup, 300, safe)
    assert await vote(market, straw, proposal_id) == "effective"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


@pytest.mark.parametrize(("convention", "status"), [("percent_ownership", "effective"), ("pre_money_method", "void")])
async def test_a_safe_that_is_signed_meanwhile_voids_no_closing_whose_investors_keep_their_part(
    market, led, convention, status
):
    """Each draw of compute voided the closing that waited, also where the new money bought a fixed part."""
    trade, founder = led
    safe = structs.replace(SAFE, discount=None, valuation_cap_usd=Decimal(20_000_000))
    friend, _ = await join(market, trade.startup, 300_000, safe)
    lead = await market.party("Lead", "fund", usd=5_000_000)
    context = market.context(trade.startup)
    terms = structs.replace(build_round(lead), pricing_convention=convention, pool_post_money=Decimal(0))
    await issuers.open_financing(market.handler, context, trade.issuer, name="A", terms=terms)
    financing = derive_id("fin", context.command_id)
    await decline_all(market, trade.issuer)
    await price(market, trade, financing)
    proposal_id = await propose_closing(market, trade, financing)
    for party_id in (founder, friend, trade.fund):
        assert await vote(market, party_id, proposal_id) == "open"
    await join(market, trade.startup, 100_000, safe)
    assert await vote(market, lead, proposal_id) == status
    issuer = await market.state("issuer", trade.issuer)
    if status == "effective":
        part = measure_ownership(issuer, market.clock.now())[lead]
        assert abs(part - Fraction(1, 5)) < Fraction(1, 1_000_000), "5 of 25 million, as agreed"
    await check_log(market.log)
    assert await find_faults(OfferedParts, market.log) == []


async def test_what_nobody_would_elect_voids_no_proposal(market, led):
    """A compute SAFE with a better cap of its own was signed by an auction, and voided a proposal that waited."""
    trade, founder = led
    await join(market, trade.startup, 100)
    _, proposal_id, _ = await ask_straw(market, trade, 1_000_000)
    assert await vote(market, founder, proposal_id) == "open"
    favoured = SafeTerms(conversion_timing="post_money", most_favoured_nation=True)
    await join(market, trade.startup, 1, structs.replace(favoured, valuation_cap_usd=Decimal(900_000)))
    assert await agree_open(market, proposal_id) == "effective"
    assert await find_faults(OfferedParts, market.log) == []
