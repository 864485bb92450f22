"""Variants of old attacks: the ground changes before the last agreement, a right is dodged, a friend makes a price."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from msgspec import structs

from events.financing import Investment, PayToPlay, PayToPlayDuty
from events.issuer_holders import DragAlong
from events.mandate import MandateTerms
from events.types import MaturityConversion, NoteTerms
from events.vesting import DeliveryMilestone, WarrantTranche
from marketplace.application.access import relations
from marketplace.application.billing import approvals
from marketplace.application.equity import consents, instruments, issuers, warrants
from marketplace.application.equity.dilution import limit_dilution
from marketplace.application.trading import mandates
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.information import limit_event
from marketplace.domain.equity.issuer.as_converted import measure_company
from marketplace.domain.equity.issuer.commands import AddStakeholder, BuyerStock, RecordValuation
from marketplace.domain.equity.issuer.programme_commands import OpenProgramme
from marketplace.domain.equity.issuer.rights_commands import ExerciseOption, GrantOption, IssueWarrant
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustAuthorisedShares,
    AdjustStockPlan,
    ConvertStock,
    CreateStockClass,
    ExerciseFirstRefusal,
    IssueStock,
    OfferStock,
    RepurchaseStock,
    SplitStock,
    TransferStock,
    WithdrawOffer,
)
from marketplace.domain.equity.proposal import WAIVED_AFTER
from tests.application.equity.test_equity import act, deliver_all, found, invest, pay_in
from tests.application.equity.test_holder_terms import PAPER, agree_on, hold, list_asked, propose_sale, vote
from tests.application.equity.test_hostile_pairs import ask, join, price, propose_closing
from tests.application.equity.test_hostile_parties import refuse
from tests.support.market.agreeing import act_agreed, agree_all
from tests.support.market.auditing import CapTableConsents, CountedVotes, OfferedParts, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import SAFE, Market, for_cash

NOTE = NoteTerms(
    annual_rate=Decimal("0.1"),
    interest="simple",
    day_count="thirty_360",
    matures_on=date(2028, 1, 1),
    valuation_cap_usd=Decimal(900_000_000),
    service_consequence="credit",
)
DEAR = (
    structs.replace(SAFE, valuation_cap_usd=NOTE.valuation_cap_usd, discount=Decimal("0.99")),
    structs.replace(NOTE, annual_rate=Decimal(1)),
    structs.replace(NOTE, repayment_multiple=Decimal(1_000_000)),
)
"""A high cap, beside which other terms take a company from its holders."""


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def relate(market, party_id, related_id):
    """Let the platform find that two parties are affiliates."""
    context = market.context()
    found_out = {"kind": "affiliate", "related_id": related_id, "reason": "shareholders' register"}
    await relations.declare_relation(market.handler, context, party_id, **found_out)


async def propose_warrant(market, trade, holder_id, shares, strike="1", days=900):
    """Propose a warrant without conditions, and return it with its proposal."""
    context = market.context(trade.startup)
    terms = IssueWarrant(
        issuer_id=trade.issuer,
        warrant_id=derive_id("wrt", holder_id),
        holder_id=holder_id,
        class_id="common",
        shares=shares,
        exercise_price_usd=Decimal(strike),
        expires_at=market.clock.now() + timedelta(days=days),
        settlement="either",
    )
    await warrants.issue_warrant(market.handler, context, terms)
    return terms.warrant_id, await consents.find_proposal(market.handler, context)


async def agree_open(market, proposal_id):
    """Let all vote until the proposal takes effect or ends, and return its status."""
    proposal = await market.state("proposal", proposal_id)
    for party_id in sorted(proposal.voters - proposal.agreed):
        if (await market.state("proposal", proposal_id)).status == "open":
            await vote(market, party_id, proposal_id)
    return (await market.state("proposal", proposal_id)).status


async def sign_dear(market, startup):
    """Let a friend invest at a cap of 900 M, and return its SAFE."""
    safe = structs.replace(SAFE, discount=None, valuation_cap_usd=Decimal(900_000_000))
    return (await join(market, startup, 1_000_000, safe))[1]


async def cheapen(market, startup, safe):
    """Give a friend's SAFE a cap that is hardly above its principal."""
    context = market.context(startup)
    terms = structs.replace(SAFE, discount=None, valuation_cap_usd=Decimal(1_100_000))
    await instruments.amend_instrument(market.handler, context, safe, terms=terms, applies_to_earlier=True)
    await agree_all(market, context)


async def exercise(market, trade, warrant_id, holder_id, shares, *, net=False):
    """Exercise a warrant, and return its proposal; None if it took effect at once."""
    context = market.context(holder_id)
    exercise_id = derive_id("exr", context.command_id)
    members = {"exercise_id": exercise_id, "warrant_id": warrant_id, "shares": shares, "net": net}
    await warrants.exercise_warrant(market.handler, context, trade.issuer, **members)
    return await consents.find_proposal(market.handler, context)


async def count(market, trade, holder_id, class_id="common"):
    return (await market.state("issuer", trade.issuer)).holdings.get((holder_id, class_id), 0)


async def test_a_most_favoured_holder_voids_no_investment_by_its_notice(market):
    """The end of its window moved with every vote, so that no later investment ever took effect."""
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 1_000, structs.replace(SAFE, discount=None, most_favoured_nation=True))
    second = await market.party("Second", "fund", usd=20_000)
    mandate = await market.mandate(second, **for_cash(20_000))
    context = market.context(trade.startup)
    members = {"startup_id": trade.startup, "mandate_id": mandate, "amount_usd": Decimal(5_000), "terms": SAFE}
    await instruments.invest(market.handler, context, **members)
    proposal_id = await consents.find_proposal(market.handler, context)
    market.clock.at += timedelta(hours=1)
    assert await agree_open(market, proposal_id) == "effective"
    await check_log(market.log)


@pytest.mark.parametrize("change", ["shares", "preference", "terms", "nothing"])
async def test_shares_are_taken_of_the_company_as_it_was_proposed(market, change):
    """Ten trillion shares for the founders, or one with a preference for 9 bn, between the proposal and the answer.

    Or a friend's SAFE at a cap of 900 M got one of 1.1 M, at the same principal.
    """
    trade = await market.trade()
    await found(market, trade.startup)
    buyer = await market.party("Buyer", "fund", usd=20_000)
    friend = None if change != "terms" else await sign_dear(market, trade.startup)
    await act(market, trade.startup, AddStakeholder, holder_id=buyer, name="Buyer", kind="investor")
    offer = {"security_id": derive_id("sec", buyer), "holder_id": buyer, "class_id": "common", "shares": 100_000}
    offer |= {"price_usd_per_share": Decimal("0.1")}
    proposal_id, _ = await ask(market, trade.startup, IssueStock, startup=trade.startup, **offer)
    more = {
        "holder_id": trade.startup,
        "security_id": derive_id("sec", buyer, "more"),
        "price_usd_per_share": Decimal(0),
    }
    if change == "shares":
        await act(market, trade.startup, AdjustAuthorisedShares, class_id="common", shares_authorised=10**14)
        await act(market, trade.startup, IssueStock, class_id="common", shares=10**13, **more)
    elif change == "preference":
        senior = {"class_id": "senior", "kind": "preferred", "shares_authorised": 1, "seniority": 9}
        senior |= {"price_per_share_usd": Decimal(900_000_000), "liquidation_multiple": Decimal(10)}
        await act(market, trade.startup, CreateStockClass, **senior)
        await act(market, trade.startup, IssueStock, class_id="senior", shares=1, **more)
    elif change == "terms":
        await cheapen(market, trade.startup, friend)
    status = await agree_open(market, proposal_id)
    assert status == ("effective" if change == "nothing" else "void")
    assert await count(market, trade, buyer) == (100_000 if change == "nothing" else 0)
    await check_log(market.log)


@pytest.mark.parametrize("change", ["preference", "terms"])
async def test_a_buyer_ranks_nothing_before_the_stock_that_it_pays_with(market, held, change):
    """For two shares the buyer's founder got one with a preference for 90 bn, before the sellers got theirs.

    Or a friend of the buyer got better terms for its SAFE, at the same principal.
    """
    trade, bank, _ = held
    buyer = await market.party("Buyer", "startup")
    buyer_issuer = await market.issuer(buyer)
    await found(market, buyer)
    friend = None if change != "terms" else await sign_dear(market, buyer)
    stock = {"price_usd_per_share": Decimal("0.01"), "buyer_issuer_id": buyer_issuer, "class_id": "common"}
    sale, liquidity = await propose_sale(
        market, trade, proceeds_usd=Decimal(10_000), stock=BuyerStock(buyer="Buyer", **stock)
    )
    assert await agree_open(market, sale) == "effective"
    if change == "terms":
        await cheapen(market, buyer, friend)
    else:
        back = {"repurchase_id": derive_id("rep", buyer), "holder_id": buyer, "class_id": "common", "shares": 2}
        await act(market, buyer, RepurchaseStock, **back, price_usd_per_share=Decimal(0))
        senior = {"class_id": "senior", "kind": "preferred", "shares_authorised": 1, "seniority": 99}
        senior |= {"price_per_share_usd": Decimal(900_000_000), "liquidation_multiple": Decimal(100)}
        await act(market, buyer, CreateStockClass, **senior)
        issue = {"security_id": derive_id("sec", buyer, "1"), "holder_id": buyer, "class_id": "senior", "shares": 1}
        await act(market, buyer, IssueStock, **issue, price_usd_per_share=Decimal(0))
    await pay_in(market, trade.startup)
    context = market.context(bank)
    await refuse("buyer_diluted", issuers.pay_distribution(market.handler, context, trade.issuer, liquidity))


