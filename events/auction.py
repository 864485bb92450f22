"""Auctions: one periodic sealed call, its frozen book, its prices and its decisions."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.book import BookLimit, BookLot, BookOrder, BookPool, Period
from events.types import Event, Id, Instant, LotShare, Nodes, Ratio, Reason, Share, Text, Usd, UsdPerGpuHour


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The uniform price of one pool in a run of periods.

    Attributes:
        pool_id: The pool.
        from_period: First period.
        to_period: Period after the last.
        price_usd_per_gpu_hour: The price in each of them.
    """

    pool_id: Id
    from_period: Period
    to_period: Period
    price_usd_per_gpu_hour: UsdPerGpuHour


class ShadowPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A dual price of one lot in a run of periods; together they prove the upper bound on welfare.

    Attributes:
        lot_id: The lot.
        from_period: First period.
        to_period: Period after the last.
        price_usd_per_gpu_hour: The dual price in each of them.
    """

    lot_id: Id
    from_period: Period
    to_period: Period
    price_usd_per_gpu_hour: UsdPerGpuHour


class IdleSupply(msgspec.Struct, frozen=True, kw_only=True):
    """Idle nodes of a lot that asks less than the price in a run of periods, and why the price is not lower.

    Attributes:
        lot_id: The lot.
        nodes: How many of its nodes are idle.
        from_period: First period.
        to_period: Period after the last.
        ask_usd_per_gpu_hour: What the lot asks.
        price_usd_per_gpu_hour: The published price.
        cause: ``used_lot``: a lot in use asks exactly the price. ``rejected_orders``: at the lowest ask of the idle
            nodes, rejected orders would forgo more than the idle nodes do at the price.
    """

    lot_id: Id
    nodes: Nodes
    from_period: Period
    to_period: Period
    ask_usd_per_gpu_hour: UsdPerGpuHour
    price_usd_per_gpu_hour: UsdPerGpuHour
    cause: Literal["used_lot", "rejected_orders"]


class RulePrice(msgspec.Struct, frozen=True, kw_only=True):
    """A dual price of a rule between orders, part of the proof of the bound.

    Attributes:
        rule: What it is the price of.
        rule_id: The limit, the group, or the order that depends on another.
        price_usd: US dollars per unit.
        from_period: First period, if the limit applies to each period.
        to_period: Period after the last.
    """

    rule: Literal["limit", "group", "link"]
    rule_id: Text
    price_usd: Decimal
    from_period: Period | None = None
    to_period: Period | None = None


class MatchTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What an order won.

    Attributes:
        grant_id: The grant that will be issued.
        pool_id: Where.
        mandate_id: Who takes the equity part, None for cash alone.
        nodes: Nodes at every instant.
        start: First instant.
        end: Instant after the last.
        lots: Which lots of the book carry it. A lot's steps at further asks have separate ids in the book.
        value_usd_per_gpu_hour: w, the value of its bid there.
        price_usd_per_gpu_hour: p, what it pays: the mean of the period prices, exact; of a backstop order its offer.
    """

    grant_id: Id
    pool_id: Id
    nodes: Nodes
    start: Instant
    end: Instant
    lots: tuple[LotShare, ...]
    value_usd_per_gpu_hour: UsdPerGpuHour
    price_usd_per_gpu_hour: Ratio
    mandate_id: Id | None = None


class PriceRange(msgspec.Struct, frozen=True, kw_only=True):
    """What is proven about a price to win.

    Attributes:
        guarantee: ``exact``: the price wins against this book and a cent less loses. ``indicative``: the price was
            found by inserting the order into the present clearing.
        lower_usd_per_gpu_hour: Below it, no optimal clearing of this book contains the order.
        upper_usd_per_gpu_hour: From it on, every optimal clearing contains the order; None if no offer can be so high.
    """

    guarantee: Literal["exact", "indicative"]
    lower_usd_per_gpu_hour: UsdPerGpuHour
    upper_usd_per_gpu_hour: UsdPerGpuHour | None = None


