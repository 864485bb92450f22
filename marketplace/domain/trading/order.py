"""Orders: a startup's request for nodes over time, from placing to its one decision per auction.

Subject: ``marketplace.order.<order_id>``.

Invariants:
    1. From its lock until the auction has decided it, an order is neither cancelled nor amended. An auction locks its
       orders at `no_cancel_at`, or else at its own lock.
    2. It is matched at most once; matched, cancelled and expired are final.
    3. An order that offers equity states its instrument and the mandates it accepts.
    4. An order whose last mandate ended is cancelled. An order that holds a mandate's budget ends with its auction if
       nothing on sale could ever serve it, or if the auction could award all that it asks and each lot that could carry
       it asks at least what it is worth. This also applies to a standing order.

Refusals in order: order_unknown · order_exists · offers_missing · class_repeated · not_a_number ·
amount_not_positive · amount_too_large · amount_too_precise · offer_empty · time_naive · window_reversed ·
window_past · duration_unsold · range_empty · sizes_too_many · pue_out_of_range · backstop_linked · backstop_equity ·
instrument_unneeded · instrument_missing · mandates_missing · mandates_too_many · conversion_empty ·
missing_convention · discount_whole · cap_below_commitment · note_too_short · warrant_too_short · consequence_missing ·
expiry_past · security_too_short · stages_missing · value_out_of_bounds · order_too_small · bundle_fixed ·
order_<status> · order_not_due · order_locked_elsewhere.

Offers, window and wishes are checked together, then equity, expiry and stages: a refusal names the first fault, and in
its `others` those of the rest. The instrument's cap and discount are amounts too, checked after
mandates_too_many.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from events.order import (
    BudgetHold,
    LostMatch,
    OrderAmended,
    OrderCancelled,
    OrderEvent,
    OrderExpired,
    OrderLocked,
    OrderMandateApproved,
    OrderMandateEnded,
    OrderMatched,
    OrderPlaced,
    OrderTerms,
    OrderUnmatched,
)
from events.schedule import PlatformFee
from events.types import Reason
from marketplace.core.decider import Decider, decide_by_type
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.money import ZERO
from marketplace.domain.refusals import refuse_exists, refuse_status, refuse_unknown
from marketplace.domain.trading.order_terms import Cost, compute_credit, find_end, require_terms
from marketplace.domain.trading.priority import keeps_priority

Status = Literal["open", "locked", "matched", "unmatched", "cancelled", "expired"]

_HOPELESS: Final = frozenset({"no_eligible_pool", "never_feasible"})
OWN_CAPACITY: Final = "own_capacity"
"""The conflict of an order that only the rule for own capacity keeps from what is on sale (`book/book.py`)."""


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Place an order. Its holds are appended in the same atomic batch.

    Attributes:
        order_id: The order.
        startup_id: Whose order it is.
        issuer_id: Who issues the equity that it offers.
        account_id: The account that pays.
        hold_id: The hold of cash.
        terms: What it asks and offers.
        cash_hold_usd: The cash set aside.
        budget_holds: The budget that each mandate sets aside.
        at: Now.
        quote_id: The held quote that the order takes; None for an order to an auction.
        grant_id: The grant of that quote.
        cost: What the terms cost, if the caller priced them, which checks them too; None: they are checked here.
        split_ratio: The issuer's split factor now, to which prices per share refer.
        order_usd_min: The least that an order sets aside, by the schedule.
        platform_fee: What the platform takes of settlements, by the schedule; None: nothing.
    """

    order_id: str
    startup_id: str
    issuer_id: str
    account_id: str
    hold_id: str
    terms: OrderTerms
    cash_hold_usd: Decimal
    budget_holds: tuple[BudgetHold, ...]
    at: datetime
    quote_id: str | None = None
    grant_id: str | None = None
    cost: Cost | None = None
    split_ratio: str | None = None
    order_usd_min: Decimal = ZERO
    platform_fee: PlatformFee | None = None


class AmendOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the terms and the holds of an open order, in one atomic batch. Group, parent and backstop cannot change.

    `hold_id` is the new hold of cash, and the other members are as in `PlaceOrder`, for the new terms. The same hold
    and terms again change nothing.
    """

    order_id: str
    hold_id: str
    terms: OrderTerms
    cash_hold_usd: Decimal
    budget_holds: tuple[BudgetHold, ...]
    at: datetime
    cost: Cost | None = None
    split_ratio: str | None = None
    order_usd_min: Decimal = ZERO
    platform_fee: PlatformFee | None = None


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel the order, outside of its no-cancel phase."""

    order_id: str
    reason: str


