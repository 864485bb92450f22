"""Auctions whose horizons overlap take turns, and a child never goes ahead of its parent."""

import asyncio
from types import SimpleNamespace

import pytest

from marketplace.application.supply import inventory
from marketplace.application.trading import auctions
from marketplace.core.errors import MarketplaceError, Refusal
from marketplace.execution.scheduled_context import build_context
from marketplace.log.memory import MemoryLog
from marketplace.runtime import worker
from marketplace.runtime.auctions import clearing
from tests.support.market.invariants import check_log
from tests.support.market.market import Market
from tests.support.market.meddling import Meddling

LOCKED, COMPLETED = "marketplace.auction.locked.v1", "marketplace.auction.completed.v1"


async def list_turns(log):
    """Return what locked and what completed, in order."""
    return [
        (event.envelope.type.split(".")[2], event.envelope.subject.partition("/")[2])
        async for page in log.read()
        for event in page
        if event.envelope.type in {LOCKED, COMPLETED}
    ]


async def build_rush(market, auctions=3):
    """Return a market in which several auctions are due at once, each with orders for all there is."""
    provider = await market.party("Provider", "provider")
    _, pool = await market.pool(provider)
    await market.lot(provider, pool)
    for cash in ("3", "4", "5", "6"):
        startup = await market.party("Startup", "startup", usd=1_000_000)
        await market.order(startup, cash=cash, nodes=4, days=20, latest=1, standing=True)
    return [await market.auction(locks_at=0.2 + 0.1 * number) for number in range(auctions)]


async def run_rush(monkeypatch, market, ids, failures, workers=1):
    clear_book, calls = clearing.clear_book, []

    def fail_first(opened, *rest):
        calls.append(opened.auction_id)
        if opened.auction_id == ids[0] and calls.count(ids[0]) <= failures:
            raise MarketplaceError("the solver stopped early")
        return clear_book(opened, *rest)

    monkeypatch.setattr(clearing, "clear_book", fail_first)
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.01)
    async with asyncio.timeout(120):
        async with contexts(market, workers):
            market.clock.at = market.day(0.6)
            if failures:
                await market.until("auction", ids[0], "failed", "cleared")
                late = await market.party("Late", "startup", usd=1_000_000)
                await market.order(late, cash="7", nodes=4, days=20, latest=1, standing=True)
            states = [await market.until_carried_out(each) for each in ids]
    await check_log(market.log)
    turns = await list_turns(market.log)
    assert turns == [(what, each) for each in ids for what in ("locked", "completed")]
    assert sum(state.completed.impossible for state in states) == 0
    return states


def contexts(market, workers):
    return market.worker() if workers == 1 else Pair(market)


class Pair:
    def __init__(self, market):
        self.both = [market.worker(), market.worker()]

    async def __aenter__(self):
        for each in self.both:
            await each.__aenter__()

    async def __aexit__(self, *error):
        for each in self.both:
            await each.__aexit__(*error)


async def test_auctions_that_are_due_at_once_run_in_the_order_in_which_they_lock(monkeypatch):
    market = Market(MemoryLog())
    ids = await build_rush(market)
    states = await run_rush(monkeypatch, market, ids, failures=0)
    assert [state.completed.matched for state in states] == [1, 0, 0]


async def test_a_failed_clearing_keeps_the_next_auction_from_freezing_its_book(monkeypatch):
    market = Market(MemoryLog())
    ids = await build_rush(market)
    states = await run_rush(monkeypatch, market, ids, failures=2)
    assert [(state.attempts, state.completed.matched) for state in states] == [(2, 1), (0, 0), (0, 0)]


async def test_an_auction_that_fails_for_good_is_let_go_and_then_the_next_locks(monkeypatch):
    market = Market(MemoryLog())
    ids = await build_rush(market)
    states = await run_rush(monkeypatch, market, ids, failures=3)
    assert [(state.attempts, state.completed.matched) for state in states] == [(3, 0), (0, 1), (0, 0)]


async def test_two_workers_let_overlapping_auctions_take_turns(monkeypatch):
    market = Market(MemoryLog())
    ids = await build_rush(market)
    await run_rush(monkeypatch, market, ids, failures=1, workers=2)


