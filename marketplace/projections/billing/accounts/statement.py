"""Statements of account: opening balance, every line of a span, and closing balance."""

from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.core.errors import Refusal
from marketplace.core.intervals import require_forward
from marketplace.projections.billing.accounts.explain import run_balances
from marketplace.projections.billing.accounts.queries import list_lines
from marketplace.projections.views.billing import (
    AccountStatementView,
    AccountView,
    Basis,
    EntryView,
    LineView,
    StandView,
)

LINES_MAX: Final = 10_000


async def load_account_statement(
    connection: AsyncConnection,
    account: AccountView,
    *,
    start: datetime,
    end: datetime,
    basis: Basis = "recorded",
    last: int | None = None,
    sealed: bool = True,
) -> AccountStatementView:
    """Return the statement of an account over ``[start, end)``; with `last`, only so many of its latest lines.

    Without `sealed`, it is stated as `queries` says.

    Raises:
        Refusal: ``request_invalid`` if the span is empty; ``statement_too_long`` above 10,000 lines.
    """
    require_forward(start, end)
    before, rows = await list_lines(
        connection,
        account.account_id,
        basis=basis,
        start=start,
        end=end,
        limit=last or LINES_MAX + 1,
        latest=last is not None,
        sealed=sealed,
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
        lines=tuple(_render(row, balance) for row, balance in run),
        closing=_stand(after),
    )


def _render(row: EntryView, balance: Decimal) -> LineView:
    return LineView(
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


def _stand(sums: dict[str, Decimal]) -> tuple[StandView, ...]:
    return tuple(StandView(account=account, amount=amount) for account, amount in sorted(sums.items()))
