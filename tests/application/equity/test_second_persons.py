"""A second person confirms a consent by which the party may lose more than its account lets one person let go."""

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec import structs

from events.account import ConsentAct
from events.financing import PayToPlay, PayToPlayDuty
from marketplace.application.access.parties import suspend_party
from marketplace.application.billing import approvals
from marketplace.application.equity import consents, issuers
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder, BuyerStock
from marketplace.domain.equity.issuer.rights_commands import GrantOption, TransferOption
from marketplace.domain.equity.issuer.stock_commands import (
    AdjustStockPlan,
    CreateStockClass,
    IssueStock,
    TransferStock,
)
from tests.application.equity.test_consents import propose
from tests.application.equity.test_equity import act, build_round, found
from tests.application.equity.test_holder_terms import PAPER, hold, propose_sale
from tests.support.market.agreeing import act_agreed
from tests.support.market.auditing import CountedStakes, find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
async def market(memory_log):
    market = Market(memory_log)
    yield market
    await check_log(market.log)


@pytest.fixture
async def held(market):
    """Return a trade, and a bank that paid 6 USD for 600 shares. One person of it lets 5 USD go, two let go more."""
    trade, bank = await market.trade(), await market.party("Bank", "fund")
    await found(market, trade.startup)
    await hold(market, trade.startup, bank, 600)
    await limit(market, bank, 5)
    return trade, bank


async def limit(market, party_id, usd):
    context = structs.replace(market.context(party_id), actor_person="clerk")
    await approvals.set_limit(market.handler, context, rename_id("acc", party_id), limit_usd=Decimal(usd))


async def agree(market, party_id, proposal_id, person="clerk"):
    """Agree as one person; return the request that waits for another, None if there is none."""
    context = structs.replace(market.context(party_id), actor_person=person)
    await consents.agree(market.handler, context, proposal_id)
    return await approvals.find_approval(market.handler, context, rename_id("acc", party_id))


async def approve(market, party_id, approval_id, person="chief"):
    context = structs.replace(market.context(party_id), actor_person=person)
    return await approvals.approve(market.handler, context, rename_id("acc", party_id), approval_id)


async def refuse(code, awaitable):
    with pytest.raises(Refusal) as caught:
        await awaitable
    assert caught.value.code == code


async def read_act(market, party_id, approval_id):
    return (await market.account(party_id)).approvals[approval_id].requested.act


async def test_one_person_alone_does_not_agree_to_a_sale_of_the_company(market, held):
    """A clerk with one scope sold a fund's company, though its account let one person pay only a little."""
    trade, bank = held
    sale, liquidity = await propose_sale(market, trade)
    asked = await agree(market, bank, sale)
    assert (await market.state("proposal", sale)).agreed == frozenset()
    assert not (await market.account(bank)).holds
    await refuse("person_same", approve(market, bank, asked, "clerk"))
    await approve(market, bank, asked)
    assert (await market.state("proposal", sale)).status == "effective"
    assert (await market.state("issuer", trade.issuer)).liquidity_id == liquidity
    assert (await market.account(bank)).used == ()
    await refuse("approval_approved", approve(market, bank, asked, "another"))
    assert not await find_faults(CountedStakes, market.log)
    for fault in ({"drop": "account.approval_given.v1"}, {"act": {"kind": "consent", "proposal_id": "another"}}):
        assert await find_faults(CountedStakes, market.log, **fault)


STOCK = {"class_id": "common", "price_usd_per_share": Decimal(0)}
SENIOR = {"class_id": "senior", "kind": "preferred", "shares_authorised": 10, "seniority": 9}
SENIOR |= {"price_per_share_usd": Decimal(1_000), "liquidation_multiple": Decimal(100)}


@pytest.mark.parametrize(
    ("command", "members"),
    [
        (CreateStockClass, SENIOR),
        (AdjustStockPlan, {"shares_reserved": 5_000_000}),
        (IssueStock, STOCK),
    ],
)
async def test_every_vote_of_a_holder_counts_as_its_whole_stake(market, held, command, members):
    trade, bank = held
    if command is IssueStock:
        mule = await market.party("Mule", "fund")
        await act(market, trade.startup, AddStakeholder, holder_id=mule, name="Mule", kind="investor")
        members = {**members, "holder_id": mule, "security_id": derive_id("sec", mule), "shares": 100}
    proposal_id = await propose(market, trade.startup, trade.issuer, command, **members)
    asked = await agree(market, bank, proposal_id)
    assert await read_act(market, bank, asked) == ConsentAct(proposal_id=proposal_id, value_usd=Decimal(6))


