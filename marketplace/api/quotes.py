"""Quotes: what an order would have to be worth now, and where it would run; nothing is set aside or stored."""

from typing import Final

from litestar import Router, post
from litestar.params import JSONBody

from events.types import Reason
from marketplace.api.bodies.quotes import QuoteAnswer, QuotePlacement
from marketplace.api.bodies.trading import AskQuoteBody
from marketplace.api.commands import Commanded
from marketplace.api.reading import Read
from marketplace.clearing.standing import Placement
from marketplace.domain.offer import compute_gpu_hours
from marketplace.runtime.commands.orders import preview_order
from marketplace.runtime.quoting import Quoted

PATH: Final = "/v1/quotes"


@post("/", status_code=200, summary="Ask what an order would have to be worth")
async def ask(command: Commanded, reading: Read, data: JSONBody[AskQuoteBody]) -> QuoteAnswer:
    """Answer from the current book with the price to win and the cheapest placements; nothing is set aside."""
    order = await preview_order(command.handler, command.context, startup_id=data.startup_id, terms=data.terms)
    quoted = await command.services.quoter.quote(order, min_sequence=reading.min_seq)
    return render_quote(quoted, compute_gpu_hours(order.terms))


def render_quote(quoted: Quoted, gpu_hours: int) -> QuoteAnswer:
    """Return a quote as it is told to who asked."""
    found = quoted.estimate
    placements = tuple(_render_placement(quoted, placement, gpu_hours) for placement in found.placements)
    price = found.price_to_win_usd_per_gpu_hour
    return QuoteAnswer(
        book_sequence=quoted.sequence,
        book_hash=quoted.book_hash,
        auction_id=quoted.auction_id,
        price_to_win_usd_per_gpu_hour=price,
        guarantee="sure" if found.sure and quoted.fresh else "indicative",
        lower_usd_per_gpu_hour=found.lower_usd_per_gpu_hour,
        upper_usd_per_gpu_hour=found.upper_usd_per_gpu_hour,
        would_win=price is not None
        and any(one.value_usd_per_gpu_hour >= max(one.price_to_win_usd_per_gpu_hour, price) for one in placements),
        placements=placements,
        reason=None
        if found.reason is None
        else Reason(code=found.reason.code, text=found.reason.text, facts=dict(found.reason.facts)),
    )


def _render_placement(quoted: Quoted, placement: Placement, gpu_hours: int) -> QuotePlacement:
    pool = next(pool for pool in quoted.book.pools if pool.pool_id == placement.pool_id)
    return QuotePlacement(
        gpu_class=pool.gpu_class,
        region=pool.region,
        pool_id=placement.pool_id,
        mandate_id=placement.mandate_id,
        start=quoted.horizon.at(placement.start_period),
        end=quoted.horizon.at(placement.end_period),
        price_to_win_usd_per_gpu_hour=placement.price_usd_per_gpu_hour,
        value_usd_per_gpu_hour=quoted.row.bids[placement.bid].value_usd_per_gpu_hour,
        total_usd=placement.price_usd_per_gpu_hour * gpu_hours,
        displaced_orders=placement.displaced,
    )


ROUTER: Final = Router(PATH, route_handlers=[ask], tags=["quotes"])
