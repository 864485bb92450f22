"""Views of orders, quotes, auctions, mandates and market prices."""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from events.auction import Price, PriceRange, SecondBest
from events.mandate import MandateTerms
from events.order import BudgetHold, OrderTerms
from events.quote import HoldFee
from events.types import LotShare, PrincipalTerms, Reason
from marketplace.projections.views.delivery import GrantView


class MatchView(msgspec.Struct, frozen=True, kw_only=True):
    """What an order won.

    Attributes:
        grant_id: The grant that is issued.
        pool_id: Where.
        nodes: Nodes at every instant.
        start: First instant.
        end: Instant after the last.
        lots: Which lots carry it.
        value_usd_per_gpu_hour: The value of its bid there, cash and equity; of own capacity, hardly above the ask.
        price_usd_per_gpu_hour: What it pays, with at most 12 places; the event states the exact fraction.
        mandate_id: Who takes the equity part; None for cash alone.
    """

    grant_id: str
    pool_id: str
    nodes: int
    start: datetime
    end: datetime
    lots: tuple[LotShare, ...]
    value_usd_per_gpu_hour: Decimal
    price_usd_per_gpu_hour: Decimal
    mandate_id: str | None = None


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """An auction's decision on one order.

    Attributes:
        match: What it won; None: it lost, or was not admitted.
        reasons: Why it lost, was not admitted, or could not get what it won, the decisive reason first.
        regret_usd: What an order that lost would have gained at the prices; else 0.
        total_usd: What it pays over the whole run; None: it lost.
        second_best: The next best placement of an order that won; None: no other place had room.
    """

    auction_id: str
    order_id: str
    startup_id: str | None
    match: MatchView | None
    reasons: tuple[Reason, ...]
    price_to_win_usd_per_gpu_hour: Decimal | None
    price_to_win_range: PriceRange | None
    regret_usd: Decimal
    total_usd: Decimal | None
    second_best: SecondBest | None
    last_sequence: int


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order with its last decision.

    Attributes:
        order_id: The order.
        startup_id: Who asked.
        issuer_id: Whose equity is offered.
        account_id: Whose cash is held.
        hold_id: The hold in force.
        status: ``open``, ``locked``, ``matched``, ``unmatched``, ``cancelled`` or ``expired``.
        terms: What is asked and offered.
        ends_at: When an open order expires: at `expires_at` of its terms, or at its latest start if that is earlier.
        cash_hold_usd: Cash set aside when it was placed or last amended; the account's holds show what is held now.
        budget_holds: Budget set aside, per mandate.
        auction_id: The auction that locked or decided it last.
        grant_id: The grant that it won.
        price_usd_per_gpu_hour: What it pays, once it has won.
        start: When its grant starts, once it has won.
        reasons: Why it lost last, decisive reason first; None before any decision.
        price_to_win_usd_per_gpu_hour: The price step above the lowest value that would have won.
        cancel_reason: Why it was cancelled.
        placed_at: When it was placed.
        last_sequence: The event that changed it last; its entity tag.
        next_auction_id: Which auction decides an open order next; null: no open one takes it.
        next_locks_at: When that one locks.
        decision: With `expand=decision`: the last decision; null before any.
        grant: With `expand=grant`: the grant that it won, if the reader may see it; else null.
    """

    order_id: str
    startup_id: str
    issuer_id: str
    account_id: str
    hold_id: str
    status: str
    terms: OrderTerms
    ends_at: datetime
    cash_hold_usd: Decimal
    budget_holds: tuple[BudgetHold, ...]
    auction_id: str | None
    grant_id: str | None
    price_usd_per_gpu_hour: Decimal | None
    start: datetime | None
    reasons: tuple[Reason, ...] | None
    price_to_win_usd_per_gpu_hour: Decimal | None
    cancel_reason: str | None
    placed_at: datetime
    last_sequence: int
    next_auction_id: str | None = None
    next_locks_at: datetime | None = None
    decision: DecisionView | msgspec.UnsetType | None = msgspec.UNSET
    grant: GrantView | msgspec.UnsetType | None = msgspec.UNSET


class BookOrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order in the book at a point in time."""

    order_id: str
    startup_id: str
    status: str
    terms: OrderTerms
    last_sequence: int


class QuoteView(msgspec.Struct, frozen=True, kw_only=True):
    """A held quote.

    Attributes:
        fee: What it costs if it is not taken; None: nothing.
        status: ``held``, ``taken``, ``released`` or ``expired``.
        order_id: The order that took it; None: none did.
        held_at: Since when.
    """

    quote_id: str
    startup_id: str
    pool_id: str
    terms: OrderTerms
    match: MatchView
    cash_hold_usd: Decimal
    fee: HoldFee | None
    status: str
    order_id: str | None
    reason: str | None
    expires_at: datetime
    held_at: datetime
    last_sequence: int


