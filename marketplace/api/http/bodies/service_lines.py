"""Bodies of service lines."""

from events.service_line import HoursReading, UsdPerHour
from events.types import Hours, Id, Name, Text
from events.usage import ReadingId, SourceName
from marketplace.api.http.bodies import Body


class ProposeServiceLineBody(Body, frozen=True, kw_only=True):
    """Work beside a grant.

    Attributes:
        grant_id: The grant.
        name: What is done, such as engineering support.
        price_usd_per_hour: What one hour costs, at most 6 decimal places.
        hours: Hours that may be worked at most, at most 4 decimal places.
    """

    grant_id: Id
    name: Name
    price_usd_per_hour: UsdPerHour
    hours: Hours


class DeclineServiceLineBody(Body, frozen=True, kw_only=True):
    """A proposal to decline.

    Attributes:
        reason: Why.
    """

    reason: Text


class CorrectHoursBody(Body, frozen=True, kw_only=True):
    """A reading in place of the one with its id.

    Attributes:
        source: The time sheet.
        reading: What it says now.
        reason: Why.
    """

    source: SourceName
    reading: HoursReading
    reason: Text


class VoidHoursBody(Body, frozen=True, kw_only=True):
    """A reading to take back.

    Attributes:
        source: The time sheet.
        reading_id: The reading.
        reason: Why.
    """

    source: SourceName
    reading_id: ReadingId
    reason: Text
