"""Market time: the wall clock plus, in the embedded mode, the offset of the test clock in the log."""

from datetime import UTC, datetime, timedelta

from events.clock import ClockAdvanced
from events.subjects import render_subject
from marketplace.domain.clock import CLOCK_ID
from marketplace.log.events import parse_event
from marketplace.log.port import Log


class MarketClock:
    """Gives the market time; `offset_seconds` follows `clock.advanced` events."""

    def __init__(self) -> None:
        self.offset_seconds = 0

    def now(self) -> datetime:
        """Return the current market time in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.offset_seconds)


async def load_market_time(log: Log) -> datetime:
    """Read the market time from the log, for a process that does not follow the log.

    Raises:
        Unavailable: The log cannot be read.
    """
    clock = MarketClock()
    for recorded in await log.load(render_subject("clock", CLOCK_ID)):
        event = None if recorded.void else parse_event(recorded)
        if isinstance(event, ClockAdvanced):
            clock.offset_seconds = event.offset_seconds
    return clock.now()
