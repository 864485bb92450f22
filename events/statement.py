"""Statements: the priced usage of a grant in a period. Only accepted usage is paid and accrues."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.service import ServiceResult
from events.types import Event, GpuSeconds, Hours, Id, Instant, Text, Usd


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a side of a dispute refers to. The market stores the reference, not the content.

    Attributes:
        kind: What is referred to.
        reference: The id of a reading, meter or outage; the address or name of a document.
        content_hash: The SHA-256 of a document in hex, so that both sides mean the same one.
    """

    kind: Literal["reading", "meter", "outage", "document"]
    reference: Annotated[str, Meta(min_length=1, max_length=300)]
    content_hash: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")] | None = None


References = Annotated[tuple[Reference, ...], Meta(max_length=10)]
"""Evidence that one act attaches."""


class Charges(msgspec.Struct, frozen=True, kw_only=True):
    """What one period's usage costs, to the cent.

    Invariant: ``provider_usd + reseller_receives_usd = cash_usd + holder_usd + reseller_pays_usd``. The reseller's two
    amounts are 0 unless the capacity was bought in a resale.

    Attributes:
        gpu_seconds: Usage that is charged; 0 of a service line.
        provider_usd: What the provider receives.
        cash_usd: What the startup pays.
        holder_usd: What the holder of the equity pays.
        principal_usd: What the startup owes as principal.
        reseller_pays_usd: What a resale's seller adds, if it sold for less than it owes.
        reseller_receives_usd: What a resale's seller is paid, if it sold for more than it owes.
        service_hours: Hours of a service line that are charged; 0 of compute.
        provider_fee_usd: What the provider pays the platform of what it receives.
        startup_fee_usd: What the startup pays the platform beside its cash.
        reseller_fee_usd: What a resale's seller pays the platform of either.
    """

    gpu_seconds: GpuSeconds
    provider_usd: Usd
    cash_usd: Usd
    holder_usd: Usd
    principal_usd: Usd
    reseller_pays_usd: Usd = Decimal(0)
    reseller_receives_usd: Usd = Decimal(0)
    service_hours: Hours = Decimal(0)
    provider_fee_usd: Usd = Decimal(0)
    startup_fee_usd: Usd = Decimal(0)
    reseller_fee_usd: Usd = Decimal(0)


class ServiceCredit(msgspec.Struct, frozen=True, kw_only=True):
    """The service credit for a period below the promised availability, to the cent.

    Invariant: ``provider_usd = cash_usd + holder_usd``.

    Attributes:
        provider_usd: What the provider gives back.
        cash_usd: The part that the startup gets.
        holder_usd: The part that the holder of the equity gets.
        principal_usd: Principal that does not accrue.
        provider_fee_usd: What the platform gives back to the provider.
        startup_fee_usd: What the platform gives back to the startup.
    """

    provider_usd: Usd
    cash_usd: Usd
    holder_usd: Usd
    principal_usd: Usd
    provider_fee_usd: Usd = Decimal(0)
    startup_fee_usd: Usd = Decimal(0)


