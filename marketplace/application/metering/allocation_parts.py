"""Write the parts of an allocated reading; each part is a reading in the usage record of its grant."""

from collections.abc import Iterable

from events.usage import AllocationPart, UsageReallocated
from marketplace.application.metering.allocation_offers import Use
from marketplace.application.metering.usage import Side, build_metered, decide_report
from marketplace.application.steps.reductions import count_reduction
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.metering.allocation_parts import (
    build_part_reading,
    measure_part,
    require_counted,
    require_unchanged,
)
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.metering.usage_commands import CorrectUsage, VoidUsage
from marketplace.execution.unit_of_work import UnitOfWork


async def report_parts(unit: UnitOfWork, use: Use, parts: Iterable[AllocationPart]) -> None:
    """Report each part as a reading of its grant.

    Raises:
        Refusal: A grant cannot count its part: a fault, or ``reading_exists`` if the source used the part's id before.
    """
    for part in parts:
        side = Side("provider", use.provider_id, name_usage(part.grant_id))
        decided = await decide_report(unit, side, part.grant_id, source=use.source, measurements=(measure_part(part),))
        require_counted(part, decided.answers[0])


async def unwind_parts(unit: UnitOfWork, use: Use, event: UsageReallocated) -> None:
    """Void or lower the parts that the new allocation reduces, then report the new parts.

    Raises:
        Refusal: ``part_changed`` · ``limit_exceeded`` · as `report_parts`.
    """
    after = {part.reading_id: part for part in (() if event.after is None else event.after.parts)}
    for part in event.before.parts:
        left = after.pop(part.reading_id, None)
        if left != part:
            await _change(unit, use, part, left, event.reason)
    await report_parts(unit, use, after.values())


async def _change(unit: UnitOfWork, use: Use, part: AllocationPart, left: AllocationPart | None, reason: str) -> None:
    grant = await unit.load(GRANT, part.grant_id)
    assert grant is not None, "the grant of a part exists"
    usage = await unit.load(USAGE, name_usage(part.grant_id))
    reading = build_part_reading(part, grant.issued.gpus_per_node)
    require_unchanged(part, use.source, usage, reading)
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
        await count_reduction(unit, part.grant_id)
        return
    correct = CorrectUsage(
        usage_id=usage_id,
        grant_id=part.grant_id,
        source=use.source,
        measurement=measure_part(left),
        metered=build_metered(grant),
        reason=reason,
        at=unit.context.at,
        before=reading,
    )
    await unit.decide(USAGE, usage_id, correct)
    await count_reduction(unit, part.grant_id)
