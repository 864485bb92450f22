"""Evidence of the meters opens incidents by itself, and closes them when the machines say so."""

import asyncio
import sys
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from events.pool import PoolNodeFailed, PoolNodeRestored
from events.service import DetectionTerms, ServiceTerms
from events.usage import Evidence, Sample, UsageEvidenced
from marketplace.application.delivery import grants
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.metering import usage
from marketplace.application.supply import inventory
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import find_peak
from marketplace.domain.delivery.grant import Outage
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.log.events import parse_event
from marketplace.runtime.scheduling.health_monitor import HealthMonitor
from marketplace.runtime.scheduling.scheduler import Scheduler
from tests.application.billing.test_hostile_meters import AuditedCauses
from tests.domain import build
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import INCIDENTS, Market

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

    async def see(self, party, *looks, device="GPU-1", source="dcgm"):
        """Send samples of a device: since when in minutes from the start, and the XID error, of each."""
        samples = tuple(Sample(device=device, at=self.start + minute * MINUTE, xid_error=xid) for minute, xid in looks)
        context = self.market.context(party)
        await usage.evidence_usage(self.market.handler, context, self.grant_id, source=source, samples=samples)

    async def restore(self, incident_id, at, party=None):
        context = self.market.context(party)
        await inventory.restore_nodes(self.market.handler, context, self.pool, incident_id=incident_id, at=at)

    async def rest(self):
        """Let the workers do what is due now."""
        for _ in range(20):
            await self.market.tick()

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

    async def darken(self, day):
        """Let the startup's meter see GPUs of all nodes fail, so many days after the start."""
        minute = day * 1440
        self.market.clock.at = self.start + minute * MINUTE
        for number in range(9):
            await self.see(self.trade.startup, (minute - 1, 79), (minute, 79), device=f"GPU-{number}")
        await self.until_nodes(0)

    async def brighten(self):
        """Let the provider restore all nodes 23.5 hours later."""
        self.market.clock.at += timedelta(hours=23.5)
        failed, restored = await self.list_events(PoolNodeFailed), await self.list_events(PoolNodeRestored)
        for incident in failed[len(restored) :]:
            await self.restore(incident.incident_id, self.market.clock.now(), self.trade.provider)
        await self.until_nodes(2)


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


async def test_idle_nodes_of_the_pool_stay_on_sale_and_stand_in_for_failed_gpus_once_the_incident_is_restored(hall):
    async with hall.market.worker():
        await hall.begin()
        await hall.look(79, 79, 79)
        await hall.until_nodes(1)
        pool = await hall.market.state("pool", hall.trade.pool)
        now, nodes = hall.market.clock.at, pool.opened.nodes
        taken, _ = find_peak(pool.list_taken(), now, now + MINUTE)
        assert (taken, nodes) == (2, 4)
        (failed,) = await hall.list_events(PoolNodeFailed)
        await hall.restore(failed.incident_id, now, hall.trade.provider)
        await hall.until_nodes(2)


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


@pytest.fixture
def both(memory_log):
    hall = Hall(memory_log)
    hall.market.service = replace(INCIDENTS, detection=DetectionTerms(meters="both"))
    return hall


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


async def test_the_tenants_evidence_is_dated_back_by_an_hour_at_most(both):
    async with both.market.worker():
        await both.begin()
        startup = both.trade.startup
        await both.see(startup, (-1_200, 79), (-1_199, 79), (-61, 79))
        await both.see(startup, (-70, 79), (-60, 79), source="another", device="GPU-2")
        await both.rest()
        assert await both.list_events(PoolNodeFailed) == []
        await both.see(startup, (-59, 79), source="another", device="GPU-2")
        await both.until_nodes(1)
        devices = tuple(f"GPU-{number}" for number in range(3, 12))
        readings = tuple(
            Measurement(
                reading_id=f"{start}",
                start=both.start + start * MINUTE,
                end=both.start + end * MINUTE,
                gpus=9,
                devices=devices,
                evidence=Evidence(xid_errors=3),
            )
            for start, end in ((-1_000, -30), (-30, 0))
        )
        context = both.market.context(startup)
        await usage.report_usage(both.market.handler, context, both.grant_id, source="m", measurements=readings)
        await both.until_nodes(0)
        failed = await both.list_events(PoolNodeFailed)
        assert [one.at for one in failed] == [both.start - 60 * MINUTE] * 2