class Metering(msgspec.Struct, frozen=True, kw_only=True):
    """The totals of both meters for one period.

    Attributes:
        provider_gpu_seconds: The provider's, which is charged.
        startup_gpu_seconds: The startup's.
    """

    provider_gpu_seconds: GpuSeconds
    startup_gpu_seconds: GpuSeconds


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in a period after its statement was settled.

    Attributes:
        statement_id: The period's own statement, which stays as it is.
        gpu_seconds_before: What was metered of the period, on nodes that worked, when it was last stated.
        gpu_seconds_after: What is metered of the period now.
        hours_before: The same of a service line, in hours.
        hours_after: The same now, in hours.
        unavailable_before: GPU-seconds of the period that were unavailable when it was last stated.
        unavailable_after: Those that are unavailable by what is known now.
    """

    statement_id: Id
    gpu_seconds_before: GpuSeconds = 0
    gpu_seconds_after: GpuSeconds = 0
    hours_before: Hours = Decimal(0)
    hours_after: Hours = Decimal(0)
    unavailable_before: GpuSeconds = 0
    unavailable_after: GpuSeconds = 0


class StatementIssued(Event, frozen=True, kw_only=True, tag="statement.issued.v1"):
    """A period's usage on nodes that worked was priced, or more usage of a settled period was metered.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        startup_id: Who is to accept it.
        provider_id: Who delivered.
        period_start: First instant.
        period_end: Instant after the last.
        charges: What it costs.
        accept_until: After this it counts as accepted.
        gpu_seconds_before: GPU-seconds of the grant that were stated before it; amounts are rounded on the sums.
        metering: What both meters say, where the startup's reported too.
        adjustment: What it adjusts; None for the statement of a period itself.
        service: The service result of the period; None if nothing was promised.
        service_line_id: The service line whose hours it charges for; None for compute.
        hours_before: Hours of that service line that were stated before it.
        holder_accepts: Whether the holder that pays a part must accept too, unless the acceptance period passes.
        reseller_id: The seller of resold hours, which has a part in what is paid; None: the provider sold them.
    """

    statement_id: Id
    grant_id: Id
    startup_id: Id
    provider_id: Id
    period_start: Instant
    period_end: Instant
    charges: Charges
    accept_until: Instant
    gpu_seconds_before: GpuSeconds = 0
    metering: Metering | None = None
    adjustment: Adjustment | None = None
    service: ServiceResult | None = None
    service_line_id: Id | None = None
    hours_before: Hours = Decimal(0)
    holder_accepts: bool = False
    reseller_id: Id | None = None


class StatementCredited(Event, frozen=True, kw_only=True, tag="statement.credited.v1"):
    """Less is due for a settled period than was charged: less was metered, or nodes did not work.

    The difference is paid back; the statement stays. If the difference is 0, it only states what was metered since.

    Attributes:
        statement_id: The credit.
        grant_id: The grant.
        startup_id: Who is paid back.
        provider_id: Who pays back.
        period_start: First instant of the period.
        period_end: Instant after its last.
        charges: What is paid back, and the principal that is reversed as far as it is outstanding. For what became
            shares or money, the holder is paid back once it agrees to the reversal.
        adjustment: What changed.
        service_credit: The part that was already paid back as service credit, and is not paid back again. Negative:
            the service credit is greater than what was paid back, and the rest is paid back too.
        service_line_id: The service line whose hours are paid back; None for compute.
        service: The service result of the period by what is known now; None if nothing was promised.
        correct_until: The grant stays open until then, so that readings that were lowered by mistake can be corrected
            up; None: no reading of it was lowered, or the grant is fully settled.
        reseller_id: The seller of resold hours, which pays a part back; None: the provider sold them.
        reseller_keeps_usd: What that seller keeps of its part, because its provider's word comes too late, or against
            the seller's answer in a dispute. Nobody is paid it back, and no later reading charges these hours again.
    """

    statement_id: Id
    grant_id: Id
    startup_id: Id
    provider_id: Id
    period_start: Instant
    period_end: Instant
    charges: Charges
    adjustment: Adjustment
    service_credit: ServiceCredit | None = None
    service_line_id: Id | None = None
    service: ServiceResult | None = None
    correct_until: Instant | None = None
    reseller_id: Id | None = None
    reseller_keeps_usd: Usd = Decimal(0)


class StatementAgreed(Event, frozen=True, kw_only=True, tag="statement.agreed.v1"):
    """One of those who pay agreed to the stated charges or to an offer, while another one is still to be heard.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        by: Who agreed.
        answer_until: By when the provider answers what both payers now offer; None: it did not wait for this.
        is_silent: Whether its silence agreed to what the other payer offers.
    """

    statement_id: Id
    grant_id: Id
    by: Literal["startup", "holder"]
    answer_until: Instant | None = None
    is_silent: bool = False


class StatementAccepted(Event, frozen=True, kw_only=True, tag="statement.accepted.v1"):
    """Those who pay accepted, or did not dispute in time. The charges are final.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        charges: What is settled.
        by: Whether by acceptance, by silence, or by the resolution of a dispute.
        service_line_id: The service line whose hours were accepted; None for compute.
        service: The service result of the period by what is known at the settlement; None if nothing was promised.
        unavailable_change: GPU-seconds of the period that are unavailable by that, less those when it was issued. What
            an adjustment adds counts as unavailable until then.
    """

    statement_id: Id
    grant_id: Id
    charges: Charges
    by: Literal["acceptance", "silence", "resolution"]
    service_line_id: Id | None = None
    service: ServiceResult | None = None
    unavailable_change: int = 0


class StatementServiceCredited(Event, frozen=True, kw_only=True, tag="statement.service_credited.v1"):
    """The period was below the promised availability, and part of its charges is paid back at settlement.

    Nobody has to ask for it; the payments are in the same atomic batch.

    Attributes:
        statement_id: The statement that was accepted.
        grant_id: The grant.
        startup_id: Who is credited.
        provider_id: Who credits.
        service: The service result of the period.
        credit: What is given back.
    """

    statement_id: Id
    grant_id: Id
    startup_id: Id
    provider_id: Id
    service: ServiceResult
    credit: ServiceCredit


class StatementDisputed(Event, frozen=True, kw_only=True, tag="statement.disputed.v1"):
    """The startup, or the holder that pays, says that less was delivered, or the two meters differ too much.

    If both dispute it, the lower count stands. While only the meters dispute it, nothing is paid before the startup
    acts or its time is over.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        gpu_seconds_counted: What it, or the startup's meter, says was delivered; 0 of a service line.
        reason: Why.
        by: Who disputes.
        hours_counted: What it says was worked of a service line; None of compute.
        answer_until: By when the provider answers. If it is silent, the count settles.
        evidence: What the count refers to.
    """

    statement_id: Id
    grant_id: Id
    gpu_seconds_counted: GpuSeconds
    reason: Text
    answer_until: Instant
    by: Literal["startup", "holder", "meters"] = "startup"
    hours_counted: Hours | None = None
    evidence: References = ()


class StatementAnswered(Event, frozen=True, kw_only=True, tag="statement.answered.v1"):
    """A side of a dispute answered the other one: it offers an amount between both positions, or insists on its own.

    The seller of resold hours stands beside the provider. It offers nothing: it says what it agrees to at least, or
    insists, which is the provider's answer too if that is awaited.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        by: Who answered.
        reason: Why.
        answer_until: By when the other side answers. If it is silent, this answer settles.
        gpu_seconds_offered: The amount at which it would settle, of a reseller the least to which it agrees; None if it
            insists, or for a service line. A payer that insists on more than the lowest count offers its own count.
        hours_offered: The same for a service line.
        evidence: What the answer refers to.
        awaits: The payer that answers first, because it counts less than what the other one offers; `answer_until` is
            the payers' time then, and its silence agrees to the offer. After a reseller, whoever answers. None: the
            other side answers.
    """

    statement_id: Id
    grant_id: Id
    by: Literal["startup", "holder", "provider", "reseller"]
    reason: Text
    answer_until: Instant
    gpu_seconds_offered: GpuSeconds | None = None
    hours_offered: Hours | None = None
    evidence: References = ()
    awaits: Literal["startup", "holder", "payers", "provider"] | None = None


class StatementConceded(Event, frozen=True, kw_only=True, tag="statement.conceded.v1"):
    """A side of a dispute gave a part up for ever; the rest stays disputed.

    What a payer concedes is paid in the same atomic batch. What the provider concedes is not charged any more.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        by: Who conceded.
        reason: Why.
        charges: What the statement charges at most after it.
        gpu_seconds: What it says was delivered, after it; 0 of a service line.
        hours: The same for a service line; None of compute.
        gpu_seconds_counted: The count that stands after it; 0 of a service line.
        hours_counted: The same for a service line; None of compute.
        counted_by: Whose count that is.
    """

    statement_id: Id
    grant_id: Id
    by: Literal["startup", "holder", "provider"]
    reason: Text
    charges: Charges
    counted_by: Literal["startup", "holder", "meters"]
    gpu_seconds: GpuSeconds = 0
    hours: Hours | None = None
    gpu_seconds_counted: GpuSeconds = 0
    hours_counted: Hours | None = None


class StatementReferred(Event, frozen=True, kw_only=True, tag="statement.referred.v1"):
    """A side of a dispute asked the platform, the last resort. Its decision ends the dispute for ever.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        by: Who asked.
        reason: Why.
        decide_until: By when the platform decides. If it does not, the middle between count and position settles.
        evidence: What the platform is referred to.
    """

    statement_id: Id
    grant_id: Id
    by: Literal["startup", "holder", "provider", "reseller"]
    reason: Text
    decide_until: Instant
    evidence: References = ()


class StatementPartSettled(Event, frozen=True, kw_only=True, tag="statement.part_settled.v1"):
    """A part of a statement is paid, and its principal accrues: what nobody disputes, or the equity part on credit.

    The payments are in the same atomic batch. A concession of a payer is paid in a further part.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        charges: What is paid so far, with this part.
        part_id: The cause that the payments of this part name.
        credit: The service credit of what is paid so far, which is paid back; None if nothing is.
        is_cash_due: Whether the startup, which has credit, still owes the cash of the same delivery.
    """

    statement_id: Id
    grant_id: Id
    charges: Charges
    part_id: Id
    credit: ServiceCredit | None = None
    is_cash_due: bool = False


class StatementResolved(Event, frozen=True, kw_only=True, tag="statement.resolved.v1"):
    """A dispute ended with charges that bind both sides.

    Attributes:
        statement_id: The statement.
        grant_id: The grant.
        charges_before: What it charged at most before: what was issued, less what the provider conceded.
        charges: What is to be settled.
        reason: How it was decided.
        by: What ended it: a concession, an accepted offer, the silence of the awaited side, the platform,
            that the platform was asked and did not decide in time, or the sale of the company.
    """

    statement_id: Id
    grant_id: Id
    charges_before: Charges
    charges: Charges
    reason: Text
    by: Literal["concession", "offer", "silence", "platform", "undecided", "sale"]


StatementEvent = (
    StatementIssued
    | StatementCredited
    | StatementAgreed
    | StatementAccepted
    | StatementServiceCredited
    | StatementDisputed
    | StatementAnswered
    | StatementConceded
    | StatementReferred
    | StatementPartSettled
    | StatementResolved
)
