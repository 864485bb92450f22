"""Time sheets report while the grant is ended or extended elsewhere: no hours are counted outside of what it runs.

The processes' clocks are apart, as are the instants at which a command is decided and stored.
"""

import asyncio
import random
from datetime import timedelta
from decimal import Decimal

import pytest

from events.service_line import HoursReading
from marketplace.application.billing import service_hours, service_lines
from marketplace.application.delivery import grants
from marketplace.application.steps.usage_bounds import limit_grant
from marketplace.core.ids import derive_id
from marketplace.domain.billing.service_line_bill import list_spans
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_commands import ExtendGrant
from tests.application.metering.test_usage_races import Slow
from tests.support.market.market import Market, StandingClock
from tests.support.market.meddling import Meddling

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SHEET, DAYS = "sheets/engineering", 40
END = 5
"""The day of the early end in what interleaves."""


class Stage:
    """A grant over forty days with a service line, the process that changes it, and the one that reports hours."""

    def __init__(self, log):
        self.market = Market(log)

    async def build(self, sheet_log=None):
        market = self.market
        trade = await market.trade(equity="0", cash="3", nodes=1, days=DAYS)
        async with market.worker():
            self.grant = await market.award(trade)
        self.trade, self.start, self.id = trade, self.grant.issued.start, self.grant.issued.grant_id
        terms = {"name": "tuning", "price_usd_per_hour": Decimal(1), "hours": Decimal(500), "workers": 2}
        provider, startup = market.context(trade.provider), market.context(trade.startup)
        receipt = await service_lines.propose_service_line(market.handler, provider, self.id, **terms)
        self.line_id = receipt.id
        await service_lines.agree_service_line(market.handler, startup, self.line_id)
        late = StandingClock(self.grant.end)
        self.sheet = Market(sheet_log or market.log, "sheet", late)
        return self

    async def report(self, day, *, hours=8, sheet=None):
        """Report hours of a day, and return the outcome and its code."""
        sheet = sheet or self.sheet
        start = self.start + day * DAY
        reading = HoursReading(
            reading_id=f"{sheet.name}-{day}", start=start, end=start + hours * HOUR, hours=Decimal(hours)
        )
        _, (answer,) = await service_hours.report_hours(
            sheet.handler,
            sheet.context(self.trade.provider),
            self.line_id,
            source=f"{SHEET}/{sheet.name}",
            readings=(reading,),
        )
        return answer.outcome, answer.code

    async def terminate(self, day, *, market=None):
        market = market or self.market
        market.clock.at = self.start + day * DAY
        await grants.terminate_grant(market.handler, market.context(), self.id, at=self.start, reason="fire")

    async def extend(self):
        """Let the grant go on for a day, as a period that rolls forward does."""
        self.market.clock.at = max(self.market.clock.at, self.start)
        await grants.activate_grant(self.market.handler, self.market.context(self.trade.provider), self.id)
        more = {"start": self.grant.end, "end": self.grant.end + DAY, "lots": (), "at": self.start}

        async def work(unit):
            command = ExtendGrant(grant_id=self.id, statement_id=derive_id("stm", self.id), **more)
            await limit_grant(unit, await unit.decide(GRANT, self.id, command))

        await self.market.handler.run(self.market.context(), GRANT, self.id, work)

    async def check(self):
        """Every hour that counts is within the grant; return their sum."""
        grant = await self.market.state("grant", self.id)
        line = await self.market.state("service_line", self.line_id)
        assert line.spans in {None, list_spans(grant)}
        for reading in line.readings.values():
            assert any(start <= reading.start and reading.end <= end for start, end in list_spans(grant)), reading
        return line.hours


class HoursRaceCases:
    async def test_a_time_sheet_that_has_not_heard_of_an_early_end_counts_up_to_it(self, log):
        stage = await Stage(log).build()
        assert await stage.report(0) == ("accepted", None)
        await stage.terminate(day=2)
        assert await stage.report(1) == ("accepted", None)
        assert await stage.report(2) == ("rejected", "outside_grant")
        assert await stage.check() == 16

    async def test_a_time_sheet_that_has_not_heard_of_an_extension_may_count_in_it(self, log):
        stage = await Stage(log).build()
        stage.sheet.clock.at += DAY
        assert await stage.report(DAYS) == ("rejected", "outside_grant")
        await stage.extend()
        assert await stage.report(DAYS) == ("accepted", None)
        assert await stage.check() == 8

    async def test_hours_that_were_decided_before_an_early_end_and_come_after_it_are_decided_again(self, log):
        held = Meddling(log)
        stage = await Stage(log).build(held)
        await stage.report(0)
        held.hold()
        reading = asyncio.create_task(stage.report(1))
        await held.until_appends(2)
        await stage.terminate(day=1)
        held.let_go()
        assert await reading == ("rejected", "outside_grant")
        assert await stage.check() == 8

    async def test_an_early_end_that_was_decided_before_hours_and_comes_after_them_ends_as_they_do(self, log):
        held = Meddling(log)
        stage = await Stage(log).build()
        slow = Market(held, "slow", stage.market.clock)
        held.hold()
        ending = asyncio.create_task(stage.terminate(day=1, market=slow))
        await held.until_appends(1)
        assert await stage.report(1) == ("accepted", None)
        held.let_go()
        await ending
        assert (await stage.market.state("grant", stage.id)).end == stage.start + DAY + 8 * HOUR
        assert await stage.check() == 8

    @pytest.mark.parametrize("seed", [1, 2, 3])
    async def test_however_hours_and_an_early_end_interleave_none_count_after_it(self, log, seed):
        chance = random.Random(seed)
        stage = await Stage(log).build(Slow(log, chance))
        other = Market(Slow(log, chance), "other", stage.sheet.clock)
        ender = Market(Slow(log, chance), "ender", StandingClock(stage.start))
        outcomes = set()
        for day in range(10):
            steps = [stage.report(day + 10 * part, sheet=sheet) for part in (0, 1) for sheet in (stage.sheet, other)]
            if day == END:
                steps.append(stage.terminate(END, market=ender))
            chance.shuffle(steps)
            outcomes |= set(await asyncio.gather(*steps)) - {None}
        assert outcomes == {("accepted", None), ("rejected", "outside_grant")}
        assert await stage.check() >= END * 16


class TestOnMemory(HoursRaceCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestOnJetStream(HoursRaceCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


@pytest.mark.xdist_group("nats-cluster")
class TestOnCluster(HoursRaceCases):
    @pytest.fixture
    def log(self, jetstream_cluster_log):
        return jetstream_cluster_log
