"""A package of others: its own ids, several plans, options cancelled; what has no counterpart is refused by name."""

import pytest

from marketplace.domain.equity.issuer.state import total_shares
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import MANIFEST, render_package
from marketplace.ocf.sidecar import NAME as SIDECAR
from marketplace.ocf.sidecar import parse_sidecar
from tests.ocf.foreign import (
    CANCELLED,
    CLASSES,
    EXERCISED,
    GIVEN_UP_LATER,
    OPTION,
    PLANS,
    PREFERRED,
    PREFERRED_STOCK,
    RATE,
    REST,
    SAFE,
    SPLIT,
    STAKEHOLDERS,
    STOCK,
    THIRDS,
    WARRANT,
    note,
    pack,
    safe,
    usd,
    without,
)
from tests.ocf.package_tools import judge, take_in


def test_a_package_of_others_is_taken_over_under_our_own_ids():
    files = pack()
    assert check_files(files) == ()
    history = take_in(files)
    issuer = history.get_issuer()
    totals = total_shares(issuer)
    assert (totals.stock, totals.options, totals.warrants, totals.pool) == (1_000, 100, 50, 1_900)
    assert list(issuer.classes) == ["class-a-common"]
    assert {name.name for name in issuer.stakeholders.values()} == {"Ann", "Ben", "Cat"}
    (instrument,) = history.list_instruments().values()
    assert (instrument.outstanding_usd, instrument.issued.funding) == (100_000, "paid_at_once")
    origins = history.get_origins()
    assert {"issuer", "c0ffee", "s1", "o1", "n1", "w1", "0", "1", "2"} <= set(origins.values())
    assert [act.time.date().isoformat() for act in history.acts if act.aggregate != issuer.formed.issuer_id] == [
        "2021-06-01"
    ] * 2


def test_a_cancellation_gives_its_shares_back_to_the_pool_and_the_balance_is_the_same_option():
    exercised = {
        "object_type": "TX_EQUITY_COMPENSATION_EXERCISE",
        "id": "t11",
        "date": "2021-06-01",
        "security_id": "o2",
        "quantity": "10",
        "resulting_security_ids": ["s11"],
    }
    stock = {**STOCK, "id": "t12", "security_id": "s11", "quantity": "10", "stakeholder_id": "1", "date": "2021-06-01"}
    files = pack((STOCK, OPTION, CANCELLED, REST, exercised, stock))
    assert check_files(files) == ()
    issuer = take_in(files).get_issuer()
    totals = total_shares(issuer)
    assert (totals.stock, totals.options, totals.pool) == (1_010, 50, 1_940)
    assert len(issuer.options) == 1


def test_preferred_stock_that_was_converted_is_taken_over():
    preferred = {
        **PREFERRED,
        "name": "Warrants",
        "liquidation_preference_multiple": "1",
        "participation_cap_multiple": "3",
    }
    bought = {**STOCK, "id": "t8", "security_id": "s8", "stock_class_id": "p", "quantity": "100"}
    converted = {
        "object_type": "TX_STOCK_CONVERSION",
        "id": "t13",
        "date": "2021-09-01",
        "security_id": "s8",
        "quantity_converted": "100",
        "resulting_security_ids": ["s13"],
    }
    common = {**STOCK, "id": "t14", "security_id": "s13", "quantity": "100", "date": "2021-09-01"}
    raised = {
        "object_type": "TX_STOCK_CLASS_AUTHORIZED_SHARES_ADJUSTMENT",
        "id": "t15",
        "date": "2021-10-01",
        "stock_class_id": "c0ffee",
        "new_shares_authorized": "2000000",
    }
    files = pack((STOCK, bought, converted, common, raised), classes=[*CLASSES, preferred])
    assert check_files(files) == ()
    issuer = take_in(files).get_issuer()
    assert [shares for _, shares in sorted(issuer.holdings.items())] == [1_100]
    assert issuer.classes["class-a-common"].shares_authorised == 2_000_000
    assert issuer.classes["warrants-2"].created.participation_cap_multiple == 3


