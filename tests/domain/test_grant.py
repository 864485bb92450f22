"""Grants: from issue to their one end."""

import pytest

from events.grant import (
    GrantActivated,
    GrantCompleted,
    GrantDegraded,
    GrantPrioritised,
    GrantResumed,
    GrantSubstituted,
    GrantSuspended,
    GrantTerminated,
    GrantTransferred,
)
from marketplace.domain.grant import (
    GRANT,
    PRIORITY,
    ActivateGrant,
    CompleteGrant,
    DegradeGrant,
    IssueGrant,
    PrioritiseGrant,
    ResumeGrant,
    SubstituteGrant,
    SuspendGrant,
    TerminateGrant,
    TransferGrant,
)
from tests.domain import build
from tests.domain.build import NAIVE, POOL, STARTUP, Row, builder, grant_issued, hour, id_of, issue_grant, share
from tests.support.spec import Given

MINE = {"grant_id": build.GRANT}
POOL_2, STARTUP_2 = id_of("pol", 2), id_of("pty", 9)
LOTS_2 = (share(lot_id=id_of("lot", 2), nodes=2),)
activate = builder(ActivateGrant(**MINE, at=hour(10)))
degrade = builder(DegradeGrant(**MINE, nodes_available=1, at=hour(12), reason="XID 79"))
suspend = builder(SuspendGrant(**MINE, at=hour(13), reason="fabric upgrade"))
resume = builder(ResumeGrant(**MINE, at=hour(14)))
substitute = builder(SubstituteGrant(**MINE, pool_id=POOL_2, lots=LOTS_2, at=hour(12), reason="nodes failed"))
transfer = builder(TransferGrant(**MINE, startup_id=STARTUP_2))
prioritise = builder(PrioritiseGrant(**MINE, priority=1))
complete = builder(CompleteGrant(**MINE, gpu_seconds_accepted=576_000, at=hour(20)))
NOTICE = {"by": "startup", "noticed_at": hour(10), "reason": "insolvent"}
terminate = builder(TerminateGrant(**MINE, at=hour(15), **NOTICE))
ISSUED = grant_issued()
ACTIVATED = GrantActivated(**MINE, at=hour(10))
DEGRADED = GrantDegraded(**MINE, nodes_available=1, at=hour(12), reason="XID 79")
SUSPENDED = GrantSuspended(**MINE, at=hour(13), reason="fabric upgrade")
RESUMED = GrantResumed(**MINE, at=hour(14))
SUBSTITUTED = GrantSubstituted(
    **MINE, pool_id=POOL_2, pool_id_before=POOL, lots=LOTS_2, at=hour(12), reason="nodes failed"
)
TRANSFERRED = GrantTransferred(**MINE, startup_id=STARTUP_2, startup_id_before=STARTUP)
COMPLETED = GrantCompleted(**MINE, gpu_seconds_accepted=576_000)
TERMINATED = GrantTerminated(**MINE, at=hour(15), **NOTICE)
ACTIVE = (ISSUED, ACTIVATED)
AFTER_END = [activate(), degrade(), suspend(), resume(), substitute(), transfer(), prioritise()]

