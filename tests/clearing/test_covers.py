"""Cuts take fractions from the relaxation and never a whole answer."""

import random
from dataclasses import replace

import highspy
import numpy as np
import pytest

from marketplace.clearing.arrays.grid import compile_book
from marketplace.clearing.program.covers import SIZES_MAX, Covers
from marketplace.clearing.program.program import CandidateTable, RowTable, build_program, list_columns, new_solver
from marketplace.clearing.program.tightening import Cutting, Relaxation
from tests.clearing.books import book, market_book, order, random_book
from tests.clearing.ruled_books import random_ruled_book

CUTTING = Cutting(rounds=20, gain=1e-6, every=1)


def relax(made):
    """Return the relaxation of a book."""
    grid = compile_book(made)
    return Relaxation(grid, (CandidateTable(grid), RowTable(grid)), list_columns(grid))


def list_cuts(made):
    """Return a book's program of whole placements and all cuts that are found until there are none."""
    grid = compile_book(made)
    tables, columns = (CandidateTable(grid), RowTable(grid)), list_columns(grid)
    if not len(columns.candidate):
        return None, []
    relaxation, found = Relaxation(grid, tables, columns), []
    find = relaxation.covers.find
    relaxation.covers.find = lambda values: found.append(find(values)) or found[-1]
    assert relaxation.tighten(Cutting(100, 0.0, 1))
    program = build_program(grid, *tables, columns, np.zeros(tables[1].rows), whole=True)
    return program, [cuts for cuts in found if cuts is not None]


def solve(program, cost, cuts=()):
    """Return what the best whole answer is worth at some costs, with cuts as rows."""
    solver = new_solver(1)
    solver.passModel(program.model)
    solver.setOptionValue("mip_rel_gap", 0.0)
    for at, each in enumerate(cost.tolist()):
        solver.changeColCost(at, each)
    for row in cuts:
        begin = row.begin[:-1].astype(np.int32)
        low = np.full(len(row.upper), -highspy.kHighsInf)
        solver.addRows(len(row.upper), low, row.upper, len(row.index), begin, row.index.astype(np.int32), row.value)
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return solver.getInfo().objective_function_value


def check_whole(made, pick):
    """Compare the best whole answers with and without a book's cuts, at its prices and at others; return the cuts."""
    program, cuts = list_cuts(made)
    if not cuts:
        return 0
    cost = np.array(program.model.col_cost_)
    for _ in range(4):
        assert solve(program, cost, cuts) == pytest.approx(solve(program, cost), rel=1e-7, abs=1e-6)
        cost = cost * np.array([pick.uniform(0.3, 2.0) for _ in cost])
    return sum(len(row.upper) for row in cuts)


@pytest.mark.parametrize("mandates", [False, True])
def test_no_cut_takes_a_whole_answer(mandates):
    pick = random.Random(7)
    books = [random_book(seed, orders=14, pools=2, periods=8, mandates=mandates) for seed in range(80)]
    assert sum(check_whole(made, pick) for made in books) > 100


def test_no_cut_takes_an_answer_of_orders_that_state_several_sizes():
    pick = random.Random(8)
    books = [random_book(seed, orders=12, pools=2, periods=6) for seed in range(30)]
    sized = [
        replace(made, orders=tuple(replace(each, sizes=(each.nodes + 1, each.nodes + 3)) for each in made.orders))
        for made in books
    ]
    assert sum(check_whole(made, pick) for made in sized) > 30


def test_no_cut_takes_an_answer_that_keeps_groups_links_and_limits():
    pick = random.Random(9)
    assert sum(check_whole(random_ruled_book(seed), pick) for seed in range(150)) > 0


def test_an_order_of_all_nodes_and_one_of_a_single_node_do_not_share_them():
    made = book(
        order("all", 64, 5, (0, 0), value="6"), order("one", 1, 5, (0, 0), value="6.5"), lots=(("a", 64, 0, 10, "1"),)
    )
    relaxation = relax(made)
    assert relaxation.solve()
    assert relaxation.worth > 5 * 64 * 5 * 8 * 24
    assert relaxation.tighten(CUTTING)
    assert relaxation.worth == pytest.approx(5 * 64 * 5 * 8 * 24)


def test_an_order_that_needs_part_of_a_dearer_lot_pays_for_that_part_or_stays_out():
    """Eight nodes are cheap; whoever comes in as the second takes six of the dear ones, for more than it is worth."""
    orders = (order("first", 7, 5, (0, 0), value="3"), order("second", 7, 5, (0, 0), value="2.9"))
    made = book(*orders, lots=(("cheap", 8, 0, 10, "1"), ("dear", 50, 0, 10, "4")))
    relaxation = relax(made)
    assert relaxation.solve()
    whole = (3 - 1) * 7 * 5 * 8 * 24
    assert relaxation.worth > whole * 1.05
    assert relaxation.tighten(CUTTING)
    assert relaxation.worth == pytest.approx(whole)


def test_a_relaxation_that_was_cut_and_its_branch_agree_and_part():
    relaxation = relax(market_book(3))
    assert relaxation.solve()
    plain = relaxation.worth
    assert relaxation.tighten(CUTTING)
    assert relaxation.worth < plain * 0.999
    twin = relaxation.branch()
    assert twin.solve()
    assert twin.worth == pytest.approx(relaxation.worth)
    wanted = np.flatnonzero(twin.read() > 0.5)[:5].tolist()
    twin.hold(wanted, 0.0)
    assert twin.solve()
    assert relaxation.solve()
    assert twin.worth < relaxation.worth


def test_a_placement_that_the_relaxation_takes_loses_nothing():
    relaxation = relax(market_book(3))
    assert relaxation.tighten(CUTTING)
    losses = relaxation.read_losses()
    assert losses.min() >= 0
    assert losses[relaxation.read() > 0.01].max() == pytest.approx(0, abs=1.0)
    assert losses.max() > 1e6


def test_nothing_is_cut_where_everything_fits():
    made = book(order("first", 4, 5, (0, 0)), order("second", 4, 5, (0, 0)), lots=(("a", 8, 0, 10, "1"),))
    grid = compile_book(made)
    tables, columns = (CandidateTable(grid), RowTable(grid)), list_columns(grid)
    program = build_program(grid, *tables, columns, np.zeros(tables[1].rows), whole=False)
    values = np.ones(len(program.model.col_cost_)) / 2
    assert Covers(grid, tables, program).find(values) is None


def test_orders_of_very_many_sizes_are_cut_too():
    pick = random.Random(10)
    orders = [
        order(f"o{at}", at + 1, pick.randint(1, 3), (0, 3), value=f"{pick.uniform(2, 5):.2f}") for at in range(30)
    ]
    made = book(*orders, lots=(("a", 60, 0, 6, "1"), ("b", 47, 0, 6, "2")), periods=6)
    assert len({each.nodes for each in orders}) > SIZES_MAX
    assert check_whole(made, pick) > 5
