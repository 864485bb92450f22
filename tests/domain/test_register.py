"""The register: who is related to whom, from either end, through chains, and not by one side's word for others."""

from contextlib import nullcontext
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from events.register import Owner, RegisterRelationEnded, RegisterRelationFound, RegisterRelationStated
from marketplace.core.errors import Refusal
from marketplace.domain.register import (
    REGISTER,
    REGISTER_ID,
    RELATIONS_MAX,
    EndRelation,
    FindRelation,
    StateRelation,
    mark_award,
    require_claimable,
)
from tests.domain import build
from tests.domain.build import FUND, PROVIDER, STARTUP, Row, hour, id_of
from tests.support.spec import Given

OWNER = "lei:5493001kjtiigc8y1r12"
NOW = hour(0)
FIRST = id_of("rel", 1)


def told(kind, party_id, other, number=1, **more):
    ends = {"related_id": other, "owner": None} if other.startswith("pty_") else {"related_id": None, "owner": other}
    ids = {"register_id": REGISTER_ID, "relation_id": id_of("rel", number), "party_id": party_id}
    return kind(**ids, **{**ends, "kind": "owner", "since": None, "reason": "it directs it", **more})


def state(party_id, other, number=1, **more):
    return told(StateRelation, party_id, other, number, at=NOW, **more)


def find(party_id, other, number=1, **more):
    return told(FindRelation, party_id, other, number, at=NOW, **more)


def end(party_id, *, by_platform=False, number=1):
    ids = {"register_id": REGISTER_ID, "relation_id": id_of("rel", number), "party_id": party_id}
    return EndRelation(**ids, by_platform=by_platform, reason="sold", at=hour(5))


