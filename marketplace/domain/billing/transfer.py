"""Money that moves between an account and the outside world."""

from datetime import datetime

from marketplace.core.errors import Refusal
from marketplace.domain.refusals import require_aware


def require_booked(booked_at: datetime, at: datetime) -> None:
    """Refuse a booking time in the future.

    Raises:
        Refusal: ``time_naive`` · ``booked_in_future``.
    """
    require_aware(booked_at, "/booked_at")
    if booked_at > at:
        raise Refusal(
            "booked_in_future",
            f"the transfer is booked at {booked_at.isoformat()}, which is after now, {at.isoformat()}",
            pointer="/booked_at",
        )