async def test_good_looks_date_the_end_of_an_incident_back_no_further_than_a_report_could(hall):
    async with hall.market.worker():
        await hall.begin()
        provider = hall.trade.provider
        await hall.see(provider, (-1, 79), (0, 79))
        await hall.until_nodes(1)
        hall.market.clock.at = hall.start + 1_000 * MINUTE
        await hall.see(provider, (1, 0), (2, 0), (3, 0))
        await hall.until_nodes(2)
        (restored,) = await hall.list_events(PoolNodeRestored)
        assert restored.at == hall.start + 940 * MINUTE


async def test_gpus_that_the_providers_meter_sees_working_do_not_fail_by_the_tenants_word(both):
    async with both.market.worker():
        await both.begin()
        provider, startup = both.trade.provider, both.trade.startup
        await both.see(startup, (-2, 79), (-1, 79))
        await both.until_nodes(1)
        await both.see(provider, (0, 0))
        await both.until_nodes(2)
        for number in range(16):
            await both.see(provider, (0, 0), device=f"GPU-{number}", source="bmc")
        await both.see(startup, (-2, 79), (-1, 79), device="GPU-of-nobody")
        await both.rest()
        assert len(await both.list_events(PoolNodeFailed)) == 1
        both.market.clock.at = both.start + 61 * MINUTE
        await both.see(startup, (61, 79))
        await both.until_nodes(1)


async def test_what_a_report_restored_is_answered_and_only_later_evidence_opens_an_incident_again(both):
    async with both.market.worker():
        await both.begin()
        startup = both.trade.startup
        await both.see(startup, (-2, 79), (-1, 79))
        await both.until_nodes(1)
        (failed,) = await both.list_events(PoolNodeFailed)
        await both.restore(failed.incident_id, both.start)
        await both.until_nodes(2)
        await both.see(startup, (-3, 79), (-2, 79), (-1, 79), source="another")
        await both.see(startup, (-3, 79), (-2, 79), device="GPU-2")
        await both.rest()
        assert len(await both.list_events(PoolNodeFailed)) == 1
        both.market.clock.at = both.start + 2 * MINUTE
        await both.see(startup, (1, 79), (2, 79))
        await both.until_nodes(1)
        _, again = await both.list_events(PoolNodeFailed)
        assert (again.incident_id, again.at) == (f"meters/{both.grant_id}/0/1", both.start + MINUTE)


async def test_of_two_incidents_a_report_ends_one_and_good_looks_the_other(hall):
    async with hall.market.worker():
        await hall.begin()
        devices = [f"GPU-{number}" for number in range(9)]
        await hall.look(79, 79, devices=devices)
        await hall.until_nodes(0)
        first, second = await hall.list_events(PoolNodeFailed)
        await hall.restore(first.incident_id, hall.market.clock.now(), hall.trade.provider)
        await hall.until_nodes(1)
        await hall.look(0, 0, 0, devices=["GPU-8"])
        await hall.until_nodes(2)
        restored = await hall.list_events(PoolNodeRestored)
        assert [one.incident_id for one in restored] == [first.incident_id, second.incident_id]


