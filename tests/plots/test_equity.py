"""Ownership through rounds, and the waterfall of a sale."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from xml.etree import ElementTree as ET

from marketplace.captable.plots import ExitHolder, ExitPoint
from marketplace.plots.areas import render_waterfall
from marketplace.plots.flow import Stage, render_flow
from marketplace.plots.svg import LINE, find_range, spread_labels

SVG = "{http://www.w3.org/2000/svg}"


def parse(drawing):
    return ET.fromstring(drawing)  # noqa: S314 - we made it


def test_bars_are_as_high_as_their_parts_and_ribbons_join_equal_names():
    stages = [Stage("Before", {"A & B": Fraction(1)}), Stage("Seed", {"A & B": Fraction(3, 4), "Fund": Fraction(1, 4)})]
    drawing = parse(render_flow("Firm", stages))
    whole, kept, new = [float(one.attrib["height"]) for one in drawing.iter(f"{SVG}rect")]
    assert (kept, new) == (round(whole * 0.75, 1), round(whole * 0.25, 1))
    assert len([one for one in drawing.iter(f"{SVG}path") if "ribbon" in one.attrib["class"]]) == 1
    assert "A & B 75.0%" in [one.text for one in drawing.iter(f"{SVG}text")]


def paid(proceeds, **amounts):
    return ExitPoint(
        proceeds_usd=Decimal(proceeds),
        holders=tuple(
            ExitHolder(
                holder_id=name,
                name=name,
                amount_usd=Decimal(amount),
                part=Decimal(amount) / Decimal(proceeds),
            )
            for name, amount in amounts.items()
        ),
    )


def test_areas_stand_on_each_other_and_a_refused_price_is_left_out():
    refused = ExitPoint(proceeds_usd=Decimal(1), refused="proceeds_too_low", reason="too low")
    drawing = parse(render_waterfall("Firm", [refused, paid(100, fund=100), paid(400, fund=100, founder=300)]))
    areas = {one[0].text: one.attrib["d"] for one in drawing.iter(f"{SVG}path")}
    assert set(areas) == {"fund", "founder"}
    top_of_founder = areas["founder"].split(" Z")[0].split(" ")[:2]
    bottom_of_fund = areas["fund"].removesuffix(" Z").split(" ")[2:]
    assert [one.lstrip("ML") for one in top_of_founder] == [one.lstrip("L") for one in reversed(bottom_of_fund)]
    assert "no sale is possible" in render_waterfall("Firm", [refused])


def test_labels_do_not_cover_each_other():
    places = spread_labels([10, 11, 95, 96], 0, 100)
    assert all(after - before >= LINE for before, after in pairwise(places))
    assert max(places) <= 100


def test_a_range_holds_zero_and_all_values():
    assert find_range([]) == (0, 0)
    assert find_range([2, 20]) == (0, 21)
    assert find_range([-4, -2]) == (-4, 0)
