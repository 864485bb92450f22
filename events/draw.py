"""What was fixed at signing about how a drawdown is drawn: when, in which unit, at which prices, and who set them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import GpuClass, Id, Instant, Ratio


class PriceSource(msgspec.Struct, frozen=True, kw_only=True):
    """What set the prices of a drawdown.

    Attributes:
        kind: ``auction``: a clearing, certified in its ``auction.cleared``; ``quote``: a held quote, matched in its
            ``quote.held``; ``resale``: a clearing in which a startup sold unused capacity on; ``service_line``: an
            agreement on a line, in its ``service_line.proposed``.
        id: The auction, the quote, or the service line.
        seller_grant_id: The seller's grant of a resale; None where the provider sold it.
    """

    kind: Literal["auction", "quote", "resale", "service_line"]
    id: Id
    seller_grant_id: Id | None = None


class DrawTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The signed terms of a drawdown: cost and principal of each accepted unit, within a window.

    They are the grant's terms at its issue and never change. Later events change what is drawn: ``grant.extended`` if a
    missed period rolls forward, ``grant.rescheduled`` if its startup shortens or moves it, ``grant.resold`` for resold
    capacity, ``grant.terminated`` for an early end. Statements round the cumulative sums of cash and principal to the
    cent.

    Attributes:
        start: First instant of the window.
        end: Instant after the last.
        gpu_class: Class of the GPUs whose hours are counted, or beside which a service line is worked.
        unit: The unit of the prices: accepted hours of one GPU of the class, or of a service line.
        price_usd_per_gpu_hour: The price, exact.
        cash_usd_per_gpu_hour: The part that the startup pays in cash, exact.
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
