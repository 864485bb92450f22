"""The test clock: in the embedded mode, market time can be moved forward. Every process follows these events."""

from typing import Annotated

from msgspec import Meta

from events.types import Event, Id


class ClockAdvanced(Event, frozen=True, kw_only=True, tag="clock.advanced.v1"):
    """Market time was moved forward.

    Attributes:
        clock_id: The clock.
        offset_seconds: How far market time is now ahead of the wall clock.
    """

    clock_id: Id
    offset_seconds: Annotated[int, Meta(ge=0, le=3_200_000_000)]


ClockEvent = ClockAdvanced
