"""Usage: what meters said about a grant; each reading counts once, for ever.

Subject: ``marketplace.usage.<usage_id>``, one per grant. The bill is allocation times wall time; evidence beside an
interval is kept and never billed.

Invariants:
    1. A reading (source, id) counts once; the same id with other content is a conflict, never an edit.
    2. At no instant are more nodes counted than were granted.
    3. GPU-seconds = nodes · GPUs per node · seconds, a whole number.

Answers in order, per reading: duplicate · conflict (reading_exists) · rejected (a fault) · accepted.

Faults in order: time_naive · span_empty · seconds_not_whole · nodes_not_positive · outside_grant · from_the_future ·
nodes_above_grant.

Refusals in order: readings_missing · readings_too_many · reading_unknown · reading_voided, then, of a correction, its
faults.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec
from immutables import Map

from events.usage import Evidence, Reading, UsageCorrected, UsageEvent, UsageReported, UsageVoided
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.intervals import Load, find_peak, overlaps

READINGS_MAX = 1_000


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A reading as a meter sends it.

    Attributes:
        reading_id: Unique in its source.
        start: First instant.
        end: Instant after the last.
        nodes: Nodes allocated.
        evidence: What the machines say beside it.
    """

    reading_id: str
    start: datetime
    end: datetime
    nodes: int
    evidence: Evidence | None = None


class Metered(msgspec.Struct, frozen=True, kw_only=True):
    """What the grant allows: its span as it stands, nodes and GPUs per node."""

    start: datetime
    end: datetime
    nodes: int
    gpus_per_node: int


class ReportUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Report intervals of one grant; readings that are not accepted change nothing."""

    usage_id: str
    grant_id: str
    source: str
    measurements: tuple[Measurement, ...]
    metered: Metered
    at: datetime


class CorrectUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Replace a reading by its source."""

    usage_id: str
    grant_id: str
    source: str
    measurement: Measurement
    metered: Metered
    reason: str
    at: datetime


class VoidUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Take a reading back."""

    usage_id: str
    grant_id: str
    source: str
    reading_id: str
    reason: str


UsageCommand = ReportUsage | CorrectUsage | VoidUsage


class Answer(NamedTuple):
    """What became of one reading."""

    reading_id: str
    outcome: Literal["accepted", "duplicate", "conflict", "rejected"]
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Readings of one grant by source and id; None where a reading was voided."""

    readings: Map[str, Reading | None] = field(default_factory=Map)

    def counted(self) -> Iterable[Reading]:
        """Return the readings that count."""
        return (reading for reading in self.readings.values() if reading is not None)


UsageState = Usage


def count_gpu_seconds(readings: Iterable[Reading], gpus_per_node: int, until: datetime) -> int:
    """Return the GPU-seconds of readings up to an instant; an interval that crosses it counts in part."""
    total = 0
    for reading in readings:
        seconds = int((min(reading.end, until) - reading.start).total_seconds())
        total += max(seconds, 0) * reading.nodes * gpus_per_node
    return total


def render_key(source: str, reading_id: str) -> str:
    """Return the key of a reading in the state."""
    return f"{source}\n{reading_id}"


def answer(command: ReportUsage, state: UsageState) -> list[tuple[Answer, Reading | None]]:
    """Return the answer to each reading, and the reading where it is accepted."""
    seen = state.readings
    taken = [Load(reading.start, reading.end, reading.nodes) for reading in state.counted()]
    answers: list[tuple[Answer, Reading | None]] = []
    for measurement in command.measurements:
        key = render_key(command.source, measurement.reading_id)
        known = seen.get(key)
        if key in seen:
            answers.append((_answer_known(measurement, known), None))
            continue
        fault = _find_fault(measurement, command.metered, command.at, taken)
        if fault is not None:
            answers.append((Answer(measurement.reading_id, "rejected", fault.code, fault.message), None))
            continue
        reading = _build_reading(measurement, command.metered.gpus_per_node)
        seen = seen.set(key, reading)
        taken.append(Load(reading.start, reading.end, reading.nodes))
        answers.append((Answer(measurement.reading_id, "accepted"), reading))
    return answers


def _answer_known(measurement: Measurement, known: Reading | None) -> Answer:
    if known is not None and _says_same(known, measurement):
        return Answer(measurement.reading_id, "duplicate")
    return Answer(
        measurement.reading_id,
        "conflict",
        "reading_exists",
        f"reading {measurement.reading_id} was {'voided' if known is None else 'reported with other content'};"
        " correct it, or use another id",
    )


def _says_same(reading: Reading, measurement: Measurement) -> bool:
    return (reading.start, reading.end, reading.nodes, reading.evidence) == (
        measurement.start,
        measurement.end,
        measurement.nodes,
        measurement.evidence,
    )


