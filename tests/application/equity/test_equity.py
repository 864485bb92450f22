"""Equity beside compute: direct investments, a priced round, a sale; money and principal keep their sums."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from msgspec.structs import replace

from events.financing import Approval, Investment, RoundTerms
from marketplace.application.access import parties
from marketplace.application.billing import accounts, approvals, statements
from marketplace.application.equity import instruments, issuers
from marketplace.application.trading import mandates
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.equity.issuer.commands import AddStakeholder
from marketplace.domain.equity.issuer.state import total_shares
from marketplace.domain.equity.issuer.stock_commands import AdjustStockPlan, CreateStockClass, IssueStock
from tests.support.market.agreeing import agree_all
from tests.support.market.invariants import check_log
from tests.support.market.market import SAFE, Market, for_cash
from tests.support.market.meddling import Meddling


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


async def act(market, startup, build, **members):
    context = market.context(startup)
    return await issuers.act(market.handler, context, build(issuer_id=rename_id("iss", startup), **members))


async def found(market, startup):
    """Give a startup founders' stock and an option pool."""
    await act(market, startup, AddStakeholder, holder_id=startup, name="Founders", kind="founder")
    await act(market, startup, CreateStockClass, class_id="common", kind="common", shares_authorised=10_000_000)
    await act(
        market,
        startup,
        IssueStock,
        security_id=derive_id("sec", startup),
        holder_id=startup,
        class_id="common",
        shares=8_000_000,
        price_usd_per_share=Decimal("0.0001"),
    )
    await act(market, startup, AdjustStockPlan, shares_reserved=1_000_000)


async def deliver_all(market, **rules):
    """Run a trade to its last accepted statement, and return both."""
    trade = await market.trade(days=10, **rules)
    await found(market, trade.startup)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 10)
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", list_periods(grant)[0].statement_id, "issued")
        market.clock.at = grant.end + timedelta(days=20)
        await market.until("grant", grant.issued.grant_id, "completed")
    return trade, grant


async def invest(market, trade, usd, terms=SAFE):
    return await instruments.invest(
        market.handler,
        market.context(trade.startup),
        startup_id=trade.startup,
        mandate_id=trade.mandate,
        amount_usd=Decimal(usd),
        terms=terms,
    )


async def test_a_direct_investment_moves_the_money_and_accrues_at_once(market):
    trade = await market.trade()
    before = (await market.account(trade.startup)).available_usd
    receipt = await invest(market, trade, 50_000)
    instrument = await market.state("instrument", receipt.id)
    assert (instrument.principal_usd, instrument.issued.commitment_usd) == (50_000, 50_000)
    assert (await market.account(trade.startup)).available_usd == before + 50_000
    fund = await market.account(trade.fund)
    hold = fund.holds[rename_id("hld", trade.mandate)]
    assert (hold.captured_usd, hold.left_usd) == (50_000, 950_000)
    await check_log(market.log)


async def test_a_closed_account_takes_no_direct_investment(market):
    trade = await market.trade()
    context, account = market.context(trade.startup), rename_id("acc", trade.startup)
    await market.cancel(trade.startup, trade.order)
    await accounts.close_account(market.handler, context, account, reason="wound up")
    with pytest.raises(Refusal) as caught:
        await invest(market, trade, 50_000)
    assert caught.value.code == "account_closed"


async def test_a_direct_investment_cannot_use_the_budget_for_compute(market):
    trade = await market.trade()
    with pytest.raises(Refusal) as caught:
        await invest(market, trade, 100_001)
    assert caught.value.code == "direct_budget_exhausted"
    await invest(market, trade, 100_000)
    async with market.worker():
        await market.award(trade)
    await check_log(market.log)


async def test_a_new_startup_draws_no_cash_from_a_mandate_for_compute(market):
    trade = await market.trade()
    await pay_in(market, trade.fund, 2)
    trade.mandate = await market.mandate(trade.fund, budget=1, direct_budget_usd=None)
    with pytest.raises(Refusal) as caught:
        await invest(market, trade, 1)
    assert caught.value.code == "direct_cash_unwelcome"
    await mandates.amend_mandate(
        market.handler,
        market.context(trade.fund),
        trade.mandate,
        terms=replace((await market.state("mandate", trade.mandate)).terms, direct_budget_usd=Decimal(1)),
    )
    for terms, code in (
        (replace(SAFE, valuation_cap_usd=None), "uncapped_unwelcome"),
        (replace(SAFE, valuation_cap_usd=Decimal(900_000_000_000)), "cap_outside_range"),
    ):
        with pytest.raises(Refusal) as caught:
            await invest(market, trade, 1, terms)
        assert caught.value.code == code
    await invest(market, trade, 1)


