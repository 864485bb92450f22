"""Pools: equal nodes on one interconnect, and their capacity over time."""

from typing import Annotated

from msgspec import Meta

from events.service import ServiceTerms
from events.types import Event, GpuClass, Id, Instant, Interconnect, LotShare, Nodes, Region, Text
from events.usage import Meter


class PoolOpened(Event, frozen=True, kw_only=True, tag="pool.opened.v1"):
    """A provider opened a pool of equal nodes.

    Attributes:
        pool_id: The pool.
        provider_id: Its operator.
        site_id: Where it stands.
        region: Region of the site.
        gpu_class: Class of every GPU in it.
        interconnect: Fabric between nodes.
        gpus_per_node: GPUs of one node.
        nodes: Nodes that exist.
        power_per_node_kw: Draw of one node, rounded up.
        service: What is promised of grants on it, unless a lot says otherwise; None: nothing.
        opened_at: When it was opened; None: not known.
    """

    pool_id: Id
    provider_id: Id
    site_id: Id
    region: Region
    gpu_class: GpuClass
    interconnect: Interconnect
    gpus_per_node: Annotated[int, Meta(ge=1, le=1024)]
    nodes: Nodes
    power_per_node_kw: Annotated[int, Meta(ge=0, le=1000)]
    service: ServiceTerms | None = None
    opened_at: Instant | None = None


class PoolCapacityOffered(Event, frozen=True, kw_only=True, tag="pool.capacity_offered.v1"):
    """Nodes of the pool are for sale as a lot; replaces what the lot offered before.

    Attributes:
        pool_id: The pool.
        lot_id: The lot.
        nodes: Nodes offered.
        start: First instant.
        end: Instant after the last.
        grant_id: The grant that they stay reserved for until they are sold; None: nodes that nobody has.
    """

    pool_id: Id
    lot_id: Id
    nodes: Nodes
    start: Instant
    end: Instant
    grant_id: Id | None = None


class PoolCapacityRecalled(Event, frozen=True, kw_only=True, tag="pool.capacity_recalled.v1"):
    """A lot's nodes are no longer for sale. Reserved ones stay reserved.

    Attributes:
        pool_id: The pool.
        lot_id: The lot.
    """

    pool_id: Id
    lot_id: Id


class PoolCapacityReserved(Event, frozen=True, kw_only=True, tag="pool.capacity_reserved.v1"):
    """Nodes are taken for a grant.

    Attributes:
        pool_id: The pool.
        grant_id: The grant they are taken for.
        nodes: Nodes at every instant of the span, less those that the grant sold on.
        start: First instant.
        end: Instant after the last.
        lots: Which lots carry it; their nodes sum to `nodes` at every instant, less what the grant sold on.
        kept: Hours before `start` that the grant gave up because its site is late, and for which nothing is owed. They
            are sold to nobody else: if the site is in time after all, the grant may move back to them.
    """

    pool_id: Id
    grant_id: Id
    nodes: Nodes
    start: Instant
    end: Instant
    lots: tuple[LotShare, ...]
    kept: tuple[LotShare, ...] = ()


class PoolCapacityResold(Event, frozen=True, kw_only=True, tag="pool.capacity_resold.v1"):
    """Nodes that were reserved for one grant are reserved for another from now on.

    Attributes:
        pool_id: The pool.
        grant_id: The grant they are taken for.
        grant_id_before: The grant they were taken for.
        lot_id: The lot of the resale.
        nodes: Nodes at every instant of the span.
        start: First instant.
        end: Instant after the last.
        lots: Which of the provider's lots carry them; their nodes sum to `nodes` at every instant.
        lots_left: Which of the provider's lots carry what the first grant keeps.
    """

    pool_id: Id
    grant_id: Id
    grant_id_before: Id
    lot_id: Id
    nodes: Nodes
    start: Instant
    end: Instant
    lots: tuple[LotShare, ...]
    lots_left: tuple[LotShare, ...]


class PoolCapacityHeld(Event, frozen=True, kw_only=True, tag="pool.capacity_held.v1"):
    """Nodes of a resale lot were set aside for a held quote. They stay the seller's until the quote is taken.

    Attributes:
        pool_id: The pool.
        grant_id: The grant that taking the quote will issue; a release names it too.
        grant_id_before: The grant that they are reserved for.
        lot_id: The lot of the resale.
        nodes: Nodes at every instant of the span.
        start: First instant.
        end: Instant after the last.
    """

    pool_id: Id
    grant_id: Id
    grant_id_before: Id
    lot_id: Id
    nodes: Nodes
    start: Instant
    end: Instant


class PoolCapacityReleased(Event, frozen=True, kw_only=True, tag="pool.capacity_released.v1"):
    """A grant's nodes, or nodes of a resale lot held for it, are free again from an instant on.

    Attributes:
        pool_id: The pool.
        grant_id: The grant.
        at: From when; at or before the reservation's start frees all of it.
        grant_id_before: The seller's grant that keeps the nodes, if they were held from a resale lot.
    """

    pool_id: Id
    grant_id: Id
    at: Instant
    grant_id_before: Id | None = None


class PoolClosingAnnounced(Event, frozen=True, kw_only=True, tag="pool.closing_announced.v1"):
    """The provider gave notice that the pool leaves the market, or postponed the date.

    Nothing is offered or reserved beyond the date. Grants that still run end then.

    Attributes:
        pool_id: The pool.
        announced_at: When notice was given for this date.
        closes_at: When it leaves.
        reason: Why.
    """

    pool_id: Id
    announced_at: Instant
    closes_at: Instant
    reason: Text


class PoolNodeFailed(Event, frozen=True, kw_only=True, tag="pool.node_failed.v1"):
    """Nodes stopped working.

    Attributes:
        pool_id: The pool.
        incident_id: The provider's id of the incident; ``meters/…`` if evidence opened it.
        nodes: How many nodes.
        at: Since when.
        grant_id: The grant whose nodes they are, if evidence of its GPUs opened the incident; only it is affected.
        reported_at: When it was reported; None: then.
        meter: Whose meter showed it, if evidence opened it.
    """

    pool_id: Id
    incident_id: str
    nodes: Nodes
    at: Instant
    grant_id: Id | None = None
    reported_at: Instant | None = None
    meter: Meter | None = None


class PoolNodeRestored(Event, frozen=True, kw_only=True, tag="pool.node_restored.v1"):
    """The nodes of an incident work again.

    Attributes:
        pool_id: The pool.
        incident_id: The incident that ended.
        nodes: How many nodes came back.
        at: Since when.
    """

    pool_id: Id
    incident_id: str
    nodes: Nodes
    at: Instant


PoolEvent = (
    PoolOpened
    | PoolCapacityOffered
    | PoolCapacityRecalled
    | PoolCapacityReserved
    | PoolCapacityResold
    | PoolCapacityHeld
    | PoolCapacityReleased
    | PoolNodeFailed
    | PoolNodeRestored
    | PoolClosingAnnounced
)
