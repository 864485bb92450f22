"""The open orders, lots and auctions, for a process that started in the middle of the log.

It loads them once from the projections, and follows the log from there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from events.auction import AuctionCompleted, AuctionOpened
from events.lot import LotListed, LotWithdrawn
from events.order import OrderCancelled, OrderExpired, OrderMatched, OrderPlaced, OrderUnmatched
from events.subjects import LOG_SUBJECT
from events.types import Event
from marketplace.core.errors import UnreadableEvent
from marketplace.execution.follower import Follower
from marketplace.log.events import parse_event
from marketplace.log.port import Recorded

RELEVANT: Final = frozenset({"order", "lot", "pool", "site", "auction", "register"})
"""Aggregates whose events may change a book."""
LoadOpen = Callable[[], Awaitable[tuple[Iterable[str], Iterable[str], Iterable[str]]]]
"""Returns the ids of open orders, lots and auctions that are not completed, at or after the follower's position."""


class OpenMarket:
    """The ids of everything that takes part in the market now. They are complete once `begin` has returned.

    Args:
        follower: Delivers events.
        load_open: Returns what is open at the start.

    Attributes:
        orders: Orders that are open or locked.
        lots: Lots that are not withdrawn.
        auctions: Auctions that are not completed.
        changed: Sequence of the last event that may have changed a book; 0 if none was seen.
    """

    def __init__(self, follower: Follower, load_open: LoadOpen) -> None:
        self._follower = follower
        self._load_open = load_open
        self._early: list[Event] | None = None
        self._beginning = asyncio.Lock()
        self._begun = False
        self.orders: dict[str, None] = {}
        self.lots: dict[str, None] = {}
        self.auctions: dict[str, None] = {}
        self.changed = 0
        self._moved = asyncio.Event()

    @property
    def position(self) -> int:
        """Return the sequence up to which the log has been followed."""
        return self._follower.position

    async def follow_to(self, sequence: int) -> None:
        """Wait, without limit, until the log has been followed to a sequence."""
        while self.position < sequence:
            await self._moved.wait()

    async def begin(self) -> None:
        """Load what is open, once; if that failed, the next call tries again.

        Raises:
            Unavailable: The projections cannot be read.
        """
        async with self._beginning:
            if self._begun:
                return
            self._early = []
            self._follower.listen(self._notice)
            try:
                found = await self._load_open()
            except BaseException:
                self._follower.unlisten(self._notice)
                raise
            self.orders, self.lots, self.auctions = (dict.fromkeys(ids) for ids in found)
            early, self._early = self._early, None
            for event in early:
                self._take(event)
            self._begun = True

    def _notice(self, page: list[Recorded]) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        for recorded in page:
            if recorded.subject.split(".")[1] in RELEVANT:
                self.changed = recorded.sequence
                self._hear(recorded)
            elif recorded.subject == LOG_SUBJECT:
                self.changed = recorded.sequence

    def _hear(self, recorded: Recorded) -> None:
        """Apply an event. If it cannot be read, its aggregate is left out of every book."""
        if recorded.void:
            return
        try:
            event = parse_event(recorded)
        except UnreadableEvent:
            return
        if self._early is None:
            self._take(event)
        else:
            self._early.append(event)

    def _take(self, event: Event) -> None:
        match event:
            case OrderPlaced():
                self.orders[event.order_id] = None
            case OrderCancelled() | OrderExpired() | OrderMatched():
                self.orders.pop(event.order_id, None)
            case OrderUnmatched() if not event.open_again:
                self.orders.pop(event.order_id, None)
            case LotListed():
                self.lots[event.lot_id] = None
            case LotWithdrawn():
                self.lots.pop(event.lot_id, None)
            case AuctionOpened():
                self.auctions[event.auction_id] = None
            case AuctionCompleted():
                self.auctions.pop(event.auction_id, None)
            case _:
                pass
