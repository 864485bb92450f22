"""A report names every problem, not only the first, and nothing of a package is passed over in silence."""

import hashlib
import json

from marketplace.ocf.container import parse_zip, render_zip
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import MANIFEST
from tests.ocf.foreign import CLASSES, OPTION, PLANS, SAFE, STOCK, WARRANT, pack, seal_relative, usd
from tests.ocf.package_tools import judge, take_in

TX, HOLDERS, CLASS_FILE = "Transactions.ocf.json", "Stakeholders.ocf.json", "StockClasses.ocf.json"


def list_found(files):
    return [(each.file, each.item, each.code) for each in check_files(files)]


def test_every_member_that_is_wrong_is_named():
    wrong = {**STOCK, "quantity": 5, "share_price": {"amount": "1e3", "currency": "usd"}, "shares": "5"}
    del wrong["stakeholder_id"]
    reasons = [each.reason for each in check_files(pack((wrong,))) if each.code == "item_invalid"]
    assert reasons[:2] == ["there is no member 'shares' in OCF 1.2.0", "member 'stakeholder_id' is missing"]
    assert any(reason.startswith("quantity: Expected `str`") for reason in reasons)
    assert any(reason.startswith("share_price.amount: ") for reason in reasons)


def test_another_version_hides_no_other_problem():
    files = pack(({**STOCK, "quantity": 5},))
    manifest = json.loads(files[MANIFEST])
    files[MANIFEST] = json.dumps({**manifest, "ocf_version": "1.0.0", "vesting_schedules_files": []}).encode()
    codes = [code for _, _, code in list_found({**files, HOLDERS: files[HOLDERS] + b" "})]
    assert codes.count("manifest_invalid") == 2
    assert {"md5_differs", "item_invalid"} <= set(codes)


def test_a_member_that_is_there_twice_is_not_guessed():
    files = pack()
    files[TX] = files[TX].replace(b'"quantity": "1000"', b'"quantity": "1000", "quantity": "9000"')
    assert (TX, "", "member_repeated") in list_found(seal_relative(files))


def test_files_in_folders_are_read_where_the_manifest_lists_them():
    files = pack()
    manifest = json.loads(files[MANIFEST])
    manifest["transactions_files"][0]["filepath"] = f"data/{TX}"
    moved = {**files, f"data/{TX}": files[TX], MANIFEST: json.dumps(manifest).encode()}
    del moved[TX]
    assert list_found(moved) == []
    assert dict(take_in(moved).get_issuer().holdings) == dict(take_in(files).get_issuer().holdings)
    broken = moved[f"data/{TX}"].replace(b'"1000"', b"1000")
    codes = {code for _, _, code in list_found({**moved, f"data/{TX}": broken})}
    assert codes >= {"md5_differs", "item_invalid"}


def test_a_paper_that_travels_with_the_package_has_its_md5():
    paper = b"board consent"
    digest = hashlib.md5(paper, usedforsecurity=False).hexdigest()
    document = {
        "object_type": "DOCUMENT",
        "id": "d1",
        "md5": digest,
        "path": "./papers/1.pdf",
    }
    files = pack()
    manifest = json.loads(files[MANIFEST])
    listed = json.dumps({"file_type": "OCF_DOCUMENTS_FILE", "items": [document]}).encode()
    md5 = hashlib.md5(listed, usedforsecurity=False).hexdigest()
    manifest["documents_files"] = [{"filepath": "Documents.ocf.json", "md5": md5}]
    files |= {"Documents.ocf.json": listed, MANIFEST: json.dumps(manifest).encode()}
    where = ("Documents.ocf.json", "DOCUMENT d1")
    assert list_found({**files, "papers/1.pdf": paper}) == []
    assert list_found(files) == [(*where, "file_missing")]
    assert list_found({**files, "papers/1.pdf": b"other"}) == [(*where, "md5_differs")]
    losses = {(each.file, each.code) for each in judge({**files, "papers/1.pdf": paper}).findings}
    assert {("papers/1.pdf", "file_not_kept"), ("Documents.ocf.json", "object_not_kept")} <= losses


def test_authorised_shares_may_have_a_sign_and_places():
    history = take_in(pack(classes=[{**CLASSES[0], "initial_shares_authorized": "+1000000.00"}]))
    assert history.get_issuer().classes["class-a-common"].shares_authorised == 1_000_000


def test_what_a_mac_puts_into_a_zip_is_no_manifest():
    files = pack()
    packed = {f"acme/{name}": content for name, content in files.items()}
    litter = {f"__MACOSX/acme/._{name}": b"\x00" for name in files} | {f"__MACOSX/._{MANIFEST}": b"\x00"}
    assert parse_zip(render_zip({**packed, **litter})) == files


