"""A package of others: its own ids, several plans, options cancelled; what has no counterpart is refused by name."""

import json

import pytest

from marketplace.domain.issuer import total_shares
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import FILES, MANIFEST
from tests.ocf.package_tools import judge, seal, take_in


def usd(amount):
    return {"amount": amount, "currency": "USD"}


ISSUANCE = {"custom_id": "1", "security_law_exemptions": []}
STAKEHOLDERS = [
    {"object_type": "STAKEHOLDER", "id": f"{n}", "name": {"legal_name": name}, "stakeholder_type": "INDIVIDUAL"}
    for n, name in enumerate(("Ann", "Ben", "Cat"))
]
CLASSES = [
    {
        "object_type": "STOCK_CLASS",
        "id": "c0ffee",
        "name": "Class A Common",
        "class_type": "COMMON",
        "default_id_prefix": "CS-",
        "initial_shares_authorized": "1000000",
        "votes_per_share": "1",
        "seniority": "1",
        "par_value": usd("0.0001"),
    }
]
PLANS = [
    {
        "object_type": "STOCK_PLAN",
        "id": f"plan {n}",
        "plan_name": f"{n}",
        "initial_shares_reserved": "1000",
        "stock_class_id": "c0ffee",
    }
    for n in (1, 2)
]
STOCK = {
    "object_type": "TX_STOCK_ISSUANCE",
    "id": "t1",
    "date": "2021-03-01",
    "security_id": "s1",
    "stakeholder_id": "0",
    "stock_class_id": "c0ffee",
    "share_price": usd("0.01"),
    "quantity": "1000",
    "stock_legend_ids": [],
    **ISSUANCE,
}
OPTION = {
    "object_type": "TX_PLAN_SECURITY_ISSUANCE",
    "id": "t2",
    "date": "2021-04-01",
    "security_id": "o1",
    "stakeholder_id": "1",
    "stock_plan_id": "plan 1",
    "compensation_type": "OPTION_NSO",
    "quantity": "100",
    "exercise_price": usd("0.02"),
    "expiration_date": "2031-04-01",
    "termination_exercise_windows": [],
    **ISSUANCE,
}
CANCELLED = {
    "object_type": "TX_PLAN_SECURITY_CANCELLATION",
    "id": "t3",
    "date": "2021-05-01",
    "security_id": "o1",
    "quantity": "40",
    "reason_text": "left",
    "balance_security_id": "o2",
}
REST = {**OPTION, "id": "t4", "security_id": "o2", "quantity": "60", "date": "2021-05-01"}
MECHANISM = {
    "type": "SAFE_CONVERSION",
    "conversion_mfn": False,
    "conversion_timing": "POST_MONEY",
    "conversion_valuation_cap": usd("5000000"),
}
SAFE = {
    "object_type": "TX_CONVERTIBLE_ISSUANCE",
    "id": "t5",
    "date": "2021-06-01",
    "security_id": "n1",
    "stakeholder_id": "2",
    "investment_amount": usd("100000"),
    "convertible_type": "SAFE",
    "conversion_triggers": [
        {
            "type": "UNSPECIFIED",
            "trigger_id": "x",
            "conversion_right": {"type": "CONVERTIBLE_CONVERSION_RIGHT", "conversion_mechanism": MECHANISM},
        }
    ],
    "seniority": 1,
    **ISSUANCE,
}
WARRANT = {
    "object_type": "TX_WARRANT_ISSUANCE",
    "id": "t6",
    "date": "2021-07-01",
    "security_id": "w1",
    "stakeholder_id": "2",
    "quantity": "50",
    "exercise_price": usd("0.05"),
    "purchase_price": usd("0"),
    "warrant_expiration_date": "2029-01-01",
    "exercise_triggers": [
        {
            "type": "ELECTIVE_AT_WILL",
            "trigger_id": "y",
            "conversion_right": {
                "type": "WARRANT_CONVERSION_RIGHT",
                "conversion_mechanism": {"type": "CUSTOM_CONVERSION", "custom_conversion_description": "as agreed"},
                "converts_to_stock_class_id": "c0ffee",
            },
        }
    ],
    **ISSUANCE,
}


