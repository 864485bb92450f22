"""A market walked at random on the log in memory, one step after the other, with everything that goes wrong.

Nothing here waits for the wall clock, and every choice comes from the seed, so that a failure can be played again. An
append may be lost, or stored and never answered, or overtaken; the caller sends the same command again. A command that
was answered may come again. A process or the worker may lose its memory between an append and its reading. The clock
jumps by hours, days and weeks.
"""

import asyncio
import random
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from itertools import groupby

from marketplace.core.errors import Conflict, Refusal, Unavailable
from marketplace.execution.handler import Handler
from marketplace.log.memory import MemoryLog
from marketplace.projections.billing.accounts.posting import Subject
from marketplace.projections.billing.accounts.rules import post
from marketplace.projections.engine.recorded_events import parse_fact
from marketplace.runtime.scheduling.task_outcomes import NEEDLESS, TOO_EARLY, find_due
from marketplace.runtime.worker import TASKS_AT_ONCE, WAITING_TIME, Worker
from tests.application.test_walk import Walk
from tests.support.market.meddling import Meddling
from tests.support.market.walk_lines import LineSteps

ATTEMPTS_MAX = 60
ROUNDS_MAX = 400
FAULTS = ("lost", "unanswered", "conflict")


class Faulty(Meddling):
    """A log at which one append in `one_in` goes wrong; set `random` to None for a day without trouble."""

    def __init__(self, log, chance, one_in=12):
        super().__init__(log)
        self.random = chance
        self.one_in = one_in
        self.counts = defaultdict(int)

    def _take_fault(self, number, writes):
        del number, writes
        if self.random is None or self.random.randrange(self.one_in):
            return None
        fault = self.random.choice(FAULTS)
        self.counts[fault] += 1
        return fault


class Subjects(dict[str, Subject]):
    """What the rule table needs to remember."""

    def find(self, subject_id):
        return self.get(subject_id)

    def put(self, subject):
        self[subject.id] = subject


