"""When a reading may count: the faults of an interval, by itself and together with what is already counted.

`usage.py` lists the faults in order.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from events.usage import Reading
from marketplace.core.errors import Refusal
from marketplace.core.intervals import build_steps
from marketplace.domain.metering.usage_commands import Measurement, Metered
from marketplace.domain.metering.usage_state import SECOND, VOIDED, Count, Said, UsageState, digest_content

INTERVAL_MAX: Final = timedelta(days=31)


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
    if end > at:
        return Refusal(
            "from_the_future", f"the interval ends at {end.isoformat()}, which is after now, {at.isoformat()}"
        )
    if state.closed:
        return Refusal("grant_closed", "the grant is fully settled; readings can only be lowered or voided")
    if end - start > INTERVAL_MAX:
        return Refusal("interval_too_long", f"an interval lasts at most {INTERVAL_MAX.days} days; report it in parts")
    return _find_excess(measurement, metered, count)


def _find_excess(measurement: Measurement, metered: Metered, count: Count) -> Refusal | None:
    """Return why the GPUs of an interval exceed what may be counted; None if they do not."""
    start, end = measurement.start, measurement.end
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
