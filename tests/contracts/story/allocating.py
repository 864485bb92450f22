"""An appendix to the second chapter: six hours of use that were told of the tenant, corrected, and taken back."""

from events.grant import GrantPrioritised
from events.usage import (
    Allocation,
    AllocationPart,
    BurnRank,
    Reading,
    UsageAllocated,
    UsageCorrected,
    UsageIdentified,
    UsageReallocated,
    UsageReported,
    UsageVoided,
)
from tests.contracts.story.clearing import FOLDING_GRANT
from tests.contracts.story.identifiers import name
from tests.contracts.story.metered import METER, USAGE
from tests.contracts.story.supply import LATTICE, NORTHFJORD, at
from tests.contracts.story.teller import Teller

_START, _END = at("2026-03-10T00:00"), at("2026-03-10T06:00")
_RANK = BurnRank(
    grant_id=FOLDING_GRANT, priority=10, expires_at=at("2026-03-17T00:00"), created_at=at("2026-03-04T12:00")
)
_TENANT = {
    "usage_id": name("usg", "use of Lattice"),
    "startup_id": LATTICE,
    "provider_id": NORTHFJORD,
    "gpu_class": "H100_SXM",
    "source": METER,
    "reading_id": "fleet/2026-03-10",
}


def tell_allocating(teller: Teller) -> None:
    """Say which grant is used first, and allocate a reading that the provider takes back in the end."""
    teller.tell("2026-03-09T08:00", LATTICE, GrantPrioritised(grant_id=FOLDING_GRANT, priority=10))
    part = {"usage_id": USAGE, "grant_id": FOLDING_GRANT, "source": METER}
    identified = UsageIdentified(
        usage_id=name("usg", "meter of hall 2"),
        party_id=NORTHFJORD,
        source=METER,
        grant_id=FOLDING_GRANT,
        reading_ids=("fleet/2026-03-10#1",),
    )
    reported = UsageReported(**part, readings=(_reading(8),))
    teller.tell("2026-03-10T06:02", METER, UsageAllocated(**_TENANT, allocation=_allocation(8)), reported, identified)
    reason = "four GPUs were another tenant's"
    teller.tell(
        "2026-03-10T06:10",
        METER,
        UsageReallocated(**_TENANT, before=_allocation(8), after=_allocation(4), reason=reason),
        UsageCorrected(**part, before=_reading(8), after=_reading(4), reason=reason),
    )
    reason = "the grant's own meter told the same hours"
    teller.tell(
        "2026-03-10T06:20",
        METER,
        UsageReallocated(**_TENANT, before=_allocation(4), after=None, reason=reason),
        UsageVoided(**part, reading=_reading(4), reason=reason),
    )


def _reading(gpus: int) -> Reading:
    seconds = gpus * 6 * 3_600
    return Reading(reading_id="fleet/2026-03-10#1", start=_START, end=_END, nodes=1, gpu_seconds=seconds, gpus=gpus)


def _allocation(gpus: int) -> Allocation:
    part = AllocationPart(grant_id=FOLDING_GRANT, reading_id="fleet/2026-03-10#1", start=_START, end=_END, gpus=gpus)
    return Allocation(start=_START, end=_END, gpus=gpus, ranks=(_RANK,), parts=(part,), parts_made=1)
