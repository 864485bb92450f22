"""Every kind of defect is named by file, item and reason, and nothing is guessed."""

import json

import pytest

from marketplace.ocf.importing import check_files
from marketplace.ocf.package import MANIFEST, render_package
from tests.captable.company import live
from tests.ocf.package_tools import change_item, change_items, judge, seal, strip_sidecar

TX, CLASSES, PLANS = "Transactions.ocf.json", "StockClasses.ocf.json", "StockPlans.ocf.json"


@pytest.fixture(scope="module")
def files():
    return strip_sidecar(render_package(live().history))


def find_id(files, tag, number=0):
    found = [item["id"] for item in json.loads(files[TX])["items"] if item["object_type"] == tag]
    return found[number]


def change(files, tag, number=0, **members):
    return change_item(files, TX, find_id(files, tag, number), **members)


def drop(files, tag, number=0):
    item_id = find_id(files, tag, number)
    return change_items(files, TX, lambda items: [item for item in items if item["id"] != item_id])


def repeat(files, tag, number=0, **members):
    item_id = find_id(files, tag, number)

    def double(items):
        first = next(item for item in items if item["id"] == item_id)
        return [*items, {**first, "id": "again", **members}]

    return change_items(files, TX, double)


def change_manifest(files, **members):
    return {**files, MANIFEST: json.dumps({**json.loads(files[MANIFEST]), **members}).encode()}


