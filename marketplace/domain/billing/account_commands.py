"""Commands of accounts; `marketplace.domain.billing.account` decides them."""

from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

import msgspec

from events.account import AccountAct, LimitAct
from marketplace.core.money import ZERO

UNIT: Final = "USD"
"""The currency of every account."""


class OpenAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Open a party's account."""

    account_id: str
    party_id: str


class CloseAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Close an account to anything new; `alone` if one person of the party does it."""

    account_id: str
    reason: str
    alone: bool = False


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """Record money that came in; `alone_at` is when one person of the platform alone does it, else None."""

    account_id: str
    amount_usd: Decimal
    reference: str
    provider: str = "manual"
    booked_at: datetime | None = None
    alone_at: datetime | None = None


class Withdraw(msgspec.Struct, frozen=True, kw_only=True):
    """Record money that goes out.

    Attributes:
        account_id: The account.
        amount_usd: The amount.
        reference: Counts once.
        provider: Who vouches for it.
        booked_at: When it was booked outside.
        alone_at: When one person alone does it; None where two do, or the platform.
        at: Now; None if the account's reserve does not matter, since it was asked before or a court orders it.
    """

    account_id: str
    amount_usd: Decimal
    reference: str
    provider: str = "manual"
    booked_at: datetime | None = None
    alone_at: datetime | None = None
    at: datetime | None = None


class PlaceHold(msgspec.Struct, frozen=True, kw_only=True):
    """Set money aside. An amount of 0 places a hold that can pay nothing.

    Attributes:
        account_id: The account.
        hold_id: The hold.
        amount_usd: The amount.
        purpose: The id of the order, mandate or quote that it is for, or of the account that may be paid from it.
        expires_at: When the rest of it is available again; None for a hold that ends with its purpose.
        at: Now; needed with `expires_at`. The account's reserve is then not available.
        alone_at: When one person alone sets it aside for another account; None otherwise.
        quota: The most holds with money for purposes of this kind; None for any number.
        bought_at: When one person alone buys by it; None where two persons do, or nothing is bought.
        is_staged: Whether what it buys costs more in later stages.
        credit: A provider, and how much of its credit the hold takes in place of money; None for none.
        principal_usd: The most principal that the purchase may owe beside it.
    """

    account_id: str
    hold_id: str
    amount_usd: Decimal
    purpose: str
    expires_at: datetime | None = None
    at: datetime | None = None
    alone_at: datetime | None = None
    quota: int | None = None
    bought_at: datetime | None = None
    is_staged: bool = False
    credit: tuple[str, Decimal] | None = None
    principal_usd: Decimal = ZERO


class Reserve(msgspec.Struct, frozen=True, kw_only=True):
    """Keep part of what the account has for corrections, until an instant; an amount of 0 ends it."""

    account_id: str
    amount_usd: Decimal
    until: datetime
    cause: str


class LimitCredit(msgspec.Struct, frozen=True, kw_only=True):
    """Set how much credit a provider gives the account for new orders; 0 for none."""

    account_id: str
    provider_id: str
    limit_usd: Decimal


class CaptureHold(msgspec.Struct, frozen=True, kw_only=True):
    """Pay held money. If given, `at` must be before the hold's expiry."""

    account_id: str
    hold_id: str
    amount_usd: Decimal
    payee_account_id: str
    cause: str
    at: datetime | None = None


class AdjustHold(msgspec.Struct, frozen=True, kw_only=True):
    """Set what is left of a hold to an amount.

    `alone_at` is when one person alone raises it for others; else None. If `at` is given, the account's reserve is not
    available to raise it. A hold that is set to 0 takes no credit any more, unless it `keeps_credit`.
    """

    account_id: str
    hold_id: str
    amount_usd: Decimal
    reason: str
    alone_at: datetime | None = None
    at: datetime | None = None
    keeps_credit: bool = False


class ExpireHold(msgspec.Struct, frozen=True, kw_only=True):
    """Release what is left of a hold that has expired."""

    account_id: str
    hold_id: str
    at: datetime


class Debit(msgspec.Struct, frozen=True, kw_only=True):
    """Pay available money. If `owed`, a closed account may pay too.

    What the account keeps for corrections and due statements pays it only without `at`, the time of the payment.
    """

    account_id: str
    amount_usd: Decimal
    payee_account_id: str
    cause: str
    owed: bool = False
    at: datetime | None = None


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """Receive a payment."""

    account_id: str
    amount_usd: Decimal
    payer_account_id: str
    cause: str


class SetLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Set what one person alone may let go and buy.

    Attributes:
        account_id: The account.
        limits: The limits. They replace earlier ones.
        unit: The currency.
        person: Who sets it, empty for a key that names nobody; None for the platform, or where two persons do.
    """

    account_id: str
    limits: LimitAct
    unit: str = UNIT
    person: str | None = None


class UseLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Count what one person alone lets go by an act on an issuer, whose payments other commands record."""

    account_id: str
    amount_usd: Decimal
    cause: str
    at: datetime


class RequestApproval(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for an act that takes two persons, and hold its money.

    Attributes:
        account_id: The account.
        approval_id: The request.
        act: What is asked for.
        person: Who asks; empty for nobody.
        at: When.
        unit: The currency of the act.
        operator: Who of the platform stands behind the key; None for its first key, and for who got the key from that.
    """

    account_id: str
    approval_id: str
    act: AccountAct
    person: str
    at: datetime
    unit: str = UNIT
    operator: str | None = None


class Approve(msgspec.Struct, frozen=True, kw_only=True):
    """Approve an act as a second person, and do it.

    Attributes:
        account_id: The account.
        approval_id: The request.
        person: Who approves; empty for nobody.
        at: When.
        provider: Who vouches for a deposit or withdrawal.
        booked_at: When that was booked outside; None where that is not known.
        operator: Who of the platform stands behind the key; see `RequestApproval`.
    """

    account_id: str
    approval_id: str
    person: str
    at: datetime
    provider: str = "manual"
    booked_at: datetime | None = None
    operator: str | None = None


class EndApproval(msgspec.Struct, frozen=True, kw_only=True):
    """End a request without its act. The platform ends it without naming a person."""

    account_id: str
    approval_id: str
    outcome: Literal["refused", "withdrawn"]
    reason: str
    person: str | None


class LapseApproval(msgspec.Struct, frozen=True, kw_only=True):
    """End a request that nobody approved in time."""

    account_id: str
    approval_id: str
    at: datetime


ApprovalCommand = SetLimit | UseLimit | RequestApproval | Approve | EndApproval | LapseApproval
AccountCommand = (
    OpenAccount
    | CloseAccount
    | Deposit
    | Withdraw
    | PlaceHold
    | CaptureHold
    | AdjustHold
    | ExpireHold
    | Reserve
    | LimitCredit
    | Debit
    | Credit
    | ApprovalCommand
)
