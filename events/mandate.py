"""Mandates: the terms on which a holder takes equity, for how much, and of which issuers."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import (
    Event,
    Funding,
    GpuClass,
    GpuVendor,
    Id,
    Instant,
    Multiple,
    Name,
    PrincipalTerms,
    Share,
    Stage,
    Text,
    Usd,
    UsdPerGpuHour,
)

InstrumentKind = Literal["safe", "convertible_note", "warrant", "stock"]


class MandateTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of a mandate.

    Attributes:
        instrument_kinds: Kinds of instrument that it takes.
        valuation_cap_usd_min: Least valuation cap, with the preferences of preferred stock; None: no bound. Of stock it
            is the value of the company at the price that is offered.
        valuation_cap_usd_max: Greatest valuation cap; None for 100 million dollars.
        uncapped: Whether it takes SAFEs and notes without a cap.
        post_money_only: Whether it takes post-money SAFEs only.
        discount_min: Least discount of a SAFE or note; None: no bound. No discount counts as 0.
        discount_max: Greatest discount of a SAFE or note; None: no bound.
        strike_usd_min: Least exercise price of a warrant; None: no bound.
        strike_usd_max: Greatest exercise price of a warrant; None for the price of the right.
        note_days_max: Most days from a note's offer to its maturity.
        note_days_min: Least days from a note's offer to its maturity.
        note_rate_min: Least interest of a note per year, 0.04 for 4%.
        warrant_days_min: Least days from signing to a warrant's last exercise.
        sectors: Sectors of issuers that it takes; none: any.
        stages: Stages of issuers that it takes, as the platform recorded them; none: any.
        gpu_vendors: Makers of the GPUs that it pays for; none: any.
        equity_credit: h, dollars paid to the provider per dollar of principal, from 0 to 1.
        issuer_ids: Issuers that it takes; none: any.
        provider_ids: Providers whose lots may name it; none: any.
        site_ids: Sites whose lots may name it; none: any.
        resale: Whether lots that resell a grant may name it.
        related_parties: Whether it pays where the startup is related to who sells or delivers.
        startup_accepts_alone: Whether a startup's acceptance settles a statement that it pays for, without its
            holder's.
        vendor_share_max: Greatest part of `budget_usd` for GPUs of one vendor; None: no bound.
        generation_share_max: Greatest part of `budget_usd` for GPUs of one generation, such as Hopper; None: no
            bound.
        usd_per_gpu_hour_max: Greatest price, cash and credited principal together; None: 100 USD, or what the price
            list says.
        list_price_multiple_max: Greatest price as a multiple of a class's median in a price list; None: no bound.
        pricelist_id: That price list.
        budget_usd: Dollars it pays for compute in all.
        direct_budget_usd: Dollars beside these that startups may draw in cash; None: none.
        issuer_usd_max: Most dollars for one issuer with all that are related to it, for compute and in cash.
        approval_above_usd: An order or investment waits for the holder's approval if, with all that its issuer and
            those related to it draw without one, it is more than this; None: none.
        order_days_max: Days for which an order that is not matched may hold budget.
        dilution_max: Share by which what the company is worth at an order's price may grow from its placing to its
            match, besides splits: by shares, by what converts, and by what ranks before the stock.
        sector_usd_max: Most dollars for all issuers of one sector; None: no bound.
        expires_at: When it ends; None: when revoked.
    """

    instrument_kinds: Annotated[tuple[InstrumentKind, ...], Meta(max_length=4)]
    equity_credit: Share
    budget_usd: Usd
    issuer_usd_max: Usd
    valuation_cap_usd_min: Usd | None = None
    valuation_cap_usd_max: Usd | None = None
    uncapped: bool = False
    post_money_only: bool = False
    discount_min: Share | None = None
    discount_max: Share | None = None
    strike_usd_min: Usd | None = None
    strike_usd_max: Usd | None = None
    note_days_max: Annotated[int, Meta(ge=1, le=3_653)] = 1_096
    note_days_min: Annotated[int, Meta(ge=1, le=3_653)] = 365
    note_rate_min: Share = Decimal("0.04")
    warrant_days_min: Annotated[int, Meta(ge=1, le=36_500)] = 365
    direct_budget_usd: Usd | None = None
    approval_above_usd: Usd | None = None
    order_days_max: Annotated[int, Meta(ge=1, le=366)] = 14
    dilution_max: Share = Decimal("0.05")
    sector_usd_max: Usd | None = None
    vendor_share_max: Share | None = None
    generation_share_max: Share | None = None
    usd_per_gpu_hour_max: UsdPerGpuHour | None = None
    list_price_multiple_max: Multiple | None = None
    pricelist_id: Id | None = None
    resale: bool = False
    related_parties: bool = False
    startup_accepts_alone: bool = False
    sectors: Annotated[tuple[Name, ...], Meta(max_length=50)] = ()
    stages: Annotated[tuple[Stage, ...], Meta(max_length=7)] = ()
    gpu_vendors: Annotated[tuple[GpuVendor, ...], Meta(max_length=6)] = ()
    issuer_ids: Annotated[tuple[Id, ...], Meta(max_length=500)] = ()
    provider_ids: Annotated[tuple[Id, ...], Meta(max_length=500)] = ()
    site_ids: Annotated[tuple[Id, ...], Meta(max_length=500)] = ()
    expires_at: Instant | None = None


