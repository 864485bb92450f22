"""Rounds worked by hand, beyond the published examples."""

from copy import deepcopy
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from marketplace.equity.checker import verify
from marketplace.equity.model import Capitalization, Holding, Note, NoteTerms, PreferredClass, Safe, SafeTerms
from tests.equity.builders import company, post_money, pre_money, priced, terms


def test_the_new_money_owns_its_part_whatever_converts():
    safes = [post_money("a", 1_000_000, 10_000_000), post_money("b", 500_000, None, Fraction(1, 5))]
    result = priced(company(), safes, terms(pool_post_money=Fraction(1, 10)))
    assert result.new_money[0].shares_exact / result.fully_diluted_exact == Fraction(1, 5)


@pytest.mark.parametrize(
    ("convention", "price"),
    [
        ("pre_money_method", Fraction(8)),
        ("percent_ownership", Fraction(46, 7)),
        ("dollars_invested", Fraction(53, 7)),
    ],
)
def test_one_round_has_three_prices_under_three_conventions(convention, price):
    stated = terms(pre_money_usd=8_000_000, new_money_usd=2_000_000, pricing_convention=convention)
    result = priced(company(common=1_000_000), [post_money("note", 1_000_000, None, Fraction(3, 10))], stated)
    assert result.price_usd == price
    assert result.conversions[0].price_usd == price * Fraction(7, 10)


def test_a_pool_after_the_money_dilutes_the_new_money_too():
    inside = priced(company(), [], terms(pool_post_money=Fraction(1, 10), pool_timing="pre_money"))
    after = priced(company(), [], terms(pool_post_money=Fraction(1, 10), pool_timing="post_money"))
    assert inside.new_money[0].shares_exact / inside.fully_diluted_exact == Fraction(1, 5)
    assert after.new_money[0].shares_exact / after.fully_diluted_exact == Fraction(18, 100)
    assert after.price_usd == Fraction(12_000_000, 8_000_000)
    assert after.pool_increase_exact / after.fully_diluted_exact == Fraction(1, 10)


def test_a_pool_that_is_large_enough_is_left_alone():
    before = company(options_available=3_000_000)
    result = priced(before, [], terms(pool_post_money=Fraction(1, 10)))
    assert result.pool_increase == 0
    assert result.price_usd == Fraction(12, 11)


def test_a_cap_and_a_discount_take_whichever_is_cheaper():
    def branch(cap):
        return priced(company(), [post_money("s", 100_000, cap, Fraction(1, 5))], terms()).conversions[0].branch

    assert branch(9_000_000) == "cap"
    assert branch(11_000_000) == "discount"


def test_ratchet_and_round_are_solved_together():
    """The ratchet gives the series more shares, which lowers the price, which gives it more again."""
    series = PreferredClass("a", 3, price_protection="full_ratchet")
    before = Capitalization((Holding("f", "common", 8_000_000), Holding("x", "a", 1_000_000)), (series,))
    result = priced(before, [], terms(pre_money_usd=9_000_000, new_money_usd=3_000_000))
    adjusted = result.adjustments[0]
    assert result.price_usd == Fraction(3, 4)
    assert adjusted.conversion_price_after_usd == result.price_usd
    assert adjusted.as_converted_after == 4_000_000
    assert result.price_usd * (8_000_000 + 4_000_000) == 9_000_000


def test_a_note_converts_with_its_interest_and_a_safe_counts_the_notes_shares():
    stated = NoteTerms(Fraction(1, 10), "simple", "actual_365", date(2025, 1, 1), None, 5_000_000)
    note = Note("n", "lender", 500_000, stated)
    result = priced(
        company(), [post_money("s", 1_000_000, 10_000_000)], terms(closing_date=date(2026, 1, 1)), notes=[note]
    )
    converted = result.conversion("n")
    assert converted.amount_usd == 550_000
    assert converted.shares_exact == 880_000
    assert result.conversion("s").shares_exact == Fraction(8_880_000, 9)


def test_a_fixed_part_is_measured_after_all_conversions_and_before_the_round():
    fixed = Safe("yc", "accelerator", 125_000, SafeTerms("post_money", ownership=Fraction(7, 100)))
    result = priced(company(), [fixed, post_money("s", 1_000_000, 10_000_000)], terms())
    assert result.conversion("yc").shares_exact / result.company_capitalization_exact == Fraction(7, 100)
    assert result.conversion("s").shares_exact / result.company_capitalization_exact == Fraction(1, 10)


def test_shares_of_one_instrument_in_two_hands_are_rounded_in_each():
    terms_of = SafeTerms("post_money", 9_999_999)
    safes = [Safe("s", "one", 333_333, terms_of), Safe("s", "two", 111_111, terms_of), Safe("s", "one", 5, terms_of)]
    result = priced(company(), safes, terms())
    assert [(each.holder_id, len(each.tranche_shares)) for each in result.conversions] == [("one", 2), ("two", 1)]


def test_two_hundred_tranches_are_priced_at_once():
    drawn = SafeTerms("post_money", 25_000_000, Fraction(1, 5))
    tranches = [Safe("drawn", "provider", 1_000 + index, drawn) for index in range(200)]
    result = priced(company(), tranches, terms())
    assert sum(result.conversions[0].tranche_shares) == result.conversions[0].shares


@pytest.mark.parametrize(
    ("safe", "pre_money", "shares", "price", "converted"),
    [
        (pre_money("cap", 2_500_000, 10_000_000), 20_000_000, 9_500_000, "1.0526", 2_375_071),
        (pre_money("discount", 20_000, None, Fraction(1, 5)), 1_900_000, 10_000_000, "0.1520", 131_578),
    ],
)
def test_a_cap_and_a_discount_are_rounded_by_one_policy(safe, pre_money, shares, price, converted):
    """Both tables are published; two places, as the round's price has here, would give 0.15 and 133,333."""
    stated = terms(
        pre_money_usd=pre_money,
        pricing_convention="pre_money_method",
        capitalization_definition="existing_fully_diluted",
        share_rounding="floor_after_price",
        price_places=2,
        price_rounding="half_up",
        conversion_price_places=4,
    )
    [conversion] = priced(company(shares), [safe], stated).conversions
    assert (str(conversion.price_usd_rounded), conversion.shares) == (price, converted)


def test_a_cap_that_counts_all_conversions_is_rounded_like_any_other():
    stated = terms(
        share_rounding="floor_after_price", price_places=4, conversion_price_places=4, price_rounding="half_up"
    )
    [cap] = priced(company(8_500_000), [post_money("cap", 1_500_000, 10_000_000)], stated).conversions
    assert cap.price_usd == 1
    [cap] = priced(company(9_000_000), [post_money("cap", 500_000, 10_000_000)], stated).conversions
    assert (cap.price_usd_rounded, cap.shares) == (Decimal("1.0556"), 473_664)
    assert cap.shares_exact == Fraction(9_000_000, 19)


def test_the_checker_recomputes_shares_at_a_rounded_conversion_price():
    stated = terms(share_rounding="floor_after_price", conversion_price_places=4)
    certificate = priced(company(9_000_000), [post_money("cap", 500_000, 10_000_000)], stated).certificate
    told = deepcopy(certificate)
    told["instruments"][0]["shares"] += 1
    told["result"]["fully_diluted"] += 1
    assert [problem for problem in verify(told) if "whole shares of cap" in problem]
