"""Reliability: how well a provider has delivered so far, from events alone.

The score is the product of three exact shares. Each is taken by GPU-seconds and by price, at what the provider is
owed for each grant, and the lower one counts. So nothing is offset by what is large and cheap, or small and expensive.
Each is 1 without a history:

- uptime: of the GPU-seconds due under grants, less the resold ones, the share that worked. Nodes that were down while a
  grant was degraded or suspended are lost, and so are the hours that a startup took off a grant whose site was late. A
  run counts when it ends or when a statement closes its period. If availability was promised, the service result of the
  statement replaces the runs counted so far in its period, and its adjustments correct it: what they take counts when
  they are issued, what they add once they are accepted, since its readings may still be voided. What worked on the
  provider's own credit, or under a promise that counts incidents alone, counts once it is paid: a statement adds no
  more than it charges. A match that won, and whose capacity the provider withdrew after the lock in whatever way, was
  due and is lost in full; so is one of resold nodes whose grant the provider reported as failing.
- completion: of the grants that ran to their end or were ended early by the provider's fault, the share of those that
  ran to their end. A grant counts whole, less what was resold of it, and only once it is over: what it delivered until
  then counts in uptime. The provider is at fault if it ended a grant without cause, or if the startup did because nodes
  failed. A grant of which, as its statements say, less than a hundredth worked is not completed. A match whose capacity
  was withdrawn counts as a grant that it ended.
- undisputed: of the GPU-seconds that were accepted or given up in disputes, the share that was accepted.

Invariants:
    1. Every share is between 0 and 1, and so is the score.
    2. Reliability depends only on the order and content of events, so a replay gives the same.
    3. A grant that a startup or the platform ends does not count against the provider.
    4. A trade of related parties, or of own capacity, adds nothing good. If such a trade is marked later, its good
       results (worked, completed, accepted) are subtracted again and its bad results (lost, broken, given up) stay. So
       no mark raises a share.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Final

from immutables import Map

from events.grant import (
    GrantActivated,
    GrantCompleted,
    GrantDegraded,
    GrantIssued,
    GrantMarked,
    GrantRescheduled,
    GrantResold,
    GrantResumed,
    GrantSuspended,
    GrantTerminated,
)
from events.order import LostMatch, OrderUnmatched
from events.statement import Adjustment, StatementAccepted, StatementCredited, StatementIssued, StatementResolved
from events.types import Event
from marketplace.core.money import SECONDS_PER_HOUR
from marketplace.domain.delivery.grant_notice import find_owed
from marketplace.domain.delivery.periods import PERIOD

_Timed = (
    GrantIssued
    | GrantActivated
    | GrantDegraded
    | GrantSuspended
    | GrantResumed
    | GrantRescheduled
    | GrantCompleted
    | GrantTerminated
    | StatementIssued
    | StatementResolved
    | StatementAccepted
    | StatementCredited
)
ReliabilityEvent = _Timed | GrantResold | GrantMarked
LEFT_OUT: Final = frozenset({"related", "own_capacity"})
"""Marks of grants that count in no reliability. What a provider alone states (`named`) keeps nothing out of it."""
COUNTED: Final = ReliabilityEvent.__args__
"""The event types of grants that affect reliability."""
WITHDRAWN: Final = frozenset(
    {"lot_not_offered", "lot_sold", "nodes_failed", "pool_closing", "pool_full", "site_power_exceeded"}
)
"""Refusals of a match that say that its provider no longer has the capacity."""
SOURCE_FAILED: Final = frozenset({"grant_degraded", "grant_suspended"})
"""The same of a match that takes resold nodes: those of the seller's grant no longer work."""

MICROS: Final = 10**6
"""The parts of a US dollar in which a grant's price weighs its GPU-seconds."""


