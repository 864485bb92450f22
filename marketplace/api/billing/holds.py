"""Holds in favour of another account: placed, captured, released; and the closing of an account."""

from typing import Final

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from marketplace.api.http.bodies.accounts import CaptureHoldBody, PlaceHoldBody
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.known_values import require_id
from marketplace.api.http.paging import List
from marketplace.api.http.queries import FreeWord, Read
from marketplace.api.http.visibility import ACCOUNT
from marketplace.application.billing.accounts import close_account
from marketplace.application.billing.approvals import find_approval
from marketplace.application.billing.holds import capture_hold, place_hold, release_hold
from marketplace.projections.billing.accounts import find_account
from marketplace.projections.billing.holds import list_holds
from marketplace.projections.views.billing import HoldView

PATH: Final = "/v1/accounts/{account_id:str}"


@post(
    "/holds",
    operation_id="accounts.place_hold",
    summary="Hold money for another account",
    opt={"scope": "accounts:hold"},
)
async def place(command: Commanded, account_id: FromPath[str], data: JSONBody[PlaceHoldBody]) -> Response[ReceiptBody]:
    """Set money aside from which another account may be paid until an instant.

    Only the payer may do this. Above the account's limit, the hold waits for a second person (202).
    """
    receipt = await place_hold(
        command.handler,
        command.context,
        account_id,
        payee_account_id=data.payee_account_id,
        amount_usd=data.amount_usd,
        expires_at=data.expires_at,
    )
    approval_id = await find_approval(command.handler, command.context, account_id)
    if approval_id is not None:
        return command.answer_proposed(receipt, approval_id, f"/v1/accounts/{account_id}/approvals")
    return command.answer_created(receipt, f"/v1/accounts/{account_id}/holds", command.derive("hld"))


@post(
    "/holds/{hold_id:str}/capture",
    status_code=200,
    operation_id="accounts.capture_hold",
    summary="Pay from a hold",
    opt={"scope": "accounts:capture"},
)
async def capture(
    command: Commanded, account_id: FromPath[str], hold_id: FromPath[str], data: JSONBody[CaptureHoldBody]
) -> Response[ReceiptBody]:
    """Pay the payee from a hold, in part or in full, as payer, payee or platform.

    For the payee, `If-Match` and `ETag` are versions of its own account.
    """
    receipt = await capture_hold(command.handler, command.context, account_id, hold_id, amount_usd=data.amount_usd)
    return command.answer(receipt)


@post(
    "/holds/{hold_id:str}/release",
    status_code=200,
    operation_id="accounts.release_hold",
    summary="Release a hold",
    opt={"scope": "accounts:hold"},
)
async def release(
    command: Commanded, account_id: FromPath[str], hold_id: FromPath[str], data: JSONBody[ReasonBody]
) -> Response[ReceiptBody]:
    """Release what is left of a hold, as its payee or the platform.

    For the payee, `If-Match` and `ETag` are versions of its own account.
    """
    receipt = await release_hold(command.handler, command.context, account_id, hold_id, reason=data.reason)
    return command.answer(receipt)


@get("/holds", operation_id="accounts.list_holds", summary="List the holds of an account")
async def list_all(reader: Read, account_id: FromPath[str], listing: List, purpose: FreeWord = None) -> Page[HoldView]:
    """Return the party's holds on an account, including past ones."""
    if purpose is not None:
        require_id("purpose", purpose)
    async with reader.connect() as connection:
        account = await find_account(connection, account_id, now=reader.now)
        reader.show(account, ACCOUNT, account_id)
        rows = await list_holds(
            connection, account_id, purpose=purpose, sealed=reader.sees_sealed, window=listing.window
        )
    return listing.build_page(rows, rows, lambda row: (row.placed_at, row.hold_id))


@post("/close", status_code=200, summary="Close an account", opt={"scope": "accounts:close"})
async def close(command: Commanded, account_id: FromPath[str], data: JSONBody[ReasonBody]) -> Response[ReceiptBody]:
    """Close an account without holds to anything new. It still receives what it is owed, and may be emptied."""
    return command.answer(await close_account(command.handler, command.context, account_id, reason=data.reason))


ROUTER: Final = Router(
    PATH, route_handlers=[place, capture, release, list_all, close], tags=["accounts"], opt={"feature": "accounts"}
)
