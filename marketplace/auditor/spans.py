"""Amounts over time."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


class Load(NamedTuple):
    """An amount at every instant of ``[start, end)``."""

    start: datetime
    end: datetime
    amount: int


def parse_instant(text: str) -> datetime:
    """Return an RFC 3339 instant."""
    return datetime.fromisoformat(text)


def render_instant(at: datetime) -> str:
    """Return an instant in UTC as RFC 3339 writes it, which ends in ``Z``."""
    try:
        return at.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
    except OverflowError:
        return at.isoformat()


def find_peak(loads: Iterable[Load], start: datetime, end: datetime) -> tuple[int, datetime]:
    """Return the greatest sum over ``[start, end)``, and the first instant at which it is reached."""
    changes: dict[datetime, int] = {start: 0}
    for load in loads:
        begin, stop = max(load.start, start), min(load.end, end)
        if begin < stop:
            changes[begin] = changes.get(begin, 0) + load.amount
            changes[stop] = changes.get(stop, 0) - load.amount
    peak, where, level = 0, start, 0
    for at in sorted(changes):
        level += changes[at]
        if level > peak and at < end:
            peak, where = level, at
    return peak, where
