"""The capacity calendar as a heat map: a lane per pool, and what its nodes do in each period.

Within a cell the height of a colour is its share of the pool's nodes. Sold capacity fills a cell from below, failed
nodes cover it from above. Patterns tell the same as colours.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from marketplace.plots.svg import Axis, render_label, render_svg, render_time_ticks
from marketplace.projections.views.supply import CapacityStep

WIDTH: Final = 1_120
_COLUMNS_MAX: Final = 96
_LABEL_WIDTH: Final = 216
_LANE_HEIGHT: Final = 26
_LANE_GAP: Final = 5
_TOP: Final = 50
_TEXT_WIDTH: Final = 34
_HOUR: Final = timedelta(hours=1)
_COLUMN_HOURS: Final = (1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 720, 2_160, 8_760)
KINDS: Final = ("sold", "resold", "failed", "idle")
_PATTERNS: Final = {
    "resold": '<circle class="over" cx="2" cy="2" r="1.2"/><circle class="over" cx="5" cy="5" r="1.2"/>',
    "failed": '<path class="over" d="M-1,1 l2,-2 M0,6 l6,-6 M5,7 l2,-2"/>',
}


class Lane(NamedTuple):
    """One pool.

    Attributes:
        label: Its name for readers.
        nodes: How many nodes it has.
        steps: Its capacity over the span of the chart, without gaps.
    """

    label: str
    nodes: int
    steps: Sequence[CapacityStep]


class Cell(NamedTuple):
    """What a pool's nodes do over a span, as the mean number of nodes.

    Attributes:
        start: First instant.
        end: Instant after the last.
        sold: Nodes of grants that bought them from the provider.
        resold: Nodes of grants that bought them from another grant.
        failed: Nodes that do not work, sold or not.
        idle: Nodes that are for sale and not sold.
    """

    start: datetime
    end: datetime
    sold: Decimal
    resold: Decimal
    failed: Decimal
    idle: Decimal


def list_cells(lane: Lane) -> list[Cell]:
    """Return a pool's cells as the heat map shows them; equal neighbours are one."""
    start, end = lane.steps[0].start, lane.steps[-1].end
    width = next((hours for hours in _COLUMN_HOURS if (end - start) / _HOUR <= hours * _COLUMNS_MAX), 87_600) * _HOUR
    cells: list[Cell] = []
    for column in range(-((start - end) // width)):
        begin = start + column * width
        cell = _average(lane.steps, begin, min(end, begin + width))
        if cells and cells[-1][2:] == cell[2:]:
            cell = cell._replace(start=cells.pop().start)
        cells.append(cell)
    return cells


def _average(steps: Sequence[CapacityStep], start: datetime, end: datetime) -> Cell:
    seconds = dict.fromkeys(KINDS, 0)
    for step in steps:
        inner = min(end, step.end) - max(start, step.start)
        if inner > timedelta(0):
            nodes = (step.reserved - step.resold, step.resold, step.failed, step.free)
            for kind, count in zip(KINDS, nodes, strict=True):
                seconds[kind] += count * int(inner.total_seconds())
    whole = Decimal(int((end - start).total_seconds()))
    return Cell(start, end, *(Decimal(seconds[kind]) / whole for kind in KINDS))


def render_calendar(lanes: Sequence[Lane], *, now: datetime | None = None) -> str:
    """Return the heat map of at least one pool.

    Args:
        lanes: The pools, all over the same span.
        now: An instant to mark.
    """
    start, end = lanes[0].steps[0].start, lanes[0].steps[-1].end
    height = _TOP + len(lanes) * (_LANE_HEIGHT + _LANE_GAP)
    x = Axis(start.timestamp(), end.timestamp(), _LABEL_WIDTH, WIDTH - 4)
    parts = [*_render_legend(), *render_time_ticks(x, _TOP - 8, height)]
    for at, lane in enumerate(lanes):
        top = _TOP + at * (_LANE_HEIGHT + _LANE_GAP)
        parts.append(render_label(_LABEL_WIDTH - 8, top + 17, lane.label, anchor="end"))
        for cell in list_cells(lane):
            parts.extend(_render_cell(cell, lane, x, top))
    if now is not None and start <= now < end:
        at_now = x.place(now.timestamp())
        parts.append(f'<line class="mark" x1="{at_now}" x2="{at_now}" y1="{_TOP - 4}" y2="{height}"/>')
    title = f"Capacity of {len(lanes)} pools, from {start:%Y-%m-%d} to {end:%Y-%m-%d}. The table below says the same."
    return render_svg(parts, title, height, WIDTH)


def _render_legend() -> Iterator[str]:
    yield "<defs>"
    for kind, drawing in _PATTERNS.items():
        yield f'<pattern id="calendar-{kind}" width="6" height="6" patternUnits="userSpaceOnUse">{drawing}</pattern>'
    yield "</defs>"
    for at, kind in enumerate(KINDS):
        left = _LABEL_WIDTH + at * 84
        yield from _render_block(kind, left, 4, 18, 12)
        yield render_label(left + 24, 14, kind)


def _render_cell(cell: Cell, lane: Lane, x: Axis, top: float) -> Iterator[str]:
    left, right = x.place(cell.start.timestamp()), x.place(cell.end.timestamp())
    width = round(max(0.5, right - left - 1), 1)
    unit = _LANE_HEIGHT / max(lane.nodes, 1)
    words = ", ".join(f"{render_nodes(getattr(cell, kind))} {kind}" for kind in KINDS)
    yield f"<g><title>{cell.start:%Y-%m-%d %H:%M} to {cell.end:%Y-%m-%d %H:%M}: nodes {words}</title>"
    yield f'<rect class="none" x="{left}" y="{top}" width="{width}" height="{_LANE_HEIGHT}"/>'
    bottom = float(top + _LANE_HEIGHT)
    for kind in ("sold", "resold", "idle"):
        height = min(float(getattr(cell, kind)) * unit, bottom - top)
        bottom -= height
        yield from _render_block(kind, left, bottom, width, height)
    yield from _render_block("failed", left, top, width, min(float(cell.failed) * unit, _LANE_HEIGHT))
    sold = (cell.sold + cell.resold) / max(lane.nodes, 1)
    if width >= _TEXT_WIDTH and sold:
        yield render_label(left + width / 2, top + 17, f"{sold:.0%}", anchor="middle", css="value")
    yield "</g>"


def _render_block(kind: str, left: float, top: float, width: float, height: float) -> Iterator[str]:
    if height > 0:
        place = f'x="{left}" y="{top:.1f}" width="{width}" height="{height:.1f}"'
        yield f'<rect class="{kind}" {place}/>'
        if kind in _PATTERNS:
            yield f'<rect fill="url(#calendar-{kind})" {place}/>'


def render_nodes(nodes: Decimal) -> str:
    """Return a mean number of nodes with at most one place."""
    text = f"{nodes:.1f}"
    return text.removesuffix(".0")
