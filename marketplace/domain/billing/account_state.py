"""The state of an account: available money, holds, and the payments that count once."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from immutables import Map

from events.account import (
    AccountApprovalEnded,
    AccountApprovalGiven,
    AccountApprovalRequested,
    AccountClosed,
    AccountCredited,
    AccountDebited,
    AccountDeposited,
    AccountEvent,
    AccountHoldCaptured,
    AccountHoldExpired,
    AccountHoldPlaced,
    AccountHoldReleased,
    AccountLimitSet,
    AccountLimitUsed,
    AccountOpened,
    AccountWithdrawn,
)
from marketplace.core.money import ZERO

_HoldEvent = AccountHoldPlaced | AccountHoldCaptured | AccountHoldReleased | AccountHoldExpired
_MoneyEvent = AccountDeposited | AccountWithdrawn | AccountDebited | AccountCredited
_ApprovalEvent = (
    AccountLimitSet | AccountLimitUsed | AccountApprovalRequested | AccountApprovalGiven | AccountApprovalEnded
)
COUNTED: Final = timedelta(hours=24)
"""How long what one person alone let go counts toward the limit."""
_HOLDING: Final = (AccountHoldPlaced, AccountHoldCaptured, AccountHoldReleased, AccountHoldExpired)


@dataclass(frozen=True, slots=True)
class Hold:
    """Money set aside: the rest, what was captured, its purpose and its expiry; `expired` after that."""

    left_usd: Decimal
    captured_usd: Decimal
    purpose: str
    expires_at: datetime | None = None
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Approval:
    """An act that takes two persons, and who ended it."""

    requested: AccountApprovalRequested
    status: Literal["open", "approved", "refused", "withdrawn", "lapsed"] = "open"
    decided_by: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """An account. If `closed`, it may still receive what is owed and be emptied, but begins nothing new.

    `references` and `causes` map each earlier payment to its amount, so that nothing counts twice. `limit_usd` is what
    one person alone may let go in 24 hours, and `used` what one let go in the last ones.
    """

    party_id: str
    available_usd: Decimal = ZERO
    holds: Map[str, Hold] = field(default_factory=Map)
    references: Map[str, Decimal] = field(default_factory=Map)
    causes: Map[str, Decimal] = field(default_factory=Map)
    closed: bool = False
    limit_usd: Decimal | None = None
    used: tuple[AccountLimitUsed, ...] = ()
    approvals: Map[str, Approval] = field(default_factory=Map)

    @property
    def held_usd(self) -> Decimal:
        """Return the sum of the holds."""
        return sum((hold.left_usd for hold in self.holds.values()), ZERO)

    def needs_second(self, amount_usd: Decimal, at: datetime) -> bool:
        """Return whether letting an amount go takes a second person: with what counts, it is above the limit."""
        if self.limit_usd is None:
            return False
        counted = (use.amount_usd for use in self.used if use.at > at - COUNTED)
        return sum(counted, amount_usd) > self.limit_usd


AccountState = Account | None


def key_of(direction: str, counterpart_id: str, cause: str) -> str:
    """Return the key of a payment in the account. If the account pays itself, in two roles, both directions differ."""
    return f"{cause} {direction} {counterpart_id}"


def evolve(state: AccountState, event: AccountEvent) -> AccountState:
    """Return the state after an event."""
    if isinstance(event, AccountOpened):
        return Account(event.party_id)
    assert state is not None, "an account is opened first"
    if isinstance(event, AccountClosed):
        return replace(state, closed=True)
    if isinstance(event, _ApprovalEvent):
        return _evolve_approvals(state, event)
    return _evolve_holds(state, event) if isinstance(event, _HOLDING) else _evolve_money(state, event)


def evolve_all(state: Account, events: Iterable[AccountEvent]) -> Account:
    """Return the state after events."""
    current: AccountState = state
    for event in events:
        current = evolve(current, event)
    assert current is not None, "an account stays one"
    return current


def _evolve_approvals(state: Account, event: _ApprovalEvent) -> Account:
    match event:
        case AccountLimitSet():
            return replace(state, limit_usd=event.limit_usd)
        case AccountLimitUsed():
            recent = (use for use in state.used if use.at > event.at - COUNTED)
            return replace(state, used=(*recent, event))
        case AccountApprovalRequested():
            return replace(state, approvals=state.approvals.set(event.approval_id, Approval(event)))
        case AccountApprovalGiven():
            return _turn(state, event.approval_id, "approved", event.person)
        case AccountApprovalEnded():
            return _turn(state, event.approval_id, event.outcome, event.person)


def _turn(state: Account, approval_id: str, status: Any, person: str | None) -> Account:
    turned = replace(state.approvals[approval_id], status=status, decided_by=person)
    return replace(state, approvals=state.approvals.set(approval_id, turned))


def _evolve_money(state: Account, event: _MoneyEvent) -> Account:
    amount = event.amount_usd
    match event:
        case AccountDeposited():
            return _move(state, amount, references=state.references.set(event.reference, amount))
        case AccountWithdrawn():
            return _move(state, -amount, references=state.references.set(event.reference, -amount))
        case AccountDebited():
            return _move(
                state,
                -amount,
                causes=state.causes.set(key_of("to", event.payee_account_id, event.cause), -amount),
            )
        case AccountCredited():
            return _move(
                state,
                amount,
                causes=state.causes.set(key_of("from", event.payer_account_id, event.cause), amount),
            )


def _evolve_holds(state: Account, event: _HoldEvent) -> Account:
    hold_id, amount = event.hold_id, event.amount_usd
    if isinstance(event, AccountHoldPlaced):
        known = state.holds.get(hold_id, Hold(ZERO, ZERO, event.purpose, event.expires_at))
        return _move(state, -amount, holds=state.holds.set(hold_id, replace(known, left_usd=known.left_usd + amount)))
    known = state.holds[hold_id]
    left = known.left_usd - amount
    match event:
        case AccountHoldReleased():
            return _move(state, amount, holds=state.holds.set(hold_id, replace(known, left_usd=left)))
        case AccountHoldExpired():
            return _move(state, amount, holds=state.holds.set(hold_id, replace(known, left_usd=left, expired=True)))
        case AccountHoldCaptured():
            captured = replace(known, left_usd=left, captured_usd=known.captured_usd + amount)
            return replace(
                state,
                holds=state.holds.set(hold_id, captured),
                causes=state.causes.set(key_of("to", event.payee_account_id, event.cause), -amount),
            )


def _move(
    state: Account,
    amount_usd: Decimal,
    *,
    holds: Map[str, Hold] | None = None,
    references: Map[str, Decimal] | None = None,
    causes: Map[str, Decimal] | None = None,
) -> Account:
    return replace(
        state,
        available_usd=state.available_usd + amount_usd,
        holds=state.holds if holds is None else holds,
        references=state.references if references is None else references,
        causes=state.causes if causes is None else causes,
    )
