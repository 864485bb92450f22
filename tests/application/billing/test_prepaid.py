"""Cash of hours that a settled period did not deliver is free a month later, and not once the last one is settled."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec import structs

from marketplace.application.billing import accounts, disputes, statements
from marketplace.application.metering import usage
from marketplace.auditor.prepaid import Advances
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import CENT
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage import name_usage
from marketplace.domain.metering.usage_commands import Measurement
from tests.support.market.auditing import find_faults, read_messages
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


@pytest.fixture
def market(memory_log):
    return Market(memory_log)


def price(grant, days):
    issued = grant.issued
    return compute_totals(build_tariff(issued), issued.nodes * issued.gpus_per_node * days * 86_400).startup_usd


async def settle(market, grant, number):
    """Let a period end, and accept its statement as the startup."""
    period = list_periods(grant)[number]
    market.clock.at = period.stated_at
    await market.until("statement", period.statement_id, "issued")
    await statements.accept_statement(market.handler, market.context(grant.startup_id), period.statement_id)


def is_freed(message):
    is_release = message.event_type == "account.hold_released.v1"
    return is_release and message.read()["reason"] == "hours that settled periods did not deliver"


async def read_left(market, grant):
    return (await market.account(grant.startup_id)).holds[grant.issued.hold_id].left_usd


@pytest.mark.parametrize("has_money", [True, False])
async def test_undelivered_hours_of_a_settled_period_are_free_a_month_later(market, has_money):
    trade = await market.trade(cash="3", equity="0", days=80)
    account_id = rename_id("acc", trade.startup)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 10)
        await settle(market, grant, 0)
        assert await read_left(market, grant) == price(grant, 70), "a late reading may still charge them"
        await market.deliver(grant, 30, first=30)
        await settle(market, grant, 1)
        assert await read_left(market, grant) == price(grant, 20) + 2 * CENT
        free_usd = (await market.account(trade.startup)).available_usd
        if not has_money:
            gone = {"amount_usd": free_usd, "reference": "elsewhere"}
            await accounts.withdraw(market.handler, market.context(trade.startup), account_id, **gone)
        await market.deliver(grant, 1, first=10)
        late_id = name_adjustment(list_periods(grant)[0].statement_id, 0)
        await market.until("statement", late_id, "issued")
        if has_money:
            await statements.accept_statement(market.handler, market.context(trade.startup), late_id)
            assert (await market.account(trade.startup)).available_usd == free_usd - price(grant, 1)
        else:
            with pytest.raises(Refusal) as caught:
                await statements.accept_statement(market.handler, market.context(trade.startup), late_id)
            assert caught.value.code == "funds_insufficient"
        await market.deliver(grant, 20, first=60)
        await settle(market, grant, 2)
        paid_usd = (await market.account(trade.provider)).available_usd
        assert paid_usd == price(grant, 60 + has_money), "late readings take nothing from the last period"
        await accounts.deposit(
            market.handler, market.context(), account_id, amount_usd=Decimal(1_000), reference="more"
        )
        market.clock.at = grant.end + timedelta(days=12)
        await market.until("grant", grant.issued.grant_id, "completed")
    assert (await market.account(trade.provider)).available_usd == price(grant, 61)
    assert (await market.account(trade.startup)).held_usd == 0
    assert await find_faults(Advances, market.log) == []
    freed = [message.sequence for message in await read_messages(market.log) if is_freed(message)]
    dearer = await find_faults(Advances, market.log, price_usd_per_gpu_hour="11/5")
    assert freed[0] in [part for fault in dearer for part in fault], "it keeps too little for the hours to come"
    await check_log(market.log)


@pytest.mark.parametrize("paid_days", [0, 2])
async def test_an_adjustment_that_is_disputed_keeps_its_cash_beyond_the_month(market, paid_days):
    """A startup disputed a late reading until the cash was freed, and emptied its account."""
    trade = await market.trade(cash="3", equity="0", days=80)
    async with market.worker():
        grant = await market.award(trade)
        day = grant.issued.nodes * grant.issued.gpus_per_node * 86_400
        await market.deliver(grant, 10)
        await settle(market, grant, 0)
        market.clock.at = list_periods(grant)[1].end - timedelta(days=1)
        await market.deliver(grant, 4, first=10)
        late_id = name_adjustment(list_periods(grant)[0].statement_id, 0)
        await market.until("statement", late_id, "issued")
        said = {"gpu_seconds_counted": paid_days * day, "reason": "nothing ran"}
        await statements.dispute_statement(market.handler, market.context(trade.startup), late_id, **said)
        await market.deliver(grant, 30, first=30)
        await settle(market, grant, 1)
        known = await market.state("statement", late_id)
        assert (known.settled is None) == (paid_days == 0)
        assert await read_left(market, grant) == price(grant, 24 - paid_days) + 3 * CENT
        await market.withdraw_free(trade.startup)
        for party in (trade.provider, trade.startup):
            await disputes.answer_dispute(market.handler, market.context(party), late_id, reason="the logs say so")
        await disputes.refer_dispute(market.handler, market.context(trade.provider), late_id, reason="they ran")
        end = {"gpu_seconds": 4 * day, "reason": "the meter is right"}
        await statements.resolve_statement(market.handler, market.context(), late_id, **end)
        await market.until("statement", late_id, "accepted")
        assert (await market.account(trade.provider)).available_usd == price(grant, 44)
    assert await find_faults(Advances, market.log) == []
    unpaid = await find_faults(Advances, market.log, drop="statement.part_settled.v1")
    assert (unpaid == []) == (paid_days == 0), "it would keep too little for the adjustment"
    await check_log(market.log)


async def correct(market, grant, reading):
    provider = market.context(grant.issued.provider_id)
    named = {"source": "dcgm", "measurement": reading, "reason": "typing error"}
    await usage.correct_usage(market.handler, provider, grant.issued.grant_id, **named)


async def test_readings_that_were_lowered_and_are_corrected_up_are_paid_from_what_was_kept_for_them(market):
    """Days that the grant's last period did not deliver can no longer be metered, so nothing is needed for them."""
    trade = await market.trade(cash="3", equity="0", days=60)
    async with market.worker():
        grant = await market.award(trade)
        grant_id = grant.issued.grant_id
        first = list_periods(grant)[0].statement_id
        await market.deliver(grant, 30)
        await settle(market, grant, 0)
        await market.deliver(grant, 20, first=30)
        day = Measurement(
            reading_id="day-4",
            start=grant.issued.start + timedelta(days=4),
            end=grant.issued.start + timedelta(days=5),
            nodes=grant.issued.nodes,
        )
        market.clock.at = grant.end + timedelta(hours=1)
        less = structs.replace(day, end=day.end - timedelta(hours=12))
        await correct(market, grant, less)
        await market.until("statement", name_adjustment(first, 0), "accepted")
        await settle(market, grant, 1)
        async with asyncio.timeout(10):
            while (await market.state("usage", name_usage(grant_id))).limits is None:
                await market.tick()
        assert await read_left(market, grant) == price(grant, 1) / 2
        await market.withdraw_free(trade.startup)
        await correct(market, grant, day)
        await market.until("statement", name_adjustment(first, 1), "issued")
        await statements.accept_statement(market.handler, market.context(trade.startup), name_adjustment(first, 1))
        assert (await market.account(trade.provider)).available_usd == price(grant, 50)
    assert await find_faults(Advances, market.log) == []
    await check_log(market.log)
