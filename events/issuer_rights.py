"""Issuers' options and warrants: promised, granted, vested, exercised, cancelled, expired."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta

from events.financing import Approval, ClassId
from events.types import (
    Cancellation,
    Event,
    Id,
    Instant,
    Ratio,
    Settlement,
    Shares,
    TerminationDays,
    Text,
    Usd,
    WarrantReduction,
    WarrantTransfer,
)
from events.vesting import ChangeOfControl, MilestoneName, PriceAverage, VestingSchedule, WarrantTranche


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
        termination_exercise_days: Days after the end of the holder's service in which it may exercise what had vested;
            None: vesting does not depend on service.
    """

    issuer_id: Id
    option_id: Id
    holder_id: Id
    shares: Annotated[int, Meta(ge=1)]
    exercise_price_usd: Usd
    vesting: VestingSchedule | None = None
    promise_id: Id | None = None
    approval: Approval | None = None
    termination_exercise_days: TerminationDays | None = None


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


class IssuerOptionTransferred(Event, frozen=True, kw_only=True, tag="issuer.option_transferred.v1"):
    """The whole option passed from a holder without a key to the party that it is.

    Attributes:
        issuer_id: The issuer.
        transfer_id: The transfer.
        option_id: The option.
        holder_id: Who held it.
        holder_id_after: Who holds it now.
        shares: Shares that it still buys.
    """

    issuer_id: Id
    transfer_id: Id
    option_id: Id
    holder_id: Id
    holder_id_after: Id
    shares: Shares


class IssuerOptionCancelled(Event, frozen=True, kw_only=True, tag="issuer.option_cancelled.v1"):
    """An option, in full or in part, ended without shares, which are available in the pool again.

    Attributes:
        issuer_id: The issuer.
        cancellation_id: The cancellation.
        option_id: The option.
        holder_id: Who held it.
        shares: How many; 0: all had vested when the holder left.
        kind: ``forfeited``: what had not vested when the holder left; ``cancelled``: by agreement; ``expired``: its
            time is over.
        reason: Why.
        service_ended_on: Where the grant depends on service: the day on which that ended. Nothing vests after it, and
            the days of exercise run from it.
    """

    issuer_id: Id
    cancellation_id: Id
    option_id: Id
    holder_id: Id
    shares: Annotated[int, Meta(ge=0)]
    kind: Cancellation
    reason: Text
    service_ended_on: date | None = None


