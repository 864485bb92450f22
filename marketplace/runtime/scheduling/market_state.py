"""The market in the worker's memory: scheduled tasks, and the lots, pools and orders that exist.

States of aggregates are in the handler's cache, which the same reader fills from the first event on. Usage is the
exception: readings outnumber everything else, so a statement reads them from the log.
"""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

import structlog

from events.auction import AuctionCompleted, AuctionOpened
from events.clock import ClockAdvanced
from events.log import LogAnnotated, LogGapAccepted
from events.lot import LotListed, LotRescheduled, LotResumed, LotWithdrawn
from events.order import (
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderLocked,
    OrderMandateApproved,
    OrderMatched,
    OrderPlaced,
    OrderUnmatched,
)
from events.pool import PoolOpened
from events.site import SiteConversionSlipped, SiteDerated, SiteEnergised, SitePowerReleased
from events.subjects import parse_subject, render_subject
from events.types import Event
from marketplace.core.errors import Unavailable, UnreadableEvent
from marketplace.domain.deciders import DECIDERS
from marketplace.domain.delivery.reliability import ReliabilityState, compute_reliability, evolve
from marketplace.domain.metering.usage import USAGE
from marketplace.domain.register import REGISTER, REGISTER_ID
from marketplace.domain.supply.lot import LOT
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.site import SITE
from marketplace.domain.trading.admission import Rivals, Waiting
from marketplace.domain.trading.auction import AUCTION
from marketplace.domain.trading.book.market_snapshot import Supply
from marketplace.domain.trading.mandate import MANDATE
from marketplace.domain.trading.order import ORDER, Order, WaitingOrder
from marketplace.execution.handler import Handler
from marketplace.execution.state_cache import AnyDecider
from marketplace.log.annotations import Annotations
from marketplace.log.events import parse_event
from marketplace.log.port import Recorded
from marketplace.runtime.scheduling.health_monitor import HealthMonitor
from marketplace.runtime.scheduling.late_marks import LateMarks
from marketplace.runtime.scheduling.scheduler import NOW, Scheduler, Task

READ_SECONDS_MAX: Final = 30.0
"""How long a task that needs all events waits for the reader."""

log = structlog.get_logger(__name__)


