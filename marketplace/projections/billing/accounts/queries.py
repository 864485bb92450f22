"""Queries of the accounts: balances at any point, their entries, and whether everything sums to zero.

Each takes `sealed`. Without it, what an order or a quote holds counts as available until it is paid, because it tells
the sealed offer: entries that set it aside or free it are left out, and payments come from what is available.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Select, and_, case, exists, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from events.account import AccountHoldCaptured
from marketplace.projections.billing.accounts.tables import accounts, balances, entries
from marketplace.projections.billing.holds import account_reserves, holds, tells_no_offer
from marketplace.projections.engine.projection import get_tag_of
from marketplace.projections.engine.queries import At, find_one, load_all, page, until
from marketplace.projections.views.billing import AccountView, BalanceView, Basis, EntryView, TrialBalanceView


class _Sum(msgspec.Struct, frozen=True):
    account: str
    amount: Decimal


async def find_account(
    connection: AsyncConnection, account_id: str, *, now: datetime, sealed: bool = True
) -> AccountView | None:
    """Return an account, or None."""
    query = _select_accounts(now, sealed=sealed).where(accounts.c.account_id == account_id)
    return await find_one(connection, query, AccountView)


def _select_accounts(now: datetime, *, sealed: bool) -> Select[Any]:
    """Return the query of accounts with the balances of each, and what it reserves for corrections now."""
    kept = account_reserves.c.account_id == accounts.c.account_id, account_reserves.c.kept_until > now
    reserved = select(func.coalesce(func.sum(account_reserves.c.amount_usd), 0)).where(*kept).scalar_subquery()
    named = (_select_balance(name, sealed=sealed) for name in ("available", "held"))
    return select(accounts, *named, reserved.label("reserved_usd"))


def _select_balance(name: str, *, sealed: bool) -> Any:
    """Return the column of an account's balance on one of its ledger accounts."""
    named = balances.c.account == accounts.c.account_id + f"/{name}"
    found = select(balances.c.amount if sealed else _move_offers()).where(named).scalar_subquery()
    return func.coalesce(found, 0).label(f"{name}_usd")


def _move_offers() -> Any:
    """Return the amount of a balance, with what orders and quotes hold counted as available."""
    id_, other = func.split_part(balances.c.account, "/", 1), balances.alias()
    kept = select(func.coalesce(func.sum(holds.c.left_usd), 0)).where(holds.c.account_id == id_, tells_no_offer())
    held = select(other.c.amount).where(other.c.account == id_ + "/held")
    whole = balances.c.amount + func.coalesce(held.scalar_subquery(), 0)
    moved = {"available": whole - kept.scalar_subquery(), "held": kept.scalar_subquery()}
    return case(moved, value=func.split_part(balances.c.account, "/", 2), else_=balances.c.amount).label("amount")


async def list_accounts(
    connection: AsyncConnection,
    *,
    now: datetime,
    party_id: str | None = None,
    sealed: bool = True,
    after: str = "",
    limit: int = 100,
) -> list[AccountView]:
    """Return accounts by id above `after`, of one party or all."""
    query = _select_accounts(now, sealed=sealed).where(accounts.c.account_id > after).order_by(accounts.c.account_id)
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
    sealed: bool = True,
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
        sealed: Whether to state what orders and quotes hold.
        after: Last account of the previous page.
        limit: Rows of a page, at most 1,000.
    """
    table = _get_balances(at, occurred_until, sealed=sealed, account_id=account_id)
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


def _happened(table: Any, at: At, occurred_until: datetime | None) -> Any:
    """Return the condition that an entry was in the books at `at` and had occurred by `occurred_until`."""
    recorded = until(at, table.c.sequence, table.c.recorded_at)
    return recorded if occurred_until is None else and_(recorded, table.c.occurred_at <= occurred_until)


def _get_entries(account_id: str | None = None, *, sealed: bool) -> Any:
    """Return the table of entries; without `sealed`, as the module's docstring says, and only those near an account."""
    if sealed:
        return entries
    hold = holds.c.party_id == entries.c.party_id, holds.c.hold_id == entries.c.hold_id
    shown = or_(entries.c.hold_id.is_(None), exists().where(*hold, tells_no_offer()))
    paid, source = (
        entries.c.tag == get_tag_of(AccountHoldCaptured),
        func.replace(entries.c.account, "/held", "/available"),
    )
    account = case((shown, entries.c.account), else_=source).label("account")
    query = select(account, *(column for column in entries.c if column is not entries.c.account))
    if account_id is not None:
        query = query.where(_belongs(entries, account_id.partition("/")[0]))  # PostgreSQL finds these by an index
    return query.where(or_(paid, shown)).subquery()


