"""Bodies of service lines."""

from events.service_line import HoursReading, UsdPerHour, Workers
from events.types import Hours, Id, Name, Text
from events.usage import ReadingId, SourceName
from marketplace.api.http.bodies import Body


class ProposeServiceLineBody(Body, frozen=True, kw_only=True):
    """Work for a grant's startup.

    Attributes:
        grant_id: The grant.
        name: The work, such as engineering support.
        price_usd_per_hour: The price of an hour, at most 6 decimal places.
        hours: The most hours, at most 4 decimal places.
        workers: Most people at work at a time.
    """

    grant_id: Id
    name: Name
    price_usd_per_hour: UsdPerHour
    hours: Hours
    workers: Workers


class DeclineServiceLineBody(Body, frozen=True, kw_only=True):
    """A proposal to decline.

    Attributes:
        reason: Why.
    """

    reason: Text


class CorrectHoursBody(Body, frozen=True, kw_only=True):
    """A reading that replaces the one with its id.

    Attributes:
        source: The time sheet.
        reading: The new content.
        reason: Why.
    """

    source: SourceName
    reading: HoursReading
    reason: Text


class VoidHoursBody(Body, frozen=True, kw_only=True):
    """A reading to void.

    Attributes:
        source: The time sheet.
        reading_id: The reading.
        reason: Why.
    """

    source: SourceName
    reading_id: ReadingId
    reason: Text
