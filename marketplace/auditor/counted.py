"""What the provider's meter counted of a grant, and how much of its outages that leaves unrefuted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from marketplace.auditor.spans import FOREVER, Load, parse_instant

CHRONIC_WITHIN: Final = timedelta(days=3)
ANSWERED_WITHIN: Final = timedelta(hours=24)
_MICROSECOND: Final = timedelta(microseconds=1)
_PER_SECOND: Final = 1_000_000
Body = dict[str, Any]


@dataclass(slots=True)
class Counted:
    """The counted GPUs of one grant.

    Attributes:
        nodes: Nodes of the grant.
        gpus_per_node: GPUs of a node.
        end: When its present span ends, or was to end.
        changes: By how many GPUs the count changes, by instant.
        sold: The nodes that it resold.
        withheld: The spans in which delivery was withheld.
        anew: When it began again after a gap.
    """

    nodes: int
    gpus_per_node: int
    end: datetime
    changes: dict[datetime, int] = field(default_factory=dict)
    sold: list[Load] = field(default_factory=list)
    withheld: list[tuple[datetime, datetime]] = field(default_factory=list)
    anew: list[datetime] = field(default_factory=list)

    def count(self, reading: Body, sign: int) -> None:
        """Add a reading, or take it away."""
        start, end = parse_instant(reading["start"]), parse_instant(reading["end"])
        gpus = sign * (reading["gpu_seconds"] // ((end - start) // timedelta(seconds=1)))
        for at, change in ((start, gpus), (end, -gpus)):
            level = self.changes.pop(at, 0) + change
            if level:
                self.changes[at] = level

    def change(self, name: str, body: Body) -> None:
        """Fold an event of the grant."""
        match name:
            case "rescheduled":
                self.end = parse_instant(body["end"])
            case "extended":
                if parse_instant(body["start"]) > self.end:
                    self.anew.append(parse_instant(body["start"]))
                self.end = parse_instant(body["end"])
            case "resold":
                self.sold.append(Load(parse_instant(body["start"]), parse_instant(body["end"]), body["nodes"]))
            case "withheld":
                self.withheld.append((parse_instant(body["at"]), FOREVER))
            case "withholding_ended":
                self.withheld[-1] = self.withheld[-1][0], parse_instant(body["at"])

    def sum_up(self, start: datetime, end: datetime) -> int:
        """Return the GPU-seconds that the meter counted over a span, rounded down."""
        runs = self._list_runs(start, end)
        return sum(gpus * ((stop - begin) // _MICROSECOND) for begin, stop, gpus in runs) // _PER_SECOND

    def measure(self, start: datetime, end: datetime) -> Fraction:
        """Return which share the meter counted of what was promised over a span; 1 if nothing was."""
        edges = {at for load in self.sold for at in (load.start, load.end)} | {
            at for span in self.withheld for at in span
        }
        promised = sum(
            self._count_own(begin) * ((stop - begin) // _MICROSECOND)
            for begin, stop in pairwise(sorted({start, end, *(at for at in edges if start < at < end)}))
        )
        counted = sum(gpus * ((stop - begin) // _MICROSECOND) for begin, stop, gpus in self._list_runs(start, end))
        return Fraction(counted, promised * self.gpus_per_node) if promised else Fraction(1)

    def _count_own(self, at: datetime) -> int:
        """Return the nodes that are due at an instant."""
        if any(start <= at < end for start, end in self.withheld):
            return 0
        return self.nodes - sum(load.amount for load in self.sold if load.start <= at < load.end)

    def covers(self, nodes: int, share: Fraction, start: datetime, end: datetime) -> bool:
        """Return whether the meter counted half of the GPUs of so many nodes in a share of the time when they were due.

        A second more or less is let through.
        """
        edges = {at for load in self.sold for at in (load.start, load.end)} | set(self.changes)
        edges |= {at for span in self.withheld for at in span}
        covered = due = timedelta()
        steps, counted, place = sorted(self.changes), 0, 0
        for begin, stop in pairwise(sorted({start, end, *(at for at in edges if start < at < end)})):
            gpus = min(self._count_own(begin), nodes) * self.gpus_per_node
            while place < len(steps) and steps[place] <= begin:
                counted += self.changes[steps[place]]
                place += 1
            due += stop - begin if gpus else timedelta()
            covered += stop - begin if 0 < gpus <= 2 * counted else timedelta()
        return start < end and covered + timedelta(seconds=1) >= share.numerator * due / share.denominator

    def _list_runs(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime, int]]:
        """Return the GPUs counted over the runs of a span."""
        gpus, runs, since = 0, [], start
        for at in sorted(self.changes):
            if since < min(at, end):
                runs.append((since, min(at, end), gpus))
            since, gpus = max(at, start), gpus + self.changes[at]
        return runs

    def is_chronic(self, first: datetime, at: datetime, failed: Callable[[datetime], int], cuts: set[datetime]) -> bool:
        """Return whether nodes failed for a day in the three days up to a day before `at`, however few at once.

        The time in which the meter counted most of the failed nodes refutes as much.

        Args:
            first: When the grant begins.
            at: When its end was announced.
            failed: Returns how many nodes did not work at an instant.
            cuts: The instants at which that changes.
        """
        until = at - ANSWERED_WITHIN
        start = max(until - CHRONIC_WITHIN, first, *self.anew)
        lost, gpus, steps = timedelta(), 0, sorted(self.changes)
        place = 0
        bounds = cuts | {at for load in self.sold for at in (load.start, load.end)}
        bounds |= {at for span in self.withheld for at in span} | set(steps)
        for begin, stop in pairwise(sorted({start, until, *(one for one in bounds if start < one < until)})):
            while place < len(steps) and steps[place] <= begin:
                gpus += self.changes[steps[place]]
                place += 1
            lost += stop - begin if self._is_lost(begin, failed(begin), gpus) else timedelta()
        return start < until and lost >= ANSWERED_WITHIN

    def _is_lost(self, at: datetime, failed: int, gpus: int) -> bool:
        """Return whether nodes failed at an instant, and most of their GPUs were not counted."""
        own = self._count_own(at)
        lost = min(failed, own)
        return lost > 0 and 2 * (gpus - (own - lost) * self.gpus_per_node) < lost * self.gpus_per_node
