"""Orders: a startup's request for nodes over time, and what it offers for them."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.schedule import PlatformFee
from events.service import NoticeHours
from events.stages import CreditTerms, StageTerms
from events.types import (
    Event,
    GpuClass,
    GpuSeconds,
    Id,
    Instant,
    Name,
    Nodes,
    PrincipalTerms,
    Ratio,
    Reason,
    Region,
    RunHours,
    Share,
    Text,
    Usd,
    UsdPerGpuHour,
)


class ClassOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What the startup offers for one GPU class.

    Attributes:
        gpu_class: A class it accepts.
        cash_usd_per_gpu_hour: Cash part of the offer.
        equity_usd_per_gpu_hour: Principal it would owe, before the mandate's equity credit.
    """

    gpu_class: GpuClass
    cash_usd_per_gpu_hour: UsdPerGpuHour
    equity_usd_per_gpu_hour: UsdPerGpuHour


class OrderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What an order asks and offers. It is matched on one pool in full, within its start window, or not at all.

    Attributes:
        nodes: Nodes at every instant; the maximum if it states a range.
        nodes_min: The minimum; None: exactly `nodes`.
        nodes_step: Distance of acceptable sizes, from `nodes_min` on.
        gpus_per_node: GPUs of one node; pools of other nodes are not eligible.
        duration_hours: Length of the run.
        start_earliest: First instant it may begin.
        start_latest: Last instant it may begin.
        offers: One offer per acceptable class.
        regions: Acceptable regions; none: any.
        interconnect: ``any``, or the fabric it needs.
        provider_reliability_min: Least reliability of the provider, from 0 to 1; a provider without history has 1.
        availability_min: Least availability that lots serving it promise, from 0 to 1; None: any.
        notice_hours_min: Least notice of an early end, in hours, that lots serving it promise.
        notice_hours_max: Most notice, in hours, of a lot serving it; None: 720, or `notice_hours_min` if more.
        power_usage_effectiveness_max: Greatest PUE of the site.
        renewable_share_min: Least share of renewable energy of the site.
        group: Of the startup's orders with the same name at most one is matched.
        parent_order_id: An order of the startup without which this one is not matched.
        principal_usd_max: The most principal that the startup's orders of one auction owe together; of several, the
            least counts.
        mandate_ids: Mandates that may take the equity part; needed where equity is offered.
        instrument: The equity part: a SAFE, a note, priced stock or a warrant; needed where equity is offered.
        standing: Whether it takes part in the next auction if it was not matched.
        backstop: Whether it buys only what other orders leave, at exactly its offer, in cash.
        expires_at: When it ends by itself; None: at `start_latest`.
        stages: Stages in which its cash is set aside, on lots that accept them; None: all at once.
        credit: Credit for a staged order, within the limit that its provider gave the startup.
    """

    nodes: Nodes
    gpus_per_node: Annotated[int, Meta(ge=1, le=1024)] = 8
    duration_hours: RunHours
    start_earliest: Instant
    start_latest: Instant
    offers: Annotated[tuple[ClassOffer, ...], Meta(max_length=16)]
    regions: Annotated[tuple[Region, ...], Meta(max_length=64)] = ()
    interconnect: Literal["any", "ethernet", "infiniband"] = "any"
    nodes_min: Nodes | None = None
    nodes_step: Nodes = 1
    provider_reliability_min: Share | None = None
    availability_min: Share | None = None
    notice_hours_min: NoticeHours = 0
    notice_hours_max: NoticeHours | None = None
    power_usage_effectiveness_max: Decimal | None = None
    renewable_share_min: Share | None = None
    group: Name | None = None
    parent_order_id: Id | None = None
    principal_usd_max: Usd | None = None
    mandate_ids: Annotated[tuple[Id, ...], Meta(max_length=4)] = ()
    instrument: PrincipalTerms | None = None
    standing: bool = False
    backstop: bool = False
    expires_at: Instant | None = None
    stages: StageTerms | None = None
    credit: CreditTerms | None = None


class BudgetHold(msgspec.Struct, frozen=True, kw_only=True):
    """Budget of one mandate that is set aside for an order.

    Attributes:
        mandate_id: The mandate.
        holder_id: Its holder.
        equity_credit: The mandate's credit at that time, decimal string.
        amount_usd: Dollars set aside.
        needs_approval: Whether it waits for the holder's approval.
        until: When it ends by itself unless the order is matched; None: never.
    """

    mandate_id: Id
    holder_id: Id
    equity_credit: Share
    amount_usd: Usd
    needs_approval: bool = False
    until: Instant | None = None


BudgetHolds = Annotated[tuple[BudgetHold, ...], Meta(max_length=4)]


class OrderPlaced(Event, frozen=True, kw_only=True, tag="order.placed.v1"):
    """A startup asked for capacity, and its money and the mandates' budget were set aside.

    Attributes:
        order_id: The order.
        startup_id: Who asked.
        issuer_id: Whose equity is offered.
        account_id: Whose cash is held.
        hold_id: The hold on cash and on each mandate's budget.
        terms: What is asked and offered.
        cash_hold_usd: Cash set aside: the most expensive acceptable offer, with the startup's platform fee; of a staged
            order, for its first stage and its security.
        budget_holds: Budget set aside, per mandate.
        quote_id: The held quote that it takes, whose holds it takes over; it is matched in the same atomic batch.
        split_ratio: The issuer's split factor when its terms were agreed; prices per share scale with later splits.
        platform_fee: What the platform takes of its grant's settlements, by the schedule now; None: nothing.
    """

    order_id: Id
    startup_id: Id
    issuer_id: Id
    account_id: Id
    hold_id: Id
    terms: OrderTerms
    cash_hold_usd: Usd
    budget_holds: BudgetHolds = ()
    quote_id: Id | None = None
    split_ratio: Ratio | None = None
    platform_fee: PlatformFee | None = None


class OrderAmended(Event, frozen=True, kw_only=True, tag="order.amended.v1"):
    """The request or the offer changed; the holds changed with it.

    Attributes:
        order_id: The order.
        hold_id: The hold from now on.
        terms: What is asked and offered from now on.
        cash_hold_usd: Cash set aside from now on.
        budget_holds: Budget set aside from now on.
        keeps_priority: Whether it only improves the order, which then keeps its place in the queue. Otherwise the order
            moves to the end, as if it were placed now.
        split_ratio: The issuer's split factor now.
        platform_fee: What the platform takes of its grant's settlements, by the schedule now; None: nothing.
    """

    order_id: Id
    hold_id: Id
    terms: OrderTerms
    cash_hold_usd: Usd
    budget_holds: BudgetHolds = ()
    keeps_priority: bool = False
    split_ratio: Ratio | None = None
    platform_fee: PlatformFee | None = None


class OrderCancelled(Event, frozen=True, kw_only=True, tag="order.cancelled.v1"):
    """The order was cancelled before an auction locked it.

    Attributes:
        order_id: The order.
        reason: Why.
    """

    order_id: Id
    reason: Text


class OrderExpired(Event, frozen=True, kw_only=True, tag="order.expired.v1"):
    """The order expired, unmatched.

    Attributes:
        order_id: The order.
        at: When it was due to end.
    """

    order_id: Id
    at: Instant


class OrderLocked(Event, frozen=True, kw_only=True, tag="order.locked.v1"):
    """An auction bound the order, which can be neither cancelled nor amended until the auction has decided it.

    This happens at `no_cancel_at`, or at the lock. The auction may still leave the order out of its book.

    Attributes:
        order_id: The order.
        auction_id: The auction.
    """

    order_id: Id
    auction_id: Id


class OrderMatched(Event, frozen=True, kw_only=True, tag="order.matched.v1"):
    """The order won.

    Attributes:
        order_id: The order.
        auction_id: The auction; None where it took a held quote.
        grant_id: The grant that was issued for it.
    """

    order_id: Id
    auction_id: Id | None = None
    grant_id: Id


class LostMatch(msgspec.Struct, frozen=True, kw_only=True):
    """A match that won and whose capacity its provider no longer had when it was carried out.

    Attributes:
        provider_id: In whose reliability it counts: the provider's, or that of a seller of resold hours that lacks the
            money for a sale at its own ask.
        pool_id: The pool.
        gpu_seconds: GPU-seconds that it would have delivered.
        price_usd: What it would have cost.
        cause: Code of the refusal, such as ``nodes_failed``.
        damages_usd: What the provider owes the startup for it, claimed from its bond in the same batch: what an
            end of its grant would cost at that notice. 0 if it costs nothing.
    """

    provider_id: Id
    pool_id: Id
    gpu_seconds: GpuSeconds
    price_usd: Usd
    cause: Text
    damages_usd: Usd = Decimal(0)


class OrderUnmatched(Event, frozen=True, kw_only=True, tag="order.unmatched.v1"):
    """This auction did not match the order: it lost, was left out, or its match became impossible.

    Attributes:
        order_id: The order.
        auction_id: The auction.
        reasons: Why, the decisive reason first.
        price_to_win_usd_per_gpu_hour: The lowest value that would have won against the same book, if any would; rounded
            up to a price step where others' offers decide it.
        open_again: Whether it stands for the next auction.
        lost: The match that it won, if its provider withdrew the capacity after the lock.
    """

    order_id: Id
    auction_id: Id
    reasons: tuple[Reason, ...]
    price_to_win_usd_per_gpu_hour: UsdPerGpuHour | None = None
    open_again: bool = False
    lost: LostMatch | None = None


class OrderMandateApproved(Event, frozen=True, kw_only=True, tag="order.mandate_approved.v1"):
    """The holder of a mandate approved the order, which takes part with it from now on.

    Attributes:
        order_id: The order.
        mandate_id: The mandate.
    """

    order_id: Id
    mandate_id: Id


class OrderMandateEnded(Event, frozen=True, kw_only=True, tag="order.mandate_ended.v1"):
    """A mandate pays for the order no more. Without another one, the order is cancelled in the same atomic batch.

    Attributes:
        order_id: The order.
        mandate_id: The mandate.
        reason: Why.
    """

    order_id: Id
    mandate_id: Id
    reason: Text


OrderEvent = (
    OrderPlaced
    | OrderAmended
    | OrderCancelled
    | OrderExpired
    | OrderLocked
    | OrderMatched
    | OrderUnmatched
    | OrderMandateApproved
    | OrderMandateEnded
)
