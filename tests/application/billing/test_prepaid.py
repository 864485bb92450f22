"""Cash of hours that a settled period did not deliver is free a month later, and not once the last one is settled."""

from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.application.billing import accounts, statements
from marketplace.auditor.prepaid import Advances
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import CENT
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.delivery.periods import list_periods
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
