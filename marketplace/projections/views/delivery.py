"""Views of grants and of providers' reliability."""

from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from events.schedule import EndTerms
from events.service import ServiceTerms
from events.stages import StageTerms
from events.types import LotShare
from marketplace.projections.views.billing import EquityView, StatementView


class ResoldPart(msgspec.Struct, frozen=True, kw_only=True):
    """A resold part of a grant: the grant it became, its nodes and span, and what the buyer pays: at most 12 places."""

    resale_grant_id: str
    nodes: int
    start: datetime
    end: datetime
    price_usd_per_gpu_hour: Decimal


class ResaleView(msgspec.Struct, frozen=True, kw_only=True):
    """From which grant resold capacity came, and what its seller receives or adds.

    Attributes:
        grant_id: The grant that it was part of.
        lot_id: The lot of the resale.
        seller_id: Who sold it.
        seller_account_id: Which account receives or adds the difference.
        hold_id: The seller's hold for what it may have to add.
        owed_usd_per_gpu_hour: The price of the seller's grant, with at most 12 places.
        commitment_usd: What the seller adds when everything is delivered.
    """

    grant_id: str
    lot_id: str
    seller_id: str
    seller_account_id: str
    hold_id: str
    owed_usd_per_gpu_hour: Decimal
    commitment_usd: Decimal


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a staged grant stands.

    Attributes:
        stages_paid: Stages that are paid, the first one among them.
        set_aside_usd: What was set aside for the grant since its match.
        damages_usd: What was paid for hours in which delivery was withheld.
        missing_usd: What a stage that began still lacks; None: nothing.
        cure_until: From then on delivery is withheld, unless that is paid; None: nothing is missing.
        withheld_at: Since when delivery is withheld; None: it is not.
        ends_at: When the grant ends, unless the stage is paid before; None: delivery is not withheld.
    """

    stages_paid: int = 1
    set_aside_usd: Decimal = Decimal(0)
    damages_usd: Decimal = Decimal(0)
    missing_usd: Decimal | None = None
    cure_until: datetime | None = None
    withheld_at: datetime | None = None
    ends_at: datetime | None = None


GRANT_PARTIES: Final = ("startup_id", "payer_id", "provider_id", "holder_id")
"""Members of a grant that name the parties who see it."""


class GrantView(msgspec.Struct, frozen=True, kw_only=True):
    """A grant. Its events state price and cash part as exact fractions.

    To a startup that uses it without paying, the members from `price_usd_per_gpu_hour` to `stage` are None or empty,
    except `provider_account_id`, `service_lines` and `service`.

    Attributes:
        payer_id: Who won it and pays, also once it is transferred to `startup_id`.
        price_usd_per_gpu_hour: Its price, with at most 12 places.
        cash_share: The part paid in cash, with at most 12 places: 1 for cash alone.
        ends: What an early end without cause costs, by its notice; None: nothing.
        stage: How far its stages have come; None: all of its cash is set aside.
        mark: Why no price index counts it, as ``related``, ``own_capacity`` or ``backstop``; None: it counts.
        status: ``issued``, ``active``, ``degraded``, ``suspended``, ``completed`` or ``terminated``.
        user_suspended: For its payer: whether another user is suspended.
    """

    grant_id: str
    order_id: str
    auction_id: str | None
    startup_id: str
    payer_id: str
    provider_id: str
    holder_id: str | None
    pool_id: str
    gpu_class: str
    nodes: int
    gpus_per_node: int
    start: datetime
    end: datetime
    lots: tuple[LotShare, ...]
    price_usd_per_gpu_hour: Decimal | None
    cash_share: Decimal | None
    startup_account_id: str | None
    provider_account_id: str
    hold_id: str | None
    cash_commitment_usd: Decimal | None
    equity: EquityView | None
    resale: ResaleView | None
    resold: tuple[ResoldPart, ...]
    service_lines: tuple[str, ...]
    service: ServiceTerms | None
    ends: EndTerms | None
    stages: StageTerms | None
    stage: StageView | None
    mark: str | None
    status: str
    nodes_available: int
    priority: int
    reason: str | None
    gpu_seconds_accepted: int | None
    ended_at: datetime | None
    issued_at: datetime
    last_sequence: int
    user_suspended: bool = False
    statement: StatementView | msgspec.UnsetType | None = msgspec.UNSET


class GrantAtView(msgspec.Struct, frozen=True, kw_only=True):
    """The changing properties of a grant at a point in time."""

    grant_id: str
    status: str
    pool_id: str
    startup_id: str
    nodes_available: int
    reason: str | None
    last_sequence: int


class ReliabilityView(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's reliability so far. Shares have at most 12 places, rounded half to even.

    Each share is taken by GPU-seconds and by price; the lower one is shown.

    Attributes:
        provider_id: The provider.
        uptime: Of the GPU-seconds that were due, the share that worked.
        completion: Of the grants that ran to their end or ended early by its fault, the share of the former. It
            is at fault if it ended a grant without cause, or the startup did for cause.
        undisputed: Of the GPU-seconds that were accepted or given up in disputes, the share that was accepted.
        score: The product of the three. An order may require a minimum.
        gpu_seconds_due: GPU-seconds of runs that are over.
        gpu_seconds_lost: Those during which the nodes did not work.
        grants_completed: Grants that ran to their end.
        grants_broken: Grants that ended early by its fault, and matches whose capacity it withdrew after the lock.
        gpu_seconds_completed: GPU-seconds of the grants completed, as granted, less the resold ones.
        gpu_seconds_broken: GPU-seconds of the grants broken.
        gpu_seconds_accepted: GPU-seconds of accepted statements.
        gpu_seconds_conceded: GPU-seconds given up in disputes.
        last_sequence: The event that changed it last; 0 without a history.
    """

    provider_id: str
    uptime: Decimal
    completion: Decimal
    undisputed: Decimal
    score: Decimal
    gpu_seconds_due: int
    gpu_seconds_lost: int
    grants_completed: int
    grants_broken: int
    gpu_seconds_completed: int
    gpu_seconds_broken: int
    gpu_seconds_accepted: int
    gpu_seconds_conceded: int
    last_sequence: int
