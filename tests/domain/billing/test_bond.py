"""Bonds: what they refuse, and who gets how much when claims exceed them."""

from datetime import timedelta
from decimal import ROUND_FLOOR

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from events.bond import (
    BondAnswered,
    BondClaimed,
    BondPaid,
    BondPosted,
    BondReleased,
    BondReturned,
    ClaimItem,
    HolderPart,
)
from marketplace.core.errors import Refusal
from marketplace.core.money import ZERO
from marketplace.domain.billing.bond import (
    BOND,
    AnswerClaim,
    ClaimBond,
    PostBond,
    ReleaseBond,
    ReturnClaim,
    list_uncovered,
)
from marketplace.domain.billing.remedies import ANSWER_WITHIN, CLAIM_WITHIN, DECIDE_WITHIN
from tests.domain import build
from tests.domain.build import (
    LOT,
    NAIVE,
    NAN,
    NOW,
    PROVIDER,
    PROVIDER_ACCOUNT,
    STARTUP,
    STARTUP_ACCOUNT,
    Row,
    id_of,
    usd,
)
from tests.domain.walk import WALK, step
from tests.support.spec import Given

BOND_ID = id_of("bnd")
UNTIL = NOW + timedelta(days=60)
OVER = UNTIL + CLAIM_WITHIN
FIRST, SECOND, THIRD = (id_of("bcl", number) for number in (1, 2, 3))
post = build.builder(
    PostBond(
        bond_id=BOND_ID,
        party_id=PROVIDER,
        account_id=PROVIDER_ACCOUNT,
        posting_id=id_of("pst"),
        lot_id=None,
        amount_usd=usd(100),
        stands_until=UNTIL,
        at=NOW,
    )
)
answer = build.builder(
    AnswerClaim(bond_id=BOND_ID, claim_id=FIRST, by="provider", amount_usd=None, reason="it is so", at=NOW)
)
release = build.builder(ReleaseBond(bond_id=BOND_ID, lot_id=None, at=OVER))


def claim(number=1, usd_=100, lots=(), replacement=None, remedy="damages"):
    item = ClaimItem(remedy=remedy, gpu_seconds=3_600, amount_usd=usd(usd_), replacement_id=replacement)
    claimed = BondClaimed(
        bond_id=BOND_ID,
        party_id=PROVIDER,
        claim_id=id_of("bcl", number),
        startup_id=STARTUP,
        startup_account_id=STARTUP_ACCOUNT,
        grant_id=id_of("grt", number),
        statement_id=None,
        lot_ids=lots,
        items=(item,),
        credited_usd=usd(0),
        amount_usd=usd(usd_),
        made_at=NOW,
        answer_until=NOW + ANSWER_WITHIN,
    )
    return ClaimBond(bond_id=BOND_ID, claimed=claimed)


def play(*commands):
    """Return the state after commands, and all events."""
    state, log = None, []
    for command in commands:
        events = list(BOND.decide(command, state))
        state, log = BOND.fold(events, state), [*log, *events]
    return state, tuple(log)


WAITED = answer(by="silence", at=NOW + ANSWER_WITHIN)


def list_paid(log):
    return [
        (event.claim_id, event.lot_id, event.amount_usd, event.owed_usd) for event in log if isinstance(event, BondPaid)
    ]