async def test_a_mandate_that_pays_with_capacity_invests_no_cash(market):
    trade = await market.trade(cash="0", funding="own_capacity")
    with pytest.raises(Refusal) as caught:
        await invest(market, trade, 1)
    assert caught.value.code == "mandate_not_cash"


async def pay_in(market, party_id, usd=5_000_000):
    """Bring the money of a round into an investor's account."""
    account, reference = rename_id("acc", party_id), f"the money of a round, from {party_id}"
    await accounts.deposit(market.handler, market.context(), account, amount_usd=Decimal(usd), reference=reference)


def build_round(holder_id):
    return RoundTerms(
        class_id="series-a",
        pre_money_usd=Decimal(20_000_000),
        investments=(Investment(holder_id=holder_id, amount_usd=Decimal(5_000_000)),),
        pool_post_money=Decimal("0.10"),
        pool_timing="pre_money",
        pricing_convention="percent_ownership",
        capitalization_definition="yc_standard",
        share_rounding="floor",
        price_places=4,
        price_rounding="half_even",
        liquidation_multiple=Decimal(1),
        seniority=2,
        participation="none",
    )


async def test_a_closing_converts_every_instrument_in_one_append(market):
    trade, grant = await deliver_all(market)
    direct = await invest(market, trade, 50_000)
    opened = market.context(trade.startup)
    await issuers.open_financing(market.handler, opened, trade.issuer, name="Series A", terms=build_round(trade.fund))
    financing = derive_id("fin", opened.command_id)
    await issuers.price_financing(market.handler, market.context(trade.startup), trade.issuer, financing)
    counted = Meddling(market.log)
    closer = market.process("closer", counted)
    closing = closer.context(trade.startup)
    await pay_in(market, trade.fund)
    before = (await market.account(trade.startup)).available_usd
    await issuers.close_financing(
        closer.handler, closing, trade.issuer, financing, approval=Approval(document="consent 7")
    )
    await agree_all(closer, closing)
    assert len(counted.appends) == 2
    assert (await market.account(trade.startup)).available_usd - before == 5_000_000
    ledger = await check_log(market.log)
    issuer = ledger.states["issuer"][trade.issuer]
    pricing = issuer.financings[financing].pricing
    for instrument_id in (direct.id, rename_id("ins", grant.issued.grant_id)):
        assert ledger.states["instrument"][instrument_id].outstanding_usd == 0
    assert {conversion.instrument_id for conversion in pricing.conversions} == set(issuer.instruments)
    assert total_shares(issuer).fully_diluted == pricing.post_money_shares


async def test_a_sale_pays_the_holders_out_of_the_issuers_account(market):
    trade, grant = await deliver_all(market)
    declared = market.context(trade.startup)
    await issuers.declare_liquidity(
        market.handler, declared, trade.issuer, proceeds_usd=Decimal(3_000_000), safe_seniority=1
    )
    await agree_all(market, declared)
    liquidity = derive_id("liq", declared.command_id)
    pay = {"issuer_id": trade.issuer, "liquidity_id": liquidity}
    with pytest.raises(Refusal) as caught:
        await issuers.pay_distribution(market.handler, market.context(trade.startup), **pay)
    assert caught.value.code == "funds_insufficient"
    assert caught.value.facts["needed_usd"] == "3000000.00", "the whole sum, not one payee's"
    account = rename_id("acc", trade.startup)
    await accounts.deposit(
        market.handler, market.context(), account, amount_usd=Decimal(3_000_000), reference="the buyer's wire"
    )
    before = (await market.account(trade.fund)).available_usd
    await issuers.pay_distribution(market.handler, market.context(trade.startup), **pay)
    ledger = await check_log(market.log)
    instrument = ledger.states["instrument"][rename_id("ins", grant.issued.grant_id)]
    assert (instrument.status, instrument.outstanding_usd) == ("repaid", 0)
    assert (await market.account(trade.fund)).available_usd - before >= instrument.principal_usd


async def test_an_instrument_changes_only_by_the_platform(market):
    trade, grant = await deliver_all(market)
    instrument = rename_id("ins", grant.issued.grant_id)
    with pytest.raises(Refusal) as caught:
        await instruments.suspend_instrument(
            market.handler, market.context(trade.startup), instrument, reason="we disagree"
        )
    assert caught.value.code == "platform_only"


