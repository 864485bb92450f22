"""Charts of time from left to right with a lane for each of many things, such as pools."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, TypeVar

from marketplace.plots.svg import Axis, render_label, render_svg, render_time_ticks

T = TypeVar("T")
WIDTH: Final = 1_120
LABEL_WIDTH: Final = 232
LANE_HEIGHT: Final = 26
TEXT_WIDTH: Final = 34
"""A number of three figures fits into a cell of this width."""
_GAP: Final = 5
_TOP: Final = 50


def render_lanes(
    lanes: Sequence[tuple[str, T]],
    span: tuple[datetime, datetime],
    draw: Callable[[T, Axis, float], Iterable[str]],
    title: str,
    key: Iterable[str],
    *,
    now: datetime | None = None,
) -> str:
    """Return the chart.

    Args:
        lanes: Each with its label.
        span: First instant, and the instant after the last.
        draw: Renders a lane, given the scale of time in seconds since 1970 and the lane's upper edge.
        title: What screen readers read.
        key: What the colours mean, drawn above the lanes.
        now: An instant to mark.
    """
    start, end = span
    height = _TOP + len(lanes) * (LANE_HEIGHT + _GAP)
    x = Axis(start.timestamp(), end.timestamp(), LABEL_WIDTH, WIDTH - 4)
    parts = [*key, *render_time_ticks(x, _TOP - 8, height)]
    for at, (label, lane) in enumerate(lanes):
        top = _TOP + at * (LANE_HEIGHT + _GAP)
        parts += [render_label(LABEL_WIDTH - 8, top + 17, label, anchor="end"), *draw(lane, x, top)]
    if now is not None and start <= now < end:
        place = x.place(now.timestamp())
        parts.append(f'<line class="mark" x1="{place}" x2="{place}" y1="{_TOP - 4}" y2="{height}"/>')
    return render_svg(parts, title, height, WIDTH)
