"""What pairs of parties try against a third: a company with a holder, a recorder, a provider, a buyer, or one clerk."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec import structs

from events.financing import Investment
from events.issuer_holders import HolderTerms
from events.mandate import MandateTerms
from events.types import MaturityConversion, NoteTerms, SafeTerms
from marketplace.application.access import parties
from marketplace.application.billing import accounts, approvals
from marketplace.application.equity import consents, instruments, issuers, warrants
from marketplace.application.supply import inventory
from marketplace.application.supply.schedules import publish_schedule
from marketplace.application.trading import mandates
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.information import find_waterfall, limit_event
from marketplace.domain.equity.issuer.commands import AddStakeholder, BuyerStock, RecordValuation
from marketplace.domain.equity.issuer.rights_commands import ExerciseOption, GrantOption
from marketplace.domain.equity.issuer.stock_commands import (
    ConvertStock,
    CreateStockClass,
    IssueStock,
    RepurchaseStock,
    TransferStock,
)
from marketplace.domain.supply.schedule import STANDARD
from tests.application.equity.test_equity import act, build_round, deliver_all, found, invest, pay_in
from tests.application.equity.test_holder_terms import PAPER, agree_on, list_asked, open_round, propose_sale, vote
from tests.application.equity.test_hostile_parties import refuse
from tests.application.equity.test_reductions import correct, look
from tests.support.market.agreeing import act_agreed, agree_all, decline_all
from tests.support.market.auditing import CountedVotes, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import SAFE, Market, for_cash


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def ask(market, party_id, build, *, startup, **members):
    """Send an act, and return its proposal and who is asked; None twice if it took effect at once."""
    context = market.context(party_id)
    await issuers.act(market.handler, context, build(issuer_id=rename_id("iss", startup), **members))
    proposal_id = await consents.find_proposal(market.handler, context)
    return proposal_id, None if proposal_id is None else set(await list_asked(market, proposal_id))


async def join(market, startup, usd, terms=SAFE, **rules):
    """Let a new fund invest cash in a startup by a mandate of its own, with the votes that it needs; return both."""
    fund = await market.party("Shell", "fund", usd=usd)
    mandate = await mandates.grant_mandate(
        market.handler,
        market.context(fund),
        holder_id=fund,
        funding="cash",
        terms=MandateTerms(
            instrument_kinds=("safe", "convertible_note"),
            equity_credit=Decimal(1),
            budget_usd=Decimal(0),
            direct_budget_usd=Decimal(usd),
            issuer_usd_max=Decimal(usd),
            **{"valuation_cap_usd_max": Decimal(1_000_000_000), **rules},
        ),
    )
    context = market.context(startup)
    members = {"startup_id": startup, "mandate_id": mandate.id, "amount_usd": Decimal(usd), "terms": terms}
    receipt = await instruments.invest(market.handler, context, **members)
    if await consents.find_proposal(market.handler, context) is not None:
        await agree_all(market, context)
    return fund, derive_id("ins", context.command_id) if receipt.id.startswith("prp") else receipt.id


async def price(market, trade, **changes):
    context = market.context(trade.startup)
    terms = structs.replace(build_round(trade.fund), **changes)
    await issuers.open_financing(market.handler, context, trade.issuer, name="Series A", terms=terms)
    financing = derive_id("fin", context.command_id)
    await decline_all(market, trade.issuer)
    await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
    return financing


async def propose_closing(market, trade, financing):
    context = market.context(trade.startup)
    await issuers.close_financing(market.handler, context, trade.issuer, financing, approval=PAPER)
    return await consents.find_proposal(market.handler, context)


async def test_what_may_still_be_drawn_outvotes_no_principal(market):
    """A friend's commitment, of which nothing was delivered, outvoted the cash of a fund on senior stock."""
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 50_000)
    shell = await market.party("Shell", "provider")
    mandate = await market.mandate(shell, "own_capacity", budget=5_000_000)
    _, pool = await market.pool(shell, region="us-west")
    await market.lot(shell, pool, mandate_ids=(mandate,))
    await market.order(trade.startup, cash="0", equity="9", mandate_ids=(mandate,), nodes=2, days=40, latest=1)
    async with market.worker():
        await market.award(trade)
    proposal_id, asked = await ask(
        market,
        trade.startup,
        CreateStockClass,
        startup=trade.startup,
        class_id="senior",
        kind="preferred",
        shares_authorised=10,
        price_per_share_usd=Decimal(1_000),
        liquidation_multiple=Decimal(100),
        seniority=9,
    )
    assert asked == {"instruments", "commitments"}
    assert await vote(market, shell, proposal_id) == "open"
    made = (await market.state("proposal", proposal_id)).made
    drawn = next(consent for consent in made.consents if consent.electorate == "instruments")
    assert [(voter.party_id, voter.weight) for voter in drawn.voters] == [(trade.fund, 5_000_000)]


