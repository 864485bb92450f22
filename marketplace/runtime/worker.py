"""The worker: does what is due, from the log and the clock alone.

Several workers may run: each command's id derives from its cause, so it takes effect once. A worker that cannot reach
the log waits and continues. A worker that meets an unreadable event continues with everything that does not depend on
it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import structlog

from marketplace.application.billing import (
    adjustments,
    approvals,
    bonds,
    disputes,
    holds,
    service_statements,
    statements,
)
from marketplace.application.delivery import grants
from marketplace.application.equity import consents, issuers, notes, warrants
from marketplace.application.supply import inventory
from marketplace.application.trading import orders, quotes
from marketplace.core.errors import Conflict, MarketplaceError, Refusal, Unavailable, UnreadableEvent
from marketplace.core.ids import rename_id
from marketplace.core.instants import render_instant
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.supply.lot import LOT, Lot
from marketplace.domain.supply.pool import POOL, Pool
from marketplace.domain.supply.site import SITE, Site
from marketplace.domain.trading.quote import QUOTE, Quote
from marketplace.execution.handler import Handler
from marketplace.execution.scheduled_context import build_context
from marketplace.execution.unit_of_work import Context
from marketplace.runtime.auctions.auctioneer import Auctioneer
from marketplace.runtime.auctions.clearing import Engine
from marketplace.runtime.scheduling.calendar import list_calls, open_call
from marketplace.runtime.scheduling.draining import close_pool, drain_pool
from marketplace.runtime.scheduling.incidents import Incidents
from marketplace.runtime.scheduling.market_state import MarketState
from marketplace.runtime.scheduling.scheduler import DueTask, Task
from marketplace.runtime.scheduling.task_outcomes import (
    DECIDING,
    NEEDLESS,
    TOO_EARLY,
    WAITING,
    compute_pause,
    find_due,
)

TASKS_AT_ONCE: Final = 256
"""The most due tasks that are taken at once, in time order."""
IDLE_SECONDS: Final = 0.05
"""How often the scheduler is asked while nothing is due."""
RETRY_SECONDS: Final = 1.0
"""The pause before retrying a task that another writer or a server that is away prevented."""
OPERATOR_SECONDS: Final = 60.0
"""The pause before retrying a task that depends on an event which an operator must annotate first."""
SLOW: Final = frozenset({"run_auction", "indicate_auction"})
"""Tasks that may take minutes. The market's timers do not wait for them."""
TIMERS: Final[Mapping[str, Callable[[Handler, Context, Task], Coroutine[Any, Any, Any]]]] = {
    "expire_order": lambda handler, context, task: orders.expire_order(handler, context, task.id),
    "end_mandate": lambda handler, context, task: orders.end_mandate(handler, context, task.id, task.owner_id),
    "expire_quote": lambda handler, context, task: quotes.expire_quote(handler, context, task.id),
    "expire_hold": lambda handler, context, task: holds.expire_hold(handler, context, task.owner_id, task.id),
    "lapse_approval": lambda handler, context, task: approvals.lapse_approval(handler, context, task.owner_id, task.id),
    "lapse_claim": lambda handler, context, task: bonds.lapse_claim(handler, context, task.owner_id, task.id),
    "activate_grant": lambda handler, context, task: grants.activate_grant(handler, context, task.id),
    "adjust_statement": lambda handler, context, task: adjustments.adjust_statement(
        handler, context, task.id, task.number
    ),
    "issue_service_statement": lambda handler, context, task: service_statements.issue_service_statement(
        handler, context, task.id, task.number
    ),
    "adjust_service_statement": lambda handler, context, task: service_statements.adjust_service_statement(
        handler, context, task.id, task.number
    ),
    "pay_rest": lambda handler, context, task: adjustments.pay_seller_rest(handler, context, task.owner_id, task.id),
    "settle_equity": lambda handler, context, task: statements.settle_equity(handler, context, task.id),
    "accept_statement": lambda handler, context, task: statements.accept_statement(
        handler, context, task.id, by="silence"
    ),
    "lapse_dispute": lambda handler, context, task: disputes.lapse_dispute(handler, context, task.id),
    "vest_warrants": lambda handler, context, task: warrants.vest_warrants(handler, context, task.id),
    "vest_delivery": lambda handler, context, task: warrants.vest_warrants(handler, context, task.owner_id),
    "expire_warrant": lambda handler, context, task: warrants.expire_warrant(handler, context, task.owner_id, task.id),
    "lapse_proposal": lambda handler, context, task: consents.lapse(handler, context, task.id),
    "mature_note": lambda handler, context, task: notes.mature_note(handler, context, task.id),
    "lapse_financing": lambda handler, context, task: issuers.lapse_financing(handler, context, task.owner_id, task.id),
    "lapse_sale": lambda handler, context, task: issuers.lapse_liquidity(handler, context, task.owner_id, task.id),
    "collect_stage": lambda handler, context, task: grants.collect_stage(handler, context, task.id),
    "end_grant": lambda handler, context, task: grants.end_sold_grant(handler, context, task.id),
}
"""The tasks that run one command, by kind."""

