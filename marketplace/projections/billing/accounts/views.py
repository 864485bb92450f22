"""The views of the accounts."""

from datetime import datetime
from decimal import Decimal

import msgspec


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """One party's account with the market."""

    account_id: str
    party_id: str
    unit: str
    opened_at: datetime
    closed_at: datetime | None
    last_sequence: int


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """The balance of one ledger account, and the event that moved it last."""

    account: str
    party_id: str | None
    unit: str
    amount: Decimal
    last_sequence: int


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One line that one event posted; positive into the account.

    Attributes:
        sequence: The event's position in the log.
        line: Which of its lines.
        account: The ledger account.
        party_id: The party; None for the outside world and money in transit.
        unit: The account's unit.
        amount: Positive into the account.
        tag: The event's type.
        cause: Its purpose: a payment's reference, an id, or words; None if the event has none.
        recorded_at: When the event was recorded.
        occurred_at: When its content occurred.
    """

    sequence: int
    line: int
    account: str
    party_id: str | None
    unit: str
    amount: Decimal
    tag: str
    cause: str | None
    recorded_at: datetime
    occurred_at: datetime


class TrialBalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts of one kind in one unit; the amounts of a unit sum to zero."""

    unit: str
    kind: str
    accounts: int
    amount: Decimal
