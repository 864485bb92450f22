"""Writes the rules between orders as rows of the linear program. The largest coefficient of each row is 1."""

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.constraint_usage import ConstraintUsage
from marketplace.clearing.arrays.rules import Floats, Rules

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RuleRows:
    """Where the rules' rows are in a program.

    Attributes:
        names: The rule of each row: limits on totals first, then limits for each period, by span and period.
        scale: What each row was divided by.
        base: Index of the first row.
    """

    names: Integers
    scale: Floats
    base: int


def add_rule_rows(
    model: highspy.HighsLp, rules: Rules, placings: tuple[Integers, Integers, Integers], taken: ConstraintUsage | None
) -> RuleRows | None:
    """Append to a program one row for each rule that limits any of its placements.

    Args:
        model: The program; its first columns are the placements.
        rules: The book's rules.
        placings: Candidate, start and duration of each placement, in ascending order of candidates.
        taken: How much of each limit orders outside the program use.

    Returns:
        Where the rows are; None if no rule limits a placement.
    """
    column, name, use = _list_entries(rules, *placings)
    rooms = np.concatenate([rules.total_room, rules.span_room.ravel()])
    if taken is not None:
        rooms -= np.concatenate([taken.total, taken.span.ravel()])
    bound = np.isfinite(rooms[name])
    column, name, use = column[bound], name[bound], use[bound]
    if not len(name):
        return None
    names, row = np.unique(name, return_inverse=True)
    scale = np.zeros(len(names))
    np.maximum.at(scale, row, np.abs(use))
    base = int(model.num_row_)
    model.num_row_ = base + len(names)
    model.row_lower_ = np.concatenate([np.array(model.row_lower_), np.full(len(names), -highspy.kHighsInf)])
    model.row_upper_ = np.concatenate([np.array(model.row_upper_), rooms[names] / scale])
    _append(model.a_matrix_, column, base + row, use / scale[row])
    return RuleRows(names, scale, base)


def _append(matrix: Any, column: Integers, row: Integers, value: Floats) -> None:
    """Add entries to a matrix that is stored by columns."""
    start = np.array(matrix.start_, dtype=np.int64)
    columns = np.concatenate([np.repeat(np.arange(len(start) - 1), np.diff(start)), column])
    order = np.argsort(columns, kind="stable")
    matrix.index_ = np.concatenate([np.array(matrix.index_, dtype=np.int64), row])[order].astype(np.int32)
    matrix.value_ = np.concatenate([np.array(matrix.value_), value])[order]
    counts = np.bincount(columns, minlength=len(start) - 1)
    matrix.start_ = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _list_entries(
    rules: Rules, candidate: Integers, start: Integers, duration: Integers
) -> tuple[Integers, Integers, Floats]:
    columns, names, uses = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    at, begin, count = np.unique(candidate, return_index=True, return_counts=True)
    for one, low, many in zip(at.tolist(), begin.tolist(), count.tolist(), strict=True):
        mine = np.arange(low, low + many)
        for row, use in rules.total_uses[one]:
            columns.append(mine)
            names.append(np.full(many, row))
            uses.append(np.full(many, float(use)))
        length = int(duration[low])
        for row, use in rules.span_uses[one]:
            periods = (start[mine][:, None] + np.arange(length)).ravel()
            columns.append(np.repeat(mine, length))
            names.append(len(rules.totals) + row * rules.span_room.shape[1] + periods)
            uses.append(np.full(many * length, float(use)))
    return np.concatenate(columns), np.concatenate(names), np.concatenate(uses)
