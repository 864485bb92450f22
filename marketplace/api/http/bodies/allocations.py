"""Bodies of usage that is allocated to grants."""

from typing import Annotated

import msgspec
from msgspec import Meta

from events.types import GpuClass, Id, Instant, Text
from events.usage import AllocationPart, Gpus, SourceName
from marketplace.api.http.bodies import Body
from marketplace.domain.metering.usage_commands import Outcome

AllocationReadingId = Annotated[
    str, Meta(min_length=1, max_length=190, description="Unique in its source; its parts are named by it and a number")
]


class UseBody(Body, frozen=True, kw_only=True):
    """GPUs that a startup used over an interval.

    Attributes:
        reading_id: Unique in its source.
        start: First instant.
        end: Instant after the last.
        gpus: GPUs used at every instant of the interval.
    """

    reading_id: AllocationReadingId
    start: Instant
    end: Instant
    gpus: Gpus


class AllocateUsageBody(Body, frozen=True, kw_only=True):
    """A meter's readings of a startup's usage of a class.

    Attributes:
        startup_id: The startup.
        gpu_class: Class of the GPUs.
        source: The meter.
        readings: Its intervals, at most 100.
        provider_id: Who delivered; by default the provider of the key.
    """

    startup_id: Id
    gpu_class: GpuClass
    source: SourceName
    readings: Annotated[tuple[UseBody, ...], Meta(min_length=1, max_length=100)]
    provider_id: Id | None = None


class CorrectAllocationBody(Body, frozen=True, kw_only=True):
    """A reading that replaces the one with its id.

    Attributes:
        startup_id: The startup.
        gpu_class: Class of the GPUs.
        source: The meter.
        reading: The new content.
        reason: Why.
        provider_id: Who delivered; by default the provider of the key.
    """

    startup_id: Id
    gpu_class: GpuClass
    source: SourceName
    reading: UseBody
    reason: Text
    provider_id: Id | None = None


class VoidAllocationBody(Body, frozen=True, kw_only=True):
    """A reading to void.

    Attributes:
        startup_id: The startup.
        gpu_class: Class of the GPUs.
        source: The meter.
        reading_id: The reading.
        reason: Why.
        provider_id: Who delivered; by default the provider of the key.
    """

    startup_id: Id
    gpu_class: GpuClass
    source: SourceName
    reading_id: AllocationReadingId
    reason: Text
    provider_id: Id | None = None


class AllocationAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one reading.

    Attributes:
        reading_id: The reading.
        outcome: ``accepted``; ``duplicate``: already known; ``conflict``: known with other content;
            ``rejected``: invalid, or no grants can carry it.
        parts: Which grants carry it, if it was accepted.
        pointer: JSON pointer to the reading in the request, if it was not accepted.
        code: Why it was not accepted.
        message: Why, in a sentence.
    """

    reading_id: str
    outcome: Outcome
    parts: tuple[AllocationPart, ...] = ()
    pointer: str | None = None
    code: str | None = None
    message: str | None = None


class AllocationReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a meter's report about a startup.

    Attributes:
        id: The record of the startup's use of the class at the provider.
        sequence: Position in the log at which everything accepted is complete.
        readings: The answer to each reading, in the order of the request.
    """

    id: str
    sequence: int
    readings: tuple[AllocationAnswer, ...]
