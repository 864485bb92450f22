"""A small book is decided by programs about every order; where they prove nothing, dives and rounds go on."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.markets import write_synthetic
from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.grid import compile_book
from marketplace.clearing.engine import clear
from marketplace.clearing.program.integer import Work, solve_program
from marketplace.clearing.program.program import CandidateTable, RowTable, build_program, list_columns
from marketplace.clearing.search import neighbourhood
from marketplace.clearing.verify.verifier import find_violations
from marketplace.cli.instance import parse_instance_dir
from marketplace.runtime.auctions.forking import choose_workers

EASY, COSTLY = 10, 18
"""Seeds of markets: one whose optimum prices can support, and one whose optimum they cannot."""


@pytest.fixture(scope="module")
def markets(tmp_path_factory):
    """Return markets too large to be solved exactly and small enough for programs about all of them."""
    folder = tmp_path_factory.mktemp("small")
    return {seed: parse_instance_dir(write_synthetic(folder / str(seed), seed, 200, 10)) for seed in (EASY, COSTLY)}


@pytest.fixture
def dives(monkeypatch):
    """Count the dives of a search."""
    found = []
    dive = neighbourhood.dive
    monkeypatch.setattr(neighbourhood, "dive", lambda root: found.append(root) or dive(root))
    return found


def give_up(monkeypatch, name, **limits):
    """Let programs of one kind be given up at once."""
    monkeypatch.setattr(neighbourhood, name, replace(getattr(neighbourhood, name), **limits))


def test_what_a_program_about_every_order_proves_needs_no_dive(markets, dives):
    certificate = clear(markets[EASY], seed=1).certificate
    assert (certificate.iterations, certificate.price_loss_kind) == (0, "optimum")
    assert dives == []


def test_where_the_optimum_has_no_prices_dives_and_rounds_go_on(markets, dives):
    certificate = clear(markets[COSTLY], seed=1).certificate
    assert certificate.iterations > 0
    assert certificate.price_loss_kind == "optimum"
    assert len(dives) == 1


def test_a_dive_of_less_welfare_is_left(markets, monkeypatch):
    monkeypatch.setattr(neighbourhood, "dive", lambda root: Allocation(root.grid))
    assert clear(markets[COSTLY], seed=1).certificate.gap < 0.1


@pytest.mark.parametrize("seed", [EASY, COSTLY])
def test_where_the_program_of_all_orders_is_given_up_dives_and_rounds_go_on(markets, monkeypatch, dives, seed):
    give_up(monkeypatch, "WORK_OF_WHOLE", asks=0)
    book = markets[seed]
    clearing = clear(book, seed=1)
    assert clearing.certificate.iterations >= 2
    assert len(dives) == 1
    assert find_violations(book, clearing) == ()
    assert clear(book, seed=1, workers=choose_workers()) == clearing


def test_a_program_that_takes_too_long_is_given_up(markets):
    grid = compile_book(markets[EASY])
    candidates, table, columns = CandidateTable(grid), RowTable(grid), list_columns(grid)
    model = build_program(grid, candidates, table, columns, np.zeros(table.rows), whole=True).model
    nothing = np.zeros(len(columns.candidate))
    done = solve_program(model, nothing, Work(nodes=400, asks=10_000, gap=2e-4))
    early = solve_program(model, nothing, Work(nodes=400, asks=3, gap=2e-4))
    assert done.bound <= done.worth * (1 + 2e-4)
    assert early.bound > early.worth * (1 + 2e-4)
    assert early.bound >= done.worth
