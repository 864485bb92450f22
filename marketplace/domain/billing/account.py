"""Accounts: one party's dollars, available or held.

Subject: ``marketplace.account.<account_id>``.

Invariants:
    1. Neither available money nor any hold is ever negative.
    2. A payment's reference counts once, a deposit's once in the whole market. A cause moves money at most once per
       counterpart and direction.
    3. A capture or debit is in the same atomic batch as the credit of its payee.
    4. A hold with an expiry pays nothing after it; the rest of the hold is available again.
    5. A closed account has no holds, except of withdrawals that wait for a second person. It still receives and pays
       what is owed, and may be emptied, but begins nothing new. While a sale of the company is declared, it takes
       deposits.
    6. Above a limit that is set, what one person asks for happens once another person approves it, and its money is
       held until then. This covers orders too. Deposits are asked for and approved by persons of the platform.
    7. A reserve for corrections or a due statement is neither withdrawn nor held for others, and pays for no early
       end. It pays what is owed.
    8. Orders and grants take no more of a provider's credit than its limit at the time when each of them was placed.

Refusals in order: account_unknown · account_exists · approval_exists · approval_unknown · approval_<status> ·
approval_not_due · person_missing · person_same · requester_only · unit_unsupported · payee_is_payer · not_a_number ·
amount_not_positive · amount_too_large · amount_too_precise · reference_exists · cause_exists · hold_exists ·
second_person_missing · limit_exceeded · holds_left · hold_unknown · account_closed · holds_exhausted · time_naive ·
expiry_passed · hold_not_due · hold_expired · funds_insufficient · funds_reserved · credit_exhausted ·
capture_above_hold.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from events.account import (
    AccountClosed,
    AccountCredited,
    AccountDebited,
    AccountDeposited,
    AccountEvent,
    AccountOpened,
    AccountWithdrawn,
)
from marketplace.core.decider import Decider, decide_by_type
from marketplace.core.errors import Refusal
from marketplace.core.money import require_usd
from marketplace.domain.billing import account_approvals as approvals
from marketplace.domain.billing.account_commands import (
    AccountCommand,
    AdjustHold,
    Approve,
    CaptureHold,
    CloseAccount,
    Credit,
    Debit,
    Deposit,
    EndApproval,
    ExpireHold,
    LapseApproval,
    LimitCredit,
    OpenAccount,
    PlaceHold,
    RequestApproval,
    Reserve,
    SetLimit,
    UseLimit,
    Withdraw,
)
from marketplace.domain.billing.account_state import (
    UNLIMITED,
    Account,
    AccountState,
    adjust,
    capture,
    count_alone,
    evolve,
    expire,
    is_repeat,
    key_of,
    limit_credit,
    place,
    require_free,
    require_funds,
    require_open,
    reserve,
)
from marketplace.domain.refusals import refuse_exists, refuse_unknown


def _open(command: OpenAccount, state: AccountState) -> Sequence[AccountEvent]:
    if state is None:
        return [AccountOpened(account_id=command.account_id, party_id=command.party_id, unit="USD")]
    if state.party_id == command.party_id:
        return []
    raise refuse_exists("account", command.account_id)


def _close(command: CloseAccount, state: Account) -> Sequence[AccountEvent]:
    if state.closed:
        return []
    if command.alone and state.limits != UNLIMITED:
        text = f"account {command.account_id} has a limit, and one person alone does not close it for good"
        raise Refusal("limit_exceeded", f"{text}; let two persons remove the limit first")
    if state.held_usd or state.committed:
        raise Refusal(
            "holds_left",
            f"account {command.account_id} still holds {state.held_usd}; close it once its orders, grants and"
            " mandates have ended",
            held_usd=str(state.held_usd),
        )
    return [AccountClosed(account_id=command.account_id, party_id=state.party_id, reason=command.reason)]


def _deposit(command: Deposit, state: Account) -> Sequence[AccountEvent]:
    require_usd(command.amount_usd, "/amount_usd")
    if is_repeat(state.references, command.reference, command.amount_usd, "reference"):
        return []
    if not state.keeps_proceeds:
        require_open(command.account_id, state)
    return [
        AccountDeposited(
            account_id=command.account_id,
            party_id=state.party_id,
            amount_usd=command.amount_usd,
            reference=command.reference,
            provider=command.provider,
            booked_at=command.booked_at,
            alone_at=command.alone_at,
        )
    ]


def _withdraw(command: Withdraw, state: Account) -> Sequence[AccountEvent]:
    require_usd(command.amount_usd, "/amount_usd")
    if is_repeat(state.references, command.reference, -command.amount_usd, "reference"):
        return []
    require_funds(command.account_id, state, command.amount_usd)
    require_free(command.account_id, state, command.amount_usd, command.at)
    return [
        *count_alone(command.account_id, state, command.amount_usd, command.alone_at),
        AccountWithdrawn(
            account_id=command.account_id,
            party_id=state.party_id,
            amount_usd=command.amount_usd,
            reference=command.reference,
            provider=command.provider,
            booked_at=command.booked_at,
        ),
    ]


def _debit(command: Debit, state: Account) -> Sequence[AccountEvent]:
    require_usd(command.amount_usd, "/amount_usd")
    if is_repeat(state.causes, key_of("to", command.payee_account_id, command.cause), -command.amount_usd, "cause"):
        return []
    if not command.owed:
        require_open(command.account_id, state)
    if not command.on_trust:
        require_funds(command.account_id, state, command.amount_usd)
        require_free(command.account_id, state, command.amount_usd, command.at)
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
    if is_repeat(state.causes, key_of("from", command.payer_account_id, command.cause), command.amount_usd, "cause"):
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


_DECIDE: Final[dict[type[AccountCommand], Callable[[Any, Account], Sequence[AccountEvent]]]] = {
    CloseAccount: _close,
    Deposit: _deposit,
    Withdraw: _withdraw,
    PlaceHold: place,
    CaptureHold: capture,
    AdjustHold: adjust,
    ExpireHold: expire,
    Reserve: reserve,
    LimitCredit: limit_credit,
    Debit: _debit,
    Credit: _credit,
    SetLimit: approvals.set_limit,
    UseLimit: approvals.use_limit,
    RequestApproval: approvals.request,
    Approve: approvals.approve,
    EndApproval: approvals.end,
    LapseApproval: approvals.lapse,
}

ACCOUNT: Final[Decider[AccountCommand, AccountEvent, AccountState]] = Decider(
    "account",
    "acc",
    None,
    decide_by_type(AccountCommand, _open, _DECIDE, lambda command: refuse_unknown("account", command.account_id)),
    evolve,
)
