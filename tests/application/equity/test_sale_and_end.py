"""Nothing accrues once a sale is paid, and what is delivered beside it is paid in cash."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from events.service_line import HoursReading
from events.types import StockTerms
from marketplace.application.billing import accounts, adjustments, holds, service_hours, service_lines, statements
from marketplace.application.delivery import grants
from marketplace.application.equity import consents, issuers
from marketplace.application.metering import usage
from marketplace.auditor.fees import Fees
from marketplace.auditor.proceeds import Proceeds
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import parse_ratio, round_cents
from marketplace.domain.delivery.periods import list_periods
from tests.application.equity.test_equity import build_round, found, invest, pay_in
from tests.application.equity.test_note_orders import offer_equity
from tests.application.trading.test_resale import resell
from tests.support.market.agreeing import agree_all
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
async def delivering(memory_log):
    """Return a market, a trade and its grant of forty days, of whose first period nothing is delivered yet."""
    market = Market(memory_log)
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 10_000)
    async with market.worker():
        grant = await market.award(trade)
    return market, trade, grant


async def declare(market, trade):
    context = market.context(trade.startup)
    await issuers.declare_liquidity(
        market.handler, context, trade.issuer, proceeds_usd=Decimal(1_000_000), safe_seniority=1
    )
    await agree_all(market, context)
    return derive_id("liq", context.command_id)


async def pay(market, trade, sale):
    await pay_in(market, trade.startup)
    await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, sale)


async def settle_first(market, grant, *, by=None):
    """Issue the statement of the first period, and accept it as a party or by silence. Return it as it was issued."""
    first = list_periods(grant)[0]
    market.clock.at = max(market.clock.at, first.end + timedelta(hours=25))
    await statements.issue_statement(market.handler, market.context(), grant.issued.grant_id, 0)
    issued = await market.state("statement", first.statement_id)
    if by is None:
        market.clock.at += timedelta(days=8)
        await statements.accept_statement(market.handler, market.context(), first.statement_id, by="silence")
    else:
        await statements.accept_statement(market.handler, market.context(by), first.statement_id)
    return issued


async def read_balances(market, trade):
    return [(await market.account(party)).available_usd for party in (trade.startup, trade.fund, trade.provider)]


async def test_what_is_delivered_after_the_sale_costs_the_holder_nothing_and_is_paid_in_cash(delivering):
    market, trade, grant = delivering
    await pay(market, trade, await declare(market, trade))
    await market.deliver(grant, 10)
    _, fund, provider = await read_balances(market, trade)
    issued = await settle_first(market, grant)
    _, fund_after, provider_after = await read_balances(market, trade)
    assert fund_after == fund
    assert provider_after - provider == issued.charges.provider_usd > issued.charges.cash_usd > 0
    instrument = await market.state("instrument", rename_id("ins", grant.issued.grant_id))
    assert instrument.principal_usd == 0
    await check_log(market.log)


async def test_what_was_paid_in_cash_after_the_sale_is_paid_back_to_the_company_alone(delivering):
    market, trade, grant = delivering
    await pay(market, trade, await declare(market, trade))
    await market.deliver(grant, 10)
    issued = await settle_first(market, grant)
    _, fund, provider = await read_balances(market, trade)
    named = {"source": "dcgm", "reading_id": "day-4", "reason": "another grant's"}
    context = market.context(trade.provider)
    await usage.void_usage(market.handler, context, grant.issued.grant_id, **named)
    market.clock.at += timedelta(days=1)
    await adjustments.adjust_statement(market.handler, market.context(), grant.issued.grant_id, 0)
    _, fund_after, provider_after = await read_balances(market, trade)
    assert fund_after == fund, "it paid nothing for these hours"
    assert provider - provider_after == issued.charges.provider_usd / 10 > 0
    await check_log(market.log)


async def test_a_sale_is_paid_while_delivery_is_not_settled_and_that_is_paid_in_cash(delivering):
    """Nobody holds a sale up by metering or disputing, and no provider loses what it delivered."""
    market, trade, grant = delivering
    await market.deliver(grant, 25)
    market.clock.at = list_periods(grant)[0].start + timedelta(days=25)
    sale = await declare(market, trade)
    with pytest.raises(Refusal) as caught:
        await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, sale)
    assert caught.value.code == "funds_insufficient"
    kept_usd = Decimal(caught.value.facts["kept_usd"])
    await pay(market, trade, sale)
    company = await market.account(trade.startup)
    assert company.reserves[grant.issued.grant_id][0] == kept_usd > 0
    _, fund, provider = await read_balances(market, trade)
    held_usd = company.holds[grant.issued.hold_id].left_usd
    issued = await settle_first(market, grant)
    _, fund_after, provider_after = await read_balances(market, trade)
    assert fund_after == fund
    assert provider_after - provider == issued.charges.provider_usd <= kept_usd + held_usd
    await check_log(market.log)


async def test_principal_that_accrues_beside_a_sale_is_paid_in_full_in_cash_and_voids_nothing(delivering):
    market, trade, grant = delivering
    await market.deliver(grant, 10)
    sale = await declare(market, trade)
    declared = (await market.state("issuer", trade.issuer)).sales[sale].declared
    issued = await settle_first(market, grant, by=trade.startup)
    await pay(market, trade, sale)
    issuer = await market.state("issuer", trade.issuer)
    assert issuer.sales[sale].declared == declared
    instrument = await market.state("instrument", rename_id("ins", grant.issued.grant_id))
    assert instrument.repaid.amount_usd == issued.charges.principal_usd > 0
    await check_log(market.log)


async def agree_on_work(market, trade, grant):
    line = await service_lines.propose_service_line(
        market.handler,
        market.context(trade.provider),
        grant.issued.grant_id,
        name="migration",
        price_usd_per_hour=Decimal(180),
        hours=Decimal(20),
        workers=1,
    )
    await service_lines.approve_service_line(market.handler, market.context(trade.fund), line.id)
    await service_lines.agree_service_line(market.handler, market.context(trade.startup), line.id)
    return line


async def test_hours_of_work_that_are_not_settled_are_kept_money_for_as_the_sale_is_paid(delivering):
    market, trade, grant = delivering
    market.clock.at = grant.issued.start
    line = await agree_on_work(market, trade, grant)
    market.clock.at += timedelta(days=1)
    provider, at = market.context(trade.provider), market.clock.at
    reading = HoursReading(reading_id="day-0", start=at - timedelta(hours=9), end=at, hours=Decimal(9))
    await service_hours.report_hours(market.handler, provider, line.id, source="sheet", readings=(reading,))
    await pay(market, trade, await declare(market, trade))
    worked = await market.state("service_line", line.id)
    kept_usd = (await market.account(trade.startup)).reserves[grant.issued.grant_id][0]
    assert kept_usd >= 9 * worked.proposed.price_usd_per_hour - worked.terms.cash_commitment_usd > 0
    await check_log(market.log)


async def open_series_a(market, trade):
    opened = market.context(trade.startup)
    await issuers.open_financing(market.handler, opened, trade.issuer, name="Series A", terms=build_round(trade.fund))
    return opened


async def test_no_round_opens_beside_a_declared_sale_until_those_who_agreed_withdraw_it(delivering):
    market, trade, _ = delivering
    sale = await declare(market, trade)
    with pytest.raises(Refusal) as caught:
        await open_series_a(market, trade)
    assert caught.value.code == "sale_declared"
    context = market.context(trade.startup)
    await issuers.withdraw_liquidity(market.handler, context, trade.issuer, sale, reason="the buyer left")
    assert (await market.state("issuer", trade.issuer)).liquidity_id == sale
    await agree_all(market, context)
    with pytest.raises(Refusal) as caught:
        await pay(market, trade, sale)
    assert caught.value.code == "liquidity_withdrawn"
    opened = await open_series_a(market, trade)
    with pytest.raises(Refusal) as caught:
        await declare(market, trade)
    assert caught.value.code == "financing_open"
    round_id = derive_id("fin", opened.command_id)
    await issuers.abandon_financing(
        market.handler, market.context(trade.startup), trade.issuer, round_id, reason="the buyer is back"
    )
    await pay(market, trade, await declare(market, trade))


async def test_a_sale_that_is_proposed_before_a_round_opens_is_void(delivering):
    market, trade, _ = delivering
    context = market.context(trade.startup)
    await issuers.declare_liquidity(
        market.handler, context, trade.issuer, proceeds_usd=Decimal(1_000_000), safe_seniority=1
    )
    await open_series_a(market, trade)
    proposal_id = await consents.find_proposal(market.handler, context)
    await consents.agree(market.handler, market.context(trade.fund), proposal_id)
    proposal = await market.state("proposal", proposal_id)
    assert proposal.status == "void"
    assert (await market.state("issuer", trade.issuer)).liquidity_id is None


async def test_a_sale_whose_proceeds_do_not_come_ends_in_time(delivering):
    market, trade, _ = delivering
    sale = await declare(market, trade)
    with pytest.raises(Refusal) as caught:
        await issuers.lapse_liquidity(market.handler, market.context(), trade.issuer, sale)
    assert caught.value.code == "liquidity_not_due"
    until = (await market.state("issuer", trade.issuer)).sales[sale].declared.pay_until
    market.clock.at = until
    with pytest.raises(Refusal) as caught:
        await pay(market, trade, sale)
    assert caught.value.code == "liquidity_overdue"
    async with market.worker():
        while (await market.state("issuer", trade.issuer)).liquidity_id is not None:
            await market.tick()
    await open_series_a(market, trade)


async def test_a_holder_has_an_agreed_sale_paid_once_the_proceeds_are_there(delivering):
    market, trade, _ = delivering
    sale = await declare(market, trade)
    with pytest.raises(Refusal) as caught:
        await issuers.pay_distribution(market.handler, market.context(trade.fund), trade.issuer, sale)
    assert caught.value.code == "funds_insufficient"
    assert caught.value.facts == {"liquidity_id": sale}, "what the company has is its own"
    await pay_in(market, trade.startup)
    stranger = await market.party("Stranger", "fund")
    with pytest.raises(Refusal) as caught:
        await issuers.pay_distribution(market.handler, market.context(stranger), trade.issuer, sale)
    assert caught.value.code == "issuer_unknown"
    before = (await market.account(trade.fund)).available_usd
    await issuers.pay_distribution(market.handler, market.context(trade.fund), trade.issuer, sale)
    assert (await market.account(trade.fund)).available_usd > before
    await check_log(market.log)


async def test_capacity_that_is_paid_for_in_equity_ends_with_the_sale(delivering):
    market, trade, grant = delivering
    line = await agree_on_work(market, trade, grant)
    agreed = (await market.state("service_line", line.id)).agreed
    assert (await market.account(trade.startup)).holds[agreed.hold_id].left_usd > 0
    await pay(market, trade, await declare(market, trade))
    before = (await market.account(trade.provider)).available_usd
    async with market.worker():
        after = await market.until("grant", grant.issued.grant_id, "terminated")
    assert after.end == grant.issued.start, "it had not begun"
    [ended] = after.terminations
    assert ended.by == "startup", "a company that was sold for a dollar left a dear deal without notice or fee"
    assert (await market.account(trade.provider)).available_usd - before == ended.fee_usd > 0
    assert (await market.state("service_line", line.id)).status == "closed"
    assert (await market.account(trade.startup)).holds[agreed.hold_id].left_usd == 0
    mandate = await market.state("mandate", trade.mandate)
    for hold_id in (grant.issued.hold_id, agreed.hold_id):
        held = mandate.holds.get(hold_id)
        assert held is None or held.total_usd == 0
    await check_log(market.log)


async def test_stock_that_principal_buys_beside_a_sale_waits_for_its_end_and_stops_no_other_sale(memory_log):
    market = Market(memory_log)
    trade = await market.trade()
    await found(market, trade.startup)
    await market.cancel(trade.startup, trade.order)
    terms = StockTerms(class_id="common", price_usd_per_share=Decimal(1), service_consequence="credit")
    trade.order = await offer_equity(market, trade, "stock", terms)
    async with market.worker():
        grant = await market.award(trade)
    await market.deliver(grant, 10)
    former = await declare(market, trade)
    await settle_first(market, grant, by=trade.startup)
    instrument = await market.state("instrument", rename_id("ins", grant.issued.grant_id))
    assert instrument.outstanding_usd > 0 == len(instrument.conversions)
    sale = await declare(market, trade)
    market.clock.at = (await market.state("issuer", trade.issuer)).sales[sale].declared.pay_until
    await issuers.lapse_liquidity(market.handler, market.context(), trade.issuer, sale)
    assert sale != former
    issuer = await market.state("issuer", trade.issuer)
    assert issuer.find_sale() is None
    assert issuer.holdings[trade.fund, "common"] == instrument.outstanding_usd // 1


async def spend(market, trade, how, usd):
    """Let the company take money from its account in one of the ways that a party has."""
    account, context, usd = rename_id("acc", trade.startup), market.context(trade.startup), Decimal(usd)
    if how == "withdrawal":
        return await accounts.withdraw(market.handler, context, account, amount_usd=usd, reference="to a mule")
    mule = await market.party("Mule", "provider")
    expires_at = market.clock.now() + timedelta(days=1)
    hold = {"amount_usd": usd, "payee_account_id": rename_id("acc", mule), "expires_at": expires_at}
    return await holds.place_hold(market.handler, context, account_id=account, **hold)


@pytest.mark.parametrize("how", ["withdrawal", "hold"])
async def test_the_company_takes_nothing_of_what_its_declared_sale_pays(delivering, how):
    """A company withdrew the buyer's money after the holders had voted, and they got nothing for the sale."""
    market, trade, _ = delivering
    sale = await declare(market, trade)
    await pay_in(market, trade.startup)
    account = await market.account(trade.startup)
    waterfall = (await market.state("issuer", trade.issuer)).sales[sale].declared.waterfall
    free = account.available_usd - sum(each.cash_usd for each in waterfall.payouts)
    with pytest.raises(Refusal) as caught:
        await spend(market, trade, how, free + Decimal("0.01"))
    assert caught.value.code == "funds_reserved"
    await spend(market, trade, how, free)
    await pay(market, trade, sale)
    assert not (await market.account(trade.startup)).reserves
    assert not await find_faults(Proceeds, market.log)
    assert await find_faults(Proceeds, market.log, drop="account.reserved.v1")
    await check_log(market.log)


