"""Views of usage."""

from datetime import date, datetime
from decimal import Decimal

import msgspec

from events import usage as usage_events
from events.usage import Evidence, Meter


class ReadingView(msgspec.Struct, frozen=True, kw_only=True):
    """A reading in its present form. A voided one keeps its content and counts nothing.

    Attributes:
        meter: ``provider`` or ``startup``.
        source: The meter, as it names itself.
        evidence: What the machines reported for the interval.
        reason: Why it was corrected or voided.
    """

    grant_id: str
    meter: Meter
    source: str
    reading_id: str
    usage_id: str
    reported_sequence: int
    start: datetime
    end: datetime
    nodes: int
    gpus: int | None
    gpu_seconds: int
    devices: tuple[str, ...]
    evidence: Evidence | None
    corrections: int
    voided: bool
    reason: str | None
    last_sequence: int


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of one grant in a span, without voided readings.

    Attributes:
        readings: How many, of both sides.
        gpu_seconds: What the provider's meters counted.
        gpu_seconds_startup: What the startup's meters counted.
        start: When the first of them begins; None without any.
        end: When the last of them ends; None without any.
    """

    grant_id: str
    readings: int
    gpu_seconds: Decimal
    gpu_seconds_startup: Decimal
    start: datetime | None
    end: datetime | None


class UsageDay(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of one grant on one day in UTC, without voided readings. A reading counts on the day it begins.

    Attributes:
        gpu_seconds: What the provider's meters counted.
        gpu_seconds_startup: What the startup's meters counted.
    """

    day: date
    gpu_seconds: Decimal
    gpu_seconds_startup: Decimal


class AllocationView(msgspec.Struct, frozen=True, kw_only=True):
    """A startup's usage of a class over an interval, and which grants carry it.

    Attributes:
        gpus: GPUs used at every instant of it.
        parts: Which grants carry it; none of a voided one.
    """

    usage_id: str
    source: str
    reading_id: str
    startup_id: str
    provider_id: str
    gpu_class: str
    reported_sequence: int
    start: datetime
    end: datetime
    gpus: int
    ranks: tuple[usage_events.BurnRank, ...]
    parts: tuple[usage_events.AllocationPart, ...]
    corrections: int
    voided: bool
    reason: str | None
    last_sequence: int
