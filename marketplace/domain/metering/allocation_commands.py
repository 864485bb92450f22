"""Commands that allocate usage to grants; `allocation.py` decides them."""

from datetime import datetime

import msgspec

from events.usage import Allocation, BurnRank
from marketplace.core.ids import derive_id
from marketplace.core.timeline import Run
from marketplace.domain.metering.usage_commands import Measurement


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that may carry usage, and what it already carries over the reading's span.

    Attributes:
        rank: The values that it is ranked by.
        start: The instant from which it may carry usage.
        end: The instant until which it may.
        gpus: The most GPUs that it may carry at any instant.
        runs: What it already carries: runs in order, each with its first second since 1970, the second after its last,
            and its GPUs.
    """

    rank: BurnRank
    start: datetime
    end: datetime
    gpus: int
    runs: tuple[Run, ...] = ()


class AllocateUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Allocate a startup's usage of a class to its grants."""

    usage_id: str
    startup_id: str
    provider_id: str
    gpu_class: str
    source: str
    measurement: Measurement
    offers: tuple[Offer, ...]
    at: datetime


class ReallocateUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Correct an allocated reading; without a measurement, void it.

    `before` is the present allocation; None if there is none, or it was voided. The runs of the offers do not include
    its parts.
    """

    usage_id: str
    startup_id: str
    provider_id: str
    gpu_class: str
    source: str
    reading_id: str
    measurement: Measurement | None
    offers: tuple[Offer, ...]
    reason: str
    at: datetime
    before: Allocation | None = None


AllocationCommand = AllocateUsage | ReallocateUsage


def name_allocation(startup_id: str, provider_id: str, gpu_class: str) -> str:
    """Return the id of the record of a startup's usage of a class at a provider."""
    return derive_id("usg", startup_id, f"{provider_id}/{gpu_class}")
