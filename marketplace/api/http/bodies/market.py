"""Bodies of market data."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from events.mandate import InstrumentKind
from events.pricelist import ListPrice
from events.schedule import ScheduleTerms
from events.types import Text
from marketplace.api.http.bodies import Body
from marketplace.projections.views.supply import PublicDepth
from marketplace.projections.views.trading import IndexPoint, PriceView


class PublishPricelistBody(Body, frozen=True, kw_only=True):
    """A dated table of public prices.

    Attributes:
        name: What it is called.
        prices: Its rows.
    """

    name: Text
    prices: Annotated[tuple[ListPrice, ...], Meta(min_length=1, max_length=1_000)]


class PublishScheduleBody(Body, frozen=True, kw_only=True):
    """A schedule.

    Attributes:
        terms: Its rules.
    """

    terms: ScheduleTerms


class MandateOffer(msgspec.Struct, frozen=True, kw_only=True):
    """The public terms of an open mandate; its other terms and its remaining budget may still refuse an order.

    Attributes:
        mandate_id: The mandate, which an order may name.
        holder_id: Who would hold the equity; ``/v1/parties/names`` has its name.
        funding: Whether its holder pays providers in cash or is the provider itself.
        instrument_kinds: Accepted kinds of instrument.
        equity_credit: h, dollars paid to the provider per dollar of principal.
        valuation_cap_usd_min: Lowest accepted cap; None: no bound.
        valuation_cap_usd_max: Highest accepted cap; None: 100 million dollars.
        uncapped: Whether terms without a cap are accepted.
        sectors: Accepted sectors; empty for any.
        startup_accepts_alone: Whether a startup's acceptance settles a statement without the holder's.
        expires_at: When it ends; None: when revoked.
    """

    mandate_id: str
    holder_id: str
    funding: str
    instrument_kinds: tuple[InstrumentKind, ...]
    equity_credit: Decimal
    valuation_cap_usd_min: Decimal | None
    valuation_cap_usd_max: Decimal | None
    uncapped: bool
    sectors: tuple[str, ...]
    startup_accepts_alone: bool
    expires_at: datetime | None


class MarketPrice(PriceView, frozen=True, kw_only=True):
    """The uniform price of one pool over a span, with other clouds' list prices.

    Attributes:
        list_usd_per_gpu_hour_median: Median of the public prices of the class in force when the auction cleared; None
            if none is known.
    """

    list_usd_per_gpu_hour_median: Decimal | None


class PublicMarket(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody may see of the market, where the operator allows it; nothing of single parties.

    Attributes:
        classes: Every GPU class that a pool has.
        gpu_class: The class of what follows; None if there is none.
        index: Its index of the last 90 days, beside public list prices.
        depth: Its asks, cheapest first, in steps of three providers or more; empty where there are fewer.
    """

    classes: tuple[str, ...]
    gpu_class: str | None
    index: tuple[IndexPoint, ...]
    depth: tuple[PublicDepth, ...]
