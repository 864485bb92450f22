"""The capacity calendar: pools by periods, each cell by what became of its nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from xml.sax.saxutils import escape

from marketplace.plots.svg import render_svg

_ROW: Final = 22
_LABELS: Final = 150
_TOP: Final = 22
_STATES: Final = (("sold", "f1"), ("resold", "f3"), ("failed", "f4"))


@dataclass(frozen=True, slots=True)
class Cell:
    """Nodes of one pool in one period.

    Attributes:
        start: Its begin.
        offered: Nodes that are offered.
        sold: Of these, sold and not resold.
        resold: Sold on by the startup that had them.
        failed: Not working.
    """

    start: datetime
    offered: int
    sold: int = 0
    resold: int = 0
    failed: int = 0


def render_heat(rows: Sequence[tuple[str, Sequence[Cell]]], title: str) -> str:
    """Return the calendar; `rows` are labelled pools with equal periods."""
    columns = max((len(cells) for _, cells in rows), default=1)
    width = 960
    step = (width - _LABELS) / max(columns, 1)
    parts: list[str] = []
    for at, cell in enumerate(rows[0][1] if rows else ()):
        if at % max(1, columns // 10) == 0:
            day = f"{cell.start.astimezone(UTC):%m-%d}"
            parts.append(f'<text x="{_LABELS + at * step:.1f}" y="14">{day}</text>')
    for index, (label, cells) in enumerate(rows):
        top = _TOP + index * _ROW
        parts.append(f'<text x="0" y="{top + 15}">{escape(label)}</text>')
        parts += [_render_cell(cell, _LABELS + at * step, top, step) for at, cell in enumerate(cells)]
    return render_svg(parts, title, _TOP + max(1, len(rows)) * _ROW + 4, width)


def _render_cell(cell: Cell, left: float, top: int, step: float) -> str:
    height, width = _ROW - 4, f'width="{step - min(1.0, step / 6):.1f}"'
    day = f"{cell.start.astimezone(UTC):%Y-%m-%d %H:%M}"
    words = f"{day}: {cell.offered} offered, {cell.sold} sold, {cell.resold} resold, {cell.failed} failed"
    drawn, bottom = "", float(top + height)
    if cell.offered:
        drawn = f'<rect class="faint" x="{left:.1f}" y="{top}" {width} height="{height}"/>'
        for state, css in _STATES:
            part = height * min(1.0, getattr(cell, state) / cell.offered)
            bottom -= part
            if part:
                drawn += f'<rect class="{css}" x="{left:.1f}" y="{max(bottom, top):.1f}" {width} height="{part:.1f}"/>'
    return f"<g><title>{escape(words)}</title>{drawn}</g>"
