"""Grants: capacity that was awarded, from issue to completion."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.schedule import EndTerms, NoticeStep, PlatformFee
from events.service import ServiceTerms
from events.stages import StageTerms
from events.types import (
    Event,
    GpuClass,
    GpuSeconds,
    Id,
    Instant,
    LotShare,
    Nodes,
    Ratio,
    Share,
    Text,
    Usd,
)

Side = Literal["startup", "provider", "platform"]
"""Who ends a grant."""
Mark = Literal["related", "own_capacity", "named", "assumed", "backstop"]
"""Why a grant is no trade that prices count.

``related``: who buys is related to who sells or delivers; ``own_capacity``: who takes the equity is, or is related
to, who sells or delivers; ``named``: who sells or delivers states such a relation alone, and whom it names neither
states it nor is found to have it; ``assumed``: who pays for hours from now on does so at a price agreed before, as
the buyer of a company or as a seller whose buyer gave them up; ``backstop``: a backstop order won it, which names
its own price.
"""

Choice = Literal["shortened", "moved"]
"""What a startup chooses for a grant that cannot begin in time."""


class EquityPart(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes the equity part of a grant, and for what.

    Attributes:
        mandate_id: The mandate.
        holder_id: Who holds the equity.
        holder_account_id: Which account pays the provider; None where the provider is the holder.
        instrument_id: The instrument whose principal grows.
        principal_share: Principal per dollar of the price, exact.
        equity_credit: h, dollars paid per dollar of principal.
        principal_commitment_usd: Principal when everything is delivered.
        budget_commitment_usd: Dollars that the holder pays when everything is delivered.
        holder_accepts: Whether statements settle early only if the holder accepts too, since it pays a part.
    """

    mandate_id: Id
    holder_id: Id
    holder_account_id: Id | None
    instrument_id: Id
    principal_share: Ratio
    equity_credit: Share
    principal_commitment_usd: Usd
    budget_commitment_usd: Usd
    holder_accepts: bool = False


class ResalePart(msgspec.Struct, frozen=True, kw_only=True):
    """The seller of a grant's capacity, if it was bought from another startup.

    The provider delivers to the buyer and is owed the seller's price per GPU-hour. If the buyer pays more, the seller
    receives the difference; if less, the seller adds it.

    Attributes:
        grant_id: The seller's grant, which it is part of.
        lot_id: The lot of the resale.
        seller_id: Who sold it.
        seller_account_id: Which account receives or adds the difference.
        hold_id: The seller's hold for what it may have to add.
        owed_usd_per_gpu_hour: The price of the seller's grant, exact.
        commitment_usd: What the seller adds when everything is delivered, with its platform fee.
        bond_usd: What the seller posts for its lot at the sale: the share that it may come to owe of what it would
            receive at its ask.
    """

    grant_id: Id
    lot_id: Id
    seller_id: Id
    seller_account_id: Id
    hold_id: Id
    owed_usd_per_gpu_hour: Ratio
    commitment_usd: Usd
    bond_usd: Usd = Decimal(0)


class GrantIssued(Event, frozen=True, kw_only=True, tag="grant.issued.v1"):
    """Capacity was awarded.

    At the price p the startup pays cash_share · p in cash and owes principal_share · p as principal; the holder pays
    the provider the rest of p. The event does not state what the order would have paid at most: offers stay sealed.

    Attributes:
        grant_id: The grant.
        order_id: The order that won.
        auction_id: The auction it won; None where it took a held quote.
        startup_id: Who uses the capacity.
        provider_id: Who delivers it.
        pool_id: Where.
        gpu_class: Class of the GPUs.
        nodes: Nodes at every instant.
        gpus_per_node: GPUs of one node.
        start: First instant.
        end: Instant after the last.
        lots: Which lots carry it.
        price_usd_per_gpu_hour: p, exact.
        cash_share: The part of the price that is paid in cash: 1 for cash alone. The cash is a round amount near the
            offer's proportion, which stays sealed.
        startup_account_id: Which account pays the cash part.
        provider_account_id: Which account is paid.
        hold_id: The hold that pays for it.
        cash_commitment_usd: Cash when everything is delivered, with the startup's platform fee.
        equity: The equity part; None for cash alone.
        resale: The startup that sold it; None if the provider did.
        service: The promise for every statement period, the best one if there are several lots; None: nothing.
        mark: Why it is no trade that prices count; None: it is one.
        ends: What an early end costs, by the schedule at its issue; None: nothing.
        platform_fee: What the platform takes of its settlements, as its order states; None: nothing.
        notices: Notice and fee of an early end, by the price of all grants that its startup has of its provider.
        stages: How its cash is set aside in stages; None: all of it is set aside.
        credit_usd: How much of it is not set aside and paid by accepted statements alone, at its provider's risk.
    """

    grant_id: Id
    order_id: Id
    auction_id: Id | None = None
    startup_id: Id
    provider_id: Id
    pool_id: Id
    gpu_class: GpuClass
    nodes: Nodes
    gpus_per_node: int
    start: Instant
    end: Instant
    lots: tuple[LotShare, ...]
    price_usd_per_gpu_hour: Ratio
    cash_share: Ratio
    startup_account_id: Id
    provider_account_id: Id
    hold_id: Id
    cash_commitment_usd: Usd
    equity: EquityPart | None = None
    resale: ResalePart | None = None
    service: ServiceTerms | None = None
    mark: Mark | None = None
    ends: EndTerms | None = None
    platform_fee: PlatformFee | None = None
    notices: Annotated[tuple[NoticeStep, ...], Meta(max_length=20)] = ()
    stages: StageTerms | None = None
    credit_usd: Usd = Decimal(0)


