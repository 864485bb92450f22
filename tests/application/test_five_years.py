"""A grant of five years, with one reading a period: every statement is settled, and nothing stays held."""

from datetime import timedelta

from marketplace.application.metering import usage
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage_commands import Measurement
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

DAYS = 1_830


async def test_a_grant_of_five_years_is_cleared_stated_and_settled(memory_log):
    market = Market(memory_log)
    provider = await market.party("Provider", "provider")
    startup = await market.party("Startup", "startup", usd=4_000_000)
    _, pool = await market.pool(provider)
    await market.lot(provider, pool, end=DAYS + 1)
    order = await market.order(startup, cash="2.5", nodes=4, days=DAYS, latest=1)
    auction = await market.auction(periods=DAYS)
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction, seconds=60)
        grant = await market.state("grant", (await market.state("order", order)).grant_id)
        assert grant.issued.end - grant.issued.start == timedelta(days=DAYS)
        for period in list_periods(grant):
            market.clock.at = max(market.clock.at, period.start)
            await market.until("grant", grant.issued.grant_id, "active", seconds=60)
            reading = Measurement(reading_id=period.statement_id, start=period.start, end=period.end, nodes=4)
            market.clock.at = max(market.clock.at, period.end)
            context = market.context(provider)
            await usage.report_usage(
                market.handler, context, grant.issued.grant_id, source="dcgm", measurements=(reading,)
            )
            market.clock.at = period.end + timedelta(days=1)
            issued = await market.until("statement", period.statement_id, "issued", seconds=60)
            market.clock.at = issued.issued.accept_until
            await market.until("statement", period.statement_id, "accepted", seconds=60)
        await market.until("grant", grant.issued.grant_id, "completed", seconds=60)
    ledger = await check_log(memory_log)
    assert [one.status for one in ledger.states["statement"].values()] == ["accepted"] * 61
    account = await market.account(startup)
    totals = compute_totals(build_tariff(grant.issued), grant.gpu_seconds_granted)
    assert (account.held_usd, 4_000_000 - account.available_usd) == (0, totals.cash_usd)