async def test_votes_count_with_what_one_person_let_go_before(market, held):
    """Many small consents are one large one: at 12 USD a day, one person votes twice with a stake of 6 USD."""
    trade, bank = held
    context = structs.replace(market.context(bank), actor_person="clerk")
    account_id = rename_id("acc", bank)
    await approvals.set_limit(market.handler, context, account_id, limit_usd=Decimal(12))
    await approve(market, bank, await approvals.find_approval(market.handler, context, account_id))
    asked = []
    for number in range(3):
        senior = {**SENIOR, "class_id": f"senior-{number}"}
        proposal_id = await propose(market, trade.startup, trade.issuer, CreateStockClass, **senior)
        asked.append(await agree(market, bank, proposal_id))
    assert [each is None for each in asked] == [True, True, False]
    assert sum(each.amount_usd for each in (await market.account(bank)).used) == 12


async def test_a_sale_counts_at_its_proceeds_if_they_are_more_than_the_stake(market, held):
    trade, bank = held
    sale, _ = await propose_sale(market, trade, proceeds_usd=Decimal(1_000_000))
    waterfall = (await market.state("proposal", sale)).made
    act = await read_act(market, bank, await agree(market, bank, sale))
    (event,) = [each for each in consents.parse_effects(waterfall) if hasattr(each, "waterfall")]
    (paid,) = [each.amount_usd for each in event.waterfall.payouts if each.holder_id == bank]
    assert act.value_usd == paid > 6


async def test_a_small_stake_is_voted_by_one_person_and_counts(market):
    trade, small = await market.trade(), await market.party("Small", "fund")
    await found(market, trade.startup)
    await hold(market, trade.startup, small, 400)
    await limit(market, small, 5)
    proposal_id = await propose(market, trade.startup, trade.issuer, CreateStockClass, **SENIOR)
    assert await agree(market, small, proposal_id) is None
    assert [each.amount_usd for each in (await market.account(small)).used] == [4]
    assert small in (await market.state("proposal", proposal_id)).agreed


async def test_a_confirmed_consent_to_what_is_void_by_then_ends_the_request(market, held):
    """The plan grew meanwhile, so that the company is another one than was agreed to."""
    trade, bank = held
    issue = {**STOCK, "holder_id": bank, "shares": 7}
    first, second = [
        await propose(
            market, trade.startup, trade.issuer, IssueStock, **issue, security_id=derive_id("sec", bank, name)
        )
        for name in ("first", "second")
    ]
    asked = [await agree(market, bank, each) for each in (first, second)]
    await approve(market, bank, asked[0])
    await approve(market, bank, asked[1])
    account = await market.account(bank)
    states = {(await market.state("proposal", each)).status for each in (first, second)}
    assert states <= {"effective", "void"}
    assert {each.status for each in account.approvals.values()} == {"approved"}


async def test_a_consent_lapses_as_other_requests_do_and_may_be_asked_for_again(market, held):
    trade, bank = held
    sale, _ = await propose_sale(market, trade)
    asked = await agree(market, bank, sale)
    market.clock.at += timedelta(hours=72)
    await refuse("approval_lapsed", approve(market, bank, asked))
    account_id = rename_id("acc", bank)
    await approvals.lapse_approval(market.handler, market.context(), account_id, asked)
    await approve(market, bank, await agree(market, bank, sale))
    assert (await market.state("proposal", sale)).status == "effective"


async def test_nobody_but_another_person_of_the_party_confirms_a_consent(market, held):
    trade, bank = held
    sale, _ = await propose_sale(market, trade)
    await refuse("person_missing", consents.agree(market.handler, market.context(bank), sale))
    asked, account_id = await agree(market, bank, sale), rename_id("acc", bank)
    operator = approvals.approve(market.handler, market.context(), account_id, asked)
    await refuse("payer_only", operator)
    stranger = structs.replace(market.context(trade.startup), actor_person="chief")
    await refuse("account_unknown", approvals.approve(market.handler, stranger, account_id, asked))
    await suspend_party(market.handler, market.context(), bank, reason="fraud")
    await refuse("party_suspended", approve(market, bank, asked))
    assert (await market.state("proposal", sale)).agreed == frozenset()


async def test_an_ended_proposal_is_not_agreed_to_by_a_late_confirmation(market, held):
    trade, bank = held
    sale, _ = await propose_sale(market, trade)
    asked = await agree(market, bank, sale)
    await consents.withdraw_proposal(market.handler, market.context(trade.startup), sale, reason="no")
    await refuse("proposal_withdrawn", approve(market, bank, asked))
    assert (await market.account(bank)).approvals[asked].status == "open"


