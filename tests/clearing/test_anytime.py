"""A shorter budget gives an earlier answer of the same search, with its gap, and more never gives less."""

import pytest

from marketplace.clearing.engine import clear
from marketplace.clearing.verify.verifier import find_violations
from tests.clearing.books import book, market_book, order

BUDGETS = (0, 1, 2, 4)


@pytest.mark.parametrize("seed", [3, 5])
def test_more_rounds_never_give_less(seed):
    made = market_book(seed, orders=120, pools=12)
    results = [clear(made, seed=1, iterations=rounds) for rounds in BUDGETS]
    welfares = [result.certificate.welfare_usd for result in results]
    assert welfares == sorted(welfares)
    for result, rounds in zip(results, BUDGETS, strict=True):
        certificate = result.certificate
        assert certificate.iterations <= rounds
        assert certificate.lp_bound_usd * (1 - certificate.gap) <= certificate.welfare_usd <= certificate.lp_bound_usd
        assert find_violations(made, result) == ()


def test_the_same_budget_gives_the_same_certificate():
    made = market_book(4, orders=120, pools=12)
    assert clear(made, seed=1, iterations=2) == clear(made, seed=1, iterations=2)


def test_a_thousand_identical_orders_of_wide_windows_are_decided_within_the_work_that_is_allowed():
    made = book(*(order(f"o{at}", 3, 4, (0, 6)) for at in range(1_000)))
    result = clear(made, seed=1)
    assert sum(decision.match is not None for decision in result.decisions) == 2
    assert find_violations(made, result) == ()
