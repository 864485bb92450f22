"""Commands to issuers on options and warrants; `marketplace.domain.equity.issuer.issuer` decides them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import msgspec

from events.financing import Approval
from events.types import Instant
from events.vesting import VestingSchedule, WarrantTranche


class PromiseOption(msgspec.Struct, frozen=True, kw_only=True):
    """Promise an option that is to be granted later."""

    issuer_id: str
    promise_id: str
    holder_id: str
    shares: int


class WithdrawPromise(msgspec.Struct, frozen=True, kw_only=True):
    """Withdraw a promise."""

    issuer_id: str
    promise_id: str
    reason: str


class GrantOption(msgspec.Struct, frozen=True, kw_only=True):
    """Grant an option on common stock from the pool, or from a promise."""

    issuer_id: str
    option_id: str
    holder_id: str
    shares: int
    exercise_price_usd: Decimal
    vesting: VestingSchedule | None = None
    promise_id: str | None = None
    approval: Approval | None = None


class ExerciseOption(msgspec.Struct, frozen=True, kw_only=True):
    """Exercise an option, in part or in full, for shares of a class of common stock."""

    issuer_id: str
    exercise_id: str
    option_id: str
    class_id: str
    shares: int
    at: Instant


class CancelOption(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel an option without shares, in part or in full. Only unvested shares can be forfeited."""

    issuer_id: str
    cancellation_id: str
    option_id: str
    shares: int
    kind: Literal["forfeited", "cancelled", "expired"]
    reason: str
    at: Instant


class IssueWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """Issue a right to buy shares."""

    issuer_id: str
    warrant_id: str
    holder_id: str
    class_id: str
    shares: int
    exercise_price_usd: Decimal
    expires_at: Instant
    settlement: Literal["cash", "net", "either"]
    tranches: tuple[WarrantTranche, ...] = ()
    grant_id: str | None = None
    approval: Approval | None = None
    cause: str | None = None


class VestWarrants(msgspec.Struct, frozen=True, kw_only=True):
    """Vest every tranche whose conditions hold.

    Attributes:
        issuer_id: The issuer.
        delivered_gpu_seconds: Accepted delivery by grant.
        at: The time of the check.
    """

    issuer_id: str
    delivered_gpu_seconds: Mapping[str, int]
    at: Instant


class ExerciseWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """Exercise a warrant, in part or in full, for shares.

    Attributes:
        issuer_id: The issuer.
        exercise_id: The exercise.
        warrant_id: The warrant.
        shares: Rights to use. For cash, each buys one share; Y rights in a net exercise give Y (A - B) / A, floored.
        fair_value_usd: A, the value of one share in a net exercise; None if paid in cash.
        fair_value_source: Where A comes from; see `rights/fair_value.py`.
        delivered_gpu_seconds: Accepted delivery by grant, for what has vested by now.
        at: When it is exercised, not after its expiry.
        shares_issued: The shares issued, if an import states them and the value of a share is unknown.
    """

    issuer_id: str
    exercise_id: str
    warrant_id: str
    shares: int
    at: Instant
    fair_value_usd: Decimal | None = None
    fair_value_source: str | None = None
    delivered_gpu_seconds: Mapping[str, int] = {}
    shares_issued: int | None = None


class ExpireWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """End an expired warrant."""

    issuer_id: str
    warrant_id: str
    at: Instant


class CancelWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """End rights of a warrant, in the same atomic append as the clawback of the principal that bought them."""

    issuer_id: str
    cancellation_id: str
    warrant_id: str
    shares: int
    cause: str
    approval: Approval | None = None


RightsCommand = (
    PromiseOption
    | WithdrawPromise
    | GrantOption
    | ExerciseOption
    | CancelOption
    | IssueWarrant
    | VestWarrants
    | ExerciseWarrant
    | ExpireWarrant
    | CancelWarrant
)
