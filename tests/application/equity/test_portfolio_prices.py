"""The prices by class that a reader states for a portfolio."""

from decimal import Decimal

import pytest

from marketplace.application.equity.portfolios import parse_prices
from marketplace.core.errors import Refusal


def test_prices_are_stated_by_class():
    assert parse_prices("H100_SXM:2.99, A100:1.10", "/retail") == {"H100_SXM": Decimal("2.99"), "A100": Decimal("1.10")}
    assert parse_prices(None, "/retail") == parse_prices("", "/retail") == {}
    many = ",".join(f"C{number}:1" for number in range(60))
    assert len(parse_prices(many, "/retail")) == 60, "no price is left out"


@pytest.mark.parametrize("text", ["H100_SXM", ":2.99", "H100_SXM:cheap", "H100_SXM:2.99,", "A100:1.10,A100:1.20"])
def test_a_part_that_is_no_price_of_its_own_class_is_refused(text):
    with pytest.raises(Refusal) as caught:
        parse_prices(text, "/retail")
    assert (caught.value.code, caught.value.pointer) == ("request_invalid", "/retail")