class ExpireOrder(msgspec.Struct, frozen=True, kw_only=True):
    """End an order that has expired by `at`, which is now."""

    order_id: str
    at: datetime


class LockOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Lock the order for an auction, before its book is frozen."""

    order_id: str
    auction_id: str


class MatchOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Record that the order won in the auction that locked it."""

    order_id: str
    auction_id: str
    grant_id: str


class UnmatchOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Record that the auction that locked the order did not match it.

    A standing order is open again, unless it has expired by `at` (now) or holds a mandate's budget that nothing on sale
    could use (invariant 4).

    Attributes:
        order_id: The order.
        auction_id: The auction.
        reasons: Why; the main one first.
        price_to_win_usd_per_gpu_hour: The least value at which it would have won; None if unknown, or if none would.
        at: Now.
        lost: The match that its provider made impossible; None if it had none.
        horizon_end: The end of what the auction could award; None: it could not award all starts of the order.
    """

    order_id: str
    auction_id: str
    reasons: tuple[Reason, ...]
    price_to_win_usd_per_gpu_hour: Decimal | None
    at: datetime
    lost: LostMatch | None = None
    horizon_end: datetime | None = None


class ApproveMandate(msgspec.Struct, frozen=True, kw_only=True):
    """Record that the holder of a mandate approved the order."""

    order_id: str
    mandate_id: str


class EndMandate(msgspec.Struct, frozen=True, kw_only=True):
    """Record that a mandate no longer pays for the order. Without another mandate, the order is cancelled."""

    order_id: str
    mandate_id: str
    reason: str


OrderCommand = (
    PlaceOrder
    | AmendOrder
    | CancelOrder
    | ExpireOrder
    | LockOrder
    | MatchOrder
    | UnmatchOrder
    | ApproveMandate
    | EndMandate
)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A placed order; a class for each status. `terms`, `hold_id` and the holds are as last amended."""

    status: Status
    placed: OrderPlaced
    terms: OrderTerms
    hold_id: str
    cash_hold_usd: Decimal
    budget_holds: tuple[BudgetHold, ...]
    split_ratio: str | None = None
    platform_fee: PlatformFee | None = None

    @property
    def waits_for_approval(self) -> bool:
        """Return whether every mandate that would pay its equity part waits for its holder's approval."""
        return bool(self.budget_holds) and all(hold.needs_approval for hold in self.budget_holds)

    @property
    def ends_at(self) -> datetime:
        """Return when it expires; see `find_end`."""
        return find_end(self.terms)


class OpenOrder(Order, frozen=True, kw_only=True):
    """An order that the next auction may take; `rejected_by` is the last auction that did not match it."""

    status: Literal["open"] = "open"
    rejected_by: str | None = None


class LockedOrder(Order, frozen=True, kw_only=True):
    """An order that an auction has locked and not decided; it may not be in the book."""

    status: Literal["locked"] = "locked"
    auction_id: str


WaitingOrder = OpenOrder | LockedOrder
"""An order that an auction may still match."""
WAITING: Final = ("open", "locked")
"""The statuses of a `WaitingOrder`."""


class MatchedOrder(Order, frozen=True, kw_only=True):
    """An order that won, in an auction or by a held quote."""

    status: Literal["matched"] = "matched"
    grant_id: str


class EndedOrder(Order, frozen=True, kw_only=True):
    """An order that ended without a match; `rejected_by` is the auction that left it unmatched."""

    status: Literal["unmatched", "cancelled", "expired"]
    rejected_by: str | None = None


OrderState = Order | None


def _place(command: PlaceOrder, state: OrderState) -> Sequence[OrderEvent]:
    event = OrderPlaced(
        order_id=command.order_id,
        startup_id=command.startup_id,
        issuer_id=command.issuer_id,
        account_id=command.account_id,
        hold_id=command.hold_id,
        terms=command.terms,
        cash_hold_usd=command.cash_hold_usd,
        budget_holds=command.budget_holds,
        quote_id=command.quote_id,
        split_ratio=command.split_ratio,
        platform_fee=command.platform_fee,
    )
    if state is not None:
        if state.placed == event:
            return []
        raise refuse_exists("order", command.order_id)
    _require_terms(command)
    if command.quote_id is None:
        return [event]
    assert command.grant_id is not None, "an order that takes a quote becomes a grant"
    return [event, OrderMatched(order_id=command.order_id, grant_id=command.grant_id)]