async def test_evidence_that_was_answered_ends_no_grant_for_cause_even_before_the_grant_follows(both):
    """The first incident was answered in time, and the second one is an hour old, when the startup ends the grant."""
    market = both.market

    async def end():
        context = market.context(both.trade.startup)
        at = market.clock.now()
        await grants.terminate_grant(market.handler, context, both.grant_id, at=at, reason="broken", for_cause=True)

    async with market.worker():
        await both.begin()
        startup, later = both.trade.startup, 23 * 60
        await both.see(startup, (-1, 79), (0, 79))
        await both.until_nodes(1)
        (first,) = await both.list_events(PoolNodeFailed)
        market.clock.at = both.start + later * MINUTE
        for number in range(2, 10):
            await both.see(startup, (later - 1, 79), (later, 79), device=f"GPU-{number}")
        await both.until_nodes(0)
        await both.restore(first.incident_id, market.clock.now(), both.trade.provider)
        await both.until_nodes(1)
    market.clock.at = both.start + timedelta(hours=24)
    with pytest.raises(Refusal) as refused:
        await end()
    due = render_instant(both.start + timedelta(hours=47))
    assert (refused.value.code, refused.value.facts["due"]) == ("cause_unanswered", due)
    market.clock.at = both.start + timedelta(hours=47)
    _, second = await both.list_events(PoolNodeFailed)
    await both.restore(second.incident_id, both.start + later * MINUTE)
    with pytest.raises(Refusal) as refused:
        await end()
    assert refused.value.code == "cause_missing", "the platform's word counts before any worker applies it"


async def test_evidence_that_was_refuted_twice_gives_no_cause_the_third_time(both):
    """A third time in the same second; also once the grant has moved, since what its old pool refuted stays so."""
    market = both.market

    async def end():
        context, at = market.context(both.trade.startup), market.clock.now()
        await grants.terminate_grant(market.handler, context, both.grant_id, at=at, reason="broken", for_cause=True)

    async with market.worker():
        await both.begin()
        provider, startup = both.trade.provider, both.trade.startup
        for hours in (0, 14):
            minute = hours * 60
            market.clock.at = both.start + minute * MINUTE
            await both.see(startup, (minute - 1, 79), (minute, 79))
            await both.until_nodes(1)
            market.clock.at += timedelta(hours=13)
            last = (await both.list_events(PoolNodeFailed))[-1]
            await both.restore(last.incident_id, market.clock.now(), provider)
            await both.until_nodes(2)
        market.clock.at = both.start + timedelta(hours=28)
        minute = 28 * 60
        await both.see(startup, (minute - 1, 79), (minute, 79))
        await both.until_nodes(1)
        with pytest.raises(Refusal) as refused:
            await end()
        due = render_instant(both.start + timedelta(hours=52))
        assert (refused.value.code, refused.value.facts["due"]) == ("cause_unanswered", due)
        _, other = await market.pool(provider, nodes=2)
        await market.lot(provider, other, ask="0.5", nodes=2, start=0)
        await substitute_grant(market.handler, market.context(provider), both.grant_id, pool_id=other, reason="move")
        context = market.context(provider)
        await grants.degrade_grant(
            market.handler, context, both.grant_id, nodes_available=0, at=market.clock.now(), reason="cooling"
        )
        with pytest.raises(Refusal) as refused:
            await end()
        assert (refused.value.code, refused.value.facts["due"]) == ("cause_unanswered", due)


@pytest.mark.parametrize("is_metered", [False, True])
async def test_a_grant_that_is_dark_again_after_each_repair_is_ended_unless_its_provider_meters_it(both, is_metered):
    """Each day the startup's meter sees all nodes fail, and half an hour before its time is over the provider answers.

    What the provider's meter counts meanwhile says that the evidence is false.
    """
    market = both.market

    async def end():
        context, at = market.context(both.trade.startup), market.clock.now()
        await grants.terminate_grant(market.handler, context, both.grant_id, at=at, reason="dark", for_cause=True)

    async with market.worker():
        await both.begin()
        for day in range(3):
            await both.darken(day)
            if day:
                with pytest.raises(Refusal, match="its provider may repair its nodes"):
                    await end()
            await both.brighten()
            if is_metered:
                await market.deliver(both.grant, 1, first=day + 1)
        await both.darken(3)
        if is_metered:
            with pytest.raises(Refusal, match="its provider may repair its nodes"):
                await end()
        else:
            await end()
    ended = await market.state("grant", both.grant_id)
    assert ended.status == ("degraded" if is_metered else "terminated")
    assert await find_faults(AuditedCauses, market.log) == []
    await check_log(market.log)


