"""A clawback after the conversion: the cap table shows it, explains it, and loses nothing in a package."""

import pytest

from marketplace.captable.explanation import explain_cap_table
from marketplace.captable.positions import HeldIssuer, Prices, list_positions
from marketplace.domain.equity.issuer.state import list_rows
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import render_package
from tests.captable.company import DRAWDOWN, PROVIDER, Life, borrow, claw_back, finance, found, go_on
from tests.ocf.package_tools import take_in


@pytest.fixture(scope="module")
def life():
    life = Life()
    for chapter in (found, borrow, finance, claw_back, go_on):
        chapter(life)
    return life


def test_rows_principal_and_debt_are_led_back_to_the_clawback(life):
    explained = explain_cap_table(life.history, holder_id=PROVIDER)
    conversion = life.instruments[DRAWDOWN].conversions[0]
    due = int(conversion.shares * 80_000 // 260_000)
    (stock,) = (row for row in explained.rows if row.kind == "stock")
    assert [entry.change for entry in stock.entries] == [conversion.shares, -due]
    assert stock.shares == conversion.shares - due
    assert stock.entries[-1].type == "issuer.stock_repurchased.v1"
    (drawn,) = explained.principal
    assert [entry.change for entry in drawn.converted] == [260_000, -80_000, -1_000]
    assert drawn.converted_usd == 179_000
    assert [(entry.type, entry.change) for entry in drawn.debt] == [
        ("instrument.principal_reversed.v1", 1_000),
        ("instrument.debt_paid.v1", -400),
    ]
    assert drawn.debt_usd == 600
    for number, entries in ((drawn.outstanding_usd, drawn.entries), (drawn.converted_usd, drawn.converted)):
        assert sum(entry.change for entry in entries) == number


def test_a_holders_book_counts_what_is_left_and_what_was_paid_back(life):
    held = [HeldIssuer(life.history, "robotics")]
    (position,) = list_positions(PROVIDER, held, {}, {}, Prices())
    rows = {(row.holder_id, row.kind): row.shares for row in list_rows(life.issuer)}
    assert position.shares == rows[PROVIDER, "stock"]
    accrued = 160_000 + 140_000 + 50_000
    assert position.position.paid_in_usd == accrued + 400


def test_a_package_tells_the_cancellation_and_comes_back_byte_for_byte(life):
    files = render_package(life.history)
    assert check_files(files) == ()
    assert b"TX_STOCK_CANCELLATION" in b"".join(files.values())
    again = take_in(files)
    assert render_package(again) == files
    (debt,) = {each.debt_usd for each in again.list_instruments().values()} - {0}
    assert debt == 600