def _build_reading(measurement: Measurement, gpus_per_node: int) -> Reading:
    seconds = int((measurement.end - measurement.start).total_seconds())
    return Reading(
        reading_id=measurement.reading_id,
        start=measurement.start,
        end=measurement.end,
        nodes=measurement.nodes,
        gpu_seconds=measurement.nodes * gpus_per_node * seconds,
        evidence=measurement.evidence,
    )


def _find_fault(measurement: Measurement, metered: Metered, at: datetime, taken: list[Load]) -> Refusal | None:
    start, end = measurement.start, measurement.end
    if start.tzinfo is None or end.tzinfo is None:
        return Refusal("time_naive", "the interval has no offset; state one, such as Z")
    if end <= start:
        return Refusal("span_empty", f"the interval ends at {end.isoformat()}, not after its start")
    if start.microsecond or end.microsecond:
        return Refusal("seconds_not_whole", "intervals begin and end at whole seconds")
    if measurement.nodes < 1:
        return Refusal("nodes_not_positive", f"{measurement.nodes} nodes cannot be counted; report at least 1")
    if not (metered.start <= start and end <= metered.end):
        return Refusal("outside_grant", f"the grant runs from {metered.start.isoformat()} to {metered.end.isoformat()}")
    if end > at:
        return Refusal("from_the_future", f"the interval ends at {end.isoformat()}; it is {at.isoformat()}")
    near = [load for load in taken if overlaps(load.start, load.end, start, end)]
    peak, where = find_peak(near, start, end)
    if peak + measurement.nodes > metered.nodes:
        return Refusal(
            "nodes_above_grant",
            f"{peak} nodes are reported at {where.isoformat()} already; {measurement.nodes} more exceed the"
            f" {metered.nodes} of the grant",
        )
    return None


def decide(command: UsageCommand, state: UsageState) -> Sequence[UsageEvent]:
    """Return what a command changes; see the module for the order of refusals."""
    match command:
        case ReportUsage():
            return _report(command, state)
        case CorrectUsage():
            return _correct(command, state)
        case VoidUsage():
            return _void(command, state)


def _report(command: ReportUsage, state: UsageState) -> Sequence[UsageEvent]:
    if not command.measurements:
        raise Refusal("readings_missing", "report at least one reading", pointer="/readings")
    if len(command.measurements) > READINGS_MAX:
        raise Refusal("readings_too_many", f"at most {READINGS_MAX} readings come in one report", pointer="/readings")
    accepted = tuple(reading for _, reading in answer(command, state) if reading is not None)
    if not accepted:
        return []
    return [
        UsageReported(usage_id=command.usage_id, grant_id=command.grant_id, source=command.source, readings=accepted)
    ]


def _get_reading(state: UsageState, source: str, reading_id: str) -> Reading | None:
    key = render_key(source, reading_id)
    if key not in state.readings:
        raise Refusal("reading_unknown", f"source {source} reported no reading {reading_id} of this grant")
    return state.readings[key]


def _correct(command: CorrectUsage, state: UsageState) -> Sequence[UsageEvent]:
    measurement = command.measurement
    before = _get_reading(state, command.source, measurement.reading_id)
    if before is None:
        raise Refusal("reading_voided", f"reading {measurement.reading_id} was voided; report it under another id")
    if _says_same(before, measurement):
        return []
    others = [Load(r.start, r.end, r.nodes) for r in state.counted() if r is not before]
    fault = _find_fault(measurement, command.metered, command.at, others)
    if fault is not None:
        raise fault
    return [
        UsageCorrected(
            usage_id=command.usage_id,
            grant_id=command.grant_id,
            source=command.source,
            before=before,
            after=_build_reading(measurement, command.metered.gpus_per_node),
            reason=command.reason,
        )
    ]


def _void(command: VoidUsage, state: UsageState) -> Sequence[UsageEvent]:
    before = _get_reading(state, command.source, command.reading_id)
    if before is None:
        return []
    return [
        UsageVoided(
            usage_id=command.usage_id,
            grant_id=command.grant_id,
            source=command.source,
            reading=before,
            reason=command.reason,
        )
    ]


def evolve(state: UsageState, event: UsageEvent) -> UsageState:
    """Return the state after an event."""
    match event:
        case UsageReported():
            added = {render_key(event.source, reading.reading_id): reading for reading in event.readings}
            return replace(state, readings=state.readings.update(added))
        case UsageCorrected():
            key = render_key(event.source, event.after.reading_id)
            return replace(state, readings=state.readings.set(key, event.after))
        case UsageVoided():
            key = render_key(event.source, event.reading.reading_id)
            return replace(state, readings=state.readings.set(key, None))


USAGE: Decider[UsageCommand, UsageEvent, UsageState] = Decider("usage", "usg", Usage(), decide, evolve)
