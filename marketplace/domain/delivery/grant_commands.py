"""Commands to grants; `marketplace.domain.delivery.grant` decides them."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec

from events.grant import Choice, GrantIssued, GrantResold, Mark, Side
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
    """Begin delivery, at its start or later. `at` is now."""

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
        follows_pool: Whether the market derives it from failed nodes of the pool or power of the site.
        is_silent: As in `ResumeGrant`.
    """

    grant_id: str
    nodes_available: int
    at: datetime
    reason: str
    reported_at: datetime
    until: datetime | None = None
    is_ordered: bool = False
    follows_pool: bool = False
    is_silent: bool = False


class SuspendGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Report that no node works since `at`.

    Attributes:
        grant_id: The grant.
        at: Since when. If its startup reports it: now, or the grant's start if the meter counted nearly nothing since.
        reason: Why.
        reported_at: Now.
        by: The side that reports it.
        is_silent: Whether the provider's meter could count nodes of late, and counted nearly nothing.
    """

    grant_id: str
    at: datetime
    reason: str
    reported_at: datetime
    by: Side = "provider"
    is_silent: bool = False


class ResumeGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Report that all nodes work since `at`. `reported_at` and `is_ordered` are as in `DegradeGrant`.

    Attributes:
        grant_id: The grant.
        at: Since when.
        reported_at: Now.
        is_ordered: Whether the platform reports.
        is_lacking: Whether the grant's pool or site lacks nodes or power for it, by `cause.is_lacking`.
        is_silent: Whether the provider's meter, whatever the startup reported, covers its nodes nearly never of late.
        is_metered: Whether it counted all along since `at`.
    """

    grant_id: str
    at: datetime
    reported_at: datetime
    is_ordered: bool = False
    is_lacking: bool = False
    is_silent: bool = False
    is_metered: bool = False


class SubstituteGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Move the capacity to another pool. Both pools change in the same atomic batch."""

    grant_id: str
    pool_id: str
    lots: tuple[LotShare, ...]
    at: datetime
    reason: str


class ExtendGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Add a span in which the grant delivers what the statement's period lacked. The pool changes in the same batch."""

    grant_id: str
    statement_id: str
    start: datetime
    end: datetime
    lots: tuple[LotShare, ...]
    at: datetime


class RescheduleGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Shorten or move a grant that cannot begin, because its site is late. The pool changes in the same batch.

    Attributes:
        grant_id: The grant.
        choice: Whether it keeps its end or its length.
        start: When a moved grant begins; None: as soon as its site is ready.
        at: Now.
        ready_at: When the conversion of its site is to be ready; None if none is ahead.
        answer_by: Until when its provider may answer evidence that its nodes do not work; None without any.
        kept_from: When the hours begin that it gave up and that are kept for it; None without any.
        lots: Which lots carry it from then on.
        cash_commitment_usd: What the startup pays in cash when everything that is left is delivered.
        principal_commitment_usd: What it owes as principal then.
        budget_commitment_usd: What the holder of the equity pays then.
    """

    grant_id: str
    choice: Choice
    at: datetime
    start: datetime | None = None
    ready_at: datetime | None = None
    answer_by: datetime | None = None
    kept_from: datetime | None = None
    lots: tuple[LotShare, ...] = ()
    cash_commitment_usd: Decimal = ZERO
    principal_commitment_usd: Decimal = ZERO
    budget_commitment_usd: Decimal = ZERO


class TransferGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Let another startup use the grant. Who pays for it does not change."""

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
    """Change the grant's rank in the allocation of usage: the lowest number comes first."""

    grant_id: str
    priority: int


class MarkGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Record that a relation among the grant's parties became known after the award; once only."""

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
    """Pay for the stages of a staged grant that have begun, or record the next consequence if money is missing.

    Attributes:
        grant_id: The grant.
        at: Now.
        available_usd: What the startup's account has available for it.
        stages: How many stages from the first one are paid by this.
        needed_usd: What they need in all.
        set_aside_usd: What is set aside so far, with what was paid from it.
        is_asked: Whether the startup asks for it, also for a stage that has not begun; False for the scheduler.
        is_chased: Whether missing money has its next consequence; False if only a payment counts.
        is_silent: Whether the provider's meter counted nearly nothing before the present withholding. Then withheld
            hours cost nothing, unless the stage is paid.
        gpu_seconds_withheld: GPU-seconds of the present withholding in which nodes worked.
        notice: How long delivery is withheld before the grant ends.
        damages_usd: The cash price of these, at most what is set aside beyond the cost of delivered hours.
    """

    grant_id: str
    at: datetime
    available_usd: Decimal
    stages: int
    needed_usd: Decimal
    set_aside_usd: Decimal
    is_asked: bool = False
    is_chased: bool = True
    is_silent: bool = False
    gpu_seconds_withheld: int = 0
    notice: timedelta = timedelta()
    damages_usd: Decimal = ZERO


class CompleteGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Complete the grant: its span is over and its statements are settled."""

    grant_id: str
    gpu_seconds_accepted: int
    at: datetime


class TerminateGrant(msgspec.Struct, frozen=True, kw_only=True):
    """End the grant early.

    Attributes:
        grant_id: The grant.
        at: When delivery ends; moved into the grant's span.
        by: The side that ends it.
        noticed_at: When notice is given.
        reason: Why.
        for_cause: Whether there is cause: for the startup while the grant lacks nodes, for the provider while the
            startup is suspended or delivery is withheld.
        is_late: Whether the conversion of its site is to be ready more than `ANSWERED_WITHIN` after its start.
        failing_since: When the failures that last were reported, by `find_failing_since`; None: as the grant has it.
        failed_before: What past outages took of the time to answer, by `list_unanswered`; None: as the grant has it.
        few_until: Until when few failed nodes may be repaired, by `find_few_time`; None: a week after the report.
        is_chronic: Whether outages took so much of late that the provider has no time left to answer (`delivered`).
        is_repaired: Whether all failures are over, although the grant does not show that yet.
        nodes_uncharged: How many nodes the last settled statement does not charge, if it charges too little
            (`statement_chain`) and the provider's meter does not count again. They count as failed.
        is_put_off: Whether its pool was to close at `at`, and the closing was put off.
        startup_suspended: Whether the startup that pays is suspended.
        provider_suspended: Whether the provider is suspended.
        announced_at: When the closing of its pool was announced, which is the notice for the fee; None: `noticed_at`.
        is_ordered: Whether the platform orders it, which takes no notice.
        payable_usd: The most that the fee may be, where the side that pays it did not ask for the end; None: no limit.
        deal_usd: The price of all grants that the startup has from the provider.
        returned_grant_id: The grant by which the seller of resold hours has them again; None: they are free.
        seller_usd: What is set aside of the money of a seller that pays a part of the price.
    """

    grant_id: str
    at: datetime
    by: Side
    noticed_at: datetime
    reason: str
    for_cause: bool = False
    is_late: bool = False
    failing_since: datetime | None = None
    failed_before: tuple[tuple[datetime, datetime], ...] | None = None
    few_until: datetime | None = None
    is_chronic: bool = False
    is_repaired: bool = False
    nodes_uncharged: int = 0
    is_put_off: bool = False
    startup_suspended: bool = False
    provider_suspended: bool = False
    announced_at: datetime | None = None
    is_ordered: bool = False
    payable_usd: Decimal | None = None
    deal_usd: Fraction = Fraction(0)
    returned_grant_id: str | None = None
    seller_usd: Decimal = Decimal(0)


GrantCommand = (
    IssueGrant
    | ActivateGrant
    | DegradeGrant
    | SuspendGrant
    | ResumeGrant
    | SubstituteGrant
    | ExtendGrant
    | RescheduleGrant
    | TransferGrant
    | PrioritiseGrant
    | ResellGrant
    | MarkGrant
    | AddServiceLine
    | CollectStage
    | CompleteGrant
    | TerminateGrant
)
