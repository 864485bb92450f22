"""Amounts over time as runs of equal amounts, so that what a second of a long life costs does not grow with that life.

Seconds are whole seconds since 1970. The runs are kept block by block, of an hour or of what is said: a question about
an interval looks at the blocks that it touches and at nothing else, however many intervals were counted before. What
stays the same for long takes the less memory the longer its blocks are, and what changes often less time the shorter.

Invariants:
    1. The runs of a block follow one another without overlap; equal neighbours are one run, and no run has amount 0.
    2. The same amounts over the same seconds are equal timelines, in whatever order they were added.
"""

from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import Final

from immutables import Map

HOUR_SECONDS: Final = 3_600
Run = tuple[int, int, int]
Timeline = Map[int, tuple[Run, ...]]
EMPTY: Final[Timeline] = Map()
_START, _END = itemgetter(0), itemgetter(1)


class Tally:
    """A timeline that is being changed; `seal` gives the changed one, and the one it began with stays as it was."""

    __slots__ = ("_base", "_block", "_changed")

    def __init__(self, base: Timeline, block_seconds: int = HOUR_SECONDS) -> None:
        self._base = base
        self._block = block_seconds
        self._changed: dict[int, tuple[Run, ...]] = {}

    def _get(self, number: int) -> tuple[Run, ...]:
        runs = self._changed.get(number)
        return self._base.get(number, ()) if runs is None else runs

    def find_peak(self, start: int, end: int) -> tuple[int, int]:
        """Return the greatest amount at any second of ``[start, end)``, at least 0, and the first second it is at."""
        peak, where = 0, start
        for number in list_blocks(start, end, self._block):
            for begin, stop, amount in self._get(number):
                if amount > peak and begin < end and stop > start:
                    peak, where = amount, max(begin, start)
        return peak, where

    def add(self, start: int, end: int, amount: int) -> None:
        """Add an amount, which may be negative, to every second of ``[start, end)``."""
        for number in list_blocks(start, end, self._block):
            first = number * self._block
            begin, stop = max(start, first), min(end, first + self._block)
            self._changed[number] = _add_run(self._get(number), begin, stop, amount)

    def seal(self) -> Timeline:
        """Return the timeline as it was changed."""
        mutation = self._base.mutate()
        for number, runs in self._changed.items():
            if runs:
                mutation[number] = runs
            else:
                mutation.pop(number, None)
        return mutation.finish()


def list_blocks(start: int, end: int, seconds: int) -> range:
    """Return the numbers of the blocks that ``[start, end)`` touches."""
    return range(start // seconds, (end - 1) // seconds + 1)


def _add_run(runs: tuple[Run, ...], begin: int, stop: int, amount: int) -> tuple[Run, ...]:
    """Return the runs of one block with an amount added over ``[begin, stop)``."""
    left, right = bisect_right(runs, begin, key=_END), bisect_left(runs, stop, key=_START)
    pieces: list[Run] = []
    at = begin
    for first, last, there in runs[left:right]:
        inner_first, inner_last = max(first, begin), min(last, stop)
        if first < begin:
            pieces.append((first, begin, there))
        if at < inner_first:
            pieces.append((at, inner_first, amount))
        pieces.append((inner_first, inner_last, there + amount))
        if last > stop:
            pieces.append((stop, last, there))
        at = inner_last
    if at < stop:
        pieces.append((at, stop, amount))
    low, high = max(left - 1, 0), right + 1
    return runs[:low] + merge_runs([*runs[low:left], *pieces, *runs[right:high]]) + runs[high:]


def merge_runs(pieces: list[Run]) -> tuple[Run, ...]:
    """Return pieces in order as runs: without those of nothing, and equal neighbours as one."""
    merged: list[Run] = []
    for begin, stop, amount in pieces:
        if not amount:
            continue
        if merged and merged[-1][1] == begin and merged[-1][2] == amount:
            merged[-1] = (merged[-1][0], stop, amount)
        else:
            merged.append((begin, stop, amount))
    return tuple(merged)
