"""A quote that must see a change: one book for it, built of what is known, and before others that are slow to solve."""

import asyncio
import threading
from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from marketplace.application.trading.orders import preview_order
from marketplace.clearing.quotes import prepared_book
from marketplace.clearing.quotes.prepared_book import prepare
from marketplace.domain.deciders import DECIDERS
from marketplace.domain.trading.book import book as books
from marketplace.domain.trading.book.book import KnownRows, build_book
from marketplace.domain.trading.book.market_snapshot import Supply
from marketplace.log.memory import MemoryLog
from marketplace.runtime.quotes import prepared_books
from tests.support.market.desk import Desk, open_desk
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS


async def build():
    """Return a market with two lots, a startup, and its orders, one of which needs another."""
    market = Market(MemoryLog())
    provider = await market.party("Provider", "provider")
    for _ in range(2):
        _, pool = await market.pool(provider)
        await market.lot(provider, pool)
    startup = await market.party("Startup", "startup", usd=1_000_000)
    first = await market.order(startup, days=5)
    await market.order(startup, days=6, parent_order_id=first)
    return market, startup


async def load(market, *, of=("pool", "lot", "site", "order")):
    """Return every state of some aggregates by id, as one process knows them."""
    found = {name: {} for name in of}
    async for page in market.log.read():
        for recorded in page:
            _, aggregate, name = recorded.subject.split(".")
            if aggregate in found:
                found[aggregate][name] = (await market.handler.cache.load(DECIDERS[aggregate], name)).state
    return found


def supply_of(found):
    return Supply(pools=found["pool"], lots=found["lot"], mandates={}, sites=found["site"])


@pytest.mark.parametrize(
    "terms", [{}, {"principal_usd_max": Decimal(5)}, {"group": "either"}], ids=["plain", "limit", "group"]
)
async def test_a_book_that_is_built_of_known_rows_is_the_same(monkeypatch, terms):
    market, startup = await build()
    opened = (await market.state("auction", await market.auction())).opened
    before = await load(market)
    known = KnownRows(build_book(opened, supply_of(before), before["order"].values()), before["order"])
    await market.order(startup, days=7, **terms)
    after = await load(market)
    assert supply_of(after).sells_as(supply_of(before))
    fresh = build_book(opened, supply_of(after), after["order"].values())
    built = []
    monkeypatch.setattr(books, "build_row", _count(books.build_row, built))
    assert build_book(opened, supply_of(after), after["order"].values(), known=known) == fresh
    assert len(built) == {"principal_usd_max": 3}.get(next(iter(terms), ""), 2), (
        "the new one, and the one with a parent"
    )


def _count(function, calls):
    def call(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return call


async def test_another_lot_is_another_supply():
    market, _ = await build()
    before = await load(market)
    await market.lot(
        next(iter(before["pool"].values())).opened.provider_id, next(iter(before["pool"])), start=100, end=120
    )
    assert not supply_of(await load(market)).sells_as(supply_of(before))


async def test_no_book_is_begun_that_would_not_have_seen_the_change(monkeypatch):
    market, startup = await build()
    desk, approximated = Desk(market), []
    await desk.follower.start()
    await desk.ask(startup)
    await market.order(startup, days=9)
    monkeypatch.setattr(prepared_books, "approximate", _record(prepared_book.approximate, approximated))
    monkeypatch.setattr(prepared_books, "prepare", _record(prepared_book.prepare, approximated))
    asked = asyncio.create_task(desk.ask(startup))
    await asyncio.sleep(0.1)
    assert (asked.done(), approximated) == (False, [])
    following = asyncio.create_task(desk.follower.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            quoted = await asked
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert (quoted.fresh, len(approximated)) == (True, 1)


def _record(function, calls):
    def call(book, **options):
        calls.append(book)
        return function(book, **options)

    return call


async def test_a_quote_does_not_wait_for_a_book_that_takes_longer_than_it_waits(monkeypatch):
    market, startup = await build()
    solve, begun = prepared_books._solve_book, []
    monkeypatch.setattr(prepared_books, "_solve_book", lambda *known: replace(solve(*known), seconds=0.5))
    async with open_desk(market) as desk:
        await desk.ask(startup)
        await market.order(startup, days=8)
        await desk.ask(startup)  # the first quote approximated the book, since none was solved before
        for name, function in (("approximate", prepared_book.approximate), ("prepare", prepared_book.prepare)):
            monkeypatch.setattr(prepared_books, name, _name(name, function, begun))
        await market.order(startup, days=9)
        assert (await desk.ask(startup)).fresh
    assert begun[0] == "approximate"


def _name(name, function, begun):
    def call(book, **options):
        begun.append(name)
        return function(book, **options)

    return call


async def test_a_quick_book_is_not_kept_waiting_by_a_slow_one(monkeypatch):
    market, startup = await build()
    released, begun = threading.Event(), threading.Event()

    def solve_when_released(book, *, seed):
        begun.set()
        assert released.wait(120)
        return prepare(book, seed=seed)

    async with open_desk(market) as desk:
        await desk.ask(startup)
        monkeypatch.setattr(prepared_books, "prepare", solve_when_released)
        by_the_hour = msgspec.structs.replace(market.terms(), duration_hours=5)
        order = await preview_order(market.handler, market.context(startup), startup_id=startup, terms=by_the_hour)
        slow = asyncio.create_task(desk.quoter.quote(order))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not begun.is_set():
                    await desk.quoter.quote(order)
                    await market.tick()
            await market.order(startup, days=9)
            position = (await market.log.health()).last_sequence
            async with asyncio.timeout(10):
                quoted = await desk.ask(startup)
        finally:
            released.set()
            await asyncio.gather(slow, return_exceptions=True)
    assert quoted.sequence >= position
