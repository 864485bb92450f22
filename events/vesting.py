"""When options and warrants may be exercised: values of the `issuer` events."""

from datetime import date
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import GpuSeconds, Id, Instant, Multiple, Shares, Text, Usd

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
        cliff_tranches: How many of the first tranches vest together, on the day of the last of them; 0 or 1: no cliff.
        allocation: Where the remainder of the division goes, as the Open Cap Table Format names it.
    """

    starts_on: date
    tranches: Annotated[int, Meta(ge=1, le=1_000)]
    months_between: Annotated[int, Meta(ge=1, le=120)]
    cliff_tranches: Annotated[int, Meta(ge=0, le=1_000)]
    allocation: Allocation


Basis = Literal["purchased", "paid"]
"""Dollars of capacity: awarded, whether delivered or not; or charged by accepted statements, less credits."""


class PriceAverage(msgspec.Struct, frozen=True, kw_only=True):
    """The volume-weighted mean price of a share over days of a recorded price source.

    Attributes:
        source_id: The price source of the issuer.
        days: How many days, the last one included.
        observations_min: Without so many observations in these days there is no price.
    """

    source_id: Id
    days: Annotated[int, Meta(ge=1, le=366)]
    observations_min: Annotated[int, Meta(ge=1, le=366)] = 1


class DeliveryMilestone(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="delivered"):
    """So much compute was delivered and accepted under the grants that the warrant counts.

    Attributes:
        gpu_seconds: How many are needed.
    """

    gpu_seconds: GpuSeconds


class PowerMilestone(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="power"):
    """Nodes of so much power were delivered and accepted under the grants that the warrant counts.

    A grant counts once each of its nodes has delivered for `hours`, before that in proportion.

    Attributes:
        kilowatts: How many are needed; a megawatt is 1,000.
        hours: Accepted hours of each node from which on a grant counts in full.
    """

    kilowatts: Annotated[int, Meta(ge=1)]
    hours: Annotated[int, Meta(ge=1, le=100_000)]


class AmountMilestone(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="amount"):
    """Capacity for so many dollars was purchased or paid for, under the grants that the warrant counts.

    Attributes:
        basis: Which dollars.
        amount_usd: How many are needed.
    """

    basis: Basis
    amount_usd: Usd


class DateMilestone(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="date"):
    """A day has come.

    Attributes:
        day: From this day on, UTC.
    """

    day: date


class PriceMilestone(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="price"):
    """The price of a share has reached a level.

    Attributes:
        price_usd_per_share: From this price on.
        average: The mean that is measured, on the last day that its source has recorded. None: the latest price of a
            closed round that others than company, holder and affiliates made, or valuation that the platform recorded.
    """

    price_usd_per_share: Usd
    average: PriceAverage | None = None


MilestoneName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}(?!\n)$", description="Name of a milestone")]


class AttestedMilestone(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="attested"):
    """A technical or commercial milestone, which a stated attester attests.

    Attributes:
        name: Its name within the warrant. Tranches that name it share it.
        description: What has to be achieved.
        attester_id: The party that attests it, never the company, the holder or an affiliate; None: the platform.
        until: It can be attested before this instant; None: until the warrant expires.
    """

    name: MilestoneName
    description: Text
    attester_id: Id | None = None
    until: Instant | None = None


class TrancheMilestone(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="tranche"):
    """Another tranche has vested in full.

    Attributes:
        tranche: Its number, from 0.
        warrant_id: The warrant that it belongs to, issued before; None: this one.
    """

    tranche: Annotated[int, Meta(ge=0, le=99)]
    warrant_id: Id | None = None


Milestone = (
    DeliveryMilestone
    | PowerMilestone
    | AmountMilestone
    | DateMilestone
    | PriceMilestone
    | AttestedMilestone
    | TrancheMilestone
)
Conditions = Annotated[
    tuple[Annotated[tuple[Milestone, ...], Meta(min_length=1, max_length=8)], ...], Meta(max_length=8)
]
"""All conditions must hold. One holds once any of its milestones is reached."""


class Proportion(msgspec.Struct, frozen=True, kw_only=True):
    """Shares vest in proportion to dollars between two amounts, rounded down to whole shares.

    Attributes:
        basis: Which dollars.
        from_usd: Nothing vests up to this amount.
        to_usd: All shares have vested from this amount on.
    """

    basis: Basis
    from_usd: Usd
    to_usd: Usd


class LaterPrice(msgspec.Struct, frozen=True, kw_only=True):
    """An exercise price that is fixed when another tranche of the warrant has vested in full.

    Attributes:
        tranche: The tranche whose vesting fixes it.
        multiple: The part of the mean that it is, such as 0.9.
        average: The mean, with the day of that vesting as its last day. It is fixed once the source has recorded that
            day or a later one.
        places: Decimal places, rounded half to even.
    """

    tranche: Annotated[int, Meta(ge=0, le=99)]
    multiple: Multiple
    average: PriceAverage
    places: Annotated[int, Meta(ge=0, le=12)] = 4


class WarrantTranche(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of a warrant that vest together, or in proportion.

    Attributes:
        shares: How many.
        conditions: When they vest; none: at once.
        proportion: In which proportion they vest while the conditions hold; None: all together.
        exercise_conditions: What has to hold, after they vested, before they may be exercised; none: nothing.
        exercise_price_usd: Price of one share; None: the warrant's.
        later_price: How the price is fixed later. They are not exercisable until then.
    """

    shares: Shares
    conditions: Conditions = ()
    proportion: Proportion | None = None
    exercise_conditions: Conditions = ()
    exercise_price_usd: Usd | None = None
    later_price: LaterPrice | None = None


class ChangeOfControl(msgspec.Struct, frozen=True, kw_only=True):
    """When a sale of the company lets every tranche vest and become exercisable.

    Attributes:
        when: Whether at any sale, or where its proceeds are below or above a threshold.
        proceeds_usd: The threshold; None with ``always``.
    """

    when: Literal["always", "below", "above"]
    proceeds_usd: Usd | None = None
