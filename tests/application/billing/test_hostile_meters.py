"""What meters, outages, disputes and corrections gained for one side; each line was played by strangers."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from events.service import STANDARD_SERVICE
from marketplace.application.billing import accounts, bonds, statements
from marketplace.application.delivery import grants
from marketplace.application.delivery.substitution import substitute_grant
from marketplace.application.metering import usage
from marketplace.application.supply import inventory
from marketplace.auditor.capacity import Capacity
from marketplace.auditor.causes import Causes
from marketplace.auditor.deciders import Deciders as AuditedDeciders
from marketplace.auditor.market import Market as AuditedMarket
from marketplace.auditor.money import Money
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.instants import render_instant
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import Withdraw
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.delivery.reliability import ReliabilityState, compute_reliability, evolve
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.log.events import parse_event
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_adjustments import DAY, Delivery
from tests.application.billing.test_bonds import sell
from tests.application.trading.test_related import relate, until_marked
from tests.support.market.auditing import find_faults
from tests.support.market.deciding import decide
from tests.support.market.invariants import check_log
from tests.support.market.market import SAFE, Market
from tests.support.market.meter import MemoryArchive

ZERO = Decimal(0)
HOUR = timedelta(hours=1)


class AuditedCauses(Causes):
    """Causes, with the capacity that they rest on."""

    def __init__(self, findings):
        super().__init__(findings, Capacity(findings))

    def take(self, decision):
        super().take(decision)
        self.capacity.take(decision)


class Month(Delivery):
    """A grant of forty days; how its first thirty are delivered, stated and paid."""

    @property
    def id(self):
        return self.grant.issued.grant_id

    def at(self, days):
        return self.grant.issued.start + timedelta(days=days)

    async def go(self, days):
        self.market.clock.at = max(self.market.clock.at, self.at(days))
        return await self.market.until("grant", self.id, "active", "degraded", "suspended")

    async def degrade(self, day, nodes, **more):
        context = self.market.context(self.trade.provider)
        at = self.at(day)
        await grants.degrade_grant(
            self.market.handler, context, self.id, nodes_available=nodes, at=at, reason="cooling", **more
        )

    async def resume(self, day):
        await grants.resume_grant(
            self.market.handler, self.market.context(self.trade.provider), self.id, at=self.at(day)
        )

    async def report_silence(self):
        context = self.market.context(self.trade.startup)
        await grants.suspend_grant(self.market.handler, context, self.id, at=context.at, reason="no node answers")

    async def state_first(self):
        """Let the first period be stated."""
        self.market.clock.at = max(self.market.clock.at, self.first.end + timedelta(hours=25))
        return await self.market.until("statement", self.first.statement_id, "issued", "disputed")

    async def settle(self):
        await self.state_first()
        self.market.clock.at += timedelta(days=7)
        return await self.market.until("statement", self.first.statement_id, "accepted")

    async def dispute(self, claimed, statement_id=None):
        context = self.market.context(self.trade.startup)
        await statements.dispute_statement(
            self.market.handler,
            context,
            statement_id or self.first.statement_id,
            gpu_seconds_counted=claimed,
            reason="less was delivered",
        )

    async def resolve(self, gpu_seconds, statement_id=None, party=""):
        await statements.resolve_statement(
            self.market.handler,
            self.market.context(self.trade.provider if party == "" else party),
            statement_id or self.first.statement_id,
            gpu_seconds=gpu_seconds,
            reason="conceded",
        )

    async def earned(self):
        return (await self.market.account(self.trade.provider)).available_usd

    def worth(self, gpu_seconds):
        return compute_totals(build_tariff(self.grant.issued), gpu_seconds).provider_usd

    async def reliability(self):
        state = ReliabilityState()
        async for page in self.market.log.read():
            for recorded in page:
                state = evolve(state, parse_event(recorded))
        return compute_reliability(state.records[self.trade.provider])


@pytest.fixture
async def month():
    market = Market(MemoryLog())
    market.handler.archive = MemoryArchive()
    trade = await market.trade()
    async with market.worker():
        yield Month(market, trade, await market.award(trade))


async def test_nodes_reported_as_failed_are_not_billed(month):
    await month.go(0)
    await month.degrade(0, 0)
    await month.market.deliver(month.grant, 30)
    settled = await month.settle()
    assert (settled.charges.gpu_seconds, settled.service.availability) == (0, "0/1")
    assert (await month.earned(), (await month.reliability()).uptime) == (ZERO, 0)


async def test_a_resumption_cannot_be_backdated(month):
    await month.go(1)
    await month.degrade(1, 0)
    await month.go(29)
    with pytest.raises(Refusal) as refused:
        await month.resume(1.001)
    assert refused.value.code == "resumption_backdated"
    await month.market.deliver(month.grant, 30)
    await month.resume(30)
    assert (await month.settle()).charges.gpu_seconds == DAY


async def test_an_outage_told_after_the_statement_is_credited(month):
    await month.market.deliver(month.grant, 30)
    await month.settle()
    assert await month.earned() == month.worth(30 * DAY)
    await month.degrade(3, 1, until=month.at(9))
    credit = await month.adjusted(0)
    assert credit.charges.gpu_seconds == 3 * DAY
    assert credit.issued.service.availability == "9/10"
    before = await month.earned()
    assert abs(before - month.worth(27 * DAY) * 3 / 4) <= Decimal("0.01"), "and a quarter of the rest, by the schedule"
    assert (await month.reliability()).uptime == Fraction(9, 10)
    await month.degrade(3, 1, until=month.at(9))
    await month.complete()
    await check_log(month.market.log)


async def test_a_provider_that_delivers_nothing_broke_its_promise():
    market = Market(MemoryLog())
    market.service = None  # the standard terms
    trade = await market.trade()
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        settled = await month.settle()
        assert (settled.service.met, settled.service.availability) == (False, "0/1")
        assert (await month.reliability()).uptime == 0


@pytest.mark.parametrize("consequence", ["roll_forward", "exclude"])
async def test_eight_hours_of_outage_leave_the_rest_of_a_month_paid(consequence):
    market = Market(MemoryLog())
    market.instrument = msgspec.structs.replace(SAFE, service_consequence=consequence)
    trade = await market.trade()
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.go(3)
        await month.degrade(3, 0)
        await month.go(3 + 8 / 24)
        await month.resume(3 + 8 / 24)
        await market.deliver(month.grant, 30)
        settled = await month.settle()
        delivered = 30 * DAY - DAY // 3
        assert settled.charges.gpu_seconds == delivered
        assert await month.earned() >= month.worth(delivered) * 9 // 10


async def test_what_is_undisputed_is_paid_at_once(month):
    await month.market.deliver(month.grant, 30)
    await month.state_first()
    await month.dispute(30 * DAY - 1)
    assert await month.earned() == month.worth(30 * DAY - 1)
    await month.resolve(30 * DAY - 1)
    assert (await month.reliability()).undisputed == 1 - Fraction(1, 30 * DAY)
    await month.check(30 * DAY - 1)


async def test_an_outage_that_is_told_in_a_dispute_is_credited_after_it_also_on_what_was_paid_before(month):
    """The dispute could not end: its statement would have taken back principal of the part that was paid."""
    await month.market.deliver(month.grant, 30)
    await month.state_first()
    await month.dispute(20 * DAY)
    await month.degrade(0, 0, until=month.at(15))
    await month.resolve(20 * DAY)
    credit = await month.adjusted(0)
    assert (credit.charges.gpu_seconds, credit.issued.service.availability) == (5 * DAY, "1/2")
    assert await month.earned() == month.worth(15 * DAY) / 2
    await month.complete()
    await check_log(month.market.log)


async def test_a_second_of_the_tenants_meter_delays_a_payment_by_the_time_for_disputes_and_no_longer(month):
    await month.market.deliver(month.grant, 30)
    start = month.at(3)
    second = Measurement(reading_id="s", start=start, end=start + timedelta(seconds=1), gpus=1)
    assert await month.report(second, party=month.trade.startup) == ["accepted"]
    stated = await month.state_first()
    assert (stated.status, stated.disputed.gpu_seconds_counted) == ("disputed", 30 * DAY - 15)
    month.market.clock.at += timedelta(days=7)
    await month.market.until("statement", month.first.statement_id, "accepted")
    assert await month.earned() == month.worth(30 * DAY - 15)


async def test_what_a_dispute_settled_is_not_charged_again_by_corrections(month):
    await month.market.deliver(month.grant, 30)
    await month.state_first()
    await month.dispute(15 * DAY)
    await month.resolve(15 * DAY)
    for day in range(15, 30):
        await month.void(f"day-{day}")
    assert (await month.adjusted(0)).charges.gpu_seconds == 0
    again = [month.measure(day, reading_id=f"again-{day}") for day in range(15, 30)]
    assert set(await month.report(*again)) == {"accepted"}
    answered = await month.adjusted(1)
    assert (answered.charges.gpu_seconds, answered.issued.adjustment.gpu_seconds_after) == (0, 30 * DAY)
    await month.complete()
    await month.check(15 * DAY)


async def test_late_readings_are_held_against_the_tenants_meter(month):
    await month.market.deliver(month.grant, 10)
    tenants = [month.measure(day) for day in range(10)]
    tenants += [month.measure(day, nodes=1) for day in range(10, 20)]
    month.market.clock.at = month.at(20)
    assert set(await month.report(*tenants, party=month.trade.startup)) == {"accepted"}
    await month.settle()
    await month.market.deliver(month.grant, 10, first=10)
    late = await month.adjusted(0, "issued", "disputed")
    assert (late.status, late.charges.gpu_seconds) == ("disputed", 10 * DAY)
    assert (late.disputed.by, late.disputed.gpu_seconds_counted) == ("meters", 5 * DAY)


@pytest.mark.parametrize("acts", ["dispute", "accept", "nothing"])
async def test_a_meter_that_covered_one_day_leaves_its_startup_the_dispute_of_the_others(month, acts):
    market, statement_id = month.market, month.first.statement_id
    await market.deliver(month.grant, 30)
    assert await month.report(month.measure(0, nodes=1), party=month.trade.startup) == ["accepted"]
    stated = await month.state_first()
    counted = 30 * DAY - DAY // 2
    assert (stated.disputed.by, stated.disputed.gpu_seconds_counted) == ("meters", counted)
    assert (stated.settled, await month.earned()) == (None, ZERO)
    with pytest.raises(Refusal) as refused:
        await month.resolve(counted)
    assert refused.value.code == "acceptance_period_runs"
    paid = counted
    if acts == "dispute":
        paid = DAY // 2
        await month.dispute(paid)
    elif acts == "accept":
        await statements.accept_statement(market.handler, market.context(month.trade.startup), statement_id)
    assert await month.earned() == (ZERO if acts == "nothing" else month.worth(paid))
    market.clock.at += timedelta(days=7)
    settled = await market.until("statement", statement_id, "accepted")
    assert (settled.charges.gpu_seconds, await month.earned()) == (paid, month.worth(paid))
    await check_log(market.log)


async def test_readings_that_come_during_a_dispute_are_charged_after_it(month):
    await month.market.deliver(month.grant, 1)
    await month.state_first()
    await month.dispute(DAY // 2)
    assert await month.report(month.measure(1), month.measure(2)) == ["accepted", "accepted"]
    await month.resolve(DAY // 2)
    late = await month.adjusted(0, "issued")
    assert late.charges.gpu_seconds == 2 * DAY
    month.market.clock.at += timedelta(days=7)
    await month.adjusted(0)
    await month.complete()
    await month.check(2 * DAY + DAY // 2)


async def test_a_reserve_pays_corrections_of_an_emptied_account(month):
    await month.settle_first(30)
    market, account_id = month.market, rename_id("acc", month.trade.provider)
    earned = await month.earned()
    context = market.context(month.trade.provider)
    with pytest.raises(Refusal) as refused:
        await accounts.withdraw(market.handler, context, account_id, amount_usd=earned, reference="all")
    assert refused.value.code == "funds_reserved"
    free = Decimal(refused.value.facts["free_usd"])
    await accounts.withdraw(market.handler, context, account_id, amount_usd=free, reference="rest")
    await month.void("day-4")
    assert (await month.adjusted(0)).charges.gpu_seconds == DAY
    assert await find_faults(Money, market.log) == []

    async def withdraw_kept(unit):
        await unit.decide(ACCOUNT, account_id, Withdraw(account_id=account_id, amount_usd=Decimal(1), reference="kept"))

    await market.handler.run(market.context(month.trade.provider), ACCOUNT, account_id, withdraw_kept)
    assert {fault[0] for fault in await find_faults(Money, market.log)} == {"reserve"}


async def test_an_outage_that_ended_before_a_move_is_credited(month):
    """It is reported at its end, when the grant is on another pool already."""
    market, provider = month.market, month.trade.provider
    _, other = await market.pool(provider)
    await market.lot(provider, other, ask="1")
    await month.go(3)
    market.clock.at = month.at(3) + 4 * HOUR
    context = market.context(provider)
    await substitute_grant(market.handler, context, month.id, pool_id=other, reason="cooling")
    pool, incident = month.trade.pool, {"incident_id": "cooling", "nodes": 4, "at": month.at(3)}
    await inventory.fail_nodes(market.handler, market.context(provider), pool, **incident)
    await inventory.restore_nodes(
        market.handler, market.context(provider), pool, incident_id="cooling", at=market.clock.now()
    )
    await market.deliver(month.grant, 30)
    settled = await month.settle()
    assert settled.charges.gpu_seconds == 30 * DAY - DAY // 6


async def test_a_node_that_is_repaired_for_a_moment_gains_its_provider_no_new_week():
    """Its startup never had cause: each repair of a few minutes began seven days anew."""
    market = Market(MemoryLog())
    provider, startup = (
        await market.party("Provider", "provider"),
        await market.party("Startup", "startup", usd=2_000_000),
    )
    async with market.worker():
        grant = (await sell(market, provider, startup, lock=0.5, ask="2", nodes=20, start=2, end=30)).grant
        grant_id = grant.issued.grant_id

        async def degrade(day, nodes=19):
            market.clock.at = market.day(day)
            told = {"nodes_available": nodes, "at": market.clock.now(), "reason": "xid"}
            await grants.degrade_grant(market.handler, market.context(provider), grant_id, **told)

        async def end(day):
            market.clock.at = market.day(day)
            told = {"at": market.clock.now(), "reason": "broken", "for_cause": True}
            await grants.terminate_grant(market.handler, market.context(startup), grant_id, **told)

        await market.until("grant", grant_id, "issued")
        market.clock.at = market.day(2)
        await market.until("grant", grant_id, "active")
        await degrade(2)
        market.clock.at = market.day(8)
        resumed = {"at": market.clock.now()}
        await grants.resume_grant(market.handler, market.context(provider), grant_id, **resumed)
        await degrade(8.25)
        with pytest.raises(Refusal) as refused:
            await end(12)
        assert (refused.value.code, refused.value.facts["due"]) == (
            "cause_unanswered",
            render_instant(market.day(12.25)),
        )
        await end(12.25)
        assert (await market.state("grant", grant_id)).status == "terminated"
    assert await find_faults(AuditedCauses, market.log) == []
    await check_log(market.log)


async def test_evidence_ends_a_grant_for_cause_once_the_other_side_could_answer(month):
    await month.go(3)
    await month.degrade(3, 1)
    market = month.market

    async def end():
        context = market.context(month.trade.startup)
        await grants.terminate_grant(
            market.handler, context, month.id, at=market.clock.now(), reason="broken", for_cause=True
        )

    with pytest.raises(Refusal) as refused:
        await end()
    assert (refused.value.code, refused.value.facts["due"]) == ("cause_unanswered", render_instant(month.at(4)))
    market.clock.at = month.at(4)
    await end()
    assert (await market.state("grant", month.id)).status == "terminated"
    assert list_periods(await market.state("grant", month.id))[0].end == month.at(4)


async def relate_both(month):
    """Let both sides of a grant state that they are related, and wait until it is marked."""
    trade = month.trade
    await relate(month.market, trade.startup, by=trade.startup, related_id=trade.provider)
    await relate(month.market, trade.provider, by=trade.provider, related_id=trade.startup)
    await until_marked(month.market, month.id)


async def test_late_readings_among_related_parties_need_the_second_meter_too(month):
    await relate_both(month)
    await month.market.deliver(month.grant, 10)
    assert (await month.state_first()).disputed.gpu_seconds_counted == 0
    await decide(month.market, month.trade, month.first.statement_id, 10 * DAY)
    assert await month.report(month.measure(20), month.measure(21)) == ["accepted", "accepted"]
    adjusted = await month.adjusted(0, "disputed")
    assert (adjusted.disputed.by, adjusted.disputed.gpu_seconds_counted) == ("meters", 0)
    month.market.clock.at += timedelta(days=7)
    assert (await month.adjusted(0)).charges.gpu_seconds == 0, "the provider's silence settles at the claim"


async def test_a_relation_stated_after_a_grant_is_completed_marks_it_and_the_auditor_finds_nothing(month):
    await month.market.deliver(month.grant, 30)
    await month.settle()
    await month.complete()
    await relate_both(month)
    assert await find_faults(AuditedMarket, month.market.log) == []


@pytest.mark.parametrize("related", [False, True])
async def test_where_both_meters_are_silent_nothing_is_charged(month, related):
    if related:
        await relate_both(month)
    settled = await month.settle()
    assert (settled.charges.gpu_seconds, settled.disputed, await month.earned()) == (0, None, ZERO)


async def test_a_meter_counts_no_zero_and_a_startup_that_used_nothing_claims_it(month):
    await month.market.deliver(month.grant, 30)
    zero = Measurement(reading_id="none", start=month.at(0), end=month.at(30), gpus=0)
    assert await month.report(zero, party=month.trade.startup) == ["nodes_not_positive"]
    await month.state_first()
    await month.dispute(0)
    month.market.clock.at += timedelta(days=7)
    settled = await month.market.until("statement", month.first.statement_id, "accepted")
    assert (settled.charges.gpu_seconds, await month.earned()) == (0, ZERO)


@pytest.mark.parametrize(
    ("settled", "measure", "failed"),
    [
        (0, "metered", 2),
        (30 * DAY // 50, "metered", 2),
        (15 * DAY - 1, "metered", 2),
        (15 * DAY, "metered", None),
        (30 * DAY // 50, "incidents", None),
        (0, "incidents", 2),
    ],
)
async def test_a_provider_that_meters_what_it_does_not_deliver_leaves_its_startup_cause_once_that_is_settled(
    settled, measure, failed
):
    market = Market(MemoryLog())
    market.service = msgspec.structs.replace(STANDARD_SERVICE, measure=measure)
    trade = await market.trade()

    async def leave(month):
        at, context = month.market.clock.now(), month.market.context(trade.startup)
        await grants.terminate_grant(market.handler, context, month.id, at=at, reason="no show", for_cause=True)

    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.market.deliver(month.grant, 30)
        await month.state_first()
        await month.dispute(settled)
        with pytest.raises(Refusal, match="while its last settled statement charges far less than was promised"):
            await leave(month)
        market.clock.at += timedelta(days=7)
        await market.until("statement", month.first.statement_id, "accepted")
        if failed is None:
            with pytest.raises(Refusal, match="while its last settled statement charges far less than was promised"):
                await leave(month)
        else:
            await leave(month)
            ended = (await market.state("grant", month.id)).terminated
            assert (ended.fee_usd, ended.nodes_failed) == (0, failed)
            found = await find_faults(AuditedCauses, market.log, "statement.accepted.v1")
            assert [rule for rule, *_ in found] == ["cause"]
    assert await find_faults(AuditedCauses, market.log) == []
    await check_log(market.log)


async def test_a_provider_that_meters_a_twentieth_leaves_its_startup_cause_every_month():
    """It meters 72 minutes of each day: a silence of 48 hours never comes, nor does a statement of nothing."""
    market = Market(MemoryLog())
    market.service = STANDARD_SERVICE
    trade = await market.trade()

    async def leave(month):
        at, context = market.clock.now(), market.context(trade.startup)
        await grants.terminate_grant(market.handler, context, month.id, at=at, reason="no show", for_cause=True)

    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.go(30)
        for day in range(30):
            at = month.at(day)
            some = Measurement(reading_id=f"day {day}", start=at, end=at + timedelta(minutes=72), nodes=2)
            assert await month.report(some) == ["accepted"]
        issued = await month.state_first()
        await statements.accept_statement(market.handler, market.context(trade.startup), month.first.statement_id)
        with pytest.raises(Refusal, match="far less than was promised"):
            await leave(month)  # An honest meter that is late may still report.
        market.clock.at = issued.issued.accept_until
        await leave(month)
        ended = (await market.state("grant", month.id)).terminated
        assert (ended.fee_usd, ended.nodes_failed) == (0, 2)
    assert await find_faults(AuditedCauses, market.log) == []
    await check_log(market.log)


@pytest.mark.parametrize(("hours", "lapsed"), [(35, False), (36, True)])
async def test_a_settled_statement_of_nothing_is_no_cause_once_half_of_three_days_was_metered_after_it(hours, lapsed):
    market = Market(MemoryLog())
    market.service = STANDARD_SERVICE
    trade = await market.trade()
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.settle()
        end = market.clock.now() - HOUR
        worked = Measurement(reading_id="again", start=end - hours * HOUR, end=end, nodes=2)
        assert await month.report(worked) == ["accepted"]
        dust = Measurement(reading_id="dust", start=month.at(0), end=month.at(0) + timedelta(seconds=1), nodes=2)
        assert await month.report(dust) == ["accepted"]
        await month.adjusted(0, "issued")
        leave = grants.terminate_grant(
            market.handler,
            market.context(trade.startup),
            month.id,
            at=market.clock.now(),
            reason="no show",
            for_cause=True,
        )
        if lapsed:
            with pytest.raises(Refusal, match="while its last settled statement charges far less than was promised"):
                await leave
        else:
            await leave
    assert await find_faults(AuditedCauses, market.log) == []
    await check_log(market.log)


async def test_a_provider_that_delivers_nothing_and_says_nothing_leaves_its_startup_cause():
    market = Market(MemoryLog())
    market.service = STANDARD_SERVICE
    trade = await market.trade()

    async def miss(month):
        at, context = month.market.clock.now(), month.market.context(trade.startup)
        await grants.suspend_grant(market.handler, context, month.id, at=at - HOUR, reason="no node answers")

    async def leave(month):
        at, context = month.market.clock.now(), month.market.context(trade.startup)
        await grants.terminate_grant(market.handler, context, month.id, at=at, reason="no show", for_cause=True)

    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.go(1.5)
        with pytest.raises(Refusal, match="may be reported by its startup") as early:
            await miss(month)
        await month.market.deliver(month.grant, 1)
        await month.go(2.5)
        with pytest.raises(Refusal, match="the provider's meter counted GPUs") as counted:
            await miss(month)
        await month.go(3.5)
        await miss(month)
        assert (early.value.code, counted.value.code) == ("grant_not_due", "capacity_delivered")
        with pytest.raises(Refusal, match="may repair its nodes"):
            await leave(month)
        await month.go(4)
        for words in (month.resume(4), month.degrade(4, 1)):
            with pytest.raises(Refusal, match="report readings first") as unmetered:
                await words
            assert unmetered.value.code == "capacity_unmetered"
        await miss(month)
        with pytest.raises(Refusal, match="may repair its nodes"):
            await leave(month)
        await month.go(4.51)
        await leave(month)
        ended = (await market.state("grant", month.id)).terminated
        assert (ended.for_cause, ended.fee_usd, ended.nodes_failed) == (True, ZERO, 2)
    await check_log(market.log)
    assert await find_faults(AuditedCauses, market.log) == []


async def test_under_incidents_a_provider_that_meters_half_an_hour_a_day_breaks_its_promise_once_its_startup_says_so():
    """It was available all the time, owed nothing, and its startup paid to leave."""
    market = Market(MemoryLog())
    trade = await market.trade()
    await market.deposit(trade.provider, 50_000)

    async def meter(month, first, last):
        begun = [(day, month.at(day)) for day in range(first, last)]
        half = timedelta(minutes=29)
        readings = [
            Measurement(reading_id=f"day-{day}", start=at, end=at + half, nodes=month.grant.issued.nodes)
            for day, at in begun
        ]
        provider = market.context(trade.provider)
        await usage.report_usage(market.handler, provider, month.id, source="dcgm", measurements=tuple(readings))

    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.go(4)
        await meter(month, 0, 4)
        await month.report_silence()
        await month.resume(4)
        await month.go(30)
        await meter(month, 4, 30)
        stated = await month.settle()
        availability = Fraction(stated.service.availability)
        assert (stated.service.met, availability < Fraction(3, 100)) == (False, True)
        context = market.context(trade.startup)
        await bonds.claim_bond(market.handler, context, month.id, period_start=month.first.start)
        [claim] = (await market.state("bond", rename_id("bnd", trade.provider))).claims
        assert [item.remedy for item in claim.claimed.items] == ["damages"]
        left = {"at": market.clock.now(), "reason": "nothing comes", "for_cause": True}
        await grants.terminate_grant(market.handler, market.context(trade.startup), month.id, **left)
    assert await find_faults(AuditedCauses, market.log) == []
    assert await find_faults(AuditedCauses, market.log, drop="grant.suspended.v1") != []
    await check_log(market.log)


async def test_readings_lift_a_false_report_of_silence_for_the_hours_that_they_cover():
    """The provider meters in batches, and all nodes work; the second batch is sent 20 hours after the report."""
    market = Market(MemoryLog())
    market.service = STANDARD_SERVICE
    trade = await market.trade()
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.go(2.5)
        await month.report_silence()
        suspended = await market.state("grant", month.id)
        assert (suspended.status, suspended.nodes_available, suspended.is_dark) == ("suspended", 0, True)
        await month.go(3.4)
        batch = [
            Measurement(reading_id=f"batch-{day}", start=month.at(day), end=month.at(day + 1), nodes=2)
            for day in range(3)
        ]
        assert await month.report(*batch) == ["accepted"] * 3
        with pytest.raises(Refusal, match="an hour before now"):
            await month.resume(0)
        rest = Measurement(reading_id="rest", start=month.at(3), end=month.at(3.4), nodes=2)
        assert await month.report(rest) == ["accepted"]
        await month.resume(0)
        lifted = await market.state("grant", month.id)
        assert (lifted.status, lifted.outages, lifted.failed_before) == ("active", (), ())
        await month.go(4)
        await month.market.deliver(month.grant, 26, first=4)
        more = Measurement(reading_id="more", start=month.at(3.4), end=month.at(4), nodes=2)
        assert await month.report(more) == ["accepted"]
        settled = await month.settle()
        assert settled.charges.gpu_seconds == 30 * DAY
        assert settled.service.gpu_seconds_unavailable == 0
    await check_log(market.log)
    assert await find_faults(AuditedCauses, market.log) == []
    assert await find_faults(AuditedMarket, market.log) == []


@pytest.mark.parametrize(("gpus", "nodes", "answers"), [(1, 2, False), (7, 2, False), (7, 1, True), (8, 2, True)])
async def test_readings_answer_a_report_of_silence_for_the_nodes_that_they_cover(gpus, nodes, answers):
    """One GPU of sixteen, metered all the time since, lifted a report that no node of two works."""
    market = Market(MemoryLog())
    market.service = STANDARD_SERVICE
    trade = await market.trade()
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.go(2.5)
        await month.report_silence()
        await month.go(3.4)
        few = Measurement(reading_id="few", start=month.at(0), end=month.at(3.4), gpus=gpus)
        assert await month.report(few) == ["accepted"]
        answer = month.resume(0) if nodes == 2 else month.degrade(3.4, nodes)
        if answers:
            await answer
        else:
            with pytest.raises(Refusal, match="report readings first"):
                await answer
        outages = (await market.state("grant", month.id)).outages
        assert ([outage.nodes for outage in outages if outage.end is None] == [0]) is not answers
    await check_log(market.log)
    assert await find_faults(AuditedCauses, market.log) == []


async def test_a_second_of_readings_answers_no_report_of_silence_and_what_the_provider_reported_itself_stays():
    market = Market(MemoryLog())
    market.service = STANDARD_SERVICE
    trade = await market.trade()
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.go(1)
        await month.degrade(1, 1)
        await month.go(2.5)
        await month.report_silence()
        await month.go(2.9)
        second = Measurement(reading_id="dust", start=month.at(2.5), end=month.at(2.5) + timedelta(seconds=1), nodes=2)
        assert await month.report(second) == ["accepted"]
        with pytest.raises(Refusal, match="report readings first"):
            await month.resume(2.9)
        some = Measurement(reading_id="some", start=month.at(1.5), end=month.at(2.4), gpus=7)
        assert await month.report(some) == ["accepted"], "seven of sixteen GPUs"
        with pytest.raises(Refusal, match="report readings first"):
            await month.resume(2.9)
        whole = Measurement(reading_id="whole", start=month.at(0), end=month.at(1.5), nodes=2)
        assert await month.report(whole) == ["accepted"]
        with pytest.raises(Refusal, match="an hour before now"):
            await month.resume(0)
        await month.resume(2.9)
        assert [(each.start, each.end, each.nodes) for each in (await market.state("grant", month.id)).outages] == [
            (month.at(1), month.at(2.9), 1),
            (month.at(0), month.at(2.9), 0),
        ]
    await check_log(market.log)
    assert await find_faults(AuditedCauses, market.log) == []


async def test_a_move_to_another_pool_answers_no_report_of_silence():
    market = Market(MemoryLog())
    market.service = STANDARD_SERVICE
    trade = await market.trade()
    _, other = await market.pool(trade.provider)
    await market.lot(trade.provider, other)
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.go(2.5)
        at, context = market.clock.now(), market.context(trade.startup)
        await grants.suspend_grant(market.handler, context, month.id, at=at, reason="no node answers")
        await month.degrade(-0.01, 0)
        here = (await market.state("grant", month.id)).pool_id
        nodes = (await market.state("pool", here)).opened.nodes
        failed = {"incident_id": "fire", "nodes": nodes, "at": market.clock.now()}
        await inventory.fail_nodes(market.handler, market.context(trade.provider), here, **failed)
        for _ in range(20):
            await market.tick()
        assert (await market.state("grant", month.id)).is_silenced
    await check_log(market.log)


@pytest.mark.parametrize("reporter", ["payer", "user", "stranger"])
async def test_who_pays_for_a_grant_or_uses_it_reports_that_nothing_came(reporter):
    market = Market(MemoryLog())
    market.service = STANDARD_SERVICE
    trade = await market.trade(equity="0", cash="3")
    user = await market.party("User", "startup")
    parties = {"payer": trade.startup, "user": user}
    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await grants.transfer_grant(market.handler, market.context(trade.startup), month.id, startup_id=user)
        await month.go(2.5)
        context = market.context(parties.get(reporter) or await market.party("Stranger", "startup"))
        report = grants.suspend_grant(market.handler, context, month.id, at=context.at, reason="no node answers")
        if reporter == "stranger":
            with pytest.raises(Refusal) as refused:
                await report
            assert refused.value.code == "grant_unknown"
            return
        await report
        await month.go(3.51)
        await grants.terminate_grant(
            market.handler, market.context(trade.startup), month.id, at=month.at(4), reason="no show", for_cause=True
        )
    await check_log(market.log)
    for part in (AuditedCauses, AuditedDeciders):
        assert await find_faults(part, market.log) == []


@pytest.mark.parametrize("was", ["repaired", "silent"])
async def test_a_provider_that_repaired_its_nodes_has_a_day_to_meter_them_before_its_startup_says_nothing_came(was):
    market = Market(MemoryLog())
    market.service = STANDARD_SERVICE
    trade = await market.trade()

    async def miss(month):
        at, context = month.market.clock.now(), month.market.context(trade.startup)
        await grants.suspend_grant(market.handler, context, month.id, at=at, reason="no node answers")

    async with market.worker():
        month = Month(market, trade, await market.award(trade))
        await month.go(2)
        await month.market.deliver(month.grant, 2)
        await month.degrade(2, 0)
        await month.go(4)
        await month.resume(4)
        await month.go(4.9)
        with pytest.raises(Refusal, match="the provider's meter counted GPUs") as early:
            await miss(month)
        assert early.value.code == "capacity_delivered"
        if was == "repaired":
            await month.market.deliver(month.grant, 1, first=4)
        await month.go(5)
        if was == "silent":
            await miss(month)
            return
        with pytest.raises(Refusal, match="the provider's meter counted GPUs"):
            await miss(month)
    await check_log(market.log)
