"""Grants: awarded capacity, from issue to end.

Subject: ``marketplace.grant.<grant_id>``.

Invariants:
    1. A grant's price, offer and equity part never change. Resold nodes leave it for good.
    2. It ends once: completed or terminated. After that only its statements go on; until the end of a notice period,
       also reports about its nodes, and either side may bring the end forward.
    3. At no instant is more resold than was granted.
    4. Outages are only added. Nodes that were reported as failed count as failed until they are reported to work, and
       only the platform dates that back by more than `BACKDATED_MAX` (`supply/outages.py`). What the startup reported
       because the provider's meter was silent ends once that meter counts again, and then since it counts.
    5. The span changes before anything is delivered: its startup shortens or moves it while its site is late. Then the
       grant is issued again with the new span, and outages before that are over.
    6. Of a staged grant, delivery is withheld only after a stage was missed and its cure time is over. Withheld hours
       cost no more than what is set aside beyond the delivered ones, and nothing where the stage stays unpaid and the
       provider's meter had counted nearly nothing.

Refusals in order: grant_unknown · grant_exists · time_naive · grant_<status> · grant_not_due · nodes_above_grant ·
capacity_delivered · outage_open · from_the_future · capacity_unmetered · resumption_backdated · nodes_failed ·
pool_unchanged · outside_grant · cause_missing · cause_unanswered · notice_too_short · grant_bought ·
grant_transferred · grant_staged · grant_over · site_on_time · ready_after_end · start_unaligned · start_too_early ·
start_too_late · hours_resold · span_empty · resale_outside_grant · resale_above_grant · service_lines_too_many ·
grant_prepaid · stages_paid · value_out_of_bounds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final, Literal

from msgspec import structs

from events.grant import (
    GrantActivated,
    GrantCompleted,
    GrantDegraded,
    GrantEvent,
    GrantExtended,
    GrantIssued,
    GrantMarked,
    GrantPrioritised,
    GrantRescheduled,
    GrantResold,
    GrantResumed,
    GrantServiceLineAdded,
    GrantStageMissed,
    GrantStagePaid,
    GrantSubstituted,
    GrantSuspended,
    GrantTerminated,
    GrantTransferred,
    GrantWithheld,
    GrantWithholdingEnded,
    Mark,
    Side,
)
from events.schedule import EndTerms, NoticeStep
from events.service import CREDITS_MAX, CreditStep, ServiceTerms
from events.types import LotShare
from events.usage import Gap
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.core.instants import render_instant
from marketplace.core.intervals import Load, find_peak, require_aware, require_span
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, parse_ratio
from marketplace.domain.delivery.grant_commands import (
    ActivateGrant,
    AddServiceLine,
    CollectStage,
    CompleteGrant,
    DegradeGrant,
    ExtendGrant,
    GrantCommand,
    IssueGrant,
    MarkGrant,
    PrioritiseGrant,
    RescheduleGrant,
    ResellGrant,
    ResumeGrant,
    SubstituteGrant,
    SuspendGrant,
    TerminateGrant,
    TransferGrant,
)
from marketplace.domain.delivery.grant_notice import (
    FEW_ANSWERED_WITHIN,
    FEW_FAILED,
    SILENT_AFTER,
    Cut,
    EndFee,
    find_answer_time,
    find_end_fee,
    require_cause,
    require_notice,
)
from marketplace.domain.delivery.rescheduling import find_span, is_back
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown, require_bounds
from marketplace.domain.supply.outages import require_over, require_prompt
from marketplace.domain.supply.stages import CURE

RUNNING: Final = ("active", "degraded", "suspended")
OPEN: Final = ("issued", *RUNNING)
"""Statuses of a grant that has not ended."""
RESELLABLE: Final = ("issued", "active")
"""Statuses of a grant whose nodes all work, so that some may be resold."""
SERVICE_LINES_MAX = 16

Status = Literal["issued", "active", "degraded", "suspended", "completed", "terminated"]
Phase = Literal["issued", "running", "completed", "terminated"]
Condition = Literal["active", "degraded", "suspended"]


PRIORITY: Final = 100
"""The default priority of a grant. Usage is allocated to the grant of the lowest number first."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A span in which at most `nodes` nodes worked, as reported; `end` is None until the others work again.

    Outages that differ only in `reported_at` are equal. `by` is the side that reported it.
    """

    start: datetime
    end: datetime | None
    nodes: int
    reported_at: datetime | None = field(default=None, compare=False)
    by: Side = "provider"


@dataclass(frozen=True, slots=True)
class Grant:
    """An issued grant.

    Attributes:
        issued: The grant as awarded, with its present start and end; `issued.startup_id` pays for it.
        phase: Independent of `condition`: the nodes of a terminated grant deliver until `end`.
        startup_id: Who uses it.
        pool_id: Where it is now.
        pools_before: Where it was before.
        missing_at: When its startup reported that no node works, whatever its provider answered.
        lots: Which lots carry it.
        end: When delivery ends. A termination brings it forward, an extension moves it back.
        nodes_available: Nodes that work, by the last report.
        condition: Of the nodes, by the last report.
        reason: Why it is degraded.
        resold: The parts that were resold.
        outages: In the order of their reports. Where several cover an instant, the fewest nodes worked.
        failing_since: When the present outage was first reported; None if all nodes work.
        failed_before: From when to when past outages lasted, each since its first report.
        follows_pool: Whether its present condition was derived from failed nodes of the pool or power of the site.
        extensions: Start and end of each span that was added.
        rescheduled: How its startup shortened or moved it, in order.
        priority: Usage is allocated to the lowest number first.
        service_lines: Ids of its service lines.
        mark: Why the index does not count it; None if it does.
        gpu_seconds_ended: What is not delivered because of its early end.
        terminations: Who ended it early, and when. Each further one brings the end forward.
        stages_paid: How many stages of a staged grant are paid; the first one is at the match.
        missed: The stage that is late now.
        withheld: The withholding of delivery that lasts now.
        withholdings: The past ones.
        damages_usd: What the provider was paid for those.
    """

    issued: GrantIssued
    phase: Phase
    startup_id: str
    pool_id: str
    lots: tuple[LotShare, ...]
    end: datetime
    nodes_available: int
    condition: Condition = "active"
    reason: str | None = None
    resold: tuple[GrantResold, ...] = ()
    outages: tuple[Outage, ...] = ()
    failing_since: datetime | None = None
    failed_before: tuple[tuple[datetime, datetime], ...] = ()
    pools_before: frozenset[str] = frozenset()
    missing_at: tuple[datetime, ...] = ()
    follows_pool: bool = False
    extensions: tuple[tuple[datetime, datetime], ...] = ()
    rescheduled: tuple[GrantRescheduled, ...] = ()
    priority: int = PRIORITY
    service_lines: tuple[str, ...] = ()
    mark: Mark | None = None
    gpu_seconds_ended: int = 0
    terminations: tuple[GrantTerminated, ...] = ()
    stages_paid: int = 1
    missed: GrantStageMissed | None = None
    withheld: GrantWithheld | None = None
    withholdings: tuple[GrantWithholdingEnded, ...] = ()
    damages_usd: Decimal = ZERO

    @property
    def status(self) -> Status:
        """Return its condition while it runs, its phase before and after."""
        return self.condition if self.phase == "running" else self.phase

    @property
    def terminated(self) -> GrantTerminated | None:
        """Return who ended it early, and when, the last one; None if nobody did."""
        return self.terminations[-1] if self.terminations else None

    @property
    def end_fee_usd(self) -> Decimal:
        """Return what its early ends cost the sides that ended it."""
        return sum((ended.fee_usd for ended in self.terminations), ZERO)

    def sum_end_fees(self, by: Side) -> Decimal:
        """Return what its early ends cost one side."""
        return sum((ended.fee_usd for ended in self.terminations if ended.by == by), ZERO)

    def is_running(self, at: datetime) -> bool:
        """Return whether capacity is delivered at `at`."""
        return is_delivering(self.status, self.end, at)

    @property
    def nodes_working(self) -> int:
        """Return how many of its nodes work, by the last report."""
        return min((outage.nodes for outage in self.outages if outage.end is None), default=self.issued.nodes)

    @property
    def is_silenced(self) -> bool:
        """Return whether its startup reported that no node works, and its provider's meter has not answered that."""
        return any(outage.end is None and outage.by == "startup" for outage in self.outages)

    @property
    def is_dark(self) -> bool:
        """Return whether it runs, and no node has worked since its start."""
        since = self.issued.start
        dark = (outage for outage in self.outages if outage.end is None and outage.nodes == 0)
        return self.phase == "running" and any(outage.start <= since for outage in dark)

    @property
    def gpu_seconds_granted(self) -> int:
        """Return the GPU-seconds of the whole span as first granted, or as its startup shortened it."""
        return self.count_span(self.issued.start, self.issued.end)

    def count_span(self, start: datetime, end: datetime) -> int:
        """Return the GPU-seconds of all nodes over a span."""
        return self.issued.nodes * self.issued.gpus_per_node * int((end - start).total_seconds())

    @property
    def gpu_seconds_left(self) -> int:
        """Return the GPU-seconds of the span as first granted, or as its startup changed it, less the resold ones."""
        return self.gpu_seconds_granted - self._count_resold(self.issued.start)

    def count_own(self, start: datetime, end: datetime) -> int:
        """Return the GPU-seconds of all nodes over a span that ends no earlier than the grant, less the resold ones."""
        return self.count_span(start, end) - self._count_resold(start)

    def _count_resold(self, start: datetime) -> int:
        parts = (part for part in self.resold if part.end > start)
        nodes = sum(part.nodes * int((part.end - max(part.start, start)).total_seconds()) for part in parts)
        return nodes * self.issued.gpus_per_node

    @property
    def holder_accepts(self) -> bool:
        """Return whether statements settle early only if the holder that pays a part accepts too."""
        equity = self.issued.equity
        return equity is not None and equity.holder_accepts and equity.holder_id != self.issued.provider_id

    def count_left(self, at: datetime) -> int:
        """Return the GPU-seconds from an instant, not before its start, to its end, less the resold ones."""
        sold = sum(
            part.nodes * int((part.end - max(part.start, at)).total_seconds()) for part in self.resold if part.end > at
        )
        whole = self.issued.nodes * max(int((self.end - at).total_seconds()), 0)
        return (whole - sold) * self.issued.gpus_per_node

    def list_resold(self) -> list[Load]:
        """Return the nodes that were resold."""
        return [Load(part.start, part.end, part.nodes) for part in self.resold]

    def list_gaps(self) -> tuple[Gap, ...]:
        """Return the spans between its spans, where it was extended after it had ended."""
        spans = ((self.issued.start, self.issued.end), *self.extensions)
        return tuple(
            Gap(start=before, end=start) for (_, before), (start, _) in pairwise(spans) if before < start < self.end
        )

    def list_withheld(self, end: datetime) -> list[Load]:
        """Return the spans before `end` in which delivery was withheld, each with all nodes of the grant."""
        spans = [(past.since, past.at) for past in self.withholdings]
        if self.withheld is not None:
            spans.append((self.withheld.at, end))
        return [Load(start, min(stop, end), self.issued.nodes) for start, stop in spans if start < min(stop, end)]

    def count_nodes(self, at: datetime) -> int:
        """Return the nodes that are the grant's own, not resold, at an instant of its span."""
        return self.issued.nodes - sum(part.nodes for part in self.resold if part.start <= at < part.end)


