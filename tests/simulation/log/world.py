"""One run: several processes, a few accounts, clients that send commands again and again, and what goes wrong."""

import asyncio
import contextlib
import random as randoms
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest.mock import patch

from marketplace.core.errors import Conflict, Refusal, Unavailable
from marketplace.core.ids import derive_command_id, derive_id
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, Deposit, OpenAccount, PlaceHold, Withdraw
from marketplace.execution import processed_commands
from marketplace.execution.clock import MarketClock
from marketplace.execution.handler import Handler
from marketplace.execution.unit_of_work import Context
from marketplace.log import appender
from marketplace.log.headers import render_publish
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Message
from tests.simulation.log.checker import BrokenInvariantError, Checker, demand
from tests.simulation.log.loop import Clock, SimulatedLoop, StuckError, start
from tests.simulation.log.network import Faults, Servers
from tests.simulation.log.process import STREAM, TIMED, Process
from tests.simulation.log.stream import Stored, Wire

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNTS_MAX = 6
FUNDS_USD = Decimal(100)
SEND_MAX = 5
LATE_SECONDS = 60
CALM = Faults()
WORLD_ID = derive_command_id("platform", "simulated")
MARKS_MASK = (1 << 10) - 1
CODES = {"funds_insufficient"}


@dataclass(frozen=True, slots=True)
class Command:
    """What a client asks.

    Attributes:
        id: Of the command.
        kind: What it does.
        accounts: The accounts that it touches, the primary one first.
        amount: How much.
        recorded: Whether it is a client's, which the index of commands finds, or a worker's.
    """

    id: str
    kind: str
    accounts: tuple
    amount: Decimal
    recorded: bool

    @property
    def pays(self):
        return f"marketplace.account.{self.accounts[0]}"

    @property
    def needs(self):
        return self.amount * (len(self.accounts) - 1) if self.kind == "transfer" else self.amount

    @property
    def events(self):
        return {"transfer": len(self.accounts), "three": 3}.get(self.kind, 1)

    async def decide(self, unit):
        """Let the accounts decide; the work of the handler."""
        primary, name = self.accounts[0], self.id
        match self.kind:
            case "deposit":
                await unit.decide(ACCOUNT, primary, self._deposit(primary, name))
            case "withdraw":
                await unit.decide(ACCOUNT, primary, self._withdraw(primary, self.amount))
            case "hold":
                await unit.decide(ACCOUNT, primary, self._hold(primary))
            case "three":
                await unit.decide(ACCOUNT, primary, self._hold(primary))
                freed = AdjustHold(account_id=primary, hold_id=self._hold_id, amount_usd=Decimal(0), reason="over")
                await unit.decide(ACCOUNT, primary, freed)
                await unit.decide(ACCOUNT, primary, self._deposit(primary, name))
            case "transfer":
                await unit.decide(ACCOUNT, primary, self._withdraw(primary, self.needs))
                for other in self.accounts[1:]:
                    await unit.decide(ACCOUNT, other, self._deposit(other, f"{name}-from"))
            case "look":
                for other in self.accounts[1:]:
                    await unit.load(ACCOUNT, other)
                await unit.decide(ACCOUNT, primary, self._withdraw(primary, self.amount))

    @property
    def _hold_id(self):
        return derive_id("hld", self.id, "hold")

    def _deposit(self, account, reference):
        return Deposit(account_id=account, amount_usd=self.amount, reference=reference)

    def _withdraw(self, account, amount):
        return Withdraw(account_id=account, amount_usd=amount, reference=self.id)

    def _hold(self, account):
        return PlaceHold(
            account_id=account,
            hold_id=self._hold_id,
            amount_usd=self.amount,
            purpose=derive_id("ord", self.id, "hold"),
            expires_at=None,
        )


def build_accounts():
    """Return the messages of a market with some funded accounts, stored before a run begins."""

    async def build():
        log = MemoryLog()
        handler = Handler(log, MarketClock())
        for number in range(ACCOUNTS_MAX):
            account = derive_id("acc", WORLD_ID, str(number))
            commands = (
                OpenAccount(account_id=account, party_id=derive_id("pty", WORLD_ID, str(number))),
                Deposit(account_id=account, amount_usd=FUNDS_USD, reference="first"),
            )
            for command in commands:

                async def work(unit, account=account, command=command):
                    await unit.decide(ACCOUNT, account, command)

                name = derive_command_id("platform", f"{account}-{type(command).__name__}")
                context = Context(command_id=name, fingerprint="", actor="platform", party_id=None, at=BEGIN)
                await handler.run(context, ACCOUNT, account, work)
        return [event async for page in log.read() for event in page]

    messages, lasts = [], {}
    for event in asyncio.run(build()):
        headers = render_publish(event.subject, Message(event.envelope, event.body), lasts.get(event.subject, 0), None)
        lasts[event.subject] = event.sequence
        block = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        messages.append(Wire(event.subject, block.encode(), headers, event.body))
    return messages


