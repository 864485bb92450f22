"""What is left of a grant against time: as granted, delivered, billed, and as the present rate projects it."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from marketplace.plots.svg import (
    Axis,
    build_axes,
    find_range,
    render_label,
    render_levels,
    render_path,
    render_svg,
    render_time_ticks,
)

Point = tuple[datetime, Decimal]
_WIDTH: Final = 560
_HEIGHT: Final = 280
_TICKS_MAX: Final = 6


def render_burn_down(
    granted: Sequence[Point],
    delivered: Sequence[Point],
    billed: Sequence[Point],
    projected: Sequence[Point],
    now: datetime,
) -> str:
    """Return the chart. Each line is the GPU-hours that are left at an instant, in the order of time.

    Args:
        granted: The plan, from the grant's start to its end.
        delivered: By the provider's meters.
        billed: By statements.
        projected: From the last delivery on; empty where nothing more is delivered.
        now: The instant to mark, if it is within the grant.
    """
    lines = ((granted, "plan"), (projected, "s1 projected"), (billed, "s2"), (delivered, "s1"))
    across, y = build_axes((0, 1), find_range([left for line, _ in lines for _, left in line]), _HEIGHT, _WIDTH)
    x = Axis(granted[0][0].timestamp(), granted[-1][0].timestamp(), across.begin, across.end)
    parts = [*render_time_ticks(x, y.end - 8, y.begin, _TICKS_MAX), *render_levels(x, y)]
    parts.append(render_label(4, y.begin + 24, "GPU-hours left"))
    for line, css in lines:
        if len(line) > 1:
            parts.append(render_path([(x.place(at.timestamp()), y.place(left)) for at, left in line], css))
    if granted[0][0] < now < granted[-1][0]:
        at = x.place(now.timestamp())
        parts.append(f'<line class="mark" x1="{at}" x2="{at}" y1="{y.begin}" y2="{y.end}"/>')
        parts.append(render_label(at + 4, y.end + 12, "now"))
    left = delivered[-1][1] if delivered else granted[0][1]
    return render_svg(parts, f"GPU-hours left of {granted[0][1]:,.0f}: {left:,.0f}.", _HEIGHT, _WIDTH)
