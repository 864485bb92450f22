"""Usage: the readings of meters for a grant. Each reading counts once, for ever.

Subject: ``marketplace.usage.<usage_id>``. There is one record per grant for the provider's meters and one for the
startup's. A record per source holds the ids that the source has used, whichever grant they named. The bill is
allocation times wall time; evidence beside an interval is stored and never billed.

Invariants:
    1. A reading (source, id) counts once; the same id with other content is a conflict, never an edit.
    2. At no instant are more GPUs counted than were granted, and no named GPU is counted twice.
    3. GPU-seconds = GPUs · seconds, a whole number. If the meter does not state GPUs, all GPUs of the nodes count.
    4. A reading must fit the limits of the grant that were last copied to this record. They are copied in the append
       that changes the grant (ADR 8).
    5. The cost of a reading does not grow with the number of earlier readings. A reading takes some 18 bytes of memory
       in the record of its grant and meter, and 16 in that of its source.

Answers in order, per reading: duplicate · conflict (reading_exists, reading_repeated) · rejected (a fault) · accepted.

Faults in order: time_naive · span_empty · seconds_not_whole · nodes_not_positive · outside_grant ·
utilisation_out_of_range · from_the_future · grant_closed · interval_too_long · devices_too_many · device_counted ·
nodes_above_grant.

Refusals in order: readings_missing · readings_too_many · samples_missing · samples_too_many · outside_grant ·
from_the_future · utilisation_out_of_range · reading_unknown · reading_voided · allocation_unknown ·
allocation_voided · allocation_exists · grants_too_many · grants_exhausted · parts_too_many, then, for a
correction, its faults.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from events.usage import (
    Allocation,
    Meter,
    Reading,
    Sample,
    SoldNodes,
    UsageAllocated,
    UsageClosed,
    UsageCorrected,
    UsageEvent,
    UsageEvidenced,
    UsageIdentified,
    UsageLimited,
    UsageReallocated,
    UsageReported,
    UsageVoided,
)
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.instants import render_instant
from marketplace.core.intervals import Load
from marketplace.core.packed import digest
from marketplace.core.timeline_sums import sum_all, sum_amounts
from marketplace.domain.metering.allocation import allocate, digest_allocation, reallocate
from marketplace.domain.metering.allocation_commands import AllocateUsage, AllocationCommand, ReallocateUsage
from marketplace.domain.metering.usage_commands import (
    Answer,
    CloseUsage,
    CorrectUsage,
    EvidenceUsage,
    IdentifyReadings,
    LimitUsage,
    Measurement,
    Metered,
    ReportUsage,
    UsageCommand,
    VoidUsage,
)
from marketplace.domain.metering.usage_record import (
    ALLOCATION_VOIDED,
    HOME_BYTES,
    SECOND,
    VOIDED,
    Count,
    Limits,
    Usage,
    UsageState,
    answer,
    apply_limits,
    build_reading,
    count_gpus,
    digest_key,
    digest_reading,
    find_busy_fault,
    find_fault,
    find_outside,
    has_content,
    to_second,
)

READINGS_MAX: Final = 1_000
"""The most readings of one report."""
SAMPLES_MAX: Final = 10_000
"""The most samples of one report."""
AHEAD_MAX: Final = timedelta(seconds=2)
"""How far the clock of a machine may be ahead of the market's."""


def name_usage(grant_id: str, meter: Meter = "provider") -> str:
    """Return the id of the record of a grant's readings, for the provider's meters or the startup's."""
    return rename_id("usg", grant_id) if meter == "provider" else derive_id("usg", grant_id, meter)


def count_gpu_seconds(state: UsageState, start: datetime, end: datetime) -> int:
    """Return the GPU-seconds that count in ``[start, end)``. An interval that crosses a bound counts in part."""
    return sum_amounts(state.timeline, to_second(start), to_second(end))


def decide(command: UsageCommand | AllocationCommand, state: UsageState) -> Sequence[UsageEvent]:
    """Return the events of a command; the module lists the order of refusals."""
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
        case LimitUsage():
            return _limit(command, state)
        case AllocateUsage():
            return allocate(command, state)
        case ReallocateUsage():
            return reallocate(command, state)


