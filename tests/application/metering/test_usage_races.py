"""Meters report while the grant is sold on, ended or extended elsewhere: nothing is counted on what is gone.

The processes' clocks are apart, as are the instants at which a command is decided and stored.
"""

import asyncio
import random
from datetime import timedelta

import msgspec
import pytest

from events.grant import ResalePart
from marketplace.application.delivery import grants
from marketplace.application.metering import usage
from marketplace.application.steps.usage_bounds import METERS, limit_usage
from marketplace.application.trading.resale_award import take_from_source
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.core.money import ZERO
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_commands import ExtendGrant
from marketplace.domain.metering.usage import count_gpu_seconds, name_usage
from marketplace.domain.metering.usage_commands import Measurement
from tests.support.market.market import Market, StandingClock
from tests.support.market.meddling import Meddling

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NODES, DAYS = 2, 40
REPORTED, LIMITED = "marketplace.usage.reported.v1", "marketplace.usage.limited.v1"


class Slow(Meddling):
    """A log whose answers take a few turns of the loop more, by chance."""

    def __init__(self, log, chance):
        super().__init__(log)
        self._chance = chance
        self._line = asyncio.Lock()

    async def _idle(self):
        for _ in range(self._chance.randrange(6)):
            await asyncio.sleep(0)

    async def append(self, writes):
        async with self._line:
            await self._idle()
            return await super().append(writes)

    async def load(self, subject, after=0, *, previous_hash=None):
        await self._idle()
        events = await super().load(subject, after, previous_hash=previous_hash)
        await self._idle()
        return events


class Stage:
    """A grant of two nodes over forty days, the process that changes it, and the one that reports."""

    def __init__(self, log):
        self.market = Market(log)

    async def build(self, meter_log=None):
        market = self.market
        trade = await market.trade(equity="0", cash="3", nodes=NODES, days=DAYS)
        async with market.worker():
            self.grant = await market.award(trade)
        self.start, self.id, self.lot = self.grant.issued.start, self.grant.issued.grant_id, trade.lot
        late = StandingClock(self.grant.end)
        self.meter = Market(meter_log or market.log, "meter", late)
        return self

    async def report(self, day, nodes=NODES, *, side="provider", hours=24, meter=None):
        """Report the first hours of a day, and return the outcome and its code."""
        meter = meter or self.meter
        start = self.start + day * DAY
        reading = Measurement(reading_id=f"{meter.name}-{day}", start=start, end=start + hours * HOUR, nodes=nodes)
        party = self.grant.issued.provider_id if side == "provider" else self.grant.startup_id
        _, (answer,) = await usage.report_usage(
            meter.handler, meter.context(party), self.id, source=f"{meter.name}/{side}", measurements=(reading,)
        )
        return answer.outcome, answer.code

    async def sell(self, day, nodes=1, *, market=None):
        """Take a day of nodes off the grant, as the award of a resale does."""
        market = market or self.market
        start, bought_id = self.start + day * DAY, derive_id("grt", self.id, f"bought/{day}")
        part = ResalePart(
            grant_id=self.id,
            lot_id=self.lot,
            seller_id=self.grant.startup_id,
            seller_account_id=self.grant.issued.startup_account_id,
            hold_id=derive_id("hld", bought_id),
            owed_usd_per_gpu_hour=self.grant.issued.price_usd_per_gpu_hour,
            commitment_usd=ZERO,
        )
        terms = {"grant_id": bought_id, "nodes": nodes, "start": start, "end": start + DAY}
        bought = msgspec.structs.replace(self.grant.issued, **terms)
        await market.handler.run(market.context(), GRANT, self.id, lambda unit: take_from_source(unit, bought, part))

    async def terminate(self, day):
        self.market.clock.at = self.start + day * DAY
        await grants.terminate_grant(self.market.handler, self.market.context(), self.id, at=self.start, reason="fire")

    async def extend(self):
        """Let the grant go on for a day, as a period that rolls forward does."""
        more = {"start": self.grant.end, "end": self.grant.end + DAY, "lots": (), "at": self.grant.issued.start}

        async def work(unit):
            command = ExtendGrant(grant_id=self.id, statement_id=derive_id("stm", self.id), **more)
            await limit_usage(unit, await unit.decide(GRANT, self.id, command))

        await self.market.handler.run(self.market.context(), GRANT, self.id, work)

    async def check(self):
        """Of each side and hour no more is counted than the grant has; return the GPU-seconds of the provider's."""
        grant = await self.market.state("grant", self.id)
        for meter in METERS:
            counted = await self.market.state("usage", name_usage(self.id, meter))
            at = self.start
            while at < self.grant.end + 2 * DAY:
                left = grant.count_nodes(at) if at < grant.end else 0
                assert count_gpu_seconds(counted, at, at + HOUR) <= left * grant.issued.gpus_per_node * 3_600, (
                    meter,
                    at,
                )
                at += HOUR
        provider = await self.market.state("usage", name_usage(self.id))
        return count_gpu_seconds(provider, self.start, self.grant.end + 2 * DAY)


