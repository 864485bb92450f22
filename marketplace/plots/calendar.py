"""The capacity calendar as a heat map: what the nodes of each pool do in each period.

Within a cell the height of a colour is its share of the pool's nodes. Sold capacity fills a cell from below, failed
nodes cover it from above. Patterns tell the same as colours.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Final, NamedTuple

from marketplace.plots.lanes import LABEL_WIDTH, LANE_HEIGHT, TEXT_WIDTH, render_lanes
from marketplace.plots.svg import Axis, render_label
from marketplace.projections.views.supply import CapacityStep

_HOUR: Final = timedelta(hours=1)
_COLUMNS_MAX: Final = 96
_COLUMN_HOURS: Final = (1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 720, 2_160, 8_760)
KINDS: Final = ("sold", "resold", "failed", "idle")
_PATTERNS: Final = {
    "resold": '<circle class="over" cx="2" cy="2" r="1.2"/><circle class="over" cx="5" cy="5" r="1.2"/>',
    "failed": '<path class="over" d="M-1,1 l2,-2 M0,6 l6,-6 M5,7 l2,-2"/>',
}


@dataclass(frozen=True)
class Lane:
    """One pool.

    Attributes:
        label: Its name for readers.
        nodes: How many nodes it has.
        steps: Its capacity over the span of the chart, without gaps.
    """

    label: str
    nodes: int
    steps: Sequence[CapacityStep]

    @cached_property
    def cells(self) -> list["Cell"]:
        """What its nodes do, as the heat map shows it."""
        return list_cells(self)


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
    """Return a pool's cells as the heat map shows them: at most 96 of equal width, where equal neighbours are one."""
    start, end = lane.steps[0].start, lane.steps[-1].end
    width = next((hours for hours in _COLUMN_HOURS if (end - start) / _HOUR <= hours * _COLUMNS_MAX), 87_600) * _HOUR
    cells: list[Cell] = []
    first = 0
    for column in range(-((start - end) // width)):
        begin = start + column * width
        until = min(end, begin + width)
        while lane.steps[first].end <= begin:
            first += 1
        cell = _average(itertools.islice(lane.steps, first, None), begin, until)
        if cells and cells[-1][2:] == cell[2:]:
            cell = cell._replace(start=cells.pop().start)
        cells.append(cell)
    return cells


def _average(steps: Iterable[CapacityStep], start: datetime, end: datetime) -> Cell:
    seconds = dict.fromkeys(KINDS, 0)
    for step in steps:
        if step.start >= end:
            break
        inner = int((min(end, step.end) - max(start, step.start)).total_seconds())
        nodes = (step.reserved - step.resold, step.resold, step.failed, step.free)
        for kind, count in zip(KINDS, nodes, strict=True):
            seconds[kind] += count * inner
    whole = Decimal(int((end - start).total_seconds()))
    return Cell(start, end, *(Decimal(seconds[kind]) / whole for kind in KINDS))


def render_calendar(lanes: Sequence[Lane], *, now: datetime | None = None) -> str:
    """Return the heat map of at least one pool.

    Args:
        lanes: The pools, all over the same span.
        now: An instant to mark.
    """
    start, end = lanes[0].steps[0].start, lanes[0].steps[-1].end
    title = f"Capacity of {len(lanes)} pools, from {start:%Y-%m-%d} to {end:%Y-%m-%d}. The table below says the same."

    def draw(lane: Lane, x: Axis, top: float) -> Iterator[str]:
        for cell in lane.cells:
            yield from _render_cell(cell, lane, x, top)

    return render_lanes([(lane.label, lane) for lane in lanes], (start, end), draw, title, _KEY, now=now)


def _render_cell(cell: Cell, lane: Lane, x: Axis, top: float) -> Iterator[str]:
    left, right = x.place(cell.start.timestamp()), x.place(cell.end.timestamp())
    width = round(max(0.5, right - left - 1), 1)
    unit = LANE_HEIGHT / max(lane.nodes, 1)
    words = ", ".join(f"{render_nodes(getattr(cell, kind))} {kind}" for kind in KINDS)
    yield f"<g><title>{cell.start:%Y-%m-%d %H:%M} to {cell.end:%Y-%m-%d %H:%M}: nodes {words}</title>"
    yield f'<rect class="none" x="{left}" y="{top}" width="{width}" height="{LANE_HEIGHT}"/>'
    bottom = float(top + LANE_HEIGHT)
    for kind in ("sold", "resold", "idle"):
        height = min(float(getattr(cell, kind)) * unit, bottom - top)
        bottom -= height
        yield from _render_block(kind, left, bottom, width, height)
    yield from _render_block("failed", left, top, width, min(float(cell.failed) * unit, LANE_HEIGHT))
    sold = (cell.sold + cell.resold) / max(lane.nodes, 1)
    if width >= TEXT_WIDTH and sold:
        yield render_label(left + width / 2, top + 17, f"{sold:.0%}", anchor="middle", css="value")
    yield "</g>"


def _render_block(kind: str, left: float, top: float, width: float, height: float) -> Iterator[str]:
    if height > 0:
        place = f'x="{left}" y="{top:.1f}" width="{width}" height="{height:.1f}"'
        yield f'<rect class="{kind}" {place}/>'
        if kind in _PATTERNS:
            yield f'<rect fill="url(#calendar-{kind})" {place}/>'


def _render_key() -> Iterator[str]:
    yield "<defs>"
    for kind, drawing in _PATTERNS.items():
        yield f'<pattern id="calendar-{kind}" width="6" height="6" patternUnits="userSpaceOnUse">{drawing}</pattern>'
    yield "</defs>"
    for at, kind in enumerate(KINDS):
        left = LABEL_WIDTH + at * 84
        yield from _render_block(kind, left, 4, 18, 12)
        yield render_label(left + 24, 14, kind)


_KEY: Final = tuple(_render_key())


def render_nodes(nodes: Decimal) -> str:
    """Return a mean number of nodes with at most one place."""
    return f"{nodes:.1f}".removesuffix(".0")
