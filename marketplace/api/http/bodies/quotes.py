"""Answers of quotes."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from events.types import Reason


class QuotePlacement(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve the order.

    Attributes:
        gpu_class: Class of the GPUs.
        region: Where.
        pool_id: The pool.
        mandate_id: Who would take the equity part; None for cash alone.
        nodes: The number of nodes.
        start: First instant.
        end: Instant after the last.
        price_to_win_usd_per_gpu_hour: The value that the order needs there, w = cash + h · equity.
        value_usd_per_gpu_hour: The value of its bid there.
        total_usd: The price over the whole run.
        hold_usd_per_hour: What an hour of holding it costs if it is not taken, by the schedule now.
        contested: Whether an order of the book would have to give way; if not, the capacity is free.
        resold: Whether a startup resells these nodes of its grant.
    """

    gpu_class: str
    region: str
    pool_id: str
    mandate_id: str | None
    nodes: int
    start: datetime
    end: datetime
    price_to_win_usd_per_gpu_hour: Decimal
    value_usd_per_gpu_hour: Decimal
    total_usd: Decimal
    hold_usd_per_hour: Decimal
    contested: bool
    resold: bool


class QuoteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The price to win against the current book, in which every sealed offer is rounded up to a price step.

    Attributes:
        book_sequence: Position in the log that the book reflects.
        book_hash: Hash of the rounded book.
        auction_id: The auction that would take the order next; None if no collecting auction would.
        price_to_win_usd_per_gpu_hour: The price that an auction of this book would state to this order if it lost;
            None if nothing would win.
        guarantee: ``sure``: on this book the order wins at the price and loses at a cent less. ``indicative``: an
            estimate inside the interval.
        lower_usd_per_gpu_hour: Below it, no optimal clearing of the book contains the order.
        upper_usd_per_gpu_hour: From it on, every optimal clearing contains it; None: more than an offer may be.
        would_win: Whether the offer reaches the price.
        placements: Ways to serve it, cheapest first.
        reason: Why nothing would win, and what would have to change.
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
