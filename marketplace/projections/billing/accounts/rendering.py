"""Statements of account for people: comma-separated values, and a page to print."""

import csv
import html
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from events.plain_json import render_decimal
from marketplace.core.instants import render_instant
from marketplace.projections.views.billing import AccountStatementView, LineView, StandView

COLUMNS: Final = (
    "sequence", "recorded_at", "occurred_at", "event", "cause", "account", "unit", "amount", "balance",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_STYLE: Final = """
body { font: 11pt/1.4 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .2rem .5rem; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr { break-inside: avoid; } thead { display: table-header-group; } @page { margin: 15mm; }
"""


def render_csv(statement: AccountStatementView) -> str:
    """Return a statement as comma-separated values (RFC 4180). Opening and closing rows have no sequence.

    Text that a spreadsheet would read as a formula gets an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(_render_stand(stand, "opening", statement.start, statement.unit) for stand in statement.opening)
    writer.writerows(_render_cells(line) for line in statement.lines)
    writer.writerows(_render_stand(stand, "closing", statement.end, statement.unit) for stand in statement.closing)
    return text.getvalue()


def _render_stand(stand: StandView, word: str, at: datetime, unit: str) -> tuple[str, ...]:
    return "", render_instant(at), "", word, "", stand.account, unit, "", _write(stand.amount, unit)


def _render_cells(line: LineView) -> tuple[str, ...]:
    cause = line.cause or ""
    return (
        str(line.sequence),
        render_instant(line.recorded_at),
        render_instant(line.occurred_at),
        line.event,
        f"'{cause}" if cause.startswith(_FORMULA) else cause,
        line.account,
        line.unit,
        _write(line.amount, line.unit),
        _write(line.balance, line.unit),
    )


def _write(amount: Decimal, unit: str) -> str:
    return render_decimal(amount, dollars=unit == "USD")


def render_html(statement: AccountStatementView) -> str:
    """Return a statement as a page to print. The page loads and runs nothing."""
    title = html.escape(f"Statement of account {statement.account_id}")
    span = html.escape(f"{_print_instant(statement.start)} to {_print_instant(statement.end)}, as {statement.basis}")
    rows = "".join(_render_row(line) for line in statement.lines)
    opening, closing = (_render_stands(stands, statement.unit) for stands in (statement.opening, statement.closing))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>Party {html.escape(statement.party_id)}. {span}. Unit {html.escape(statement.unit)}.</p>"
        f"<h2>Opening</h2>{opening}<h2>Lines</h2>"
        "<table><thead><tr><th>event</th><th>recorded</th><th>occurred</th><th>what</th><th>for</th><th>account</th>"
        f'<th class="number">amount</th><th class="number">balance</th></tr></thead><tbody>{rows}</tbody></table>'
        f"<h2>Closing</h2>{closing}</html>"
    )


def _render_stands(stands: tuple[StandView, ...], unit: str) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(_name_part(stand.account))}</td>"
        f'<td class="number">{_print_amount(stand.amount, unit)}</td></tr>'
        for stand in stands
    )
    return f"<table>{rows}</table>" if rows else "<p>Nothing.</p>"


def _render_row(line: LineView) -> str:
    words = (
        str(line.sequence),
        _print_instant(line.recorded_at),
        _print_instant(line.occurred_at),
        line.event,
        line.cause or "",
        _name_part(line.account),
    )
    cells = "".join(f"<td>{html.escape(word)}</td>" for word in words)
    amounts = (_print_amount(amount, line.unit) for amount in (line.amount, line.balance))
    numbers = "".join(f'<td class="number">{amount}</td>' for amount in amounts)
    return f"<tr>{cells}{numbers}</tr>"


def _name_part(account: str) -> str:
    """Return the name of a ledger account within its account, such as ``held``."""
    return account.partition("/")[2]


def _print_instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _print_amount(amount: Decimal, unit: str) -> str:
    """Return an amount with thousands separators, dollars to the cent. Nothing is rounded: dollars are whole cents."""
    return f"{amount:,.2f}" if unit == "USD" else f"{amount:,f}"
