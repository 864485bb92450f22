"""What holds for every round, whoever the holders are and in whatever order they are listed."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from marketplace.core.errors import Refusal
from marketplace.equity.model import Capitalization, Holding, Investment, PreferredClass, Safe, SafeTerms
from marketplace.equity.rounds import price_round
from tests.equity.builders import priced, terms

CONVENTIONS = st.sampled_from(["percent_ownership", "dollars_invested", "pre_money_method"])
DEFINITIONS = st.sampled_from(
    ["yc_standard", "existing_fully_diluted", "pre_money_fully_diluted", "outstanding_and_granted", "outstanding"]
)
PROTECTIONS = st.sampled_from([None, "full_ratchet", "weighted_average"])


@st.composite
def companies(draw):
    protection = draw(PROTECTIONS)
    series = PreferredClass(
        "seed",
        draw(st.integers(1, 6)),
        price_protection=protection,
        protection_basis="fully_diluted" if protection == "weighted_average" else None,
    )
    return Capitalization(
        (
            Holding("founders", "common", draw(st.integers(1, 20_000_000))),
            Holding("early", "seed", draw(st.integers(0, 2_000_000))),
        ),
        (series,),
        options_granted=draw(st.integers(0, 1_000_000)),
        options_promised=draw(st.integers(0, 300_000)),
        options_available=draw(st.integers(0, 1_000_000)),
    )


@st.composite
def safes(draw):
    count = draw(st.integers(0, 5))
    found = []
    for index in range(count):
        cap = draw(st.none() | st.integers(3_000_000, 30_000_000))
        discount = draw(st.none() | st.integers(1, 40).map(lambda percent: Fraction(percent, 100)))
        timing = draw(st.sampled_from(["post_money", "pre_money"]))
        amount = draw(st.integers(1, 600_000))
        found.append(Safe(f"s{index}", f"h{index}", amount, SafeTerms(timing, cap, discount)))
    return found


@st.composite
def round_terms(draw):
    pool = draw(st.none() | st.integers(0, 20).map(lambda percent: Fraction(percent, 100)))
    return terms(
        pre_money_usd=draw(st.integers(4_000_000, 60_000_000)),
        investments=tuple(
            Investment(f"n{index}", draw(st.integers(1, 8_000_000))) for index in range(draw(st.integers(1, 3)))
        ),
        pool_post_money=pool,
        pool_timing=draw(st.sampled_from(["pre_money", "post_money"])),
        pricing_convention=draw(CONVENTIONS),
        capitalization_definition=draw(DEFINITIONS),
        share_rounding=draw(st.sampled_from(["floor", "nearest", "ceiling"])),
    )


def solved(company, instruments, stated):
    """Price a round and have it checked; what the engine refuses as more than the whole company is no example here."""
    try:
        return priced(company, instruments, stated)
    except Refusal as refusal:
        if refusal.code == "stack_exceeds_company":
            reject()
        raise


@settings(deadline=None, max_examples=60)
@given(companies(), safes(), round_terms(), st.randoms(use_true_random=False))
def test_the_order_of_the_instruments_changes_nothing(company, instruments, stated, random):
    first = solved(company, instruments, stated)
    shuffled = list(instruments)
    random.shuffle(shuffled)
    second = solved(company, shuffled, stated)
    assert second.price_usd == first.price_usd
    assert second.fully_diluted_exact == first.fully_diluted_exact
    for each in first.conversions:
        other = second.conversion(each.instrument_id)
        assert (other.shares_exact, other.branch, other.shares) == (each.shares_exact, each.branch, each.shares)


@settings(deadline=None, max_examples=60)
@given(companies(), safes(), round_terms(), st.integers(2, 5))
def test_splitting_an_instrument_between_holders_changes_nobody_elses_shares(company, instruments, stated, parts):
    assume(instruments)
    first = solved(company, instruments, stated)
    whole = instruments[0]
    split = [
        replace(whole, instrument_id=f"part {index}", principal_usd=Fraction(whole.principal_usd, parts))
        for index in range(parts)
    ]
    second = solved(company, [*split, *instruments[1:]], stated)
    assert second.price_usd == first.price_usd
    pieces = [second.conversion(f"part {index}").shares_exact for index in range(parts)]
    assert pieces == [first.conversions[0].shares_exact / parts] * parts


@settings(deadline=None, max_examples=60)
@given(companies(), safes(), round_terms(), st.lists(st.integers(1, 300_000), min_size=2, max_size=6))
def test_tranches_are_one_instrument_and_are_rounded_once(company, instruments, stated, amounts):
    drawn = SafeTerms("post_money", 8_000_000, Fraction(1, 5))
    tranches = [Safe("drawn", "provider", amount, drawn) for amount in amounts]
    apart = solved(company, [*tranches, *instruments], stated)
    together = solved(company, [Safe("drawn", "provider", sum(amounts), drawn), *instruments], stated)
    one, other = apart.conversion("drawn"), together.conversion("drawn")
    assert (one.shares_exact, one.shares, one.branch) == (other.shares_exact, other.shares, other.branch)
    assert sum(one.tranche_shares) == one.shares
    assert len(one.tranche_shares) == len(amounts)


@settings(deadline=None, max_examples=60)
@given(companies(), safes(), round_terms())
def test_rows_sum_to_the_total_and_no_row_is_off_by_a_share(company, instruments, stated):
    result = solved(company, instruments, stated)
    rows = [*result.conversions, *result.new_money]
    adjusted = sum((each.as_converted_after - each.as_converted_before for each in result.adjustments), Fraction(0))
    exact = company.fully_diluted + sum(each.shares_exact for each in rows) + result.pool_increase_exact + adjusted
    assert exact == result.fully_diluted_exact
    whole = int(company.fully_diluted + adjusted) + sum(each.shares for each in rows) + result.pool_increase
    assert whole == result.fully_diluted
    assert all(abs(each.shares - each.shares_exact) < 1 for each in rows)


@settings(deadline=None, max_examples=60)
@given(companies(), safes(), round_terms())
def test_every_instrument_takes_its_cheapest_price(company, instruments, stated):
    result = solved(company, instruments, stated)
    for each in result.conversions:
        assert each.price_usd == min(alternative.price_usd for alternative in each.alternatives)
        assert each.price_usd <= result.price_usd
        assert each.shares_exact * each.price_usd == each.amount_usd


@settings(deadline=None, max_examples=40)
@given(companies(), safes(), round_terms())
def test_a_target_pool_is_met_exactly_or_was_there_already(company, instruments, stated):
    assume(stated.pool_post_money is not None)
    result = solved(company, instruments, stated)
    pool = company.options_available + result.pool_increase_exact
    target = stated.pool_post_money * result.fully_diluted_exact
    assert pool == target if result.pool_increase_exact else pool >= target


@settings(deadline=None, max_examples=40)
@given(companies(), safes(), round_terms())
def test_doubling_every_share_halves_the_price_and_moves_no_ownership(company, instruments, stated):
    doubled = Capitalization(
        tuple(replace(holding, shares=2 * holding.shares) for holding in company.holdings),
        tuple(replace(series, issue_price_usd=Fraction(series.issue_price_usd, 2)) for series in company.preferred),
        options_granted=2 * company.options_granted,
        options_promised=2 * company.options_promised,
        options_available=2 * company.options_available,
    )
    first, second = solved(company, instruments, stated), solved(doubled, instruments, stated)
    assert second.price_usd * 2 == first.price_usd
    assert [each.shares_exact for each in second.conversions] == [2 * each.shares_exact for each in first.conversions]


@pytest.mark.parametrize("rounding", ["floor_after_price", "nearest_after_price", "floor_fixed_point"])
@settings(deadline=None, max_examples=30)
@given(companies(), safes(), round_terms())
def test_other_rounding_policies_keep_the_rows_summing(rounding, company, instruments, stated):
    chosen = replace(stated, share_rounding=rounding, pricing_convention="percent_ownership")
    try:
        result = price_round(company, instruments, chosen)
    except Refusal as refusal:
        if refusal.code in {"stack_exceeds_company", "price_rounds_to_zero", "rounding_does_not_settle"}:
            reject()
        raise
    rows = sum(each.shares for each in (*result.conversions, *result.new_money)) + result.pool_increase
    existing = result.fully_diluted - rows
    assert company.fully_diluted <= existing
    assert all(each.shares >= 0 for each in result.conversions)
