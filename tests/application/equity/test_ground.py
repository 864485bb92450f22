"""A cheap act voids no proposal of a sale or a round, and what it carries with it takes nothing from who agreed."""

from datetime import timedelta
from decimal import Decimal

import pytest

from events.proposal import ProposalCarriedOut
from marketplace.application.billing import accounts
from marketplace.application.equity import consents, issuers, warrants
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.equity.issuer.commands import AddStakeholder, RecordValuation
from marketplace.domain.equity.issuer.rights_commands import GrantOption, IssueWarrant
from marketplace.log.events import parse_event
from tests.application.equity.test_equity import act, build_round
from tests.application.equity.test_holder_terms import PAPER, propose_sale, vote
from tests.support.market.agreeing import agree_all, decline_all
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


@pytest.fixture
async def warranted(market, held):
    """Return a trade, the bank, and an angel with a warrant on 100,000 shares at 100."""
    trade, bank, angel = held
    context = market.context(trade.startup)
    terms = IssueWarrant(
        issuer_id=trade.issuer,
        warrant_id=derive_id("wrt", angel),
        holder_id=angel,
        class_id="common",
        shares=100_000,
        exercise_price_usd=Decimal(100),
        expires_at=market.clock.now() + timedelta(days=900),
        settlement="either",
    )
    await warrants.issue_warrant(market.handler, context, terms)
    await agree_all(market, context)
    value = RecordValuation(
        issuer_id=trade.issuer,
        price_usd_per_share=Decimal(200),
        method="409A",
        effective_on=market.clock.now().date(),
    )
    await issuers.record_valuation(market.handler, market.context(), value)
    return trade, bank, angel


async def deposit(market, party_id, usd):
    members = {"amount_usd": Decimal(usd), "reference": "more"}
    await accounts.deposit(market.handler, market.context(), rename_id("acc", party_id), **members)


async def exercise(market, trade, angel, shares, *, net):
    if not net:
        await deposit(market, angel, shares * 100)
    context = market.context(angel)
    exercise_id = derive_id("exr", context.command_id)
    members = {"exercise_id": exercise_id, "warrant_id": derive_id("wrt", angel), "shares": shares, "net": net}
    await warrants.exercise_warrant(market.handler, context, trade.issuer, **members)
    assert await consents.find_proposal(market.handler, context) is None


async def grant_option(market, trade, shares):
    """Let the company grant an option of its pool to an employee without a key, which nobody votes on."""
    employee = derive_id("stk", trade.startup)
    await act(market, trade.startup, AddStakeholder, holder_id=employee, name="Engineer", kind="employee")
    members = {"holder_id": employee, "shares": shares, "exercise_price_usd": Decimal("0.01"), "approval": PAPER}
    await act(market, trade.startup, GrantOption, option_id=derive_id("opt", employee), **members)


async def was_recomputed(market, proposal_id):
    events = [parse_event(each) async for page in market.log.read() for each in page]
    (carried,) = (each for each in events if isinstance(each, ProposalCarriedOut) and each.proposal_id == proposal_id)
    return carried.recomputed


SALE = {"proceeds_usd": Decimal(900_000_000)}


@pytest.mark.parametrize(
    ("shares", "net", "options", "status"),
    [(0, False, 0, "effective"), (1, False, 0, "effective"), (2, True, 0, "effective"), (50_000, False, 0, "void"),
     (0, False, 1, "void")],
    ids=["nothing", "one share", "one share net", "half of a percent", "an option of the company"],
)  # fmt: skip
async def test_one_share_of_a_warrant_does_not_veto_a_sale_and_the_company_adds_nobody(
    market, warranted, shares, net, options, status
):
    """A friend with a warrant voided every proposal of a sale by exercising one share of it."""
    trade, bank, angel = warranted
    sale, liquidity = await propose_sale(market, trade, **SALE)
    before = consents.parse_effects((await market.state("proposal", sale)).made)[0].waterfall
    if shares:
        await exercise(market, trade, angel, shares, net=net)
    if options:
        await grant_option(market, trade, options)
    await vote(market, angel, sale)
    for party_id in (trade.fund, bank):
        if (await market.state("proposal", sale)).status == "open":
            await vote(market, party_id, sale)
    assert (await market.state("proposal", sale)).status == status
    if status == "effective":
        assert await was_recomputed(market, sale) == bool(shares)
        after = (await market.state("issuer", trade.issuer)).sales[liquidity].declared.waterfall
        paid = [sum(each.amount_usd for each in one.payouts if each.holder_id == trade.fund) for one in (before, after)]
        assert paid[0] * Decimal("0.999") <= paid[1]
        assert sum(each.amount_usd for each in after.payouts) == SALE["proceeds_usd"]
    await check_log(market.log)


@pytest.mark.parametrize(("shares", "status"), [(2, "effective"), (100_000, "void")])
async def test_one_share_of_a_warrant_does_not_veto_the_closing_of_a_round(market, warranted, shares, status):
    trade, bank, angel = warranted
    context = market.context(trade.startup)
    await issuers.open_financing(market.handler, context, trade.issuer, name="A", terms=build_round(trade.fund))
    financing = derive_id("fin", context.command_id)
    await decline_all(market, trade.issuer)
    await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
    await deposit(market, trade.fund, 5_000_000)
    closing = market.context(trade.startup)
    await issuers.close_financing(market.handler, closing, trade.issuer, financing, approval=PAPER)
    proposal_id = await consents.find_proposal(market.handler, closing)
    await exercise(market, trade, angel, shares, net=True)
    for party_id in (angel, bank, trade.fund):
        if (await market.state("proposal", proposal_id)).status == "open":
            await vote(market, party_id, proposal_id)
    assert (await market.state("proposal", proposal_id)).status == status
    if status == "effective":
        assert await was_recomputed(market, proposal_id)
    await check_log(market.log)


async def test_a_round_closes_only_while_its_price_is_young_and_a_sale_only_while_it_may_be_paid(market, held):
    """A proposal that was agreed to slowly closed at a price of last year."""
    trade, bank, _ = held
    opened = market.context(trade.startup)
    members = {"name": "A", "terms": build_round(trade.fund), "closing_days": 10}
    await issuers.open_financing(market.handler, opened, trade.issuer, **members)
    financing = derive_id("fin", opened.command_id)
    await decline_all(market, trade.issuer)
    await deposit(market, trade.fund, 5_000_000)
    statuses = []
    for days in (11, 9):
        await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
        closing = market.context(trade.startup)
        await issuers.close_financing(market.handler, closing, trade.issuer, financing, approval=PAPER)
        market.clock.at += timedelta(days=days)
        proposal_id = await consents.find_proposal(market.handler, closing)
        await vote(market, bank, proposal_id)
        statuses.append(await vote(market, trade.fund, proposal_id))
        if days > 10:
            with pytest.raises(Refusal) as caught:
                await issuers.close_financing(
                    market.handler, market.context(trade.startup), trade.issuer, financing, approval=PAPER
                )
            assert caught.value.code == "price_expired"
    assert statuses == ["void", "effective"]
    with pytest.raises(Refusal) as caught:
        await propose_sale(market, trade, pay_days=93)
    assert caught.value.code == "days_out_of_range"
    sale, _ = await propose_sale(market, trade, pay_days=3)
    market.clock.at += timedelta(days=3)
    voters = sorted((await market.state("proposal", sale)).voters)
    for party_id in voters:
        if (await market.state("proposal", sale)).status == "open":
            await vote(market, party_id, sale)
    assert (await market.state("proposal", sale)).status == "void"
    await check_log(market.log)
