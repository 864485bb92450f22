"""The relaxation with cuts: solved, cut where it shares nodes that orders cannot, solved again from its last basis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import highspy
import numpy as np

from marketplace.clearing.arrays.grid import Floats, Grid, Integers
from marketplace.clearing.money import MICRO
from marketplace.clearing.program.covers import Cover, Covers, Cuts
from marketplace.clearing.program.program import (
    CandidateTable,
    Columns,
    RowTable,
    build_program,
    new_solver,
    run_solver,
)

PIVOTS_MAX: Final = 30_000
"""The most pivots of one step of a branch; a longer one counts as unsolved. A longer round of cuts is the last."""
ROUNDS_PER_PRUNING: Final = 4
BASIC: Final = highspy.HighsBasisStatus.kBasic
WHOLE: Final = highspy.HighsVarType.kInteger


@dataclass(frozen=True, slots=True)
class Cutting:
    """How much is cut.

    Attributes:
        rounds: How many rounds of cuts there are at most before the first step.
        gain: A round of cuts that lowers the relaxation by less than this share is the last.
        every: A dive looks for cuts in every n-th step; 0 for never.
    """

    rounds: int
    gain: float
    every: int


NONE: Final = Cutting(0, 1.0, 0)


class Relaxation:
    """A linear program of placements, which may be cut, held and solved again.

    Attributes:
        live: Indices, in the row table, of its first rows.
        orders: The orders of its next rows.
        cuts: Its cover cuts, in the order of their rows, which come last.
        worth: An upper bound, in US dollars, of what any placements in it are worth; from the last solution.
    """

    def __init__(
        self,
        grid: Grid,
        tables: tuple[CandidateTable, RowTable],
        columns: Columns,
        row_columns: Columns | None = None,
        cuts: Sequence[Cover] = (),
    ) -> None:
        candidates, table = tables
        program = build_program(
            grid, candidates, table, columns, np.zeros(table.rows), whole=False, row_columns=row_columns
        )
        self.count, self.rows = len(columns.candidate), int(program.model.num_row_)
        self.live, self.orders = program.rows, program.orders
        self.covers = Covers(grid, tables, program)
        self.solver = new_solver(1)
        self.solver.passModel(program.model)
        self.cuts: list[Cover] = []
        self.worth = np.inf
        if cuts:
            self._add(self.covers.write(list(cuts)))

    def begin_at(self, other: "Relaxation", at: Integers) -> None:
        """Begin at the solution of a relaxation of some of these placements, with the same cuts and other rows.

        Args:
            other: That relaxation.
            at: Which of these placements it has.
        """
        known: Any = other.solver.getBasis()
        placed, drawn = list(known.col_status[: other.count]), list(known.col_status[other.count :])
        columns, orders = [highspy.HighsBasisStatus.kLower] * self.count, [BASIC] * len(self.orders)
        for place, status in zip(at.tolist(), placed, strict=True):
            columns[place] = status
        first = len(self.live)
        theirs = np.searchsorted(self.orders, other.orders).tolist()
        for place, status in zip(theirs, known.row_status[first : first + len(theirs)], strict=True):
            orders[place] = status
        basis = highspy.HighsBasis()
        basis.col_status = columns + drawn
        basis.row_status = [*known.row_status[:first], *orders, *known.row_status[first + len(theirs) :]]
        basis.valid, basis.alien = True, False
        self.solver.setOptionValue("presolve", "off")
        self.solver.setBasis(basis)

    def branch(self) -> "Relaxation":
        """Return an independent copy at the same solution."""
        copied: Relaxation = object.__new__(Relaxation)
        copied.count, copied.rows, copied.covers, copied.worth = self.count, self.rows, self.covers, self.worth
        copied.live, copied.orders, copied.cuts = self.live, self.orders, list(self.cuts)
        copied.solver = new_solver(1)
        copied.solver.passModel(self.solver.getLp())
        copied.solver.setBasis(self.solver.getBasis())
        copied.solver.setOptionValue("presolve", "off")
        copied.solver.setOptionValue("simplex_iteration_limit", PIVOTS_MAX)
        return copied

    def solve(self) -> bool:
        """Solve it, and return whether there is a solution.

        From its last basis, the solver sometimes ends without an answer; then it begins anew, once.
        """
        run_solver(self.solver)
        if self.solver.getModelStatus() == highspy.HighsModelStatus.kUnknown:
            self.solver.clearSolver()
            run_solver(self.solver)
        if self.solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return False
        self.worth = self.solver.getInfo().objective_function_value
        return True

    def read(self) -> Floats:
        """Return what the solution takes of each placement."""
        return np.array(self.solver.getSolution().col_value)[: self.count]

    def restrict(self, columns: Integers) -> Any:
        """Return the integer program of some placements, with the cuts."""
        solver = new_solver(1)
        solver.passModel(self.solver.getLp())
        gone = np.setdiff1d(np.arange(self.count), columns).astype(np.int32)
        solver.deleteCols(len(gone), gone)
        model = solver.getLp()
        drawn = int(model.num_col_) - len(columns)
        model.integrality_ = [WHOLE] * len(columns) + [highspy.HighsVarType.kContinuous] * drawn
        return model

    def read_losses(self) -> Floats:
        """Return the reduced cost of each placement at the prices of the solution, in micro-dollars."""
        losses: Floats = np.maximum(0.0, -np.array(self.solver.getSolution().col_dual)[: self.count]) * MICRO
        return losses

    def hold(self, columns: list[int], at: float) -> None:
        """Fix how much is taken of some placements."""
        if columns:
            bounds = np.full(len(columns), at)
            self.solver.changeColsBounds(len(columns), np.array(columns, dtype=np.int32), bounds, bounds)

    def tighten(self, cutting: Cutting) -> bool:
        """Solve it, cut and solve again while that lowers it enough; return whether there is a solution."""
        if not self.solve():
            return False
        self.solver.setOptionValue("presolve", "off")
        for done in range(cutting.rounds):
            before = self.worth
            if not self.cut(prune=done % ROUNDS_PER_PRUNING == ROUNDS_PER_PRUNING - 1):
                break
            if not self.solve():
                return False
            pivots = self.solver.getInfo().simplex_iteration_count
            if before - self.worth < cutting.gain * abs(before) or pivots > PIVOTS_MAX:
                break
        return self.solve() if self._prune() else True

    def cut(self, *, prune: bool = False) -> bool:
        """Add cuts that the solution breaks, and return whether there are any.

        Args:
            prune: Whether to remove first the cuts that do not bind at the solution.
        """
        cuts = self.covers.find(np.array(self.solver.getSolution().col_value))
        if cuts is None:
            return False
        if prune:
            self._prune()
        self._add(cuts)
        return True

    def _add(self, cuts: Cuts) -> None:
        self.solver.addRows(
            len(cuts.upper),
            np.full(len(cuts.upper), -highspy.kHighsInf),
            cuts.upper,
            len(cuts.index),
            cuts.begin[:-1].astype(np.int32),
            cuts.index.astype(np.int32),
            cuts.value,
        )
        self.cuts += cuts.covers

    def _prune(self) -> bool:
        """Take the cuts out that do not bind the solution, and return whether there were any."""
        basis: Any = self.solver.getBasis()
        status = list(basis.row_status)
        idle = [row for row in range(self.rows, len(status)) if status[row] == BASIC]
        if not idle:
            return False
        gone = set(idle)
        self.solver.deleteRows(len(idle), np.array(idle, dtype=np.int32))
        self.cuts = [cover for row, cover in enumerate(self.cuts, self.rows) if row not in gone]
        kept = highspy.HighsBasis()
        kept.col_status = basis.col_status
        kept.row_status = [state for row, state in enumerate(status) if row not in gone]
        kept.valid, kept.alien = True, False
        self.solver.setBasis(kept)
        return True
