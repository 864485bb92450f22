"""Usage: meters of a grant's two sides report, correct and void readings.

The provider's readings are billed; the startup's are compared with them. Readings are stored with the grant, and the
ids that a source used with the source, so that a reading counts once whichever grant it names. Both are guarded, and
stored in one atomic append.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from events.subjects import render_subject
from events.usage import Meter, Reading, Sample, UsageReported
from marketplace.application.steps.access import load_grant
from marketplace.application.steps.records import restore_answers
from marketplace.application.steps.reductions import count_reduction
from marketplace.core.ids import derive_id
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.metering.usage import USAGE, list_left_out, name_usage
from marketplace.domain.metering.usage_commands import (
    Answer,
    CorrectUsage,
    EvidenceUsage,
    IdentifyReadings,
    Measurement,
    Metered,
    ReportUsage,
    VoidUsage,
)
from marketplace.domain.metering.usage_record import Usage, answer, list_not_taken, render_not_taken
from marketplace.execution.archive import ReadingName
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.reading_lookup import recall
from marketplace.execution.repeated_content import Repeats, find_repeats
from marketplace.execution.unit_of_work import Context, UnitOfWork


@dataclass(frozen=True, slots=True)
class Side:
    """The side of a grant whose meter reports. `usage_id` is the record that stores its readings."""

    meter: Meter
    party_id: str
    usage_id: str

    def name_source(self, source: str) -> str:
        """Return the id of the record that holds the ids of a source."""
        return derive_id("usg", self.party_id, source)


async def _find_side(handler: Handler, context: Context, grant_id: str) -> Side:
    """Return the calling side of a grant: the startup that uses it, else the provider, also for the platform.

    Neither another party nor an absent grant is refused here, so that both are refused after the same reads.
    """
    grant = await UnitOfWork(handler.cache, context).load(GRANT, grant_id)
    if grant is None:
        return Side("provider", "", name_usage(grant_id, "provider"))
    meter: Meter = "provider"
    if context.party_id is not None and context.party_id == grant.startup_id != grant.issued.provider_id:
        meter = "startup"
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
        gaps=grant.list_gaps(),
    )


class Decided(NamedTuple):
    """A report of one source on a grant, as the grant's record answers it.

    Attributes:
        command: The report.
        after: The record with what the report adds.
        answers: The answer to each reading, in order.
    """

    command: ReportUsage
    after: Usage
    answers: list[Answer]


async def decide_report(
    unit: UnitOfWork,
    side: Side,
    grant_id: str,
    *,
    source: str,
    measurements: tuple[Measurement, ...],
    repeated: Mapping[str, str] | None = None,
) -> Decided:
    """Add readings to the record of a grant's side, and their ids to the record of the source.

    Args:
        unit: The decision.
        side: Whose meter it is.
        grant_id: The grant.
        source: The meter.
        measurements: The readings.
        repeated: By id, the earlier id of each reading whose content came under another id before; None: not known.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` · ``readings_missing`` · ``readings_too_many``.
    """
    grant = await load_grant(unit, grant_id, "provider", "startup")
    source_id = side.name_source(source)
    homes = (await unit.load(USAGE, source_id)).find_homes([measurement.reading_id for measurement in measurements])
    command = ReportUsage(
        usage_id=side.usage_id,
        grant_id=grant_id,
        source=source,
        measurements=measurements,
        metered=build_metered(grant),
        at=unit.context.at,
        meter=side.meter,
        elsewhere={name: home for name, home in homes.items() if home != grant_id},
        repeated=repeated or {},
    )
    before = await unit.load(USAGE, side.usage_id)
    after = await unit.decide(USAGE, side.usage_id, command)
    reported = [event for event in unit.list_events(USAGE, side.usage_id) if isinstance(event, UsageReported)]
    accepted = tuple(reading.reading_id for event in reported for reading in event.readings)
    if accepted:
        identify = IdentifyReadings(
            usage_id=source_id, party_id=side.party_id, source=source, grant_id=grant_id, reading_ids=accepted
        )
        await unit.decide(USAGE, source_id, identify)
    if len(accepted) == len(measurements):
        return Decided(command, after, [Answer(reading_id, "accepted") for reading_id in accepted])
    return Decided(command, after, [said for said, _ in answer(command, before)])


async def report_usage(
    handler: Handler, context: Context, grant_id: str, *, source: str, measurements: tuple[Measurement, ...]
) -> tuple[Receipt, list[Answer]]:
    """Report readings of one grant, and return the answer to each, in order.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` · ``readings_missing`` · ``readings_too_many``.
    """
    side = await _find_side(handler, context, grant_id)
    answers: list[Answer] = []
    repeated: dict[str, str] | None = None

    async def work(unit: UnitOfWork) -> None:
        nonlocal answers, repeated
        command, after, answers = await decide_report(
            unit, side, grant_id, source=source, measurements=measurements, repeated=repeated
        )
        unit.not_taken = list_not_taken(answers)
        if repeated is None:
            subject = render_subject(USAGE.aggregate, side.usage_id)
            head = next(head for head in unit.heads() if head.subject == subject)
            repeated = await find_repeats(handler.log, handler.archive, head, Repeats(after, command), answers)
            unit.rejected |= bool(repeated)

    receipt = await handler.run(context, USAGE, side.usage_id, work)
    if receipt.repeated:
        return receipt, restore_answers([measurement.reading_id for measurement in measurements], receipt)
    return receipt, answers


async def evidence_usage(
    handler: Handler, context: Context, grant_id: str, *, source: str, samples: tuple[Sample, ...]
) -> Receipt:
    """Store machine samples as evidence beside the readings of the calling side of a grant.

    Samples from outside of the grant or from the future are left out, and the receipt says so in `not_taken`, with the
    first of each cause. The command is refused if all are.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` · ``samples_missing`` · ``samples_too_many`` · ``outside_grant`` ·
            ``from_the_future``.
    """
    side = await _find_side(handler, context, grant_id)

    async def work(unit: UnitOfWork) -> None:
        grant = await load_grant(unit, grant_id, "provider", "startup")
        command = EvidenceUsage(
            usage_id=side.usage_id,
            grant_id=grant_id,
            source=source,
            samples=samples,
            metered=build_metered(grant),
            at=context.at,
            meter=side.meter,
        )
        before = await unit.load(USAGE, side.usage_id)
        await unit.decide(USAGE, side.usage_id, command)
        unit.not_taken = render_not_taken(list_left_out(command, before))

    return await handler.run(context, USAGE, side.usage_id, work)


async def _recall(handler: Handler, unit: UnitOfWork, side: Side, name: ReadingName) -> Reading | None:
    state = await unit.load(USAGE, side.usage_id)
    return await recall(handler.log, handler.archive, state, side.usage_id, name)


async def correct_usage(
    handler: Handler, context: Context, grant_id: str, *, source: str, measurement: Measurement, reason: str
) -> Receipt:
    """Replace a reading of the calling side's meter.

    Raises:
        Refusal: ``grant_unknown`` · ``reading_unknown`` · ``reading_voided`` · ``reading_in_flight`` · a fault of the
            reading · ``limit_exceeded`` if one person alone takes more off what counts than the
            account's limit.
    """
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
        await count_reduction(unit, grant_id)

    return await handler.run(context, USAGE, side.usage_id, work)


async def void_usage(
    handler: Handler, context: Context, grant_id: str, *, source: str, reading_id: str, reason: str
) -> Receipt:
    """Void a reading of the calling side's meter.

    Raises:
        Refusal: ``grant_unknown`` · ``reading_unknown`` · ``reading_in_flight`` · ``limit_exceeded`` as in
            `correct_usage`.
    """
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
        await count_reduction(unit, grant_id)

    return await handler.run(context, USAGE, side.usage_id, work)
