"""Orders: a startup's requests for nodes over time, sealed to everyone else."""

from typing import Annotated, Final, Literal

from litestar import Response, Router, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter

from marketplace.api.http.asked import answer_asked
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.bodies.trading import AmendOrderBody, PlaceOrderBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.expanding import ORDERS, expand_rows
from marketplace.api.http.known_values import require_terms_known
from marketplace.api.http.paging import Cursor, Limit, List, build_page
from marketplace.api.http.queries import AtText, Read, Statuses, Word, answer_versioned, parse_at
from marketplace.api.http.visibility import ORDER as ORDER_RULE
from marketplace.application.trading.orders import amend_order, cancel_order, place_order
from marketplace.domain.trading.order import ORDER, Status
from marketplace.projections.trading.auctions import find_next, list_decisions
from marketplace.projections.trading.orders import find_order, list_book, list_orders
from marketplace.projections.views.trading import BookOrderView, DecisionView, OrderView

PATH: Final = "/v1/orders"
Expanded = Annotated[
    list[Literal["decision", "grant"]] | None,
    QueryParameter(max_items=2, description="Also answer the last decision, or the grant that it won"),
]


@post("/", summary="Place an order")
async def place(command: Commanded, data: JSONBody[PlaceOrderBody]) -> Response[ReceiptBody]:
    """Place an order for the next auction. Its cash and mandates' budgets are held at once.

    Above what one person may order, it waits for a second person (202).
    """
    await require_terms_known(command.services, data.terms)
    receipt = await place_order(command.handler, command.context, startup_id=data.startup_id, terms=data.terms)
    return await answer_asked(command, receipt, data.startup_id) or command.answer_created(receipt, PATH)


@put("/{order_id:str}", summary="Amend an order")
async def amend(command: Commanded, order_id: FromPath[str], data: JSONBody[AmendOrderBody]) -> Response[ReceiptBody]:
    """Change the terms of an open order, and what is set aside for it.

    Above what one person may buy, it waits for a second person (202).
    """
    await require_terms_known(command.services, data.terms)
    receipt = await amend_order(
        command.handler, command.context, order_id, terms=data.terms, auction_ids=await command.list_auctions()
    )
    order = (await command.handler.cache.load(ORDER, order_id)).state
    startup_id = None if order is None else order.placed.startup_id
    return await answer_asked(command, receipt, startup_id) or command.answer(receipt)


@post("/{order_id:str}/cancel", status_code=200, summary="Cancel an order")
async def cancel(command: Commanded, order_id: FromPath[str], data: JSONBody[ReasonBody]) -> Response[ReceiptBody]:
    """Cancel an open order. It cannot be cancelled from the `no_cancel_at` of an auction that locks it."""
    auction_ids = await command.list_auctions()
    receipt = await cancel_order(
        command.handler, command.context, order_id, reason=data.reason, auction_ids=auction_ids
    )
    return command.answer(receipt)


@get("/{order_id:str}", summary="Get an order", opt={"sealed": True})
async def get_one(reader: Read, order_id: FromPath[str], expand: Expanded = None) -> Response[OrderView]:
    """Return an order of the startup; if it lost, with the reasons and the price to win."""
    async with reader.connect() as connection:
        view = reader.show(await find_order(connection, order_id), ORDER_RULE, order_id)
        told = await find_next(connection, [view])
        [expanded] = await expand_rows(reader, connection, told, expand, ORDERS)
    return answer_versioned(expanded, expanded.last_sequence)


@get(
    "/{order_id:str}/decisions",
    operation_id="orders.list_decisions",
    summary="List an order's decisions",
    opt={"sealed": True},
)
async def read_decisions(
    reader: Read, order_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[DecisionView]:
    """Return the decision of every auction that took the order. A standing order may have several."""
    after = parse_cursor(cursor, ("", ""))
    async with reader.connect() as connection:
        reader.show(await find_order(connection, order_id), ORDER_RULE, order_id)
        rows = await list_decisions(connection, order_id=order_id, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: (row.auction_id, row.order_id))


@get("/", summary="List orders", opt={"sealed": True})
async def list_all(
    *,
    reader: Read,
    listing: List,
    startup_id: Word = None,
    status: Statuses[Status] = None,
    auction_id: Word = None,
    expand: Expanded = None,
) -> Page[OrderView]:
    """Return the startup's orders."""
    startup_id = reader.narrow(startup_id)
    async with reader.connect() as connection:
        rows = await list_orders(
            connection, startup_id=startup_id, status=status, auction_id=auction_id, window=listing.window
        )
        shown = await expand_rows(reader, connection, await find_next(connection, rows), expand, ORDERS)
    return listing.build_page(rows, shown, lambda row: (row.placed_at, row.order_id))


@get("/book", operation_id="orders.list_book", summary="Read the book", opt={"sealed": True})
async def read_book(reader: Read, limit: Limit = 100, cursor: Cursor = None, at: AtText = None) -> Page[BookOrderView]:
    """Return the startup's orders that were open or locked, now or as of a point in the past."""
    after, point = parse_cursor(cursor, ""), await parse_at(reader, at)
    async with reader.connect() as connection:
        rows = await list_book(connection, startup_id=reader.party_id, at=point, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.order_id)


ROUTER: Final = Router(
    PATH,
    route_handlers=[place, amend, cancel, get_one, read_decisions, list_all, read_book],
    tags=["orders"],
    opt={"feature": "orders"},
)