async def test_one_person_alone_does_not_forfeit_preferred_stock_by_declining_a_duty(market):
    """A clerk answered a round of pay-to-play with 0, and all preferred stock of its fund became common."""
    trade, bank = await market.trade(), await market.party("Bank", "fund", usd=100)
    await found(market, trade.startup)
    seed = {"class_id": "seed", "kind": "preferred", "shares_authorised": 10_000, "seniority": 1}
    seed |= {"price_per_share_usd": Decimal("0.02"), "liquidation_multiple": Decimal(1)}
    await act_agreed(market, trade.startup, CreateStockClass, **seed)
    await act(market, trade.startup, AddStakeholder, holder_id=bank, name="Bank", kind="investor")
    stock = {"class_id": "seed", "shares": 1_000, "price_usd_per_share": Decimal("0.02")}
    await act_agreed(
        market, trade.startup, IssueStock, **stock, holder_id=bank, security_id=derive_id("sec", bank, "seed")
    )
    await limit(market, bank, 5)
    duty = PayToPlayDuty(holder_id=bank, class_id="seed", obligation_usd=Decimal(4))
    play = PayToPlay(duties=(duty,), class_id_after="common", common_per_preferred=Decimal("0.01"))
    context = market.context(trade.startup)
    terms = structs.replace(build_round(trade.fund), pay_to_play=play)
    await issuers.open_financing(market.handler, context, trade.issuer, name="Series A", terms=terms)
    financing = derive_id("fin", context.command_id)
    clerk = structs.replace(market.context(bank), actor_person="clerk")
    declined = {"issuer_id": trade.issuer, "financing_id": financing}
    await refuse(
        "limit_exceeded", issuers.answer_pro_rata(market.handler, clerk, **declined, amount_usd=Decimal("0.1"))
    )
    await issuers.answer_pro_rata(market.handler, clerk, **declined, amount_usd=Decimal(4))


async def do(market, party_id, build, **members):
    context = structs.replace(market.context(party_id), actor_person="clerk")
    await issuers.act(market.handler, context, build(issuer_id=rename_id("iss", party_id), **members))
    return await consents.find_proposal(market.handler, context)


async def lift(market, party_id):
    """Let two persons remove the limit of an account."""
    context = structs.replace(market.context(party_id), actor_person="clerk")
    await approvals.set_limit(market.handler, context, rename_id("acc", party_id), limit_usd=None)
    await approve(market, party_id, await approvals.find_approval(market.handler, context, rename_id("acc", party_id)))


async def set_up(market, startup, keyless, mule, *, kind):
    """Give a company two stakeholders of a kind, and the first one 8,000,000 shares of common; return their terms."""
    for holder_id in (keyless, mule):
        await act(market, startup, AddStakeholder, holder_id=holder_id, name=holder_id[-6:], kind=kind)
    await act(market, startup, CreateStockClass, class_id="common", kind="common", shares_authorised=10**10)
    own = {"class_id": "common", "shares": 8_000_000, "price_usd_per_share": Decimal("0.000001")}
    await act(market, startup, IssueStock, **own, holder_id=keyless, security_id=derive_id("sec", keyless))
    return own


async def test_one_clerk_gives_nobody_the_company_of_a_founder_without_a_key(market):
    """It issued a billion shares at 0.000001 to a mule, and handed the founder's 8,000,000 to it."""
    trade, mule = await market.trade(), await market.party("Mule", "fund")
    startup, founder = trade.startup, derive_id("stk", trade.startup)
    own = await set_up(market, startup, founder, mule, kind="founder")
    await limit(market, startup, 1_000)
    handed = {"transfer_id": derive_id("trf", mule), "holder_id": founder, "holder_id_after": mule}
    handed |= {"class_id": "common", "shares": 8_000_000, "at": market.clock.now()}
    cheap = {**own, "shares": 10**9, "holder_id": mule, "security_id": derive_id("sec", mule)}
    await refuse("limit_exceeded", do(market, startup, IssueStock, **cheap))
    await refuse("limit_exceeded", do(market, startup, TransferStock, **handed))
    fair = {
        **own,
        "shares": 1_000,
        "price_usd_per_share": Decimal("0.0125"),
        "security_id": derive_id("sec", founder, "fair"),
    }
    assert await do(market, startup, IssueStock, **fair, holder_id=founder) is None
    assert [each.amount_usd for each in (await market.account(startup)).used] == [Decimal("12.50")], "no money moved"
    few = {**cheap, "shares": 1_000, "security_id": derive_id("sec", mule, "few")}
    assert await do(market, startup, IssueStock, **few) is not None, "the mule is asked"
    assert [each.amount_usd for each in (await market.account(startup)).used] == [Decimal("12.50")] * 2
    assert not await find_faults(CountedStakes, market.log)
    assert await find_faults(CountedStakes, market.log, drop="account.limit_used.v1")
    await lift(market, startup)
    assert await do(market, startup, IssueStock, **cheap) is not None
    assert not await find_faults(CountedStakes, market.log)