DEAR = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(1_000_000_000))


@pytest.mark.parametrize(
    ("terms", "weights"),
    [
        (SAFE, (5_000_000, 90_000_000)),
        (structs.replace(SAFE, valuation_cap_usd=Decimal(5_000_000)), (5_000_000, 180_000_000)),
        (DEAR, (5_000_000, 900_000)),
        (structs.replace(DEAR, valuation_cap_usd=None), (5_000_000, 90_000_000)),
    ],
    ids=["alike", "cheap", "dear", "uncapped"],
)
async def test_principal_votes_by_the_part_of_the_company_that_it_buys(market, terms, weights):
    """A straw paid for a SAFE at a cap that gave it a thousandth, and decided alone for the fund on senior stock."""
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 50_000)
    straw, _ = await join(market, trade.startup, 900_000, terms, uncapped=True)
    created = {"class_id": "senior", "kind": "preferred", "price_per_share_usd": Decimal(1_000)}
    created |= {"shares_authorised": 10, "liquidation_multiple": Decimal(100), "seniority": 9}
    proposal_id, _ = await ask(market, trade.startup, CreateStockClass, startup=trade.startup, **created)
    (group,) = (await market.state("proposal", proposal_id)).made.consents
    shown = {voter.party_id: voter.weight for voter in group.voters}
    assert Fraction(shown[straw], shown[trade.fund]) == pytest.approx(Fraction(weights[1], weights[0]), rel=1e-6)
    decides = weights[1] > weights[0]
    assert await vote(market, straw, proposal_id) == ("effective" if decides else "open")
    if not decides:
        assert await vote(market, trade.fund, proposal_id) == "effective"
    await check_log(market.log)
    assert await find_faults(CountedVotes, market.log) == []

    def is_of_fund(message):
        own = {"party_id": trade.fund, "proposal_id": proposal_id}
        return message.event_type == "proposal.agreed.v1" and own.items() <= message.read().items()

    faults = await find_faults(CountedVotes, market.log, drop=is_of_fund)
    assert any("instruments agreed" in text for _, _, text in faults) is not decides


async def test_a_holder_exercises_its_option_without_the_company(market, held):
    """A company never agreed to the exercise of an option that it had granted."""
    trade, _, angel = held
    option = derive_id("opt", angel)
    members = {"holder_id": angel, "shares": 900, "exercise_price_usd": Decimal("0.01"), "approval": PAPER}
    await act_agreed(market, trade.startup, GrantOption, option_id=option, **members)
    exercise = {"exercise_id": derive_id("exr", angel), "option_id": option, "class_id": "common", "shares": 900}
    _, asked = await ask(market, angel, ExerciseOption, startup=trade.startup, **exercise, at=market.clock.now())
    assert asked is None
    assert (await market.state("issuer", trade.issuer)).holdings[angel, "common"] == 1_300
    await check_log(market.log)


async def test_a_note_names_a_class_that_exists(market, held):
    """A note that should become seed stock became common stock, since the company made a common class of that name."""
    trade, *_ = held
    become = MaturityConversion(
        class_id="seed", capitalization_definition="existing_fully_diluted", share_rounding="floor"
    )
    note = NoteTerms(
        annual_rate=Decimal("0.1"),
        interest="simple",
        day_count="thirty_360",
        matures_on=market.clock.at.date() + timedelta(days=60),
        valuation_cap_usd=Decimal(9_000_000),
        at_maturity=become,
    )
    await refuse("stock_class_unknown", join(market, trade.startup, 50_000, note, note_days_min=1))


