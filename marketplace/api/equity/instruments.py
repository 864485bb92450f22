"""Instruments: visible to their holder and their issuer; the startup requests direct investments."""

from typing import Final, Literal

from litestar import Response, Router, get, post, put
from litestar.params import FromPath, JSONBody

from marketplace.api.equity.issuers import answer
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.equity import (
    AmendInstrumentBody,
    ElectMfnBody,
    InvestBody,
    NoticeMfnBody,
    PayDebtBody,
    ReversePrincipalBody,
)
from marketplace.api.http.bodies.issuers import TransferRightBody
from marketplace.api.http.bodies.reasons import ReasonBody, TimedReasonBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import CreatedBefore, CreatedFrom, Cursor, Limit, List, Order, build_page, parse_span
from marketplace.api.http.queries import Read, Reader, Statuses, Word, answer_versioned
from marketplace.api.http.visibility import INSTRUMENT
from marketplace.application.equity.clawbacks import pay_debt, reverse_principal
from marketplace.application.equity.instruments import (
    amend_instrument,
    cancel_instrument,
    elect_mfn,
    invest,
    notice_mfn,
    repay_note,
    resume_instrument,
    suspend_instrument,
    transfer_instrument,
)
from marketplace.application.equity.notes import mature_note
from marketplace.application.steps.stock_agreements import issue_shares
from marketplace.core.ids import rename_id
from marketplace.projections.equity.instruments import (
    find_instrument,
    list_instruments,
    list_mfn_notices,
    list_movements,
)
from marketplace.projections.views.equity import InstrumentView, MfnNoticeView, MovementView

PATH: Final = "/v1/instruments"
Status = Literal["active", "suspended", "lapsed", "converted", "repaid", "cancelled"]


@post("/", operation_id="instruments.invest", summary="Take a direct cash investment")
async def take_investment(command: Commanded, data: JSONBody[InvestBody]) -> Response[ReceiptBody]:
    """Accept a cash investment under a mandate, as the startup. Money moves and all principal accrues at once."""
    receipt = await invest(
        command.handler,
        command.context,
        startup_id=data.startup_id,
        mandate_id=data.mandate_id,
        amount_usd=data.amount_usd,
        terms=data.terms,
    )
    return await answer(command, receipt, PATH)


@put("/{instrument_id:str}", summary="Amend an instrument")
async def amend(
    command: Commanded, instrument_id: FromPath[str], data: JSONBody[AmendInstrumentBody]
) -> Response[ReceiptBody]:
    """Propose new terms, as the holder or the startup. They hold once the other side and a vote agree."""
    receipt = await amend_instrument(
        command.handler,
        command.context,
        instrument_id,
        terms=data.terms,
        applies_to_earlier=data.applies_to_earlier,
    )
    return await answer(command, receipt)


@post("/{instrument_id:str}/transfer", status_code=200, summary="Transfer an instrument")
async def transfer(
    command: Commanded, instrument_id: FromPath[str], data: JSONBody[TransferRightBody]
) -> Response[ReceiptBody]:
    """Transfer it, as the startup, from a holder without a key to the party that it is."""
    receipt = await transfer_instrument(
        command.handler,
        command.context,
        instrument_id,
        holder_id=data.holder_id,
        holder_id_after=data.holder_id_after,
    )
    return await answer(command, receipt)


@post("/{instrument_id:str}/suspend", status_code=200, summary="Suspend an instrument")
async def suspend(
    command: Commanded, instrument_id: FromPath[str], data: JSONBody[ReasonBody]
) -> Response[ReceiptBody]:
    """Stop accrual until the instrument is resumed; for the platform."""
    receipt = await suspend_instrument(command.handler, command.context, instrument_id, reason=data.reason)
    return command.answer(receipt)


@post("/{instrument_id:str}/resume", status_code=200, summary="Resume an instrument")
async def resume(command: Commanded, instrument_id: FromPath[str]) -> Response[ReceiptBody]:
    """Let principal accrue again; for the platform."""
    return command.answer(await resume_instrument(command.handler, command.context, instrument_id))


@post(
    "/{instrument_id:str}/reverse",
    status_code=200,
    operation_id="instruments.reverse_principal",
    summary="Reverse principal",
)
async def reverse(
    command: Commanded, instrument_id: FromPath[str], data: JSONBody[ReversePrincipalBody]
) -> Response[ReceiptBody]:
    """Reverse a tranche, in part or in full; for the platform. `reduction` says what happens to shares."""
    receipt = await reverse_principal(
        command.handler,
        command.context,
        instrument_id,
        tranche_id=data.tranche_id,
        principal_usd=data.principal_usd,
        reason=data.reason,
        reduction=data.reduction,
        approval=data.approval,
    )
    return command.answer(receipt)


@post(
    "/{instrument_id:str}/pay-debt",
    status_code=200,
    operation_id="instruments.pay_debt",
    summary="Pay a debt of a clawback",
)
async def settle_debt(
    command: Commanded, instrument_id: FromPath[str], data: JSONBody[PayDebtBody]
) -> Response[ReceiptBody]:
    """Pay, as the holder, a debt to the startup for principal that was clawed back, in part or in full."""
    receipt = await pay_debt(command.handler, command.context, instrument_id, amount_usd=data.amount_usd)
    return command.answer(receipt)


@post("/{instrument_id:str}/cancel", status_code=200, summary="Cancel an instrument")
async def cancel(
    command: Commanded, instrument_id: FromPath[str], data: JSONBody[TimedReasonBody]
) -> Response[ReceiptBody]:
    """End an agreement under which nothing accrued; for the platform."""
    receipt = await cancel_instrument(command.handler, command.context, instrument_id, reason=data.reason, at=data.at)
    return command.answer(receipt)


