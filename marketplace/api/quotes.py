"""Quotes: what an order would have to be worth now, and where it would run; nothing is set aside or stored."""

from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

import msgspec
from litestar import Router, post
from litestar.params import JSONBody

from events.types import Reason
from marketplace.api.bodies.trading import AskQuoteBody
from marketplace.api.commands import Commanded
from marketplace.api.reading import Read
from marketplace.clearing.standing import Placement
from marketplace.domain.offer import compute_gpu_hours
from marketplace.runtime.commands.orders import preview_order
from marketplace.runtime.quoting import Quoted

PATH: Final = "/v1/quotes"


class QuotePlacement(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve the order.

    Attributes:
        gpu_class: Class of the GPUs.
        region: Where.
        pool_id: The pool.
        mandate_id: Who would take the equity part; None for cash alone.
        start: First instant.
        end: Instant after the last.
        price_to_win_usd_per_gpu_hour: What the order would have to be worth there, w = cash + h · equity.
        value_usd_per_gpu_hour: What it offers there.
        total_usd: The price over the whole run.
        displaced_orders: Orders of the book that would find no other place; 0: the capacity is free.
    """

    gpu_class: str
    region: str
    pool_id: str
    mandate_id: str | None
    start: datetime
    end: datetime
    price_to_win_usd_per_gpu_hour: Decimal
    value_usd_per_gpu_hour: Decimal
    total_usd: Decimal
    displaced_orders: int


class QuoteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The price to win against the book as it stands.

    Attributes:
        book_sequence: Position in the log at which the book stands.
        book_hash: Hash of the book, as an auction's certificate would name it.
        auction_id: The auction that would take the order next; None where none is collecting for it.
        price_to_win_usd_per_gpu_hour: The number that an auction would name to this order if it lost; None where
            nothing would win.
        guarantee: ``sure``: on this book the order wins at the price and loses at a cent less. ``indicative``: an
            estimate inside the interval.
        lower_usd_per_gpu_hour: Under it the order loses, whatever the rest of the book.
        upper_usd_per_gpu_hour: At it the order is worth more than what it would displace.
        would_win: Whether what is offered reaches the price.
        placements: Ways to serve it, the cheapest first.
        reason: Why nothing would win, with what would have to give.
    """

    book_sequence: int
    book_hash: str
    auction_id: str | None
    price_to_win_usd_per_gpu_hour: Decimal | None
    guarantee: Literal["sure", "indicative"]
    lower_usd_per_gpu_hour: Decimal | None
    upper_usd_per_gpu_hour: Decimal | None
    would_win: bool
    placements: tuple[QuotePlacement, ...]
    reason: Reason | None


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
