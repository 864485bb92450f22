"""What accepted placings take of the rules between orders, and whether a further one would find room."""

import numpy as np
from numpy.typing import NDArray

from marketplace.clearing.arrays.rules import Flags, Floats, Rules


class ConstraintUsage:
    """What the placings of an allocation take of the rules' rows: of rows over all periods, and of rows per period."""

    def __init__(self, rules: Rules, begun: tuple[Floats, Floats] | None = None) -> None:
        self.rules = rules
        if begun is None:
            begun = np.zeros(len(rules.totals)), np.zeros(rules.span_room.shape)
        self.total, self.span = begun

    def copy(self) -> "ConstraintUsage":
        """Return an independent copy."""
        return ConstraintUsage(self.rules, (self.total.copy(), self.span.copy()))

    def shift(self, candidate: int, start: int, duration: int, sign: int) -> None:
        """Add a placing where `sign` is 1; remove it where it is -1."""
        for row, use in self.rules.total_uses[candidate]:
            self.total[row] += sign * use
        for row, use in self.rules.span_uses[candidate]:
            self.span[row, start : start + duration] += sign * use

    def list_blocked(self, candidate: int, first: int, starts: int, duration: int) -> Flags:
        """Return for each start of a window whether a further placing there would break a rule."""
        rules = self.rules
        blocked = np.zeros(starts, dtype=np.bool_)
        if any(use > 0 and self.total[row] + use > rules.total_room[row] for row, use in rules.total_uses[candidate]):
            blocked[:] = True
            return blocked
        for row, use in rules.span_uses[candidate]:
            window = slice(first, first + starts + duration - 1)
            over = np.concatenate([[0], np.cumsum(self.span[row, window] + use > rules.span_room[row, window])])
            blocked |= over[duration:] > over[:-duration]
        return blocked

    def fits(self, candidate: int, start: int, duration: int) -> bool:
        """Return whether a further placing would keep every rule."""
        return not self.list_blocked(candidate, start, 1, duration)[0]

    def find_full(self, candidate: int, start: int, duration: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the total rows and the span rows in which a further placing would not find room."""
        rules, end = self.rules, start + duration
        totals = (
            row for row, use in rules.total_uses[candidate] if use > 0 and self.total[row] + use > rules.total_room[row]
        )
        spans = (
            row
            for row, use in rules.span_uses[candidate]
            if (self.span[row, start:end] + use > rules.span_room[row, start:end]).any()
        )
        return tuple(totals), tuple(spans)

    def is_broken(self) -> bool:
        """Return whether a row is taken beyond its room, which only unchecked placings can bring about."""
        rules = self.rules
        return bool((self.total > rules.total_room).any() or (self.span > rules.span_room).any())


def fits_alone(rules: Rules, candidate: int, starts: NDArray[np.int64], duration: int) -> Flags:
    """Return for each start whether a placing keeps every limit when it is the only one; links are not checked."""
    good = np.ones(len(starts), dtype=np.bool_)
    if any(use > rules.total_room[row] and rules.totals[row][0] == "limit" for row, use in rules.total_uses[candidate]):
        good[:] = False
    for row, use in rules.span_uses[candidate]:
        over = np.concatenate([[0], np.cumsum(use > rules.span_room[row])])
        good &= over[starts + duration] == over[starts]
    return good
