"""Service lines: hours of work that belong to a grant. They are agreed on, metered, and closed with it.

Subject: ``marketplace.service_line.<service_line_id>``.

Invariants:
    1. It is agreed on once. If the holder of the grant's equity is not the provider, the holder approves first.
    2. A reading (source, id) counts once; the same id with other content is a conflict, never an edit.
    3. Counted hours never exceed the agreed ones. Each reading counts in one statement period, the one it ends in.
    4. A reading counts at most the hours that the agreed number of workers has in its interval, and all readings
       together what they had since the agreement.
    5. Once the grant's spans were copied to the service line, nothing outside of them counts, even if a caller states
       older spans (ADR 8).

Answers in order, per reading: duplicate · conflict (reading_exists) · rejected (a fault) · accepted.

Faults in order: time_naive · span_empty · seconds_not_whole · not_a_number · amount_not_positive · amount_too_large ·
amount_too_precise · outside_grant · before_agreement · from_the_future · service_line_closed · interval_too_long ·
hours_above_agreement · hours_above_time · readings_exhausted.

Refusals in order: service_line_unknown · service_line_exists · not_a_number · amount_not_positive · amount_too_large ·
amount_too_precise · service_line_<status> · approval_missing · amount_too_large · readings_missing ·
readings_too_many · reading_unknown · reading_voided, then, for a correction, its faults.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal

from immutables import Map

from events.service_line import (
    HoursReading,
    Run,
    ServiceLineAgreed,
    ServiceLineApproved,
    ServiceLineClosed,
    ServiceLineCorrected,
    ServiceLineDeclined,
    ServiceLineEvent,
    ServiceLineLimited,
    ServiceLineProposed,
    ServiceLineReported,
    ServiceLineVoided,
)
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, require_hours, require_price
from marketplace.domain.billing.service_line_commands import (
    AgreeServiceLine,
    ApproveServiceLine,
    CloseServiceLine,
    CorrectHours,
    DeclineServiceLine,
    LimitServiceLine,
    ProposeServiceLine,
    ReportHours,
    ServiceLineCommand,
    Spans,
    VoidHours,
)
from marketplace.domain.metering.usage import require_report
from marketplace.domain.metering.usage_commands import Answer
from marketplace.domain.metering.usage_record import (
    answer_elsewhere,
    answer_other,
    find_interval_fault,
    find_late_fault,
)
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown

HoursEvent = ServiceLineReported | ServiceLineCorrected | ServiceLineVoided
KEPT_MAX: Final = 10_000
"""The most readings of one service line, including voided ones."""
PRINCIPAL_PER_HOUR_USD_MAX: Final = 500
"""The most principal per hour of work, in USD."""
Status = Literal["proposed", "agreed", "declined", "closed"]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """A proposed or agreed service line.

    Attributes:
        proposed: The proposal.
        status: Hours may be worked while it is agreed.
        approved: Whether the equity holder approved.
        agreed: The agreement; None before it.
        readings: Counted readings by source and id; None for a voided one.
        hours: Sum of the counted hours.
        spans: When its grant runs, as last copied from it; None if never copied.
    """

    proposed: ServiceLineProposed
    status: Status = "proposed"
    approved: bool = False
    agreed: ServiceLineAgreed | None = None
    readings: Map[Key, HoursReading | None] = field(default_factory=Map)
    hours: Decimal = ZERO
    spans: Spans | None = None

    @property
    def terms(self) -> ServiceLineAgreed:
        """Return the agreement, which there must be."""
        assert self.agreed is not None, "only an agreed service line is metered"
        return self.agreed


ServiceLineState = ServiceLine | None


def sum_hours(state: ServiceLine, start: datetime, end: datetime) -> Decimal:
    """Return the hours of readings that end after `start` and up to `end`."""
    counted = (reading for reading in state.readings.values() if reading is not None)
    return sum((reading.hours for reading in counted if start < reading.end <= end), ZERO)


def find_last_end(state: ServiceLine, after: datetime) -> datetime:
    """Return the instant at which the last counted hours end, or `after` if that is later."""
    return max((after, *(reading.end for reading in state.readings.values() if reading is not None)))


def answer_hours(command: ReportHours, state: ServiceLine) -> list[tuple[Answer, HoursReading | None]]:
    """Return the answer to each reading, in order, with the reading itself if it is accepted, else None."""
    answers: list[tuple[Answer, HoursReading | None]] = []
    for reading in command.readings:
        answered = _answer(command, reading, state)
        accepted = reading if answered.outcome == "accepted" else None
        if accepted is not None:
            state = _count(state, command.source, accepted)
        answers.append((answered, accepted))
    return answers


def _answer(command: ReportHours, reading: HoursReading, state: ServiceLine) -> Answer:
    name, key = reading.reading_id, (command.source, reading.reading_id)
    if key in state.readings:
        if state.readings[key] == reading:
            return Answer(name, "duplicate")
        return answer_other(name, voided=state.readings[key] is None)
    if name in command.elsewhere:
        return answer_elsewhere(name, command.elsewhere[name])
    fault = _find_fault(reading, command.spans, command.at, state)
    return Answer(name, "accepted") if fault is None else Answer(name, "rejected", fault.code, fault.message)


def _find_fault(reading: HoursReading, known: Spans, at: datetime, state: ServiceLine) -> Refusal | None:
    """Return the first fault of a reading; None if it may count."""
    start, end, agreed = reading.start, reading.end, state.terms
    spans = known if state.spans is None else state.spans
    fault = find_interval_fault(start, end)
    if fault is not None:
        return fault
    try:
        require_hours(reading.hours, "/hours")
    except Refusal as refusal:
        return refusal
    if not any(first <= start and end <= last for first, last in spans):
        runs = ", ".join(f"from {render_instant(first)} to {render_instant(last)}" for first, last in spans)
        text = f"the grant runs {runs}; report hours within it" if runs else "the grant ended before it began"
        return Refusal("outside_grant", text)
    if start < agreed.at:
        return Refusal(
            "before_agreement",
            f"hours count from {render_instant(agreed.at)} on, when the service line was agreed on; report later ones",
        )
    settled = "the grant is fully settled; readings can only be lowered or voided"
    closed = Refusal("service_line_closed", settled) if state.status == "closed" else None
    return find_late_fault(start, end, at, closed) or _find_excess(reading, at, state)


def _find_excess(reading: HoursReading, at: datetime, state: ServiceLine) -> Refusal | None:
    agreed = state.terms
    if state.hours + reading.hours > agreed.hours:
        reported, most, more = (f"{each.normalize():f}" for each in (state.hours, agreed.hours, reading.hours))
        return Refusal(
            "hours_above_agreement",
            f"{reported} of {most} hours are already reported, too many for {more} more; agree on another service"
            " line for the rest",
        )
    workers = state.proposed.workers
    for hours, since, until in (
        (reading.hours, reading.start, reading.end),
        (state.hours + reading.hours, agreed.at, at),
    ):
        worked = Fraction(workers * ((until - since) // timedelta(seconds=1)), SECONDS_PER_HOUR)
        if hours * 100 > math.ceil(worked * 100):
            return Refusal(
                "hours_above_time",
                f"the agreed number of workers is {workers}; they cannot work {hours} hours from"
                f" {render_instant(since)} to {render_instant(until)}. Report what was worked, or agree on another"
                " service line with more workers",
            )
    if len(state.readings) >= KEPT_MAX:
        return Refusal(
            "readings_exhausted", f"a service line has at most {KEPT_MAX} readings; agree on another service line"
        )
    return None


def _count(state: ServiceLine, source: str, reading: HoursReading) -> ServiceLine:
    readings = state.readings.set((source, reading.reading_id), reading)
    return replace(state, readings=readings, hours=state.hours + reading.hours)


def _uncount(state: ServiceLine, source: str, reading: HoursReading) -> ServiceLine:
    readings = state.readings.set((source, reading.reading_id), None)
    return replace(state, readings=readings, hours=state.hours - reading.hours)


def decide(command: ServiceLineCommand, state: ServiceLineState) -> Sequence[ServiceLineEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, ProposeServiceLine):
        return _propose(command, state)
    if state is None:
        raise refuse_unknown("service_line", command.service_line_id)
    match command:
        case ApproveServiceLine():
            return _approve(state)
        case DeclineServiceLine():
            return _decline(command, state)
        case AgreeServiceLine():
            return _agree(command, state)
        case _:
            return _work(command, state)


def _work(
    command: ReportHours | CorrectHours | VoidHours | CloseServiceLine | LimitServiceLine, state: ServiceLine
) -> Sequence[ServiceLineEvent]:
    _require_status(state, "agreed", "closed")
    match command:
        case ReportHours():
            return _report(command, state)
        case CorrectHours():
            return _correct(command, state)
        case VoidHours():
            return _void(command, state)
        case CloseServiceLine():
            if state.status == "closed":
                return []
            return [ServiceLineClosed(**_name(state), hours=state.hours)]
        case LimitServiceLine():
            return _limit(command, state)


def _name(state: ServiceLine) -> dict[str, Any]:
    return {"service_line_id": state.proposed.service_line_id, "grant_id": state.proposed.grant_id}


def _require_status(state: ServiceLine, *allowed: Status) -> None:
    if state.status not in allowed:
        raise refuse_status("service_line", state.proposed.service_line_id, state.status, " or ".join(allowed))


def _propose(command: ProposeServiceLine, state: ServiceLineState) -> Sequence[ServiceLineEvent]:
    event = ServiceLineProposed(**{name: getattr(command, name) for name in command.__struct_fields__})
    if state is not None:
        if state.proposed == event:
            return []
        raise refuse_exists("service_line", command.service_line_id)
    require_price(command.price_usd_per_hour, "/price_usd_per_hour")
    require_hours(command.hours, "/hours")
    return [event]


def _approve(state: ServiceLine) -> Sequence[ServiceLineEvent]:
    if state.approved:
        return []
    _require_status(state, "proposed")
    assert state.proposed.holder_id is not None, "only the holder that must approve does"
    return [ServiceLineApproved(**_name(state), holder_id=state.proposed.holder_id)]


def _decline(command: DeclineServiceLine, state: ServiceLine) -> Sequence[ServiceLineEvent]:
    if state.status == "declined":
        return []
    _require_status(state, "proposed")
    return [ServiceLineDeclined(**_name(state), by=command.by, reason=command.reason)]


def _agree(command: AgreeServiceLine, state: ServiceLine) -> Sequence[ServiceLineEvent]:
    if state.status == "agreed":
        return []
    _require_status(state, "proposed")
    proposed = state.proposed
    if proposed.holder_id is not None and not state.approved:
        raise Refusal(
            "approval_missing",
            f"party {proposed.holder_id} pays a part of service line {proposed.service_line_id} for equity and must"
            " approve it"
            " first",
            holder_id=proposed.holder_id,
        )
    principal_usd = ZERO if command.equity is None else command.equity.principal_commitment_usd
    if principal_usd > PRINCIPAL_PER_HOUR_USD_MAX * proposed.hours:
        raise Refusal(
            "amount_too_large",
            f"{principal_usd} dollars of {proposed.hours} hours would become principal; the most is"
            f" {PRINCIPAL_PER_HOUR_USD_MAX} an hour. Decline it, and let the provider propose a lower price",
            value=str(principal_usd),
            maximum=str(PRINCIPAL_PER_HOUR_USD_MAX * proposed.hours),
        )
    return [
        ServiceLineAgreed(
            **_name(state),
            startup_id=proposed.startup_id,
            provider_id=proposed.provider_id,
            at=command.at,
            hours=proposed.hours,
            hold_id=command.hold_id,
            cash_commitment_usd=command.cash_commitment_usd,
            equity=command.equity,
        )
    ]


def _report(command: ReportHours, state: ServiceLine) -> Sequence[ServiceLineEvent]:
    require_report(len(command.readings))
    accepted = tuple(reading for _, reading in answer_hours(command, state) if reading is not None)
    return [ServiceLineReported(**_name(state), source=command.source, readings=accepted)] if accepted else []


def _get_reading(state: ServiceLine, source: str, reading_id: str) -> HoursReading | None:
    if (source, reading_id) not in state.readings:
        text = f"source {source} has no reading {reading_id} of this service line; check both"
        raise Refusal("reading_unknown", text)
    return state.readings[source, reading_id]


def _correct(command: CorrectHours, state: ServiceLine) -> Sequence[ServiceLineEvent]:
    after = command.reading
    before = _get_reading(state, command.source, after.reading_id)
    if before is None:
        raise Refusal("reading_voided", f"reading {after.reading_id} was voided; report it under another id")
    if before == after:
        return []
    without = _uncount(state, command.source, before)
    if _is_lower(before, after):
        without = replace(without, status="agreed")
    readings = without.readings.delete((command.source, after.reading_id))
    fault = _find_fault(after, command.spans, command.at, replace(without, readings=readings))
    if fault is not None:
        raise fault
    return [
        ServiceLineCorrected(**_name(state), source=command.source, before=before, after=after, reason=command.reason)
    ]


def _is_lower(before: HoursReading, after: HoursReading) -> bool:
    """Return whether a correction adds no hours to any period."""
    return after.end == before.end and after.hours.is_finite() and after.hours <= before.hours


def _void(command: VoidHours, state: ServiceLine) -> Sequence[ServiceLineEvent]:
    before = _get_reading(state, command.source, command.reading_id)
    if before is None:
        return []
    return [ServiceLineVoided(**_name(state), source=command.source, reading=before, reason=command.reason)]


def _limit(command: LimitServiceLine, state: ServiceLine) -> Sequence[ServiceLineEvent]:
    if command.spans == state.spans:
        return []
    runs = tuple(Run(start=start, end=end) for start, end in command.spans)
    return [ServiceLineLimited(**_name(state), runs=runs)]


def evolve(state: ServiceLineState, event: ServiceLineEvent) -> ServiceLineState:
    """Return the state after an event."""
    if isinstance(event, ServiceLineProposed):
        return ServiceLine(event)
    assert state is not None, "a service line is proposed first"
    match event:
        case ServiceLineApproved():
            return replace(state, approved=True)
        case ServiceLineDeclined():
            return replace(state, status="declined")
        case ServiceLineAgreed():
            return replace(state, status="agreed", agreed=event)
        case ServiceLineClosed():
            return replace(state, status="closed")
        case ServiceLineLimited():
            return replace(state, spans=tuple((run.start, run.end) for run in event.runs))
        case _:
            return _evolve_hours(state, event)


def _evolve_hours(state: ServiceLine, event: HoursEvent) -> ServiceLine:
    match event:
        case ServiceLineReported():
            for reading in event.readings:
                state = _count(state, event.source, reading)
            return state
        case ServiceLineCorrected():
            return _count(_uncount(state, event.source, event.before), event.source, event.after)
        case ServiceLineVoided():
            return _uncount(state, event.source, event.reading)


SERVICE_LINE: Decider[ServiceLineCommand, ServiceLineEvent, ServiceLineState] = Decider(
    "service_line", "svl", None, decide, evolve
)
