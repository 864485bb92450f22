"""A startup's cause rests on failures that last now, each as old as its own report."""

from decimal import Decimal

import pytest

from events.grant import GrantActivated, GrantDegraded, GrantResumed
from events.pool import PoolCapacityReserved, PoolNodeFailed, PoolNodeRestored
from events.service import DetectionTerms, ServiceTerms
from events.site import PowerDraw, SiteDerated, SitePowerReserved
from events.types import LotShare
from marketplace.domain.delivery.cause import (
    find_evidence_answer,
    find_failing_since,
    find_few_time,
    is_lacking,
    list_unanswered,
)
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_commands import RescheduleGrant
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.site import SITE
from tests.domain import build
from tests.domain.build import hour, id_of

MINE = {"grant_id": build.GRANT}


def fail(name, at, grant_id=build.GRANT, meter=None):
    """Nodes fail; that is reported an hour later."""
    of = {"grant_id": grant_id, "reported_at": hour(at + 1), "meter": meter}
    return PoolNodeFailed(pool_id=build.POOL, incident_id=name, nodes=1, at=hour(at), **of)


def restore(name, at):
    return PoolNodeRestored(pool_id=build.POOL, incident_id=name, nodes=1, at=hour(at))


def degrade(nodes, at, *, follows_pool=True):
    return GrantDegraded(
        **MINE, nodes_available=nodes, at=hour(at - 1), reported_at=hour(at), reason="xid", follows_pool=follows_pool
    )


def resume(at):
    return GrantResumed(**MINE, at=hour(at))


def find(grant_events, pool_events, at=60, site=None):
    issued = build.grant_issued(nodes=4, start=hour(0), end=hour(100))
    grant = GRANT.fold([issued, GrantActivated(**MINE, at=hour(0)), *grant_events])
    return find_failing_since(grant, POOL.fold([build.pool_opened(), *pool_events]), site, hour(at))


@pytest.mark.parametrize(
    ("told", "pool", "since"),
    [
        ([], [fail("a", 9)], None),
        ([degrade(3, 10)], [fail("a", 9)], 10),
        ([degrade(3, 10)], [fail("a", 9), restore("a", 12)], None),
        ([degrade(3, 10), degrade(2, 33)], [fail("a", 9), fail("b", 32), restore("a", 33)], 33),
        ([degrade(3, 10), degrade(2, 33)], [fail("a", 9), fail("b", 32)], 10),
        ([degrade(3, 10)], [fail("a", 5, None), fail("b", 9)], 10),
        ([degrade(2, 10)], [fail("a", 9, None), fail("b", 20)], 10),
        ([degrade(3, 10)], [fail("a", 20, None)], 10),
        ([degrade(3, 10)], [fail("a", 9, id_of("grt", 9))], None),
        ([degrade(3, 10, follows_pool=False)], [], 10),
        ([degrade(3, 10), degrade(3, 20, follows_pool=False)], [fail("a", 9), restore("a", 12)], 10),
    ],
)
def test_a_failure_counts_from_its_own_report_while_it_lasts(told, pool, since):
    assert find(told, pool) == (None if since is None else hour(since))


def test_a_node_without_power_counts_from_the_first_report_of_the_grant():
    draws = (PowerDraw(start=hour(0), end=hour(100), power_kw=100),)
    reserved = SitePowerReserved(site_id=build.SITE, pool_id=build.POOL, grant_id=build.GRANT, draws=draws)
    less = SiteDerated(site_id=build.SITE, power_energised_kw=50, at=hour(10), reason="transformer")
    site = SITE.fold([build.site_registered(status="operating", power_energised_kw=500), reserved, less])
    assert find([degrade(3, 10)], [], site=site) == hour(10)
    assert find([degrade(3, 10)], [fail("a", 20)], site=site) == hour(21), "the evidence explains what is lacking"


