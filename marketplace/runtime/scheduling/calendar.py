"""The calendar of auctions: hourly for near starts, daily for longer terms, weekly for what ends after half a year.

The next auction of each rhythm is always open. Its id derives from rhythm and lock time, so that several workers open
it only once. A worker that was away opens the next auction and skips missed ones.

| rhythm | locks | periods | horizon | indicative prices | orders bound |
|---|---|---|---|---|---|
| near | every hour | an hour | four days, from an hour after the lock | 15 minutes before | 5 minutes before |
| daily | 12:00 UTC | a day | 182 days, from the midnight after | 4 hours before | 1 hour before |
| long | Wednesday, 12:00 UTC | five days | 2,015 days, from the midnight after | 4 hours before | 1 hour before |

The long rhythm takes what does not fit the days of the daily one (`domain/trading/order_terms.py`, `find_window`). Five
days divide months of 30 days and years of 365. Its horizon has room for the longest run that begins within 185 days.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

from marketplace.application.trading.auctions import open_auction
from marketplace.core.ids import derive_command_id
from marketplace.core.instants import render_instant
from marketplace.domain.trading.order_terms import LONG_PERIOD_HOURS, NEAR_HOURS, SHORT_DAYS
from marketplace.execution.handler import Handler
from marketplace.execution.unit_of_work import Context

EPOCH: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""From when the auctions of a rhythm are counted."""
LONG_PERIODS: Final = 403
SEED_MAX: Final = 2**31 - 1


class Rhythm(NamedTuple):
    """When auctions of one kind lock, and what they sell.

    Attributes:
        every: From lock to lock.
        offset: First lock after `EPOCH`, which is the midnight of a Wednesday.
        lead: From the lock to the first period.
        period_hours: Hours of a period.
        periods: Periods of the horizon.
        indicative: How long before the lock indicative prices are published.
        no_cancel: How long before the lock orders are bound.
    """

    every: timedelta
    offset: timedelta
    lead: timedelta
    period_hours: Literal[1, 24, 120]
    periods: int
    indicative: timedelta
    no_cancel: timedelta


RHYTHMS: Final = {
    "near": Rhythm(
        every=timedelta(hours=1),
        offset=timedelta(0),
        lead=timedelta(hours=1),
        period_hours=1,
        periods=NEAR_HOURS,
        indicative=timedelta(minutes=15),
        no_cancel=timedelta(minutes=5),
    ),
    "daily": Rhythm(
        every=timedelta(days=1),
        offset=timedelta(hours=12),
        lead=timedelta(hours=12),
        period_hours=24,
        periods=SHORT_DAYS,
        indicative=timedelta(hours=4),
        no_cancel=timedelta(hours=1),
    ),
    "long": Rhythm(
        every=timedelta(days=7),
        offset=timedelta(hours=12),
        lead=timedelta(hours=12),
        period_hours=LONG_PERIOD_HOURS,
        periods=LONG_PERIODS,
        indicative=timedelta(hours=4),
        no_cancel=timedelta(hours=1),
    ),
}


def list_calls(now: datetime) -> list[tuple[str, int]]:
    """Return the next auction of each rhythm: the rhythm's name, and the auction's number, counted from `EPOCH`."""
    return [(name, (now - EPOCH - rhythm.offset) // rhythm.every + 1) for name, rhythm in RHYTHMS.items()]


def find_lock(name: str, number: int) -> datetime:
    """Return when the auction with this number of the rhythm `name` locks."""
    rhythm = RHYTHMS[name]
    return EPOCH + rhythm.offset + rhythm.every * number


async def open_call(handler: Handler, name: str, number: int) -> None:
    """Open the auction with this number of the rhythm `name`. Several workers may try; it opens once.

    Raises:
        Refusal: ``lock_past``: it locks before now.
    """
    rhythm, locks_at = RHYTHMS[name], find_lock(name, number)
    command_id = derive_command_id("calendar", f"{name}/{render_instant(locks_at)}")
    context = Context(
        command_id=command_id,
        fingerprint=f"calendar/{name}",
        actor="worker:calendar",
        party_id=None,
        at=handler.clock.now(),
        correlation_id=command_id,
        recorded=False,
    )
    await open_auction(
        handler,
        context,
        locks_at=locks_at,
        horizon_start=locks_at + rhythm.lead,
        period_hours=rhythm.period_hours,
        periods=rhythm.periods,
        seed=number % SEED_MAX,
        indicative_at=locks_at - rhythm.indicative,
        no_cancel_at=locks_at - rhythm.no_cancel,
    )
