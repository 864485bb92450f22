"""Spreads: what a tenant used of a GPU class, told at once, and carried by its grants in their order.

The record of the tenant's use says which grant carries what; each part is a reading in its grant's own record, where
statements, accounts and evidence find it like any other. Both are guarded, and stored in one atomic append.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from events.subjects import render_subject
from events.usage import BurnRank, Reading, Spread, SpreadPart, UsageRespread, UsageSpread
from marketplace.core.errors import Refusal
from marketplace.core.intervals import Load
from marketplace.core.timeline import EMPTY, Tally, list_runs
from marketplace.domain.grant import GRANT, RUNNING, Grant, PrioritiseGrant
from marketplace.domain.spread_commands import Offer, RespreadUsage, SpreadUsage, name_spread
from marketplace.domain.usage import (
    USAGE,
    CorrectUsage,
    Measurement,
    Usage,
    VoidUsage,
    name_usage,
)
from marketplace.domain.usage_spread import digest_spread
from marketplace.domain.usage_state import SECOND, SPREAD_VOIDED, digest_key, digest_reading, to_second
from marketplace.runtime.cache import parse_event
from marketplace.runtime.commands.grants import load_grant
from marketplace.runtime.commands.ownership import require_tenant
from marketplace.runtime.commands.usage import Report, Side, build_metered
from marketplace.runtime.handler import Handler, Receipt
from marketplace.runtime.unit import Context, Unit


@dataclass(frozen=True, slots=True)
class Use:
    """Whose use of what, and which grants may carry it: when each was issued, by its id."""

    startup_id: str
    provider_id: str
    gpu_class: str
    source: str
    issued_at: Mapping[str, datetime]

    @property
    def usage_id(self) -> str:
        """Return the id of the record of this use."""
        return name_spread(self.startup_id, self.provider_id, self.gpu_class)

    def name(self) -> dict[str, str]:
        """Return the members that its commands share."""
        return {
            "usage_id": self.usage_id,
            "startup_id": self.startup_id,
            "provider_id": self.provider_id,
            "gpu_class": self.gpu_class,
            "source": self.source,
        }


async def prioritise_grant(handler: Handler, context: Context, grant_id: str, *, priority: int) -> Receipt:
    """Say, as the startup, when its grant is used among those over which use is spread."""

    async def work(unit: Unit) -> None:
        await load_grant(unit, grant_id, "startup")
        await unit.decide(GRANT, grant_id, PrioritiseGrant(grant_id=grant_id, priority=priority))

    return await handler.run(context, GRANT, grant_id, work)


async def spread_usage(
    handler: Handler, context: Context, use: Use, measurement: Measurement
) -> tuple[Receipt, Spread | None]:
    """Spread a reading over a tenant's grants; return how, None where it was known already.

    Raises:
        Refusal: ``party_unknown`` of another provider's key; those of a spread and of a reading (`domain/usage.py`).
    """
    decided: list[Spread] = []

    async def work(unit: Unit) -> None:
        decided.clear()
        require_tenant(context, use.provider_id)
        offers = await _list_offers(unit, use, measurement, ())
        command = SpreadUsage(**use.name(), measurement=measurement, offers=offers, at=context.at)
        await unit.decide(USAGE, use.usage_id, command)
        for event in unit.list_events(USAGE, use.usage_id):
            assert isinstance(event, UsageSpread), "a new reading is spread"
            decided.append(event.spread)
            await _report(unit, use, event.spread.parts)

    receipt = await handler.run(context, USAGE, use.usage_id, work)
    return receipt, decided[0] if decided else None


async def respread_usage(
    handler: Handler, context: Context, use: Use, *, reading_id: str, measurement: Measurement | None, reason: str
) -> Receipt:
    """Correct what was spread, or take it back where there is no measurement, and unwind the recorded order.

    Raises:
        Refusal: As of `spread_usage`, and ``part_changed`` where a part was corrected or voided by itself.
    """

    async def work(unit: Unit) -> None:
        require_tenant(context, use.provider_id)
        before = await _recall(handler, unit, use, reading_id)
        parts = () if before is None else before.parts
        offers = () if measurement is None else await _list_offers(unit, use, measurement, parts)
        command = RespreadUsage(
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
            assert isinstance(event, UsageRespread), "a reading that is known is spread again"
            await _unwind(unit, use, event)

    return await handler.run(context, USAGE, use.usage_id, work)


async def _list_offers(
    unit: Unit, use: Use, measurement: Measurement, parts: Sequence[SpreadPart]
) -> tuple[Offer, ...]:
    """Return the grants that may carry a reading, and what they carry then without these parts.

    Of a grant that is settled in full only these parts are free, for it can be lowered only.
    """
    offers: list[Offer] = []
    start, end = measurement.start, measurement.end
    if start.tzinfo is None or end.tzinfo is None or end <= start:
        return ()
    for grant_id, issued_at in use.issued_at.items():
        grant: Grant | None = await unit.load(GRANT, grant_id)
        usage: Usage = await unit.load(USAGE, name_usage(grant_id))
        if grant is None or not _may_carry(grant, use) or grant.end <= start or grant.issued.start >= end:
            continue
        own = [part for part in parts if part.grant_id == grant_id]
        if usage.closed and not own:
            continue
        gpus = grant.issued.nodes * grant.issued.gpus_per_node
        counted = Tally(EMPTY if usage.closed else usage.timeline)
        taken = [Load(start, end, grant.issued.nodes)] if usage.closed else grant.list_resold()
        for load in taken:
            counted.add(to_second(load.start), to_second(load.end), load.amount * grant.issued.gpus_per_node)
        for part in own:
            counted.add(to_second(part.start), to_second(part.end), -part.gpus)
        rank = BurnRank(grant_id=grant_id, priority=grant.priority, expires_at=grant.end, created_at=issued_at)
        offer = Offer(
            rank=rank,
            start=grant.issued.start,
            end=grant.end,
            gpus=gpus,
            runs=tuple(list_runs(counted.seal(), to_second(start), to_second(end))),
        )
        offers.append(offer)
    return tuple(offers)


def _may_carry(grant: Grant, use: Use) -> bool:
    theirs = (grant.startup_id, grant.issued.provider_id, grant.issued.gpu_class)
    begun = grant.status in {*RUNNING, "completed", "terminated"}
    return begun and theirs == (use.startup_id, use.provider_id, use.gpu_class)


async def _report(unit: Unit, use: Use, parts: Iterable[SpreadPart]) -> None:
    """Let each grant count its parts.

    Raises:
        Refusal: A grant cannot, for example since the source used the part's id for something else.
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


