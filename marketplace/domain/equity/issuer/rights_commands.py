"""Commands to issuers on options and warrants; `marketplace.domain.equity.issuer.issuer` decides them.

Those on what warrants are measured by are in `programme_commands`.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from events.financing import Approval
from events.types import Cancellation, Instant, Settlement, WarrantReduction, WarrantTransfer
from events.vesting import ChangeOfControl, PriceAverage, VestingSchedule, WarrantTranche
from marketplace.domain.equity.issuer.programme_commands import ProgrammeCommand


class PromiseOption(msgspec.Struct, frozen=True, kw_only=True):
    """Promise an option that is to be granted later. Its shares are no longer available in the pool."""

    issuer_id: str
    promise_id: str
    holder_id: str
    shares: int


class WithdrawPromise(msgspec.Struct, frozen=True, kw_only=True):
    """Withdraw a promise of options that were not granted."""

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
    termination_exercise_days: int | None = None


class ExerciseOption(msgspec.Struct, frozen=True, kw_only=True):
    """Exercise an option, in part or in full, for shares of a class of common stock."""

    issuer_id: str
    exercise_id: str
    option_id: str
    class_id: str
    shares: int
    at: Instant


class TransferOption(msgspec.Struct, frozen=True, kw_only=True):
    """Transfer a whole option from a holder without a key to the party that it is.

    Attributes:
        issuer_id: The issuer.
        transfer_id: The transfer.
        option_id: The option.
        holder_id: Who holds it.
        holder_id_after: Who gets it.
    """

    issuer_id: str
    transfer_id: str
    option_id: str
    holder_id: str
    holder_id_after: str


class CancelOption(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel an option without shares, in part or in full. Only unvested shares can be forfeited.

    Where the option depends on service, a forfeiture ends that on the day of `at`, also one of 0 shares.
    """

    issuer_id: str
    cancellation_id: str
    option_id: str
    shares: int
    kind: Cancellation
    reason: str
    at: Instant


class IssueWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """Issue a right to buy shares.

    `on_reduction` says what becomes of vested shares if a purchase ends before it is paid; it must be stated where
    tranches count purchases.
    """

    issuer_id: str
    warrant_id: str
    holder_id: str
    class_id: str
    shares: int
    exercise_price_usd: Decimal
    expires_at: Instant
    settlement: Settlement
    tranches: tuple[WarrantTranche, ...] = ()
    grant_ids: tuple[str, ...] = ()
    programme_id: str | None = None
    on_reduction: WarrantReduction | None = None
    transfer: WarrantTransfer = "none"
    affiliate_ids: tuple[str, ...] = ()
    change_of_control: ChangeOfControl | None = None
    fair_value: PriceAverage | None = None
    approval: Approval | None = None
    cause: str | None = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What was accepted under a grant, less credits.

    Attributes:
        gpu_seconds: Accepted GPU-seconds.
        customer_id: Who pays for it, whoever uses it; empty if it does not matter.
        pool_id: Whose nodes it has; empty for nodes of its own.
        span: From when to when it has them.
        named_by: Its sellers, if they alone say that they are related to its buyer; it counts in no warrant of theirs.
        gpus: GPUs of the grant.
        kilowatts: Power of its nodes.
        purchased_usd: Dollars of capacity that was awarded; of a grant that ended early, those that were paid.
        paid_usd: Dollars that accepted statements charge for it, without what the seller of resold hours adds.
    """

    gpu_seconds: int
    customer_id: str = ""
    pool_id: str = ""
    span: tuple[Instant, Instant] | None = None
    named_by: tuple[str, ...] = ()
    gpus: int = 1
    kilowatts: int = 0
    purchased_usd: Fraction = Fraction(0)
    paid_usd: Fraction = Fraction(0)


class VestWarrants(msgspec.Struct, frozen=True, kw_only=True):
    """Vest and release every tranche whose conditions hold, and fix prices that may be fixed.

    Attributes:
        issuer_id: The issuer.
        delivered: Accepted delivery by grant.
        interested: By warrant, whose prices alone do not count for it; without an entry, its holders' and affiliates'.
        at: The time of the check.
    """

    issuer_id: str
    delivered: Mapping[str, Delivery]
    at: Instant
    interested: Mapping[str, frozenset[str]] = {}


class TransferWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """Transfer a whole warrant to an affiliate of its first holder, or back.

    Attributes:
        issuer_id: The issuer.
        transfer_id: The transfer.
        warrant_id: The warrant.
        holder_id: Who holds it.
        holder_id_after: Who gets it.
        at: Now.
        relation: What `Register.find_state` says of the first holder and who gets it.
    """

    issuer_id: str
    transfer_id: str
    warrant_id: str
    holder_id: str
    holder_id_after: str
    at: Instant
    relation: Literal["found", "stated", "ended"] | None = None


class AttestMilestone(msgspec.Struct, frozen=True, kw_only=True):
    """Attest a milestone of a warrant.

    Attributes:
        issuer_id: The issuer.
        attestation_id: The attestation.
        warrant_id: The warrant.
        milestone: Its name.
        document: The document that proves it.
        attester_id: Who attests it; None: the platform.
        at: Now.
        related_ids: Parties that firm relations connect with the attester.
    """

    issuer_id: str
    attestation_id: str
    warrant_id: str
    milestone: str
    document: str
    attester_id: str | None
    at: Instant
    related_ids: frozenset[str] = frozenset()


class ExerciseWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """Exercise a warrant, in part or in full, for shares.

    Attributes:
        issuer_id: The issuer.
        exercise_id: The exercise.
        warrant_id: The warrant.
        shares: How many rights Y are used. For cash each buys one share; in a net exercise at a price B they give
            Y (A - B) / A shares, rounded down.
        tranche: Only this tranche, from 0; None: any, which must have one price.
        fair_value_usd: A, the value of one share in a net exercise; None if paid in cash.
        fair_value_source: Where A comes from; see `rights/fair_value.py`.
        delivered: Accepted delivery by grant, for what has vested by now.
        interested: As in `VestWarrants`.
        at: When it is exercised, not after its expiry.
        shares_issued: The shares issued, if an import states them and the value of a share is unknown.
    """

    issuer_id: str
    exercise_id: str
    warrant_id: str
    shares: int
    at: Instant
    tranche: int | None = None
    fair_value_usd: Decimal | None = None
    fair_value_source: str | None = None
    delivered: Mapping[str, Delivery] = {}
    interested: Mapping[str, frozenset[str]] = {}
    shares_issued: int | None = None


class ExpireWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """End an expired warrant."""

    issuer_id: str
    warrant_id: str
    at: Instant


class CancelWarrant(msgspec.Struct, frozen=True, kw_only=True):
    """End rights of a warrant, in the append that claws back the principal that bought them."""

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
    | TransferOption
    | IssueWarrant
    | VestWarrants
    | ExerciseWarrant
    | ExpireWarrant
    | CancelWarrant
    | TransferWarrant
    | AttestMilestone
    | ProgrammeCommand
)
