"""The books that quotes are computed from: solved in the background, one per horizon, approximated if that is slow.

Invariants:
    1. Nothing is locked and nothing is written.
    2. One book is solved at a time, for at most half of the time. One is approximated at a time, while a quote waits.
    3. Of two books of one horizon, the one that reflects more of the log is kept; if equal, a solved book over an
       approximation.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from heapq import nlargest
from typing import Any, Final

import structlog

from events.auction import AuctionOpened
from events.book import Book
from marketplace.clearing.quotes.prepared_book import PreparedBook, approximate, prepare
from marketplace.core.errors import Unavailable, UnreadableEvent
from marketplace.core.horizon import build_horizon
from marketplace.domain.register import REGISTER, REGISTER_ID
from marketplace.domain.supply.lot import LOT
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.site import SITE
from marketplace.domain.trading.book.book import KnownRows, build_book
from marketplace.domain.trading.book.concealing import conceal_offers
from marketplace.domain.trading.book.market_snapshot import Supply
from marketplace.domain.trading.mandate import MANDATE
from marketplace.domain.trading.order import ORDER, MatchedOrder, Order, WaitingOrder
from marketplace.domain.trading.order_terms import compute_value_max
from marketplace.execution.handler import Handler
from marketplace.execution.state_cache import AnyDecider
from marketplace.runtime.auctions.clearing import parse_book
from marketplace.runtime.quotes.open_market import OpenMarket

LoadReliability = Callable[[], Awaitable[Mapping[str, Fraction]]]
"""Returns the reliability, from 0 to 1, of each provider that has a history."""

FRESH_SECONDS: Final = 0.1
"""How long a quote waits for a newer book before it answers from the last one."""

SLOW_SECONDS: Final = 1.0
"""If a book took this long to solve, quotes do not wait for it: `FRESH_SECONDS` would only delay the answer."""

HURRY_SECONDS: Final = 0.3
"""How long a quote that must see a change waits for a book to be solved, before the book is approximated instead.

If the last book took longer, the quote does not wait for the next one at all.
"""

AGE_SECONDS_MAX: Final = 60.0
"""A changed book that is older than this is not used, unless a newer one takes too long."""

WAIT_SECONDS_MAX: Final = 20.0
"""How long a quote waits for any book."""
BOOKS_MAX: Final = 8
"""The most horizons whose books are kept."""
ORDERS_MAX: Final = 2_000
"""The most orders in a quote's book, those of the highest possible value. An auction admits more."""

