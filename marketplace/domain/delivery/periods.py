"""Statement periods of a grant: runs of 30 days from its start, the last one ending with it; so of each extension."""

from datetime import datetime, timedelta
from typing import NamedTuple

from marketplace.core.ids import derive_id
from marketplace.domain.delivery.grant import Grant

PERIOD = timedelta(days=30)
ACCEPTANCE = timedelta(days=7)


class Period(NamedTuple):
    """One statement's span, and the id that the statement has."""

    statement_id: str
    start: datetime
    end: datetime


def list_periods(grant: Grant) -> list[Period]:
    """Return the periods of a grant in order; none where it ended before it began."""
    periods: list[Period] = []
    for begin, stop in ((grant.issued.start, grant.issued.end), *grant.extensions):
        start, last = begin, min(stop, grant.end)
        while start < last:
            end = min(start + PERIOD, last)
            periods.append(Period(derive_id("stm", grant.issued.grant_id, str(len(periods))), start, end))
            start = end
    return periods