class Simulation(LineSteps, Walk):
    """One life of a market: some thousand steps, then everything runs out and is settled.

    Attributes:
        counts: How often each kind of trouble came.
    """

    def __init__(self, seed):
        self.stored = MemoryLog()
        self.log = Faulty(self.stored, None)
        super().__init__(seed, self.log)
        self.trouble = random.Random(seed + 1)
        self.counts = self.log.counts
        self.worker = Worker(Handler(self.log, self.market.clock))
        self.balances = defaultdict(Decimal)
        self.subjects = Subjects()

    async def run(self, steps):
        """Build a market, take so many steps, and let everything run out."""
        await self.build()
        self.log.random = self.trouble
        for _ in range(steps):
            await self.step()
            await self.tend()
        self.log.random = None
        await self.finish()
        await self.follow()
        self.ledger.check_end()

    async def follow(self):
        """Take what is new in the log, decision by decision, and check what each may have broken."""
        events = [recorded async for page in self.stored.read(self.position) for recorded in page]
        for _, decision in groupby(events, key=lambda recorded: recorded.envelope.causationid):
            recorded = list(decision)
            self.ledger.check_step({self.ledger.take(each) for each in recorded})
            self.post(recorded)
        if events:
            self.position = events[-1].sequence

    def post(self, decision):
        """Post what a decision says, and compare the ledger with the accounts."""
        touched, lines = set(), set()
        for fact in map(parse_fact, decision):
            for posting in post(fact.event, self.subjects):
                self.balances[posting.account] += posting.amount
            if fact.aggregate == "account":
                touched.add(fact.id)
            elif fact.aggregate == "service_line":
                lines.add(fact.id)
        assert not self.balances["clearing/USD"], "money stays in transit"
        for account_id in touched:
            account = self.ledger.states["account"][account_id]
            assert self.balances[f"{account_id}/available"] == account.available_usd
            assert self.balances[f"{account_id}/held"] == account.held_usd
        for line_id in lines:
            self.check_hours(line_id)

    def check_hours(self, line_id):
        """Compare the ledger with a service line that is worked on."""
        line = self.ledger.states["service_line"][line_id]
        if line.status == "agreed":
            worked = self.balances[f"{line_id}/delivered"] + self.balances[f"{line_id}/accepted"]
            assert worked == line.hours <= line.agreed.hours
            assert self.balances[f"{line_id}/committed"] == line.agreed.hours - line.hours

    async def step(self):
        """Do one thing, again and again until it is answered; then perhaps once more."""
        await self.follow()
        self.restart()
        names = [name for name in dir(self) if name.startswith("do_")]
        name = self.random.choice(names)
        process = self.random.choice(self.processes)
        before, refused = self.remember(), dict(self.refused)
        for _ in range(ATTEMPTS_MAX):
            self.recall(before)
            if await self.attempt(name, process):
                break
        else:
            raise AssertionError(f"{name} was not answered in {ATTEMPTS_MAX} attempts")
        if self.trouble.randrange(10) == 0 and self.refused == refused:
            await self.send_again(name, process, before)

    async def attempt(self, name, process):
        """Whether a command was answered, by yes or no."""
        try:
            await getattr(self, name)(process)
            self.done[name] = self.done.get(name, 0) + 1
        except Refusal as refusal:
            self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1
        except (Conflict, Unavailable):
            self.counts["again"] += 1
            return False
        return True

    async def send_again(self, name, process, before):
        """Send an answered command again: nothing new is stored."""
        if name == "do_pass_time":
            return
        stored, answered = (await self.stored.health()).last_sequence, self.remember()
        refused = dict(self.refused)
        self.recall(before)
        if await self.attempt(name, process) and self.refused == refused:
            self.counts["duplicate"] += 1
            assert (await self.stored.health()).last_sequence == stored, f"{name} took effect twice"
        self.recall(answered)

    def remember(self):
        """Return what the choice of a command depends on."""
        return self.random.getstate(), [process.count for process in self.processes], self.incidents

    def recall(self, before):
        state, counts, self.incidents = before
        self.random.setstate(state)
        for process, count in zip(self.processes, counts, strict=True):
            process.count = count

    def restart(self):
        """Let a process, or the worker, forget all that it knows, now and then."""
        chance = self.trouble.randrange(40)
        if chance < len(self.processes):
            process = self.processes[chance]
            process.handler = Handler(self.log, self.market.clock)
        elif chance == len(self.processes):
            self.worker = Worker(Handler(self.log, self.market.clock))
        else:
            return
        self.counts["restart"] += 1

    async def tend(self):
        """Let the worker read what there is and do what is due."""
        stage, clock = self.worker.market, self.market.clock
        for _ in range(ROUNDS_MAX):
            async for page in self.stored.read(stage.position):
                stage.take(page)
            tasks = stage.scheduler.take(clock.now(), TASKS_AT_ONCE)
            if not tasks:
                return
            for each in tasks:
                reading = asyncio.create_task(self.read_on(stage))
                await self.carry_out(each.task)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        raise AssertionError("the worker does not come to rest")

    async def read_on(self, stage):
        """Read beside a task, as the worker does: a task may wait until its market has read all that is stored."""
        async for page in self.stored.read(stage.position, follow=True):
            stage.take(page)

    async def carry_out(self, task):
        try:
            await self.worker._run(task)
        except Refusal as refusal:
            now, scheduler, due = self.market.clock.now(), self.worker.market.scheduler, find_due(refusal)
            if due is not None and due > now:
                scheduler.put(task, due)
            elif refusal.code in TOO_EARLY.get(task.kind, ()):
                scheduler.put(task, now)
            elif refusal.code not in NEEDLESS[task.kind]:
                scheduler.put(task, now + WAITING_TIME)
        except (Conflict, Unavailable):
            self.worker.market.scheduler.put(task, self.market.clock.now())

    async def do_pass_time(self, _):
        """Let the clock jump."""
        self.market.clock.at += timedelta(hours=self.random.choice([1, 6, 12, 24, 24 * 3, 24 * 20]))

    async def finish(self):
        """Let time run until everything that was awarded is settled."""
        for _ in range(ROUNDS_MAX):
            await self.tend()
            await self.follow()
            await self.concede()
            if not self.list_unsettled():
                return
            self.market.clock.at += timedelta(days=4)
        raise AssertionError(f"not settled in the end: {self.list_unsettled()}")


def simulate(seed, steps):
    """Play one life and return what came of it."""
    simulation = Simulation(seed)
    asyncio.run(simulation.run(steps))
    return simulation
