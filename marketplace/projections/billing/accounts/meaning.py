"""What an entry is for, and when what it tells of occurred; both from the event alone.

Two times stand beside every entry. It was *recorded* when its event was decided. What it tells of *occurred* then too,
unless the event says otherwise: a report occurred when the last of its intervals had ended, a correction when the
interval did, a termination or a move to another pool when it takes effect, a transfer when the bank booked it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from events.account import AccountDeposited, AccountWithdrawn
from events.grant import GrantSubstituted, GrantTerminated
from events.service_line import ServiceLineCorrected, ServiceLineReported, ServiceLineVoided
from events.types import Event
from events.usage import UsageCorrected, UsageReported, UsageVoided

_OCCURRENCES: Final[Mapping[type[Event], Callable[[Any], datetime | None]]] = {
    UsageReported: lambda event: max(reading.end for reading in event.readings),
    UsageCorrected: lambda event: event.after.end,
    UsageVoided: lambda event: event.reading.end,
    ServiceLineReported: lambda event: max(reading.end for reading in event.readings),
    ServiceLineCorrected: lambda event: event.after.end,
    ServiceLineVoided: lambda event: event.reading.end,
    GrantTerminated: lambda event: event.at,
    AccountDeposited: lambda event: event.booked_at,
    AccountWithdrawn: lambda event: event.booked_at,
    GrantSubstituted: lambda event: event.at,
}
_CAUSES: Final = (
    "reference", "purpose", "cause", "statement_id", "order_id", "usage_id", "service_line_id", "financing_id",
    "reason",
)  # fmt: skip


def find_occurrence(event: Event, recorded_at: datetime) -> datetime:
    """Return when what an event tells of occurred."""
    occurrence = _OCCURRENCES.get(type(event))
    return recorded_at if occurrence is None else occurrence(event) or recorded_at


def find_cause(event: Event) -> str | None:
    """Return what an event's entries are for: a payment's reference, an id, or in words; None where it does not say."""
    for name in _CAUSES:
        cause: str | None = getattr(event, name, None)
        if cause is not None:
            return cause
    return None
