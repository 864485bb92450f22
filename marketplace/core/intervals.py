"""Half-open spans of time and whole amounts over them."""

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import msgspec

from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant


class Load(NamedTuple):
    """An amount at every instant of ``[start, end)``."""

    start: datetime
    end: datetime
    amount: int


def require_aware(at: datetime, pointer: str) -> None:
    """Refuse an instant without an offset.

    Raises:
        Refusal: ``time_naive``.
    """
    if at.tzinfo is None:
        raise Refusal(
            "time_naive", f"{pointer} is {render_instant(at)} without an offset; state one, such as Z", pointer=pointer
        )


def require_span(start: datetime, end: datetime, pointer: str) -> None:
    """Refuse a span whose times have no offset, or whose end is not after its start.

    Raises:
        Refusal: ``time_naive`` or ``span_empty``, in this order.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise Refusal(
            "time_naive",
            f"{render_instant(start)} to {render_instant(end)} needs offsets; state them, such as Z",
            pointer=pointer,
        )
    if end <= start:
        raise Refusal(
            "span_empty",
            f"{pointer} ends at {render_instant(end)}, not after its start {render_instant(start)}",
            pointer=pointer,
            start=render_instant(start),
            end=render_instant(end),
        )


def overlaps(start: datetime, end: datetime, other_start: datetime, other_end: datetime) -> bool:
    """Return whether two half-open spans share an instant."""
    return start < other_end and other_start < end


def find_peak(loads: Iterable[Load], start: datetime, end: datetime) -> tuple[int, datetime]:
    """Return the greatest sum of amounts at any instant of ``[start, end)``, and the first instant with that sum.

    Amounts, and so the sum, may be negative. Cost: n log n.
    """
    steps: dict[datetime, int] = {}
    for load in loads:
        if overlaps(load.start, load.end, start, end):
            begin, stop = max(load.start, start), min(load.end, end)
            steps[begin] = steps.get(begin, 0) + load.amount
            steps[stop] = steps.get(stop, 0) - load.amount
    current, peak, where = steps.get(start, 0), steps.get(start, 0), start
    for at in sorted(steps):
        if start < at < end:
            current += steps[at]
            if current > peak:
                peak, where = current, at
    return peak, where


def build_steps(loads: Iterable[Load], start: datetime, end: datetime) -> list[Load]:
    """Return the sum of amounts over ``[start, end)`` as runs of equal amounts, zero runs included, in order."""
    kept = [load for load in loads if overlaps(load.start, load.end, start, end)]
    bounds = sorted({start, end, *(max(k.start, start) for k in kept), *(min(k.end, end) for k in kept)})
    runs: list[Load] = []
    for begin, stop in pairwise(bounds):
        amount = sum(k.amount for k in kept if k.start <= begin and k.end >= stop)
        if runs and runs[-1].amount == amount:
            runs[-1] = Load(runs[-1].start, stop, amount)
        else:
            runs.append(Load(begin, stop, amount))
    return runs


def find_instant(text: str) -> datetime | None:
    """Return the instant that a text states by RFC 3339, with its offset.

    None for any other text, and for an instant without an offset.
    """
    try:
        instant = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return None if instant.tzinfo is None else instant


def require_forward(start: datetime, end: datetime) -> None:
    """Refuse a query over a span whose end is not after its start.

    Raises:
        Refusal: ``request_invalid``, at ``/end``.
    """
    if end <= start:
        raise Refusal("request_invalid", "the span ends before it starts; swap start and end", pointer="/end")
