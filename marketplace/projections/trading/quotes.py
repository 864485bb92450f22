"""Present and past held quotes, with their content."""

from typing import Final

from sqlalchemy import Index, select
from sqlalchemy.ext.asyncio import AsyncConnection

from events import quote as quote_events
from marketplace.projections.engine.decimals import show_decimals
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.queries import WINDOW, Filter, Rows, Window, find_one, load_window, narrow
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.schema import Origin, define, document, exact, instant, text
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.views.trading import MatchView, QuoteView

quotes: Final = define(
    "quotes",
    text("quote_id", key=True),
    text("startup_id"),
    text("pool_id"),
    document("terms"),
    document("match"),
    exact("cash_hold_usd"),
    document("fee", null=True),
    text("status"),
    text("order_id", null=True),
    text("reason", null=True),
    instant("expires_at"),
    instant("held_at"),
    Index("ix_quotes_startup", "startup_id", "quote_id"),
    Index("ix_quotes_status", "status", "expires_at"),
    origin=Origin("quote", "quote_id"),
)


def _held(changes: WriteBatch, fact: RecordedEvent, event: quote_events.QuoteHeld) -> None:
    changes.put(
        quotes,
        quote_id=event.quote_id,
        startup_id=event.startup_id,
        pool_id=event.match.pool_id,
        terms=event.terms,
        match=show_decimals(MatchView, event.match, "price_usd_per_gpu_hour"),
        cash_hold_usd=event.cash_hold_usd,
        fee=event.fee,
        status="held",
        expires_at=event.expires_at,
        held_at=fact.time,
    )


def _taken(changes: WriteBatch, _: RecordedEvent, event: quote_events.QuoteTaken) -> None:
    changes.update(quotes, event.quote_id, status="taken", order_id=event.order_id)


def _released(changes: WriteBatch, _: RecordedEvent, event: quote_events.QuoteReleased) -> None:
    changes.update(quotes, event.quote_id, status="released", reason=event.reason)


def _expired(changes: WriteBatch, _: RecordedEvent, event: quote_events.QuoteExpired) -> None:
    changes.update(quotes, event.quote_id, status="expired")


PROJECTION: Final = Projection(
    name="quotes",
    version=7,
    tables=(quotes,),
    reads=("quote",),
    handlers={
        quote_events.QuoteHeld: _held,
        quote_events.QuoteTaken: _taken,
        quote_events.QuoteReleased: _released,
        quote_events.QuoteExpired: _expired,
    },
)


async def find_quote(connection: AsyncConnection, quote_id: str) -> QuoteView | None:
    """Return a held quote, or None."""
    return await find_one(connection, select(quotes).where(quotes.c.quote_id == quote_id), QuoteView)


async def list_quotes(
    connection: AsyncConnection,
    *,
    startup_id: str | None = None,
    status: Filter = None,
    window: Window = WINDOW,
) -> Rows[QuoteView]:
    """Return held quotes, optionally of one startup or of statuses."""
    query = narrow(select(quotes), ((quotes.c.startup_id, startup_id), (quotes.c.status, status)))
    return await load_window(connection, query, QuoteView, window, quotes.c.quote_id, quotes.c.held_at)