async def test_proceeds_are_free_once_the_sale_is_withdrawn_replaced_or_overdue(delivering):
    market, trade, _ = delivering
    first = await declare(market, trade)
    second = await declare(market, trade)
    assert list((await market.account(trade.startup)).reserves) == [second] != [first]
    assert (await market.state("issuer", trade.issuer)).sales[first].status == "replaced"
    context = market.context(trade.startup)
    await issuers.withdraw_liquidity(market.handler, context, trade.issuer, second, reason="the buyer left")
    await agree_all(market, context)
    assert not (await market.account(trade.startup)).reserves
    third = await declare(market, trade)
    await pay_in(market, trade.startup)
    market.clock.at = (await market.state("issuer", trade.issuer)).sales[third].declared.pay_until
    account = await market.account(trade.startup)
    assert account.count_free(market.clock.now()) == account.available_usd > 0
    await issuers.lapse_liquidity(market.handler, market.context(), trade.issuer, third)
    assert not (await market.account(trade.startup)).reserves
    await check_log(market.log)


async def test_the_sale_of_a_company_whose_account_is_closed_is_paid(memory_log):
    """Its account took no money, so that an agreed sale could never be paid."""
    market = Market(memory_log)
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 10_000)
    await market.cancel(trade.startup, trade.order)
    account = rename_id("acc", trade.startup)
    await accounts.close_account(market.handler, market.context(trade.startup), account, reason="wound up")
    with pytest.raises(Refusal) as caught:
        await pay_in(market, trade.startup)
    assert caught.value.code == "account_closed"
    sale = await declare(market, trade)
    await pay(market, trade, sale)
    assert (await market.state("issuer", trade.issuer)).is_ended
    wire = {"amount_usd": Decimal(1), "reference": "more"}
    with pytest.raises(Refusal) as caught:
        await accounts.deposit(market.handler, market.context(), account, **wire)
    assert caught.value.code == "account_closed", "no sale waits for its proceeds any more"
    await check_log(market.log)


