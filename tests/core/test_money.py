"""Money: exact, bounded, of stated places."""

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.errors import Refusal
from marketplace.core.money import (
    ceil_cents,
    ceil_cost,
    parse_ratio,
    render_ratio,
    require_price,
    require_price_per_share,
    require_share,
    require_usd,
    round_cents,
)

FEW = "0." + "0" * 40 + "1"


@pytest.mark.parametrize("text", ["0.01", "1", "1.00", "1E+3", "1000000000000000", "999999999999999.99", "1.0000000"])
def test_dollars_are_whole_cents_up_to_a_thousand_million_million(text):
    require_usd(Decimal(text), "/amount_usd")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("NaN", "not_a_number"),
        ("sNaN", "not_a_number"),
        ("-NaN", "not_a_number"),
        ("Infinity", "not_a_number"),
        ("-Infinity", "not_a_number"),
        ("0", "amount_not_positive"),
        ("0.00", "amount_not_positive"),
        ("-0", "amount_not_positive"),
        ("-0.001", "amount_not_positive"),
        ("-1E+999999", "amount_not_positive"),
        ("1000000000000000.01", "amount_too_large"),
        ("1E+400", "amount_too_large"),
        ("1E+999999", "amount_too_large"),
        ("1E+999999999999999999", "amount_too_large"),
        ("0.001", "amount_too_precise"),
        ("1E-999999", "amount_too_precise"),
        (FEW, "amount_too_precise"),
        ("1." + "0" * 40 + "1", "amount_too_precise"),
        ("123456789012345.6700000000000000000000000001", "amount_too_precise"),
    ],
)
def test_what_is_no_amount_is_refused(text, code):
    with pytest.raises(Refusal) as caught:
        require_usd(Decimal(text), "/amount_usd")
    assert (caught.value.code, caught.value.pointer) == (code, "/amount_usd")


def test_a_number_that_is_too_long_to_be_written_out_is_shown_as_it_is():
    """The two places of dollars were added to the exponent: `1E+400.00 dollars`."""
    with pytest.raises(Refusal) as caught:
        require_usd(Decimal("1E+400"), "/amount_usd")
    assert caught.value.message.startswith("/amount_usd is 1E+400 dollars;")


def test_nothing_is_an_amount_where_it_may_be():
    for text in ("0", "0.00", "0E-999999", "0E+5"):
        require_usd(Decimal(text), "/keep_usd", zero=True)
    with pytest.raises(Refusal) as caught:
        require_usd(Decimal("-0"), "/keep_usd", zero=True)
    assert caught.value.code == "amount_not_positive"


@pytest.mark.parametrize(
    ("require", "least", "most", "too_precise", "too_large"),
    [
        (require_price, "0.000001", "1000000000", "0.0000001", "1000000000.000001"),
        (require_price_per_share, "0.000000000001", "1000000000", "1E-13", "1000000001"),
        (require_share, "0.000000001", "1", "1E-10", "1.000000001"),
    ],
)
def test_prices_and_shares_have_places_and_bounds_of_their_own(require, least, most, too_precise, too_large):
    require(Decimal(least), "/value")
    require(Decimal(most), "/value")
    for text, code in ((too_precise, "amount_too_precise"), (too_large, "amount_too_large")):
        with pytest.raises(Refusal) as caught:
            require(Decimal(text), "/value")
        assert caught.value.code == code


def test_a_share_may_be_nothing_and_a_price_only_where_it_may():
    require_share(Decimal(0), "/share")
    require_price(Decimal(0), "/price", zero=True)
    with pytest.raises(Refusal):
        require_price(Decimal(0), "/price")


decimals = st.one_of(
    st.builds(
        lambda digits, exponent: Decimal(f"{digits}E{exponent}"),
        st.one_of(st.integers(-(10**40), 10**40), st.integers(0, 200)),
        st.integers(-50, 50),
    ),
    st.sampled_from([Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("-0")]),
)


@given(decimals)
def test_any_decimal_is_taken_or_refused_by_its_exact_value(value):
    try:
        require_usd(value, "/amount_usd")
    except Refusal:
        taken = False
    else:
        taken = True
    assert taken == (value.is_finite() and 0 < value <= 10**15 and (Fraction(value) * 100).denominator == 1)


@given(st.integers(1, 10**15 * 100), st.integers(0, 5))
def test_the_context_does_not_change_what_is_taken(cents, zeros):
    amount = Decimal(f"{cents}{'0' * zeros}E-{2 + zeros}")
    with localcontext() as context:
        context.prec = 3
        if cents <= 10**17:
            require_usd(amount, "/amount_usd")


@given(st.fractions())
def test_a_ratio_comes_back_as_it_went(value):
    assert parse_ratio(render_ratio(value)) == value


def test_a_ratio_is_written_with_its_denominator():
    assert render_ratio(Fraction(7, 3)) == "7/3"
    assert render_ratio(Decimal("2.50")) == "5/2"
    assert render_ratio(Decimal(0)) == "0/1"
    assert render_ratio(Fraction(-4)) == "-4/1"


@pytest.mark.parametrize(
    ("exact", "rounded", "up"),
    [
        (Fraction(0), "0.00", "0.00"),
        (Fraction(1, 200), "0.00", "0.01"),
        (Fraction(3, 200), "0.02", "0.02"),
        (Fraction(5, 200), "0.02", "0.03"),
        (Fraction(1, 3), "0.33", "0.34"),
        (Fraction(2, 3), "0.67", "0.67"),
        (Fraction(-1, 3), "-0.33", "-0.33"),
        (Fraction(10**25 + 1, 100), "100000000000000000000000.01", "100000000000000000000000.01"),
        (Fraction(10**40 + 1, 100), "1" + "0" * 38 + ".01", "1" + "0" * 38 + ".01"),
    ],
)
def test_cents_round_half_to_even_and_holds_round_up(exact, rounded, up):
    assert str(round_cents(exact)) == rounded
    assert str(ceil_cents(exact)) == up


@given(st.fractions())
def test_rounding_is_within_half_a_cent_and_a_hold_suffices_by_less_than_one(exact):
    assert abs(Fraction(round_cents(exact)) - exact) <= Fraction(1, 200)
    assert 0 <= Fraction(ceil_cents(exact)) - exact < Fraction(1, 100)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6), st.integers(0, 10**9))
def test_a_cost_is_its_exact_product_rounded_up_to_the_cent(price, count):
    assert str(ceil_cost(price, count)) == str(ceil_cents(Fraction(price) * count))
