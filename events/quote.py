"""Quotes that are held: capacity set aside at a price for a short time, for an order that may take it."""

from events.auction import MatchTerms
from events.order import BudgetHold, OrderTerms
from events.types import Event, Id, Instant, Ratio, Text, Usd


class QuoteHeld(Event, frozen=True, kw_only=True, tag="quote.held.v1"):
    """A startup holds a quote. Capacity, cash and mandates' budget are set aside until it is taken or ends.

    Attributes:
        quote_id: The quote.
        startup_id: Who holds it.
        issuer_id: Whose equity is offered.
        account_id: Whose cash is held.
        hold_id: The hold on cash and on each mandate's budget.
        terms: What the order that takes it asks and offers.
        cash_hold_usd: Cash set aside: the most expensive acceptable offer in full.
        budget_holds: Budget set aside, per mandate.
        match: What is held, at which price, and the grant that taking it issues; the pool reserves it for that grant.
        expires_at: Until when.
        split_ratio: The issuer's split factor when a price per share in its terms was agreed.
    """

    quote_id: Id
    startup_id: Id
    issuer_id: Id
    account_id: Id
    hold_id: Id
    terms: OrderTerms
    cash_hold_usd: Usd
    budget_holds: tuple[BudgetHold, ...] = ()
    match: MatchTerms
    expires_at: Instant
    split_ratio: Ratio | None = None


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
    """The quote was released before its expiry; everything set aside is free again.

    Attributes:
        quote_id: The quote.
        reason: Why.
    """

    quote_id: Id
    reason: Text


class QuoteExpired(Event, frozen=True, kw_only=True, tag="quote.expired.v1"):
    """The quote expired; everything set aside is free again.

    Attributes:
        quote_id: The quote.
        at: When it was due to end.
    """

    quote_id: Id
    at: Instant


QuoteEvent = QuoteHeld | QuoteTaken | QuoteReleased | QuoteExpired
