"""Commands of service lines; `service_line.py` decides."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from events.grant import EquityPart
from events.service_line import HoursReading

Spans = tuple[tuple[datetime, datetime], ...]
"""Spans in order, each with its start and its end."""


class ProposeServiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """Offer, as the provider of a grant, to work for its startup.

    `holder_id` is the holder that must approve, because it pays a part for equity; None if none must.
    """

    service_line_id: str
    grant_id: str
    startup_id: str
    provider_id: str
    holder_id: str | None
    name: str
    price_usd_per_hour: Decimal
    hours: Decimal
    workers: int


class ApproveServiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """Approve the equity part, as the holder."""

    service_line_id: str


class DeclineServiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """Decline a proposal, or withdraw it."""

    service_line_id: str
    by: Literal["startup", "provider", "holder", "platform"]
    reason: str


class AgreeServiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """Agree, as the startup. Money is set aside in the same atomic batch."""

    service_line_id: str
    hold_id: str
    cash_commitment_usd: Decimal
    equity: EquityPart | None
    at: datetime


class ReportHours(msgspec.Struct, frozen=True, kw_only=True):
    """Report hours worked. Readings that are not accepted change nothing.

    Attributes:
        service_line_id: The service line.
        source: The time sheet.
        readings: The readings.
        spans: When the grant runs, as the caller knows it. Spans that were copied to the service line take precedence.
        at: Now.
        elsewhere: Which service lines earlier used ids of this report, from the record of the source.
    """

    service_line_id: str
    source: str
    readings: tuple[HoursReading, ...]
    spans: Spans
    at: datetime
    elsewhere: Mapping[str, str] = {}


class CorrectHours(msgspec.Struct, frozen=True, kw_only=True):
    """Replace a reading, as its source. `spans` and `at` are as in `ReportHours`."""

    service_line_id: str
    source: str
    reading: HoursReading
    spans: Spans
    at: datetime
    reason: str


class VoidHours(msgspec.Struct, frozen=True, kw_only=True):
    """Void a reading, as its source."""

    service_line_id: str
    source: str
    reading_id: str
    reason: str


class LimitServiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """Accept only hours within the grant's present spans. Decided in the batch that changes the grant."""

    service_line_id: str
    spans: Spans


class CloseServiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """Let unworked hours lapse: the grant is fully settled in the same atomic batch."""

    service_line_id: str


ServiceLineCommand = (
    ProposeServiceLine
    | ApproveServiceLine
    | DeclineServiceLine
    | AgreeServiceLine
    | ReportHours
    | CorrectHours
    | VoidHours
    | CloseServiceLine
    | LimitServiceLine
)