POSTED, CLAIMED, SETTLED = (
    play(*commands)[1] for commands in ((post(),), (post(), claim()), (post(), claim(), answer()))
)
CONTESTED = play(post(), claim(), answer(amount_usd=usd(40)))[1]
SHORT = play(post(), claim(1), claim(2), answer(), WAITED)[1]
REFUSALS = [
    Row("bond_unknown", (), answer()),
    Row("not_a_number", (), post(amount_usd=NAN), "/amount_usd"),
    Row("amount_not_positive", (), post(amount_usd=usd(0)), "/amount_usd"),
    Row("amount_too_large", (), post(amount_usd=usd(10**16)), "/amount_usd"),
    Row("amount_too_precise", (), post(amount_usd=usd("0.001")), "/amount_usd"),
    Row("time_naive", (), post(stands_until=NAIVE), "/stands_until"),
    Row("term_passed", (), post(stands_until=NOW), "/stands_until"),
    Row("term_shorter", POSTED, post(posting_id=id_of("pst", 2), stands_until=UNTIL - timedelta(1)), "/stands_until"),
    Row("claim_exists", CLAIMED, claim(usd_=99)),
    Row("claim_unknown", POSTED, answer()),
    Row("claim_settled", SETTLED, answer(amount_usd=usd(1))),
    Row("claim_contested", CONTESTED, answer(amount_usd=usd(1))),
    Row("answer_not_due", CLAIMED, answer(by="silence")),
    Row("answer_not_due", (*CONTESTED, *BOND.decide(WAITED, BOND.fold(CONTESTED))), WAITED),
    Row("answer_not_due", SHORT, answer(by="silence", at=NOW + ANSWER_WITHIN, freed_at=OVER)),
    Row("answer_late", CLAIMED, answer(at=NOW + ANSWER_WITHIN)),
    Row("answer_above_claim", CLAIMED, answer(amount_usd=usd(101)), "/amount_usd"),
    Row("answer_above_claim", CLAIMED, answer(amount_usd=usd(61), most_usd=usd(60)), "/amount_usd"),
    Row("answer_below_admitted", CONTESTED, answer(by="platform", amount_usd=usd(39)), "/amount_usd"),
    Row("bond_empty", POSTED, release(lot_id=LOT), "/lot_id"),
    Row("bond_stands", POSTED, release(at=OVER - timedelta(seconds=1))),
    Row("bond_stands", play(post(lot_id=LOT))[1], release(lot_id=LOT, needed_until=UNTIL + timedelta(1))),
    Row("bond_claimed", CLAIMED, release()),
    Row("bond_claimed", SHORT, release()),
]
PRECEDENCE = [
    Row("amount_not_positive", (), post(amount_usd=usd(0), stands_until=NOW)),
    Row("claim_settled", SETTLED, answer(amount_usd=usd(101), at=OVER)),
    Row("bond_stands", CLAIMED, release(at=NOW)),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(BOND, row)


def test_a_bond_is_posted_claimed_answered_paid_and_released():
    Given(BOND).when(post()).then(
        BondPosted(
            bond_id=BOND_ID,
            party_id=PROVIDER,
            account_id=PROVIDER_ACCOUNT,
            posting_id=id_of("pst"),
            lot_id=None,
            hold_id=POSTED[0].hold_id,
            amount_usd=usd(100),
            stands_until=UNTIL,
        )
    )
    Given(BOND, *POSTED).when(claim(usd_=60)).then(claim(usd_=60).claimed)
    given = play(post(), claim(usd_=60))[1]
    for by, at, outcome in (
        ("provider", NOW, "conceded"),
        ("silence", NOW + ANSWER_WITHIN, "lapsed"),
        ("platform", NOW, "decided"),
    ):
        answered, paid = play(post(), claim(usd_=60), answer(by=by, at=at), WAITED)[1][-2:]
        now = (answered, paid) if by == "silence" else (answered,)
        Given(BOND, *given).when(answer(by=by, at=at)).then(*now)
        assert isinstance(answered, BondAnswered)
        assert (answered.outcome, paid.amount_usd, paid.owed_usd, paid.payee_account_id) == (
            outcome,
            60,
            0,
            STARTUP_ACCOUNT,
        )
    [released] = play(post(), claim(usd_=60), answer(), WAITED, release())[1][-1:]
    assert isinstance(released, BondReleased)
    assert released.amount_usd == 40


def hold(claimed, *parts):
    """Return a claim of which holders of equity, numbered from 0, get parts."""
    holders = tuple(
        HolderPart(party_id=id_of("pty", 50 + number), account_id=id_of("acc", 50 + number), amount_usd=usd(part))
        for number, part in enumerate(parts)
    )
    return ClaimBond(bond_id=BOND_ID, claimed=replace(claimed.claimed, holders=holders))


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=3).map(lambda parts: [part * 250 for part in parts[:2]]),
    st.lists(st.integers(1, 9_999), min_size=1, max_size=8),
)
def test_each_payment_of_a_claim_brings_every_holder_to_its_share_of_what_is_paid(parts, posted):
    parts = [usd(part).scaleb(-2) for part in parts]
    if sum(parts) > 100:
        parts = parts[:1]
    posts = [post(amount_usd=usd(posted[0]).scaleb(-2)), hold(claim(), *parts), answer(), WAITED]
    posts += [
        post(posting_id=id_of("pst", 2 + number), amount_usd=usd(cents).scaleb(-2), at=WAITED.at)
        for number, cents in enumerate(posted[1:])
    ]
    state, log = play(*posts)
    paid = [event for event in log if isinstance(event, BondPaid)]
    total = sum(event.amount_usd for event in paid)
    assert total == min(sum(posted), 10_000) / usd(100) == state.claims[0].paid_usd
    assert len({event.payment_id for event in paid}) == len(paid), "an account counts each payment once"
    assert all(event.amount_usd > 0 for event in paid)
    for number, part in enumerate(parts):
        got = sum(event.amount_usd for event in paid if event.holder_id == id_of("pty", 50 + number))
        due = (part * total / 100).quantize(usd("0.01"), ROUND_FLOOR)
        assert due - usd("0.01") * (len(parts) - 1) <= got <= due
    assert paid[-1].owed_usd == 100 - total


