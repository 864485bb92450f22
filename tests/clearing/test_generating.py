"""Placements that gain are added to the cut relaxation, and what it then proves no allocation exceeds."""

from fractions import Fraction

import numpy as np
import pytest

from marketplace.clearing.arrays.grid import compile_book
from marketplace.clearing.engine import clear
from marketplace.clearing.program import generating
from marketplace.clearing.program.bound import bound_of, solve_relaxation
from marketplace.clearing.program.generating import generate
from marketplace.clearing.program.program import CandidateTable, RowTable, build_program, list_columns, new_solver
from marketplace.clearing.program.prospects import Prospects
from marketplace.clearing.program.tightening import Cutting, Relaxation
from marketplace.clearing.search.diving import tighten_relaxation
from tests.clearing.books import market_book, random_book
from tests.clearing.ruled_books import random_ruled_book

SOLVER_SHARE = 1e-7
CUTTING = Cutting(20, 0.0, 1)


class Prepared:
    """A book's placements, with what programs about them are written from."""

    def __init__(self, book):
        self.grid = compile_book(book)
        self.tables = CandidateTable(self.grid), RowTable(self.grid)
        columns = list_columns(self.grid)
        self.shadow = solve_relaxation(self.grid, *self.tables, columns, 1)
        self.bound = bound_of(self.grid, self.tables[0], columns, self.shadow)
        self.prospects = Prospects(self.grid, self.tables[0], columns, self.shadow)
        self.count = len(columns.candidate)

    def relax(self, kept, cutting):
        """Return the relaxation of some placements, cut and solved."""
        columns = self.prospects.columns
        relaxation = Relaxation(self.grid, self.tables, columns.take(kept), columns)
        assert relaxation.tighten(cutting)
        return relaxation

    def generate(self, kept, cutting):
        return generate(self.grid, self.prospects, self.tables, self.relax(kept, cutting), kept)

    def find_optimum(self):
        """Return what the best allocation is worth that prices need not suit, as HiGHS proves it."""
        table = self.tables[1]
        program = build_program(self.grid, *self.tables, self.prospects.columns, np.zeros(table.rows), whole=True)
        solver = new_solver(1)
        solver.setOptionValue("mip_rel_gap", 0.0)
        solver.passModel(program.model)
        solver.run()
        assert solver.modelStatusToString(solver.getModelStatus()) == "Optimal"
        return solver.getInfo().objective_function_value


def choose(seed, count, share):
    """Return some placements, one at least."""
    pick = np.random.default_rng(seed)
    return np.sort(pick.choice(count, max(1, int(share * count)), replace=False))


@pytest.mark.parametrize("share", [0.1, 0.6])
@pytest.mark.parametrize("mandates", [False, True])
def test_no_allocation_exceeds_the_ceiling_whatever_placements_were_left_out(mandates, share):
    tighter = 0
    for seed in range(60):
        prepared = Prepared(random_book(seed, mandates=mandates))
        if prepared.count < 2:
            continue
        optimum = prepared.find_optimum()
        found = prepared.generate(choose(seed, prepared.count, share), CUTTING)
        assert found.relaxation.tighten(CUTTING)
        again = generate(prepared.grid, prepared.prospects, prepared.tables, found.relaxation, found.kept)
        for generated in (found, again):
            assert float(generated.ceiling) >= optimum * (1 - SOLVER_SHARE)
            assert generated.relaxation.worth <= float(generated.ceiling) * (1 + SOLVER_SHARE)
            assert (generated.loss >= 0).all()
        tighter += again.ceiling < prepared.bound * Fraction(999, 1000)
    assert tighter > 0


def test_no_allocation_that_keeps_the_rules_exceeds_the_ceiling():
    checked = 0
    for seed in range(40):
        prepared = Prepared(random_ruled_book(seed))
        if prepared.count:
            found = prepared.generate(np.arange(prepared.count), CUTTING)
            assert float(found.ceiling) >= prepared.find_optimum() * (1 - SOLVER_SHARE)
            checked += 1
    assert checked > 20


def test_without_cuts_the_placements_that_are_added_make_it_the_relaxation_of_all(monkeypatch):
    monkeypatch.setattr(generating, "PRICINGS_MAX", 50)
    prepared = Prepared(market_book(3))
    found = prepared.generate(choose(3, prepared.count, 0.05), Cutting(0, 1.0, 0))
    assert len(found.kept) < prepared.count
    assert float(found.ceiling) == pytest.approx(float(prepared.bound), rel=1e-6)
    assert found.relaxation.worth == pytest.approx(float(prepared.bound), rel=1e-6)


def test_what_placements_lose_is_told_of_those_left_out_as_of_the_others(monkeypatch):
    monkeypatch.setattr(generating, "PRICINGS_MAX", 50)
    prepared = Prepared(market_book(3))
    kept = choose(3, prepared.count, 0.3)
    found = prepared.generate(kept, CUTTING)
    whole = np.arange(prepared.count)
    columns = prepared.prospects.columns
    same = Relaxation(prepared.grid, prepared.tables, columns, columns, found.relaxation.cuts)
    same.begin_at(found.relaxation, found.kept)
    assert same.solve()
    assert same.solver.getInfo().simplex_iteration_count == 0
    assert same.worth == pytest.approx(found.relaxation.worth, rel=1e-9)
    others = np.setdiff1d(whole, found.kept)
    assert len(others)
    assert same.read_losses()[others] == pytest.approx(found.loss[others], abs=1.0)


def test_a_search_that_ends_early_still_bounds_what_it_left_out(monkeypatch):
    monkeypatch.setattr(generating, "PRICINGS_MAX", 0)
    prepared = Prepared(market_book(3, orders=60, pools=8))
    found = prepared.generate(choose(3, prepared.count, 0.2), CUTTING)
    assert float(found.ceiling) >= prepared.find_optimum() * (1 - SOLVER_SHARE)
    assert float(found.ceiling) > found.relaxation.worth * 1.001


def test_the_relaxation_of_a_larger_book_proves_more_than_the_bound_and_covers_all_placements():
    prepared = Prepared(market_book(4, orders=600, pools=24))
    assert prepared.count > 3_000
    root = tighten_relaxation(prepared.grid, prepared.prospects, prepared.tables)
    assert len(root.kept) < prepared.count
    assert root.of_all is None
    assert root.ceiling < prepared.bound
    assert (prepared.prospects.loss >= 0).all()


def test_a_certificate_states_the_dual_bound():
    certificate = clear(market_book(4, orders=600, pools=24), seed=1, iterations=1).certificate
    assert certificate.price_loss_kind == "lp_bound"
    assert certificate.welfare_usd < certificate.dual_bound_usd < certificate.lp_bound_usd
