"""Statements of account for people: comma-separated values, and a page to print."""

import csv
import html
import io
from datetime import datetime
from decimal import Decimal
from typing import Final

from marketplace.projections.accounts.statement import AccountStatementView, LineView, StandView

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
    """Return a statement as comma-separated values (RFC 4180), opening and closing as rows without a sequence.

    Words that a spreadsheet would take for a formula get an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(_render_stand(stand, "opening", statement.start, statement.unit) for stand in statement.opening)
    writer.writerows(_render_cells(line) for line in statement.lines)
    writer.writerows(_render_stand(stand, "closing", statement.end, statement.unit) for stand in statement.closing)
    return text.getvalue()


def _render_stand(stand: StandView, word: str, at: datetime, unit: str) -> tuple[str, ...]:
    return "", at.isoformat(), "", word, "", stand.account, unit, "", _write(stand.amount)


def _render_cells(line: LineView) -> tuple[str, ...]:
    cause = line.cause or ""
    return (
        str(line.sequence),
        line.recorded_at.isoformat(),
        line.occurred_at.isoformat(),
        line.event,
        f"'{cause}" if cause.startswith(_FORMULA) else cause,
        line.account,
        line.unit,
        _write(line.amount),
        _write(line.balance),
    )


def _write(amount: Decimal) -> str:
    return f"{amount:f}"


def render_html(statement: AccountStatementView) -> str:
    """Return a statement as a page to print; it loads nothing and runs nothing."""
    title = html.escape(f"Statement of account {statement.account_id}")
    span = html.escape(f"{statement.start.isoformat()} to {statement.end.isoformat()}, as {statement.basis}")
    rows = "".join(_render_row(line) for line in statement.lines)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>Party {html.escape(statement.party_id)}. {span}. Unit {html.escape(statement.unit)}.</p>"
        f"<h2>Opening</h2>{_render_stands(statement.opening)}<h2>Lines</h2>"
        "<table><thead><tr><th>event</th><th>recorded</th><th>occurred</th><th>what</th><th>for</th><th>account</th>"
        f'<th class="number">amount</th><th class="number">balance</th></tr></thead><tbody>{rows}</tbody></table>'
        f"<h2>Closing</h2>{_render_stands(statement.closing)}</html>"
    )


def _render_stands(stands: tuple[StandView, ...]) -> str:
    rows = "".join(
        f'<tr><td>{html.escape(stand.account)}</td><td class="number">{_write(stand.amount)}</td></tr>'
        for stand in stands
    )
    return f"<table>{rows}</table>" if rows else "<p>Nothing.</p>"


def _render_row(line: LineView) -> str:
    words = (
        str(line.sequence),
        line.recorded_at.isoformat(),
        line.occurred_at.isoformat(),
        line.event,
        line.cause or "",
        line.account,
    )
    cells = "".join(f"<td>{html.escape(word)}</td>" for word in words)
    numbers = "".join(f'<td class="number">{_write(amount)}</td>' for amount in (line.amount, line.balance))
    return f"<tr>{cells}{numbers}</tr>"
