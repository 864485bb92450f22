"""Accounts: one party's dollars, available or held.

Subject: ``marketplace.account.<account_id>``.

Invariants:
    1. Available money is never negative, and no hold is.
    2. A payment's reference counts once; a cause pays or is paid once per counterpart.
    3. A capture or debit stands in one atomic batch with the credit of its payee.

Refusals in order: account_unknown · account_exists · not_a_number · amount_not_positive · amount_too_large ·
amount_too_precise · reference_exists · cause_exists · hold_exists · hold_unknown · funds_insufficient ·
capture_above_hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import msgspec
from immutables import Map

from events.account import (
    AccountCredited,
    AccountDebited,
    AccountDeposited,
    AccountEvent,
    AccountHoldCaptured,
    AccountHoldPlaced,
    AccountHoldReleased,
    AccountOpened,
    AccountWithdrawn,
)
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.money import ZERO, require_usd
from marketplace.domain.refusals import refuse_exists, refuse_unknown


class OpenAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Open a party's account."""

    account_id: str
    party_id: str


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """Record money that came in."""

    account_id: str
    amount_usd: Decimal
    reference: str


class Withdraw(msgspec.Struct, frozen=True, kw_only=True):
    """Record money that goes out."""

    account_id: str
    amount_usd: Decimal
    reference: str


class PlaceHold(msgspec.Struct, frozen=True, kw_only=True):
    """Set money aside; an amount of 0 places a hold that can pay nothing."""

    account_id: str
    hold_id: str
    amount_usd: Decimal
    purpose: str


class CaptureHold(msgspec.Struct, frozen=True, kw_only=True):
    """Pay held money."""

    account_id: str
    hold_id: str
    amount_usd: Decimal
    payee_account_id: str
    cause: str


class AdjustHold(msgspec.Struct, frozen=True, kw_only=True):
    """Raise or lower what a hold has left, to an amount."""

    account_id: str
    hold_id: str
    amount_usd: Decimal
    reason: str


class Debit(msgspec.Struct, frozen=True, kw_only=True):
    """Pay available money."""

    account_id: str
    amount_usd: Decimal
    payee_account_id: str
    cause: str


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """Be paid."""

    account_id: str
    amount_usd: Decimal
    payer_account_id: str
    cause: str


AccountCommand = OpenAccount | Deposit | Withdraw | PlaceHold | CaptureHold | AdjustHold | Debit | Credit


@dataclass(frozen=True, slots=True)
class Hold:
    """Money set aside: what is left of it, what was captured, and what it is for."""

    left_usd: Decimal
    captured_usd: Decimal
    purpose: str


@dataclass(frozen=True, slots=True)
class Account:
    """An open account.

    `references` and `causes` map what moved money before to its amount, so that nothing counts twice.
    """

    party_id: str
    available_usd: Decimal = ZERO
    holds: Map[str, Hold] = field(default_factory=Map)
    references: Map[str, Decimal] = field(default_factory=Map)
    causes: Map[str, Decimal] = field(default_factory=Map)

    @property
    def held_usd(self) -> Decimal:
        """Return the sum of the holds."""
        return sum((hold.left_usd for hold in self.holds.values()), ZERO)


AccountState = Account | None


def decide(command: AccountCommand, state: AccountState) -> Sequence[AccountEvent]:
    """Return what a command changes; see the module for the order of refusals."""
    if isinstance(command, OpenAccount):
        return _open(command, state)
    if state is None:
        raise refuse_unknown("account", command.account_id)
    match command:
        case Deposit():
            return _deposit(command, state)
        case Withdraw():
            return _withdraw(command, state)
        case PlaceHold():
            return _place(command, state)
        case CaptureHold():
            return _capture(command, state)
        case AdjustHold():
            return _adjust(command, state)
        case Debit():
            return _debit(command, state)
        case Credit():
            return _credit(command, state)