class MarketState:
    """Applies every event of the log in order.

    Attributes:
        scheduler: What is due.
        observer: What evidence says of the running grants.
        late_marks: Grants whose parties were found to be related after the award.
        position: Sequence of the last event applied.
        unreadable: Events that cannot be read, by sequence. No task that depends on their aggregates runs.
        outdated: Set when an event that was applied is annotated. The market must then be read again from its
            beginning.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        annotations: Annotations | None = getattr(handler.log, "annotations", None)  # what is in memory has none
        self._annotated = frozenset(annotations.list_sequences() if annotations is not None else ())
        self.unreadable: dict[int, UnreadableEvent] = {}
        self._unsound: set[str] = set()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._begun: set[str] = set()  # aggregates whose first event counts; nothing is scheduled for the others
        self.outdated = asyncio.Event()
        self.scheduler = Scheduler()
        self.observer = HealthMonitor(self.scheduler)
        self.late_marks = LateMarks()
        # Each look-up of these methods builds a function that dispatches on its argument.
        self._tell_scheduler, self._tell_observer = self.scheduler.notice, self.observer.notice
        self.position = 0
        self._lots: dict[str, str] = {}
        self._spans: dict[str, tuple[datetime, datetime]] = {}
        self._offered: dict[str, dict[str, datetime]] = {}
        self._pools: dict[str, str] = {}
        self._repowered: set[str] = set()
        self._reliability = ReliabilityState()
        self._groups: dict[str, tuple[str, str]] = {}
        self._served: set[tuple[str, str]] = set()
        self._taken: dict[str, int] = {}
        self._taken_count = 0
        self._auctions: dict[str, datetime] = {}
        self._unbound: dict[str, datetime] = {}  # when each auction binds its orders
        self._bound: dict[str, ReliabilityState] = {}

    def take(self, page: Iterable[Recorded]) -> None:
        """Apply the next events."""
        for recorded in page:
            self.position = recorded.sequence
            if recorded.void:
                self._handler.cache.forget(recorded.subject)
                continue
            try:
                event = parse_event(recorded)
            except UnreadableEvent as error:
                self._put_aside(error)
                continue
            aggregate, _ = parse_subject(recorded.subject)
            if aggregate == USAGE.aggregate or recorded.subject in self._unsound:
                self._handler.cache.notice(recorded)
            else:
                self._handler.cache.apply(DECIDERS[aggregate], recorded, event, from_first=True)
            if not recorded.envelope.previoushash:
                self._begun.add(recorded.subject)
            if recorded.subject in self._begun:
                self._notice(event, recorded.envelope.time)

        self._waiting = [each for each in self._waiting if not self._wake(*each)]

    def _wake(self, sequence: int, waiting: asyncio.Future[None]) -> bool:
        """End a wait if it is over; return whether it is."""
        if not waiting.done() and self.position >= sequence:
            waiting.set_result(None)
        return waiting.done()

    async def _read_on(self) -> None:
        """Wait until every event that the log holds now is applied.

        Raises:
            Unavailable: The log cannot be reached, or that takes more than `READ_SECONDS_MAX`.
        """
        end = (await self._handler.log.health()).last_sequence
        if self.position >= end:
            return
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append((end, waiting))
        try:
            async with asyncio.timeout(READ_SECONDS_MAX):
                await waiting
        except TimeoutError:
            text = f"it has read the log up to {self.position}, and not up to {end} in {READ_SECONDS_MAX:.0f} s"
            raise Unavailable("the worker's market", text) from None

    def _put_aside(self, error: UnreadableEvent) -> None:
        """Exclude an aggregate with an unreadable event from all tasks, until the event is annotated."""
        log.error("event_unreadable", sequence=error.sequence, subject=error.subject, reason=str(error))
        self.unreadable[error.sequence] = error
        self._unsound.add(error.subject)
        self._handler.cache.forget(error.subject)

    def _notice(self, event: Event, at: datetime) -> None:
        self._keep_reliability(at)
        self._tell_scheduler(event)
        for grant_id in self.late_marks.notice(event, at):
            self.scheduler.put(Task("mark_grant", grant_id), NOW)
        self._tell_observer(event, at)
        self._notice_order(event)
        self._notice_offer(event, at)
        self._notice_power(event)
        self._reliability = evolve(self._reliability, event)
        match event:
            case LotListed():
                self._lots[event.lot_id] = event.pool_id
                self._move_lots(event.pool_id)
            case LotWithdrawn():
                self._lots.pop(event.lot_id, None)
            case PoolOpened():
                self._pools[event.pool_id] = event.site_id
            case AuctionOpened():
                self._auctions[event.auction_id] = event.locks_at
                self._unbound[event.auction_id] = event.no_cancel_at or event.locks_at
            case AuctionCompleted():
                for known in (self._auctions, self._unbound, self._bound):
                    known.pop(event.auction_id, None)
                # Its book and its result weigh as much as the orders in them, and no task needs them any more.
                self._handler.cache.forget(render_subject(AUCTION.aggregate, event.auction_id))
            case ClockAdvanced():
                self._handler.clock.offset_seconds = event.offset_seconds
            case LogAnnotated() | LogGapAccepted():
                self._notice_annotation(event)
            case _:
                pass

    def _keep_reliability(self, at: datetime) -> None:
        """Keep what providers' scores are before the first event at or after an auction binds its orders."""
        for auction_id in [known_id for known_id, binds_at in self._unbound.items() if binds_at <= at]:
            del self._unbound[auction_id]
            self._bound[auction_id] = self._reliability

    def _notice_annotation(self, event: LogAnnotated | LogGapAccepted) -> None:
        """Discard the states that an annotation changes. If its event was applied here, the market is outdated."""
        is_known = event.sequence in self._annotated
        if isinstance(event, LogAnnotated):
            self._handler.cache.forget(event.subject)
        else:
            self._handler.cache.forget_at(event.sequence, [one.subject for one in event.lost])
            is_known |= self.unreadable.pop(event.sequence, None) is not None
        if not is_known:
            self.outdated.set()

    def _notice_power(self, event: Event) -> None:
        match event:
            case SiteDerated() | SiteEnergised() | SiteConversionSlipped():
                self._repowered.add(event.site_id)
                self._check_power(event.site_id)
            case SitePowerReleased():
                self._check_power(event.site_id)
            case _:
                pass

    def _check_power(self, site_id: str) -> None:
        """Check the grants of a site whose power changed, or which draws less after such a change."""
        for pool_id in self.list_site_pools(site_id) if site_id in self._repowered else ():
            self.scheduler.put(Task("serve_pool", pool_id), NOW)

    def _move_lots(self, pool_id: str) -> None:
        """Check the lots of a site again. A delay of the site may be stored just before the lot."""
        if pool_id in self._pools:
            self.scheduler.put(Task("move_lots", self._pools[pool_id]), NOW)

    def _notice_order(self, event: Event) -> None:
        """Track an order's group, and the last time a book contained it."""
        match event:
            case OrderPlaced() if event.terms.group is not None:
                self._groups[event.order_id] = (event.startup_id, event.terms.group)
            case OrderLocked():
                self._taken[event.order_id] = self._taken_count = self._taken_count + 1
            case OrderMatched() | OrderCancelled() | OrderExpired() | OrderUnmatched():
                if isinstance(event, OrderUnmatched) and event.open_again:
                    return
                self._taken.pop(event.order_id, None)
                group = self._groups.pop(event.order_id, None)
                if group is not None and isinstance(event, OrderMatched):
                    self._served.add(group)
            case _:
                pass

    def _notice_offer(self, event: Event, at: datetime) -> None:
        """Track when each order and lot was offered to auctions, and when each mandate that pays was approved."""
        match event:
            case OrderPlaced() | OrderAmended():
                self._offered[event.order_id] = {"": at}
            case OrderMandateApproved() if event.order_id in self._offered:
                self._offered[event.order_id][event.mandate_id] = at
            case OrderMatched() | OrderCancelled() | OrderExpired():
                self._offered.pop(event.order_id, None)
            case OrderUnmatched() if not event.open_again:
                self._offered.pop(event.order_id, None)
            case LotListed() | LotRescheduled():
                start, end = self._spans.get(event.lot_id, (event.end, event.start))
                if event.start < start or end < event.end:  # it offers hours that it did not offer before
                    self._offered[event.lot_id] = {"": at}
                self._spans[event.lot_id] = (event.start, event.end)
            case LotResumed():
                self._offered[event.lot_id] = {"": at}
            case LotWithdrawn():
                self._offered.pop(event.lot_id, None)
                self._spans.pop(event.lot_id, None)
            case _:
                pass

    def _find_offered(self, order: Order) -> datetime:
        """Return since when an order has been offered as it is, with a mandate that pays if it needs one."""
        known = self._offered[order.placed.order_id]
        approved = [known.get(hold.mandate_id, known[""]) for hold in order.budget_holds if not hold.needs_approval]
        return min(approved, default=known[""])

    def list_orders(self) -> list[str]:
        """Return the orders that may take part in an auction, oldest first."""
        return [order_id for order_id in self.scheduler.open_orders if self.is_sound("order", order_id)]

    async def load_queue(self) -> list[Waiting]:
        """Return the orders that may take part in an auction and whose mandates can be read, oldest first.

        Every order that is stored now is among them, however far behind the reader was.

        Raises:
            Unavailable: The log cannot be reached, or the reader is too far behind.
        """
        await self._read_on()
        queue: list[Waiting] = []
        for order_id in self.list_orders():
            order = await self._load(ORDER, order_id)
            if not isinstance(order, WaitingOrder):
                continue
            if all(self.is_sound("mandate", hold.mandate_id) for hold in order.budget_holds):
                parent_id = order.terms.parent_order_id
                parent = None if parent_id is None else await self._load(ORDER, parent_id)
                is_served = self._groups.get(order_id) in self._served
                turn, offered_at = self._taken.get(order_id, 0), self._find_offered(order)
                queue.append(Waiting(order, parent, turn, is_served, offered_at))
        return queue

    async def load_supply(self, orders: Iterable[Order], opened: AuctionOpened) -> Supply:
        """Return the lots that are not withdrawn, with all pools of their sites, and the mandates that orders name.

        Paused lots are included. A lot that was offered after the auction's lock time waits for the next one. A lot is
        left out if an event of it, of its pool or of its site cannot be read. The scores of providers are those at
        which the auction bound its orders, if it has.

        Raises:
            Unavailable: The log cannot be reached.
        """
        lots = {
            lot_id: pool_id
            for lot_id, pool_id in self._lots.items()
            if self._is_for_sale(lot_id, pool_id) and self._offered[lot_id][""] <= opened.locks_at
        }
        sites = sorted({self._pools[pool_id] for pool_id in lots.values()})
        beside = (pool_id for site_id in sites for pool_id in self.list_site_pools(site_id))
        mandates = sorted({hold.mandate_id for order in orders for hold in order.budget_holds})
        return Supply(
            pools={pool_id: await self._load(POOL, pool_id) for pool_id in sorted({*lots.values(), *beside})},
            lots={lot_id: await self._load(LOT, lot_id) for lot_id in lots},
            mandates={mandate_id: await self._load(MANDATE, mandate_id) for mandate_id in mandates},
            reliability=self.list_reliability(opened.auction_id),
            sites={site_id: await self._load(SITE, site_id) for site_id in sites},
            register=await self._load(REGISTER, REGISTER_ID),
        )

    async def _load(self, decider: AnyDecider, id: str) -> Any:  # noqa: A002
        return (await self._handler.cache.load(decider, id)).state

    def is_sound(self, aggregate: str, id: str) -> bool:  # noqa: A002 - the field's word
        """Return whether every event of an aggregate can be read."""
        return not self._unsound or render_subject(aggregate, id) not in self._unsound

    def list_auctions(self) -> list[str]:
        """Return the auctions that are not completed and whose events can be read."""
        return [auction_id for auction_id in self._auctions if self.is_sound("auction", auction_id)]

    def list_rivals(self, auction_id: str) -> Rivals:
        """Return the other auctions that are not completed: those that lock before this one, and those after.

        All count as before if this auction is completed or unknown.
        """
        ordered = sorted(self._auctions, key=self._auctions.__getitem__)
        if auction_id not in self._auctions:
            return Rivals(tuple(ordered), ())
        place = ordered.index(auction_id)
        return Rivals(tuple(ordered[:place]), tuple(ordered[place + 1 :]))

    def _is_for_sale(self, lot_id: str, pool_id: str) -> bool:
        site_id = self._pools.get(pool_id, "")
        named = (("lot", lot_id), ("pool", pool_id), ("site", site_id))
        return bool(site_id) and all(self.is_sound(aggregate, id) for aggregate, id in named)  # noqa: A001

    def list_pools(self) -> list[str]:
        """Return the ids of all pools, also of closed ones, oldest first."""
        return list(self._pools)

    def list_reliability(self, auction_id: str = "") -> dict[str, Fraction]:
        """Return the reliability, from 0 to 1, of every provider that has a history.

        It is that of now or, for an auction that has bound its orders, that of then: nobody undoes a bound order by
        what it reports of other grants.
        """
        records = self._bound.get(auction_id, self._reliability).records
        return {provider_id: compute_reliability(record).score for provider_id, record in records.items()}

    def list_pool_lots(self, pool_id: str) -> list[str]:
        """Return the ids of the lots of a pool that are not withdrawn."""
        return [lot_id for lot_id, home_id in self._lots.items() if home_id == pool_id]

    def list_site_pools(self, site_id: str) -> list[str]:
        """Return the ids of the pools of a site, without those that have an unreadable event."""
        return [
            pool_id for pool_id, home_id in self._pools.items() if home_id == site_id and self.is_sound("pool", pool_id)
        ]

    def list_site_lots(self, site_id: str) -> list[str]:
        """Return the ids of the lots of a site that are not withdrawn."""
        return [lot_id for lot_id, pool_id in self._lots.items() if self._pools.get(pool_id) == site_id]
