"""The horizon of an auction: equal periods from an instant on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from marketplace.core.intervals import Load


class Opened(Protocol):
    """The horizon as the opening of an auction states it."""

    @property
    def horizon_start(self) -> datetime: ...  # noqa: D102
    @property
    def period_hours(self) -> int: ...  # noqa: D102
    @property
    def periods(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Horizon:
    """Equal, consecutive periods.

    Attributes:
        start: Start of the first period.
        period: Length of a period.
        periods: How many there are.
    """

    start: datetime
    period: timedelta
    periods: int

    @property
    def end(self) -> datetime:
        """Return the instant after the last period."""
        return self.start + self.period * self.periods

    def floor(self, at: datetime) -> int:
        """Return the number of periods from the start to the last boundary at or before an instant.

        It is negative before the start, and above `periods` after the end.
        """
        return (at - self.start) // self.period

    def ceil(self, at: datetime) -> int:
        """Return the number of periods from the start to the first boundary at or after an instant; see `floor`."""
        return -((self.start - at) // self.period)

    def at(self, period: int) -> datetime:
        """Return the first instant of a period."""
        return self.start + self.period * period

    def count_least(self, runs: Sequence[Load]) -> list[int]:
        """Return the least amount in each period; 0 in a period that the runs do not cover from start to end.

        Args:
            runs: Amounts over time, in order and without gaps between them.
        """
        amounts = [0] * self.periods
        if not runs:
            return amounts
        first, last = self.ceil(runs[0].start), self.floor(runs[-1].end)
        for period in range(max(first, 0), min(last, self.periods)):
            start, end = self.at(period), self.at(period + 1)
            amounts[period] = min(run.amount for run in runs if run.start < end and start < run.end)
        return amounts


def build_horizon(opened: Opened) -> Horizon:
    """Return the horizon of an auction."""
    return Horizon(opened.horizon_start, timedelta(hours=opened.period_hours), opened.periods)
