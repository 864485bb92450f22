"""Accounts: balances and entries as of any point, deposits and withdrawals, and the platform's trial balance."""

from typing import Annotated, Final

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from marketplace.api.http.bodies.accounts import TransferBody
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.known_values import require_ledger_account, require_unit
from marketplace.api.http.paging import CreatedBefore, CreatedFrom, Cursor, Limit, Order, build_page, parse_span
from marketplace.api.http.queries import AtText, OptionalInstantText, Read, Word, parse_at, parse_instant
from marketplace.api.http.visibility import ACCOUNT
from marketplace.application.billing.accounts import deposit, withdraw
from marketplace.application.billing.approvals import find_approval
from marketplace.execution.handler import Receipt
from marketplace.projections.billing.accounts import (
    find_account,
    list_accounts,
    list_balances,
    list_entries,
    load_trial_balance,
)
from marketplace.projections.views.billing import AccountView, BalanceView, EntryView, TrialBalanceView

PATH: Final = "/v1/accounts"
LedgerAccount = Annotated[str | None, QueryParameter(min_length=1, max_length=100)]


@post(
    "/{account_id:str}/deposits",
    status_code=200,
    operation_id="accounts.deposit",
    summary="Record a deposit",
    opt={"scope": "accounts:deposit"},
)
async def record_deposit(
    command: Commanded, account_id: FromPath[str], data: JSONBody[TransferBody]
) -> Response[ReceiptBody]:
    """Record dollars that arrived from outside, as the platform.

    Above the account's limit, or what one person may record alone, a second person of the platform approves it (202).
    """
    receipt = await deposit(
        command.handler,
        command.context,
        account_id,
        amount_usd=data.amount_usd,
        reference=data.reference,
        booked_at=data.booked_at,
        provider=command.services.payments,
    )
    return await _answer(command, receipt, account_id)


async def _answer(command: Commanded, receipt: Receipt, account_id: str) -> Response[ReceiptBody]:
    """Answer that the money moved, or that this waits for a second person."""
    approval_id = await find_approval(command.handler, command.context, account_id)
    if approval_id is not None:
        return command.answer_proposed(receipt, approval_id, f"{PATH}/{account_id}/approvals")
    return command.answer(receipt)


@post(
    "/{account_id:str}/withdrawals",
    status_code=200,
    operation_id="accounts.withdraw",
    summary="Withdraw money",
    opt={"scope": "accounts:withdraw"},
)
async def record_withdrawal(
    command: Commanded, account_id: FromPath[str], data: JSONBody[TransferBody]
) -> Response[ReceiptBody]:
    """Withdraw available money. Above the account's limit, this waits for a second person (202)."""
    receipt = await withdraw(
        command.handler,
        command.context,
        account_id,
        amount_usd=data.amount_usd,
        reference=data.reference,
        booked_at=data.booked_at,
        provider=command.services.payments,
    )
    return await _answer(command, receipt, account_id)


@get("/{account_id:str}", summary="Get an account")
async def get_one(reader: Read, account_id: FromPath[str]) -> AccountView:
    """Return an account of the party, with its balances now."""
    async with reader.connect() as connection:
        view = await find_account(connection, account_id, now=reader.now, sealed=reader.sees_sealed)
    return reader.show(view, ACCOUNT, account_id)


@get("/", summary="List accounts")
async def list_all(reader: Read, limit: Limit = 100, cursor: Cursor = None) -> Page[AccountView]:
    """Return the party's accounts by id."""
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        rows = await list_accounts(
            connection,
            now=reader.now,
            party_id=reader.party_id,
            sealed=reader.sees_sealed,
            after=after,
            limit=limit + 1,
        )
    return build_page(rows, limit, lambda row: row.account_id)


@get("/v1/balances", operation_id="accounts.list_balances", summary="List balances")
async def read_balances(
    *,
    reader: Read,
    limit: Limit = 100,
    cursor: Cursor = None,
    at: AtText = None,
    occurred_until: OptionalInstantText = None,
    party_id: Word = None,
    unit: Word = None,
) -> Page[BalanceView]:
    """Return balances by ledger account: of entries recorded by `at`, whose events occurred by `occurred_until`."""
    after, party_id, point = parse_cursor(cursor, ""), reader.narrow(party_id), await parse_at(reader, at)
    until = None if occurred_until is None else parse_instant(occurred_until, "/occurred_until")
    async with reader.connect() as connection:
        await require_unit(connection, unit)
        rows = await list_balances(
            connection,
            party_id=party_id,
            unit=unit,
            at=point,
            occurred_until=until,
            sealed=reader.sees_sealed,
            after=after,
            limit=limit + 1,
        )
    return build_page(rows, limit, lambda row: row.account)


@get("/v1/entries", operation_id="accounts.list_entries", summary="List entries")
async def read_entries(
    *,
    reader: Read,
    limit: Limit = 100,
    cursor: Cursor = None,
    party_id: Word = None,
    account: LedgerAccount = None,
    account_id: Word = None,
    order: Order = "id",
    created_from: CreatedFrom = None,
    created_before: CreatedBefore = None,
) -> Page[EntryView]:
    """Return entries, each with its event, as they were recorded.

    `account` selects one ledger account, `account_id` all of one account, grant or instrument.
    """
    party_id = reader.narrow(party_id)
    require_ledger_account(account)
    begin, end = parse_span(created_from, created_before)
    async with reader.connect() as connection:
        rows = await list_entries(
            connection,
            party_id=party_id,
            account=account,
            account_id=account_id,
            created_from=begin,
            created_before=end,
            sealed=reader.sees_sealed,
            newest=order == "newest",
            after=None if cursor is None else parse_cursor(cursor, (0, 0)),
            limit=limit + 1,
        )
    return build_page(rows, limit, lambda row: (row.sequence, row.line))


@get("/v1/trial-balance", operation_id="accounts.get_trial_balance", summary="Read the trial balance")
async def read_trial_balance(reader: Read, at: AtText = None) -> list[TrialBalanceView]:
    """Return the sums per unit and kind of account, for the platform. The sums of a unit add up to zero."""
    reader.require_platform()
    point = await parse_at(reader, at)
    async with reader.connect() as connection:
        return await load_trial_balance(connection, at=point, sealed=reader.sees_sealed)


ROUTER: Final = Router(
    PATH,
    route_handlers=[record_deposit, record_withdrawal, get_one, list_all],
    tags=["accounts"],
    opt={"feature": "accounts"},
)
BALANCES: Final = Router(
    "/",
    route_handlers=[read_balances, read_entries, read_trial_balance],
    tags=["accounts"],
    opt={"feature": "accounts"},
)
