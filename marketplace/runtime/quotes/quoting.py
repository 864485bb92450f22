"""Quotes: the value that an order needs to win on the current book, which is solved in the background.

A book is solved when it is first needed and again when it changes. A quote waits a moment for the newest book if that
may help. Otherwise it answers from the previous one and states that book's sequence. A book that is slow to solve is
approximated if there is no other, and in advance of the first question (`runtime/quotes/prepared_books.py`).

Invariants:
    1. Nothing is locked and nothing is written.
    2. An answer is `sure` only if nothing is known to have changed since its book.
"""

import asyncio
from collections import OrderedDict
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal

import structlog

from events.auction import AuctionOpened
from events.order import OrderTerms
from marketplace.application.trading.quote_source import Quoted
from marketplace.clearing.quotes.prepared_book import PreparedBook, estimate, leave_out
from marketplace.core.errors import Unavailable
from marketplace.core.horizon import build_horizon
from marketplace.domain.trading.auction import AUCTION, Auction
from marketplace.domain.trading.book.book import build_order
from marketplace.domain.trading.mandate import MANDATE
from marketplace.domain.trading.order import Order
from marketplace.domain.trading.order_terms import LONG_PERIOD_HOURS, SHORT_DAYS, find_window
from marketplace.domain.trading.quotable import refuse_horizon
from marketplace.execution.follower import BEHIND_SECONDS_MAX, Follower
from marketplace.execution.handler import Handler
from marketplace.runtime.auctions.clearing import parse_order
from marketplace.runtime.quotes.open_market import LoadOpen, OpenMarket
from marketplace.runtime.quotes.prepared_books import SEED, LoadReliability, PreparedBooks
from marketplace.runtime.scheduling.calendar import LONG_PERIODS

PREPARE_SECONDS: Final = 30.0
"""How often a process looks for horizons that have no book yet."""

PREPARED_MAX: Final = 3
"""How many horizons have a book prepared before the first question."""
AMENDED_MAX: Final = 4
"""For how many amended orders the book without the order is kept."""
log = structlog.get_logger(__name__)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
GRIDS: Final[tuple[tuple[Literal[1, 24, 120], int], ...]] = (
    (24, SHORT_DAYS),
    (1, 336),
    (LONG_PERIOD_HOURS, LONG_PERIODS),
)
"""Periods in hours and their number, for orders that no collecting auction would take."""

NO_AUCTION: Final = "auc_00000000000000000000000000"
"""The id of the auction that stands for such a horizon. It is in no answer."""


