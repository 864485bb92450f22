"""Usage of one grant: what meters said, never edited, only corrected or voided."""

from typing import Annotated

import msgspec
from msgspec import Meta

from events.types import Event, GpuSeconds, Id, Instant, KilowattHours, Nodes, Share, Text

SourceName = Annotated[str, Meta(min_length=1, max_length=200, description="CloudEvents source of the meter")]
ReadingId = Annotated[str, Meta(min_length=1, max_length=200, description="CloudEvents id, unique in its source")]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the machines say beside the bill; it is never billed.

    Attributes:
        gpu_utilisation: Mean share of time that GPUs were busy.
        energy_kwh: Energy drawn, kilowatt-hours.
        xid_errors: NVIDIA XID errors seen.
    """

    gpu_utilisation: Share | None = None
    energy_kwh: KilowattHours | None = None
    xid_errors: Annotated[int, Meta(ge=0)] = 0


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes that were allocated over an interval.

    Attributes:
        reading_id: Unique in its source.
        start: First instant.
        end: Instant after the last.
        nodes: Nodes allocated at every instant of the interval.
        gpu_seconds: nodes · GPUs per node · seconds.
        evidence: What the machines say beside it.
    """

    reading_id: ReadingId
    start: Instant
    end: Instant
    nodes: Nodes
    gpu_seconds: GpuSeconds
    evidence: Evidence | None = None


class UsageReported(Event, frozen=True, kw_only=True, tag="usage.reported.v1"):
    """A meter reported intervals of a grant.

    Attributes:
        usage_id: The usage record of the grant.
        grant_id: The grant.
        source: The meter.
        readings: The intervals, at least one.
    """

    usage_id: Id
    grant_id: Id
    source: SourceName
    readings: tuple[Reading, ...]


class UsageCorrected(Event, frozen=True, kw_only=True, tag="usage.corrected.v1"):
    """A reading was replaced by its source.

    Attributes:
        usage_id: The usage record of the grant.
        grant_id: The grant.
        source: The meter.
        before: What it said.
        after: What it says now; same reading id.
        reason: Why.
    """

    usage_id: Id
    grant_id: Id
    source: SourceName
    before: Reading
    after: Reading
    reason: Text


class UsageVoided(Event, frozen=True, kw_only=True, tag="usage.voided.v1"):
    """A reading was taken back by its source.

    Attributes:
        usage_id: The usage record of the grant.
        grant_id: The grant.
        source: The meter.
        reading: What it said.
        reason: Why.
    """

    usage_id: Id
    grant_id: Id
    source: SourceName
    reading: Reading
    reason: Text


UsageEvent = UsageReported | UsageCorrected | UsageVoided
