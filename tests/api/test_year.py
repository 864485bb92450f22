"""A year through HTTP: monthly statements, an incident that is credited without a claim, and a note that falls due."""

import asyncio
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import httpx

from events.mandate import MandateTerms
from events.order import ClassOffer, OrderTerms
from events.types import NoteTerms
from marketplace.api.http.bodies.delivery import ReadingBody
from marketplace.client import MarketplaceClient
from marketplace.core.ids import rename_id
from marketplace.log.memory import MemoryLog
from tests.api.stage import ADMIN_KEY, open_stage
from tests.api.supplying import acting_for, open_pool
from tests.support.patience import PATIENCE_SECONDS

DAY = timedelta(days=1)
MONTHS = 12
BAD_MONTH = 2


class Year:
    """One grant of two nodes over twelve periods of thirty days, drawn as a note."""

    def __init__(self, client):
        self.client = client
        self.begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + 2 * DAY

    async def move_to(self, at):
        now = (await self.client.clock.get()).now
        if at > now:
            await self.client.clock.advance(seconds=math.ceil((at - now).total_seconds()))

    async def wait(self, look):
        """Return what a look at the API gives, once it gives something."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if found := await look():
                    return found
                await asyncio.sleep(0.02)

    async def register(self, name, role, usd=None):
        client = self.client
        party_id = (await client.parties.register(name=name, roles=(role,), jurisdiction="US")).id
        await client.parties.clear(party_id, checks=("sanctions",))
        if usd is not None:
            await client.accounts.deposit(
                rename_id("acc", party_id), amount_usd=Decimal(usd), reference=f"wire {party_id}"
            )
        return party_id

    async def supply(self, mandate_id):
        self.pool = await open_pool(self.client, self.provider, 1_000)
        await self.client.lots.offer(
            pool_id=self.pool,
            nodes=4,
            start=self.begin,
            end=self.begin + 400 * DAY,
            ask_usd_per_gpu_hour=Decimal(2),
            mandate_ids=(mandate_id,),
        )

    async def trade(self):
        """Bring the parties together, and return the grant that the auction awards."""
        client = self.client
        self.provider, fund = await self.register("Provider", "provider"), await self.register("Fund", "fund", 900_000)
        startup = await self.register("Startup", "startup", 900_000)
        mandate = MandateTerms(
            instrument_kinds=("convertible_note",),
            equity_credit=Decimal("0.8"),
            budget_usd=Decimal(800_000),
            issuer_usd_max=Decimal(800_000),
            startup_accepts_alone=True,
        )
        async with acting_for(client, fund) as own:
            mandate_id = (await own.mandates.grant(holder_id=fund, funding="cash", terms=mandate)).id
        await self.supply(mandate_id)
        await client.issuers.form(
            party_id=startup, legal_name="Startup, Inc.", jurisdiction="US", formed_on=date(2025, 1, 1)
        )
        self.matures_on = (self.begin + 500 * DAY).date()
        order_id = (await client.orders.place(startup_id=startup, terms=self.build_terms(mandate_id))).id
        locks_at = (await client.clock.get()).now + timedelta(minutes=1)
        await client.auctions.open(locks_at=locks_at, horizon_start=self.begin, period_hours=24, periods=380, seed=1)
        await self.move_to(locks_at)
        order = await self.wait(lambda: self.find_matched(order_id))
        return await client.grants.get(order.grant_id)

    def build_terms(self, mandate_id):
        offer = ClassOffer(gpu_class="H100_SXM", cash_usd_per_gpu_hour=Decimal(1), equity_usd_per_gpu_hour=Decimal(3))
        note = NoteTerms(
            annual_rate=Decimal("0.08"),
            interest="simple",
            day_count="actual_365",
            matures_on=self.matures_on,
            valuation_cap_usd=Decimal(10_000_000),
            service_consequence="credit",
        )
        return OrderTerms(
            nodes=2,
            duration_hours=24 * 30 * MONTHS,
            start_earliest=self.begin,
            start_latest=self.begin,
            offers=(offer,),
            mandate_ids=(mandate_id,),
            instrument=note,
        )

    async def find_matched(self, order_id):
        order = await self.client.orders.get(order_id)
        return order if order.status == "matched" else None

    async def lose_three_nodes(self, at):
        """Let one of the grant's two nodes fail for six days; two more of the pool are spare."""
        await self.move_to(at)
        await self.client.pools.fail_nodes(self.pool, incident_id="fans", nodes=3, at=at)
        await self.wait(lambda: self.find_grant("degraded"))
        await self.move_to(at + 6 * DAY)
        await self.client.pools.restore_nodes(self.pool, incident_id="fans", at=at + 6 * DAY)
        await self.wait(lambda: self.find_grant("active"))

    async def find_grant(self, status):
        grant = await self.client.grants.get(self.grant_id)
        return grant if grant.status == status else None

    async def find_statement(self, month, *statuses):
        start = self.begin + 30 * month * DAY
        async for statement in self.client.statements.list(grant_id=self.grant_id):
            if statement.period_start == start and statement.status in statuses:
                return statement
        return None

    async def play_month(self, month):
        start, end = self.begin + 30 * month * DAY, self.begin + 30 * (month + 1) * DAY
        if month == BAD_MONTH:
            await self.lose_three_nodes(start + 4 * DAY)
        await self.move_to(end)
        readings = tuple(
            ReadingBody(reading_id=f"{month}/{day}", start=start + day * DAY, end=start + (day + 1) * DAY, nodes=2)
            for day in range(30)
        )
        await self.client.usage.report(self.grant_id, source="dcgm", readings=readings)
        await self.move_to(end + 25 * timedelta(hours=1))
        issued = await self.wait(lambda: self.find_statement(month, "issued", "accepted"))
        await self.move_to(issued.accept_until)
        return await self.wait(lambda: self.find_statement(month, "accepted"))


