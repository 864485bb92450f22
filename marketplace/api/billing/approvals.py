"""Two persons: an account's limit, and the requests that wait for the approval of a second person."""

from typing import Final

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from marketplace.api.http.bodies.accounts import LimitBody
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.paging import List
from marketplace.api.http.queries import Read, Statuses, Word
from marketplace.api.http.visibility import ACCOUNT
from marketplace.application.billing import approvals
from marketplace.domain.billing.account_state import ApprovalStatus
from marketplace.projections.billing.accounts import find_account
from marketplace.projections.billing.approvals import list_approvals
from marketplace.projections.views.billing import ApprovalView

PATH: Final = "/v1/accounts/{account_id:str}"


@post(
    "/limit",
    status_code=200,
    operation_id="accounts.set_limit",
    summary="Set an account's limit",
    opt={"scope": "accounts:limit"},
)
async def limit(command: Commanded, account_id: FromPath[str], data: JSONBody[LimitBody]) -> Response[ReceiptBody]:
    """Set what one person alone may move out in 24 hours, and order at once and in 7 days.

    A change of existing limits waits for a second person (202).
    """
    party_id = command.context.party_id
    approvers = None if party_id is None else await command.services.keys.list_holders(party_id, "accounts:approve")
    receipt = await approvals.set_limit(
        command.handler,
        command.context,
        account_id,
        limit_usd=data.limit_usd,
        order_limit_usd=data.order_limit_usd,
        week_limit_usd=data.week_limit_usd,
        currency=data.unit,
        approvers=approvers,
    )
    approval_id = await approvals.find_approval(command.handler, command.context, account_id)
    if approval_id is not None:
        return command.answer_proposed(receipt, approval_id, f"/v1/accounts/{account_id}/approvals")
    return command.answer(receipt)


@post(
    "/approvals/{approval_id:str}/approve",
    status_code=200,
    summary="Approve as a second person",
    opt={"scope": "accounts:approve"},
)
async def approve(command: Commanded, account_id: FromPath[str], approval_id: FromPath[str]) -> Response[ReceiptBody]:
    """Approve what another person of the party, or of the platform, asked for."""
    receipt = await approvals.approve(
        command.handler,
        command.context,
        account_id,
        approval_id,
        provider=command.services.payments,
        auction_ids=await command.list_auctions(),
    )
    return command.answer(receipt)


@post(
    "/approvals/{approval_id:str}/refuse",
    status_code=200,
    operation_id="accounts.refuse_approval",
    summary="Refuse as a second person",
    opt={"scope": "accounts:approve"},
)
async def refuse(
    command: Commanded, account_id: FromPath[str], approval_id: FromPath[str], data: JSONBody[ReasonBody]
) -> Response[ReceiptBody]:
    """Refuse a request, as another person or the platform."""
    receipt = await approvals.refuse_approval(
        command.handler, command.context, account_id, approval_id, reason=data.reason
    )
    return command.answer(receipt)


@post(
    "/approvals/{approval_id:str}/withdraw",
    status_code=200,
    operation_id="accounts.withdraw_approval",
    summary="Withdraw a request for approval",
    opt={"scope": "accounts:withdraw"},
)
async def withdraw(
    command: Commanded, account_id: FromPath[str], approval_id: FromPath[str], data: JSONBody[ReasonBody]
) -> Response[ReceiptBody]:
    """Withdraw a request, as the person who made it."""
    receipt = await approvals.withdraw_approval(
        command.handler, command.context, account_id, approval_id, reason=data.reason
    )
    return command.answer(receipt)


@get("/approvals", operation_id="accounts.list_approvals", summary="List what waits for a second person")
async def list_all(
    reader: Read,
    account_id: FromPath[str],
    listing: List,
    status: Statuses[ApprovalStatus] = None,
) -> Page[ApprovalView]:
    """Return the account's requests for approval, including past ones.

    A key sees those for orders, mandates, proposals and relations with the scope to read these; one of the platform,
    orders with ``orders:sealed``.
    """
    async with reader.connect() as connection:
        account = await find_account(connection, account_id, now=reader.now)
        reader.show(account, ACCOUNT, account_id)
        rows = await list_approvals(
            connection, account_id=account_id, status=status, window=listing.window, hidden=reader.hidden_acts
        )
    return listing.build_page(rows, rows, lambda row: (row.requested_at, row.approval_id))


@get("/", operation_id="accounts.list_every_approval", summary="List what waits for a second person on all accounts")
async def list_every(
    reader: Read, listing: List, status: Statuses[ApprovalStatus] = None, party_id: Word = None
) -> Page[ApprovalView]:
    """Return the party's requests for approval; for the platform, those of all parties or of one.

    A key sees those that it sees of an account.
    """
    async with reader.connect() as connection:
        rows = await list_approvals(
            connection,
            party_id=reader.narrow(party_id),
            status=status,
            window=listing.window,
            hidden=reader.hidden_acts,
        )
    return listing.build_page(rows, rows, lambda row: (row.requested_at, row.approval_id))


ROUTER: Final = Router(
    PATH,
    route_handlers=[limit, approve, refuse, withdraw, list_all],
    tags=["accounts"],
    opt={"feature": "accounts"},
)
EVERY: Final = Router("/v1/approvals", route_handlers=[list_every], tags=["accounts"], opt={"feature": "accounts"})
