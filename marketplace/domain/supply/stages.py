"""Stages: what a staged run asks of an order, a lot and a grant, apart from prices (`billing/stages.py`).

Refusals: security_too_short.
"""

from datetime import datetime, timedelta
from typing import Final

from events.grant import GrantIssued
from events.stages import StageTerms
from marketplace.core.errors import Refusal

CURE: Final = timedelta(hours=72)
"""How long a stage may be late before delivery is withheld. The security covers at least as much."""
_HOUR: Final = timedelta(hours=1)


def require_stages(stages: StageTerms, pointer: str) -> None:
    """Refuse a security that does not cover the cure time.

    Raises:
        Refusal: ``security_too_short``.
    """
    least = CURE // _HOUR
    if stages.security_hours < least:
        raise Refusal(
            "security_too_short",
            f"a security of {stages.security_hours} hours does not cover the {least} hours in which a late stage may be"
            f" paid; state {least} or more",
            pointer=f"{pointer}/security_hours",
            least=least,
        )


def accepts_stages(accepted: StageTerms | None, asked: StageTerms) -> bool:
    """Return whether a lot serves a staged order: its stages and its security are at least as long as the lot asks.

    `accepted` is None for a lot that serves no staged orders.
    """
    if accepted is None:
        return False
    return accepted.hours <= asked.hours and accepted.security_hours <= asked.security_hours


def count_hours_held(stages: StageTerms, duration_hours: int) -> int:
    """Return the hours of a staged run whose cash is set aside at the match."""
    return min(stages.hours + stages.security_hours, duration_hours)


def count_due(issued: GrantIssued, at: datetime) -> int:
    """Return how many stages of a staged grant have begun; at least 1, because the first begins at the match."""
    assert issued.stages is not None, "the grant is staged"
    return max((at - issued.start) // (issued.stages.hours * _HOUR), 0) + 1


def find_due(start: datetime, stages: StageTerms, stages_paid: int) -> datetime:
    """Return when the first unpaid stage of a staged grant begins, given the grant's start."""
    return start + stages_paid * stages.hours * _HOUR
