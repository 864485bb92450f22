"""The auctioneer: locks orders, freezes the book, clears it, and carries out every decision.

Each step is a command whose id derives from the auction's, so that it takes effect once. A second auctioneer, or the
same one after a crash, therefore continues where the log stands. A match is stored only if nothing that it changes,
such as order, pool and account, has changed since it was read; otherwise it is decided again. Engine and verifier use
only the frozen book, never the current market.

Invariants:
    1. Only a result that the verifier accepted is published.
    2. Every locked order gets exactly one match or one rejection.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import structlog

from events.auction import Decision, MatchTerms
from events.book import Book
from events.order import LostMatch
from events.types import Reason
from marketplace.application.trading import auctions, orders
from marketplace.clearing.book import BACKSTOPS_MAX
from marketplace.core.errors import Conflict, Refusal, Unavailable
from marketplace.core.money import SECONDS_PER_HOUR, parse_ratio, round_cents
from marketplace.domain.delivery.reliability import SOURCE_FAILED, WITHDRAWN
from marketplace.domain.equity.issuer.dilution import REFUSED_OFFERS
from marketplace.domain.register import REGISTER, REGISTER_ID, Register
from marketplace.domain.supply.lot import LOT, Lot
from marketplace.domain.supply.pool import POOL, Pool
from marketplace.domain.texts import shorten
from marketplace.domain.trading.admission import (
    PLACES_MAX,
    Admission,
    Waiting,
    admit_orders,
    count_bound_places,
    list_hopeless,
)
from marketplace.domain.trading.auction import (
    ATTEMPTS_MAX,
    AUCTION,
    AbandonedAuction,
    Auction,
    BindAuction,
    ClearedAuction,
    CollectingAuction,
    CompleteAuction,
    FailAuction,
    IndicateAuction,
    LockedAuction,
    Result,
    fit_book,
)
from marketplace.domain.trading.book.book import build_book, list_waves
from marketplace.domain.trading.book.concealing import conceal_offers
from marketplace.domain.trading.book.reason_text import conceal_decision
from marketplace.domain.trading.order import (
    ORDER,
    LockedOrder,
    MatchedOrder,
    Order,
    OrderState,
)
from marketplace.domain.trading.resale import lacks_ask
from marketplace.execution.handler import Handler
from marketplace.execution.scheduled_context import build_context
from marketplace.execution.unit_of_work import UnitOfWork
from marketplace.runtime.auctions.clearing import Engine, EngineInThread, compute_book_hash, tell_failure
from marketplace.runtime.scheduling.market_state import MarketState

AT_ONCE: Final = 256
"""The most commands of one auction at once."""
AT_ONCE_PER_POOL: Final = 4
"""The most matches at once on one pool. Each builds on the one before, in memory. If the pool is not in memory, a match
reads it from the log, and is decided again if another match is stored meanwhile."""
IMPOSSIBLE_SHARE_MAX: Final = Decimal("0.05")
"""Share of the winning orders. Failed nodes and held quotes explain fewer impossible matches than this."""
PAUSES_SECONDS: Final = (5, 60, 1)
"""Waits after the first, the second and the last failure. A shortage of memory may be over by then."""

log = structlog.get_logger(__name__)


class Auctioneer:
    """Runs auctions on the market that `market` holds.

    Args:
        handler: Runs commands.
        market: The market.
        engine: Clears books; a thread of this process by default.
        places: The most orders that one auction clears, not counting backstop orders.
    """

    def __init__(
        self, handler: Handler, market: MarketState, engine: Engine | None = None, *, places: int = PLACES_MAX
    ) -> None:
        self._handler = handler
        self._places = places
        self._market = market
        self._engine = engine or EngineInThread()

    async def run(self, auction_id: str) -> None:
        """Run an auction from its state in the log to its end.

        Raises:
            Refusal: Another auction must be decided first, or another worker is ahead; `task_outcomes` lists which.
            Unavailable: The engine failed at the book, or a server cannot be reached; run the auction again later.
            Conflict: Another worker was first.
        """
        auction = await self._load(auction_id)
        if isinstance(auction, CollectingAuction):
            await self._lock(auction)
            auction = await self._load(auction_id)
        if isinstance(auction, LockedAuction) and not isinstance(auction, AbandonedAuction):
            await self._clear(auction)
            auction = await self._load(auction_id)
        if isinstance(auction, AbandonedAuction):
            await self._let_go(auction)
        elif isinstance(auction, ClearedAuction):
            await self._complete(auction)

    async def defer(self, order_id: str) -> None:
        """Release an order that an auction locked and whose book does not contain it."""
        order = await self._find_order(order_id)
        if isinstance(order, LockedOrder):
            text = "the book was frozen while the order was being added, or had no room for it"
            reason = Reason(code="deferred", text=text, facts={})
            await self._reject(order.auction_id, order_id, (reason,), None)

    async def _load(self, auction_id: str) -> Auction:
        auction: Auction | None = (await self._handler.cache.load(AUCTION, auction_id)).state
        assert auction is not None, "the scheduler names auctions that were opened"
        return auction

    async def indicate(self, auction_id: str) -> None:
        """Publish the prices that the current book would have, once. If the engine fails, nothing is published.

        As for quotes, offers are rounded up to price steps: a loser's exact offer would be its pool's price.
        """
        auction = await self._load(auction_id)
        if not isinstance(auction, CollectingAuction) or auction.indicated is not None:
            return
        admission = admit_orders(
            auction.opened,
            await self._market.load_queue(),
            self._places,
            BACKSTOPS_MAX,
            (await self._handler.cache.load(REGISTER, REGISTER_ID)).state,
        )
        book = conceal_offers(fit_book(await self._build_book(auction, admission.orders)).book)
        try:
            prices = await self._engine.price(book, auction.opened.seed)
        except Exception:
            # Nothing depends on indicative prices, and the auction itself clears its own book.
            log.exception("auction_not_indicated", auction_id=auction_id)
            return
        command = IndicateAuction(
            auction_id=auction_id, orders=len(book.orders), book_hash=compute_book_hash(book), prices=prices
        )
        context = build_context(self._handler, "auctioneer", auction_id, "indicate")
        await auctions.record_step(self._handler, context, command)

    async def bind(self, auction_id: str) -> None:
        """Begin the no-cancel phase, once: lock the present orders. One that was cancelled first stays cancelled."""
        auction = await self._load(auction_id)
        if not isinstance(auction, CollectingAuction) or auction.bound is not None:
            return
        queue = await self._market.load_queue()
        bound, _ = await self._lock_orders(auction, queue, count_bound_places(self._places))
        context = build_context(self._handler, "auctioneer", auction_id, "bind")
        await auctions.record_step(self._handler, context, BindAuction(auction_id=auction_id, orders=len(bound)))

    async def _lock(self, auction: Auction) -> None:
        auction_id = auction.opened.auction_id
        rivals, queue = self._market.list_rivals(auction_id), await self._market.load_queue()
        context = build_context(self._handler, "auctioneer", auction_id, "lock")
        await auctions.check_precedence(UnitOfWork(self._handler.cache, context), auction_id, rivals)
        locked, admission = await self._lock_orders(auction, queue, self._places)
        changes = await self._count_changes(auction_id)
        book, dropped = fit_book(await self._build_book(auction, locked))
        await auctions.lock_auction(
            self._handler,
            context,
            auction_id,
            book=book,
            book_hash=compute_book_hash(book),
            deferrals=(*admission.deferrals, *admission.defer(dropped)) if dropped else admission.deferrals,
            rivals=rivals,
            changes=changes,
        )

    async def _count_changes(self, auction_id: str) -> int:
        """Return how many changes of supply the auction has recorded, all of which this worker has read.

        Raises:
            Refusal: ``supply_changed`` if this worker has not read that far.
        """
        entry = await self._handler.cache.load(AUCTION, auction_id)
        if self._market.position < (entry.head.sequence or 0):
            raise Refusal("supply_changed", "this worker has not read the latest changes of supply yet")
        auction: Auction = entry.state
        return auction.changes

    async def _build_book(self, auction: Auction, orders: Sequence[Order]) -> Book:
        parents = [await self._find_parent(order) for order in orders]
        served = {parent.placed.order_id for parent in parents if isinstance(parent, MatchedOrder)}
        supply = await self._market.load_supply(orders, auction.opened)
        bound = replace(supply, binds_at=auction.opened.no_cancel_at or auction.opened.locks_at)
        return build_book(auction.opened, bound, orders, served)

    async def _lock_orders(self, auction: Auction, queue: list[Waiting], places: int) -> tuple[list[Order], Admission]:
        """Lock the orders that the auction admits, and cancel those that no auction could ever match.

        Returns:
            The orders of the queue that are locked for this auction, in queue order; and what was admitted and why not.
        """
        auction_id = auction.opened.auction_id
        withdrawn: set[str] = set()
        while hopeless := [each for each in list_hopeless(queue) if each.order_id not in withdrawn]:
            for each in hopeless:
                await self._withdraw(*each)
            withdrawn.update(each.order_id for each in hopeless)
            queue = await self._market.load_queue()
        register: Register = (await self._handler.cache.load(REGISTER, REGISTER_ID)).state
        backstops = BACKSTOPS_MAX * places // self._places
        is_bound = auction.bound is not None
        admission = admit_orders(auction.opened, queue, places, backstops, register, is_bound=is_bound)
        ids = [order.placed.order_id for order in admission.orders]
        await self._each(ids, lambda order_id: self._lock_order(auction_id, order_id))
        found = [await self._find_order(order_id) for order_id in ids]
        return [
            order for order in found if isinstance(order, LockedOrder) and order.auction_id == auction_id
        ], admission

    async def _withdraw(self, order_id: str, work: str, reason: str) -> None:
        """Cancel an order and free what it holds."""
        context = build_context(self._handler, "auctioneer", order_id, work)
        with contextlib.suppress(Refusal):
            await orders.cancel_order(self._handler, context, order_id, reason=reason)

    async def _find_order(self, order_id: str) -> OrderState:
        order: OrderState = (await self._handler.cache.load(ORDER, order_id)).state
        return order

    async def _find_parent(self, order: Order) -> OrderState:
        parent_id = order.terms.parent_order_id
        return None if parent_id is None else await self._find_order(parent_id)

    async def _lock_order(self, auction_id: str, order_id: str) -> None:
        context = build_context(self._handler, "auctioneer", auction_id, f"lock/{order_id}")
        try:
            await auctions.lock_order(self._handler, context, order_id, auction_id)
        except Refusal as refusal:
            log.info("order_not_locked", order_id=order_id, code=refusal.code)
            if refusal.code in REFUSED_OFFERS:
                await self._withdraw(order_id, "lock-refused", shorten(refusal.message))

    async def _clear(self, auction: LockedAuction) -> None:
        auction_id, locked = auction.opened.auction_id, auction.locked
        context = build_context(self._handler, "auctioneer", auction_id, "clear")
        try:
            result = await self._engine.clear(auction.opened, locked.book)
            await auctions.record_step(self._handler, context, result)
        except (Conflict, Unavailable):
            raise
        except Exception as error:
            # Whatever the engine raises, even a bug of ours, the book is frozen and the market goes on.
            log.exception("auction_failed", auction_id=auction_id)
            await self._fail(auction_id, auction.attempts + 1, tell_failure(error))

    async def _fail(self, auction_id: str, attempt: int, reason: str) -> None:
        """Record that an attempt failed.

        Raises:
            Unavailable: Always; it states when to try again.
        """
        context = build_context(self._handler, "auctioneer", auction_id, f"fail/{attempt}")
        reason = shorten(reason)
        with contextlib.suppress(Refusal):
            command = FailAuction(auction_id=auction_id, reason=reason, attempt=attempt)
            await auctions.record_step(self._handler, context, command)
        pause = PAUSES_SECONDS[min(attempt, len(PAUSES_SECONDS)) - 1]
        raise Unavailable("the engine", f"attempt {attempt} at auction {auction_id} failed: {reason}", pause)

    async def _let_go(self, auction: LockedAuction) -> None:
        """Release the orders of an auction that failed for good. Standing orders go into the next auction."""
        auction_id, locked = auction.opened.auction_id, auction.locked
        order_ids = [order.order_id for order in (*locked.book.orders, *locked.book.backstops)]
        text = f"auction {auction_id} failed {ATTEMPTS_MAX} times and decided nothing"
        reasons = (Reason(code="auction_failed", text=text, facts={}),)
        await self._each(order_ids, lambda order_id: self._reject(auction_id, order_id, reasons, None))
        await self._defer_strays(auction_id, set(order_ids))
        context = build_context(self._handler, "auctioneer", auction_id, "let-go")
        command = CompleteAuction(auction_id=auction_id, matched=0, unmatched=len(order_ids), impossible=0)
        await auctions.record_step(self._handler, context, command)

    async def _complete(self, auction: ClearedAuction) -> None:
        cleared = auction.cleared
        auction_id = cleared.auction_id
        gates: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE_PER_POOL))

        async def carry_out(decision: Decision) -> str:
            if decision.match is None:
                return await self._carry_out(cleared, decision)
            async with gates[decision.match.pool_id]:
                return await self._carry_out(cleared, decision)

        decided: dict[str, str] = {}
        for wave in list_waves(auction.locked.book, cleared.decisions):
            outcomes = await self._each(wave, carry_out)
            decided.update(zip((decision.order_id for decision in wave), outcomes, strict=True))
        await self._withdraw_mates(auction, decided)
        await self._defer_strays(auction_id, set(decided))
        outcomes = list(decided.values())
        _tell_impossible(auction_id, outcomes)
        context = build_context(self._handler, "auctioneer", auction_id, "complete")
        command = CompleteAuction(
            auction_id=auction_id,
            matched=outcomes.count("matched"),
            unmatched=outcomes.count("unmatched"),
            impossible=outcomes.count("impossible"),
        )
        await auctions.record_step(self._handler, context, command)

    async def _defer_strays(self, auction_id: str, decided: set[str]) -> None:
        """Defer orders that another worker locked for this auction and that are not in its book.

        The scheduler defers those whose lock it reads later.
        """
        locked = self._market.scheduler.locked
        strays = [each for each, known_id in locked.items() if known_id == auction_id and each not in decided]
        await self._each(strays, self.defer)

    async def _withdraw_mates(self, auction: ClearedAuction, decided: Mapping[str, str]) -> None:
        """Cancel the open orders of groups of which an order was matched."""
        book = auction.locked.book
        grouped = [order.order_id for order in (*book.orders, *book.backstops) if order.group_id is not None]
        if any(decided.get(order_id) == "matched" for order_id in grouped):
            for each in list_hopeless(await self._market.load_queue()):
                if each.cause == "group-served":
                    await self._withdraw(*each)

    async def _carry_out(self, cleared: Result, decision: Decision) -> str:
        auction_id, order_id = cleared.auction_id, decision.order_id
        reasons, lost = decision.reasons, None
        outcome = "unmatched"
        if decision.match is not None:
            context = build_context(self._handler, "auctioneer", auction_id, f"match/{order_id}")
            try:
                await auctions.carry_out_match(self._handler, context, auction_id, order_id, decision.match)
            except Refusal as refusal:
                log.warning("match_impossible", order_id=order_id, code=refusal.code)
                reasons = (
                    Reason(
                        code="became_impossible",
                        text=f"it won, but can no longer be served: {refusal.message}",
                        facts={"cause": refusal.code}
                        | {name: str(fact) for name, fact in refusal.facts.items() if name == "parent_order_id"},
                    ),
                )
                outcome, lost = "impossible", await self._find_lost(decision.match, refusal)
            else:
                return "matched"
        else:
            decision = conceal_decision(decision)
            reasons = decision.reasons
        try:
            price_usd, match = decision.price_to_win_usd_per_gpu_hour, decision.match
            await self._reject(auction_id, order_id, reasons, price_usd, lost=lost, match=match)
        except Refusal:
            order = await self._find_order(order_id)
            if decision.match and isinstance(order, MatchedOrder) and order.grant_id == decision.match.grant_id:
                return "matched"
            raise
        return outcome

    async def _find_lost(self, match: MatchTerms, refusal: Refusal) -> LostMatch | None:
        """Return what a provider loses as it no longer has the capacity of a match; None for other causes.

        Of resold hours only two causes count: failed nodes, for the provider; and that the seller lacks the money for
        a sale at its own ask, for the seller.
        """
        lot: Lot = (await self._handler.cache.load(LOT, match.lots[0].lot_id)).state
        is_resale, code = lot.listed.grant_id is not None, refusal.code
        is_seller_s = is_resale and lacks_ask(refusal)
        if not is_seller_s and code not in (SOURCE_FAILED if is_resale else WITHDRAWN):
            return None
        pool: Pool = (await self._handler.cache.load(POOL, match.pool_id)).state
        seconds = int((match.end - match.start).total_seconds())
        gpu_seconds = match.nodes * pool.opened.gpus_per_node * seconds
        price = parse_ratio(match.price_usd_per_gpu_hour)
        return LostMatch(
            provider_id=lot.listed.provider_id if is_seller_s else pool.opened.provider_id,
            pool_id=match.pool_id,
            gpu_seconds=gpu_seconds,
            price_usd=round_cents(price * Fraction(gpu_seconds, SECONDS_PER_HOUR)),
            cause=code,
        )

    async def _reject(
        self,
        auction_id: str,
        order_id: str,
        reasons: tuple[Reason, ...],
        price_to_win_usd: Decimal | None,
        *,
        lost: LostMatch | None = None,
        match: MatchTerms | None = None,
    ) -> None:
        context = build_context(self._handler, "auctioneer", auction_id, f"unmatch/{order_id}")
        await auctions.carry_out_rejection(
            self._handler,
            context,
            auction_id,
            order_id,
            reasons=reasons,
            price_to_win_usd_per_gpu_hour=price_to_win_usd,
            lost=lost,
            match=match,
        )

    async def _each(self, items: Iterable[Any], work: Callable[[Any], Coroutine[Any, Any, Any]]) -> list[Any]:
        """Process all items concurrently, so that they share group commits. Return the results in order.

        If one fails, the others still finish first. Otherwise a retry of all would find them in flight and be refused.
        """
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(item: Any) -> Any:
            async with gate:
                return await work(item)

        results = await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results


def _tell_impossible(auction_id: str, outcomes: list[str]) -> None:
    """Log an alarm if more published matches became impossible than is usual."""
    impossible, won = outcomes.count("impossible"), len(outcomes) - outcomes.count("unmatched")
    if impossible > IMPOSSIBLE_SHARE_MAX * won:
        log.error("auction_matches_impossible", auction_id=auction_id, impossible=impossible, won=won)