@pytest.mark.parametrize(("price_usd", "code"), [(0, "buyer_diluted"), (1, "buyer_drained")])
async def test_a_buyer_neither_ratchets_nor_spends_before_it_pays_with_its_stock(market, held, price_usd, code):
    """A round at a cent let a friend's 1,000 shares become 100,000 each for stock given back, or it sold that dear."""
    trade, bank, _ = held
    buyer, friend = await market.party("Buyer", "startup", usd=10_000), await market.party("Friend", "fund", usd=50_000)
    buyer_issuer = await market.issuer(buyer)
    await found(market, buyer)
    seed = {"price_per_share_usd": Decimal(1), "liquidation_multiple": Decimal(1), "seniority": 1}
    seed |= {"class_id": "seed", "kind": "preferred", "shares_authorised": 10_000, "price_protection": "full_ratchet"}
    await act(market, buyer, CreateStockClass, **seed)
    await act(market, buyer, AddStakeholder, holder_id=friend, name="Friend", kind="investor")
    issue = {"security_id": derive_id("sec", friend), "holder_id": friend, "class_id": "seed", "shares": 9_000}
    await act_agreed(market, buyer, IssueStock, **issue, price_usd_per_share=Decimal(1))
    stock = {"price_usd_per_share": Decimal("0.01"), "buyer_issuer_id": buyer_issuer, "class_id": "common"}
    sale, liquidity = await propose_sale(
        market, trade, proceeds_usd=Decimal(10_000), stock=BuyerStock(buyer="Buyer", **stock)
    )
    assert await agree_open(market, sale) == "effective"
    back = {"repurchase_id": derive_id("rep", friend), "holder_id": friend, "class_id": "seed", "shares": 8_000}
    await act_agreed(market, buyer, RepurchaseStock, **back, price_usd_per_share=Decimal(price_usd), approval=PAPER)
    if not price_usd:
        round_terms = {
            "pre_money_usd": Decimal(90_010),
            "investments": (Investment(holder_id=friend, amount_usd=Decimal(10)),),
        }
        round_terms |= {"pool_post_money": Decimal(0), "price_places": 6}
        other = SimpleNamespace(startup=buyer, issuer=buyer_issuer, fund=friend)
        closing = await propose_closing(market, other, await price(market, other, **round_terms))
        assert await agree_open(market, closing) == "effective"
    await pay_in(market, trade.startup)
    context = market.context(bank)
    await refuse(code, issuers.pay_distribution(market.handler, context, trade.issuer, liquidity))


async def test_a_buyback_is_voted_on_by_those_whom_it_leaves_less(market, held):
    """A company bought its friend's shares back at 100 dollars each before a sale, and nobody else was asked."""
    trade, bank, angel = held
    back = {"repurchase_id": derive_id("rep", angel), "holder_id": angel, "class_id": "common", "shares": 400}
    others = {"class/common", "disinterested_class/common", "pro_rata"}
    for usd in ("0.01", "100"):
        members = {**back, "price_usd_per_share": Decimal(usd), "approval": PAPER}
        _, groups = await ask(market, trade.startup, RepurchaseStock, startup=trade.startup, **members)
        assert groups == {f"holder/{angel}", *others}, "also at cost no investor has its money back alone"
    issue = {"security_id": derive_id("sec", angel, "dear"), "holder_id": angel, "class_id": "common", "shares": 1}
    await act_agreed(market, trade.startup, IssueStock, **issue, price_usd_per_share=Decimal(100))
    members = {**back, "price_usd_per_share": Decimal(100), "approval": PAPER}
    _, groups = await ask(market, trade.startup, RepurchaseStock, startup=trade.startup, **members)
    assert groups == {f"holder/{angel}", *others}, "one dear share does not make the others dear"
    by_holder = {**back, "price_usd_per_share": Decimal(100), "approval": PAPER}
    _, groups = await ask(market, angel, RepurchaseStock, startup=trade.startup, **by_holder)
    assert groups == {"company", *others}
    offer = {"transfer_id": derive_id("trf", angel), "holder_id": angel, "holder_id_after": bank, "class_id": "common"}
    offer |= {"shares": 400, "price_usd_per_share": Decimal(100), "at": market.clock.now()}
    decide_until = market.clock.now() + timedelta(days=9)
    await ask(market, angel, OfferStock, startup=trade.startup, **offer, decide_until=decide_until)
    members = {"transfer_id": offer["transfer_id"], "holder_id": trade.startup, "at": market.clock.now()}
    _, groups = await ask(market, trade.startup, ExerciseFirstRefusal, startup=trade.startup, **members, approval=PAPER)
    assert groups == {f"holder/{angel}", *others}, "as the taker of an offer it buys back too"


async def test_a_small_class_of_common_stock_is_not_taken_over_by_a_conversion(market, held):
    """A holder of preferred stock became the majority of a class of which another had all, and the veto with it."""
    trade, bank, angel = held
    await act_agreed(market, trade.startup, CreateStockClass, class_id="b", kind="common", shares_authorised=9_000)
    seed = {"price_per_share_usd": Decimal("0.01"), "liquidation_multiple": Decimal(1), "seniority": 1}
    seed |= {"class_id": "seed", "kind": "preferred", "shares_authorised": 1_000}
    await act_agreed(market, trade.startup, CreateStockClass, **seed)
    for holder_id, class_id, shares in ((angel, "b", 100), (bank, "seed", 1_000)):
        issue = {"security_id": derive_id("sec", holder_id, class_id), "holder_id": holder_id, "class_id": class_id}
        await act_agreed(market, trade.startup, IssueStock, **issue, shares=shares, price_usd_per_share=Decimal("0.01"))
    option = {"option_id": derive_id("opt", bank), "holder_id": bank, "shares": 900, "approval": PAPER}
    await act_agreed(market, trade.startup, GrantOption, **option, exercise_price_usd=Decimal("0.01"))
    convert = {"conversion_id": derive_id("cnv", bank), "holder_id": bank, "class_id": "seed", "shares": 1_000}
    _, asked = await ask(market, bank, ConvertStock, startup=trade.startup, **convert, class_id_after="b")
    votes = {"company", "class/common", "disinterested_class/common", "class/b", "class/seed", "options"}
    assert asked == votes - {"class/seed", "options"}, "the bank alone holds seed stock and options"
    exercised = {"exercise_id": derive_id("exr", bank), "option_id": option["option_id"], "shares": 900}
    exercised |= {"class_id": "b", "at": market.clock.now()}
    _, asked = await ask(market, bank, ExerciseOption, startup=trade.startup, **exercised)
    assert asked == votes - {"class/seed", "options"}
    _, asked = await ask(market, bank, ConvertStock, startup=trade.startup, **convert, class_id_after="common")
    assert asked is None, "it joins the largest class by its own right"


async def test_a_note_for_compute_takes_no_preference_that_it_does_not_pay_for(market, held):
    """A provider's note at a dollar a share became senior stock with a preference of 10,000 dollars a share."""
    trade, *_ = held
    shell = await market.party("Shell", "provider")
    usd = Decimal(900_000)
    notes = MandateTerms(
        instrument_kinds=("convertible_note",), equity_credit=Decimal(1), budget_usd=usd, issuer_usd_max=usd
    )
    members = {"holder_id": shell, "funding": "own_capacity", "terms": notes}
    mandate = (await mandates.grant_mandate(market.handler, market.context(shell), **members)).id
    senior = {"class_id": "senior", "kind": "preferred", "shares_authorised": 9_000, "seniority": 9}
    senior |= {"price_per_share_usd": Decimal(100), "liquidation_multiple": Decimal(100)}
    await act_agreed(market, trade.startup, CreateStockClass, **senior)
    become = MaturityConversion(
        class_id="senior", capitalization_definition="existing_fully_diluted", share_rounding="floor"
    )
    market.instrument = NoteTerms(
        annual_rate=Decimal("0.1"),
        interest="simple",
        day_count="thirty_360",
        matures_on=date(2028, 1, 1),
        valuation_cap_usd=Decimal(9_000_000),
        at_maturity=become,
        service_consequence="credit",
    )
    offer = {"cash": "0", "equity": "3", "mandate_ids": (mandate,), "nodes": 2, "days": 30, "latest": 1}
    note = market.instrument
    for class_id, code in (("not-made-yet", "stock_class_unknown"), ("senior", "dilution_unagreed")):
        market.instrument = structs.replace(note, at_maturity=structs.replace(become, class_id=class_id))
        await refuse(code, market.order(trade.startup, **offer))
    context = market.context(trade.startup)
    await limit_dilution(
        market.handler, context, trade.issuer, dilution_max=Decimal("0.5"), valuation_usd=Decimal(9_000_000)
    )
    await agree_all(market, context)
    await refuse("price_below_preference", market.order(trade.startup, **offer))
    market.instrument = structs.replace(market.instrument, at_maturity=structs.replace(become, class_id="common"))
    assert (await market.state("order", await market.order(trade.startup, **offer))).status == "open"
    market.instrument = SAFE
    other = await market.trade()
    await act_agreed(market, other.startup, CreateStockClass, **senior)
    await market.cancel(other.startup, other.order)
    await invest(market, other, 1_000)
    context = market.context(other.startup)
    await limit_dilution(market.handler, context, other.issuer, dilution_max=Decimal("0.9"), valuation_usd=usd)
    await agree_all(market, context)
    market.instrument = note
    order = await market.order(other.startup, **offer)
    assert (await market.state("order", order)).status == "open", "a company without shares has no price yet"