async def test_a_year_of_monthly_statements_an_incident_a_credit_and_a_note_that_falls_due(database_url):
    async with open_stage(MemoryLog(), database_url, worker=True, embedded=True) as stage:
        transport = httpx.ASGITransport(stage.application)
        async with MarketplaceClient("http://test", ADMIN_KEY, transport) as client:
            year = Year(client)
            year.grant_id = (await year.trade()).grant_id
            await year.wait(lambda: _activate(year))
            statements = [await year.play_month(month) for month in range(MONTHS)]
            await year.wait(lambda: year.find_grant("completed"))
            _check(statements)
            await _check_books(client, year, statements)


async def _activate(year):
    await year.move_to(year.begin)
    return await year.find_grant("active")


def _check(statements):
    bad = statements[BAD_MONTH]
    assert (bad.service.availability, bad.service.met, bad.service.credit) == (Decimal("0.9"), False, Decimal("0.25"))
    assert bad.service_credit.cash_usd == round(bad.charges.cash_usd / 4, 2)
    assert bad.service_credit.provider_usd == bad.service_credit.cash_usd + bad.service_credit.holder_usd
    others = [one for one in statements if one is not bad]
    assert all(one.service.met and one.service_credit is None for one in others)
    assert {one.accepted_by for one in statements} == {"silence"}


async def _check_books(client, year, statements):
    """Check principal, reliability, dollars and the note, which falls due last."""
    given_back = statements[BAD_MONTH].service_credit.principal_usd
    accrued = sum(one.charges.principal_usd for one in statements) - given_back
    (note,) = [one async for one in client.instruments.list()]
    assert (note.principal_usd, note.status) == (accrued, "lapsed")
    undelivered = round(statements[BAD_MONTH].charges.principal_usd / 9, 2)  # a tenth of the month's nodes failed
    assert note.lapsed_usd == given_back + undelivered
    assert (await client.market.get_reliability(year.provider)).uptime == Decimal("0.991666666667")
    assert not sum(row.amount for row in await client.accounts.get_trial_balance() if row.unit == "USD")
    await year.move_to(datetime.combine(year.matures_on + DAY, datetime.min.time(), UTC) + timedelta(seconds=1))
    due = await year.wait(lambda: _find_due(client))
    assert due.matured_on == year.matures_on
    assert due.due_usd > accrued


async def _find_due(client):
    return next((one for one in [one async for one in client.instruments.list()] if one.matured_on is not None), None)
