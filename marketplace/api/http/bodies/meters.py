"""Readings as CloudEvents 1.0, as meters send them."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from events.types import Hours, Instant, Nodes
from events.usage import DeviceName, Evidence, Gpus, ReadingId, SourceName
from marketplace.api.http.bodies import Body
from marketplace.domain.metering.usage_commands import Outcome

READING_TYPE: Final = "marketplace.meter.reading.v1"
HOURS_TYPE: Final = "marketplace.meter.hours.v1"
GrantSubject = Annotated[str, Meta(pattern=r"^grt_[0-9a-z]{26}(?!\n)$", description="The grant that was metered")]
ServiceLineSubject = Annotated[str, Meta(pattern=r"^svl_[0-9a-z]{26}(?!\n)$", description="The service line worked on")]


class ReadingData(Body, frozen=True, kw_only=True, gc=False):
    """A meter's reading. It states `nodes`, or `gpus`, or both.

    Attributes:
        start: First instant, a whole second.
        end: Instant after the last, at most 31 days later.
        nodes: Nodes allocated at every instant of the interval.
        gpus: GPUs allocated, if not all of the nodes'.
        devices: The GPUs, if the meter can name them. Each then counts once at any instant.
        evidence: What the machines report for the interval.
    """

    start: Instant
    end: Instant
    nodes: Nodes | None = None
    gpus: Gpus | None = None
    devices: Annotated[tuple[DeviceName, ...], Meta(max_length=10_000)] = ()
    evidence: Evidence | None = None


class HoursData(Body, frozen=True, kw_only=True, gc=False):
    """A time sheet's reading of a service line.

    Attributes:
        start: First instant, a whole second.
        end: Instant after the last, at most 31 days later. The hours count in the statement period that contains it.
        hours: Hours worked, by all workers together; at most 4 decimal places.
    """

    start: Instant
    end: Instant
    hours: Hours


class ReadingEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag=READING_TYPE):
    """A CloudEvent. Extension attributes are allowed and ignored.

    Attributes:
        specversion: Of CloudEvents.
        id: Unique in its source, for ever.
        source: The meter.
        subject: The grant.
        data: The reading.
        time: When the meter wrote it.
        datacontenttype: JSON.
    """

    specversion: Literal["1.0"]
    id: ReadingId
    source: SourceName
    subject: GrantSubject
    data: msgspec.Raw
    time: Instant | None = None
    datacontenttype: Literal["application/json"] | None = None


class HoursEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag=HOURS_TYPE):
    """A CloudEvent of a time sheet. Extension attributes are allowed and ignored.

    Attributes:
        specversion: Of CloudEvents.
        id: Unique in its source, for ever.
        source: The time sheet.
        subject: The service line.
        data: The hours.
        time: When it was written.
        datacontenttype: JSON.
    """

    specversion: Literal["1.0"]
    id: ReadingId
    source: SourceName
    subject: ServiceLineSubject
    data: msgspec.Raw
    time: Instant | None = None
    datacontenttype: Literal["application/json"] | None = None


BATCHED: Final = b"application/cloudevents-batch+json"


class ReadingOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The answer to one reading.

    Attributes:
        source: Its source; missing if it could not be read.
        reading_id: Its id; missing if it could not be read.
        outcome: ``accepted``; ``duplicate``: already known; ``conflict``: known with other content;
            ``rejected``: invalid.
        pointer: JSON pointer to the fault in the request, if it was not accepted.
        code: Why it was not accepted.
        message: Why, in a sentence.
    """

    outcome: Outcome
    source: str | None = None
    reading_id: str | None = None
    pointer: str | None = None
    code: str | None = None
    message: str | None = None


class IngestionReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to readings.

    Attributes:
        sequence: Position in the log at which everything accepted is complete.
        readings: The answer to each, in the order of the request.
    """

    sequence: int
    readings: tuple[ReadingOutcome, ...]
