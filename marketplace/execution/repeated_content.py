"""Detect readings that a meter sends again under other ids, by comparing their content.

This happens, for example, when a meter changes its id scheme. A usage record keeps only digests of readings (ADR 5).
Earlier readings are therefore looked up only when the grant has no room for a new one: first in the archive, then in
the record's last events, which the archive may not have yet. A match counts only if the record knows that reading. A
match can reject a reading but never add usage.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from events.usage import Reading, UsageCorrected, UsageReported
from marketplace.core.errors import Unavailable
from marketplace.domain.metering.usage_commands import Answer, Measurement, ReportUsage
from marketplace.domain.metering.usage_record import SECOND, Usage, count_gpus, digest_reading
from marketplace.execution.archive import Archive, SourceName
from marketplace.log.events import parse_event
from marketplace.log.port import Head, Log

NO_ROOM: Final = frozenset({"nodes_above_grant", "device_counted"})
"""Rejections that an earlier copy of the same reading may have caused."""
TAIL_EVENTS: Final = 1_000
"""How far back the log is searched, in events of all subjects."""


class _Content(NamedTuple):
    """What two readings must have in common for one to be a repeat of the other: their span, and how many GPUs ran."""

    start: datetime
    end: datetime
    gpus: int


class Repeats:
    """Earlier readings of a source over the spans for which a report has no room.

    Args:
        known: The usage record, including what the report adds to it.
        command: The report.
    """

    def __init__(self, known: Usage, command: ReportUsage) -> None:
        self._known = known
        self.command = command
        self._earlier: dict[_Content, list[Reading | Measurement]] = {}

    def take(self, readings: Iterable[Reading]) -> None:
        """Add readings of the source, oldest first. One that is no longer recorded with this content is ignored."""
        for reading in readings:
            if self._known.find_content(self.command.source, reading.reading_id) == digest_reading(reading):
                gpus = reading.gpu_seconds // ((reading.end - reading.start) // SECOND)
                self._earlier.setdefault(_Content(reading.start, reading.end, gpus), []).append(reading)

    def name(self, answers: Sequence[Answer]) -> dict[str, str]:
        """Return the id of the earlier reading, by the id of each reading of the report that repeats one.

        Readings of equal content cannot be told apart. If the grant has no room for one of them, all of them count as
        repeated. In a report that repeats itself, the first copies are kept.
        """
        pairs = list(zip(self.command.measurements, answers, strict=True))
        full = [measurement for measurement, answer in pairs if answer.code in NO_ROOM]
        repeated = {measurement.reading_id: self._find(measurement) for measurement in full}
        crowded = {self._read(measurement) for measurement in full if repeated[measurement.reading_id]}
        accepted = [measurement for measurement, answer in pairs if answer.outcome == "accepted"]
        for measurement in accepted:
            if self._read(measurement) in crowded:
                repeated[measurement.reading_id] = self._find(measurement)
        for measurement in accepted:
            self._earlier.setdefault(self._read(measurement), []).append(measurement)
        for measurement in full:
            repeated[measurement.reading_id] = repeated[measurement.reading_id] or self._find(measurement)
        return {reading_id: first for reading_id, first in repeated.items() if first is not None}

    def _read(self, measurement: Measurement) -> _Content:
        gpus = count_gpus(measurement, self.command.metered.gpus_per_node)
        return _Content(measurement.start, measurement.end, gpus)

    def _find(self, measurement: Measurement) -> str | None:
        for earlier in self._earlier.get(self._read(measurement), ()):
            named, devices = set(earlier.devices), set(measurement.devices)
            if earlier.reading_id != measurement.reading_id and (not named or not devices or named == devices):
                return earlier.reading_id
        return None


async def find_repeats(
    log: Log, archive: Archive | None, head: Head, repeats: Repeats, answers: Sequence[Answer]
) -> dict[str, str]:
    """Return the id of the earlier reading, by the id of each reading of the report that repeats one.

    Empty if the grant has room for every reading of the report.

    Args:
        log: The log of the usage record.
        archive: Where earlier readings are looked up; None to use the log alone.
        head: The record's last event before the report.
        repeats: The record and the report; it must be new.
        answers: The answers to the report's readings, in their order.

    Raises:
        Unavailable: The log cannot be read.
    """
    command = repeats.command
    spans = {
        (measurement.start, measurement.end)
        for measurement, answer in zip(command.measurements, answers, strict=True)
        if answer.code in NO_ROOM
    }
    if not spans:
        return {}
    if archive is not None:
        with contextlib.suppress(Unavailable):
            name = SourceName(command.grant_id, command.meter, command.source)
            repeats.take(await archive.list_readings_over(name, spans))
    if head.sequence:
        tail = await log.load(head.subject, after=max(head.sequence - TAIL_EVENTS, 0))
        repeats.take(
            reading
            for recorded in tail
            if not recorded.void
            for reading in _list_readings(parse_event(recorded), command.source)
            if (reading.start, reading.end) in spans
        )
    return repeats.name(answers)


def _list_readings(event: object, source: str) -> Iterator[Reading]:
    match event:
        case UsageReported() if event.source == source:
            yield from event.readings
        case UsageCorrected() if event.source == source:
            yield event.after
