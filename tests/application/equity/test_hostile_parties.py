"""What hostile parties try against those who hold securities beside them, alone or together with the company."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from events.financing import Investment
from events.issuer_holders import HolderTerms
from events.mandate import MandateTerms
from events.types import MaturityConversion, NoteTerms, StockTerms
from marketplace.application.billing.holds import expire_hold
from marketplace.application.equity import consents, instruments, issuers
from marketplace.application.equity.dilution import limit_dilution
from marketplace.application.equity.notes import mature_note
from marketplace.application.trading import mandates
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder, BuyerStock
from marketplace.domain.equity.issuer.rights_commands import GrantOption, PromiseOption
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustAuthorisedShares,
    CreateStockClass,
    ExerciseFirstRefusal,
    IssueStock,
    OfferStock,
    SplitStock,
)
from tests.application.equity.test_equity import act, build_round, found, invest, pay_in
from tests.application.equity.test_holder_terms import (
    PAPER,
    agree_on,
    list_asked,
    open_round,
    propose_sale,
    take,
    vote,
)
from tests.application.equity.test_net_exercise import value
from tests.support.market.agreeing import act_agreed, agree_all, decline_all
from tests.support.market.invariants import check_log
from tests.support.market.market import SAFE, Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def ask(market, party_id, issuer_id, build, **members):
    """Send an act, and return who is asked, by electorate; None if it took effect at once."""
    context = market.context(party_id)
    await issuers.act(market.handler, context, build(issuer_id=issuer_id, **members))
    proposal_id = await consents.find_proposal(market.handler, context)
    return None if proposal_id is None else await list_asked(market, proposal_id)


async def refuse(code, awaitable):
    with pytest.raises(Refusal) as caught:
        await awaitable
    assert caught.value.code == code


@pytest.mark.parametrize("build", [GrantOption, PromiseOption])
async def test_a_shell_gets_no_votes_by_an_option(market, held, build):
    """An option on the pool, exercised for nothing, outvoted every holder of the class."""
    trade, _, _ = held
    shell, employee = await market.party("Shell", "fund"), derive_id("stk", trade.startup)
    for holder_id, asks in ((shell, {f"holder/{shell}", "class/common"}), (employee, None)):
        await act(market, trade.startup, AddStakeholder, holder_id=holder_id, name="Adviser", kind="other")
        members = {"holder_id": holder_id, "shares": 9_000}
        if build is GrantOption:
            price = Decimal("0.01")
            members |= {"option_id": derive_id("opt", holder_id), "exercise_price_usd": price, "approval": PAPER}
        else:
            members |= {"promise_id": derive_id("prm", holder_id)}
        asked = await ask(market, trade.startup, trade.issuer, build, **members)
        assert (None if asked is None else set(asked)) == asks


@pytest.mark.parametrize(("price", "asks"), [("2", None), ("1.99", {"class/common"})])
async def test_an_employee_with_a_key_agrees_alone_to_an_option_at_a_fair_price(market, held, price, asks):
    """Every class was asked about each option of who has an account here, and about no other one."""
    trade, _, _ = held
    await value(market, None, trade.issuer, 2)
    employee = await market.party("Employee", "fund")
    await act(market, trade.startup, AddStakeholder, holder_id=employee, name="Employee", kind="employee")
    members = {"holder_id": employee, "shares": 900, "exercise_price_usd": Decimal(price), "approval": PAPER}
    asked = await ask(market, trade.startup, trade.issuer, GrantOption, option_id=derive_id("opt", employee), **members)
    assert set(asked) == {f"holder/{employee}", *(asks or ())}


async def test_better_terms_for_one_holder_are_voted_on_by_those_whom_they_dilute(market, held):
    """A SAFE at a cap of 10 M became one at 51,000 by the word of the company and its friend."""
    trade, bank, angel = held
    context = market.context(trade.startup)
    members = {"startup_id": trade.startup, "mandate_id": trade.mandate, "amount_usd": Decimal(50_000), "terms": SAFE}
    receipt = await instruments.invest(market.handler, context, **members)
    await agree_all(market, context)
    context = market.context(trade.startup)
    terms = msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(51_000))
    await instruments.amend_instrument(market.handler, context, receipt.id, terms=terms, applies_to_earlier=True)
    proposal_id = await consents.find_proposal(market.handler, context)
    groups = {"class/common", "disinterested_class/common", "instruments"}
    assert set(await list_asked(market, proposal_id)) == {f"holder/{trade.fund}", *groups, "pro_rata"}
    assert await vote(market, trade.fund, proposal_id) == "open"
    assert await vote(market, bank, proposal_id) == "open", "its terms undercut what the angel paid as well"
    assert await vote(market, angel, proposal_id) == "effective"
    await check_log(market.log)


async def test_principal_is_not_lost_in_a_sale_by_the_votes_of_others(market):
    """A shell whose commitment nothing had drawn outvoted a fund's principal, and the company was sold for a dollar."""
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 50_000)
    shell = await market.party("Shell", "fund", usd=90_000)
    trade.mandate = await market.mandate(
        shell, budget=0, direct_budget_usd=Decimal(90_000), issuer_usd_max=Decimal(90_000)
    )
    context = market.context(trade.startup)
    members = {"startup_id": trade.startup, "mandate_id": trade.mandate, "amount_usd": Decimal(90_000), "terms": SAFE}
    await instruments.invest(market.handler, context, **members)
    await agree_all(market, context)
    low, _ = await propose_sale(market, trade, proceeds_usd=Decimal(139_999))
    assert set(await list_asked(market, low)) == {f"holder/{shell}", f"holder/{trade.fund}", "instruments"}
    assert await vote(market, shell, low) == "open"
    await consents.refuse(market.handler, market.context(trade.fund), low, reason="my principal")
    assert (await market.state("proposal", low)).status == "refused"
    whole, _ = await propose_sale(market, trade, proceeds_usd=Decimal(140_000))
    assert set(await list_asked(market, whole)) == {"instruments"}
    assert await vote(market, shell, whole) == "effective", "everybody gets the principal back"
    await check_log(market.log)


