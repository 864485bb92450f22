"""Commands of accounts; `marketplace.domain.billing.account` decides them."""

from datetime import datetime
from decimal import Decimal

import msgspec


class OpenAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Open a party's account."""

    account_id: str
    party_id: str


class CloseAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Close an account to anything new."""

    account_id: str
    reason: str


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    """Record money that came in."""

    account_id: str
    amount_usd: Decimal
    reference: str
    provider: str = "manual"
    booked_at: datetime | None = None


class Withdraw(msgspec.Struct, frozen=True, kw_only=True):
    """Record money that goes out."""

    account_id: str
    amount_usd: Decimal
    reference: str
    provider: str = "manual"
    booked_at: datetime | None = None


class PlaceHold(msgspec.Struct, frozen=True, kw_only=True):
    """Set money aside. An amount of 0 places a hold that can pay nothing.

    Attributes:
        account_id: The account.
        hold_id: The hold.
        amount_usd: The amount.
        purpose: The id of the order, mandate or quote that it is for, or of the account that may be paid from it.
        expires_at: When the rest of it is available again; None for a hold that ends with its purpose.
        at: Now; needed with `expires_at`.
    """

    account_id: str
    hold_id: str
    amount_usd: Decimal
    purpose: str
    expires_at: datetime | None = None
    at: datetime | None = None


class CaptureHold(msgspec.Struct, frozen=True, kw_only=True):
    """Pay held money. If given, `at` must be before the hold's expiry."""

    account_id: str
    hold_id: str
    amount_usd: Decimal
    payee_account_id: str
    cause: str
    at: datetime | None = None


class AdjustHold(msgspec.Struct, frozen=True, kw_only=True):
    """Set what is left of a hold to an amount."""

    account_id: str
    hold_id: str
    amount_usd: Decimal
    reason: str


class ExpireHold(msgspec.Struct, frozen=True, kw_only=True):
    """Release what is left of a hold that has expired."""

    account_id: str
    hold_id: str
    at: datetime


class Debit(msgspec.Struct, frozen=True, kw_only=True):
    """Pay available money. If `owed`, a closed account may pay too."""

    account_id: str
    amount_usd: Decimal
    payee_account_id: str
    cause: str
    owed: bool = False


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """Receive a payment."""

    account_id: str
    amount_usd: Decimal
    payer_account_id: str
    cause: str


AccountCommand = (
    OpenAccount | CloseAccount | Deposit | Withdraw | PlaceHold | CaptureHold | AdjustHold | ExpireHold | Debit | Credit
)