@post("/{instrument_id:str}/repay", status_code=200, summary="Repay a note")
async def repay(command: Commanded, instrument_id: FromPath[str]) -> Response[ReceiptBody]:
    """Repay a note with its interest, as the startup, from its account. Before maturity its holder must agree."""
    return await answer(command, await repay_note(command.handler, command.context, instrument_id))


@post(
    "/{instrument_id:str}/issue-shares",
    status_code=200,
    operation_id="instruments.issue_shares",
    summary="Issue the shares that priced stock owes",
)
async def issue_owed_shares(command: Commanded, instrument_id: FromPath[str]) -> Response[ReceiptBody]:
    """Issue shares that priced stock bought and owes."""
    return command.answer(await issue_shares(command.handler, command.context, instrument_id))


@post("/{instrument_id:str}/mature", status_code=200, summary="Mature a note")
async def mature(command: Commanded, instrument_id: FromPath[str]) -> Response[ReceiptBody]:
    """Record that a note matured, which a timer does by itself, and convert it if its terms say so.

    To try again if the class of stock was missing or too small.
    """
    return command.answer(await mature_note(command.handler, command.context, instrument_id, strict=True))


@post(
    "/{instrument_id:str}/mfn-notices",
    status_code=200,
    operation_id="instruments.notice_mfn",
    summary="Extend a notice of a later SAFE",
)
async def notice(
    command: Commanded, instrument_id: FromPath[str], data: JSONBody[NoticeMfnBody]
) -> Response[ReceiptBody]:
    """Extend, as the startup, the time in which the holder of a most-favoured SAFE may elect a later one's terms."""
    receipt = await notice_mfn(
        command.handler,
        command.context,
        instrument_id,
        later_instrument_id=data.later_instrument_id,
        elect_until=data.elect_until,
    )
    return command.answer(receipt)


@post(
    "/{instrument_id:str}/mfn-election",
    status_code=200,
    operation_id="instruments.elect_mfn",
    summary="Elect the terms of a later SAFE",
)
async def elect(
    command: Commanded, instrument_id: FromPath[str], data: JSONBody[ElectMfnBody]
) -> Response[ReceiptBody]:
    """Adopt the terms of a later SAFE or note, or keep the present ones, as the holder. This is possible once."""
    receipt = await elect_mfn(
        command.handler, command.context, instrument_id, later_instrument_id=data.later_instrument_id
    )
    return command.answer(receipt)


async def _load(reader: Reader, instrument_id: str) -> InstrumentView:
    async with reader.connect() as connection:
        view = await find_instrument(connection, instrument_id)
    return reader.show(view, INSTRUMENT, instrument_id)


@get("/{instrument_id:str}", summary="Get an instrument")
async def get_one(reader: Read, instrument_id: FromPath[str]) -> Response[InstrumentView]:
    """Return an instrument with its principal and what it became."""
    view = await _load(reader, instrument_id)
    return answer_versioned(view, view.last_sequence)


@get("/{instrument_id:str}/movements", operation_id="instruments.list_movements", summary="List movements of principal")
async def read_movements(
    *,
    reader: Read,
    instrument_id: FromPath[str],
    limit: Limit = 100,
    cursor: Cursor = None,
    order: Order = "id",
    created_from: CreatedFrom = None,
    created_before: CreatedBefore = None,
) -> Page[MovementView]:
    """Return movements of an instrument's principal, as they occurred, each with its statement if it has one."""
    after = None if cursor is None else parse_cursor(cursor, 0)
    begin, end = parse_span(created_from, created_before)
    await _load(reader, instrument_id)
    async with reader.connect() as connection:
        rows = await list_movements(
            connection,
            instrument_id,
            created_from=begin,
            created_before=end,
            newest=order == "newest",
            after=after,
            limit=limit + 1,
        )
    return build_page(rows, limit, lambda row: row.sequence)


@get("/{instrument_id:str}/mfn-notices", operation_id="instruments.list_mfn_notices", summary="List offered terms")
async def read_notices(
    reader: Read, instrument_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[MfnNoticeView]:
    """Return the later terms of which the holder of a most-favoured SAFE got notice."""
    after = parse_cursor(cursor, "")
    await _load(reader, instrument_id)
    async with reader.connect() as connection:
        rows = await list_mfn_notices(connection, instrument_id, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: row.later_instrument_id)


@get("/", summary="List instruments")
async def list_all(
    *,
    reader: Read,
    listing: List,
    issuer_id: Word = None,
    holder_id: Word = None,
    status: Statuses[Status] = None,
) -> Page[InstrumentView]:
    """Return the instruments that the party holds or has issued."""
    own = reader.party_id
    async with reader.connect() as connection:
        rows = await list_instruments(
            connection,
            issuer_id=issuer_id,
            holder_id=holder_id,
            party=None if own is None else (own, rename_id("iss", own)),
            status=status,
            window=listing.window,
        )
    return listing.build_page(rows, rows, lambda row: (row.issued_at, row.instrument_id))


ROUTER: Final = Router(
    PATH,
    route_handlers=[
        take_investment,
        amend,
        transfer,
        suspend,
        resume,
        reverse,
        settle_debt,
        cancel,
        repay,
        mature,
        issue_owed_shares,
        notice,
        elect,
        get_one,
        read_movements,
        read_notices,
        list_all,
    ],
    tags=["instruments"],
    opt={"feature": "instruments"},
)
