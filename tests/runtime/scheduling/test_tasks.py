"""No task is lost: a refusal that is not known to be harmless keeps it, and a clock that is set back only delays it."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from inspect import getsource

import pytest

from events.account import AccountDeposited, AccountReserved
from events.bond import BondAnswered, BondPaid
from events.instants import FOREVER
from events.order import OrderAmended, OrderPlaced
from marketplace.application.billing import holds
from marketplace.core.errors import Refusal, Unavailable
from marketplace.core.ids import rename_id
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.trading.order_terms import find_end
from marketplace.execution.clock import MarketClock
from marketplace.execution.handler import Handler
from marketplace.log.memory import MemoryLog
from marketplace.runtime import worker as worker_module
from marketplace.runtime.scheduling.scheduler import HEAP_SPARE, NOW, DueTask, Scheduler, Task
from marketplace.runtime.scheduling.task_outcomes import NEEDLESS, PAUSE_SECONDS_MAX, TOO_EARLY, compute_pause
from marketplace.runtime.worker import TIMERS, Worker
from tests.domain import build
from tests.domain.issuer_samples import COMPANY, declare
from tests.support.market.market import Market, running_worker

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_grants_rank_by_the_order_in_which_the_log_issued_them():
    scheduler = Scheduler()
    for number in (2, 1):
        scheduler.notice(build.grant_issued(grant_id=build.id_of("grt", number)))
    ranks = [scheduler.rank_issue(build.id_of("grt", number)) for number in (2, 1, 3)]
    assert ranks == [0, 1, 2]


def test_every_kind_of_task_says_which_refusals_are_harmless():
    kinds = set(TIMERS) | set(re.findall(r'"(\w+)"', "".join(re.findall(r"case (.*):", getsource(Worker._run)))))
    assert set(NEEDLESS) == kinds
    assert set(TOO_EARLY) <= kinds


def test_a_stuck_task_rests_longer_each_time_up_to_a_bound():
    pauses = [compute_pause(attempts) for attempts in range(1, 40)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (2.0, PAUSE_SECONDS_MAX)


class Surprise:
    """A timer that is refused so many times before it does what it should."""

    def __init__(self, monkeypatch, kind, error, times):
        self.left, self.done, self.error = times, TIMERS[kind], error
        monkeypatch.setattr(worker_module, "TIMERS", {**TIMERS, kind: self})

    async def __call__(self, handler, context, task):
        if self.left:
            self.left -= 1
            raise self.error
        return await self.done(handler, context, task)


async def test_a_refusal_that_is_not_known_to_be_harmless_keeps_the_task(monkeypatch):
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.01)
    market = Market(MemoryLog())
    startup = await market.party("Startup", "startup", usd=100_000)
    order = await market.order(startup, latest=2)
    surprise = Surprise(monkeypatch, "expire_order", Refusal("event_too_large", "it has 9 MB"), 3)
    worker = Worker(Handler(market.log, market.clock))
    async with running_worker(worker):
        market.clock.at = market.day(3)
        while not worker.stuck:
            await market.tick()
        (stuck,) = worker.stuck.values()
        assert (stuck.code, stuck.reason) == ("event_too_large", "it has 9 MB")
        await market.until("order", order, "expired")
        while worker.stuck:
            await market.tick()
    assert surprise.left == 0


async def test_a_refusal_that_is_known_to_be_harmless_ends_the_task(monkeypatch):
    market = Market(MemoryLog())
    startup = await market.party("Startup", "startup", usd=100_000)
    await market.order(startup, latest=2)
    surprise = Surprise(monkeypatch, "expire_order", Refusal("order_cancelled", "it is"), 1)
    worker = Worker(Handler(market.log, market.clock))
    async with running_worker(worker):
        market.clock.at = market.day(3)
        while surprise.left:
            await market.tick()
        await market.tick()
        assert not worker.stuck
        assert not len(worker.market.scheduler)


async def place_hold(market, payer, payee, expires_at):
    await holds.place_hold(
        market.handler,
        market.context(payer),
        rename_id("acc", payer),
        amount_usd=Decimal(100),
        payee_account_id=rename_id("acc", payee),
        expires_at=expires_at,
    )


async def is_expired(market, payer):
    (hold,) = (await market.account(payer)).holds.values()
    return hold.expired


class BackingClock(MarketClock):
    """A wall clock that a test sets back."""

    def __init__(self, began):
        super().__init__()
        self.wall = began

    def now(self):
        return self.wall + timedelta(seconds=self.offset_seconds)


def set_back(market, what):
    """Set the clock back by an hour, the machine's or the market's."""
    if what == "wall":
        market.clock.wall -= timedelta(hours=1)
    else:
        market.clock.offset_seconds -= 3_600


def set_forward(market, what):
    if what == "wall":
        market.clock.wall += timedelta(hours=2)
    else:
        market.clock.offset_seconds += 7_200


@pytest.mark.parametrize("what", ["wall", "market"])
async def test_a_clock_that_is_set_back_while_holds_expire_only_delays_them(monkeypatch, what):
    """The log is away as the hold is due, and by the time it is back the clock is an hour behind."""
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.01)
    market = Market(MemoryLog(), clock=BackingClock(START))
    payer = await market.party("Payer", "startup", usd=100_000)
    payee = await market.party("Payee", "provider")
    due = START + timedelta(minutes=30)
    await place_hold(market, payer, payee, due)
    timer, calls = TIMERS["expire_hold"], []

    async def meddle(handler, context, task):
        calls.append(handler.clock.now())
        if len(calls) == 1:
            set_back(market, what)
            raise Unavailable("NATS", "no answer")
        return await timer(handler, context, task)

    monkeypatch.setattr(worker_module, "TIMERS", {**TIMERS, "expire_hold": meddle})
    worker = Worker(Handler(market.log, market.clock))
    async with running_worker(worker):
        market.clock.wall += timedelta(hours=1)
        while len(calls) < 1:
            await market.tick()
        for _ in range(5):
            await market.tick()
        assert not await is_expired(market, payer)
        set_forward(market, what)
        while not await is_expired(market, payer):
            await market.tick()
    assert not worker.stuck


async def test_a_command_that_is_refused_as_not_due_waits_for_its_instant():
    market = Market(MemoryLog())
    startup = await market.party("Startup", "startup", usd=100_000)
    order = await market.order(startup, latest=2)
    worker = Worker(Handler(market.log, market.clock))
    async with running_worker(worker):
        while worker.market.position < 1:
            await market.tick()
        worker.market.scheduler.put(Task("expire_order", order), NOW)
        for _ in range(5):
            await market.tick()
        assert (await market.state("order", order)).status == "open"
        market.clock.at = market.day(2)
        await market.until("order", order, "expired")


@pytest.mark.parametrize(("expires", "ends"), [(None, 30), (10, 10), (30, 30), (40, 30)])
async def test_an_order_ends_at_one_instant_whoever_is_asked(expires, ends):
    market = Market(MemoryLog())
    startup = await market.party("Startup", "startup", usd=100_000)
    more = {} if expires is None else {"expires_at": market.day(expires)}
    terms = market.terms(**more)
    order = await market.order(startup, **more)
    assert find_end(terms) == market.day(ends)
    assert (await market.state("order", order)).ends_at == market.day(ends)
    worker = Worker(Handler(market.log, market.clock))
    async with running_worker(worker):
        while order not in worker.market.scheduler.open_orders:
            await market.tick()
        assert worker.market.scheduler.open_orders[order] == market.day(ends)
        market.clock.at = market.day(ends) - timedelta(seconds=1)
        await market.tick()
        assert (await market.state("order", order)).status == "open"
        market.clock.at = market.day(ends)
        expired = await market.until("order", order, "expired")
    assert expired.ends_at == market.day(ends)
    assert (await market.account(startup)).held_usd == 0


def test_the_heap_does_not_keep_what_was_dropped_or_moved():
    scheduler = Scheduler()
    kept = Task("expire_hold", "hld_kept")
    scheduler.put(kept, START)
    for number in range(100_000):
        task = Task("expire_hold", f"hld_{number}")
        scheduler.put(task, START + timedelta(days=1))
        scheduler.put(kept, START + timedelta(seconds=number))
        scheduler.drop(task)
    assert len(scheduler) == 1
    assert len(scheduler._heap) <= 2 + HEAP_SPARE
    assert scheduler.take(START + timedelta(days=2), 10) == [DueTask(kept, START + timedelta(seconds=99_999))]
    assert not scheduler._heap


async def test_what_ended_leaves_nothing_in_the_scheduler_but_its_rank():
    market = Market(MemoryLog())
    trade = await market.trade(days=10)
    await market.cancel(trade.startup, await market.order(trade.startup))
    loser = await market.order(trade.startup, cash="0.5")
    worker = Worker(Handler(market.log, market.clock))
    async with running_worker(worker):
        grant = await market.complete(trade, days=10)
        await market.until("order", loser, "unmatched")
        last = (await market.log.health()).last_sequence
        while worker.market.position < last:
            await market.tick()
        scheduler = worker.market.scheduler
        kept = {name: known for name, known in vars(scheduler).items() if isinstance(known, dict) and known}
    assert kept == {"_issued": {grant.issued.grant_id: 0}}


def test_money_of_an_account_costs_a_command_for_each_claim_that_it_owes_and_none_for_another():
    scheduler = Scheduler()
    account = {"account_id": "acc_1", "party_id": "pty_1"}
    bond = {"bond_id": "bnd_1", "party_id": "pty_1", "startup_id": "pty_2"}
    claims = [build.id_of("bcl", number) for number in range(4)]
    for claim_id in claims:
        scheduler.notice(AccountReserved(**account, amount_usd=Decimal(9), until=FOREVER, cause=claim_id))
    for claim_id, usd in zip(claims[1:], (0, 9, 9), strict=True):
        answer = {"claim_id": claim_id, "outcome": "decided", "amount_usd": Decimal(usd), "reason": "so"}
        scheduler.notice(BondAnswered(**bond, **answer))
    part = {"lot_id": None, "hold_id": None, "payee_account_id": "acc_2", "amount_usd": Decimal("4.5")}
    part |= {"grant_id": "grt_1"}
    for owed in ("4.5", "0"):
        paid = BondPaid(**bond, **part, claim_id=claims[3], payment_id=f"cap_{owed}", owed_usd=Decimal(owed))
        scheduler.notice(paid)
    scheduler.take(START, 99)
    scheduler.notice(AccountDeposited(**account, amount_usd=Decimal(1), reference="wire"))
    assert [(one.task.kind, one.task.id) for one in scheduler.take(START, 99)] == [("lapse_claim", claims[2])]
    raised = {"claim_id": claims[0], "reason": "so"}
    scheduler.notice(BondAnswered(**bond, **raised, outcome="contested", amount_usd=Decimal(4)))
    rests = [(claims[2], "9"), (claims[0], "4")]
    for claim_id, usd in rests:
        paid = {**part, "amount_usd": Decimal(usd), "claim_id": claim_id, "payment_id": f"cap_{usd}"}
        scheduler.notice(BondPaid(**bond, **paid, owed_usd=Decimal(0)))
    scheduler.take(START, 99)
    scheduler.notice(BondAnswered(**bond, **raised, outcome="decided", amount_usd=Decimal(4)))
    scheduler.notice(BondAnswered(**bond, **raised, outcome="conceded", amount_usd=Decimal(9)))
    scheduler.notice(BondPaid(**bond, **part, claim_id=claims[0], payment_id="cap_5", owed_usd=Decimal("4.5")))
    assert [one.task.id for one in scheduler.take(START, 99)] == [claims[0]]
    scheduler.notice(BondAnswered(**bond, **raised, outcome="lowered", amount_usd=Decimal("4.5")))
    assert len(scheduler) == 0, "what was decided is paid already, and so is what a claim fell to"
    assert not scheduler._claims
    assert not scheduler._paid


def test_a_sale_that_a_later_one_replaces_lapses_no_more():
    """The worker tried for ever to end it, once the later one was paid."""
    scheduler = Scheduler()
    events = [*COMPANY]
    for number in (1, 2):
        events += ISSUER.decide(declare(1_000_000, liquidity_id=build.id_of("liq", number)), ISSUER.fold(events))
        scheduler.notice(events[-1])
    due = scheduler.take(START + timedelta(days=10_000), 10)
    assert [(one.task.kind, one.task.id) for one in due] == [("lapse_sale", build.id_of("liq", 2))]


def place(order_id, terms):
    return OrderPlaced(
        order_id=order_id,
        startup_id="pty_1",
        issuer_id="iss_1",
        account_id="acc_1",
        hold_id="hld_1",
        terms=terms,
        cash_hold_usd=Decimal(1),
        budget_holds=(),
    )


def test_an_amendment_moves_the_end_of_an_order():
    market, scheduler = Market(MemoryLog()), Scheduler()
    scheduler.notice(place("ord_1", market.terms(latest=5)))
    scheduler.notice(
        OrderAmended(
            order_id="ord_1",
            hold_id="hld_1",
            terms=market.terms(latest=9, expires_at=market.day(20)),
            cash_hold_usd=Decimal(1),
            budget_holds=(),
            keeps_priority=True,
        )
    )
    assert scheduler.take(market.day(8), 10) == []
    assert scheduler.take(market.day(9), 10) == [DueTask(Task("expire_order", "ord_1"), market.day(9))]
