"""Lots: nodes for sale over a span; the inventory is public to every tenant."""

from typing import Final

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.bodies.supply import ListLotBody, RepriceLotBody, RescheduleLotBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.known_values import require_known
from marketplace.api.http.paging import List
from marketplace.api.http.queries import Read, Statuses, Word, answer_versioned
from marketplace.application.supply.inventory import (
    list_lot,
    pause_lot,
    reprice_lot,
    reschedule_lot,
    resume_lot,
    withdraw_lot,
)
from marketplace.domain.refusals import refuse_unknown
from marketplace.domain.supply.lot import Status
from marketplace.projections.supply.inventory import find_lot, list_lots
from marketplace.projections.views.supply import LotView

PATH: Final = "/v1/lots"


@post("/", summary="List a lot")
async def offer(command: Commanded, data: JSONBody[ListLotBody]) -> Response[ReceiptBody]:
    """Offer nodes of a pool for a span at an ask, in US dollars per GPU-hour, as its provider."""
    receipt = await list_lot(
        command.handler,
        command.context,
        **msgspec.structs.asdict(data),
    )
    return command.answer_created(receipt, PATH)


@post("/{lot_id:str}/reprice", status_code=200, summary="Change the ask")
async def reprice(command: Commanded, lot_id: FromPath[str], data: JSONBody[RepriceLotBody]) -> Response[ReceiptBody]:
    """Change the ask for auctions that are not locked yet."""
    receipt = await reprice_lot(
        command.handler,
        command.context,
        lot_id,
        ask_usd_per_gpu_hour=data.ask_usd_per_gpu_hour,
        further_asks=data.further_asks,
        auction_ids=await command.list_auctions(),
    )
    return command.answer(receipt)


@post("/{lot_id:str}/reschedule", status_code=200, summary="Move the span of a lot")
async def reschedule(
    command: Commanded, lot_id: FromPath[str], data: JSONBody[RescheduleLotBody]
) -> Response[ReceiptBody]:
    """Change the span of a lot. What it sold stays sold."""
    receipt = await reschedule_lot(
        command.handler,
        command.context,
        lot_id,
        start=data.start,
        end=data.end,
        reason=data.reason,
        auction_ids=await command.list_auctions(),
    )
    return command.answer(receipt)


@post("/{lot_id:str}/pause", status_code=200, summary="Pause a lot")
async def pause(command: Commanded, lot_id: FromPath[str], data: JSONBody[ReasonBody]) -> Response[ReceiptBody]:
    """Take no new orders until the lot is resumed."""
    auction_ids = await command.list_auctions()
    receipt = await pause_lot(command.handler, command.context, lot_id, reason=data.reason, auction_ids=auction_ids)
    return command.answer(receipt)


@post("/{lot_id:str}/resume", status_code=200, summary="Resume a lot")
async def resume(command: Commanded, lot_id: FromPath[str]) -> Response[ReceiptBody]:
    """Take new orders again."""
    auction_ids = await command.list_auctions()
    return command.answer(await resume_lot(command.handler, command.context, lot_id, auction_ids=auction_ids))


@post("/{lot_id:str}/withdraw", status_code=200, summary="Withdraw a lot")
async def withdraw(command: Commanded, lot_id: FromPath[str], data: JSONBody[ReasonBody]) -> Response[ReceiptBody]:
    """Take a lot off the market for good. Grants on it stay.

    A lot cannot be withdrawn from an auction's no-cancel phase until the auction is carried out.
    """
    auction_ids = await command.list_auctions()
    receipt = await withdraw_lot(command.handler, command.context, lot_id, reason=data.reason, auction_ids=auction_ids)
    return command.answer(receipt)


@get("/{lot_id:str}", summary="Get a lot")
async def get_one(reader: Read, lot_id: FromPath[str]) -> Response[LotView]:
    """Return a lot of any seller.

    Raises:
        Refusal: ``lot_unknown``.
    """
    async with reader.connect() as connection:
        view = await find_lot(connection, lot_id)
    if view is None:
        raise refuse_unknown("lot", lot_id)
    return answer_versioned(view, view.last_sequence)


@get("/", summary="List lots")
async def list_all(
    *,
    reader: Read,
    listing: List,
    provider_id: Word = None,
    pool_id: Word = None,
    gpu_class: Word = None,
    region: Word = None,
    status: Statuses[Status] = None,
) -> Page[LotView]:
    """Return lots by id, with optional filters."""
    async with reader.connect() as connection:
        rows = await list_lots(
            connection,
            provider_id=provider_id,
            pool_id=pool_id,
            gpu_class=gpu_class,
            region=region,
            status=status,
            window=listing.window,
        )
        if not rows:
            await require_known(connection, "gpu_class", gpu_class)
            await require_known(connection, "region", region)
    return listing.build_page(rows, rows, lambda row: (row.listed_at, row.lot_id))


ROUTER: Final = Router(
    PATH,
    route_handlers=[offer, reprice, reschedule, pause, resume, withdraw, get_one, list_all],
    tags=["lots"],
    opt={"feature": "lots"},
)
