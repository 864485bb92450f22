"""Divide a startup's usage among its grants in burn order: by priority, then expiry, then age.

A meter may report how many GPUs of a class a startup used, without naming a grant. This module divides such a reading
into parts, one for each grant and interval. At any instant, a grant takes as many GPUs as it has free; the rest goes to
the next grant in burn order. A correction divides the reading again, in the order that was recorded with it: lower
usage reduces the last grants of the order first, higher usage fills the same grants and then further ones.
`usage.py` lists the refusals.

Invariants:
    1. At every instant, the GPUs of the parts sum to those of the reading, and no grant has more than its free GPUs.
    2. A grant has a part at an instant only if every earlier grant in the order is full then.
    3. The events state the parts, so a replay divides nothing again.
"""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final

from events.usage import Allocation, AllocationPart, BurnRank, UsageAllocated, UsageReallocated
from marketplace.core.errors import Refusal
from marketplace.core.packed import digest
from marketplace.domain.metering.allocation_commands import AllocateUsage, Offer, ReallocateUsage
from marketplace.domain.metering.burn_order import Piece, allocate_gpus
from marketplace.domain.metering.usage_commands import Measurement, Metered
from marketplace.domain.metering.usage_record import (
    ALLOCATION_VOIDED,
    EPOCH,
    PARTS_BYTES,
    SECOND,
    Count,
    ReadingContent,
    Usage,
    digest_content,
    digest_key,
    find_fault,
    to_second,
)

OFFERS_MAX: Final = 100
"""The most grants that may carry one reading."""
PARTS_MAX: Final = 100
"""The most parts of one reading."""
_PLENTY: Final = 10_000_000


def allocate(command: AllocateUsage, state: Usage) -> Sequence[UsageAllocated]:
    """Return the event that divides a startup's reading among its grants; none if it was reported before.

    Raises:
        Refusal: ``allocation_exists``, a fault of the interval, ``grants_too_many`` · ``grants_exhausted`` ·
            ``parts_too_many``.
    """
    measurement = command.measurement
    known = state.allocations.find(digest_key(command.source, measurement.reading_id))
    if known is not None:
        if known[:-PARTS_BYTES] == digest_measurement(measurement):
            return []
        was = "voided; use" if known == ALLOCATION_VOIDED else "reported with other content; correct it, or use"
        raise Refusal("allocation_exists", f"reading {measurement.reading_id} was {was} another id")
    _require_sound(measurement, command.at)
    allocation = _build(measurement, _order(command.offers, ()), None)
    return [
        UsageAllocated(
            usage_id=command.usage_id,
            startup_id=command.startup_id,
            provider_id=command.provider_id,
            gpu_class=command.gpu_class,
            source=command.source,
            reading_id=measurement.reading_id,
            allocation=allocation,
        )
    ]


def reallocate(command: ReallocateUsage, state: Usage) -> Sequence[UsageReallocated]:
    """Return the event that divides a corrected reading again, or voids it; none if its content is the present one.

    Raises:
        Refusal: ``allocation_unknown`` · ``allocation_voided``, and as `allocate`.
    """
    known = state.allocations.find(digest_key(command.source, command.reading_id))
    if known is None:
        raise Refusal(
            "allocation_unknown", f"source {command.source} has no reading {command.reading_id} of this usage"
        )
    measurement = command.measurement
    if known == ALLOCATION_VOIDED:
        if measurement is None:
            return []
        raise Refusal("allocation_voided", f"reading {command.reading_id} was voided; report it under another id")
    if measurement is not None and known[:-PARTS_BYTES] == digest_measurement(measurement):
        return []
    before = command.before
    assert before is not None, "the command includes the present allocation"
    assert digest_allocation(before) == known, "the allocation in the command is the last recorded one"
    after = None
    if measurement is not None:
        _require_sound(measurement, command.at)
        after = _build(measurement, _order(command.offers, before.ranks), before)
    return [
        UsageReallocated(
            usage_id=command.usage_id,
            startup_id=command.startup_id,
            provider_id=command.provider_id,
            gpu_class=command.gpu_class,
            source=command.source,
            reading_id=command.reading_id,
            before=before,
            after=after,
            reason=command.reason,
        )
    ]


