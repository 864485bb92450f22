"""A match from its order to its last statement, by commands, timers and the auctioneer on one log."""

from datetime import timedelta
from decimal import Decimal

from marketplace.application.metering import usage
from marketplace.core.ids import rename_id
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.log.memory import MemoryLog
from tests.support.market.invariants import check_log
from tests.support.market.market import Market


async def test_a_mixed_order_is_matched_delivered_paid_and_accrues():
    market = Market(MemoryLog())
    provider = await market.party("Provider", "provider")
    fund = await market.party("Fund", "fund", usd=1_000_000)
    startup = await market.party("Startup", "startup", usd=100_000, sector="robotics")
    mandate = await market.mandate(fund)
    await market.issuer(startup)
    _, pool = await market.pool(provider)
    await market.lot(provider, pool, mandate_ids=(mandate,))
    order = await market.order(startup, cash="1", equity="3", mandate_ids=(mandate,), nodes=2, days=40)
    loser = await market.order(startup, cash="1")
    auction = await market.auction()
    account = await market.state("account", rename_id("acc", startup))
    assert account.held_usd == Decimal(2 * 8 * 960 + 2 * 8 * 48)
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
        won = await market.state("order", order)
        assert won.status == "matched"
        assert (await market.state("order", loser)).status == "unmatched"
        grant = await market.state("grant", won.grant_id)
        market.clock.at = grant.issued.start + timedelta(hours=1)
        await market.until("grant", won.grant_id, "active")
        market.clock.at = grant.issued.end + timedelta(hours=1)
        for index in range(40):
            start = grant.issued.start + timedelta(days=index)
            reading = Measurement(
                reading_id=f"r{index}", start=start, end=start + timedelta(days=1), nodes=2, evidence=None
            )
            await usage.report_usage(
                market.handler, market.context(provider), won.grant_id, source="dcgm", measurements=(reading,)
            )
        periods = list_periods(grant)
        market.clock.at = grant.issued.end + timedelta(days=2)
        for period in periods:
            await market.until("statement", period.statement_id, "issued")
        market.clock.at = grant.issued.end + timedelta(days=10)
        await market.until("grant", won.grant_id, "completed")
    hours = 2 * 8 * 960
    price = Decimal(grant.issued.price_usd_per_gpu_hour.split("/")[0]) / Decimal(
        grant.issued.price_usd_per_gpu_hour.split("/")[1]
    )
    received = (await market.state("account", rename_id("acc", provider))).available_usd
    assert received == (price * hours).quantize(Decimal("0.01"))
    paid_by_startup = Decimal(100_000) - (await market.state("account", rename_id("acc", startup))).available_usd
    paid_by_fund = Decimal(1_000_000) - (await market.state("mandate", mandate)).terms.budget_usd
    held = (await market.state("account", rename_id("acc", fund))).holds[rename_id("hld", mandate)]
    assert paid_by_startup + held.captured_usd == received
    assert paid_by_fund == 0
    instrument = await market.state("instrument", rename_id("ins", won.grant_id))
    assert instrument.principal_usd == instrument.issued.commitment_usd
    assert held.captured_usd <= instrument.principal_usd
    assert (await market.state("account", rename_id("acc", startup))).held_usd == 0
    await check_log(market.log)
