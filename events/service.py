"""Service levels: a provider's promise for a grant, the credit below it, and a period's service result."""

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from events.types import GpuSeconds, Ratio, ServiceConsequence, Share

Measure = Literal["incidents", "metered"]
CREDITS_MAX: Final = 16
"""The most steps of a schedule of service credits."""
NoticeHours = Annotated[int, Meta(ge=0, le=24 * 90)]
XidError = Annotated[int, Meta(ge=1, le=10_000, description="Number of an NVIDIA XID error")]


XID_ERRORS: Final = (48, 62, 64, 74, 79, 95, 119, 120)
"""XID errors of failed hardware: memory that cannot be corrected or remapped, NVLink, the bus, the GPU's own processor.

Source: NVIDIA, "XID Errors", GPU Deployment and Management Documentation.
"""


class CreditStep(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a published schedule of service credits.

    Attributes:
        availability_below: The line applies to a period whose availability is less.
        credit: Share of the period's charges that is given back.
    """

    availability_below: Share
    credit: Share


class DetectionTerms(msgspec.Struct, frozen=True, kw_only=True):
    """When machine evidence about a grant's GPUs opens and closes an incident: after observations of a GPU in a row.

    One is bad if it shows an XID error, or energy drawn while nothing runs.

    Attributes:
        xid_errors: NVIDIA XID errors that mean failed hardware; none: the standard ones, 48, 62, 64, 74, 79, 95, 119
            and 120.
        reading_xid_errors_min: How many XID errors in one reading mean a failure.
        idle_watts_max: Power above which an unused GPU counts as hung.
        open_after: How many bad observations of a GPU in a row open an incident.
        close_after: How many good ones in a row close it.
        meters: Whose evidence counts.
    """

    xid_errors: Annotated[tuple[XidError, ...], Meta(max_length=64)] = ()
    reading_xid_errors_min: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    idle_watts_max: Annotated[int, Meta(ge=0, le=100_000)] = 200
    open_after: Annotated[int, Meta(ge=1, le=100)] = 2
    close_after: Annotated[int, Meta(ge=1, le=100)] = 3
    meters: Literal["provider", "both"] = "provider"


class ServiceTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The promise for each statement period of a grant.

    Attributes:
        availability_min: Promised availability, from 0 to 1.
        credits: The schedule. The first step is at or below the promise; each later one is lower and gives more.
        measure: What counts as unavailable: ``incidents``: nodes that did not work; ``metered``, and in a period in
            which the startup reported that none works: also what the provider's meter did not count.
        consequence: The remedy for a period below the promise: ``credit``, ``exclude`` or ``roll_forward``; ``credit``
            if the instrument of a grant with equity names another.
        detection: When evidence of the meters opens an incident automatically; None: never.
        notice_hours_min: The notice period for an early end without cause, for either side.
    """

    availability_min: Share
    credits: Annotated[tuple[CreditStep, ...], Meta(max_length=CREDITS_MAX)] = ()
    measure: Measure = "metered"
    consequence: ServiceConsequence = "credit"
    detection: DetectionTerms | None = DetectionTerms()
    notice_hours_min: NoticeHours = 0


STANDARD_SERVICE: Final = ServiceTerms(
    availability_min=Decimal("0.99"),
    credits=(
        CreditStep(availability_below=Decimal("0.99"), credit=Decimal("0.10")),
        CreditStep(availability_below=Decimal("0.95"), credit=Decimal("0.25")),
        CreditStep(availability_below=Decimal("0.90"), credit=Decimal("0.50")),
    ),
    detection=DetectionTerms(xid_errors=XID_ERRORS),
    notice_hours_min=72,
)
"""The promise of a pool that states no terms of its own. Its event states it."""


class ServiceResult(msgspec.Struct, frozen=True, kw_only=True):
    """The service result of a grant's statement period, counted when its statement was issued.

    Attributes:
        gpu_seconds_promised: Granted GPUs · seconds of the period.
        gpu_seconds_unavailable: Those during which nodes did not work or, under ``metered``, that were not delivered.
        gpu_seconds_delivered: What the provider's meter counted of nodes that worked.
        availability: Exact share of the promised GPU-seconds that was available.
        availability_min: What was promised.
        met: Whether the promise was kept.
        credit: Share of the period's charges that the schedule pays back; 0 if the promise was kept, or under another
            remedy.
        consequence: The remedy that provider and instrument agree on, or ``credit``, also where the period would roll
            forward and there is no room. None if the promise was kept.
    """

    gpu_seconds_promised: GpuSeconds
    gpu_seconds_unavailable: GpuSeconds
    gpu_seconds_delivered: GpuSeconds
    availability: Ratio
    availability_min: Share
    met: bool
    credit: Share
    consequence: ServiceConsequence | None = None