async def sell_for_a_dollar(market, trade):
    """Empty the company's account, sell it, and pay the sale with what is missing; return the fees that are kept."""
    await market.withdraw_free(trade.startup)
    context = market.context(trade.startup)
    await issuers.declare_liquidity(market.handler, context, trade.issuer, proceeds_usd=Decimal(1), safe_seniority=1)
    await agree_all(market, context)
    sale = derive_id("liq", context.command_id)
    with pytest.raises(Refusal) as caught:
        await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, sale)
    assert caught.value.code == "funds_insufficient"
    kept_usd, missing_usd = (Decimal(caught.value.facts[name]) for name in ("kept_usd", "missing_usd"))
    assert missing_usd == 1 + kept_usd
    account = rename_id("acc", trade.startup)
    await accounts.deposit(market.handler, market.context(), account, amount_usd=missing_usd, reference="the rest")
    await issuers.pay_distribution(market.handler, market.context(trade.startup), trade.issuer, sale)
    return kept_usd


@pytest.mark.parametrize("cash", ["1", "0"])
async def test_a_company_that_has_no_money_left_is_not_sold_to_leave_its_grants(memory_log, cash):
    """Its own fund agreed to a sale for a dollar, and the end of the grant cost nothing."""
    market = Market(memory_log)
    trade = await market.trade(cash=cash, equity="4")
    await found(market, trade.startup)
    async with market.worker():
        grant = await market.award(trade)
    before = (await market.account(trade.provider)).available_usd
    kept_usd = await sell_for_a_dollar(market, trade)
    assert bool(kept_usd) == (cash == "0"), "what the hold of the grant keeps pays the fee first"
    company = await market.account(trade.startup)
    assert company.count_free(market.clock.now()) <= 1, "the fee is kept until the grant ends"
    async with market.worker():
        after = await market.until("grant", grant.issued.grant_id, "terminated")
    [ended] = after.terminations
    assert ended.fee_usd == kept_usd or cash == "1"
    assert (await market.account(trade.provider)).available_usd - before == ended.fee_usd > 0
    assert not any(usd for usd, _ in (await market.account(trade.startup)).reserves.values())
    await check_log(market.log)