async def test_who_has_a_duty_to_pay_is_offered_its_part_and_agrees_to_more(market, held):
    """A majority named a duty for a holder that the round had no room for, and took its preferred stock."""
    trade, bank, angel = held
    await agree_on(market, trade, pro_rata_waived=(trade.fund, bank, angel))
    seed = {"price_per_share_usd": Decimal("0.01"), "liquidation_multiple": Decimal(1), "seniority": 1}
    seed |= {"class_id": "seed", "kind": "preferred", "shares_authorised": 10_000}
    await act_agreed(market, trade.startup, CreateStockClass, **seed)
    for holder_id, shares in ((bank, 1_000), (angel, 400)):
        issue = {"security_id": derive_id("sec", holder_id, "seed"), "holder_id": holder_id, "class_id": "seed"}
        await act_agreed(market, trade.startup, IssueStock, **issue, shares=shares, price_usd_per_share=Decimal("0.01"))
    lead = await market.party("Lead", "fund", usd=5_000_000)
    for usd, others_usd, asks in ((400, 1_000, False), (500, 1_250, True), (400, 999, True), (1, None, True)):
        owed = {angel: usd} if others_usd is None else {angel: usd, bank: others_usd}
        duties = tuple(
            PayToPlayDuty(holder_id=each, class_id="seed", obligation_usd=Decimal(least))
            for each, least in owed.items()
        )
        play = PayToPlay(duties=duties, class_id_after="common", common_per_preferred=Decimal("0.01"))
        investments = (Investment(holder_id=lead, amount_usd=Decimal(5_000_000)),)
        await refuse("pro_rata_open", price(market, trade, investments=investments, pay_to_play=play))
        financing = (await market.state("issuer", trade.issuer)).find_open_financing().opened
        offers = {each.holder_id: each.amount_max_usd for each in financing.pro_rata}
        assert offers == owed
        assert {each.holder_id: each.duty for each in financing.pro_rata} == {each.holder_id: each for each in duties}
        assert limit_event(financing, angel, "own").terms.pay_to_play == structs.replace(play, duties=duties[:1])
        assert limit_event(financing, trade.fund, "own").terms.pay_to_play is None
        market.clock.at = financing.pro_rata_until
        context = market.context(trade.startup)
        await issuers.price_financing(market.handler, context, trade.issuer, financing.financing_id)
        asked = await list_asked(market, await propose_closing(market, trade, financing.financing_id))
        text = (
            "800 of 9,003,400 shares are 444 of 5,000,000 dollars; the bank has 1,000 of the class, and the angel 400"
        )
        assert (f"holder/{angel}" in asked) is asks, text
        context = market.context(trade.startup)
        abandon = issuers.abandon_financing(
            market.handler, context, trade.issuer, financing.financing_id, reason="again"
        )
        await abandon


async def test_a_duty_of_a_cent_takes_nobodys_say_on_a_cheap_round(market, held):
    """A majority opened a round for itself at a cheap price, and named a duty of a cent for everybody else."""
    trade, bank, angel = held
    seed = {"price_per_share_usd": Decimal("0.01"), "liquidation_multiple": Decimal(1), "seniority": 1}
    seed |= {"class_id": "seed", "kind": "preferred", "shares_authorised": 10_000}
    await act_agreed(market, trade.startup, CreateStockClass, **seed)
    issue = {"security_id": derive_id("sec", bank, "seed"), "holder_id": bank, "class_id": "seed", "shares": 1_000}
    await act_agreed(market, trade.startup, IssueStock, **issue, price_usd_per_share=Decimal("0.01"))
    duties = tuple(
        PayToPlayDuty(holder_id=each, class_id="seed", obligation_usd=Decimal("0.01")) for each in (bank, angel)
    )
    play = PayToPlay(duties=duties, class_id_after="common", common_per_preferred=Decimal(1))
    sham = {
        "pre_money_usd": Decimal(9_000),
        "investments": (Investment(holder_id=trade.fund, amount_usd=Decimal(999)),),
    }
    await refuse("pro_rata_open", price(market, trade, **sham, price_places=8, pay_to_play=play))
    financing = (await market.state("issuer", trade.issuer)).find_open_financing().opened
    market.clock.at = financing.pro_rata_until
    context = market.context(trade.startup)
    await issuers.price_financing(market.handler, context, trade.issuer, financing.financing_id)
    closing = await propose_closing(market, trade, financing.financing_id)
    made = (await market.state("proposal", closing)).made
    (apart,) = (each for each in made.consents if each.electorate == "disinterested_class/common")
    assert {voter.party_id for voter in apart.voters} == {bank, angel}


async def test_one_cheap_share_of_a_friend_lets_nobody_buy_below_what_others_paid(market):
    """A friend with one share for a cent made every cap lawful: the lowest of all prices was the least."""
    trade = await market.trade()
    await found(market, trade.startup)
    await hold(market, trade.startup, await market.party("Friend", "fund"), 1)
    context = market.context(trade.startup)
    members = {"startup_id": trade.startup, "mandate_id": trade.mandate, "amount_usd": Decimal(50_000), "terms": SAFE}
    await instruments.invest(market.handler, context, **members)
    await agree_all(market, context)
    shell = await market.party("Shell", "provider")
    kinds = ("safe", "convertible_note")
    mandate = await market.mandate(shell, "own_capacity", budget=900_000, instrument_kinds=kinds)
    market.instrument = structs.replace(SAFE, valuation_cap_usd=Decimal(9_999_999))
    order = {"cash": "0", "equity": "3", "mandate_ids": (mandate,), "nodes": 2, "days": 30, "latest": 1}
    await refuse("cap_below_holders", market.order(trade.startup, **order))
    for terms in DEAR:
        market.instrument = terms
        await refuse("terms_unagreed", market.order(trade.startup, **order))
    market.instrument = SAFE
    assert (await market.state("order", await market.order(trade.startup, **order))).status == "open"


async def test_a_pro_rata_right_is_dodged_neither_by_a_warrant_nor_by_an_option(market, held):
    """A majority gave itself a warrant at a hundredth of a cent, and exercised it the same day."""
    trade, bank, angel = held
    await agree_on(market, trade, pro_rata=(angel,), pro_rata_days=30)
    _, proposal_id = await propose_warrant(market, trade, trade.fund, 50_000, "0.0001")
    votes = {f"holder/{angel}", "class/common", "disinterested_class/common"}
    assert set(await list_asked(market, proposal_id)) == {f"holder/{trade.fund}", *votes, "pro_rata"}
    option = {"option_id": derive_id("opt", bank), "holder_id": bank, "shares": 5_000}
    option |= {"exercise_price_usd": Decimal("0.0001"), "approval": PAPER}
    _, asked = await ask(market, trade.startup, GrantOption, startup=trade.startup, **option)
    assert asked == {f"holder/{bank}", *votes}


async def test_a_majority_binds_nobody_else_by_its_vote_on_stock_that_it_gets(market, held):
    """A majority of a class let the company issue 50,000 shares to it at a cent, alone or in a round of its own."""
    trade, bank, angel = held
    issue = {"holder_id": trade.fund, "class_id": "common", "shares": 50_000, "price_usd_per_share": Decimal("0.01")}
    await act_agreed(market, trade.startup, IssueStock, **issue, security_id=derive_id("sec", trade.fund, "agreed"))
    issue["security_id"] = derive_id("sec", trade.fund, "more")
    proposal_id, _ = await ask(market, trade.startup, IssueStock, startup=trade.startup, **issue)
    await relate(market, angel, trade.fund)
    assert await vote(market, trade.fund, proposal_id) == "open"
    assert await vote(market, angel, proposal_id) == "open", "what an affiliate of it says counts for it"
    assert await vote(market, bank, proposal_id) == "effective"
    sham = {"pre_money_usd": Decimal(90), "investments": (Investment(holder_id=trade.fund, amount_usd=Decimal(10)),)}
    sham |= {"price_places": 8}
    closing = await propose_closing(market, trade, await price(market, trade, **sham))
    made = (await market.state("proposal", closing)).made
    (apart,) = (each for each in made.consents if each.electorate == "disinterested_class/common")
    assert {voter.party_id for voter in apart.voters} == {bank}
    for usd, asks in (("0.01", False), ("0.02", True)):
        value = RecordValuation(
            issuer_id=trade.issuer,
            price_usd_per_share=Decimal(usd),
            method="409A",
            effective_on=market.clock.now().date(),
        )
        await issuers.record_valuation(market.handler, market.context(), value)
        issue["security_id"] = derive_id("sec", trade.fund, usd)
        _, asked = await ask(market, trade.startup, IssueStock, startup=trade.startup, **issue)
        assert ("disinterested_class/common" in asked) is asks, "at a fair price the majority binds the rest"
    mandate = await market.mandate(trade.fund, **for_cash(9_000), instrument_kinds=("safe", "convertible_note"))
    cheap = structs.replace(NOTE, valuation_cap_usd=Decimal(300_000))
    fair = [structs.replace(SAFE, discount=None), NOTE, cheap]
    dear = [SAFE, structs.replace(cheap, annual_rate=Decimal(1)), DEAR[2]]
    for terms, asks in (*((each, False) for each in fair), *((each, True) for each in dear)):
        context = market.context(trade.startup)
        members = {"startup_id": trade.startup, "mandate_id": mandate, "amount_usd": Decimal(1_000)}
        await instruments.invest(market.handler, context, **members, terms=terms)
        proposal_id = await consents.find_proposal(market.handler, context)
        assert (proposal_id is not None) is asks, "what a cap does not show may be below any price"
    asked = {"disinterested_class/common", "pro_rata"}
    assert set(await list_asked(market, proposal_id)) == asked, "the majority has agreed, and takes more than others"


