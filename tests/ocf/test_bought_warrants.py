"""Warrants that principal bought in a package: what was paid goes along, and their agreement in the sidecar."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from events.types import WarrantTerms
from marketplace.domain.equity.instrument import commands
from marketplace.domain.equity.issuer.rights_commands import CancelWarrant, ExerciseWarrant, IssueWarrant
from marketplace.domain.equity.issuer.state import list_rows
from marketplace.ocf.container import write_package
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import render_package
from tests.captable.company import FUND, Life, found, make_id
from tests.ocf.package_tools import check_by_published_schema, strip_sidecar, take_in

BOUGHT, RIGHTS = make_id("ins", 31), make_id("wrt", 31)
TERMS = WarrantTerms(
    class_id="common",
    price_usd_per_share=Decimal("0.50"),
    exercise_price_usd=Decimal("0.30"),
    expires_at=datetime(2030, 1, 1, tzinfo=UTC),
)


@pytest.fixture(scope="module")
def life():
    """Let a fund buy 2,000 rights for 1,000 dollars, exercise 500 and lose 300."""
    life = Life()
    found(life)
    life.sign(BOUGHT, FUND, TERMS, "1000")
    life.accrue(BOUGHT, 31, "1000")
    life.buy(BOUGHT, RIGHTS)
    rights = {"warrant_id": RIGHTS, "holder_id": FUND, "class_id": "common", "shares": 2_000, "cause": BOUGHT}
    rest = {"exercise_price_usd": Decimal("0.30"), "expires_at": TERMS.expires_at, "settlement": "either"}
    life.act(IssueWarrant, **rights, **rest)
    life.act(ExerciseWarrant, exercise_id=make_id("exr", 31), warrant_id=RIGHTS, shares=500, at=life.time)
    life.deed(
        commands.ReversePrincipal(
            instrument_id=BOUGHT,
            tranche_id=make_id("trn", 31),
            principal_usd=Decimal(150),
            reason="an audit",
            reduction="cancel_shares",
            shares_held=1_500,
        )
    )
    taken = {"cancellation_id": make_id("can", 31), "warrant_id": RIGHTS, "shares": 300, "cause": BOUGHT}
    life.act(CancelWarrant, **taken)
    return life


def test_the_agreement_and_its_rights_come_back_byte_for_byte(life, tmp_path):
    files = render_package(life.history)
    write_package(tmp_path / "package", files)
    assert check_by_published_schema(tmp_path / "package") == []
    assert check_files(files) == ()
    taken = take_in(files)
    assert render_package(taken) == files
    (bought,) = [each for each in taken.list_instruments().values() if each.terms == TERMS]
    (warrant,) = [each for each in taken.get_issuer().warrants.values() if each.issued.cause is not None]
    assert [conversion.shares for conversion in bought.conversions] == [2_000]
    assert warrant.shares_outstanding == 1_200


def test_what_was_paid_for_rights_goes_with_what_is_left_of_them(life):
    documents = [json.loads(content) for content in render_package(life.history).values() if content[:1] == b"{"]
    items = [item for document in documents for item in document.get("items", [])]
    issuances = [item for item in items if item["object_type"] == "TX_WARRANT_ISSUANCE"]
    bought = [item for item in issuances if item["exercise_price"]["amount"].rstrip("0") == "0.3"]
    assert [(Decimal(item["quantity"]), Decimal(item["purchase_price"]["amount"])) for item in bought] == [
        (2_000, 1_000),
        (1_200, 600),
    ]


def test_without_the_sidecar_the_rights_are_there(life):
    taken = take_in(strip_sidecar(render_package(life.history))).get_issuer()
    before = sorted(row.shares for row in list_rows(life.history.get_issuer()) if row.kind == "warrant")
    assert sorted(row.shares for row in list_rows(taken) if row.kind == "warrant") == before