async def test_principal_that_accrued_after_a_sale_was_declared_is_not_lost(market):
    trade = await market.trade(days=10)
    await found(market, trade.startup)
    await invest(market, trade, 1_000)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 10)
        statement = list_periods(grant)[0].statement_id
        market.clock.at = grant.end + timedelta(days=2)
        await market.until("statement", statement, "issued")
    declared = market.context(trade.startup)
    await issuers.declare_liquidity(
        market.handler, declared, trade.issuer, proceeds_usd=Decimal(3_000_000), safe_seniority=1
    )
    await agree_all(market, declared)
    await accounts.deposit(
        market.handler,
        market.context(),
        rename_id("acc", trade.startup),
        amount_usd=Decimal(3_000_000),
        reference="the buyer's wire",
    )
    await statements.accept_statement(market.handler, market.context(trade.startup), statement)
    accrued_usd = (await market.state("instrument", rename_id("ins", grant.issued.grant_id))).principal_usd
    before = (await market.account(trade.fund)).available_usd
    sale = derive_id("liq", declared.command_id)
    await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, sale)
    issuer = await market.state("issuer", trade.issuer)
    (later,) = issuer.sales[sale].later
    assert (later.holder_id, later.amount_usd) == (trade.fund, accrued_usd)
    assert accrued_usd > 0
    paid = sum(each.cash_usd for each in issuer.sales[sale].declared.waterfall.payouts if each.holder_id == trade.fund)
    assert (await market.account(trade.fund)).available_usd == before + paid + accrued_usd


async def test_the_holder_of_a_most_favoured_safe_is_notified_of_every_later_one_in_its_append_and_chooses(market):
    trade = await market.trade()
    await pay_in(market, trade.fund, 4_000)
    trade.mandate = await market.mandate(trade.fund, uncapped=True, **for_cash(4_000))
    signed = []
    for changes in (
        {"valuation_cap_usd": Decimal(1_500_000)},
        {"most_favoured_nation": True, "valuation_cap_usd": None, "discount": None},
        {"valuation_cap_usd": Decimal(9_000_000)},
        {"valuation_cap_usd": Decimal(2_000_000)},
    ):
        receipt = await instruments.invest(
            market.handler,
            market.context(trade.startup),
            startup_id=trade.startup,
            mandate_id=trade.mandate,
            amount_usd=Decimal(1_000),
            terms=msgspec.structs.replace(SAFE, **changes),
        )
        signed.append(receipt.id)
    earlier, favoured, bad, good = signed
    notices = (await market.state("instrument", favoured)).notices
    assert {later: notice.terms.valuation_cap_usd for later, notice in notices.items()} == {
        bad: 9_000_000,
        good: 2_000_000,
    }
    assert {notice.elect_until for notice in notices.values()} == {market.clock.at + timedelta(days=10)}
    types = [event.envelope.type async for page in market.log.read() for event in page]
    assert sum("mfn_noticed" in kind for kind in types) == 2
    refused = (
        (favoured, bad, timedelta(seconds=2), "notice_exists"),
        (favoured, earlier, timedelta(days=30), "notice_unknown"),
        (earlier, bad, timedelta(days=30), "not_most_favoured"),
    )
    for instrument_id, later, window, code in refused:
        context, until = market.context(trade.startup), market.clock.at + window
        with pytest.raises(Refusal) as caught:
            await instruments.notice_mfn(
                market.handler, context, instrument_id, later_instrument_id=later, elect_until=until
            )
        assert caught.value.code == code
    amended = msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(1_000_000))
    await instruments.amend_instrument(market.handler, market.context(), bad, terms=amended, applies_to_earlier=True)
    assert (await market.state("instrument", favoured)).notices[bad].terms == amended
    market.clock.at += timedelta(days=9)
    clerk = msgspec.structs.replace(market.context(trade.fund), actor_person="p1")
    await approvals.set_limit(market.handler, clerk, rename_id("acc", trade.fund), limit_usd=Decimal(999))
    for given_up in (good, None):
        with pytest.raises(Refusal) as caught:
            await instruments.elect_mfn(
                market.handler, market.context(trade.fund), favoured, later_instrument_id=given_up
            )
        assert caught.value.code == "limit_exceeded", "a cap of 1,000,000 may be elected too"
    await parties.suspend_party(market.handler, market.context(), trade.fund, reason="fraud report")
    with pytest.raises(Refusal) as caught:
        await instruments.elect_mfn(market.handler, market.context(trade.fund), favoured, later_instrument_id=bad)
    assert caught.value.code == "party_suspended"
    await instruments.elect_mfn(market.handler, market.context(), favoured, later_instrument_id=bad)
    assert (await market.state("instrument", favoured)).election.terms.valuation_cap_usd == 1_000_000
    await check_log(market.log)