MOVED = {
    "object_type": "TX_STOCK_TRANSFER",
    "id": "t20",
    "date": "2021-09-01",
    "security_id": "s1",
    "quantity": "400",
    "resulting_security_ids": ["s20"],
    "balance_security_id": "s21",
}
TO = {**STOCK, "id": "t21", "security_id": "s20", "date": "2021-09-01", "quantity": "400", "stakeholder_id": "1"}
LEFT = {**STOCK, "id": "t22", "security_id": "s21", "date": "2021-09-01", "quantity": "600"}
OTHER = {**CLASSES[0], "id": "b", "name": "Class B"}


def test_a_transfer_changes_no_class_and_a_balance_no_holder():
    """The sample package Acme-Holdings of the format's repository moves shares of one class into another."""
    classes = [*CLASSES, OTHER]
    assert list_found(pack((STOCK, MOVED, TO, LEFT), classes=classes)) == []
    into = pack((STOCK, MOVED, {**TO, "stock_class_id": "b"}, LEFT), classes=classes)
    assert list_found(into) == [(TX, "TX_STOCK_TRANSFER t20", "class_differs")]
    kept = pack((STOCK, MOVED, TO, {**LEFT, "stakeholder_id": "2"}), classes=classes)
    assert list_found(kept) == [(TX, "TX_STOCK_TRANSFER t20", "holder_differs")]


def test_an_exercise_for_somebody_else_is_not_guessed():
    exercise = {
        "object_type": "TX_EQUITY_COMPENSATION_EXERCISE",
        "id": "t23",
        "date": "2021-06-01",
        "security_id": "o1",
        "quantity": "10",
        "resulting_security_ids": ["s23"],
    }
    stock = {**STOCK, "id": "t24", "security_id": "s23", "quantity": "10", "date": "2021-06-01"}
    assert judge(pack((STOCK, OPTION, exercise, {**stock, "stakeholder_id": "1"}))).intake is not None
    verdict = judge(pack((STOCK, OPTION, exercise, stock)))
    assert (TX, "TX_EQUITY_COMPENSATION_EXERCISE t23", "exercise_splits") in {
        (each.file, each.item, each.code) for each in verdict.findings
    }
    wrong = {**exercise, "resulting_security_ids": ["w1"], "date": "2021-07-01"}
    assert (TX, "TX_EQUITY_COMPENSATION_EXERCISE t23", "reference_mistyped") in list_found(
        pack((OPTION, WARRANT, wrong))
    )


def test_an_empty_package_has_no_manifest_and_one_without_holders_is_a_company():
    assert list_found({}) == [("", "", "manifest_missing")]
    empty = pack((), classes=[], plans=[], stakeholders_files=[])
    assert list_found(empty) == []
    issuer = take_in(empty).get_issuer()
    assert (dict(issuer.holdings), dict(issuer.classes)) == ({}, {})


# Facts of the sample files in https://github.com/Open-Cap-Table-Coalition/Open-Cap-Format-OCF/tree/main/samples,
# Copyright (c) 2022 Open Cap Table Coalition, told here in objects of our own: members of an older version, the same
# security issued three times, dollars of another country, an amount below zero, securities that nobody issued, a SAFE
# with the mechanism of a note, a day before the formation.
OLDER_CLASS = {**CLASSES[0], "current_shares_authorized": "1000.00", "conversion_rights": []}
del OLDER_CLASS["initial_shares_authorized"]
NEGATIVE = {
    "object_type": "TX_CONVERTIBLE_TRANSFER",
    "id": "u1",
    "date": "2021-07-01",
    "security_id": "n1",
    "resulting_security_ids": ["n2", "..."],
    "amount": usd("-867.53"),
}
UNBORN = {
    "object_type": "TX_PLAN_SECURITY_ACCEPTANCE",
    "id": "u2",
    "date": "2021-07-01",
    "security_id": "nobody's",
}
POUNDS = {**SAFE, "id": "u3", "security_id": "n3", "investment_amount": {"amount": "1000", "currency": "GBP"}}


def test_defects_of_published_samples_are_reported_each_by_its_item():
    early = {**STOCK, "id": "u4", "security_id": "s4", "date": "1978-05-27"}
    again = {**SAFE, "id": "u5"}
    files = pack((STOCK, SAFE, again, POUNDS, NEGATIVE, UNBORN, early), classes=[OLDER_CLASS], plans=PLANS[:1])
    verdict = judge({**files, "StockLegends.json": b"{}"})
    assert verdict.intake is None
    found = {(each.item, each.code) for each in verdict.findings if each.level == "problem"}
    assert found >= {
        ("STOCK_CLASS c0ffee", "item_invalid"),
        ("TX_STOCK_ISSUANCE t1", "reference_dangling"),
        ("TX_CONVERTIBLE_ISSUANCE u5", "security_issued_twice"),
        ("TX_CONVERTIBLE_ISSUANCE u3", "currency_not_kept"),
        ("TX_CONVERTIBLE_TRANSFER u1", "quantity_not_positive"),
        ("TX_CONVERTIBLE_TRANSFER u1", "reference_dangling"),
        ("TX_EQUITY_COMPENSATION_ACCEPTANCE u2", "reference_dangling"),
        ("TX_STOCK_ISSUANCE u4", "date_before_formation"),
        ("", "file_unlisted"),
    }