GrantState = Grant | None


def choose_service(promises: Sequence[ServiceTerms | None]) -> ServiceTerms | None:
    """Return the promise that keeps those of all lots that carry a grant; None if there is none.

    The highest availability and the longest notice bind, and at each availability the highest credit. What was not
    metered is unavailable if one lot says so. The remedy is the one that all lots offer, or else the credit.
    """
    made = [terms for terms in promises if terms is not None]
    if not made:
        return None
    best = max(made, key=lambda terms: terms.availability_min)
    detections = (terms.detection for terms in (best, *made) if terms.detection is not None)
    return structs.replace(
        best,
        credits=_merge_credits(made),
        measure="metered" if any(terms.measure == "metered" for terms in made) else "incidents",
        consequence=best.consequence if len({terms.consequence for terms in made}) == 1 else "credit",
        detection=next(detections, None),
        notice_hours_min=max(terms.notice_hours_min for terms in made),
    )


def choose_resold_service(source: ServiceTerms | None) -> ServiceTerms | None:
    """Return what resold capacity counts as delivered: the measure of its seller's grant, without a promise besides."""
    return None if source is None else ServiceTerms(availability_min=ZERO, measure=source.measure, detection=None)


def _merge_credits(made: Sequence[ServiceTerms]) -> tuple[CreditStep, ...]:
    """Return the highest credit at each availability; where that takes too many steps, the last ones come early."""
    steps = [step for terms in made for step in terms.credits]
    merged: list[CreditStep] = []
    for below in sorted({step.availability_below for step in steps}, reverse=True):
        credit = max(step.credit for step in steps if step.availability_below >= below)
        if not merged or credit > merged[-1].credit:
            merged.append(CreditStep(availability_below=below, credit=credit))
    if len(merged) > CREDITS_MAX:
        last = structs.replace(merged[CREDITS_MAX - 1], credit=merged[-1].credit)
        merged[CREDITS_MAX - 1 :] = [last]
    return tuple(merged)


