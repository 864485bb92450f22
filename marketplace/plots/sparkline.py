"""A small line of recent values, to stand in a table."""

from collections.abc import Sequence

from marketplace.plots.svg import Axis, Number, render_path, render_svg

_WIDTH = 96
_HEIGHT = 22


def render_sparkline(values: Sequence[Number], title: str) -> str:
    """Return the line of values, the oldest first, on a scale from zero. Screen readers read the title."""
    x = Axis(0, max(1, len(values) - 1), 2, _WIDTH - 2)
    y = Axis(0, max([*values, 1]), _HEIGHT - 3, 3)
    points = [(x.place(at), y.place(value)) for at, value in enumerate(values)] or [(2, _HEIGHT - 3)]
    last = points[-1]
    parts = [render_path(points, "s1"), f'<circle class="dot" cx="{last[0]}" cy="{last[1]}" r="2"/>']
    return render_svg(parts, title, _HEIGHT, _WIDTH).replace(
        'class="plot"', 'class="plot small" width="96" height="22"'
    )
