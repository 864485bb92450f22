"""Views of usage."""

from datetime import date, datetime
from decimal import Decimal

import msgspec

from events import usage as usage_events
from events.usage import Evidence, Meter


class ReadingView(msgspec.Struct, frozen=True, kw_only=True):
    """A reading in its present form. A voided one keeps its content and counts nothing."""

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

    `gpu_seconds` is what the provider's meters counted, `gpu_seconds_startup` what the startup's did.
    """

    grant_id: str
    readings: int
    gpu_seconds: Decimal
    gpu_seconds_startup: Decimal
    start: datetime | None
    end: datetime | None


class UsageDay(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of one grant on one day in UTC, without voided readings. A reading counts on the day it begins.

    `gpu_seconds` is what the provider's meters counted, `gpu_seconds_startup` what the startup's did.
    """

    day: date
    gpu_seconds: Decimal
    gpu_seconds_startup: Decimal


class AllocationView(msgspec.Struct, frozen=True, kw_only=True):
    """A startup's usage of a class over an interval, and which grants carry it. A voided one has no parts."""

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