@pytest.mark.parametrize(
    ("told", "pool", "due"),
    [
        ([degrade(0, 1)], [fail("a", 0)], 25),
        ([degrade(0, 1)], [fail("a", 0), restore("a", 2)], None),
        ([degrade(0, 1)], [fail("a", 0, None)], None),
        ([degrade(0, 1, follows_pool=False)], [fail("a", 0)], None),
        ([degrade(0, 1), resume(11), degrade(0, 31)], [fail("b", 0, None), restore("b", 11), fail("a", 30)], 45),
    ],
)
def test_evidence_that_moves_a_grant_may_be_answered_as_evidence_that_ends_it(told, pool, due):
    issued = build.grant_issued(nodes=1, start=hour(0), end=hour(100))
    grant = GRANT.fold([issued, GrantActivated(**MINE, at=hour(0)), *told])
    found = find_evidence_answer(grant, [POOL.fold([build.pool_opened(), *pool])], None, hour(40))
    assert found == (None if due is None else hour(due))


@pytest.mark.parametrize(
    ("nodes", "failed", "earlier", "due"),
    [
        (20, 1, [], 1_168),
        (20, 1, [(900, 972)], 1_168 - 36),
        (20, 2, [(900, 972)], 1_168 - 72),
        (20, 20, [(900, 972)], 1_168 - 72),
        (20, 1, [(600, 800), (801, 999)], 1_000),
        (20, 1, [(200, 300)], 1_168 - 10),
        (1_000, 1, [(640, 990)], 1_168 - 3.5),
    ],
)
def test_a_brief_repair_of_few_nodes_begins_no_new_week_and_a_large_grant_loses_little(nodes, failed, earlier, due):
    told = [event for start, end in earlier for event in (degrade(nodes - failed, start), resume(end))]
    issued = build.grant_issued(nodes=nodes, start=hour(0), end=hour(3_000))
    grant = GRANT.fold([issued, GrantActivated(**MINE, at=hour(0)), *told, degrade(nodes - 1, 1_000)])
    assert find_few_time(grant, grant.failing_since, list_unanswered(grant, [])) == hour(due)


def take(nodes, number=1):
    share = LotShare(lot_id=build.LOT, nodes=nodes, start=hour(0), end=hour(100))
    reserved = {"nodes": nodes, "start": hour(0), "end": hour(100), "lots": (share,)}
    return PoolCapacityReserved(pool_id=build.POOL, grant_id=id_of("grt", number), **reserved)


@pytest.mark.parametrize(
    ("pool", "follows_pool", "lacking"),
    [
        ([take(2)], True, False),
        ([take(2), fail("a", 9)], True, True),
        ([take(2), fail("a", 9), restore("a", 12)], True, False),
        ([take(2), take(1, 9), fail("a", 9, None)], True, False),
        ([take(2), take(2, 9), fail("a", 9, None)], True, True),
        ([take(2), take(2, 9), fail("a", 9, id_of("grt", 9))], True, False),
        ([take(2), fail("a", 9)], False, True),
        ([take(2), take(2, 9), fail("a", 9, None)], False, False),  # the other grant may lack the node
        ([take(2), take(2, 9), fail("a", 9, None), fail("b", 9, None)], False, False),
        ([take(2), fail("a", 9, None), fail("b", 9, None), fail("c", 9, None)], False, True),
    ],
)
def test_a_pool_lacks_nodes_for_a_grant_whatever_was_reported_of_the_grant(pool, follows_pool, lacking):
    issued = build.grant_issued(nodes=2, start=hour(0), end=hour(100))
    told = degrade(1, 10, follows_pool=follows_pool)
    grant = GRANT.fold([issued, GrantActivated(**MINE, at=hour(0)), told])
    assert is_lacking(grant, POOL.fold([build.pool_opened(nodes=4), *pool]), None, hour(60)) is lacking


