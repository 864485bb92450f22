"""Financings and liquidity events of an issuer: opened, priced, closed; declared, paid."""

from typing import Final

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from marketplace.api.equity.information import limit_financing, limit_sale, load_sight
from marketplace.api.equity.issuers import PATH, answer
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.equity import (
    AnswerProRataBody,
    CloseFinancingBody,
    DeclareLiquidityBody,
    HolderTermsBody,
    OpenFinancingBody,
)
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, build_page
from marketplace.api.http.queries import Read
from marketplace.application.equity.issuers import (
    abandon_financing,
    agree_holder_terms,
    answer_pro_rata,
    close_financing,
    declare_liquidity,
    open_financing,
    pay_distribution,
    price_financing,
    withdraw_liquidity,
)
from marketplace.domain.equity.issuer.commands import BuyerStock
from marketplace.domain.refusals import refuse_unknown
from marketplace.projections.equity.cap_tables import (
    find_financing,
    find_liquidity_event,
    list_financings,
    list_liquidity_events,
)
from marketplace.projections.views.equity import FinancingView, LiquidityView


@post("/financings", summary="Open a financing")
async def open_one(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[OpenFinancingBody]
) -> Response[ReceiptBody]:
    """Open a priced round, one at a time. It is priced once holders have answered by their pro rata rights."""
    receipt = await open_financing(
        command.handler,
        command.context,
        issuer_id,
        name=data.name,
        terms=data.terms,
        closing_days=data.closing_days,
        open_days=data.open_days,
    )
    return await answer(command, receipt, f"{PATH}/{issuer_id}/financings", command.derive("fin"))


@post("/holder-terms", status_code=200, operation_id="financings.agree_holder_terms", summary="Agree on holder terms")
async def agree_terms(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[HolderTermsBody]
) -> Response[ReceiptBody]:
    """Set sale thresholds, drag-along, pro rata rights, and what holders see. They hold once the holders agree."""
    receipt = await agree_holder_terms(
        command.handler, command.context, issuer_id, terms=data.terms, approval=data.approval
    )
    return await answer(command, receipt)


@post(
    "/financings/{financing_id:str}/pro-rata",
    status_code=200,
    operation_id="financings.answer_pro_rata",
    summary="Answer a pro rata offer",
)
async def answer_offer(
    command: Commanded, issuer_id: FromPath[str], financing_id: FromPath[str], data: JSONBody[AnswerProRataBody]
) -> Response[ReceiptBody]:
    """Join a round by right, as the holder, or decline with 0. The money is held until it closes."""
    receipt = await answer_pro_rata(
        command.handler,
        command.context,
        issuer_id,
        financing_id,
        amount_usd=data.amount_usd,
        holder_id=data.holder_id,
    )
    return await answer(command, receipt)


@post("/financings/{financing_id:str}/price", status_code=200, summary="Price a financing")
async def price(command: Commanded, issuer_id: FromPath[str], financing_id: FromPath[str]) -> Response[ReceiptBody]:
    """Compute price and shares. Holders that joined since are offered their part."""
    return command.answer(await price_financing(command.handler, command.context, issuer_id, financing_id))


@post("/financings/{financing_id:str}/close", status_code=200, summary="Close a financing")
async def close(
    command: Commanded, issuer_id: FromPath[str], financing_id: FromPath[str], data: JSONBody[CloseFinancingBody]
) -> Response[ReceiptBody]:
    """Issue the shares of a priced round and convert its instruments, once all have agreed.

    Parties here pay from their accounts; others pay outside, as the document says.
    """
    receipt = await close_financing(command.handler, command.context, issuer_id, financing_id, approval=data.approval)
    return await answer(command, receipt)


@post("/financings/{financing_id:str}/abandon", status_code=200, summary="Abandon a financing")
async def abandon(
    command: Commanded, issuer_id: FromPath[str], financing_id: FromPath[str], data: JSONBody[ReasonBody]
) -> Response[ReceiptBody]:
    """Abandon a round. Money set aside to join it is released."""
    receipt = await abandon_financing(command.handler, command.context, issuer_id, financing_id, reason=data.reason)
    return await answer(command, receipt)