async def test_a_pro_rata_right_is_dodged_neither_by_stock_without_a_round_nor_by_a_day(market, held):
    """A majority sold a company's stock to itself, share by share, beside the holder whose right covers rounds."""
    trade, bank, angel = held
    await agree_on(market, trade, pro_rata=(angel,), pro_rata_days=30)
    issue = {"security_id": derive_id("sec", angel, "more"), "holder_id": trade.fund, "class_id": "common"}
    issue |= {"shares": 50_000, "price_usd_per_share": Decimal("0.01")}
    _, asked = await ask(market, trade.startup, IssueStock, startup=trade.startup, **issue)
    holders = {f"holder/{trade.fund}", f"holder/{angel}"}
    assert asked == {*holders, "class/common", "disinterested_class/common", "pro_rata"}
    context = market.context(trade.startup)
    terms = HolderTerms(pro_rata=(angel,), pro_rata_days=1)
    await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=terms, approval=PAPER)
    proposal_id = await consents.find_proposal(market.handler, context)
    investors = {f"holder/{each}" for each in (angel, bank, trade.fund)}
    assert set(await list_asked(market, proposal_id)) == {*investors, "class/common"}


async def test_money_that_only_the_company_has_seen_binds_no_uncapped_safe(market):
    """An investor without a key "paid" 30 M outside at a price that made a fund's principal a few hundred shares."""
    trade = await market.trade()
    await found(market, trade.startup)
    await pay_in(market, trade.fund)
    trade.mandate = await market.mandate(trade.fund, uncapped=True, **for_cash(10_000))
    await invest(market, trade, 10_000, structs.replace(SAFE, valuation_cap_usd=None))
    shell, _ = await join(market, trade.startup, 20_000)
    paper = derive_id("stk", trade.startup, "paper")
    await act(market, trade.startup, AddStakeholder, holder_id=paper, name="Paper", kind="investor")
    investments = (Investment(holder_id=paper, amount_usd=Decimal(30_000_000)),)
    financing = await price(market, trade, pre_money_usd=Decimal(300_000_000), investments=investments)
    asked = set(await list_asked(market, await propose_closing(market, trade, financing)))
    assert asked == {f"holder/{trade.fund}", f"holder/{shell}", "instruments", "disinterested_instruments"}


async def test_a_round_takes_no_interest_by_its_date(market):
    """A closing date of a year ago took a year's interest from a note; one far ahead let others pay it in shares."""
    trade = await market.trade()
    await found(market, trade.startup)
    note = NoteTerms(
        annual_rate=Decimal("0.5"),
        interest="simple",
        day_count="thirty_360",
        matures_on=date(2028, 1, 1),
        valuation_cap_usd=Decimal(9_000_000),
    )
    _, instrument = await join(market, trade.startup, 50_000, note)
    market.clock.at += timedelta(days=365)
    today = market.clock.at.date()
    for days in (-365, 330):
        await refuse("closing_date_far", price(market, trade, closing_date=today + timedelta(days=days)))
        financing = (await market.state("issuer", trade.issuer)).find_open_financing().opened.financing_id
        context = market.context(trade.startup)
        await issuers.abandon_financing(market.handler, context, trade.issuer, financing, reason="again")
    ahead = await price(market, trade, closing_date=today + timedelta(days=91))
    await refuse("closing_date_far", propose_closing(market, trade, ahead))
    await issuers.abandon_financing(market.handler, market.context(trade.startup), trade.issuer, ahead, reason="again")
    financing = await price(market, trade, closing_date=today)
    (conversion,) = (await market.state("issuer", trade.issuer)).financings[financing].pricing.conversions
    assert (conversion.instrument_id, conversion.amount_exact) == (instrument, "75000/1")
    market.clock.at += timedelta(days=15)
    await refuse("closing_date_far", propose_closing(market, trade, financing))


async def test_a_declared_sale_is_not_held_up_share_by_share(market, held):
    """A holder that lost the vote converted one share of a hundred before each payment, which had to be voted again."""
    trade, bank, angel = held
    seed = {"price_per_share_usd": Decimal("0.01"), "liquidation_multiple": Decimal(1), "seniority": 1}
    await act_agreed(
        market, trade.startup, CreateStockClass, class_id="seed", kind="preferred", shares_authorised=100, **seed
    )
    issue = {"security_id": derive_id("sec", angel, "seed"), "holder_id": angel, "class_id": "seed", "shares": 100}
    await act_agreed(market, trade.startup, IssueStock, **issue, price_usd_per_share=Decimal("0.01"))
    sale, liquidity = await propose_sale(market, trade)
    for party_id in (trade.fund, bank, angel):
        status = await vote(market, party_id, sale)
    assert status == "effective"
    convert = {"conversion_id": derive_id("cnv", angel), "holder_id": angel, "class_id": "seed", "shares": 1}
    dust = ask(market, angel, ConvertStock, startup=trade.startup, **convert, class_id_after="common")
    await refuse("sale_declared", dust)
    await pay_in(market, trade.startup)
    await parties.suspend_party(market.handler, market.context(), trade.startup, reason="fraud")
    pay = {"issuer_id": trade.issuer, "liquidity_id": liquidity}
    await refuse("party_suspended", issuers.pay_distribution(market.handler, market.context(bank), **pay))
    await parties.clear_party(market.handler, market.context(), trade.startup, checks=("court",))
    await issuers.pay_distribution(market.handler, market.context(bank), **pay)
    await check_log(market.log)


