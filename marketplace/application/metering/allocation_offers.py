"""Find the grants among which a startup's usage may be divided, and how much usage each has already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from events.usage import AllocationPart, BurnRank
from marketplace.core.intervals import Load
from marketplace.core.timeline import EMPTY, Tally
from marketplace.core.timeline_sums import list_runs
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.metering.allocation_commands import Offer, name_allocation
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.domain.metering.usage_record import to_second
from marketplace.execution.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Use:
    """A startup's usage of a GPU class at a provider, by one source.

    `issued_at` has the grants that may take parts of it, each with the time of its issue.
    """

    startup_id: str
    provider_id: str
    gpu_class: str
    source: str
    issued_at: Mapping[str, datetime]

    @property
    def usage_id(self) -> str:
        """Return the id of this usage's record."""
        return name_allocation(self.startup_id, self.provider_id, self.gpu_class)

    def name(self) -> dict[str, str]:
        """Return the fields that its commands share."""
        return {
            "usage_id": self.usage_id,
            "startup_id": self.startup_id,
            "provider_id": self.provider_id,
            "gpu_class": self.gpu_class,
            "source": self.source,
        }


async def list_offers(
    unit: UnitOfWork, use: Use, measurement: Measurement, parts: Sequence[AllocationPart]
) -> tuple[Offer, ...]:
    """Return the grants that may take parts of a reading, with their usage; the parts given do not count.

    A fully settled grant offers no more than the given parts take on it, because its usage can only be lowered.
    Empty if the reading's interval is impossible.
    """
    offers: list[Offer] = []
    start, end = measurement.start, measurement.end
    if start.tzinfo is None or end.tzinfo is None or end <= start:
        return ()
    for grant_id, issued_at in use.issued_at.items():
        grant = await unit.load(GRANT, grant_id)
        usage = await unit.load(USAGE, name_usage(grant_id))
        if grant is None or not _may_carry(grant, use) or grant.end <= start or grant.issued.start >= end:
            continue
        own = [part for part in parts if part.grant_id == grant_id]
        if usage.closed and not own:
            continue
        gpus = grant.issued.nodes * grant.issued.gpus_per_node
        counted = Tally(EMPTY if usage.closed else usage.timeline)
        gaps = [Load(gap.start, gap.end, grant.issued.nodes) for gap in grant.list_gaps()]
        taken = [Load(start, end, grant.issued.nodes)] if usage.closed else [*grant.list_resold(), *gaps]
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
    begun = grant.phase != "issued"
    return begun and theirs == (use.startup_id, use.provider_id, use.gpu_class)
