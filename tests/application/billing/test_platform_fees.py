"""The platform's fee: a part of every settlement, given back with every credit, beside what the parties owe."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec import structs

from events.schedule import PlatformFee
from marketplace.application.billing import accounts, disputes, statements
from marketplace.application.delivery import grants
from marketplace.application.supply.schedules import publish_schedule
from marketplace.auditor.fees import Fees
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import CENT, round_cents
from marketplace.domain.billing.settlement import build_tariff, compute_charges, compute_totals
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.supply.schedule import STANDARD
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_adjustments import DAY, Delivery
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


async def publish(market, *, provider="0.05", startup="0.02", account_id=None):
    platform = await market.party("Platform", "platform")
    fee = PlatformFee(
        account_id=account_id or rename_id("acc", platform),
        provider_share=Decimal(provider),
        startup_share=Decimal(startup),
    )
    terms = structs.replace(STANDARD, platform_fee=fee)
    await publish_schedule(market.handler, market.context(), terms=terms)
    return platform


async def require_clean(market):
    await check_log(market.log)
    assert await find_faults(Fees, market.log) == []
    assert await find_faults(Fees, market.log, drop="account.debited.v1"), "a fee that is not paid is found"


@pytest.mark.parametrize("funding", ["cash", "own_capacity", "own_cash"])
async def test_the_platform_is_paid_with_each_statement_and_gives_back_what_a_correction_credits(funding):
    market = Market(MemoryLog())
    platform = await publish(market)
    trade = await market.trade(funding=funding)
    async with market.worker():
        held = (await market.account(trade.startup)).held_usd
        delivery = Delivery(market, trade, await market.award(trade))
        issued = delivery.grant.issued
        tariff = build_tariff(issued)
        whole = compute_totals(tariff, 40 * DAY)
        assert (tariff.provider_fee, tariff.startup_fee) == (Decimal("0.05"), Decimal("0.02"))
        assert issued.cash_commitment_usd == whole.startup_usd == (await market.account(trade.startup)).held_usd <= held
        before = {side: (await market.account(side)).available_usd for side in (trade.startup, trade.provider)}
        settled = await delivery.settle_first(30)
        due = compute_totals(tariff, 30 * DAY)
        fees = (settled.charges.provider_fee_usd, settled.charges.startup_fee_usd)
        assert fees == (due.provider_fee_usd, due.startup_fee_usd)
        assert all(fees)
        assert (await market.account(platform)).available_usd == sum(fees)
        await delivery.void("day-3")
        await delivery.adjusted(0)
        assert (await market.account(platform)).available_usd == sum(_fees(compute_charges(tariff, 0, 29 * DAY)))
        await delivery.complete()
        left = compute_totals(tariff, 29 * DAY)
        paid = (await market.account(trade.startup)).available_usd - before[trade.startup]
        assert paid == whole.startup_usd - left.startup_usd, "what was held and not needed is free again"
        if funding == "cash":
            got = (await market.account(trade.provider)).available_usd - before[trade.provider]
            assert got == left.provider_usd - left.provider_fee_usd
    await require_clean(market)


def _fees(charges):
    return charges.provider_fee_usd, charges.startup_fee_usd


async def test_a_service_credit_gives_the_fees_of_its_share_back():
    market = Market(MemoryLog())
    platform = await publish(market)
    trade = await market.trade()
    async with market.worker():
        delivery = Delivery(market, trade, await market.award(trade))
        start, grant_id = delivery.grant.issued.start, delivery.grant.issued.grant_id
        market.clock.at = start + timedelta(days=3)
        await market.until("grant", grant_id, "active")
        outage = {"nodes_available": 1, "at": market.clock.at, "reason": "cooling"}
        await grants.degrade_grant(market.handler, market.context(trade.provider), grant_id, **outage)
        market.clock.at += timedelta(days=6)
        await grants.resume_grant(market.handler, market.context(trade.provider), grant_id, at=market.clock.now())
        settled = await delivery.settle_first(30)
        charged, credited = _fees(settled.charges), _fees(settled.service_credit)
        assert all(0 < back < fee for back, fee in zip(credited, charged, strict=True))
        assert (await market.account(platform)).available_usd == sum(charged) - sum(credited)
        await delivery.complete()
    await require_clean(market)


async def test_of_a_disputed_statement_the_fee_of_each_part_is_paid_with_it():
    market = Market(MemoryLog())
    platform = await publish(market)
    trade = await market.trade()
    async with market.worker():
        delivery = Delivery(market, trade, await market.award(trade))
        first = list_periods(delivery.grant)[0]
        await market.deliver(delivery.grant, 30)
        market.clock.at = first.end + timedelta(hours=25)
        await market.until("statement", first.statement_id, "issued")
        startup = market.context(trade.startup)
        claim = {"gpu_seconds_counted": 20 * DAY, "reason": "ten days were missing"}
        await statements.dispute_statement(market.handler, startup, first.statement_id, **claim)
        market.clock.at += timedelta(hours=1)
        tariff = build_tariff(delivery.grant.issued)
        part = compute_charges(tariff, 0, 20 * DAY)
        assert (await market.account(platform)).available_usd == sum(_fees(part))
        concession = {"gpu_seconds": 25 * DAY, "reason": "five were"}
        await disputes.concede_part(market.handler, market.context(trade.startup), first.statement_id, **concession)
        assert (await market.account(platform)).available_usd == sum(_fees(compute_charges(tariff, 0, 25 * DAY)))
        provider = market.context(trade.provider)
        await statements.resolve_statement(market.handler, provider, first.statement_id, **concession)
        assert (await market.state("statement", first.statement_id)).status == "accepted"
        assert (await market.account(platform)).available_usd == sum(_fees(compute_charges(tariff, 0, 25 * DAY)))
    await require_clean(market)


async def test_a_credit_waits_for_a_platform_that_let_its_revenue_go_and_keeps_what_it_gets_until_then():
    market = Market(MemoryLog())
    platform = await publish(market)
    trade = await market.trade()
    async with market.worker():
        delivery = Delivery(market, trade, await market.award(trade))
        await delivery.settle_first(30)
        account_id = rename_id("acc", platform)
        revenue = (await market.account(platform)).available_usd
        kept = round_cents(Fraction(revenue) / 10)
        payout = {"amount_usd": revenue - kept + CENT, "reference": "payout"}
        with pytest.raises(Refusal) as caught:
            await accounts.withdraw(market.handler, market.context(platform), account_id, **payout)
        assert caught.value.code == "funds_reserved"
        payout["amount_usd"] -= CENT
        await accounts.withdraw(market.handler, market.context(platform), account_id, **payout)
        await delivery.void("day-3")
        await delivery.adjusted(0)
        assert 0 < (await market.account(platform)).available_usd < kept, "the reserve gives it back"
        market.clock.at += timedelta(hours=1)
        for day in (4, 5, 6, 7):
            await delivery.void(f"day-{day}")
        market.clock.at += timedelta(hours=2)
        await market.deposit(platform, 1_000)
        market.clock.at += timedelta(hours=2)
        await delivery.complete()
        state = await market.account(platform)
        assert not any(amount for amount, until in state.reserves.values() if until.year == 9999)
    await require_clean(market)


async def test_an_order_keeps_the_fee_of_its_placing_and_the_account_is_the_platform_s():
    market = Market(MemoryLog())
    platform = await publish(market)
    trade = await market.trade()
    await publish(market, provider="1", startup="1", account_id=rename_id("acc", platform))
    order = await market.state("order", trade.order)
    assert order.platform_fee.startup_share == Decimal("0.02")
    for account_id, code in (
        (rename_id("acc", trade.startup), "role_missing"),
        (rename_id("acc", trade.order), "account_unknown"),
    ):
        with pytest.raises(Refusal) as caught:
            await publish(market, account_id=account_id)
        assert caught.value.code == code
