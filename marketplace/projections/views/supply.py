"""Views of sites, pools, lots and free capacity."""

from datetime import datetime
from decimal import Decimal

import msgspec

from events.lot import AskStep
from events.service import ServiceTerms
from events.stages import StageTerms
from events.types import Interconnect


class SiteView(msgspec.Struct, frozen=True, kw_only=True):
    """A site as it is now.

    Attributes:
        status: ``planned``, ``converting`` or ``operating``.
        power_energised_kw: Live power in total as reported last, also if that is for a later instant.
    """

    site_id: str
    provider_id: str
    name: str
    region: str
    jurisdiction: str
    status: str
    power_contracted_kw: int
    power_energised_kw: int
    power_usage_effectiveness: Decimal
    renewable_share: Decimal
    former_use: str | None
    ready_at: datetime | None
    reason: str | None
    last_sequence: int


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """A pool of equal nodes.

    Attributes:
        closes_at: When it leaves the market, and its grants end. None: no date.
    """

    pool_id: str
    provider_id: str
    site_id: str
    region: str
    gpu_class: str
    interconnect: Interconnect
    gpus_per_node: int
    nodes: int
    power_per_node_kw: int
    closes_at: datetime | None
    service: ServiceTerms | None
    last_sequence: int


class LotView(msgspec.Struct, frozen=True, kw_only=True):
    """A lot as it is now, with its pool's class and region.

    Attributes:
        provider_id: The seller: of a resale, the startup that resells nodes of `grant_id`.
        status: ``listed``, ``paused`` or ``withdrawn``.
        reason: Why it was moved, paused or withdrawn.
    """

    lot_id: str
    pool_id: str
    provider_id: str
    gpu_class: str | None
    region: str | None
    interconnect: Interconnect | None
    gpus_per_node: int | None
    status: str
    nodes: int
    start: datetime
    end: datetime
    ask_usd_per_gpu_hour: Decimal
    nodes_min: int
    duration_hours_min: int
    mandate_ids: tuple[str, ...]
    further_asks: tuple[AskStep, ...]
    service: ServiceTerms | None
    reason: str | None
    listed_at: datetime
    grant_id: str | None
    stages: StageTerms | None
    last_sequence: int


class CapacityStep(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of one pool over a span in which nothing changes.

    Attributes:
        pool_id: The pool.
        start: First instant.
        end: Instant after the last.
        offered: Nodes that the provider's lots offer. Nodes that a grant resells count as reserved.
        reserved: Nodes taken by grants.
        resold: How many of these were sold on by a grant that had them first.
        failed: Nodes that do not work. An outage without an end counts until the end of the window.
        free: Offered nodes that are neither reserved nor failed.
    """

    pool_id: str
    start: datetime
    end: datetime
    offered: int
    reserved: int
    resold: int
    failed: int
    free: int


class PublicDepth(msgspec.Struct, frozen=True, kw_only=True):
    """Asks of three providers or more of one GPU class, as everybody may see them.

    Attributes:
        mean_usd_per_gpu_hour: Their mean, weighed by the volume.
        node_hours: Future node-hours that are neither sold nor held.
    """

    mean_usd_per_gpu_hour: Decimal
    node_hours: Decimal


class IncidentView(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of a pool that stopped working, from a failure to its end.

    Attributes:
        pool_id: The pool.
        incident_id: What the provider, or the market, calls the incident.
        provider_id: Whose pool it is.
        gpu_class: The pool's class.
        region: The pool's region.
        nodes: How many nodes failed.
        began_at: When they stopped working.
        ended_at: When they worked again; null while they do not.
        last_sequence: Its last event.
    """

    pool_id: str
    incident_id: str
    provider_id: str
    gpu_class: str
    region: str
    nodes: int
    began_at: datetime
    ended_at: datetime | None
    last_sequence: int


class DepthLevel(msgspec.Struct, frozen=True, kw_only=True):
    """The volume at one price of one GPU class.

    Attributes:
        price_usd_per_gpu_hour: The ask.
        node_hours: Future node-hours at this price that are neither sold nor held.
        count: Lots.
    """

    price_usd_per_gpu_hour: Decimal
    node_hours: Decimal
    count: int
