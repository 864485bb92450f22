"""What a period of a grant came to against its promised service level, exact in GPU-seconds.

A period's availability is the promised GPU-seconds less the unavailable ones, as a share of the promised. A GPU-second
is unavailable while its node does not work, as the events of the grant say. Under the measure ``metered``, GPU-seconds
that the provider's meter did not count are unavailable too. What is recorded about a period after its statement was
issued does not change that statement.

Invariants:
    1. Unavailable GPU-seconds are at most those promised, so availability lies between 0 and 1.
    2. A kept promise gives no credit; of the schedule's steps the last one that holds counts.
    3. Runs of equal nodes partition a period, so the counts of two halves add up to that of the whole.
"""

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from events.service import ServiceResult
from marketplace.core.intervals import Load, build_steps
from marketplace.core.money import ZERO, render_ratio
from marketplace.domain.delivery.grant import Grant

_MICROSECOND: Final = timedelta(microseconds=1)


_PER_SECOND: Final = 1_000_000


def count_promised(grant: Grant, start: datetime, end: datetime) -> int:
    """Return the GPU-seconds that were granted over a span and not resold, in whole ones."""
    return _count(grant, grant.issued.nodes, start, end) // _PER_SECOND


def count_unavailable(grant: Grant, start: datetime, end: datetime) -> int:
    """Return the GPU-seconds over a span at which nodes of a grant did not work, in whole ones."""
    points = [(max(at, start), nodes) for at, nodes in grant.outages if at < end]
    ends = [*(at for at, _ in points[1:]), end]
    nodes = grant.issued.nodes
    lost = sum(_count(grant, nodes - working, at, until) for (at, working), until in zip(points, ends, strict=False))
    return lost // _PER_SECOND


def _count(grant: Grant, nodes: int, start: datetime, end: datetime) -> int:
    """Return the GPU-microseconds of so many nodes over a span, of no more than the grant had at each instant."""
    sold = [Load(load.start, load.end, -load.amount) for load in grant.list_resold()]
    runs = build_steps([Load(start, end, grant.issued.nodes), *sold], start, end) if start < end else []
    counted = sum(min(nodes, run.amount) * ((run.end - run.start) // _MICROSECOND) for run in runs)
    return grant.issued.gpus_per_node * counted


def assess(grant: Grant, start: datetime, end: datetime, delivered: int) -> ServiceResult | None:
    """Return what a period came to; None where nothing was promised.

    Args:
        grant: The grant, with all that was told of its nodes so far.
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
