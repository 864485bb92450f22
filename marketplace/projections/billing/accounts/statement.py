"""Statements of account: opening balance, every line of a span, and closing balance."""

from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.core.errors import Refusal
from marketplace.projections.billing.accounts.explain import run_balances
from marketplace.projections.billing.accounts.queries import Basis, list_lines
from marketplace.projections.billing.accounts.views import AccountView

LINES_MAX: Final = 10_000


class StandView(msgspec.Struct, frozen=True, kw_only=True):
    """The balance of one ledger account."""

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
        party_id: The account's party.
        unit: Unit of every amount in it.
        start: First instant.
        end: Instant after the last.
        basis: Whether lines count by when they were recorded or when they occurred.
        opening: Balances of its ledger accounts before the span.
        lines: The entries of the span in the order of the basis.
        closing: Balances at the end; opening plus lines.
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
        Refusal: ``request_invalid`` if the span is empty; ``statement_too_long`` above 10,000 lines.
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
