"""A dive from the relaxation ends in whole placements that keep every rule and that prices can support."""

from dataclasses import replace

import highspy
import numpy as np
import pytest

from marketplace.clearing.arrays.grid import compile_book
from marketplace.clearing.engine import clear
from marketplace.clearing.money import MICRO
from marketplace.clearing.program import tightening
from marketplace.clearing.program.bound import bound_of, solve_relaxation
from marketplace.clearing.program.covers import Covers
from marketplace.clearing.program.program import CandidateTable, RowTable, list_columns
from marketplace.clearing.program.prospects import Prospects
from marketplace.clearing.program.tightening import Cutting, Relaxation
from marketplace.clearing.search import diving, solving
from marketplace.clearing.search.diving import Root, dive, tighten_relaxation
from marketplace.clearing.search.search import greedy
from marketplace.clearing.verify.verifier import find_violations
from tests.clearing.books import market_book
from tests.clearing.ruled_books import random_ruled_book


def prepare(made):
    """Return a book's grid, prospects, tables and bound in micro-dollars."""
    grid = compile_book(made)
    tables, columns = (CandidateTable(grid), RowTable(grid)), list_columns(grid)
    shadow = solve_relaxation(grid, *tables, columns, 1)
    bound = float(bound_of(grid, tables[0], columns, shadow)) * MICRO
    return grid, Prospects(grid, tables[0], columns, shadow), tables, bound


def best_dive(grid, prospects, tables):
    """Return the allocation of a dive into a book."""
    return dive(tighten_relaxation(grid, prospects, tables))


@pytest.mark.parametrize("mandates", [False, True])
def test_a_dive_comes_closer_to_the_bound_than_greedy(mandates):
    for seed in (1, 2):
        grid, prospects, tables, bound = prepare(market_book(seed, mandates=mandates))
        found = best_dive(grid, prospects, tables)
        assert greedy(grid, prospects).total < found.total <= bound
        assert found.list_unsupported() == []
        assert not any(found.is_overloaded(pool) for pool in range(len(grid.pool_arrays)))
        assert found.total == pytest.approx(found.welfare())


def test_a_dive_keeps_groups_links_and_limits():
    placed = 0
    for seed in range(40):
        grid, prospects, tables, bound = prepare(random_ruled_book(seed))
        if not len(prospects.order):
            continue
        found = best_dive(grid, prospects, tables)
        assert not found.breaks_rules()
        assert found.list_unsupported() == []
        assert found.total <= bound * (1 + 1e-9)
        placed += int((~found.out).sum())
    assert placed > 0


def test_two_dives_of_one_book_are_the_same():
    first, second = (tighten_relaxation(*prepare(market_book(5))[:3]) for _ in range(2))
    assert diving.dive(first).placed == diving.dive(second).placed


def test_a_book_that_is_not_solved_exactly_begins_with_a_dive(monkeypatch):
    made = market_book(4)
    dived = clear(made, seed=1, iterations=0)
    assert find_violations(made, dived) == ()
    monkeypatch.setattr(solving, "has_equals", lambda _: True)
    assert clear(made, seed=1, iterations=0).certificate.welfare_usd < dived.certificate.welfare_usd


class Stumbling:
    """A solver that once, after some runs, says that it does not know how its run ended, as HiGHS at times does."""

    def __init__(self, solver, runs):
        self.solver, self.left, self.cleared = solver, runs, 0

    def __getattr__(self, name):
        return getattr(self.solver, name)

    def run(self):
        self.left -= 1
        return self.solver.run()

    def getModelStatus(self):  # noqa: N802 - the solver's own name
        return highspy.HighsModelStatus.kUnknown if self.left == 0 else self.solver.getModelStatus()

    def clearSolver(self):  # noqa: N802 - the solver's own name
        self.cleared += 1
        return self.solver.clearSolver()


def test_a_dive_goes_on_where_the_solver_stumbles():
    grid, prospects, tables, bound = prepare(market_book(4))
    kept = np.flatnonzero(prospects.loss <= prospects.worth / 10)
    root = Relaxation(grid, tables, prospects.columns.take(kept))
    assert root.solve()
    diver = diving._Dive(Root(grid, prospects, root, kept, 1, diving.DEPTH))
    relaxation = diver.relaxation
    relaxation.solver = Stumbling(relaxation.solver, 3)
    found = diver.run()
    assert relaxation.solver.cleared == 1
    assert relaxation.solver.left < -10
    assert greedy(grid, prospects).total < found.total <= bound


def test_a_dive_considers_only_so_many_placements_those_that_lose_least():
    _, prospects, _, _ = prepare(market_book(4))
    many = diving._choose_kept(prospects, diving.DEPTH_OF_FEW)
    few = diving._choose_kept(prospects, replace(diving.DEPTH_OF_FEW, kept=500))
    assert len(few) == 500 < len(many)
    share = prospects.loss / prospects.worth
    assert share[few].max() <= share[np.setdiff1d(many, few)].min()


def count_searches(monkeypatch):
    """Count how often cuts are looked for."""
    searches = []
    find = Covers.find
    monkeypatch.setattr(Covers, "find", lambda self, values: searches.append(1) or find(self, values))
    return searches


def test_dives_of_a_huge_book_are_not_cut_and_others_are(monkeypatch):
    grid, prospects, tables, _ = prepare(market_book(4))
    searches = count_searches(monkeypatch)
    best_dive(grid, prospects, tables)
    assert len(searches) > 20
    searches.clear()
    monkeypatch.setattr(diving, "COLUMNS_FEW", 10)
    monkeypatch.setattr(diving, "COLUMNS_HUGE", 100)
    found = best_dive(grid, prospects, tables)
    assert searches == []
    assert found.list_unsupported() == []


def test_dives_of_long_runs_are_cut_in_fewer_steps(monkeypatch):
    searches = count_searches(monkeypatch)
    best_dive(*prepare(market_book(4))[:3])
    often = len(searches)
    searches.clear()
    monkeypatch.setattr(diving, "ENTRIES_PER_STEP", 1)
    found = best_dive(*prepare(market_book(4))[:3])
    assert 0 < len(searches) < often / 2
    assert found.list_unsupported() == []


def test_a_round_of_cuts_that_takes_too_many_pivots_is_the_last(monkeypatch):
    searches = count_searches(monkeypatch)
    grid, prospects, tables, _ = prepare(market_book(4))
    monkeypatch.setattr(tightening, "PIVOTS_MAX", 0)
    assert Relaxation(grid, tables, prospects.columns).tighten(Cutting(20, 0.0, 1))
    assert len(searches) == 1


def test_an_order_that_is_wanted_in_parts_is_decided_by_all_that_is_wanted_of_it():
    grid, prospects, tables, _ = prepare(market_book(5))
    root = tighten_relaxation(grid, prospects, tables)
    diver = diving._Dive(root)
    counts = np.bincount(prospects.order)
    mine = np.flatnonzero(prospects.order == int(np.argmax(counts >= 4)))
    wanted = np.zeros(len(prospects.order))
    wanted[mine[:4]] = (0.2, 0.4, 0.1, 0.2)
    gathered = diver._gather(mine[:4], wanted)
    assert gathered[mine[:4]] == pytest.approx([0.2, 0.9, 0.1, 0.2])
    assert wanted[mine[1]] == 0.4
    wanted[mine[:4]] = (0.6, 0.6, 0.6, 0.6)
    assert gathered.max() < 1.0 <= diver._gather(mine[:4], wanted).max()