class CertificateView(msgspec.Struct, frozen=True, kw_only=True):
    """A cleared auction's proof; what tells sealed offers is for auditors.

    Attributes:
        engine_version: Release of the engine.
        seed: Seed of its search.
        iterations: Iterations of its search.
        gap: (bound - welfare) / bound.
        prices_hash: SHA-256 of the prices.
        price_loss_max: Most welfare that uniform prices cost, as a share.
        price_loss_kind: Share of the optimum, or of the bound: then the gap.
        idle_supply_usd: What idle nodes would earn above their asks.
        book_hash: SHA-256 of the book; for auditors, as are the next four.
        decisions_hash: SHA-256 of the decisions.
        welfare_usd: Accepted value less asks.
        lp_bound_usd: No clearing has more welfare.
        dual_bound_usd: No allocation has more, also without uniform prices.
    """

    engine_version: str
    seed: int
    iterations: int
    gap: Decimal
    prices_hash: str
    price_loss_max: Decimal | None = None
    price_loss_kind: Literal["optimum", "lp_bound"] | None = None
    idle_supply_usd: Decimal = Decimal(0)
    book_hash: str | None = None
    decisions_hash: str | None = None
    welfare_usd: Decimal | None = None
    lp_bound_usd: Decimal | None = None
    dual_bound_usd: Decimal | None = None


class AuctionView(msgspec.Struct, frozen=True, kw_only=True):
    """An auction.

    Attributes:
        status: ``collecting``, ``locked``, ``cleared`` or ``failed``.
        phase: ``collecting``, ``indicative`` (non-binding prices are published), ``no_cancel`` (orders are bound),
            ``locked`` or ``cleared``.
        deferred: How many orders were not admitted and stay open; their decisions say why.
        locked_sequence: The event that froze the book; None before.
        reason: Why the last attempt failed.
        attempts: How many failed; after three its orders are released.
        carried_out_at: When its last matched order got its grant, or its orders were released; else None.
    """

    auction_id: str
    status: str
    phase: str
    indicative_at: datetime | None
    no_cancel_at: datetime | None
    indicative_prices: tuple[Price, ...] | None
    locks_at: datetime
    horizon_start: datetime
    period_hours: int
    periods: int
    seed: int
    book_hash: str | None
    book_orders: int | None
    deferred: int | None
    locked_sequence: int | None
    certificate: CertificateView | None
    matched: int | None
    unmatched: int | None
    impossible: int | None
    reason: str | None
    attempts: int
    opened_at: datetime
    cleared_at: datetime | None
    carried_out_at: datetime | None
    last_sequence: int

    @property
    def is_over(self) -> bool:
        """Whether its last decision was carried out, or its orders were released."""
        return self.carried_out_at is not None


class PriceView(msgspec.Struct, frozen=True, kw_only=True):
    """The uniform price of one pool over a span, from one auction."""

    pool_id: str
    gpu_class: str | None
    region: str | None
    auction_id: str
    from_period: int
    start: datetime
    end: datetime
    price_usd_per_gpu_hour: Decimal
    cleared_at: datetime
    last_sequence: int


class MandateView(msgspec.Struct, frozen=True, kw_only=True):
    """A mandate as it is now; `status` is ``granted`` or ``revoked``.

    Attributes:
        mandate_id: The mandate.
        holder_id: Who will hold the equity.
        funding: ``cash`` or ``own_capacity``.
        terms: The rules as amended.
        status: Whether it takes anything new.
        held_usd: The most that open orders hold.
        captured_usd: Budget committed to grants.
        reason: Why it was revoked.
        granted_at: Since when.
        last_sequence: The event that touched it last.
    """

    mandate_id: str
    holder_id: str
    funding: str
    terms: MandateTerms
    status: str
    held_usd: Decimal
    captured_usd: Decimal
    reason: str | None
    granted_at: datetime
    last_sequence: int


class BudgetHoldView(msgspec.Struct, frozen=True, kw_only=True):
    """Budget of one mandate for one order, held and committed.

    Attributes:
        grant_id: The grant that the order became; None: not matched.
        approval: ``needed``, ``given`` or ``refused``, if its issuer draws more than the mandate's
            `approval_above_usd`; else None.
        instrument: What is offered, where an approval is needed.
        until: When the hold ends unless the order is matched.
        gpu_classes: Those that the order may get; once it is matched, the one that it got.
    """

    mandate_id: str
    hold_id: str
    order_id: str
    issuer_id: str
    grant_id: str | None
    held_usd: Decimal
    captured_usd: Decimal
    approval: str | None
    instrument: PrincipalTerms | None
    until: datetime | None
    gpu_classes: tuple[str, ...]
    last_sequence: int


class ExposureView(msgspec.Struct, frozen=True, kw_only=True):
    """What a holder's mandates hold and have committed for one generation of GPUs.

    Attributes:
        holder_id: The holder.
        gpu_vendor: Who makes the GPUs.
        gpu_generation: Their generation, such as ``hopper``.
        held_usd: The most that open orders hold. One that may get several generations counts toward each.
        committed_usd: Committed to grants.
    """

    holder_id: str
    gpu_vendor: str
    gpu_generation: str
    held_usd: Decimal
    committed_usd: Decimal