class GrantActivated(Event, frozen=True, kw_only=True, tag="grant.activated.v1"):
    """The capacity was handed over.

    Attributes:
        grant_id: The grant.
        at: When.
    """

    grant_id: Id
    at: Instant


class GrantDegraded(Event, frozen=True, kw_only=True, tag="grant.degraded.v1"):
    """Fewer nodes work than were granted.

    Attributes:
        grant_id: The grant.
        nodes_available: Nodes that work.
        at: Since when.
        reason: Why.
        until: When the outage ended, if it was over when it was reported; None: it lasts until the next report.
        reported_at: When it was reported; None: then.
        follows_pool: Whether it was derived from failed nodes of the pool or power of the site, and ends with that.
    """

    grant_id: Id
    nodes_available: Annotated[int, Meta(ge=0)]
    at: Instant
    reason: Text
    until: Instant | None = None
    reported_at: Instant | None = None
    follows_pool: bool = False


class GrantSuspended(Event, frozen=True, kw_only=True, tag="grant.suspended.v1"):
    """Use is interrupted: no node works.

    Attributes:
        grant_id: The grant.
        at: Since when.
        reason: Why.
        reported_at: When it was reported; None: then.
        by: The side that reported it; a startup does while the provider's meter is silent.
    """

    grant_id: Id
    at: Instant
    reason: Text
    reported_at: Instant | None = None
    by: Side = "provider"


class GrantResumed(Event, frozen=True, kw_only=True, tag="grant.resumed.v1"):
    """A suspended or degraded grant works in full again.

    Attributes:
        grant_id: The grant.
        at: Since when.
    """

    grant_id: Id
    at: Instant


class GrantSubstituted(Event, frozen=True, kw_only=True, tag="grant.substituted.v1"):
    """The capacity moved to another pool of the same provider and class, at the same price.

    Attributes:
        grant_id: The grant.
        pool_id: Where it is from then on.
        pool_id_before: Where it was.
        lots: Which lots carry it from then on.
        at: From when.
        reason: Why.
    """

    grant_id: Id
    pool_id: Id
    pool_id_before: Id
    lots: tuple[LotShare, ...]
    at: Instant
    reason: Text


class GrantExtended(Event, frozen=True, kw_only=True, tag="grant.extended.v1"):
    """The grant was extended. A period below the promised availability was not charged and is delivered again.

    Attributes:
        grant_id: The grant.
        statement_id: The statement of that period, in the same atomic batch.
        start: First instant of the extension: the previous end, or later if the grant was already over.
        end: Instant after the last; the grant ends then.
        lots: Which lots carry it.
        gpu_seconds: GPU-seconds that are added.
    """

    grant_id: Id
    statement_id: Id
    start: Instant
    end: Instant
    lots: tuple[LotShare, ...]
    gpu_seconds: GpuSeconds