async def test_stock_for_compute_needs_a_limit_that_its_holders_agreed_to(market, held):
    """A startup and a provider traded 765,450 votes for two days of their own compute."""
    trade, bank, _ = held
    terms = MandateTerms(
        instrument_kinds=("stock",), equity_credit=Decimal(1), budget_usd=Decimal(9_000), issuer_usd_max=Decimal(9_000)
    )
    shell = await market.party("Shell", "provider")
    mandate = await mandates.grant_mandate(
        market.handler, market.context(shell), holder_id=shell, funding="own_capacity", terms=terms
    )
    market.instrument = StockTerms(class_id="common", price_usd_per_share=Decimal("0.01"), service_consequence="credit")
    order = {"equity": "1", "mandate_ids": (mandate.id,), "days": 1, "latest": 1}
    await refuse("dilution_unagreed", market.order(trade.startup, **order))
    context = market.context(trade.startup)
    limit = {"dilution_max": Decimal("0.2"), "valuation_usd": None}
    await limit_dilution(market.handler, context, trade.issuer, **limit)
    proposal_id = await consents.find_proposal(market.handler, context)
    assert set(await list_asked(market, proposal_id)) == {"class/common"}, "a first limit lets stock be sold"
    await vote(market, trade.fund, proposal_id)
    assert await vote(market, bank, proposal_id) == "effective"
    await act_agreed(
        market,
        trade.startup,
        CreateStockClass,
        class_id="seed",
        kind="preferred",
        shares_authorised=10_000_000,
        price_per_share_usd=Decimal("0.01"),
        liquidation_multiple=Decimal(2),
        seniority=1,
    )
    assert (await market.state("order", await market.order(trade.startup, **order))).status == "open"
    market.instrument = msgspec.structs.replace(market.instrument, class_id="seed")
    await refuse("price_below_preference", market.order(trade.startup, **order))


async def test_a_threshold_is_lowered_only_by_the_share_that_it_states(market, held):
    """A simple majority voted nine tenths away, and sold."""
    trade, bank, angel = held
    await agree_on(market, trade, sale_share_needed=Decimal("0.9"))
    context = market.context(trade.startup)
    await issuers.agree_holder_terms(market.handler, context, trade.issuer, terms=HolderTerms(), approval=PAPER)
    proposal_id = await consents.find_proposal(market.handler, context)
    assert await list_asked(market, proposal_id) == {"class/common": (3, Decimal("0.9"))}
    assert await vote(market, trade.fund, proposal_id) == "open"
    assert await vote(market, bank, proposal_id) == "open"
    assert await vote(market, angel, proposal_id) == "effective"


