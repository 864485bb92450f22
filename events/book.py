"""The frozen book of an auction, the engine's only input."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import GpuClass, Id, Nodes, Text, UsdPerGpuHour

Period = Annotated[int, Meta(ge=0, le=10_000, description="Period of the auction's horizon, counted from 0")]


class BookPool(msgspec.Struct, frozen=True, kw_only=True):
    """A pool in the frozen book.

    Attributes:
        pool_id: The pool.
        gpus_per_node: GPUs of one node.
        gpu_class: Class of its GPUs.
        region: Its region.
    """

    pool_id: Id
    gpus_per_node: int
    gpu_class: GpuClass
    region: str


class BookLot(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of a lot that are unsold over a run of periods.

    Attributes:
        lot_id: The lot, or some of its nodes or periods; it occurs once per run of equal nodes.
        pool_id: Its pool.
        nodes: Unsold nodes.
        from_period: First period.
        to_period: Period after the last.
        ask_usd_per_gpu_hour: Its ask.
        step_of: The lot of which these are nodes at a further ask, or those of periods in which a node of the pool
            asks less; None: they are the lot's first.
    """

    lot_id: Id
    pool_id: Id
    nodes: Nodes
    from_period: Period
    to_period: Period
    ask_usd_per_gpu_hour: UsdPerGpuHour
    step_of: Id | None = None


class BookUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a bid takes of a limit.

    Attributes:
        limit_id: The limit.
        amount_per_node_period: How much for each node in each period that it runs.
    """

    limit_id: Text
    amount_per_node_period: Decimal


class BookLimit(msgspec.Struct, frozen=True, kw_only=True):
    """What accepted bids may take together.

    Attributes:
        limit_id: ``power/`` and a site, in kilowatts, or ``principal/`` and a startup, in US dollars.
        amount: How much there is.
        from_period: First period that it binds in; None: it holds over all periods together.
        to_period: Period after the last.
    """

    limit_id: Text
    amount: Decimal
    from_period: Period | None = None
    to_period: Period | None = None


class BookBid(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve an order.

    Attributes:
        pool_id: Where.
        value_usd_per_gpu_hour: w = cash + h · equity; of own capacity at most a millionth of a dollar above the ask.
        lot_ids: Lots that may carry it; None: every lot of the pool.
        mandate_id: Who would take the equity; None for cash alone.
        uses: What it takes of limits.
        sizes: Sizes at which it would do; None: every size of the order.
    """

    pool_id: Id
    value_usd_per_gpu_hour: UsdPerGpuHour
    lot_ids: tuple[Id, ...] | None = None
    mandate_id: Id | None = None
    uses: tuple[BookUse, ...] = ()
    sizes: tuple[Nodes, ...] | None = None


class BookRemedy(msgspec.Struct, frozen=True, kw_only=True):
    """Replacements for one wish of an order that no offer meets.

    Attributes:
        wish: The wish, a member of the order's conflict.
        values: With any of them, and everything else unchanged, the order could be served if it were alone.
    """

    wish: Text
    values: tuple[Text, ...]


class BookOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order in the frozen book.

    Attributes:
        order_id: The order.
        nodes: Nodes at every period.
        duration_periods: Length.
        start_earliest: First period it may begin.
        start_latest: Last period it may begin.
        bids: Every way to serve it; none where no pool is eligible.
        sizes: Other sizes that would do.
        group_id: At most one order of a group is matched.
        parent_id: An order without which it is not matched.
        conflict: Wishes that no offer meets together, but without any one of them: ``gpu_class``, ``region``,
            ``interconnect``, ``gpus_per_node``, ``provider_reliability``, ``power_usage_effectiveness``,
            ``renewable_share``, ``availability`` and ``notice`` (what lots promise), ``lot_terms`` (what lots ask),
            ``nodes``, ``duration``, ``start_window``; none where it could be served alone. ``own_capacity`` stands
            alone: only the rule for own capacity keeps the order from what is unsold.
        remedies: Replacements for members of the conflict.
    """

    order_id: Id
    nodes: Nodes
    duration_periods: Annotated[int, Meta(ge=1)]
    start_earliest: Period
    start_latest: Period
    bids: tuple[BookBid, ...]
    sizes: tuple[Nodes, ...] = ()
    group_id: Text | None = None
    parent_id: Id | None = None
    conflict: tuple[Text, ...] = ()
    remedies: tuple[BookRemedy, ...] = ()


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """All that the engine sees; its hash is in the certificate.

    Attributes:
        period_hours: Hours of one period.
        periods: Length of the horizon.
        pools: Pools with unsold lots.
        lots: Unsold capacity.
        orders: Orders that were locked.
        limits: Limits that orders share besides lots.
        backstops: Orders that buy what the others leave, at the price that they set.
    """

    period_hours: Literal[1, 24, 120]
    periods: Annotated[int, Meta(ge=1, le=10_000)]
    pools: tuple[BookPool, ...]
    lots: tuple[BookLot, ...]
    orders: tuple[BookOrder, ...]
    limits: tuple[BookLimit, ...] = ()
    backstops: tuple[BookOrder, ...] = ()
