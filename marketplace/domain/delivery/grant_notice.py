"""When a grant may be ended early: after the notice period of its terms, or at once for cause.

`marketplace.domain.delivery.grant` documents the order of refusals.
"""

from datetime import datetime, timedelta

from events.service import ServiceTerms
from marketplace.core.errors import Refusal
from marketplace.domain.delivery.grant_commands import TerminateGrant

_HOUR = timedelta(hours=1)


def require_cause(command: TerminateGrant, status: str) -> None:
    """Refuse to end a grant for cause without a cause.

    A startup has cause while the grant is degraded or suspended, a provider while the startup is suspended.

    Raises:
        Refusal: ``cause_missing``.
    """
    has_cause = {
        "startup": status in {"degraded", "suspended"},
        "provider": command.startup_suspended,
        "platform": True,
    }[command.by]
    if not has_cause:
        raise Refusal(
            "cause_missing",
            f"grant {command.grant_id} is {status}, and its startup is not suspended: a startup has cause to end a"
            " grant"
            " while nodes of it do not work, a provider while the startup is suspended; give notice instead",
            pointer="/for_cause",
            status=status,
        )


def require_notice(command: TerminateGrant, service: ServiceTerms | None, at: datetime, end: datetime) -> None:
    """Refuse to end a grant before the notice period of its terms is over. Its regular end is always allowed.

    Raises:
        Refusal: ``notice_too_short``.
    """
    notice = timedelta(hours=0 if service is None else service.notice_hours_min)
    earliest = min(command.noticed_at + notice, end)
    if at < earliest:
        raise Refusal(
            "notice_too_short",
            f"the terms of grant {command.grant_id} require {notice // _HOUR} hours of notice; end it at"
            f" {earliest.isoformat()} or later",
            pointer="/at",
            grant_id=command.grant_id,
            earliest=earliest.isoformat(),
        )