class SecondBest(msgspec.Struct, frozen=True, kw_only=True):
    """The best other placement of a matched order at the published prices.

    Attributes:
        pool_id: Where.
        nodes: How many nodes.
        start: First instant.
        surplus_difference_usd: The surplus (value less price) of the match, less that of this placement; below 0 if
            the order would have gained more here.
        mandate_id: Who would have taken the equity part.
    """

    pool_id: Id
    nodes: Nodes
    start: Instant
    surplus_difference_usd: Usd
    mandate_id: Id | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the auction decided for one order.

    Attributes:
        order_id: The order.
        match: What it won; None where it lost.
        reasons: Why it lost, the decisive reason first.
        price_to_win_usd_per_gpu_hour: The lowest value at which one of its bids would win, if any could.
        price_to_win_range: How certain that is, and the prices between which the threshold lies.
        regret_usd: What a rejected order with a value above the price would have gained at the prices; 0 otherwise.
        total_usd: What a matched order pays in all, p times its GPU-hours, exact.
        second_best: The next best placement of a matched order; None if no other place had room for it.
    """

    order_id: Id
    match: MatchTerms | None = None
    reasons: tuple[Reason, ...] = ()
    price_to_win_usd_per_gpu_hour: UsdPerGpuHour | None = None
    price_to_win_range: PriceRange | None = None
    regret_usd: Usd
    total_usd: Usd | None = None
    second_best: SecondBest | None = None


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What an outsider needs to check or repeat the result.

    Attributes:
        book_hash: SHA-256 of the book's canonical JSON.
        engine_version: Release of the engine.
        seed: Seed of its search.
        iterations: Iterations of its search.
        welfare_usd: Accepted value less asks.
        lp_bound_usd: Upper bound on the welfare of any clearing of this book.
        gap: (bound - welfare) / bound.
        prices_hash: SHA-256 of the prices.
        decisions_hash: SHA-256 of the decisions.
        price_loss_max: The most welfare that uniform prices cost, as a share of the best allocation without them.
        price_loss_kind: What it is measured against: that optimum, or the bound, and then the share is the gap.
        dual_bound_usd: Upper bound on the welfare of any allocation, with or without uniform prices, proven by the
            engine's cuts and integer programs; at most the LP bound, which anyone can check.
        idle_supply_usd: What idle nodes would earn above their asks at the published prices; the result lists them.
    """

    book_hash: str
    engine_version: str
    seed: int
    iterations: int
    welfare_usd: Usd
    lp_bound_usd: Usd
    gap: Share
    prices_hash: str
    decisions_hash: str
    price_loss_max: Share | None = None
    price_loss_kind: Literal["optimum", "lp_bound"] | None = None
    dual_bound_usd: Usd | None = None
    idle_supply_usd: Usd = Decimal(0)


class AuctionOpened(Event, frozen=True, kw_only=True, tag="auction.opened.v1"):
    """A call for orders began.

    Attributes:
        auction_id: The auction.
        locks_at: When the book is frozen.
        horizon_start: First instant that it can award.
        period_hours: Hours of one period.
        periods: Periods of the horizon.
        seed: Seed of the engine's search.
        indicative_at: When indicative prices are published; None: never.
        no_cancel_at: When its present orders become bound; None: at the lock.
    """

    auction_id: Id
    locks_at: Instant
    horizon_start: Instant
    period_hours: Literal[1, 24, 120]
    periods: Annotated[int, Meta(ge=1, le=10_000)]
    seed: Annotated[int, Meta(ge=0)]
    indicative_at: Instant | None = None
    no_cancel_at: Instant | None = None


class AuctionIndicated(Event, frozen=True, kw_only=True, tag="auction.indicated.v1"):
    """Prices of the current book were published. They are not binding.

    Attributes:
        auction_id: The auction.
        orders: Orders that it would take.
        book_hash: SHA-256 of the canonical JSON of the book, whose offers are rounded up to price steps.
        prices: Uniform prices, in runs of equal periods; found without the engine's full search.
        part: Which part of the prices this is, from 0; the parts are stored together, in order.
    """

    auction_id: Id
    orders: Annotated[int, Meta(ge=0)]
    book_hash: str
    prices: tuple[Price, ...]
    part: Annotated[int, Meta(ge=0)] = 0


class AuctionBound(Event, frozen=True, kw_only=True, tag="auction.bound.v1"):
    """The waiting orders are bound: they can be neither cancelled nor amended until they are decided.

    Attributes:
        auction_id: The auction.
        orders: How many are bound. Later orders are bound by the lock.
    """

    auction_id: Id
    orders: Annotated[int, Meta(ge=0)]


class AuctionBookFrozen(Event, frozen=True, kw_only=True, tag="auction.book_frozen.v1"):
    """A part of the book, of bounded size; ``auction.locked``, stored with the last part, says how many there are.

    To get the book, join the parts in order, field by field. A part also lists the pools that its other rows name, so
    that it can be read by itself; a pool that was listed before is the same one.

    Attributes:
        auction_id: The auction.
        part: Which part, from 0.
        period_hours: Hours of one period.
        pools: Pools with unsold lots.
        lots: Unsold capacity.
        orders: Orders that were locked.
        limits: What orders share beyond lots.
        backstops: Orders that buy what the others leave.
    """

    auction_id: Id
    part: Annotated[int, Meta(ge=0)]
    period_hours: Literal[1, 24, 120]
    pools: tuple[BookPool, ...] = ()
    lots: tuple[BookLot, ...] = ()
    orders: tuple[BookOrder, ...] = ()
    limits: tuple[BookLimit, ...] = ()
    backstops: tuple[BookOrder, ...] = ()


