"""Mandates: the terms on which holders take equity; their rules without budgets are under ``/v1/market/mandates``."""

from typing import Final, Literal

from litestar import Response, Router, get, post, put
from litestar.params import FromPath, JSONBody

from marketplace.api.http.asked import answer_asked
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.bodies.trading import AmendMandateBody, GrantMandateBody, RefuseOrderBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, List, build_page
from marketplace.api.http.queries import Read, Statuses, Word, answer_versioned
from marketplace.api.http.visibility import MANDATE
from marketplace.application.trading.mandates import (
    amend_mandate,
    approve_order,
    grant_mandate,
    refuse_order,
    revoke_mandate,
)
from marketplace.projections.trading.mandates import find_mandate, limit_held, list_budget_holds, list_mandates
from marketplace.projections.trading.market.vendors import list_exposures
from marketplace.projections.views.trading import BudgetHoldView, ExposureView, MandateView

PATH: Final = "/v1/mandates"
Status = Literal["granted", "revoked"]


@post("/", summary="Grant a mandate", opt={"scope": "mandates:grant"})
async def grant(command: Commanded, data: JSONBody[GrantMandateBody]) -> Response[ReceiptBody]:
    """Grant a mandate: offer to take equity on its terms, as the holder. A cash mandate holds all of its budgets.

    Above the account's limit, a cash mandate waits for a second person (202).
    """
    receipt = await grant_mandate(
        command.handler, command.context, holder_id=data.holder_id, funding=data.funding, terms=data.terms
    )
    return await answer_asked(command, receipt, command.principal.party_id) or command.answer_created(receipt, PATH)


@put("/{mandate_id:str}", summary="Amend a mandate", opt={"scope": "mandates:grant"})
async def amend(
    command: Commanded, mandate_id: FromPath[str], data: JSONBody[AmendMandateBody]
) -> Response[ReceiptBody]:
    """Change the rules and the budgets, for orders that are not matched yet.

    Above the account's limit, the change of a cash mandate waits for a second person (202).
    """
    receipt = await amend_mandate(
        command.handler, command.context, mandate_id, terms=data.terms, auction_ids=await command.list_auctions()
    )
    return await answer_asked(command, receipt, command.principal.party_id) or command.answer(receipt)


@post("/{mandate_id:str}/revoke", status_code=200, summary="Revoke a mandate")
async def revoke(command: Commanded, mandate_id: FromPath[str], data: JSONBody[ReasonBody]) -> Response[ReceiptBody]:
    """Revoke a mandate, so that it takes nothing new. Its holds for open orders end; captured budget stays owed."""
    auction_ids = await command.list_auctions()
    receipt = await revoke_mandate(
        command.handler, command.context, mandate_id, reason=data.reason, auction_ids=auction_ids
    )
    return command.answer(receipt)


@post(
    "/{mandate_id:str}/holds/{hold_id:str}/approve",
    status_code=200,
    operation_id="mandates.approve_order",
    summary="Approve an order above the mandate's amount",
    opt={"scope": "mandates:approve"},
)
async def approve(command: Commanded, mandate_id: FromPath[str], hold_id: FromPath[str]) -> Response[ReceiptBody]:
    """Approve an order above the mandate's `approval_above_usd`. It takes part in the auctions from now on."""
    return command.answer(await approve_order(command.handler, command.context, mandate_id, hold_id))


@post(
    "/{mandate_id:str}/holds/{hold_id:str}/refuse",
    status_code=200,
    operation_id="mandates.refuse_order",
    summary="Refuse an order that is not matched",
    opt={"scope": "mandates:approve"},
)
async def refuse(
    command: Commanded, mandate_id: FromPath[str], hold_id: FromPath[str], data: JSONBody[RefuseOrderBody]
) -> Response[ReceiptBody]:
    """Refuse to pay for an order that is not matched. Its budget is released at once; the order loses the mandate.

    With `barred_days`, the mandate holds nothing more for the order's company for so long.
    """
    receipt = await refuse_order(
        command.handler,
        command.context,
        mandate_id,
        hold_id,
        reason=data.reason,
        barred_days=data.barred_days,
        auction_ids=await command.list_auctions(),
    )
    return command.answer(receipt)


@get("/{mandate_id:str}", summary="Get a mandate")
async def get_one(reader: Read, mandate_id: FromPath[str]) -> Response[MandateView]:
    """Return a mandate of the holder, with its held and captured budget."""
    async with reader.connect() as connection:
        view = reader.show(await find_mandate(connection, mandate_id), MANDATE, mandate_id)
        (view,) = [view] if reader.sees_foreign else await limit_held(connection, [view])
    return answer_versioned(view, view.last_sequence)


@get("/", summary="List mandates")
async def list_all(
    reader: Read,
    listing: List,
    holder_id: Word = None,
    status: Statuses[Status] = None,
) -> Page[MandateView]:
    """Return the holder's mandates."""
    holder_id = reader.narrow(holder_id)
    async with reader.connect() as connection:
        rows = await list_mandates(connection, holder_id=holder_id, status=status, window=listing.window)
        shown = rows if reader.sees_foreign else await limit_held(connection, rows)
    return listing.build_page(rows, shown, lambda row: (row.granted_at, row.mandate_id))


@get("/exposure", operation_id="mandates.list_exposure", summary="Read exposure by vendor and generation of GPUs")
async def read_exposure(reader: Read, holder_id: Word = None) -> list[ExposureView]:
    """Return what the holder's mandates hold and have committed, by vendor and generation.

    The platform reads every holder's.
    """
    holder_id = reader.narrow(holder_id)
    async with reader.connect() as connection:
        return await list_exposures(connection, holder_id=holder_id, sealed=reader.sees_foreign)


@get("/{mandate_id:str}/holds", summary="List holds on a mandate's budget")
async def list_holds(
    reader: Read, mandate_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[BudgetHoldView]:
    """Return the holds on the mandate's budget by id."""
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        view = await find_mandate(connection, mandate_id)
        reader.show(view, MANDATE, mandate_id)
        sealed = reader.sees_foreign
        rows = await list_budget_holds(connection, mandate_id, sealed=sealed, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.hold_id)


ROUTER: Final = Router(
    PATH,
    route_handlers=[grant, amend, revoke, approve, refuse, get_one, list_all, list_holds, read_exposure],
    tags=["mandates"],
    opt={"feature": "mandates"},
)
