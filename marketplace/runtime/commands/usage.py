"""Usage: a provider's meters report, correct and void readings of its grants."""

from marketplace.core.ids import rename_id
from marketplace.domain.grant import Grant
from marketplace.domain.usage import (
    USAGE,
    Answer,
    CorrectUsage,
    Measurement,
    Metered,
    ReportUsage,
    Usage,
    VoidUsage,
    answer,
)
from marketplace.runtime.commands.grants import load_grant
from marketplace.runtime.handler import Handler, Receipt
from marketplace.runtime.unit import Context, Unit


def _meter(grant: Grant) -> Metered:
    return Metered(
        start=grant.issued.start,
        end=grant.end,
        nodes=grant.issued.nodes,
        gpus_per_node=grant.issued.gpus_per_node,
    )


async def report_usage(
    handler: Handler, context: Context, grant_id: str, *, source: str, measurements: tuple[Measurement, ...]
) -> tuple[Receipt, list[Answer]]:
    """Report readings of one grant, and return what became of each, in order.

    A repeat of the same command finds its readings there and answers ``duplicate`` for each.
    """
    usage_id = rename_id("usg", grant_id)
    answers: list[Answer] = []

    async def work(unit: Unit) -> None:
        grant = await load_grant(unit, grant_id, "provider")
        command = ReportUsage(
            usage_id=usage_id,
            grant_id=grant_id,
            source=source,
            measurements=measurements,
            metered=_meter(grant),
            at=context.at,
        )
        state: Usage = await unit.load(USAGE, usage_id)
        await unit.decide(USAGE, usage_id, command)
        answers[:] = [given for given, _ in answer(command, state)]

    receipt = await handler.run(context, USAGE, usage_id, work)
    if not answers:
        answers = [Answer(measurement.reading_id, "duplicate") for measurement in measurements]
    return receipt, answers


async def correct_usage(
    handler: Handler, context: Context, grant_id: str, *, source: str, measurement: Measurement, reason: str
) -> Receipt:
    """Replace a reading by its source."""
    usage_id = rename_id("usg", grant_id)

    async def work(unit: Unit) -> None:
        grant = await load_grant(unit, grant_id, "provider")
        command = CorrectUsage(
            usage_id=usage_id,
            grant_id=grant_id,
            source=source,
            measurement=measurement,
            metered=_meter(grant),
            reason=reason,
            at=context.at,
        )
        await unit.decide(USAGE, usage_id, command)

    return await handler.run(context, USAGE, usage_id, work)


async def void_usage(
    handler: Handler, context: Context, grant_id: str, *, source: str, reading_id: str, reason: str
) -> Receipt:
    """Take a reading back."""
    usage_id = rename_id("usg", grant_id)

    async def work(unit: Unit) -> None:
        await load_grant(unit, grant_id, "provider")
        command = VoidUsage(usage_id=usage_id, grant_id=grant_id, source=source, reading_id=reading_id, reason=reason)
        await unit.decide(USAGE, usage_id, command)

    return await handler.run(context, USAGE, usage_id, work)