def find_price(issued: GrantIssued) -> Fraction:
    """Return the price in USD, cash and credited equity, of a whole grant as it was issued."""
    seconds = int((issued.end - issued.start).total_seconds())
    gpu_hours = Fraction(issued.nodes * issued.gpus_per_node * seconds, SECONDS_PER_HOUR)
    return parse_ratio(issued.price_usd_per_gpu_hour) * gpu_hours


def choose_ends(ends: Sequence[EndTerms], issued: GrantIssued) -> EndTerms | None:
    """Return the end terms of the schedule for a grant of its price; None if the schedule has none for it."""
    price_usd = find_price(issued)
    return next((terms for terms in reversed(ends) if price_usd >= terms.value_usd_min), None)


def list_notices(ends: Sequence[EndTerms]) -> tuple[NoticeStep, ...]:
    """Return the notice and fees of an early end, by the size of the deal between startup and provider."""
    return tuple(
        NoticeStep(value_usd_min=terms.value_usd_min, notice_hours_min=terms.notice_hours_min, fees=terms.fees)
        for terms in ends
    )


def decide(command: GrantCommand, state: GrantState) -> Sequence[GrantEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, IssueGrant):
        return _issue(command, state)
    if state is None:
        raise refuse_unknown("grant", command.grant_id)
    if not isinstance(command, TransferGrant | PrioritiseGrant | MarkGrant):
        require_aware(command.at, "/at")
    match command:
        case ActivateGrant():
            return _activate(command, state)
        case SubstituteGrant():
            return _substitute(command, state)
        case ExtendGrant() | RescheduleGrant():
            return _extend(command, state) if isinstance(command, ExtendGrant) else _reschedule(command, state)
        case TransferGrant() | PrioritiseGrant() | MarkGrant():
            return _arrange(command, state)
        case ResellGrant() | AddServiceLine():
            return _part(command, state)
        case CompleteGrant() | TerminateGrant() | CollectStage():
            return _end(command, state)
        case _:
            return _interrupt(command, state)


def _end(command: CompleteGrant | TerminateGrant | CollectStage, state: Grant) -> Sequence[GrantEvent]:
    match command:
        case CompleteGrant():
            return _complete(command, state)
        case TerminateGrant():
            return _terminate(command, state)
        case CollectStage():
            return _collect(command, state)


def _interrupt(command: DegradeGrant | SuspendGrant | ResumeGrant, state: Grant) -> Sequence[GrantEvent]:
    match command:
        case DegradeGrant():
            return _degrade(command, state)
        case SuspendGrant():
            return _suspend(command, state)
        case ResumeGrant():
            return _resume(command, state)


