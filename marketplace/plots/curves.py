"""Supply and demand of one GPU class in an auction, with the price where they met."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from marketplace.plots.svg import (
    Axis,
    build_axes,
    find_range,
    render_frame,
    render_label,
    render_path,
    render_svg,
    spread_labels,
)
from marketplace.projections.views.trading import CurveStep

_WIDTH: Final = 620
_HEIGHT: Final = 280
_GUTTER: Final = 76
"""Room beside the chart for the prices that cleared, so that no line crosses them."""
_ASK_WIDTH: Final = 90
_ABOVE: Final = -6
"""An ask's label stands above its level, since the supply that it is part of runs along it."""
_NAME_WIDTH: Final = 60
_CENT: Final = Decimal("0.01")


def render_curves(
    gpu_class: str, steps: Sequence[CurveStep], prices: Sequence[Decimal], asks: Sequence[Decimal] = ()
) -> str:
    """Return the chart.

    Args:
        gpu_class: The class.
        steps: Both sides, each in the order of its cumulative GPU-hours.
        prices: The uniform prices of its pools; the lowest and the highest are drawn.
        asks: Asks of the provider who looks; each is drawn as ``your ask``.
    """
    volumes = [step.cumulative_gpu_hours for step in steps]
    levels = [step.price_usd_per_gpu_hour for step in steps] + [*prices, *asks]
    x, y = build_axes(find_range(volumes), find_range(levels), _HEIGHT, _WIDTH - _GUTTER)
    parts = list(render_frame(x, y, "GPU-hours", "USD per GPU-hour"))
    for number, side, name in ((1, "ask", "supply"), (2, "bid", "demand")):
        points = _walk([step for step in steps if step.side == side], x, y)
        if points:
            parts.append(render_path(points, f"s{number}"))
            at_x, at_y = points[-1]
            anchor = "end" if at_x > x.end - _NAME_WIDTH else "start"
            parts.append(render_label(at_x, at_y - 6, name, anchor=anchor, css=f"t{number}"))
    cleared = sorted({min(prices), max(prices)}, reverse=True) if prices else []
    for price, label_y in _place_labels(cleared, y):
        at = y.place(price)
        parts.append(f'<line class="mark" x1="{x.begin}" x2="{x.end}" y1="{at}" y2="{at}"/>')
        parts.append(render_label(x.end + 5, label_y, f"cleared at {_name_price(price)}"))
    for ask, label_y in _place_labels(sorted(asks, reverse=True), y, _ABOVE):
        at = y.place(ask)
        parts.append(f'<line class="ask" x1="{x.begin}" x2="{x.begin + _ASK_WIDTH}" y1="{at}" y2="{at}"/>')
        parts.append(render_label(x.begin + 4, label_y, f"your ask {_name_price(ask)}", css="value"))
    title = f"Supply and demand of {gpu_class}."
    if prices:
        title += f" Cleared from {_name_price(min(prices))} to {_name_price(max(prices))} USD per GPU-hour."
    return render_svg(parts, title, _HEIGHT, _WIDTH)


def _place_labels(levels: Sequence[Decimal], y: Axis, below: int = 4) -> Iterable[tuple[Decimal, float]]:
    """Return prices, the highest first, with the places of their labels, so that none covers another."""
    return zip(levels, spread_labels([y.place(one) + below for one in levels], y.end, y.begin), strict=True)


def _walk(steps: Sequence[CurveStep], x: Axis, y: Axis) -> list[tuple[float, float]]:
    points, before = [], 0
    for step in steps:
        level = y.place(step.price_usd_per_gpu_hour)
        points += [(x.place(before), level), (x.place(step.cumulative_gpu_hours), level)]
        before = step.cumulative_gpu_hours
    return points


def _name_price(price: Decimal) -> str:
    """Return a price with two places at least."""
    return str(price.quantize(_CENT) if price == price.quantize(_CENT) else price)