async def lead(market):
    """Return a trade whose fund has more than half of the stock, which is worth a cent, and a bank with the rest."""
    trade = await market.trade()
    await found(market, trade.startup)
    bank = await market.party("Bank", "fund")
    for holder_id, shares in ((trade.fund, 1_000), (bank, 600)):
        await hold(market, trade.startup, holder_id, shares)
    day = market.clock.now().date()
    value = {"issuer_id": trade.issuer, "price_usd_per_share": Decimal("0.01"), "method": "409A", "effective_on": day}
    await issuers.record_valuation(market.handler, market.context(), RecordValuation(**value))
    return trade, bank


async def test_a_leading_holder_binds_nobody_by_a_round_that_only_it_gains_by(market):
    """Its round had a fair price and a thousandfold preference, or vested its warrant by a friend's few dollars."""
    trade, _ = await lead(market)
    fair = {"pre_money_usd": Decimal(900_000), "pool_post_money": Decimal(0), "price_places": 8}
    fair["investments"] = (Investment(holder_id=trade.fund, amount_usd=Decimal(100)),)
    rounds = [({}, False), ({"liquidation_multiple": Decimal(1_000)}, True), ({"participation": "full"}, True)]
    for number, (terms, asks) in enumerate([*rounds, ({"price_protection": "full_ratchet"}, True), ({}, True)]):
        if number == len(rounds) + 1:
            _, proposal_id = await propose_warrant(market, trade, trade.fund, 50_000)
            assert await agree_open(market, proposal_id) == "effective"
        financing = await price(market, trade, **fair, **terms)
        asked = await list_asked(market, await propose_closing(market, trade, financing))
        assert ("disinterested_class/common" in asked) is asks
        context = market.context(trade.startup)
        await issuers.abandon_financing(market.handler, context, trade.issuer, financing, reason="again")


async def test_a_leading_holder_binds_nobody_by_stock_that_participates_or_by_a_limit(market):
    """It voted for a limit, within which it took stock for its own compute below the price that others had paid."""
    trade, bank = await lead(market)
    both = {"class_id": "both", "kind": "preferred", "shares_authorised": 9, "participation": "full", "seniority": 1}
    both |= {"price_per_share_usd": Decimal("0.01"), "liquidation_multiple": Decimal(1)}
    await act_agreed(market, trade.startup, CreateStockClass, **both)
    issue = {"security_id": derive_id("sec", bank), "holder_id": trade.fund, "class_id": "both", "shares": 9}
    for usd, asks in (("0.01", True), ("0.02", False)):
        members = {**issue, "price_usd_per_share": Decimal(usd)}
        _, asked = await ask(market, trade.startup, IssueStock, startup=trade.startup, **members)
        assert ("disinterested_class/common" in asked) is asks, "it participates beside its preference"
    context = market.context(trade.startup)
    await limit_dilution(market.handler, context, trade.issuer, dilution_max=Decimal("0.9"), valuation_usd=None)
    await vote(market, trade.fund, await consents.find_proposal(market.handler, context))
    order = {"cash": "0", "equity": "3", "mandate_ids": (trade.mandate,), "latest": 1}
    market.instrument = structs.replace(SAFE, valuation_cap_usd=Decimal(80_000))
    await refuse("cap_below_holders", market.order(trade.startup, **order))
    market.instrument = SAFE
    await market.cancel(trade.startup, trade.order)
    order |= {"nodes": 1, "days": 1}
    assert (await market.state("order", await market.order(trade.startup, **order))).status == "open"


async def test_a_consolidation_asks_those_whose_warrants_it_rounds_down(market, held):
    """A bigger warrant outvoted a smaller one, of which nothing was left."""
    trade, bank, angel = held
    for holder_id, shares in ((angel, 900), (bank, 5_000)):
        _, proposal_id = await propose_warrant(market, trade, holder_id, shares)
        assert await agree_open(market, proposal_id) == "effective"
    split = {"split_id": derive_id("spl", bank), "numerator": 1, "denominator": 1_000, "fractions": "round_up"}
    _, asked = await ask(market, trade.startup, SplitStock, startup=trade.startup, **split)
    assert asked == {f"holder/{angel}", "class/common", "warrants"}
    market.clock.at += timedelta(days=15)
    split |= {"split_id": derive_id("spl", bank, "decided")}
    await ask(market, None, SplitStock, startup=trade.startup, **split)
    assert await count(market, trade, trade.fund) == 1, "the platform ends the silence of who would be asked for ever"
    await check_log(market.log)


async def test_a_friend_makes_no_price_at_which_a_majority_buys_half_of_a_holder(market, held):
    """After a round at a fortieth of a dollar, 1,099 shares of 2,399 went for 22 cents."""
    trade, bank, angel = held
    friend = await market.party("Friend", "fund")
    await pay_in(market, friend)
    for holder_id, shares in ((angel, 1_999), (trade.fund, 9_000)):
        issue = {"security_id": derive_id("sec", holder_id, "more"), "holder_id": holder_id, "class_id": "common"}
        await act_agreed(market, trade.startup, IssueStock, **issue, shares=shares, price_usd_per_share=Decimal(10))
    investments = (Investment(holder_id=friend, amount_usd=Decimal(20_000)),)
    financing = await price(market, trade, pre_money_usd=Decimal(200_000), investments=investments, price_places=8)
    assert await agree_open(market, await propose_closing(market, trade, financing)) == "effective"
    split = {"split_id": derive_id("spl", bank), "numerator": 1, "denominator": 1_300, "fractions": "cash_in_lieu"}
    for usd, asks_angel, asks_bank in (("0.001", True, True), ("0.05", True, False), ("10", False, False)):
        split |= {"cash_usd_per_share": Decimal(usd), "split_id": derive_id("spl", bank, usd)}
        _, asked = await ask(market, trade.startup, SplitStock, startup=trade.startup, **split)
        assert (f"holder/{angel}" in asked) is asks_angel, "it paid 10 a share"
        assert (f"holder/{bank}" in asked) is asks_bank, "it keeps no share, and had a small part of its class"


@pytest.mark.parametrize(("cap_usd", "is_asked"), [(1_000_000, True), (900_000, False)])
async def test_a_consolidation_asks_whose_instrument_would_buy_too_few_shares(market, held, cap_usd, is_asked):
    """A fund paid for stock of which a consolidation left none, and a friend with more principal voted for it."""
    trade, *_ = held
    issue = {"security_id": derive_id("sec", trade.fund, "more"), "holder_id": trade.fund, "class_id": "common"}
    await act_agreed(market, trade.startup, IssueStock, **issue, shares=1_000_000, price_usd_per_share=Decimal("0.01"))
    whole = measure_company(await market.state("issuer", trade.issuer))
    terms = structs.replace(SAFE, valuation_cap_usd=Decimal(cap_usd), conversion_timing="pre_money", discount=None)
    small, _ = await join(market, trade.startup, 1_000, terms, valuation_cap_usd_min=Decimal(1))
    split = {"split_id": derive_id("spl", small), "numerator": 1, "denominator": 110, "fractions": "give_up"}
    assert (whole * 1_000 / cap_usd / 110 < 100) is is_asked
    _, asked = await ask(market, trade.startup, SplitStock, startup=trade.startup, **split)
    assert (f"holder/{small}" in asked) is is_asked
    await check_log(market.log)


async def test_a_company_withholds_no_shares_from_who_has_a_right_to_them(market, held):
    """With too few authorised shares neither a warrant nor an option could be exercised, until they expired."""
    trade, bank, angel = held
    warrant, proposal_id = await propose_warrant(market, trade, angel, 1_998_001, "0.01")
    assert await agree_open(market, proposal_id) == "effective"
    option = {"option_id": derive_id("opt", bank), "holder_id": bank, "shares": 900, "approval": PAPER}
    await act_agreed(market, trade.startup, GrantOption, **option, exercise_price_usd=Decimal("0.01"))
    seed = {"price_per_share_usd": Decimal("0.01"), "liquidation_multiple": Decimal(1), "seniority": 1}
    await act_agreed(
        market, trade.startup, CreateStockClass, class_id="seed", kind="preferred", shares_authorised=70, **seed
    )
    issue = {"security_id": derive_id("sec", bank, "seed"), "holder_id": bank, "class_id": "seed", "shares": 70}
    await act_agreed(market, trade.startup, IssueStock, **issue, price_usd_per_share=Decimal("0.01"))
    assert await exercise(market, trade, warrant, angel, 1_998_001) is None
    use = {"exercise_id": derive_id("exr", bank), "option_id": option["option_id"], "class_id": "common", "shares": 900}
    _, asked = await ask(market, bank, ExerciseOption, startup=trade.startup, **use, at=market.clock.now())
    assert asked is None
    convert = {"conversion_id": derive_id("cnv", bank), "holder_id": bank, "class_id": "seed", "shares": 70}
    proposal_id, asked = await ask(
        market, trade.startup, ConvertStock, startup=trade.startup, **convert, class_id_after="common"
    )
    assert asked == {f"holder/{bank}"}, "the company proposes it"
    assert await vote(market, bank, proposal_id) == "effective"
    assert await count(market, trade, angel) == 1_998_401
    assert await count(market, trade, bank) == 600 + 900 + 70
    await check_log(market.log)