class MandateGranted(Event, frozen=True, kw_only=True, tag="mandate.granted.v1"):
    """A holder offered to take equity.

    Attributes:
        mandate_id: The mandate.
        holder_id: The party that will hold the equity.
        funding: ``cash``: the holder pays providers from its account, where the budget is held;
            ``own_capacity``: the holder is the provider and pays itself, so that no money moves.
        terms: The rules.
    """

    mandate_id: Id
    holder_id: Id
    funding: Funding
    terms: MandateTerms


class MandateAmended(Event, frozen=True, kw_only=True, tag="mandate.amended.v1"):
    """The rules changed. Open orders are asked again at their match; captured budget keeps the rules of its time.

    Attributes:
        mandate_id: The mandate.
        terms: The rules from now on.
    """

    mandate_id: Id
    terms: MandateTerms


class EndedHold(msgspec.Struct, frozen=True, kw_only=True):
    """Budget that was held for an order, and is free.

    Attributes:
        hold_id: The hold.
        order_id: The order.
        amount_usd: Dollars freed.
    """

    hold_id: Id
    order_id: Id
    amount_usd: Usd


class MandateRevoked(Event, frozen=True, kw_only=True, tag="mandate.revoked.v1"):
    """The mandate takes nothing new, and budget that was held for orders is free. Captured budget stays owed.

    Attributes:
        mandate_id: The mandate.
        reason: Why.
        ended: The holds that ended. `order.mandate_ended` tells each order.
    """

    mandate_id: Id
    reason: Text
    ended: tuple[EndedHold, ...] = ()


class MandateBudgetHeld(Event, frozen=True, kw_only=True, tag="mandate.budget_held.v1"):
    """Budget was set aside for an order.

    Attributes:
        mandate_id: The mandate.
        hold_id: The hold.
        order_id: The order it is for.
        issuer_id: Whose equity it would pay for.
        amount_usd: Dollars set aside.
        sector: Sector of the issuer; None if it states none.
        direct: Whether the startup draws it in cash besides compute.
        needs_approval: Whether it waits for the holder's approval.
        instrument: The terms offered, where it waits for approval.
        implied_cap_usd: What the company was worth at the price of its stock, as agreed to; None for a SAFE, and for a
            note that stays a debt.
        until: When it ends by itself unless it is captured; None: never.
        gpu_classes: Classes of GPUs that the order may get. The amount counts toward each of their vendors and
            generations until one class wins.
        amount_usd_max: What the holder sees in place of the amount: the most that the mandate allows the issuer. None:
            it sees the amount, because no sealed offer follows from it.
    """

    mandate_id: Id
    hold_id: Id
    order_id: Id
    issuer_id: Id
    amount_usd: Usd
    sector: Name | None = None
    direct: bool = False
    needs_approval: bool = False
    instrument: PrincipalTerms | None = None
    implied_cap_usd: Usd | None = None
    until: Instant | None = None
    gpu_classes: Annotated[tuple[GpuClass, ...], Meta(max_length=16)] = ()
    amount_usd_max: Usd | None = None


class MandateOrderApproved(Event, frozen=True, kw_only=True, tag="mandate.order_approved.v1"):
    """The holder approved an order above the amount that needs it.

    Attributes:
        mandate_id: The mandate.
        hold_id: The hold.
        order_id: The order.
    """

    mandate_id: Id
    hold_id: Id
    order_id: Id


class MandateOrderRefused(Event, frozen=True, kw_only=True, tag="mandate.order_refused.v1"):
    """The holder does not pay for an order that it has not committed to. Its budget is free.

    Attributes:
        mandate_id: The mandate.
        hold_id: The hold.
        order_id: The order.
        amount_usd: Dollars freed.
        reason: Why.
        barred_until: Until when the mandate holds nothing more for the order's issuer, or one related to it, unless the
            holder approves it; None: it does.
    """

    mandate_id: Id
    hold_id: Id
    order_id: Id
    amount_usd: Usd
    reason: Text
    barred_until: Instant | None = None


class MandateBudgetCaptured(Event, frozen=True, kw_only=True, tag="mandate.budget_captured.v1"):
    """Part of a hold became a commitment to a grant.

    Attributes:
        mandate_id: The mandate.
        hold_id: The hold.
        grant_id: The grant.
        amount_usd: Dollars committed.
        gpu_class: Class of the GPUs; None if it pays for something else.
    """

    mandate_id: Id
    hold_id: Id
    grant_id: Id
    amount_usd: Usd
    gpu_class: GpuClass | None = None


class MandateBudgetReleased(Event, frozen=True, kw_only=True, tag="mandate.budget_released.v1"):
    """Held or committed budget is free again.

    Attributes:
        mandate_id: The mandate.
        hold_id: The hold.
        amount_usd: Dollars freed.
        reason: Why, for example ``not matched``.
        committed: Whether it was committed to a grant, and not only held for an order, whose offer is sealed.
    """

    mandate_id: Id
    hold_id: Id
    amount_usd: Usd
    reason: Text
    committed: bool = False


MandateEvent = (
    MandateGranted
    | MandateAmended
    | MandateRevoked
    | MandateBudgetHeld
    | MandateOrderApproved
    | MandateOrderRefused
    | MandateBudgetCaptured
    | MandateBudgetReleased
)
