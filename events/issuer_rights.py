"""Issuers' options and warrants: promised, granted, vested, exercised, cancelled, expired."""

from typing import Annotated, Literal

from msgspec import Meta

from events.financing import Approval, ClassId
from events.types import Event, Id, Instant, Ratio, Shares, Text, Usd
from events.vesting import VestingSchedule, WarrantTranche


class IssuerOptionPromised(Event, frozen=True, kw_only=True, tag="issuer.option_promised.v1"):
    """Someone was promised an option that is not granted yet; the shares are no longer available.

    Attributes:
        issuer_id: The issuer.
        promise_id: The promise.
        holder_id: To whom.
        shares: How many.
    """

    issuer_id: Id
    promise_id: Id
    holder_id: Id
    shares: Annotated[int, Meta(ge=1)]


class IssuerOptionPromiseWithdrawn(Event, frozen=True, kw_only=True, tag="issuer.option_promise_withdrawn.v1"):
    """A promise will not be kept; its shares are available again.

    Attributes:
        issuer_id: The issuer.
        promise_id: The promise.
        reason: Why.
    """

    issuer_id: Id
    promise_id: Id
    reason: Text


class IssuerOptionGranted(Event, frozen=True, kw_only=True, tag="issuer.option_granted.v1"):
    """An option on common stock was granted from the pool.

    Attributes:
        issuer_id: The issuer.
        option_id: The option.
        holder_id: Who holds it.
        shares: How many.
        exercise_price_usd: Price of one share.
        vesting: When it may be exercised; None: at once.
        promise_id: The promise that it keeps, where there was one.
        approval: The paper behind it.
    """

    issuer_id: Id
    option_id: Id
    holder_id: Id
    shares: Annotated[int, Meta(ge=1)]
    exercise_price_usd: Usd
    vesting: VestingSchedule | None = None
    promise_id: Id | None = None
    approval: Approval | None = None


class IssuerOptionExercised(Event, frozen=True, kw_only=True, tag="issuer.option_exercised.v1"):
    """An option became common stock, in whole or in part.

    Attributes:
        issuer_id: The issuer.
        exercise_id: The exercise.
        option_id: The option.
        holder_id: Who held it.
        class_id: Class of the shares.
        shares: How many.
    """

    issuer_id: Id
    exercise_id: Id
    option_id: Id
    holder_id: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]


class IssuerOptionCancelled(Event, frozen=True, kw_only=True, tag="issuer.option_cancelled.v1"):
    """An option, or part of it, ended without shares; they are available in the pool again.

    Attributes:
        issuer_id: The issuer.
        cancellation_id: The cancellation.
        option_id: The option.
        holder_id: Who held it.
        shares: How many.
        kind: ``forfeited``: what had not vested when the holder left; ``cancelled``: by agreement; ``expired``: its
            time is over.
        reason: Why.
    """

    issuer_id: Id
    cancellation_id: Id
    option_id: Id
    holder_id: Id
    shares: Annotated[int, Meta(ge=1)]
    kind: Literal["forfeited", "cancelled", "expired"]
    reason: Text


class IssuerWarrantIssued(Event, frozen=True, kw_only=True, tag="issuer.warrant_issued.v1"):
    """A right to buy shares was issued.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        holder_id: Who holds it.
        class_id: Class of the shares.
        shares: How many it buys at most.
        exercise_price_usd: Price of one share.
        expires_at: Last instant of exercise.
        settlement: How it may be paid for: in cash, by giving rights up (net), or either.
        tranches: When which shares may be exercised; they sum to `shares`. None: all at once.
        grant_id: The grant whose accepted delivery its milestones count.
        approval: The paper behind it.
        cause: The instrument whose principal bought it; None where none did.
    """

    issuer_id: Id
    warrant_id: Id
    holder_id: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    exercise_price_usd: Usd
    expires_at: Instant
    settlement: Literal["cash", "net", "either"]
    tranches: Annotated[tuple[WarrantTranche, ...], Meta(max_length=100)] = ()
    grant_id: Id | None = None
    approval: Approval | None = None
    cause: Id | None = None


class IssuerWarrantVested(Event, frozen=True, kw_only=True, tag="issuer.warrant_vested.v1"):
    """A tranche of a warrant vested; its shares may be exercised from now on, whatever happens later.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        tranche: Which tranche, from 0.
        shares: Shares of it, after all splits.
        gpu_seconds: Accepted delivery that was known then.
        price_usd_per_share: Price of a share that was known then, exact; None: none.
    """

    issuer_id: Id
    warrant_id: Id
    tranche: Annotated[int, Meta(ge=0, le=99)]
    shares: Shares
    gpu_seconds: Annotated[int, Meta(ge=0)]
    price_usd_per_share: Ratio | None


class IssuerWarrantExercised(Event, frozen=True, kw_only=True, tag="issuer.warrant_exercised.v1"):
    """A warrant became shares, in whole or in part.

    Attributes:
        issuer_id: The issuer.
        exercise_id: The exercise.
        warrant_id: The warrant.
        holder_id: Who held it.
        class_id: Class of the shares.
        shares: Shares issued.
        shares_surrendered: Rights given up to pay for them in a net exercise; 0 for cash.
        fair_value_usd: Value of one share in a net exercise; None for cash.
        fair_value_source: The closed round or the recorded valuation that it comes from; None for cash or an import.
    """

    issuer_id: Id
    exercise_id: Id
    warrant_id: Id
    holder_id: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    shares_surrendered: Shares = 0
    fair_value_usd: Usd | None = None
    fair_value_source: Text | None = None


class IssuerWarrantExpired(Event, frozen=True, kw_only=True, tag="issuer.warrant_expired.v1"):
    """A warrant expired; unexercised rights buy no shares any more.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        holder_id: Who held it.
        shares: Shares that it still bought.
    """

    issuer_id: Id
    warrant_id: Id
    holder_id: Id
    shares: Shares


class IssuerWarrantCancelled(Event, frozen=True, kw_only=True, tag="issuer.warrant_cancelled.v1"):
    """Rights of a warrant ended, because the principal that bought them was reversed.

    Attributes:
        issuer_id: The issuer.
        cancellation_id: The cancellation.
        warrant_id: The warrant.
        holder_id: Who held it.
        shares: Shares that it buys no more.
        cause: The instrument whose principal was reversed.
        approval: The paper behind it.
    """

    issuer_id: Id
    cancellation_id: Id
    warrant_id: Id
    holder_id: Id
    shares: Annotated[int, Meta(ge=1)]
    cause: Id
    approval: Approval | None = None