LAST = answer(claim_id=SECOND, by="platform", amount_usd=usd(0), at=WAITED.at)
SHORTFALLS = {
    "what is missing is owed, and paid once more is posted": (
        (post(), claim(usd_=150), answer(), WAITED, post(at=WAITED.at, posting_id=id_of("pst", 2), amount_usd=usd(70))),
        [(FIRST, None, 100, 50), (FIRST, None, 50, 0)],
    ),
    "claims that stand together get the same share, whichever is answered first": (
        (post(), claim(1), claim(2, 300), answer(claim_id=SECOND), answer(), WAITED),
        [(FIRST, None, 25, 75), (SECOND, None, 75, 225)],
    ),
    "a claim that ends for nothing leaves its share to the others": (
        (post(), claim(1), claim(2, 300), answer(), WAITED, LAST),
        [(FIRST, None, 25, 75), (FIRST, None, 75, 0)],
    ),
    "what is conceded is paid before what is decided above it": (
        (
            post(),
            claim(usd_=80),
            answer(amount_usd=usd(30)),
            WAITED,
            answer(by="platform", amount_usd=usd(50), at=WAITED.at),
        ),
        [(FIRST, None, 30, 0), (FIRST, None, 20, 0)],
    ),
    "what the platform does not decide in time is settled in the middle of what is claimed and conceded": (
        (post(), claim(usd_=80), answer(amount_usd=usd(30)), WAITED, answer(by="silence", at=NOW + DECIDE_WITHIN)),
        [(FIRST, None, 30, 0), (FIRST, None, 25, 0)],
    ),
    "a claim that comes to less when it is answered is conceded for that": (
        (post(), claim(usd_=80), answer(most_usd=usd(50)), WAITED),
        [(FIRST, None, 50, 0)],
    ),
    "what was conceded stays, also if the claim comes to less later": (
        (post(), claim(usd_=80), answer(amount_usd=usd(30)), answer(by="platform", most_usd=usd(10)), WAITED),
        [(FIRST, None, 30, 0)],
    ),
    "the bond of the lot pays first, for its own grants alone": (
        (
            post(lot_id=LOT, amount_usd=usd(60)),
            post(posting_id=id_of("pst", 2), amount_usd=usd(80)),
            claim(1, lots=(LOT,)),
            claim(2),
            answer(),
            answer(claim_id=SECOND),
            WAITED,
        ),
        [(FIRST, LOT, 60, 40), (FIRST, None, "22.85", "17.15"), (SECOND, None, "57.14", "42.86")],
    ),
    "each undelivered hour of a lot gets as much of its bond, whatever price its provider agreed on with a shell": (
        (
            post(lot_id=LOT),
            post(posting_id=id_of("pst", 2), amount_usd=usd(30)),
            claim(1, 9_000, lots=(LOT,)),
            claim(2, 20, lots=(LOT,)),
            claim(3, 50, lots=(LOT,)),
            answer(),
            answer(claim_id=SECOND),
            answer(claim_id=THIRD),
            WAITED,
        ),
        [
            (FIRST, LOT, 40, 8_960),
            (SECOND, LOT, 20, 0),
            (THIRD, LOT, 40, 10),
            (FIRST, None, "29.96", "8930.04"),
            (THIRD, None, "0.03", "9.97"),
        ],
    ),
    "who claims first and is answered at once shares with who claims before it is paid": (
        (post(), claim(1, 300), answer(), claim(2), answer(claim_id=SECOND), WAITED),
        [(FIRST, None, 75, 225), (SECOND, None, 25, 75)],
    ),
    "what no bond covers is paid from what the provider has, by the same shares": (
        (
            post(amount_usd=usd(50)),
            claim(1, 300),
            claim(2),
            answer(),
            answer(claim_id=SECOND),
            answer(by="silence", at=WAITED.at, money_usd=usd(70)),
        ),
        [
            (FIRST, None, "37.50", "262.50"),
            (SECOND, None, "12.50", "87.50"),
            (FIRST, None, "52.50", 210),
            (SECOND, None, "17.50", 70),
        ],
    ),
    "a broken match is paid after undelivered hours, also from the bond of its lot and from what the provider has": (
        (
            post(lot_id=LOT, amount_usd=usd(60)),
            post(posting_id=id_of("pst", 2), amount_usd=usd(20)),
            claim(1, 9_000, lots=(LOT,), remedy="broken_match"),
            claim(2, lots=(LOT,)),
            answer(),
            answer(claim_id=SECOND),
            answer(by="silence", at=WAITED.at, money_usd=usd(70)),
        ),
        [(SECOND, LOT, 60, 40), (SECOND, None, 20, 20), (SECOND, None, 20, 0), (FIRST, None, 50, 8_950)],
    ),
    "a broken match gets what undelivered hours that are not answered yet cannot need": (
        (post(), claim(1, 90, remedy="broken_match"), claim(2, 95), answer(), WAITED),
        [(FIRST, None, 5, 85)],
    ),
    "a broken match alone takes a tenth of the bond, and the rest from what its provider has": (
        (post(), claim(remedy="broken_match"), answer(), answer(by="silence", at=WAITED.at, money_usd=usd(130))),
        [(FIRST, None, 10, 90), (FIRST, None, 90, 0)],
    ),
    "broken matches that are paid before a tenant claims leave it nine tenths of the bond": (
        (
            post(),
            claim(1, 9_000, remedy="broken_match"),
            answer(),
            WAITED,
            claim(3, 9_000, remedy="broken_match"),
            answer(claim_id=id_of("bcl", 3)),
            claim(2),
            answer(claim_id=SECOND),
            WAITED,
        ),
        [(FIRST, None, 10, 8_990), (SECOND, None, 90, 10)],
    ),
    "a provider without a bond is claimed from too": (
        (claim(), answer(), answer(by="silence", at=WAITED.at, money_usd=usd(130))),
        [(FIRST, None, 100, 0)],
    ),
    "a claim that came after the money was paid waits": (
        (post(), claim(1), answer(), WAITED, claim(2), answer(claim_id=SECOND), WAITED),
        [(FIRST, None, 100, 0)],
    ),
}


