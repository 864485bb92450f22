"""Whether the failures that a grant shows last, and how much time its provider had to answer for them.

A grant that is degraded because nodes of its pool failed follows the pool with a delay, and keeps the instant at which
it was first degraded while failures take turns. A cause to end the grant rests on the pool itself, as it is then.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from marketplace.core.intervals import Load, build_steps
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.delivery.grant_notice import (
    ANSWERED_ONCE,
    ANSWERED_WITHIN,
    FEW_ANSWERED_WITHIN,
    FEW_FAILED,
    find_answer_time,
)
from marketplace.domain.delivery.service_level import list_failed
from marketplace.domain.supply.pool import Pool
from marketplace.domain.supply.site import SiteState, list_dark


def find_failing_since(grant: Grant, pool: Pool, site: SiteState, at: datetime) -> datetime | None:
    """Return when the oldest of the failures that last and that a grant lacks nodes for was reported.

    Args:
        grant: The grant.
        pool: Its pool. Incidents that evidence of this grant's GPUs opened are its own, each counted from its report.
            If the grant lacks more nodes than those, what the provider reported counts from the first report.
        site: The pool's site. The order of issue is not known here: where the site lacks power, the grant counts as
            issued last, so that no startup whose nodes are dark is left without cause.
        at: Now.

    Returns:
        The instant; None if every failure is over. What the provider reported of the grant itself lasts until it
        reports otherwise.
    """
    if not grant.follows_pool or grant.failing_since is None:
        return grant.failing_since
    lasting = [incident for incident in pool.incidents.values() if incident.start <= at < incident.end]
    own = [incident for incident in lasting if incident.grant_id == grant.issued.grant_id]
    shared = [incident for incident in lasting if incident.grant_id is None]
    lacking = grant.issued.nodes - grant.nodes_working
    unexplained = lacking > sum(incident.nodes for incident in own)
    if unexplained and (shared or _is_dark(grant, site, at)):
        return grant.failing_since
    told = min((incident.reported_at for incident in own), default=None)
    return None if told is None else max(told, grant.failing_since)


def is_lacking(grant: Grant, pool: Pool, site: SiteState, at: datetime) -> bool:
    """Return whether a grant's pool or site lacks nodes or power for it, whatever was reported of the grant itself.

    Evidence of its own GPUs shows that, or a pool that has fewer working nodes than its grants need, or a site without
    power for it. As in `find_failing_since`, the grant counts as issued last. Only if its provider itself reported its
    outage, it counts as the first that the pool's nodes serve: others may lack those that failed.
    """
    lasting = [incident for incident in pool.incidents.values() if incident.start <= at < incident.end]
    if any(incident.grant_id == grant.issued.grant_id for incident in lasting):
        return True
    failed = sum(incident.nodes for incident in lasting if incident.grant_id is None)
    needed = grant.count_nodes(at)
    if grant.follows_pool:
        needed = sum(load.amount for load in pool.reserved() if load.start <= at < load.end)
    return (failed > 0 and needed + failed > pool.opened.nodes) or _is_dark(grant, site, at)


def find_evidence_answer(grant: Grant, pools: Sequence[Pool], site: SiteState, at: datetime) -> datetime | None:
    """Return until when a provider may answer evidence of a grant's GPUs that lasts, or its startup's report.

    Args:
        grant: The grant.
        pools: Where it is, and then where it was.
        site: Where it is.
        at: Now.

    Returns:
        The instant; None if neither lasts, or the provider itself said that the grant does not work.
    """
    if grant.is_silenced:
        return find_answer_time(grant.failing_since, list_unanswered(grant, pools))
    is_shown = any(
        incident.grant_id == grant.issued.grant_id and incident.start <= at < incident.end
        for incident in pools[0].incidents.values()
    )
    if not is_shown or not grant.follows_pool or _is_dark(grant, site, at):
        return None
    return find_answer_time(find_failing_since(grant, pools[0], site, at), list_unanswered(grant, pools))


def find_few_time(
    grant: Grant, failing_since: datetime | None, before: Iterable[tuple[datetime, datetime]]
) -> datetime | None:
    """Return until when the provider may repair few failed nodes of a grant; None if none fails.

    It has `FEW_ANSWERED_WITHIN`. Earlier outages of `ANSWERED_ONCE` took their time of it, in the proportion of their
    failed nodes to those that are few at most: a repair of a minute begins no new week, and single nodes of a large
    grant that fail now and then take next to nothing.

    Args:
        grant: The grant.
        failing_since: When the failures that last were reported.
        before: From when to when earlier outages lasted, by `list_unanswered`.
    """
    if failing_since is None:
        return None
    first, few, used = failing_since - ANSWERED_ONCE, FEW_FAILED * grant.issued.nodes, timedelta()
    for start, end in before:
        for run in list_failed(grant, max(start, first), end):
            part = min(Fraction(run.amount) / few, Fraction(1))
            used += (run.end - run.start) * part.numerator // part.denominator
    return failing_since + max(FEW_ANSWERED_WITHIN - used, timedelta())


def _is_dark(grant: Grant, site: SiteState, at: datetime) -> bool:
    """Return whether a site lacks power for a grant that was issued last."""
    grant_id = grant.issued.grant_id
    return (grant.pool_id, grant_id) in list_dark(site, at, lambda other_id: int(other_id == grant_id))


def list_unanswered(grant: Grant, pools: Iterable[Pool]) -> Iterator[tuple[datetime, datetime]]:
    """Yield from when to when past outages of a grant took of the time that its provider has to answer.

    Where the startup's meter counts too, an incident that it opened and that ended within `ANSWERED_WITHIN` of its
    report takes nothing: a startup that reports what its provider refutes gains no cause by repeating it. What the
    provider's meter shows counts as its report. What was to repair before its startup shortened or moved the grant
    takes its time whole: then no node worked.

    Args:
        grant: The grant.
        pools: Where it is and was.
    """
    terms = grant.issued.service
    if terms is None or terms.detection is None or terms.detection.meters != "both":
        yield from grant.failed_before
        return
    answered = [
        Load(incident.start, incident.end, -incident.nodes)
        for pool in pools
        for incident in pool.incidents.values()
        if incident.grant_id == grant.issued.grant_id
        and incident.meter != "provider"
        and incident.end - incident.reported_at <= ANSWERED_WITHIN
    ]
    anew_at = grant.rescheduled[-1].at if grant.rescheduled else None
    for start, end in grant.failed_before:
        if anew_at is not None and end <= anew_at:
            yield start, end
            continue
        for run in build_steps([*list_failed(grant, start, end), *answered], start, end):
            if run.amount > 0:
                yield run.start, run.end
