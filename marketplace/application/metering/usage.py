"""Usage: meters of a grant's two sides report, correct and void readings.

The provider's readings are billed; the startup's are compared with them. Readings are stored with the grant, and the
ids that a source used with the source, so that a reading counts once whichever grant it names. Both are guarded, and
stored in one atomic append.
"""

from dataclasses import dataclass

from events.subjects import render_subject
from events.usage import Meter, Reading, Sample, UsageReported
from marketplace.application.steps.access import load_grant
from marketplace.application.steps.records import list_not_taken, restore_answers
from marketplace.core.ids import derive_id
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.metering.usage import (
    USAGE,
    Answer,
    CorrectUsage,
    EvidenceUsage,
    IdentifyReadings,
    Measurement,
    Metered,
    ReportUsage,
    Usage,
    VoidUsage,
    explain,
    name_usage,
)
from marketplace.domain.refusals import refuse_unknown
from marketplace.execution.archive import ReadingName
from marketplace.execution.duplicate_detection import Repeats, find_repeats
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.reading_lookup import recall
from marketplace.execution.unit_of_work import Context, UnitOfWork


@dataclass(frozen=True, slots=True)
class Side:
    """The side of a grant whose meter reports, and where its readings are stored."""

    meter: Meter
    party_id: str
    usage_id: str

    def name_source(self, source: str) -> str:
        """Return the id of the record that holds the ids of a source."""
        return derive_id("usg", self.party_id, source)


async def _find_side(handler: Handler, context: Context, grant_id: str) -> Side:
    """Return the calling side of a grant. The platform acts as the provider."""
    grant: Grant | None = await UnitOfWork(handler.cache, context).load(GRANT, grant_id)
    if grant is None:
        raise refuse_unknown("grant", grant_id)
    meter: Meter = "provider"
    if context.party_id is not None and context.party_id == grant.startup_id != grant.issued.provider_id:
        meter = "tenant"
    party_id = grant.issued.provider_id if meter == "provider" else grant.startup_id
    return Side(meter, party_id, name_usage(grant_id, meter))


def build_metered(grant: Grant) -> Metered:
    """Return the limits of what meters may count for a grant."""
    return Metered(
        start=grant.issued.start,
        end=grant.end,
        nodes=grant.issued.nodes,
        gpus_per_node=grant.issued.gpus_per_node,
        resold=tuple(grant.list_resold()),
    )


@dataclass(slots=True)
class Report:
    """One report of a source on a grant, and the answers to its readings.

    Attributes:
        context: Who reports, and when.
        side: Whose meter it is.
        grant_id: The grant.
        source: The meter.
        measurements: The readings.
        answers: The answer to each reading, once decided.
        handler: Where earlier readings of the source are looked up; None to skip the lookup.
        repeated: The readings that repeat an earlier one, and the earlier ids.
    """

    context: Context
    side: Side
    grant_id: str
    source: str
    measurements: tuple[Measurement, ...]
    answers: list[Answer]
    handler: Handler | None = None
    repeated: dict[str, str] | None = None

    async def work(self, unit: UnitOfWork) -> None:
        """Decide the report."""
        command = await self.build(unit)
        after = await unit.decide(USAGE, self.side.usage_id, command)
        events = unit.list_events(USAGE, self.side.usage_id)
        reported = [event for event in events if isinstance(event, UsageReported)]
        accepted = tuple(reading.reading_id for event in reported for reading in event.readings)
        self.answers = explain(command, after, accepted)
        unit.not_taken = list_not_taken(self.answers)
        is_new = await self.look_back(unit, command, after)
        unit.rejected |= is_new
        if accepted:
            source_id = self.side.name_source(self.source)
            identify = IdentifyReadings(
                usage_id=source_id,
                party_id=self.side.party_id,
                source=self.source,
                grant_id=self.grant_id,
                reading_ids=accepted,
            )
            await unit.decide(USAGE, source_id, identify)

    async def look_back(self, unit: UnitOfWork, command: ReportUsage, after: Usage) -> bool:
        """Look up earlier readings, once. Return whether any of them changes the answers."""
        if self.handler is None or self.repeated is not None:
            return False
        subject = render_subject(USAGE.aggregate, self.side.usage_id)
        head = next(head for head in unit.heads() if head.subject == subject)
        log, archive = self.handler.log, self.handler.archive
        self.repeated = await find_repeats(log, archive, head, Repeats(after, command), self.answers)
        return bool(self.repeated)

    async def build(self, unit: UnitOfWork) -> ReportUsage:
        """Return the command, including what the source's record knows of its ids."""
        grant = await load_grant(unit, self.grant_id, "provider", "startup")
        known = await unit.load(USAGE, self.side.name_source(self.source))
        homes = known.find_homes([measurement.reading_id for measurement in self.measurements])
        elsewhere = {name: home for name, home in homes.items() if home != self.grant_id}
        return ReportUsage(
            usage_id=self.side.usage_id,
            grant_id=self.grant_id,
            source=self.source,
            measurements=self.measurements,
            metered=build_metered(grant),
            at=self.context.at,
            meter=self.side.meter,
            elsewhere=elsewhere,
            repeated=self.repeated or {},
        )


