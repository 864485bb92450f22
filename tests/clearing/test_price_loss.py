"""What uniform prices cost: the welfare of a clearing against the optimum that knows no prices, over small markets.

The certificate states it. Here the optimum is solved for anew, cold and to the end, and compared.
"""

import statistics
from decimal import Decimal

import numpy as np
import pytest

from benchmarks.markets import write_synthetic
from marketplace.clearing.arrays.grid import compile_book
from marketplace.clearing.engine import clear
from marketplace.clearing.program.program import CandidateTable, RowTable, build_program, list_columns, new_solver
from marketplace.clearing.verify.verifier import verify
from marketplace.cli.instance import parse_instance_dir
from tests.clearing.books import random_book
from tests.clearing.ruled_books import random_ruled_book

SEEDS = range(601, 621)
LOSS_MEDIAN_MAX = 0.001
LOSS_MAX = 0.02
STEP = 1e-6
"""The certificate's share is rounded up to six places."""
SOLVER_SHARE = 1e-8
GAP_OF_WHOLE = 2e-4
COSTLY = (*(random_book(seed, mandates=True) for seed in (54, 80, 140)), random_ruled_book(63))
"""Books in which prices cost something, and less than the bound's gap says."""


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    """Return per market the loss that HiGHS proves and the certificate."""
    folder = tmp_path_factory.mktemp("markets")
    return [_compare(parse_instance_dir(write_synthetic(folder / str(seed), seed, 50, 8))) for seed in SEEDS]


@pytest.fixture(scope="module", params=[18, 5, 11])
def wider(request, tmp_path_factory):
    """Return a market that is too large to be solved exactly and small enough for a program about all of it."""
    folder = tmp_path_factory.mktemp("wider") / str(request.param)
    return parse_instance_dir(write_synthetic(folder, request.param, 200, 10))


def _compare(book):
    certificate = clear(book, seed=1).certificate
    return _lose(book, certificate), certificate


def _lose(book, certificate):
    """Return the share of the unpriced optimum, which the solver proves, that the clearing does not reach."""
    grid = compile_book(book)
    candidates, table, columns = CandidateTable(grid), RowTable(grid), list_columns(grid)
    solver = new_solver(1)
    solver.setOptionValue("mip_rel_gap", 0.0)
    solver.passModel(build_program(grid, candidates, table, columns, np.zeros(table.rows), whole=True).model)
    solver.run()
    assert solver.modelStatusToString(solver.getModelStatus()) == "Optimal"
    return 1 - float(certificate.welfare_usd) / solver.getInfo().objective_function_value


def test_prices_cost_at_most_a_thousandth_of_the_optimum_in_the_median(losses):
    assert len(losses) == len(SEEDS)
    assert statistics.median(loss for loss, _ in losses) <= LOSS_MEDIAN_MAX


def test_prices_never_cost_more_than_a_few_orders_and_never_gain(losses):
    assert max(loss for loss, _ in losses) <= LOSS_MAX
    assert min(loss for loss, _ in losses) >= -1e-9


def test_the_certificates_of_small_markets_state_the_loss_against_the_proven_optimum(losses):
    for loss, certificate in losses:
        assert certificate.price_loss_kind == "optimum"
        assert loss - SOLVER_SHARE <= certificate.price_loss_max <= loss + STEP + SOLVER_SHARE
    assert statistics.median(certificate.price_loss_max for _, certificate in losses) <= Decimal("0.001")


@pytest.mark.parametrize("costly", COSTLY, ids=range(len(COSTLY)))
def test_where_prices_cost_something_the_certificate_states_how_much_and_not_the_gap(costly):
    loss, certificate = _compare(costly)
    assert loss > STEP
    assert certificate.price_loss_kind == "optimum"
    assert loss - SOLVER_SHARE <= certificate.price_loss_max <= loss + STEP + SOLVER_SHARE
    assert certificate.price_loss_max < certificate.gap


def test_a_market_solved_by_one_program_about_all_of_it_states_the_loss_within_its_gap(wider):
    clearing = clear(wider, seed=1)
    certificate = clearing.certificate
    loss = _lose(wider, certificate)
    assert certificate.iterations > 0
    assert certificate.price_loss_kind == "optimum"
    assert loss - SOLVER_SHARE <= certificate.price_loss_max <= loss + GAP_OF_WHOLE + STEP
    assert certificate.price_loss_max < certificate.gap
    verify(wider, clearing)
    assert clear(wider, seed=1).certificate == certificate


def test_where_no_optimum_is_proven_the_loss_is_the_bounds_gap(wider):
    clearing = clear(wider, seed=1, iterations=0)
    certificate = clearing.certificate
    assert (certificate.price_loss_max, certificate.price_loss_kind) == (certificate.gap, "lp_bound")
    assert _lose(wider, certificate) <= certificate.price_loss_max
    verify(wider, clearing)


def test_a_book_of_which_nothing_can_be_sold_loses_nothing():
    certificate = clear(random_book(0, orders=0), seed=1).certificate
    assert (certificate.price_loss_max, certificate.price_loss_kind) == (0, "optimum")