@dataclass(frozen=True, slots=True)
class Course:
    """One grant in progress.

    Attributes:
        provider_id: Who delivers.
        gpus_per_node: GPUs of one node.
        nodes: Nodes granted.
        working: Nodes that work, by the last report.
        counted_until: The instant up to which its runs are in the record; its start at first.
        price: What the provider is owed for a GPU-hour, in millionths of a US dollar.
        running: Whether it was handed over and has not ended.
        resold: Spans in seconds since 1970, and the nodes that are due under the buyers' grants instead.
        stated_until: End of the last stated period, its start at first; None if nothing is promised.
        due_since: GPU-seconds that it added to the record for runs after that.
        lost_since: The lost part of them.
        once_charged: Whether what worked counts only once a statement charges it, because the provider gives credit
            for it, or because a silent meter breaks no promise of it.
        unpaid: GPU-seconds that worked and are not charged yet, which count then.
        left_out: Whether its events count no more, because it is a trade of related parties or of own capacity.
        worked: What it added to the record: GPU-seconds that worked.
        completed: What it added to the grants completed.
        accepted: What it added to the GPU-seconds accepted.
        gpu_seconds: GPU-seconds of its whole span as issued, less the resold ones.
        kept: What it added to the GPU-seconds of grants completed.
        cents: What the provider is owed for these GPU-seconds, in US cents.
        cents_kept: What it added to the price of grants completed.
        broken: Whether it counts as broken; a further end of it counts no more.
    """

    provider_id: str
    gpus_per_node: int
    nodes: int
    working: int
    counted_until: datetime
    price: int
    running: bool = False
    resold: tuple[tuple[int, int, int], ...] = ()
    stated_until: datetime | None = None
    due_since: int = 0
    lost_since: int = 0
    once_charged: bool = False
    unpaid: int = 0
    left_out: bool = False
    worked: int = 0
    completed: int = 0
    accepted: int = 0
    gpu_seconds: int = 0
    kept: int = 0
    cents: int = 0
    cents_kept: int = 0
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What a provider has delivered so far.

    Attributes:
        gpu_seconds_due: GPU-seconds of runs that are over, and of matches that were lost.
        gpu_seconds_lost: Those during which the nodes did not work.
        grants_completed: Grants that ran to their end.
        grants_broken: Grants that ended early by the provider's fault, and matches whose capacity it withdrew.
        gpu_seconds_completed: GPU-seconds of the grants completed.
        gpu_seconds_broken: GPU-seconds of the grants broken.
        gpu_seconds_accepted: GPU-seconds of accepted statements.
        gpu_seconds_conceded: GPU-seconds given up in disputes.
        cents_completed: The price of the grants completed, in US cents.
        cents_broken: The price of the grants broken, in US cents.
        value_worked: Each grant's GPU-seconds that worked, times its price (`Course.price`).
        value_lost: GPU-seconds lost, times the price.
        value_accepted: GPU-seconds accepted, times the price.
        value_conceded: GPU-seconds given up, times the price.
    """

    gpu_seconds_due: int = 0
    gpu_seconds_lost: int = 0
    grants_completed: int = 0
    grants_broken: int = 0
    gpu_seconds_completed: int = 0
    gpu_seconds_broken: int = 0
    gpu_seconds_accepted: int = 0
    gpu_seconds_conceded: int = 0
    cents_completed: int = 0
    cents_broken: int = 0
    value_worked: int = 0
    value_lost: int = 0
    value_accepted: int = 0
    value_conceded: int = 0


@dataclass(frozen=True, slots=True)
class Reliability:
    """The three shares of a provider's reliability, exact, each from 0 to 1; the module defines them."""

    uptime: Fraction
    completion: Fraction
    undisputed: Fraction

    @property
    def score(self) -> Fraction:
        """Return the product of the shares."""
        return self.uptime * self.completion * self.undisputed


@dataclass(frozen=True, slots=True)
class ReliabilityState:
    """Every grant so far, by id, and every provider's record, by provider."""

    courses: Map[str, Course] = field(default_factory=Map)
    records: Map[str, Record] = field(default_factory=Map)


def compute_reliability(record: Record) -> Reliability:
    """Return the shares of a record, each from 0 to 1; 1 without a history."""
    return Reliability(
        uptime=min(
            _share(record.gpu_seconds_due - record.gpu_seconds_lost, record.gpu_seconds_lost),
            _share(record.value_worked, record.value_lost),
        ),
        completion=min(
            _share(record.gpu_seconds_completed, record.gpu_seconds_broken),
            _share(record.cents_completed, record.cents_broken),
        ),
        undisputed=min(
            _share(record.gpu_seconds_accepted, record.gpu_seconds_conceded),
            _share(record.value_accepted, record.value_conceded),
        ),
    )


