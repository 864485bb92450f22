"""Lots: nodes of a pool for sale over a span at an ask."""

from typing import Annotated

import msgspec
from msgspec import Meta

from events.service import ServiceTerms
from events.stages import StageTerms
from events.types import Event, Id, Instant, Nodes, RunHours, Text, UsdPerGpuHour


class AskStep(msgspec.Struct, frozen=True, kw_only=True):
    """Further nodes of a lot at a higher ask, sold after all cheaper ones.

    Attributes:
        nodes: How many.
        ask_usd_per_gpu_hour: The least that they are sold for.
    """

    nodes: Nodes
    ask_usd_per_gpu_hour: UsdPerGpuHour


class LotListed(Event, frozen=True, kw_only=True, tag="lot.listed.v1"):
    """A provider offered nodes for a span, or a startup offered unused nodes of its grant.

    Attributes:
        lot_id: The lot.
        pool_id: The pool its nodes belong to.
        provider_id: The seller.
        nodes: Nodes for sale at every instant.
        start: First instant.
        end: Instant after the last.
        ask_usd_per_gpu_hour: The least it is sold for; where it has further asks, the ask of its first nodes.
        nodes_min: The smallest order that it serves.
        duration_hours_min: The shortest order that it serves.
        mandate_ids: Mandates that may take the equity part of an order served from it; none: cash only.
        further_asks: Steps at rising asks, which take their nodes from the end of `nodes`; none: one ask for all.
        grant_id: The grant whose unused nodes are resold; None: the provider's own nodes.
        service: The promise to grants that it carries; None: the pool's promise.
        stages: The shortest stages and the least security of staged orders that it serves; None: it serves none.
    """

    lot_id: Id
    pool_id: Id
    provider_id: Id
    nodes: Nodes
    start: Instant
    end: Instant
    ask_usd_per_gpu_hour: UsdPerGpuHour
    nodes_min: Nodes = 1
    duration_hours_min: RunHours = 1
    mandate_ids: Annotated[tuple[Id, ...], Meta(max_length=100)] = ()
    further_asks: Annotated[tuple[AskStep, ...], Meta(max_length=100)] = ()
    grant_id: Id | None = None
    service: ServiceTerms | None = None
    stages: StageTerms | None = None


class LotRepriced(Event, frozen=True, kw_only=True, tag="lot.repriced.v1"):
    """The ask changed; auctions that are locked keep the ask they froze.

    Attributes:
        lot_id: The lot.
        ask_usd_per_gpu_hour: The ask from now on.
        further_asks: The steps from now on; none: one ask for all nodes.
    """

    lot_id: Id
    ask_usd_per_gpu_hour: UsdPerGpuHour
    further_asks: Annotated[tuple[AskStep, ...], Meta(max_length=100)] = ()


class LotRescheduled(Event, frozen=True, kw_only=True, tag="lot.rescheduled.v1"):
    """The span of a lot moved, for example because its site is late.

    Attributes:
        lot_id: The lot.
        start: First instant now.
        end: Instant after the last now.
        reason: Why.
    """

    lot_id: Id
    start: Instant
    end: Instant
    reason: Text


class LotPaused(Event, frozen=True, kw_only=True, tag="lot.paused.v1"):
    """The lot takes no new orders until it is resumed.

    Attributes:
        lot_id: The lot.
        reason: Why.
    """

    lot_id: Id
    reason: Text


class LotResumed(Event, frozen=True, kw_only=True, tag="lot.resumed.v1"):
    """A paused lot takes orders again.

    Attributes:
        lot_id: The lot.
    """

    lot_id: Id


class LotWithdrawn(Event, frozen=True, kw_only=True, tag="lot.withdrawn.v1"):
    """The lot is off the market for good; grants that it carries stay.

    Attributes:
        lot_id: The lot.
        reason: Why.
    """

    lot_id: Id
    reason: Text


LotEvent = LotListed | LotRepriced | LotRescheduled | LotPaused | LotResumed | LotWithdrawn
