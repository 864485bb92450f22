"""Held quotes: one placement at one price, set aside until it is taken, released or expired.

Subject: ``marketplace.quote.<quote_id>``.

Invariants:
    1. While the quote is held, its capacity is reserved in its pool, and its money and budget are set aside.
    2. It ends once: taken, released or expired. It cannot be taken after its expiry.
    3. Its price is at most the value of the order's offer.

Refusals in order: quote_unknown · quote_exists · time_naive · hold_too_long · quote_outlasts_start · price_above_offer
· quote_<status> · quote_lapsed · quote_not_due.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

import msgspec

from events.auction import MatchTerms
from events.order import BudgetHold, OrderTerms
from events.quote import QuoteEvent, QuoteExpired, QuoteHeld, QuoteReleased, QuoteTaken
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.money import parse_ratio
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown, require_aware

HOLD_MAX: Final = timedelta(hours=1)


class HoldQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a placement. Capacity, cash and budget are set aside in the same atomic batch."""

    quote_id: str
    startup_id: str
    issuer_id: str
    account_id: str
    hold_id: str
    terms: OrderTerms
    cash_hold_usd: Decimal
    budget_holds: tuple[BudgetHold, ...]
    match: MatchTerms
    expires_at: datetime
    at: datetime


class TakeQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Take the quote with an order."""

    quote_id: str
    order_id: str
    at: datetime


class ReleaseQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Release the quote."""

    quote_id: str
    reason: str


class ExpireQuote(msgspec.Struct, frozen=True, kw_only=True):
    """End an expired quote."""

    quote_id: str
    at: datetime


QuoteCommand = HoldQuote | TakeQuote | ReleaseQuote | ExpireQuote


@dataclass(frozen=True, slots=True)
class Quote:
    """A held quote."""

    held: QuoteHeld
    status: Literal["held", "taken", "released", "expired"] = "held"


QuoteState = Quote | None


def decide(command: QuoteCommand, state: QuoteState) -> Sequence[QuoteEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if isinstance(command, HoldQuote):
        return _hold(command, state)
    if state is None:
        raise refuse_unknown("quote", command.quote_id)
    match command:
        case TakeQuote():
            return _take(command, state)
        case ReleaseQuote():
            return _release(command, state)
        case ExpireQuote():
            return _expire(command, state)


def _hold(command: HoldQuote, state: QuoteState) -> Sequence[QuoteEvent]:
    event = QuoteHeld(**{name: getattr(command, name) for name in command.__struct_fields__ if name != "at"})
    if state is not None:
        if state.held == event:
            return []
        raise refuse_exists("quote", command.quote_id)
    require_aware(command.expires_at, "/expires_at")
    if command.expires_at - command.at > HOLD_MAX:
        raise Refusal(
            "hold_too_long",
            f"a quote can be held for at most {HOLD_MAX // timedelta(seconds=1)} s; ask for less",
            pointer="/hold_seconds",
        )
    if command.match.start < command.expires_at:
        raise Refusal(
            "quote_outlasts_start",
            f"the capacity begins at {command.match.start.isoformat()}, before the hold would end at"
            f" {command.expires_at.isoformat()}; hold it for less time, or start later",
            pointer="/hold_seconds",
        )
    price = parse_ratio(command.match.price_usd_per_gpu_hour)
    if price > command.match.value_usd_per_gpu_hour:
        raise Refusal(
            "price_above_offer",
            f"the price is {command.match.price_usd_per_gpu_hour} USD per GPU-hour, and the offer has a value of"
            f" {command.match.value_usd_per_gpu_hour}; offer more",
            pointer="/terms/offers",
            price_usd_per_gpu_hour=command.match.price_usd_per_gpu_hour,
        )
    return [event]


def _require_held(state: Quote) -> None:
    if state.status != "held":
        raise refuse_status("quote", state.held.quote_id, state.status, "held")


def _take(command: TakeQuote, state: Quote) -> Sequence[QuoteEvent]:
    if state.status == "taken":
        return []
    _require_held(state)
    if command.at >= state.held.expires_at:
        raise Refusal(
            "quote_lapsed",
            f"quote {command.quote_id} was held until {state.held.expires_at.isoformat()}; ask for a new one",
        )
    grant_id = state.held.match.grant_id
    return [QuoteTaken(quote_id=command.quote_id, order_id=command.order_id, grant_id=grant_id)]


def _release(command: ReleaseQuote, state: Quote) -> Sequence[QuoteEvent]:
    if state.status == "released":
        return []
    _require_held(state)
    return [QuoteReleased(quote_id=command.quote_id, reason=command.reason)]


def _expire(command: ExpireQuote, state: Quote) -> Sequence[QuoteEvent]:
    if state.status == "expired":
        return []
    _require_held(state)
    if command.at < state.held.expires_at:
        due = state.held.expires_at.isoformat()
        raise Refusal("quote_not_due", f"quote {command.quote_id} is held until {due}", due=due)
    return [QuoteExpired(quote_id=command.quote_id, at=state.held.expires_at)]


def evolve(state: QuoteState, event: QuoteEvent) -> QuoteState:
    """Return the state after an event."""
    if isinstance(event, QuoteHeld):
        return Quote(event)
    assert state is not None, "a quote is held first"
    match event:
        case QuoteTaken():
            return replace(state, status="taken")
        case QuoteReleased():
            return replace(state, status="released")
        case QuoteExpired():
            return replace(state, status="expired")


QUOTE: Decider[QuoteCommand, QuoteEvent, QuoteState] = Decider("quote", "quo", None, decide, evolve)