LOADS_AT_ONCE: Final = 64
"""The most aggregates that one book reads from the log at once."""
SEED: Final = 1
"""The engine's seed for every book of a quote, so that equal books have equal answers."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SolvedBook:
    """A book of one horizon at a position in the log.

    Attributes:
        opened: The auction that would take it, or one that stands for a horizon.
        sequence: Position in the log.
        began: When its solving began, in seconds of this process's monotonic clock.
        seconds: How long it took to solve or to approximate.
        supply: What is for sale in it.
        orders: The orders that it was built from, by id.
        book: The book, with sealed offers rounded up to their price steps.
        prepared: The engine's solution.
    """

    opened: AuctionOpened
    sequence: int
    began: float
    seconds: float
    supply: Supply
    orders: Mapping[str, Order]
    book: Book
    prepared: PreparedBook


def _compute_value(order: Order) -> Decimal:
    return compute_value_max(order.terms, (hold.equity_credit for hold in order.budget_holds))


class _Turns:
    """Runs one piece of work at a time, and after each rests for `rest` times as long as it took."""

    def __init__(self, rest: int) -> None:
        self._lock = asyncio.Lock()
        self._rest = rest
        self._rest_until = 0.0

    async def take(self, work: Callable[[], Awaitable[SolvedBook]]) -> SolvedBook:
        async with self._lock:
            await asyncio.sleep(max(self._rest_until - time.monotonic(), 0))
            began = time.monotonic()
            found = await work()
            self._rest_until = time.monotonic() + self._rest * (time.monotonic() - began)
            return found


@dataclass(slots=True)
class _Kept:
    """The books of one horizon.

    Attributes:
        newest: The book to answer from; None until there is one.
        full: The last book that was solved in full; None until there is one.
        tasks: What is running: True approximates, False solves.
    """

    newest: SolvedBook | None = None
    full: SolvedBook | None = None
    tasks: dict[bool, asyncio.Task[SolvedBook]] = field(default_factory=dict)


class PreparedBooks:
    """Keeps the books of one process.

    Args:
        handler: Its cache holds the states; nothing is written through it.
        market: What is open.
        load_reliability: Returns providers' reliability.
    """

    def __init__(self, handler: Handler, market: OpenMarket, load_reliability: LoadReliability) -> None:
        self._handler = handler
        self._market = market
        self._load_reliability = load_reliability
        self._kept: dict[AuctionOpened, _Kept] = {}
        self._turns = {False: _Turns(rest=1), True: _Turns(rest=0)}

    async def get(self, opened: AuctionOpened, min_sequence: int) -> SolvedBook:
        """Return the book of a horizon: the newest, or the previous one if that takes too long. It may be approximated.

        If no recent book reflects enough of the log, a book that is slow to solve, or that has to wait for its turn, is
        approximated first. Solving and approximating it at once would only slow both down.

        Args:
            opened: The auction that stands for the horizon.
            min_sequence: Position in the log that the book must reflect.

        Raises:
            Unavailable: No such book was made within `WAIT_SECONDS_MAX`, or a server cannot be reached.
        """
        begun = time.monotonic()
        end = begun + WAIT_SECONDS_MAX
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await self._market.follow_to(min_sequence)
        while True:
            kept = self._keep(opened)
            known = kept.newest
            if known is not None and known.sequence >= max(self._market.changed, min_sequence):
                if known.prepared.approximated:
                    self._begin(opened, approximated=False)
                return known
            old = known is None or time.monotonic() - known.began > AGE_SECONDS_MAX
            patient = old or known is None or known.sequence < min_sequence
            took = math.inf if kept.full is None else kept.full.seconds
            slow = took >= SLOW_SECONDS
            hurried = max(took, time.monotonic() - begun) >= HURRY_SECONDS
            if patient and hurried:
                waited = {self._begin(opened, approximated=True), *kept.tasks.values()}
            else:
                waited = {self._begin(opened, approximated=False)}
            moment = 0.0 if slow else HURRY_SECONDS if patient else FRESH_SECONDS
            timeout = end - time.monotonic() if patient and hurried else moment
            done, _ = await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            found = max((task.result() for task in done), key=lambda solved: solved.sequence, default=known)
            over = time.monotonic() >= end
            if found is not None and found.sequence >= min_sequence and (done or over or not patient):
                if found.prepared.approximated:
                    self._begin(opened, approximated=False)
                return found
            if over:
                raise Unavailable("quotes", f"the book was not solved within {WAIT_SECONDS_MAX:g} s; ask again")

    async def prepare(self, opened: AuctionOpened) -> None:
        """Approximate the book of a horizon if it changed or is new, so that the next quote need not wait."""
        newest = self._keep(opened).newest
        if newest is None or newest.sequence < self._market.changed:
            await asyncio.wait({self._begin(opened, approximated=True)})

    def _keep(self, opened: AuctionOpened) -> _Kept:
        """Return the books of a horizon. A new horizon replaces the one that was used longest ago."""
        kept = self._kept.pop(opened, None) or _Kept()
        self._kept[opened] = kept
        for other in [other for other, each in self._kept.items() if not each.tasks][: len(self._kept) - BOOKS_MAX]:
            if other != opened:
                del self._kept[other]
        return kept

    def _begin(self, opened: AuctionOpened, *, approximated: bool) -> asyncio.Task[SolvedBook]:
        """Return the running task that solves or approximates a horizon's book, or start one."""
        kept = self._keep(opened)
        task = kept.tasks.get(approximated)
        if task is None:
            turn = self._turns[approximated].take(lambda: self._solve(opened, kept, approximated=approximated))
            task = kept.tasks[approximated] = asyncio.create_task(turn)
            task.add_done_callback(lambda done: _end(opened, kept, done, approximated=approximated))
        return task

    async def _solve(self, opened: AuctionOpened, kept: _Kept, *, approximated: bool) -> SolvedBook:
        sequence = self._market.position
        orders = await self.load(ORDER, list(self._market.orders))
        candidates: list[Order] = [order for order in orders.values() if isinstance(order, WaitingOrder)]
        if len(candidates) > ORDERS_MAX:
            chosen = {order.placed.order_id for order in nlargest(ORDERS_MAX, candidates, key=_compute_value)}
            candidates = [order for order in candidates if order.placed.order_id in chosen]
        supply = await self._load_supply(candidates)
        known = supply.mandates.keys()
        candidates = [order for order in candidates if known >= {hold.mandate_id for hold in order.budget_holds}]
        parents = await self.load(ORDER, {order.terms.parent_order_id or "" for order in candidates} - {""})
        served = {order_id for order_id, parent in parents.items() if isinstance(parent, MatchedOrder)}
        demand = candidates, served
        if approximated:
            prior = kept.newest or self._find_prior(opened)
            solved = await asyncio.to_thread(_approximate_book, opened, sequence, supply, demand, prior)
        else:
            solved = await asyncio.to_thread(_solve_book, opened, sequence, supply, demand, kept.newest)
        if not solved.prepared.approximated:
            kept.full = solved
        newest = kept.newest
        if newest is None or (solved.sequence, newest.prepared.approximated) >= (newest.sequence, approximated):
            kept.newest = solved
        return solved

    def _find_prior(self, opened: AuctionOpened) -> SolvedBook | None:
        """Return the last solved book of a horizon with periods of the same length; None if there is none."""
        found = (kept.full for other, kept in reversed(self._kept.items()) if other.period_hours == opened.period_hours)
        return next((solved for solved in found if solved is not None), None)

    async def _load_supply(self, orders: Iterable[Order]) -> Supply:
        lots = await self.load(LOT, self._market.lots)
        pools = await self.load(POOL, {lot.listed.pool_id for lot in lots.values()})
        mandates = await self.load(MANDATE, {hold.mandate_id for order in orders for hold in order.budget_holds})
        sites = await self.load(SITE, {pool.opened.site_id for pool in pools.values()})
        pools = {pool_id: pool for pool_id, pool in pools.items() if pool.opened.site_id in sites}
        lots = {lot_id: lot for lot_id, lot in lots.items() if lot.listed.pool_id in pools}
        reliability = await self._load_reliability()
        register = (await self._handler.cache.load(REGISTER, REGISTER_ID)).state
        return Supply(pools, lots, mandates, reliability=reliability, sites=sites, register=register)

    async def load(self, decider: AnyDecider, ids: Iterable[str]) -> dict[str, Any]:
        """Return states by id, in the order of ids. Aggregates with events that cannot be read are left out.

        Raises:
            Unavailable: The log cannot be reached.
        """
        cache, gate = self._handler.cache, asyncio.Semaphore(LOADS_AT_ONCE)

        async def one(id: str) -> Any:  # noqa: A002 - the field's word
            async with gate:
                return (await cache.load(decider, id)).state

        wanted = sorted(set(ids))
        found = await asyncio.gather(*map(one, wanted), return_exceptions=True)
        states = dict(zip(wanted, found, strict=True))
        for state in found:
            if isinstance(state, BaseException) and not isinstance(state, UnreadableEvent):
                raise state
        return {id: state for id, state in states.items() if not isinstance(state, UnreadableEvent)}  # noqa: A001


