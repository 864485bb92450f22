"""A small book is decided by programs about every order; where they prove nothing, dives and rounds go on."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.markets import write_synthetic
from marketplace.clearing.arrays.grid import compile_book
from marketplace.clearing.engine import clear
from marketplace.clearing.program.integer import Work, solve_program
from marketplace.clearing.program.program import CandidateTable, RowTable, build_program, list_columns
from marketplace.clearing.search import neighbourhood
from marketplace.clearing.search.neighbourhood import Neighbourhoods, SolverContext
from marketplace.clearing.verify.verifier import find_violations
from marketplace.cli.instance import parse_instance_dir
from marketplace.runtime.auctions.forking import choose_workers

EASY, COSTLY = 10, 4
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
    dive = SolverContext.dive
    monkeypatch.setattr(SolverContext, "dive", lambda context, power: found.append(power) or dive(context, power))
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
    assert len(dives) == len(set(dives)) > 1


def test_a_dive_of_less_welfare_is_left(markets, monkeypatch):
    monkeypatch.setattr(SolverContext, "dive", lambda context, _: [None] * len(context.grid.order_rows))
    assert clear(markets[COSTLY], seed=1).certificate.gap < 0.1


@pytest.mark.parametrize("seed", [EASY, COSTLY])
def test_where_the_lean_program_is_given_up_that_of_all_placements_goes_on_beside_the_rounds(
    markets, monkeypatch, seed
):
    give_up(monkeypatch, "WORK_OF_LEAN", asks=0)
    book = markets[seed]
    with monkeypatch.context() as watched:
        ended = []
        end = Neighbourhoods.end_whole
        watched.setattr(
            Neighbourhoods, "end_whole", lambda self, whole: ended.append(whole.task.proves) or end(self, whole)
        )
        clearing = clear(book, seed=1)
    assert ended == [False, True]
    assert clearing.certificate.iterations >= 2
    assert clearing.certificate.price_loss_kind == "optimum"
    assert find_violations(book, clearing) == ()
    assert clear(book, seed=1, workers=choose_workers()) == clearing


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_program_of_all_placements_is_waited_for_whatever_the_number_of_rounds(markets, monkeypatch, rounds):
    give_up(monkeypatch, "WORK_OF_LEAN", asks=0)
    certificate = clear(markets[EASY], seed=1, iterations=rounds).certificate
    assert certificate.iterations == rounds
    assert certificate.price_loss_kind == "optimum"


def test_a_program_that_is_long_at_its_root_is_given_up(markets):
    grid = compile_book(markets[EASY])
    candidates, table, columns = CandidateTable(grid), RowTable(grid), list_columns(grid)
    model = build_program(grid, candidates, table, columns, np.zeros(table.rows), whole=True).model
    nothing = np.zeros(len(columns.candidate))
    done = solve_program(model, nothing, Work(nodes=400, asks=10_000, gap=2e-4))
    early = solve_program(model, nothing, Work(nodes=400, asks=10_000, gap=2e-4, root=3))
    assert done.proven
    assert not early.proven
    assert early.bound >= done.worth
