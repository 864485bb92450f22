"""Service lines: hours that a provider works for a grant's startup, agreed, metered, and paid like its compute."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.grant import EquityPart
from events.types import Event, Hours, Id, Instant, Name, Text, Usd
from events.usage import ReadingId, SourceName

UsdPerHour = Annotated[Decimal, Meta(description="US dollars per hour of work, exact decimal string")]
Workers = Annotated[int, Meta(ge=1, le=1_000)]


class HoursReading(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Hours that were worked within an interval; they count in the statement period in which it ends.

    Attributes:
        reading_id: Unique in its source.
        start: First instant.
        end: Instant after the last.
        hours: Hours worked, of all who did; above 0.
    """

    reading_id: ReadingId
    start: Instant
    end: Instant
    hours: Hours


class ServiceLineProposed(Event, frozen=True, kw_only=True, tag="service_line.proposed.v1"):
    """The provider of a grant offers to work for its startup, at a price per hour.

    Attributes:
        service_line_id: The service line.
        grant_id: The grant that it belongs to; it ends with it.
        startup_id: Who is to agree and pays.
        provider_id: Who works.
        holder_id: Who must approve, because it pays a part for equity; None if nobody else does.
        name: What is done, such as engineering support.
        price_usd_per_hour: What one hour costs.
        hours: Hours that may be worked at most.
        workers: How many people work at a time, at most. More hours than they have in an interval are not worked.
    """

    service_line_id: Id
    grant_id: Id
    startup_id: Id
    provider_id: Id
    holder_id: Id | None
    name: Name
    price_usd_per_hour: UsdPerHour
    hours: Hours
    workers: Workers


class ServiceLineApproved(Event, frozen=True, kw_only=True, tag="service_line.approved.v1"):
    """The holder of the grant's equity approved its part of the service line's cost.

    Attributes:
        service_line_id: The service line.
        grant_id: The grant.
        holder_id: Who approved.
    """

    service_line_id: Id
    grant_id: Id
    holder_id: Id


class ServiceLineDeclined(Event, frozen=True, kw_only=True, tag="service_line.declined.v1"):
    """A proposal was declined, or withdrawn by its provider, before it was agreed on.

    Attributes:
        service_line_id: The service line.
        grant_id: The grant.
        by: Who declined.
        reason: Why.
    """

    service_line_id: Id
    grant_id: Id
    by: Literal["startup", "provider", "holder", "platform"]
    reason: Text


class ServiceLineAgreed(Event, frozen=True, kw_only=True, tag="service_line.agreed.v1"):
    """The startup agreed. The cost of all hours is set aside in the same atomic batch.

    Cash, the holder's payment and principal are the same shares of the line's price as of the grant's price.

    Attributes:
        service_line_id: The service line.
        grant_id: The grant.
        startup_id: Who pays.
        provider_id: Who works.
        at: From when on hours may be worked.
        hours: Hours that may be worked at most.
        hold_id: The hold that pays for it, of the startup's account and of the mandate.
        cash_commitment_usd: Cash when all hours are worked.
        equity: Its equity part, with an instrument of its own; None for cash alone.
    """

    service_line_id: Id
    grant_id: Id
    startup_id: Id
    provider_id: Id
    at: Instant
    hours: Hours
    hold_id: Id
    cash_commitment_usd: Usd
    equity: EquityPart | None = None


class ServiceLineReported(Event, frozen=True, kw_only=True, tag="service_line.reported.v1"):
    """The provider's time sheet reported hours worked.

    Attributes:
        service_line_id: The service line.
        grant_id: The grant.
        source: The time sheet.
        readings: The hours, at least one reading.
    """

    service_line_id: Id
    grant_id: Id
    source: SourceName
    readings: tuple[HoursReading, ...]


class ServiceLineCorrected(Event, frozen=True, kw_only=True, tag="service_line.corrected.v1"):
    """A reading of hours was replaced by its source.

    Attributes:
        service_line_id: The service line.
        grant_id: The grant.
        source: The time sheet.
        before: What it said.
        after: What it says now; same reading id.
        reason: Why.
    """

    service_line_id: Id
    grant_id: Id
    source: SourceName
    before: HoursReading
    after: HoursReading
    reason: Text


class ServiceLineVoided(Event, frozen=True, kw_only=True, tag="service_line.voided.v1"):
    """A reading of hours was voided by its source.

    Attributes:
        service_line_id: The service line.
        grant_id: The grant.
        source: The time sheet.
        reading: What it said.
        reason: Why.
    """

    service_line_id: Id
    grant_id: Id
    source: SourceName
    reading: HoursReading
    reason: Text


class ServiceLineClosed(Event, frozen=True, kw_only=True, tag="service_line.closed.v1"):
    """The grant is fully settled. Unworked hours lapse; readings may still be lowered or voided.

    Attributes:
        service_line_id: The service line.
        grant_id: The grant.
        hours: What was worked.
    """

    service_line_id: Id
    grant_id: Id
    hours: Hours


class Run(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A time within which a grant runs.

    Attributes:
        start: First instant.
        end: Instant after the last.
    """

    start: Instant
    end: Instant


class ServiceLineLimited(Event, frozen=True, kw_only=True, tag="service_line.limited.v1"):
    """The time in which hours may be worked changed, because the grant ends sooner or was extended.

    The event is in the atomic batch of that change, so that hours decided on the earlier state cannot be stored after
    it. It states all limits from then on.

    Attributes:
        service_line_id: The service line.
        grant_id: The grant.
        runs: When the grant runs, in order of time; empty where it ended before it began.
    """

    service_line_id: Id
    grant_id: Id
    runs: tuple[Run, ...]


ServiceLineEvent = (
    ServiceLineProposed
    | ServiceLineApproved
    | ServiceLineDeclined
    | ServiceLineAgreed
    | ServiceLineReported
    | ServiceLineCorrected
    | ServiceLineVoided
    | ServiceLineClosed
    | ServiceLineLimited
)
