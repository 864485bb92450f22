"""The span that a startup chooses for a grant whose site is late: shortened or moved.

A site is late for a grant that has not begun while its conversion is to be ready after the grant's start, and for a
grant that began while no node of it has worked since its start. The provider broke its word, so its consent is not
needed. Without a date of the site, the grant may begin with the next hour, and is late again if it is still dark then.

Hours that were given up because of a date of the site, and for which nothing is owed, are kept for the grant. Of a
moved grant these are all hours before that date, of a shortened one those in what is left of the cure time. So nobody
else buys them if the site is in time after all. Then the grant may move back to them.

`marketplace.domain.delivery.grant` documents the order of refusals.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from events.grant import Choice, GrantIssued, GrantRescheduled
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.domain.delivery.grant_commands import RescheduleGrant

MOVE_WITHIN: Final = timedelta(days=30)
"""How long after the site is ready a moved grant may begin, so that a short delay opens no option on later hours."""
_HOUR: Final = timedelta(hours=1)


def find_span(
    command: RescheduleGrant, issued: GrantIssued, status: str, *, is_dark: bool
) -> tuple[datetime, datetime]:
    """Return the new start and end of a grant, whole hours after its start.

    Args:
        command: The choice.
        issued: The grant, with its present span.
        status: Its status.
        is_dark: Whether no node of it has worked since its start.

    Raises:
        Refusal: ``grant_over`` · ``site_on_time`` · ``cause_unanswered`` · ``ready_after_end`` · ``start_unaligned`` ·
            ``start_too_early`` · ``start_too_late``.
    """
    kept_from = command.kept_from
    if kept_from is not None and is_back(command.choice, command.start, issued) and status == "issued":
        assert command.start is not None, "a start that is earlier is stated"
        ready = max(kept_from, command.at, command.ready_at or kept_from)
        start = _require_start(command.start, issued, _round_up(ready, issued))
        return start, start + (issued.end - issued.start)
    first = _find_first(command, issued, status, is_dark=is_dark)
    if command.choice == "moved":
        start = first if command.start is None else _require_start(command.start, issued, first)
        return start, start + (issued.end - issued.start)
    if first >= issued.end:
        raise Refusal(
            "ready_after_end",
            f"the site of grant {command.grant_id} is not ready before {render_instant(first)}, and the grant ends at"
            f" {render_instant(issued.end)}, so nothing would be left; move it or end it",
            ready=render_instant(first),
        )
    return first, issued.end


def _find_first(command: RescheduleGrant, issued: GrantIssued, status: str, *, is_dark: bool) -> datetime:
    """Return the first whole hour after a grant's start at which its site is to be ready."""
    ready_at = command.ready_at
    is_late = status == "issued" and ready_at is not None and ready_at > issued.start
    if not (is_late or is_dark):
        if command.at >= issued.end:
            said = f"grant {command.grant_id} ended at {render_instant(issued.end)}; nothing is left to shorten or move"
            raise Refusal("grant_over", said)
        raise Refusal(
            "site_on_time",
            f"grant {command.grant_id} is {status}, and its site is not late for it: a grant is shortened or moved"
            " while the conversion of its site is to be ready after its start, or if no node of it has worked since its"
            " start, as was reported",
            status=status,
        )
    if not is_late and command.answer_by is not None and command.at < command.answer_by:
        due = render_instant(command.answer_by)
        raise Refusal(
            "cause_unanswered",
            f"the nodes of grant {command.grant_id} do not work by evidence or by your report, which its provider may"
            f" answer until {due}; shorten or move it then",
            due=due,
        )
    ready = max(command.at, ready_at or command.at) if command.at > issued.start else ready_at or command.at
    return _round_up(ready, issued)


def _round_up(at: datetime, issued: GrantIssued) -> datetime:
    """Return the first instant from `at` on that is a whole number of hours from a grant's start."""
    return issued.start - (issued.start - at) // _HOUR * _HOUR


def is_back(choice: Choice, start: datetime | None, issued: GrantIssued) -> bool:
    """Return whether a grant is to move to an earlier start."""
    return choice == "moved" and start is not None and start.tzinfo is not None and start < issued.start


def find_cure_left(cuts: Iterable[GrantRescheduled], cure: timedelta) -> timedelta:
    """Return what hours that were taken off a grant leave of its cure time."""
    used = sum((cut.start - cut.start_before for cut in cuts if cut.gpu_seconds_cut), timedelta())
    return max(cure - used, timedelta())


def find_kept_until(
    command: RescheduleGrant, issued: GrantIssued, cuts: Iterable[GrantRescheduled] = ()
) -> datetime | None:
    """Return until when hours that a grant gives up are kept for it; None if none are. `cuts` are earlier changes."""
    remedies = None if issued.ends is None else issued.ends.remedies
    if command.choice == "moved" or command.ready_at is None or remedies is None:
        return command.ready_at
    return min(command.ready_at, issued.start + find_cure_left(cuts, timedelta(hours=remedies.cure_hours)))


def _require_start(start: datetime, issued: GrantIssued, first: datetime) -> datetime:
    """Return the start that a startup asks for, unless no grant may begin then."""
    require_aware(start, "/start")
    last = first + MOVE_WITHIN
    nearest = render_instant(min(max(start - (start - first) % _HOUR, first), last))
    ready = f"{render_instant(first)}, when the site of grant {issued.grant_id} is ready; state {nearest}"
    asked = render_instant(start)
    if (start - first) % _HOUR:
        raise Refusal("start_unaligned", f"{asked} is no whole hour after {ready}", pointer="/start", nearest=nearest)
    if start < first:
        raise Refusal("start_too_early", f"{asked} is before {ready}", pointer="/start", nearest=nearest)
    if start > last:
        said = f"{asked} is more than {MOVE_WITHIN.days} days after {ready}"
        raise Refusal("start_too_late", said, pointer="/start", nearest=nearest)
    return start
