"""What holds for every sale: nothing is lost or made, nobody is below zero, nobody would choose otherwise."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.equity.checker import verify
from marketplace.equity.liquidation import OptionGrant
from marketplace.equity.model import Capitalization, Holding, PreferredClass, Safe, SafeTerms
from marketplace.equity.waterfall import distribute

PARTICIPATION = st.sampled_from(["none", "full", "capped"])


@st.composite
def sales(draw):
    holdings = [Holding("founders", "common", draw(st.integers(1, 9_000_000)))]
    preferred = []
    for name in draw(st.lists(st.sampled_from("abcde"), unique=True, max_size=4)):
        holdings += [Holding(f"{name}1", name, draw(st.integers(1, 2_000_000)))]
        holdings += [Holding(f"{name}2", name, draw(st.integers(0, 1_000_000)))]
        preferred.append(
            PreferredClass(
                name,
                draw(st.integers(1, 12)),
                seniority=draw(st.integers(1, 3)),
                conversion_price_usd=draw(st.none() | st.integers(1, 12)),
                liquidation_multiple=draw(st.sampled_from([1, 2, Fraction(3, 2)])),
                participation=draw(PARTICIPATION),
                participation_cap_multiple=3,
            )
        )
    grants = [
        OptionGrant(f"g{index}", f"e{index}", draw(st.integers(1, 500_000)), draw(st.integers(0, 9)))
        for index in range(draw(st.integers(0, 3)))
    ]
    safes = [
        Safe(
            f"s{index}",
            f"i{index}",
            draw(st.integers(1, 900_000)),
            SafeTerms(
                draw(st.sampled_from(["post_money", "pre_money"])),
                draw(st.none() | st.sampled_from([6_000_000, 9_000_000, 20_000_000])),
                draw(st.none() | st.sampled_from([Fraction(1, 5), Fraction(1, 10)])),
            ),
        )
        for index in range(draw(st.integers(0, 3)))
    ]
    company = Capitalization(tuple(holdings), tuple(preferred))
    return draw(st.decimals(0, 90_000_000, places=2)), company, grants, safes


def paid(sale):
    proceeds, company, grants, safes = sale
    return distribute(proceeds, company, safes=safes, options=grants, safe_seniority=1)


@settings(deadline=None, max_examples=120)
@given(sales())
def test_payouts_are_not_negative_and_sum_to_the_proceeds(sale):
    result = paid(sale)
    assert all(each.amount_usd_exact >= 0 and each.amount_usd >= 0 for each in result.payouts)
    assert sum(each.amount_usd_exact for each in result.payouts) == result.proceeds_usd
    assert sum((each.amount_usd for each in result.payouts), Decimal(0)) == sale[0]
    assert all(abs(each.amount_usd_exact - Fraction(each.amount_usd)) < Fraction(1, 100) for each in result.payouts)


@settings(deadline=None, max_examples=120)
@given(sales())
def test_no_class_gains_by_flipping_its_election_and_the_checker_agrees(sale):
    result = paid(sale)
    for election in result.elections:
        values = dict(election.values_usd)
        assert values[election.choice] == max(values.values())
    assert verify(result.certificate) == []


@settings(deadline=None, max_examples=60)
@given(sales(), st.randoms(use_true_random=False))
def test_the_order_of_holders_and_instruments_changes_no_payout(sale, random):
    proceeds, company, grants, safes = sale
    first = paid(sale)
    mixed = [list(company.holdings), list(company.preferred), list(grants), list(safes)]
    for rows in mixed:
        random.shuffle(rows)
    shuffled = Capitalization(tuple(mixed[0]), tuple(mixed[1]))
    second = paid((proceeds, shuffled, mixed[2], mixed[3]))
    assert second.price_per_common_share_usd == first.price_per_common_share_usd
    for each in first.payouts:
        assert second.paid_for(each.item_id) == first.paid_for(each.item_id)


@settings(deadline=None, max_examples=60)
@given(sales(), st.integers(2, 4))
def test_splitting_a_safe_changes_nothing_for_anybody(sale, parts):
    proceeds, company, grants, safes = sale
    split = [
        replace(safe, instrument_id=f"{safe.instrument_id}/{index}", principal_usd=Fraction(safe.principal_usd, parts))
        for safe in safes
        for index in range(parts)
    ]
    first, second = paid(sale), paid((proceeds, company, grants, split))
    assert second.price_per_common_share_usd == first.price_per_common_share_usd
    for safe in safes:
        pieces = sum(second.paid_for(f"{safe.instrument_id}/{index}") for index in range(parts))
        assert pieces == first.paid_for(safe.instrument_id)


@settings(deadline=None, max_examples=60)
@given(sales(), st.integers(1, 10_000_000))
def test_common_stock_is_worth_no_less_in_a_better_sale(sale, more):
    proceeds, *rest = sale
    assert paid((proceeds + more, *rest)).price_per_common_share_usd >= paid(sale).price_per_common_share_usd
