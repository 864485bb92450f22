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
    """Take a promise back."""

    issuer_id: str
    promise_id: str
    reason: str


class GrantOption(msgspec.Struct, frozen=True, kw_only=True):
    """Grant an option on common stock from the pool, or from what was promised."""

    issuer_id: str
    option_id: str
    holder_id: str
    shares: int
    exercise_price_usd: Decimal
    vesting: VestingSchedule | None = None
    promise_id: str | None = None
    approval: Approval | None = None


class ExerciseOption(msgspec.Struct, frozen=True, kw_only=True):
    """Turn an option, or part of it, into shares of a class of common stock."""

    issuer_id: str
    exercise_id: str
    option_id: str
    class_id: str
    shares: int
    at: Instant


class CancelOption(msgspec.Struct, frozen=True, kw_only=True):
    """End an option, or part of it, without shares; what was not vested yet is all that can be forfeited."""

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
    """Let every tranche vest whose conditions hold.

    Attributes:
        issuer_id: The issuer.
        delivered_gpu_seconds: Accepted delivery by grant.
        at: When it is looked at.
    """

    issuer_id: str
    delivered_gpu_seconds: Mapping[str, int]
    at: Instant


class ExerciseWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """Turn a warrant, or part of it, into shares.

    Attributes:
        issuer_id: The issuer.
        exercise_id: The exercise.
        warrant_id: The warrant.
        shares: Rights to use: shares to issue for cash, or Y of a net exercise, which gives Y (A - B) / A, floored.
        fair_value_usd: A, value of one share, in a net exercise; None: paid in cash.
        delivered_gpu_seconds: Accepted delivery by grant, for what has vested by now.
        at: When it is exercised; not after its expiry.
        shares_issued: What was issued, where an import says so and the value of a share is not known.
    """

    issuer_id: str
    exercise_id: str
    warrant_id: str
    shares: int
    at: Instant
    fair_value_usd: Decimal | None = None
    delivered_gpu_seconds: Mapping[str, int] = {}
    shares_issued: int | None = None


class ExpireWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """End a warrant whose time is over."""

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
