"""Held quotes: one placement at one price, set aside until it is taken, released or expired.

Subject: ``marketplace.quote.<quote_id>``.

Invariants:
    1. While the quote is held, its capacity is reserved in its pool, and its money and budget are set aside.
    2. It ends once: taken, released or expired. It cannot be taken after its expiry.
    3. Its price is at most the value of the order's offer. How it is found: `application/trading/quotes.py`.
    4. A quote that is taken, or whose capacity ended, costs nothing. Any other costs its part of the agreed fee.

Refusals in order: quote_unknown · quote_exists · order_too_small · time_naive · span_empty · hold_too_long ·
quote_outlasts_start · price_above_offer · quote_<status> · quote_lapsed · quote_not_due.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

import msgspec

from events.quote import QuoteEvent, QuoteExpired, QuoteHeld, QuoteReleased, QuoteTaken
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_span
from marketplace.core.money import ZERO, ceil_cents, ceil_price, parse_ratio
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown
from marketplace.domain.trading.order import require_value

Status = Literal["held", "taken", "released", "expired"]

_TICK: Final = timedelta(microseconds=1)
HOLD_MAX: Final = timedelta(hours=1)
"""The longest time for which a quote may be held."""


class HoldQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a placement. Capacity, cash and budget are set aside in the same atomic batch.

    `at` is now. `split_ratio` and `order_usd_min` are as in `PlaceOrder`.
    """

    held: QuoteHeld
    at: datetime
    split_ratio: str | None = None
    order_usd_min: Decimal = ZERO

    @property
    def quote_id(self) -> str:
        """Return the quote's id."""
        return self.held.quote_id


class TakeQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Take the quote with an order."""

    quote_id: str
    order_id: str
    at: datetime


class ReleaseQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Release the quote. Its startup pays the fee for the time until `at`; None: no fee."""

    quote_id: str
    reason: str
    at: datetime | None = None


class ExpireQuote(msgspec.Struct, frozen=True, kw_only=True):
    """End an expired quote."""

    quote_id: str
    at: datetime


QuoteCommand = HoldQuote | TakeQuote | ReleaseQuote | ExpireQuote


@dataclass(frozen=True, slots=True)
class Quote:
    """A held quote. `fee_usd` is what its startup paid for the hold; 0 while it is held."""

    held: QuoteHeld
    status: Status = "held"
    fee_usd: Decimal = ZERO


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
    held = command.held
    if state is not None:
        if state.held == held:
            return []
        raise refuse_exists("quote", held.quote_id)
    require_value(held.terms, held.cash_hold_usd, held.budget_holds, command.order_usd_min)
    require_span(command.at, held.expires_at, "/hold_seconds")
    if held.expires_at - command.at > HOLD_MAX:
        raise Refusal(
            "hold_too_long",
            f"a quote can be held for at most {HOLD_MAX // timedelta(seconds=1)} s; ask for less",
            pointer="/hold_seconds",
        )
    if held.match.start < held.expires_at:
        raise Refusal(
            "quote_outlasts_start",
            f"the capacity begins at {render_instant(held.match.start)}, before the hold would end at"
            f" {render_instant(held.expires_at)}; hold it for less time, or start later",
            pointer="/hold_seconds",
        )
    price = parse_ratio(held.match.price_usd_per_gpu_hour)
    if price > held.match.value_usd_per_gpu_hour:
        raise Refusal(
            "price_above_offer",
            f"the price is {ceil_price(price)} USD per GPU-hour, and the offer has a value of"
            f" {held.match.value_usd_per_gpu_hour}; offer more",
            pointer="/terms/offers",
            price_usd_per_gpu_hour=str(ceil_price(price)),
        )
    return [held]


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
            f"quote {command.quote_id} was held until {render_instant(state.held.expires_at)}; ask for a new one",
        )
    grant_id = state.held.match.grant_id
    return [QuoteTaken(quote_id=command.quote_id, order_id=command.order_id, grant_id=grant_id)]


def _release(command: ReleaseQuote, state: Quote) -> Sequence[QuoteEvent]:
    if state.status == "released":
        return []
    _require_held(state)
    fee_usd = ZERO if command.at is None else _find_fee(state.held, command.at)
    return [QuoteReleased(quote_id=command.quote_id, reason=command.reason, fee_usd=fee_usd)]


def _find_fee(held: QuoteHeld, at: datetime) -> Decimal:
    """Return the part of a quote's fee for the time until an instant, in USD rounded up to a cent."""
    if held.fee is None:
        return ZERO
    begun, whole = held.fee.held_at, held.expires_at - held.fee.held_at
    elapsed = min(at - begun, whole)
    return ceil_cents(Fraction(held.fee.fee_usd) * Fraction(elapsed // _TICK, whole // _TICK))


def _expire(command: ExpireQuote, state: Quote) -> Sequence[QuoteEvent]:
    if state.status == "expired":
        return []
    _require_held(state)
    if command.at < state.held.expires_at:
        due = render_instant(state.held.expires_at)
        raise Refusal("quote_not_due", f"quote {command.quote_id} is held until {due}", due=due)
    at = state.held.expires_at
    return [QuoteExpired(quote_id=command.quote_id, at=at, fee_usd=_find_fee(state.held, at))]


def evolve(state: QuoteState, event: QuoteEvent) -> QuoteState:
    """Return the state after an event."""
    if isinstance(event, QuoteHeld):
        return Quote(event)
    assert state is not None, "a quote is held first"
    match event:
        case QuoteTaken():
            return replace(state, status="taken")
        case QuoteReleased():
            return replace(state, status="released", fee_usd=event.fee_usd)
        case QuoteExpired():
            return replace(state, status="expired", fee_usd=event.fee_usd)


QUOTE: Decider[QuoteCommand, QuoteEvent, QuoteState] = Decider("quote", "quo", None, decide, evolve)
