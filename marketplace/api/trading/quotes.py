"""Quotes: the value that an order needs now, and where it would run.

Asking for a quote sets nothing aside and stores nothing. A held quote sets aside capacity, cash and budget until it is
taken, released or expires.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from events.schedule import ScheduleTerms
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.api.http.bodies.quotes import QuoteAnswer, QuotePlacement
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.api.http.bodies.trading import AskQuoteBody, HoldQuoteBody
from marketplace.api.http.commands import Commanded
from marketplace.api.http.known_values import require_terms_known
from marketplace.api.http.paging import List
from marketplace.api.http.queries import Read, Statuses, Word, answer_versioned
from marketplace.api.http.visibility import QUOTE
from marketplace.api.trading import orders
from marketplace.application.trading.orders import preview_order
from marketplace.application.trading.quote_source import Quoted
from marketplace.application.trading.quotes import hold_quote, release_quote, take_quote
from marketplace.clearing.quotes.prepared_book import Placement
from marketplace.core.ids import rename_id
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID, Schedule, compute_hold_fee
from marketplace.domain.trading.book.reason_text import tell_reason
from marketplace.domain.trading.order_terms import compute_gpu_hours
from marketplace.domain.trading.quote import Status
from marketplace.projections.trading.quotes import find_quote, list_quotes
from marketplace.projections.views.trading import QuoteView

PATH: Final = "/v1/quotes"


@post("/", status_code=200, summary="Ask for a quote")
async def ask(command: Commanded, reader: Read, data: JSONBody[AskQuoteBody]) -> QuoteAnswer:
    """Answer from the current book with the price to win and the cheapest placements.

    With `order_id`, the terms are an amendment of that open order, which does not compete with itself.
    """
    await require_terms_known(command.services, data.terms)
    order = await preview_order(
        command.handler, command.context, startup_id=data.startup_id, terms=data.terms, order_id=data.order_id
    )
    quoted = await command.services.quoter.quote(order, min_sequence=reader.min_seq)
    schedule: Schedule = (await command.handler.cache.load(SCHEDULE, SCHEDULE_ID)).state
    fees = HoldFees(schedule.terms, command.context.at)
    return render_quote(quoted, compute_gpu_hours(order.terms), fees)


@post("/hold", summary="Hold a quote")
async def hold(command: Commanded, data: JSONBody[HoldQuoteBody]) -> Response[ReceiptBody]:
    """Hold the cheapest free placement at the price that wins now, with the cash and budget for its maximum cost.

    The price may differ from that of an earlier quote; it never exceeds the offer.
    """
    await require_terms_known(command.services, data.terms)
    receipt = await hold_quote(
        command.handler,
        command.context,
        command.services.quoter,
        startup_id=data.startup_id,
        terms=data.terms,
        hold_seconds=data.hold_seconds,
    )
    return command.answer_created(receipt, PATH)


@post("/{quote_id:str}/take", summary="Take a held quote")
async def take(command: Commanded, quote_id: FromPath[str]) -> Response[ReceiptBody]:
    """Place the order of a held quote. It is matched at once at the held price."""
    receipt = await take_quote(command.handler, command.context, quote_id)
    return command.answer_created(receipt, orders.PATH, rename_id("ord", quote_id))


@post("/{quote_id:str}/release", status_code=200, summary="Release a held quote")
async def release(command: Commanded, quote_id: FromPath[str], data: JSONBody[ReasonBody]) -> Response[ReceiptBody]:
    """Free everything that was set aside for a held quote."""
    return command.answer(await release_quote(command.handler, command.context, quote_id, reason=data.reason))


@get("/{quote_id:str}", summary="Get a held quote", opt={"sealed": True})
async def get_one(reader: Read, quote_id: FromPath[str]) -> Response[QuoteView]:
    """Return a quote that the startup holds or held."""
    async with reader.connect() as connection:
        view = await find_quote(connection, quote_id)
    view = reader.show(view, QUOTE, quote_id)
    return answer_versioned(view, view.last_sequence)


@get("/", summary="List held quotes", opt={"sealed": True})
async def list_all(
    *,
    reader: Read,
    listing: List,
    startup_id: Word = None,
    status: Statuses[Status] = None,
) -> Page[QuoteView]:
    """Return the quotes that the startup holds or held."""
    startup_id = reader.narrow(startup_id)
    async with reader.connect() as connection:
        rows = await list_quotes(connection, startup_id=startup_id, status=status, window=listing.window)
    return listing.build_page(rows, rows, lambda row: (row.held_at, row.quote_id))


class HoldFees(NamedTuple):
    """What holding costs: the rules of the schedule, and since when something would be held."""

    rules: ScheduleTerms
    at: datetime

    def compute(self, price_usd: Decimal, start: datetime) -> Decimal:
        """Return what an hour costs."""
        return compute_hold_fee(self.rules, Fraction(price_usd), self.at, self.at + timedelta(hours=1), start)


def render_quote(quoted: Quoted, gpu_hours: int, fees: HoldFees) -> QuoteAnswer:
    """Return a quote in the form of the answer."""
    found = quoted.estimate
    placements = tuple(_render_placement(quoted, placement, gpu_hours, fees) for placement in found.placements)
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
        reason=None if found.reason is None else tell_reason(quoted.horizon, found.reason),
    )


def _render_placement(quoted: Quoted, placement: Placement, gpu_hours: int, fees: HoldFees) -> QuotePlacement:
    bid = quoted.row.bids[placement.bid]
    pool = next(pool for pool in quoted.book.pools if pool.pool_id == placement.pool_id)
    start, total_usd = quoted.horizon.at(placement.start_period), placement.price_usd_per_gpu_hour * gpu_hours
    return QuotePlacement(
        gpu_class=pool.gpu_class,
        region=pool.region,
        pool_id=placement.pool_id,
        mandate_id=placement.mandate_id,
        nodes=placement.nodes,
        start=start,
        end=quoted.horizon.at(placement.end_period),
        price_to_win_usd_per_gpu_hour=placement.price_usd_per_gpu_hour,
        value_usd_per_gpu_hour=bid.value_usd_per_gpu_hour,
        total_usd=total_usd,
        hold_usd_per_hour=fees.compute(total_usd, start),
        contested=placement.displaced > 0,
        resold=not quoted.resold.isdisjoint(bid.lot_ids or ()),
    )


ROUTER: Final = Router(
    PATH, route_handlers=[ask, hold, take, release, get_one, list_all], tags=["quotes"], opt={"feature": "quotes"}
)
