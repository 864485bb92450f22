"""The state of an account: available money, holds, and the payments that count once."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from immutables import Map

from events.account import (
    AccountClosed,
    AccountCredited,
    AccountDebited,
    AccountDeposited,
    AccountEvent,
    AccountHoldCaptured,
    AccountHoldExpired,
    AccountHoldPlaced,
    AccountHoldReleased,
    AccountOpened,
    AccountWithdrawn,
)
from marketplace.core.money import ZERO

_HoldEvent = AccountHoldPlaced | AccountHoldCaptured | AccountHoldReleased | AccountHoldExpired
_MoneyEvent = AccountDeposited | AccountWithdrawn | AccountDebited | AccountCredited
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
class Account:
    """An account. If `closed`, it may still receive what is owed and be emptied, but begins nothing new.

    `references` and `causes` map each earlier payment to its amount, so that nothing counts twice.
    """

    party_id: str
    available_usd: Decimal = ZERO
    holds: Map[str, Hold] = field(default_factory=Map)
    references: Map[str, Decimal] = field(default_factory=Map)
    causes: Map[str, Decimal] = field(default_factory=Map)
    closed: bool = False

    @property
    def held_usd(self) -> Decimal:
        """Return the sum of the holds."""
        return sum((hold.left_usd for hold in self.holds.values()), ZERO)


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
    return _evolve_holds(state, event) if isinstance(event, _HOLDING) else _evolve_money(state, event)


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
