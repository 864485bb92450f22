"""Usage: what meters said about a grant; each reading counts once, for ever.

Subject: ``marketplace.usage.<usage_id>``: one record per grant for the provider's meters, one for the tenant's, and one
per source, which keeps the ids that the source has used, whichever grant they named. The bill is allocation times wall
time; evidence beside an interval is kept and never billed.

Invariants:
    1. A reading (source, id) counts once; the same id with other content is a conflict, never an edit.
    2. At no instant are more GPUs counted than were granted, and none of the named ones twice.
    3. GPU-seconds = GPUs · seconds, a whole number; the GPUs are all of the nodes' where the meter does not say.
    4. What a reading costs does not grow with the readings before it.

Answers in order, per reading: duplicate · conflict (reading_exists) · rejected (a fault) · accepted.

Faults in order: time_naive · span_empty · seconds_not_whole · nodes_not_positive · outside_grant · from_the_future ·
grant_closed · interval_too_long · device_counted · nodes_above_grant.

Refusals in order: readings_missing · readings_too_many · samples_missing · samples_too_many · reading_unknown ·
reading_voided, then, of a correction, its faults.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from events.usage import (
    Reading,
    Sample,
    UsageClosed,
    UsageCorrected,
    UsageEvent,
    UsageEvidenced,
    UsageIdentified,
    UsageReported,
    UsageVoided,
)
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.intervals import build_steps
from marketplace.core.timeline import sum_amounts
from marketplace.domain.usage_commands import (
    Answer,
    CloseUsage,
    CorrectUsage,
    EvidenceUsage,
    IdentifyReadings,
    Measurement,
    Metered,
    ReportUsage,
    UsageCommand,
    VoidUsage,
    name_usage,
)
from marketplace.domain.usage_state import SECOND, Count, Usage, UsageState, to_second

__all__ = [
    "READINGS_MAX",
    "SAMPLES_MAX",
    "USAGE",
    "Answer",
    "CloseUsage",
    "CorrectUsage",
    "EvidenceUsage",
    "IdentifyReadings",
    "Measurement",
    "Metered",
    "ReportUsage",
    "Usage",
    "UsageCommand",
    "UsageState",
    "VoidUsage",
    "answer",
    "count_gpu_seconds",
    "decide",
    "evolve",
    "explain",
    "name_usage",
    "render_key",
]

READINGS_MAX: Final = 1_000
SAMPLES_MAX: Final = 10_000
INTERVAL_MAX: Final = timedelta(days=31)


def count_gpu_seconds(state: UsageState, start: datetime, end: datetime) -> int:
    """Return the GPU-seconds that count in ``[start, end)``; an interval that crosses a bound counts in part."""
    return sum_amounts(state.timeline, to_second(start), to_second(end))


def render_key(source: str, reading_id: str) -> str:
    """Return the key of a reading in the state."""
    return f"{source}\n{reading_id}"


def answer(command: ReportUsage, state: UsageState) -> list[tuple[Answer, Reading | None]]:
    """Return the answer to each reading, and the reading where it is accepted."""
    count, added = Count(state), dict[str, Reading]()
    answers: list[tuple[Answer, Reading | None]] = []
    for measurement in command.measurements:
        key = render_key(command.source, measurement.reading_id)
        if key in added or key in state.readings:
            known = added[key] if key in added else state.readings[key]
            answers.append((_answer_known(measurement, known), None))
            continue
        refused = _answer_elsewhere(command, measurement) or _answer_fault(command, measurement, state, count)
        if refused is not None:
            answers.append((refused, None))
            continue
        reading = added[key] = _build_reading(measurement, command.metered.gpus_per_node)
        count.add(reading)
        answers.append((Answer(measurement.reading_id, "accepted"), reading))
    return answers


def explain(command: ReportUsage, before: UsageState, after: UsageState) -> list[Answer]:
    """Return the answers of a report that was decided, from the states before and after it.

    Cheaper than `answer`: only a reading that was not accepted is looked at again.
    """
    count, seen = Count(after), set[str]()
    answers: list[Answer] = []
    for measurement in command.measurements:
        key = render_key(command.source, measurement.reading_id)
        known = after.readings.get(key)
        if key in seen or key in before.readings:
            answers.append(_answer_known(measurement, known))
        elif known is not None and _says_same(known, measurement):
            seen.add(key)
            answers.append(Answer(measurement.reading_id, "accepted"))
        else:
            refused = _answer_elsewhere(command, measurement) or _answer_fault(command, measurement, after, count)
            answers.append(refused or _answer_known(measurement, known))
    return answers


def _answer_elsewhere(command: ReportUsage, measurement: Measurement) -> Answer | None:
    grant_id = command.elsewhere.get(measurement.reading_id)
    if grant_id is None:
        return None
    said = f"reading {measurement.reading_id} was reported of grant {grant_id}; correct it there, or use another id"
    return Answer(measurement.reading_id, "conflict", "reading_exists", said)


def _answer_fault(command: ReportUsage, measurement: Measurement, state: UsageState, count: Count) -> Answer | None:
    fault = _find_fault(measurement, command.metered, command.at, state, count)
    return None if fault is None else Answer(measurement.reading_id, "rejected", fault.code, fault.message)


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
    return (
        reading.start == measurement.start
        and reading.end == measurement.end
        and (measurement.nodes is None or measurement.nodes == reading.nodes)
        and (reading.gpus, reading.devices) == (measurement.gpus, measurement.devices)
        and reading.evidence == measurement.evidence
    )


def _build_reading(measurement: Measurement, gpus_per_node: int) -> Reading:
    seconds = (measurement.end - measurement.start) // SECOND
    gpus = _count_gpus(measurement, gpus_per_node)
    return Reading(
        reading_id=measurement.reading_id,
        start=measurement.start,
        end=measurement.end,
        nodes=measurement.nodes or -(-gpus // gpus_per_node),
        gpu_seconds=gpus * seconds,
        gpus=measurement.gpus,
        devices=measurement.devices,
        evidence=measurement.evidence,
    )


def _count_gpus(measurement: Measurement, gpus_per_node: int) -> int:
    return (measurement.nodes or 0) * gpus_per_node if measurement.gpus is None else measurement.gpus


def _find_fault(
    measurement: Measurement, metered: Metered, at: datetime, state: UsageState, count: Count
) -> Refusal | None:
    start, end = measurement.start, measurement.end
    if start.tzinfo is None or end.tzinfo is None:
        return Refusal("time_naive", "the interval has no offset; state one, such as Z")
    if end <= start:
        return Refusal("span_empty", f"the interval ends at {end.isoformat()}, not after its start")
    if start.microsecond or end.microsecond:
        return Refusal("seconds_not_whole", "intervals begin and end at whole seconds")
    stated = [number for number in (measurement.nodes, measurement.gpus) if number is not None]
    if min(stated, default=0) < 1:
        return Refusal("nodes_not_positive", f"{min(stated, default=0)} nodes or GPUs do not count; report at least 1")
    if not (metered.start <= start and end <= metered.end):
        return Refusal("outside_grant", f"the grant runs from {metered.start.isoformat()} to {metered.end.isoformat()}")
    if end > at:
        return Refusal("from_the_future", f"the interval ends at {end.isoformat()}; it is {at.isoformat()}")
    if state.closed:
        return Refusal("grant_closed", "the grant is settled in full; readings can be lowered and voided only")
    if end - start > INTERVAL_MAX:
        return Refusal("interval_too_long", f"an interval lasts at most {INTERVAL_MAX.days} days; report it in parts")
    return _find_excess(measurement, metered, count)


def _find_excess(measurement: Measurement, metered: Metered, count: Count) -> Refusal | None:
    """Return why the GPUs of an interval cannot be counted beside those that are, None where they can."""
    start, end = measurement.start, measurement.end
    device = count.find_device(measurement.devices, start, end)
    if device is not None:
        return Refusal("device_counted", f"GPU {device} is counted already at some instant of the interval")
    gpus = _count_gpus(measurement, metered.gpus_per_node)
    if len(set(measurement.devices)) != len(measurement.devices) or len(measurement.devices) > gpus:
        return Refusal(
            "device_counted", f"{len(measurement.devices)} devices are named for {gpus} GPUs; name each once"
        )
    for run in build_steps(metered.resold, start, end):
        nodes = metered.nodes - run.amount
        peak, where = count.find_peak(run.start, run.end)
        if peak + gpus > nodes * metered.gpus_per_node:
            return Refusal(
                "nodes_above_grant",
                f"{peak} GPUs are reported at {where.isoformat()} already; {gpus} more exceed the"
                f" {nodes} nodes of {metered.gpus_per_node} of the grant",
            )
    return None


def decide(command: UsageCommand, state: UsageState) -> Sequence[UsageEvent]:
    """Return what a command changes; see the module for the order of refusals."""
    match command:
        case ReportUsage():
            return _report(command, state)
        case IdentifyReadings():
            return _identify(command, state)
        case EvidenceUsage():
            return _evidence(command, state)
        case CorrectUsage():
            return _correct(command, state)
        case VoidUsage():
            return _void(command, state)
        case CloseUsage():
            return _close(command, state)


def _report(command: ReportUsage, state: UsageState) -> Sequence[UsageEvent]:
    if not command.measurements:
        raise Refusal("readings_missing", "report at least one reading", pointer="/readings")
    if len(command.measurements) > READINGS_MAX:
        raise Refusal("readings_too_many", f"at most {READINGS_MAX} readings come in one report", pointer="/readings")
    accepted = tuple(reading for _, reading in answer(command, state) if reading is not None)
    if not accepted:
        return []
    return [UsageReported(**_name(command), readings=accepted, meter=command.meter)]


def _name(command: ReportUsage | EvidenceUsage | CorrectUsage | VoidUsage) -> dict[str, str]:
    return {"usage_id": command.usage_id, "grant_id": command.grant_id, "source": command.source}


def _evidence(command: EvidenceUsage, state: UsageState) -> Sequence[UsageEvent]:
    if not command.samples:
        raise Refusal("samples_missing", "send at least one sample", pointer="/samples")
    if len(command.samples) > SAMPLES_MAX:
        raise Refusal("samples_too_many", f"at most {SAMPLES_MAX} samples come at once", pointer="/samples")
    looked, fresh = dict[str, datetime](), list[Sample]()
    for sample in sorted(command.samples, key=lambda one: one.at):
        key = render_key(command.source, sample.device)
        last = looked.get(key) or state.looked.get(key)
        if last is None or last < sample.at:
            looked[key] = sample.at
            fresh.append(sample)
    if not fresh:
        return []
    return [UsageEvidenced(**_name(command), samples=tuple(fresh), meter=command.meter)]


def _identify(command: IdentifyReadings, state: UsageState) -> Sequence[UsageEvent]:
    fresh = tuple(reading_id for reading_id in command.reading_ids if reading_id not in state.homes)
    if not fresh:
        return []
    return [
        UsageIdentified(
            usage_id=command.usage_id,
            party_id=command.party_id,
            source=command.source,
            grant_id=command.grant_id,
            reading_ids=fresh,
        )
    ]


def _close(command: CloseUsage, state: UsageState) -> Sequence[UsageEvent]:
    if state.closed:
        return []
    gpu_seconds = sum(reading.gpu_seconds for reading in state.counted())
    return [UsageClosed(usage_id=command.usage_id, grant_id=command.grant_id, gpu_seconds=gpu_seconds)]


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
    count = Count(state)
    count.add(before, -1)
    lowered = replace(state, closed=state.closed and not _is_lower(measurement, before, command.metered))
    fault = _find_fault(measurement, command.metered, command.at, lowered, count)
    if fault is not None:
        raise fault
    after = _build_reading(measurement, command.metered.gpus_per_node)
    return [UsageCorrected(**_name(command), before=before, after=after, reason=command.reason, meter=command.meter)]


def _is_lower(measurement: Measurement, before: Reading, metered: Metered) -> bool:
    """Tell whether a correction counts nothing at any instant that was not counted before."""
    if measurement.start.tzinfo is None or measurement.end.tzinfo is None:
        return False
    gpus = before.gpu_seconds // ((before.end - before.start) // SECOND)
    inside = before.start <= measurement.start and measurement.end <= before.end
    return inside and _count_gpus(measurement, metered.gpus_per_node) <= gpus


def _void(command: VoidUsage, state: UsageState) -> Sequence[UsageEvent]:
    before = _get_reading(state, command.source, command.reading_id)
    if before is None:
        return []
    return [UsageVoided(**_name(command), reading=before, reason=command.reason, meter=command.meter)]


def evolve(state: UsageState, event: UsageEvent) -> UsageState:
    """Return the state after an event."""
    match event:
        case UsageReported():
            return _evolve_count(state, event.source, event.readings, ())
        case UsageCorrected():
            return _evolve_count(state, event.source, (event.after,), (event.before,))
        case UsageVoided():
            after = _evolve_count(state, event.source, (), (event.reading,))
            return replace(after, readings=after.readings.set(render_key(event.source, event.reading.reading_id), None))
        case UsageEvidenced():
            looked = {render_key(event.source, sample.device): sample.at for sample in event.samples}
            return replace(state, looked=state.looked.update(looked))
        case UsageIdentified():
            return replace(state, homes=state.homes.update(dict.fromkeys(event.reading_ids, event.grant_id)))
        case UsageClosed():
            return replace(state, closed=True)


def _evolve_count(state: UsageState, source: str, added: tuple[Reading, ...], taken: tuple[Reading, ...]) -> UsageState:
    count = Count(state)
    for reading in taken:
        count.add(reading, -1)
    for reading in added:
        count.add(reading)
    return count.seal({render_key(source, reading.reading_id): reading for reading in added})


USAGE: Decider[UsageCommand, UsageEvent, UsageState] = Decider("usage", "usg", Usage(), decide, evolve)
