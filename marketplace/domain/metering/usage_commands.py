"""Commands of usage, and the answer that each reading gets; `usage.py` decides."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from events.usage import Evidence, Meter, Reading, Sample
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.intervals import Load


class Measurement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A reading as a meter sends it.

    Attributes:
        reading_id: Unique in its source.
        start: First instant.
        end: Instant after the last.
        nodes: Nodes allocated; None for as few as carry the GPUs.
        gpus: GPUs allocated, where they are not all of the nodes'.
        devices: Which GPUs, where the meter names them.
        evidence: What the machines say beside it.
    """

    reading_id: str
    start: datetime
    end: datetime
    nodes: int | None = None
    gpus: int | None = None
    devices: tuple[str, ...] = ()
    evidence: Evidence | None = None


class Metered(msgspec.Struct, frozen=True, kw_only=True):
    """What the grant allows: its span as it stands, nodes and GPUs per node, and the nodes that were resold.

    Where a record was told of a change of the grant, what it was told goes before `end` and `resold` (ADR 8).
    """

    start: datetime
    end: datetime
    nodes: int
    gpus_per_node: int
    resold: tuple[Load, ...] = ()


class ReportUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Report intervals of one grant; readings that are not accepted change nothing.

    `elsewhere` names the grants for which ids of this report were used before, as the record of the source says;
    `repeated` names, for ids of this report that are new, the readings by which the source said the same before.
    """

    usage_id: str
    grant_id: str
    source: str
    measurements: tuple[Measurement, ...]
    metered: Metered
    at: datetime
    meter: Meter = "provider"
    elsewhere: Mapping[str, str] = {}
    repeated: Mapping[str, str] = {}


class IdentifyReadings(msgspec.Struct, frozen=True, kw_only=True):
    """Keep, on the record of a source, the ids of readings that were accepted in the same atomic batch."""

    usage_id: str
    party_id: str
    source: str
    grant_id: str
    reading_ids: tuple[str, ...]


class CloseUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Count no more: the grant is settled in full, in the same atomic batch."""

    usage_id: str
    grant_id: str


class LimitUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Count within a grant as it is from now on; decided in the same atomic batch as what changed the grant."""

    usage_id: str
    grant_id: str
    end: datetime
    resold: tuple[Load, ...]
    meter: Meter


class CorrectUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Replace a reading by its source; `before` is what it says, None where the record has none that counts."""

    usage_id: str
    grant_id: str
    source: str
    measurement: Measurement
    metered: Metered
    reason: str
    at: datetime
    before: Reading | None = None
    meter: Meter = "provider"


class VoidUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Take a reading back; `before` is what it says, None where the record has none that counts."""

    usage_id: str
    grant_id: str
    source: str
    reading_id: str
    reason: str
    before: Reading | None = None
    meter: Meter = "provider"


class EvidenceUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Keep what machines said; a sample of a source and device that is not newer than the last one changes nothing."""

    usage_id: str
    grant_id: str
    source: str
    samples: tuple[Sample, ...]
    meter: Meter = "provider"


UsageCommand = ReportUsage | EvidenceUsage | IdentifyReadings | CorrectUsage | VoidUsage | CloseUsage | LimitUsage


def name_usage(grant_id: str, meter: Meter = "provider") -> str:
    """Return the id of the record of a grant's readings, of the provider's meters or of the tenant's."""
    return rename_id("usg", grant_id) if meter == "provider" else derive_id("usg", grant_id, meter)


class Answer(NamedTuple):
    """What became of one reading."""

    reading_id: str
    outcome: Literal["accepted", "duplicate", "conflict", "rejected"]
    code: str | None = None
    message: str | None = None
