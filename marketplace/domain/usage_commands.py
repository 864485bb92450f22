"""Commands of usage, and the answer that each reading gets; `usage.py` decides."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from events.usage import BurnRank, Evidence, Meter, Reading, Sample, Spread
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.intervals import Load
from marketplace.core.timeline import Run


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
    """What the grant allows: its span as it stands, nodes and GPUs per node, and the nodes that were resold."""

    start: datetime
    end: datetime
    nodes: int
    gpus_per_node: int
    resold: tuple[Load, ...] = ()


class ReportUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Report intervals of one grant; readings that are not accepted change nothing.

    `elsewhere` names the grants for which ids of this report were used before, as the record of the source says.
    """

    usage_id: str
    grant_id: str
    source: str
    measurements: tuple[Measurement, ...]
    metered: Metered
    at: datetime
    meter: Meter = "provider"
    elsewhere: Mapping[str, str] = {}


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


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that may carry use, and what it carries already in the span that is asked for.

    Attributes:
        rank: What it is ranked by.
        start: From when on it may carry use.
        end: Until when.
        gpus: How many it may carry at any instant.
        runs: What it carries already, as runs of seconds and GPUs in order; nothing between them.
    """

    rank: BurnRank
    start: datetime
    end: datetime
    gpus: int
    runs: tuple[Run, ...] = ()


class SpreadUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Spread what a tenant used of a class over its grants."""

    usage_id: str
    startup_id: str
    provider_id: str
    gpu_class: str
    source: str
    measurement: Measurement
    offers: tuple[Offer, ...]
    at: datetime


class RespreadUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Correct what was spread, or take it back where there is no measurement; the recorded order is unwound.

    `before` is what is spread, None where the record has nothing that counts; the offers carry nothing of its parts.
    """

    usage_id: str
    startup_id: str
    provider_id: str
    gpu_class: str
    source: str
    reading_id: str
    measurement: Measurement | None
    offers: tuple[Offer, ...]
    reason: str
    at: datetime
    before: Spread | None = None


UsageCommand = (
    ReportUsage | EvidenceUsage | IdentifyReadings | CorrectUsage | VoidUsage | CloseUsage | SpreadUsage | RespreadUsage
)


def name_spread(startup_id: str, provider_id: str, gpu_class: str) -> str:
    """Return the id of the record of what a tenant used of a class at a provider."""
    return derive_id("usg", startup_id, f"{provider_id}/{gpu_class}")


def name_usage(grant_id: str, meter: Meter = "provider") -> str:
    """Return the id of the record of a grant's readings, of the provider's meters or of the tenant's."""
    return rename_id("usg", grant_id) if meter == "provider" else derive_id("usg", grant_id, meter)


class Answer(NamedTuple):
    """What became of one reading."""

    reading_id: str
    outcome: Literal["accepted", "duplicate", "conflict", "rejected"]
    code: str | None = None
    message: str | None = None