@pytest.mark.parametrize("rule", SHORTFALLS)
def test_a_bond_smaller_than_its_claims(rule):
    commands, paid = SHORTFALLS[rule]
    expected = [(claim_id, lot_id, usd(amount), usd(owed)) for claim_id, lot_id, amount, owed in paid]
    assert list_paid(play(*commands)[1]) == expected


cents = st.integers(1, 20_000).map(lambda number: usd(number).scaleb(-2))
lots = st.sampled_from([None, id_of("lot", 1), id_of("lot", 2)])
numbers = st.integers(1, 5)
commands = st.one_of(
    st.builds(
        post, posting_id=st.integers(1, 99).map(lambda number: id_of("pst", number)), amount_usd=cents, lot_id=lots
    ),
    st.builds(
        claim,
        numbers,
        cents,
        lots.map(lambda lot: () if lot is None else (lot,)),
        remedy=st.sampled_from(["damages", "broken_match"]),
    ),
    st.builds(
        answer,
        claim_id=numbers.map(lambda number: id_of("bcl", number)),
        by=st.sampled_from(["provider", "platform", "silence"]),
        amount_usd=st.one_of(st.none(), cents),
        at=st.sampled_from([NOW, NOW + ANSWER_WITHIN, NOW + DECIDE_WITHIN]),
        most_usd=st.one_of(st.none(), cents),
        money_usd=st.one_of(st.just(ZERO), cents),
    ),
    st.builds(release, lot_id=lots),
)


