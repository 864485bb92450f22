"""Quotes: what an order would have to be worth on the book as it stands, from a book that is solved in the background.

A book is solved when it is first asked about and again when something in it changed; a quote waits a moment for the
newest where that may help, and else answers from the last, which says by its sequence how old it is.

Invariants:
    1. Nothing is locked and nothing is written.
    2. An answer is `sure` only on a book that nothing is known to have changed since.
    3. One book is solved at a time, and no more than half of the time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final

import structlog

from events.auction import AuctionOpened
from events.book import Book, BookOrder
from events.order import OrderTerms
from marketplace.clearing.standing import Estimate, Standing, estimate, stand
from marketplace.core.errors import Refusal, Unavailable
from marketplace.domain.auction import AUCTION, Auction
from marketplace.domain.lot import LOT
from marketplace.domain.mandate import MANDATE
from marketplace.domain.order import ORDER, Order
from marketplace.domain.pool import POOL
from marketplace.domain.site import SITE
from marketplace.runtime.auctioneer import ORDERS_MAX
from marketplace.runtime.book import build_book, build_order, find_window
from marketplace.runtime.cache import AnyDecider
from marketplace.runtime.clearing import parse_book, parse_order
from marketplace.runtime.follower import Follower
from marketplace.runtime.handler import Handler
from marketplace.runtime.horizon import Horizon, build_horizon
from marketplace.runtime.open_market import LoadOpen, OpenMarket
from marketplace.runtime.supply import Supply

LoadStandings = Callable[[], Awaitable[Mapping[str, Fraction]]]

FRESH_SECONDS: Final = 0.1
"""How long a quote waits for a book that is being solved anew before it answers from the last one."""

SLOW_SECONDS: Final = 1.0
"""A book that took this long to solve is not waited for: `FRESH_SECONDS` would only be added to the answer."""

WAIT_SECONDS_MAX: Final = 20.0
BOOKS_MAX: Final = 8
LOADS_AT_ONCE: Final = 64
log = structlog.get_logger(__name__)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
GRIDS: Final = ((24, 182), (1, 336))
"""Periods in hours and their number, for what no auction that is collecting would take."""

NO_AUCTION: Final = "auc_00000000000000000000000000"
SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Quoted:
    """The answer to a dry run.

    Attributes:
        auction_id: The auction that would take the order next; None where none is collecting for it.
        horizon: Its periods, or those of a book that was made for the question.
        sequence: Position in the log at which the book stands.
        fresh: Whether nothing of the market is known to have happened since.
        book: The book, with its pools.
        book_hash: Its hash, as a certificate would name it.
        row: The order as it would stand in it.
        estimate: What the engine says.
    """

    auction_id: str | None
    horizon: Horizon
    sequence: int
    fresh: bool
    book: Book
    book_hash: str
    row: BookOrder
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class _Solved:
    opened: AuctionOpened
    sequence: int
    seconds: float
    supply: Supply
    book: Book
    standing: Standing


class Quoter:
    """Answers quotes for one process.

    Args:
        handler: Whose cache holds the states; nothing is written through it.
        follower: Tells what happens.
        load_open: Tells what is open as it begins.
        load_standings: Tells the score of each provider that has a history.
    """

    def __init__(
        self, handler: Handler, follower: Follower, load_open: LoadOpen, load_standings: LoadStandings
    ) -> None:
        self._handler = handler
        self._load_standings = load_standings
        self._market = OpenMarket(follower, load_open)
        self._solved: dict[AuctionOpened, _Solved] = {}
        self._solving: dict[AuctionOpened, asyncio.Task[_Solved]] = {}
        self._turn = asyncio.Lock()
        self._rest_until = 0.0

    async def quote(self, order: Order, *, min_sequence: int = 0) -> Quoted:
        """Return what an order that is not placed would have to be worth.

        Args:
            order: The order, with the budget that each of its mandates would set aside.
            min_sequence: Position in the log that the book must have seen.

        Raises:
            Refusal: ``quote_outside_horizon``.
            Unavailable: The book could not be solved in time, or a server is away.
        """
        await self._market.begin()
        opened = await self._choose(order.terms)
        solved = await self._get(opened, min_sequence)
        horizon = build_horizon(opened)
        mandates = await self._load(MANDATE, [hold.mandate_id for hold in order.budget_holds])
        supply = replace(solved.supply, mandates=mandates)
        row = build_order(order, supply, solved.book, horizon)
        assert row is not None, "the horizon was chosen so that the order takes part"
        answer = await asyncio.to_thread(estimate, solved.standing, parse_order(row))
        return Quoted(
            auction_id=None if opened.auction_id == NO_AUCTION else opened.auction_id,
            horizon=horizon,
            sequence=solved.sequence,
            fresh=solved.sequence >= self._market.changed,
            book=solved.book,
            book_hash=solved.standing.book_hash,
            row=row,
            estimate=answer,
        )

    async def list_auctions(self) -> list[Auction]:
        """Return the auctions that are not settled, the next to lock first."""
        await self._market.begin()
        found = [
            auction for auction in (await self._load(AUCTION, self._market.auctions)).values() if auction is not None
        ]
        return sorted(found, key=lambda auction: (auction.opened.locks_at, auction.opened.auction_id))

    async def _choose(self, terms: OrderTerms) -> AuctionOpened:
        """Return the next auction that would take an order, or the horizon of a book made for the question."""
        now = self._handler.clock.now()
        for auction in await self.list_auctions():
            collecting = auction.status == "collecting" and auction.opened.locks_at > now
            if collecting and find_window(terms, build_horizon(auction.opened)) is not None:
                return auction.opened
        for period_hours, periods in GRIDS:
            opened = _build_grid(now, period_hours, periods)
            if find_window(terms, build_horizon(opened)) is not None:
                return opened
        raise Refusal(
            "quote_outside_horizon",
            "no auction would take this order: start within 182 days and last whole days, or start within 14 days",
            pointer="/terms/start_earliest",
        )

    async def _get(self, opened: AuctionOpened, min_sequence: int) -> _Solved:
        """Return the solved book of a horizon: the newest, or the last where that takes too long."""
        end = time.monotonic() + WAIT_SECONDS_MAX
        while True:
            known = self._solved.get(opened)
            if known is not None and known.sequence >= max(self._market.changed, min_sequence):
                return known
            patient = known is None or known.sequence < min_sequence
            solving = self._solve(opened)
            moment = FRESH_SECONDS if known is None or known.seconds < SLOW_SECONDS else 0.0
            done, _ = await asyncio.wait({solving}, timeout=end - time.monotonic() if patient else moment)
            if done:
                known = solving.result()
                if known.sequence >= min_sequence:
                    return known
            elif known is not None and not patient:
                return known
            if time.monotonic() >= end:
                raise Unavailable("quotes", f"the book was not solved within {WAIT_SECONDS_MAX:g} s; ask again")

    def _solve(self, opened: AuctionOpened) -> asyncio.Task[_Solved]:
        """Return the solving of a horizon's book that is under way, or begin one."""
        task = self._solving.get(opened)
        if task is None:
            task = self._solving[opened] = asyncio.create_task(self._solve_next(opened))
            task.add_done_callback(lambda done: self._end_solving(opened, done))
        return task

    def _end_solving(self, opened: AuctionOpened, task: asyncio.Task[_Solved]) -> None:
        """Forget a solving that ended; why it failed is told to who waits for it, and here should nobody."""
        self._solving.pop(opened, None)
        if not task.cancelled() and task.exception() is not None:
            log.warning("book_not_solved", auction_id=opened.auction_id, reason=repr(task.exception()))

    async def _solve_next(self, opened: AuctionOpened) -> _Solved:
        async with self._turn:
            await asyncio.sleep(max(self._rest_until - time.monotonic(), 0))
            began = time.monotonic()
            sequence = self._market.position
            orders = await self._load(ORDER, list(self._market.orders)[:ORDERS_MAX])
            standing = [order for order in orders.values() if order is not None and order.status in {"open", "locked"}]
            supply = await self._load_supply(standing)
            parents = await self._load(ORDER, {order.terms.parent_order_id or "" for order in standing} - {""})
            served = {order_id for order_id, parent in parents.items() if parent and parent.status == "matched"}
            solved = await asyncio.to_thread(_solve_book, opened, sequence, supply, (standing, served))
            self._rest_until = time.monotonic() + (time.monotonic() - began)
            self._solved.pop(opened, None)
            self._solved[opened] = solved
            while len(self._solved) > BOOKS_MAX:
                self._solved.pop(next(iter(self._solved)))
            return solved

    async def _load_supply(self, orders: Iterable[Order]) -> Supply:
        lots = await self._load(LOT, self._market.lots)
        pools = await self._load(POOL, {lot.listed.pool_id for lot in lots.values()})
        mandates = await self._load(MANDATE, {hold.mandate_id for order in orders for hold in order.budget_holds})
        sites = await self._load(SITE, {pool.opened.site_id for pool in pools.values()})
        standings = await self._load_standings()
        return Supply(pools=pools, lots=lots, mandates=mandates, standings=standings, sites=sites)

    async def _load(self, decider: AnyDecider, ids: Iterable[str]) -> dict[str, Any]:
        """Return states by id, in order; what is not in memory is read, a bounded number at once."""
        cache, gate = self._handler.cache, asyncio.Semaphore(LOADS_AT_ONCE)

        async def one(id: str) -> Any:  # noqa: A002 - the field's word
            async with gate:
                return (await cache.load(decider, id)).state

        wanted = sorted(set(ids))
        return dict(zip(wanted, await asyncio.gather(*map(one, wanted)), strict=True))


def _solve_book(opened: AuctionOpened, sequence: int, supply: Supply, demand: tuple[list[Order], set[str]]) -> _Solved:
    orders, served = demand
    began = time.monotonic()
    book = build_book(opened, supply, orders, served)
    standing = stand(parse_book(book), seed=SEED)
    return _Solved(opened, sequence, time.monotonic() - began, supply, book, standing)


def _build_grid(now: datetime, period_hours: int, periods: int) -> AuctionOpened:
    hour = now.replace(minute=0, second=0, microsecond=0) + HOUR
    start = hour if period_hours == 1 else now.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    return AuctionOpened(
        auction_id=NO_AUCTION,
        locks_at=start,
        horizon_start=start,
        period_hours=1 if period_hours == 1 else 24,
        periods=periods,
        seed=SEED,
    )