BOTH = DetectionTerms(meters="both")


class Desk:
    """A monitor without a market: one grant, and the events of its meters."""

    def __init__(self, nodes):
        issued = build.grant_issued(service=replace(INCIDENTS, detection=BOTH), nodes=nodes, gpus_per_node=8)
        self.grant_id, self.pool_id = issued.grant_id, issued.pool_id
        self.monitor = HealthMonitor(Scheduler())
        self.monitor.notice(issued, build.hour(0))
        self.at = build.hour(10)

    def see(self, meter, xid, *devices, looks=1):
        samples = []
        for _ in range(looks):
            self.at += MINUTE
            samples += [Sample(device=device, at=self.at, xid_error=xid) for device in devices]
        event = UsageEvidenced(
            usage_id=build.USAGE, grant_id=self.grant_id, source="dcgm", samples=tuple(samples), meter=meter
        )
        self.monitor.notice(event, self.at)

    def restore(self, incident_id):
        self.at += MINUTE
        self.monitor.notice(
            PoolNodeRestored(pool_id=self.pool_id, incident_id=incident_id, nodes=1, at=self.at), self.at
        )

    def list_meters(self):
        return [due.meter for one, due in self.monitor.list_due(self.grant_id) if one.opens]

    def list_due(self):
        return [(one.incident_id[-3:], one.opens) for one, _ in self.monitor.list_due(self.grant_id)]


def test_the_provider_sees_a_gpu_working_by_its_mig_instances_and_the_startup_by_its_name():
    desk = Desk(2)
    instances = [f"GPU-1/{number}" for number in range(1, 8)]
    desk.see("provider", 0, *instances, "GPU-2")
    desk.see("startup", 79, "GPU-1", "GPU-2/3", looks=2)
    assert desk.list_due() == []
    desk.see("startup", 79, "GPU-3/1", "GPU-3/2", looks=2)
    assert desk.list_due() == [("0/0", True)]


def test_bad_mig_instances_of_a_gpu_are_one_gpu():
    desk = Desk(2)
    desk.see("provider", 79, *(f"GPU-{gpu}/{number}" for gpu in range(2) for number in range(7)), looks=2)
    assert desk.list_due() == [("0/0", True)]
    desk.see("startup", 79, *(f"GPU-{gpu}" for gpu in range(2, 9)), looks=2)
    assert desk.list_due() == [("0/0", True), ("0/1", True)], "nine of sixteen GPUs are two nodes"


@pytest.mark.parametrize(("restored", "left"), [("0/0", "provider"), ("0/1", "startup")])
def test_a_report_that_ends_an_incident_takes_its_own_gpus_as_good(restored, left):
    desk = Desk(4)
    gpus = {meter: [f"{meter}-{number}" for number in range(8)] for meter in ("startup", "provider")}
    desk.see("startup", 79, *gpus["startup"], looks=2)
    desk.see("provider", 79, *gpus["provider"], looks=2)
    assert desk.list_due() == [("0/0", True), ("0/1", True)]
    desk.restore(f"meters/{desk.grant_id}/{restored}")
    other = {"provider": "startup", "startup": "provider"}[left]
    desk.see(other, 0, *gpus[other], looks=3)
    assert (restored, False) not in desk.list_due()[2:], "what a report ended is not ended by looks"
    assert len(desk.list_due()) == 2, "the other incident lasts"
    desk.see(left, 0, *gpus[left], looks=3)
    assert [opens for _, opens in desk.list_due()] == [True, True, False]