ACCOUNTS = build_accounts()


class StandingClock(MarketClock):
    """Market time as the loop has it."""

    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def now(self):
        return BEGIN + timedelta(seconds=self._loop.now)


def choose_faults(random):
    """Return what goes wrong in a run: nothing, one thing, or everything."""
    everything = Faults(
        lost_answer=random.choice([0.02, 0.1]),
        lost_message=random.choice([0.0, 0.01, 0.05]),
        late=random.choice([0.01, 0.05]),
        cuts_per_second=random.choice([0.3, 3.0]),
        leader_changes_per_second=random.choice([0.3, 3.0]),
        replicas_behind=random.choice([0.3, 0.9]),
        feed_seconds=random.choice([0.001, 0.1, 2.0]),
    )
    if random.random() < 0.3:
        return everything
    chosen = random.sample(
        ["lost_answer", "late", "cuts_per_second", "leader_changes_per_second"], random.randint(0, 1)
    )
    chosen += ["replicas_behind", "feed_seconds"]
    return replace(CALM, **{each: getattr(everything, each) for each in chosen})


class World:
    """One run, from its seed.

    Attributes:
        counts: How often each kind of thing happened.
    """

    def __init__(self, loop):
        self.loop = loop
        self.random = random = loop.random
        clustered = random.random() < 0.5
        self.faults = choose_faults(random)
        if not clustered:
            self.faults = replace(self.faults, lost_message=0.0, leader_changes_per_second=0.0, replicas_behind=0.0)
        window_seconds = random.choice([120.0, 120.0, 0.01])
        self.servers = Servers(loop, STREAM, clustered=clustered, faults=self.faults, window_seconds=window_seconds)
        model = self.servers.stream
        for wire in ACCOUNTS:
            sequence = len(model.stored) + 1
            model.stored.append(Stored(sequence, wire))
            model.subjects.setdefault(wire.subject, []).append(sequence)
        self.begin = len(ACCOUNTS)
        clock = StandingClock(loop)
        plain_max = 1 if clustered else 8
        self.processes = [Process(f"process {n}", self.servers, clock, plain_max) for n in range(random.randint(2, 3))]
        self.accounts = [derive_id("acc", WORLD_ID, str(n)) for n in range(random.randint(2, ACCOUNTS_MAX))]
        self.journal = []
        self.counts = Counter()
        self.quiet = False

    async def run(self):
        """Let clients work while things go wrong; then let all come to rest, and ask for every command again."""
        clients = [
            start(f"process {number % len(self.processes)}", self.work(f"c{number}"))
            for number in range(self.random.randint(3, 10))
        ]
        chaos = start("chaos", self.disturb())
        await asyncio.gather(*clients)
        chaos.cancel()
        self.servers.faults = self.faults = CALM
        self.quiet = True
        self.servers.grow()
        await asyncio.sleep(LATE_SECONDS)
        await self.ask_again()
        await asyncio.sleep(LATE_SECONDS)
        await self.check()
        for process in self.processes:
            process.following.cancel()
            await process.log.close()

    async def disturb(self):
        faults, random = self.faults, self.random
        rate = faults.cuts_per_second + faults.leader_changes_per_second + 0.05
        while True:
            await asyncio.sleep(random.expovariate(rate * random.choice([1, 100])))
            place = random.random() * rate
            if place < faults.cuts_per_second:
                random.choice(self.processes).log.connection.cut()
            elif place < faults.cuts_per_second + faults.leader_changes_per_second:
                self.servers.change_leader()
            elif self.faults.lost_answer:
                random.choice(self.processes).forget()
                self.counts["restart"] += 1

    def invent(self, name):
        """Return a new command."""
        random = self.random
        kind = random.choice(["deposit", "withdraw", "withdraw", "hold", "hold", "three", "transfer", "look"])
        count = random.randint(2, min(3, len(self.accounts))) if kind in {"transfer", "look"} else 1
        accounts = tuple(random.sample(self.accounts, count))
        amount = Decimal(random.choice([1, 5, 20, 45]))
        return Command(derive_command_id("platform", name), kind, accounts, amount, random.random() < 0.4)

    async def work(self, name):
        """Send a few commands, each until it is answered."""
        for number in range(self.random.randint(1, 2)):
            command = self.invent(f"{name}-{number}")
            for _ in range(SEND_MAX):
                process = self.random.choice(self.processes)
                if self.random.random() < 0.05:
                    start(process.name, self.send(process, command))  # sent twice at once
                if await start(process.name, self.send(process, command)):
                    break
                await asyncio.sleep(self.random.expovariate(2.0))

    async def send(self, process, command):
        """Send a command once, and return whether it was answered; now and then the caller leaves."""
        began = len(self.servers.stream.stored)
        running = asyncio.ensure_future(self.ask(process, command))
        if not self.quiet and self.random.random() < 0.03:
            await asyncio.wait([running], timeout=self.random.expovariate(500.0))
            running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            answer = await running
            self.counts[answer[0]] += 1
            self.servers.note(f"{process.name} {command.kind} {command.accounts} {answer}")
            self.journal.append((command, answer, began, len(self.servers.stream.stored)))
            return answer[0] in {"stored", "short"}
        return False

    async def ask(self, process, command):
        context = Context(
            command_id=command.id,
            fingerprint=command.kind if command.recorded else f"worker/{command.kind}",
            actor="platform",
            party_id=None,
            at=process.handler.clock.now(),
            recorded=command.recorded,
        )
        try:
            receipt = await process.handler.run(context, ACCOUNT, command.accounts[0], command.decide)
        except Refusal as refusal:
            if refusal.code in CODES:
                return "short", refusal.code
            demand(refusal.code == "command_in_flight", f"{command} was refused: {refusal}")
            return "in flight", None
        except Conflict:
            return "conflict", None
        except Unavailable:
            return "unavailable", None
        return "stored", receipt.sequence

    async def ask_again(self):
        """Send every command once more on a quiet day: it is answered, as before where it was stored."""
        stored = {command.id: answer for command, answer, *_ in self.journal if answer[0] == "stored"}
        for command in {command.id: command for command, *_ in self.journal}.values():
            process = self.random.choice(self.processes)
            demand(await start(process.name, self.send(process, command)), f"{command} is not answered on a quiet day")
            _, answer, *_ = self.journal[-1]
            before = stored.get(command.id, answer)
            demand(answer == before, f"{command} was answered with {before}, and sent again with {answer}")

    async def check(self):
        """Compare what was answered, and what each process remembers, with the raw stream."""
        checker = Checker(self.servers.stream.stored, self.begin)
        checker.check_appends([record for process in self.processes for record in process.log.answers])
        for command, answer, began, ended in self.journal:
            checker.check_command(command, answer, began, ended)
        for process in self.processes:
            for account in self.accounts:
                entry = await start(process.name, process.handler.cache.load(ACCOUNT, account))
                subject = f"marketplace.account.{account}"
                last, name, _ = checker.lasts[subject]
                known = (entry.head.sequence, entry.head.hash, entry.state.available_usd, entry.state.held_usd)
                true = (last, name, checker.available[subject][-1][1], checker.held[subject])
                demand(known == true, f"{process.name} remembers {known} of {account}, and the log says {true}")


