"""What a sale pays whom, over its proceeds: areas on top of each other."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from marketplace.captable.plots import ExitPoint
from marketplace.plots.svg import WIDTH, Axis, build_axes, pick_series, render_frame, render_svg, spread_labels

_HEIGHT: Final = 340
_LABELS: Final = 180


class _Band(NamedTuple):
    name: str
    bases: Sequence[Decimal]
    tops: Sequence[Decimal]


def render_waterfall(subject: str, points: Sequence[ExitPoint]) -> str:
    """Return the chart of points in the order of their proceeds, without those at which a sale is refused.

    The holder whom the highest proceeds pay most is at the bottom.
    """
    played = [point for point in points if not point.refused]
    if not played:
        return render_svg((), f"Proceeds of {subject}: no sale is possible in this range", _HEIGHT)
    last = {each.holder_id: each for each in played[-1].holders}
    names = {each.holder_id: each.name for point in played for each in point.holders}
    order = sorted(names, key=lambda holder: -last[holder].amount_usd if holder in last else Decimal(0))
    x_range = (played[0].proceeds_usd, played[-1].proceeds_usd)
    total = max(sum((each.amount_usd for each in point.holders), Decimal(0)) for point in played)
    x, y = build_axes(x_range, (0, total), _HEIGHT, WIDTH - _LABELS)
    parts = list(render_frame(x, y, "Proceeds, USD", "Paid, USD"))
    bases = [Decimal(0)] * len(played)
    middles = []
    for series, holder in enumerate(order):
        amounts = [
            next((each.amount_usd for each in point.holders if each.holder_id == holder), Decimal(0))
            for point in played
        ]
        tops = [base + amount for base, amount in zip(bases, amounts, strict=True)]
        band = _Band(names[holder], bases, tops)
        parts.append(_render_area(x, y, [point.proceeds_usd for point in played], band, pick_series(series)))
        middles.append(y.place((bases[-1] + tops[-1]) / 2))
        bases = tops
    lowest_first = spread_labels(middles[::-1], y.end + 6, y.begin)[::-1]
    for holder, at in zip(order, lowest_first, strict=True):
        share = f" {float(last[holder].part):.1%}" if holder in last else ""
        parts.append(f'<text x="{x.end + 8}" y="{at + 4}">{escape(names[holder])}{share}</text>')
    return render_svg(parts, f"Proceeds of a sale of {subject}, by holder", _HEIGHT)


def _render_area(x: Axis, y: Axis, proceeds: Sequence[Decimal], band: _Band, css: str) -> str:
    upper = [f"{x.place(at)},{y.place(top)}" for at, top in zip(proceeds, band.tops, strict=True)]
    lower = [f"{x.place(at)},{y.place(base)}" for at, base in zip(proceeds, band.bases, strict=True)]
    path = f"M{' L'.join([*upper, *reversed(lower)])} Z"
    return f'<path class="area {css}" d="{path}"><title>{escape(band.name)}</title></path>'
