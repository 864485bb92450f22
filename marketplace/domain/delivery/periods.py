"""Statement periods of a grant: spans of 30 days from its start, the last one shorter. Extensions have their own."""

from datetime import datetime, timedelta
from typing import NamedTuple

from marketplace.core.ids import derive_id
from marketplace.domain.delivery.grant import Grant

PERIOD = timedelta(days=30)
ACCEPTANCE = timedelta(days=7)
"""How long a statement may be answered. Then it counts as accepted."""
GRACE = timedelta(hours=24)
"""Meters may report this long after a period. Then its statement is issued."""


class Period(NamedTuple):
    """The span of one statement, and the statement's id."""

    statement_id: str
    start: datetime
    end: datetime

    @property
    def stated_at(self) -> datetime:
        """When its statement is issued."""
        return self.end + GRACE


def list_periods(grant: Grant) -> list[Period]:
    """Return the periods of a grant up to its present end, in order; none if that is not after its start."""
    periods: list[Period] = []
    for begin, stop in ((grant.issued.start, grant.issued.end), *grant.extensions):
        start, last = begin, min(stop, grant.end)
        while start < last:
            end = min(start + PERIOD, last)
            periods.append(Period(derive_id("stm", grant.issued.grant_id, str(len(periods))), start, end))
            start = end
    return periods
