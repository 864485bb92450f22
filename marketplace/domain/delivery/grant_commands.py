"""Commands to grants; `marketplace.domain.delivery.grant` decides them."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec

from events.grant import GrantIssued, GrantResold, Mark, Side
from events.types import LotShare
from marketplace.core.money import ZERO


class IssueGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Award capacity. The event contains the whole grant."""

    issued: GrantIssued

    @property
    def grant_id(self) -> str:
        """Return the grant's id."""
        return self.issued.grant_id


class ActivateGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Hand the capacity over."""

    grant_id: str
    at: datetime


class DegradeGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Report that fewer nodes work.

    Attributes:
        grant_id: The grant.
        nodes_available: Nodes that work.
        at: Since when.
        reason: Why.
        reported_at: Now.
        until: When the outage ended, if it is over; None: it lasts until the next report.
        is_ordered: Whether the platform reports, which may end an outage at any past instant.
    """

    grant_id: str
    nodes_available: int
    at: datetime
    reason: str
    reported_at: datetime
    until: datetime | None = None
    is_ordered: bool = False


class SuspendGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Interrupt use. `reported_at` is now."""

    grant_id: str
    at: datetime
    reason: str
    reported_at: datetime


class ResumeGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Report that the grant works in full again. `reported_at` and `is_ordered` are as in `DegradeGrant`."""

    grant_id: str
    at: datetime
    reported_at: datetime
    is_ordered: bool = False


class SubstituteGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Move the capacity to another pool. Both pools change in the same atomic batch."""

    grant_id: str
    pool_id: str
    lots: tuple[LotShare, ...]
    at: datetime
    reason: str


class ExtendGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Extend the grant, so that a period is delivered again. The pool's capacity changes in the same atomic batch."""

    grant_id: str
    statement_id: str
    start: datetime
    end: datetime
    lots: tuple[LotShare, ...]
    at: datetime


class TransferGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Let another startup use it."""

    grant_id: str
    startup_id: str


class ResellGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Resell part of the capacity to a buyer. The event contains the whole resale."""

    resold: GrantResold
    at: datetime

    @property
    def grant_id(self) -> str:
        """Return the grant's id."""
        return self.resold.grant_id


class PrioritiseGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Change the grant's rank among the grants that usage is allocated to."""

    grant_id: str
    priority: int


class MarkGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Record that a relation among the grant's parties became known after the award."""

    grant_id: str
    mark: Mark
    relation_id: str
    reason: str


class AddServiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """Attach an agreed service line to the grant."""

    grant_id: str
    service_line_id: str
    at: datetime


class CollectStage(msgspec.Struct, frozen=True, kw_only=True):
    """Pay what the stages of a staged grant need by now, or take the next step of what happens where it is missing.

    Attributes:
        grant_id: The grant.
        at: Now.
        available_usd: What the startup's account has available for it.
        stages: How many stages need their cash by now, or are asked for.
        needed_usd: What they need in all.
        set_aside_usd: What is set aside so far, with what it paid.
        is_asked: Whether the startup pays, the next stage also before it begins. Otherwise time does.
        gpu_seconds_withheld: GPU-seconds in which nodes worked and delivery was withheld, since it was withheld last.
        notice: How long delivery is withheld before the grant ends.
        damages_usd: Their cash price, as far as more is set aside than the delivered hours cost.
    """

    grant_id: str
    at: datetime
    available_usd: Decimal
    stages: int
    needed_usd: Decimal
    set_aside_usd: Decimal
    is_asked: bool = False
    gpu_seconds_withheld: int = 0
    notice: timedelta = timedelta()
    damages_usd: Decimal = ZERO


class CompleteGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Complete the grant: its span is over and its statements are settled."""

    grant_id: str
    gpu_seconds_accepted: int
    at: datetime


class TerminateGrant(msgspec.Struct, frozen=True, kw_only=True):
    """End the grant early; `at` is clipped to the span.

    Attributes:
        grant_id: The grant.
        at: Last instant of delivery.
        by: The side that ends it.
        noticed_at: When notice is given.
        reason: Why.
        for_cause: Whether there is cause: for the startup while the grant lacks nodes, for the provider while the
            startup is suspended or delivery is withheld.
        startup_suspended: Whether the startup is suspended.
        is_ordered: Whether the platform orders it. The platform owes no notice.
        payable_usd: What the fee may be at most, because the side that pays it is not asked; None: the whole fee.
        deal_usd: The price of all grants that the startup has of the provider.
    """

    grant_id: str
    at: datetime
    by: Side
    noticed_at: datetime
    reason: str
    for_cause: bool = False
    startup_suspended: bool = False
    is_ordered: bool = False
    payable_usd: Decimal | None = None
    deal_usd: Fraction = Fraction(0)


GrantCommand = (
    IssueGrant
    | ActivateGrant
    | DegradeGrant
    | SuspendGrant
    | ResumeGrant
    | SubstituteGrant
    | ExtendGrant
    | TransferGrant
    | PrioritiseGrant
    | ResellGrant
    | MarkGrant
    | AddServiceLine
    | CollectStage
    | CompleteGrant
    | TerminateGrant
)
