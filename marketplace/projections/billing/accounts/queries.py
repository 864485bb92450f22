"""Queries of the accounts: balances at any point, their entries, and whether everything sums to zero."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Select, and_, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.projections.billing.accounts.tables import accounts, balances, entries
from marketplace.projections.billing.holds import account_reserves
from marketplace.projections.engine.queries import At, find_one, load_all, page, until
from marketplace.projections.views.billing import AccountView, BalanceView, Basis, EntryView, TrialBalanceView


class _Sum(msgspec.Struct, frozen=True):
    account: str
    amount: Decimal


async def find_account(connection: AsyncConnection, account_id: str, *, now: datetime) -> AccountView | None:
    """Return an account, or None."""
    return await find_one(connection, _select_accounts(now).where(accounts.c.account_id == account_id), AccountView)


def _select_accounts(now: datetime) -> Select[Any]:
    """Return the query of accounts with the balances of each, and what it reserves for corrections now."""
    kept = account_reserves.c.account_id == accounts.c.account_id, account_reserves.c.kept_until > now
    reserved = select(func.coalesce(func.sum(account_reserves.c.amount_usd), 0)).where(*kept).scalar_subquery()
    return select(accounts, *(_select_balance(name) for name in ("available", "held")), reserved.label("reserved_usd"))


def _select_balance(name: str) -> Any:
    """Return the column of an account's balance on one of its ledger accounts."""
    named = balances.c.account == accounts.c.account_id + f"/{name}"
    found = select(balances.c.amount).where(named).scalar_subquery()
    return func.coalesce(found, 0).label(f"{name}_usd")


async def list_accounts(
    connection: AsyncConnection, *, now: datetime, party_id: str | None = None, after: str = "", limit: int = 100
) -> list[AccountView]:
    """Return accounts by id above `after`, of one party or all."""
    query = _select_accounts(now).where(accounts.c.account_id > after).order_by(accounts.c.account_id)
    if party_id is not None:
        query = query.where(accounts.c.party_id == party_id)
    return await load_all(connection, page(query, limit), AccountView)


async def list_balances(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    unit: str | None = None,
    account_id: str | None = None,
    at: At = None,
    occurred_until: datetime | None = None,
    after: str = "",
    limit: int = 100,
) -> list[BalanceView]:
    """Return balances by ledger account name above `after`.

    Args:
        connection: Where to read.
        party_id: Only this party's.
        unit: Only in this unit.
        account_id: Only the ledger accounts of this account, grant, instrument or pool, or one of them.
        at: The books at a sequence or an instant; None for now.
        occurred_until: Of those, only what had occurred by this instant.
        after: Last account of the previous page.
        limit: Rows of a page, at most 1,000.
    """
    now = at is None and occurred_until is None
    table: Any = balances if now else _balances_at(at, occurred_until).subquery()
    query = select(*table.c["account", "party_id", "unit", "amount", "last_sequence"])
    query = query.where(table.c.account > after).order_by(table.c.account)
    if party_id is not None:
        query = query.where(table.c.party_id == party_id)
    if unit is not None:
        query = query.where(table.c.unit == unit)
    if account_id is not None:
        query = query.where(_belongs(table, account_id))
    return await load_all(connection, page(query, limit), BalanceView)


def _belongs(table: Any, account_id: str) -> Any:
    """Return the condition that an entry is on the ledger account named, or on any of the account or grant named."""
    if "/" in account_id:
        return table.c.account == account_id
    return table.c.account.startswith(f"{account_id}/", autoescape=True)


def _happened(at: At, occurred_until: datetime | None) -> Any:
    """Return the condition that an entry was in the books at `at` and had occurred by `occurred_until`."""
    recorded = until(at, entries.c.sequence, entries.c.recorded_at)
    return recorded if occurred_until is None else and_(recorded, entries.c.occurred_at <= occurred_until)


def _balances_at(at: At, occurred_until: datetime | None = None) -> Select[Any]:
    columns = (entries.c.account, entries.c.party_id, entries.c.unit)
    return (
        select(
            *columns, func.sum(entries.c.amount).label("amount"), func.max(entries.c.sequence).label("last_sequence")
        )
        .where(_happened(at, occurred_until))
        .group_by(*columns)
    )


async def list_entries(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    account: str | None = None,
    account_id: str | None = None,
    at: At = None,
    occurred_until: datetime | None = None,
    after: tuple[int, int] = (0, -1),
    limit: int = 100,
) -> list[EntryView]:
    """Return entries above the cursor ``(sequence, line)``, oldest first.

    Args:
        connection: Where to read.
        party_id: Only this party's.
        account: Only of this ledger account, for example ``acc_…/held``.
        account_id: Only of the ledger accounts of this account, grant or instrument, or of one of them.
        at: The books at a sequence or an instant; None for now.
        occurred_until: Of those, only what had occurred by this instant.
        after: Cursor of the last entry of the previous page.
        limit: Rows of a page, at most 1,000.
    """
    key = tuple_(entries.c.sequence, entries.c.line)
    query = select(entries).where(key > tuple_(*after)).order_by(entries.c.sequence, entries.c.line)
    if party_id is not None:
        query = query.where(entries.c.party_id == party_id)
    if account is not None:
        query = query.where(entries.c.account == account)
    if account_id is not None:
        query = query.where(_belongs(entries, account_id))
    query = query.where(_happened(at, occurred_until))
    return await load_all(connection, page(query, limit), EntryView)


async def load_sums(
    connection: AsyncConnection,
    account_id: str,
    until_cursor: tuple[int, int],
    *,
    at: At = None,
    occurred_until: datetime | None = None,
) -> dict[str, Decimal]:
    """Return the balance of each ledger account that `account_id` names, from entries up to and including a cursor."""
    key = tuple_(entries.c.sequence, entries.c.line)
    query = (
        select(entries.c.account, func.sum(entries.c.amount).label("amount"))
        .where(_belongs(entries, account_id), key <= tuple_(*until_cursor), _happened(at, occurred_until))
        .group_by(entries.c.account)
    )
    return await _load_sums(connection, query)


async def _load_sums(connection: AsyncConnection, query: Select[Any]) -> dict[str, Decimal]:
    return {row.account: row.amount for row in await load_all(connection, query, _Sum)}


async def list_lines(
    connection: AsyncConnection,
    account_id: str,
    *,
    basis: Basis,
    start: datetime,
    end: datetime,
    limit: int,
    latest: bool = False,
) -> tuple[dict[str, Decimal], list[EntryView]]:
    """Return the entries of ``[start, end)`` in order, and each ledger account's balance before the first of them.

    Args:
        connection: Where to read.
        account_id: The account.
        basis: Whether entries count by when they were recorded or when they occurred.
        start: First instant.
        end: Instant after the last.
        limit: The most entries to return.
        latest: Return the latest of more entries, in place of the first.
    """
    time = entries.c.recorded_at if basis == "recorded" else entries.c.occurred_at
    opening = (
        select(entries.c.account, func.sum(entries.c.amount).label("amount"))
        .where(_belongs(entries, account_id), time < (end if latest else start))
        .group_by(entries.c.account)
    )
    lines = (
        select(entries)
        .where(_belongs(entries, account_id), time >= start, time < end)
        .order_by(*(column.desc() if latest else column for column in (time, entries.c.sequence, entries.c.line)))
        .limit(limit)
    )
    before, found = await _load_sums(connection, opening), await load_all(connection, lines, EntryView)
    if not latest:
        return before, found
    for row in found:
        before[row.account] -= row.amount
    return before, found[::-1]


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
