"""Service levels: the terms of a promise, and what a statement period came to against it, exact in GPU-seconds.

A period's availability is what was promised less what was unavailable, of what was promised. Unavailable are the
GPU-seconds at which nodes did not work, as the grant's own log tells: from an instant on so many of its nodes worked.
Under the measure ``metered`` so is all that the provider's meter did not count as delivered. What is told of a period
after its statement was issued changes nothing of it any more.

Invariants:
    1. Unavailable GPU-seconds are at most those promised, so availability lies between 0 and 1.
    2. A kept promise gives nothing back; of the schedule's steps the last one that holds counts.
    3. Runs of equal nodes partition a period, so the counts of two halves sum to that of the whole.

Refusals of terms in order: not_a_number · amount_not_positive · amount_too_large · amount_too_precise ·
credits_above_promise · credits_out_of_order.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Final

from events.service import ServiceResult, ServiceTerms
from events.types import PrincipalTerms
from marketplace.core.errors import Refusal
from marketplace.core.intervals import Load, build_steps
from marketplace.core.money import ZERO, render_ratio, require_share
from marketplace.domain.delivery.grant import Grant

_MICROSECOND: Final = timedelta(microseconds=1)
_PER_SECOND: Final = 1_000_000


def require_service(terms: ServiceTerms, pointer: str) -> None:
    """Refuse terms whose shares are none, or whose schedule does not give more the lower the availability is."""
    require_share(terms.availability_min, f"{pointer}/availability_min")
    for index, step in enumerate(terms.credits):
        require_share(step.availability_below, f"{pointer}/credits/{index}/availability_below")
        require_share(step.credit, f"{pointer}/credits/{index}/credit")
    if terms.credits and terms.credits[0].availability_below > terms.availability_min:
        raise Refusal(
            "credits_above_promise",
            f"the first credit holds below {terms.credits[0].availability_below}, above the promise of"
            f" {terms.availability_min}; begin at the promise or lower",
            pointer=f"{pointer}/credits/0/availability_below",
        )
    for index, (before, after) in enumerate(pairwise(terms.credits), start=1):
        if after.availability_below >= before.availability_below or after.credit <= before.credit:
            raise Refusal(
                "credits_out_of_order",
                f"below {after.availability_below} is given {after.credit}, after {before.credit} below"
                f" {before.availability_below}; each step is lower than the one before and gives more",
                pointer=f"{pointer}/credits/{index}",
            )


def require_consequence(terms: PrincipalTerms, pointer: str) -> None:
    """Refuse terms of a drawdown that do not say what a period below the promised availability does."""
    if terms.service_consequence is None:
        raise Refusal(
            "consequence_missing",
            "what a period below the promised availability does is not given; state roll_forward, exclude or credit",
            pointer=f"{pointer}/service_consequence",
            convention="service_consequence",
        )


def choose_service(promises: Sequence[ServiceTerms | None]) -> ServiceTerms | None:
    """Return the best of the promises of the lots that carry a grant, the first of equal ones; None where none is."""
    made = [terms for terms in promises if terms is not None]
    return max(made, key=lambda terms: terms.availability_min, default=None)


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
