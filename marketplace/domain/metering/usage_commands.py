"""Commands of usage, and the answer to each reading; `usage.py` decides."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from events.usage import Evidence, Gap, Meter, Reading, Sample
from marketplace.core.intervals import Load


class Measurement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A reading as a meter sends it.

    Attributes:
        reading_id: Unique in its source.
        start: First instant.
        end: Instant after the last.
        nodes: Nodes allocated; None for the fewest that hold the GPUs.
        gpus: GPUs allocated, if not all of the nodes'.
        devices: The GPUs, if the meter names them.
        evidence: What the machines report for the interval.
    """

    reading_id: str
    start: datetime
    end: datetime
    nodes: int | None = None
    gpus: int | None = None
    devices: tuple[str, ...] = ()
    evidence: Evidence | None = None


class Metered(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a grant: its present span, nodes and GPUs per node, the resold nodes, and the gaps in its span.

    If limits were copied to the record after a change of the grant, they take precedence over `end`, `resold`, `gaps`
    and `gpu_seconds_max`, what may count in all (ADR 8).
    """

    start: datetime
    end: datetime
    nodes: int
    gpus_per_node: int
    resold: tuple[Load, ...] = ()
    gaps: tuple[Gap, ...] = ()
    gpu_seconds_max: int | None = None


class ReportUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Report intervals of one grant. Readings that are not accepted change nothing.

    `elsewhere` names the grants for which ids of this report were used before, from the record of the source.
    `repeated` maps new ids of this report to earlier readings of the source with the same content.
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
    """Store, on a source's record, the ids of readings that are accepted in the same atomic batch."""

    usage_id: str
    party_id: str
    source: str
    grant_id: str
    reading_ids: tuple[str, ...]


class CloseUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Stop counting: the grant is fully settled in the same atomic batch."""

    usage_id: str
    grant_id: str


class LimitUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Copy the grant's present end, resold nodes and gaps to its record, in the batch that changes the grant.

    `start` is None while the grant begins as it was issued. `gpu_seconds_max` is None until the grant is open only so
    that lowered readings can be corrected up.
    """

    usage_id: str
    grant_id: str
    end: datetime
    resold: tuple[Load, ...]
    meter: Meter
    gaps: tuple[Gap, ...] = ()
    start: datetime | None = None
    gpu_seconds_max: int | None = None


class CorrectUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Replace a reading, as its source. `before` is its present content; None if the record has none that counts."""

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
    """Void a reading, as its source. `before` is its present content; None if the record has none that counts."""

    usage_id: str
    grant_id: str
    source: str
    reading_id: str
    reason: str
    before: Reading | None = None
    meter: Meter = "provider"


class EvidenceUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Store machine samples. A sample that is not newer than the last one of its source and device changes nothing.

    Samples from outside of the grant, or from the future, are left out; the command is refused if all are.
    `metered` has the spans of the grant; `at` is now.
    """

    usage_id: str
    grant_id: str
    source: str
    samples: tuple[Sample, ...]
    metered: Metered
    at: datetime
    meter: Meter = "provider"


UsageCommand = ReportUsage | EvidenceUsage | IdentifyReadings | CorrectUsage | VoidUsage | CloseUsage | LimitUsage


Outcome = Literal["accepted", "duplicate", "conflict", "rejected"]


class Answer(NamedTuple):
    """The answer to one reading. `code` and `message` say why it does not count; None if accepted or a duplicate."""

    reading_id: str
    outcome: Outcome
    code: str | None = None
    message: str | None = None