def _share(good: int, bad: int) -> Fraction:
    return Fraction(good, good + bad) if good + bad else Fraction(1)


def evolve(state: ReliabilityState, event: Event) -> ReliabilityState:
    """Return the reliability of providers after an event of the log. Most events change nothing."""
    if isinstance(event, OrderUnmatched) and event.lost is not None:
        provider_id = event.lost.provider_id
        record = count_lost(event.lost, state.records.get(provider_id, Record()))
        return replace(state, records=state.records.set(provider_id, record))
    if not isinstance(event, COUNTED):
        return state
    if isinstance(event, GrantIssued):
        return replace(state, courses=state.courses.set(event.grant_id, begin(event)))
    course = state.courses.get(event.grant_id)
    if course is None:
        return state  # the first event of the grant is lost or passed over
    after, record = advance(event, course, state.records.get(course.provider_id, Record()))
    return ReliabilityState(state.courses.set(event.grant_id, after), state.records.set(course.provider_id, record))


def begin(event: GrantIssued) -> Course:
    """Return the course of a newly issued grant."""
    stated_until = None if event.service is None else event.start
    gpu_seconds = event.nodes * event.gpus_per_node * int((event.end - event.start).total_seconds())
    owed = find_owed(event)
    return Course(
        event.provider_id,
        event.gpus_per_node,
        event.nodes,
        event.nodes,
        event.start,
        round(owed * MICROS),
        stated_until=stated_until,
        once_charged=bool(event.credit_usd) or (event.service is not None and event.service.measure == "incidents"),
        left_out=event.mark in LEFT_OUT,
        gpu_seconds=gpu_seconds,
        cents=round(owed * Fraction(100 * gpu_seconds, SECONDS_PER_HOUR)),
    )


def count_lost(lost: LostMatch, record: Record) -> Record:
    """Return a provider's record after it withdrew the capacity of a match."""
    return replace(
        record,
        gpu_seconds_due=record.gpu_seconds_due + lost.gpu_seconds,
        gpu_seconds_lost=record.gpu_seconds_lost + lost.gpu_seconds,
        grants_broken=record.grants_broken + 1,
        gpu_seconds_broken=record.gpu_seconds_broken + lost.gpu_seconds,
        cents_broken=record.cents_broken + round(lost.price_usd * 100),
        value_lost=record.value_lost + round(lost.price_usd * MICROS * SECONDS_PER_HOUR),
    )


def advance(event: ReliabilityEvent, course: Course, record: Record) -> tuple[Course, Record]:
    """Return a grant's course and its provider's record after an event of the grant or one of its statements."""
    if course.left_out:
        return course, record
    if isinstance(event, GrantMarked):
        return _leave_out(event, course, record)
    if isinstance(event, GrantResold):
        part = (int(event.start.timestamp()), int(event.end.timestamp()), event.nodes)
        left = max(course.gpu_seconds - event.gpu_seconds, 0)
        cents = round(Fraction(course.cents * left, course.gpu_seconds)) if left else 0
        return replace(course, resold=(*course.resold, part), gpu_seconds=left, cents=cents), record
    after, counted = _advance(event, course, record)
    if course.once_charged:
        after, counted = _defer(event, after, record, counted)
    after = _attribute(after, record, counted)
    return after, _weigh(after, record, counted)


def _defer(event: ReliabilityEvent, course: Course, before: Record, after: Record) -> tuple[Course, Record]:
    """Subtract what worked and is not paid yet, and add what a statement pays of it; lost hours count at once."""
    worked = (after.gpu_seconds_due - after.gpu_seconds_lost) - (before.gpu_seconds_due - before.gpu_seconds_lost)
    unpaid = max(course.unpaid + worked, 0)
    paid = min(unpaid, event.charges.gpu_seconds) if isinstance(event, StatementAccepted) else 0
    due = after.gpu_seconds_due - (unpaid - course.unpaid) + paid
    return replace(course, unpaid=unpaid - paid), replace(after, gpu_seconds_due=due)


