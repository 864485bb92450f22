"""What is left of a grant against time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree as ET

from marketplace.plots.burn_down import render_burn_down

START = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def read_line(drawing, css):
    path = next(one for one in drawing.iter() if one.get("class") == f"line {css}")
    return [tuple(map(float, point.split(","))) for point in path.get("d").removeprefix("M").split(" L")]


def test_each_line_falls_from_what_was_granted_and_today_is_marked():
    full = (START, Decimal(480))
    drawing = ET.fromstring(  # noqa: S314 - our own drawing
        render_burn_down(
            [full, (START + 20 * DAY, Decimal(0))],
            [full, (START + 10 * DAY, Decimal(264))],
            [full, (START + 5 * DAY, Decimal(480)), (START + 5 * DAY, Decimal(360))],
            [(START + 10 * DAY, Decimal(264)), (START + 20 * DAY, Decimal(24))],
            START + 10 * DAY,
        )
    )
    plan, delivered, billed = (read_line(drawing, css) for css in ("plan", "s1", "s2"))
    assert plan[0] == delivered[0] == billed[0]
    middle = (plan[0][0] + plan[1][0]) / 2
    assert delivered[1][0] == middle
    assert delivered[1][1] < (plan[0][1] + plan[1][1]) / 2  # less is delivered than planned: more is left, higher up
    assert billed[1][0] == billed[2][0] < middle
    assert read_line(drawing, "s1 projected")[0] == delivered[1]
    mark = next(one for one in drawing.iter() if one.get("class") == "mark")
    assert float(mark.get("x1")) == middle
    assert drawing.get("aria-label") == "GPU-hours left of 480: 264."
