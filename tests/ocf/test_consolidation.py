"""A consolidation that bought fractions back is a package without fractions, and comes back byte for byte."""

from decimal import Decimal

import pytest

from marketplace.domain.equity.issuer.state import list_rows
from marketplace.domain.equity.issuer.stock_commands import SplitStock, TransferStock
from marketplace.ocf.container import write_package
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import render_package
from tests.captable.company import COFOUNDER, FOUNDER, Life, borrow, change_rights, found, make_id
from tests.ocf.package_tools import check_by_published_schema, take_in


@pytest.mark.parametrize("policy", ["cash_in_lieu", "give_up", "round_up"])
def test_it_comes_back_byte_for_byte(policy):
    life = Life()
    found(life)
    moved = {"holder_id": FOUNDER, "holder_id_after": COFOUNDER, "class_id": "common", "shares": 1_234}
    life.act(TransferStock, transfer_id=make_id("trf", 9), **moved, at=life.time)
    held = dict(life.issuer.holdings)
    assert any(shares % 2_500 for shares in held.values())
    consolidate = {"numerator": 1, "denominator": 2_500, "fractions": policy, "cash_usd_per_share": Decimal("0.30")}
    life.act(SplitStock, split_id=make_id("spl", 2), **consolidate)
    whole = {key: -(-shares // 2_500) if policy == "round_up" else shares // 2_500 for key, shares in held.items()}
    assert dict(life.issuer.holdings) == {key: shares for key, shares in whole.items() if shares}
    files = render_package(life.history)
    assert check_files(files) == ()
    assert render_package(take_in(files)) == files


@pytest.mark.parametrize("denominator", [9, 1_100])
def test_odd_warrants_promises_and_options_come_back_byte_for_byte(denominator, tmp_path):
    life = Life()
    for chapter in (found, borrow, change_rights):
        chapter(life)
    rights = [row.shares for row in list_rows(life.issuer) if row.kind in {"option", "warrant", "promised", "pool"}]
    assert any(shares % denominator for shares in rights)
    policy = {"fractions": "cash_in_lieu", "cash_usd_per_share": Decimal("0.30")}
    life.act(SplitStock, split_id=make_id("spl", 3), numerator=1, denominator=denominator, **policy)
    files = render_package(life.history)
    assert check_files(files) == ()
    write_package(tmp_path / "package", files)
    assert check_by_published_schema(tmp_path / "package") == []
    assert render_package(take_in(files)) == files
