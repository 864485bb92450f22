"""When a reading counts, and what its meter is answered: known already, at fault by itself, or beyond what is granted.

`usage.py` lists answers and faults in order.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import msgspec

from events.usage import Reading
from marketplace.core.errors import Refusal
from marketplace.core.intervals import build_steps
from marketplace.domain.metering.usage_commands import Answer, Measurement, Metered, ReportUsage
from marketplace.domain.metering.usage_state import (
    SECOND,
    VOIDED,
    Count,
    Said,
    UsageState,
    digest_content,
    digest_key,
    digest_reading,
)

DEVICES_MAX: Final = 6_000
"""The limit that keeps a correction, which holds the reading before and after it, within one event."""

INTERVAL_MAX: Final = timedelta(days=31)


def answer(command: ReportUsage, state: UsageState) -> list[tuple[Answer, Reading | None]]:
    """Return the answer to each reading, with the reading itself if it is accepted."""
    count, added = Count(state), dict[bytes, bytes]()
    answers: list[tuple[Answer, Reading | None]] = []
    keys = [digest_key(command.source, measurement.reading_id) for measurement in command.measurements]
    for measurement, key, content in zip(command.measurements, keys, state.readings.find_all(keys), strict=True):
        known = added.get(key) or content
        if known is not None:
            answers.append((_answer_known(measurement, known, command.metered), None))
            continue
        refused = _answer_no(command, measurement, state, count)
        if refused is not None:
            answers.append((refused, None))
            continue
        reading = build_reading(measurement, command.metered.gpus_per_node)
        added[key] = digest_reading(reading)
        count.add(reading)
        answers.append((Answer(measurement.reading_id, "accepted"), reading))
    return answers


def explain(command: ReportUsage, after: UsageState, accepted: Collection[str]) -> list[Answer]:
    """Return the answers of a decided report, from the state after it and the ids that it added.

    Cheaper than `answer`: only a reading that was not accepted, or whose id occurs twice, is examined again.
    """
    count, fresh, said = Count(after), set(accepted), set[str]()
    once = len({measurement.reading_id for measurement in command.measurements}) == len(command.measurements)
    answers: list[Answer] = []
    for measurement in command.measurements:
        name = measurement.reading_id
        known = None if once and name in fresh else after.find_content(command.source, name)
        if name in fresh and name not in said and (known is None or says(measurement, known, command.metered)):
            said.add(name)
            answers.append(Answer(name, "accepted"))
        elif known is not None and (name in said or name not in fresh):
            answers.append(_answer_known(measurement, known, command.metered))
        else:
            refused = _answer_no(command, measurement, after, count)
            if refused is None:
                assert known is not None, "a reading without a fault is in the state"
                refused = _answer_known(measurement, known, command.metered)
            answers.append(refused)
    return answers


def _answer_no(command: ReportUsage, measurement: Measurement, state: UsageState, count: Count) -> Answer | None:
    """Return why a reading with a new id does not count; None if it does."""
    return (
        _answer_elsewhere(command, measurement)
        or _answer_repeated(command, measurement)
        or _answer_fault(command, measurement, state, count)
    )


def _answer_repeated(command: ReportUsage, measurement: Measurement) -> Answer | None:
    first = command.repeated.get(measurement.reading_id)
    if first is None:
        return None
    said = f"reading {first} of this source has the same content, and the grant has no room for all such readings"
    remedy = f"correct {first}, or name the GPUs if they are others"
    return Answer(measurement.reading_id, "conflict", "reading_repeated", f"{said}; {remedy}")


def _answer_elsewhere(command: ReportUsage, measurement: Measurement) -> Answer | None:
    grant_id = command.elsewhere.get(measurement.reading_id)
    if grant_id is None:
        return None
    said = f"reading {measurement.reading_id} was reported for grant {grant_id}; correct it there, or use another id"
    return Answer(measurement.reading_id, "conflict", "reading_exists", said)


def _answer_fault(command: ReportUsage, measurement: Measurement, state: UsageState, count: Count) -> Answer | None:
    fault = find_fault(measurement, command.metered, command.at, state, count)
    return None if fault is None else Answer(measurement.reading_id, "rejected", fault.code, fault.message)


def _answer_known(measurement: Measurement, known: bytes, metered: Metered) -> Answer:
    if says(measurement, known, metered):
        return Answer(measurement.reading_id, "duplicate")
    return Answer(
        measurement.reading_id,
        "conflict",
        "reading_exists",
        f"reading {measurement.reading_id} was {'voided' if known == VOIDED else 'reported with other content'};"
        " correct it, or use another id",
    )


def says(measurement: Measurement, known: bytes, metered: Metered) -> bool:
    """Return whether a measurement equals the known content of its id."""
    start, end = measurement.start, measurement.end
    if known == VOIDED or start.tzinfo is None or end.tzinfo is None:
        return False
    nodes = measurement.nodes or -(-count_gpus(measurement, metered.gpus_per_node) // metered.gpus_per_node)
    said = Said(start, end, nodes, measurement.gpus, measurement.devices, measurement.evidence)
    return known == digest_content(said)


def build_reading(measurement: Measurement, gpus_per_node: int) -> Reading:
    """Return the reading of a measurement that has no fault."""
    seconds = (measurement.end - measurement.start) // SECOND
    gpus = count_gpus(measurement, gpus_per_node)
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


def count_gpus(measurement: Measurement, gpus_per_node: int) -> int:
    """Return the GPUs that a measurement states, or else all GPUs of its nodes."""
    return (measurement.nodes or 0) * gpus_per_node if measurement.gpus is None else measurement.gpus


def find_interval_fault(start: datetime, end: datetime) -> Refusal | None:
    """Return what is wrong with a reported interval by itself; None if nothing is."""
    if start.tzinfo is None or end.tzinfo is None:
        return Refusal("time_naive", "the interval has no offset; state one, such as Z")
    if end <= start:
        return Refusal("span_empty", f"the interval ends at {end.isoformat()}, not after its start")
    if start.microsecond or end.microsecond:
        return Refusal("seconds_not_whole", "intervals must begin and end at whole seconds")
    return None


def find_late_fault(start: datetime, end: datetime, at: datetime, closed: Refusal | None) -> Refusal | None:
    """Return why an interval does not count now: it is not over, nothing counts any more, or it is too long.

    Args:
        start: First instant.
        end: Instant after the last.
        at: Now.
        closed: Why nothing counts any more; None while readings count.
    """
    if end > at:
        return Refusal(
            "from_the_future", f"the interval ends at {end.isoformat()}, which is after now, {at.isoformat()}"
        )
    if closed is not None:
        return closed
    if end - start > INTERVAL_MAX:
        return Refusal("interval_too_long", f"an interval lasts at most {INTERVAL_MAX.days} days; report it in parts")
    return None


def bound(metered: Metered, state: UsageState) -> Metered:
    """Return the limits of a grant, as last copied to the record."""
    if state.limits is None:
        return metered
    return msgspec.structs.replace(metered, end=state.limits.end, resold=state.limits.resold)


def find_fault(
    measurement: Measurement, metered: Metered, at: datetime, state: UsageState, count: Count
) -> Refusal | None:
    """Return the first fault of a measurement; None if it may count."""
    start, end, metered = measurement.start, measurement.end, bound(metered, state)
    fault = find_interval_fault(start, end)
    if fault is not None:
        return fault
    stated = [number for number in (measurement.nodes, measurement.gpus) if number is not None]
    if min(stated, default=0) < 1:
        return Refusal(
            "nodes_not_positive", f"{min(stated, default=0)} nodes or GPUs cannot be counted; report at least 1"
        )
    if not (metered.start <= start and end <= metered.end):
        return Refusal("outside_grant", f"the grant runs from {metered.start.isoformat()} to {metered.end.isoformat()}")
    settled = "the grant is fully settled; readings can only be lowered or voided"
    closed = Refusal("grant_closed", settled) if state.closed else None
    return find_late_fault(start, end, at, closed) or _find_excess(measurement, metered, count)


def _find_excess(measurement: Measurement, metered: Metered, count: Count) -> Refusal | None:
    """Return why the GPUs of an interval exceed what may be counted; None if they do not."""
    start, end = measurement.start, measurement.end
    if len(measurement.devices) > DEVICES_MAX:
        return Refusal(
            "devices_too_many",
            f"{len(measurement.devices)} devices are named; a reading names at most {DEVICES_MAX}, report the others "
            "as further readings of the same interval",
        )
    device = count.find_device(measurement.devices, start, end)
    if device is not None:
        return Refusal("device_counted", f"GPU {device} is already counted at some instant of the interval")
    gpus = count_gpus(measurement, metered.gpus_per_node)
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
                f"{peak} GPUs are already reported at {where.isoformat()}; {gpus} more exceed the"
                f" {nodes} nodes of {metered.gpus_per_node} GPUs of the grant",
            )
    return None
