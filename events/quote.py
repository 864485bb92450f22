"""Quotes that are held: capacity set aside at a price for a short time, for an order that may take it."""

from decimal import Decimal

import msgspec

from events.auction import MatchTerms
from events.order import BudgetHolds, OrderTerms
from events.schedule import PlatformFee
from events.types import Event, Id, Instant, Ratio, Text, Usd


class HoldFee(msgspec.Struct, frozen=True, kw_only=True):
    """What a held quote costs if it is not taken, by the schedule in force.

    Attributes:
        hold_id: The hold on the startup's account from which it is paid.
        payee_account_id: Account of whoever sells the capacity.
        fee_usd: The fee for the whole time. A quote that is released earlier costs less, by the time that it was held.
        deposit_usd: What is set aside: the fee, at least a cent.
        held_at: Since when the quote is held.
    """

    hold_id: Id
    payee_account_id: Id
    fee_usd: Usd
    deposit_usd: Usd
    held_at: Instant


class QuoteHeld(Event, frozen=True, kw_only=True, tag="quote.held.v1"):
    """A startup holds a quote. Capacity, cash and mandates' budget are set aside until it is taken or ends.

    Attributes:
        quote_id: The quote.
        startup_id: Who holds it.
        issuer_id: Whose equity is offered.
        account_id: Whose cash is held.
        hold_id: The hold on cash and on each mandate's budget.
        terms: What the order that takes it asks and offers.
        cash_hold_usd: Cash set aside: the most expensive acceptable offer in full, with the startup's platform fee.
        budget_holds: Budget set aside, per mandate.
        match: What is held, at which price, and the grant that taking it issues; the pool reserves it for that grant.
        expires_at: Until when.
        split_ratio: The issuer's split factor when a price per share in its terms was agreed.
        fee: What it costs if it is not taken.
        platform_fee: What the platform takes of its grant's settlements; None: nothing.
    """

    quote_id: Id
    startup_id: Id
    issuer_id: Id
    account_id: Id
    hold_id: Id
    terms: OrderTerms
    cash_hold_usd: Usd
    budget_holds: BudgetHolds = ()
    match: MatchTerms
    expires_at: Instant
    split_ratio: Ratio | None = None
    fee: HoldFee | None = None
    platform_fee: PlatformFee | None = None


class QuoteTaken(Event, frozen=True, kw_only=True, tag="quote.taken.v1"):
    """An order took the quote, and became a grant at the held price.

    Attributes:
        quote_id: The quote.
        order_id: The order.
        grant_id: The grant.
    """

    quote_id: Id
    order_id: Id
    grant_id: Id


class QuoteReleased(Event, frozen=True, kw_only=True, tag="quote.released.v1"):
    """The quote was released before its expiry. What was set aside is free again, less `fee_usd`.

    Attributes:
        quote_id: The quote.
        reason: Why.
        fee_usd: What the startup pays for the hold; 0 where the capacity ended.
    """

    quote_id: Id
    reason: Text
    fee_usd: Usd = Decimal(0)


class QuoteExpired(Event, frozen=True, kw_only=True, tag="quote.expired.v1"):
    """The quote expired. What was set aside is free again, less `fee_usd`.

    Attributes:
        quote_id: The quote.
        at: When it was due to end.
        fee_usd: What the startup pays for the hold.
    """

    quote_id: Id
    at: Instant
    fee_usd: Usd = Decimal(0)


QuoteEvent = QuoteHeld | QuoteTaken | QuoteReleased | QuoteExpired
