"""What reports of failed nodes may say about the past; grants and pools ask the same.

Refusals in order: outage_open · resumption_backdated.
"""

from datetime import datetime, timedelta
from typing import Final

from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant

BACKDATED_MAX: Final = timedelta(hours=1)
"""How long before its report nodes may work again. The platform decides about more."""


def require_over(until: datetime, now: datetime | None) -> None:
    """Refuse an outage that is reported as over and is not.

    Raises:
        Refusal: ``outage_open``.
    """
    if now is None or until > now:
        raise Refusal(
            "outage_open",
            f"the outage would end at {render_instant(until)}, after now; report it without an end, and resume the"
            " grant or restore the nodes when they work",
            pointer="/until",
        )


def require_prompt(at: datetime, reported_at: datetime, failure_reported_at: datetime | None = None) -> None:
    """Refuse that nodes work again since long ago, when they were reported as failed all the time.

    Args:
        at: Since when they work.
        reported_at: When this is reported.
        failure_reported_at: When the failure was reported. A failure that was reported late itself may end as early.

    Raises:
        Refusal: ``resumption_backdated``.
    """
    earliest = reported_at - BACKDATED_MAX
    if at < earliest and (failure_reported_at is None or failure_reported_at < earliest):
        raise Refusal(
            "resumption_backdated",
            f"nodes that were reported as failed work again since {render_instant(earliest)} at the earliest, an hour"
            f" before now, not since {render_instant(at)}; the platform decides about more",
            pointer="/at",
            earliest=render_instant(earliest),
        )
