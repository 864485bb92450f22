"""Scheduled tasks, derived from the log, so that none is lost over a restart.

Every event may schedule or remove a task. A task is a command that is refused, or harmless to repeat, when it is no
longer needed. Too many tasks are therefore safe; a missing one is not.
"""

import heapq
from collections.abc import Iterable
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import singledispatchmethod
from typing import Any, Final, Literal, NamedTuple, overload

from events.account import (
    AccountApprovalEnded,
    AccountApprovalGiven,
    AccountApprovalRequested,
    AccountCredited,
    AccountDeposited,
    AccountHoldExpired,
    AccountHoldPlaced,
    AccountHoldReleased,
    AccountReserved,
)
from events.auction import AuctionBookFrozen, AuctionCompleted, AuctionLocked, AuctionOpened
from events.bond import BondAnswered, BondClaimed, BondPaid
from events.grant import (
    GrantActivated,
    GrantCompleted,
    GrantDegraded,
    GrantExtended,
    GrantIssued,
    GrantMarked,
    GrantRescheduled,
    GrantResumed,
    GrantStageMissed,
    GrantStagePaid,
    GrantSubstituted,
    GrantSuspended,
    GrantTerminated,
    GrantWithheld,
    GrantWithholdingEnded,
)
from events.instrument import InstrumentAmended, InstrumentIssued
from events.issuer import (
    IssuerDistributionPaid,
    IssuerFinancingAbandoned,
    IssuerFinancingClosed,
    IssuerFinancingOpened,
    IssuerLiquidityDeclared,
    IssuerLiquidityWithdrawn,
    IssuerMilestoneAttested,
    IssuerPriceCorrected,
    IssuerPriceObserved,
    IssuerProgrammeGrantAdded,
    IssuerPurchasesStated,
    IssuerValuationRecorded,
    IssuerWarrantExpired,
    IssuerWarrantIssued,
)
from events.mandate import MandateOrderRefused, MandateRevoked
from events.order import (
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderLocked,
    OrderMandateEnded,
    OrderMatched,
    OrderPlaced,
    OrderUnmatched,
)
from events.pool import PoolClosingAnnounced, PoolNodeFailed, PoolNodeRestored
from events.proposal import ProposalAgreed, ProposalCarriedOut, ProposalEnded, ProposalMade
from events.quote import QuoteExpired, QuoteHeld, QuoteReleased, QuoteTaken
from events.service_line import (
    HoursReading,
    ServiceLineAgreed,
    ServiceLineCorrected,
    ServiceLineReported,
)
from events.site import SiteConversionSlipped, SiteDerated
from events.statement import (
    StatementAccepted,
    StatementAgreed,
    StatementAnswered,
    StatementCredited,
    StatementDisputed,
    StatementIssued,
    StatementReferred,
    StatementResolved,
)
from events.types import Event, NoteTerms
from events.usage import Reading, UsageClosed, UsageCorrected, UsageReported, UsageVoided
from marketplace.core.ids import parse_uuid, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.service_line import HoursEvent
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.grant import evolve as evolve_grant
from marketplace.domain.delivery.periods import Period, list_periods
from marketplace.domain.equity.instrument.state import find_maturity
from marketplace.domain.equity.issuer.rights.milestones import list_days
from marketplace.domain.equity.issuer.state import find_lapse
from marketplace.domain.supply.stages import find_due
from marketplace.domain.trading.order_terms import find_end
from marketplace.runtime.scheduling.failed_pools import FailedPools, Room

_Argument = StatementDisputed | StatementAnswered | StatementAgreed | StatementReferred
HEAP_SPARE: Final = 1_024
"""How many entries the heap may hold beyond twice the tasks. A smaller heap is not rebuilt."""

StageEvent = GrantStagePaid | GrantStageMissed | GrantWithheld | GrantWithholdingEnded
MeasuredEvent = (
    IssuerPriceObserved
    | IssuerPriceCorrected
    | IssuerMilestoneAttested
    | IssuerPurchasesStated
    | IssuerFinancingClosed
    | IssuerValuationRecorded
)
"""What milestones of warrants are measured by besides deliveries."""

NOW: Final = datetime.min.replace(tzinfo=UTC)
"""A task that is due at this instant is always due, whatever the clock says."""


