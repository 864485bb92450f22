"""Runs an integer program with a budget of work that is counted, never timed, so that a repetition stops alike.

HiGHS counts nodes, but at the root of a hard program it may cut and dive for long before the first. It asks by a
callback whether to continue, at points that depend on the program only; the number of those calls is the budget here.
"""

import math
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np

from marketplace.clearing.arrays.grid import Flags, Floats
from marketplace.clearing.program.program import new_solver, run_solver

SHORT_RELATIVE = 1e-9
WHOLE_LEAST = 0.5
WITHOUT = (
    "mip_allow_restart",
    "mip_detect_symmetry",
    "mip_heuristic_run_feasibility_jump",
    "mip_heuristic_run_rens",
    "mip_heuristic_run_root_reduced_cost",
    "mip_allow_cut_separation_at_nodes",
)
"""Parts of the solver that are off: on the programs of a search each costs more time than it gains."""
ASKED = highspy.cb.HighsCallbackType.kCallbackMipInterrupt


@dataclass(frozen=True, slots=True)
class Work:
    """How hard the solver tries: nodes, how often it may ask to go on, and the relative gap at which it may stop."""

    nodes: int
    asks: int
    gap: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Which placements to take, None where nothing was found.

    `worth` is what the answer is worth, `bound` what the solver says that no answer is worth more than, in US dollars.
    """

    taken: Flags | None
    worth: float = -math.inf
    bound: float = math.inf


def solve_program(model: Any, begin: Floats, work: Work) -> Answer:
    """Return which placements of a program to take.

    Args:
        model: An integer program of HiGHS, whose first columns are the placements.
        begin: Per placement 1.0 where it is taken now.
        work: When the solver has to stop.
    """
    count = len(begin)
    cost = np.array(model.col_cost_)
    for warm in (True, False):
        solver = _limit(new_solver(1), work)
        solver.passModel(model)
        if warm:
            solver.setSolution(count, np.arange(count, dtype=np.int32), begin)
        run_solver(solver)
        values = np.array(solver.getSolution().col_value)
        if len(values) < count:
            return Answer(None)
        objective = solver.getInfo().objective_function_value
        # HiGHS 1.16 sometimes reports the placements it began from although it found better ones: then begin cold.
        if float(cost @ values[: len(cost)]) >= objective - SHORT_RELATIVE * abs(objective):
            break
    bound = max(objective, solver.getInfo().mip_dual_bound)
    return Answer(np.asarray(values[:count] > WHOLE_LEAST), worth=objective, bound=bound)


def _limit(solver: Any, work: Work) -> Any:
    asked = 0

    def ask(_kind: Any, _text: str, _found: Any, answer: Any, _data: Any) -> None:
        nonlocal asked
        asked += 1
        if asked > work.asks:
            answer.user_interrupt = True

    solver.setOptionValue("mip_max_nodes", work.nodes)
    solver.setOptionValue("mip_rel_gap", work.gap)
    for name in WITHOUT:
        solver.setOptionValue(name, False)  # noqa: FBT003 - the solver's own interface
    solver.setCallback(ask, None)
    solver.startCallback(ASKED)
    return solver
