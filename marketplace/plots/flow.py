"""How a company's ownership flows through its rounds: a bar per point in time, a ribbon per holder."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from marketplace.plots.svg import WIDTH, pick_series, render_svg, spread_labels

_HEIGHT: Final = 340
_TOP: Final = 30
_BOTTOM: Final = 12
_LEFT: Final = 8
_LABELS: Final = 190
_BAR: Final = 20


class Stage(NamedTuple):
    """Who owns which part at a point in time.

    Attributes:
        title: What the bar is called.
        parts: Parts of the whole by name; they sum to 1.
    """

    title: str
    parts: Mapping[str, Fraction]


class _Block(NamedTuple):
    x: float
    top: float
    bottom: float


def render_flow(subject: str, stages: Sequence[Stage]) -> str:
    """Return the chart. Names keep the order and the colour of their first appearance."""
    names = list(dict.fromkeys(name for stage in stages for name in stage.parts))
    columns = [_stack(stage, names, _place(at, len(stages))) for at, stage in enumerate(stages)]
    parts = [part for at, stage in enumerate(stages) for part in _render_title(stage, _place(at, len(stages)))]
    for before, after in pairwise(columns):
        parts += [_render_ribbon(before[name], after[name], names.index(name)) for name in before if name in after]
    for stage, column in zip(stages, columns, strict=True):
        parts += [_render_block(block, name, stage.parts[name], names.index(name)) for name, block in column.items()]
    if columns:
        parts += _render_labels(stages[-1], columns[-1])
    return render_svg(parts, f"Ownership of {subject}: {', '.join(stage.title for stage in stages)}", _HEIGHT)


def _place(at: int, count: int) -> float:
    width = WIDTH - _LEFT - _LABELS - _BAR
    return round(_LEFT + (width * at / (count - 1) if count > 1 else 0), 1)


def _stack(stage: Stage, names: Sequence[str], x: float) -> dict[str, _Block]:
    height, top, blocks = _HEIGHT - _TOP - _BOTTOM, float(_TOP), dict[str, _Block]()
    for name in names:
        if stage.parts.get(name):
            bottom = top + float(stage.parts[name]) * height
            blocks[name] = _Block(x, round(top, 1), round(bottom, 1))
            top = bottom
    return blocks


def _render_title(stage: Stage, x: float) -> Iterator[str]:
    anchor, at = ("start", x) if x == _LEFT else ("middle", x + _BAR / 2)
    yield f'<text class="strong" x="{at}" y="16" text-anchor="{anchor}">{escape(stage.title)}</text>'


def _render_ribbon(before: _Block, after: _Block, series: int) -> str:
    begin, end = before.x + _BAR, after.x
    middle = round((begin + end) / 2, 1)
    upper = f"M{begin},{before.top} C{middle},{before.top} {middle},{after.top} {end},{after.top}"
    lower = f"L{end},{after.bottom} C{middle},{after.bottom} {middle},{before.bottom} {begin},{before.bottom} Z"
    return f'<path class="ribbon {pick_series(series)}" d="{upper} {lower}"/>'


def _render_block(block: _Block, name: str, part: Fraction, series: int) -> str:
    height = max(round(block.bottom - block.top, 1), 0.5)
    return (
        f'<rect class="{pick_series(series)}" x="{block.x}" y="{block.top}" width="{_BAR}" height="{height}">'
        f"<title>{escape(name)}: {float(part):.2%}</title></rect>"
    )


def _render_labels(stage: Stage, column: Mapping[str, _Block]) -> Iterator[str]:
    places = spread_labels([(block.top + block.bottom) / 2 for block in column.values()], _TOP + 6, _HEIGHT - 6)
    for (name, block), y in zip(column.items(), places, strict=True):
        text = f"{escape(name)} {float(stage.parts[name]):.1%}"
        yield f'<text x="{block.x + _BAR + 8}" y="{y + 4}">{text}</text>'
