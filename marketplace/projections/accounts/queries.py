"""What the accounts answer: balances at any point, entries behind them, and whether everything sums to zero."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.projections.accounts.tables import accounts, balances, entries
from marketplace.projections.reading import At, find_one, load_all, page, until


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """One party's account with the market."""

    account_id: str
    party_id: str
    unit: str
    opened_at: datetime
    last_sequence: int


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on one ledger account, and the event that moved it last."""

    account: str
    party_id: str | None
    unit: str
    amount: Decimal
    last_sequence: int


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One line that one event posted; positive into the account."""

    sequence: int
    line: int
    account: str
    party_id: str | None
    unit: str
    amount: Decimal
    tag: str
    occurred_at: datetime


class TrialBalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts of one kind in one unit; the amounts of a unit sum to zero."""

    unit: str
    kind: str
    accounts: int
    amount: Decimal


async def find_account(connection: AsyncConnection, account_id: str) -> AccountView | None:
    """Return an account, None where there is none."""
    return await find_one(connection, select(accounts).where(accounts.c.account_id == account_id), AccountView)


async def list_accounts(
    connection: AsyncConnection, *, party_id: str | None = None, after: str = "", limit: int = 100
) -> list[AccountView]:
    """Return accounts by id above `after`; of one party, or of all."""
    query = select(accounts).where(accounts.c.account_id > after).order_by(accounts.c.account_id)
    if party_id is not None:
        query = query.where(accounts.c.party_id == party_id)
    return await load_all(connection, page(query, limit), AccountView)


async def list_balances(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    unit: str | None = None,
    at: At = None,
    after: str = "",
    limit: int = 100,
) -> list[BalanceView]:
    """Return balances by account name above `after`; of one party or of all, now or as of `at`."""
    table: Any = balances if at is None else _balances_at(at).subquery()
    query = select(*table.c["account", "party_id", "unit", "amount", "last_sequence"])
    query = query.where(table.c.account > after).order_by(table.c.account)
    if party_id is not None:
        query = query.where(table.c.party_id == party_id)
    if unit is not None:
        query = query.where(table.c.unit == unit)
    return await load_all(connection, page(query, limit), BalanceView)


def _balances_at(at: At) -> Select[Any]:
    columns = (entries.c.account, entries.c.party_id, entries.c.unit)
    return (
        select(
            *columns, func.sum(entries.c.amount).label("amount"), func.max(entries.c.sequence).label("last_sequence")
        )
        .where(until(at, entries.c.sequence, entries.c.occurred_at))
        .group_by(*columns)
    )


async def list_entries(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    account: str | None = None,
    account_id: str | None = None,
    after: tuple[int, int] = (0, -1),
    limit: int = 100,
) -> list[EntryView]:
    """Return entries above the cursor ``(sequence, line)``, oldest first.

    Args:
        connection: Where to read.
        party_id: Only this party's.
        account: Only of this ledger account, for example ``acc_…/held``.
        account_id: Only of the ledger accounts of this account, grant or instrument.
        after: Cursor of the last entry of the page before.
        limit: Rows of a page, at most 1,000.
    """
    key = tuple_(entries.c.sequence, entries.c.line)
    query = select(entries).where(key > tuple_(*after)).order_by(entries.c.sequence, entries.c.line)
    if party_id is not None:
        query = query.where(entries.c.party_id == party_id)
    if account is not None:
        query = query.where(entries.c.account == account)
    if account_id is not None:
        query = query.where(entries.c.account.startswith(f"{account_id}/", autoescape=True))
    return await load_all(connection, page(query, limit), EntryView)


async def load_trial_balance(connection: AsyncConnection, *, at: At = None) -> list[TrialBalanceView]:
    """Return the sums per unit and kind of account, now or as of `at`."""
    table: Any = balances if at is None else _balances_at(at).subquery()
    last = func.regexp_replace(table.c.account, "^.*/", "")
    kind = func.coalesce(func.substring(table.c.account, "^(external|clearing)/"), last).label("kind")
    query = (
        select(table.c.unit, kind, func.count().label("accounts"), func.sum(table.c.amount).label("amount"))
        .group_by(table.c.unit, kind)
        .order_by(table.c.unit, kind)
    )
    return await load_all(connection, query, TrialBalanceView)
