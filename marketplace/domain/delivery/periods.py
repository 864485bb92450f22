"""Statement periods of a grant: spans of 30 days from its start, the last one shorter. Extensions have their own."""

from datetime import datetime, timedelta
from typing import NamedTuple

from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id
from marketplace.core.instants import render_instant
from marketplace.domain.delivery.grant import Grant

PERIOD = timedelta(days=30)
ACCEPTANCE = timedelta(days=7)
"""How long a statement may be answered. Then it counts as accepted."""
CORRECTED_WITHIN = timedelta(days=30)
"""How long after its end a grant may stay open for corrections of readings that were lowered."""
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


def require_unstated(grant: Grant, at: datetime) -> None:
    """Refuse another span for a grant whose first period is over, since its statement is about the present one.

    Raises:
        Refusal: ``period_over``.
    """
    first = next(iter(list_periods(grant)), None)
    if first is not None and first.end <= at:
        said = f"the first statement period of grant {grant.issued.grant_id} ended at {render_instant(first.end)}"
        raise Refusal("period_over", f"{said}, and its statement is about the span as it is; keep the grant or end it")


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
