"""Bodies of mandates, orders, auctions and the test clock."""

from typing import Annotated, Literal

from msgspec import Meta

from events.mandate import MandateTerms
from events.order import OrderTerms
from events.types import Funding, Id, Instant, Text
from marketplace.api.http.bodies import Body


class GrantMandateBody(Body, frozen=True, kw_only=True):
    """The terms on which a holder takes equity.

    Attributes:
        holder_id: The party that will hold the equity.
        funding: Whether it pays providers in cash or is the provider itself.
        terms: The rules.
    """

    holder_id: Id
    funding: Funding
    terms: MandateTerms


class AmendMandateBody(Body, frozen=True, kw_only=True):
    """Other rules.

    Attributes:
        terms: The rules from now on.
    """

    terms: MandateTerms


class RefuseOrderBody(Body, frozen=True, kw_only=True):
    """The refusal of an order that a mandate would pay for.

    Attributes:
        reason: Why, in words that the event records.
        barred_days: For how many days the mandate holds nothing more for the order's company, or one related to it.
    """

    reason: Text
    barred_days: Annotated[int, Meta(ge=0, le=366)] = 0


class PlaceOrderBody(Body, frozen=True, kw_only=True):
    """A request for nodes over time.

    Attributes:
        startup_id: Who asks.
        terms: What is asked and offered.
    """

    startup_id: Id
    terms: OrderTerms


class AskQuoteBody(Body, frozen=True, kw_only=True):
    """A request for a quote, with the same content as an order's body.

    Attributes:
        startup_id: Who asks.
        terms: What would be asked and offered.
        order_id: The open order that the terms would amend, which is left out of the book; None for a new order.
    """

    startup_id: Id
    terms: OrderTerms
    order_id: Id | None = None


class HoldQuoteBody(Body, frozen=True, kw_only=True):
    """A quote to hold.

    Attributes:
        startup_id: Who holds it.
        terms: The terms of the order that takes it.
        hold_seconds: For how long.
    """

    startup_id: Id
    terms: OrderTerms
    hold_seconds: Annotated[int, Meta(ge=30, le=3_600)] = 600


class AmendOrderBody(Body, frozen=True, kw_only=True):
    """Another request or offer.

    Attributes:
        terms: What is asked and offered from now on.
    """

    terms: OrderTerms


class OpenAuctionBody(Body, frozen=True, kw_only=True):
    """An auction to open; see the event `auction.opened`."""

    locks_at: Instant
    horizon_start: Instant
    period_hours: Literal[1, 24, 120]
    periods: Annotated[int, Meta(ge=1, le=10_000)]
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    indicative_at: Instant | None = None
    no_cancel_at: Instant | None = None


class AdvanceClockBody(Body, frozen=True, kw_only=True):
    """Time to advance.

    Attributes:
        seconds: How much.
    """

    seconds: Annotated[int, Meta(ge=1, le=3_200_000_000)]
