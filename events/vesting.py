"""When options and warrants may be exercised: values of the `issuer` events."""

from datetime import date
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import GpuSeconds, Shares, Usd

Allocation = Literal[
    "CUMULATIVE_ROUNDING",
    "CUMULATIVE_ROUND_DOWN",
    "FRONT_LOADED",
    "BACK_LOADED",
    "FRONT_LOADED_TO_SINGLE_TRANCHE",
    "BACK_LOADED_TO_SINGLE_TRANCHE",
]


class VestingSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """Equal tranches of an option at equal intervals.

    Attributes:
        starts_on: Day from which it is counted; the first tranche vests one interval later.
        tranches: How many.
        months_between: Distance of two tranches in months.
        cliff_tranches: So many first tranches vest together on the day of the last of them; 0 or 1: no cliff.
        allocation: Where the remainder of the division goes, as the Open Cap Table Format names it.
    """

    starts_on: date
    tranches: Annotated[int, Meta(ge=1, le=1_000)]
    months_between: Annotated[int, Meta(ge=1, le=120)]
    cliff_tranches: Annotated[int, Meta(ge=0, le=1_000)]
    allocation: Allocation


class DeliveryMilestone(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="delivered"):
    """So much compute was delivered and accepted under the warrant's grant.

    Attributes:
        gpu_seconds: From so many on.
    """

    gpu_seconds: GpuSeconds


class DateMilestone(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="date"):
    """A day has come.

    Attributes:
        day: From this day on, UTC.
    """

    day: date


class PriceMilestone(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="price"):
    """A valuation of the common stock, or the price of a closed round, has reached a level.

    Attributes:
        price_usd_per_share: From this price on.
    """

    price_usd_per_share: Usd


Milestone = DeliveryMilestone | DateMilestone | PriceMilestone


class WarrantTranche(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of a warrant that may be exercised once their conditions hold.

    Attributes:
        shares: How many.
        conditions: Every one has to hold; one holds as soon as any of its milestones is reached. None: vested at once.
    """

    shares: Shares
    conditions: Annotated[
        tuple[Annotated[tuple[Milestone, ...], Meta(min_length=1, max_length=8)], ...], Meta(max_length=8)
    ] = ()
