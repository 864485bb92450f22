"""Hours of service lines: reported, corrected and voided from the provider's time sheets.

As for GPU readings, the ids that a source used are stored with the source, so that an id counts once whichever service
line it names. Service line and source are both guarded, and stored in one atomic append.
"""

from dataclasses import dataclass, field

from events.service_line import HoursReading
from marketplace.application.billing.service_lines import load_service_line
from marketplace.application.steps.records import list_not_taken, restore_answers
from marketplace.core.ids import derive_id
from marketplace.domain.billing.service_line import SERVICE_LINE, ServiceLine, answer_hours
from marketplace.domain.billing.service_line_bill import list_spans, require_agreed
from marketplace.domain.billing.service_line_commands import CorrectHours, ReportHours, Spans, VoidHours
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.metering.usage import USAGE, Answer, IdentifyReadings
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def _load(unit: UnitOfWork, line_id: str) -> tuple[ServiceLine, Spans]:
    """Return a service line that is or was in work, and the spans of its grant."""
    line = await load_service_line(unit, line_id, "provider")
    require_agreed(line)
    grant = await unit.get(GRANT, line.proposed.grant_id)
    return line, list_spans(grant)


@dataclass(slots=True)
class Report:
    """One report of a source on a service line, and the answers to its readings."""

    context: Context
    line_id: str
    source: str
    readings: tuple[HoursReading, ...]
    answers: list[Answer] = field(default_factory=list)

    async def work(self, unit: UnitOfWork) -> None:
        """Decide the report."""
        line, command = await self.build(unit)
        answers = answer_hours(command, line)
        await unit.decide(SERVICE_LINE, self.line_id, command)
        self.answers = [answer for answer, _ in answers]
        unit.not_taken = list_not_taken(self.answers)
        accepted = tuple(reading.reading_id for _, reading in answers if reading is not None)
        if accepted:
            source_id = self._name_source(line)
            identify = IdentifyReadings(
                usage_id=source_id,
                party_id=line.proposed.provider_id,
                source=self.source,
                grant_id=self.line_id,
                reading_ids=accepted,
            )
            await unit.decide(USAGE, source_id, identify)

    def _name_source(self, line: ServiceLine) -> str:
        return derive_id("usg", line.proposed.provider_id, self.source)

    async def build(self, unit: UnitOfWork) -> tuple[ServiceLine, ReportHours]:
        """Return the service line and the command, including what the source's record knows of its ids."""
        line, spans = await _load(unit, self.line_id)
        known = await unit.load(USAGE, self._name_source(line))
        homes = known.find_homes([reading.reading_id for reading in self.readings])
        elsewhere = {name: home for name, home in homes.items() if home != self.line_id}
        command = ReportHours(
            service_line_id=self.line_id,
            source=self.source,
            readings=self.readings,
            spans=spans,
            at=self.context.at,
            elsewhere=elsewhere,
        )
        return line, command


async def report_hours(
    handler: Handler, context: Context, line_id: str, *, source: str, readings: tuple[HoursReading, ...]
) -> tuple[Receipt, list[Answer]]:
    """Report hours worked on a service line, and return the answer to each reading, in order.

    Raises:
        Refusal: ``service_line_unknown`` · ``service_line_<status>`` · ``readings_missing`` · ``readings_too_many``.
    """
    report = Report(context, line_id, source, readings)
    receipt = await handler.run(context, SERVICE_LINE, line_id, report.work)
    if receipt.repeated:
        return receipt, restore_answers([reading.reading_id for reading in readings], receipt)
    return receipt, report.answers


async def correct_hours(
    handler: Handler, context: Context, line_id: str, *, source: str, reading: HoursReading, reason: str
) -> Receipt:
    """Replace a reading, as its source."""

    async def work(unit: UnitOfWork) -> None:
        _, spans = await _load(unit, line_id)
        command = CorrectHours(
            service_line_id=line_id, source=source, reading=reading, spans=spans, at=context.at, reason=reason
        )
        await unit.decide(SERVICE_LINE, line_id, command)

    return await handler.run(context, SERVICE_LINE, line_id, work)


async def void_hours(
    handler: Handler, context: Context, line_id: str, *, source: str, reading_id: str, reason: str
) -> Receipt:
    """Void a reading, as its source."""

    async def work(unit: UnitOfWork) -> None:
        await _load(unit, line_id)
        command = VoidHours(service_line_id=line_id, source=source, reading_id=reading_id, reason=reason)
        await unit.decide(SERVICE_LINE, line_id, command)

    return await handler.run(context, SERVICE_LINE, line_id, work)
