"""The service result of a grant's period against its promised service level, exact in GPU-seconds.

Availability is (promised - unavailable) / promised GPU-seconds of the period. A GPU-second is unavailable while its
node does not work, according to the grant's events. While delivery is withheld because a stage is not paid, nothing is
promised. Under the measure ``metered``, the default, GPU-seconds that the provider's meter did not count are
unavailable too; under ``incidents`` they are in a period in which the startup reported that no node works. An outage
that is recorded after the period's statement leads to an adjustment.

Invariants:
    1. Unavailable GPU-seconds are at most those promised, so availability lies between 0 and 1.
    2. A kept promise gives no credit. Otherwise the last step of the schedule that applies determines the credit.
    3. Runs of equal nodes partition a period, so the counts of two halves add up to that of the whole.
    4. Delivered GPU-seconds never exceed those promised less those unavailable.
"""

from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Final

from msgspec import structs

from events.service import ServiceResult
from events.types import ServiceConsequence
from marketplace.core.intervals import Load, build_steps
from marketplace.core.money import ZERO, render_ratio
from marketplace.domain.delivery.grant import Grant

EXTENSIONS_MAX: Final = 12
"""The most periods of a grant that roll forward."""
DELIVERED_MIN: Final = Fraction(1, 2)
"""The share of what was promised below which a grant counts as not delivered, where gaps of the meter count."""
_NOTHING: Final = Fraction(1, 100)
_SECOND: Final = timedelta(seconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)


_PER_SECOND: Final = 1_000_000


def count_promised(grant: Grant, start: datetime, end: datetime) -> int:
    """Return the GPU-seconds over a span that were granted, and neither resold nor withheld; rounded down."""
    return _count(grant, grant.issued.nodes, start, end) // _PER_SECOND


def counts_gaps(grant: Grant, start: datetime, end: datetime) -> bool:
    """Return whether what the provider's meter did not count of a period is unavailable.

    It is under ``metered``. Under ``incidents`` it is where the startup reported in the period that no node works:
    otherwise a provider that hardly delivers, and reports nothing, would keep its promise.
    """
    terms = grant.issued.service
    return terms is not None and (terms.measure == "metered" or any(start <= at < end for at in grant.missing_at))


def find_least(grant: Grant, start: datetime, end: datetime) -> Fraction:
    """Return the share of what was promised over a span below which a grant counts as not delivered.

    Where gaps of the meter are not unavailable (`counts_gaps`), only nearly nothing counts so.
    """
    return DELIVERED_MIN if counts_gaps(grant, start, end) else _NOTHING


def list_failed(grant: Grant, start: datetime, end: datetime) -> list[Load]:
    """Return how many nodes of a grant did not work over a span, as runs in order; none where all worked."""
    return _find_runs(_list_outages(grant, end), start, end)


def list_undelivered(grant: Grant, start: datetime, end: datetime) -> list[Load]:
    """Return how many nodes of a grant did not work or were withheld over a span, as runs in order.

    While delivery is withheld, that is all of them.
    """
    return _find_runs([*_list_outages(grant, end), *grant.list_withheld(end)], start, end)