def require_report(readings: int, pointer: str = "/readings") -> None:
    """Refuse a report without readings, or with more than `READINGS_MAX`.

    Raises:
        Refusal: ``readings_missing`` or ``readings_too_many``.
    """
    if not readings:
        raise Refusal("readings_missing", "report at least one reading", pointer=pointer)
    if readings > READINGS_MAX:
        raise Refusal(
            "readings_too_many",
            f"a report has at most {READINGS_MAX} readings; send the rest in further reports",
            pointer=pointer,
        )


def _report(command: ReportUsage, state: UsageState) -> Sequence[UsageEvent]:
    require_report(len(command.measurements))
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
        raise Refusal("samples_too_many", f"at most {SAMPLES_MAX} samples may be sent at once", pointer="/samples")
    fresh, refused = _look(command, state)
    if len(refused) == len(command.samples):
        raise next(iter(refused.values()))
    if not fresh:
        return []
    return [UsageEvidenced(**_name(command), samples=tuple(fresh), meter=command.meter)]


def list_left_out(command: EvidenceUsage, state: UsageState) -> dict[int, Answer]:
    """Return the first sample that is left out for each cause, by its place, with how many are left out for it."""
    first, counts = dict[str, int](), Counter[str]()
    _, refused = _look(command, state)
    for place, refusal in refused.items():
        first.setdefault(refusal.code, place)
        counts[refusal.code] += 1
    return {
        place: Answer(
            command.samples[place].device, "rejected", code, f"{counts[code]} left out: {refused[place].message}"
        )
        for code, place in first.items()
    }


def _look(command: EvidenceUsage, state: UsageState) -> tuple[list[Sample], dict[int, Refusal]]:
    """Return the samples that count, and why others, by place, are left out; the earliest first."""
    looked, fresh, refused = dict[str, datetime](), list[Sample](), dict[int, Refusal]()
    metered = apply_limits(command.metered, state)
    for place, sample in sorted(enumerate(command.samples), key=lambda one: one[1].at):
        key = _name_device(command.source, sample.device)
        last = looked.get(key) or state.looked.get(key)
        if last is None or last < sample.at:
            refusal = _find_unwitnessed(sample.at, command.at, metered, f"/samples/{place}/at") or find_busy_fault(
                sample.gpu_utilisation, f"/samples/{place}/gpu_utilisation"
            )
            if refusal is not None:
                refused[place] = refusal
                continue
            looked[key] = sample.at
            fresh.append(sample)
    return fresh, refused


def _find_unwitnessed(at: datetime, now: datetime, metered: Metered, pointer: str) -> Refusal | None:
    """Return why a sample is from outside of the grant, or from the future, after which no later one would count."""
    outside = find_outside(at, at, metered, pointer)
    if outside is not None or at <= now + AHEAD_MAX:
        return outside
    return Refusal(
        "from_the_future",
        f"the sample is of {render_instant(at)}, after now, {render_instant(now)}; set the clock of"
        " the machine, and send samples once they were taken",
        pointer=pointer,
    )


def _name_device(source: str, device: str) -> str:
    return f"{source}\n{device}"


def _identify(command: IdentifyReadings, state: UsageState) -> Sequence[UsageEvent]:
    homes = state.find_homes(command.reading_ids)
    fresh = tuple(reading_id for reading_id in command.reading_ids if reading_id not in homes)
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
    counted = sum_all(state.timeline)
    return [UsageClosed(usage_id=command.usage_id, grant_id=command.grant_id, gpu_seconds=counted)]


def _limit(command: LimitUsage, state: UsageState) -> Sequence[UsageEvent]:
    limits = Limits(command.end, command.resold, command.gaps, command.start, command.gpu_seconds_max)
    if state.limits == limits:
        return []
    return [
        UsageLimited(
            usage_id=command.usage_id,
            grant_id=command.grant_id,
            end=command.end,
            start=command.start,
            resold=tuple(SoldNodes(start=load.start, end=load.end, nodes=load.amount) for load in command.resold),
            gaps=command.gaps,
            meter=command.meter,
            gpu_seconds_max=command.gpu_seconds_max,
        )
    ]