class Quoter:
    """Answers quotes for one process.

    Args:
        handler: Its cache holds the states; nothing is written through it.
        follower: Delivers events.
        load_open: Returns what is open at the start.
        load_reliability: Returns providers' reliability.
    """

    def __init__(
        self, handler: Handler, follower: Follower, load_open: LoadOpen, load_reliability: LoadReliability
    ) -> None:
        self._handler = handler
        self._market = OpenMarket(follower, load_open)
        self._books = PreparedBooks(handler, self._market, load_reliability)
        self._amended: OrderedDict[tuple[str, str, bool], PreparedBook] = OrderedDict()

    async def quote(self, order: Order, *, min_sequence: int = 0) -> Quoted:
        """Return the value that an order, which is not placed or as it would be amended, needs to win.

        Args:
            order: The order, with the budget that each of its mandates would set aside. If it is in the book, it is
                left out there.
            min_sequence: Position in the log that the book must reflect; 0 for any.

        Raises:
            Refusal: ``quote_outside_horizon``.
            Unavailable: The book could not be solved in time, or a server cannot be reached.
        """
        await self._market.begin()
        opened = await self._choose(order.terms)
        solved = await self._books.get(opened, min_sequence)
        horizon = build_horizon(opened)
        mandates = await self._books.load(MANDATE, [hold.mandate_id for hold in order.budget_holds])
        supply = replace(solved.supply, mandates=mandates, is_quoted=True)
        row = build_order(order, supply, solved.book, horizon)
        assert row is not None, "the horizon was chosen so that the order fits in"
        rest = await self._leave_out(solved.prepared, order.placed.order_id)
        answer = await asyncio.to_thread(estimate, rest, parse_order(row))
        return Quoted(
            auction_id=None if opened.auction_id == NO_AUCTION else opened.auction_id,
            horizon=horizon,
            sequence=solved.sequence,
            fresh=solved.sequence >= self._market.changed,
            book=solved.book,
            book_hash=rest.book_hash,
            row=row,
            estimate=answer,
            resold=frozenset(lot_id for lot_id, lot in supply.lots.items() if lot.listed.grant_id is not None),
        )

    async def _leave_out(self, prepared: PreparedBook, order_id: str) -> PreparedBook:
        """Return a book without an order. A form asks again and again as it is filled in, so the last ones are kept."""
        key = (prepared.book_hash, order_id, prepared.approximated)
        rest = self._amended.get(key)
        if rest is None:
            rest = await asyncio.to_thread(leave_out, prepared, order_id)
        if rest is not prepared:
            self._amended[key] = rest
            self._amended.move_to_end(key)
            if len(self._amended) > AMENDED_MAX:
                self._amended.popitem(last=False)
        return rest

    async def catch_up(self) -> None:
        """Wait until this process has seen every event that is stored by now.

        Raises:
            Unavailable: It takes too long, or a server cannot be reached.
        """
        await self._market.begin()
        end = (await self._handler.log.health()).last_sequence
        try:
            async with asyncio.timeout(BEHIND_SECONDS_MAX):
                await self._market.follow_to(end)
        except TimeoutError:
            fault = f"it has not seen event {end} within {BEHIND_SECONDS_MAX:.0f} s"
            raise Unavailable("the follower", fault) from None

    async def list_auctions(self) -> list[Auction]:
        """Return the auctions that are not completed, next to lock first.

        Raises:
            Unavailable: A server cannot be reached.
        """
        await self._market.begin()
        known = await self._books.load(AUCTION, self._market.auctions)
        found = [auction for auction in known.values() if auction is not None]
        return sorted(found, key=lambda auction: (auction.opened.locks_at, auction.opened.auction_id))

    async def prepare(self) -> None:
        """Approximate the books that the next quotes need, now and when new ones appear. Runs until cancelled."""
        while True:
            try:
                await self._market.begin()
                for opened in await self._list_next():
                    await self._books.prepare(opened)
            except Unavailable as error:
                log.warning("quotes_not_prepared", reason=str(error))
            await asyncio.sleep(PREPARE_SECONDS)

    async def _list_next(self) -> list[AuctionOpened]:
        """Return the horizons of most quotes: the collecting auctions, and the days ahead."""
        now = self._handler.clock.now()
        found = [auction.opened for auction in await self.list_auctions() if auction.takes_orders(now)]
        return [*found[: PREPARED_MAX - 1], _build_grid(now, *GRIDS[0])]

    async def _choose(self, terms: OrderTerms) -> AuctionOpened:
        """Return the next auction into whose horizon an order fits; else a grid of `GRIDS` from now on, as an auction.

        Raises:
            Refusal: ``quote_outside_horizon``.
        """
        now = self._handler.clock.now()
        for auction in await self.list_auctions():
            if auction.takes_orders(now) and find_window(terms, build_horizon(auction.opened)) is not None:
                return auction.opened
        for period_hours, periods in GRIDS:
            opened = _build_grid(now, period_hours, periods)
            if find_window(terms, build_horizon(opened)) is not None:
                return opened
        raise refuse_horizon()


def _build_grid(now: datetime, period_hours: Literal[1, 24, 120], periods: int) -> AuctionOpened:
    hour = now.replace(minute=0, second=0, microsecond=0) + HOUR
    start = hour if period_hours == 1 else now.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    return AuctionOpened(
        auction_id=NO_AUCTION,
        locks_at=start,
        horizon_start=start,
        period_hours=period_hours,
        periods=periods,
        seed=SEED,
    )
