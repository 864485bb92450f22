"""The index of a GPU class through time, beside the public prices of clouds."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Final

from marketplace.plots.svg import (
    WIDTH,
    Axis,
    build_axes,
    find_range,
    render_label,
    render_path,
    render_svg,
    render_tick,
    render_time_ticks,
)
from marketplace.projections.views.trading import IndexPoint

_HEIGHT: Final = 280


def render_history(gpu_class: str, points: Sequence[IndexPoint]) -> str:
    """Return the chart: the index of each day, where it was printed or carried, and the median public price."""
    days = [datetime.combine(point.day, time(), UTC).timestamp() for point in points]
    series = {
        "s1": [(day, point.index_usd_per_gpu_hour) for day, point in zip(days, points, strict=True)],
        "s2": [(day, point.list_usd_per_gpu_hour_median) for day, point in zip(days, points, strict=True)],
    }
    values = [value for line in series.values() for _, value in line if value is not None]
    if not values:
        text = f"{gpu_class}: no index and no list price in these days"
        return render_svg([render_label(WIDTH / 2, _HEIGHT / 2, text, anchor="middle")], text, _HEIGHT)
    x, y = build_axes((days[0], days[-1]), find_range(values), _HEIGHT)
    parts = list(_render_frame(x, y))
    for css, line in series.items():
        for run in _split(line):
            parts.append(render_path([(x.place(day), y.place(value)) for day, value in run], css))
            parts += [
                f'<circle class="dot {css}" cx="{x.place(day)}" cy="{y.place(value)}" r="2"/>' for day, value in run[:1]
            ]
    parts.append(render_label(x.end, y.end - 14, "index", anchor="end", css="t1"))
    if any(value is not None for _, value in series["s2"]):
        parts.append(render_label(x.end - 40, y.end - 14, "median list price", anchor="end", css="t2"))
    return render_svg(parts, f"Index of {gpu_class} and the median list price, USD per GPU-hour", _HEIGHT)


def _render_frame(x: Axis, y: Axis) -> Iterator[str]:
    for tick in y.list_ticks():
        at = y.place(tick)
        yield f'<line class="axis" x1="{x.begin}" x2="{x.end}" y1="{at}" y2="{at}"/>'
        yield render_label(x.begin - 6, at + 4, render_tick(tick), anchor="end")
    yield from render_time_ticks(x, y.begin + 15, y.begin + 15)
    yield render_label(4, y.end - 14, "USD per GPU-hour")


def _split(line: Sequence[tuple[float, Decimal | None]]) -> Iterator[list[tuple[float, Decimal]]]:
    """Yield the runs of days with a value."""
    run: list[tuple[float, Decimal]] = []
    for day, value in line:
        if value is not None:
            run.append((day, value))
        elif run:
            yield run
            run = []
    if run:
        yield run