def count_withheld(grant: Grant, at: datetime) -> int:
    """Return the GPU-seconds of the present withholding, up to `at`, in which nodes worked; 0 if there is none."""
    if grant.withheld is None:
        return 0
    start, end = grant.withheld.at, min(at, grant.end)
    failed = sum(run.amount * ((run.end - run.start) // _MICROSECOND) for run in list_failed(grant, start, end))
    whole = grant.issued.nodes * (max(end - start, timedelta()) // _MICROSECOND)
    return grant.issued.gpus_per_node * (whole - failed) // _PER_SECOND


def _list_outages(grant: Grant, end: datetime) -> list[Load]:
    return [
        Load(outage.start, outage.end or end, grant.issued.nodes - outage.nodes)
        for outage in grant.outages
        if outage.end is not None or outage.start < end
    ]


def _find_runs(loads: list[Load], start: datetime, end: datetime) -> list[Load]:
    cut = [Load(max(load.start, start), min(load.end, end), load.amount) for load in loads]
    cut = [load for load in cut if load.start < load.end]
    bounds = sorted({at for load in cut for at in (load.start, load.end)})
    runs = (
        Load(begin, stop, max((load.amount for load in cut if load.start <= begin and stop <= load.end), default=0))
        for begin, stop in pairwise(bounds)
    )
    return [run for run in runs if run.amount]


def count_unavailable(grant: Grant, start: datetime, end: datetime) -> int:
    """Return the GPU-seconds over a span in which nodes of a grant did not work; rounded up.

    Resold and withheld nodes do not count.
    """
    lost = sum(_count(grant, run.amount, run.start, run.end) for run in list_failed(grant, start, end))
    return -(-lost // _PER_SECOND)


def list_working(grant: Grant, start: datetime, end: datetime) -> list[Load]:
    """Return, for the runs of a span in which nodes did not work or were withheld, the GPUs that did deliver.

    Resold nodes do not count.
    """
    sold = [Load(load.start, load.end, -load.amount) for load in grant.list_resold()]
    return [
        Load(own.start, own.end, max(own.amount - run.amount, 0) * grant.issued.gpus_per_node)
        for run in list_undelivered(grant, start, end)
        for own in build_steps([Load(run.start, run.end, grant.issued.nodes), *sold], run.start, run.end)
    ]


def _count(grant: Grant, nodes: int, start: datetime, end: datetime) -> int:
    """Return the GPU-microseconds of so many nodes over a span, limited to the grant's own nodes at each instant.

    Nodes that were resold or withheld are not its own.
    """
    away = [Load(load.start, load.end, -load.amount) for load in (*grant.list_resold(), *grant.list_withheld(end))]
    runs = build_steps([Load(start, end, grant.issued.nodes), *away], start, end) if start < end else []
    counted = sum(min(nodes, run.amount) * ((run.end - run.start) // _MICROSECOND) for run in runs)
    return grant.issued.gpus_per_node * counted


def assess(grant: Grant, start: datetime, end: datetime, delivered: int) -> ServiceResult | None:
    """Return the service result of a period; None if nothing was promised.

    Args:
        grant: The grant, with all reports about its nodes so far.
        start: First instant of the period.
        end: Instant after its last.
        delivered: The period's GPU-seconds that are charged.
    """
    terms = grant.issued.service
    if terms is None:
        return None
    promised, lost = count_promised(grant, start, end), count_unavailable(grant, start, end)
    if counts_gaps(grant, start, end):
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


def find_extension(
    grant: Grant, result: ServiceResult, period_start: datetime, at: datetime
) -> tuple[datetime, datetime] | None:
    """Return the span by which a grant is extended for what a period did not deliver.

    All nodes of the grant make up for it in whole seconds, rounded down, from the grant's end, or from the next whole
    second after `at` (now) if that is past.

    Returns:
        The first instant and the instant after the last; None if that is less than a second, if the period is of an
        extension itself, or if the grant is not running, has `EXTENSIONS_MAX` extensions, or was resold in part.
    """
    seconds = result.gpu_seconds_unavailable // (grant.issued.nodes * grant.issued.gpus_per_node)
    is_made_up = any(start <= period_start for start, _ in grant.extensions)
    if not seconds or is_made_up or grant.phase != "running" or grant.resold:
        return None
    if len(grant.extensions) >= EXTENSIONS_MAX:
        return None
    whole = at.replace(microsecond=0)
    start = max(grant.end, whole if whole == at else whole + _SECOND) if grant.end < at else grant.end
    return start, start + seconds * _SECOND


def choose_remedy(
    offered: ServiceConsequence, agreed: ServiceConsequence | None, result: ServiceResult, *, extended: bool
) -> ServiceConsequence:
    """Return the remedy for a period below the promised availability.

    It is what the provider's terms offer, if the instrument, if there is one, names the same; otherwise a credit. It is
    also a credit where a period should roll forward and the grant was not extended, and for a period of which less than
    `DELIVERED_MIN` was available: other remedies are for outages, not for a provider that hardly delivers.

    Args:
        offered: What the provider's terms offer.
        agreed: What the instrument names; None for a grant in cash, whose startup ordered under the provider's terms.
        result: The service result of the period.
        extended: Whether the grant was extended.
    """
    if Fraction(result.availability) < DELIVERED_MIN or agreed not in {None, offered}:
        return "credit"
    return "credit" if offered == "roll_forward" and not extended else offered


def keep_remedy(stated: ServiceConsequence, result: ServiceResult) -> ServiceConsequence:
    """Return the remedy of a period whose result is worse than was stated; an extension that was given stays."""
    return stated if stated == "roll_forward" else choose_remedy(stated, None, result, extended=False)


def apply_remedy(result: ServiceResult, remedy: ServiceConsequence) -> ServiceResult:
    """Return a service result with its remedy; its credit is 0 unless the remedy is ``credit``."""
    return structs.replace(result, consequence=remedy, credit=result.credit if remedy == "credit" else ZERO)
