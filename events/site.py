"""Data centers: where capacity stands and how much power it has over time."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import Country, Event, Id, Instant, Name, Region, Share, Text

PowerKw = Annotated[int, Meta(ge=0, le=10_000_000, description="Kilowatts")]
SiteStatus = Literal["planned", "converting", "operating"]


class SiteRegistered(Event, frozen=True, kw_only=True, tag="site.registered.v1"):
    """A provider brought a data center to the market.

    Attributes:
        site_id: The site.
        provider_id: Its operator.
        name: What people call it.
        region: Market region.
        jurisdiction: Country it stands in.
        status: What state it is in.
        power_contracted_kw: Power under contract.
        power_energised_kw: Power that is live.
        power_usage_effectiveness: PUE, 1 or more.
        renewable_share: Share of its energy that is renewable.
    """

    site_id: Id
    provider_id: Id
    name: Name
    region: Region
    jurisdiction: Country
    status: SiteStatus
    power_contracted_kw: PowerKw
    power_energised_kw: PowerKw
    power_usage_effectiveness: Decimal
    renewable_share: Share


class SiteEnergised(Event, frozen=True, kw_only=True, tag="site.energised.v1"):
    """More of the contracted power is live. A planned or converting site operates from this event on.

    Attributes:
        site_id: The site.
        power_energised_kw: Live power from then on, in total.
        at: From when.
    """

    site_id: Id
    power_energised_kw: PowerKw
    at: Instant


class SiteDerated(Event, frozen=True, kw_only=True, tag="site.derated.v1"):
    """Less power is live than before.

    Attributes:
        site_id: The site.
        power_energised_kw: Live power from then on, in total.
        at: From when.
        reason: Why.
        reported_at: When this was reported; None: at `at`.
    """

    site_id: Id
    power_energised_kw: PowerKw
    at: Instant
    reason: Text
    reported_at: Instant | None = None


class SiteConversionScheduled(Event, frozen=True, kw_only=True, tag="site.conversion_scheduled.v1"):
    """A site of another use is to become a data center at a date.

    Attributes:
        site_id: The site.
        former_use: What it is converted from, for example ``bitcoin mining``.
        ready_at: When its capacity begins.
        reported_at: When this was reported; None: not known.
    """

    site_id: Id
    former_use: Name
    ready_at: Instant
    reported_at: Instant | None = None


class SiteConversionSlipped(Event, frozen=True, kw_only=True, tag="site.conversion_slipped.v1"):
    """The date of a conversion moved.

    Attributes:
        site_id: The site.
        ready_at_before: The date before.
        ready_at: The date now.
        reason: Why.
        reported_at: When this was reported; None: not known.
    """

    site_id: Id
    ready_at_before: Instant
    ready_at: Instant
    reason: Text
    reported_at: Instant | None = None


class PowerDraw(msgspec.Struct, frozen=True, kw_only=True):
    """Power that nodes draw over a span.

    Attributes:
        power_kw: Kilowatts of all of them together.
        start: First instant.
        end: Instant after the last.
    """

    power_kw: PowerKw
    start: Instant
    end: Instant


class SitePowerReserved(Event, frozen=True, kw_only=True, tag="site.power_reserved.v1"):
    """The power that the nodes reserved for a grant in a pool draw. It replaces earlier statements.

    Attributes:
        site_id: The site.
        pool_id: The pool of the nodes.
        grant_id: The grant that they are reserved for.
        draws: The power by span.
    """

    site_id: Id
    pool_id: Id
    grant_id: Id
    draws: tuple[PowerDraw, ...]


class SitePowerReleased(Event, frozen=True, kw_only=True, tag="site.power_released.v1"):
    """The nodes that a pool reserved for a grant draw nothing any more.

    Attributes:
        site_id: The site.
        pool_id: The pool of the nodes.
        grant_id: The grant that they were reserved for.
    """

    site_id: Id
    pool_id: Id
    grant_id: Id


SiteEvent = (
    SiteRegistered
    | SiteEnergised
    | SiteDerated
    | SiteConversionScheduled
    | SiteConversionSlipped
    | SitePowerReserved
    | SitePowerReleased
)