REFUSED = [
    ("conversion_timing_missing", {"transactions": (safe(conversion_timing=...),)}),
    ("convertible_not_kept", {"transactions": ({**SAFE, "convertible_type": "NOTE"},)}),
    ("note_rates_not_one", {"transactions": (note(interest_rates=[RATE, RATE]),)}),
    ("note_interest_paid_out", {"transactions": (note(interest_payout="CASH"),)}),
    ("note_compounds_daily", {"transactions": (note(compounding_type="COMPOUNDING"),)}),
    ("note_maturity_missing", {"transactions": (note(interest_rates=[without(RATE, "accrual_end_date")]),)}),
    ("currency_not_kept", {"transactions": ({**STOCK, "share_price": {"amount": "1", "currency": "EUR"}},)}),
    ("shares_not_whole", {"transactions": ({**STOCK, "quantity": "10.5"},)}),
    ("compensation_not_kept", {"transactions": ({**OPTION, "compensation_type": "RSU"},)}),
    ("plan_missing", {"transactions": (without(OPTION, "stock_plan_id"),)}),
    ("warrant_incomplete", {"transactions": (without(WARRANT, "quantity"),)}),
    ("warrant_incomplete", {"transactions": (without(WARRANT, "warrant_expiration_date"),)}),
    ("authorised_shares_missing", {"classes": [{**CLASSES[0], "initial_shares_authorized": "UNLIMITED"}]}),
    ("seniority_not_whole", {"classes": [{**CLASSES[0], "seniority": "1.5"}]}),
    ("preference_missing", {"classes": [*CLASSES, PREFERRED]}),
    ("preference_unexpected", {"classes": [{**CLASSES[0], "participation_cap_multiple": "2"}]}),
    (
        "split_of_some_classes",
        {
            "classes": [*CLASSES, {**PREFERRED, "liquidation_preference_multiple": "1"}],
            "transactions": (STOCK, PREFERRED_STOCK, SPLIT),
        },
    ),
    (
        "shares_not_whole",
        {"transactions": (STOCK, WARRANT, *EXERCISED, GIVEN_UP_LATER, {**SPLIT, "split_ratio": THIRDS})},
    ),
    ("authorised_shares_missing", {"classes": [{**CLASSES[0], "initial_shares_authorized": "0"}]}),
    (
        "cancelled_shares_retired",
        {
            "plans": [{**PLANS[0], "default_cancellation_behavior": "RETIRE"}],
            "transactions": (STOCK, OPTION, CANCELLED, REST),
        },
    ),
    ("amount_too_precise", {"transactions": ({**SAFE, "investment_amount": usd("0.0000001")},)}),
    ("cap_below_commitment", {"transactions": (safe(conversion_valuation_cap=usd("1")),)}),
    ("discount_whole", {"transactions": (safe(conversion_discount="1"),)}),
    (
        "conversion_without_stock",
        {
            "transactions": (
                STOCK,
                {
                    "object_type": "TX_STOCK_CONVERSION",
                    "id": "t7",
                    "date": "2021-09-01",
                    "security_id": "s1",
                    "quantity_converted": "1000",
                    "resulting_security_ids": [],
                },
            )
        },
    ),
    (
        "transaction_not_importable",
        {
            "transactions": (
                STOCK,
                {
                    "object_type": "TX_STOCK_CLASS_CONVERSION_RATIO_ADJUSTMENT",
                    "id": "t7",
                    "date": "2021-09-01",
                    "stock_class_id": "c0ffee",
                    "new_ratio_conversion_mechanism": {
                        "type": "RATIO_CONVERSION",
                        "conversion_price": usd("1"),
                        "ratio": {"numerator": "1", "denominator": "1"},
                        "rounding_type": "NORMAL",
                    },
                },
            )
        },
    ),
]


@pytest.mark.parametrize(("code", "parts"), REFUSED)
def test_what_has_no_counterpart_is_refused_by_name(code, parts):
    verdict = judge(pack(**parts))
    assert verdict.intake is None
    problems = {each.code for each in verdict.findings if each.level == "problem"}
    assert code in problems, verdict.findings


def test_a_split_of_every_class_is_taken_over():
    history = take_in(pack((STOCK, OPTION, SPLIT)))
    totals = total_shares(history.get_issuer())
    assert (totals.stock, totals.options, totals.pool) == (2_000, 200, 3_800)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Ann\0", "text_unprintable"),
        ("Ann\x1b[2J", "text_unprintable"),
        ("Ann\u202egnp", "text_unprintable"),
        ("A\u200bnn", "text_unprintable"),
        ("Ann  Lee", "text_unprintable"),
        ("Ann\nLee", "text_unprintable"),
        (" \u3000", "text_blank"),
    ],
)
def test_a_name_that_no_request_may_have_is_a_problem(name, code):
    odd = [{**STAKEHOLDERS[0], "name": {"legal_name": name}}, *STAKEHOLDERS[1:]]
    verdict = judge(pack(stakeholders_files=odd))
    assert verdict.intake is None
    assert [(each.code, each.item) for each in verdict.findings if each.level == "problem"] == [(code, "STAKEHOLDER 0")]


def test_a_package_that_this_market_exported_may_not_have_such_a_name_either():
    made = render_package(take_in(pack((STOCK,))))
    odd = render_package(parse_sidecar(made[SIDECAR].replace(b'"name": "Ann"', b'"name": "Ann\\u0000"')))
    assert [(each.code, each.file) for each in judge(odd).findings] == [("text_unprintable", SIDECAR)]


def test_neither_a_reason_nor_an_id_may_hold_what_is_not_text():
    reason = judge(pack((STOCK, OPTION, {**CANCELLED, "reason_text": "left\0"}, REST)))
    assert {each.code for each in reason.findings if each.level == "problem"} == {"text_unprintable"}
    files = pack((STOCK,))
    files |= {MANIFEST: files[MANIFEST].replace(b'"id": "issuer"', b'"id": "issuer\\u0000"')}
    assert {each.code for each in judge(files).findings if each.level == "problem"} == {"text_unprintable"}


def test_a_name_that_is_too_long_for_an_event_is_refused_and_not_written():
    long = [{**STAKEHOLDERS[0], "name": {"legal_name": "x" * 201}}, *STAKEHOLDERS[1:]]
    verdict = judge(pack(stakeholders_files=long))
    assert verdict.intake is None
    assert "value_out_of_range" in {each.code for each in verdict.findings}


def test_a_package_with_more_acts_than_one_append_holds_is_refused():
    many = tuple({**STOCK, "id": f"x{n}", "security_id": f"x{n}", "quantity": "1"} for n in range(1_000))
    verdict = judge(pack(many))
    assert verdict.intake is None
    assert "package_too_large" in {each.code for each in verdict.findings}
