"""Use that is allocated to grants: offers, commands, and the rows that refuse them."""

from events.usage import Allocation, AllocationPart, BurnRank, UsageAllocated, UsageReallocated
from marketplace.domain.metering.allocation import OFFERS_MAX
from marketplace.domain.metering.allocation_commands import AllocateUsage, Offer, ReallocateUsage
from tests.domain import build
from tests.domain.build import Row, builder, hour, id_of, measurement

SOURCE = "/meters/1"
TENANT = {
    "usage_id": build.USAGE,
    "startup_id": build.STARTUP,
    "provider_id": build.PROVIDER,
    "gpu_class": "H100_SXM",
    "source": SOURCE,
}


def use(gpus=12, start=10, end=12, **changes):
    return measurement(start=hour(start), end=hour(end), nodes=None, gpus=gpus, **changes)


def offer(number=1, gpus=8, start=0, end=20, priority=100, expires=None, created=0, runs=()):
    rank = BurnRank(
        grant_id=id_of("grt", number),
        priority=priority,
        expires_at=hour(expires or end),
        created_at=hour(created),
    )
    return Offer(rank=rank, start=hour(start), end=hour(end), gpus=gpus, runs=runs)


OFFERS = (offer(1), offer(2, created=1))
allocate = builder(AllocateUsage(**TENANT, measurement=use(), offers=OFFERS, at=hour(12)))


def part(number, grant=1, start=10, end=12, gpus=8):
    return AllocationPart(
        grant_id=id_of("grt", grant), reading_id=f"r1#{number}", start=hour(start), end=hour(end), gpus=gpus
    )


def allocation_of(*parts, gpus=12, start=10, end=12, offers=OFFERS, made=2):
    ranks = tuple(one.rank for one in offers)
    return Allocation(start=hour(start), end=hour(end), gpus=gpus, ranks=ranks, parts=parts, parts_made=made)


TWELVE = allocation_of(part(1), part(2, 2, gpus=4))
ALLOCATION = UsageAllocated(**TENANT, reading_id="r1", allocation=TWELVE)
GONE = UsageReallocated(**TENANT, reading_id="r1", before=TWELVE, after=None, reason="not used")
reallocate = builder(
    ReallocateUsage(
        **TENANT, reading_id="r1", measurement=use(10), offers=OFFERS, reason="miscounted", at=hour(12), before=TWELVE
    )
)
MANY = tuple(offer(number, gpus=1) for number in range(1, OFFERS_MAX + 2))
HOLES = tuple((at, at + 60, 1) for at in range(1_772_359_200, 1_772_366_400, 120))
REFUSALS = (
    Row("allocation_unknown", (), reallocate()),
    Row("allocation_voided", (ALLOCATION, GONE), reallocate()),
    Row("allocation_exists", (ALLOCATION,), allocate(measurement=use(11))),
    Row("grants_too_many", (), allocate(offers=MANY)),
    Row("grants_exhausted", (), allocate(measurement=use(17))),
    Row("parts_too_many", (), allocate(measurement=use(1), offers=(offer(1, gpus=1, runs=HOLES), offer(2)))),
)
