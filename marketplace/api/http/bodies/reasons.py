"""Bodies that several commands share."""

from events.types import Instant, Text
from marketplace.api.http.bodies import Body


class ReasonBody(Body, frozen=True, kw_only=True):
    """The reason for a command.

    Attributes:
        reason: Why, in words that the event records.
    """

    reason: Text


class TimedReasonBody(Body, frozen=True, kw_only=True):
    """Why, and since when.

    Attributes:
        at: Since when.
        reason: Why.
    """

    at: Instant
    reason: Text