@post("/liquidity-events", operation_id="financings.declare_liquidity", summary="Declare an acquisition")
async def declare(
    command: Commanded, issuer_id: FromPath[str], data: JSONBody[DeclareLiquidityBody]
) -> Response[ReceiptBody]:
    """Propose the sale of the issuer, with its waterfall. Once agreed to, it is declared; it is paid separately."""
    receipt = await declare_liquidity(
        command.handler,
        command.context,
        issuer_id,
        proceeds_usd=data.proceeds_usd,
        safe_seniority=data.safe_seniority,
        agreed=data.agreed,
        assumed_by=data.assumed_by,
        pay_days=data.pay_days,
        stock=None
        if data.stock is None
        else BuyerStock(
            buyer=data.stock.buyer,
            price_usd_per_share=data.stock.price_usd_per_share,
            buyer_issuer_id=data.stock.buyer_issuer_id,
            class_id=data.stock.class_id,
        ),
        auction_ids=await command.list_auctions(),
    )
    return await answer(command, receipt, f"{PATH}/{issuer_id}/liquidity-events", command.derive("liq"))


@post(
    "/liquidity-events/{liquidity_id:str}/pay",
    status_code=200,
    operation_id="financings.pay_distribution",
    summary="Pay the proceeds",
)
async def pay(command: Commanded, issuer_id: FromPath[str], liquidity_id: FromPath[str]) -> Response[ReceiptBody]:
    """Pay the proceeds of a declared sale from the startup's account, as company, holder or platform; the issuer ends.

    Holders that are no parties are paid outside. A sale for stock pays cash for fractions alone.
    """
    auction_ids = await command.list_auctions()
    return command.answer(
        await pay_distribution(command.handler, command.context, issuer_id, liquidity_id, auction_ids=auction_ids)
    )


@post(
    "/liquidity-events/{liquidity_id:str}/withdraw",
    status_code=200,
    operation_id="financings.withdraw_liquidity",
    summary="Withdraw a declared sale",
)
async def withdraw(
    command: Commanded, issuer_id: FromPath[str], liquidity_id: FromPath[str], data: JSONBody[ReasonBody]
) -> Response[ReceiptBody]:
    """Withdraw a declared sale that is not paid, once the company and its security holders agree."""
    receipt = await withdraw_liquidity(command.handler, command.context, issuer_id, liquidity_id, reason=data.reason)
    return await answer(command, receipt)


@get("/financings", operation_id="financings.list", summary="List financings")
async def list_rounds(
    reader: Read, issuer_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[FinancingView]:
    """Return the issuer's financings by id."""
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        sight = await load_sight(connection, reader, issuer_id)
        found = await list_financings(connection, issuer_id, after=after, limit=limit + 1)
    rows = [limit_financing(row, sight) for row in found]
    return build_page(rows, limit, lambda row: row.financing_id)


@get("/financings/{financing_id:str}", operation_id="financings.get", summary="Get a financing")
async def get_round(reader: Read, issuer_id: FromPath[str], financing_id: FromPath[str]) -> FinancingView:
    """Return a financing with its pricing and certificate.

    Raises:
        Refusal: ``issuer_unknown`` · ``financing_unknown``.
    """
    async with reader.connect() as connection:
        sight = await load_sight(connection, reader, issuer_id)
        view = await find_financing(connection, financing_id)
    if view is None or view.issuer_id != issuer_id:
        raise refuse_unknown("financing", financing_id)
    return limit_financing(view, sight)


@get("/liquidity-events", operation_id="financings.list_liquidity_events", summary="List liquidity events")
async def list_sales(
    reader: Read, issuer_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[LiquidityView]:
    """Return the issuer's liquidity events by id."""
    after = parse_cursor(cursor, "")
    async with reader.connect() as connection:
        sight = await load_sight(connection, reader, issuer_id)
        found = await list_liquidity_events(connection, issuer_id, after=after, limit=limit + 1)
    rows = [limit_sale(row, sight) for row in found]
    return build_page(rows, limit, lambda row: row.liquidity_id)


@get(
    "/liquidity-events/{liquidity_id:str}",
    operation_id="financings.get_liquidity_event",
    summary="Get a liquidity event",
)
async def get_sale(reader: Read, issuer_id: FromPath[str], liquidity_id: FromPath[str]) -> LiquidityView:
    """Return a liquidity event with its waterfall.

    Raises:
        Refusal: ``issuer_unknown`` · ``liquidity_unknown``.
    """
    async with reader.connect() as connection:
        sight = await load_sight(connection, reader, issuer_id)
        view = await find_liquidity_event(connection, liquidity_id)
    if view is None or view.issuer_id != issuer_id:
        raise refuse_unknown("liquidity", liquidity_id)
    return limit_sale(view, sight)


ROUTER: Final = Router(
    f"{PATH}/{{issuer_id:str}}",
    route_handlers=[
        agree_terms,
        open_one,
        answer_offer,
        price,
        close,
        abandon,
        declare,
        withdraw,
        pay,
        list_rounds,
        get_round,
        list_sales,
        get_sale,
    ],
    tags=["financings"],
    opt={"feature": "issuers"},
)