@WALK
@given(st.lists(commands, min_size=5, max_size=40))
def test_what_was_posted_is_free_paid_or_released_and_no_claim_is_paid_above_its_answer(walk):
    bond, log = None, []
    for command in [post(), *walk]:
        bond, events, _ = step(BOND, bond, command)
        log.extend(events)
        sums = dict.fromkeys((BondPosted, BondPaid, BondReleased), ZERO)
        for lot_id, part in bond.parts.items():
            mine = [event for event in log if getattr(event, "lot_id", 0) == lot_id and event.hold_id is not None]
            sums = {kind: sum((one.amount_usd for one in mine if type(one) is kind), ZERO) for kind in sums}
            assert sums[BondPosted] == part.free_usd + sums[BondPaid] + sums[BondReleased]
            assert part.free_usd >= 0
            broken = sum((one.paid.get(lot_id, ZERO) for one in bond.claims if one.is_broken_match), ZERO)
            assert 10 * broken <= part.posted_usd
        for one in bond.claims:
            paid = [each.amount_usd for each in log if type(each) is BondPaid and each.claim_id == one.claimed.claim_id]
            assert ZERO <= sum(paid, ZERO) <= one.due_usd <= one.claimed.amount_usd
            kept = list_uncovered(bond)[one.claimed.claim_id]
            assert ZERO <= kept <= one.demand_usd - one.paid_usd, "no more is kept than the claim may still come to"
        assert not any(type(event) is BondPaid for event in events) or command.at >= NOW + ANSWER_WITHIN
        assert all(replace(event) == event for event in events)


def test_a_part_of_which_broken_matches_took_a_tenth_is_released_though_the_rest_is_owed():
    state, _ = play(post(), claim(1, 9_000, remedy="broken_match"), answer(), WAITED)
    [released] = BOND.decide(release(), state)
    assert released.amount_usd == 90
    state, _ = play(post(), claim(1, 9_000, remedy="broken_match"), answer())
    with pytest.raises(Refusal, match="is open or owed"):
        BOND.decide(release(), state)


def test_a_release_of_the_wrong_part_says_where_the_money_is():
    (on_lot, _), (for_all, _) = play(post(lot_id=LOT)), play(post())
    for state, command, said in (
        (on_lot, release(), f"for all grants to release; it has money of {LOT}: name one as lot_id"),
        (for_all, release(lot_id=LOT), f"for {LOT} to release; it has money for all grants: leave lot_id out"),
    ):
        with pytest.raises(Refusal) as caught:
            BOND.decide(command, state)
        assert (caught.value.code, caught.value.message.endswith(said)) == ("bond_empty", True), caught.value.message


def test_what_a_claim_was_paid_too_much_is_returned_in_proportion_and_at_most_what_was_credited():
    holder = HolderPart(party_id=id_of("pty", 7), account_id=id_of("acc", 7), amount_usd=usd(25))
    shared = claim()
    shared = replace(shared, claimed=replace(shared.claimed, holders=(holder,)))
    state, _ = play(post(), shared, answer(), WAITED)
    payers = ((None, STARTUP_ACCOUNT, usd(20)), (holder.party_id, holder.account_id, usd(90)))
    back = ReturnClaim(
        bond_id=BOND_ID,
        claim_id=FIRST,
        replacement_id=id_of("grt", 5),
        cause=id_of("stm", 5),
        most_usd=usd(60),
        credited=payers,
    )
    events = BOND.decide(back, state)
    assert [(type(event), event.holder_id, event.amount_usd) for event in events] == [
        (BondReturned, None, usd(20)),
        (BondReturned, holder.party_id, usd(10)),
    ]
    after = BOND.fold(events, state)
    assert after.find(FIRST).counted_usd == usd(70)
    assert BOND.decide(back, after) == []
    later = replace(back, cause=id_of("stm", 6))
    assert [event.amount_usd for event in BOND.decide(later, after)] == [usd("7.50"), usd("2.50")]
    for nothing in (replace(back, most_usd=usd(100)), replace(back, credited=())):
        assert BOND.decide(nothing, state) == []
    unsettled, _ = play(post(), shared)
    assert BOND.decide(back, unsettled) == []
    unpaid, _ = play(post(), shared, answer())
    [lowered] = BOND.decide(back, unpaid)
    assert (lowered.outcome, lowered.amount_usd) == ("lowered", usd(60))
    known = BOND.fold([lowered], unpaid).find(FIRST)
    assert (known.status, known.due_usd, known.counted_usd) == ("settled", usd(60), usd(60))
