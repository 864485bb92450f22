"""Equal periods from an instant on, and amounts over time counted in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from marketplace.core.intervals import Load


class Opened(Protocol):
    """The periods as the opening of an auction states them."""

    @property
    def horizon_start(self) -> datetime: ...  # noqa: D102
    @property
    def period_hours(self) -> int: ...  # noqa: D102
    @property
    def periods(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Horizon:
    """The periods of an auction."""

    start: datetime
    period: timedelta
    periods: int

    @property
    def end(self) -> datetime:
        """Return the instant after the last period."""
        return self.start + self.period * self.periods

    def floor(self, at: datetime) -> int:
        """Return the last period boundary at or before an instant."""
        return (at - self.start) // self.period

    def ceil(self, at: datetime) -> int:
        """Return the first period boundary at or after an instant."""
        return -((self.start - at) // self.period)

    def at(self, period: int) -> datetime:
        """Return the first instant of a period."""
        return self.start + self.period * period

    def count_least(self, runs: Sequence[Load]) -> list[int]:
        """Return the least amount in each period; 0 if the runs do not cover it whole."""
        amounts = [0] * self.periods
        if not runs:
            return amounts
        first, last = self.ceil(runs[0].start), self.floor(runs[-1].end)
        for period in range(max(first, 0), min(last, self.periods)):
            start, end = self.at(period), self.at(period + 1)
            amounts[period] = min(run.amount for run in runs if run.start < end and start < run.end)
        return amounts


def build_horizon(opened: Opened) -> Horizon:
    """Return the periods of an auction."""
    return Horizon(opened.horizon_start, timedelta(hours=opened.period_hours), opened.periods)