async def test_those_who_are_not_related_to_the_company_agree_by_themselves(market, held):
    """The company's affiliate had the majority of a class, and let a super-senior share be issued."""
    trade, bank, angel = held
    await relate(market, trade.fund, trade.startup)
    senior = {"class_id": "senior", "kind": "preferred", "shares_authorised": 10, "seniority": 9}
    senior |= {"price_per_share_usd": Decimal(1_000), "liquidation_multiple": Decimal(100)}
    proposal_id, asked = await ask(market, trade.startup, CreateStockClass, startup=trade.startup, **senior)
    assert asked == {"class/common", "unrelated_class/common"}
    assert await vote(market, trade.fund, proposal_id) == "open"
    assert await vote(market, angel, proposal_id) == "open"
    assert await vote(market, bank, proposal_id) == "effective"

    def is_of_bank(message):
        return message.event_type == "proposal.agreed.v1" and message.read()["party_id"] == bank

    assert await find_faults(CountedVotes, market.log) == []
    faults = await find_faults(CountedVotes, market.log, drop=is_of_bank, consents=[])
    texts = [text for _, _, text in faults]
    assert len(texts) == 1, "nobody is asked by the proposal itself"
    assert "unrelated stock common agreed" in texts[0], texts


async def test_nobody_but_the_company_acts_for_a_holder_without_a_key(market, held):
    """A holder of a few shares converted an investor's preferred stock, exercised its warrant and offered its stock."""
    trade, bank, _ = held
    stranger = derive_id("stk", bank)
    await act(market, trade.startup, AddStakeholder, holder_id=stranger, name="Stranger", kind="investor")
    seed = {"price_per_share_usd": Decimal(1), "liquidation_multiple": Decimal(1), "seniority": 1}
    await act_agreed(
        market, trade.startup, CreateStockClass, class_id="seed", kind="preferred", shares_authorised=70, **seed
    )
    issue = {"security_id": derive_id("sec", stranger), "holder_id": stranger, "class_id": "seed", "shares": 70}
    await act_agreed(market, trade.startup, IssueStock, **issue, price_usd_per_share=Decimal(1))
    warrant, proposal_id = await propose_warrant(market, trade, stranger, 100)
    assert await agree_open(market, proposal_id) == "effective"
    convert = {"conversion_id": derive_id("cnv", bank), "holder_id": stranger, "class_id": "seed", "shares": 70}
    with pytest.raises(Refusal, match=r"only .* proposes this"):
        await ask(market, bank, ConvertStock, startup=trade.startup, **convert, class_id_after="common")
    with pytest.raises(Refusal, match=r"only .* proposes this"):
        await exercise(market, trade, warrant, bank, 100)
    offer = {"transfer_id": derive_id("trf", bank), "holder_id": stranger, "holder_id_after": bank, "class_id": "seed"}
    offer |= {"shares": 1, "price_usd_per_share": Decimal(0), "decide_until": market.day(90), "at": market.clock.now()}
    with pytest.raises(Refusal, match=r"only .* proposes this"):
        await ask(market, bank, OfferStock, startup=trade.startup, **offer)
    assert await ask(market, trade.startup, OfferStock, startup=trade.startup, **offer) == (None, None)
    withdraw = {"transfer_id": offer["transfer_id"], "reason": "none"}
    with pytest.raises(Refusal, match=r"only .* proposes this"):
        await ask(market, bank, WithdrawOffer, startup=trade.startup, **withdraw)
    assert await find_faults(CapTableConsents, market.log) == []
    faults = await find_faults(CapTableConsents, market.log, drop="issuer.formed.v1")
    assert any(stranger in text for _, _, text in faults), "who is not the company acted for a holder without a key"


async def test_a_buyer_s_affiliates_sell_nobody_else_to_it(market, held):
    """The majority of a class sold the company to its own affiliate, for ten dollars, or in the stock of a shell."""
    trade, bank, angel = held
    buyer = await market.party("Buyer", "startup", usd=1_000)
    buyer_issuer = await market.issuer(buyer)
    await found(market, buyer)
    await hold(market, buyer, bank, 10)
    for party_id, related_id in ((bank, buyer), (trade.fund, buyer), (bank, angel)):
        await relate(market, party_id, related_id)
    late = await market.party("Late", "fund")
    await hold(market, trade.startup, late, 7)
    stock = {"price_usd_per_share": Decimal("0.01"), "buyer_issuer_id": buyer_issuer, "class_id": "common"}
    own = {"class/common", "unrelated_class/common", "buyer"}
    sale, _ = await propose_sale(market, trade, proceeds_usd=Decimal(10), assumed_by=buyer_issuer)
    assert set(await list_asked(market, sale)) == own
    stock = BuyerStock(buyer="Buyer", **stock)
    sale, _ = await propose_sale(market, trade, proceeds_usd=Decimal(10_000), stock=stock)
    assert set(await list_asked(market, sale)) == {*own, "buyer_class/common", "buyer_pro_rata"}
    for party_id in (trade.fund, bank, buyer):
        assert await vote(market, party_id, sale) == "open"
    assert await vote(market, late, sale) == "effective"


async def test_who_owns_more_of_the_other_side_of_a_sale_binds_nobody_else(market, held):
    """The majority of a class, which owned most of a shell that no register knew, sold the class for its stock."""
    trade, bank, angel = held
    buyer = await market.party("Buyer", "startup", usd=1_000)
    buyer_issuer = await market.issuer(buyer)
    await found(market, buyer)
    await hold(market, buyer, trade.fund, 1_000_000)
    await hold(market, buyer, bank, 1)
    stock = {"price_usd_per_share": Decimal("0.01"), "buyer_issuer_id": buyer_issuer, "class_id": "common"}
    members = {"proceeds_usd": Decimal(10_000), "stock": BuyerStock(buyer="Buyer", **stock)}
    sale, _ = await propose_sale(market, trade, **members)
    made = (await market.state("proposal", sale)).made
    voters = {each.electorate: {voter.party_id for voter in each.voters} for each in made.consents}
    assert voters["disinterested_class/common"] == {bank, angel}
    assert voters["buyer_disinterested_class/common"] == {trade.fund}, "the bank owns more of what is bought"
    sale, _ = await propose_sale(market, trade, proceeds_usd=Decimal(10), assumed_by=buyer_issuer)
    assert "disinterested_class/common" in await list_asked(market, sale), "it also takes over capacity for cash"
    await agree_on(market, trade, drag_along=DragAlong(share_needed=Decimal("0.51")))
    sale, _ = await propose_sale(market, trade, **members)
    assert (await list_asked(market, sale))["holders_here"] == (2, None)
    shell = await market.party("Shell", "startup", usd=1_000)
    shell_issuer = await market.issuer(shell)
    await found(market, shell)
    mandate = await market.mandate(trade.fund, **for_cash(9_000), uncapped=True)
    for cap, asks in ((Decimal(900_000_000), False), (None, True), (Decimal(10_000), True)):
        context = market.context(shell)
        safe = {"startup_id": shell, "mandate_id": mandate, "amount_usd": Decimal(1_000)}
        safe |= {"terms": structs.replace(SAFE, discount=None, valuation_cap_usd=cap)}
        await instruments.invest(market.handler, context, **safe)
        sale, _ = await propose_sale(market, trade, proceeds_usd=Decimal(10), assumed_by=shell_issuer)
        assert ((await list_asked(market, sale)).get("holders_here") == (2, None)) is asks


async def test_a_buyer_dodges_no_pro_rata_right_of_its_holders_by_buying_a_shell(market, held):
    """The majority of a company let it buy a shell of its friends for new stock, in place of a round or a warrant."""
    trade, _, angel = held
    await agree_on(market, trade, pro_rata=(angel,), pro_rata_days=30)
    shell = await market.party("Shell", "startup")
    shell_issuer = await market.issuer(shell)
    await found(market, shell)
    stock = {"price_usd_per_share": Decimal("0.01"), "buyer_issuer_id": trade.issuer, "class_id": "common"}
    context = market.context(shell)
    sale = {"proceeds_usd": Decimal(10_000), "safe_seniority": 1, "stock": BuyerStock(buyer="Startup", **stock)}
    await issuers.declare_liquidity(market.handler, context, shell_issuer, **sale)
    proposal_id = await consents.find_proposal(market.handler, context)
    own = {"buyer", "buyer_class/common", f"buyer_holder/{angel}", "buyer_pro_rata"}
    assert set(await list_asked(market, proposal_id)) == own


