"""What is charged of a grant's readings, and how far the startup's meter supports it.

Readings of nodes that did not work at the time, as the grant's outages say, are not charged. Two meters are compared
only over the instants at which both could count: those that the startup's readings cover.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from events.statement import Metering
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import Load, build_steps
from marketplace.core.timeline_sums import list_runs, sum_amounts
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.grant_notice import ANSWERED_WITHIN, CHRONIC_WITHIN
from marketplace.domain.delivery.periods import PERIOD
from marketplace.domain.delivery.service_level import (
    DELIVERED_MIN,
    assess,
    count_promised,
    count_unavailable,
    find_least,
    list_failed,
    list_undelivered,
    list_working,
)
from marketplace.domain.metering.usage_record import EPOCH, SECOND, Usage, to_second

_MICROSECOND: Final = timedelta(microseconds=1)
_PER_SECOND: Final = 1_000_000


def count_delivered(usage: Usage, grant: Grant, start: datetime, end: datetime) -> int:
    """Return the GPU-seconds over a span that the provider's meter counted of nodes that worked, rounded down."""
    counted = sum_amounts(usage.timeline, to_second(start), to_second(end))
    excess = 0
    for working in list_working(grant, start, end):
        for since, until, gpus in _list_counted(usage, working):
            if gpus > working.amount:
                excess += (gpus - working.amount) * ((until - since) // _MICROSECOND)
    return counted - -(-excess // _PER_SECOND)


def count_metered(usage: Usage, start: datetime, end: datetime) -> int:
    """Return the GPU-seconds over a span that the provider's meter counted, whatever was reported of the nodes."""
    return sum_amounts(usage.timeline, to_second(start), max(to_second(end), to_second(start)))


def is_silent(usage: Usage, grant: Grant, start: datetime, end: datetime) -> bool:
    """Return whether the provider's meter counted so little over a span that its startup may report that nothing came.

    That is less than a hundredth of what was promised. Under ``incidents``, where gaps of the meter are unavailable
    only once the startup reports that, it is less than half of what nodes owed that had not failed by report.
    """
    delivered, promised = count_delivered(usage, grant, start, end), count_promised(grant, start, end)
    if grant.issued.service is not None and grant.issued.service.measure == "incidents":
        return delivered < DELIVERED_MIN * (promised - count_unavailable(grant, start, end))
    return delivered * 100 < promised


def is_unanswered(usage: Usage, grant: Grant, nodes: int, start: datetime, end: datetime) -> bool:
    """Return whether the provider's meter covered so many nodes for less than a hundredth of a span."""
    covered, due = _cover(usage, grant, nodes, start, end)
    return covered * 100 < due


def is_hardly_delivered(usage: Usage, grant: Grant, start: datetime, end: datetime) -> bool:
    """Return whether the provider's meter counted less than enough (`find_least`) of what was promised over a span."""
    return count_delivered(usage, grant, start, end) < find_least(grant, start, end) * count_promised(grant, start, end)


def delivers_again(usage: Usage, grant: Grant, since: datetime, at: datetime) -> bool:
    """Return whether the provider's meter counted half of what was promised over the last days, since an instant."""
    start = max(since, at - CHRONIC_WITHIN)
    return count_metered(usage, start, at) >= DELIVERED_MIN * count_promised(grant, start, at)


def find_silence(usage: Usage, grant: Grant, at: datetime) -> datetime:
    """Return since when a startup's report says that no node works.

    That is the grant's start if the provider's meter counted nearly nothing since and the first statement period is not
    over, so that the span may still change; otherwise now (`at`).
    """
    start = grant.issued.start
    is_first = start < at < min(start + PERIOD, grant.end)
    never = is_first and count_metered(usage, start, at) * 100 < count_promised(grant, start, at)
    return start if never else at


def is_metered(usage: Usage, grant: Grant, start: datetime, end: datetime) -> bool:
    """Return whether the provider's meter covered all nodes of a grant in at least 99 hundredths of a span."""
    covered, due = _cover(usage, grant, grant.issued.nodes, start, end)
    return start < end and covered * 100 >= due * 99


def _cover(usage: Usage, grant: Grant, nodes: int, start: datetime, end: datetime) -> tuple[timedelta, timedelta]:
    """Return how long the provider's meter counted half of the GPUs of so many nodes, and how long these were due.

    Nodes that were resold or withheld are not due.
    """
    covered = due = timedelta()
    for own in build_steps([Load(start, end, grant.issued.nodes), *_list_away(grant, end)], start, end):
        gpus = DELIVERED_MIN * min(own.amount, nodes) * grant.issued.gpus_per_node
        if gpus > 0:
            due += own.end - own.start
            covered += sum(
                (until - since for since, until, counted in _list_counted(usage, own) if counted >= gpus), timedelta()
            )
    return covered, due


def _list_away(grant: Grant, end: datetime) -> list[Load]:
    """Return the nodes of a grant that were resold or withheld, as loads to subtract."""
    return [Load(load.start, load.end, -load.amount) for load in (*grant.list_resold(), *grant.list_withheld(end))]


def _list_counted(usage: Usage, span: Load) -> Iterator[tuple[datetime, datetime, int]]:
    """Yield the GPUs that the provider's meter counted over a span, as runs cut at its ends."""
    for begin, stop, counted in list_runs(usage.timeline, to_second(span.start), to_second(span.end) + 1):
        since, until = max(EPOCH + begin * SECOND, span.start), min(EPOCH + stop * SECOND, span.end)
        if since < until:
            yield since, until, counted


def was_idle(grant: Grant, start: datetime, end: datetime) -> bool:
    """Return whether all nodes of a grant failed by report, or were withheld, for more than half of a span."""
    idle = (run for run in list_undelivered(grant, start, end) if run.amount >= grant.issued.nodes)
    return 2 * sum((run.end - run.start for run in idle), timedelta()) > end - start


def is_chronic(usage: Usage, grant: Grant, at: datetime) -> bool:
    """Return whether outages of a grant are chronic, however short each one is, by both accounts of its delivery.

    In the `CHRONIC_WITHIN` up to `ANSWERED_WITHIN` ago, nodes failed for `ANSWERED_WITHIN` in all, however few at once,
    by reports and evidence, less the time in which the provider's meter counted most of the failed ones. By then the
    provider could answer evidence with readings.
    """
    until = at - ANSWERED_WITHIN
    start = max(until - CHRONIC_WITHIN, grant.issued.start, *(gap.end for gap in grant.list_gaps()))
    if start >= until:
        return False
    return sum(_list_lost(usage, grant, start, until), timedelta()) >= ANSWERED_WITHIN


def _list_lost(usage: Usage, grant: Grant, start: datetime, end: datetime) -> Iterator[timedelta]:
    """Yield how long nodes failed in each run of a span, less the time in which readings refute that."""
    gpus = grant.issued.gpus_per_node
    for run in list_failed(grant, start, end):
        away = _list_away(grant, end)
        for own in build_steps([Load(run.start, run.end, grant.issued.nodes), *away], run.start, run.end):
            lost = min(run.amount, own.amount)
            if lost <= 0:
                continue
            yield own.end - own.start
            refuted = (own.amount - lost) * gpus + Fraction(lost * gpus, 2)
            yield from (since - until for since, until, counted in _list_counted(usage, own) if counted >= refuted)


def require_undelivered(grant: Grant, startup: Usage) -> None:
    """Refuse another span for a grant of which the startup's own meter counted something.

    Readings of the provider are no proof, because nodes that did not work are not charged.

    Raises:
        Refusal: ``capacity_delivered``.
    """
    issued = grant.issued
    runs = list_runs(startup.timeline, to_second(issued.start), to_second(issued.end))
    if runs:
        since = render_instant(EPOCH + runs[0][0] * SECOND)
        said = f"your meter counted GPUs of grant {issued.grant_id} from {since} on, so its nodes worked"
        raise Refusal("capacity_delivered", f"{said}; keep the grant or end it", grant_id=issued.grant_id)


def count_kept(usage: Usage, grant: Grant, start: datetime, end: datetime) -> Fraction:
    """Return the GPU-seconds of a period that the provider is paid for after the service credit of its terms.

    The credit is subtracted even if another remedy may take its place.
    """
    delivered = count_delivered(usage, grant, start, end)
    result = assess(grant, start, end, delivered)
    return Fraction(delivered) if result is None else delivered * (1 - Fraction(result.credit))


def compare_meters(usage: Usage, startup: Usage, grant: Grant, start: datetime, end: datetime) -> Metering | None:
    """Return both meters' GPU-seconds over the part of a span that the startup's readings cover; None if it is empty.

    Among related parties it is the whole span, even without a reading of the startup.
    """
    runs = list_runs(startup.timeline, to_second(start), to_second(end))
    if grant.mark == "related":
        counted = sum_amounts(startup.timeline, to_second(start), to_second(end))
        delivered = count_delivered(usage, grant, start, end)
        return Metering(provider_gpu_seconds=delivered, startup_gpu_seconds=counted)
    if not runs:
        return None
    delivered = sum(
        count_delivered(usage, grant, EPOCH + begin * SECOND, EPOCH + stop * SECOND) for begin, stop in _join(runs)
    )
    counted = sum(gpus * (stop - begin) for begin, stop, gpus in runs)
    return Metering(provider_gpu_seconds=delivered, startup_gpu_seconds=counted)


def _join(runs: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Return the spans that runs cover, in order."""
    spans: list[tuple[int, int]] = []
    for begin, stop, _ in runs:
        if spans and spans[-1][1] == begin:
            begin = spans.pop()[0]  # noqa: PLW2901 - contiguous runs are one span
        spans.append((begin, stop))
    return spans