def _attribute(course: Course, before: Record, after: Record) -> Course:
    """Return a grant with the good part of what it added to its provider's record."""
    worked = (after.gpu_seconds_due - after.gpu_seconds_lost) - (before.gpu_seconds_due - before.gpu_seconds_lost)
    return replace(
        course,
        worked=course.worked + worked,
        completed=course.completed + after.grants_completed - before.grants_completed,
        accepted=course.accepted + after.gpu_seconds_accepted - before.gpu_seconds_accepted,
        kept=course.kept + after.gpu_seconds_completed - before.gpu_seconds_completed,
        cents_kept=course.cents_kept + after.cents_completed - before.cents_completed,
    )


def _weigh(course: Course, before: Record, after: Record) -> Record:
    """Return a record with what a grant added to its GPU-seconds, times the grant's price."""
    due, lost, accepted, conceded = (
        (getattr(after, name) - getattr(before, name)) * course.price
        for name in ("gpu_seconds_due", "gpu_seconds_lost", "gpu_seconds_accepted", "gpu_seconds_conceded")
    )
    return replace(
        after,
        value_worked=after.value_worked + due - lost,
        value_lost=after.value_lost + lost,
        value_accepted=after.value_accepted + accepted,
        value_conceded=after.value_conceded + conceded,
    )


def _leave_out(event: GrantMarked, course: Course, record: Record) -> tuple[Course, Record]:
    """Take a marked grant's good part off the record. What was lost, broken or given up stays, so no mark helps."""
    if event.mark not in LEFT_OUT:
        return course, record
    left = replace(
        record,
        gpu_seconds_due=record.gpu_seconds_due - course.worked,
        grants_completed=record.grants_completed - course.completed,
        gpu_seconds_accepted=record.gpu_seconds_accepted - course.accepted,
        gpu_seconds_completed=record.gpu_seconds_completed - course.kept,
        cents_completed=record.cents_completed - course.cents_kept,
        value_worked=record.value_worked - course.worked * course.price,
        value_accepted=record.value_accepted - course.accepted * course.price,
    )
    return replace(course, left_out=True), left


def _advance(event: _Timed, course: Course, record: Record) -> tuple[Course, Record]:
    match event:
        case GrantActivated():
            return replace(course, running=True), record
        case GrantDegraded() | GrantSuspended() | GrantResumed():
            return _evolve_nodes(event, course, record)
        case GrantRescheduled():
            return _begin_anew(event, course, record)
        case GrantTerminated():
            ended, record = _count_up_to(course, record, event.at, working=course.working)
            broken = _is_broken(event) and not course.broken
            record = replace(
                record,
                grants_broken=record.grants_broken + broken,
                gpu_seconds_broken=record.gpu_seconds_broken + broken * course.gpu_seconds,
                cents_broken=record.cents_broken + broken * course.cents,
            )
            return replace(ended, running=False, broken=course.broken or broken), record
        case GrantCompleted() if course.stated_until is not None and course.worked * 100 < course.gpu_seconds:
            return replace(course, running=False), record
        case GrantCompleted():
            record = replace(
                record,
                grants_completed=record.grants_completed + 1,
                gpu_seconds_completed=record.gpu_seconds_completed + course.gpu_seconds,
                cents_completed=record.cents_completed + course.cents,
            )
            return replace(course, running=False), record
        case StatementIssued():
            return (course, record) if event.service_line_id is not None else _state(event, course, record)
        case StatementResolved() | StatementAccepted() | StatementCredited():
            return course, _judge(event, record)
        case GrantIssued():
            return begin(event), record


def _begin_anew(event: GrantRescheduled, course: Course, record: Record) -> tuple[Course, Record]:
    """Count the hours that were taken off as lost, as far as they were not counted, and begin with the new span."""
    course, record = _count_up_to(course, record, event.at, working=course.nodes)
    counted = int((course.counted_until - event.start_before).total_seconds()) * course.nodes * course.gpus_per_node
    counted -= _count_resold(course, event.start_before, course.counted_until)
    lost = max(event.gpu_seconds_cut - counted, 0)
    left = max(course.gpu_seconds - event.gpu_seconds_cut, 0)
    anew = replace(
        course,
        running=False,
        counted_until=event.start,
        stated_until=None if course.stated_until is None else event.start,
        due_since=0,
        lost_since=0,
        gpu_seconds=left,
        cents=round(Fraction(course.cents * left, course.gpu_seconds)) if left else 0,
    )
    due, gone = record.gpu_seconds_due + lost, record.gpu_seconds_lost + lost
    return anew, replace(record, gpu_seconds_due=due, gpu_seconds_lost=gone)