async def _unwind(unit: Unit, use: Use, event: UsageRespread) -> None:
    """Take back and lower the parts that changed, then let the new ones count."""
    after = {part.reading_id: part for part in (() if event.after is None else event.after.parts)}
    for part in event.before.parts:
        left = after.pop(part.reading_id, None)
        if left != part:
            await _change(unit, use, part, left, event.reason)
    await _report(unit, use, after.values())


async def _change(unit: Unit, use: Use, part: SpreadPart, left: SpreadPart | None, reason: str) -> None:
    grant: Grant | None = await unit.load(GRANT, part.grant_id)
    assert grant is not None, "the grant of a part exists"
    usage: Usage = await unit.load(USAGE, name_usage(part.grant_id))
    reading = _build_reading(part, grant.issued.gpus_per_node)
    if usage.find_content(use.source, part.reading_id) != digest_reading(reading):
        said = f"part {part.reading_id} on grant {part.grant_id} was corrected or voided by itself"
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


async def _recall(handler: Handler, unit: Unit, use: Use, reading_id: str) -> Spread | None:
    """Return how a reading is spread as the record knows it, None where it is not, or no longer."""
    state: Usage = await unit.load(USAGE, use.usage_id)
    known = state.spreads.find(digest_key(use.source, reading_id))
    if known is None or known == SPREAD_VOIDED:
        return None
    found = await _find_spread(handler, use, reading_id)
    if found is None or digest_spread(found) != known:
        said = f"reading {reading_id} is being changed by another request; send this one again"
        raise Refusal("reading_in_flight", said)
    return found


async def _find_spread(handler: Handler, use: Use, reading_id: str) -> Spread | None:
    """Return how a reading is spread, as the log says; None where it is not, or no longer."""
    for recorded in reversed(await handler.log.load(render_subject("usage", use.usage_id))):
        event = parse_event(recorded)
        if isinstance(event, UsageSpread) and (event.source, event.reading_id) == (use.source, reading_id):
            return event.spread
        if isinstance(event, UsageRespread) and (event.source, event.reading_id) == (use.source, reading_id):
            return event.after
    return None