@dataclass(frozen=True)
class Outcome:
    """What a run was.

    Attributes:
        seed: Of the run.
        steps: Decisions of the scheduler.
        events: Messages in the stream that the run stored.
        counts: Answers by kind.
        digest: Hash of the last event: two runs of one seed agree in it.
        error: What was wrong, None where nothing was.
        trace: What happened, where it was asked for.
    """

    seed: int
    steps: int
    events: int
    counts: Counter
    digest: str
    error: str | None
    trace: tuple = ()


def simulate(seed, *, traced=False):
    """Play one run, and return what came of it."""
    loop = SimulatedLoop(randoms.Random(seed))
    errors = []
    loop.set_exception_handler(
        lambda _, said: errors.append(f"{said['message']}: {said.get('exception')} {said.get('future')}")
    )
    asyncio.set_event_loop(loop)
    world, error = None, None

    async def play():
        nonlocal world
        world = World(loop)
        if traced:
            world.servers.trace = []
        await world.run()

    with contextlib.ExitStack() as stack:
        for module in TIMED:
            stack.enter_context(patch.object(module, "time", Clock(loop)))
        stack.enter_context(patch.object(appender, "random", loop.random))
        stack.enter_context(patch.object(processed_commands, "MARKS_MASK", MARKS_MASK))
        try:
            loop.run_until_complete(play())
        except (BrokenInvariantError, StuckError) as wrong:
            error = str(wrong)
        except Exception as unexpected:  # noqa: BLE001 - whatever a process raises is found, and told with its seed
            error = f"{type(unexpected).__name__}: {unexpected}"
        finally:
            _finish(loop)
    stored = world.servers.stream.stored
    return Outcome(
        seed,
        loop.steps,
        len(stored) - world.begin,
        world.counts,
        stored[-1].wire.headers["ce-hash"],
        error or (errors[0] if errors else None),
        tuple(world.servers.trace or ()),
    )


def _finish(loop):
    """Cancel what is left, and close the loop."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(StuckError):
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()
