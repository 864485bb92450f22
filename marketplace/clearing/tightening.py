"""The relaxation with cuts: solved, cut where orders share what they cannot, and solved again from where it was."""

from dataclasses import dataclass
from typing import Any, Final

import highspy
import numpy as np

from marketplace.clearing.covers import Covers
from marketplace.clearing.grid import Floats, Grid, Integers
from marketplace.clearing.money import MICRO
from marketplace.clearing.program import Columns, RowTable, WayTable, build_program, new_solver, run_solver

PIVOTS_MAX: Final = 30_000
"""Pivots of one step of a branch; one that takes more is left as it is. A round of cuts that takes more is the last."""
ROUNDS_PER_PRUNING: Final = 4
BASIC: Final = highspy.HighsBasisStatus.kBasic
WHOLE: Final = highspy.HighsVarType.kInteger


@dataclass(frozen=True, slots=True)
class Cutting:
    """How much is cut.

    Attributes:
        rounds: How many rounds of cuts there are at most before the first step.
        gain: A round of cuts that lowers the relaxation by less than this share is the last.
        every: Cuts are looked for in each so manieth step of a dive; 0 for never.
    """

    rounds: int
    gain: float
    every: int


NONE: Final = Cutting(0, 1.0, 0)


class Relaxation:
    """A linear program of placements, which may be cut, held and solved again.

    Attributes:
        worth: US dollars that none of its answers is worth more than, as of the last solution.
    """

    def __init__(self, grid: Grid, tables: tuple[WayTable, RowTable], columns: Columns) -> None:
        ways, table = tables
        program = build_program(grid, ways, table, columns, np.zeros(table.rows), whole=False)
        self.count, self.rows = len(columns.way), int(program.model.num_row_)
        self.covers = Covers(grid, tables, program)
        self.solver = new_solver(1)
        self.solver.passModel(program.model)
        self.worth = np.inf

    def branch(self) -> "Relaxation":
        """Return a copy, at the same solution, that may be changed by itself."""
        twin: Relaxation = object.__new__(Relaxation)
        twin.count, twin.rows, twin.covers, twin.worth = self.count, self.rows, self.covers, self.worth
        twin.solver = new_solver(1)
        twin.solver.passModel(self.solver.getLp())
        twin.solver.setBasis(self.solver.getBasis())
        twin.solver.setOptionValue("presolve", "off")
        twin.solver.setOptionValue("simplex_iteration_limit", PIVOTS_MAX)
        return twin

    def solve(self) -> bool:
        """Solve it, and tell whether there is a solution.

        From where it was, the solver now and then ends without an answer; then it begins anew, once.
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
        """Return what each placement would lose, were it taken at the prices of the solution, in micro-dollars."""
        losses: Floats = np.maximum(0.0, -np.array(self.solver.getSolution().col_dual)[: self.count]) * MICRO
        return losses

    def hold(self, columns: list[int], at: float) -> None:
        """Fix how much is taken of some placements."""
        if columns:
            bounds = np.full(len(columns), at)
            self.solver.changeColsBounds(len(columns), np.array(columns, dtype=np.int32), bounds, bounds)

    def tighten(self, cutting: Cutting) -> bool:
        """Solve it, cut and solve again while that lowers it enough; tell whether there is a solution."""
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
        """Add cuts that the solution breaks, and tell whether there are any.

        Args:
            prune: Whether to take those out first that do not bind it.
        """
        cuts = self.covers.find(np.array(self.solver.getSolution().col_value))
        if cuts is None:
            return False
        if prune:
            self._prune()
        self.solver.addRows(
            len(cuts.upper),
            np.full(len(cuts.upper), -highspy.kHighsInf),
            cuts.upper,
            len(cuts.index),
            cuts.begin[:-1].astype(np.int32),
            cuts.index.astype(np.int32),
            cuts.value,
        )
        return True

    def _prune(self) -> bool:
        """Take the cuts out that do not bind the solution, and tell whether there were any."""
        basis: Any = self.solver.getBasis()
        status = list(basis.row_status)
        idle = [row for row in range(self.rows, len(status)) if status[row] == BASIC]
        if not idle:
            return False
        gone = set(idle)
        self.solver.deleteRows(len(idle), np.array(idle, dtype=np.int32))
        kept = highspy.HighsBasis()
        kept.col_status = basis.col_status
        kept.row_status = [state for row, state in enumerate(status) if row not in gone]
        kept.valid, kept.alien = True, False
        self.solver.setBasis(kept)
        return True
