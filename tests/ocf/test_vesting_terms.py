"""Vesting terms in a package: an option's schedule, and a warrant's tranches."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from events.vesting import AmountMilestone, DateMilestone, VestingSchedule, WarrantTranche
from marketplace.domain.equity.issuer.rights_commands import CancelOption, GrantOption, IssueWarrant
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
    option = {"option_id": OPTION, "holder_id": EMPLOYEE, "shares": 4_800, **price, "vesting": SCHEDULE}
    life.act(GrantOption, **option, termination_exercise_days=90)
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
    items = json.loads(files["Transactions.ocf.json"])["items"]
    windows = [window for each in items for window in each.get("termination_exercise_windows", ())]
    assert {(each["period"], each["period_type"]) for each in windows} == {(90, "DAYS")}
    named = {each.get("vesting_terms_id") for each in items}
    assert {option["id"], warrant["id"]} <= named
    assert render_package(take_in(files)) == files
    assert take_in(strip_sidecar(files)).get_issuer().options.keys()


@pytest.mark.parametrize("years", [1, 5])
def test_an_end_of_service_is_taken_in_as_it_was_recorded(years):
    life = Life()
    found(life)
    life.act(AdjustStockPlan, shares_reserved=1_200_000)
    terms = {"shares": 4_800, "exercise_price_usd": Decimal("0.25"), "vesting": SCHEDULE}
    life.act(GrantOption, option_id=OPTION, holder_id=EMPLOYEE, **terms, termination_exercise_days=90)
    left = datetime(SCHEDULE.starts_on.year + years, 2, 1, tzinfo=UTC)
    unvested = 3_500 if years == 1 else 0
    ended = {"kind": "forfeited", "reason": "left", "at": left}
    life.act(CancelOption, cancellation_id=make_id("can", 1), option_id=OPTION, shares=unvested, **ended)
    files = render_package(life.history)
    assert check_files(files) == ()
    options = take_in(files).get_issuer().options.values()
    assert [each.shares_outstanding for each in options if each.service_ended_on == left.date()] == [4_800 - unvested]
