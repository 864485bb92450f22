"""Published figures that are wrong; the engine must give the right ones instead."""

from fractions import Fraction

from marketplace.equity.model import Capitalization, Holding, PreferredClass
from marketplace.equity.participation import investment_for_target_usd
from marketplace.equity.price_protection import adjusted_conversion_price
from marketplace.equity.rates import periodic_rates
from marketplace.equity.warrants import net_exercise_shares
from tests.equity.builders import company, post_money, priced, terms
from tests.equity.vector_exits import exit_of


def test_five_on_twenty_before_the_money_dilutes_by_a_fifth_and_not_by_a_quarter():
    result = priced(company(), [], terms(pre_money_usd=20_000_000, new_money_usd=5_000_000))
    assert result.new_money[0].shares_exact / result.fully_diluted_exact == Fraction(1, 5)
    assert investment_for_target_usd(0, Fraction(1, 5), 20_000_000, 5_000_000) == 5_000_000


def test_warrants_worth_ten_thousand_give_333_shares_of_thirty_and_not_a_thousand():
    assert net_exercise_shares(2000, 25, 30) == Fraction(10_000, 30)


def test_a_post_money_cap_counts_its_own_shares():
    result = priced(company(common=6_000_000), [post_money("s", 250_000, 10_000_000)], terms())
    assert result.conversions[0].shares_exact == Fraction(6_000_000 * 25, 975)
    assert result.conversions[0].shares == 153_846


def test_consideration_is_shares_times_price():
    price = adjusted_conversion_price(Fraction(2), Fraction(2_000_000), Fraction(2_000_000), Fraction(6_000_000))
    assert price / 2 == Fraction(7, 8)
    assert 2 / price == Fraction(8, 7)


def test_shares_after_adjustment_follow_from_the_printed_prices():
    assert Fraction(2_500_000) * Fraction("13.75") / Fraction("10.1875") == Fraction(2_500_000 * 220, 163)
    company_before = Capitalization(
        (Holding("a", "a", 2_500_000),),
        (PreferredClass("a", Fraction("13.75"), conversion_price_usd=Fraction("10.1875")),),
    )
    assert int(company_before.outstanding_as_converted) == 3_374_233


def test_non_participating_stock_does_not_share_what_is_left():
    classes = [
        {"id": "common", "kind": "common", "shares": 8_000_000},
        {"id": "A", "kind": "np", "shares": 1_000_000, "pref": 3_000_000, "rank": 1},
        {"id": "B", "kind": "np", "shares": 1_000_000, "pref": 5_000_000, "rank": 1},
    ]
    result = exit_of(classes, 15_000_000)
    assert [result.paid_for(name) for name in ("common", "A", "B")] == [7_000_000, 3_000_000, 5_000_000]


def test_a_cap_that_is_not_reached_changes_nothing():
    participating = {"id": "A", "kind": "part", "shares": 60, "pref": 50_000_000, "rank": 1}
    common = {"id": "common", "kind": "common", "shares": 40}
    capped = exit_of([common, {**participating, "cap": 150_000_000}], 100_000_000)
    uncapped = exit_of([common, {**participating, "cap": None}], 100_000_000)
    assert capped.paid_for("A") == uncapped.paid_for("A") == 80_000_000


def test_five_times_the_money_is_a_gain_of_four():
    gain = periodic_rates([(Fraction(0), -108_000), (Fraction(1), 540_000)]).rate
    assert gain == 4
