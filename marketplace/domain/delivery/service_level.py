"""The service result of a grant's period against its promised service level, exact in GPU-seconds.

Availability is (promised - unavailable) / promised GPU-seconds of the period. A GPU-second is unavailable while its
node does not work, according to the grant's events. Under the measure ``metered``, GPU-seconds that the provider's
meter did not count are unavailable too. Events about a period that are recorded after its statement do not change that
statement.

Invariants:
    1. Unavailable GPU-seconds are at most those promised, so availability lies between 0 and 1.
    2. A kept promise gives no credit. Otherwise the last step of the schedule that applies determines the credit.
    3. Runs of equal nodes partition a period, so the counts of two halves add up to that of the whole.
"""

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from events.service import ServiceResult
from events.types import ServiceConsequence
from marketplace.core.intervals import Load, build_steps
from marketplace.core.money import ZERO, render_ratio
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.periods import Period

EXTENSIONS_MAX: Final = 12
"""The most periods of a grant that roll forward."""
_SECOND: Final = timedelta(seconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)


_PER_SECOND: Final = 1_000_000


def count_promised(grant: Grant, start: datetime, end: datetime) -> int:
    """Return the whole GPU-seconds over a span that were granted and not resold."""
    return _count(grant, grant.issued.nodes, start, end) // _PER_SECOND


def count_unavailable(grant: Grant, start: datetime, end: datetime) -> int:
    """Return the whole GPU-seconds over a span during which nodes of a grant did not work."""
    points = [(max(at, start), nodes) for at, nodes in grant.outages if at < end]
    ends = [*(at for at, _ in points[1:]), end]
    nodes = grant.issued.nodes
    lost = sum(_count(grant, nodes - working, at, until) for (at, working), until in zip(points, ends, strict=False))
    return lost // _PER_SECOND


def _count(grant: Grant, nodes: int, start: datetime, end: datetime) -> int:
    """Return the GPU-microseconds of so many nodes over a span, limited to the grant's own nodes at each instant."""
    sold = [Load(load.start, load.end, -load.amount) for load in grant.list_resold()]
    runs = build_steps([Load(start, end, grant.issued.nodes), *sold], start, end) if start < end else []
    counted = sum(min(nodes, run.amount) * ((run.end - run.start) // _MICROSECOND) for run in runs)
    return grant.issued.gpus_per_node * counted


def assess(grant: Grant, start: datetime, end: datetime, delivered: int) -> ServiceResult | None:
    """Return the service result of a period; None if nothing was promised.

    Args:
        grant: The grant, with all reports about its nodes so far.
        start: First instant of the period.
        end: Instant after its last.
        delivered: GPU-seconds that the provider's meter counted in it.
    """
    terms = grant.issued.service
    if terms is None:
        return None
    promised, lost = count_promised(grant, start, end), count_unavailable(grant, start, end)
    if terms.measure == "metered":
        lost = max(lost, promised - delivered)
    availability = Fraction(promised - lost, promised) if promised else Fraction(1)
    holding = [step.credit for step in terms.credits if availability < step.availability_below]
    return ServiceResult(
        gpu_seconds_promised=promised,
        gpu_seconds_unavailable=lost,
        gpu_seconds_delivered=delivered,
        availability=render_ratio(availability),
        availability_min=terms.availability_min,
        met=availability >= terms.availability_min,
        credit=holding[-1] if holding else ZERO,
    )


def find_extension(grant: Grant, period: Period, at: datetime) -> tuple[datetime, datetime] | None:
    """Return the span by which a grant is extended for a period that rolls forward.

    It has the period's length, from the grant's end, or from the next whole second if the grant is over.

    Returns:
        The first instant and the instant after the last; None if the grant does not run, was extended too often, or
        was resold in part.
    """
    if grant.phase != "running" or grant.resold or len(grant.extensions) >= EXTENSIONS_MAX:
        return None
    whole = at.replace(microsecond=0)
    start = max(grant.end, whole if whole == at else whole + _SECOND) if grant.end < at else grant.end
    return start, start + (period.end - period.start)


def choose_remedy(grant: Grant, stated: ServiceConsequence, *, extended: bool) -> ServiceConsequence:
    """Return the remedy for a period below the promised availability.

    If the stated remedy is to roll forward and the grant cannot be extended, the period is excluded from accrual. Where
    nothing accrues, it is credited.
    """
    if stated != "roll_forward" or extended:
        return stated
    return "credit" if grant.issued.equity is None else "exclude"