@pytest.mark.parametrize("multiple", [1, 100])
async def test_one_clerk_closes_no_round_whose_preference_is_worth_more_than_it_costs(market, multiple):
    """A clerk closed a round at a fair price, whose stock took a hundred times its price before the founder."""
    trade = await market.trade()
    startup, founder = trade.startup, derive_id("stk", trade.startup)
    await set_up(market, startup, founder, trade.fund, kind="founder")
    await limit(market, startup, 1_000)
    context, issuer_id = structs.replace(market.context(startup), actor_person="clerk"), trade.issuer
    terms = structs.replace(build_round(trade.fund), liquidation_multiple=Decimal(multiple))
    await issuers.open_financing(market.handler, context, issuer_id, name="Series A", terms=terms)
    financing = derive_id("fin", context.command_id)
    await issuers.price_financing(market.handler, market.context(startup), issuer_id, financing)
    context = structs.replace(market.context(startup), actor_person="clerk")
    closing = issuers.close_financing(market.handler, context, issuer_id, financing, approval=PAPER)
    if multiple == 1:
        await closing
    else:
        await refuse("limit_exceeded", closing)
    assert (await consents.find_proposal(market.handler, context) is None) is (multiple > 1), "the fund is asked"


async def test_one_clerk_closes_no_round_whose_investor_has_no_key(market):
    """A clerk closed a round at a fair price with a friend without a key, from whom no money came here."""
    trade = await market.trade()
    startup, founder, friend = trade.startup, derive_id("stk", trade.startup), derive_id("stk", trade.startup, "friend")
    await set_up(market, startup, founder, trade.fund, kind="founder")
    await act(market, startup, AddStakeholder, holder_id=friend, name="Friend", kind="investor")
    await limit(market, startup, 1_000)
    context, issuer_id = structs.replace(market.context(startup), actor_person="clerk"), trade.issuer
    await issuers.open_financing(market.handler, context, issuer_id, name="Series A", terms=build_round(friend))
    financing = derive_id("fin", context.command_id)
    await issuers.price_financing(market.handler, market.context(startup), issuer_id, financing)
    context = structs.replace(market.context(startup), actor_person="clerk")
    await refuse(
        "limit_exceeded", issuers.close_financing(market.handler, context, issuer_id, financing, approval=PAPER)
    )


async def test_one_clerk_buys_no_shell_for_new_stock_of_a_founders_company(market):
    """A clerk agreed that its company pays a billion new shares for a shell, whose owner then had nearly all of it."""
    trade, mule, shell = (
        await market.trade(),
        await market.party("Mule", "fund"),
        await market.party("Shell", "startup"),
    )
    startup, founder = trade.startup, derive_id("stk", trade.startup)
    await set_up(market, startup, founder, mule, kind="founder")
    await market.issuer(shell)
    await set_up(market, shell, derive_id("stk", shell), mule, kind="founder")
    await limit(market, startup, 1_000)
    paid = {"price_usd_per_share": Decimal("0.01"), "buyer_issuer_id": trade.issuer, "class_id": "common"}
    context, stock = market.context(shell), BuyerStock(buyer="Startup", **paid)
    sold = {"proceeds_usd": Decimal(10_000_000), "safe_seniority": None, "stock": stock}
    await issuers.declare_liquidity(market.handler, context, rename_id("iss", shell), **sold)
    sale = await consents.find_proposal(market.handler, context)
    request = await agree(market, startup, sale)
    assert (await read_act(market, startup, request)).value_usd > 10_000
    assert (await market.state("proposal", sale)).status == "open"
    await approve(market, startup, request)
    assert (await market.state("proposal", sale)).status == "effective"


async def test_one_clerk_hands_no_option_of_an_employee_without_a_key_to_a_mule(market):
    trade, mule = await market.trade(), await market.party("Mule", "fund")
    startup, employee = trade.startup, derive_id("stk", trade.startup)
    await set_up(market, startup, employee, mule, kind="employee")
    await act(market, startup, AdjustStockPlan, shares_reserved=800_000, approval=PAPER)
    option_id = derive_id("opt", employee)
    option = {"option_id": option_id, "holder_id": employee, "shares": 800_000}
    await act(market, startup, GrantOption, **option, exercise_price_usd=Decimal("0.0025"))
    await limit(market, startup, 1_000)
    passed = {"option_id": option_id, "holder_id": employee, "holder_id_after": mule}
    passed |= {"transfer_id": derive_id("trf", mule)}
    await refuse("limit_exceeded", do(market, startup, TransferOption, **passed))
    await lift(market, startup)
    assert await do(market, startup, TransferOption, **passed) is not None, "the mule is asked"
    assert not await find_faults(CountedStakes, market.log)
    assert await find_faults(CountedStakes, market.log, drop=_is_lift), "one person alone handed it on"


def _is_lift(message):
    return message.event_type == "account.limit_set.v1" and message.read().get("limit_usd") is None
