"""Bodies of usage that is allocated to grants."""

from typing import Annotated

from msgspec import Meta

from events.types import GpuClass, Id, Instant, Text
from events.usage import Gpus, SourceName
from marketplace.api.http.bodies import Body

SpreadReadingId = Annotated[
    str, Meta(min_length=1, max_length=190, description="Unique in its source; its parts are named by it and a number")
]


class UseBody(Body, frozen=True, kw_only=True):
    """GPUs that a tenant used over an interval.

    Attributes:
        reading_id: Unique in its source.
        start: First instant.
        end: Instant after the last.
        gpus: GPUs used at every instant of it.
    """

    reading_id: SpreadReadingId
    start: Instant
    end: Instant
    gpus: Gpus


class SpreadUsageBody(Body, frozen=True, kw_only=True):
    """A meter's readings of a tenant's usage of a class.

    Attributes:
        startup_id: The tenant.
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


class CorrectSpreadBody(Body, frozen=True, kw_only=True):
    """A reading that replaces the one with its id.

    Attributes:
        startup_id: The tenant.
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


class VoidSpreadBody(Body, frozen=True, kw_only=True):
    """A reading to void.

    Attributes:
        startup_id: The tenant.
        gpu_class: Class of the GPUs.
        source: The meter.
        reading_id: The reading.
        reason: Why.
        provider_id: Who delivered; by default the provider of the key.
    """

    startup_id: Id
    gpu_class: GpuClass
    source: SourceName
    reading_id: SpreadReadingId
    reason: Text
    provider_id: Id | None = None
