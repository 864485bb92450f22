"""Queries on a timeline: sums over a span or over all of it, and its runs."""

from marketplace.core.timeline import HOUR_SECONDS, Run, Timeline, list_blocks, merge_runs


def sum_amounts(timeline: Timeline, start: int, end: int) -> int:
    """Return the sum of amount times seconds over ``[start, end)`` of a timeline whose blocks are hours."""
    total = 0
    for hour in list_blocks(start, end, HOUR_SECONDS):
        for begin, stop, amount in timeline.get(hour, ()):
            total += max(min(stop, end) - max(begin, start), 0) * amount
    return total


def list_runs(timeline: Timeline, start: int, end: int) -> list[Run]:
    """Return the runs in ``[start, end)``, in order and cut at its ends, of a timeline whose blocks are hours."""
    runs = (run for hour in list_blocks(start, end, HOUR_SECONDS) for run in timeline.get(hour, ()))
    return list(
        merge_runs(
            [
                (max(begin, start), min(stop, end), amount)
                for begin, stop, amount in runs
                if begin < end and stop > start
            ]
        )
    )


def sum_all(timeline: Timeline) -> int:
    """Return the sum of amount times seconds over the whole timeline. Its division into blocks does not matter."""
    return sum(amount * (stop - begin) for runs in timeline.values() for begin, stop, amount in runs)