class UsageRaceCases:
    @pytest.mark.parametrize("side", METERS)
    async def test_a_meter_that_has_not_heard_of_a_resale_counts_what_is_left(self, log, side):
        stage = await Stage(log).build()
        assert await stage.report(0, side=side) == ("accepted", None)
        await stage.sell(1)
        assert await stage.report(1, side=side) == ("rejected", "nodes_above_grant")
        assert await stage.report(2, side=side) == ("accepted", None)
        await stage.check()

    async def test_a_meter_that_has_not_heard_of_an_early_end_counts_up_to_it(self, log):
        stage = await Stage(log).build()
        await stage.report(0)
        await stage.terminate(day=2)
        assert await stage.report(1) == ("accepted", None)
        assert await stage.report(2) == ("rejected", "outside_grant")
        await stage.check()

    async def test_a_meter_that_has_not_heard_of_an_extension_may_count_in_it(self, log):
        stage = await Stage(log).build()
        await stage.report(0)
        await stage.sell(1)
        assert await stage.report(1) == ("rejected", "nodes_above_grant")
        await stage_activate(stage)
        await stage.extend()
        stage.meter.clock.at += DAY
        assert await stage.report(DAYS) == ("accepted", None)

    @pytest.mark.parametrize("change", ["sell", "terminate"])
    async def test_a_reading_that_was_decided_before_a_change_and_comes_after_it_is_decided_again(self, log, change):
        held = Meddling(log)
        stage = await Stage(log).build(held)
        await stage.report(0)
        held.hold()
        reading = asyncio.create_task(stage.report(1))
        await held.until_appends(2)
        await (stage.sell(1) if change == "sell" else stage.terminate(1))
        held.let_go()
        outcome, _ = await reading
        assert outcome == "rejected"
        await stage.check()

    async def test_a_resale_that_was_decided_before_a_reading_and_comes_after_it_is_refused(self, log):
        held = Meddling(log)
        stage = await Stage(log).build()
        slow = Market(held, "seller", stage.market.clock)
        held.hold()
        sale = asyncio.create_task(stage.sell(1, market=slow))
        await held.until_appends(1)
        assert await stage.report(1) == ("accepted", None)
        held.let_go()
        with pytest.raises(Refusal) as caught:
            await sale
        assert caught.value.code == "capacity_delivered"
        await stage.check()

    async def test_a_grant_ends_no_sooner_than_what_was_counted_of_it(self, log):
        stage = await Stage(log).build()
        assert await stage.report(5, hours=3) == ("accepted", None)
        await stage.terminate(day=5)
        assert (await stage.market.state("grant", stage.id)).end == stage.start + 5 * DAY + 3 * HOUR
        assert await stage.report(6) == ("rejected", "outside_grant")
        await stage.check()

    @pytest.mark.parametrize("seed", [1, 2, 3])
    async def test_however_readings_and_changes_interleave_no_more_is_counted_than_there_is(self, log, seed):
        chance = random.Random(seed)
        stage = await Stage(log).build(Slow(log, chance))
        other = Market(Slow(log, chance), "other", stage.meter.clock)
        seller = Market(Slow(log, chance), "seller", stage.market.clock)
        outcomes = []
        for day in range(DAYS - 10):
            meters = [stage.meter, other] if day % 2 else [stage.meter]
            steps = [
                *(stage.report(day, chance.randint(1, NODES), meter=meter) for meter in meters),
                stage.report(day, side="startup", meter=other),
                stage.sell(day, chance.randint(1, NODES), market=seller),
            ]
            chance.shuffle(steps)
            answers = await asyncio.gather(*steps, return_exceptions=True)
            outcomes += [answer[0] for answer in answers if isinstance(answer, tuple)]
            refused = [answer for answer in answers if isinstance(answer, BaseException)]
            assert {answer.code for answer in refused if isinstance(answer, Refusal)} <= {"capacity_delivered"}
            assert all(isinstance(answer, Refusal) for answer in refused), refused
            outcomes += ["refused"] * len(refused)
        assert {"accepted", "rejected"} <= set(outcomes)
        await asyncio.gather(stage.terminate(DAYS - 8), *(stage.report(DAYS - day) for day in range(1, 10)))
        assert await stage.check() > 0


async def stage_activate(stage):
    market = stage.market
    market.clock.at = max(market.clock.at, stage.start)
    await grants.activate_grant(market.handler, market.context(stage.grant.issued.provider_id), stage.id)


class TestOnMemory(UsageRaceCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestOnJetStream(UsageRaceCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


@pytest.mark.xdist_group("nats-cluster")
class TestOnCluster(UsageRaceCases):
    @pytest.fixture
    def log(self, jetstream_cluster_log):
        return jetstream_cluster_log
