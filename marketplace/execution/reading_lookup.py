"""Look up the full content of a reading, of which a usage record keeps only a digest (ADR 5).

The archive is asked first, then the log. A result is used only if it has the digest that the record knows, so an
outdated archive cannot give a wrong answer.
"""

import contextlib

import msgspec

from events.subjects import render_subject
from events.types import Event
from events.usage import Reading, UsageCorrected, UsageReported, UsageVoided
from marketplace.core.errors import Refusal, Unavailable
from marketplace.domain.metering.usage_record import VOIDED, Usage, digest_reading
from marketplace.execution.archive import Archive, ReadingName
from marketplace.log.events import parse_event
from marketplace.log.port import Log


async def recall(log: Log, archive: Archive | None, state: Usage, usage_id: str, name: ReadingName) -> Reading | None:
    """Return a reading as its record knows it; None if the record has none of that name, or it was voided.

    Raises:
        Refusal: ``reading_in_flight`` if the last change to the reading is not stored yet.
        Unavailable: The log cannot be reached.
    """
    content = state.find_content(name.source, name.reading_id)
    if content is None or content == VOIDED:
        return None
    if archive is not None:
        with contextlib.suppress(Unavailable):
            reading = await archive.find_reading(name)
            if reading is not None and digest_reading(reading) == content:
                return reading
    mark = msgspec.json.encode(name.reading_id)
    for recorded in reversed(await log.load(render_subject("usage", usage_id))):
        reading = _find_reading(parse_event(recorded), name) if mark in recorded.body and not recorded.void else None
        if reading is not None and digest_reading(reading) == content:
            return reading
    raise Refusal(
        "reading_in_flight", f"reading {name.reading_id} is being changed by another request; send this one again"
    )


def _find_reading(event: Event, name: ReadingName) -> Reading | None:
    """Return a reading as an event states it; None if the event does not state it."""
    match event:
        case UsageReported(source=name.source, readings=readings):
            return next((reading for reading in readings if reading.reading_id == name.reading_id), None)
        case UsageCorrected(source=name.source, after=reading) | UsageVoided(source=name.source, reading=reading):
            return reading if reading.reading_id == name.reading_id else None
        case _:
            return None
