"""Usage: meters report readings of grants, and every reading gets its own answer."""

from typing import Final

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody
from msgspec import structs

from marketplace.api.delivery.grants import load_grant
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.delivery import (
    CorrectUsageBody,
    EvidenceBody,
    EvidenceReceipt,
    ReadingAnswer,
    ReadingBody,
    ReportUsageBody,
    SamplesLeftOut,
    UsageReceipt,
    VoidUsageBody,
)
from marketplace.api.http.commands import Commanded, render_headers
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, build_page
from marketplace.api.http.queries import OptionalInstantText, Read, parse_instant
from marketplace.application.metering.usage import correct_usage, evidence_usage, report_usage, void_usage
from marketplace.domain.metering.contradictions import Contradiction
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.projections.metering.evidence import load_contradictions
from marketplace.projections.metering.usage import list_readings, list_usage_days, load_usage
from marketplace.projections.views.metering import ReadingView, UsageDay, UsageView

PATH: Final = "/v1/grants/{grant_id:str}/usage"


def _parse_measurement(reading: ReadingBody) -> Measurement:
    return Measurement(**structs.asdict(reading))


@post("/", status_code=200, summary="Report usage")
async def report(
    command: Commanded, grant_id: FromPath[str], data: JSONBody[ReportUsageBody]
) -> Response[UsageReceipt]:
    """Report readings of one grant, as its provider or its startup. Readings that are not accepted change nothing.

    Each states `nodes`, also with `gpus`.
    """
    measurements = tuple(_parse_measurement(reading) for reading in data.readings)
    receipt, answers = await report_usage(
        command.handler, command.context, grant_id, source=data.source, measurements=measurements
    )
    readings = tuple(
        ReadingAnswer(
            reading_id=answer.reading_id,
            outcome=answer.outcome,
            pointer=f"/readings/{index}" if answer.outcome in {"conflict", "rejected"} else None,
            code=answer.code,
            message=answer.message,
        )
        for index, answer in enumerate(answers)
    )
    body = UsageReceipt(id=receipt.id, sequence=receipt.sequence, version=receipt.version, readings=readings)
    return Response(body, headers=render_headers(receipt))


@post("/evidence", status_code=200, summary="Store evidence")
async def keep_evidence(
    command: Commanded, grant_id: FromPath[str], data: JSONBody[EvidenceBody]
) -> Response[EvidenceReceipt]:
    """Store machine samples of a grant beside its readings. They are never billed; those outside of it are left out."""
    receipt = await evidence_usage(command.handler, command.context, grant_id, source=data.source, samples=data.samples)
    left_out = tuple(
        SamplesLeftOut(pointer=f"/samples/{one.place}/at", code=one.code or "", message=one.message or "")
        for one in receipt.not_taken
    )
    body = EvidenceReceipt(id=receipt.id, sequence=receipt.sequence, version=receipt.version, left_out=left_out)
    return Response(body, headers=render_headers(receipt))


@get("/contradictions", operation_id="usage.find_contradictions", summary="Find contradictions")
async def find_all(
    reader: Read, grant_id: FromPath[str], start: OptionalInstantText = None, end: OptionalInstantText = None
) -> list[Contradiction]:
    """Return where meters and machines disagree in ``[start, end)``; by default over the whole grant.

    Raises:
        Refusal: ``grant_unknown`` · ``span_too_wide`` if the span has more than 10,000 readings or machine samples.
    """
    first = None if start is None else parse_instant(start, "/start")
    last = None if end is None else parse_instant(end, "/end")
    grant = await load_grant(reader, grant_id)
    async with reader.connect() as connection:
        return await load_contradictions(
            connection, grant, start=first or grant.start, end=last or grant.end, party_id=reader.party_id
        )


@post("/corrections", status_code=200, summary="Correct a reading")
async def correct(
    command: Commanded, grant_id: FromPath[str], data: JSONBody[CorrectUsageBody]
) -> Response[ReceiptBody]:
    """Replace a reading, as the side whose meter it is. A settled period is adjusted."""
    receipt = await correct_usage(
        command.handler,
        command.context,
        grant_id,
        source=data.source,
        measurement=_parse_measurement(data.reading),
        reason=data.reason,
    )
    return command.answer(receipt)


@post("/voids", status_code=200, summary="Void a reading")
async def void(command: Commanded, grant_id: FromPath[str], data: JSONBody[VoidUsageBody]) -> Response[ReceiptBody]:
    """Void a reading, as the side whose meter it is, so that it counts nothing. A settled period is adjusted."""
    receipt = await void_usage(
        command.handler,
        command.context,
        grant_id,
        source=data.source,
        reading_id=data.reading_id,
        reason=data.reason,
    )
    return command.answer(receipt)


@get("/", operation_id="usage.sum", summary="Sum a grant's usage")
async def sum_up(
    reader: Read, grant_id: FromPath[str], start: OptionalInstantText = None, end: OptionalInstantText = None
) -> UsageView:
    """Return the GPU-seconds of the readings that begin in ``[start, end)``, or of all, by each side's meters."""
    first = None if start is None else parse_instant(start, "/start")
    last = None if end is None else parse_instant(end, "/end")
    await load_grant(reader, grant_id)
    async with reader.connect() as connection:
        return await load_usage(connection, grant_id, start=first, end=last)


@get("/days", summary="Sum a grant's usage by day")
async def sum_days(reader: Read, grant_id: FromPath[str]) -> list[UsageDay]:
    """Return the GPU-seconds of the readings that begin on each day, in UTC; days without a reading are left out."""
    await load_grant(reader, grant_id)
    async with reader.connect() as connection:
        return await list_usage_days(connection, grant_id)


@get("/readings", operation_id="usage.list_readings", summary="List a grant's readings")
async def list_all(
    *,
    reader: Read,
    grant_id: FromPath[str],
    limit: Limit = 100,
    cursor: Cursor = None,
    start: OptionalInstantText = None,
    end: OptionalInstantText = None,
) -> Page[ReadingView]:
    """Return the readings that begin in ``[start, end)``, or all, as corrected so far, oldest report first."""
    after = parse_cursor(cursor, (0, "", ""))
    first = None if start is None else parse_instant(start, "/start")
    last = None if end is None else parse_instant(end, "/end")
    await load_grant(reader, grant_id)
    async with reader.connect() as connection:
        rows = await list_readings(connection, grant_id=grant_id, start=first, end=last, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: (row.reported_sequence, row.source, row.reading_id))


ROUTER: Final = Router(
    PATH,
    route_handlers=[report, keep_evidence, find_all, correct, void, sum_up, sum_days, list_all],
    tags=["usage"],
    opt={"feature": "usage"},
)
