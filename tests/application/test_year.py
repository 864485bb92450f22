"""A year of draws, statements and expiries, played on a clock that a test moves, in seconds."""

from datetime import timedelta
from decimal import Decimal

from marketplace.application.billing import accounts, holds
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.delivery.periods import list_periods
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

DAYS = 360


async def test_a_year_of_draws_statements_and_expiries_ends_with_everything_settled(memory_log):
    market = Market(memory_log)
    provider = await market.party("Provider", "provider")
    fund = await market.party("Fund", "fund", usd=1_000_000)
    startup = await market.party("Startup", "startup", usd=400_000, sector="robotics")
    mandate = await market.mandate(fund, budget=500_000)
    await market.issuer(startup)
    _, pool = await market.pool(provider)
    await market.lot(provider, pool, mandate_ids=(mandate,), end=DAYS + 30)
    offer = {"cash": "1", "equity": "3", "mandate_ids": (mandate,)}
    order = await market.order(startup, **offer, nodes=2, days=DAYS, latest=1)
    over = await market.order(startup, cash="1", nodes=4, days=2, latest=200, standing=True)
    context = market.context(startup)
    await holds.place_hold(
        market.handler,
        context,
        rename_id("acc", startup),
        payee_account_id=rename_id("acc", provider),
        amount_usd=Decimal(500),
        expires_at=market.day(180),
    )
    auction = await market.auction(periods=DAYS + 10)
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction, seconds=60)
        grant = await market.state("grant", (await market.state("order", order)).grant_id)
        await _deliver_a_year(market, grant)
        await market.until("grant", grant.issued.grant_id, "completed", seconds=60)
    ledger = await check_log(memory_log)
    statements = ledger.states["statement"].values()
    assert (len(statements), {one.status for one in statements}) == (12, {"accepted"})
    instrument = ledger.states["instrument"][rename_id("ins", grant.issued.grant_id)]
    assert instrument.principal_usd == sum(one.charges.principal_usd for one in statements)
    assert instrument.undrawn_usd == 0
    assert ledger.states["order"][over].status == "expired"
    account = ledger.states["account"][rename_id("acc", startup)]
    hold = account.holds[derive_id("hld", context.command_id)]
    assert (hold.expired, hold.left_usd, account.held_usd) == (True, 0, 0)
    await accounts.withdraw(
        market.handler,
        market.context(startup),
        rename_id("acc", startup),
        amount_usd=account.available_usd,
        reference="the rest",
    )
    assert market.clock.now() - market.day(0) > timedelta(days=DAYS)


async def _deliver_a_year(market, grant):
    """Report every day of every period, and let each statement be accepted by silence."""
    await market.until("grant", grant.issued.grant_id, "issued", "active")
    for number, period in enumerate(list_periods(grant)):
        market.clock.at = max(market.clock.at, period.start)
        await market.until("grant", grant.issued.grant_id, "active", seconds=60)
        await market.deliver(grant, (period.end - period.start).days, first=30 * number)
        market.clock.at = max(market.clock.at, period.end + timedelta(days=1))
        issued = await market.until("statement", period.statement_id, "issued", seconds=60)
        market.clock.at = issued.issued.accept_until
        await market.until("statement", period.statement_id, "accepted", seconds=60)
