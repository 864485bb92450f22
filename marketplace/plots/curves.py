"""Supply and demand of one GPU class in an auction, with the price where they met."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from marketplace.plots.svg import Axis, build_axes, find_range, render_frame, render_label, render_path, render_svg
from marketplace.projections.views.trading import CurveStep

_HEIGHT: Final = 300
_ASK_WIDTH: Final = 90


def render_curves(
    gpu_class: str, steps: Sequence[CurveStep], prices: Sequence[Decimal], asks: Sequence[Decimal] = ()
) -> str:
    """Return the chart.

    Args:
        gpu_class: The class.
        steps: Both sides, each in its own order.
        prices: The uniform prices of its pools; the lowest and the highest are drawn.
        asks: Asks of one provider, which are drawn beside them.
    """
    volumes = [step.cumulative_gpu_hours for step in steps]
    levels = [step.price_usd_per_gpu_hour for step in steps] + [*prices, *asks]
    x, y = build_axes(find_range(volumes), find_range(levels), _HEIGHT)
    parts = list(render_frame(x, y, "GPU-hours", "USD per GPU-hour"))
    for side, css in (("ask", "s1"), ("bid", "s2")):
        own = [step for step in steps if step.side == side]
        if own:
            parts.append(render_path(_walk(own, x, y), css))
    for price in sorted({min(prices), max(prices)}) if prices else ():
        at = y.place(price)
        parts.append(f'<line class="mark" x1="{x.begin}" x2="{x.end}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{x.end}" y="{at - 4}" text-anchor="end">cleared at {price}</text>')
    for ask in asks:
        at = y.place(ask)
        parts.append(f'<line class="ask" x1="{x.begin}" x2="{x.begin + _ASK_WIDTH}" y1="{at}" y2="{at}"/>')
        parts.append(render_label(x.begin + _ASK_WIDTH + 6, at + 4, f"your ask {ask}", css="value"))
    words = f" Cleared from {min(prices)} to {max(prices)} USD per GPU-hour." if prices else ""
    return render_svg(parts, f"Supply and demand of {gpu_class}.{words}", _HEIGHT)


def _walk(steps: Sequence[CurveStep], x: Axis, y: Axis) -> list[tuple[float, float]]:
    points, before = [], 0
    for step in steps:
        level = y.place(step.price_usd_per_gpu_hour)
        points += [(x.place(before), level), (x.place(step.cumulative_gpu_hours), level)]
        before = step.cumulative_gpu_hours
    return points