async def test_auctions_of_other_times_do_not_wait_for_each_other(monkeypatch):
    market = Market(MemoryLog())
    near = await market.auction(locks_at=0.2, horizon=1, periods=10)
    far = await market.auction(locks_at=0.3, horizon=40, periods=10)

    def fail_near(opened, *_):
        raise MarketplaceError("the solver stopped early")

    clear_book = clearing.clear_book
    monkeypatch.setattr(
        clearing,
        "clear_book",
        lambda opened, *rest: (fail_near if opened.auction_id == near else clear_book)(opened, *rest),
    )
    async with market.worker():
        market.clock.at = market.day(0.6)
        await market.until("auction", near, "failed")
        await market.until_carried_out(far)
        assert (await market.state("auction", near)).status == "failed"


async def build_family(log):
    """Return a market with a parent on one pool and a child on another, and both will win."""
    market = Market(log)
    provider = await market.party("Provider", "provider")
    startup = await market.party("Startup", "startup", usd=1_000_000)
    _, one = await market.pool(provider, gpu_class="H100_SXM")
    _, two = await market.pool(provider, gpu_class="A100_SXM")
    for pool in (one, two):
        await market.lot(provider, pool)
    parent = await market.order(startup, nodes=4, days=20, latest=1)
    offers = tuple(
        type(offer)(
            gpu_class="A100_SXM",
            cash_usd_per_gpu_hour=offer.cash_usd_per_gpu_hour,
            equity_usd_per_gpu_hour=offer.equity_usd_per_gpu_hour,
        )
        for offer in market.terms().offers
    )
    child = await market.order(startup, offers=offers, nodes=4, days=20, latest=1, parent_order_id=parent)
    grandchild = await market.order(
        startup, offers=offers, nodes=4, days=20, earliest=30, latest=30, parent_order_id=child
    )
    auction = await market.auction()
    return market, SimpleNamespace(
        provider=provider, startup=startup, pool=one, parent=parent, child=child, grandchild=grandchild, auction=auction
    )


async def list_reasons(log, order_id):
    return [
        event.body.decode()
        async for page in log.read()
        for event in page
        if event.envelope.type == "marketplace.order.unmatched.v1" and event.envelope.subject.endswith(order_id)
    ]


async def test_a_child_whose_parent_became_impossible_while_the_engine_worked_is_not_matched(monkeypatch):
    market, family = await build_family(MemoryLog())
    meddling = Meddling(market.log)

    async def fail_nodes():
        context = market.context(family.provider)
        await inventory.fail_nodes(
            market.handler, context, family.pool, incident_id="inc_1", nodes=1, at=market.clock.now()
        )

    meddling.before["marketplace.auction.cleared.v1"] = fail_nodes
    async with market.worker(meddling):
        market.clock.at = market.day(0.5)
        auction = await market.until_carried_out(family.auction)
    states = (await check_log(market.log)).states
    assert auction.completed.impossible == 3
    assert {states["order"][each].status for each in (family.parent, family.child, family.grandchild)} == {"unmatched"}
    assert "nodes_failed" in (await list_reasons(market.log, family.parent))[0]
    for child, parent in ((family.child, family.parent), (family.grandchild, family.child)):
        (reason,) = await list_reasons(market.log, child)
        assert '"cause":"parent_unmatched"' in reason
        assert parent in reason
    assert (await market.account(family.startup)).held_usd == 0


async def test_a_child_is_matched_after_its_parent():
    market, family = await build_family(MemoryLog())
    async with market.worker():
        market.clock.at = market.day(0.5)
        await market.until_carried_out(family.auction)
    matched = [
        event.envelope.subject.partition("/")[2]
        async for page in market.log.read()
        for event in page
        if event.envelope.type == "marketplace.order.matched.v1"
    ]
    assert matched == [family.parent, family.child, family.grandchild]


async def test_nobody_matches_a_child_ahead_of_its_parent():
    market, family = await build_family(MemoryLog())
    meddling = Meddling(market.log)
    tried = []

    async def match_child():
        """Carry out the child's match as a worker that is ahead of the parent's would."""
        auction = await market.state("auction", family.auction)
        decisions = {decision.order_id: decision for decision in auction.cleared.decisions}
        ahead = market.process("ahead")
        context = build_context(ahead.handler, "auctioneer", family.auction, "ahead")
        with pytest.raises(Refusal) as refused:
            await auctions.carry_out_match(
                ahead.handler, context, family.auction, family.child, decisions[family.child].match
            )
        tried.append(refused.value.code)

    meddling.before["marketplace.order.matched.v1"] = match_child
    async with market.worker(meddling):
        market.clock.at = market.day(0.5)
        await market.until_carried_out(family.auction)
    assert tried == ["parent_unmatched"]
