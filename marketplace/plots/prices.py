"""Prices of an auction as a matrix: pools by periods, each class shaded from its lowest to its highest price."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from marketplace.plots.lanes import LABEL_WIDTH, LANE_HEIGHT, TEXT_WIDTH, render_lanes
from marketplace.plots.svg import Axis, render_label

_SHADES: Final = 5
_KEY_TEXT: Final = "lowest to highest price of a class"


class PriceSpan(NamedTuple):
    """A price of a pool over a span, in US dollars per GPU-hour."""

    start: datetime
    end: datetime
    price: Decimal


class PriceLane(NamedTuple):
    """The prices of one pool.

    Attributes:
        label: Its name for readers.
        group: Prices of the same group, a GPU class, are shaded on one scale.
        spans: Its prices in order.
    """

    label: str
    group: str
    spans: Sequence[PriceSpan]


def render_prices(lanes: Sequence[PriceLane]) -> str:
    """Return the matrix of at least one pool with a price."""
    spans = [span for lane in lanes for span in lane.spans]
    start, end = min(span.start for span in spans), max(span.end for span in spans)
    levels: dict[str, list[Decimal]] = {}
    for lane in lanes:
        levels.setdefault(lane.group, []).extend(span.price for span in lane.spans)

    def draw(lane: PriceLane, x: Axis, top: float) -> Iterator[str]:
        low, high = min(levels[lane.group]), max(levels[lane.group])
        for span in lane.spans:
            shade = int((span.price - low) / (high - low) * (_SHADES - 1) + Decimal("0.5")) if high > low else 0
            yield from _render_span(span, shade, x, top)

    title = f"Prices of {len(lanes)} pools in USD per GPU-hour. The table below says the same."
    return render_lanes([(lane.label, lane) for lane in lanes], (start, end), draw, title, _render_key())


def _render_span(span: PriceSpan, shade: int, x: Axis, top: float) -> Iterator[str]:
    left, right = x.place(span.start.timestamp()), x.place(span.end.timestamp())
    width = round(max(0.5, right - left - 1), 1)
    text = f"{span.price:.2f}"
    yield f"<g><title>{span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M}: {span.price} USD</title>"
    yield f'<rect class="shade{shade}" x="{left}" y="{top}" width="{width}" height="{LANE_HEIGHT}"/>'
    if width >= TEXT_WIDTH:
        yield render_label(left + width / 2, top + 17, text, anchor="middle", css=f"on{shade}")
    yield "</g>"


def _render_key() -> Iterator[str]:
    for shade in range(_SHADES):
        yield f'<rect class="shade{shade}" x="{LABEL_WIDTH + shade * 18}" y="4" width="18" height="12"/>'
    yield render_label(LABEL_WIDTH + _SHADES * 18 + 8, 14, _KEY_TEXT)
