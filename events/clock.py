"""The test clock: in the embedded mode time can be moved forward, as a fact that every process follows."""

from typing import Annotated

from msgspec import Meta

from events.types import Event, Id


class ClockAdvanced(Event, frozen=True, kw_only=True, tag="clock.advanced.v1"):
    """Market time runs further ahead of the wall clock.

    Attributes:
        clock_id: The clock.
        offset_seconds: How far ahead it runs in all.
    """

    clock_id: Id
    offset_seconds: Annotated[int, Meta(ge=0, le=3_200_000_000)]


ClockEvent = ClockAdvanced
