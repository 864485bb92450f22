"""Splits that would leave fractions: what the charter says is done first, to the share and the cent, and by name."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from events.issuer import (
    IssuerAuthorisedSharesAdjusted,
    IssuerExposureRecorded,
    IssuerOptionCancelled,
    IssuerStockIssued,
    IssuerStockPlanAdjusted,
    IssuerStockRepurchased,
    IssuerStockSplit,
)
from events.issuer_dilution import Exposure
from events.types import MaturityConversion, NoteTerms, SafeTerms
from events.vesting import DateMilestone, PriceMilestone, WarrantTranche
from marketplace.core.ids import derive_id
from marketplace.domain.equity.issuer.commands import ImportIssuer, RecordValuation
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rights_commands import ExerciseOption, PromiseOption, VestWarrants
from marketplace.domain.equity.issuer.state import list_rows, total_shares
from marketplace.domain.equity.issuer.stock_commands import AdjustStockPlan, SplitStock
from tests.domain.issuer_samples import (
    APPROVAL,
    COMPANY,
    EMPLOYEE,
    FOUNDED,
    FOUNDER,
    NOON,
    OF_ISS,
    OPTION,
    PROVIDER,
    grant,
    issue,
    make_id,
    warrant,
)
from tests.support.spec import Given

SPLIT = make_id("spl", 1)
DAY = NOON.date()
MONEY = {"fractions": "cash_in_lieu", "cash_usd_per_share": Decimal("0.25")}


def split(numerator, denominator, **policy):
    return SplitStock(**OF_ISS, split_id=SPLIT, numerator=numerator, denominator=denominator, **policy)


def was_split(numerator, denominator, fractions=None):
    return IssuerStockSplit(**OF_ISS, split_id=SPLIT, numerator=numerator, denominator=denominator, fractions=fractions)


def issued(number, holder_id, shares):
    security_id = make_id("sec", number + int(holder_id[-1]))
    command = issue(security_id=security_id, holder_id=holder_id, shares=shares)
    (event,) = ISSUER.decide(command, ISSUER.fold(COMPANY))
    return event


ODD = [*COMPANY, issued(7, EMPLOYEE, 1_234), issued(8, PROVIDER, 7)]
"""Of a class of ten million in all, two hold what ten does not divide."""


def bought(holder_id, shares, price="0.25"):
    return IssuerStockRepurchased(
        **OF_ISS,
        repurchase_id=derive_id("rep", SPLIT, f"{holder_id}/common"),
        holder_id=holder_id,
        class_id="common",
        shares=shares,
        price_usd_per_share=Decimal(price),
        cause=SPLIT,
        approval=APPROVAL,
    )


def filled(holder_id, shares):
    return IssuerStockIssued(
        **OF_ISS,
        security_id=derive_id("sec", SPLIT, f"{holder_id}/common"),
        holder_id=holder_id,
        class_id="common",
        shares=shares,
        price_usd_per_share=Decimal(0),
        cause=SPLIT,
        approval=APPROVAL,
    )


DECIDED = {
    "for cash": (MONEY, [bought(EMPLOYEE, 4), bought(PROVIDER, 7)]),
    "given up": ({"fractions": "give_up"}, [bought(EMPLOYEE, 4, "0"), bought(PROVIDER, 7, "0")]),
    "rounded up": ({"fractions": "round_up"}, [filled(EMPLOYEE, 6), filled(PROVIDER, 3)]),
}


@pytest.mark.parametrize(("policy", "before"), DECIDED.values(), ids=DECIDED)
def test_ten_become_one(policy, before):
    command = split(1, 10, **policy, approval=APPROVAL)
    Given(ISSUER, *ODD).when(command).then(*before, was_split(1, 10, policy["fractions"]))


def test_what_is_left_of_a_holding_is_what_a_whole_number_of_new_shares_needs():
    state = ISSUER.fold(ODD)
    after = ISSUER.fold(ISSUER.decide(split(1, 10, **MONEY), state), state)
    assert (after.holdings[EMPLOYEE, "common"], (PROVIDER, "common") in after.holdings) == (123, False)
    assert total_shares(after).stock == sum(row.shares for row in list_rows(after) if row.kind == "stock")


def test_options_pool_and_authorised_shares_lose_what_would_be_a_fraction():
    small = grant(option_id=make_id("opt", 3), shares=25)
    (granted,) = ISSUER.decide(small, ISSUER.fold(COMPANY))
    pool = ISSUER.decide(AdjustStockPlan(**OF_ISS, shares_reserved=1_000_006), ISSUER.fold(COMPANY))
    events = [*COMPANY, granted, *pool, issued(7, EMPLOYEE, 1_234)]
    state = ISSUER.fold(events)
    made = ISSUER.decide(split(2, 20, **MONEY), state)
    kinds = [type(event) for event in made]
    assert kinds[:3] == [IssuerStockRepurchased, IssuerOptionCancelled, IssuerStockPlanAdjusted]
    assert set(kinds[3:-1]) <= {IssuerAuthorisedSharesAdjusted}
    after = ISSUER.fold(made, state)
    assert after.options[make_id("opt", 3)].shares_outstanding == 2
    assert after.shares_reserved == 100_000
    assert after.options[OPTION].shares_outstanding == state.options[OPTION].shares_outstanding // 10


REFUSED = [
    ("missing_convention", ODD, split(1, 10), "/fractions"),
    ("split_leaves_fractions", ODD, split(3, 10, **MONEY), None),
    ("missing_convention", ODD, split(1, 10, fractions="cash_in_lieu"), "/cash_usd_per_share"),
    (
        "amount_not_positive",
        ODD,
        split(1, 10, fractions="cash_in_lieu", cash_usd_per_share=Decimal(0)),
        "/cash_usd_per_share",
    ),
]


@pytest.mark.parametrize(("code", "events", "command", "pointer"), REFUSED)
def test_refused(code, events, command, pointer):
    Given(ISSUER, *events).when(command).refused(code, pointer)


CAPPED_NOTE = NoteTerms(
    annual_rate=Decimal(0),
    interest="simple",
    day_count="thirty_360",
    matures_on=DAY,
    valuation_cap_usd=Decimal(5_000_000),
    at_maturity=MaturityConversion(
        class_id="common", capitalization_definition="existing_fully_diluted", share_rounding="floor"
    ),
)


@pytest.mark.parametrize(
    ("terms", "most"),
    [
        (CAPPED_NOTE, 92),
        (replace(CAPPED_NOTE, valuation_cap_usd=None, at_maturity=None), 55),
        (SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(2_000_000)), 55),
        (None, 100),
    ],
)
def test_a_split_leaves_room_for_what_instruments_become(terms, most):
    """9,000,000 shares were split into 1,000,000 each; the company has an instrument for 1,000,000 USD, or none.

    Its authorised shares allow a split by 100.
    """
    exposures = () if terms is None else (Exposure(terms=terms, amount_usd=Decimal(1_000_000), interest_from=None),)
    owed = IssuerExposureRecorded(**OF_ISS, subject_id=make_id("ins", 1), exposures=exposures)
    first = IssuerStockSplit(**OF_ISS, split_id=make_id("spl", 2), numerator=1_000_000, denominator=1)
    events = [*COMPANY, owed, first]
    assert ISSUER.decide(split(most, 1), ISSUER.fold(events))
    Given(ISSUER, *events).when(split(most + 1, 1)).refused("shares_too_many")
    if terms is not None:
        Given(ISSUER, *events).when(AdjustStockPlan(**OF_ISS, shares_reserved=10**15)).refused("shares_too_many")


def live_with_rights(shares=1_001, promised=37, used=13):
    """Return a company with a warrant, a promise and an option that was exercised in part, all of odd numbers."""
    state = ISSUER.fold(COMPANY)
    option_id = make_id("opt", 8)
    for command in (
        AdjustStockPlan(**OF_ISS, shares_reserved=1_000_007),
        warrant(shares=shares),
        PromiseOption(**OF_ISS, promise_id=make_id("prm", 8), holder_id=EMPLOYEE, shares=promised),
        grant(option_id=option_id, shares=101),
        ExerciseOption(
            **OF_ISS,
            exercise_id=make_id("exe", 8),
            option_id=option_id,
            class_id="common",
            shares=used,
            at=NOON.replace(year=2031),
        ),
    ):
        state = ISSUER.fold(ISSUER.decide(command, state), state)
    return state


def test_without_a_policy_rights_have_to_come_out_whole():
    (issued_warrant,) = ISSUER.decide(warrant(shares=1_001), ISSUER.fold(COMPANY))
    refusal = Given(ISSUER, *COMPANY, issued_warrant).when(split(1, 2)).refused("split_leaves_fractions")
    assert "warrant" in refusal.facts["what"]
    Given(ISSUER, *COMPANY, issued_warrant).when(split(3, 2, **MONEY)).refused("split_leaves_fractions")


def test_a_price_that_lets_a_warrant_vest_follows_the_split_and_not_the_rounded_shares():
    level = PriceMilestone(price_usd_per_share=Decimal(3))
    tranche = WarrantTranche(shares=7, conditions=((level,),))
    (small,) = ISSUER.decide(warrant(shares=7, tranches=(tranche,)), ISSUER.fold(COMPANY))
    state = ISSUER.fold([*COMPANY, small])
    for denominator, left in ((2, 3), (5, 0)):
        state = ISSUER.fold(
            ISSUER.decide(
                replace(split(1, denominator, fractions="give_up"), split_id=make_id("spl", denominator)), state
            ),
            state,
        )
        (right,) = state.warrants.values()
        assert right.shares == left
    for price, vested in (("29.99", []), ("30", [0])):
        valued = RecordValuation(**OF_ISS, price_usd_per_share=Decimal(price), method="409A", effective_on=DAY)
        valued = replace(valued, recorded_by="platform")
        priced = ISSUER.fold(ISSUER.decide(valued, state), state)
        made = ISSUER.decide(VestWarrants(**OF_ISS, delivered={}, at=NOON), priced)
        assert [event.tranche for event in made] == vested


@pytest.mark.parametrize("policy", ["cash_in_lieu", "give_up", "round_up"])
def test_with_a_policy_rights_are_rounded_down_and_the_event_says_what_is_left_of_the_pool(policy):
    state = live_with_rights()
    made = ISSUER.decide(split(1, 10, fractions=policy, cash_usd_per_share=Decimal("0.25")), state)
    after = ISSUER.fold(made, state)
    (right,), (promise,) = after.warrants.values(), after.promises.values()
    option = after.options[make_id("opt", 8)]
    assert (right.shares_outstanding, promise, option.shares_outstanding) == (100, 3, 8)
    assert right.exercise_price_usd == next(iter(state.warrants.values())).exercise_price_usd * 10
    assert made[-1].pool_shares_available == after.shares_available >= 0
    assert after.shares_reserved == after.shares_granted + after.shares_promised + after.shares_available == 100_000
    assert ISSUER.decide(split(1, 10, fractions=policy, cash_usd_per_share=Decimal("0.25")), after) == []


@given(
    st.tuples(st.integers(1, 3_000), st.integers(1, 3_000), st.integers(1, 101)),
    st.integers(2, 400),
    st.lists(st.integers(1, 900), min_size=1, max_size=4),
)
def test_no_right_gains_or_loses_a_share_and_the_pool_is_never_overdrawn(numbers, denominator, tranches):
    state = live_with_rights(*numbers)
    whole = sum(tranches)
    parts = tuple(WarrantTranche(shares=shares, conditions=((DateMilestone(day=DAY),),)) for shares in tranches)
    stepwise = warrant(warrant_id=make_id("war", 9), shares=whole, tranches=parts)
    state = ISSUER.fold(ISSUER.decide(stepwise, state), state)
    after = ISSUER.fold(ISSUER.decide(split(1, denominator, fractions="give_up"), state), state)
    rights = {row[:3]: row.shares for row in list_rows(state) if row.kind in {"option", "warrant", "promised"}}
    now = {row[:3]: row.shares for row in list_rows(after)}
    for key, shares in rights.items():
        assert now.get(key, 0) == shares // denominator
    assert after.shares_available >= 0
    assert after.shares_granted + after.shares_promised + after.shares_available == after.shares_reserved
    right = after.warrants[make_id("war", 9)]
    assert sum(tranche.shares for tranche in right.tranches) == right.shares == whole // denominator


def test_an_import_takes_a_split_with_fractions_over():
    acts = (*ODD, bought(EMPLOYEE, 4), bought(PROVIDER, 7), was_split(1, 10, "cash_in_lieu"))
    command = ImportIssuer(**OF_ISS, source="x.zip", package_hash="ab" * 32, acts=acts)
    assert list(ISSUER.decide(command, None))[1:] == list(acts)


HOLDERS = (FOUNDER, EMPLOYEE, PROVIDER)


@given(
    st.tuples(*[st.integers(0, 60_000)] * 3),
    st.integers(2, 400),
    st.sampled_from(["cash_in_lieu", "give_up", "round_up"]),
)
def test_everybody_keeps_the_whole_shares_and_is_paid_for_the_fraction(held, denominator, policy):
    holders = zip((FOUNDER, EMPLOYEE, PROVIDER), held, strict=True)
    state = ISSUER.fold([*FOUNDED, *(issued(10, holder, shares) for holder, shares in holders if shares)])
    made = ISSUER.decide(split(1, denominator, fractions=policy, cash_usd_per_share=Decimal("1.50")), state)
    after = ISSUER.fold(made, state)
    paid = {event.holder_id: event.shares for event in made if isinstance(event, IssuerStockRepurchased)}
    for (holder, class_id), shares in state.holdings.items():
        whole = after.holdings.get((holder, class_id), 0)
        if policy == "round_up":
            assert whole == -(-shares // denominator)
        else:
            assert whole == shares // denominator
            assert Fraction(paid.get(holder, 0), denominator) == Fraction(shares, denominator) - whole
    assert sum(after.holdings.values()) == sum(each.shares_outstanding for each in after.classes.values())
    assert all(each.shares_outstanding <= each.shares_authorised for each in after.classes.values())
