"""Auctions that are interrupted, run twice, fail, or meet a market that has changed: the log says how they end."""

import asyncio

import pytest

from events.book import Book
from events.registry import parse_body
from events.subjects import render_subject
from marketplace.application.supply import inventory
from marketplace.application.trading import auctions
from marketplace.domain.delivery.reliability import ReliabilityState, evolve
from marketplace.execution.scheduled_context import build_context
from marketplace.log.memory import MemoryLog
from marketplace.runtime import worker
from marketplace.runtime.auctions import auctioneer, clearing
from tests.support.market.invariants import check_log
from tests.support.market.market import Market, running_worker
from tests.support.market.meddling import Meddling
from tests.support.patience import PATIENCE_SECONDS

MATCHED = "marketplace.order.matched.v1"
STEPS = 4 + 1 + 1 + 4 + 1
"""Appends of the auction below: orders locked, book frozen, result published, decisions carried out, completed."""


async def build(log):
    """Return a market with four orders for what serves two, and the auction."""
    market = Market(log)
    trade = await market.trade(days=10)
    for cash in ("1", "4", "1.5"):
        rival = await market.party("Rival", "startup", usd=100_000)
        await market.order(rival, cash=cash, nodes=2, days=10, latest=1)
    return market, trade


async def read_end(log):
    """Return every state at the end of a log, all invariants checked."""
    return (await check_log(log)).states


async def run_whole():
    market, trade = await build(MemoryLog())
    async with market.worker():
        await market.award(trade)
    return await read_end(market.log)


async def test_the_auction_has_as_many_steps_as_the_tests_say():
    counted = Meddling(MemoryLog())
    market, trade = await build(counted.log)
    async with market.worker(counted):
        await market.award(trade)
    assert len(counted.appends) == STEPS


@pytest.mark.parametrize("stored", [False, True], ids=["not stored", "stored"])
@pytest.mark.parametrize("step", range(STEPS))
async def test_another_worker_goes_on_after_one_that_was_killed_at_any_step(step, stored):
    market, trade = await build(MemoryLog())
    dying = Meddling(market.log)
    dying.dies_after, dying.dies_storing = step, stored
    async with market.worker(dying):
        market.clock.at = market.day(0.5)
        await asyncio.wait_for(dying.dead.wait(), PATIENCE_SECONDS)
    async with market.worker():
        await market.award(trade)
    assert await read_end(market.log) == await run_whole()


class TwoWorkersCases:
    async def test_two_workers_that_run_one_auction_come_to_one_result(self, log):
        market, trade = await build(log)
        async with market.worker(), market.worker():
            await market.award(trade)
            await asyncio.sleep(0.2)
        states = await read_end(log)
        assert len(states["grant"]) == 2
        assert sorted(order.status for order in states["order"].values()) == ["matched"] * 2 + ["unmatched"] * 2


class TestTwoWorkersOnMemory(TwoWorkersCases):
    @pytest.fixture
    def log(self, memory_log):
        return memory_log


class TestTwoWorkersOnJetStream(TwoWorkersCases):
    @pytest.fixture
    def log(self, jetstream_log):
        return jetstream_log


async def test_two_workers_end_as_one_does():
    market, trade = await build(MemoryLog())
    async with market.worker(), market.worker(), market.worker():
        await market.award(trade)
        await asyncio.sleep(0.2)
    assert await read_end(market.log) == await run_whole()


async def fold_reliability(log):
    """Yield what each provider has delivered, and lost."""
    state = ReliabilityState()
    async for page in log.read():
        for recorded in page:
            state = evolve(state, parse_body(recorded.envelope.type.removeprefix("marketplace."), recorded.body))
    for record in state.records.values():
        yield record


async def test_a_match_that_became_impossible_is_answered_and_frees_what_was_held():
    market, trade = await build(MemoryLog())
    meddling = Meddling(market.log)

    async def fail_nodes():
        await inventory.fail_nodes(
            market.handler,
            market.context(trade.provider),
            trade.pool,
            incident_id="inc_1",
            nodes=4,
            at=market.clock.now(),
        )

    meddling.before[MATCHED] = fail_nodes
    async with market.worker(meddling):
        market.clock.at = market.day(0.5)
        auction = await market.until_carried_out(trade.auction)
    states = await read_end(market.log)
    assert auction.completed.impossible > 0
    assert auction.completed.matched + auction.completed.unmatched + auction.completed.impossible == 4
    impossible = [
        reason
        async for page in market.log.read()
        for event in page
        if event.envelope.type == "marketplace.order.unmatched.v1" and (reason := event.body.decode())
    ]
    assert sum("became_impossible" in reason and "nodes_failed" in reason for reason in impossible) == (
        auction.completed.impossible
    )
    (lost,) = [record async for record in fold_reliability(market.log)]
    assert (lost.grants_broken, lost.gpu_seconds_lost) == (auction.completed.impossible, lost.gpu_seconds_due)
    assert lost.gpu_seconds_lost > 0
    held = sum(account.held_usd for account in states["account"].values())
    matched = [order for order in states["order"].values() if order.status == "matched"]
    assert len(matched) == auction.completed.matched
    committed = sum(grant.issued.cash_commitment_usd for grant in states["grant"].values())
    terms = states["mandate"][trade.mandate].terms
    assert held == terms.budget_usd + terms.direct_budget_usd + committed


