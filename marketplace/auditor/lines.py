"""Checks service lines: no more hours count than were agreed on or their workers had, and none is charged beyond."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

ZERO: Final = Decimal(0)
_HOUR: Final = 3600
Body = Mapping[str, Any]


@dataclass(slots=True)
class Line:
    """A service line.

    Attributes:
        workers: How many people work at a time, at most.
        hours: The most hours.
        since: From when on they may be worked.
        readings: When each reading that counts ends, and its hours, by source and id.
        worked: Their hours.
        charged: The hours that are accepted, less those credited, by the first instant of the statement period.
    """

    workers: int
    hours: Decimal
    since: datetime
    readings: dict[tuple[str, str], tuple[datetime, Decimal]] = field(default_factory=dict)
    worked: Decimal = ZERO
    charged: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def has_time(self, hours: Decimal, start: datetime, end: datetime) -> bool:
        """Return whether its workers have so many hours in the whole seconds of a span, in hundredths rounded up."""
        return math.ceil(Fraction(self.workers * ((end - start) // timedelta(seconds=1)) * 100, _HOUR)) >= hours * 100

    def sum_worked(self, start: datetime, end: datetime) -> Decimal:
        """Return the hours that end after `start` and up to `end`."""
        return sum((hours for at, hours in self.readings.values() if start < at <= end), ZERO)


@dataclass(slots=True)
class Lines:
    """Folds service lines and their statements, and checks readings and charges.

    Attributes:
        workers: How many people work for each proposed service line.
        lines: Those that were agreed on.
        periods: The first instant of the period of each statement of a service line.
    """

    findings: Findings
    workers: dict[str, int] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)
    periods: dict[str, str] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            name = message.event_type.removesuffix(".v1")
            if name.startswith(("service_line.", "statement.")):
                body = message.read()
                self._fold(message, name, body, body.get("service_line_id") or "")

    def _fold(self, message: Message, name: str, body: Body, line_id: str) -> None:
        match name:
            case "service_line.proposed":
                self.workers[body["service_line_id"]] = body["workers"]
            case "service_line.agreed" if line_id in self.workers:
                self.lines[line_id] = Line(self.workers[line_id], Decimal(body["hours"]), parse_instant(body["at"]))
            case "service_line.reported" | "service_line.corrected" | "service_line.voided" if line_id in self.lines:
                gone = body.get("before") or body.get("reading")
                if gone is not None:
                    _, hours = self.lines[line_id].readings.pop((body["source"], gone["reading_id"]), (None, ZERO))
                    self.lines[line_id].worked -= hours
                for reading in body.get("readings") or filter(None, [body.get("after")]):
                    self._count(message, body, reading, self.lines[line_id])
            case "statement.issued" | "statement.accepted" | "statement.credited" if line_id in self.lines:
                self._charge(message, name, body, self.lines[line_id])
            case _:
                pass

    def _count(self, message: Message, body: Body, reading: Body, line: Line) -> None:
        """Count a reading, which is not more than its workers had in its interval, nor all of them since they began."""
        start, end, hours = parse_instant(reading["start"]), parse_instant(reading["end"]), Decimal(reading["hours"])
        line.readings[body["source"], reading["reading_id"]] = end, hours
        line.worked += hours
        at = parse_instant(message.headers["ce-time"])
        has_time = line.has_time(hours, start, end) and line.has_time(line.worked, line.since, at)
        name = f"{hours} hours of {reading['reading_id']}"
        text = f"{body['service_line_id']} counts {name}, {line.worked} of {line.hours}"
        self.findings.require(has_time and line.worked <= line.hours, "hours", message.sequence, text)

    def _charge(self, message: Message, name: str, body: Body, line: Line) -> None:
        """Check that a period is charged for no more hours than ended in it."""
        hours, period = Decimal(body["charges"].get("service_hours", "0")), self.periods.get(body["statement_id"], "")
        if name == "statement.accepted":
            line.charged[period] += hours
        elif name == "statement.credited":
            line.charged[body["period_start"]] -= hours
        else:
            period = self.periods[body["statement_id"]] = body["period_start"]
            charged = line.charged[period] + hours
            worked = line.sum_worked(parse_instant(period), parse_instant(body["period_end"]))
            text = f"{body['service_line_id']} charges {charged} hours from {period} on, and {worked} were worked"
            self.findings.require(charged <= worked, "hours", message.sequence, text)
