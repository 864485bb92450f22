"""Service lines: work for a grant's startup, proposed, approved, agreed on, and metered in hours."""

from typing import Final

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.service_lines import (
    CorrectHoursBody,
    DeclineServiceLineBody,
    ProposeServiceLineBody,
    VoidHoursBody,
)
from marketplace.api.http.commands import Commanded
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, List, build_page
from marketplace.api.http.queries import Read, Reader, Statuses, Word, answer_versioned
from marketplace.api.http.visibility import SERVICE_LINE
from marketplace.application.billing.service_hours import correct_hours, void_hours
from marketplace.application.billing.service_lines import (
    agree_service_line,
    approve_service_line,
    decline_service_line,
    propose_service_line,
)
from marketplace.domain.billing.service_line import Status
from marketplace.projections.billing.service_lines import find_service_line, list_hours, list_service_lines
from marketplace.projections.views.billing import HoursReadingView, ServiceLineView

PATH: Final = "/v1/service-lines"


@post("/", summary="Propose a service line")
async def propose(command: Commanded, data: JSONBody[ProposeServiceLineBody]) -> Response[ReceiptBody]:
    """Offer work for a grant's startup, as its provider."""
    receipt = await propose_service_line(
        command.handler,
        command.context,
        data.grant_id,
        name=data.name,
        price_usd_per_hour=data.price_usd_per_hour,
        hours=data.hours,
        workers=data.workers,
    )
    return command.answer_created(receipt, PATH)


@post(
    "/{service_line_id:str}/approve",
    status_code=200,
    summary="Approve a service line",
    opt={"scope": "mandates:approve"},
)
async def approve(command: Commanded, service_line_id: FromPath[str]) -> Response[ReceiptBody]:
    """Approve its equity part, as the holder of the grant's equity."""
    return command.answer(await approve_service_line(command.handler, command.context, service_line_id))


@post("/{service_line_id:str}/agree", status_code=200, summary="Agree on a service line")
async def agree(command: Commanded, service_line_id: FromPath[str]) -> Response[ReceiptBody]:
    """Agree, as the startup. Sets aside what all hours cost."""
    return command.answer(await agree_service_line(command.handler, command.context, service_line_id))


@post("/{service_line_id:str}/decline", status_code=200, summary="Decline a service line")
async def decline(
    command: Commanded, service_line_id: FromPath[str], data: JSONBody[DeclineServiceLineBody]
) -> Response[ReceiptBody]:
    """Decline it as startup or holder, or withdraw it as provider."""
    receipt = await decline_service_line(command.handler, command.context, service_line_id, reason=data.reason)
    return command.answer(receipt)


@post(
    "/{service_line_id:str}/hours/corrections",
    status_code=200,
    operation_id="service_lines.correct_hours",
    summary="Correct hours",
)
async def correct(
    command: Commanded, service_line_id: FromPath[str], data: JSONBody[CorrectHoursBody]
) -> Response[ReceiptBody]:
    """Replace a reading, as its source. A settled period is adjusted."""
    receipt = await correct_hours(
        command.handler, command.context, service_line_id, source=data.source, reading=data.reading, reason=data.reason
    )
    return command.answer(receipt)


@post(
    "/{service_line_id:str}/hours/voids", status_code=200, operation_id="service_lines.void_hours", summary="Void hours"
)
async def void(
    command: Commanded, service_line_id: FromPath[str], data: JSONBody[VoidHoursBody]
) -> Response[ReceiptBody]:
    """Void a reading, as its source. A settled period is adjusted."""
    receipt = await void_hours(
        command.handler,
        command.context,
        service_line_id,
        source=data.source,
        reading_id=data.reading_id,
        reason=data.reason,
    )
    return command.answer(receipt)


async def _load(reader: Reader, service_line_id: str) -> ServiceLineView:
    async with reader.connect() as connection:
        view = await find_service_line(connection, service_line_id)
    return reader.show(view, SERVICE_LINE, service_line_id)


@get("/{service_line_id:str}", summary="Get a service line")
async def get_one(reader: Read, service_line_id: FromPath[str]) -> Response[ServiceLineView]:
    """Return a service line to the party that works, pays or approves it."""
    view = await _load(reader, service_line_id)
    return answer_versioned(view, view.last_sequence)


@get("/{service_line_id:str}/hours", operation_id="service_lines.list_hours", summary="List hours of a service line")
async def list_readings(
    reader: Read, service_line_id: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> Page[HoursReadingView]:
    """Return the reported hours, oldest report first."""
    await _load(reader, service_line_id)
    after = parse_cursor(cursor, (0, "", ""))
    async with reader.connect() as connection:
        rows = await list_hours(connection, service_line_id, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: (row.reported_sequence, row.source, row.reading_id))


@get("/", summary="List service lines")
async def list_all(
    *,
    reader: Read,
    listing: List,
    party_id: Word = None,
    grant_id: Word = None,
    status: Statuses[Status] = None,
) -> Page[ServiceLineView]:
    """Return the party's service lines."""
    party_id = reader.narrow(party_id)
    async with reader.connect() as connection:
        rows = await list_service_lines(
            connection, party_id=party_id, grant_id=grant_id, status=status, window=listing.window
        )
    return listing.build_page(rows, rows, lambda row: (row.proposed_at, row.service_line_id))


ROUTER: Final = Router(
    PATH,
    route_handlers=[propose, approve, agree, decline, correct, void, get_one, list_readings, list_all],
    tags=["service lines"],
    opt={"feature": "grants"},
)