class IssuerWarrantIssued(Event, frozen=True, kw_only=True, tag="issuer.warrant_issued.v1"):
    """A right to buy shares was issued.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        holder_id: Who holds it.
        class_id: Class of the shares.
        shares: How many it buys at most.
        exercise_price_usd: Price of one share, of tranches that state no other.
        expires_at: Last instant of exercise.
        settlement: How it may be paid for: in cash, by giving rights up (net), or either.
        tranches: When which shares may be exercised; they sum to `shares`; none: all at once.
        grant_ids: Grants whose accepted delivery and payments its milestones count.
        programme_id: The programme whose grants and stated purchases they count too.
        on_reduction: Whether vested unexercised shares stay (``keep``) or are unvested again (``claw_back``) after a
            reduction.
        transfer: Whether the warrant may be transferred to its affiliates.
        affiliate_ids: Affiliates of the holder.
        change_of_control: When a sale of the company lets all vest; None: what has not vested then ends.
        fair_value: The mean that a net exercise counts with; None: the latest price of a share that holder and company
            did not make alone.
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
    settlement: Settlement
    tranches: Annotated[tuple[WarrantTranche, ...], Meta(max_length=100)] = ()
    grant_ids: Annotated[tuple[Id, ...], Meta(max_length=64)] = ()
    programme_id: Id | None = None
    on_reduction: WarrantReduction = "keep"
    transfer: WarrantTransfer = "none"
    affiliate_ids: Annotated[tuple[Id, ...], Meta(max_length=20)] = ()
    change_of_control: ChangeOfControl | None = None
    fair_value: PriceAverage | None = None
    approval: Approval | None = None
    cause: Id | None = None


class IssuerWarrantVested(Event, frozen=True, kw_only=True, tag="issuer.warrant_vested.v1"):
    """Shares of a warrant's tranche vested: all of them, or those of its proportion.

    They stay vested, unless the warrant is clawed back on reductions.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        holder_id: Who holds it.
        tranche: Which tranche, from 0.
        shares: Shares that vested now, after all splits.
        is_whole: Whether the whole tranche has vested.
        on_day: The day, UTC.
        gpu_seconds: Accepted delivery that was known then.
        purchased_usd: Purchases that were known then.
        paid_usd: Payments that were known then.
        price_usd_per_share: Price of a share that its milestone was measured by, exact; None: none.
    """

    issuer_id: Id
    warrant_id: Id
    holder_id: Id
    tranche: Annotated[int, Meta(ge=0, le=99)]
    shares: Shares
    is_whole: bool
    on_day: date
    gpu_seconds: Annotated[int, Meta(ge=0)]
    purchased_usd: Usd
    paid_usd: Usd
    price_usd_per_share: Ratio | None


class IssuerWarrantReleased(Event, frozen=True, kw_only=True, tag="issuer.warrant_released.v1"):
    """The conditions of exercise of a tranche hold. Its vested shares may be exercised, also those that vest later.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        holder_id: Who holds it.
        tranche: Which tranche, from 0.
    """

    issuer_id: Id
    warrant_id: Id
    holder_id: Id
    tranche: Annotated[int, Meta(ge=0, le=99)]


class IssuerWarrantPriced(Event, frozen=True, kw_only=True, tag="issuer.warrant_priced.v1"):
    """The exercise price of a tranche was fixed by a mean of recorded prices.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        holder_id: Who holds it.
        tranche: Which tranche, from 0.
        on_day: The last day of the mean.
        average_usd: The mean, exact, of shares as they are now.
        exercise_price_usd: Price of one share, of shares as they are now.
    """

    issuer_id: Id
    warrant_id: Id
    holder_id: Id
    tranche: Annotated[int, Meta(ge=0, le=99)]
    on_day: date
    average_usd: Ratio
    exercise_price_usd: Usd


class IssuerWarrantVestingReversed(Event, frozen=True, kw_only=True, tag="issuer.warrant_vesting_reversed.v1"):
    """Vested and unexercised shares are unvested again, because what was counted for them was reduced.

    Attributes:
        issuer_id: The issuer.
        warrant_id: The warrant.
        holder_id: Who holds it.
        tranche: Which tranche, from 0.
        shares: How many, after all splits.
        gpu_seconds: Accepted delivery after the reduction.
        purchased_usd: Purchases after it.
        paid_usd: Payments after it.
    """

    issuer_id: Id
    warrant_id: Id
    holder_id: Id
    tranche: Annotated[int, Meta(ge=0, le=99)]
    shares: Shares
    gpu_seconds: Annotated[int, Meta(ge=0)]
    purchased_usd: Usd
    paid_usd: Usd


class IssuerWarrantTransferred(Event, frozen=True, kw_only=True, tag="issuer.warrant_transferred.v1"):
    """The whole warrant changed hands, to an affiliate of its first holder, or back, or from a holder without a key.

    Attributes:
        issuer_id: The issuer.
        transfer_id: The transfer.
        warrant_id: The warrant.
        holder_id: Who held it.
        holder_id_after: Who holds it now.
        shares: Shares that it still buys.
        relation: By which relation of the register it is an affiliate that the warrant does not name: ``found`` by the
            platform, or only ``stated`` by the parties; None: the warrant names it, or the holder had no key.
    """

    issuer_id: Id
    transfer_id: Id
    warrant_id: Id
    holder_id: Id
    holder_id_after: Id
    shares: Shares
    relation: Literal["found", "stated"] | None = None


class IssuerMilestoneAttested(Event, frozen=True, kw_only=True, tag="issuer.milestone_attested.v1"):
    """The stated attester attested a milestone of a warrant.

    Attributes:
        issuer_id: The issuer.
        attestation_id: The attestation.
        warrant_id: The warrant.
        milestone: Its name.
        attester_id: Who attests it; None: the platform.
        document: The paper behind it.
    """

    issuer_id: Id
    attestation_id: Id
    warrant_id: Id
    milestone: MilestoneName
    attester_id: Id | None
    document: Text


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
        tranche: The tranche that was asked for; None: exercisable ones in their order.
        exercise_price_usd: Price of one share of that tranche, exact, after all splits; None: the warrant's own.
        fair_value_usd: Value of one share in a net exercise; None for cash.
        fair_value_source: The closed round, the recorded valuation or the mean that it comes from; None for cash or an
            import.
    """

    issuer_id: Id
    exercise_id: Id
    warrant_id: Id
    holder_id: Id
    class_id: ClassId
    shares: Annotated[int, Meta(ge=1)]
    shares_surrendered: Shares = 0
    tranche: Annotated[int, Meta(ge=0, le=99)] | None = None
    exercise_price_usd: Ratio | None = None
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
