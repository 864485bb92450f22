"""How far reports of outages may be dated back. Grants, pools and sites share these rules.

Refusals in order: outage_open · resumption_backdated.
"""

from datetime import datetime, timedelta
from typing import Final

from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant

BACKDATED_MAX: Final = timedelta(hours=1)
"""How far a report that nodes work again may be dated back. Only the platform may date it back further."""


def require_over(until: datetime, now: datetime | None) -> None:
    """Refuse an outage that is reported with an end after now.

    Raises:
        Refusal: ``outage_open``, also if `now` is None.
    """
    if now is None or until > now:
        raise Refusal(
            "outage_open",
            f"the outage would end at {render_instant(until)}, after now; report it without an end, and resume the"
            " grant or restore the nodes when they work",
            pointer="/until",
        )


def require_prompt(
    at: datetime, reported_at: datetime, failure_reported_at: datetime | None = None, *, pointer: str = "/at"
) -> None:
    """Refuse a report that nodes work, or have power, again which is dated back by more than `BACKDATED_MAX`.

    Args:
        at: Since when they work.
        reported_at: When this is reported.
        failure_reported_at: When the failure was reported. If that was within `BACKDATED_MAX` of `reported_at`, any
            `at` is accepted, because until then nobody was told that the nodes did not work.
        pointer: Where the report states `at`.

    Raises:
        Refusal: ``resumption_backdated``.
    """
    earliest = date_resumption(at, reported_at, failure_reported_at)
    if at != earliest:
        raise Refusal(
            "resumption_backdated",
            f"nodes that were reported as failed or without power work again since {render_instant(earliest)} at the"
            f" earliest, an hour before now, not since {render_instant(at)}; the platform decides about more",
            pointer=pointer,
            earliest=render_instant(earliest),
        )


def date_resumption(at: datetime, reported_at: datetime, failure_reported_at: datetime | None = None) -> datetime:
    """Return since when nodes count as working by a report, with the arguments of `require_prompt`."""
    earliest = reported_at - BACKDATED_MAX
    if failure_reported_at is not None and failure_reported_at >= earliest:
        return at
    return max(at, earliest)
