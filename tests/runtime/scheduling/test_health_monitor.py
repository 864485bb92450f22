"""Evidence of the meters opens incidents by itself, and closes them when the machines say so."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from events.pool import PoolNodeFailed, PoolNodeRestored
from events.service import DetectionTerms, ServiceTerms
from events.usage import Evidence, Sample
from marketplace.application.metering import usage
from marketplace.domain.delivery.grant import Outage
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.log.events import parse_event
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

WAIT = 60
MINUTE = timedelta(minutes=1)


class Hall:
    """One running grant of two of four nodes, and its machines."""

    def __init__(self, log):
        self.market = Market(log)
        self.minute = 0

    async def begin(self):
        self.trade = await self.market.trade(days=40)
        self.grant = await self.market.award(self.trade)
        self.grant_id, self.pool = self.grant.issued.grant_id, self.grant.pool_id
        self.start = self.grant.issued.start + timedelta(days=1)
        self.market.clock.at = self.start
        await self.market.until("grant", self.grant_id, "active", seconds=WAIT)

    async def look(self, *xids, devices=("GPU-1",), party=None):
        """Send one sample a minute of each device, with these XID errors."""
        for xid in xids:
            self.minute += 1
            at = self.start + self.minute * MINUTE
            self.market.clock.at = max(self.market.clock.at, at)
            samples = tuple(
                Sample(device=device, at=at, gpu_utilisation=Decimal("0.9"), xid_error=xid) for device in devices
            )
            context = self.market.context(party or self.trade.provider)
            await usage.evidence_usage(self.market.handler, context, self.grant_id, source="dcgm", samples=samples)
        return at

    async def list_events(self, *kinds):
        found = [parse_event(one) async for page in self.market.log.read() for one in page]
        return [event for event in found if isinstance(event, kinds)]

    async def until_events(self, kind, count):
        async with asyncio.timeout(WAIT):
            while len(await self.list_events(kind)) < count:
                await self.market.tick()

    async def until_nodes(self, nodes):
        async with asyncio.timeout(WAIT):
            while (await self.market.state("grant", self.grant_id)).nodes_available != nodes:
                await self.market.tick()


@pytest.fixture
def hall(memory_log):
    return Hall(memory_log)


async def test_failed_hardware_opens_one_incident_and_looks_that_are_good_close_it(hall):
    async with hall.market.worker(), hall.market.worker():
        await hall.begin()
        await hall.look(0, 79)
        first_bad = hall.market.clock.at
        await hall.look(79, 79, 79)
        await hall.until_nodes(1)
        (failed,) = await hall.list_events(PoolNodeFailed)
        assert (failed.at, failed.nodes, failed.grant_id) == (first_bad, 1, hall.grant_id)
        assert failed.incident_id == f"meters/{hall.grant_id}/0/0"
        await hall.look(0, 79, 0, 0)
        first_good = hall.market.clock.at - MINUTE
        await hall.look(0)
        await hall.until_nodes(2)
        grant = await hall.market.state("grant", hall.grant_id)
        assert grant.outages == (Outage(first_bad, first_good, 1),)
        await hall.look(79, 79)
        await hall.until_nodes(1)
    failed, restored = await hall.list_events(PoolNodeFailed), await hall.list_events(PoolNodeRestored)
    assert [one.incident_id[-2:] for one in failed] == ["/0", "/1"]
    assert [one.at for one in restored] == [first_good]
    await check_log(hall.market.log)


async def test_gpus_that_one_node_could_hold_are_one_node(hall):
    async with hall.market.worker():
        await hall.begin()
        await hall.look(79, 79, devices=[f"GPU-{number}" for number in range(8)])
        await hall.until_nodes(1)
        await hall.look(79, 79, devices=["GPU-8"])
        await hall.until_nodes(0)
        await hall.look(0, 0, 0, devices=["GPU-8"])
        await hall.until_nodes(1)
    assert [one.nodes for one in await hall.list_events(PoolNodeFailed)] == [1, 1]


async def test_another_grant_of_the_pool_is_not_hit_and_a_worker_that_begins_later_opens_nothing_twice(hall):
    async with hall.market.worker():
        await hall.begin()
        await hall.look(79, 79)
        await hall.until_nodes(1)
    async with hall.market.worker():
        await hall.look(79, 0, 0, 0)
        await hall.until_nodes(2)
    assert len(await hall.list_events(PoolNodeFailed)) == len(await hall.list_events(PoolNodeRestored)) == 1


async def test_the_tenants_evidence_alone_opens_nothing(hall):
    async with hall.market.worker():
        await hall.begin()
        await hall.look(79, 79, 79, party=hall.trade.startup)
        await hall.look(79, 79)
        await hall.until_events(PoolNodeFailed, 1)
        (failed,) = await hall.list_events(PoolNodeFailed)
    assert failed.at == hall.start + 4 * MINUTE


async def test_a_grant_whose_gpus_fail_moves_where_there_is_room(hall):
    async with hall.market.worker():
        await hall.begin()
        _, other = await hall.market.pool(hall.trade.provider, nodes=2)
        await hall.market.lot(hall.trade.provider, other, ask="0.5", nodes=2, start=0)
        await hall.look(79, 79)
        async with asyncio.timeout(WAIT):
            while (await hall.market.state("grant", hall.grant_id)).pool_id != other:
                await hall.market.tick()
    grant = await hall.market.state("grant", hall.grant_id)
    assert (grant.status, grant.nodes_available) == ("active", 2)


async def test_readings_with_errors_below_the_promise_are_credited_without_a_claim(hall):
    """From evidence to money: readings tell of errors, an incident opens, the period is below its promise."""
    market = hall.market
    async with market.worker():
        await hall.begin()
        first = list_periods(hall.grant)[0]
        readings = [
            Measurement(
                reading_id=f"h{day}",
                start=hall.grant.issued.start + timedelta(days=day),
                end=hall.grant.issued.start + timedelta(days=day + 1),
                nodes=2,
                evidence=Evidence(gpu_utilisation=Decimal("0.5"), xid_errors=3 if 4 <= day < 14 else 0),
            )
            for day in range(30)
        ]
        market.clock.at = first.end
        provider = market.context(hall.trade.provider)
        await usage.report_usage(market.handler, provider, hall.grant_id, source="dcgm", measurements=tuple(readings))
        await hall.until_events(PoolNodeRestored, 1)
        await hall.until_nodes(2)
        market.clock.at = first.end + timedelta(hours=25)
        issued = await market.until("statement", first.statement_id, "issued", seconds=WAIT)
        assert issued.service.gpu_seconds_unavailable == 8 * 86_400 * 10
        assert (issued.service.availability, issued.service.credit) == ("5/6", Decimal("0.50"))
        market.clock.at = issued.issued.accept_until
        accepted = await market.until("statement", first.statement_id, "accepted", seconds=WAIT)
        assert accepted.service_credit.cash_usd > 0
    await check_log(market.log)


def test_nothing_opens_by_itself_where_the_terms_say_so():
    assert ServiceTerms(availability_min=Decimal(0), detection=None).detection is None
    assert ServiceTerms(availability_min=Decimal(0)).detection == DetectionTerms()
