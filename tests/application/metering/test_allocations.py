"""What a tenant used is carried by its grants in their order, in one atomic append, and corrections unwind it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from marketplace.application.metering import usage
from marketplace.application.metering.allocation_offers import Use
from marketplace.application.metering.allocations import allocate_usage, prioritise_grant, reallocate_usage
from marketplace.application.steps.usage_bounds import limit_grant
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_command_id, rename_id
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_commands import ActivateGrant, ExtendGrant, IssueGrant
from marketplace.domain.metering.allocation_commands import name_allocation
from marketplace.domain.metering.usage import USAGE, count_gpu_seconds, name_usage
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.execution.clock import MarketClock
from marketplace.execution.handler import Handler
from marketplace.execution.unit_of_work import Context
from marketplace.log.events import parse_event
from marketplace.log.memory import MemoryLog
from tests.domain import build
from tests.domain.build import PROVIDER, STARTUP, id_of

BEGIN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=48)
FIRST, SECOND, THIRD = (id_of("grt", number) for number in (1, 2, 3))
GPUS = 16
SOURCE = "fleet"


class Fleet:
    """One startup with three grants of two nodes at one provider, the first ending first."""

    def __init__(self, log):
        self.log = log
        self.handler = Handler(log, MarketClock())
        self.issued_at = {FIRST: BEGIN, SECOND: BEGIN, THIRD: BEGIN + timedelta(hours=1)}

    def context(self, name, party_id=PROVIDER):
        command_id = derive_command_id("tests", name)
        at = self.handler.clock.now()
        return Context(command_id=command_id, fingerprint=command_id, actor="tests", party_id=party_id, at=at)

    async def issue(self):
        for number, grant_id in enumerate((FIRST, SECOND, THIRD)):
            issued = build.grant_issued(
                grant_id=grant_id, start=BEGIN, end=BEGIN + timedelta(hours=40 + number), gpus_per_node=8, nodes=2
            )
            await self.handler.run(self.context(f"issue-{number}", None), GRANT, grant_id, self.begin(issued))

    @staticmethod
    def begin(issued):
        async def work(unit):
            await unit.decide(GRANT, issued.grant_id, IssueGrant(issued=issued))
            await unit.decide(GRANT, issued.grant_id, ActivateGrant(grant_id=issued.grant_id, at=issued.start))

        return work

    def use(self, **changes):
        members = {
            "startup_id": STARTUP,
            "provider_id": PROVIDER,
            "gpu_class": "H100_SXM",
            "source": SOURCE,
            "issued_at": self.issued_at,
        }
        return Use(**(members | changes))

    async def allocate(self, reading_id, gpus, start=0, end=1, name=None, **changes):
        """Return how many GPUs each grant carries, part by part."""
        context = self.context(name or f"{reading_id}/{gpus}")
        _, found = await allocate_usage(
            self.handler, context, self.use(**changes), measure(reading_id, gpus, start, end)
        )
        return None if found is None else [(part.grant_id, part.gpus) for part in found.parts]

    async def reallocate(self, reading_id, gpus, start=0, end=1):
        measurement = None if gpus is None else measure(reading_id, gpus, start, end)
        context = self.context(f"again/{reading_id}/{gpus}")
        return await reallocate_usage(
            self.handler, context, self.use(), reading_id=reading_id, measurement=measurement, reason="miscounted"
        )

    async def count(self, hour):
        """Return the GPUs that each grant counts in an hour, as its log says."""
        counted = []
        start = BEGIN + timedelta(hours=hour)
        for grant_id in (FIRST, SECOND, THIRD):
            state = await self.fold(name_usage(grant_id))
            counted.append(count_gpu_seconds(state, start, start + timedelta(hours=1)) // 3_600)
        return counted

    async def fold(self, usage_id):
        stored = await self.log.load(f"marketplace.usage.{usage_id}")
        return USAGE.fold(parse_event(recorded) for recorded in stored)


def measure(reading_id, gpus, start=0, end=1):
    return Measurement(
        reading_id=reading_id, start=BEGIN + timedelta(hours=start), end=BEGIN + timedelta(hours=end), gpus=gpus
    )


@pytest.fixture
async def fleet():
    built = Fleet(MemoryLog())
    await built.issue()
    return built


async def test_use_goes_to_the_grant_that_expires_first_and_on_from_there(fleet):
    assert await fleet.allocate("a", 20) == [(FIRST, 16), (SECOND, 4)]
    assert await fleet.allocate("b", 20) == [(SECOND, 12), (THIRD, 8)]
    assert await fleet.count(0) == [16, 16, 8]
    with pytest.raises(Refusal) as caught:
        await fleet.allocate("c", 9)
    assert caught.value.code == "grants_exhausted"
    assert await fleet.count(0) == [16, 16, 8]


async def test_the_tenant_says_which_grant_is_used_first(fleet):
    await prioritise_grant(fleet.handler, fleet.context("first", STARTUP), THIRD, priority=1)
    assert await fleet.allocate("a", 20) == [(THIRD, 16), (FIRST, 4)]
    with pytest.raises(Refusal) as caught:
        await prioritise_grant(fleet.handler, fleet.context("theirs", PROVIDER), THIRD, priority=1)
    assert caught.value.code == "wrong_side"


async def test_what_a_grant_counts_by_itself_is_not_free(fleet):
    direct = (build.measurement(reading_id="d", start=BEGIN, end=BEGIN + timedelta(hours=1), nodes=1),)
    await usage.report_usage(fleet.handler, fleet.context("direct"), FIRST, source="dcgm", measurements=direct)
    assert await fleet.allocate("a", 10, end=2) == [(FIRST, 8), (FIRST, 10), (SECOND, 2)]


async def test_a_grant_carries_nothing_between_its_end_and_its_extension(fleet):
    async def extend(unit):
        start, end = (BEGIN + timedelta(hours=hours) for hours in (42, 44))
        statement_id, at = id_of("stm", 1), start
        command = ExtendGrant(grant_id=FIRST, statement_id=statement_id, start=start, end=end, lots=(), at=at)
        await limit_grant(unit, await unit.decide(GRANT, FIRST, command))

    await fleet.handler.run(fleet.context("extend", None), GRANT, FIRST, extend)
    await prioritise_grant(fleet.handler, fleet.context("first", STARTUP), FIRST, priority=1)
    assert await fleet.allocate("a", 4, start=39, end=43) == [(FIRST, 4), (FIRST, 4), (SECOND, 4), (THIRD, 4)]
    assert [await fleet.count(hour) for hour in (39, 40, 41, 42)] == [[4, 0, 0], [0, 4, 0], [0, 0, 4], [4, 0, 0]]


async def test_corrections_unwind_the_recorded_order(fleet):
    await fleet.allocate("a", 40)
    await fleet.reallocate("a", 20)
    assert await fleet.count(0) == [16, 4, 0]
    await prioritise_grant(fleet.handler, fleet.context("first", STARTUP), THIRD, priority=1)
    await fleet.reallocate("a", 34)
    assert await fleet.count(0) == [16, 16, 2]
    await fleet.reallocate("a", 6, start=1, end=3)
    assert [await fleet.count(hour) for hour in range(3)] == [[0, 0, 0], [6, 0, 0], [6, 0, 0]]
    await fleet.reallocate("a", None)
    assert await fleet.count(1) == [0, 0, 0]
    assert await fleet.allocate("late", 3) == [(THIRD, 3)]


async def test_a_repeat_changes_nothing_and_another_content_is_a_conflict(fleet):
    first = await fleet.allocate("a", 20)
    before = (await fleet.log.health()).last_sequence
    assert first is not None
    assert await fleet.allocate("a", 20) == first
    assert (await fleet.log.health()).last_sequence == before
    for _ in range(2):
        assert await fleet.allocate("a", 20, name="another request") is None
        assert (await fleet.log.health()).last_sequence == before + 1
    with pytest.raises(Refusal) as caught:
        await fleet.allocate("a", 21)
    assert caught.value.code == "allocation_exists"
    restarted = Fleet(fleet.log)
    assert await restarted.allocate("a", 20, name="after a restart") is None
    await restarted.reallocate("a", 2)
    assert await restarted.count(0) == [2, 0, 0]


async def test_parts_that_were_changed_by_themselves_are_not_overwritten(fleet):
    await fleet.allocate("a", 20)
    await usage.void_usage(
        fleet.handler, fleet.context("void"), SECOND, source=SOURCE, reading_id="a#2", reason="by itself"
    )
    with pytest.raises(Refusal) as caught:
        await fleet.reallocate("a", None)
    assert caught.value.code == "part_changed"
    assert await fleet.count(0) == [16, 0, 0]


async def test_nobody_but_the_provider_tells_and_no_other_tenant_pays(fleet):
    with pytest.raises(Refusal) as caught:
        await allocate_usage(fleet.handler, fleet.context("theirs", STARTUP), fleet.use(), measure("a", 1))
    assert caught.value.code == "party_unknown"
    for other in ({"startup_id": id_of("pty", 8)}, {"gpu_class": "A100_80GB"}):
        with pytest.raises(Refusal) as caught:
            await fleet.allocate("a", 1, name=str(other), **other)
        assert caught.value.code == "grants_exhausted"
    assert await fleet.count(0) == [0, 0, 0]


async def test_what_comes_at_once_is_allocated_one_after_another(fleet):
    parts = await asyncio.gather(*(fleet.allocate(f"r{number}", 4) for number in range(12)))
    assert sum(gpus for carried in parts for _, gpus in carried) == 3 * GPUS
    assert await fleet.count(0) == [GPUS, GPUS, GPUS]
    again = await asyncio.gather(*(fleet.reallocate(f"r{number}", 2) for number in range(12)))
    assert len({receipt.sequence for receipt in again}) == 12
    assert sum(await fleet.count(0)) == 24
    record = await fleet.fold(name_allocation(STARTUP, PROVIDER, "H100_SXM"))
    assert record.allocations.count == 12
    assert record == (await fleet.handler.cache.load(USAGE, name_allocation(STARTUP, PROVIDER, "H100_SXM"))).state


def test_a_record_of_use_is_not_the_record_of_a_grant():
    assert name_allocation(STARTUP, PROVIDER, "H100_SXM") != rename_id("usg", STARTUP)
