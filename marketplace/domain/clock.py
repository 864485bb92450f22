"""The test clock: how far market time is ahead of the wall clock, in the embedded mode only.

Subject: ``marketplace.clock.<clock_id>``; there is one clock.

Invariant: it never runs back.

Refusals in order: clock_runs_forward · clock_too_far.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from events.clock import ClockAdvanced, ClockEvent
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal

CLOCK_ID = "clk_00000000000000000000000000"
OFFSET_SECONDS_MAX = 3_200_000_000
"""The most seconds that the clock may be ahead."""


def require_forward(seconds: int) -> None:
    """Refuse to move the clock by 0 seconds or fewer.

    Raises:
        Refusal: ``clock_runs_forward``.
    """
    if seconds <= 0:
        raise Refusal(
            "clock_runs_forward", f"{seconds} s does not move the clock forward; state more than 0", pointer="/seconds"
        )


class AdvanceClock(msgspec.Struct, frozen=True, kw_only=True):
    """Set how many seconds market time is ahead of the wall clock; never fewer than now."""

    clock_id: str
    offset_seconds: int


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds ahead of the wall clock."""

    offset_seconds: int = 0


def decide(command: AdvanceClock, state: Clock) -> Sequence[ClockEvent]:
    """Return the events of a command; the module lists the order of refusals."""
    if command.offset_seconds == state.offset_seconds:
        return []
    if command.offset_seconds < state.offset_seconds:
        raise Refusal(
            "clock_runs_forward",
            f"the clock is {state.offset_seconds} s ahead; it cannot go back to {command.offset_seconds}",
            pointer="/seconds",
        )
    if command.offset_seconds > OFFSET_SECONDS_MAX:
        raise Refusal("clock_too_far", f"the clock can run at most {OFFSET_SECONDS_MAX} s ahead", pointer="/seconds")
    return [ClockAdvanced(clock_id=command.clock_id, offset_seconds=command.offset_seconds)]


def evolve(state: Clock, event: ClockEvent) -> Clock:  # noqa: ARG001 - an absolute offset replaces the one before
    """Return the state after an event."""
    return Clock(event.offset_seconds)


CLOCK: Decider[AdvanceClock, ClockEvent, Clock] = Decider("clock", "clk", Clock(), decide, evolve)
