"""Standing rules of every clearing, on random books, by the independent verifier."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.clearing.engine import clear
from marketplace.clearing.verify.verifier import find_violations
from tests.clearing.books import market_book, random_book


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 14), st.integers(1, 3), st.booleans())
def test_every_rule_holds_on_random_books(seed, orders, pools, mandates):
    book = random_book(seed, orders=orders, pools=pools, mandates=mandates)
    assert find_violations(book, clear(book, seed=seed)) == ()


@pytest.mark.parametrize("seed", range(2))
def test_every_rule_holds_on_a_market(seed):
    book = market_book(seed)
    result = clear(book, seed=seed)
    assert find_violations(book, result) == ()
    assert clear(book, seed=seed) == result
