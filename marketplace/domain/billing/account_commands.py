"""Commands of accounts; `marketplace.domain.billing.account` decides them."""

from datetime import datetime
from decimal import Decimal
from typing import Final, Literal, NamedTuple

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
    """Close an account to anything new. `alone` says whether one person of the party does it without a second."""

    account_id: str
    reason: str
    alone: bool = False


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """Record money that came in.

    Attributes:
        account_id: The account.
        amount_usd: The amount.
        reference: The payment's own; it counts once.
        provider: Who vouches for it: a payment provider, or ``manual``.
        booked_at: When it was booked outside; None if that is not known.
        alone_at: When one person of the platform alone records it; None otherwise.
    """

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
        reference: The payment's own; it counts once.
        provider: Who vouches for it: a payment provider, or ``manual``.
        booked_at: When it was booked outside; None if that is not known.
        alone_at: When one person alone does it; None if two do, or the platform.
        at: Now. Then the account's reserves may not go; None lets them go.
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
        purpose: Id of what it is for: an order, grant, mandate, quote, approval, bond, round or service line; or of
            the account that may be paid from it.
        expires_at: When the rest of it is available again; None for a hold that ends with its purpose.
        at: Now; needed with `expires_at`. With it, the account's reserves are not available.
        alone_at: When one person alone sets it aside for another account; None otherwise.
        quota: The most holds, with money or credit, whose purposes have ids of this kind; None for any number.
        related: How many of these the accounts of parties have that firm relations connect with this one.
        bought_at: When one person alone buys by it; None if two persons do, or nothing is bought.
        is_staged: Whether the purchase costs more in later stages.
        credit: A provider, and how much of its credit in USD the purchase takes; None for none.
        principal_usd: The most principal that the purchase may owe besides.
    """

    account_id: str
    hold_id: str
    amount_usd: Decimal
    purpose: str
    expires_at: datetime | None = None
    at: datetime | None = None
    alone_at: datetime | None = None
    quota: int | None = None
    related: int = 0
    bought_at: datetime | None = None
    is_staged: bool = False
    credit: tuple[str, Decimal] | None = None
    principal_usd: Decimal = ZERO


class Reserve(msgspec.Struct, frozen=True, kw_only=True):
    """Keep part of what is available for a `cause`, a payment to correct or to make, until an instant.

    It replaces what was kept for that cause; 0 ends it.
    """

    account_id: str
    amount_usd: Decimal
    until: datetime
    cause: str


class LimitCredit(msgspec.Struct, frozen=True, kw_only=True):
    """Set up to which sum, in all, new orders may take a provider's credit; 0: they may take none."""

    account_id: str
    provider_id: str
    limit_usd: Decimal


class CaptureHold(msgspec.Struct, frozen=True, kw_only=True):
    """Pay held money. `at` is now, to refuse a hold whose expiry has come; None pays also from such a hold."""

    account_id: str
    hold_id: str
    amount_usd: Decimal
    payee_account_id: str
    cause: str
    at: datetime | None = None


class AdjustHold(msgspec.Struct, frozen=True, kw_only=True):
    """Set what is left of a hold to an amount.

    Attributes:
        account_id: The account.
        hold_id: The hold.
        amount_usd: What is to be left.
        reason: Why, for money that is released.
        alone_at: When one person alone raises it for another account; None otherwise.
        at: Now. With it, the account's reserves are not available to raise it.
        keeps_credit: Whether a hold that is set to 0 still takes its provider's credit.
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
    """Pay available money to another account.

    `owed` lets a closed account pay. `at` is now, and keeps the account's reserves from paying; without it, they pay.
    `on_trust`: whether the sender may not learn if the account has the money; before the append it is checked that it
    has.
    """

    account_id: str
    amount_usd: Decimal
    payee_account_id: str
    cause: str
    owed: bool = False
    at: datetime | None = None
    on_trust: bool = False


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """Receive the payment that a debit or capture of the payer records in the same append."""

    account_id: str
    amount_usd: Decimal
    payer_account_id: str
    cause: str


class KeyHolder(NamedTuple):
    """For whom a key acts, and which operator of the platform issued it, if one did."""

    person: str
    operator: str | None


class SetLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Set what one person alone may let go and buy.

    Attributes:
        account_id: The account.
        limits: The limits. They replace earlier ones.
        unit: The currency; only `UNIT` is accepted.
        person: Who sets them; empty for a key that names nobody; None for the platform, or if two persons do.
        operator: Which operator of the platform issued that person's key; None if none did.
        approvers: For whom the party's working keys act that may approve; None if a change needs no second person.
    """

    account_id: str
    limits: LimitAct
    unit: str = UNIT
    person: str | None = None
    operator: str | None = None
    approvers: frozenset[KeyHolder] | None = None


class UseLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Count what one person alone lets go by an act whose payments other commands record, once for its cause."""

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
        person: Who asks; empty for a key that names nobody, which is refused.
        at: Now.
        unit: The currency of the act; only `UNIT` is accepted.
        operator: The operator of the platform who issued the key; None for the platform's first key, and for keys that
            were issued with it.
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
        person: Who approves; empty for a key that names nobody, which is refused.
        at: Now.
        provider: Who vouches for a deposit or withdrawal.
        booked_at: When that was booked outside; None if that is not known.
        operator: As in `RequestApproval`.
    """

    account_id: str
    approval_id: str
    person: str
    at: datetime
    provider: str = "manual"
    booked_at: datetime | None = None
    operator: str | None = None


class EndApproval(msgspec.Struct, frozen=True, kw_only=True):
    """End a request without its act: its requester withdraws it, another person refuses it.

    `person` is None for the platform.
    """

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