@pytest.mark.parametrize(("start", "since"), [(0, 10), (70, None)])
def test_a_site_that_lacks_power_for_other_grants_alone_is_no_cause(start, since):
    """Both grants draw power in the first row, and the other one alone in the second."""
    reserved = [
        SitePowerReserved(
            site_id=build.SITE,
            pool_id=pool_id,
            grant_id=grant_id,
            draws=(PowerDraw(start=hour(begin), end=hour(100), power_kw=100),),
        )
        for pool_id, grant_id, begin in (
            (build.POOL, build.GRANT, start),
            (id_of("pol", 2), id_of("grt", 2), 0),
        )
    ]
    less = SiteDerated(site_id=build.SITE, power_energised_kw=50, at=hour(40), reason="transformer")
    site = SITE.fold([build.site_registered(status="operating", power_energised_kw=500), *reserved, less])
    told = find([degrade(3, 10)], [fail("a", 9), restore("a", 12)], site=site)
    assert told == (None if since is None else hour(since))


@pytest.mark.parametrize("meters", ["both", "provider"])
@pytest.mark.parametrize(
    ("told", "pool", "counted"),
    [
        ([degrade(3, 10), resume(22)], [fail("a", 9), restore("a", 22)], []),
        ([degrade(3, 10), resume(34)], [fail("a", 9), restore("a", 34)], []),
        ([degrade(3, 10), resume(34)], [fail("a", 9, meter="startup"), restore("a", 34)], []),
        ([degrade(3, 10), resume(34)], [fail("a", 9, meter="provider"), restore("a", 34)], [(10, 34)]),
        ([degrade(3, 10), resume(35)], [fail("a", 9), restore("a", 35)], [(10, 35)]),
        ([degrade(3, 10), resume(22)], [fail("a", 9, None), restore("a", 22)], [(10, 22)]),
        ([degrade(3, 10), resume(22)], [], [(10, 22)]),
        ([degrade(3, 10), resume(22)], [fail("a", 9, id_of("grt", 9)), restore("a", 22)], [(10, 22)]),
        (
            [degrade(3, 10), degrade(2, 33), degrade(3, 34), resume(50)],
            [fail("a", 9), fail("b", 32), restore("a", 33), restore("b", 50)],
            [],
        ),
        (
            [degrade(3, 10), degrade(2, 15), degrade(3, 20), resume(22)],
            [fail("a", 9), fail("b", 14, None), restore("b", 19), restore("a", 22)],
            [(14, 19)],
        ),
        (
            [degrade(3, 10), resume(12), degrade(3, 20), resume(30)],
            [fail("a", 9), restore("a", 12), fail("b", 19), restore("b", 30)],
            [],
        ),
        (
            [degrade(3, 10), degrade(0, 12, follows_pool=False), resume(22)],
            [fail("a", 9), restore("a", 22)],
            [(11, 22)],
        ),
    ],
)
def test_evidence_that_was_answered_in_time_takes_none_of_the_time_to_answer(told, pool, counted, meters):
    service = ServiceTerms(availability_min=Decimal(0), detection=DetectionTerms(meters=meters))
    issued = build.grant_issued(nodes=4, start=hour(0), end=hour(100), service=service)
    grant = GRANT.fold([issued, GrantActivated(**MINE, at=hour(0)), *told])
    found = list(list_unanswered(grant, [POOL.fold([build.pool_opened(), *pool])]))
    expected = tuple((hour(start), hour(end)) for start, end in counted)
    assert tuple(found) == (expected if meters == "both" else grant.failed_before)


def test_what_was_to_repair_counts_on_under_both_meters_after_its_startup_moved_the_grant():
    service = ServiceTerms(availability_min=Decimal(0), detection=DetectionTerms(meters="both"))
    issued = build.grant_issued(nodes=4, start=hour(0), end=hour(100), service=service)
    dark = GrantDegraded(**MINE, nodes_available=0, at=hour(0), reported_at=hour(1), reason="no power")
    state = GRANT.fold([issued, GrantActivated(**MINE, at=hour(0)), dark])
    [anew] = GRANT.decide(RescheduleGrant(**MINE, choice="moved", at=hour(30)), state)
    grant = GRANT.fold([issued, GrantActivated(**MINE, at=hour(0)), dark, anew])
    assert tuple(list_unanswered(grant, [POOL.fold([build.pool_opened()])])) == ((hour(1), hour(30)),)