def _require_sound(measurement: Measurement, at: datetime) -> None:
    """Refuse a reading whose interval or size is invalid for any grant."""
    start, end = measurement.start, measurement.end
    anything = Metered(start=start, end=end, nodes=_PLENTY, gpus_per_node=1)
    fault = find_fault(measurement, anything, at, Usage(), Count(Usage()))
    if fault is not None:
        raise fault


def _order(offers: Sequence[Offer], recorded: Sequence[BurnRank]) -> list[Offer]:
    """Return the grants in burn order: first those of a recorded order, then the others.

    Raises:
        Refusal: ``grants_too_many``.
    """
    if len(offers) > OFFERS_MAX:
        raise Refusal("grants_too_many", f"usage is allocated to at most {OFFERS_MAX} grants, not {len(offers)}")
    places = {rank.grant_id: place for place, rank in enumerate(recorded)}
    by_rank = attrgetter("priority", "expires_at", "created_at", "grant_id")
    return sorted(offers, key=lambda offer: (places.get(offer.rank.grant_id, len(places)), by_rank(offer.rank)))


def _build(measurement: Measurement, offers: Sequence[Offer], before: Allocation | None) -> Allocation:
    gpus = measurement.gpus or 0
    pieces = allocate_gpus(to_second(measurement.start), to_second(measurement.end), gpus, offers)
    if len(pieces) > PARTS_MAX:
        raise Refusal(
            "parts_too_many",
            f"the allocation has {len(pieces)} parts, above {PARTS_MAX}; report it in shorter intervals",
        )
    made = 0 if before is None else before.parts_made
    kept = list(() if before is None else before.parts)
    parts: list[AllocationPart] = []
    for piece in pieces:
        part = _render(piece, f"{measurement.reading_id}#{made + 1}")
        home = next((known for known in kept if _is_within(part, known)), None)
        if home is None:
            made += 1
        else:
            kept.remove(home)
            part = _render(piece, home.reading_id)
        parts.append(part)
    ranks = tuple(offer.rank for offer in offers)
    return Allocation(
        start=measurement.start, end=measurement.end, gpus=gpus, ranks=ranks, parts=tuple(parts), parts_made=made
    )


def _render(piece: Piece, reading_id: str) -> AllocationPart:
    return AllocationPart(
        grant_id=piece.grant_id,
        reading_id=reading_id,
        start=EPOCH + piece.start * SECOND,
        end=EPOCH + piece.end * SECOND,
        gpus=piece.gpus,
    )


def _is_within(part: AllocationPart, known: AllocationPart) -> bool:
    """Return whether a part lies within a known one, so that correcting it only lowers usage of its grant."""
    same = part.grant_id == known.grant_id
    return same and known.start <= part.start and part.end <= known.end and part.gpus <= known.gpus


def digest_measurement(measurement: Measurement) -> bytes:
    """Return the digest of a startup's reading; empty, which equals no digest, if an instant has no offset."""
    gpus = measurement.gpus
    if measurement.start.tzinfo is None or measurement.end.tzinfo is None:
        return b""
    return digest_content(ReadingContent(measurement.start, measurement.end, gpus or 0, gpus, (), None))


def digest_allocation(known: Allocation) -> bytes:
    """Return the digest of an allocation: the reading, and which grants carry it."""
    said = digest_content(ReadingContent(known.start, known.end, known.gpus, known.gpus, (), None))
    parts = " ".join(
        f"{part.grant_id} {part.reading_id} {to_second(part.start)} {to_second(part.end)} {part.gpus}"
        for part in known.parts
    )
    return said + digest(f"{known.parts_made} {parts}", PARTS_BYTES)