STATED, FOUND = told(RegisterRelationStated, STARTUP, PROVIDER), told(RegisterRelationFound, STARTUP, PROVIDER)
ENDED = RegisterRelationEnded(
    register_id=REGISTER_ID, relation_id=FIRST, party_id=STARTUP, related_id=PROVIDER, at=hour(5), reason="sold"
)
MANY = tuple(
    told(RegisterRelationStated, STARTUP, id_of("pty", number), number) for number in range(10, 10 + RELATIONS_MAX)
)
REFUSALS = [
    Row("relation_ambiguous", (), state(STARTUP, PROVIDER, owner=OWNER), "/related_id"),
    Row("relation_ambiguous", (), state(STARTUP, PROVIDER, related_id=None), "/related_id"),
    Row("relation_to_itself", (), state(STARTUP, STARTUP), "/related_id"),
    Row("since_future", (), state(STARTUP, PROVIDER, since=hour(1)), "/since"),
    Row("relations_too_many", MANY, state(STARTUP, PROVIDER)),
    Row("relation_unknown", (STATED,), end(FUND)),
    Row("relation_firm", (FOUND,), end(STARTUP)),
    Row("relation_unstated", (STATED,), end(PROVIDER)),
]
PRECEDENCE = [
    Row("relation_ambiguous", MANY, state(STARTUP, STARTUP, owner=OWNER)),
    Row("relation_to_itself", MANY, state(STARTUP, STARTUP, since=hour(1))),
    Row("since_future", MANY, state(STARTUP, PROVIDER, since=hour(1))),
    Row("relation_unknown", (FOUND,), end(FUND)),
    Row("relation_firm", (STATED, FOUND), end(PROVIDER)),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(REGISTER, row)


def test_a_relation_is_stated_once_made_firm_by_the_other_and_found_under_its_first_id():
    Given(REGISTER).when(state(STARTUP, PROVIDER)).then(STATED)
    Given(REGISTER, STATED).when(state(STARTUP, PROVIDER, 2)).then_nothing()
    firm = told(RegisterRelationStated, PROVIDER, STARTUP, firm=True)
    Given(REGISTER, STATED).when(state(PROVIDER, STARTUP, 2)).then(firm)
    Given(REGISTER, STATED).when(find(STARTUP, PROVIDER, 2)).then(FOUND)
    Given(REGISTER, FOUND).when(find(PROVIDER, STARTUP, 2)).then_nothing()


def test_a_relation_that_ended_holds_for_what_was_before_and_may_be_stated_again():
    Given(REGISTER, FOUND).when(end(PROVIDER, by_platform=True)).then(ENDED)
    Given(REGISTER, FOUND, ENDED).when(end(PROVIDER, by_platform=True)).then_nothing()
    Given(REGISTER, FOUND, ENDED).when(find(STARTUP, PROVIDER, 2)).then(
        told(RegisterRelationFound, STARTUP, PROVIDER, 2)
    )
    register = REGISTER.fold([FOUND, ENDED], REGISTER.initial)
    assert register.are_related(PROVIDER, STARTUP, hour(4))
    assert not register.are_related(PROVIDER, STARTUP, hour(5))
    assert not register.are_related(PROVIDER, STARTUP)


def test_a_statement_of_one_relates_no_two_others():
    """A startup names an honest provider and an honest buyer; only itself is related to both."""
    events = [told(RegisterRelationStated, STARTUP, other, number) for number, other in ((1, PROVIDER), (2, FUND))]
    register = REGISTER.fold(events, REGISTER.initial)
    assert register.are_related(STARTUP, PROVIDER)
    assert register.are_related(FUND, STARTUP)
    assert not register.are_related(PROVIDER, FUND)


def test_who_name_the_same_owner_are_related_though_nobody_confirms_it():
    events = [told(RegisterRelationStated, party_id, OWNER, number) for number, party_id in ((1, STARTUP), (2, FUND))]
    assert REGISTER.fold(events, REGISTER.initial).are_related(FUND, STARTUP)


@pytest.mark.parametrize(
    ("events", "barred"),
    [
        ([told(RegisterRelationStated, PROVIDER, STARTUP)], False),
        ([told(RegisterRelationStated, one, OWNER, number) for number, one in ((1, STARTUP), (2, PROVIDER))], False),
        ([told(RegisterRelationStated, STARTUP, OWNER), told(RegisterRelationFound, PROVIDER, OWNER, 2)], True),
        ([STATED], True),
        ([FOUND], True),
    ],
    ids=["the provider's word", "a common owner", "a common owner that is found", "the claimant's word", "found"],
)
def test_a_providers_word_alone_bars_no_claim(events, barred):
    register = REGISTER.fold(events, REGISTER.initial)
    with pytest.raises(Refusal, match="claims nothing") if barred else nullcontext():
        require_claimable(register, STARTUP, PROVIDER)


@pytest.mark.parametrize("owner", ["somebody", "lei:", ":x", "lei: x", "lei:\n", "LEI:5493001KJTIIGC8Y1R12", "lei:x\n"])
def test_an_owner_outside_is_named_by_an_identifier_with_its_scheme(owner):
    assert msgspec.convert(OWNER, Owner) == OWNER
    with pytest.raises(msgspec.ValidationError, match="matching regex"):
        msgspec.convert(owner, Owner)


def test_a_relation_holds_since_the_instant_that_is_found():
    register = REGISTER.fold([told(RegisterRelationFound, STARTUP, PROVIDER, since=hour(2))], REGISTER.initial)
    assert not register.are_related(STARTUP, PROVIDER, hour(2) - timedelta(microseconds=1))
    assert register.are_related(STARTUP, PROVIDER, hour(2))


NODES = [id_of("pty", number) for number in range(1, 6)] + [OWNER, "lei:529900t8bm49aursdo55"]


PAIRS = st.lists(
    st.tuples(st.sampled_from(NODES[:5]), st.sampled_from(NODES), st.booleans()).filter(lambda one: one[0] != one[1]),
    max_size=12,
)


def tell(told_pairs):
    register = REGISTER.initial
    for number, (party_id, other, found) in enumerate(told_pairs, 1):
        command = (find if found else state)(party_id, other, number)
        register = REGISTER.fold(REGISTER.decide(command, register), register)
    return register


@given(PAIRS)
def test_relations_are_symmetric_firm_ones_transitive_and_a_lone_statement_relates_only_its_own_side(told_pairs):
    register = tell(told_pairs)
    parties = NODES[:5]
    firm = {frozenset((known.party_id, known.related_id)) for known in register.relations.values() if known.is_firm}
    for one in parties:
        for two in parties:
            related = register.are_related(one, two)
            assert related == register.are_related(two, one)
            if two in register.list_group(one):
                assert related
                assert register.list_group(one) == register.list_group(two)
            elif related:
                sides = register.list_group(one), register.list_group(two)
                lone = [known for known in register.relations.values() if not known.is_firm]
                assert any(known.stated_by & (sides[0] | sides[1]) for known in lone)
    assert all(register.are_related(*pair) for pair in firm if all(end in parties for end in pair))


@given(PAIRS, st.booleans())
def test_an_auction_awards_nothing_to_a_related_party_and_a_quote_marks_it(told_pairs, auctioned):
    register, issued = tell(told_pairs), build.grant_issued(startup_id=NODES[0], provider_id=NODES[1])
    issued = structs.replace(issued, auction_id=id_of("auc", 1) if auctioned else None, equity=None)
    related, barred = register.are_related(NODES[0], NODES[1]), NODES[1] in register.list_barred(NODES[0])
    if barred and auctioned:
        with pytest.raises(Refusal) as caught:
            mark_award(register, issued, NOW)
        assert caught.value.code == "parties_related"
    else:
        assert mark_award(register, issued, NOW).mark == ("related" if barred else "named" if related else None)


@given(PAIRS)
def test_who_states_nothing_is_barred_by_firm_relations_alone(told_pairs):
    register = tell(told_pairs)
    for party_id in NODES[:5]:
        group = register.list_group(party_id)
        assert register.list_related(party_id) >= register.list_barred(party_id)
        if not any(register.count_stated(each) for each in group):
            assert register.list_barred(party_id) == group
