"""A provider's asks against the market's curve."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from marketplace.console.desk import Desk, attempt
from marketplace.plots.curves import render_curves
from marketplace.projections.views.supply import LotView


class Market(NamedTuple):
    """The last auction of a class: its curves as SVG, and its lowest and highest price; None without prices."""

    drawing: str
    auction_id: str
    low: Decimal | None
    high: Decimal | None


async def draw_market(desk: Desk, gpu_class: str, lots: Sequence[LotView]) -> Market | None:
    """Return the curves of the last auction with a class, with the asks of these lots.

    None if there was no auction, or the key may not see its curves.
    """
    steps = await attempt(desk.client.market.get_curves(gpu_class=gpu_class), None)
    if not steps:
        return None
    auction_id = steps[0].auction_id
    rows = desk.client.market.list_prices(auction_id=auction_id, gpu_class=gpu_class)
    prices = [one.price_usd_per_gpu_hour async for one in rows]
    asks = sorted({ask for lot in lots for ask in list_asks(lot)})
    drawing = render_curves(gpu_class, steps, prices, asks)
    return Market(drawing, auction_id, min(prices, default=None), max(prices, default=None))


def list_asks(lot: LotView) -> list[Decimal]:
    """Return the asks of a lot, the lowest first."""
    return [lot.ask_usd_per_gpu_hour, *(one.ask_usd_per_gpu_hour for one in lot.further_asks)]
