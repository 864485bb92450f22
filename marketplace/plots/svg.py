"""The parts of a chart as SVG: scales, axes, and marks that a stylesheet colours.

No mark states a colour: classes do, so that one drawing fits a light and a dark page. Everything that
comes from data is escaped.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, quoteattr

Number = int | float | Decimal
STATIC: Final = Path(__file__).parent / "static"
"""The folder of the stylesheet."""
WIDTH: Final = 720
_MARGIN_LEFT: Final = 64
_MARGIN_RIGHT: Final = 12
_MARGIN_TOP: Final = 10
_MARGIN_BOTTOM: Final = 34
_TICKS: Final = 5
_HOUR: Final = timedelta(hours=1)
_DAY_HOURS: Final = 24
_TICK_HOURS: Final = (1, 3, 6, 12, 24, 48, 168, 336, 720, 2_160)
_TIME_TICKS_MAX: Final = 12
_LABEL_WIDTH: Final = 40
SERIES: Final = 8
LINE: Final = 14
"""Pixels between two lines of text."""


class Axis:
    """A linear scale from values to pixels.

    Args:
        low: Least value.
        high: Greatest value. If it is not above `low`, the scale ends at `low` + 1.
        begin: Pixel of the least.
        end: Pixel of the greatest.
    """

    def __init__(self, low: Number, high: Number, begin: float, end: float) -> None:
        self.low, self.high = float(low), float(high)
        if self.high <= self.low:
            self.high = self.low + 1.0
        self.begin, self.end = begin, end

    def place(self, value: Number) -> float:
        """Return the pixel of a value, to a tenth."""
        share = (float(value) - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    def list_ticks(self) -> list[float]:
        """Return round values within the scale."""
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
        first = math.ceil(self.low / step)
        return [round(at * step, 12) for at in range(first, math.floor(self.high / step) + 1)]


def render_levels(x: Axis, y: Axis) -> Iterator[str]:
    """Yield a grid line and a label at each tick of the values."""
    for tick in y.list_ticks():
        at = y.place(tick)
        yield f'<line class="axis" x1="{x.begin}" x2="{x.end}" y1="{at}" y2="{at}"/>'
        yield f'<text x="{x.begin - 6}" y="{at + 4}" text-anchor="end">{render_tick(tick)}</text>'


def render_frame(x: Axis, y: Axis, x_label: str, y_label: str) -> Iterator[str]:
    """Yield grid lines, ticks and labels."""
    yield from render_levels(x, y)
    for tick in x.list_ticks():
        yield f'<text x="{x.place(tick)}" y="{y.begin + 15}" text-anchor="middle">{render_tick(tick)}</text>'
    yield f'<text x="{x.end}" y="{y.begin + 29}" text-anchor="end">{escape(x_label)}</text>'
    yield f'<text x="4" y="{y.end - 14}">{escape(y_label)}</text>'


def build_axes(
    x_range: tuple[Number, Number], y_range: tuple[Number, Number], height: int, width: int = WIDTH
) -> tuple[Axis, Axis]:
    """Return the scales of a chart of this size."""
    return (
        Axis(*x_range, _MARGIN_LEFT, width - _MARGIN_RIGHT),
        Axis(*y_range, height - _MARGIN_BOTTOM, _MARGIN_TOP + 14),
    )


def pick_series(index: int) -> str:
    """Return the class that colours a series, such as ``f1``; colours repeat after eight."""
    return f"f{index % SERIES + 1}"


def spread_labels(places: Sequence[float], top: float, bottom: float) -> list[float]:
    """Return the places of labels, from top to bottom, moved apart so that none covers another where there is room."""
    found: list[float] = []
    for place in places:
        found.append(round(max(place, top if not found else found[-1] + LINE), 1))
    limit = bottom
    for at in range(len(found) - 1, -1, -1):
        found[at] = round(min(found[at], limit), 1)
        limit = found[at] - LINE
    return found


def render_tick(value: float) -> str:
    """Return a value briefly: ``1.5k``, ``20M``."""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def render_time_ticks(x: Axis, label_y: float, bottom: float, ticks_max: int = _TIME_TICKS_MAX) -> Iterator[str]:
    """Yield a line and a label per hour, day, week or so, about `ticks_max`. The scale is in seconds since 1970."""
    begin, end = (datetime.fromtimestamp(at, UTC) for at in (x.low, x.high))
    hours = next((one for one in _TICK_HOURS if (end - begin) / _HOUR <= one * ticks_max), 24 * 366)
    at = begin.replace(hour=begin.hour if hours < _DAY_HOURS else 0, minute=0, second=0, microsecond=0)
    while at <= end:
        if at >= begin:
            place = x.place(at.timestamp())
            yield f'<line class="axis" x1="{place}" x2="{place}" y1="{label_y + 4}" y2="{bottom}"/>'
            text = f"{at:%b} {at.day}" if hours >= _DAY_HOURS else f"{at:%b} {at.day}, {at:%H:%M}"
            if x.end - place >= _LABEL_WIDTH:
                yield render_label(place, label_y, text)
        at += hours * _HOUR


def render_label(x: float, y: float, text: str, *, anchor: str = "start", css: str = "") -> str:
    """Return a line of text, escaped, that begins (``start``), ends (``end``) or has its ``middle`` at a point."""
    name = f' class="{css}"' if css else ""
    return f'<text{name} x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def render_path(points: Iterable[tuple[float, float]], css: str) -> str:
    """Return a line through points."""
    return f'<path class="line {css}" d="M{" L".join(f"{x},{y}" for x, y in points)}"/>'


def render_svg(parts: Iterable[str], title: str, height: int, width: int = WIDTH) -> str:
    """Return a chart with a title that screen readers read. Its parts are SVG, in which data is escaped already."""
    body = "".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {width} {height}" role="img" '
        f"aria-label={quoteattr(title)}><title>{escape(title)}</title>{body}</svg>"
    )


def find_range(values: Sequence[Number]) -> tuple[float, float]:
    """Return a range that holds zero and all values, with 5% of room above."""
    numbers = [0.0, *map(float, values)]
    return min(numbers), max(numbers) * 1.05


def render_file(drawing: str) -> str:
    """Return a chart as a file of its own, with its stylesheet in it."""
    head, _, body = drawing.partition(">")
    style = (STATIC / "plots.css").read_text(encoding="utf-8")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}><style>{style}</style>{body}\n'