def _issue(command: IssueGrant, state: GrantState) -> Sequence[GrantEvent]:
    if state is None:
        return [command.issued]
    if state.issued == command.issued:
        return []
    raise refuse_exists("grant", command.grant_id)


def _require_status(state: Grant, *allowed: str) -> None:
    if state.status not in allowed:
        raise refuse_status("grant", state.issued.grant_id, state.status, " or ".join(allowed))


def is_delivering(status: str, end: datetime, at: datetime) -> bool:
    """Return whether a grant delivers at `at`: it runs, or was terminated and its notice period lasts."""
    return status in RUNNING or (status == "terminated" and at < end)


def _require_running(state: Grant, at: datetime) -> None:
    """Refuse a grant that does not deliver at `at`."""
    if not state.is_running(at):
        _require_status(state, *RUNNING)


def _require_due(grant_id: str, at: datetime, due: datetime, what: str) -> None:
    if at < due:
        raise Refusal(
            "grant_not_due",
            f"grant {grant_id} {what} at {render_instant(due)}; it is {render_instant(at)}",
            grant_id=grant_id,
            due=render_instant(due),
        )


def _activate(command: ActivateGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.phase == "running":
        return []
    _require_status(state, "issued")
    _require_due(command.grant_id, command.at, state.issued.start, "starts")
    return [GrantActivated(grant_id=command.grant_id, at=command.at)]


def _degrade(command: DegradeGrant, state: Grant) -> Sequence[GrantEvent]:
    if command.until is None:
        _require_running(state, command.at)
    elif state.phase == "issued":
        _require_status(state, *RUNNING)
    if _is_known(command, state):
        return []
    if command.nodes_available >= state.issued.nodes:
        raise Refusal(
            "nodes_above_grant",
            f"the grant has {state.issued.nodes} nodes; a degraded grant has fewer than that working, so state fewer",
            pointer="/nodes_available",
        )
    if command.until is not None:
        require_span(command.at, command.until, "/until")
        require_over(command.until, command.reported_at)
    elif command.nodes_available > state.nodes_working and not command.is_ordered:
        _require_metered(command, state)
        require_prompt(command.at, command.reported_at)
    degraded = GrantDegraded(
        grant_id=command.grant_id,
        nodes_available=command.nodes_available,
        at=command.at,
        reason=command.reason,
        until=command.until,
        reported_at=command.reported_at,
        follows_pool=command.follows_pool,
    )
    require_bounds(degraded)
    return [degraded]


def _is_known(command: DegradeGrant | SuspendGrant, state: Grant) -> bool:
    """Return whether an outage adds nothing to one that was reported."""
    nodes, until = (0, None) if isinstance(command, SuspendGrant) else (command.nodes_available, command.until)
    if until is None:
        is_same = state.nodes_working == nodes < state.issued.nodes
        return is_same and any(known.end is None and known.start <= command.at for known in state.outages)
    return any(
        known.start <= command.at and (known.end is None or until <= known.end) and known.nodes <= nodes
        for known in state.outages
    )


def _suspend(command: SuspendGrant, state: Grant) -> Sequence[GrantEvent]:
    _require_running(state, command.at)
    if state.status in {"suspended", "terminated"} and _is_known(command, state):
        return []
    if command.by == "startup":
        _require_silence(command, state)
    return [
        GrantSuspended(
            grant_id=command.grant_id,
            at=command.at,
            reason=command.reason,
            reported_at=command.reported_at,
            by=command.by,
        )
    ]


def _require_silence(command: SuspendGrant, state: Grant) -> None:
    """Refuse a startup's report that nothing was handed over, unless its provider's meter says nothing else.

    Raises:
        Refusal: ``grant_not_due`` · ``capacity_delivered``.
    """
    due = state.issued.start + SILENT_AFTER
    _require_due(command.grant_id, command.reported_at, due, "may be reported by its startup as not handed over")
    if not command.is_silent:
        hours = SILENT_AFTER // timedelta(hours=1)
        raise Refusal(
            "capacity_delivered",
            f"the provider's meter counted GPUs of grant {command.grant_id} within the last {hours} hours, or no node"
            " was to work for most of them; dispute its statement, send evidence, or end the grant",
            grant_id=command.grant_id,
        )


def _require_metered(command: DegradeGrant | ResumeGrant, state: Grant) -> None:
    """Refuse words alone as an answer to a startup's report that nothing was handed over.

    Raises:
        Refusal: ``capacity_unmetered``.
    """
    if state.is_silenced and command.is_silent:
        hours = SILENT_AFTER // timedelta(hours=1)
        raise Refusal(
            "capacity_unmetered",
            f"the startup of grant {command.grant_id} reported that no node works, and your meter counts nearly nothing"
            f" of the last {hours} hours; report readings first, and state since when the nodes work then",
            grant_id=command.grant_id,
        )


def _resume(command: ResumeGrant, state: Grant) -> Sequence[GrantEvent]:
    _require_running(state, command.at)
    if state.nodes_working == state.issued.nodes and state.condition == "active":
        if any(outage.end == command.at for outage in state.outages):
            return []
        raise refuse_status("grant", command.grant_id, "active", "degraded or suspended")
    if command.at > command.reported_at:
        raise Refusal(
            "from_the_future",
            f"the nodes would work again at {render_instant(command.at)}, after now; report it once they do",
            pointer="/at",
        )
    if not command.is_ordered:
        _require_metered(command, state)
        told = any(outage.end is None and outage.by != "startup" for outage in state.outages)
        if told or not command.is_metered:  # Readings answer what the startup reported, not the provider's own reports.
            require_prompt(command.at, command.reported_at)
        if command.is_lacking:
            raise Refusal(
                "nodes_failed",
                f"nodes that grant {command.grant_id} needs have failed or have no power; restore the nodes of its pool"
                " or energise its site first, or move the grant",
                grant_id=command.grant_id,
            )
    return [GrantResumed(grant_id=command.grant_id, at=command.at)]


def _substitute(command: SubstituteGrant, state: Grant) -> Sequence[GrantEvent]:
    if (state.pool_id, state.lots) == (command.pool_id, command.lots):
        return []
    if not state.is_running(command.at):  # Until an announced end its nodes may fail, and it may move.
        _require_status(state, *OPEN)
    if command.pool_id == state.pool_id:
        raise Refusal("pool_unchanged", f"grant {command.grant_id} is already on pool {command.pool_id}; name another")
    return [
        GrantSubstituted(
            grant_id=command.grant_id,
            pool_id=command.pool_id,
            pool_id_before=state.pool_id,
            lots=command.lots,
            at=command.at,
            reason=command.reason,
        )
    ]


def _extend(command: ExtendGrant, state: Grant) -> Sequence[GrantEvent]:
    if (command.start, command.end) in state.extensions:
        return []
    _require_status(state, *RUNNING)
    assert state.end <= command.start < command.end, "an extension follows the present span"
    seconds = int((command.end - command.start).total_seconds())
    return [
        GrantExtended(
            grant_id=command.grant_id,
            statement_id=command.statement_id,
            start=command.start,
            end=command.end,
            lots=command.lots,
            gpu_seconds=state.issued.nodes * state.issued.gpus_per_node * seconds,
        )
    ]


def find_new_span(command: RescheduleGrant, state: Grant) -> tuple[datetime, datetime]:
    """Return the new start and end of a grant that its startup shortens or moves.

    Raises:
        Refusal: ``grant_<status>`` · ``grant_bought`` · those of `rescheduling.find_span` · ``hours_resold``.
    """
    _require_status(state, *OPEN)
    issued = state.issued
    if issued.resale is not None:
        text = f"grant {issued.grant_id} was bought in a resale, whose span stays; keep it or end it for cause"
        raise Refusal("grant_bought", text)
    start, end = find_span(command, issued, state.status, is_dark=state.is_dark)
    first = min((part.start for part in state.resold), default=start)
    back = is_back(command.choice, command.start, issued)
    if command.choice == "moved" and (first < start or (back and state.resold)):
        raise Refusal(
            "hours_resold",
            f"hours of grant {issued.grant_id} were resold from {render_instant(first)} on and stay with their"
            " buyers; another start would replace them by other hours: shorten the grant, keep the rest or end it",
            pointer="/start",
            first=render_instant(first),
        )
    return start, end


def _reschedule(command: RescheduleGrant, state: Grant) -> Sequence[GrantEvent]:
    chosen = (command.choice, command.at, command.lots)
    if any((known.choice, known.at, known.lots) == chosen for known in state.rescheduled):
        return []
    start, end = find_new_span(command, state)
    issued = state.issued
    return [
        GrantRescheduled(
            grant_id=command.grant_id,
            choice=command.choice,
            start_before=issued.start,
            end_before=issued.end,
            start=start,
            end=end,
            lots=command.lots,
            gpu_seconds_cut=state.gpu_seconds_left - state.count_own(start, end),
            cash_commitment_usd=command.cash_commitment_usd,
            principal_commitment_usd=command.principal_commitment_usd,
            budget_commitment_usd=command.budget_commitment_usd,
            at=command.at,
            reason=f"{command.choice}, because {_say_why(command, state)}",
        )
    ]


def _say_why(command: RescheduleGrant, state: Grant) -> str:
    if is_back(command.choice, command.start, state.issued):
        return "its site is in time after all"
    return "no node of it works" if state.is_dark else "its site is late"


def _arrange(command: TransferGrant | PrioritiseGrant | MarkGrant, state: Grant) -> Sequence[GrantEvent]:
    if isinstance(command, TransferGrant):
        return _transfer(command, state)
    if isinstance(command, MarkGrant):
        return _mark(command, state)
    if state.priority == command.priority:
        return []
    _require_status(state, *OPEN)
    prioritised = GrantPrioritised(grant_id=command.grant_id, priority=command.priority)
    require_bounds(prioritised)
    return [prioritised]


def _mark(command: MarkGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.mark in {command.mark, "related"}:
        return []
    return [
        GrantMarked(
            grant_id=command.grant_id, mark=command.mark, relation_id=command.relation_id, reason=command.reason
        )
    ]


def _transfer(command: TransferGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.startup_id == command.startup_id:
        return []
    _require_status(state, *OPEN)
    return [
        GrantTransferred(grant_id=command.grant_id, startup_id=command.startup_id, startup_id_before=state.startup_id)
    ]


def require_user(state: Grant, party_id: str | None, *, user_suspended: bool) -> None:
    """Refuse to let who pays for a grant hand it on while another startup, which is not suspended, uses it by transfer.

    Raises:
        Refusal: ``grant_transferred``.
    """
    if party_id in {None, state.startup_id} or user_suspended:
        return
    raise Refusal(
        "grant_transferred",
        f"{state.startup_id} uses grant {state.issued.grant_id}, which you handed on and pay for; only it hands"
        " it on, unless the platform suspends it",
    )


def require_resale(state: Grant, nodes: int, start: datetime, end: datetime) -> None:
    """Refuse to resell nodes that the grant does not have, or whose startup may not sell them.

    Raises:
        Refusal: ``grant_<status>`` · ``grant_bought`` · ``grant_transferred`` · ``grant_staged`` · ``time_naive`` ·
            ``span_empty`` · ``resale_outside_grant`` · ``resale_above_grant``.
    """
    issued = state.issued
    _require_status(state, *RESELLABLE)
    if issued.resale is not None:
        raise Refusal(
            "grant_bought", f"grant {issued.grant_id} was itself bought in a resale; capacity is resold only once"
        )
    if state.startup_id != issued.startup_id:
        raise Refusal(
            "grant_transferred",
            f"grant {issued.grant_id} is paid by {issued.startup_id} and used by {state.startup_id}; only a startup"
            " that both"
            " pays for and uses a grant may resell it",
        )
    if issued.stages is not None:
        raise Refusal(
            "grant_staged",
            f"the cash of grant {issued.grant_id} is set aside in stages; only a grant paid in advance can be resold",
        )
    require_span(start, end, "/end")
    if start < issued.start or end > state.end:
        raise Refusal(
            "resale_outside_grant",
            f"the grant runs from {render_instant(issued.start)} to {render_instant(state.end)}; sell a span within it",
            pointer="/start",
        )
    peak, where = find_peak([*state.list_resold(), Load(start, end, nodes)], start, end)
    if peak > issued.nodes:
        raise Refusal(
            "resale_above_grant",
            f"the grant has {issued.nodes} nodes; with this, {peak} would be resold at {render_instant(where)}; sell"
            " fewer",
            pointer="/nodes",
            grant_id=issued.grant_id,
            missing=peak - issued.nodes,
            at=render_instant(where),
        )


def _part(command: ResellGrant | AddServiceLine, state: Grant) -> Sequence[GrantEvent]:
    if isinstance(command, ResellGrant):
        return _resell(command, state)
    if command.service_line_id in state.service_lines:
        return []
    _require_status(state, *OPEN)
    if command.at >= state.end:
        raise Refusal(
            "grant_over",
            f"grant {command.grant_id} ended at {render_instant(state.end)}; agree on a service line of another grant",
        )
    if len(state.service_lines) >= SERVICE_LINES_MAX:
        raise Refusal(
            "service_lines_too_many",
            f"grant {command.grant_id} has {SERVICE_LINES_MAX} service lines, the most allowed",
        )
    return [GrantServiceLineAdded(grant_id=command.grant_id, service_line_id=command.service_line_id)]


def _resell(command: ResellGrant, state: Grant) -> Sequence[GrantEvent]:
    sold = command.resold
    if sold in state.resold:
        return []
    require_resale(state, sold.nodes, sold.start, sold.end)
    require_bounds(sold)
    return [sold]


def _collect(command: CollectStage, state: Grant) -> Sequence[GrantEvent]:
    """Return the payment of the stages that are due, or else the next step: missed, withheld, or the end of that.

    Nothing if neither is due. A startup that asks to pay is refused instead: ``grant_<status>`` · ``stages_paid``.
    """
    issued = state.issued
    if issued.stages is None:
        raise Refusal("grant_prepaid", f"all of the cash of grant {issued.grant_id} is set aside already")
    if command.at >= state.end or state.phase == "completed":
        if command.is_asked:
            raise refuse_status("grant", issued.grant_id, state.status, "before its end")
        return _end_withholding(command, state, is_paid=False)
    missing_usd = command.needed_usd - command.set_aside_usd
    if missing_usd <= 0:
        if command.is_asked:
            raise Refusal("stages_paid", f"every stage of grant {issued.grant_id} is paid")
        is_over = state.missed is None and (not issued.credit_usd or command.stages <= state.stages_paid)
        if is_over:
            return []
        missing_usd = ZERO
    if not command.is_asked and missing_usd > command.available_usd:
        return _chase(command, state, missing_usd) if command.is_chased else []
    paid = GrantStagePaid(
        grant_id=issued.grant_id,
        stages_paid=command.stages,
        amount_usd=missing_usd,
        set_aside_usd=command.set_aside_usd + missing_usd,
        at=command.at,
    )
    return [*_end_withholding(command, state, is_paid=True), paid]


def _chase(command: CollectStage, state: Grant, missing_usd: Decimal) -> Sequence[GrantEvent]:
    """Return the next step while the cash of a stage is missing; none while no node works."""
    grant_id = state.issued.grant_id
    if not state.nodes_working:
        return []
    if state.missed is None:
        stage, until = min(state.stages_paid + 1, command.stages), command.at + CURE
        return [GrantStageMissed(grant_id=grant_id, stage=stage, amount_usd=missing_usd, cure_until=until)]
    if state.withheld is not None:
        return _end_withholding(command, state, is_paid=False) if command.at >= state.withheld.ends_at else []
    if command.at < state.missed.cure_until:
        return []
    ends_at = min(command.at + command.notice, state.end)
    return [GrantWithheld(grant_id=grant_id, at=command.at, ends_at=ends_at)]


def _end_withholding(command: CollectStage, state: Grant, *, is_paid: bool) -> list[GrantEvent]:
    """Return the end of a withholding, with what it costs; nothing if delivery is not withheld."""
    if state.withheld is None:
        return []
    grant_id, number = state.issued.grant_id, len(state.withholdings)
    is_free = command.is_silent and not is_paid
    return [
        GrantWithholdingEnded(
            grant_id=grant_id,
            since=state.withheld.at,
            at=min(command.at, state.end),
            gpu_seconds=0 if is_free else command.gpu_seconds_withheld,
            damages_usd=ZERO if is_free else command.damages_usd,
            payment_id=derive_id("dmg", grant_id, str(number)),
            is_paid=is_paid,
        )
    ]


def _complete(command: CompleteGrant, state: Grant) -> Sequence[GrantEvent]:
    if state.status == "completed":
        return []
    _require_status(state, *RUNNING)
    _require_due(command.grant_id, command.at, state.end, "ends")
    return [GrantCompleted(grant_id=command.grant_id, gpu_seconds_accepted=command.gpu_seconds_accepted)]


def _terminate(command: TerminateGrant, state: Grant) -> Sequence[GrantEvent]:
    at = min(max(command.at, state.issued.start), state.end)
    if state.phase != "terminated":
        _require_status(state, *OPEN)
    if command.at > state.end and not command.is_ordered:
        text = f"the grant ends at {render_instant(state.end)} already; end it at an earlier instant"
        raise Refusal("outside_grant", text, pointer="/at")
    if at >= state.end:  # It ends then already. A notice that shortens nothing would stop its resales.
        return []
    failed = 0
    if command.for_cause:
        status = state.condition if state.phase == "terminated" else state.status
        since = None if command.is_repaired else command.failing_since or state.failing_since
        before = state.failed_before if command.failed_before is None else command.failed_before
        is_few = 0 < count_failed(state, command.noticed_at) < FEW_FAILED * state.issued.nodes
        answer_by = None if command.is_chronic else find_answer_time(since, before)
        if since is not None and is_few:
            answer_by = command.few_until or since + FEW_ANSWERED_WITHIN
        if command.nodes_uncharged or command.provider_suspended:
            answer_by = None
        if not command.is_put_off:
            require_cause(command, status, answer_by, state.issued.start, is_withheld=state.withheld is not None)
        if command.by == "startup":
            uncharged = 0 if state.phase == "issued" else command.nodes_uncharged
            failed = max(uncharged, count_failed(state, command.noticed_at))
            failed = state.issued.nodes if command.is_put_off else failed
    elif not command.is_ordered:
        require_notice(command, state.issued, at, state.end)
        _require_first(command, state)
    fee = find_fee(command, state, at)
    return [
        GrantTerminated(
            grant_id=command.grant_id,
            at=at,
            by=command.by,
            noticed_at=command.noticed_at,
            reason=command.reason,
            for_cause=command.for_cause,
            fee_usd=fee.fee_usd,
            nodes_failed=failed,
            reseller_receives_usd=fee.reseller_receives_usd,
            reseller_pays_usd=fee.reseller_pays_usd,
            returned_grant_id=command.returned_grant_id,
            announced_at=command.announced_at,
        )
    ]


def _require_first(command: TerminateGrant, state: Grant) -> None:
    """Refuse a buyer of resold hours to bring its own end forward: its seller has the hours after that again.

    Raises:
        Refusal: ``grant_bought``.
    """
    if state.issued.resale is None or command.by != "startup":
        return
    for ended in state.terminations:
        if ended.by == "startup" and not ended.for_cause:
            raise Refusal(
                "grant_bought",
                f"grant {command.grant_id} was bought in a resale and ends early already, at"
                f" {render_instant(ended.at)}; its seller counts on that, so keep it until then, or end it for cause",
                pointer="/at",
                at=render_instant(ended.at),
            )


def count_failed(state: Grant, at: datetime) -> int:
    """Return how many nodes of a grant did not work at an instant, by the reports; all of them before its start."""
    if at < state.issued.start:
        return state.issued.nodes
    working = (
        outage.nodes for outage in state.outages if outage.start <= at and (outage.end is None or at < outage.end)
    )
    return state.issued.nodes - min(working, default=state.issued.nodes)


def find_fee(command: TerminateGrant, state: Grant, at: datetime) -> EndFee:
    """Return what an early end of a grant costs the side that ends it, if delivery ends at `at`."""
    cut = Cut(state.count_left(at), command.announced_at or command.noticed_at, state.end)
    return find_end_fee(command, state.issued, at, cut, _list_cuts(state, command.by))


def _list_cuts(state: Grant, by: Side) -> Iterator[Cut]:
    """Yield what the ends of a grant that a side announced without cause left undelivered."""
    last = max([state.issued.end, *(end for _, end in state.extensions)])
    for ended in state.terminations:
        if ended.by == by and not ended.for_cause:
            yield Cut(replace(state, end=last).count_left(ended.at), ended.noticed_at, state.end)
        last = ended.at


def evolve(state: GrantState, event: GrantEvent) -> GrantState:
    """Return the state after an event."""
    if isinstance(event, GrantIssued):
        nodes, mark = event.nodes, event.mark
        return Grant(event, "issued", event.startup_id, event.pool_id, event.lots, event.end, nodes, mark=mark)
    assert state is not None, "a grant is issued first"
    match event:
        case GrantActivated():
            return replace(state, phase="running")
        case GrantDegraded() | GrantSuspended() | GrantResumed():
            return _evolve_nodes(state, event)
        case GrantStagePaid() | GrantStageMissed() | GrantWithheld() | GrantWithholdingEnded():
            return _evolve_stages(state, event)
        case GrantCompleted():
            return replace(state, phase="completed")
        case GrantRescheduled():
            return _begin_anew(state, event)
        case GrantTerminated():
            ended = state.gpu_seconds_ended + state.count_left(event.at)
            terminations = (*state.terminations, event)
            return replace(state, phase="terminated", end=event.at, terminations=terminations, gpu_seconds_ended=ended)
        case _:
            return _hand_over(state, event)


def _hand_over(
    state: Grant,
    event: GrantSubstituted
    | GrantExtended
    | GrantTransferred
    | GrantPrioritised
    | GrantResold
    | GrantMarked
    | GrantServiceLineAdded,
) -> Grant:
    match event:
        case GrantServiceLineAdded():
            return replace(state, service_lines=(*state.service_lines, event.service_line_id))
        case GrantPrioritised():
            return replace(state, priority=event.priority)
        case GrantMarked():
            return replace(state, mark=event.mark)
        case GrantExtended():
            extensions = (*state.extensions, (event.start, event.end))
            return replace(state, end=event.end, lots=(*state.lots, *event.lots), extensions=extensions)
        case GrantSubstituted():
            pools_before = state.pools_before | {state.pool_id}
            return replace(state, pool_id=event.pool_id, lots=event.lots, pools_before=pools_before)
        case GrantTransferred():
            return replace(state, startup_id=event.startup_id)
        case GrantResold():
            return replace(state, resold=(*state.resold, event))


def _begin_anew(state: Grant, event: GrantRescheduled) -> Grant:
    """Return a grant that is issued again with another span. What its provider had to repair it counts on."""
    since = state.failing_since
    past = ((since, event.at),) if since is not None and since < event.at else ()
    equity = state.issued.equity
    if equity is not None:
        principal_usd, budget_usd = event.principal_commitment_usd, event.budget_commitment_usd
        equity = structs.replace(equity, principal_commitment_usd=principal_usd, budget_commitment_usd=budget_usd)
    issued = structs.replace(
        state.issued,
        start=event.start,
        end=event.end,
        lots=event.lots,
        cash_commitment_usd=event.cash_commitment_usd,
        equity=equity,
    )
    return replace(
        state,
        issued=issued,
        phase="issued",
        lots=event.lots,
        end=event.end,
        nodes_available=issued.nodes,
        condition="active",
        reason=None,
        outages=(),
        failing_since=None,
        failed_before=(*state.failed_before, *past),
        follows_pool=False,
        rescheduled=(*state.rescheduled, event),
    )


def _evolve_stages(
    state: Grant, event: GrantStagePaid | GrantStageMissed | GrantWithheld | GrantWithholdingEnded
) -> Grant:
    match event:
        case GrantStagePaid():
            return replace(state, stages_paid=event.stages_paid, missed=None)
        case GrantStageMissed():
            return replace(state, missed=event)
        case GrantWithheld():
            return replace(state, withheld=event)
        case GrantWithholdingEnded():
            past, damages_usd = (*state.withholdings, event), state.damages_usd + event.damages_usd
            return replace(state, withheld=None, withholdings=past, damages_usd=damages_usd)


def _evolve_nodes(state: Grant, event: GrantDegraded | GrantSuspended | GrantResumed) -> Grant:
    if isinstance(event, GrantDegraded) and event.until is not None:
        outage = Outage(event.at, event.until, event.nodes_available, event.reported_at)
        return replace(state, outages=(*state.outages, outage))
    closed = _close_outages(state, event)
    if isinstance(event, GrantResumed):
        nodes, since = state.issued.nodes, state.failing_since
        past = ((since, event.at),) if since is not None and since < event.at else ()
        state = replace(state, failing_since=None, follows_pool=False, failed_before=(*state.failed_before, *past))
        return replace(state, condition="active", nodes_available=nodes, reason=None, outages=closed)
    since = state.failing_since or event.reported_at or event.at
    if isinstance(event, GrantSuspended):
        told = (event.reported_at or event.at,) if event.by == "startup" else ()
        return replace(
            state,
            missing_at=(*state.missing_at, *told),
            condition="suspended",
            nodes_available=0,
            outages=(*closed, Outage(event.at, None, 0, event.reported_at, event.by)),
            failing_since=since,
            follows_pool=False,
        )
    nodes = event.nodes_available
    outages = (*closed, Outage(event.at, None, nodes, event.reported_at))
    return replace(
        state,
        condition="degraded",
        nodes_available=nodes,
        reason=event.reason,
        outages=outages,
        failing_since=since,
        follows_pool=event.follows_pool,
    )


def _close_outages(state: Grant, event: GrantDegraded | GrantSuspended | GrantResumed) -> tuple[Outage, ...]:
    """Return the outages, with those still open ended at an instant, and without those that began later.

    What the startup reported lasts until a node works, and its own report ends no other.
    """
    kept = set[Side]()
    if isinstance(event, GrantSuspended) or (isinstance(event, GrantDegraded) and not event.nodes_available):
        kept.add("startup")
    if isinstance(event, GrantSuspended) and event.by == "startup":
        kept.add("provider")
    return tuple(
        outage if outage.end is not None or outage.by in kept else replace(outage, end=event.at)
        for outage in state.outages
        if outage.end is not None or outage.by in kept or outage.start < event.at
    )


GRANT: Decider[GrantCommand, GrantEvent, GrantState] = Decider("grant", "grt", None, decide, evolve)