class GrantRescheduled(Event, frozen=True, kw_only=True, tag="grant.rescheduled.v1"):
    """Its startup chose another span for a grant that could not begin, because its site is late or its nodes are dark.

    Nothing was delivered before; the grant is issued again and begins at the new start. A shortened grant keeps its
    end. The hours taken off cost nothing and accrue no principal: what was set aside for them is freed in the same
    batch. Beyond the cure time the startup may claim the make-whole for them. A moved grant keeps its length.

    Attributes:
        grant_id: The grant.
        choice: ``shortened`` or ``moved``.
        start_before: When it was to begin.
        end_before: When it was to end.
        start: First instant from now on.
        end: Instant after the last.
        lots: Which lots carry it.
        gpu_seconds_cut: GPU-seconds that are taken off; 0 if it is moved.
        cash_commitment_usd: Cash when everything that is left is delivered.
        principal_commitment_usd: Principal then.
        budget_commitment_usd: Dollars that the holder of the equity pays then.
        at: When the startup chose.
        reason: Why, with the choice.
    """

    grant_id: Id
    choice: Choice
    start_before: Instant
    end_before: Instant
    start: Instant
    end: Instant
    lots: tuple[LotShare, ...]
    gpu_seconds_cut: GpuSeconds
    cash_commitment_usd: Usd
    principal_commitment_usd: Usd
    budget_commitment_usd: Usd
    at: Instant
    reason: Text


class GrantTransferred(Event, frozen=True, kw_only=True, tag="grant.transferred.v1"):
    """Another startup uses the capacity from now on; payment and equity stay with the first.

    Attributes:
        grant_id: The grant.
        startup_id: Who uses it from now on.
        startup_id_before: Who used it.
    """

    grant_id: Id
    startup_id: Id
    startup_id_before: Id


class GrantPrioritised(Event, frozen=True, kw_only=True, tag="grant.prioritised.v1"):
    """The grant's priority changed among the startup's grants to which usage is allocated, for later usage.

    Attributes:
        grant_id: The grant.
        priority: The lowest is used first.
    """

    grant_id: Id
    priority: Annotated[int, Meta(ge=0, le=1_000)]


class GrantResold(Event, frozen=True, kw_only=True, tag="grant.resold.v1"):
    """Part of the capacity was resold. From now on it is delivered, stated and paid under a separate grant.

    The resold part accrues no principal and costs nothing under this grant any more.

    Attributes:
        grant_id: The grant.
        resale_grant_id: The grant that the part became.
        lot_id: The lot it was offered as.
        nodes: Nodes at every instant of the span.
        start: First instant.
        end: Instant after the last.
        gpu_seconds: GPU-seconds that were resold.
        price_usd_per_gpu_hour: What the buyer pays, exact.
        cash_commitment_usd: Cash when everything that is left is delivered.
        principal_commitment_usd: Principal then.
        budget_commitment_usd: Dollars that the holder of the equity pays then.
    """

    grant_id: Id
    resale_grant_id: Id
    lot_id: Id
    nodes: Nodes
    start: Instant
    end: Instant
    gpu_seconds: GpuSeconds
    price_usd_per_gpu_hour: Ratio
    cash_commitment_usd: Usd
    principal_commitment_usd: Usd
    budget_commitment_usd: Usd


class GrantMarked(Event, frozen=True, kw_only=True, tag="grant.marked.v1"):
    """A relation among its parties became known after the award. From then on no index or reliability counts the grant.

    Published indices stay published; each gets a later revision. The provider's reliability loses the hours that worked
    and were accepted; hours that were lost, broken or given up stay.

    Attributes:
        grant_id: The grant.
        mark: What it is.
        relation_id: The relation that became known.
        reason: Why it is marked.
    """

    grant_id: Id
    mark: Mark
    relation_id: Id
    reason: Text


class GrantServiceLineAdded(Event, frozen=True, kw_only=True, tag="grant.service_line_added.v1"):
    """A service line was agreed on. It is metered, stated and paid separately, and ends with the grant.

    Attributes:
        grant_id: The grant.
        service_line_id: The service line, agreed on in the same atomic batch.
    """

    grant_id: Id
    service_line_id: Id


class GrantCompleted(Event, frozen=True, kw_only=True, tag="grant.completed.v1"):
    """The span is over and every statement of the grant is settled.

    Attributes:
        grant_id: The grant.
        gpu_seconds_accepted: Delivered and accepted.
    """

    grant_id: Id
    gpu_seconds_accepted: GpuSeconds


