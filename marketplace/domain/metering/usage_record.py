"""The record of a grant's usage: what it keeps of each reading, and whether another reading counts.

A record lives as long as its grant and may have ten million readings. It keeps a few bytes of each, which decide about
the next reading: that an id is used, and a digest of its content (ADR 5). It also keeps the GPUs that count at every
second. `usage.py` lists answers and faults in order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec
from immutables import Map

from events.command import ReadingNotTaken
from events.usage import Evidence, Gap, Reading
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import Load, build_steps, overlaps
from marketplace.core.packed import Packed, digest
from marketplace.core.timeline import EMPTY, Tally, Timeline
from marketplace.core.timeline_sums import sum_all
from marketplace.domain.metering.usage_commands import Answer, Measurement, Metered, ReportUsage

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
_DAY_SECONDS: Final = 86_400
CONTENT_BYTES: Final = 6
VOIDED: Final = bytes(CONTENT_BYTES)
"""Stands in place of the digest of a reading that was voided."""
PARTS_BYTES: Final = 8
ALLOCATION_VOIDED: Final = bytes(CONTENT_BYTES + PARTS_BYTES)
HOME_BYTES: Final = 4
DEVICE_SECONDS: Final = 1 << 21
"""Seconds per block. A GPU is mostly metered without a gap, so that some 24 days of it are one run."""
DEVICES_MAX: Final = 6_000
"""The limit that keeps a correction, which holds the reading before and after it, within one event."""

INTERVAL_MAX: Final = timedelta(days=31)


class Limits(NamedTuple):
    """The limits last copied from the grant: when it ends, what was resold, and when it does not run before its end.

    `start` is None for a grant that begins as it was issued, and `gpu_seconds_max` while it has no such limit.
    """

    end: datetime
    resold: tuple[Load, ...]
    gaps: tuple[Gap, ...] = ()
    start: datetime | None = None
    gpu_seconds_max: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of one grant. A source's record has only `homes` and `grants`, a startup's only `allocations`.

    Attributes:
        readings: A digest of each reading's content, by source and id; `VOIDED` for a voided one.
        timeline: GPUs that count, by second.
        devices: The same for each named GPU, in blocks of `DEVICE_SECONDS`.
        homes: The grant for which each id of the source was used, as an index into `grants`.
        grants: The grants for which the source used ids.
        closed: Whether the grant is fully settled.
        looked: The time of each source's last sample of each device.
        allocations: Digests of each reading of a startup and its allocation, by source and id.
        limits: The limits since the grant changed; None while it is as issued.
    """

    readings: Packed = field(default_factory=lambda: Packed(CONTENT_BYTES))
    timeline: Timeline = EMPTY
    devices: Map[str, Timeline] = field(default_factory=Map)
    homes: Packed = field(default_factory=lambda: Packed(HOME_BYTES))
    grants: tuple[str, ...] = ()
    closed: bool = False
    looked: Map[str, datetime] = field(default_factory=Map)
    allocations: Packed = field(default_factory=lambda: Packed(CONTENT_BYTES + PARTS_BYTES))
    limits: Limits | None = None

    def find_content(self, source: str, reading_id: str) -> bytes | None:
        """Return the digest of a reading's content; None if there is no such reading."""
        return self.readings.find(digest_key(source, reading_id))

    def find_homes(self, reading_ids: Sequence[str]) -> dict[str, str]:
        """Return, for those of the ids that the source has used, the grants that they named."""
        numbers = self.homes.find_all([digest(reading_id) for reading_id in reading_ids])
        found = zip(reading_ids, numbers, strict=True)
        return {name: self.grants[int.from_bytes(number)] for name, number in found if number is not None}


UsageState = Usage


class ReadingContent(NamedTuple):
    """The content of a reading besides its id."""

    start: datetime
    end: datetime
    nodes: int
    gpus: int | None
    devices: tuple[str, ...]
    evidence: Evidence | None


