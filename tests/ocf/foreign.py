"""A package as others write it: its own ids, two plans, an option, a SAFE and a warrant."""

import json

from marketplace.ocf.package import FILES, MANIFEST
from tests.ocf.package_tools import seal


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
THIRDS = {"numerator": "3", "denominator": "1"}
EXERCISED = (
    {
        "object_type": "TX_WARRANT_EXERCISE",
        "id": "t16",
        "date": "2021-08-02",
        "security_id": "w1",
        "trigger_id": "y",
        "resulting_security_ids": ["s16"],
    },
    {**STOCK, "id": "t17", "security_id": "s16", "quantity": "20", "stakeholder_id": "2", "date": "2021-08-02"},
)
GIVEN_UP_LATER = {**GIVEN_UP, "date": "2021-08-03"}
PREFERRED_STOCK = {**STOCK, "id": "t8", "security_id": "s8", "stock_class_id": "p"}


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
