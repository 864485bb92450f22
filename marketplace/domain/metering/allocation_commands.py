"""Commands of use that is spread over grants; `usage_spread.py` decides."""

from datetime import datetime

import msgspec

from events.usage import BurnRank, Spread
from marketplace.core.ids import derive_id
from marketplace.core.timeline import Run
from marketplace.domain.metering.usage_commands import Measurement


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that may carry use, and what it carries already in the span that is asked for.

    Attributes:
        rank: What it is ranked by.
        start: From when on it may carry use.
        end: Until when.
        gpus: How many it may carry at any instant.
        runs: What it carries already, as runs of seconds and GPUs in order; nothing between them.
    """

    rank: BurnRank
    start: datetime
    end: datetime
    gpus: int
    runs: tuple[Run, ...] = ()


class SpreadUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Spread what a tenant used of a class over its grants."""

    usage_id: str
    startup_id: str
    provider_id: str
    gpu_class: str
    source: str
    measurement: Measurement
    offers: tuple[Offer, ...]
    at: datetime


class RespreadUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Correct what was spread, or take it back where there is no measurement; the recorded order is unwound.

    `before` is what is spread, None where the record has nothing that counts; the offers carry nothing of its parts.
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
    before: Spread | None = None


SpreadCommand = SpreadUsage | RespreadUsage


def name_spread(startup_id: str, provider_id: str, gpu_class: str) -> str:
    """Return the id of the record of what a tenant used of a class at a provider."""
    return derive_id("usg", startup_id, f"{provider_id}/{gpu_class}")
