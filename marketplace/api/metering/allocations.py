"""Allocation: a provider's meters report a tenant's usage of a class, which is divided among its grants."""

from datetime import datetime
from typing import Final

from litestar import Response, Router, get, post
from litestar.params import JSONBody

from events.usage import Allocation
from marketplace.api.http.bodies.allocations import (
    AllocateUsageBody,
    AllocationAnswer,
    AllocationReceipt,
    CorrectAllocationBody,
    UseBody,
    VoidAllocationBody,
)
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.commands import REPLAYED, REUSED, Command, Commanded, split_context
from marketplace.api.http.cursors import parse_cursor
from marketplace.api.http.paging import Cursor, Limit, build_page
from marketplace.api.http.queries import Read, Reader
from marketplace.application.metering.allocation_offers import Use
from marketplace.application.metering.allocations import allocate_usage, reallocate_usage
from marketplace.application.steps.records import record_rejections
from marketplace.core.errors import Refusal
from marketplace.domain.metering.allocation import OFFERS_MAX
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.execution.handler import Receipt
from marketplace.projections.delivery.grants import list_carriers
from marketplace.projections.metering.usage import list_allocations
from marketplace.projections.views.metering import AllocationView

PATH: Final = "/v1/usage/allocations"


def _find_provider(command: Command, data: AllocateUsageBody | CorrectAllocationBody | VoidAllocationBody) -> str:
    provider_id = data.provider_id or command.context.party_id
    if provider_id is None:
        raise Refusal("provider_missing", "name the provider: this key is the platform's", pointer="/provider_id")
    return provider_id


async def _find_use(
    command: Command, data: AllocateUsageBody | CorrectAllocationBody, start: datetime, end: datetime
) -> Use:
    """Return the usage that a body is about, with the known grants that overlap its span."""
    provider_id, services = _find_provider(command, data), command.services
    async with Reader(services, command.principal, services.follower.position).connect() as connection:
        carriers = await list_carriers(
            connection,
            startup_id=data.startup_id,
            provider_id=provider_id,
            gpu_class=data.gpu_class,
            start=start,
            end=end,
            limit=OFFERS_MAX + 1,
        )
    return Use(data.startup_id, provider_id, data.gpu_class, data.source, carriers)


def _parse(reading: UseBody) -> Measurement:
    return Measurement(reading_id=reading.reading_id, start=reading.start, end=reading.end, gpus=reading.gpus)


@post("/", status_code=200, operation_id="usage.allocate", summary="Report a tenant's usage")
async def report(command: Commanded, data: JSONBody[AllocateUsageBody]) -> Response[AllocationReceipt]:
    """Report a tenant's usage of a class. Each reading is allocated to its grants by priority, expiry and age.

    Raises:
        Refusal: ``provider_missing`` if the platform names no provider; ``party_unknown``.
    """
    answers: list[AllocationAnswer] = []
    usage_id, sequence, replayed = "", 0, True
    for index, reading in enumerate(data.readings):
        use = await _find_use(command, data, reading.start, reading.end)
        usage_id, context = use.usage_id, split_context(command.context, index, "allocate")
        allocation: Allocation | None = None
        try:
            receipt, allocation = await allocate_usage(command.handler, context, use, _parse(reading))
        except Refusal as refusal:
            if refusal.code in {"party_unknown", *REUSED}:
                raise
            receipt, _ = await record_rejections(command.handler, context, (reading.reading_id,), refusal)
        sequence = max(sequence, receipt.sequence)
        replayed &= receipt.repeated
        answers.append(_answer(reading.reading_id, index, receipt, allocation))
    body = AllocationReceipt(id=usage_id, sequence=sequence, readings=tuple(answers))
    return Response(body, headers={"Commit-Seq": str(sequence)} | (REPLAYED if replayed else {}))


def _answer(reading_id: str, index: int, receipt: Receipt, allocation: Allocation | None) -> AllocationAnswer:
    if allocation is not None:
        return AllocationAnswer(reading_id=reading_id, outcome="accepted", parts=allocation.parts)
    (said,) = receipt.not_taken
    return AllocationAnswer(
        reading_id=reading_id,
        outcome="conflict" if said.code in {"allocation_exists", "reading_exists"} else said.outcome,
        pointer=None if said.code is None else f"/readings/{index}",
        code=said.code,
        message=said.message,
    )


@post("/corrections", status_code=200, operation_id="usage.correct_allocation", summary="Correct a tenant's reading")
async def correct(command: Commanded, data: JSONBody[CorrectAllocationBody]) -> Response[ReceiptBody]:
    """Replace a reading, as its source. Lower usage reduces the last grants of its allocation first.

    Raises:
        Refusal: ``provider_missing`` if the platform names no provider.
    """
    use = await _find_use(command, data, data.reading.start, data.reading.end)
    receipt = await reallocate_usage(
        command.handler,
        command.context,
        use,
        reading_id=data.reading.reading_id,
        measurement=_parse(data.reading),
        reason=data.reason,
    )
    return command.answer(receipt)


@post("/voids", status_code=200, operation_id="usage.void_allocation", summary="Void a tenant's reading")
async def void(command: Commanded, data: JSONBody[VoidAllocationBody]) -> Response[ReceiptBody]:
    """Void a reading, on every grant that carries a part of it.

    Raises:
        Refusal: ``provider_missing`` if the platform names no provider.
    """
    use = Use(data.startup_id, _find_provider(command, data), data.gpu_class, data.source, {})
    receipt = await reallocate_usage(
        command.handler, command.context, use, reading_id=data.reading_id, measurement=None, reason=data.reason
    )
    return command.answer(receipt)


@get("/", operation_id="usage.list_allocations", summary="List allocated readings")
async def list_all(reader: Read, limit: Limit = 100, cursor: Cursor = None) -> Page[AllocationView]:
    """Return the party's allocated readings, oldest first, each with the grants that carry it."""
    after = parse_cursor(cursor, (0, "", ""))
    async with reader.connect() as connection:
        rows = await list_allocations(connection, party_id=reader.party_id, after=after, limit=limit + 1)
    return build_page(rows, limit, lambda row: (row.reported_sequence, row.source, row.reading_id))


ROUTER: Final = Router(PATH, route_handlers=[report, correct, void, list_all], tags=["usage"], opt={"feature": "usage"})