class GrantStagePaid(Event, frozen=True, kw_only=True, tag="grant.stage_paid.v1"):
    """A stage was paid: its cash is set aside in the same atomic batch. Delivery that was withheld goes on.

    Attributes:
        grant_id: The grant.
        stages_paid: How many stages are paid now, the first one among them.
        amount_usd: What was set aside for it.
        set_aside_usd: What was set aside for the grant since its match, with the security.
        at: When.
    """

    grant_id: Id
    stages_paid: Annotated[int, Meta(ge=1)]
    amount_usd: Usd
    set_aside_usd: Usd
    at: Instant


class GrantStageMissed(Event, frozen=True, kw_only=True, tag="grant.stage_missed.v1"):
    """The cash of a stage that began, or of a due statement on credit, is missing. Delivery goes on in the cure time.

    Attributes:
        grant_id: The grant.
        stage: The stage, counted from 1.
        amount_usd: What is missing.
        cure_until: From then on delivery is withheld, unless the startup pays before.
    """

    grant_id: Id
    stage: Annotated[int, Meta(ge=1)]
    amount_usd: Usd
    cure_until: Instant


class GrantWithheld(Event, frozen=True, kw_only=True, tag="grant.withheld.v1"):
    """Delivery is withheld, because missing cash was not paid in its cure time. The nodes stay the grant's.

    Attributes:
        grant_id: The grant.
        at: Since when.
        ends_at: When the grant ends, after the notice of its terms, unless the startup pays before.
    """

    grant_id: Id
    at: Instant
    ends_at: Instant


class GrantWithholdingEnded(Event, frozen=True, kw_only=True, tag="grant.withholding_ended.v1"):
    """Delivery is not withheld any more: the missing cash was paid, or the grant ends.

    The withheld hours are neither delivered nor charged, and nothing accrues. The startup's hold pays the provider
    damages for them in the same atomic batch.

    Attributes:
        grant_id: The grant.
        since: Since when delivery was withheld.
        at: Until when.
        gpu_seconds: GPU-seconds in which the nodes worked and were withheld.
        damages_usd: Their price in cash, as far as what is set aside goes beyond the delivered hours.
        payment_id: The cause of the payment.
        is_paid: Whether the missing cash was paid, so that delivery goes on.
    """

    grant_id: Id
    since: Instant
    at: Instant
    gpu_seconds: GpuSeconds
    damages_usd: Usd
    payment_id: Id
    is_paid: bool


class GrantTerminated(Event, frozen=True, kw_only=True, tag="grant.terminated.v1"):
    """The grant ended early. Undelivered capacity is released and accrues no principal.

    Until it ends, a further event may bring the end forward.

    Attributes:
        grant_id: The grant.
        at: Last instant of delivery.
        by: Who ended it. An end by the provider counts against its reliability.
        noticed_at: When notice was given.
        reason: Why.
        for_cause: Whether it ended for cause, which needs no notice.
        fee_usd: What the side that ended it pays for what is not delivered between this end and the one before. The
            other side gets it.
        nodes_failed: Of an end by the startup for cause, the nodes that did not work by the reports until then, or that
            its last statement did not charge; all before its start, and where its pool was to close then.
        reseller_receives_usd: Of resold capacity, the part of the fee that its seller gets in place of the other side.
        reseller_pays_usd: What the seller adds where its buyer pays a part of the price, and of the fee.
        returned_grant_id: The grant by which the seller has the hours again that its buyer gave up; None: they are
            free.
        announced_at: When the closing of its pool was announced for `at`, which counts as the notice for the fee; None:
            it ended otherwise.
    """

    grant_id: Id
    at: Instant
    by: Side
    noticed_at: Instant
    reason: Text
    for_cause: bool = False
    fee_usd: Usd = Decimal(0)
    nodes_failed: Annotated[int, Meta(ge=0)] = 0
    reseller_receives_usd: Usd = Decimal(0)
    reseller_pays_usd: Usd = Decimal(0)
    returned_grant_id: Id | None = None
    announced_at: Instant | None = None


GrantEvent = (
    GrantIssued
    | GrantActivated
    | GrantDegraded
    | GrantSuspended
    | GrantResumed
    | GrantSubstituted
    | GrantExtended
    | GrantRescheduled
    | GrantTransferred
    | GrantPrioritised
    | GrantResold
    | GrantMarked
    | GrantServiceLineAdded
    | GrantStagePaid
    | GrantStageMissed
    | GrantWithheld
    | GrantWithholdingEnded
    | GrantCompleted
    | GrantTerminated
)