def _get_content(state: UsageState, source: str, reading_id: str) -> bytes:
    content = state.find_content(source, reading_id)
    if content is None:
        raise Refusal("reading_unknown", f"source {source} has no reading {reading_id} of this grant")
    return content


def _take_before(before: Reading | None, content: bytes) -> Reading:
    """Return the present content of the reading that a command changes, checked against the record's digest."""
    assert before is not None, "the command includes the reading that it corrects or voids"
    assert digest_reading(before) == content, "the reading in the command is the last recorded one"
    return before


def _correct(command: CorrectUsage, state: UsageState) -> Sequence[UsageEvent]:
    measurement = command.measurement
    content = _get_content(state, command.source, measurement.reading_id)
    if content == VOIDED:
        raise Refusal("reading_voided", f"reading {measurement.reading_id} was voided; report it under another id")
    if has_content(measurement, content, command.metered):
        return []
    before = _take_before(command.before, content)
    count = Count(state)
    count.add(before, -1)
    lowered = replace(state, closed=state.closed and not _is_lower(measurement, before, command.metered))
    fault = find_fault(measurement, command.metered, command.at, lowered, count)
    if fault is not None:
        raise fault
    after = build_reading(measurement, command.metered.gpus_per_node)
    return [UsageCorrected(**_name(command), before=before, after=after, reason=command.reason, meter=command.meter)]


def _is_lower(measurement: Measurement, before: Reading, metered: Metered) -> bool:
    """Return whether a correction adds nothing at any instant."""
    if measurement.start.tzinfo is None or measurement.end.tzinfo is None:
        return False
    gpus = before.gpu_seconds // ((before.end - before.start) // SECOND)
    inside = before.start <= measurement.start and measurement.end <= before.end
    return inside and count_gpus(measurement, metered.gpus_per_node) <= gpus


def _void(command: VoidUsage, state: UsageState) -> Sequence[UsageEvent]:
    content = _get_content(state, command.source, command.reading_id)
    if content == VOIDED:
        return []
    before = _take_before(command.before, content)
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
            key = digest_key(event.source, event.reading.reading_id)
            return replace(after, readings=after.readings.update({key: VOIDED}))
        case UsageEvidenced():
            looked = {_name_device(event.source, sample.device): sample.at for sample in event.samples}
            return replace(state, looked=state.looked.update(looked))
        case UsageIdentified():
            return _evolve_homes(state, event)
        case UsageClosed():
            return replace(state, closed=True)
        case UsageLimited():
            resold = tuple(Load(sold.start, sold.end, sold.nodes) for sold in event.resold)
            return replace(state, limits=Limits(event.end, resold, event.gaps, event.start, event.gpu_seconds_max))
        case UsageAllocated():
            return _evolve_allocation(state, event, event.allocation)
        case UsageReallocated():
            return _evolve_allocation(state, event, event.after)


def _evolve_count(state: UsageState, source: str, added: tuple[Reading, ...], taken: tuple[Reading, ...]) -> UsageState:
    count = Count(state)
    for reading in taken:
        count.add(reading, -1)
    for reading in added:
        count.add(reading)
    return count.seal({digest_key(source, reading.reading_id): digest_reading(reading) for reading in added})


def _evolve_homes(state: UsageState, event: UsageIdentified) -> UsageState:
    grants = state.grants if event.grant_id in state.grants else (*state.grants, event.grant_id)
    number = grants.index(event.grant_id).to_bytes(HOME_BYTES)
    homes = state.homes.update({digest(reading_id): number for reading_id in event.reading_ids})
    return replace(state, homes=homes, grants=grants)


def _evolve_allocation(
    state: UsageState, event: UsageAllocated | UsageReallocated, after: Allocation | None
) -> UsageState:
    known = ALLOCATION_VOIDED if after is None else digest_allocation(after)
    return replace(state, allocations=state.allocations.update({digest_key(event.source, event.reading_id): known}))


USAGE: Decider[UsageCommand | AllocationCommand, UsageEvent, UsageState] = Decider(
    "usage", "usg", Usage(), decide, evolve
)