class Deferral(msgspec.Struct, frozen=True, kw_only=True):
    """An order whose window fits the auction, and that it did not admit. It stays open for the next one.

    Attributes:
        order_id: The order.
        rank: Its place among all orders whose window fits, from 1.
        value_usd: Its highest possible value: its best offer over all its GPU-hours.
        reason: Why it was not admitted, and what would have admitted it.
    """

    order_id: Id
    rank: Annotated[int, Meta(ge=1)]
    value_usd: Usd
    reason: Reason


class AuctionOrdersDeferred(Event, frozen=True, kw_only=True, tag="auction.orders_deferred.v1"):
    """Orders that were not admitted, a part of bounded size.

    Attributes:
        auction_id: The auction.
        part: Which part, from 0.
        deferrals: The orders, in the order of their rank.
    """

    auction_id: Id
    part: Annotated[int, Meta(ge=0)]
    deferrals: tuple[Deferral, ...]


class AuctionLocked(Event, frozen=True, kw_only=True, tag="auction.locked.v1"):
    """The book was frozen. The parts that were stored before this event are complete.

    Attributes:
        auction_id: The auction.
        book_hash: SHA-256 of the whole book's canonical JSON.
        period_hours: Hours of one period.
        periods: Length of the horizon.
        parts: How many parts the book has.
        orders: How many orders it has.
        backstops: How many backstop orders it has.
        deferred: How many orders were not admitted.
    """

    auction_id: Id
    book_hash: str
    period_hours: Literal[1, 24, 120]
    periods: Annotated[int, Meta(ge=1, le=10_000)]
    parts: Annotated[int, Meta(ge=1)]
    orders: Annotated[int, Meta(ge=0)]
    backstops: Annotated[int, Meta(ge=0)] = 0
    deferred: Annotated[int, Meta(ge=0)] = 0


class AuctionResultPublished(Event, frozen=True, kw_only=True, tag="auction.result_published.v1"):
    """A part of the result, of bounded size; ``auction.cleared``, stored with the last part, says how many there are.

    Attributes:
        auction_id: The auction.
        part: Which part, from 0.
        decisions: One per order of the book, in the book's order, then one per backstop order.
        prices: Uniform prices, in runs of equal periods.
        shadow_prices: The proof of the certificate's bound.
        rule_prices: The part of that proof that limits, groups and links give.
        idle_supply: Idle nodes that ask less than the price, with the cause.
    """

    auction_id: Id
    part: Annotated[int, Meta(ge=0)]
    decisions: tuple[Decision, ...] = ()
    prices: tuple[Price, ...] = ()
    shadow_prices: tuple[ShadowPrice, ...] = ()
    rule_prices: tuple[RulePrice, ...] = ()
    idle_supply: tuple[IdleSupply, ...] = ()


class AuctionCleared(Event, frozen=True, kw_only=True, tag="auction.cleared.v1"):
    """The result is published. Its parts have the prices and one decision per order; the matches follow as grants.

    Attributes:
        auction_id: The auction.
        certificate: How to check it.
        parts: How many parts the result has.
        matched: How many orders won.
        unmatched: How many lost.
    """

    auction_id: Id
    certificate: Certificate
    parts: Annotated[int, Meta(ge=1)]
    matched: Annotated[int, Meta(ge=0)]
    unmatched: Annotated[int, Meta(ge=0)]


class AuctionFailed(Event, frozen=True, kw_only=True, tag="auction.failed.v1"):
    """The engine gave no publishable result. The same book is tried again, or its orders are released.

    Attributes:
        auction_id: The auction.
        reason: What went wrong.
        attempt: Which attempt this was, from 1.
    """

    auction_id: Id
    reason: Text
    attempt: Annotated[int, Meta(ge=1)]


class AuctionCompleted(Event, frozen=True, kw_only=True, tag="auction.completed.v1"):
    """Every decision was carried out.

    Attributes:
        auction_id: The auction.
        matched: Orders that got a grant.
        unmatched: Orders that got none.
        impossible: Matches that could no longer be carried out; what was set aside for them is free.
    """

    auction_id: Id
    matched: Annotated[int, Meta(ge=0)]
    unmatched: Annotated[int, Meta(ge=0)]
    impossible: Annotated[int, Meta(ge=0)] = 0


class AuctionSupplyChanged(Event, frozen=True, kw_only=True, tag="auction.supply_changed.v1"):
    """Supply changed while the auction was collecting. A book that was read earlier is not frozen.

    Attributes:
        auction_id: The auction.
        cause: The quote that holds nodes, or the lot that was moved or withdrawn.
    """

    auction_id: Id
    cause: Id


AuctionEvent = (
    AuctionOpened
    | AuctionIndicated
    | AuctionBound
    | AuctionSupplyChanged
    | AuctionBookFrozen
    | AuctionOrdersDeferred
    | AuctionLocked
    | AuctionResultPublished
    | AuctionCleared
    | AuctionFailed
    | AuctionCompleted
)
