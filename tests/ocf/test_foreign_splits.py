"""A package of others: splits, classes that come later, conversions that are joined, ids that look like ours."""

from marketplace.domain.equity.issuer.state import total_shares
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import render_package
from tests.ocf.foreign import (
    CLASSES,
    EXERCISED,
    GIVEN_UP,
    GIVEN_UP_LATER,
    PLANS,
    PREFERRED,
    PREFERRED_STOCK,
    SAFE,
    SPLIT,
    STOCK,
    WARRANT,
    pack,
)
from tests.ocf.package_tools import judge, take_in


def test_of_a_warrant_that_was_given_up_after_a_split_what_was_exercised_is_kept():
    assert total_shares(take_in(pack((STOCK, WARRANT, GIVEN_UP, SPLIT))).get_issuer()).warrants == 0
    given_up = {**GIVEN_UP_LATER, "quantity": "80"}
    issuer = take_in(pack((STOCK, WARRANT, *EXERCISED, given_up, SPLIT))).get_issuer()
    (warrant,) = issuer.warrants.values()
    assert (warrant.issued.shares, warrant.shares_outstanding, total_shares(issuer).stock) == (10, 0, 2_020)


def test_splits_of_one_day_and_ratio_are_each_taken_over():
    twice = {**SPLIT, "id": "t91"}
    assert total_shares(take_in(pack((STOCK, SPLIT, twice))).get_issuer()).stock == 4_000


def test_a_class_that_came_after_a_split_does_not_hinder_it():
    later = {**PREFERRED, "liquidation_preference_multiple": "1"}
    bought = {**PREFERRED_STOCK, "date": "2021-08-01", "quantity": "7"}
    issuer = take_in(pack((STOCK, SPLIT, bought), classes=[later, *CLASSES])).get_issuer()
    assert sorted(issuer.holdings.values()) == [7, 2_000]


def test_certificates_of_one_holder_that_convert_into_one_are_one_conversion():
    preferred = {**PREFERRED, "liquidation_preference_multiple": "1"}
    bought = [{**PREFERRED_STOCK, "id": f"b{n}", "security_id": f"b{n}", "quantity": "50"} for n in (1, 2)]
    converted = [
        {
            "object_type": "TX_STOCK_CONVERSION",
            "id": f"v{n}",
            "date": "2021-09-01",
            "security_id": f"b{n}",
            "quantity_converted": "50",
            "resulting_security_ids": ["s13"],
        }
        for n in (1, 2)
    ]
    common = {**STOCK, "id": "t14", "security_id": "s13", "quantity": "100", "date": "2021-09-01"}
    files = pack((STOCK, *bought, *converted, common), classes=[*CLASSES, preferred])
    assert check_files(files) == ()
    assert sorted(take_in(files).get_issuer().holdings.values()) == [1_100]
    other = [bought[0], {**bought[1], "stakeholder_id": "1"}]
    verdict = judge(pack((STOCK, *other, *converted, common), classes=[*CLASSES, preferred]))
    assert "conversions_joined" in {each.code for each in verdict.findings}


def test_ids_of_others_that_look_like_ours_stay_theirs():
    """A package whose classes and securities have TypeIDs of their own is exported again, whatever they name."""
    name = "cls_01h455vb4pex5vsknk084sn02q"
    classes = [{**CLASSES[0], "id": name, "name": "common"}]
    plans = [{**plan, "stock_class_id": name} for plan in PLANS]
    stock = {**STOCK, "stock_class_id": name, "security_id": "sec_01h455vb4pex5vsknk084sn02q"}
    tranche = {**SAFE, "security_id": "trn_01h455vb4pex5vsknk084sn02q"}
    history = take_in(pack((stock, tranche), classes=classes, plans=plans))
    again = render_package(history)
    assert check_files(again) == ()
    assert render_package(take_in(again, 3)) == again


def test_classes_of_one_long_name_are_told_apart():
    classes = [{**CLASSES[0], "id": f"k{n}", "name": "Série " + "X" * 60} for n in range(3)]
    issuer = take_in(pack((STOCK,), classes=[*CLASSES, *classes])).get_issuer()
    assert len(issuer.classes) == 4
