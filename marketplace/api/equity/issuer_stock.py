"""Stock of an issuer, for the company, its holders and the platform: issued, offered, moved, bought back, split."""

from typing import Final

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.api.equity.information import load_sight
from marketplace.api.equity.issuers import PATH, carry_out, create
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.issuers import (
    ConvertStockBody,
    ExerciseFirstRefusalBody,
    IssueStockBody,
    OfferStockBody,
    RepurchaseStockBody,
    SplitStockBody,
    TransferStockBody,
    WaiveFirstRefusalBody,
)
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, build_page
from marketplace.api.http.queries import Read, Reader
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer import stock_commands
from marketplace.projections.equity.cap_tables import list_offers
from marketplace.projections.views.equity import OfferView


@post("/stock", operation_id="stock.issue", summary="Issue stock")
async def issue_stock(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[IssueStockBody]
) -> Response[ReceiptBody]:
    """Issue shares to a stakeholder. A party here agrees to it and pays the company their price; other holders vote."""
    security_id = command.derive("sec")
    deed = stock_commands.IssueStock(
        issuer_id=issuer_id,
        security_id=security_id,
        **msgspec.structs.asdict(data),
    )
    return await create(command, "stock", security_id, deed)


@post("/stock/offers", operation_id="stock.offer", summary="Offer stock before a transfer")
async def offer_stock(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[OfferStockBody]
) -> Response[ReceiptBody]:
    """Offer shares to the holders of the right of first refusal. The answer's id is the transfer's."""
    transfer_id = command.derive("trf")
    deed = stock_commands.OfferStock(
        issuer_id=issuer_id,
        transfer_id=transfer_id,
        at=command.context.at,
        **msgspec.structs.asdict(data),
    )
    return await create(command, "stock/offers", transfer_id, deed)


@get("/stock/offers", operation_id="stock.list_offers", summary="List offers of stock")
async def read_offers(
    reader: Read, issuer_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[OfferView]:
    """Return the shares that were offered under a right of first refusal, by transfer id.

    Below the depth ``full`` a seller or buyer reads its own.
    """
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        party_id = None if await _sees_all(connection, reader, issuer_id) else reader.party_id
        rows = await list_offers(connection, issuer_id, party_id=party_id, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.transfer_id)


async def _sees_all(connection: AsyncConnection, reader: Reader, issuer_id: str) -> bool:
    """Return whether a party reads the offers of others too.

    Raises:
        Refusal: ``issuer_unknown`` for one that sees nothing of the issuer, and neither offers its stock nor buys it.
    """
    own = reader.party_id and await list_offers(connection, issuer_id, party_id=reader.party_id, limit=1)
    try:
        return (await load_sight(connection, reader, issuer_id)).depth == "full"
    except Refusal:
        if not own:
            raise
        return False


@post(
    "/stock/offers/{offer_id:str}/waive",
    status_code=200,
    operation_id="stock.waive_first_refusal",
    summary="Waive the right of first refusal",
)
async def waive(
    command: Commanded, issuer_id: FromPath[str], offer_id: FromPath[str], data: JSONBody[WaiveFirstRefusalBody]
) -> Response[ReceiptBody]:
    """Waive the right of first refusal, so that the offered shares may go to the buyer."""
    deed = stock_commands.WaiveFirstRefusal(issuer_id=issuer_id, transfer_id=offer_id, approval=data.approval)
    return await carry_out(command, deed)


@post(
    "/stock/offers/{offer_id:str}/exercise",
    status_code=200,
    operation_id="stock.exercise_first_refusal",
    summary="Exercise the right of first refusal",
)
async def exercise(
    command: Commanded, issuer_id: FromPath[str], offer_id: FromPath[str], data: JSONBody[ExerciseFirstRefusalBody]
) -> Response[ReceiptBody]:
    """Buy all offered shares at the buyer's price, by the right of first refusal."""
    deed = stock_commands.ExerciseFirstRefusal(
        issuer_id=issuer_id,
        transfer_id=offer_id,
        holder_id=data.holder_id,
        at=command.context.at,
        approval=data.approval,
    )
    return await carry_out(command, deed)


@post(
    "/stock/offers/{offer_id:str}/withdraw",
    status_code=200,
    operation_id="stock.withdraw_offer",
    summary="Withdraw an offer of stock",
)
async def withdraw(
    command: Commanded, issuer_id: FromPath[str], offer_id: FromPath[str], data: JSONBody[ReasonBody]
) -> Response[ReceiptBody]:
    """Withdraw an offer of shares, as their seller, who keeps them."""
    deed = stock_commands.WithdrawOffer(issuer_id=issuer_id, transfer_id=offer_id, reason=data.reason)
    return await carry_out(command, deed)


@post("/stock/transfers", status_code=200, operation_id="stock.transfer", summary="Transfer stock")
async def transfer_stock(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[TransferStockBody]
) -> Response[ReceiptBody]:
    """Transfer shares to another stakeholder; under a right of first refusal, only as offered.

    A party here pays the price of offered shares to a seller that is one.
    """
    deed = stock_commands.TransferStock(
        issuer_id=issuer_id,
        at=command.context.at,
        **msgspec.structs.asdict(data) | {"transfer_id": data.transfer_id or command.derive("trf")},
    )
    return await carry_out(command, deed)


@post("/stock/repurchases", status_code=200, operation_id="stock.repurchase", summary="Repurchase stock")
async def repurchase_stock(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[RepurchaseStockBody]
) -> Response[ReceiptBody]:
    """Buy shares back from a stakeholder. A party here agrees to it, and the company pays it their price."""
    deed = stock_commands.RepurchaseStock(
        issuer_id=issuer_id,
        repurchase_id=command.derive("rep"),
        **msgspec.structs.asdict(data),
    )
    return await carry_out(command, deed)


@post("/stock/splits", status_code=200, operation_id="stock.split", summary="Split stock")
async def split_stock(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[SplitStockBody]
) -> Response[ReceiptBody]:
    """Multiply every number of shares, and divide prices accordingly."""
    deed = stock_commands.SplitStock(
        issuer_id=issuer_id,
        split_id=command.derive("spl"),
        **msgspec.structs.asdict(data),
    )
    return await carry_out(command, deed)


@post("/stock/conversions", status_code=200, operation_id="stock.convert", summary="Convert preferred stock")
async def convert_stock(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[ConvertStockBody]
) -> Response[ReceiptBody]:
    """Convert preferred into common stock at its conversion price."""
    deed = stock_commands.ConvertStock(
        issuer_id=issuer_id,
        conversion_id=command.derive("cnv"),
        **msgspec.structs.asdict(data),
    )
    return await carry_out(command, deed)


ROUTER: Final = Router(
    f"{PATH}/{{issuer_id:str}}",
    route_handlers=[
        issue_stock,
        offer_stock,
        read_offers,
        waive,
        exercise,
        withdraw,
        transfer_stock,
        repurchase_stock,
        split_stock,
        convert_stock,
    ],
    tags=["stock"],
    opt={"feature": "issuers"},
)
