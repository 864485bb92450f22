"""Amounts over time, as runs of equal amounts in blocks, so that a query's cost does not grow with the timeline.

Seconds are whole seconds since 1970. Runs are stored by block; a block is an hour unless stated otherwise. A query over
an interval reads only the blocks that it touches, however many intervals were added before. Longer blocks save memory
for amounts that rarely change. Shorter blocks save time for amounts that change often.

Invariants:
    1. The runs of a block are in order, without overlap; equal neighbours are one run; no run has amount 0.
    2. Timelines with the same amounts are equal, in whatever order the amounts were added.
"""

from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import Final

from immutables import Map

HOUR_SECONDS: Final = 3_600
Run = tuple[int, int, int]
"""Start and end in seconds, half-open, and the amount."""
Timeline = Map[int, tuple[Run, ...]]
"""Runs by the number of their block: its start in seconds, divided by the block's length."""
EMPTY: Final[Timeline] = Map()
"""The timeline with amount 0 at every second."""
_START, _END = itemgetter(0), itemgetter(1)


class Tally:
    """Builds a changed copy of a timeline; `seal` returns it. The original is not changed.

    Args:
        base: The timeline.
        block_seconds: Length of its blocks.
    """

    __slots__ = ("_base", "_block", "_changed")

    def __init__(self, base: Timeline, block_seconds: int = HOUR_SECONDS) -> None:
        self._base = base
        self._block = block_seconds
        self._changed: dict[int, tuple[Run, ...]] = {}

    def _get(self, number: int) -> tuple[Run, ...]:
        runs = self._changed.get(number)
        return self._base.get(number, ()) if runs is None else runs

    def find_peak(self, start: int, end: int) -> tuple[int, int]:
        """Return the greatest amount at any second of ``[start, end)``, and the first second with that amount.

        If no amount there is above 0, return 0 and `start`.
        """
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
        """Return the timeline with all changes so far."""
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
    """Return ordered pieces as runs: without zero amounts, and with equal neighbours merged."""
    merged: list[Run] = []
    for begin, stop, amount in pieces:
        if not amount:
            continue
        if merged and merged[-1][1] == begin and merged[-1][2] == amount:
            merged[-1] = (merged[-1][0], stop, amount)
        else:
            merged.append((begin, stop, amount))
    return tuple(merged)