@pytest.mark.parametrize("keyless", [False, True])
async def test_a_company_buys_no_empty_shell_before_its_investors_could_refuse(market, held, keyless):
    """The founder, who led the class, let the company buy a friend's shell for 720 million new shares in a minute."""
    trade, bank, angel = held
    shell, friend = await market.party("Shell", "startup", usd=1_000), await market.party("Friend", "fund", usd=1_000)
    shell_issuer = await market.issuer(shell)
    await act(market, shell, CreateStockClass, class_id="common", kind="common", shares_authorised=10_000_000)
    owner = derive_id("stk", shell) if keyless else friend
    await act(market, shell, AddStakeholder, holder_id=owner, name="Owner", kind="founder")
    issue = {"security_id": derive_id("sec", shell), "holder_id": owner, "class_id": "common", "shares": 1_000}
    await act_agreed(market, shell, IssueStock, **issue, price_usd_per_share=Decimal("0.0001"), approval=PAPER)
    lead = await market.party("Lead", "fund", usd=1_000)
    await hold(market, trade.startup, lead, 3_000)
    authorise = {"class_id": "common", "shares_authorised": 900_000_000}
    await act_agreed(market, trade.startup, AdjustAuthorisedShares, **authorise)
    stock = {"price_usd_per_share": Decimal("1.25"), "buyer_issuer_id": trade.issuer, "class_id": "common"}
    context, members = market.context(shell), {"proceeds_usd": Decimal(900_000_000), "safe_seniority": 1}
    stock = BuyerStock(buyer="Startup", **stock)
    await issuers.declare_liquidity(market.handler, context, shell_issuer, **members, stock=stock)
    sale = await consents.find_proposal(market.handler, context)
    made = (await market.state("proposal", sale)).made
    voters = {each.electorate: {voter.party_id for voter in each.voters} for each in made.consents}
    assert voters["buyer_pro_rata"] == {lead, trade.fund, bank, angel}
    assert voters.get("buyer_disinterested_class/common") == ({trade.fund, bank, angel} if keyless else None)
    asked = {trade.startup, lead, trade.fund, *(() if keyless else (friend,))}
    for party_id in sorted(asked):
        assert await vote(market, party_id, sale) == "open"
    if keyless:
        await vote(market, bank, sale)
        market.clock.at += WAIVED_AFTER
        assert await vote(market, trade.startup, sale) == "effective", "the angel was silent"
        assert await find_faults(OfferedParts, market.log) == []

        def is_of_buyer(message):
            return message.event_type == "proposal.agreed.v1" and message.read()["party_id"] == trade.startup

        assert "pro_rata" in {kind for kind, *_ in await find_faults(OfferedParts, market.log, drop=is_of_buyer)}
    else:
        await consents.refuse(market.handler, market.context(trade.fund), sale, reason="a shell is worth nothing")
        assert (await market.state("proposal", sale)).status == "refused"
    await check_log(market.log)


@pytest.fixture
async def shell(market, held):
    """Return how a stranger's company asks that the fund's company buys it for stock, and the stranger."""
    trade, _, _ = held
    company, friend = await market.party("Shell", "startup"), await market.party("Friend", "fund", usd=1_000)
    issuer = await market.issuer(company)
    await act(market, company, CreateStockClass, class_id="common", kind="common", shares_authorised=10_000_000)
    await act(market, company, AddStakeholder, holder_id=friend, name="Owner", kind="founder")
    issue = {"security_id": derive_id("sec", company), "holder_id": friend, "class_id": "common", "shares": 1_000}
    await act_agreed(market, company, IssueStock, **issue, price_usd_per_share=Decimal("0.0001"), approval=PAPER)
    stock = {"price_usd_per_share": Decimal(1), "buyer_issuer_id": trade.issuer, "class_id": "common"}

    async def sell():
        context, paid = market.context(company), BuyerStock(buyer="Startup", **stock)
        sale = {"proceeds_usd": Decimal(10), "safe_seniority": 1, "stock": paid}
        await issuers.declare_liquidity(market.handler, context, issuer, **sale)
        return await consents.find_proposal(market.handler, context)

    return sell, friend


async def test_who_refuses_a_strangers_proposal_before_its_company_agrees_has_refused_nothing(market, held, shell):
    """A stranger named a buyer that knew nothing of it; who refused had refused at the buyer for 180 days."""
    trade, _, angel = held
    sell, _ = shell

    async def refuse_sale(sale):
        await consents.refuse(market.handler, market.context(angel), sale, reason="what is it worth?")
        return set((await market.state("issuer", trade.issuer)).refusals)

    assert await refuse_sale(await sell()) == set()
    sale = await sell()
    assert await vote(market, trade.startup, sale) == "open"
    assert await refuse_sale(sale) == {angel}, "its company would issue the stock"
    assert f"buyer_holder/{angel}" in await list_asked(market, await sell()), "its refusal stands"
    assert await find_faults(OfferedParts, market.log) == []


@pytest.mark.parametrize("days", [0, 6, 8])
async def test_the_investors_of_a_buyer_have_seven_days_from_its_own_agreement(market, held, shell, days):
    """A buyer agreed after a week to what a stranger had proposed, and its investors' silence had agreed already."""
    trade, bank, angel = held
    sell, friend = shell
    sale = await sell()
    for party_id in sorted({friend, bank, trade.fund}):
        assert await vote(market, party_id, sale) == "open"
    market.clock.at += timedelta(days=days)
    assert await vote(market, trade.startup, sale) == "open", f"{angel} is silent"
    async with market.worker():
        market.clock.at += WAIVED_AFTER - timedelta(microseconds=1)
        await asyncio.sleep(0.3)
        status = (await market.state("proposal", sale)).status
        assert status == ("open" if days < WAIVED_AFTER.days else "lapsed")
        market.clock.at += timedelta(microseconds=1)
        await market.until("proposal", sale, "effective", "lapsed")
    assert await find_faults(OfferedParts, market.log) == []
    assert await find_faults(CapTableConsents, market.log) == []

    def is_of_buyer(message):
        return message.event_type == "proposal.agreed.v1" and message.read()["party_id"] == trade.startup

    found = {kind for kind, *_ in await find_faults(OfferedParts, market.log, drop=is_of_buyer)}
    assert ("pro_rata" in found) is (days < WAIVED_AFTER.days)


async def finance_by_friend(market, trade, holder_id):
    """Give a holder 1,000 rights at 1 dollar, and let a friend pay 5 M for stock. Return the friend and the rights."""
    friend = await market.party("Friend", "fund")
    await pay_in(market, friend)
    warrant, proposal_id = await propose_warrant(market, trade, holder_id, 1_000, "1")
    assert await agree_open(market, proposal_id) == "effective"
    investments = (Investment(holder_id=friend, amount_usd=Decimal(5_000_000)),)
    financing = await price(market, trade, pre_money_usd=Decimal(90_000_000), investments=investments)
    assert await agree_open(market, await propose_closing(market, trade, financing)) == "effective"
    return friend, warrant


@pytest.mark.parametrize("side", ["holder", "company"])
async def test_an_affiliate_makes_no_price_for_a_warrant_alone_also_if_it_is_found_later(market, held, side):
    """The holder's affiliate bought for five millions at 10 a share, and the holder surrendered next to nothing."""
    trade, _, angel = held
    friend, warrant = await finance_by_friend(market, trade, angel)
    assert await exercise(market, trade, warrant, angel, 100, net=True) is None, "a stranger made the price"
    await relate(market, friend, angel if side == "holder" else trade.startup)
    proposal_id = await exercise(market, trade, warrant, angel, 100, net=True)
    assert proposal_id is not None, "those who are diluted vote"
    await check_log(market.log)


async def test_the_price_of_a_round_is_independent_for_a_year(market, held):
    """A round of two years ago, at 10 a share, was the value of a share in a net exercise."""
    trade, _, angel = held
    _, warrant = await finance_by_friend(market, trade, angel)
    market.clock.at += timedelta(days=366)
    assert await exercise(market, trade, warrant, angel, 100, net=True) is None
    market.clock.at += timedelta(days=1)
    assert await exercise(market, trade, warrant, angel, 100, net=True) is not None


async def test_a_price_counts_no_more_once_the_money_behind_it_went_back(market, held):
    """A straw's round made a price, and the company bought the straw out."""
    trade, _, angel = held
    friend, warrant = await finance_by_friend(market, trade, angel)
    assert await exercise(market, trade, warrant, angel, 100, net=True) is None
    back = {"repurchase_id": derive_id("rep", friend), "holder_id": friend, "class_id": "series-a", "approval": PAPER}
    back |= {"shares": await count(market, trade, friend, "series-a"), "price_usd_per_share": Decimal("0.01")}
    await act_agreed(market, trade.startup, RepurchaseStock, **back)
    assert await exercise(market, trade, warrant, angel, 100, net=True) is not None
    await check_log(market.log)


async def test_a_few_dollars_make_no_price(market, held):
    """A straw bought a tenth of the company for a small part of what others had paid for theirs."""
    trade, _, angel = held
    issue = {"security_id": derive_id("sec", angel, "more"), "holder_id": angel, "class_id": "common"}
    await act_agreed(market, trade.startup, IssueStock, **issue, shares=20_000, price_usd_per_share=Decimal(10))
    friend = await market.party("Friend", "fund")
    await pay_in(market, friend)
    warrant, proposal_id = await propose_warrant(market, trade, angel, 1_000, "0.0001")
    assert await agree_open(market, proposal_id) == "effective"
    for paid, counts in ((5_000, False), (20_000, True)):
        investments = (Investment(holder_id=friend, amount_usd=Decimal(paid)),)
        pre_money = Decimal(paid * 9)
        more = {"class_id": f"of-{paid}", "investments": investments, "price_places": 8}
        financing = await price(market, trade, pre_money_usd=pre_money, **more)
        assert await agree_open(market, await propose_closing(market, trade, financing)) == "effective"
        assert (await exercise(market, trade, warrant, angel, 100, net=True) is None) is counts
    await check_log(market.log)


