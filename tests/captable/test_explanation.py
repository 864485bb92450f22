"""Every number of a cap table is the sum of what its events changed, as of any instant and sequence."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from events.issuer import IssuerConversionPriceAdjusted
from marketplace.captable import diagnostics
from marketplace.captable.explanation import explain_cap_table
from marketplace.captable.history import Act, build_history
from marketplace.captable.report import build_report
from marketplace.core.errors import Refusal
from marketplace.core.money import render_ratio, round_shares
from marketplace.domain.equity.issuer.as_converted import measure_company
from marketplace.domain.equity.issuer.state import list_rows, total_shares
from tests.captable.company import DRAWDOWN, FORMED_ON, FUND, ISS, OPTION, WARRANT, live


@pytest.fixture(scope="module")
def life():
    return live()


def test_entries_sum_to_rows_and_rows_to_the_table_after_every_act(life):
    history = life.history
    for act in history.acts[8:]:
        past = history.until(at=act.time)
        explained = explain_cap_table(history, at=act.time)
        rows = {(row.kind, row.holder_id, row.security): row.shares for row in explained.rows if row.shares}
        state = past.get_issuer()
        assert rows == {row[:3]: row.shares for row in list_rows(state) if row.shares}
        for row in explained.rows:
            assert sum(entry.change for entry in row.entries) == row.shares == row.entries[-1].after
        numbers = {number.name: number.value for number in explained.numbers}
        assert numbers.get("fully_diluted", 0) == total_shares(state).fully_diluted


def test_what_shares_convert_into_is_led_back_to_issues_splits_and_lowered_prices(life):
    (line,) = [each for each in build_report(life.history, life.time).classes if each.class_id == "series-a"]
    cheaper = IssuerConversionPriceAdjusted(
        issuer_id=ISS,
        class_id="series-a",
        conversion_price_usd_before=render_ratio(line.conversion_price_usd),
        conversion_price_usd=render_ratio(Fraction(line.conversion_price_usd) * Fraction(3, 7)),
        cause=ISS,
    )
    history = build_history(ISS, [*life.history.acts, Act(901, life.time, ISS, cheaper)])
    explained = explain_cap_table(history)
    for each in explained.as_converted:
        assert sum(entry.change for entry in each.entries) == each.shares
        assert each.entries[-1].after == each.shares
    found = {(each.of, each.id): each for each in explained.as_converted}
    company = found["company", None]
    assert company.shares == round_shares(measure_company(history.get_issuer()))
    added = line.outstanding_shares * (Fraction(7, 3) - 1)
    assert abs(Fraction(company.entries[-1].change) - added) < Fraction(1, 10**5)
    assert (company.entries[-1].sequence, company.entries[-1].type) == (901, "issuer.conversion_price_adjusted.v1")
    assert found["class", "series-a"].entries[-1].sequence == 901
    report = build_report(history, life.time)
    for holder in report.holders:
        assert found["holder", holder.holder_id].shares == holder.as_converted_shares
        assert found["holder", holder.holder_id].name == holder.name
    alone = explain_cap_table(history, holder_id=FUND)
    assert [(each.of, each.id) for each in alone.as_converted] == [("holder", FUND)]
    assert explain_cap_table(history, security=OPTION).as_converted == ()


def test_numbers_and_principal_are_led_back_to_their_events(life):
    explained = explain_cap_table(life.history)
    numbers = {number.name: number for number in explained.numbers}
    assert {"reserved", "granted", "available", "authorised/common", "outstanding/series-a"} <= set(numbers)
    for number in explained.numbers:
        assert sum(entry.change for entry in number.entries) == number.value
    available = numbers["available"]
    assert [entry.type for entry in available.entries][:3] == [
        "issuer.stock_plan_adjusted.v1",
        "issuer.stock_split.v1",
        "issuer.option_granted.v1",
    ]
    (drawn,) = (each for each in explained.principal if each.instrument_id == DRAWDOWN)
    assert [entry.change for entry in drawn.entries] == [160_000, 140_000, -40_000, -260_000, 50_000]
    assert drawn.outstanding_usd == 50_000
    events = {act.sequence for act in life.history.acts}
    assert all(entry.sequence in events for entry in drawn.entries)


def test_one_holder_or_one_security_is_explained_alone(life):
    of_fund = explain_cap_table(life.history, holder_id=FUND)
    assert {row.holder_id for row in of_fund.rows} == {FUND}
    assert {row.security for row in of_fund.rows} >= {WARRANT, "common"}
    assert of_fund.numbers == ()
    option = explain_cap_table(life.history, security=OPTION)
    (row,) = option.rows
    assert [entry.change for entry in row.entries] == [100_000, -40_000]


def test_what_the_log_learned_late_is_not_known_before(life):
    history = life.history
    late = Act(900, FORMED_ON + timedelta(days=10), ISS, next(act.event for act in history.acts if act.sequence == 9))
    learned = build_history(ISS, [act for act in history.acts if act.sequence != 9] + [late])
    assert late.event not in [act.event for act in learned.until(at=life.time, known=899).acts]
    assert late.event in [act.event for act in learned.until(at=life.time, known=900).acts]


def test_a_report_sums_by_holder_class_and_instrument(life):
    report = build_report(life.history, life.time)
    totals = total_shares(life.issuer, life.time)
    assert report.outstanding_shares == totals.stock == sum(line.outstanding_shares for line in report.holders)
    held = sum(line.fully_diluted_shares for line in report.holders)
    assert held + report.plan.available_shares == report.fully_diluted_shares == totals.fully_diluted
    assert sum(line.outstanding_shares for line in report.classes) == totals.stock
    assert report.plan.granted_shares == 100_000
    assert report.plan.exercised_shares == 40_000
    assert report.plan.reserved_shares == report.plan.granted_shares + report.plan.available_shares
    assert {line.outstanding_usd for line in report.instruments} == {Decimal(0), Decimal(50_000), Decimal(100_000)}
    assert sum(line.principal_usd for line in report.holders) == 150_000
    assert sum(line.undrawn_usd for line in report.instruments) == 0


def test_a_series_whose_price_was_protected_counts_as_converted_in_every_part(life):
    plain = build_report(life.history, life.time)
    (line,) = [line for line in plain.classes if line.class_id == "series-a"]
    cheaper = IssuerConversionPriceAdjusted(
        issuer_id=ISS,
        class_id="series-a",
        conversion_price_usd_before=render_ratio(line.conversion_price_usd),
        conversion_price_usd=render_ratio(Fraction(line.conversion_price_usd) / 2),
        cause=ISS,
    )
    acts = [*life.history.acts, Act(901, life.time, ISS, cheaper)]
    report = build_report(build_history(ISS, acts), life.time)
    (after,) = [line for line in report.classes if line.class_id == "series-a"]
    assert after.as_converted_shares == 2 * line.as_converted_shares > 0
    assert after.outstanding_shares == line.outstanding_shares
    whole = report.as_converted_shares
    assert whole == plain.as_converted_shares + line.outstanding_shares
    assert sum(each.as_converted_shares for each in report.holders) + report.plan.available_shares == whole
    for each in report.holders:
        assert each.fully_diluted_part == round_shares(Fraction(each.as_converted_shares) / Fraction(whole))


def test_an_expired_warrant_does_not_count_and_is_told(life):
    before, after = (build_report(life.history, life.time.replace(year=year)) for year in (2029, 2031))
    assert before.fully_diluted_shares - after.fully_diluted_shares == 35_000
    expired = [check for check in after.checks if check.code == "expired_warrant_counted"]
    assert [(check.subject, len(check.sequences)) for check in expired] == [(WARRANT, 1)]
    assert not any(check.code == "expired_warrant_counted" for check in before.checks)


def test_acts_without_approval_are_told_with_their_events(life):
    checks = [check for check in build_report(life.history, life.time).checks if check.code == "approval_missing"]
    acts = {act.sequence: act.event for act in life.history.acts}
    assert {type(acts[check.sequences[0]]).__name__ for check in checks} == {
        "IssuerStockTransferred",
        "IssuerStockRepurchased",
        "IssuerOptionGranted",
        "IssuerWarrantIssued",
    }


def test_a_class_that_could_not_serve_its_warrants_and_an_over_issued_one_are_told(life):
    common = life.issuer.classes["common"]
    for authorised, code in ((common.shares_outstanding, "class_cannot_cover"), (1, "class_over_issued")):
        tight = replace(common, shares_authorised=authorised)
        issuer = replace(life.issuer, classes=life.issuer.classes.set("common", tight))
        assert code in {check.code for check in diagnostics._check_classes(issuer, life.time)}
    overdrawn = replace(life.issuer, shares_reserved=1)
    assert [check.code for check in diagnostics._check_pool(overdrawn)] == ["pool_overdrawn"]


def test_common_stock_that_could_not_serve_every_conversion_and_the_pool_is_told_with_the_numbers(life):
    common = life.issuer.classes["common"]
    whole = measure_company(life.issuer, life.time)
    for authorised, codes in ((int(whole), []), (int(whole) - 1, ["common_cannot_cover"])):
        tight = replace(common, shares_authorised=authorised)
        checks = list(
            diagnostics._check_common(replace(life.issuer, classes=life.issuer.classes.set("common", tight)), life.time)
        )
        assert [check.code for check in checks] == codes
        assert all(f"may have to issue {whole}" in check.text for check in checks)


def test_before_its_formation_there_is_no_table(life):
    for build in (build_report, explain_cap_table):
        with pytest.raises(Refusal) as caught:
            build(life.history, at=FORMED_ON)
        assert caught.value.code == "issuer_unknown"
