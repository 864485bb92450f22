"""Accounts: one party's money in one unit, available or held."""

from typing import Annotated, Literal

from msgspec import Meta

from events.types import Event, Id, Text, Usd

Reference = Annotated[str, Meta(min_length=1, max_length=200, description="The payment's own id, unique per account")]


class AccountOpened(Event, frozen=True, kw_only=True, tag="account.opened.v1"):
    """A party has an account.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        unit: Unit of every amount in it.
    """

    account_id: Id
    party_id: Id
    unit: Literal["USD"]


class AccountDeposited(Event, frozen=True, kw_only=True, tag="account.deposited.v1"):
    """Money came in from outside.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        amount_usd: How much.
        reference: The payment's own id.
    """

    account_id: Id
    party_id: Id
    amount_usd: Usd
    reference: Reference


class AccountWithdrawn(Event, frozen=True, kw_only=True, tag="account.withdrawn.v1"):
    """Money went out.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        amount_usd: How much.
        reference: The payment's own id.
    """

    account_id: Id
    party_id: Id
    amount_usd: Usd
    reference: Reference


class AccountHoldPlaced(Event, frozen=True, kw_only=True, tag="account.hold_placed.v1"):
    """Money was set aside.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        hold_id: The hold.
        amount_usd: How much.
        purpose: What for: the id of an order, mandate or quote.
    """

    account_id: Id
    party_id: Id
    hold_id: Id
    amount_usd: Usd
    purpose: Id


class AccountHoldCaptured(Event, frozen=True, kw_only=True, tag="account.hold_captured.v1"):
    """Held money was paid.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        hold_id: The hold.
        amount_usd: How much.
        payee_account_id: Who is paid; its `account.credited` stands in the same atomic batch.
        cause: What it was paid for: the id of a statement or instrument.
    """

    account_id: Id
    party_id: Id
    hold_id: Id
    amount_usd: Usd
    payee_account_id: Id
    cause: Id


class AccountHoldReleased(Event, frozen=True, kw_only=True, tag="account.hold_released.v1"):
    """Held money is available again.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        hold_id: The hold.
        amount_usd: How much.
        reason: Why.
    """

    account_id: Id
    party_id: Id
    hold_id: Id
    amount_usd: Usd
    reason: Text


class AccountDebited(Event, frozen=True, kw_only=True, tag="account.debited.v1"):
    """Available money was paid to another account.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        amount_usd: How much.
        payee_account_id: Who is paid; its `account.credited` stands in the same atomic batch.
        cause: What it was paid for: the id of an instrument or liquidity event.
    """

    account_id: Id
    party_id: Id
    amount_usd: Usd
    payee_account_id: Id
    cause: Id


class AccountCredited(Event, frozen=True, kw_only=True, tag="account.credited.v1"):
    """Another account paid.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        amount_usd: How much.
        payer_account_id: Who paid.
        cause: What it was paid for.
    """

    account_id: Id
    party_id: Id
    amount_usd: Usd
    payer_account_id: Id
    cause: Id


AccountEvent = (
    AccountOpened
    | AccountDeposited
    | AccountWithdrawn
    | AccountHoldPlaced
    | AccountHoldCaptured
    | AccountHoldReleased
    | AccountDebited
    | AccountCredited
)