REFUSALS = [
    Row("grant_unknown", (), activate()),
    Row("grant_exists", (ISSUED,), IssueGrant(issued=grant_issued(nodes=3))),
    *(
        Row("time_naive", ACTIVE, command(at=NAIVE), "/at")
        for command in (activate, degrade, suspend, resume, substitute, complete, terminate)
    ),
    *(Row("grant_issued", (ISSUED,), command) for command in (degrade(), suspend(), resume(), complete())),
    *(Row("grant_completed", (*ACTIVE, COMPLETED), command) for command in (*AFTER_END, terminate())),
    *(Row("grant_terminated", (*ACTIVE, TERMINATED), command) for command in (*AFTER_END, complete())),
    Row("grant_not_due", (ISSUED,), activate(at=hour(9))),
    Row("grant_not_due", ACTIVE, complete(at=hour(19))),
    Row("nodes_above_grant", ACTIVE, degrade(nodes_available=2), "/nodes_available"),
    Row("pool_unchanged", ACTIVE, substitute(pool_id=POOL)),
]
PRECEDENCE = [
    Row("grant_unknown", (), activate(at=NAIVE)),
    Row("time_naive", (ISSUED,), degrade(at=NAIVE)),
    Row("grant_issued", (ISSUED,), complete(at=hour(1))),
    Row("grant_issued", (ISSUED,), degrade(nodes_available=2)),
    Row("grant_completed", (*ACTIVE, COMPLETED), substitute(pool_id=POOL)),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(GRANT, row)


def test_issues():
    Given(GRANT).when(issue_grant()).then(ISSUED)
    Given(GRANT, *ACTIVE, TERMINATED).when(issue_grant()).then_nothing()
    assert GRANT.fold([ISSUED]).gpu_seconds_granted == 2 * 8 * 36_000


def test_activates_once_however_it_runs():
    Given(GRANT, ISSUED).when(activate()).then(ACTIVATED)
    for since in (DEGRADED, SUSPENDED):
        Given(GRANT, *ACTIVE, since).when(activate()).then_nothing()


def test_degrades_down_to_nothing():
    Given(GRANT, *ACTIVE).when(degrade()).then(DEGRADED)
    nothing = GrantDegraded(**MINE, nodes_available=0, at=hour(12), reason="XID 79")
    Given(GRANT, *ACTIVE, DEGRADED).when(degrade(nodes_available=0)).then(nothing)


def test_suspends_and_resumes_in_full():
    Given(GRANT, *ACTIVE, DEGRADED).when(suspend()).then(SUSPENDED)
    Given(GRANT, *ACTIVE, DEGRADED, SUSPENDED).when(resume()).then(RESUMED)
    state = GRANT.fold([*ACTIVE, DEGRADED, SUSPENDED, RESUMED])
    assert (state.status, state.nodes_available) == ("active", 2)


def test_moves_to_another_pool_before_and_while_it_runs():
    for given in ((ISSUED,), ACTIVE, (*ACTIVE, DEGRADED), (*ACTIVE, SUSPENDED)):
        Given(GRANT, *given).when(substitute()).then(SUBSTITUTED)
    state = GRANT.fold([*ACTIVE, SUBSTITUTED])
    assert (state.pool_id, state.lots, state.issued.pool_id) == (POOL_2, LOTS_2, POOL)


def test_transfers_use_alone():
    Given(GRANT, *ACTIVE).when(transfer()).then(TRANSFERRED)
    state = GRANT.fold([*ACTIVE, TRANSFERRED])
    assert (state.startup_id, state.issued.startup_id) == (STARTUP_2, STARTUP)


def test_its_tenant_says_which_grant_is_used_first():
    Given(GRANT, *ACTIVE).when(prioritise()).then(GrantPrioritised(**MINE, priority=1))
    Given(GRANT, *ACTIVE).when(prioritise(priority=PRIORITY)).then_nothing()
    assert GRANT.fold([*ACTIVE, GrantPrioritised(**MINE, priority=1)]).priority == 1


def test_completes_at_its_end():
    Given(GRANT, *ACTIVE).when(complete()).then(COMPLETED)
    Given(GRANT, *ACTIVE, SUSPENDED).when(complete()).then(COMPLETED)


def test_a_termination_brings_the_end_forward_and_never_back():
    Given(GRANT, *ACTIVE).when(terminate()).then(TERMINATED)
    assert GRANT.fold([*ACTIVE, TERMINATED]).end == hour(15)
    late = GrantTerminated(**MINE, at=hour(20), **NOTICE)
    Given(GRANT, *ACTIVE).when(terminate(at=hour(99))).then(late)
    early = GrantTerminated(**MINE, at=hour(10), **NOTICE)
    Given(GRANT, ISSUED).when(terminate(at=hour(1))).then(early)
