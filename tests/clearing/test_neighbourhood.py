"""A program's answer that was overtaken by another's is given up, so that no pool carries more than it offers."""

import random
from decimal import Decimal

import numpy as np

from marketplace.clearing.arrays.allocation import Allocation
from marketplace.clearing.arrays.grid import compile_book
from marketplace.clearing.program.bound import solve_relaxation
from marketplace.clearing.program.program import CandidateTable, RowTable, list_columns
from marketplace.clearing.program.prospects import Prospects
from marketplace.clearing.search.neighbourhood import NeighbourhoodLimits, Neighbourhoods, Task
from tests.clearing.books import book, order


def test_an_answer_that_no_longer_fits_changes_nothing():
    grid = compile_book(book(order("first", 4, 10, (0, 0), value="5"), order("second", 4, 10, (0, 0), value="6")))
    tables = CandidateTable(grid), RowTable(grid)
    columns = list_columns(grid)
    shadow = solve_relaxation(grid, *tables, columns, 1)
    prospects = Prospects(grid, tables[0], columns, shadow)
    allocation = Allocation(grid)
    programs = Neighbourhoods(
        allocation, prospects, (*tables, shadow), (random.Random(1), NeighbourhoodLimits(9, 9, 9))
    )
    mine = np.flatnonzero(prospects.order == 1)
    stale = Task(mine, np.array([1]), np.zeros(tables[1].rows), np.zeros(len(mine)))
    assert allocation.insert(0) > 0
    before = allocation.total
    programs._apply(stale, mine[:1])
    assert allocation.placed[1] is None
    assert allocation.placed[0] is not None
    assert not allocation.is_overloaded(0)
    assert allocation.total == before
    assert Decimal(allocation.welfare()) == Decimal(before)
