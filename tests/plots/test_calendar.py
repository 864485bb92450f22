"""The capacity calendar as a heat map."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest

from marketplace.plots.calendar import Lane, list_cells, render_calendar
from marketplace.plots.svg import render_file
from marketplace.projections.views.supply import CapacityStep

DAY = timedelta(days=1)
START = datetime(2026, 12, 1, tzinfo=UTC)


def step(begin, end, *nodes):
    offered, reserved, resold, failed = nodes
    free = max(0, offered - reserved - failed)
    span = {"start": START + begin * DAY, "end": START + end * DAY}
    levels = {"offered": offered, "reserved": reserved, "resold": resold, "failed": failed, "free": free}
    return CapacityStep(pool_id="pol_1", **span, **levels)


@pytest.mark.parametrize(
    ("steps", "cells"),
    [
        ([step(0, 90, 4, 3, 1, 0)], [(0, 90, 2, 1, 0, 1)]),
        ([step(0, 2, 4, 0, 0, 0), step(2, 3, 4, 4, 0, 2)], [(0, 2, 0, 0, 0, 4), (2, 3, 4, 0, 2, 0)]),
        # A column of a year is four days: of them three idle and one sold.
        (
            [step(0, 3, 4, 0, 0, 0), step(3, 4, 4, 4, 0, 0), step(4, 365, 0, 0, 0, 0)],
            [(0, 4, 1, 0, 0, 3), (4, 365, 0, 0, 0, 0)],
        ),
    ],
)
def test_a_cell_is_the_mean_of_its_time_and_equal_neighbours_are_one(steps, cells):
    found = list_cells(Lane("pool", 4, steps))
    assert [((one.start - START) / DAY, (one.end - START) / DAY, *one[2:]) for one in found] == [
        (begin, end, *map(Decimal, nodes)) for begin, end, *nodes in cells
    ]


def test_a_file_holds_its_colours_and_tells_each_cell_in_words():
    lane = Lane("<pool> & co", 4, [step(0, 1, 4, 3, 1, 1), step(1, 2, 0, 0, 0, 0)])
    drawing = ET.fromstring(render_file(render_calendar([lane], now=START)))  # noqa: S314 - our own drawing
    texts = {one.text for one in drawing.iter() if one.text}
    assert "<pool> & co" in texts
    assert "2026-12-01 00:00 to 2026-12-02 00:00: nodes 2 sold, 1 resold, 1 failed, 0 idle" in texts
    assert any(".plot .sold" in text for text in texts)
    kinds = [one.get("class") or one.get("fill") for one in drawing.iter("{http://www.w3.org/2000/svg}rect")]
    assert kinds.count("url(#calendar-failed)") == 2  # of the legend, and of the cell
