"""Statements of account: what stood on an account at first, every line of a span, and what stands at its end.

The same statement is a value, a table of comma-separated values, and a page to print.
"""

import csv
import html
import io
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.core.errors import Refusal
from marketplace.projections.accounts.explain import run_balances
from marketplace.projections.accounts.queries import AccountView, Basis, list_lines

LINES_MAX: Final = 10_000
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


class StandView(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on one ledger account."""

    account: str
    amount: Decimal


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry in a statement, with the balance of its ledger account after it."""

    sequence: int
    recorded_at: datetime
    occurred_at: datetime
    event: str
    cause: str | None
    account: str
    unit: str
    amount: Decimal
    balance: Decimal


class AccountStatementView(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of account.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        unit: Unit of every amount in it.
        start: First instant.
        end: Instant after the last.
        basis: Whether lines count when they were recorded or when what they tell of occurred.
        opening: What stood on its ledger accounts before the span.
        lines: The entries of the span in the order of the basis.
        closing: What stands on them at its end; opening and lines sum to it.
    """

    account_id: str
    party_id: str
    unit: str
    start: datetime
    end: datetime
    basis: Basis
    opening: tuple[StandView, ...]
    lines: tuple[LineView, ...]
    closing: tuple[StandView, ...]


async def load_account_statement(
    connection: AsyncConnection, account: AccountView, *, start: datetime, end: datetime, basis: Basis = "recorded"
) -> AccountStatementView:
    """Return the statement of an account over ``[start, end)``.

    Raises:
        Refusal: ``request_invalid`` where the span is empty; ``statement_too_long`` above 10,000 lines.
    """
    if end <= start:
        raise Refusal("request_invalid", "the span ends before it starts; swap start and end", pointer="/end")
    before, rows = await list_lines(
        connection, account.account_id, basis=basis, start=start, end=end, limit=LINES_MAX + 1
    )
    if len(rows) > LINES_MAX:
        raise Refusal(
            "statement_too_long",
            f"the span has more than {LINES_MAX} lines; ask for a shorter one",
            pointer="/end",
            lines_max=LINES_MAX,
        )
    run = run_balances(rows, before)
    after = before | {row.account: balance for row, balance in run}
    return AccountStatementView(
        account_id=account.account_id,
        party_id=account.party_id,
        unit=account.unit,
        start=start,
        end=end,
        basis=basis,
        opening=_stand(before),
        lines=tuple(
            LineView(
                sequence=row.sequence,
                recorded_at=row.recorded_at,
                occurred_at=row.occurred_at,
                event=row.tag,
                cause=row.cause,
                account=row.account,
                unit=row.unit,
                amount=row.amount,
                balance=balance,
            )
            for row, balance in run
        ),
        closing=_stand(after),
    )


def _stand(sums: dict[str, Decimal]) -> tuple[StandView, ...]:
    return tuple(StandView(account=account, amount=amount) for account, amount in sorted(sums.items()))


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