def _require_terms(command: PlaceOrder | AmendOrder) -> None:
    if command.cost is None:
        require_terms(command.terms, command.at)
    require_value(command.terms, command.cash_hold_usd, command.budget_holds, command.order_usd_min)


def require_value(
    terms: OrderTerms, cash_hold_usd: Decimal, budget_holds: Iterable[BudgetHold], least_usd: Decimal
) -> None:
    """Refuse an order that sets less than `least_usd` aside: cash, credit and the largest mandate's budget together.

    Raises:
        Refusal: ``order_too_small``.
    """
    credit_usd = ZERO if terms.credit is None else compute_credit(terms)
    set_aside_usd = cash_hold_usd + credit_usd + max((hold.amount_usd for hold in budget_holds), default=ZERO)
    if set_aside_usd < least_usd:
        raise Refusal(
            "order_too_small",
            f"the order sets {set_aside_usd} USD aside, and the least is {least_usd}; ask for more, or offer more",
            pointer="/terms/offers",
            order_usd_min=str(least_usd),
            set_aside_usd=str(set_aside_usd),
        )


def require_open(state: Order) -> None:
    """Refuse an order that is locked, or that ended. `admission` refuses one that is about to be locked.

    Raises:
        Refusal: ``order_<status>``.
    """
    if not isinstance(state, OpenOrder):
        raise refuse_status("order", state.placed.order_id, state.status, "open")


def _amend(command: AmendOrder, state: Order) -> Sequence[OrderEvent]:
    if command.hold_id == state.hold_id and command.terms == state.terms:
        return []
    _require_terms(command)
    for name in ("group", "parent_order_id", "backstop"):
        if getattr(command.terms, name) != getattr(state.terms, name):
            raise Refusal(
                "bundle_fixed",
                f"the {name} of an order cannot change; cancel it and place another",
                pointer=f"/terms/{name}",
            )
    require_open(state)
    return [
        OrderAmended(
            order_id=command.order_id,
            hold_id=command.hold_id,
            terms=command.terms,
            cash_hold_usd=command.cash_hold_usd,
            budget_holds=command.budget_holds,
            keeps_priority=keeps_priority(state.terms, command.terms),
            split_ratio=command.split_ratio,
            platform_fee=command.platform_fee,
        )
    ]


def _cancel(command: CancelOrder, state: Order) -> Sequence[OrderEvent]:
    if state.status == "cancelled":
        return []
    require_open(state)
    return [OrderCancelled(order_id=command.order_id, reason=command.reason)]


def _expire(command: ExpireOrder, state: Order) -> Sequence[OrderEvent]:
    if state.status == "expired":
        return []
    require_open(state)
    if command.at < state.ends_at:
        raise Refusal(
            "order_not_due",
            f"order {command.order_id} expires at {render_instant(state.ends_at)}; it is {render_instant(command.at)}",
            due=render_instant(state.ends_at),
        )
    return [OrderExpired(order_id=command.order_id, at=state.ends_at)]


def _lock(command: LockOrder, state: Order) -> Sequence[OrderEvent]:
    if isinstance(state, LockedOrder) and state.auction_id == command.auction_id:
        return []
    require_open(state)
    return [OrderLocked(order_id=command.order_id, auction_id=command.auction_id)]


def _require_locked(state: Order, auction_id: str) -> None:
    if not isinstance(state, LockedOrder):
        raise refuse_status("order", state.placed.order_id, state.status, "locked")
    if state.auction_id != auction_id:
        raise Refusal(
            "order_locked_elsewhere",
            f"order {state.placed.order_id} is locked by auction {state.auction_id}, not by {auction_id}",
        )


def _match(command: MatchOrder, state: Order) -> Sequence[OrderEvent]:
    if isinstance(state, MatchedOrder) and state.grant_id == command.grant_id:
        return []
    _require_locked(state, command.auction_id)
    return [OrderMatched(order_id=command.order_id, auction_id=command.auction_id, grant_id=command.grant_id)]


def _unmatch(command: UnmatchOrder, state: Order) -> Sequence[OrderEvent]:
    if isinstance(state, OpenOrder | EndedOrder) and state.rejected_by == command.auction_id:
        return []
    _require_locked(state, command.auction_id)
    return [
        OrderUnmatched(
            order_id=command.order_id,
            auction_id=command.auction_id,
            reasons=command.reasons,
            price_to_win_usd_per_gpu_hour=command.price_to_win_usd_per_gpu_hour,
            open_again=state.terms.standing and command.at < state.ends_at and not _is_hopeless(command, state),
            lost=command.lost,
        )
    ]