class Count:
    """The counted GPUs of a record, while readings are added and removed."""

    def __init__(self, state: Usage) -> None:
        self._state = state
        self._total = Tally(state.timeline)
        self._devices: dict[str, Tally] = {}

    def find_peak(self, start: datetime, end: datetime) -> tuple[int, datetime]:
        """Return the most GPUs that count at any instant of a span, and the first such instant."""
        peak, where = self._total.find_peak(to_second(start), to_second(end))
        return peak, EPOCH + where * SECOND

    def sum_up(self) -> int:
        """Return all GPU-seconds that count."""
        return sum_all(self._total.seal())

    def find_device(self, devices: tuple[str, ...], start: datetime, end: datetime) -> str | None:
        """Return a device that is already counted at some instant of a span, or None."""
        if not devices:
            return None
        span = to_second(start), to_second(end)
        return next((device for device in devices if self._get_device(device).find_peak(*span)[0]), None)

    def add(self, reading: Reading, sign: int = 1) -> None:
        """Add the GPUs of a reading; with a sign of -1, remove them."""
        start, end = to_second(reading.start), to_second(reading.end)
        self._total.add(start, end, sign * (reading.gpu_seconds // (end - start)))
        for device in reading.devices:
            self._get_device(device).add(start, end, sign)

    def _get_device(self, device: str) -> Tally:
        tally = self._devices.get(device)
        if tally is None:
            tally = self._devices[device] = Tally(self._state.devices.get(device, EMPTY), DEVICE_SECONDS)
        return tally

    def seal(self, readings: Mapping[bytes, bytes]) -> Usage:
        """Return the state with the present counts, and with the digests of new readings, by key."""
        devices = self._state.devices
        if self._devices:
            mutation = devices.mutate()
            for device, tally in self._devices.items():
                mutation[device] = tally.seal()
                if not mutation[device]:
                    del mutation[device]
            devices = mutation.finish()
        kept = self._state.readings.update(readings)
        return replace(self._state, readings=kept, timeline=self._total.seal(), devices=devices)


def to_second(at: datetime) -> int:
    """Return the seconds since 1970, rounded down."""
    since = at - EPOCH
    return since.days * _DAY_SECONDS + since.seconds


def digest_key(source: str, reading_id: str) -> bytes:
    """Return the key of a reading in the state."""
    return digest(f"{source}\n{reading_id}")


def digest_reading(reading: Reading) -> bytes:
    """Return the digest of a reading's content."""
    said = ReadingContent(reading.start, reading.end, reading.nodes, reading.gpus, reading.devices, reading.evidence)
    return digest_content(said)


def digest_content(said: ReadingContent) -> bytes:
    """Return the digest of content. It is equal for equal instants and numbers, however they are written."""
    start, end, nodes, gpus, devices, evidence = said
    first, last = start - EPOCH, end - EPOCH
    text = (
        f"{first.days} {first.seconds} {first.microseconds} {last.days} {last.seconds} {last.microseconds}"
        f" {nodes} {gpus} {devices or ''}"
    )
    if evidence is not None:
        share, energy = evidence.gpu_utilisation, evidence.energy_kwh
        share = share if share is None else share.normalize()
        energy = energy if energy is None else energy.normalize()
        text = f"{text} {share} {energy} {evidence.xid_errors}"
    found = digest(text, CONTENT_BYTES)
    return found if found != VOIDED else VOIDED[1:] + b"\x01"


def answer(command: ReportUsage, state: UsageState) -> list[tuple[Answer, Reading | None]]:
    """Decide a report: return the answer to each reading, in order, with the reading itself if it is accepted."""
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


def list_not_taken(answers: Sequence[Answer]) -> tuple[ReadingNotTaken, ...]:
    """Return the readings that were not accepted, as a command record stores them."""
    return render_not_taken({place: answer for place, answer in enumerate(answers) if answer.outcome != "accepted"})


def render_not_taken(answers: Mapping[int, Answer]) -> tuple[ReadingNotTaken, ...]:
    """Return answers other than `accepted`, by their places, as a command record stores them."""
    return tuple(
        ReadingNotTaken(
            place=place,
            reading_id=answer.reading_id,
            outcome=answer.outcome,
            code=answer.code,
            message=answer.message,
        )
        for place, answer in answers.items()
        if answer.outcome != "accepted"
    )


def _answer_no(command: ReportUsage, measurement: Measurement, state: UsageState, count: Count) -> Answer | None:
    """Return why a reading with a new id does not count; None if it does."""
    home = command.elsewhere.get(measurement.reading_id)
    if home is not None:
        return answer_elsewhere(measurement.reading_id, home)
    return _answer_repeated(command, measurement) or _answer_fault(command, measurement, state, count)


def _answer_repeated(command: ReportUsage, measurement: Measurement) -> Answer | None:
    """Return the answer that a reading repeats another one of the source under a new id; None if it does not."""
    first = command.repeated.get(measurement.reading_id)
    if first is None:
        return None
    said = f"reading {first} of this source has the same content, and the grant has no room for all such readings"
    remedy = f"correct {first}, or name the GPUs if they are others"
    return Answer(measurement.reading_id, "conflict", "reading_repeated", f"{said}; {remedy}")


def answer_elsewhere(reading_id: str, home: str) -> Answer:
    """Return the answer that the source used an id for another grant or service line."""
    said = f"reading {reading_id} was reported for {home}; correct it there, or use another id"
    return Answer(reading_id, "conflict", "reading_exists", said)


def answer_other(reading_id: str, *, voided: bool) -> Answer:
    """Return the answer that a reading of an id is known with other content, or was voided."""
    was = "voided; use" if voided else "reported with other content; correct it, or use"
    return Answer(reading_id, "conflict", "reading_exists", f"reading {reading_id} was {was} another id")


def _answer_fault(command: ReportUsage, measurement: Measurement, state: UsageState, count: Count) -> Answer | None:
    fault = find_fault(measurement, command.metered, command.at, state, count)
    return None if fault is None else Answer(measurement.reading_id, "rejected", fault.code, fault.message)


def _answer_known(measurement: Measurement, known: bytes, metered: Metered) -> Answer:
    if has_content(measurement, known, metered):
        return Answer(measurement.reading_id, "duplicate")
    return answer_other(measurement.reading_id, voided=known == VOIDED)


def has_content(measurement: Measurement, known: bytes, metered: Metered) -> bool:
    """Return whether the content of a measurement has the digest `known`; never if that reading was voided."""
    start, end = measurement.start, measurement.end
    if known == VOIDED or start.tzinfo is None or end.tzinfo is None:
        return False
    nodes = measurement.nodes or -(-count_gpus(measurement, metered.gpus_per_node) // metered.gpus_per_node)
    said = ReadingContent(start, end, nodes, measurement.gpus, measurement.devices, measurement.evidence)
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
    """Return what is wrong with a reported interval by itself; None if nothing is.

    The refusal is ``time_naive``, ``span_empty`` or ``seconds_not_whole``, in this order.
    """
    if start.tzinfo is None or end.tzinfo is None:
        return Refusal("time_naive", "the interval has no offset; state one, such as Z")
    if end <= start:
        return Refusal("span_empty", f"the interval ends at {render_instant(end)}, not after its start")
    if start.microsecond or end.microsecond:
        return Refusal("seconds_not_whole", "intervals must begin and end at whole seconds")
    return None


def find_busy_fault(gpu_utilisation: Decimal | None, pointer: str | None = None) -> Refusal | None:
    """Return why the share of time that a GPU was busy is none, ``utilisation_out_of_range``; None if it is one."""
    if gpu_utilisation is None or (gpu_utilisation.is_finite() and 0 <= gpu_utilisation <= 1):
        return None
    text = f"gpu_utilisation is {gpu_utilisation}; state the share of time that the GPU was busy, from 0 to 1"
    return Refusal("utilisation_out_of_range", text, pointer=pointer)


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
            "from_the_future",
            f"the interval ends at {render_instant(end)}, after now, {render_instant(at)}; report it once it is over",
        )
    if closed is not None:
        return closed
    if end - start > INTERVAL_MAX:
        return Refusal("interval_too_long", f"an interval lasts at most {INTERVAL_MAX.days} days; report it in parts")
    return None


def apply_limits(metered: Metered, state: UsageState) -> Metered:
    """Return a grant's limits, with start, end, resold nodes and gaps as last copied to its record, if they were."""
    if state.limits is None:
        return metered
    limits = state.limits._replace(start=state.limits.start or metered.start)
    return msgspec.structs.replace(metered, **limits._asdict())


def find_fault(
    measurement: Measurement, metered: Metered, at: datetime, state: UsageState, count: Count
) -> Refusal | None:
    """Return the first fault of a measurement, in the order that `usage.py` lists; None if it may count."""
    start, end, metered = measurement.start, measurement.end, apply_limits(metered, state)
    fault = find_interval_fault(start, end)
    if fault is not None:
        return fault
    stated = [number for number in (measurement.nodes, measurement.gpus) if number is not None]
    if min(stated, default=0) < 1:
        return Refusal(
            "nodes_not_positive", f"{min(stated, default=0)} nodes or GPUs cannot be counted; report at least 1"
        )
    outside = find_outside(start, end, metered)
    if outside is not None:
        return outside
    evidence = measurement.evidence
    unreal = None if evidence is None else find_busy_fault(evidence.gpu_utilisation)
    if unreal is not None:
        return unreal
    settled = "the grant is fully settled; readings can only be lowered or voided"
    closed = Refusal("grant_closed", settled) if state.closed else _find_beyond(measurement, metered, count)
    return find_late_fault(start, end, at, closed) or _find_excess(measurement, metered, count)


def _find_beyond(measurement: Measurement, metered: Metered, count: Count) -> Refusal | None:
    """Return why a reading adds to a grant that is settled but for lowered readings; None if there is room."""
    most, seconds = metered.gpu_seconds_max, (measurement.end - measurement.start) // SECOND
    if most is None or count.sum_up() + count_gpus(measurement, metered.gpus_per_node) * seconds <= most:
        return None
    text = f"the grant is settled; its lowered readings may be corrected up to {most} GPU-seconds in all"
    return Refusal("grant_closed", text)


def find_outside(start: datetime, end: datetime, metered: Metered, pointer: str | None = None) -> Refusal | None:
    """Return why a span, or an instant, is not within the spans of a grant, ``outside_grant``; None if it is."""
    is_cut = any(overlaps(start, end, gap.start, gap.end) for gap in metered.gaps)
    if metered.start <= start and end <= metered.end and not is_cut:
        return None
    begins = [metered.start, *(gap.end for gap in metered.gaps)]
    stops = [*(gap.start for gap in metered.gaps), metered.end]
    spans = zip(begins, stops, strict=True)
    runs = (f"from {render_instant(begin)} to {render_instant(stop)}" for begin, stop in spans)
    return Refusal("outside_grant", f"the grant runs {' and '.join(runs)}; report within that", pointer=pointer)


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
        return Refusal(
            "device_counted", f"GPU {device} is already reported for a part of the interval; report each once"
        )
    gpus = count_gpus(measurement, metered.gpus_per_node)
    if len(set(measurement.devices)) != len(measurement.devices) or len(measurement.devices) > gpus:
        return Refusal(
            "device_counted", f"{len(measurement.devices)} devices are named for {gpus} GPUs; name each once"
        )
    for run in build_steps(metered.resold, start, end) if metered.resold else [Load(start, end, 0)]:
        nodes = metered.nodes - run.amount
        peak, where = count.find_peak(run.start, run.end)
        if peak + gpus > nodes * metered.gpus_per_node:
            return Refusal(
                "nodes_above_grant",
                f"{peak} GPUs are already reported at {render_instant(where)}; {gpus} more exceed the"
                f" {nodes} nodes of {metered.gpus_per_node} GPUs of the grant",
            )
    return None
