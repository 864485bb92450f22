"""Allocation of a startup's usage of a GPU class to its grants, in burn order.

The startup's usage record states which grant has which part of a reading. Each part is also a reading in the usage
record of its grant, where statements, accounts and evidence find it like any other. One atomic append writes both
records, and is refused if either changed meanwhile.
"""

from events.subjects import render_subject
from events.usage import Allocation, UsageAllocated, UsageReallocated
from marketplace.application.metering.allocation_offers import Use, list_offers
from marketplace.application.metering.allocation_parts import report_parts, unwind_parts
from marketplace.application.steps.access import load_grant, require_tenant
from marketplace.core.errors import Refusal
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_commands import PrioritiseGrant
from marketplace.domain.metering.allocation import digest_allocation
from marketplace.domain.metering.allocation_commands import AllocateUsage, ReallocateUsage
from marketplace.domain.metering.usage import USAGE
from marketplace.domain.metering.usage_commands import Answer, Measurement
from marketplace.domain.metering.usage_record import ALLOCATION_VOIDED, digest_key, list_not_taken
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork
from marketplace.log.events import parse_event


async def prioritise_grant(handler: Handler, context: Context, grant_id: str, *, priority: int) -> Receipt:
    """Set the priority of a grant in burn order, as the startup that uses it. The lowest number comes first.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` · ``grant_<status>``, if the priority changes.
    """

    async def work(unit: UnitOfWork) -> None:
        await load_grant(unit, grant_id, "startup")
        await unit.decide(GRANT, grant_id, PrioritiseGrant(grant_id=grant_id, priority=priority))

    return await handler.run(context, GRANT, grant_id, work)


async def allocate_usage(
    handler: Handler, context: Context, use: Use, measurement: Measurement
) -> tuple[Receipt, Allocation | None]:
    """Divide a reading, as the provider, among a startup's grants.

    Returns:
        The receipt, and the allocation; None for a reading that was reported before, as `Receipt.not_taken` states.

    Raises:
        Refusal: ``party_unknown`` for another provider's key; refusals of a reading (`domain/metering/usage.py`).
    """
    decided: list[Allocation] = []

    async def work(unit: UnitOfWork) -> None:
        decided.clear()
        require_tenant(context, use.provider_id)
        offers = await list_offers(unit, use, measurement, ())
        command = AllocateUsage(**use.name(), measurement=measurement, offers=offers, at=context.at)
        await unit.decide(USAGE, use.usage_id, command)
        for event in unit.list_events(USAGE, use.usage_id):
            assert isinstance(event, UsageAllocated), "a new reading is allocated"
            decided.append(event.allocation)
            await report_parts(unit, use, event.allocation.parts)
        if not decided:
            unit.not_taken = list_not_taken([Answer(measurement.reading_id, "duplicate")])

    receipt = await handler.run(context, USAGE, use.usage_id, work)
    if receipt.repeated and not receipt.not_taken:
        recorded = await handler.processed.find_last(context.command_id, receipt.sequence)
        event = parse_event(recorded)
        assert isinstance(event, UsageAllocated), "an accepted reading is allocated by the last event of its command"
        return receipt, event.allocation
    return receipt, decided[0] if decided else None


async def reallocate_usage(
    handler: Handler, context: Context, use: Use, *, reading_id: str, measurement: Measurement | None, reason: str
) -> Receipt:
    """Correct an allocated reading, as the provider; void it if `measurement` is None.

    Raises:
        Refusal: As for `allocate_usage`, and ``part_changed`` if a part was corrected or voided on its own.
    """

    async def work(unit: UnitOfWork) -> None:
        require_tenant(context, use.provider_id)
        before = await _recall(handler, unit, use, reading_id)
        parts = () if before is None else before.parts
        offers = () if measurement is None else await list_offers(unit, use, measurement, parts)
        command = ReallocateUsage(
            **use.name(),
            reading_id=reading_id,
            measurement=measurement,
            offers=offers,
            reason=reason,
            at=context.at,
            before=before,
        )
        await unit.decide(USAGE, use.usage_id, command)
        for event in unit.list_events(USAGE, use.usage_id):
            assert isinstance(event, UsageReallocated), "a known reading is allocated again"
            await unwind_parts(unit, use, event)

    return await handler.run(context, USAGE, use.usage_id, work)


async def _recall(handler: Handler, unit: UnitOfWork, use: Use, reading_id: str) -> Allocation | None:
    """Return the present allocation of a reading; None if it was voided or never allocated.

    Raises:
        Refusal: ``reading_in_flight``: another request changes it now.
    """
    state = await unit.load(USAGE, use.usage_id)
    known = state.allocations.find(digest_key(use.source, reading_id))
    if known is None or known == ALLOCATION_VOIDED:
        return None
    found = await _find_allocation(handler, use, reading_id)
    if found is None or digest_allocation(found) != known:
        said = f"reading {reading_id} is being changed by another request; send this one again"
        raise Refusal("reading_in_flight", said)
    return found


async def _find_allocation(handler: Handler, use: Use, reading_id: str) -> Allocation | None:
    """Return the last allocation of a reading in the log; None if it was voided or never allocated."""
    for recorded in reversed(await handler.log.load(render_subject("usage", use.usage_id))):
        event = None if recorded.void else parse_event(recorded)
        if isinstance(event, UsageAllocated) and (event.source, event.reading_id) == (use.source, reading_id):
            return event.allocation
        if isinstance(event, UsageReallocated) and (event.source, event.reading_id) == (use.source, reading_id):
            return event.after
    return None
