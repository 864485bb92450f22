"""In any order of reports, corrections, outages, disputes and what ends them, every accepted reading is answered.

Answered means: once the grant is settled, its statements say what is metered of nodes that worked, and charge all of it
but what a dispute settled otherwise. No reading counts outside of the periods that are stated.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from marketplace.application.billing import disputes, statements
from marketplace.application.delivery import grants
from marketplace.application.metering import usage
from marketplace.core.errors import Refusal
from marketplace.domain.billing.delivered import count_delivered
from marketplace.domain.billing.statement_chain import compute_due, name_adjustment, sum_charged
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.delivery.service_level import count_promised, count_unavailable
from marketplace.domain.metering.usage import count_gpu_seconds, name_usage
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.execution.handler import Handler
from marketplace.log.memory import MemoryLog
from marketplace.runtime.scheduling.task_outcomes import NEEDLESS, TOO_EARLY, find_due
from marketplace.runtime.worker import TASKS_AT_ONCE, WAITING_TIME, Worker
from tests.support.market.invariants import check_log
from tests.support.market.market import INCIDENTS, SAFE, Market
from tests.support.market.meter import MemoryArchive

DAYS = 4
acts = st.lists(
    st.one_of(
        st.tuples(st.just("report"), st.integers(0, DAYS - 1), st.integers(1, 2)),
        st.tuples(st.just("count"), st.integers(0, DAYS - 1), st.integers(1, 2)),
        st.tuples(st.just("correct"), st.integers(0, DAYS - 1), st.integers(1, 2)),
        st.tuples(st.just("void"), st.integers(0, DAYS - 1), st.just(0)),
        st.tuples(st.just("outage"), st.integers(0, DAYS - 1), st.integers(0, 1)),
        st.tuples(st.just("dispute"), st.integers(0, 3), st.integers(0, 99)),
        st.tuples(st.just("resolve"), st.integers(0, 3), st.integers(0, 100)),
        st.tuples(st.just("accept"), st.integers(0, 3), st.just(0)),
        *(
            st.tuples(st.just(f"{kind} {side}"), st.integers(0, 3), st.integers(0, 100))
            for kind in ("answer", "concede", "refer", "settle")
            for side in ("startup", "provider")
        ),
        st.tuples(st.just("after"), st.integers(0, 300), st.integers(1, 2)),
        st.tuples(st.just("wait"), st.integers(1, 9), st.just(0)),
    ),
    min_size=4,
    max_size=16,
)


class Life:
    """One grant of four days, and a worker that does what is due when it is asked to."""

    async def begin(self, remedy):
        self.market = Market(MemoryLog())
        self.market.service = replace(INCIDENTS, consequence=remedy)
        self.market.instrument = replace(SAFE, service_consequence=remedy)
        self.market.handler.archive = MemoryArchive()
        self.worker = Worker(Handler(self.market.log, self.market.clock))
        self.trade = await self.market.trade(days=DAYS)
        self.market.clock.at = self.market.day(0.5)
        await self.tend()
        order = await self.market.state("order", self.trade.order)
        self.grant = await self.market.state("grant", order.grant_id)
        self.id = order.grant_id
        self.market.clock.at = self.grant.end
        await self.tend()

    async def tend(self):
        stage, clock = self.worker.market, self.market.clock
        for _ in range(400):
            async for page in self.market.log.read(stage.position):
                stage.take(page)
            tasks = stage.scheduler.take(clock.now(), TASKS_AT_ONCE)
            if not tasks:
                return
            for each in tasks:
                await self.carry_out(each.task)
        raise AssertionError("the worker does not come to rest")

    async def carry_out(self, task):
        scheduler, now = self.worker.market.scheduler, self.market.clock.now()
        try:
            await self.worker._run(task)
        except Refusal as refusal:
            due = find_due(refusal)
            if due is not None and due > now:
                scheduler.put(task, due)
            elif refusal.code in TOO_EARLY.get(task.kind, ()):
                scheduler.put(task, now)
            elif refusal.code not in NEEDLESS[task.kind]:
                scheduler.put(task, now + WAITING_TIME)

    async def chain(self, number=0):
        period = list_periods(await self.market.state("grant", self.id))[number]
        found, statement_id = [], period.statement_id
        while (statement := await self.market.state("statement", statement_id)) is not None:
            found.append(statement)
            statement_id = name_adjustment(period.statement_id, len(found) - 1)
        return period, found

    def measure(self, day, nodes):
        start = self.grant.issued.start + timedelta(days=day)
        return Measurement(reading_id=f"{day}", start=start, end=start + timedelta(days=1), nodes=nodes)

    async def act(self, kind, where, amount):
        handler, trade = self.market.handler, self.trade
        provider, startup = self.market.context(trade.provider), self.market.context(trade.startup)
        if kind in {"report", "count"}:
            side = provider if kind == "report" else startup
            measurements = (self.measure(where, amount),)
            await usage.report_usage(handler, side, self.id, source=kind, measurements=measurements)
        elif kind == "after":
            start = self.grant.issued.end + timedelta(hours=where)
            late = Measurement(reading_id=f"+{where}", start=start, end=start + timedelta(hours=1), nodes=amount)
            await usage.report_usage(handler, provider, self.id, source=kind, measurements=(late,))
        elif kind == "correct":
            measurement = self.measure(where, amount)
            await usage.correct_usage(
                handler, provider, self.id, source="report", measurement=measurement, reason="counted anew"
            )
        elif kind == "void":
            await usage.void_usage(
                handler, provider, self.id, source="report", reading_id=f"{where}", reason="another grant's"
            )
        elif kind == "outage":
            at = self.grant.issued.start + timedelta(days=where, hours=5)
            span = {"at": at, "until": at + timedelta(hours=7, minutes=1)}
            await grants.degrade_grant(handler, provider, self.id, nodes_available=amount, reason="fan", **span)
        elif kind == "wait":
            self.market.clock.at += timedelta(days=where)
        else:
            await self.argue(kind, where, amount)

    async def argue(self, kind, number, percent):
        _, chain = await self.chain()
        if number >= len(chain):
            return
        kind, _, side = kind.partition(" ")
        party_id = self.trade.provider if side == "provider" else self.trade.startup
        handler, context, statement = self.market.handler, self.market.context(party_id), chain[number]
        statement_id, amount = statement.issued.statement_id, statement.issued.charges.gpu_seconds * percent // 100
        if kind == "accept":
            await statements.accept_statement(handler, context, statement_id)
        elif kind == "dispute":
            await statements.dispute_statement(
                handler, context, statement_id, gpu_seconds_counted=amount, reason="it was slow"
            )
        elif kind == "answer":
            offer = amount if percent % 2 else None
            await disputes.answer_dispute(handler, context, statement_id, gpu_seconds=offer, reason="no")
        elif kind == "concede":
            await disputes.concede_part(handler, context, statement_id, gpu_seconds=amount, reason="so far")
        elif kind == "refer":
            await disputes.refer_dispute(handler, context, statement_id, reason="decide")
        elif kind == "settle":
            offer = None if statement.dispute is None else statement.dispute.find_most()
            await statements.resolve_statement(handler, context, statement_id, gpu_seconds=offer, reason="agreed")
        else:
            await statements.resolve_statement(
                handler, self.market.context(), statement_id, gpu_seconds=amount, reason="decided"
            )

    async def end(self):
        """Let time alone run until what is disputed, and the grant, is settled."""
        for _ in range(40):
            self.market.clock.at += timedelta(days=4)
            await self.tend()
            if (await self.market.state("grant", self.id)).status == "completed":
                return
        raise AssertionError("the grant is not settled")

    async def check(self):
        grant = await self.market.state("grant", self.id)
        counted, paid = 0, 0
        record = await self.market.state("usage", name_usage(self.id))
        for number in range(len(list_periods(grant))):
            period, chain = await self.chain(number)
            metered = count_delivered(record, grant, period.start, period.end)
            assert all(statement.status == "accepted" for statement in chain)
            assert chain[-1].gpu_seconds_metered == metered
            assert sum_charged(chain) == compute_due(chain, metered) <= metered
            limit = count_promised(grant, period.start, period.end) - count_unavailable(grant, period.start, period.end)
            assert metered <= limit
            counted += count_gpu_seconds(record, period.start, period.end)
            paid += sum(statement.sign * statement.net.provider_usd for statement in chain)
        assert counted == count_gpu_seconds(record, grant.issued.start, grant.end), "each reading is in a period"
        assert (await self.market.account(self.trade.provider)).available_usd == paid
        await check_log(self.market.log)


async def live(acts_of_life, remedy):
    life = Life()
    await life.begin(remedy)
    for kind, where, amount in acts_of_life:
        with suppress(Refusal):
            await life.act(kind, where, amount)
        await life.tend()
    await life.end()
    await life.check()


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(acts, st.sampled_from(["credit", "roll_forward"]))
@example([("outage", 0, 0), ("wait", 9, 0), ("after", 100, 2), ("wait", 1, 0), ("after", 192, 2)], "roll_forward")
def test_every_accepted_reading_is_charged_or_answered(acts_of_life, remedy):
    asyncio.run(live(acts_of_life, remedy))
