"""Parties: registered, cleared, suspended."""

import pytest

from events.party import (
    PartyCleared,
    PartyGroupServed,
    PartyRegistered,
    PartyRoleAdded,
    PartyRoleRequested,
    PartyRoleRequestEnded,
    PartyStageRecorded,
    PartySuspended,
)
from marketplace.core.errors import Refusal
from marketplace.domain.party import (
    PARTY,
    AddRole,
    ClearParty,
    EndRoleRequest,
    RecordStage,
    RequestRole,
    ServeGroup,
    SuspendParty,
    require_trader,
    require_unsuspended,
)
from tests.domain import build
from tests.domain.build import STARTUP, Row, id_of
from tests.support.spec import Given

REGISTERED = PartyRegistered(
    party_id=STARTUP, name="Acme Models", roles=("startup",), jurisdiction="US", sector="biotech"
)
CLEARED = PartyCleared(party_id=STARTUP, checks=("sanctions",))
SUSPENDED = PartySuspended(party_id=STARTUP, reason="fraud report")
CLEAR = ClearParty(party_id=STARTUP, checks=("sanctions",))
SUSPEND = SuspendParty(party_id=STARTUP, reason="fraud report")

SERVE = ServeGroup(party_id=STARTUP, group="either", order_id=id_of("ord", 1))
SERVED = PartyGroupServed(party_id=STARTUP, group="either", order_id=id_of("ord", 1))
ROLE = {"party_id": STARTUP, "role": "provider", "reason": "it bought GPUs"}
REQUESTED, ADDED = PartyRoleRequested(**ROLE), PartyRoleAdded(**ROLE)
REFUSALS = [
    Row("party_unknown", (), CLEAR),
    Row("party_exists", (REGISTERED,), build.register_party(name="Other")),
    Row("country_unlisted", (), build.register_party(jurisdiction="ZZ"), "/jurisdiction"),
    Row("roles_missing", (), build.register_party(roles=()), "/roles"),
    Row("checks_missing", (REGISTERED,), ClearParty(party_id=STARTUP, checks=()), "/checks"),
    Row("group_served", (REGISTERED, SERVED), ServeGroup(party_id=STARTUP, group="either", order_id=id_of("ord", 2))),
    Row("role_exists", (REGISTERED, REQUESTED, ADDED), RequestRole(**ROLE)),
    Row("role_not_requested", (REGISTERED,), EndRoleRequest(**ROLE, outcome="refused")),
    Row("role_not_requested", (REGISTERED, REQUESTED, ADDED), EndRoleRequest(**ROLE, outcome="withdrawn")),
]
PRECEDENCE = [
    Row("party_unknown", (), ClearParty(party_id=STARTUP, checks=())),
    Row("party_exists", (REGISTERED,), build.register_party(roles=(), jurisdiction="ZZ")),
    Row("country_unlisted", (), build.register_party(roles=(), jurisdiction="ZZ")),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(PARTY, row)


def test_registers():
    Given(PARTY).when(build.register_party()).then(REGISTERED)


def test_a_role_named_twice_counts_once():
    command = build.register_party(roles=("startup", "fund", "startup"))
    expected = PartyRegistered(
        party_id=STARTUP, name="Acme Models", roles=("startup", "fund"), jurisdiction="US", sector="biotech"
    )
    Given(PARTY).when(command).then(expected)


def test_registering_again_with_the_same_content_changes_nothing_in_any_status():
    Given(PARTY, REGISTERED, CLEARED, SUSPENDED).when(build.register_party()).then_nothing()


def test_clears():
    Given(PARTY, REGISTERED).when(CLEAR).then(CLEARED)


def test_suspends_a_cleared_party_and_one_that_was_never_cleared():
    Given(PARTY, REGISTERED, CLEARED).when(SUSPEND).then(SUSPENDED)
    Given(PARTY, REGISTERED).when(SUSPEND).then(SUSPENDED)


def test_clears_a_suspended_party_again():
    Given(PARTY, REGISTERED, CLEARED, SUSPENDED).when(CLEAR).then(CLEARED)


@pytest.mark.parametrize(
    ("events", "role", "code"),
    [
        ((), "startup", "party_unknown"),
        ((REGISTERED,), "provider", "party_not_cleared"),
        ((REGISTERED, CLEARED, SUSPENDED), "startup", "party_not_cleared"),
        ((REGISTERED, CLEARED), "provider", "role_missing"),
    ],
)
def test_only_a_cleared_party_of_the_role_trades(events, role, code):
    with pytest.raises(Refusal) as caught:
        require_trader(PARTY.fold(events), STARTUP, role)
    assert caught.value.code == code


def test_a_cleared_party_of_the_role_trades():
    assert require_trader(PARTY.fold([REGISTERED, CLEARED]), STARTUP, "startup").status == "cleared"


def test_a_group_is_served_once_in_any_status():
    Given(PARTY, REGISTERED).when(SERVE).then(SERVED)
    Given(PARTY, REGISTERED, SERVED, SUSPENDED).when(SERVE).then_nothing()
    other = ServeGroup(party_id=STARTUP, group="another", order_id=id_of("ord", 2))
    again = PartyGroupServed(party_id=STARTUP, group="another", order_id=id_of("ord", 2))
    Given(PARTY, REGISTERED, SERVED, SUSPENDED).when(other).then(again)


def test_only_a_suspended_party_is_frozen():
    require_unsuspended(PARTY.fold([REGISTERED]), STARTUP)
    require_unsuspended(PARTY.fold([REGISTERED, SUSPENDED, CLEARED]), STARTUP)
    with pytest.raises(Refusal) as caught:
        require_unsuspended(PARTY.fold([REGISTERED, CLEARED, SUSPENDED]), STARTUP)
    assert caught.value.code == "party_suspended"


def test_a_role_is_asked_for_once_and_added_by_the_platform():
    Given(PARTY, REGISTERED).when(RequestRole(**ROLE)).then(REQUESTED)
    Given(PARTY, REGISTERED, REQUESTED).when(RequestRole(**ROLE)).then_nothing()
    Given(PARTY, REGISTERED, REQUESTED).when(AddRole(**ROLE)).then(ADDED)
    Given(PARTY, REGISTERED).when(AddRole(**ROLE)).then(ADDED)
    Given(PARTY, REGISTERED, ADDED).when(AddRole(**ROLE)).then_nothing()
    assert not PARTY.fold([REGISTERED, REQUESTED]).has_role("provider")
    both = PARTY.fold([REGISTERED, CLEARED, REQUESTED, ADDED])
    assert (both.roles, both.requested) == (("startup", "provider"), frozenset())
    assert require_trader(both, STARTUP, "provider") is both


def test_a_request_for_a_role_may_end_and_be_repeated():
    ended = PartyRoleRequestEnded(**ROLE, outcome="refused")
    Given(PARTY, REGISTERED, REQUESTED).when(EndRoleRequest(**ROLE, outcome="refused")).then(ended)
    Given(PARTY, REGISTERED, REQUESTED, ended).when(RequestRole(**ROLE)).then(REQUESTED)


def test_a_stage_is_recorded():
    seed = PartyStageRecorded(party_id=STARTUP, stage="seed")
    Given(PARTY, REGISTERED).when(RecordStage(party_id=STARTUP, stage="seed")).then(seed)
    Given(PARTY, REGISTERED, seed).when(RecordStage(party_id=STARTUP, stage="seed")).then_nothing()