@pytest.mark.parametrize(
    ("seen", "meters"),
    [
        (["startup"], ["startup"]),
        (["provider"], ["provider"]),
        (["startup", "provider"], ["startup", "provider"]),
        (["provider", "startup"], ["provider", "startup"]),
    ],
)
def test_an_incident_names_the_meter_that_showed_it(seen, meters):
    desk = Desk(4)
    for meter in seen:
        desk.see(meter, 79, *(f"{meter}-{number}" for number in range(8)), looks=2)
    assert desk.list_meters() == meters


def test_a_node_that_both_meters_see_failed_is_shown_by_the_one_that_saw_it_first():
    desk = Desk(4)
    for meter in ("startup", "provider"):
        desk.see(meter, 79, *(f"GPU-{number}" for number in range(8)), looks=2)
    assert desk.list_meters() == ["startup"]


@pytest.mark.parametrize(
    ("first", "over", "ended"),
    [
        ("provider", "provider", "0/0"),
        ("provider", "startup", "0/1"),
        ("startup", "provider", "0/1"),
        ("startup", "startup", "0/0"),
    ],
)
def test_the_incident_ends_that_its_own_meter_no_longer_shows(first, over, ended):
    desk = Desk(4)
    gpus = {meter: [f"{meter}-{number}" for number in range(8)] for meter in ("startup", "provider")}
    other = {"provider": "startup", "startup": "provider"}
    for meter in (first, other[first]):
        desk.see(meter, 79, *gpus[meter], looks=2)
    desk.see(over, 0, *gpus[over], looks=3)
    assert desk.list_due()[2:] == [(ended, False)]


def test_what_the_startup_alone_shows_does_not_last_as_an_incident_of_the_providers_meter():
    desk = Desk(4)
    desk.see("provider", 79, "GPU-0", looks=2)
    desk.see("startup", 79, "GPU-1", looks=2)
    assert (desk.list_due(), desk.list_meters()) == ([("0/0", True)], ["provider"])
    desk.see("provider", 0, "GPU-0", looks=3)
    assert desk.list_due() == [("0/0", True), ("0/0", False), ("0/1", True)]
    assert desk.list_meters() == ["provider", "startup"]


def trace_steps(act):
    """Return the steps of Python that an act takes, which no other work of the machine changes."""
    steps = 0

    def trace(*_):
        nonlocal steps
        steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return steps


def test_an_event_that_turns_many_gpus_costs_the_same_on_a_large_grant_with_one_bad_gpu_of_the_startup():
    def count_steps(nodes):
        desk = Desk(nodes)
        for begin in range(0, nodes * 8 - 8, 1_000):
            desk.see("provider", 0, *(f"GPU-{number}" for number in range(begin, min(begin + 1_000, nodes * 8 - 8))))
        desk.see("startup", 79, "GPU-X", looks=2)
        desk.see("provider", 79, *(f"GPU-{number}" for number in range(200)))
        steps = trace_steps(lambda: desk.see("provider", 79, *(f"GPU-{number}" for number in range(200))))
        assert len(desk.list_due()) == 26
        return steps

    small, large = count_steps(64), count_steps(1_024)
    assert large < 1.1 * small


def test_an_event_that_turns_many_gpus_looks_once_at_those_that_were_bad_before():
    def count_steps(bad):
        desk = Desk(1_024)
        desk.see("provider", 79, *(f"GPU-{number}" for number in range(bad)), looks=2)
        more = [f"GPU-{number}" for number in range(bad, bad + 1_000)]
        desk.see("provider", 79, *more)
        steps = trace_steps(lambda: desk.see("provider", 79, *more))
        assert len(desk.list_due()) == (bad + 1_000) // 8
        return steps

    few, many = count_steps(0), count_steps(7_000)
    assert many < 1.5 * few
