"""Rows of cap tables in full, explained, and played on a branch."""

from decimal import Decimal

from tests.api.rows import Row, World
from tests.api.rows_equity import build_round
from tests.api.rows_issuers import at

RANGE = {"low_usd": "10000000", "high_usd": "30000000", "points": 3}


def build_plot(world: World, **more) -> dict:
    return {"terms": build_round(world, class_id="series-x")["terms"], "range": RANGE, **more}


def sums(report: dict) -> bool:
    held = sum(line["fully_diluted_shares"] for line in report["holders"])
    return (
        all(line["name"] for line in report["holders"])
        and held + report["plan"]["available_shares"] == report["fully_diluted_shares"] > 0
    )


def is_explained(explained: dict) -> bool:
    return bool(explained["rows"]) and all(
        sum(int(entry["change"]) for entry in row["entries"]) == row["shares"] for row in explained["rows"]
    )


def build_scenario(world: World, **more) -> dict:
    plot = build_plot(world)
    return {"terms": {**plot["terms"], **more}}


def has_converted(scenario: dict) -> bool:
    """Tell whether all that is outstanding became shares, and whether these are what lies between the tables."""
    before, after = scenario["before"], scenario["after"]
    converted = sum(each["shares"] for each in scenario["conversions"])
    pending = sum(Decimal(line["outstanding_usd"]) for line in before["instruments"])
    left = sum(Decimal(line["outstanding_usd"]) for line in after["instruments"])
    return pending > left == 0 and 0 < converted < after["outstanding_shares"] - before["outstanding_shares"]


CAP_TABLES = (
    Row("GET", at("/cap-table/report"), refused=("known=-1", 422, "request_invalid"), check=sums),
    Row("GET", at("/cap-table/explain"), refused=("at=soon", 422, "request_invalid"), check=is_explained),
    Row(
        "POST",
        at("/cap-table/scenario"),
        body=build_scenario,
        refused=(lambda world: build_scenario(world, share_rounding=None), 422, "missing_convention"),
        check=has_converted,
    ),
    Row(
        "POST",
        at("/what-if/rounds"),
        body=build_plot,
        refused=(lambda world: build_plot(world, range={**RANGE, "points": 500}), 422, "too_many_points"),
        check=lambda points: (
            [point["pre_money_usd"] for point in points] == ["10000000.00", "20000000.00", "30000000.00"]
        ),
    ),
    Row(
        "POST",
        at("/what-if/rounds"),
        body=lambda world: build_plot(world, format="csv"),
        refused=(lambda world: build_plot(world, format="xls"), 422, "body_invalid"),
        check=lambda text: text.startswith(
            "pre_money_usd,price_usd_per_share,holder_id,holder,shares_before,shares,part_before,part,dilution,refused\n"
        ),
    ),
    Row(
        "POST",
        at("/what-if/exits"),
        body={"range": RANGE},
        refused=({"range": {**RANGE, "high_usd": "1"}}, 422, "range_impossible"),
        check=lambda points: sum(Decimal(each["amount_usd"]) for each in points[0]["holders"]) == 10_000_000,
    ),
)
ASSUMED = {"success_part": "0.2", "multiple": "10", "cost_per_granted_usd": "0.5", "grants": 20}
BOOKS = (
    Row(
        "GET",
        "/v1/parties/{fund}/portfolio?retail=H100_SXM:4",
        "fund",
        refused=("retail=H100", 422, "request_invalid"),
        check=lambda portfolio: portfolio["positions"] and portfolio["sums"]["cost_usd"] != "0.00",
    ),
    Row(
        "POST",
        "/v1/parties/{fund}/portfolio/recovery",
        "fund",
        ASSUMED,
        refused=({**ASSUMED, "success_part": "2"}, 422, "fraction_out_of_range"),
        check=lambda answer: answer["table"][0]["parts"][0] == "0.5" and answer["trials"] == 1_000,
    ),
)