MUCH = {"amount": "1000000000", "currency": "USD"}
DEFECTS = [
    ("json_malformed", TX, lambda f: seal({**f, TX: b"{"})),
    ("json_malformed", TX, lambda f: seal({**f, TX: b"[1]"})),
    ("manifest_missing", "", lambda f: {name: content for name, content in f.items() if name != MANIFEST}),
    ("manifest_repeated", "", lambda f: {**f, "Other.json": f[MANIFEST]}),
    ("manifest_invalid", MANIFEST, lambda f: change_manifest(f, ocf_version="1.1.0")),
    ("null", MANIFEST, lambda f: change_manifest(f, comments=None)),
    ("md5_differs", MANIFEST, lambda f: {**f, PLANS: f[PLANS] + b" "}),
    ("file_missing", MANIFEST, lambda f: {name: content for name, content in f.items() if name != PLANS}),
    ("file_unlisted", "More.json", lambda f: {**f, "More.json": f[PLANS]}),
    ("file_type_unknown", PLANS, lambda f: seal({**f, PLANS: b'{"file_type": "OCF_X_FILE", "items": []}'})),
    ("file_type_differs", MANIFEST, lambda f: seal({**f, PLANS: f[CLASSES]})),
    ("items_missing", PLANS, lambda f: seal({**f, PLANS: b'{"file_type": "OCF_STOCK_PLANS_FILE"}'})),
    ("member_unknown", PLANS, lambda f: seal({**f, PLANS: f[PLANS].replace(b'"items"', b'"x": 1, "items"')})),
    ("null", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", consideration_text=None)),
    ("item_invalid", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", quantity=5)),
    ("item_invalid", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", quantity="1e6")),
    ("item_invalid", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", quantity=...)),
    ("item_invalid", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", date="2024-02-30")),
    ("item_invalid", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", date="0001-01-01")),
    ("item_invalid", TX, lambda f: change(f, "TX_EQUITY_COMPENSATION_ISSUANCE", expiration_date="9999-12-31")),
    ("item_invalid", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", shares="5")),
    ("item_invalid", TX, lambda f: change(f, "TX_EQUITY_COMPENSATION_ISSUANCE", exercise_price=...)),
    ("item_invalid", PLANS, lambda f: change_item(f, PLANS, "plan", stock_class_id="common")),
    ("object_type_unknown", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", object_type="TX_STOCK_GIFT")),
    ("item_misplaced", PLANS, lambda f: seal({**f, PLANS: f[CLASSES].replace(b"STOCK_CLASSES", b"STOCK_PLANS")})),
    ("id_repeated", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", id="tx-2")),
    ("reference_dangling", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", stakeholder_id="nobody")),
    ("reference_dangling", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", stock_class_id="none")),
    ("reference_dangling", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", stock_legend_ids=["none"])),
    ("reference_dangling", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", vesting_terms_id="none")),
    ("reference_dangling", PLANS, lambda f: change_item(f, PLANS, "plan", stock_class_ids=["none"])),
    ("reference_dangling", TX, lambda f: change(f, "TX_STOCK_REPURCHASE", security_id="none")),
    ("reference_dangling", TX, lambda f: change(f, "TX_STOCK_REPURCHASE", balance_security_id="none")),
    ("reference_dangling", TX, lambda f: change(f, "TX_STOCK_TRANSFER", resulting_security_ids=["none"])),
    (
        "reference_dangling",
        "Financings.ocf.json",
        lambda f: change_item(f, "Financings.ocf.json", "fin_00000000000000000000000001", issuance_ids=["none"]),
    ),
    ("reference_mistyped", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", stock_class_id="plan")),
    ("reference_mistyped", TX, lambda f: change(f, "TX_STOCK_REPURCHASE", object_type="TX_STOCK_RETRACTION", price=...,
        quantity=..., balance_security_id=..., reason_text="x", security_id="opt_00000000000000000000000001")),
    ("date_before_formation", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", date="2023-12-31")),
    ("date_after_package", TX, lambda f: change(f, "TX_WARRANT_EXERCISE", date="2030-01-01")),
    ("date_before_issuance", TX, lambda f: change(f, "TX_EQUITY_COMPENSATION_EXERCISE", date="2024-01-03")),
    ("date_differs", TX, lambda f: change(f, "TX_STOCK_TRANSFER", date="2024-01-25")),
    ("security_issued_twice", TX, lambda f: repeat(f, "TX_CONVERTIBLE_ISSUANCE")),
    ("security_over", TX, lambda f: repeat(f, "TX_CONVERTIBLE_CONVERSION")),
    ("security_over", TX, lambda f: repeat(f, "TX_STOCK_TRANSFER")),
    ("security_made_twice", TX, lambda f: change(f, "TX_EQUITY_COMPENSATION_EXERCISE",
        resulting_security_ids=["result-1"])),
    ("quantity_not_positive", TX, lambda f: change(f, "TX_STOCK_ISSUANCE", quantity="0")),
    ("quantity_not_positive", TX, lambda f: change(f, "TX_STOCK_REPURCHASE", quantity="-5")),
    ("quantity_exceeded", TX, lambda f: change(f, "TX_EQUITY_COMPENSATION_EXERCISE", quantity="200000")),
    ("quantity_exceeded", TX, lambda f: change(f, "TX_CONVERTIBLE_CANCELLATION", amount=MUCH)),
    ("quantity_differs", TX, lambda f: change(f, "TX_EQUITY_COMPENSATION_EXERCISE", quantity="39999")),
    ("balance_missing", TX, lambda f: change(f, "TX_STOCK_REPURCHASE", balance_security_id=...)),
    ("balance_differs", TX, lambda f: change(f, "TX_STOCK_REPURCHASE", quantity="1")),
    ("class_over_issued", "", lambda f: drop(change(f, "TX_STOCK_CLASS_AUTHORIZED_SHARES_ADJUSTMENT",
        new_shares_authorized="1000"), "TX_STOCK_REPURCHASE")),
    ("plan_overdrawn", "", lambda f: change(f, "TX_STOCK_PLAN_POOL_ADJUSTMENT", 1, shares_reserved="10")),
]  # fmt: skip


def test_the_package_as_it_was_made_has_no_finding(files):
    assert check_files(files) == ()


@pytest.mark.parametrize(("code", "file", "damage"), DEFECTS)
def test_a_defect_is_named_where_it_is(files, code, file, damage):
    found = check_files(damage(files))
    assert (code, file) in {(each.code, each.file) for each in found}, found
    assert all(each.level == "problem" and each.reason for each in found)


@pytest.mark.parametrize(("code", "file", "damage"), DEFECTS)
def test_a_defect_keeps_the_package_out(files, code, file, damage):
    assert judge(damage(files)).intake is None


def test_several_defects_are_all_told(files):
    damaged = change(change(files, "TX_STOCK_ISSUANCE", stakeholder_id="x"), "TX_STOCK_ISSUANCE", 1, quantity="0")
    assert {"reference_dangling", "quantity_not_positive"} <= {each.code for each in check_files(damaged)}


def test_more_findings_than_anyone_reads_are_counted(files):
    def many(items):
        first = next(item for item in items if item["object_type"] == "TX_STOCK_ISSUANCE")
        return [*items, *({**first, "id": f"more-{n}"} for n in range(1_100))]

    found = check_files(change_items(files, TX, many))
    assert len(found) == 1_001
    assert found[-1].code == "more_findings"
    assert "100 more" in found[-1].reason