@pytest.mark.parametrize("drained", [False, True])
async def test_a_deal_in_cash_is_not_left_by_the_sale_of_a_buyer_of_its_hours(memory_log, drained):
    """A startup resold a large deal to its own shell, and sold the shell for a dollar: no notice, no fee."""
    market = Market(memory_log)
    async with market.worker():
        trade = await market.trade(days=10, nodes=4, cash="2.5", equity="0")
        grant = await market.award(trade)
        own = await market.mandate(await market.party("Own fund", "fund", usd=20_000), budget=20_000)
        await resell(market, trade, grant, ask="2", nodes=4, mandate_ids=(own,))
        shell = await market.party("Shell", "startup", usd=100_000)
        issuer = await market.issuer(shell)
        await found(market, shell)
        order = await market.order(
            shell, cash="2.02", equity="0.01", mandate_ids=(own,), days=3, nodes=4, earliest=6, latest=6
        )
        auction = await market.auction(locks_at=2, horizon=2)
        market.clock.at = market.day(2)
        await market.until_carried_out(auction, seconds=60)
        bought = await market.state("grant", (await market.state("order", order)).grant_id)
        if drained:
            await market.withdraw_free(trade.startup)
        before = [(await market.account(party)).available_usd for party in (trade.provider, trade.startup)]
        context = market.context(shell)
        await issuers.declare_liquidity(market.handler, context, issuer, proceeds_usd=Decimal(1), safe_seniority=1)
        await agree_all(market, context)
        sale = derive_id("liq", context.command_id)
        await issuers.pay_distribution(market.handler, market.context(shell), issuer, sale)
        ended = (await market.until("grant", bought.issued.grant_id, "terminated", "closed")).terminations[0]
    after = [(await market.account(party)).available_usd for party in (trade.provider, trade.startup)]
    owed = round_cents(parse_ratio(grant.issued.price_usd_per_gpu_hour) * 4 * 3 * 24 * 8)
    assert (ended.by, ended.fee_usd > 0, ended.returned_grant_id is None) == ("startup", True, drained)
    if drained:
        assert after[0] - before[0] >= owed / 10, "the provider's fee of what it is owed"
    else:
        assert before[1] - after[1] == owed - ended.fee_usd, "who sold the hours pays for them again"
    await check_log(market.log)
    assert await find_faults(Fees, market.log) == []


async def test_a_notice_of_a_later_end_spares_no_company_the_fee_of_the_end_by_its_sale(memory_log):
    """The notice costs little, since the grant runs nearly to its end; the sale then ends it at once."""
    market = Market(memory_log)
    trade = await market.trade(cash="0", equity="4")
    await found(market, trade.startup)
    async with market.worker():
        grant = await market.award(trade)
        grant_id, at = grant.issued.grant_id, grant.end - timedelta(hours=1)
        noticed = {"at": at, "reason": "an hour early", "by": "startup"}
        await grants.terminate_grant(market.handler, market.context(trade.startup), grant_id, **noticed)
    before = (await market.account(trade.provider)).available_usd
    kept_usd = await sell_for_a_dollar(market, trade)
    assert kept_usd > 0
    async with market.worker():
        async with asyncio.timeout(60):
            while len((after := await market.state("grant", grant_id)).terminations) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert (await market.account(trade.provider)).available_usd - before == after.terminations[-1].fee_usd == kept_usd
    await check_log(market.log)