async def test_a_buyer_does_not_pay_with_stock_that_it_diluted_since_the_vote(market, held):
    """Ten trillion shares for the buyer's founders between vote and payment left the sellers 74 of them."""
    trade, bank, _ = held
    buyer = await market.party("Buyer", "startup")
    buyer_issuer = await market.issuer(buyer)
    await found(market, buyer)
    stock = {"price_usd_per_share": Decimal("0.01"), "buyer_issuer_id": buyer_issuer, "class_id": "common"}
    sale, liquidity = await propose_sale(
        market, trade, proceeds_usd=Decimal(10_000), stock=BuyerStock(buyer="Buyer", **stock)
    )
    for party_id in (trade.fund, bank, buyer):
        await vote(market, party_id, sale)
    await act(market, buyer, AdjustAuthorisedShares, class_id="common", shares_authorised=10**14)
    issue = {"security_id": derive_id("sec", buyer, "more"), "holder_id": buyer, "class_id": "common"}
    await act(market, buyer, IssueStock, **issue, shares=10**13, price_usd_per_share=Decimal(0))
    await pay_in(market, trade.startup)
    context = market.context(bank)
    await refuse("buyer_diluted", issuers.pay_distribution(market.handler, context, trade.issuer, liquidity))


async def test_money_that_waits_for_a_round_is_free_again_in_time(market, held):
    """A company that neither closed nor abandoned a round kept the money of who joined it by right for ever."""
    trade, bank, _ = held
    await agree_on(market, trade, pro_rata=(bank,))
    lead = await market.party("Lead", "fund")
    await pay_in(market, lead)
    before = (await market.account(bank)).available_usd
    financing = await open_round(market, trade, lead)
    await take(market, trade, financing, bank, "300")
    assert (await market.account(bank)).available_usd == before - 300
    market.clock.at += timedelta(days=70)
    hold_id = derive_id("hld", financing, bank)
    await expire_hold(market.handler, market.context(), rename_id("acc", bank), hold_id)
    assert (await market.account(bank)).available_usd == before
    await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
    context = market.context(trade.startup)
    closing = issuers.close_financing(market.handler, context, trade.issuer, financing, approval=PAPER)
    await refuse("hold_expired", closing)


async def test_an_offer_of_stock_is_not_taken_after_a_consolidation(market, held):
    """Sixty shares offered at a dollar were all that ten for one left, and went for a tenth of the price."""
    trade, bank, angel = held
    offer = {
        "transfer_id": derive_id("trf", bank),
        "holder_id": bank,
        "holder_id_after": trade.startup,
        "class_id": "common",
        "shares": 60,
        "price_usd_per_share": Decimal(1),
        "decide_until": market.clock.now() + timedelta(days=30),
        "at": market.clock.now(),
    }
    assert await ask(market, bank, trade.issuer, OfferStock, **offer) is None
    context = market.context(trade.startup)
    split = {"split_id": derive_id("spl", bank), "numerator": 1, "denominator": 10, "fractions": "round_up"}
    await issuers.act(market.handler, context, SplitStock(issuer_id=trade.issuer, **split))
    await agree_all(market, context)
    taken = {"transfer_id": offer["transfer_id"], "holder_id": angel, "at": market.clock.now(), "approval": PAPER}
    await refuse("offer_split", ask(market, trade.startup, trade.issuer, ExerciseFirstRefusal, **taken))


@pytest.fixture
async def lent(market):
    """Return a function by which a fund lends to a company of nine shares, until 60 days from now."""
    fund = await market.party("Fund", "fund", usd=2_000_000)
    startup = await market.party("Startup", "startup", usd=2_000_000)
    await market.issuer(startup)
    await act(market, startup, AddStakeholder, holder_id=startup, name="Founders", kind="founder")
    await act(market, startup, CreateStockClass, class_id="common", kind="common", shares_authorised=100)
    stock = {"security_id": derive_id("sec", startup), "holder_id": startup, "class_id": "common", "shares": 9}
    await act(market, startup, IssueStock, **stock, price_usd_per_share=Decimal(1))
    terms = MandateTerms(
        instrument_kinds=("convertible_note",),
        equity_credit=Decimal(1),
        budget_usd=Decimal(0),
        direct_budget_usd=Decimal(1_900_000),
        note_rate_min=Decimal(0),
        note_days_min=1,
        issuer_usd_max=Decimal(1_900_000),
    )
    mandate = await mandates.grant_mandate(
        market.handler, market.context(fund), holder_id=fund, funding="cash", terms=terms
    )

    async def lend(class_id, share_rounding="floor"):
        note = NoteTerms(
            annual_rate=Decimal(0),
            interest="simple",
            day_count="thirty_360",
            matures_on=market.clock.at.date() + timedelta(days=60),
            valuation_cap_usd=Decimal(9_000_000),
            at_maturity=MaturityConversion(
                class_id=class_id, capitalization_definition="existing_fully_diluted", share_rounding=share_rounding
            ),
        )
        members = {"startup_id": startup, "mandate_id": mandate.id, "amount_usd": Decimal(1_900_000), "terms": note}
        receipt = await instruments.invest(market.handler, market.context(startup), **members)
        market.clock.at += timedelta(days=70)
        return receipt.id

    return startup, fund, lend