async def test_one_share_of_a_warrant_voids_no_consolidation(market, held):
    """A holder of a warrant exercised one share before each last vote, so that fractions were other ones."""
    trade, bank, angel = held
    warrant, proposal_id = await propose_warrant(market, trade, angel, 1_000, "0.01")
    assert await agree_open(market, proposal_id) == "effective"
    await pay_in(market, trade.startup)
    split = {"split_id": derive_id("spl", bank), "numerator": 1, "denominator": 101, "fractions": "cash_in_lieu"}
    split |= {"cash_usd_per_share": Decimal(1)}
    proposal_id, _ = await ask(market, trade.startup, SplitStock, startup=trade.startup, **split)
    assert await exercise(market, trade, warrant, angel, 1) is None
    before = (await market.account(angel)).available_usd
    assert await agree_open(market, proposal_id) == "effective"
    assert await count(market, trade, angel) == 401 // 101
    assert (await market.account(angel)).available_usd == before + 401 % 101
    await check_log(market.log)


@pytest.mark.parametrize(
    ("fractions", "valued", "status"),
    [("round_up", False, "effective"), ("cash_in_lieu", False, "void"), ("cash_in_lieu", True, "effective")],
)
async def test_a_new_fraction_blocks_no_consolidation_that_rounds_up_or_pays(market, held, fractions, valued, status):
    """A new holder of one share stopped it. Rounded up, everybody keeps one; at a fair price, it is paid.

    Without a price it stops the company until the platform records one.
    """
    trade, bank, _ = held
    value = {"price_usd_per_share": Decimal(1), "method": "409A", "effective_on": market.clock.now().date()}
    value = RecordValuation(issuer_id=trade.issuer, **value)
    if valued:
        await issuers.record_valuation(market.handler, market.context(), value)
    friend = await market.party("Friend", "fund", usd=10)
    await act(market, trade.startup, AddStakeholder, holder_id=friend, name="Friend", kind="investor")
    for holder_id, shares in ((bank, 5_050), (friend, 1_011)):
        warrant, proposal_id = await propose_warrant(market, trade, holder_id, shares, "0.01")
        assert await agree_open(market, proposal_id) == "effective"
    split = {"split_id": derive_id("spl", bank), "numerator": 1, "denominator": 101, "fractions": fractions}
    split |= {"cash_usd_per_share": Decimal(1)} if fractions == "cash_in_lieu" else {}
    await pay_in(market, trade.startup)
    for expected in {status: 0, "effective": 1}:
        split |= {"split_id": derive_id("spl", bank, expected)}
        proposal_id, _ = await ask(market, trade.startup, SplitStock, startup=trade.startup, **split)
        assert await exercise(market, trade, warrant, friend, 1) is None
        proposal = await market.state("proposal", proposal_id)
        for party_id in sorted(proposal.voters - proposal.agreed - {friend}):
            await vote(market, party_id, proposal_id)
        assert (await market.state("proposal", proposal_id)).status == expected
        await issuers.record_valuation(market.handler, market.context(), value)
    await check_log(market.log)
    assert await find_faults(CapTableConsents, market.log) == []


@pytest.mark.parametrize("usd", [50_000, 1])
async def test_two_issuers_of_one_owner_draw_no_more_than_one(market, usd):
    """An owner formed a second company, which drew the issuer's maximum of a mandate once more."""
    fund, owner = await market.party("Fund", "fund", usd=1_000_000), await market.party("Owner", "fund")
    rules = {**for_cash(100_000), "issuer_usd_max": Decimal(50_000), "approval_above_usd": Decimal(50_000)}
    mandate = await market.mandate(fund, **rules)
    first, second = [await market.party(name, "startup") for name in ("First", "Second")]
    for startup in (first, second):
        await market.issuer(startup)
        await relate(market, startup, owner)
    members = {"mandate_id": mandate, "terms": SAFE}
    context = market.context(first)
    await instruments.invest(market.handler, context, startup_id=first, amount_usd=Decimal(50_000), **members)
    invest_more = instruments.invest(
        market.handler, market.context(second), startup_id=second, amount_usd=Decimal(usd), **members
    )
    await refuse("issuer_maximum_reached", invest_more)


@pytest.mark.parametrize("limit", [60, 61])
async def test_one_person_gives_up_a_preference_only_within_the_limit(market, held, limit):
    """A clerk converted a fund's preferred stock into common stock that was worth next to nothing, before a sale."""
    trade, bank, _ = held
    seed = {"price_per_share_usd": Decimal(1), "liquidation_multiple": Decimal(1), "seniority": 1}
    await act_agreed(
        market, trade.startup, CreateStockClass, class_id="seed", kind="preferred", shares_authorised=70, **seed
    )
    issue = {"security_id": derive_id("sec", bank, "seed"), "holder_id": bank, "class_id": "seed", "shares": 61}
    await act_agreed(market, trade.startup, IssueStock, **issue, price_usd_per_share=Decimal(1))
    clerk = {"actor_person": "p1"}
    context = structs.replace(market.context(bank), **clerk)
    await approvals.set_limit(market.handler, context, rename_id("acc", bank), limit_usd=Decimal(limit))
    convert = {"conversion_id": derive_id("cnv", bank), "holder_id": bank, "class_id": "seed", "shares": 61}
    command = ConvertStock(issuer_id=trade.issuer, **convert, class_id_after="common")
    context = structs.replace(market.context(bank), **clerk)
    if limit < 61:
        await refuse("limit_exceeded", issuers.act(market.handler, context, command))
    else:
        await issuers.act(market.handler, context, command)
    await check_log(market.log)


async def test_one_person_lets_no_terms_change_under_which_more_may_accrue_than_it_may_let_go(market):
    """A clerk let the cap of a SAFE grow a thousandfold before the first statement: nothing was outstanding yet."""
    trade = await market.trade()
    await found(market, trade.startup)
    async with market.worker():
        grant = await market.award(trade)
    clerk = structs.replace(market.context(trade.fund), actor_person="p1")
    await approvals.set_limit(market.handler, clerk, rename_id("acc", trade.fund), limit_usd=Decimal(1_000))
    context, terms = market.context(trade.startup), structs.replace(SAFE, valuation_cap_usd=Decimal(10_000_000_000))
    change = {"terms": terms, "applies_to_earlier": True}
    await instruments.amend_instrument(market.handler, context, rename_id("ins", grant.issued.grant_id), **change)
    proposal_id = await consents.find_proposal(market.handler, context)
    clerk = structs.replace(market.context(trade.fund), actor_person="p1")
    await consents.agree(market.handler, clerk, proposal_id)
    assert (await market.state("proposal", proposal_id)).agreed == frozenset(), "it waits for a second person"


async def test_a_grant_of_the_past_vests_nothing_by_its_sides_alone(market):
    """A vendor added last year's grant to a programme, and its new warrant vested at once."""
    trade, grant = await deliver_all(market)
    await act(market, trade.startup, AddStakeholder, holder_id=trade.provider, name="Vendor", kind="other")
    programme = {"programme_id": derive_id("prg", trade.startup), "name": "Purchases", "counts_outside": False}
    sides = {"customer_ids": (trade.startup,), "vendor_ids": (trade.provider,)}
    await act(market, trade.startup, OpenProgramme, **programme, **sides)
    tranche = WarrantTranche(shares=1_000, conditions=((DeliveryMilestone(gpu_seconds=1_000),),))
    terms = IssueWarrant(
        issuer_id=trade.issuer,
        warrant_id=derive_id("wrt", trade.provider),
        holder_id=trade.provider,
        class_id="common",
        shares=1_000,
        exercise_price_usd=Decimal("0.01"),
        expires_at=market.clock.now() + timedelta(days=900),
        settlement="either",
        programme_id=programme["programme_id"],
        tranches=(tranche,),
    )
    context = market.context(trade.startup)
    await warrants.issue_warrant(market.handler, context, terms)
    assert await agree_open(market, await consents.find_proposal(market.handler, context)) == "effective"
    context = market.context(trade.provider)
    add = (trade.issuer, programme["programme_id"], grant.issued.grant_id)
    await warrants.add_programme_grant(market.handler, context, *add)
    proposal_id = await consents.find_proposal(market.handler, context)
    assert set(await list_asked(market, proposal_id)) == {"company", "instruments", "pro_rata"}
    assert (await market.state("issuer", trade.issuer)).warrants[terms.warrant_id].tranches[0].unvested == 1_000
    assert await agree_open(market, proposal_id) == "effective"
    assert (await market.state("issuer", trade.issuer)).warrants[terms.warrant_id].tranches[0].unvested == 0
    await check_log(market.log)


