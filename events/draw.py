"""What was fixed at signing about how a drawdown is drawn: when, in which unit, at which prices, and who set them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import GpuClass, Id, Instant, Ratio


class PriceSource(msgspec.Struct, frozen=True, kw_only=True):
    """What set the prices of a drawdown.

    Attributes:
        kind: ``auction``: the clearing of an auction, whose certificate stands in its ``auction.cleared``; ``quote``: a
            held quote that was taken, whose match stands in its ``quote.held``; ``resale``: the clearing of an auction
            in which a startup sold unused capacity on; ``service_line``: an agreement on a service line, which stands
            in its ``service_line.proposed``.
        id: The auction, the quote, or the service line.
        seller_grant_id: The seller's grant of a resale; None where the provider sold it.
    """

    kind: Literal["auction", "quote", "resale", "service_line"]
    id: Id
    seller_grant_id: Id | None = None


class DrawTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How a drawdown is drawn, as it was signed: what one accepted unit costs and grows, within which window.

    This is what the grant stated when it was issued, and it stands as it was signed: where a missed period rolls
    forward, the draw goes on by ``grant.extended``; what was sold on leaves it by ``grant.resold``, and what ends early
    ends by ``grant.terminated``. At price p, value w and θ = p / w (see ``grant.issued``), the price is p, of which the
    startup pays θ · cash, and the principal is θ · equity. Statements round the cumulative sums of both to the cent.

    Attributes:
        start: First instant of the window.
        end: Instant after the last.
        gpu_class: Class of the GPUs whose hours are counted, or beside which a service line is worked.
        unit: What is counted: accepted hours of one GPU of the class, or of a service line, whose prices they are then.
        price_usd_per_gpu_hour: p, exact.
        cash_usd_per_gpu_hour: What of it the startup pays in cash, exact.
        principal_usd_per_gpu_hour: Principal that accrues, exact.
        acceptance_hours: How long the startup may dispute a statement before silence accepts it.
        source: What set the prices.
    """

    start: Instant
    end: Instant
    gpu_class: GpuClass
    unit: Literal["gpu_hour", "service_hour"] = "gpu_hour"
    price_usd_per_gpu_hour: Ratio
    cash_usd_per_gpu_hour: Ratio
    principal_usd_per_gpu_hour: Ratio
    acceptance_hours: Annotated[int, Meta(ge=1, le=8_760, description="Hours")]
    source: PriceSource