async def report_usage(
    handler: Handler, context: Context, grant_id: str, *, source: str, measurements: tuple[Measurement, ...]
) -> tuple[Receipt, list[Answer]]:
    """Report readings of one grant, and return the answer to each, in order.

    Raises:
        Refusal: ``grant_unknown`` · ``readings_missing`` · ``readings_too_many``.
    """
    side = await _find_side(handler, context, grant_id)
    report = Report(context, side, grant_id, source, measurements, [], handler)
    receipt = await handler.run(context, USAGE, side.usage_id, report.work)
    if receipt.repeated:
        return receipt, restore_answers([measurement.reading_id for measurement in measurements], receipt)
    return receipt, report.answers


async def evidence_usage(
    handler: Handler, context: Context, grant_id: str, *, source: str, samples: tuple[Sample, ...]
) -> Receipt:
    """Store machine samples as evidence beside the readings of a grant's side."""
    side = await _find_side(handler, context, grant_id)

    async def work(unit: UnitOfWork) -> None:
        await load_grant(unit, grant_id, "provider", "startup")
        command = EvidenceUsage(
            usage_id=side.usage_id, grant_id=grant_id, source=source, samples=samples, meter=side.meter
        )
        await unit.decide(USAGE, side.usage_id, command)

    return await handler.run(context, USAGE, side.usage_id, work)


async def _recall(handler: Handler, unit: UnitOfWork, side: Side, name: ReadingName) -> Reading | None:
    state = await unit.load(USAGE, side.usage_id)
    return await recall(handler.log, handler.archive, state, side.usage_id, name)


async def correct_usage(
    handler: Handler, context: Context, grant_id: str, *, source: str, measurement: Measurement, reason: str
) -> Receipt:
    """Replace a reading, as its source."""
    side = await _find_side(handler, context, grant_id)
    name = ReadingName(grant_id, side.meter, source, measurement.reading_id)

    async def work(unit: UnitOfWork) -> None:
        grant = await load_grant(unit, grant_id, "provider", "startup")
        command = CorrectUsage(
            usage_id=side.usage_id,
            grant_id=grant_id,
            source=source,
            measurement=measurement,
            metered=build_metered(grant),
            reason=reason,
            at=context.at,
            before=await _recall(handler, unit, side, name),
            meter=side.meter,
        )
        await unit.decide(USAGE, side.usage_id, command)

    return await handler.run(context, USAGE, side.usage_id, work)


async def void_usage(
    handler: Handler, context: Context, grant_id: str, *, source: str, reading_id: str, reason: str
) -> Receipt:
    """Void a reading, as its source."""
    side = await _find_side(handler, context, grant_id)
    name = ReadingName(grant_id, side.meter, source, reading_id)

    async def work(unit: UnitOfWork) -> None:
        await load_grant(unit, grant_id, "provider", "startup")
        command = VoidUsage(
            usage_id=side.usage_id,
            grant_id=grant_id,
            source=source,
            reading_id=reading_id,
            reason=reason,
            before=await _recall(handler, unit, side, name),
            meter=side.meter,
        )
        await unit.decide(USAGE, side.usage_id, command)

    return await handler.run(context, USAGE, side.usage_id, work)