def _end(opened: AuctionOpened, kept: _Kept, task: asyncio.Task[SolvedBook], *, approximated: bool) -> None:
    """Forget a finished solve. Its error goes to the waiting callers, or to the log if there are none."""
    kept.tasks.pop(approximated, None)
    if not task.cancelled() and task.exception() is not None:
        log.warning("book_not_solved", auction_id=opened.auction_id, reason=repr(task.exception()))


def _solve_book(
    opened: AuctionOpened,
    sequence: int,
    supply: Supply,
    demand: tuple[list[Order], set[str]],
    prior: SolvedBook | None,
) -> SolvedBook:
    began = time.monotonic()
    book = conceal_offers(build_book(opened, supply, *demand, _find_rows(opened, supply, prior)))
    prepared = prepare(parse_book(book), seed=SEED)
    orders = {order.placed.order_id: order for order in demand[0]}
    return SolvedBook(opened, sequence, began, time.monotonic() - began, supply, orders, book, prepared)


def _approximate_book(
    opened: AuctionOpened,
    sequence: int,
    supply: Supply,
    demand: tuple[list[Order], set[str]],
    prior: SolvedBook | None,
) -> SolvedBook:
    began = time.monotonic()
    rows = _find_rows(opened, supply, prior)
    orders = _put_last(demand[0], {} if prior is None else prior.orders)
    book = conceal_offers(build_book(opened, supply, orders.values(), demand[1], rows))
    plain, known, shift = parse_book(book), None, 0
    if prior is not None:
        known, shift = prior.prepared, build_horizon(prior.opened).floor(opened.horizon_start)
    prepared = approximate(plain, seed=SEED, prior=known, shift=shift)
    return SolvedBook(opened, sequence, began, time.monotonic() - began, supply, orders, book, prepared)


def _find_rows(opened: AuctionOpened, supply: Supply, prior: SolvedBook | None) -> KnownRows | None:
    """Return the rows of an earlier book, which need not be built again; None if its supply or periods differ."""
    if prior is None or prior.opened != opened or not supply.sells_as(prior.supply):
        return None
    return KnownRows(prior.book, prior.orders)


def _put_last(orders: Iterable[Order], known: Mapping[str, Order]) -> dict[str, Order]:
    """Return orders by id: first those of the earlier book, in its order, then the others."""
    found = {order.placed.order_id: order for order in orders}
    return {order_id: found[order_id] for order_id in (*(each for each in known if each in found), *found)}
