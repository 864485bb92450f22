"""Service levels: what a provider promises of a grant, what it gives back below it, and what a period came to."""

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from events.types import GpuSeconds, Ratio, ServiceConsequence, Share

Measure = Literal["incidents", "metered"]


class CreditStep(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a published schedule of service credits.

    Attributes:
        availability_below: It holds for a period whose availability is less.
        credit: Share of the period's charges that is given back.
    """

    availability_below: Share
    credit: Share


class ServiceTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised of each statement period of a grant.

    Attributes:
        availability_min: Promised availability, from 0 to 1.
        credits: The schedule; the first step lies at or below the promise, each later one lower and worth more.
        measure: What counts as unavailable: ``incidents``: nodes that did not work; ``metered``: also what the
            provider's meter did not count as delivered.
        consequence: What a period below the promise does where no instrument says it: ``credit`` or ``roll_forward``.
    """

    availability_min: Share
    credits: Annotated[tuple[CreditStep, ...], Meta(max_length=16)] = ()
    measure: Measure = "incidents"
    consequence: Literal["credit", "roll_forward"] = "credit"


STANDARD_SERVICE: Final = ServiceTerms(
    availability_min=Decimal("0.99"),
    credits=(
        CreditStep(availability_below=Decimal("0.99"), credit=Decimal("0.10")),
        CreditStep(availability_below=Decimal("0.95"), credit=Decimal("0.25")),
        CreditStep(availability_below=Decimal("0.90"), credit=Decimal("0.50")),
    ),
)
"""What a pool promises that states no terms of its own; its event says so."""


class ServiceResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a statement period of a grant came to, counted when its statement was issued.

    Attributes:
        gpu_seconds_promised: Granted GPUs · seconds of the period.
        gpu_seconds_unavailable: Those of them at which nodes did not work.
        gpu_seconds_delivered: What the provider's meter counted.
        availability: Exact share of the promised GPU-seconds that was available.
        availability_min: What was promised.
        met: Whether the promise was kept.
        credit: Share of the period's charges that the schedule gives back; 0 where it was kept.
        consequence: What a period below the promise does, by the instrument's terms or the grant's; where it was to
            roll forward and there is no room for that, ``exclude``, or ``credit`` of cash alone. None where it was
            kept.
    """

    gpu_seconds_promised: GpuSeconds
    gpu_seconds_unavailable: GpuSeconds
    gpu_seconds_delivered: GpuSeconds
    availability: Ratio
    availability_min: Share
    met: bool
    credit: Share
    consequence: ServiceConsequence | None = None
