"""What uniform prices cost: the welfare of a clearing against the optimum that knows no prices, over small markets."""

import statistics

import numpy as np
import pytest

from benchmarks.markets import write_synthetic
from marketplace.clearing.engine import clear
from marketplace.clearing.grid import compile_book
from marketplace.clearing.program import RowTable, WayTable, build_program, list_columns, new_solver
from marketplace.cli.instance import parse_instance_dir

SEEDS = range(601, 621)
LOSS_MEDIAN_MAX = 0.001
LOSS_MAX = 0.02


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("markets")
    return [_lose(parse_instance_dir(write_synthetic(folder / str(seed), seed, 50, 8))) for seed in SEEDS]


def _lose(book):
    """Return the share of the unpriced optimum, which the solver proves, that the clearing does not reach."""
    grid = compile_book(book)
    ways, table, columns = WayTable(grid), RowTable(grid), list_columns(grid)
    solver = new_solver(1)
    solver.setOptionValue("mip_rel_gap", 0.0)
    solver.passModel(build_program(grid, ways, table, columns, np.zeros(table.rows), whole=True).model)
    solver.run()
    optimum = solver.getInfo().objective_function_value
    return 1 - float(clear(book, seed=1).certificate.welfare_usd) / optimum


def test_prices_cost_at_most_a_thousandth_of_the_optimum_in_the_median(losses):
    assert len(losses) == len(SEEDS)
    assert statistics.median(losses) <= LOSS_MEDIAN_MAX


def test_prices_never_cost_more_than_a_few_orders_and_never_gain(losses):
    assert max(losses) <= LOSS_MAX
    assert min(losses) >= -1e-9
