"""Holds: money set aside, captured in part or in full, released or expired. Before them what every payment asks.

`marketplace.domain.billing.account` documents the rules and the order of refusals.
"""

from collections.abc import Sequence
from decimal import Decimal

from immutables import Map

from events.account import (
    AccountEvent,
    AccountHoldCaptured,
    AccountHoldExpired,
    AccountHoldPlaced,
    AccountHoldReleased,
)
from marketplace.core.errors import Refusal
from marketplace.core.intervals import require_aware
from marketplace.core.money import require_usd
from marketplace.domain.billing.account_commands import AdjustHold, CaptureHold, ExpireHold, PlaceHold
from marketplace.domain.billing.account_state import (
    Account,
    Hold,
    key_of,
)
from marketplace.domain.refusals import refuse_status


def is_repeat(seen: Map[str, Decimal], key: str, amount_usd: Decimal, what: str) -> bool:
    """Return whether a payment was made before.

    Raises:
        Refusal: ``reference_exists`` or ``cause_exists``: it was made with another amount.
    """
    before = seen.get(key)
    if before is None:
        return False
    if before == amount_usd:
        return True
    raise Refusal(
        f"{what}_exists",
        f"{key} already moved {before}, not {amount_usd}; use another {what}",
        pointer="/reference" if what == "reference" else None,
    )


def require_funds(account_id: str, state: Account, amount_usd: Decimal) -> None:
    """Refuse to spend more than is available.

    Raises:
        Refusal: ``funds_insufficient``.
    """
    if amount_usd > state.available_usd:
        raise Refusal(
            "funds_insufficient",
            f"{amount_usd} is needed and {state.available_usd} is available; deposit the difference",
            account_id=account_id,
            needed_usd=str(amount_usd),
            available_usd=str(state.available_usd),
        )


def require_open(account_id: str, state: Account) -> None:
    """Refuse to begin anything new on a closed account.

    Raises:
        Refusal: ``account_closed``.
    """
    if state.closed:
        raise refuse_status("account", account_id, "closed", "open")


def place(command: PlaceHold, state: Account) -> Sequence[AccountEvent]:
    """Return the events that place a hold."""
    if command.purpose == command.account_id:
        raise Refusal("payee_is_payer", "an account cannot hold money for itself", pointer="/payee_account_id")
    require_usd(command.amount_usd, "/amount_usd", zero=True)
    known = state.holds.get(command.hold_id)
    if known is not None:
        asked = (command.amount_usd, command.purpose, command.expires_at)
        if (known.left_usd, known.purpose, known.expires_at) == asked:
            return []
        raise Refusal("hold_exists", f"hold {command.hold_id} exists with another amount", hold_id=command.hold_id)
    require_open(command.account_id, state)
    _require_time_left(command)
    require_funds(command.account_id, state, command.amount_usd)
    return [
        AccountHoldPlaced(
            account_id=command.account_id,
            party_id=state.party_id,
            hold_id=command.hold_id,
            amount_usd=command.amount_usd,
            purpose=command.purpose,
            expires_at=command.expires_at,
        )
    ]


def _require_time_left(command: PlaceHold) -> None:
    if command.expires_at is None:
        return
    require_aware(command.expires_at, "/expires_at")
    assert command.at is not None, "a hold that expires is placed at a stated instant"
    if command.expires_at <= command.at:
        raise Refusal(
            "expiry_passed",
            f"the expiry {command.expires_at.isoformat()} is not after now, {command.at.isoformat()}",
            pointer="/expires_at",
        )


def _get_hold(state: Account, account_id: str, hold_id: str) -> Hold:
    held = state.holds.get(hold_id)
    if held is None:
        raise Refusal("hold_unknown", f"account {account_id} has no hold {hold_id}", hold_id=hold_id)
    return held


def capture(command: CaptureHold, state: Account) -> Sequence[AccountEvent]:
    """Return the events that pay from a hold."""
    require_usd(command.amount_usd, "/amount_usd")
    if is_repeat(state.causes, key_of("to", command.payee_account_id, command.cause), -command.amount_usd, "cause"):
        return []
    hold = _get_hold(state, command.account_id, command.hold_id)
    over = command.at is not None and hold.expires_at is not None and hold.expires_at <= command.at
    if hold.expired or over:
        raise _refuse_expired(command.hold_id, hold)
    held = hold.left_usd
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


def adjust(command: AdjustHold, state: Account) -> Sequence[AccountEvent]:
    """Return the events that set what is left of a hold."""
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
    require_open(command.account_id, state)
    hold = state.holds[command.hold_id]
    if hold.expired:
        raise _refuse_expired(command.hold_id, hold)
    require_funds(command.account_id, state, change)
    return [
        AccountHoldPlaced(
            account_id=command.account_id,
            party_id=state.party_id,
            hold_id=command.hold_id,
            amount_usd=change,
            purpose=hold.purpose,
            expires_at=hold.expires_at,
        )
    ]


def _refuse_expired(hold_id: str, hold: Hold) -> Refusal:
    assert hold.expires_at is not None, "only a hold with an expiry expires"
    return Refusal(
        "hold_expired",
        f"hold {hold_id} expired at {hold.expires_at.isoformat()}; place another one",
        hold_id=hold_id,
        expires_at=hold.expires_at.isoformat(),
    )


def expire(command: ExpireHold, state: Account) -> Sequence[AccountEvent]:
    """Return the events that release an expired hold."""
    hold = _get_hold(state, command.account_id, command.hold_id)
    require_aware(command.at, "/at")
    if hold.expired:
        return []
    if hold.expires_at is None or command.at < hold.expires_at:
        due = None if hold.expires_at is None else hold.expires_at.isoformat()
        says = "never expires by itself" if due is None else f"expires at {due}"
        raise Refusal("hold_not_due", f"hold {command.hold_id} {says}; it is {command.at.isoformat()}", due=due)
    return [
        AccountHoldExpired(
            account_id=command.account_id,
            party_id=state.party_id,
            hold_id=command.hold_id,
            amount_usd=hold.left_usd,
            at=command.at,
        )
    ]
