"""The purpose of an entry, and when it occurred; both derive from the event alone.

Every entry has two times. It was *recorded* when its event was decided. It also *occurred* then, unless the event says
otherwise: a report occurred when the last of its intervals ended, a correction when the interval ended, a termination
or a move to another pool when it takes effect, a transfer when the bank booked it.
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
    """Return when the content of an event occurred; `recorded_at` if the event states nothing else."""
    occurrence = _OCCURRENCES.get(type(event))
    return recorded_at if occurrence is None else occurrence(event) or recorded_at


def find_cause(event: Event) -> str | None:
    """Return the purpose of an event's entries: a payment's reference, an id, or words; None if the event has none."""
    for name in _CAUSES:
        cause: str | None = getattr(event, name, None)
        if cause is not None:
            return cause
    return None
