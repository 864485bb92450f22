"""Market time: the wall clock, and in the embedded mode the offset that the log's test clock says."""

from datetime import UTC, datetime, timedelta

from events.clock import ClockAdvanced
from events.subjects import render_subject
from marketplace.domain.clock import CLOCK_ID
from marketplace.log.events import parse_event
from marketplace.log.port import Log


class MarketClock:
    """Tells market time; `offset_seconds` follows `clock.advanced` events."""

    def __init__(self) -> None:
        self.offset_seconds = 0

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.offset_seconds)


async def load_market_time(log: Log) -> datetime:
    """Return market time as the log says it, for who does not follow the log.

    Raises:
        Unavailable: The log cannot be read.
    """
    clock = MarketClock()
    for recorded in await log.load(render_subject("clock", CLOCK_ID)):
        event = None if recorded.void else parse_event(recorded)
        if isinstance(event, ClockAdvanced):
            clock.offset_seconds = event.offset_seconds
    return clock.now()