class Task(NamedTuple):
    """A command to run.

    Attributes:
        kind: Which command.
        id: The aggregate that it is for, or the hold, approval, claim, warrant or sale in one.
        number: Which of several, for example of statement periods; 0 if there is only one.
        owner_id: The account of a hold, an approval or what a credit still owes, the bond of a claim, the issuer of a
            warrant or a sale, the grant of a service line, the mandate that pays for an order; empty for other kinds.
    """

    kind: str
    id: str
    number: int = 0
    owner_id: str = ""


class DueTask(NamedTuple):
    """A task that was taken, and when it became due."""

    task: Task
    due: datetime


class Scheduler:
    """Tasks by the instant at which they are due.

    Attributes:
        open_orders: When each open or locked order expires, in queue order.
        locked: The auction that locked each order and has not decided it.
    """

    def __init__(self) -> None:
        self.open_orders: dict[str, datetime] = {}
        self._due: dict[Task, datetime] = {}
        self._heap: list[tuple[float, Task]] = []
        self._grants: dict[str, Grant] = {}
        self._issued: dict[str, int] = {}
        self._failed = FailedPools()
        self.locked: dict[str, str] = {}
        self._auctions: dict[str, frozenset[str] | None] = {}
        self._counted: dict[str, set[str]] = {}
        self._books: dict[str, set[str]] = {}
        self._periods: dict[str, list[Period]] = {}
        self._lines: dict[str, dict[str, datetime]] = {}
        self._stated: dict[str, Task] = {}
        self._silences: dict[str, int] = {}
        self._settled: dict[str, dict[Task, bool]] = {}
        self._mandates: dict[str, dict[str, datetime | None]] = {}
        self._revoked: set[str] = set()
        self._claims: dict[str, dict[str, Task]] = {}
        self._paid: dict[str, Decimal] = {}
        self._contested: set[str] = set()
        self._refills = 1

    def put(self, task: Task, due: datetime) -> None:
        """Schedule a task, or move it."""
        self._due[task] = due
        heapq.heappush(self._heap, (_rank(due), task))
        self._compact()

    def drop(self, task: Task) -> None:
        """Remove a task."""
        if self._due.pop(task, None) is not None:
            self._compact()

    def _compact(self) -> None:
        """Rebuild the heap once most of it is tasks that were moved or removed."""
        if len(self._heap) > 2 * len(self._due) + HEAP_SPARE:
            self._heap = [(_rank(due), task) for task, due in self._due.items()]
            heapq.heapify(self._heap)

    def take(self, now: datetime, tasks_max: int) -> list[DueTask]:
        """Remove and return at most `tasks_max` due tasks, in time order."""
        taken: list[DueTask] = []
        rank = _rank(now)
        while self._heap and self._heap[0][0] <= rank and len(taken) < tasks_max:
            due, task = heapq.heappop(self._heap)
            known = self._due.get(task)
            if known is not None and _rank(known) == due:
                del self._due[task]
                taken.append(DueTask(task, known))
        return taken

    def __len__(self) -> int:
        return len(self._due)

    @singledispatchmethod
    def notice(self, event: Event) -> None:
        """Apply the next event of the log. Events of many types change nothing here."""

    def _stand(self, order_id: str, ends_at: datetime) -> None:
        self.open_orders[order_id] = ends_at
        self.put(Task("expire_order", order_id), ends_at)

    @notice.register
    def _place(self, event: OrderPlaced | OrderAmended) -> None:
        if isinstance(event, OrderAmended) and not event.keeps_priority:
            self.open_orders.pop(event.order_id, None)
        self._stand(event.order_id, find_end(event.terms))
        self._drop_mandates(event.order_id)
        for hold in event.budget_holds:
            self._mandates.setdefault(event.order_id, {})[hold.mandate_id] = hold.until
        self._watch_mandates(event.order_id)

    def _watch_mandates(self, order_id: str) -> None:
        """Check each mandate of an open order when its hold ends, or now if it was revoked."""
        for mandate_id, until in self._mandates.get(order_id, {}).items():
            due = NOW if mandate_id in self._revoked else until
            if due is not None:
                self.put(Task("end_mandate", order_id, owner_id=mandate_id), due)

    def _drop_mandates(self, order_id: str) -> None:
        for mandate_id in self._mandates.pop(order_id, {}):
            self.drop(Task("end_mandate", order_id, owner_id=mandate_id))

    @notice.register
    def _revoke_mandate(self, event: MandateRevoked) -> None:
        self._revoked.add(event.mandate_id)
        for order_id, mandates in self._mandates.items():
            if event.mandate_id in mandates:
                self.put(Task("end_mandate", order_id, owner_id=event.mandate_id), NOW)

    @notice.register
    def _refuse_order(self, event: MandateOrderRefused) -> None:
        if event.mandate_id in self._mandates.get(event.order_id, {}):
            self.put(Task("end_mandate", event.order_id, owner_id=event.mandate_id), NOW)

    @notice.register
    def _end_mandate(self, event: OrderMandateEnded) -> None:
        self._mandates.get(event.order_id, {}).pop(event.mandate_id, None)
        self.drop(Task("end_mandate", event.order_id, owner_id=event.mandate_id))

    @notice.register
    def _close(self, event: OrderCancelled | OrderExpired | OrderMatched) -> None:
        self.open_orders.pop(event.order_id, None)
        self.drop(Task("expire_order", event.order_id))
        self._drop_mandates(event.order_id)
        self._unlock(event.order_id)

    @notice.register
    def _unmatch(self, event: OrderUnmatched) -> None:
        self._unlock(event.order_id)
        if event.open_again:
            self.put(Task("expire_order", event.order_id), self.open_orders[event.order_id])
            self._watch_mandates(event.order_id)
        else:
            self._drop_mandates(event.order_id)
            self.open_orders.pop(event.order_id, None)
            self.drop(Task("expire_order", event.order_id))

    def _unlock(self, order_id: str) -> None:
        self.locked.pop(order_id, None)
        self.drop(Task("defer_order", order_id))

    @notice.register
    def _lock(self, event: OrderLocked) -> None:
        self.drop(Task("expire_order", event.order_id))
        self.locked[event.order_id] = event.auction_id
        book = self._auctions.get(event.auction_id, frozenset())
        if book is not None and event.order_id not in book:
            self.put(Task("defer_order", event.order_id), NOW)

    @notice.register
    def _announce_closing(self, event: PoolClosingAnnounced) -> None:
        self.put(Task("drain_pool", event.pool_id), NOW)
        self.put(Task("close_pool", event.pool_id), event.closes_at)

    @notice.register
    def _hold_quote(self, event: QuoteHeld) -> None:
        self.put(Task("expire_quote", event.quote_id), event.expires_at)

    @notice.register
    def _end_quote(self, event: QuoteTaken | QuoteReleased | QuoteExpired) -> None:
        self.drop(Task("expire_quote", event.quote_id))

    @notice.register
    def _open_auction(self, event: AuctionOpened) -> None:
        self._auctions[event.auction_id] = None
        self.put(Task("run_auction", event.auction_id), event.locks_at)
        if event.indicative_at is not None:
            self.put(Task("indicate_auction", event.auction_id), event.indicative_at)
        if event.no_cancel_at is not None:
            self.put(Task("bind_auction", event.auction_id), event.no_cancel_at)

    @notice.register
    def _freeze_book(self, event: AuctionBookFrozen) -> None:
        part = {order.order_id for order in (*event.orders, *event.backstops)}
        self._books.setdefault(event.auction_id, set()).update(part)

    @notice.register
    def _lock_auction(self, event: AuctionLocked) -> None:
        """Defer orders that a second auctioneer locked and that are not in the first one's book."""
        book = self._auctions[event.auction_id] = frozenset(self._books.pop(event.auction_id, ()))
        for order_id, auction_id in self.locked.items():
            if auction_id == event.auction_id and order_id not in book:
                self.put(Task("defer_order", order_id), NOW)

    @notice.register
    def _complete_auction(self, event: AuctionCompleted) -> None:
        """Forget the auction. Orders that a slow auctioneer still locks for it are deferred.

        Grants of failed pools may move to what the auction had frozen and did not sell.
        """
        self._auctions.pop(event.auction_id, None)
        for kind in ("run_auction", "indicate_auction", "bind_auction"):
            self.drop(Task(kind, event.auction_id))
        for pool_id in self._failed.list_pools():
            self.put(Task("serve_pool", pool_id), NOW)

    @notice.register
    def _issue_grant(self, event: GrantIssued) -> None:
        self._issued.setdefault(event.grant_id, len(self._issued))
        self.put(Task("activate_grant", event.grant_id), event.start)
        self._turn_grant(event)
        for task, period in self._list_periods(event.grant_id).items():
            self.put(task, period.stated_at)
        self._collect_next(event.grant_id)

    def _collect(self, grant_id: str, due: datetime) -> None:
        """Schedule the command of a staged grant that collects its cash, or withholds or ends delivery without it."""
        self.put(Task("collect_stage", grant_id, int(due.timestamp())), due)

    def _collect_next(self, grant_id: str) -> None:
        """Schedule the collection of a grant's next stage when that is due, if it is before the grant's end."""
        grant = self._grants[grant_id]
        if grant.issued.stages is not None:
            due = find_due(grant.issued.start, grant.issued.stages, grant.stages_paid)
            if due < grant.end:
                self._collect(grant_id, due)

    @notice.register
    def _move_stage(self, event: StageEvent) -> None:
        known = self._grants.get(event.grant_id)
        if known is None:
            return
        grant = evolve_grant(known, event)
        assert grant is not None, "the grant was issued"
        self._grants[event.grant_id] = grant
        match event:
            case GrantStagePaid():
                self._collect_next(event.grant_id)
            case GrantStageMissed():
                self._collect(event.grant_id, event.cure_until)
            case GrantWithheld():
                self._collect(event.grant_id, event.ends_at)
                self._collect(event.grant_id, grant.end)
            case GrantWithholdingEnded():
                pass

    @notice.register
    def _resume_grant(self, event: GrantResumed) -> None:
        """Check the pool of a grant that its report says works, and collect at once what became due meanwhile."""
        self._check_nodes(event.grant_id)
        grant = self._grants.get(event.grant_id)
        if grant is not None and grant.issued.stages is not None:
            self.put(Task("collect_stage", event.grant_id, int(event.at.timestamp())), NOW)

    @notice.register
    def _substitute_grant(self, event: GrantSubstituted) -> None:
        """Check the nodes of a grant where it is now: another pool of a site without power is as dark."""
        grant = evolve_grant(known, event) if (known := self._grants.get(event.grant_id)) is not None else None
        if grant is not None:
            self._grants[event.grant_id] = grant
            self._check_nodes(event.grant_id)

    def _check_nodes(self, grant_id: str) -> None:
        """Adapt the grants of a grant's pool to its nodes, if these have failed or may lack power."""
        grant = self._grants.get(grant_id)
        if grant is not None and self._failed.has_failed(grant.pool_id):
            self.put(Task("serve_pool", grant.pool_id), NOW)

    def rank_issue(self, grant_id: str) -> int:
        """Return the place of a grant in the order in which the log issued them; one that was not read yet is last."""
        return self._issued.get(grant_id, len(self._issued))

    def _list_periods(self, grant_id: str) -> dict[Task, Period]:
        """Return the statement periods of a grant and its service lines, by the task that issues each statement."""
        found: dict[Task, Period] = {}
        for index, period in enumerate(self._periods.get(grant_id, ())):
            found[Task("issue_statement", grant_id, index)] = period
            for line_id, agreed_at in self._lines.get(grant_id, {}).items():
                if period.end > agreed_at:
                    found[Task("issue_service_statement", line_id, index, grant_id)] = period
        return found

    @notice.register
    def _reschedule_grant(self, event: GrantRescheduled) -> None:
        """Schedule a grant that is issued again with another span. Each span is activated by a command of its own."""
        for task in (self._name_activation(event.grant_id), *self._list_periods(event.grant_id)):
            self.drop(task)
        self._turn_grant(event)
        self.put(self._name_activation(event.grant_id), event.start)
        for task, period in self._list_periods(event.grant_id).items():
            self.put(task, period.stated_at)
        self._collect_next(event.grant_id)

    def _name_activation(self, grant_id: str) -> Task:
        """Return the task that activates a grant: a further one after each change of its span."""
        return Task("activate_grant", grant_id, len(self._grants[grant_id].rescheduled))

    def _turn_grant(self, event: GrantIssued | GrantExtended | GrantRescheduled | GrantTerminated) -> None:
        """Update the statement periods of a grant after an event that changes its span."""
        grant = evolve_grant(self._grants.get(event.grant_id), event)
        assert grant is not None, "the grant was issued"
        self._grants[event.grant_id] = grant
        self._periods[event.grant_id] = list_periods(grant)
        if grant.withheld is not None:
            self._collect(event.grant_id, grant.end)

    @notice.register
    def _extend_grant(self, event: GrantExtended) -> None:
        known = len(self._periods[event.grant_id])
        self._turn_grant(event)
        for task, period in self._list_periods(event.grant_id).items():
            if task.number >= known:
                self.put(task, period.stated_at)

    @notice.register
    def _agree_line(self, event: ServiceLineAgreed) -> None:
        self._lines.setdefault(event.grant_id, {})[event.service_line_id] = event.at
        for task, period in self._list_periods(event.grant_id).items():
            if task.id == event.service_line_id:
                self.put(task, period.stated_at)

    @notice.register
    def _activate_grant(self, event: GrantActivated) -> None:
        self.drop(self._name_activation(event.grant_id))
        self._check_nodes(event.grant_id)

    @notice.register
    def _terminate_grant(self, event: GrantTerminated) -> None:
        self.drop(self._name_activation(event.grant_id))
        before = self._list_periods(event.grant_id)
        self._turn_grant(event)
        after = self._list_periods(event.grant_id)
        for task in before:
            if task not in after:
                self.drop(task)
            elif task in self._due:
                self.put(task, after[task].stated_at)
        self.put(Task("finish_grant", event.grant_id), NOW)

    @notice.register
    def _complete_grant(self, event: GrantCompleted) -> None:
        self.drop(Task("finish_grant", event.grant_id))
        self._grants.pop(event.grant_id, None)

    @notice.register
    def _issue_statement(self, event: StatementIssued) -> None:
        index = self._find_period(event)
        adjust = self._stated[event.statement_id] = _name_task("adjust", event, index)
        self._settled.setdefault(event.grant_id, {})[adjust] = False
        self.drop(adjust)
        if event.adjustment is None:
            self.drop(_name_task("issue", event, index))
        self.put(Task("accept_statement", event.statement_id), event.accept_until)
        self._enforce(event, event.accept_until)

    def _enforce(
        self,
        event: StatementIssued | _Argument | StatementResolved,
        due: datetime,
    ) -> None:
        """Look for the cash of a statement on credit, and settle its equity part, when a time for disputes is over."""
        grant = self._grants.get(event.grant_id)
        if grant is None or not grant.issued.credit_usd:
            return
        number = parse_uuid(event.statement_id).int if due is NOW else int(due.timestamp())
        self.put(Task("collect_stage", event.grant_id, number), due)
        if grant.issued.equity is not None:
            self.put(Task("settle_equity", event.statement_id, number), due)

    def _find_period(self, event: StatementIssued | StatementCredited) -> int:
        """Return the index of a statement's period in its grant."""
        periods = self._periods.get(event.grant_id, [])
        return next((index for index, period in enumerate(periods) if period.start == event.period_start), 0)

    @notice.register
    def _credit(self, event: StatementCredited) -> None:
        self._settle(event.grant_id, _name_task("adjust", event, self._find_period(event)))
        self._vest(event.statement_id, event.grant_id)

    def _settle(self, grant_id: str, adjust: Task) -> None:
        """Compare the stated with the metered usage of a settled period, and check whether the grant is complete.

        A reading may be stored just before or after the statement's decision, so every settled period is compared.
        """
        if grant_id in self._periods:
            self._settled.setdefault(grant_id, {})[adjust] = True
            self.put(adjust, NOW)
        else:
            self.put(Task("review_usage", grant_id), NOW)
        self.put(Task("finish_grant", grant_id), NOW)

    @notice.register
    def _argue(self, event: _Argument) -> None:
        """Settle a dispute by silence when its next deadline passes.

        The silence of one payer moves the deadline, so the task after it has a number of its own.
        """
        due = event.decide_until if isinstance(event, StatementReferred) else event.answer_until
        if due is None:
            return
        number = self._silences.get(event.statement_id, 0)
        if isinstance(event, StatementAgreed) and event.is_silent:
            self.drop(Task("lapse_dispute", event.statement_id, number))
            number = self._silences[event.statement_id] = number + 1
        self.put(Task("lapse_dispute", event.statement_id, number), due)
        self._enforce(event, due)

    def _end_dispute(self, statement_id: str) -> None:
        self.drop(Task("lapse_dispute", statement_id, self._silences.pop(statement_id, 0)))

    @notice.register
    def _resolve(self, event: StatementResolved) -> None:
        """Settle what the platform decided as soon as the money is there. Other resolutions are settled at once.

        The task has a number of its own: the command that paid the undisputed part does not run again.
        Without the money, a statement on credit is due as if it had never been disputed.
        """
        self._end_dispute(event.statement_id)
        self.drop(Task("accept_statement", event.statement_id))
        self.put(Task("accept_statement", event.statement_id, 1), NOW)
        self._enforce(event, NOW)

    @notice.register
    def _accept(self, event: StatementAccepted) -> None:
        for number in range(2):
            self.drop(Task("accept_statement", event.statement_id, number))
        self._end_dispute(event.statement_id)
        self._vest(event.statement_id, event.grant_id)
        self._settle(event.grant_id, self._stated.pop(event.statement_id))

    @notice.register
    def _close_usage(self, event: UsageClosed) -> None:
        """Forget a fully settled grant, whose periods are all stated as metered.

        Readings that are lowered or voided later are handled by ``review_usage``, which reads the periods again.
        """
        self.drop(Task("finish_grant", event.grant_id))
        for task in self._settled.pop(event.grant_id, {}):
            self.drop(task)
        for known in (self._grants, self._periods, self._lines):
            known.pop(event.grant_id, None)

    @notice.register
    def _meter(self, event: UsageReported | UsageCorrected | UsageVoided) -> None:
        """Check again the stated periods for which readings arrived, changed or were voided."""
        if event.meter == "startup":
            return
        self._review_closed(event.grant_id)
        settled = self._settled.get(event.grant_id, {})
        for index, period in enumerate(self._periods.get(event.grant_id, ())):
            adjust = Task("adjust_statement", event.grant_id, index)
            readings = _list_readings(event) if settled.get(adjust) else ()
            if any(reading.start < period.end and period.start < reading.end for reading in readings):
                self.put(adjust, NOW)

    @notice.register
    def _report_outage(self, event: GrantDegraded | GrantSuspended) -> None:
        """Check again the stated periods in which nodes did not work, as is known only now."""
        self._review_closed(event.grant_id)
        settled = self._settled.get(event.grant_id, {})
        for index, period in enumerate(self._periods.get(event.grant_id, ())):
            adjust = Task("adjust_statement", event.grant_id, index)
            if settled.get(adjust) and event.at < period.end:
                self.put(adjust, NOW)

    @notice.register
    def _work(self, event: HoursEvent) -> None:
        """Check again the stated periods for which hours arrived, changed or were voided."""
        self._review_closed(event.grant_id)
        settled = self._settled.get(event.grant_id, {})
        for index, period in enumerate(self._periods.get(event.grant_id, ())):
            adjust = _name_task("adjust", event, index)
            readings = _list_readings(event) if settled.get(adjust) else ()
            if any(period.start < reading.end <= period.end for reading in readings):
                self.put(adjust, NOW)

    def _review_closed(self, grant_id: str) -> None:
        if grant_id not in self._periods:
            self.put(Task("review_usage", grant_id), NOW)

    def review(self, grant_id: str, periods: int, lines: Iterable[str]) -> None:
        """Schedule the comparison of stated and metered usage for every period of a fully settled grant.

        Args:
            grant_id: The grant.
            periods: How many statement periods it has.
            lines: Its service lines, which are compared too.
        """
        for index in range(periods):
            self.put(Task("adjust_statement", grant_id, index), NOW)
            for line_id in lines:
                self.put(Task("adjust_service_statement", line_id, index, grant_id), NOW)

    @notice.register
    def _issue_warrant(self, event: IssuerWarrantIssued) -> None:
        for grant_id in event.grant_ids:
            self._count(grant_id, event.issuer_id, event.warrant_id)
        expiry = Task("expire_warrant", event.warrant_id, owner_id=event.issuer_id)
        self.put(expiry, find_lapse(event))
        for day in list_days(event.tranches):
            self.put(Task("vest_warrants", event.issuer_id, day.toordinal()), datetime.combine(day, time(), UTC))

    @notice.register
    def _add_grant(self, event: IssuerProgrammeGrantAdded) -> None:
        self._count(event.grant_id, event.issuer_id, event.grant_id)

    def _count(self, grant_id: str, issuer_id: str, cause: str) -> None:
        self._counted.setdefault(grant_id, set()).add(issuer_id)
        self._vest(cause, grant_id)

    @notice.register
    def _learn(self, event: MeasuredEvent) -> None:
        """Check again warrants that count grants: who recorded this may not have seen a delivery stored just before."""
        if any(event.issuer_id in issuers for issuers in self._counted.values()):
            self.put(Task("vest_warrants", event.issuer_id), NOW)

    def _vest(self, cause: str, grant_id: str) -> None:
        """Check again the warrants that count a grant's accepted delivery.

        Whoever accepts a statement or issues a warrant may not have seen another acceptance that is stored just before.
        """
        for issuer_id in sorted(self._counted.get(grant_id, ())):
            self.put(Task("vest_delivery", cause, owner_id=issuer_id), NOW)

    @notice.register
    def _mark(self, event: GrantMarked) -> None:
        """Check again the warrants that counted a grant, which counts in no milestone any more."""
        self._vest(event.grant_id, event.grant_id)

    @notice.register
    def _expire_warrant(self, event: IssuerWarrantExpired) -> None:
        self.drop(Task("expire_warrant", event.warrant_id, owner_id=event.issuer_id))

    @notice.register
    def _propose(self, event: ProposalMade) -> None:
        self.put(Task("lapse_proposal", event.proposal_id), event.decide_until)
        waived = [each.waived_at for each in event.consents if each.waived_at is not None]
        if waived:
            self.put(Task("carry_out_proposal", event.proposal_id), max(waived))

    @notice.register
    def _agree(self, event: ProposalAgreed) -> None:
        if event.waived_at is not None:
            self.put(Task("carry_out_proposal", event.proposal_id), event.waived_at)

    @notice.register
    def _end_proposal(self, event: ProposalCarriedOut | ProposalEnded) -> None:
        for kind in ("lapse_proposal", "carry_out_proposal"):
            self.drop(Task(kind, event.proposal_id))

    @notice.register
    def _open_financing(self, event: IssuerFinancingOpened) -> None:
        if event.open_until is not None:
            self.put(Task("lapse_financing", event.financing_id, owner_id=event.issuer_id), event.open_until)

    @notice.register
    def _end_financing(self, event: IssuerFinancingAbandoned) -> None:
        self.drop(Task("lapse_financing", event.financing_id, owner_id=event.issuer_id))

    @notice.register
    def _declare_sale(self, event: IssuerLiquidityDeclared) -> None:
        if event.replaces is not None:
            self.drop(Task("lapse_sale", event.replaces, owner_id=event.issuer_id))
        self.put(Task("lapse_sale", event.liquidity_id, owner_id=event.issuer_id), event.pay_until)

    @notice.register
    def _withdraw_sale(self, event: IssuerLiquidityWithdrawn) -> None:
        self.drop(Task("lapse_sale", event.liquidity_id, owner_id=event.issuer_id))

    @notice.register
    def _end_issuer(self, event: IssuerDistributionPaid) -> None:
        """End the grants that the sold startup pays for in equity, since no more of it accrues."""
        self.drop(Task("lapse_sale", event.liquidity_id, owner_id=event.issuer_id))
        startup_id = rename_id("pty", event.issuer_id)
        for grant_id, grant in self._grants.items():
            if grant.issued.startup_id == startup_id and grant.issued.equity is not None:
                self.put(Task("end_grant", grant_id), NOW)

    @notice.register
    def _run_note(self, event: InstrumentIssued | InstrumentAmended) -> None:
        """Check a note on the day after its last day of interest. One that was extended meanwhile does not change."""
        if isinstance(event.terms, NoteTerms):
            due = find_maturity(event.terms.matures_on)
            self.put(Task("mature_note", event.instrument_id, due.toordinal()), due)

    @notice.register
    def _hold(self, event: AccountHoldPlaced) -> None:
        if event.expires_at is not None:
            self.put(Task("expire_hold", event.hold_id, owner_id=event.account_id), event.expires_at)

    @notice.register
    def _expire_hold(self, event: AccountHoldExpired) -> None:
        self.drop(Task("expire_hold", event.hold_id, owner_id=event.account_id))
        self._pay_claims(event.account_id)

    @notice.register
    def _reserve(self, event: AccountReserved) -> None:
        """Pay what is owed of claims if the account keeps less for something else, and what a resale's seller owes."""
        if not event.cause.startswith("bcl_"):
            self._pay_claims(event.account_id)
        if event.cause.startswith("rst_"):
            rest = Task("pay_rest", rename_id("stm", event.cause), owner_id=event.account_id)
            if event.amount_usd:
                self.put(rest, NOW)
            else:
                self.drop(rest)

    @notice.register
    def _refill(self, event: AccountDeposited | AccountCredited | AccountHoldReleased) -> None:
        self._pay_claims(event.account_id)

    def _pay_claims(self, account_id: str) -> None:
        """Pay what an account owes of claims, since it may have more; each time by a command of its own."""
        claims = self._claims.get(account_id, {})
        self._refills += bool(claims)
        for claim_id, before in claims.items():
            if before.number:
                self.drop(before)
            claims[claim_id] = before._replace(number=self._refills)
            self.put(claims[claim_id], NOW)

    @notice.register
    def _request_approval(self, event: AccountApprovalRequested) -> None:
        self.put(Task("lapse_approval", event.approval_id, owner_id=event.account_id), event.approve_until)

    @notice.register
    def _end_approval(self, event: AccountApprovalGiven | AccountApprovalEnded) -> None:
        self.drop(Task("lapse_approval", event.approval_id, owner_id=event.account_id))

    @notice.register
    def _claim_bond(self, event: BondClaimed) -> None:
        self.put(Task("lapse_claim", event.claim_id, owner_id=event.bond_id), event.answer_until)

    @notice.register
    def _answer_claim(self, event: BondAnswered) -> None:
        """Keep the task of the claim, which pays it once the time for answers is over."""
        decision = Task("lapse_claim", event.claim_id, 1, event.bond_id)
        self.drop(decision)
        if event.decide_until is not None:
            self.put(decision, event.decide_until)
        if event.outcome == "contested":
            self._contested.add(event.claim_id)  # The decision may raise the claim.
        else:
            self._contested.discard(event.claim_id)
        self._owe(event, event.amount_usd - self._paid.get(event.claim_id, ZERO))

    @notice.register
    def _pay_rest(self, event: BondPaid) -> None:
        """Learn when there is money for what is still owed: the command that paid a part does not run again."""
        self._paid[event.claim_id] = self._paid.get(event.claim_id, ZERO) + event.amount_usd
        self._owe(event, event.owed_usd)

    def _owe(self, event: BondAnswered | BondPaid, owed_usd: Decimal) -> None:
        """Know whether anything is owed of a claim, and pay what is owed of all claims on its bond."""
        account_id, claim_id = rename_id("acc", event.bond_id), event.claim_id
        claims = self._claims.setdefault(account_id, {})
        if owed_usd > 0:
            claims.setdefault(claim_id, Task("lapse_claim", claim_id, owner_id=event.bond_id))
        elif (known := claims.pop(claim_id, None)) is not None and known.number:
            self.drop(known)
        if not claims:
            del self._claims[account_id]
        if owed_usd <= 0 and claim_id not in self._contested:
            self._paid.pop(claim_id, None)
        self._pay_claims(account_id)

    @notice.register
    def _change_nodes(self, event: PoolNodeFailed | PoolNodeRestored) -> None:
        self.put(Task("serve_pool", event.pool_id), event.at)
        self._make_room(event)

    @notice.register
    def _make_room(self, event: Room) -> None:
        """Check failed pools again whose provider may have room for their grants elsewhere."""
        for pool_id in self._failed.notice(event):
            self.put(Task("serve_pool", pool_id), NOW)

    @notice.register
    def _derate(self, event: SiteDerated) -> None:
        self._failed.notice(event)

    @notice.register
    def _slip(self, event: SiteConversionSlipped) -> None:
        self._failed.notice(event)
        self.put(Task("move_lots", event.site_id), NOW)


@overload
def _list_readings(event: UsageReported | UsageCorrected | UsageVoided) -> tuple[Reading, ...]: ...
@overload
def _list_readings(event: HoursEvent) -> tuple[HoursReading, ...]: ...
def _list_readings(event: Any) -> tuple[Any, ...]:
    """Return the readings that an event adds, removes or replaces, with their replacements."""
    match event:
        case UsageReported() | ServiceLineReported():
            return event.readings
        case UsageCorrected() | ServiceLineCorrected():
            return event.before, event.after
        case _:
            return (event.reading,)


def _name_task(verb: Literal["issue", "adjust"], event: Any, index: int) -> Task:
    """Return the task that issues or adjusts a period's statement; a service line's, if the event names one."""
    line_id: str | None = getattr(event, "service_line_id", None)
    if line_id is None:
        return Task(f"{verb}_statement", event.grant_id, index)
    return Task(f"{verb}_service_statement", line_id, index, event.grant_id)


def _rank(at: datetime) -> float:
    return float("-inf") if at is NOW else at.timestamp()