@pytest.mark.parametrize("change", ["round", "sale"])
async def test_a_provider_takes_no_principal_back_while_its_price_is_known(market, change):
    """A provider with the company voided a day of last month at its cost, while a round was open at ten times it."""
    trade, grant = await deliver_all(market)
    before = await look(market, trade, grant)
    if change == "round":
        await open_round(market, trade)
    else:
        context = market.context(trade.startup)
        sale = {"proceeds_usd": Decimal(100_000_000), "safe_seniority": 1}
        await issuers.declare_liquidity(market.handler, context, trade.issuer, **sale)
        await agree_all(market, context)
    proposal_id = await correct(market, trade, grant)
    assert await look(market, trade, grant) == before
    assert set(await list_asked(market, proposal_id)) == {f"holder/{trade.fund}"}
    await vote(market, trade.fund, proposal_id)
    await check_log(market.log)


async def test_a_most_favoured_holder_is_notified_of_a_note(market):
    """A later note at a third of the cap gave the holder of a most-favoured SAFE no notice."""
    trade = await market.trade()
    await found(market, trade.startup)
    favoured = await invest(market, trade, 1_000, structs.replace(SAFE, discount=None, most_favoured_nation=True))
    note = NoteTerms(
        annual_rate=Decimal("0.5"),
        interest="simple",
        day_count="thirty_360",
        matures_on=date(2028, 1, 1),
        valuation_cap_usd=Decimal(3_000_000),
        discount=Decimal("0.3"),
    )
    _, later = await join(market, trade.startup, 50_000, note)
    context = market.context(trade.fund)
    await instruments.elect_mfn(market.handler, context, favoured.id, later_instrument_id=later)
    terms = (await market.state("instrument", favoured.id)).election.terms
    assert (terms.conversion_timing, terms.valuation_cap_usd, terms.discount) == ("pre_money", 3_000_000, note.discount)
    assert terms.service_consequence == SAFE.service_consequence
    await check_log(market.log)


async def test_compute_buys_no_safe_below_what_the_holders_paid(market, held):
    """A friend's SAFE at a cap of 60,000, for its own compute, was more than half of a company worth 80,000."""
    trade, bank, _ = held
    shell = await market.party("Shell", "provider")
    mandate = await market.mandate(shell, "own_capacity", budget=900_000)
    offer = {"cash": "0", "equity": "3", "mandate_ids": (mandate,), "nodes": 2, "days": 30, "latest": 1}
    market.instrument = structs.replace(SAFE, valuation_cap_usd=Decimal(60_000))
    await refuse("cap_below_holders", market.order(trade.startup, **offer))
    market.instrument = structs.replace(SAFE, valuation_cap_usd=Decimal(100_000))
    await refuse("dilution_unagreed", market.order(trade.startup, **offer))  # it is more than the company is worth
    assert bank in (await market.state("issuer", trade.issuer)).stakeholders
    await market.cancel(trade.startup, trade.order)
    offer |= {"nodes": 1, "days": 1}
    assert (await market.state("order", await market.order(trade.startup, **offer))).status == "open"


async def test_a_buyer_takes_no_safe_before_it_pays_with_its_stock(market, held):
    """Between vote and payment the buyer's friend signed a SAFE for 99 parts of 100 of it."""
    trade, bank, _ = held
    buyer = await market.party("Buyer", "startup", usd=1_000)
    buyer_issuer = await market.issuer(buyer)
    await found(market, buyer)
    stock = {"price_usd_per_share": Decimal("0.01"), "buyer_issuer_id": buyer_issuer, "class_id": "common"}
    sale, liquidity = await propose_sale(
        market, trade, proceeds_usd=Decimal(10_000), stock=BuyerStock(buyer="Buyer", **stock)
    )
    made = (await market.state("proposal", sale)).made
    for party_id, sees in ((trade.startup, False), (trade.fund, False), (buyer, True)):
        shown = limit_event(made, party_id, "full")
        stock = find_waterfall(shown.effects).stock
        numbers = (stock.buyer_shares, stock.buyer_principal_usd, stock.buyer_preference_exact)
        assert all(each is not None for each in numbers) if sees else not any(numbers)
        assert stock.buyer_issuer_id == buyer_issuer
    for party_id in (trade.fund, bank, buyer):
        await vote(market, party_id, sale)
    await join(market, buyer, 10_000, structs.replace(SAFE, valuation_cap_usd=Decimal(10_100)))
    await pay_in(market, trade.startup)
    context = market.context(bank)
    await refuse("buyer_diluted", issuers.pay_distribution(market.handler, context, trade.issuer, liquidity))


