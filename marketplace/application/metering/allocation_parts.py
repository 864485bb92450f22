"""The parts of an allocated reading, each a reading in the record of its grant."""

from collections.abc import Iterable

from events.usage import Reading, SpreadPart, UsageRespread
from marketplace.application.metering.allocation_offers import Use
from marketplace.application.metering.usage import Report, Side, build_metered
from marketplace.core.errors import Refusal
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.metering.usage import USAGE, CorrectUsage, Measurement, VoidUsage, name_usage
from marketplace.domain.metering.usage_state import SECOND, digest_reading
from marketplace.execution.unit_of_work import UnitOfWork


async def report_parts(unit: UnitOfWork, use: Use, parts: Iterable[SpreadPart]) -> None:
    """Add the parts to their grants' records.

    Raises:
        Refusal: A grant cannot count its part, for example because the source used the part's id for another reading.
    """
    for part in parts:
        side = Side("provider", use.provider_id, name_usage(part.grant_id))
        report = Report(unit.context, side, part.grant_id, use.source, (_measure(part),), [])
        await report.work(unit)
        (answer,) = report.answers
        if answer.outcome != "accepted":
            said = answer.message or "it is known already"
            raise Refusal(answer.code or "reading_exists", f"part {part.reading_id} on grant {part.grant_id}: {said}")


def _measure(part: SpreadPart) -> Measurement:
    return Measurement(reading_id=part.reading_id, start=part.start, end=part.end, gpus=part.gpus)


async def unwind_parts(unit: UnitOfWork, use: Use, event: UsageRespread) -> None:
    """Void and lower the parts that changed, then add the new ones."""
    after = {part.reading_id: part for part in (() if event.after is None else event.after.parts)}
    for part in event.before.parts:
        left = after.pop(part.reading_id, None)
        if left != part:
            await _change(unit, use, part, left, event.reason)
    await report_parts(unit, use, after.values())


async def _change(unit: UnitOfWork, use: Use, part: SpreadPart, left: SpreadPart | None, reason: str) -> None:
    grant = await unit.load(GRANT, part.grant_id)
    assert grant is not None, "the grant of a part exists"
    usage = await unit.load(USAGE, name_usage(part.grant_id))
    reading = _build_reading(part, grant.issued.gpus_per_node)
    if usage.find_content(use.source, part.reading_id) != digest_reading(reading):
        said = f"part {part.reading_id} on grant {part.grant_id} was corrected or voided on its own"
        raise Refusal("part_changed", f"{said}; correct the parts on their grants")
    usage_id = name_usage(part.grant_id)
    if left is None:
        void = VoidUsage(
            usage_id=usage_id,
            grant_id=part.grant_id,
            source=use.source,
            reading_id=part.reading_id,
            reason=reason,
            before=reading,
        )
        await unit.decide(USAGE, usage_id, void)
        return
    correct = CorrectUsage(
        usage_id=usage_id,
        grant_id=part.grant_id,
        source=use.source,
        measurement=_measure(left),
        metered=build_metered(grant),
        reason=reason,
        at=unit.context.at,
        before=reading,
    )
    await unit.decide(USAGE, usage_id, correct)


def _build_reading(part: SpreadPart, gpus_per_node: int) -> Reading:
    return Reading(
        reading_id=part.reading_id,
        start=part.start,
        end=part.end,
        nodes=-(-part.gpus // gpus_per_node),
        gpu_seconds=part.gpus * ((part.end - part.start) // SECOND),
        gpus=part.gpus,
    )