class ClassSupply(msgspec.Struct, frozen=True, kw_only=True):
    """One class of GPUs in the market as it is now.

    Attributes:
        gpu_class: The class.
        gpus: GPUs of all pools.
        offered_gpu_hours: GPU-hours of listed lots from now on, sold or not.
        awarded_gpu_hours: GPU-hours awarded so far, in all.
        index_usd_per_gpu_hour: The class's index of today; None if it has none.
        index_gpu_hours: GPU-hours behind the index.
    """

    gpu_class: str
    gpus: int
    offered_gpu_hours: int
    awarded_gpu_hours: int
    index_usd_per_gpu_hour: Decimal | None
    index_gpu_hours: int


class GenerationView(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of GPUs of one vendor in the market as it is now: the sums of its classes.

    Attributes:
        gpu_vendor: Who makes the GPUs.
        gpu_generation: Their generation, such as ``hopper``; ``other`` if it is not known.
        gpus: GPUs of all pools.
        offered_gpu_hours: GPU-hours of listed lots from now on, sold or not.
        awarded_gpu_hours: GPU-hours awarded so far, in all.
        index_usd_per_gpu_hour: Mean of the classes' indices of today, weighed by the GPU-hours behind each; None: none
            has one.
        classes: Its classes.
    """

    gpu_vendor: str
    gpu_generation: str
    gpus: int
    offered_gpu_hours: int
    awarded_gpu_hours: int
    index_usd_per_gpu_hour: Decimal | None
    classes: tuple[ClassSupply, ...]


class ListPriceView(msgspec.Struct, frozen=True, kw_only=True):
    """Another cloud's public price. An empty product or region was not stated."""

    gpu_class: str
    provider: str
    product: str
    region: str
    listed_on: date
    usd_per_gpu_hour: Decimal
    source: str
    pricelist_id: str
    last_sequence: int


class CurveStep(msgspec.Struct, frozen=True, kw_only=True):
    """The volume at one price of one side of a class in the frozen book of a cleared auction.

    Attributes:
        side: ``ask``: supply, cheapest first; ``bid``: demand, highest first.
        price_usd_per_gpu_hour: The ask; or a price step that the orders' highest values reach. Orders of fewer than
            three startups are added to the next lower step, or to the one above where there is none.
        gpu_hours: Volume at this price.
        cumulative_gpu_hours: Volume at this price or better.
        count: Lots or orders.
        locked_at: When the book was frozen.
    """

    auction_id: str
    gpu_class: str
    side: str
    price_usd_per_gpu_hour: Decimal
    gpu_hours: int
    cumulative_gpu_hours: int
    count: int
    locked_at: datetime


class IndexRevision(msgspec.Struct, frozen=True, kw_only=True):
    """A later value of the index of a day, since fills that counted were marked or credited back.

    Attributes:
        revision: Its number; the first value of a day has the number 0.
        revised_at: When that became known of the last of these fills.
        index_usd_per_gpu_hour: The value from then on; None if there is none any more.
    """

    revision: int
    revised_at: datetime
    index_usd_per_gpu_hour: Decimal | None


class IndexPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The index of one class on one day, beside clouds' list prices.

    Attributes:
        day: The day, in UTC.
        index_usd_per_gpu_hour: The value, as revised last; None if there is none.
        status: ``printed`` from fills of the day and of days before; ``carried`` from the latest day that printed,
            since this day had too few fills or none; ``none`` without such a day.
        print_day: The day that printed the value.
        days: How many days the fills of the print are from; 0 without an index.
        fills: How many fills.
        gpu_hours: What the statements that made them fills charge.
        is_provisional: Whether only its own fills bound the print: the class is new and has no list price, or too few
            of those sell that sold 30 days before. A contract should not settle on it.
        is_closed: Whether the day is over. Before that the value changes without a revision.
        revision: How often the value was revised since the end of the day.
        first_usd_per_gpu_hour: The value at the end of the day, before any revision.
        revisions: Every revision, oldest first.
        list_usd_per_gpu_hour_min: Lowest public price in force that day; None if none is known.
        list_usd_per_gpu_hour_median: Median of the public prices in force that day.
        list_prices: How many public prices are in force.
    """

    day: date
    index_usd_per_gpu_hour: Decimal | None
    status: str
    print_day: date | None
    days: int
    fills: int
    gpu_hours: int
    is_provisional: bool
    is_closed: bool
    revision: int
    first_usd_per_gpu_hour: Decimal | None
    revisions: tuple[IndexRevision, ...]
    list_usd_per_gpu_hour_min: Decimal | None
    list_usd_per_gpu_hour_median: Decimal | None
    list_prices: int