async def test_an_old_agreement_to_a_lower_sale_is_void_once_a_higher_one_is_declared(market, held):
    """Votes for a sale at 100 dollars, given before there was a better one, replaced the one at a million."""
    trade, bank, angel = held
    low, _ = await propose_sale(market, trade, proceeds_usd=Decimal(100))
    await vote(market, trade.fund, low)
    high, liquidity = await propose_sale(market, trade, proceeds_usd=Decimal(1_000_000))
    await vote(market, trade.fund, high)
    assert await vote(market, bank, high) == "effective"
    assert await vote(market, angel, low) == "void"
    assert (await market.state("issuer", trade.issuer)).liquidity_id == liquidity
    await check_log(market.log)


async def test_safes_rank_before_preferred_stock_only_as_each_of_its_holders_agrees(market, held):
    """A majority of a class, which held SAFEs too, ranked these before the preference of all."""
    trade, _, angel = held
    seed = {"price_per_share_usd": Decimal("0.01"), "liquidation_multiple": Decimal(1), "seniority": 5}
    await act_agreed(
        market, trade.startup, CreateStockClass, class_id="seed", kind="preferred", shares_authorised=100, **seed
    )
    issue = {"security_id": derive_id("sec", angel, "seed"), "holder_id": angel, "class_id": "seed", "shares": 100}
    await act_agreed(market, trade.startup, IssueStock, **issue, price_usd_per_share=Decimal("0.01"))
    for rank, asked in ((5, set()), (6, {f"holder/{angel}"})):
        sale, _ = await propose_sale(market, trade, safe_seniority=rank)
        assert set(await list_asked(market, sale)) == asked | {"class/common", "class/seed"}


async def test_one_share_that_ranks_before_safes_takes_nobodys_own_agreement_to_rank_behind_them(market, held):
    """A friend's share of a senior class hid that all other preferred stock ranked behind the SAFEs."""
    trade, bank, angel = held
    for name, rank, holder in (("seed", 1, angel), ("top", 5, bank)):
        terms = {"price_per_share_usd": Decimal("0.01"), "liquidation_multiple": Decimal(1), "seniority": rank}
        await act_agreed(
            market, trade.startup, CreateStockClass, class_id=name, kind="preferred", shares_authorised=100, **terms
        )
        issue = {"security_id": derive_id("sec", holder, name), "holder_id": holder, "class_id": name, "shares": 1}
        await act_agreed(market, trade.startup, IssueStock, **issue, price_usd_per_share=Decimal("0.01"))
    for rank, asked in ((1, ()), (2, (angel,)), (5, (angel,)), (6, (angel, bank))):
        sale, _ = await propose_sale(market, trade, safe_seniority=rank)
        alone = {f"holder/{each}" for each in asked}
        assert set(await list_asked(market, sale)) == alone | {"class/common", "class/seed", "class/top"}


async def test_one_clerk_spends_no_more_than_the_limit_by_a_sale(market):
    """Money that two persons guard left by a sale of the company to a mule."""
    startup = await market.party("Startup", "startup", usd=500_000)
    issuer, account = await market.issuer(startup), rename_id("acc", startup)
    await found(market, startup)
    clerk = {"actor_person": "p1"}
    mule = derive_id("stk", startup, "mule")
    await act(market, startup, AddStakeholder, holder_id=mule, name="Mule", kind="other")
    issue = {"security_id": derive_id("sec", mule), "holder_id": mule, "class_id": "common", "shares": 1_000_000}
    await act(market, startup, IssueStock, **issue, price_usd_per_share=Decimal(0))
    context = structs.replace(market.context(startup), **clerk)
    await approvals.set_limit(market.handler, context, account, limit_usd=Decimal(3_000))
    sale = {"proceeds_usd": Decimal(500_000), "safe_seniority": 1}
    context = structs.replace(market.context(startup), **clerk)
    await refuse("limit_exceeded", issuers.declare_liquidity(market.handler, context, issuer, **sale))
    await check_log(market.log)