def _open(command: OpenAccount, state: AccountState) -> Sequence[AccountEvent]:
    if state is None:
        return [AccountOpened(account_id=command.account_id, party_id=command.party_id, unit="USD")]
    if state.party_id == command.party_id:
        return []
    raise refuse_exists("account", command.account_id)


def _is_repeat(seen: Map[str, Decimal], key: str, amount_usd: Decimal, what: str) -> bool:
    before = seen.get(key)
    if before is None:
        return False
    if before == amount_usd:
        return True
    raise Refusal(
        f"{what}_exists",
        f"{key} moved {before} before, not {amount_usd}; use another {what}",
        pointer="/reference" if what == "reference" else None,
    )


def _require_funds(account_id: str, state: Account, amount_usd: Decimal) -> None:
    if amount_usd > state.available_usd:
        raise Refusal(
            "funds_insufficient",
            f"{amount_usd} are needed and {state.available_usd} available; deposit the difference",
            account_id=account_id,
            needed_usd=str(amount_usd),
            available_usd=str(state.available_usd),
        )


def _deposit(command: Deposit, state: Account) -> Sequence[AccountEvent]:
    require_usd(command.amount_usd, "/amount_usd")
    if _is_repeat(state.references, command.reference, command.amount_usd, "reference"):
        return []
    return [
        AccountDeposited(
            account_id=command.account_id,
            party_id=state.party_id,
            amount_usd=command.amount_usd,
            reference=command.reference,
        )
    ]


def _withdraw(command: Withdraw, state: Account) -> Sequence[AccountEvent]:
    require_usd(command.amount_usd, "/amount_usd")
    if _is_repeat(state.references, command.reference, -command.amount_usd, "reference"):
        return []
    _require_funds(command.account_id, state, command.amount_usd)
    return [
        AccountWithdrawn(
            account_id=command.account_id,
            party_id=state.party_id,
            amount_usd=command.amount_usd,
            reference=command.reference,
        )
    ]


def _place(command: PlaceHold, state: Account) -> Sequence[AccountEvent]:
    require_usd(command.amount_usd, "/amount_usd", zero=True)
    known = state.holds.get(command.hold_id)
    if known is not None:
        if (known.left_usd, known.purpose) == (command.amount_usd, command.purpose):
            return []
        raise Refusal("hold_exists", f"hold {command.hold_id} exists with another amount", hold_id=command.hold_id)
    _require_funds(command.account_id, state, command.amount_usd)
    return [
        AccountHoldPlaced(
            account_id=command.account_id,
            party_id=state.party_id,
            hold_id=command.hold_id,
            amount_usd=command.amount_usd,
            purpose=command.purpose,
        )
    ]


def _get_hold(state: Account, account_id: str, hold_id: str) -> Hold:
    held = state.holds.get(hold_id)
    if held is None:
        raise Refusal("hold_unknown", f"account {account_id} has no hold {hold_id}", hold_id=hold_id)
    return held


def _capture(command: CaptureHold, state: Account) -> Sequence[AccountEvent]:
    require_usd(command.amount_usd, "/amount_usd")
    if _is_repeat(state.causes, _key("to", command.payee_account_id, command.cause), -command.amount_usd, "cause"):
        return []
    held = _get_hold(state, command.account_id, command.hold_id).left_usd
    if command.amount_usd > held:
        raise Refusal(
            "capture_above_hold",
            f"hold {command.hold_id} has {held}; {command.amount_usd} cannot be captured",
            held_usd=str(held),
        )
    return [
        AccountHoldCaptured(
            account_id=command.account_id,
            party_id=state.party_id,
            hold_id=command.hold_id,
            amount_usd=command.amount_usd,
            payee_account_id=command.payee_account_id,
            cause=command.cause,
        )
    ]


