"""Market time: the wall clock, and in the embedded mode the offset that the log's test clock says."""

from datetime import UTC, datetime, timedelta


class MarketClock:
    """Tells market time; `offset_seconds` follows `clock.advanced` events."""

    def __init__(self) -> None:
        self.offset_seconds = 0

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.offset_seconds)