def _evolve_nodes(
    event: GrantDegraded | GrantSuspended | GrantResumed, course: Course, record: Record
) -> tuple[Course, Record]:
    """Count the run up to a report about nodes. The statement of its period counts an outage that is over."""
    match event:
        case GrantDegraded():
            past = event.until is not None
            return (course, record) if past else _count_up_to(course, record, event.at, working=event.nodes_available)
        case GrantSuspended():
            return _count_up_to(course, record, event.at, working=0)
        case GrantResumed():
            return _count_up_to(course, record, event.at, working=course.nodes)


def _is_broken(event: GrantTerminated) -> bool:
    """Return whether the provider was at fault: only the other side's fault is a cause."""
    return event.by == ("startup" if event.for_cause else "provider")


def _judge(event: StatementResolved | StatementAccepted | StatementCredited, record: Record) -> Record:
    if isinstance(event, StatementCredited):
        accepted = record.gpu_seconds_accepted - event.charges.gpu_seconds
        lost = record.gpu_seconds_lost + _find_change(event.adjustment)
        return replace(record, gpu_seconds_accepted=accepted, gpu_seconds_lost=lost)
    if isinstance(event, StatementAccepted):
        return replace(
            record,
            gpu_seconds_accepted=record.gpu_seconds_accepted + event.charges.gpu_seconds,
            gpu_seconds_lost=record.gpu_seconds_lost + event.unavailable_change,
        )
    conceded = event.charges_before.gpu_seconds - event.charges.gpu_seconds
    return replace(record, gpu_seconds_conceded=record.gpu_seconds_conceded + conceded)


def _state(event: StatementIssued, course: Course, record: Record) -> tuple[Course, Record]:
    """Count a period that is over. If something was promised, the statement's service result is counted."""
    if event.adjustment is not None:
        change = max(_find_change(event.adjustment), 0)
        return course, replace(record, gpu_seconds_lost=record.gpu_seconds_lost + change)
    course, record = _count_up_to(course, record, event.period_end, working=course.working)
    result = event.service
    if result is None or course.stated_until is None:
        return course, record
    counted = replace(
        record,
        gpu_seconds_due=record.gpu_seconds_due + result.gpu_seconds_promised - course.due_since,
        gpu_seconds_lost=record.gpu_seconds_lost + result.gpu_seconds_unavailable - course.lost_since,
    )
    until = max(course.counted_until, event.period_end)
    return replace(course, counted_until=until, stated_until=event.period_end, due_since=0, lost_since=0), counted


def _find_change(adjustment: Adjustment) -> int:
    """Return what more of a stated period was unavailable than was counted; negative if less was."""
    return adjustment.unavailable_after - adjustment.unavailable_before


def _count_up_to(course: Course, record: Record, at: datetime, *, working: int) -> tuple[Course, Record]:
    """Count the run up to an instant. What was already counted does not change.

    If something was promised, no run is counted beyond the period that is stated next, because its statement contains
    the service result.
    """
    if course.stated_until is not None:
        at = min(at, course.stated_until + PERIOD)
    if not course.running or at <= course.counted_until:
        return replace(course, working=working), record
    seconds = int((at - course.counted_until).total_seconds()) * course.gpus_per_node
    due = course.nodes * seconds - _count_resold(course, course.counted_until, at)
    lost = min((course.nodes - course.working) * seconds, due)
    counted = replace(
        record, gpu_seconds_due=record.gpu_seconds_due + due, gpu_seconds_lost=record.gpu_seconds_lost + lost
    )
    due_since, lost_since = course.due_since + due, course.lost_since + lost
    return replace(course, working=working, counted_until=at, due_since=due_since, lost_since=lost_since), counted


def _count_resold(course: Course, since: datetime, until: datetime) -> int:
    """Return the GPU-seconds of resold nodes, due to their buyers, from one instant to another."""
    begin, end = int(since.timestamp()), int(until.timestamp())
    spans = ((max(start, begin), min(stop, end), nodes) for start, stop, nodes in course.resold)
    return sum(max(stop - start, 0) * nodes for start, stop, nodes in spans) * course.gpus_per_node
