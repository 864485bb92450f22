"""Bodies of grants, usage and statements."""

from typing import Annotated

import msgspec
from msgspec import Meta

from events.grant import Choice
from events.statement import References
from events.types import GpuSeconds, Hours, Id, Instant, Nodes, Text
from events.usage import DeviceName, Evidence, Gpus, Priority, ReadingId, Sample, SourceName
from marketplace.api.http.bodies import Body
from marketplace.domain.metering.usage_commands import Outcome


class DegradeGrantBody(Body, frozen=True, kw_only=True):
    """A report that fewer nodes work than were granted.

    Attributes:
        nodes_available: Granted nodes that still work.
        at: When the others failed.
        reason: Why.
        until: When the outage ended, if it is over already; None: it lasts until the grant is resumed.
    """

    nodes_available: Annotated[int, Meta(ge=0, le=100_000)]
    at: Instant
    reason: Text
    until: Instant | None = None


class ResumeGrantBody(Body, frozen=True, kw_only=True):
    """A report that all granted nodes work again.

    Attributes:
        at: Since when; an hour ago at most, or as readings say.
    """

    at: Instant


class SubstituteGrantBody(Body, frozen=True, kw_only=True):
    """The pool that a grant moves to.

    Attributes:
        pool_id: The new pool, of the same provider and GPU class.
        reason: Why.
    """

    pool_id: Id
    reason: Text


class TerminateGrantBody(Body, frozen=True, kw_only=True):
    """An early end.

    Attributes:
        at: Last instant of delivery, after the notice period of the grant's terms unless there is cause.
        reason: Why.
        for_cause: Whether there is cause: for the startup while nodes of the grant do not work and the provider had 24
            hours to answer, for the provider while the startup is suspended or delivery is withheld.
    """

    at: Instant
    reason: Text
    for_cause: bool = False


class RescheduleGrantBody(Body, frozen=True, kw_only=True):
    """Another span.

    Attributes:
        choice: ``shortened`` keeps its end, ``moved`` its length.
        start: Of a moved one; None: when its site is ready.
    """

    choice: Choice
    start: Instant | None = None


class TransferGrantBody(Body, frozen=True, kw_only=True):
    """The new user of a grant.

    Attributes:
        startup_id: Who uses the capacity from now on.
    """

    startup_id: Id


class PrioritiseGrantBody(Body, frozen=True, kw_only=True):
    """A rank among the grants that usage is allocated to.

    Attributes:
        priority: The lowest is used first; 100 by default.
    """

    priority: Priority


class ReadingBody(Body, frozen=True, kw_only=True):
    """Nodes that were allocated over an interval.

    Attributes:
        reading_id: Unique in its source.
        start: First instant, a whole second.
        end: Instant after the last, at most 31 days later.
        nodes: Nodes allocated at every instant of the interval.
        gpus: GPUs allocated, if not all of the nodes'.
        devices: The GPUs, if the meter can name them.
        evidence: What the machines report for the interval.
    """

    reading_id: ReadingId
    start: Instant
    end: Instant
    nodes: Nodes
    gpus: Gpus | None = None
    devices: Annotated[tuple[DeviceName, ...], Meta(max_length=10_000)] = ()
    evidence: Evidence | None = None


class ReportUsageBody(Body, frozen=True, kw_only=True):
    """A meter's readings of one grant.

    Attributes:
        source: The meter.
        readings: Its intervals, at most 1,000.
    """

    source: SourceName
    readings: Annotated[tuple[ReadingBody, ...], Meta(min_length=1, max_length=1_000)]


class EvidenceBody(Body, frozen=True, kw_only=True):
    """Machine samples of a grant.

    Attributes:
        source: Who took the samples.
        samples: The samples, at most 10,000.
    """

    source: SourceName
    samples: Annotated[tuple[Sample, ...], Meta(min_length=1, max_length=10_000)]


class CorrectUsageBody(Body, frozen=True, kw_only=True):
    """A reading that replaces the one with its id.

    Attributes:
        source: The meter.
        reading: The new content.
        reason: Why.
    """

    source: SourceName
    reading: ReadingBody
    reason: Text


class VoidUsageBody(Body, frozen=True, kw_only=True):
    """A reading to void.

    Attributes:
        source: The meter.
        reading_id: The reading.
        reason: Why.
    """

    source: SourceName
    reading_id: ReadingId
    reason: Text


class DisputeStatementBody(Body, frozen=True, kw_only=True):
    """A payer's count of what was delivered, in the unit of the statement.

    Attributes:
        gpu_seconds_counted: The GPU-seconds that were delivered; None for a service line.
        hours_counted: The hours worked, for a service line.
        reason: Why.
        evidence: References to evidence.
    """

    gpu_seconds_counted: GpuSeconds | None = None
    hours_counted: Hours | None = None
    reason: Text
    evidence: References = ()


class AnswerDisputeBody(Body, frozen=True, kw_only=True):
    """An answer to the other side of a dispute.

    Attributes:
        gpu_seconds: A counter-offer between both sides' amounts; without one, the sender insists on its own.
        hours: The same in hours, for a service line.
        reason: Why.
        evidence: References to evidence.
    """

    gpu_seconds: GpuSeconds | None = None
    hours: Hours | None = None
    reason: Text
    evidence: References = ()


class ConcedePartBody(Body, frozen=True, kw_only=True):
    """A part of a dispute that the sender gives up.

    Attributes:
        gpu_seconds: The sender's new total of GPU-seconds delivered, not the part given up; None for a service line.
        hours: The same in hours, for a service line.
        reason: Why.
    """

    gpu_seconds: GpuSeconds | None = None
    hours: Hours | None = None
    reason: Text


class ReferDisputeBody(Body, frozen=True, kw_only=True):
    """A request that the platform decides a dispute.

    Attributes:
        reason: Why.
        evidence: References to evidence.
    """

    reason: Text
    evidence: References = ()


class ResolveStatementBody(Body, frozen=True, kw_only=True):
    """The end of a dispute.

    Attributes:
        gpu_seconds: The settled GPU-seconds; None for a service line.
        hours: The settled hours, for a service line.
        reason: How it was decided.
    """

    gpu_seconds: GpuSeconds | None = None
    hours: Hours | None = None
    reason: Text


class ReadingAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one reading.

    Attributes:
        reading_id: The reading.
        outcome: ``accepted``; ``duplicate``: already known; ``conflict``: known with other content;
            ``rejected``: invalid.
        pointer: JSON pointer to the reading in the request, if it was not accepted.
        code: Why it was not accepted.
        message: Why, in a sentence.
    """

    reading_id: str
    outcome: Outcome
    pointer: str | None = None
    code: str | None = None
    message: str | None = None


class SamplesLeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """Samples left out for one cause.

    Attributes:
        pointer: JSON pointer to the first.
        code: Why.
        message: How many, and why.
    """

    pointer: str
    code: str
    message: str


class EvidenceReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to machine samples.

    Attributes:
        id: The usage record of the grant.
        sequence: Position in the log.
        version: The record's version.
        left_out: What was not stored, by cause.
    """

    id: str
    sequence: int
    version: int
    left_out: tuple[SamplesLeftOut, ...]


class UsageReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a report.

    Attributes:
        id: The usage record of the grant.
        sequence: Position in the log.
        version: The record's version.
        readings: The answer to each reading, in the order of the request.
    """

    id: str
    sequence: int
    version: int
    readings: tuple[ReadingAnswer, ...]
