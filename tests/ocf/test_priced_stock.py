"""Priced stock for compute in a package: its shares are stock issuances, its agreement is in the sidecar."""

from decimal import Decimal

import pytest

from events.types import StockTerms
from marketplace.domain.equity.issuer.state import list_rows
from marketplace.domain.equity.issuer.stock_commands import IssueStock
from marketplace.ocf.container import write_package
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import render_package
from tests.captable.company import FUND, Life, found, make_id
from tests.ocf.package_tools import check_by_published_schema, strip_sidecar, take_in

STOCK = make_id("ins", 31)
TERMS = StockTerms(class_id="common", price_usd_per_share=Decimal("0.70"))


@pytest.fixture(scope="module")
def life():
    """Let a fund buy stock at a price of its own for a thousand dollars and a cent."""
    life = Life()
    found(life)
    life.sign(STOCK, FUND, TERMS, "1000.01")
    life.accrue(STOCK, 31, "1000.01")
    security = make_id("sec", 31)
    purchase = life.buy(STOCK, security)
    shares = {"class_id": "common", "shares": purchase.shares, "price_usd_per_share": Decimal("0.70")}
    life.act(IssueStock, security_id=security, holder_id=FUND, **shares, cause=STOCK)
    return life


def test_the_agreement_and_its_shares_come_back_byte_for_byte(life, tmp_path):
    files = render_package(life.history)
    write_package(tmp_path / "package", files)
    assert check_by_published_schema(tmp_path / "package") == []
    assert check_files(files) == ()
    taken = take_in(files)
    assert render_package(taken) == files
    (stock,) = [each for each in taken.list_instruments().values() if each.terms == TERMS]
    assert [conversion.shares for conversion in stock.conversions] == [1_428]


def test_without_the_sidecar_the_shares_are_there(life):
    taken = take_in(strip_sidecar(render_package(life.history))).get_issuer()
    before = sorted(row.shares for row in list_rows(life.history.get_issuer()) if row.kind == "stock")
    assert sorted(row.shares for row in list_rows(taken) if row.kind == "stock") == before