def _get_balances(
    at: At = None, occurred_until: datetime | None = None, *, sealed: bool, account_id: str | None = None
) -> Any:
    """Return the table of balances now or at a point, by ledger account."""
    if at is None and occurred_until is None:
        if sealed:
            return balances
        kept = (column for column in balances.c if column is not balances.c.amount)
        return select(*kept, _move_offers()).subquery()
    table = _get_entries(account_id, sealed=sealed)
    columns = table.c["account", "party_id", "unit"]
    sums = func.sum(table.c.amount).label("amount"), func.max(table.c.sequence).label("last_sequence")
    return select(*columns, *sums).where(_happened(table, at, occurred_until)).group_by(*columns).subquery()


async def list_entries(
    connection: AsyncConnection,
    *,
    party_id: str | None = None,
    account: str | None = None,
    account_id: str | None = None,
    at: At = None,
    occurred_until: datetime | None = None,
    created_from: datetime | None = None,
    created_before: datetime | None = None,
    sealed: bool = True,
    newest: bool = False,
    after: tuple[int, int] | None = None,
    limit: int = 100,
) -> list[EntryView]:
    """Return entries beyond the cursor ``(sequence, line)``, oldest first, or newest first.

    Args:
        connection: Where to read.
        party_id: Only this party's.
        account: Only of this ledger account, for example ``acc_…/held``.
        account_id: Only of the ledger accounts of this account, grant or instrument, or of one of them.
        at: The books at a sequence or an instant; None for now.
        occurred_until: Of those, only what had occurred by this instant.
        created_from: Only what was recorded at this instant or later.
        created_before: Only what was recorded before this instant.
        sealed: Whether to state what orders and quotes hold.
        newest: Whether the newest comes first.
        after: Cursor of the last entry of the previous page; None for the first page.
        limit: Rows of a page, at most 1,000.
    """
    table = _get_entries(account or account_id, sealed=sealed)
    key = tuple_(table.c.sequence, table.c.line)
    query = select(table)
    if after is not None:
        query = query.where(key < tuple_(*after) if newest else key > tuple_(*after))
    query = query.order_by(*(column.desc() if newest else column for column in (table.c.sequence, table.c.line)))
    if party_id is not None:
        query = query.where(table.c.party_id == party_id)
    if account is not None:
        query = query.where(table.c.account == account)
    if account_id is not None:
        query = query.where(_belongs(table, account_id))
    if created_from is not None:
        query = query.where(table.c.recorded_at >= created_from)
    if created_before is not None:
        query = query.where(table.c.recorded_at < created_before)
    query = query.where(_happened(table, at, occurred_until))
    return await load_all(connection, page(query, limit), EntryView)


async def load_sums(
    connection: AsyncConnection,
    account_id: str,
    until_cursor: tuple[int, int],
    *,
    at: At = None,
    occurred_until: datetime | None = None,
    sealed: bool = True,
) -> dict[str, Decimal]:
    """Return the balance of each ledger account that `account_id` names, from entries up to and including a cursor."""
    table = _get_entries(account_id, sealed=sealed)
    key = tuple_(table.c.sequence, table.c.line)
    query = (
        select(table.c.account, func.sum(table.c.amount).label("amount"))
        .where(_belongs(table, account_id), key <= tuple_(*until_cursor), _happened(table, at, occurred_until))
        .group_by(table.c.account)
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
    sealed: bool = True,
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
        sealed: Whether to state what orders and quotes hold.
    """
    table = _get_entries(account_id, sealed=sealed)
    time = table.c.recorded_at if basis == "recorded" else table.c.occurred_at
    opening = (
        select(table.c.account, func.sum(table.c.amount).label("amount"))
        .where(_belongs(table, account_id), time < (end if latest else start))
        .group_by(table.c.account)
    )
    lines = (
        select(table)
        .where(_belongs(table, account_id), time >= start, time < end)
        .order_by(*(column.desc() if latest else column for column in (time, table.c.sequence, table.c.line)))
        .limit(limit)
    )
    before, found = await _load_sums(connection, opening), await load_all(connection, lines, EntryView)
    if not latest:
        return before, found
    for row in found:
        before[row.account] -= row.amount
    return before, found[::-1]


async def load_trial_balance(
    connection: AsyncConnection, *, at: At = None, sealed: bool = True
) -> list[TrialBalanceView]:
    """Return the sums per unit and kind of account, now or as of `at`."""
    table = _get_balances(at, sealed=sealed)
    last = func.regexp_replace(table.c.account, "^.*/", "")
    kind = func.coalesce(func.substring(table.c.account, "^(external|clearing)/"), last).label("kind")
    query = (
        select(table.c.unit, kind, func.count().label("accounts"), func.sum(table.c.amount).label("amount"))
        .group_by(table.c.unit, kind)
        .order_by(table.c.unit, kind)
    )
    return await load_all(connection, query, TrialBalanceView)
