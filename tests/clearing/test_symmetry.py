"""Orders that are alike in everything cost no more than as many of them as could run, and are told the same."""

from dataclasses import replace

import pytest

from marketplace.clearing.arrays.grid import compile_book
from marketplace.clearing.engine import clear
from marketplace.clearing.program.program import CandidateTable, list_columns
from marketplace.clearing.program.symmetry import drop_symmetric, list_symmetric
from marketplace.clearing.verify.verifier import find_violations
from tests.clearing.books import book, order, random_book


def test_orders_that_differ_in_anything_are_not_symmetric():
    made = book(
        order("a", 2, 3, (0, 5), value="4"),
        order("b", 2, 3, (0, 5), value="4"),
        order("c", 2, 3, (0, 6), value="4"),
        order("d", 1, 3, (0, 5), value="4"),
        order("e", 2, 3, (0, 5), value="4.01"),
    )
    assert list_symmetric(compile_book(made)) == [0, 0, 2, 3, 4]


def test_as_many_symmetric_orders_are_kept_as_could_run_and_two_more():
    grid = compile_book(book(*(order(f"o{at}", 3, 4, (0, 6)) for at in range(50)), lots=(("a", 4, 0, 10, "1"),)))
    candidates, columns = CandidateTable(grid), list_columns(grid)
    kept = drop_symmetric(grid, candidates, columns)
    assert sorted(set(candidates.order[kept.candidate].tolist())) == list(range(4 * 10 // (3 * 4) + 2))


@pytest.mark.parametrize("seed", range(4))
def test_a_book_whose_orders_are_all_repeated_is_cleared_as_well_as_it_can_be(seed):
    few = random_book(seed, orders=6, pools=2, periods=12, mandates=False)
    orders = tuple(
        replace(request, order_id=f"{request.order_id}_{copy}") for request in few.orders for copy in range(30)
    )
    many = replace(few, orders=orders)
    result = clear(many, seed=1)
    assert find_violations(many, result) == ()
    alone = clear(few, seed=1)
    assert result.certificate.welfare_usd >= alone.certificate.welfare_usd
    losers = {
        decision.order_id.rpartition("_")[0]: replace(decision, order_id="")
        for decision in result.decisions
        if decision.match is None
    }
    assert all(
        replace(decision, order_id="") == losers[decision.order_id.rpartition("_")[0]]
        for decision in result.decisions
        if decision.match is None
    )