@pytest.mark.parametrize(("usd", "asks"), [(250_000, True), (375_001, False)])
async def test_a_notes_interest_is_not_lost_in_a_sale_by_the_votes_of_others(market, usd, asks):
    """A friend's bigger note agreed to a sale that paid the principal of both, and a year's interest of none."""
    trade = await market.trade()
    await found(market, trade.startup)
    note = structs.replace(NOTE, annual_rate=Decimal("0.5"), valuation_cap_usd=Decimal(9_000_000))
    lenders = [(await join(market, trade.startup, amount, note))[0] for amount in (50_000, 200_000)]
    market.clock.at = datetime(2027, 1, 1, tzinfo=UTC)
    sale, _ = await propose_sale(market, trade, proceeds_usd=Decimal(usd))
    assert set(await list_asked(market, sale)) - {"instruments"} == {f"holder/{each}" for each in lenders if asks}


async def test_an_agreement_does_not_outlive_the_shares_that_it_was_given_with(market, held):
    """A fund agreed to senior stock and sold its shares; its old agreement, with a small holder's, took effect."""
    trade, bank, angel = held
    senior = {"class_id": "senior", "kind": "preferred", "shares_authorised": 10, "seniority": 9}
    senior |= {"price_per_share_usd": Decimal(1_000), "liquidation_multiple": Decimal(100)}
    proposal_id, _ = await ask(market, trade.startup, CreateStockClass, startup=trade.startup, **senior)
    assert await vote(market, trade.fund, proposal_id) == "open"
    give = {"transfer_id": derive_id("trf", angel), "holder_id": trade.fund, "holder_id_after": angel, "shares": 1_000}
    give |= {"class_id": "common", "at": market.clock.now(), "approval": PAPER}
    transfer, _ = await ask(market, trade.startup, TransferStock, startup=trade.startup, **give)
    assert await agree_open(market, transfer) == "effective"
    assert await vote(market, bank, proposal_id) == "void"
    assert "senior" not in (await market.state("issuer", trade.issuer)).classes
    await check_log(market.log)


async def test_a_match_voids_no_limit_that_holders_vote_on(market):
    """An auction awarded a grant before the last vote, so that the limit counted one instrument more, and was void."""
    trade = await market.trade()
    await found(market, trade.startup)
    await hold(market, trade.startup, trade.fund, 100)
    context = market.context(trade.startup)
    limit = {"dilution_max": Decimal("0.5"), "valuation_usd": Decimal(10_000_000)}
    await limit_dilution(market.handler, context, trade.issuer, **limit)
    proposal_id = await consents.find_proposal(market.handler, context)
    async with market.worker():
        await market.award(trade)
    assert await agree_open(market, proposal_id) == "effective"
    assert [each.instrument_id[:3] for each in (await market.state("issuer", trade.issuer)).limit.instruments] == [
        "ins"
    ]

    assert await find_faults(CapTableConsents, market.log) == []
    faults = await find_faults(CapTableConsents, market.log, valuation_usd="1.00")
    assert any("the limit is another" in text for _, _, text in faults)
    await check_log(market.log)


async def test_a_companys_affiliate_drags_nobody_along_with_the_company(market, held):
    """The company's affiliate had more than half of the shares of those who are here, and sold for a dollar."""
    trade, bank, angel = held
    await agree_on(market, trade, drag_along=DragAlong(share_needed=Decimal("0.5001")))
    give = {"transfer_id": derive_id("trf", bank), "holder_id": bank, "holder_id_after": trade.fund, "shares": 200}
    give |= {"class_id": "common", "at": market.clock.now(), "approval": PAPER}
    transfer, _ = await ask(market, trade.startup, TransferStock, startup=trade.startup, **give)
    assert await agree_open(market, transfer) == "effective"
    await relate(market, trade.fund, trade.startup)
    sale, _ = await propose_sale(market, trade, proceeds_usd=Decimal(1))
    assert await vote(market, trade.fund, sale) == "open", "1,200 of 2,000 shares"
    asked = {each.electorate: each.voters for each in (await market.state("proposal", sale)).made.consents}
    assert {each.party_id: each.weight for each in asked["holders_here"]} == {bank: 400, angel: 400}
    for other in (bank, angel):
        await relate(market, other, trade.startup)
    sale, _ = await propose_sale(market, trade, proceeds_usd=Decimal(2))
    assert set(await list_asked(market, sale)) == {"holders"}, "nobody is left who could agree apart"


async def test_the_money_of_a_companys_affiliate_binds_no_uncapped_safe(market):
    """The company's affiliate paid a tenth of a round at its own price, and the fund's SAFE converted at that."""
    trade = await market.trade()
    await found(market, trade.startup)
    await pay_in(market, trade.fund)
    trade.mandate = await market.mandate(trade.fund, uncapped=True, **for_cash(10_000))
    await invest(market, trade, 10_000, structs.replace(SAFE, valuation_cap_usd=None))
    await join(market, trade.startup, 20_000)
    friend = await market.party("Friend", "fund", usd=4_000_000)
    investments = (Investment(holder_id=friend, amount_usd=Decimal(2_000_000)),)
    financing = await price(market, trade, pre_money_usd=Decimal(10_000_000), investments=investments)
    assert f"holder/{trade.fund}" not in await list_asked(market, await propose_closing(market, trade, financing))
    await relate(market, friend, trade.startup)
    assert f"holder/{trade.fund}" in await list_asked(market, await propose_closing(market, trade, financing))


async def test_shares_are_bought_back_once_of_two_proposals(market, held):
    """Two proposals to buy all shares of a bank were both agreed to."""
    trade, bank, _ = held
    await pay_in(market, trade.startup)
    proposals = []
    for name in ("one", "two"):
        take = {"repurchase_id": derive_id("rep", bank, name), "holder_id": bank, "class_id": "common", "shares": 600}
        proposal_id, _ = await ask(
            market, trade.startup, RepurchaseStock, startup=trade.startup, **take, price_usd_per_share=Decimal("0.01")
        )
        proposals.append(proposal_id)
    assert [await agree_open(market, each) for each in proposals] == ["effective", "void"]
    await check_log(market.log)


async def test_a_majority_lets_no_holder_without_a_key_have_stock_that_ranks_before_the_rest(market):
    """A founder's party voted alone, beside a fund, for ten shares that got all of the next sale."""
    trade = await market.trade()
    await found(market, trade.startup)
    founder, ghost = await market.party("Founder", "fund"), derive_id("stk", trade.issuer)
    for holder_id, shares in ((founder, 8_000), (trade.fund, 450)):
        await hold(market, trade.startup, holder_id, shares)
    await act(market, trade.startup, AddStakeholder, holder_id=ghost, name="Ghost", kind="founder")
    terms = {"price_per_share_usd": Decimal(1_000_000), "liquidation_multiple": Decimal(10), "seniority": 9}
    created = {"class_id": "boss", "kind": "preferred", "shares_authorised": 10, **terms}
    proposal, _ = await ask(market, trade.startup, CreateStockClass, startup=trade.startup, **created)
    assert await vote(market, founder, proposal) == "effective", "a class without shares takes nothing"
    price, both = {"price_usd_per_share": Decimal("0.0001")}, {"class/common", "disinterested_class/common"}
    issued = {"security_id": derive_id("sec", ghost), "holder_id": ghost, "class_id": "boss", "shares": 10, **price}
    proposal, asked = await ask(market, trade.startup, IssueStock, startup=trade.startup, **issued)
    assert asked == {*both, "pro_rata"}
    assert await vote(market, founder, proposal) == "open"
    grown, asked = await ask(market, trade.startup, AdjustStockPlan, startup=trade.startup, shares_reserved=9_000_000)
    assert asked == {*both, "pro_rata"}
    assert await vote(market, founder, grown) == "open"
    option = {"option_id": derive_id("opt", ghost), "holder_id": ghost, "shares": 1, "exercise_price_usd": Decimal(1)}
    granted, _ = await ask(market, trade.startup, GrantOption, startup=trade.startup, **option)
    assert granted is None, "the pool was agreed on"
    assert await vote(market, trade.fund, proposal) == "effective"
    assert await find_faults(CountedVotes, market.log) == []
    await check_log(market.log)


@pytest.mark.parametrize(("refuses", "becomes"), [(True, "refused"), (False, "effective")])
async def test_an_investor_refuses_a_large_pool_that_a_bigger_one_lets_pass(market, refuses, becomes):
    """A straw that had invested a little more than a fund voted for a pool of nearly everything, for a ghost."""
    trade = await market.trade()
    await found(market, trade.startup)
    founder, straw = await market.party("Founder", "fund"), await market.party("Straw", "fund")
    for holder_id, shares in ((founder, 8_000), (trade.fund, 1_500), (straw, 1_600)):
        await hold(market, trade.startup, holder_id, shares)
    grown, asked = await ask(market, trade.startup, AdjustStockPlan, startup=trade.startup, shares_reserved=9_000_000)
    assert asked == {"class/common", "disinterested_class/common", "pro_rata"}
    for holder_id in (founder, straw):
        assert await vote(market, holder_id, grown) == "open"
    if refuses:
        await consents.refuse(market.handler, market.context(trade.fund), grown, reason="for whom?")
    else:
        market.clock.at += WAIVED_AFTER
        await consents.carry_out_waived(market.handler, market.context(), grown)
    assert (await market.state("proposal", grown)).status == becomes
    for part in (CountedVotes, OfferedParts):
        assert await find_faults(part, market.log) == []
    await check_log(market.log)