WAITING_TIME: Final = timedelta(hours=1)
"""The pause before retrying a task that waits for money or for a note to be extended, in market time."""
DECIDING_TIME: Final = timedelta(minutes=10)
"""The pause before retrying a task that waits for an auction, so that the next hour's does not meet it again."""

log = structlog.get_logger(__name__)


class StuckTask(NamedTuple):
    """A task that is refused for a reason that is not known to be harmless.

    Attributes:
        code: The last refusal's code.
        reason: The last refusal's text.
        attempts: How often this worker had it refused.
    """

    code: str
    reason: str
    attempts: int


class Worker:
    """Runs timers, reactors and the auctioneer.

    Args:
        handler: Runs commands. Its cache and clock are this worker's own.
        calendar: Whether the worker opens auctions by the calendar.
        engine: Clears books; a thread of this process by default.

    Attributes:
        market: The market as read from the log.
        stuck: Tasks that are refused again and again, and retried.
    """

    def __init__(self, handler: Handler, *, calendar: bool = False, engine: Engine | None = None) -> None:
        self._handler = handler
        self._engine = engine
        self._reset_market()
        self._clearing = asyncio.Lock()
        self._calendar = calendar
        self._called: dict[str, int] = {}
        self.stuck: dict[Task, StuckTask] = {}

    async def run(self) -> None:
        """Work until cancelled. If an event that was read is annotated, read the whole log again.

        Raises:
            ExceptionGroup: What no retry mends, such as a `LogChanged` of the reader.
        """
        while True:
            working = asyncio.create_task(self._work(), name="work")
            outdated = asyncio.create_task(self.market.outdated.wait(), name="outdated")
            try:
                await asyncio.wait({working, outdated}, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
                    return
            finally:
                working.cancel()
                outdated.cancel()
                await asyncio.gather(working, outdated, return_exceptions=True)
            log.warning("market_read_again", reason="an event that was read before is annotated")
            self._reset_market()

    def _reset_market(self) -> None:
        """Start with an empty market state."""
        self.market = MarketState(self._handler)
        self._auctioneer = Auctioneer(self._handler, self.market, self._engine)
        self._incidents = Incidents(self._handler, self.market)
        self._ready = asyncio.Event()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read())
            group.create_task(self._do(group))

    async def _read(self) -> None:
        last = await self._find_end()
        if not last:
            self._ready.set()
        async for page in self._handler.log.read(0, follow=True):
            self.market.take(page)
            if self.market.position >= last:
                self._ready.set()

    async def _find_end(self) -> int:
        """Return the log's last sequence now. If the log cannot be reached, ask again until it can."""
        while True:
            try:
                return (await self._handler.log.health()).last_sequence
            except Unavailable as error:
                log.warning("log_away", reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _do(self, group: asyncio.TaskGroup) -> None:
        await self._ready.wait()
        while True:
            if self._calendar:
                self._plan_calls()
            taken = self.market.scheduler.take(self._handler.clock.now(), TASKS_AT_ONCE)
            for each in taken:
                if each.task.kind in SLOW:
                    group.create_task(self._attempt_alone(each))
            quick = [each for each in taken if each.task.kind not in SLOW]
            if quick:
                await asyncio.gather(*(self._attempt(each) for each in quick))
            else:
                await asyncio.sleep(IDLE_SECONDS)

    async def _attempt_alone(self, each: DueTask) -> None:
        """Run a slow task, one at a time, while everything else goes on."""
        async with self._clearing:
            await self._attempt(each)

    def _plan_calls(self) -> None:
        """Schedule the opening of the next auction of each rhythm, once."""
        now = self._handler.clock.now()
        for name, number in list_calls(now):
            if self._called.get(name) != number:
                self._called[name] = number
                self.market.scheduler.put(Task("open_call", name, number), now)

    async def _attempt(self, each: DueTask) -> None:
        task, due = each
        if self._handler.clock.now() < due:
            self.market.scheduler.put(task, due)
            return
        try:
            await self._run(task)
        except Refusal as refusal:
            self._keep_or_drop(each, refusal)
        except Conflict as conflict:
            self._postpone(each, conflict, RETRY_SECONDS)
        except UnreadableEvent as error:
            self._postpone(each, error, OPERATOR_SECONDS)
        except Unavailable as error:
            factor = error.retry_after_seconds if task.kind in SLOW else 1
            self._postpone(each, error, RETRY_SECONDS * factor)
        else:
            self.stuck.pop(task, None)

    def _keep_or_drop(self, each: DueTask, refusal: Refusal) -> None:
        """Drop a task whose refusal is known to be harmless. Keep any other task. See `task_outcomes`."""
        task, now, due = each.task, self._handler.clock.now(), find_due(refusal)
        told = {"task": task.kind, "id": task.id, "code": refusal.code, "reason": refusal.message}
        if due is not None and due > now:
            self.market.scheduler.put(task, due)
            log.info("task_not_due", due=render_instant(due), **told)
        elif refusal.code in TOO_EARLY.get(task.kind, ()):
            log.info("task_too_early", **told)
            self._put_later(each, RETRY_SECONDS if task.kind in SLOW else IDLE_SECONDS)
        elif refusal.code in WAITING:
            pause = DECIDING_TIME if refusal.code in DECIDING else WAITING_TIME
            self.market.scheduler.put(task, now + pause)
            log.warning("task_waiting", **told)
        elif refusal.code in NEEDLESS[task.kind]:
            self.stuck.pop(task, None)
            log.info("task_not_needed", **told)
        else:
            attempts = self.stuck[task].attempts + 1 if task in self.stuck else 1
            self.stuck[task] = StuckTask(refusal.code, refusal.message, attempts)
            seconds = RETRY_SECONDS * compute_pause(attempts)
            log.error("task_stuck", attempts=attempts, retry_seconds=seconds, **told)
            self._put_later(each, seconds)

    def _postpone(self, each: DueTask, error: MarketplaceError, seconds: float) -> None:
        """Schedule a task again after a pause, without delaying others."""
        log.warning("task_postponed", task=each.task.kind, id=each.task.id, reason=str(error))
        self._put_later(each, seconds)

    def _put_later(self, each: DueTask, seconds: float) -> None:
        """Schedule a task again after a pause, and not before it was due: the clock may be set back meanwhile."""
        scheduler, clock = self.market.scheduler, self._handler.clock
        asyncio.get_running_loop().call_later(seconds, lambda: scheduler.put(each.task, max(each.due, clock.now())))

    async def _run(self, task: Task) -> None:
        timer = TIMERS.get(task.kind)
        if timer is not None:
            context = build_context(self._handler, "timer", task.id, f"{task.kind}/{task.number}")
            await timer(self._handler, context, task)
            return
        match task.kind:
            case "issue_statement":
                await self._issue_statement(task)
            case "indicate_auction" | "bind_auction":
                indicates = task.kind == "indicate_auction"
                await (self._auctioneer.indicate if indicates else self._auctioneer.bind)(task.id)
            case "open_call":
                await open_call(self._handler, task.id, task.number)
            case "run_auction":
                await self._auctioneer.run(task.id)
            case "defer_order":
                await self._auctioneer.defer(task.id)
            case "drain_pool" | "close_pool":
                leave = drain_pool if task.kind == "drain_pool" else close_pool
                await leave(self._handler, self.market, task.id)
            case "serve_pool" | "observe_grant":
                await self._incidents.run(task)
            case "finish_grant" | "mark_grant" | "move_lots" | "review_usage" | "carry_out_proposal":
                works = {
                    "finish_grant": self._finish_grant,
                    "mark_grant": self._mark_grant,
                    "move_lots": self._move_lots,
                    "carry_out_proposal": self._carry_out_proposal,
                }
                await works.get(task.kind, self._review_usage)(task.id)
            case _:
                raise AssertionError(f"no worker does {task.kind}")

    async def _issue_statement(self, task: Task) -> None:
        context = build_context(self._handler, "timer", task.id, f"{task.kind}/{task.number}")
        auction_ids = self.market.list_auctions()
        await statements.issue_statement(self._handler, context, task.id, task.number, auction_ids)

    async def _carry_out_proposal(self, proposal_id: str) -> None:
        context = build_context(self._handler, "timer", proposal_id, "carry_out_proposal")
        await consents.carry_out_waived(self._handler, context, proposal_id, self.market.list_auctions())

    async def _finish_grant(self, grant_id: str) -> None:
        """Complete a grant. While it is open only for readings that were lowered, free what these cannot cost."""
        context = build_context(self._handler, "timer", grant_id, "finish_grant/0")
        try:
            await grants.finish_grant(self._handler, context, grant_id)
        except Refusal as refusal:
            if refusal.code == "statements_open" and find_due(refusal) is not None:
                step = f"free/{refusal.facts['statement_id']}"
                freeing = build_context(self._handler, "reactor", grant_id, step)
                await grants.free_settled(self._handler, freeing, grant_id)
            raise

    async def _mark_grant(self, grant_id: str) -> None:
        """Mark a grant whose parties were found to be related, unless that is recorded."""
        due = self.market.late_marks.due.get(grant_id)
        if due is not None:
            mark, relation_id = due
            context = build_context(self._handler, "reactor", grant_id, f"mark/{relation_id}/{mark}")
            await grants.mark_grant(
                self._handler,
                context,
                grant_id,
                mark=mark,
                relation_id=relation_id,
                reason="a relation among its parties became known after the award",
            )

    async def _review_usage(self, grant_id: str) -> None:
        """Compare stated and metered usage in every period of a fully settled grant whose readings changed since."""
        grant: Grant = (await self._handler.cache.load(GRANT, grant_id)).state
        self.market.scheduler.review(grant_id, len(list_periods(grant)), grant.service_lines)

    async def _move_lots(self, site_id: str) -> None:
        """Let the lots of a delayed site begin when it is ready, and release held quotes that would begin before.

        Those that an auction has bound stay until it is completed: what it awards before is lost by the provider.

        Its grants stay: they lack all nodes until then, so their startups may keep or end them.

        Args:
            site_id: The site; nothing is done unless it has a conversion that is not over.
        """
        site: Site = (await self._handler.cache.load(SITE, site_id)).state
        if site.ready_at is None or site.status == "operating":
            return
        reason = f"the site is ready at {render_instant(site.ready_at)}"
        frozen: Refusal | None = None
        for lot_id in self.market.list_site_lots(site_id):
            try:
                await self._move_lot(lot_id, site.ready_at, reason)
            except Refusal as refusal:
                if refusal.code != "lot_frozen":
                    raise
                frozen = refusal
        for pool_id in self.market.list_site_pools(site_id):
            await self._release_displaced(pool_id, site.ready_at, reason)
        if frozen is not None:
            raise frozen

    async def _move_lot(self, lot_id: str, ready_at: datetime, reason: str) -> None:
        """Let a lot begin at `ready_at`. Withdraw it if nothing is left, or its new span is refused."""
        handler = self._handler
        lot: Lot = (await handler.cache.load(LOT, lot_id)).state
        if lot.status == "withdrawn" or lot.start >= ready_at:
            return
        context = build_context(handler, "reactor", lot_id, f"move/{render_instant(ready_at)}")
        told: dict[str, Any] = {"reason": reason, "auction_ids": self.market.list_auctions()}
        if ready_at < lot.end:
            try:
                await inventory.reschedule_lot(handler, context, lot_id, start=ready_at, end=lot.end, **told)
            except Refusal as refusal:
                if refusal.code == "lot_frozen":
                    raise
            else:
                return
        await inventory.withdraw_lot(handler, context, lot_id, **told)

    async def _release_displaced(self, pool_id: str, ready_at: datetime, reason: str) -> None:
        """Release the held quotes of a pool whose grants would begin before its site is ready."""
        pool: Pool = (await self._handler.cache.load(POOL, pool_id)).state
        for grant_id, reservation in pool.reservations.items():
            if reservation.start < ready_at and (await self._handler.cache.load(GRANT, grant_id)).state is None:
                await self._release_quote(rename_id("quo", grant_id), reason)

    async def _release_quote(self, quote_id: str, reason: str) -> None:
        quote: Quote = (await self._handler.cache.load(QUOTE, quote_id)).state
        if quote.status == "held":
            context = build_context(self._handler, "reactor", quote_id, "displaced")
            with contextlib.suppress(Refusal):
                await quotes.release_quote(self._handler, context, quote_id, reason=reason)
