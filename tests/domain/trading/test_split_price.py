"""How a price is split into cash and principal: near the offer's proportions, within the offer, and not telling it."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.order import ClassOffer
from marketplace.domain.trading.order_terms import compute_value, split_price

AMOUNTS = st.integers(1, 10**8).map(lambda units: Decimal(units) / 10**4)
CREDITS = st.integers(1, 100).map(lambda percent: Decimal(percent) / 100)
PARTS = st.integers(1, 10**4).map(lambda units: Fraction(units, 10**4))


def build_offer(cash, equity):
    return ClassOffer(
        gpu_class="H100_SXM", cash_usd_per_gpu_hour=Decimal(cash), equity_usd_per_gpu_hour=Decimal(equity)
    )


@given(cash=AMOUNTS, equity=AMOUNTS, credit=CREDITS, part=PARTS)
def test_both_parts_stay_within_the_offer_and_make_up_the_price(cash, equity, credit, part):
    offer = build_offer(cash, equity)
    value = Fraction(compute_value(offer, credit))
    price = value * part
    paid, owed = (share * price for share in split_price(price, offer, credit))
    assert 0 < paid <= Fraction(cash)
    assert 0 < owed <= Fraction(equity)
    assert paid + Fraction(credit) * owed == price
    assert abs(paid - price * Fraction(cash) / value) <= min(Fraction(1, 50), price / 5)


@pytest.mark.parametrize(
    ("cash", "equity", "price"), [("4.37", "3.01", "3.99"), ("5.17", "2.29", "3.10"), ("3.25", "6.10", "3.99")]
)
def test_the_split_of_a_price_does_not_tell_the_offer(cash, equity, price):
    """A stranger took the shares' fraction in lowest terms for the offer's own cents; now thousands fit as well."""
    offer, price = build_offer(cash, equity), Fraction(price)
    share, owed = split_price(price, offer, Decimal(1))
    assert (share * price * 100).denominator == 1
    assert (1 - share) / share != Fraction(equity) / Fraction(cash)
    ratio = Fraction(equity) / Fraction(cash)
    near = ((cents, round(cents * ratio) + more) for cents in range(50, 1_000) for more in range(-3, 4))
    others = [build_offer(Decimal(one) / 100, Decimal(other) / 100) for one, other in near if one + other > price * 100]
    fitting = [other for other in others if split_price(price, other, Decimal(1)) == (share, owed)]
    assert len(fitting) > 500


@pytest.mark.parametrize(("cash", "equity", "credit"), [("3", "0", "1"), ("0", "3", "1"), ("3", "2", "0")])
def test_an_offer_of_one_part_pays_in_that_alone(cash, equity, credit):
    offer = build_offer(cash, equity)
    value = Fraction(compute_value(offer, Decimal(credit)))
    exact = Fraction(offer.cash_usd_per_gpu_hour) / value, Fraction(offer.equity_usd_per_gpu_hour) / value
    assert split_price(value / 3, offer, Decimal(credit)) == exact


def test_a_price_of_the_whole_offer_pays_the_offer():
    offer = build_offer("4.37", "3.01")
    assert split_price(Fraction("7.38"), offer, Decimal(1)) == (Fraction(437, 738), Fraction(301, 738))