def _adjust(command: AdjustHold, state: Account) -> Sequence[AccountEvent]:
    require_usd(command.amount_usd, "/amount_usd", zero=True)
    held = _get_hold(state, command.account_id, command.hold_id).left_usd
    change = command.amount_usd - held
    if not change:
        return []
    if change < 0:
        return [
            AccountHoldReleased(
                account_id=command.account_id,
                party_id=state.party_id,
                hold_id=command.hold_id,
                amount_usd=-change,
                reason=command.reason,
            )
        ]
    _require_funds(command.account_id, state, change)
    return [
        AccountHoldPlaced(
            account_id=command.account_id,
            party_id=state.party_id,
            hold_id=command.hold_id,
            amount_usd=change,
            purpose=state.holds[command.hold_id].purpose,
        )
    ]


def _debit(command: Debit, state: Account) -> Sequence[AccountEvent]:
    require_usd(command.amount_usd, "/amount_usd")
    if _is_repeat(state.causes, _key("to", command.payee_account_id, command.cause), -command.amount_usd, "cause"):
        return []
    _require_funds(command.account_id, state, command.amount_usd)
    return [
        AccountDebited(
            account_id=command.account_id,
            party_id=state.party_id,
            amount_usd=command.amount_usd,
            payee_account_id=command.payee_account_id,
            cause=command.cause,
        )
    ]


def _credit(command: Credit, state: Account) -> Sequence[AccountEvent]:
    require_usd(command.amount_usd, "/amount_usd")
    if _is_repeat(state.causes, _key("from", command.payer_account_id, command.cause), command.amount_usd, "cause"):
        return []
    return [
        AccountCredited(
            account_id=command.account_id,
            party_id=state.party_id,
            amount_usd=command.amount_usd,
            payer_account_id=command.payer_account_id,
            cause=command.cause,
        )
    ]


def _key(direction: str, counterpart_id: str, cause: str) -> str:
    """Name a payment within the account; one that pays itself, in two of its roles, has both directions."""
    return f"{cause} {direction} {counterpart_id}"


def evolve(state: AccountState, event: AccountEvent) -> AccountState:
    """Return the state after an event."""
    if isinstance(event, AccountOpened):
        return Account(event.party_id)
    assert state is not None, "an account is opened first"
    amount = event.amount_usd
    match event:
        case AccountDeposited():
            return _move(state, amount, references=state.references.set(event.reference, amount))
        case AccountWithdrawn():
            return _move(state, -amount, references=state.references.set(event.reference, -amount))
        case AccountHoldPlaced():
            known = state.holds.get(event.hold_id, Hold(ZERO, ZERO, event.purpose))
            return _move(state, -amount, holds=_set_hold(state, event.hold_id, known, amount))
        case AccountHoldReleased():
            return _move(state, amount, holds=_set_hold(state, event.hold_id, state.holds[event.hold_id], -amount))
        case AccountHoldCaptured():
            known = state.holds[event.hold_id]
            return replace(
                state,
                holds=state.holds.set(
                    event.hold_id, Hold(known.left_usd - amount, known.captured_usd + amount, known.purpose)
                ),
                causes=state.causes.set(_key("to", event.payee_account_id, event.cause), -amount),
            )
        case AccountDebited():
            return _move(
                state, -amount, causes=state.causes.set(_key("to", event.payee_account_id, event.cause), -amount)
            )
        case AccountCredited():
            return _move(
                state, amount, causes=state.causes.set(_key("from", event.payer_account_id, event.cause), amount)
            )


def _set_hold(state: Account, hold_id: str, hold: Hold, amount_usd: Decimal) -> Map[str, Hold]:
    return state.holds.set(hold_id, Hold(hold.left_usd + amount_usd, hold.captured_usd, hold.purpose))


def _move(
    state: Account,
    amount_usd: Decimal,
    *,
    holds: Map[str, Hold] | None = None,
    references: Map[str, Decimal] | None = None,
    causes: Map[str, Decimal] | None = None,
) -> Account:
    return Account(
        party_id=state.party_id,
        available_usd=state.available_usd + amount_usd,
        holds=state.holds if holds is None else holds,
        references=state.references if references is None else references,
        causes=state.causes if causes is None else causes,
    )


ACCOUNT: Decider[AccountCommand, AccountEvent, AccountState] = Decider("account", "acc", None, decide, evolve)
