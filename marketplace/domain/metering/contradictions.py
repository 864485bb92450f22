"""Contradictions between meters' readings and machines' evidence. They are flagged, and never change a bill.

Kinds, each with the span it concerns:
    - ``gap``: nothing is counted, between the first reading and the last.
    - ``device_overlap``: a GPU and a MIG instance of it are counted at the same time.
    - ``idle_energy``: utilisation is zero while more energy is drawn than an idle GPU draws.
    - ``busy_unmetered``: a GPU is busy while nothing is counted.
    - ``more_than_granted``: within an hour, more GPUs are seen than were granted.
    - ``device_elsewhere``: a GPU is counted in another grant at the same time; both readings are named.
    - ``said_twice``: readings of one source, without named GPUs, have the same content, and their ids have two forms.
      This happens if a meter changes its id scheme and sends earlier readings again.
"""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final, Literal

import msgspec

from events.usage import Evidence, Sample
from marketplace.core.intervals import overlaps
from marketplace.core.money import SECONDS_PER_HOUR

IDLE_KW_MAX: Final = Decimal("0.2")
"""The most power that an idle data center GPU draws, including its memory's refresh."""
_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)
_WORD: Final = re.compile(r"\w+")


class NamedReading(msgspec.Struct, frozen=True, kw_only=True):
    """The key of a reading: its grant, its source, and its id there."""

    grant_id: str
    source: str
    reading_id: str


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A counted reading: GPUs over an interval, the devices that it names, and its evidence."""

    start: datetime
    end: datetime
    gpus: int
    devices: tuple[str, ...] = ()
    evidence: Evidence | None = None
    name: NamedReading | None = None


class Contradiction(msgspec.Struct, frozen=True, kw_only=True):
    """A contradiction between meters and machines.

    Attributes:
        kind: Which; see the module.
        start: First instant.
        end: Instant after the last.
        message: What was found, with its figures.
        device: The GPU, if it concerns one.
        readings: The contradicting readings, if there are two. Readings of another party's grant are not named.
    """

    kind: Literal[
        "gap",
        "device_overlap",
        "idle_energy",
        "busy_unmetered",
        "more_than_granted",
        "device_elsewhere",
        "said_twice",
    ]
    start: datetime
    end: datetime
    message: str
    device: str | None = None
    readings: tuple[NamedReading, ...] = ()


def list_devices(readings: Iterable[Counted]) -> set[str]:
    """Return the GPUs that readings name, and the whole GPUs of the MIG instances among them."""
    named = {device for reading in readings for device in reading.devices}
    return named | {device.rpartition("/")[0] for device in named if "/" in device}


def find_contradictions(
    readings: Sequence[Counted], samples: Iterable[Sample], gpus_granted: int, elsewhere: Sequence[Counted] = ()
) -> list[Contradiction]:
    """Return the contradictions among a grant's readings and samples, ordered by start. Cost: n log n.

    Args:
        readings: The grant's readings. No GPU is named by two of them at the same time.
        samples: Samples of its machines.
        gpus_granted: How many GPUs it has.
        elsewhere: Readings of other grants that name GPUs of `list_devices`.
    """
    ordered = sorted(readings, key=lambda reading: reading.start)
    covered = _merge(ordered)
    by_device: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.at):
        by_device[sample.device].append(sample)
    found = [
        *_find_gaps(covered),
        *_find_overlaps(ordered),
        *_find_idle_readings(ordered),
        *_find_idle_samples(by_device),
        *_find_busy(by_device, covered),
        *_find_excess(by_device, gpus_granted),
        *_find_elsewhere(ordered, elsewhere),
        *_find_twice(ordered),
    ]
    return sorted(found, key=lambda one: (one.start, one.kind, one.device or ""))


def _merge(ordered: Sequence[Counted]) -> list[tuple[datetime, datetime]]:
    """Return the spans during which something is counted."""
    spans: list[tuple[datetime, datetime]] = []
    for reading in ordered:
        if spans and reading.start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], reading.end))
        else:
            spans.append((reading.start, reading.end))
    return spans


def _find_gaps(covered: list[tuple[datetime, datetime]]) -> Iterator[Contradiction]:
    for (_, start), (end, _) in pairwise(covered):
        yield Contradiction(kind="gap", start=start, end=end, message=f"nothing is counted for {end - start}")


def _find_overlaps(ordered: Sequence[Counted]) -> Iterator[Contradiction]:
    """Yield MIG instances that are counted while their whole GPU is too."""
    whole: dict[str, list[Counted]] = defaultdict(list)
    for reading in ordered:
        for device in reading.devices:
            whole[device].append(reading)
    for device, parts in whole.items():
        parent = device.rpartition("/")[0]
        for part in parts:
            for other in whole.get(parent, ()):
                if overlaps(part.start, part.end, other.start, other.end):
                    yield Contradiction(
                        kind="device_overlap",
                        start=max(part.start, other.start),
                        end=min(part.end, other.end),
                        device=device,
                        message=f"{device} is counted while the whole GPU {parent} is",
                    )


def _find_idle_readings(ordered: Sequence[Counted]) -> Iterator[Contradiction]:
    for reading in ordered:
        said = reading.evidence
        if said is None or said.gpu_utilisation is None or said.energy_kwh is None or said.gpu_utilisation:
            continue
        if said.energy_kwh > _idle_kwh(reading.end - reading.start) * reading.gpus:
            message = f"{reading.gpus} GPUs were never busy and drew {said.energy_kwh} kWh"
            yield Contradiction(kind="idle_energy", start=reading.start, end=reading.end, message=message)


def _find_idle_samples(by_device: dict[str, list[Sample]]) -> Iterator[Contradiction]:
    for device, samples in by_device.items():
        for before, after in pairwise(samples):
            if before.gpu_utilisation != 0 or after.gpu_utilisation != 0:
                continue
            if before.energy_kwh is None or after.energy_kwh is None:
                continue
            drawn = after.energy_kwh - before.energy_kwh
            if drawn > _idle_kwh(after.at - before.at):
                message = f"{device} was busy at neither end and drew {drawn} kWh"
                yield Contradiction(kind="idle_energy", start=before.at, end=after.at, device=device, message=message)


def _idle_kwh(lasting: timedelta) -> Decimal:
    return IDLE_KW_MAX * (lasting // _SECOND) / SECONDS_PER_HOUR


def _find_busy(by_device: dict[str, list[Sample]], covered: list[tuple[datetime, datetime]]) -> Iterator[Contradiction]:
    for device, samples in by_device.items():
        for sample in samples:
            if sample.gpu_utilisation and not _is_covered(sample.at, covered):
                message = f"{device} has a utilisation of {sample.gpu_utilisation} while nothing is counted"
                yield Contradiction(
                    kind="busy_unmetered", start=sample.at, end=sample.at + _SECOND, device=device, message=message
                )


def _is_covered(at: datetime, covered: list[tuple[datetime, datetime]]) -> bool:
    place = bisect_right(covered, at, key=itemgetter(0))
    return place > 0 and at < covered[place - 1][1]


def _find_excess(by_device: dict[str, list[Sample]], gpus_granted: int) -> Iterator[Contradiction]:
    seen: dict[datetime, set[str]] = defaultdict(set)
    for device, samples in by_device.items():
        for sample in samples:
            seen[sample.at.replace(minute=0, second=0, microsecond=0)].add(device.partition("/")[0])
    for hour, devices in seen.items():
        if len(devices) > gpus_granted:
            message = f"{len(devices)} GPUs are seen and {gpus_granted} were granted"
            yield Contradiction(kind="more_than_granted", start=hour, end=hour + _HOUR, message=message)


def _find_elsewhere(ordered: Sequence[Counted], elsewhere: Sequence[Counted]) -> Iterator[Contradiction]:
    """Yield GPUs that another grant counts too. A MIG instance is part of the GPU that is counted as a whole there."""
    own: dict[str, list[tuple[str, Counted]]] = defaultdict(list)
    for reading in ordered:
        for device in reading.devices:
            for name in list_devices([Counted(start=reading.start, end=reading.end, gpus=1, devices=(device,))]):
                own[name].append((device, reading))
    for other in elsewhere:
        for name in other.devices:
            for device, reading in _list_overlapping(own.get(name, []), other):
                names = tuple(one.name for one in (reading, other) if one.name is not None)
                yield Contradiction(
                    kind="device_elsewhere",
                    start=max(reading.start, other.start),
                    end=min(reading.end, other.end),
                    device=device,
                    message=f"{device} is counted in another grant at the same time",
                    readings=names,
                )


def _find_twice(ordered: Sequence[Counted]) -> Iterator[Contradiction]:
    """Yield spans for which a source reports the same under ids of two forms, with the first reading of each form."""
    said: dict[tuple[Any, ...], dict[str, list[NamedReading]]] = defaultdict(lambda: defaultdict(list))
    for reading in ordered:
        if reading.name is not None and not reading.devices:
            key = (reading.name.source, reading.start, reading.end, reading.gpus, reading.evidence)
            said[key][_form(reading.name.reading_id)].append(reading.name)
    for (source, start, end, gpus, _), forms in said.items():
        if len(forms) == 1:
            continue
        firsts = [min(names, key=lambda name: name.reading_id) for names in forms.values()]
        total = " and ".join(str(gpus * len(names)) for names in forms.values())
        yield Contradiction(
            kind="said_twice",
            start=start,
            end=end,
            message=f"source {source} counts {total} GPUs by readings of equal content under ids of different forms,"
            f" such as {' and '.join(name.reading_id for name in firsts)}; if they are the same GPUs, void the"
            " readings of"
            " one form",
            readings=tuple(firsts),
        )


def _form(reading_id: str) -> str:
    """Return the form of an id, in which all words are alike and all numbers are alike."""
    return _WORD.sub("w", reading_id)


def _list_overlapping(readings: list[tuple[str, Counted]], other: Counted) -> Iterator[tuple[str, Counted]]:
    """Yield the readings that overlap another one, ordered by start."""
    last = bisect_left(readings, other.end, key=lambda one: one[1].start)
    return ((device, reading) for device, reading in readings[:last] if reading.end > other.start)