async def test_a_note_that_is_to_convert_is_not_repaid_instead_without_its_holder(market, lent):
    """The company named a class that it never created, so that the note stayed due, and repaid it before a round."""
    startup, fund, lend = lent
    await refuse("stock_class_unknown", lend("never-created"))
    note = await lend("common")
    await mature_note(market.handler, market.context(), note)
    context = market.context(startup)
    await instruments.repay_note(market.handler, context, note)
    proposal_id = await consents.find_proposal(market.handler, context)
    assert f"holder/{fund}" in await list_asked(market, proposal_id)
    assert (await market.state("instrument", note)).repaid is None


@pytest.mark.parametrize("share_rounding", ["floor", "ceiling"])
async def test_a_share_that_is_a_third_of_a_note_is_neither_taken_from_it_nor_given_to_it(market, lent, share_rounding):
    """Of 1.9 shares a note got one, and 900,000 USD were gone; or two, and the others paid for a tenth of a share."""
    startup, _, lend = lent
    note = await lend("common", share_rounding)
    await refuse("conversion_coarse", mature_note(market.handler, market.context(), note, strict=True))
    await mature_note(market.handler, market.context(), note)
    assert (await market.state("instrument", note)).outstanding_usd == 1_900_000, "it stays due"
    split = {"split_id": derive_id("spl", startup), "numerator": 1_000, "denominator": 1}
    await act(market, startup, SplitStock, **split)
    await mature_note(market.handler, market.context(), note)
    (conversion,) = (await market.state("instrument", note)).conversions
    assert conversion.shares == 1_900


async def test_a_most_favoured_holder_that_is_silent_stalls_no_round(market):
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 1_000, msgspec.structs.replace(SAFE, discount=None, most_favoured_nation=True))
    await pay_in(market, trade.fund)
    financing = await open_round(market, trade)
    await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
    pricing = (await market.state("issuer", trade.issuer)).financings[financing].pricing
    assert [each.mfn_election for each in pricing.instruments] == ["declined"]


async def test_a_round_that_sells_next_to_nothing_binds_no_uncapped_safe(market):
    """A shell paid a thousand dollars at a trillion, and a million of principal became twelve shares."""
    trade = await market.trade()
    await found(market, trade.startup)
    await pay_in(market, trade.fund)
    rules = {"budget": 0, "direct_budget_usd": Decimal(10_000), "issuer_usd_max": Decimal(10_000)}
    trade.mandate = await market.mandate(trade.fund, uncapped=True, **rules)
    await invest(market, trade, 10_000, msgspec.structs.replace(SAFE, valuation_cap_usd=None))
    shell = await market.party("Shell", "fund", usd=4_000_000)
    asked = {}
    for amount, pre_money in ((1_000, 10_000_000), (2_000_000, 10_000_000)):
        context = market.context(trade.startup)
        terms = msgspec.structs.replace(
            build_round(shell),
            pre_money_usd=Decimal(pre_money),
            investments=(Investment(holder_id=shell, amount_usd=Decimal(amount)),),
        )
        await issuers.open_financing(market.handler, context, trade.issuer, name="Series A", terms=terms)
        financing = derive_id("fin", context.command_id)
        await decline_all(market, trade.issuer)
        await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
        closing = market.context(trade.startup)
        await issuers.close_financing(market.handler, closing, trade.issuer, financing, approval=PAPER)
        asked[amount] = set(await list_asked(market, await consents.find_proposal(market.handler, closing)))
        context = market.context(trade.startup)
        await issuers.abandon_financing(market.handler, context, trade.issuer, financing, reason="again")
    assert asked[1_000] - asked[2_000_000] == {f"holder/{trade.fund}"}


async def test_a_holder_of_one_share_proposes_no_sale_to_read_what_all_others_get(market, held):
    trade, bank, _ = held
    sale = {"proceeds_usd": Decimal(1_000_000), "safe_seniority": 1}
    await refuse(
        "company_proposes", issuers.declare_liquidity(market.handler, market.context(bank), trade.issuer, **sale)
    )
