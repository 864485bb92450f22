"""Bodies of sites, pools and lots."""

from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from events.lot import AskStep
from events.service import ServiceTerms
from events.site import PowerKw, SiteStatus
from events.stages import StageTerms
from events.types import (
    Country,
    GpuClass,
    Id,
    Instant,
    Interconnect,
    Name,
    Nodes,
    Region,
    RunHours,
    Share,
    Text,
    UsdPerGpuHour,
)
from marketplace.api.http.bodies import Body

IncidentId = Annotated[str, Meta(min_length=1, max_length=200)]


class RegisterSiteBody(Body, frozen=True, kw_only=True):
    """A data center; see the event `site.registered`."""

    provider_id: Id
    name: Name
    region: Region
    jurisdiction: Country
    status: SiteStatus
    power_contracted_kw: PowerKw
    power_energised_kw: PowerKw
    power_usage_effectiveness: Decimal
    renewable_share: Share


class EnergiseSiteBody(Body, frozen=True, kw_only=True):
    """More live power.

    Attributes:
        power_energised_kw: Live power from then on, in total.
        at: From when.
    """

    power_energised_kw: PowerKw
    at: Instant


class DerateSiteBody(Body, frozen=True, kw_only=True):
    """Less live power.

    Attributes:
        power_energised_kw: Live power from then on, in total.
        at: From when.
        reason: Why.
    """

    power_energised_kw: PowerKw
    at: Instant
    reason: Text


class ScheduleConversionBody(Body, frozen=True, kw_only=True):
    """A site of another use that becomes a data center.

    Attributes:
        former_use: What it is converted from.
        ready_at: When its capacity begins.
    """

    former_use: Name
    ready_at: Instant


class SlipConversionBody(Body, frozen=True, kw_only=True):
    """A conversion that is late.

    Attributes:
        ready_at: The date now.
        reason: Why.
    """

    ready_at: Instant
    reason: Text


class OpenPoolBody(Body, frozen=True, kw_only=True):
    """A pool of equal nodes; see the event `pool.opened`.

    Attributes:
        service: What is promised of grants on it, unless a lot says otherwise; None: the standard terms. An
            `availability_min` of 0 promises nothing.
    """

    site_id: Id
    gpu_class: GpuClass
    interconnect: Interconnect
    gpus_per_node: Annotated[int, Meta(ge=1, le=1024)]
    nodes: Nodes
    power_per_node_kw: Annotated[int, Meta(ge=0, le=1000)]
    service: ServiceTerms | None = None


class FailNodesBody(Body, frozen=True, kw_only=True):
    """Nodes that stopped working.

    Attributes:
        incident_id: What the provider calls the incident.
        nodes: How many.
        at: Since when.
        until: When the outage ended, if it is over already; None: it lasts until the nodes are restored.
    """

    incident_id: IncidentId
    nodes: Nodes
    at: Instant
    until: Instant | None = None


class RestoreNodesBody(Body, frozen=True, kw_only=True):
    """Nodes of an incident that work again.

    Attributes:
        incident_id: The incident.
        at: Since when; at most an hour ago.
    """

    incident_id: IncidentId
    at: Instant


class ListLotBody(Body, frozen=True, kw_only=True):
    """Nodes for sale over a span; see the event `lot.listed`."""

    pool_id: Id
    nodes: Nodes
    start: Instant
    end: Instant
    ask_usd_per_gpu_hour: UsdPerGpuHour
    nodes_min: Nodes = 1
    duration_hours_min: RunHours = 1
    mandate_ids: Annotated[tuple[Id, ...], Meta(max_length=100)] = ()
    further_asks: Annotated[tuple[AskStep, ...], Meta(max_length=100)] = ()
    service: ServiceTerms | None = None
    stages: StageTerms | None = None


class ResellGrantBody(Body, frozen=True, kw_only=True):
    """Nodes of a grant to resell.

    Attributes:
        nodes: Nodes at every instant of the span.
        start: First instant, not before now.
        end: Instant after the last.
        ask_usd_per_gpu_hour: The lowest price; at least what the holder of the grant's equity pays per GPU-hour.
        nodes_min: The fewest nodes that an order may take.
        duration_hours_min: The shortest run that an order may take, in hours.
        mandate_ids: Cash mandates that may take the equity part of a buyer's offer; none: cash only.
    """

    nodes: Nodes
    start: Instant
    end: Instant
    ask_usd_per_gpu_hour: UsdPerGpuHour
    nodes_min: Nodes = 1
    duration_hours_min: RunHours = 1
    mandate_ids: Annotated[tuple[Id, ...], Meta(max_length=100)] = ()


class RepriceLotBody(Body, frozen=True, kw_only=True):
    """Other asks of a lot.

    Attributes:
        ask_usd_per_gpu_hour: The ask from now on.
        further_asks: The asks for further nodes from now on; empty: one ask for all nodes.
    """

    ask_usd_per_gpu_hour: UsdPerGpuHour
    further_asks: Annotated[tuple[AskStep, ...], Meta(max_length=100)] = ()


class RescheduleLotBody(Body, frozen=True, kw_only=True):
    """Another span of a lot.

    Attributes:
        start: First instant.
        end: Instant after the last.
        reason: Why.
    """

    start: Instant
    end: Instant
    reason: Text


class ClosePoolBody(Body, frozen=True, kw_only=True):
    """Notice that a pool leaves the market.

    Attributes:
        closes_at: When.
        reason: Why.
    """

    closes_at: Instant
    reason: Text
