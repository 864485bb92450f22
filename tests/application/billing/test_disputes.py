"""A dispute ends: by counter-offers, concessions, silence after a deadline, or the platform, and nothing is frozen."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from msgspec.structs import replace

from events.service import STANDARD_SERVICE
from events.statement import Reference, StatementAccepted
from marketplace.application.billing import disputes, statements
from marketplace.application.delivery.grants import terminate_grant
from marketplace.core.errors import Conflict, Refusal
from marketplace.domain.billing.dispute import ANSWER, DECISION
from marketplace.domain.billing.statement_chain import name_adjustment
from marketplace.execution.handler import Receipt
from marketplace.log.events import parse_event
from marketplace.log.memory import MemoryLog
from tests.application.billing.test_adjustments import DAY
from tests.application.billing.test_hostile_meters import Month
from tests.application.billing.test_payer import Billed
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.market.meter import MemoryArchive
from tests.support.patience import PATIENCE_SECONDS

FULL, CLAIM = 30 * DAY, 20 * DAY
LOGS = (Reference(kind="outage", reference="inc_7"), Reference(kind="document", reference="x", content_hash="a" * 64))


class Argument(Month):
    """A month of which the startup counts twenty days, and how both sides argue about it."""

    def context(self, side):
        return self.market.context(None if side == "platform" else getattr(self.trade, side))

    async def answer(self, side, offered=None, **more):
        named = {"gpu_seconds": offered, "reason": "the logs say so", **more}
        await disputes.answer_dispute(self.market.handler, self.context(side), self.first.statement_id, **named)

    async def concede(self, side, gpu_seconds):
        named = {"gpu_seconds": gpu_seconds, "reason": "that part is right"}
        await disputes.concede_part(self.market.handler, self.context(side), self.first.statement_id, **named)

    async def refer(self, side):
        await disputes.refer_dispute(
            self.market.handler, self.context(side), self.first.statement_id, reason="please decide", evidence=LOGS
        )

    async def decide(self, gpu_seconds):
        await self.resolve(gpu_seconds, party=None)

    async def accept(self, side):
        await statements.accept_statement(self.market.handler, self.context(side), self.first.statement_id)

    async def wait(self, span):
        self.market.clock.at += span
        return await self.market.until("statement", self.first.statement_id, "accepted")

    async def until_awaits(self, side):
        """Wait until a side has to answer, and return the dispute."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                dispute = (await self.read()).dispute
                if dispute.awaits == side:
                    return dispute
                await asyncio.sleep(0.01)

    async def read(self):
        return await self.market.state("statement", self.first.statement_id)

    async def stated(self, holds):
        """Wait until the last adjustment of the period is as asked for."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                last, number = await self.read(), 0
                while (more := await self.market.state("statement", self.name(number))) is not None:
                    last, number = more, number + 1
                if holds(last):
                    return last
                await asyncio.sleep(0.01)

    def name(self, number):
        return name_adjustment(self.first.statement_id, number)

    async def end(self, gpu_seconds, by):
        """Check what a dispute settled at, that exactly that is paid, and that the grant settles after it."""
        statement = await self.read()
        assert (statement.status, statement.charges.gpu_seconds, statement.ended_by) == ("accepted", gpu_seconds, by)
        assert await self.earned() == self.worth(gpu_seconds)
        await check_log(self.market.log)


@pytest.fixture
async def argument():
    market = Market(MemoryLog())
    market.handler.archive = MemoryArchive()
    trade = await market.trade()
    async with market.worker():
        one = Argument(market, trade, await market.award(trade))
        await market.deliver(one.grant, 30)
        await one.state_first()
        await one.dispute(CLAIM)
        yield one


async def test_a_dispute_that_nobody_answers_settles_at_the_count(argument):
    assert await argument.earned() == argument.worth(CLAIM)
    await argument.wait(ANSWER)
    await argument.end(CLAIM, "silence")


async def test_a_startup_that_disputes_a_second_and_stays_silent_pays(argument):
    await argument.answer("provider", evidence=LOGS)
    await argument.wait(ANSWER)
    await argument.end(FULL, "silence")


@pytest.mark.parametrize(("side", "other"), [("provider", "startup"), ("startup", "provider")])
async def test_an_accepted_counter_offer_settles_and_silence_accepts_it(argument, side, other):
    if side == "startup":
        await argument.answer("provider")
    await argument.answer(side, 25 * DAY)
    if side == "startup":
        await argument.resolve(25 * DAY)
        await argument.end(25 * DAY, "offer")
    else:
        await argument.accept(other)
        await argument.end(25 * DAY, "offer")


@pytest.mark.parametrize("side", ["provider", "startup"])
async def test_silence_after_a_counter_offer_accepts_it(argument, side):
    if side == "startup":
        await argument.answer("provider")
    await argument.answer(side, 25 * DAY)
    await argument.wait(ANSWER)
    await argument.end(25 * DAY, "silence")


@pytest.mark.parametrize("ends_by", ["silence", "undecided"])
async def test_a_run_whose_notice_reaches_to_its_end_is_paid_in_full_though_its_startup_uses_nothing(ends_by):
    market = Market(MemoryLog())
    market.service = replace(STANDARD_SERVICE, notice_hours_min=42 * 24)
    market.terms = partial(market.terms, notice_hours_max=42 * 24)
    trade = await market.trade()
    async with market.worker():
        run = Argument(market, trade, await market.award(trade))
        for side in ("startup", "provider"):
            early = {"at": run.grant.end - timedelta(hours=1), "reason": "it is not needed"}
            with pytest.raises(Refusal) as refused:
                await terminate_grant(market.handler, run.context(side), run.grant.issued.grant_id, **early)
            assert refused.value.code == "notice_too_short"
        await market.deliver(run.grant, 30)
        await run.state_first()
        await run.dispute(0)
        await run.answer("provider")
        if ends_by == "undecided":
            await run.answer("startup")
            await run.refer("startup")
        await run.wait(DECISION if ends_by == "undecided" else ANSWER)
        await run.end(FULL, ends_by)


async def test_what_a_side_concedes_is_paid_or_dropped_at_once_and_for_ever(argument):
    await argument.concede("startup", 21 * DAY)
    assert await argument.earned() == argument.worth(21 * DAY)
    await argument.concede("provider", 28 * DAY)
    assert (await argument.read()).charges.gpu_seconds == 28 * DAY
    with pytest.raises(Refusal) as refused:
        await argument.decide(25 * DAY)
    assert refused.value.code == "referral_missing"
    await argument.answer("provider")
    await argument.answer("startup")
    await argument.refer("startup")
    with pytest.raises(Refusal) as refused:
        await argument.decide(29 * DAY)
    assert refused.value.code == "charges_above_statement"
    with pytest.raises(Refusal) as refused:
        await argument.decide(20 * DAY)
    assert refused.value.code == "charges_below_settled"
    await argument.concede("startup", 22 * DAY)
    assert await argument.earned() == argument.worth(22 * DAY)
    await argument.concede("provider", 22 * DAY)
    await argument.end(22 * DAY, "concession")


async def test_the_platform_decides_for_ever_and_no_correction_undoes_it(argument):
    with pytest.raises(Refusal) as refused:
        await argument.refer("startup")
    assert refused.value.code == "referral_early"
    await argument.answer("provider")
    await argument.answer("startup")
    await argument.refer("provider")
    with pytest.raises(Refusal) as refused:
        await argument.answer("provider")
    assert refused.value.code == "statement_referred"
    await argument.decide(24 * DAY)
    await argument.end(24 * DAY, "platform")
    with pytest.raises(Refusal) as refused:
        await argument.dispute(1)
    assert refused.value.code == "statement_accepted"
    for day in range(20):
        await argument.correct(argument.measure(day, 1))
    await argument.stated(lambda last: last.gpu_seconds_metered == 20 * DAY)
    assert await argument.earned() == argument.worth(20 * DAY)
    await argument.correct(argument.measure(0, 2))
    restored = await argument.stated(lambda last: last.status == "issued")
    with pytest.raises(Refusal) as refused:
        await argument.dispute(0, restored.issued.statement_id)
    assert refused.value.code == "dispute_decided"
    for day in range(1, 20):
        await argument.correct(argument.measure(day, 2))
    argument.market.clock.at += ANSWER
    await argument.stated(lambda last: last.gpu_seconds_metered == FULL)
    argument.market.clock.at += ANSWER
    await argument.stated(lambda last: last.status == "accepted")
    assert await argument.earned() == argument.worth(24 * DAY)


async def test_a_platform_that_does_not_decide_leaves_a_claim_without_a_meter_at_the_providers_word(argument):
    await argument.concede("provider", 28 * DAY)
    await argument.answer("provider")
    await argument.answer("startup")
    await argument.refer("startup")
    await argument.wait(DECISION)
    await argument.end(28 * DAY, "undecided")


@pytest.fixture
async def paid_by_two(memory_log):
    market = Market(memory_log)
    trade = await market.trade(startup_accepts_alone=False)
    async with market.worker():
        one = Argument(market, trade, await market.award(trade))
        await market.deliver(one.grant, 30)
        await one.state_first()
        yield Billed(market, trade, one.first.statement_id, FULL), one


async def test_an_offer_binds_no_payer_that_counts_less_and_does_not_agree(paid_by_two):
    billed, argument = paid_by_two
    await billed.dispute("startup", 5 * DAY)
    await billed.dispute("fund", 10 * DAY)
    await argument.answer("provider", 28 * DAY)
    await argument.accept("startup")
    assert (await argument.read()).status == "disputed"
    await argument.answer("startup", 22 * DAY)
    with pytest.raises(Refusal) as refused:
        await argument.resolve(22 * DAY)
    assert refused.value.code == "concession_above_count"
    await argument.accept("fund")
    await argument.resolve(22 * DAY)
    await argument.end(22 * DAY, "offer")


async def test_a_payer_cannot_answer_for_one_that_counts_less_and_the_silence_of_that_one_agrees(paid_by_two):
    billed, argument = paid_by_two
    await billed.dispute("startup", 10_000)
    await billed.dispute("fund", FULL)
    await argument.answer("provider")
    due = (await argument.read()).dispute.answer_until
    await argument.answer("startup", FULL - 100)
    waiting = (await argument.read()).dispute
    assert (waiting.awaits, waiting.answer_until) == ("holder", due)
    for act in (argument.resolve(FULL - 100), argument.answer("provider")):
        with pytest.raises(Refusal) as refused:
            await act
        assert refused.value.code in {"concession_above_count", "answer_not_due"}
    argument.market.clock.at = due
    assert (await argument.until_awaits("provider")).find_most() == FULL - 100
    await argument.wait(ANSWER)
    await argument.end(FULL - 100, "silence")


async def test_the_payer_that_counts_less_keeps_its_word_and_the_provider_answers_that(paid_by_two):
    billed, argument = paid_by_two
    await billed.dispute("startup", 10_000)
    await billed.dispute("fund", FULL)
    await argument.answer("provider")
    await argument.answer("startup", FULL - 100)
    await argument.answer("fund")
    dispute = (await argument.read()).dispute
    assert (dispute.awaits, dispute.offer, dispute.count) == ("provider", None, 0)
    await argument.answer("provider")
    await argument.wait(ANSWER)
    await argument.end(FULL, "silence")


RIVALS = {
    "accept": lambda one, market: one.accept_as(market),
    "timer": lambda one, market: disputes.lapse_dispute(market.handler, market.context(), one.first.statement_id),
    "yield": lambda one, market: statements.resolve_statement(
        market.handler, market.context(one.trade.provider), one.first.statement_id, gpu_seconds=CLAIM, reason="decided"
    ),
    "concede": lambda one, market: disputes.concede_part(
        market.handler, market.context(one.trade.startup), one.first.statement_id, gpu_seconds=23 * DAY, reason="right"
    ),
}


class Race(Argument):
    """An argument whose startup accepts an offer on another process."""

    async def accept_as(self, market):
        context = market.context(self.trade.startup)
        await statements.accept_statement(market.handler, context, self.first.statement_id)


@pytest.mark.parametrize("late", [True, False])
async def test_acts_at_once_on_two_processes_settle_a_dispute_once(late):
    for one in RIVALS:
        for other in RIVALS:
            await race(one, other, late=late)


async def race(one, other, *, late):
    market = Market(MemoryLog())
    trade = await market.trade()
    async with market.worker():
        argument = Race(market, trade, await market.award(trade))
        await market.deliver(argument.grant, 30)
        await argument.state_first()
    await argument.dispute(CLAIM)
    await argument.answer("provider", 25 * DAY)
    market.clock.at += ANSWER if late else timedelta(hours=1)
    rivals = market.process("two"), market.process("three")
    acts = [RIVALS[name](argument, rival) for name, rival in zip((one, other), rivals, strict=True)]
    outcomes = await asyncio.gather(*acts, return_exceptions=True)
    assert [each for each in outcomes if not isinstance(each, Receipt | Refusal | Conflict | None)] == []
    async with market.worker():
        statement = await argument.wait(ANSWER)
    events = [parse_event(each) async for page in market.log.read() for each in page]
    assert sum(isinstance(event, StatementAccepted) for event in events) == 1
    assert statement.charges.gpu_seconds in {CLAIM, 23 * DAY, 25 * DAY}
    assert await argument.earned() == argument.worth(statement.charges.gpu_seconds) > Decimal(0)
    await check_log(market.log)
