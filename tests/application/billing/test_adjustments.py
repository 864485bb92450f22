"""What is metered after a period was settled is charged or credited; the settled statement stays as it is."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from msgspec import structs

from marketplace.application.billing import accounts, disputes, statements
from marketplace.application.billing.adjustments import adjust_statement
from marketplace.application.billing.approvals import approve, find_approval, set_limit
from marketplace.application.delivery import grants
from marketplace.application.metering import usage
from marketplace.application.supply import inventory, sites
from marketplace.auditor.alone import Alone
from marketplace.auditor.equity import Equity
from marketplace.auditor.market import Market as Course
from marketplace.auditor.money import Money
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.log.memory import MemoryLog
from tests.support.market.auditing import find_faults
from tests.support.market.invariants import check_log
from tests.support.market.market import Market

DAY = 2 * 8 * 86_400


class Delivery:
    """A grant of forty days, its first period delivered in part and settled."""

    def __init__(self, market, trade, grant):
        self.market, self.trade, self.grant = market, trade, grant
        self.first, self.second = list_periods(grant)

    def measure(self, day, nodes=2, reading_id=None):
        start = self.grant.issued.start + timedelta(days=day)
        return Measurement(
            reading_id=reading_id or f"day-{day}", start=start, end=start + timedelta(days=1), nodes=nodes
        )

    async def report(self, *measurements, party=None):
        context = self.market.context(party or self.trade.provider)
        _, answers = await usage.report_usage(
            self.market.handler, context, self.grant.issued.grant_id, source="dcgm", measurements=measurements
        )
        return [answer.code or answer.outcome for answer in answers]

    async def correct(self, measurement):
        await usage.correct_usage(
            self.market.handler,
            self.market.context(self.trade.provider),
            self.grant.issued.grant_id,
            source="dcgm",
            measurement=measurement,
            reason="the meter was wrong",
        )

    async def void(self, reading_id):
        await usage.void_usage(
            self.market.handler,
            self.market.context(self.trade.provider),
            self.grant.issued.grant_id,
            source="dcgm",
            reading_id=reading_id,
            reason="another grant's",
        )

    async def settle_first(self, days):
        """Deliver days of the first period, and let silence accept its statement."""
        await self.market.deliver(self.grant, days)
        self.market.clock.at = self.first.end + timedelta(hours=25)
        await self.market.until("statement", self.first.statement_id, "issued")
        self.market.clock.at += timedelta(days=7)
        return await self.market.until("statement", self.first.statement_id, "accepted")

    async def adjusted(self, number=0, *statuses):
        statement_id = name_adjustment(self.first.statement_id, number)
        return await self.market.until("statement", statement_id, *(statuses or ("accepted",)))

    async def complete(self):
        self.market.clock.at = max(self.market.clock.at, self.second.end + timedelta(hours=25))
        await self.market.until("statement", self.second.statement_id, "issued", "accepted")
        self.market.clock.at += timedelta(days=8)
        return await self.market.until("grant", self.grant.issued.grant_id, "completed")

    async def check(self, gpu_seconds):
        """Check that all is as one statement over what is metered would have made it."""
        totals = compute_totals(build_tariff(self.grant.issued), gpu_seconds)
        provider = await self.market.account(self.trade.provider)
        assert provider.available_usd == totals.provider_usd
        instrument = await self.market.state("instrument", rename_id("ins", self.grant.issued.grant_id))
        assert instrument.principal_usd == totals.principal_usd
        await check_log(self.market.log)


@pytest.fixture
async def delivery():
    market = Market(MemoryLog())
    trade = await market.trade()
    async with market.worker():
        grant = await market.award(trade)
        yield Delivery(market, trade, grant)


async def test_late_readings_become_a_statement_of_their_own(delivery):
    settled = await delivery.settle_first(10)
    assert await delivery.report(delivery.measure(20), delivery.measure(21)) == ["accepted", "accepted"]
    issued = await delivery.adjusted(0, "issued")
    adjustment = issued.issued.adjustment
    assert adjustment.statement_id == delivery.first.statement_id
    assert (adjustment.gpu_seconds_before, adjustment.gpu_seconds_after) == (10 * DAY, 12 * DAY)
    assert issued.charges.gpu_seconds == 2 * DAY
    await delivery.report(delivery.measure(22))
    delivery.market.clock.at += timedelta(days=7, hours=1)
    assert (await delivery.adjusted(0)).charges == issued.charges
    more = await delivery.adjusted(1, "issued")
    assert more.charges.gpu_seconds == DAY
    assert await delivery.market.state("statement", delivery.first.statement_id) == settled
    await delivery.complete()
    await delivery.check(13 * DAY)


async def test_late_readings_of_the_last_day_are_charged_though_the_startup_accepted_at_once(delivery):
    """The payer accepted within the hour, and the grant was closed to the meter half an hour later."""
    await delivery.settle_first(30)
    market, grant_id = delivery.market, delivery.grant.issued.grant_id
    market.clock.at = delivery.second.end
    assert set(await delivery.report(*(delivery.measure(day) for day in range(30, 39)))) == {"accepted"}
    market.clock.at += timedelta(hours=24, minutes=30)
    issued = await market.until("statement", delivery.second.statement_id, "issued")
    context = market.context(delivery.trade.startup)
    await statements.accept_statement(market.handler, context, delivery.second.statement_id)
    market.clock.at += timedelta(hours=1)
    for _ in range(20):
        await market.tick()
    assert await delivery.report(delivery.measure(39)) == ["accepted"]
    late_id = name_adjustment(delivery.second.statement_id, 0)
    late = await market.until("statement", late_id, "issued")
    assert late.charges.gpu_seconds == DAY
    await statements.accept_statement(market.handler, market.context(delivery.trade.startup), late_id)
    market.clock.at = issued.issued.accept_until
    await market.until("grant", grant_id, "completed")
    await delivery.check(40 * DAY)
    assert await find_faults(Course, market.log) == []


async def test_a_grant_whose_statement_was_accepted_early_stays_open_for_late_readings_until_it_is_due(delivery):
    await delivery.settle_first(30)
    market, grant_id = delivery.market, delivery.grant.issued.grant_id
    market.clock.at = delivery.second.end + timedelta(hours=24, minutes=30)
    issued = await market.until("statement", delivery.second.statement_id, "issued")
    context = market.context(delivery.trade.startup)
    await statements.accept_statement(market.handler, context, delivery.second.statement_id)
    market.clock.at = issued.issued.accept_until - timedelta(seconds=1)
    for _ in range(20):
        await market.tick()
    assert (await market.state("grant", grant_id)).status == "active"
    market.clock.at = issued.issued.accept_until
    await market.until("grant", grant_id, "completed")
    assert await delivery.report(delivery.measure(39)) == ["grant_closed"]
    await delivery.check(30 * DAY)
    assert await find_faults(Course, market.log) == []


async def test_readings_that_a_statement_overlooked_are_charged_once_it_is_settled(delivery):
    """They came while it was decided, and stand before it in the log."""
    market, grant_id = delivery.market, delivery.grant.issued.grant_id
    await market.deliver(delivery.grant, 10)
    market.clock.at = delivery.first.end
    behind = market.process("behind")
    await behind.handler.cache.load(USAGE, name_usage(grant_id))
    assert await delivery.report(delivery.measure(20)) == ["accepted"]
    await statements.issue_statement(behind.handler, behind.context(), grant_id, 0)
    assert (await market.state("statement", delivery.first.statement_id)).charges.gpu_seconds == 10 * DAY
    market.clock.at += timedelta(days=7)
    await market.until("statement", delivery.first.statement_id, "accepted")
    assert (await delivery.adjusted(0, "issued")).charges.gpu_seconds == DAY
    await delivery.complete()
    await delivery.check(11 * DAY)


async def test_usage_lowered_after_its_statement_is_paid_back_at_once(delivery):
    settled = await delivery.settle_first(10)
    await delivery.correct(delivery.measure(3, nodes=1))
    credit = await delivery.adjusted(0)
    assert (credit.sign, credit.charges.gpu_seconds) == (-1, DAY // 2)
    assert credit.issued.adjustment.gpu_seconds_after == 10 * DAY - DAY // 2
    await delivery.check(10 * DAY - DAY // 2)
    await delivery.void("day-4")
    assert (await delivery.adjusted(1)).charges.gpu_seconds == DAY
    await delivery.check(9 * DAY - DAY // 2)
    assert await delivery.market.state("statement", delivery.first.statement_id) == settled
    completed = await delivery.complete()
    assert completed.status == "completed"
    await delivery.check(9 * DAY - DAY // 2)


async def test_what_is_lowered_and_raised_again_costs_what_it_did(delivery):
    await delivery.settle_first(30)
    await delivery.market.deliver(delivery.grant, 10, first=30)
    await delivery.correct(delivery.measure(3, nodes=1))
    await delivery.adjusted(0)
    await delivery.correct(delivery.measure(3, nodes=2))
    assert (await delivery.adjusted(1, "issued")).charges.gpu_seconds == DAY // 2
    delivery.market.clock.at += timedelta(days=7, hours=1)
    await delivery.adjusted(1)
    await delivery.check(30 * DAY)
    await delivery.complete()
    await delivery.check(40 * DAY)


async def settle_all(delivery):
    """Deliver all forty days, let silence accept the first statement, and the startup and the fund the second one."""
    market, second = delivery.market, delivery.second
    await delivery.settle_first(30)
    await market.deliver(delivery.grant, 10, first=30)
    market.clock.at = second.end + timedelta(hours=25)
    await market.until("statement", second.statement_id, "issued")


@pytest.mark.parametrize(
    "is_late", [False, True], ids=["before the statement is accepted", "once nothing else is open"]
)
async def test_a_downward_typo_completes_no_grant_before_it_can_be_corrected_up(delivery, is_late):
    market, second, grant_id = delivery.market, delivery.second, delivery.grant.issued.grant_id
    await settle_all(delivery)
    if not is_late:
        await delivery.correct(delivery.measure(35, nodes=1))
    market.clock.at += timedelta(days=7)
    if is_late:
        await delivery.correct(delivery.measure(3, nodes=1))
    period = delivery.first if is_late else second
    credited = await market.until("statement", name_adjustment(period.statement_id, 0), "accepted")
    assert credited.issued.correct_until == market.clock.at + timedelta(days=7)
    await market.until("statement", second.statement_id, "accepted")
    market.clock.at += timedelta(days=7) - timedelta(minutes=1)
    await market.tick()
    assert (await market.state("grant", grant_id)).status == "active"
    await delivery.correct(delivery.measure(3 if is_late else 35))
    raised = await market.until("statement", name_adjustment(period.statement_id, 1), "issued")
    assert raised.charges.gpu_seconds == DAY // 2
    market.clock.at = raised.issued.accept_until
    await market.until("grant", grant_id, "completed")
    await delivery.check(40 * DAY)
    assert await find_faults(Course, market.log) == []


async def test_a_second_that_is_corrected_keeps_what_it_could_cost_and_nothing_else(delivery):
    market, grant_id, second = delivery.market, delivery.grant.issued.grant_id, delivery.second
    await delivery.settle_first(10)
    market.clock.at = second.end + timedelta(hours=25)
    await market.until("statement", second.statement_id, "issued")
    market.clock.at += timedelta(days=1)
    day = delivery.measure(3)
    await delivery.correct(structs.replace(day, end=day.end - timedelta(seconds=1)))
    lowered = (await delivery.adjusted()).issued
    whole = (await market.account(delivery.trade.startup)).held_usd
    market.clock.at += timedelta(days=6)
    await market.until("statement", second.statement_id, "accepted")
    async with asyncio.timeout(10):
        while (limits := (await market.state("usage", name_usage(grant_id))).limits) is None:
            await market.tick()
    assert limits.gpu_seconds_max == 10 * DAY
    assert lowered.charges.gpu_seconds == 16
    kept = (await market.account(delivery.trade.startup)).held_usd
    assert kept == lowered.charges.cash_usd < Decimal("0.03") < whole
    issued = delivery.grant.issued
    paid = compute_totals(build_tariff(issued), 10 * DAY)
    mandate = await market.state("mandate", issued.equity.mandate_id)
    assert mandate.used_usd == paid.holder_usd
    instrument = await market.state("instrument", issued.equity.instrument_id)
    assert instrument.open_usd == lowered.charges.principal_usd
    assert (await market.state("grant", grant_id)).status == "active"
    assert await delivery.report(delivery.measure(20)) == ["grant_closed"]
    await delivery.correct(structs.replace(day, end=day.end - timedelta(seconds=2)))
    again = await delivery.adjusted(1)
    assert again.charges.gpu_seconds == 16
    await delivery.correct(day)
    raised = await delivery.adjusted(2, "issued")
    assert raised.charges.gpu_seconds == 32
    market.clock.at = raised.issued.accept_until
    await market.until("grant", grant_id, "completed")
    await delivery.check(10 * DAY)
    assert (await market.account(delivery.trade.startup)).held_usd == 0
    for part in (Course, Money, Equity):
        assert await find_faults(part, market.log) == []


async def test_readings_that_are_lowered_again_and_again_keep_a_grant_open_for_thirty_days_after_its_end(delivery):
    market, grant_id = delivery.market, delivery.grant.issued.grant_id
    await settle_all(delivery)
    market.clock.at += timedelta(days=7)
    for day in range(4):
        await delivery.correct(delivery.measure(day, nodes=1))
        credited = await delivery.adjusted(day)
        last = delivery.grant.end + timedelta(days=30)
        assert credited.issued.correct_until == min(market.clock.at + timedelta(days=7), last)
        for _ in range(10):  # what began at this instant ends at it
            await market.tick()
        market.clock.at = credited.issued.correct_until - timedelta(hours=1)
    assert credited.issued.correct_until == last
    assert (await market.state("grant", grant_id)).status == "active"
    market.clock.at = last
    await market.until("grant", grant_id, "completed")
    await delivery.check(38 * DAY)
    assert await find_faults(Course, market.log) == []


async def test_after_the_end_usage_can_only_be_lowered_and_is_still_paid_back(delivery):
    await delivery.settle_first(10)
    await delivery.complete()
    assert await delivery.report(delivery.measure(20)) == ["grant_closed"]
    with pytest.raises(Refusal, match="fully settled"):
        await delivery.correct(delivery.measure(11, reading_id="day-3"))
    await delivery.correct(delivery.measure(3, nodes=1))
    await delivery.adjusted(0)
    await delivery.check(10 * DAY - DAY // 2)
    mandate = await delivery.market.state("mandate", delivery.trade.mandate)
    paid = compute_totals(build_tariff(delivery.grant.issued), 10 * DAY - DAY // 2).holder_usd
    assert mandate.used_usd == paid


async def test_a_credit_waits_until_the_provider_can_pay_it(delivery):
    await delivery.settle_first(10)
    market, account_id = delivery.market, rename_id("acc", delivery.trade.provider)
    await market.withdraw_free(delivery.trade.provider)
    await delivery.void("day-4")
    assert (await delivery.adjusted(0)).charges.gpu_seconds == DAY, "the reserve pays it"
    await delivery.void("day-5")
    with pytest.raises(Refusal) as refused:
        await adjust_statement(market.handler, market.context(), delivery.grant.issued.grant_id, 0)
    assert refused.value.code == "funds_insufficient"
    owed = Decimal(refused.value.facts["needed_usd"])
    for number in range(2):
        await accounts.deposit(market.handler, market.context(), account_id, amount_usd=owed, reference=f"in {number}")
    context = market.context(delivery.trade.provider)
    with pytest.raises(Refusal, match="covers corrections"):
        await accounts.withdraw(market.handler, context, account_id, amount_usd=2 * owed, reference="first")
    market.clock.at += timedelta(hours=2)
    assert (await delivery.adjusted(1)).charges.gpu_seconds == DAY
    await check_log(market.log)


async def test_what_a_dispute_lowered_is_not_charged_by_an_adjustment(delivery):
    market = delivery.market
    await market.deliver(delivery.grant, 10)
    market.clock.at = delivery.first.end + timedelta(hours=25)
    first = delivery.first.statement_id
    await market.until("statement", first, "issued")
    startup, provider = market.context(delivery.trade.startup), market.context(delivery.trade.provider)
    await statements.dispute_statement(
        market.handler, startup, first, gpu_seconds_counted=8 * DAY, reason="two days were slow"
    )
    await statements.resolve_statement(market.handler, provider, first, gpu_seconds=8 * DAY, reason="conceded")
    await delivery.void("day-4")
    credit = await delivery.adjusted(0)
    assert (credit.charges.gpu_seconds, credit.charges.provider_usd) == (0, Decimal(0))
    await delivery.report(delivery.measure(20), delivery.measure(21))
    assert (await delivery.adjusted(1, "issued")).charges.gpu_seconds == DAY, "one of them is above what was settled"
    market.clock.at += timedelta(days=7, hours=1)
    await delivery.adjusted(1)
    await delivery.complete()
    await delivery.check(9 * DAY)
    for number, (reading_id, credited) in enumerate((("day-5", DAY), ("day-6", 0)), start=2):
        await delivery.void(reading_id)
        assert (await delivery.adjusted(number)).charges.gpu_seconds == credited
        await delivery.check(8 * DAY)


@pytest.mark.parametrize(("days", "nodes", "status"), [(30, 2, "issued"), (10, 2, "issued"), (10, 1, "disputed")])
async def test_meters_too_far_apart_over_the_same_days_open_the_statement_as_disputed(delivery, days, nodes, status):
    market = delivery.market
    await market.deliver(delivery.grant, 30)
    measurements = [delivery.measure(day, nodes=nodes) for day in range(days)]
    assert set(await delivery.report(*measurements, party=delivery.trade.startup)) == {"accepted"}
    market.clock.at = delivery.first.end + timedelta(hours=25)
    statement = await market.until("statement", delivery.first.statement_id, status)
    assert statement.charges.gpu_seconds == 30 * DAY
    metering = statement.issued.metering
    assert (metering.provider_gpu_seconds, metering.startup_gpu_seconds) == (days * DAY, days * DAY * nodes // 2)
    if status == "disputed":
        assert (statement.disputed.by, statement.disputed.gpu_seconds_counted) == ("meters", 25 * DAY)
        startup, provider = market.context(delivery.trade.startup), market.context(delivery.trade.provider)
        await statements.accept_statement(market.handler, startup, delivery.first.statement_id)
        await statements.resolve_statement(
            market.handler, provider, delivery.first.statement_id, gpu_seconds=25 * DAY, reason="conceded"
        )
        await delivery.check(25 * DAY)


async def test_meters_within_one_percent_agree(delivery):
    market = delivery.market
    await market.deliver(delivery.grant, 30)
    last = delivery.measure(29)
    short = Measurement(reading_id="short", start=last.start, end=last.end - timedelta(hours=7), nodes=2)
    await delivery.report(*(delivery.measure(day) for day in range(29)), short, party=delivery.trade.startup)
    market.clock.at = delivery.first.end + timedelta(hours=25)
    statement = await market.until("statement", delivery.first.statement_id, "issued", "disputed")
    assert statement.status == "issued"
    assert statement.issued.metering.startup_gpu_seconds == 30 * DAY - 2 * 8 * 7 * 3_600


@pytest.mark.parametrize("act", ["void", "correct", "degrade", "outage"])
async def test_one_person_of_the_provider_gives_back_no_more_than_its_limit(delivery, act):
    market, provider = delivery.market, delivery.trade.provider

    async def give_back(day):
        begin = delivery.grant.issued.start + timedelta(days=day)
        if act == "void":
            await delivery.void(f"day-{day}")
        elif act == "correct":
            await delivery.correct(delivery.measure(day, nodes=1))
        elif act == "outage":
            await inventory.fail_nodes(
                market.handler,
                market.context(provider),
                delivery.grant.pool_id,
                incident_id=f"day {day}",
                nodes=4,
                at=begin,
                until=begin + timedelta(days=1),
            )
        else:
            await grants.degrade_grant(
                market.handler,
                market.context(provider),
                delivery.grant.issued.grant_id,
                nodes_available=0,
                at=begin,
                until=begin + timedelta(days=1),
                reason="it was off",
            )

    await delivery.settle_first(30)
    paid = (await market.account(provider)).available_usd
    limit = structs.replace(market.context(provider), actor_person="p1")
    lost_days = {"void": Decimal(1), "correct": Decimal("0.5")}
    taken = (
        paid / 30 * lost_days.get(act, 1 + 29 * Decimal("0.10"))
    )  # an outage of a day gives a tenth of the rest back
    allowed = (taken * 3 / 2).quantize(Decimal(1))
    await set_limit(market.handler, limit, rename_id("acc", provider), limit_usd=allowed)
    await give_back(0)
    await delivery.adjusted()
    assert (await market.account(provider)).available_usd < paid, "it is within the limit"
    with pytest.raises(Refusal) as caught:
        await give_back(1)
    assert caught.value.code == "limit_exceeded"
    market.clock.at += timedelta(hours=25)
    await give_back(1)
    await check_log(market.log)
    assert await find_faults(Alone, market.log) == []
    found = await find_faults(Alone, market.log, drop="account.limit_used.v1")
    assert bool(found) is (act in lost_days), "the auditor recomputes what less metering takes off the limit"


@pytest.mark.parametrize("act", ["fail", "derate"])
async def test_one_person_of_the_provider_tells_of_no_past_outage_that_costs_more_than_its_limit(delivery, act):
    """An outage without an end counts up to now, however soon the nodes are said to work again."""
    market, provider = delivery.market, delivery.trade.provider
    await delivery.settle_first(30)
    limit = structs.replace(market.context(provider), actor_person="p1")
    await set_limit(market.handler, limit, rename_id("acc", provider), limit_usd=Decimal(100))
    at, context = delivery.grant.issued.start + timedelta(days=1), market.context(provider)
    pool_id = delivery.grant.pool_id
    site_id = (await market.state("pool", pool_id)).opened.site_id
    before = (await market.account(provider)).available_usd
    if act == "fail":
        told = inventory.fail_nodes(market.handler, context, pool_id, incident_id="fire", nodes=4, at=at)
    else:
        told = sites.derate_site(market.handler, context, site_id, power_energised_kw=0, at=at, reason="heat")
    with pytest.raises(Refusal) as caught:
        await told
    assert caught.value.code == "limit_exceeded"
    assert (await market.account(provider)).available_usd == before
    told = {"power_energised_kw": 0, "at": market.clock.now(), "reason": "heat"}
    await sites.derate_site(market.handler, market.context(provider), site_id, **told)
    assert not (await market.account(provider)).used, "what is told at once takes nothing off a stated period"


async def test_one_person_of_the_provider_takes_back_no_more_before_the_statement_than_after_it(delivery):
    """A clerk voided a month of readings the day before its statement, which a shell accepted at once."""
    market, provider = delivery.market, delivery.trade.provider
    await market.deliver(delivery.grant, 20)
    limit = structs.replace(market.context(provider), actor_person="p1")
    await set_limit(market.handler, limit, rename_id("acc", provider), limit_usd=Decimal(1_000))
    await delivery.void("day-0")
    assert Decimal(600) < sum(use.amount_usd for use in (await market.account(provider)).used) <= Decimal(1_000)
    for again in (delivery.void("day-1"), delivery.correct(delivery.measure(1, nodes=1))):
        with pytest.raises(Refusal) as caught:
            await again
        assert caught.value.code == "limit_exceeded"
    await delivery.correct(delivery.measure(1, nodes=2))


@pytest.mark.parametrize("act", ["concede", "offer", "accept"])
async def test_one_person_of_a_payer_gives_up_no_more_of_a_dispute_than_its_limit(delivery, act):
    """A clerk conceded in full what another person of the startup had disputed."""
    market, startup, provider = delivery.market, delivery.trade.startup, delivery.trade.provider
    await market.deliver(delivery.grant, 30)
    market.clock.at = delivery.first.end + timedelta(hours=25)
    first = delivery.first.statement_id
    await market.until("statement", first, "issued")
    told = {"gpu_seconds_counted": 0, "reason": "nothing ran"}
    await statements.dispute_statement(market.handler, market.context(startup), first, **told)

    async def answer(party_id, days):
        told = {"gpu_seconds": days * DAY, "reason": "we agree"}
        await disputes.answer_dispute(market.handler, market.context(party_id), first, **told)

    async def give():
        if act == "concede":
            told = {"gpu_seconds": 30 * DAY, "reason": "all ran"}
            await disputes.concede_part(market.handler, market.context(startup), first, **told)
        elif act == "offer":
            await answer(startup, 28)
        else:
            await statements.accept_statement(market.handler, market.context(startup), first)

    await answer(provider, 29)
    limit = partial(structs.replace, actor_person="p1")
    account_id = rename_id("acc", startup)
    await set_limit(market.handler, limit(market.context(startup)), account_id, limit_usd=Decimal(100))
    with pytest.raises(Refusal) as caught:
        await give()
    assert caught.value.code == "limit_exceeded"
    assert (await market.state("statement", first)).status == "disputed"
    asked = limit(market.context(startup))
    await set_limit(market.handler, asked, account_id, limit_usd=Decimal(1_000_000))
    second = structs.replace(market.context(startup), actor_person="p2")
    await approve(market.handler, second, account_id, await find_approval(market.handler, asked, account_id))
    await give()
    assert len((await market.account(startup)).used) == 1
    assert await find_faults(Alone, market.log) == []
    assert await find_faults(Alone, market.log, drop="account.limit_used.v1")


@pytest.mark.parametrize("act", ["resolve", "concede", "offer"])
async def test_one_person_of_the_provider_concedes_no_more_than_its_limit(delivery, act):
    market, provider = delivery.market, delivery.trade.provider
    await market.deliver(delivery.grant, 30)
    market.clock.at = delivery.first.end + timedelta(hours=25)
    first = delivery.first.statement_id
    await market.until("statement", first, "issued")
    startup, context = market.context(delivery.trade.startup), market.context(provider)
    await statements.dispute_statement(market.handler, startup, first, gpu_seconds_counted=0, reason="nothing ran")
    limit = structs.replace(context, actor_person="p1")
    await set_limit(market.handler, limit, rename_id("acc", provider), limit_usd=Decimal(100))

    async def give(days):
        told = {"gpu_seconds": days * DAY, "reason": "we agree"}
        context = market.context(provider)
        if act == "resolve":
            await statements.resolve_statement(market.handler, context, first, **told)
        elif act == "concede":
            await disputes.concede_part(market.handler, context, first, **told)
        else:
            await disputes.answer_dispute(market.handler, context, first, **told)

    with pytest.raises(Refusal) as caught:
        await give(0 if act == "resolve" else 1)
    assert caught.value.code == "limit_exceeded"
    assert (await market.state("statement", first)).status == "disputed"
    account_id = rename_id("acc", provider)
    more = structs.replace(market.context(provider), actor_person="p1")
    await set_limit(market.handler, more, account_id, limit_usd=Decimal(1_000_000))
    asked, second = await find_approval(market.handler, more, account_id), market.context(provider)
    await approve(market.handler, structs.replace(second, actor_person="p2"), account_id, asked)
    await give(0 if act == "resolve" else 1)
    assert (await market.account(provider)).used
    await check_log(market.log)
    assert await find_faults(Alone, market.log) == []
    assert bool(await find_faults(Alone, market.log, drop="account.limit_used.v1")) == (act == "resolve")


async def test_without_a_limit_an_outage_told_before_the_acceptance_is_credited_and_counts_nowhere(delivery):
    """The auditor took what failed nodes lower for readings that one person took back."""
    market, provider = delivery.market, delivery.trade.provider
    await market.deliver(delivery.grant, 30)
    market.clock.at = delivery.first.end + timedelta(hours=25)
    await market.until("statement", delivery.first.statement_id, "issued")
    start = delivery.grant.issued.start
    told = {"incident_id": "fire", "nodes": 4, "at": start, "until": start + timedelta(days=1)}
    await inventory.fail_nodes(market.handler, market.context(provider), delivery.grant.pool_id, **told)
    market.clock.at += timedelta(days=7)
    await market.until("statement", delivery.first.statement_id, "accepted")
    assert (await delivery.adjusted()).issued.adjustment.gpu_seconds_after == 29 * DAY
    assert await find_faults(Alone, market.log) == []