async def test_a_clerk_of_the_platform_decides_nothing_for_parties(market, held):
    """A key of the platform for one thing took a fund's shares at 0, and the money of a party that it had suspended.

    It also made the price at which a warrant was exercised without a vote, vested others by prices and milestones, and
    lifted the limit of what it may deposit alone, ended proposals, sold lots at a cent and revoked mandates.
    """
    trade, *_ = held

    def clerk():
        return structs.replace(market.context(), decides=False)

    take = {"repurchase_id": derive_id("rep", trade.fund), "holder_id": trade.fund, "class_id": "common"}
    command = RepurchaseStock(issuer_id=trade.issuer, **take, shares=1_000, price_usd_per_share=Decimal(0))
    await refuse("scope_missing", issuers.act(market.handler, clerk(), command))
    await parties.suspend_party(market.handler, market.context(), trade.fund, reason="fraud")
    money = {"amount_usd": Decimal(10), "reference": "mule"}
    await refuse("scope_missing", accounts.withdraw(market.handler, clerk(), rename_id("acc", trade.fund), **money))
    value = RecordValuation(
        issuer_id=trade.issuer, price_usd_per_share=Decimal(1), method="409A", effective_on=market.clock.at.date()
    )
    await refuse("scope_missing", issuers.record_valuation(market.handler, clerk(), value))
    await refuse("scope_missing", publish_schedule(market.handler, clerk(), terms=STANDARD))
    source = {"source_id": derive_id("src", trade.fund), "day": market.clock.at.date(), "volume": 1}
    price = {"price_usd_per_share": Decimal(1)}
    await refuse("scope_missing", warrants.observe_price(market.handler, clerk(), trade.issuer, **source, **price))
    said = {"milestone": "licence", "document": "letter"}
    warrant_id = derive_id("wrt", trade.fund)
    await refuse("scope_missing", warrants.attest_milestone(market.handler, clerk(), trade.issuer, warrant_id, **said))
    sale, _ = await propose_sale(market, trade)
    await refuse("scope_missing", consents.withdraw_proposal(market.handler, clerk(), sale, reason="mule"))
    ask_usd = {"ask_usd_per_gpu_hour": Decimal("0.01")}
    await refuse("scope_missing", inventory.reprice_lot(market.handler, clerk(), trade.lot, **ask_usd))
    revoke = mandates.revoke_mandate(market.handler, clerk(), trade.mandate, reason="mule")
    await refuse("scope_missing", revoke)
    await issuers.record_valuation(market.handler, market.context(), value)
    await accounts.withdraw(market.handler, market.context(), rename_id("acc", trade.fund), **money)


async def test_stock_that_a_company_bought_back_goes_to_nobody_without_those_who_agree_to_an_issue(market):
    """A company passed a fund's preferred stock, once it was bought back, to a founder without a key; nobody agreed."""
    trade = await market.trade()
    await found(market, trade.startup)
    await pay_in(market, trade.fund, 5_000_000)
    financing = await price(market, trade)
    await vote(market, trade.fund, await propose_closing(market, trade, financing))
    moved = {"class_id": "series-a", "shares": 100, "at": market.clock.now()}
    back = {
        "transfer_id": derive_id("trf", trade.fund, "back"),
        "holder_id": trade.fund,
        "holder_id_after": trade.startup,
    }
    await act_agreed(market, trade.startup, TransferStock, **moved, **back)
    founder = derive_id("stk", trade.fund, "friend")
    await act(market, trade.startup, AddStakeholder, holder_id=founder, name="Friend", kind="founder")
    gift = {"transfer_id": derive_id("trf", trade.fund, "gift"), "holder_id": trade.startup, "holder_id_after": founder}
    proposal_id, asked = await ask(market, trade.startup, TransferStock, startup=trade.startup, **moved, **gift)
    assert asked == {"class/series-a", "pro_rata"}
    await consents.refuse(market.handler, market.context(trade.fund), proposal_id, reason="it was bought back")
    held = (await market.state("issuer", trade.issuer)).holdings
    assert (held[trade.startup, "series-a"], held.get((founder, "series-a"))) == (100, None)
    await check_log(market.log)
