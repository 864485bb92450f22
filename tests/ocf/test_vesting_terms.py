"""Vesting terms in a package: an option's schedule, and a warrant's tranches."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

from events.vesting import AmountMilestone, DateMilestone, VestingSchedule, WarrantTranche
from marketplace.domain.equity.issuer.rights_commands import GrantOption, IssueWarrant
from marketplace.domain.equity.issuer.stock_commands import AdjustStockPlan
from marketplace.ocf.container import write_package
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import render_package
from tests.captable.company import EMPLOYEE, FUND, Life, found, make_id
from tests.ocf.package_tools import check_by_published_schema, strip_sidecar, take_in

OPTION, WARRANT = make_id("opt", 41), make_id("wrt", 41)
SCHEDULE = VestingSchedule(
    starts_on=date(2024, 1, 1), tranches=48, months_between=1, cliff_tranches=12, allocation="CUMULATIVE_ROUNDING"
)
PAID = AmountMilestone(basis="paid", amount_usd=Decimal(50_000_000))
TRANCHES = (
    WarrantTranche(shares=100),
    WarrantTranche(shares=200, conditions=((DateMilestone(day=date(2025, 6, 30)),),)),
    WarrantTranche(shares=300, conditions=((PAID,),)),
)


def test_vesting_terms_are_exported_and_named_by_their_securities(tmp_path):
    life = Life()
    found(life)
    life.act(AdjustStockPlan, shares_reserved=1_200_000)
    price = {"exercise_price_usd": Decimal("0.25")}
    life.act(GrantOption, option_id=OPTION, holder_id=EMPLOYEE, shares=4_800, **price, vesting=SCHEDULE)
    terms = {"expires_at": datetime(2030, 1, 1, tzinfo=UTC), "settlement": "cash", "tranches": TRANCHES}
    grants = {"grant_ids": (make_id("grt", 1),)}
    life.act(
        IssueWarrant, warrant_id=WARRANT, holder_id=FUND, class_id="common", shares=600, **price, **terms, **grants
    )
    files = render_package(life.history)
    write_package(tmp_path / "package", files)
    assert check_by_published_schema(tmp_path / "package") == []
    assert check_files(files) == ()
    option, warrant = json.loads(files["VestingTerms.ocf.json"])["items"]
    start, cliff, rest = option["vesting_conditions"]
    assert (option["allocation_type"], start["trigger"]["date"], start["quantity"]) == (
        "CUMULATIVE_ROUNDING",
        "2024-01-01",
        "0",
    )
    assert (cliff["portion"], cliff["trigger"]["period"]["length"]) == ({"numerator": "12", "denominator": "48"}, 12)
    assert (rest["portion"]["numerator"], rest["trigger"]["period"]["occurrences"]) == ("1", 36)
    assert (start["next_condition_ids"], cliff["next_condition_ids"]) == ([cliff["id"]], [rest["id"]])
    at_once, dated, paid = warrant["vesting_conditions"]
    assert at_once["trigger"]["type"] == "VESTING_SCHEDULE_ABSOLUTE"
    assert dated["trigger"]["date"] == "2025-06-30"
    assert (paid["trigger"]["type"], paid["portion"]) == ("VESTING_EVENT", {"numerator": "300", "denominator": "600"})
    assert "50000000" in paid["description"]
    named = {each.get("vesting_terms_id") for each in json.loads(files["Transactions.ocf.json"])["items"]}
    assert {option["id"], warrant["id"]} <= named
    assert render_package(take_in(files)) == files
    assert take_in(strip_sidecar(files)).get_issuer().options.keys()