def _approve(command: ApproveMandate, state: Order) -> Sequence[OrderEvent]:
    if isinstance(state, EndedOrder | MatchedOrder):
        raise refuse_status("order", state.placed.order_id, state.status, "open or locked")
    waits = any(hold.mandate_id == command.mandate_id and hold.needs_approval for hold in state.budget_holds)
    return [OrderMandateApproved(order_id=command.order_id, mandate_id=command.mandate_id)] if waits else []


def _end_mandate(command: EndMandate, state: Order) -> Sequence[OrderEvent]:
    left = [hold for hold in state.budget_holds if hold.mandate_id != command.mandate_id]
    if len(left) == len(state.budget_holds):
        return []
    require_open(state)
    ended = OrderMandateEnded(order_id=command.order_id, mandate_id=command.mandate_id, reason=command.reason)
    if left:
        return [ended]
    reason = f"no mandate pays its equity part any more: {command.reason}"[:500]
    return [ended, OrderCancelled(order_id=command.order_id, reason=reason)]


def _is_hopeless(command: UnmatchOrder, state: Order) -> bool:
    """Return whether nothing on sale could serve an order that keeps mandates' budgets from others.

    It could where only the rule for own capacity is in its way: a cheaper node beside it may be sold next time.
    """
    terms, end = state.terms, command.horizon_end
    is_whole = end is not None and terms.start_latest + timedelta(hours=terms.duration_hours) <= end
    hopeless = _HOPELESS | {"below_ask"} if is_whole else _HOPELESS
    return bool(state.budget_holds) and any(
        reason.code in hopeless and reason.facts.get("conflict") != OWN_CAPACITY for reason in command.reasons
    )


def evolve(state: OrderState, event: OrderEvent) -> OrderState:
    """Return the state after an event."""
    if isinstance(event, OrderPlaced):
        return OpenOrder(placed=event, **_copy(event))
    assert state is not None, "an order is placed first"
    common = {"placed": state.placed, **_copy(state)}
    match event:
        case OrderAmended():
            return replace(state, **_copy(event))
        case OrderCancelled():
            return EndedOrder(**common, status="cancelled")
        case OrderExpired():
            return EndedOrder(**common, status="expired")
        case OrderLocked():
            return LockedOrder(**common, auction_id=event.auction_id)
        case OrderMatched():
            return MatchedOrder(**common, grant_id=event.grant_id)
        case OrderUnmatched() if event.open_again:
            return OpenOrder(**common, rejected_by=event.auction_id)
        case OrderUnmatched():
            return EndedOrder(**common, status="unmatched", rejected_by=event.auction_id)
        case OrderMandateApproved() | OrderMandateEnded():
            return replace(state, budget_holds=_turn_holds(state, event))


def _turn_holds(state: Order, event: OrderMandateApproved | OrderMandateEnded) -> tuple[BudgetHold, ...]:
    """Return an order's holds after a mandate approved it or ended."""
    others = [hold for hold in state.budget_holds if hold.mandate_id != event.mandate_id]
    if isinstance(event, OrderMandateEnded):
        return tuple(others)
    return tuple(hold if hold in others else replace(hold, needs_approval=False) for hold in state.budget_holds)


def _copy(source: Order | OrderPlaced | OrderAmended) -> dict[str, Any]:
    """Return the terms of an order and what is held for it."""
    names = ("terms", "hold_id", "cash_hold_usd", "budget_holds", "split_ratio", "platform_fee")
    return {name: getattr(source, name) for name in names}


_DECIDE: Final[dict[type[OrderCommand], Callable[[Any, Order], Sequence[OrderEvent]]]] = {
    AmendOrder: _amend,
    CancelOrder: _cancel,
    ExpireOrder: _expire,
    LockOrder: _lock,
    MatchOrder: _match,
    UnmatchOrder: _unmatch,
    ApproveMandate: _approve,
    EndMandate: _end_mandate,
}

ORDER: Final[Decider[OrderCommand, OrderEvent, OrderState]] = Decider(
    "order",
    "ord",
    None,
    decide_by_type(OrderCommand, _place, _DECIDE, lambda command: refuse_unknown("order", command.order_id)),
    evolve,
)
