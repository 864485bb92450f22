"""Usage of one grant: readings of meters, never edited, only corrected or voided."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import Event, GpuClass, GpuSeconds, Id, Instant, KilowattHours, Nodes, Share, Text

SourceName = Annotated[str, Meta(min_length=1, max_length=200, description="CloudEvents source of the meter")]
ReadingId = Annotated[str, Meta(min_length=1, max_length=200, description="CloudEvents id, unique in its source")]
DeviceName = Annotated[str, Meta(min_length=1, max_length=100, description="One GPU or MIG instance, such as its UUID")]
Gpus = Annotated[int, Meta(ge=1, le=10_000_000, description="Whole GPUs")]
Meter = Literal["provider", "startup"]


class Evidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the machines report beside the readings. It is never billed.

    Attributes:
        gpu_utilisation: Mean share of time that GPUs were busy.
        energy_kwh: Energy drawn, kilowatt-hours.
        xid_errors: NVIDIA XID errors seen.
    """

    gpu_utilisation: Share | None = None
    energy_kwh: KilowattHours | None = None
    xid_errors: Annotated[int, Meta(ge=0)] = 0


class Reading(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Nodes that were allocated over an interval.

    Attributes:
        reading_id: Unique in its source.
        start: First instant.
        end: Instant after the last.
        nodes: Nodes allocated at every instant of the interval.
        gpu_seconds: GPUs · seconds, where the GPUs are `gpus`, or all of the nodes'.
        gpus: GPUs allocated, where they are not all of the nodes'.
        devices: Which GPUs, where the meter names them; each counts once at any instant.
        evidence: What the machines say beside it.
    """

    reading_id: ReadingId
    start: Instant
    end: Instant
    nodes: Nodes
    gpu_seconds: GpuSeconds
    gpus: Gpus | None = None
    devices: tuple[DeviceName, ...] = ()
    evidence: Evidence | None = None


class UsageReported(Event, frozen=True, kw_only=True, tag="usage.reported.v1"):
    """A meter reported intervals of a grant.

    Attributes:
        usage_id: The usage record of the grant.
        grant_id: The grant.
        source: The meter.
        readings: The intervals, at least one.
        meter: Whose meter it is. The provider's is billed; the startup's is compared with it.
    """

    usage_id: Id
    grant_id: Id
    source: SourceName
    readings: tuple[Reading, ...]
    meter: Meter = "provider"


class UsageCorrected(Event, frozen=True, kw_only=True, tag="usage.corrected.v1"):
    """A reading was replaced by its source.

    Attributes:
        usage_id: The usage record of the grant.
        grant_id: The grant.
        source: The meter.
        before: What it said.
        after: What it says now; same reading id.
        reason: Why.
        meter: Whose meter it is.
    """

    usage_id: Id
    grant_id: Id
    source: SourceName
    before: Reading
    after: Reading
    reason: Text
    meter: Meter = "provider"


class UsageVoided(Event, frozen=True, kw_only=True, tag="usage.voided.v1"):
    """A reading was voided by its source.

    Attributes:
        usage_id: The usage record of the grant.
        grant_id: The grant.
        source: The meter.
        reading: What it said.
        reason: Why.
        meter: Whose meter it is.
    """

    usage_id: Id
    grant_id: Id
    source: SourceName
    reading: Reading
    reason: Text
    meter: Meter = "provider"


class UsageIdentified(Event, frozen=True, kw_only=True, tag="usage.identified.v1"):
    """A source used these ids for readings of a grant. No reading of another grant may use them.

    Attributes:
        usage_id: The record of the source, not of the grant.
        party_id: Whose source it is; the same name of two parties is two sources.
        source: The meter.
        grant_id: The grant whose record has the readings.
        reading_ids: The ids, at least one.
    """

    usage_id: Id
    party_id: Id
    source: SourceName
    grant_id: Id
    reading_ids: tuple[ReadingId, ...]


class UsageClosed(Event, frozen=True, kw_only=True, tag="usage.closed.v1"):
    """The grant is fully settled. No more readings count; existing ones may still be lowered or voided.

    Attributes:
        usage_id: The usage record of the grant.
        grant_id: The grant.
        gpu_seconds: What was counted.
    """

    usage_id: Id
    grant_id: Id
    gpu_seconds: GpuSeconds


class SoldNodes(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of a grant that another grant has over a span.

    Attributes:
        start: First instant.
        end: Instant after the last.
        nodes: How many.
    """

    start: Instant
    end: Instant
    nodes: Nodes


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A span between two spans of a grant that was extended after its end. The grant delivers nothing in it.

    Attributes:
        start: First instant.
        end: Instant after the last.
    """

    start: Instant
    end: Instant


class UsageLimited(Event, frozen=True, kw_only=True, tag="usage.limited.v1"):
    """The limits of a grant's usage changed: it begins or ends at another time, or some of its nodes were resold.

    The event is in the atomic batch of that change, in the records of both sides, so that a reading decided on the
    earlier state cannot be stored after it. It states all limits from then on.

    Attributes:
        usage_id: The usage record of the grant.
        grant_id: The grant.
        end: When the grant ends.
        resold: Capacity of the grant that was resold, in the order of its sale.
        gaps: Spans before the end in which the grant does not run, because it was extended after it had ended.
        meter: Whose meters it binds.
        start: When the grant begins, if its startup shortened or moved it; None: as issued.
        gpu_seconds_max: What may count in all, once the grant is open only so that lowered readings can be corrected
            up; None: as much as it has nodes for.
    """

    usage_id: Id
    grant_id: Id
    end: Instant
    start: Instant | None = None
    gpu_seconds_max: GpuSeconds | None = None
    resold: tuple[SoldNodes, ...] = ()
    gaps: tuple[Gap, ...] = ()
    meter: Meter = "provider"


class Sample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the machine said of one GPU, or of one MIG instance, at one instant.

    Attributes:
        device: The GPU's UUID; of a MIG instance with a slash and the instance's id.
        at: When.
        gpu_utilisation: Share of time that it was busy.
        energy_kwh: Energy drawn since its driver was loaded, a counter.
        xid_error: The last NVIDIA XID error; 0 for none.
    """

    device: DeviceName
    at: Instant
    gpu_utilisation: Share | None = None
    energy_kwh: KilowattHours | None = None
    xid_error: Annotated[int, Meta(ge=0)] | None = None


class UsageEvidenced(Event, frozen=True, kw_only=True, tag="usage.evidenced.v1"):
    """Machine samples of a grant were stored. They are evidence beside the readings, and never billed.

    Attributes:
        usage_id: The usage record of the grant.
        grant_id: The grant.
        source: Who looked.
        samples: What they said, at least one.
        meter: Whose evidence it is.
    """

    usage_id: Id
    grant_id: Id
    source: SourceName
    samples: tuple[Sample, ...]
    meter: Meter = "provider"


Priority = Annotated[
    int, Meta(ge=0, le=1_000, description="Of grants that could carry a use, the lowest is used first")
]


class BurnRank(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that was considered, and what it was ranked by: priority, then expiry, then when it was issued.

    Attributes:
        grant_id: The grant.
        priority: Its priority then; the lowest first.
        expires_at: When it ended, as it stood then; the earliest first.
        created_at: When it was issued; the oldest first.
    """

    grant_id: Id
    priority: Priority
    expires_at: Instant
    created_at: Instant


class AllocationPart(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an allocated reading that one grant carries. It is a separate reading in the grant's record.

    Attributes:
        grant_id: The grant.
        reading_id: The id of that reading, under the same source.
        start: First instant.
        end: Instant after the last.
        gpus: GPUs at every instant of the interval.
    """

    grant_id: Id
    reading_id: ReadingId
    start: Instant
    end: Instant
    gpus: Gpus


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """GPUs that a startup used over an interval, and which grants carry them.

    Invariant: at every instant of the interval the GPUs of the parts are those of the reading.

    Attributes:
        start: First instant.
        end: Instant after the last.
        gpus: GPUs used at every instant of the interval.
        ranks: The grants that were considered, in the order in which they were used.
        parts: What each of them carries, by that order and then by time.
        parts_made: How many parts the reading has ever had; their ids are never used again.
    """

    start: Instant
    end: Instant
    gpus: Gpus
    ranks: tuple[BurnRank, ...]
    parts: tuple[AllocationPart, ...]
    parts_made: Annotated[int, Meta(ge=1)]


class UsageAllocated(Event, frozen=True, kw_only=True, tag="usage.allocated.v1"):
    """A meter reported a startup's usage of a class, which was allocated to the startup's grants.

    The readings of the parts are in the same atomic batch.

    Attributes:
        usage_id: The record of the startup's use of the class at the provider.
        startup_id: The startup.
        provider_id: Who delivered.
        gpu_class: Class of the GPUs.
        source: The meter.
        reading_id: Unique in its source.
        allocation: What was used, and which grants carry it.
    """

    usage_id: Id
    startup_id: Id
    provider_id: Id
    gpu_class: GpuClass
    source: SourceName
    reading_id: ReadingId
    allocation: Allocation


class UsageReallocated(Event, frozen=True, kw_only=True, tag="usage.reallocated.v1"):
    """A reading of a startup's usage was corrected or voided, and its allocation was changed in reverse order.

    The corrections, voids and readings of the changed parts are in the same atomic batch.

    Attributes:
        usage_id: The record of the startup's use of the class at the provider.
        startup_id: The startup.
        provider_id: Who delivered.
        gpu_class: Class of the GPUs.
        source: The meter.
        reading_id: The reading.
        before: What it said, and which grants carried it.
        after: What it says now; None where it was voided.
        reason: Why.
    """

    usage_id: Id
    startup_id: Id
    provider_id: Id
    gpu_class: GpuClass
    source: SourceName
    reading_id: ReadingId
    before: Allocation
    after: Allocation | None
    reason: Text


UsageEvent = (
    UsageReported
    | UsageEvidenced
    | UsageCorrected
    | UsageVoided
    | UsageIdentified
    | UsageClosed
    | UsageLimited
    | UsageAllocated
    | UsageReallocated
)
