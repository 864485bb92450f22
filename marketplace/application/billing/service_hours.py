"""Hours of service lines: reported, corrected and voided from the provider's time sheets.

As for GPU readings, the ids that a source used are stored with the source, so that an id counts once whichever service
line it names. Service line and source are both guarded, and stored in one atomic append.
"""

from events.service_line import HoursReading
from marketplace.application.billing.service_lines import load_service_line
from marketplace.application.steps.records import restore_answers
from marketplace.application.steps.reductions import count_hours
from marketplace.core.ids import derive_id
from marketplace.domain.billing.service_line import SERVICE_LINE, ServiceLine, answer_hours
from marketplace.domain.billing.service_line_bill import list_spans, require_agreed
from marketplace.domain.billing.service_line_commands import CorrectHours, ReportHours, Spans, VoidHours
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.metering.usage import USAGE
from marketplace.domain.metering.usage_commands import Answer, IdentifyReadings
from marketplace.domain.metering.usage_record import list_not_taken
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def _load(unit: UnitOfWork, line_id: str) -> tuple[ServiceLine, Spans]:
    """Return a service line that was agreed on, as its provider, and the spans of its grant.

    Raises:
        Refusal: ``service_line_unknown`` · ``wrong_side`` · ``service_line_<status>`` if it was not agreed on.
    """
    line = await load_service_line(unit, line_id, "provider")
    require_agreed(line)
    grant = await unit.get(GRANT, line.proposed.grant_id)
    return line, list_spans(grant)


async def report_hours(
    handler: Handler, context: Context, line_id: str, *, source: str, readings: tuple[HoursReading, ...]
) -> tuple[Receipt, list[Answer]]:
    """Report hours worked on a service line, and return the answer to each reading, in order.

    Raises:
        Refusal: ``service_line_unknown`` · ``service_line_<status>`` · ``readings_missing`` · ``readings_too_many``.
    """
    answers: list[Answer] = []

    async def work(unit: UnitOfWork) -> None:
        nonlocal answers
        line, spans = await _load(unit, line_id)
        source_id = derive_id("usg", line.proposed.provider_id, source)
        homes = (await unit.load(USAGE, source_id)).find_homes([reading.reading_id for reading in readings])
        elsewhere = {name: home for name, home in homes.items() if home != line_id}
        command = ReportHours(
            service_line_id=line_id, source=source, readings=readings, spans=spans, at=context.at, elsewhere=elsewhere
        )
        answered = answer_hours(command, line)
        await unit.decide(SERVICE_LINE, line_id, command)
        answers = [answer for answer, _ in answered]
        unit.not_taken = list_not_taken(answers)
        accepted = tuple(reading.reading_id for _, reading in answered if reading is not None)
        if accepted:
            identify = IdentifyReadings(
                usage_id=source_id,
                party_id=line.proposed.provider_id,
                source=source,
                grant_id=line_id,
                reading_ids=accepted,
            )
            await unit.decide(USAGE, source_id, identify)

    receipt = await handler.run(context, SERVICE_LINE, line_id, work)
    if receipt.repeated:
        return receipt, restore_answers([reading.reading_id for reading in readings], receipt)
    return receipt, answers


async def correct_hours(
    handler: Handler, context: Context, line_id: str, *, source: str, reading: HoursReading, reason: str
) -> Receipt:
    """Replace a reading, as its source.

    Raises:
        Refusal: Refusals of the service line · ``limit_exceeded`` as in `void_hours`.
    """

    async def work(unit: UnitOfWork) -> None:
        _, spans = await _load(unit, line_id)
        command = CorrectHours(
            service_line_id=line_id, source=source, reading=reading, spans=spans, at=context.at, reason=reason
        )
        await unit.decide(SERVICE_LINE, line_id, command)
        await count_hours(unit, line_id)

    return await handler.run(context, SERVICE_LINE, line_id, work)


async def void_hours(
    handler: Handler, context: Context, line_id: str, *, source: str, reading_id: str, reason: str
) -> Receipt:
    """Void a reading, as its source.

    Raises:
        Refusal: Refusals of the service line · ``limit_exceeded`` if one person alone takes more off what counts
            than the account's limit.
    """

    async def work(unit: UnitOfWork) -> None:
        await _load(unit, line_id)
        command = VoidHours(service_line_id=line_id, source=source, reading_id=reading_id, reason=reason)
        await unit.decide(SERVICE_LINE, line_id, command)
        await count_hours(unit, line_id)

    return await handler.run(context, SERVICE_LINE, line_id, work)