async def test_an_engine_that_fails_is_tried_again(monkeypatch):
    market, trade = await build(MemoryLog())
    clear_book, calls = clearing.clear_book, []

    def fail_once(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise ArithmeticError("the relaxation has no optimum")
        return clear_book(*arguments)

    monkeypatch.setattr(clearing, "clear_book", fail_once)
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.05)
    async with market.worker():
        await market.award(trade)
    states = await read_end(market.log)
    assert (states["auction"][trade.auction].attempts, len(states["grant"])) == (1, 2)


async def lock(market, order, auction):
    context = build_context(market.handler, "auctioneer", auction, f"lock/{order}")
    await auctions.lock_order(market.handler, context, order, auction)


async def assert_deferred(market, startup, order):
    await market.until("order", order, "unmatched")
    assert (await market.account(startup)).held_usd == 0
    bodies = [event.body.decode() async for page in market.log.read() for event in page if order in event.subject]
    assert '"deferred"' in bodies[-1]
    await check_log(market.log)


async def test_an_order_that_a_slow_auctioneer_locked_after_the_book_was_frozen_is_deferred():
    market, trade = await build(MemoryLog())
    slow = market.process("slow")
    startup = await market.party("Late", "startup", usd=10_000)
    await slow.handler.cache.load(auctioneer.AUCTION, trade.auction)
    async with market.worker():
        await market.award(trade)
        late = await market.order(startup)
        await lock(slow, late, trade.auction)
        await assert_deferred(market, startup, late)


async def test_an_order_that_was_locked_and_missed_the_book_is_deferred():
    market = Market(MemoryLog())
    startup = await market.party("Late", "startup", usd=10_000)
    late = await market.order(startup)
    auction = await market.auction()
    await lock(market, late, auction)
    empty = Book(period_hours=24, periods=90, pools=(), lots=(), orders=())
    context = build_context(market.handler, "auctioneer", auction, "lock")
    await auctions.lock_auction(market.handler, context, auction, book=empty, book_hash="0" * 64)
    async with market.worker():
        await assert_deferred(market, startup, late)


async def test_an_auction_without_orders_completes_and_the_worker_keeps_none_of_its_book_in_memory():
    market = Market(MemoryLog())
    auction = await market.auction()
    cache = market.handler.cache
    subject = render_subject("auction", auction)
    async with running_worker(worker.Worker(market.handler)) as running:
        assert cache.find(subject) is not None
        market.clock.at = market.day(0.5)
        completed = (await market.until_carried_out(auction)).completed
        end = (await market.log.health()).last_sequence
        while running.market.position < end:
            await market.tick()
    assert (completed.matched, completed.unmatched, completed.impossible) == (0, 0, 0)
    assert cache.find(subject) is None


class Lagging:
    """A log whose reader can be held back until the end of the log is asked for."""

    def __init__(self, log):
        self._log = log
        self.is_open = asyncio.Event()
        self.is_open.set()

    def __getattr__(self, name):
        return getattr(self._log, name)

    async def read(self, after=0, *, follow=False):
        async for page in self._log.read(after, follow=follow):
            await self.is_open.wait()
            yield page

    async def health(self):
        health = await self._log.health()
        self.is_open.set()
        return health


async def test_an_order_that_is_stored_before_the_lock_takes_part_however_far_behind_the_reader_is():
    market = Market(MemoryLog())
    lagging = Lagging(market.log)
    async with market.worker(lagging) as running:
        provider = await market.party("Provider", "provider")
        _, pool = await market.pool(provider)
        await market.lot(provider, pool)
        startup = await market.party("Startup", "startup", usd=100_000)
        auction = await market.auction()
        early = await market.order(startup)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while early not in running.market.list_orders():
                await market.tick()
        lagging.is_open.clear()
        late = await market.order(startup)
        market.clock.at = market.day(0.5)
        await market.until_carried_out(auction)
    book = (await market.state("auction", auction)).locked.book
    assert {row.order_id for row in book.orders} == {early, late}