def pack(transactions=(STOCK, OPTION, SAFE, WARRANT), classes=CLASSES, plans=PLANS, **more):
    items = {
        "transactions_files": transactions,
        "stock_classes_files": classes,
        "stock_plans_files": plans,
        "stakeholders_files": STAKEHOLDERS,
        **more,
    }
    files, manifest = {}, {"ocf_version": "1.2.0", "file_type": "OCF_MANIFEST_FILE", "as_of": "2022-01-01"}
    manifest["generated_at"] = "2022-01-01T00:00:00Z"
    manifest["issuer"] = {
        "object_type": "ISSUER",
        "id": "issuer",
        "legal_name": "Acme",
        "formation_date": "2021-01-01",
        "country_of_formation": "US",
    }
    for key, (name, file_type) in FILES.items():
        manifest[key] = [{"filepath": f"./{name}", "md5": "0" * 32}]
        files[name] = json.dumps({"file_type": file_type, "items": list(items.get(key, ()))}).encode()
    manifest = json.dumps(manifest).encode()
    return seal_relative({**files, MANIFEST: manifest})


def seal_relative(files):
    manifest = json.loads(files[MANIFEST])
    sealed = seal({**files, **{f"./{name}": content for name, content in files.items()}, MANIFEST: files[MANIFEST]})
    assert manifest["ocf_version"] == "1.2.0"
    return {name: content for name, content in sealed.items() if not name.startswith("./")}


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
    assert issuer.classes["series-a"].created.participation_cap_multiple == 3


def without(item, *members):
    return {key: value for key, value in item.items() if key not in members}


def safe(**members):
    right = {**SAFE["conversion_triggers"][0]["conversion_right"]}
    right["conversion_mechanism"] = {**MECHANISM, **members}
    for key in [key for key, value in members.items() if value is ...]:
        del right["conversion_mechanism"][key]
    return {**SAFE, "conversion_triggers": [{**SAFE["conversion_triggers"][0], "conversion_right": right}]}


RATE = {"rate": "0.08", "accrual_start_date": "2021-06-15", "accrual_end_date": "2031-06-15"}


def note(**members):
    """Return a convertible note after members of its mechanism were changed."""
    mechanism = {
        "type": "CONVERTIBLE_NOTE_CONVERSION",
        "interest_rates": [RATE],
        "day_count_convention": "30_360",
        "interest_payout": "DEFERRED",
        "interest_accrual_period": "DAILY",
        "compounding_type": "SIMPLE",
        "conversion_discount": "0.2",
        "conversion_valuation_cap": usd("8000000"),
        **members,
    }
    right = {"type": "CONVERTIBLE_CONVERSION_RIGHT", "conversion_mechanism": mechanism}
    trigger = {**SAFE["conversion_triggers"][0], "conversion_right": right}
    return {**SAFE, "convertible_type": "NOTE", "conversion_triggers": [trigger]}


PREFERRED = {**CLASSES[0], "id": "p", "name": "Series A", "class_type": "PREFERRED", "price_per_share": usd("1")}
SPLIT = {
    "object_type": "TX_STOCK_CLASS_SPLIT",
    "id": "t9",
    "date": "2021-08-01",
    "stock_class_id": "c0ffee",
    "split_ratio": {"numerator": "2", "denominator": "1"},
}
GIVEN_UP = {
    "object_type": "TX_WARRANT_CANCELLATION",
    "id": "t10",
    "date": "2021-07-15",
    "security_id": "w1",
    "quantity": "50",
    "reason_text": "given up",
}
PREFERRED_STOCK = {**STOCK, "id": "t8", "security_id": "s8", "stock_class_id": "p"}
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
    ("cancelled_across_split", {"transactions": (STOCK, WARRANT, GIVEN_UP, SPLIT)}),
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
