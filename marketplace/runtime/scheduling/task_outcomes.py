"""What becomes of a task whose command was refused, by the kind of the task and the refusal's code.

A refusal is taken as final only where it is listed here as needless. Every other one keeps its task: the worker says
so, counts it as stuck, and tries again, later each time.

| refusal | what follows |
|---|---|
| one that states when it is due (`due`), in the future | the task waits for that instant |
| `TOO_EARLY` | another task, which may run beside this one, comes first; tried again at once |
| `WAITING` | an account may be filled, or a note extended; tried again after an hour |
| `NEEDLESS` | done already, by another worker or another command, or put on again by an event that will follow |
| any other | stuck: an error in the log, `marketplace_worker_tasks_stuck`, tried again after `compute_pause` |
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from marketplace.core.errors import Refusal

PAUSE_SECONDS_MAX: Final = 300.0
_DOUBLINGS_MAX: Final = 16

WAITING: Final = frozenset({"funds_insufficient", "note_matured"})
"""Refusals of what is tried again once an account may have been filled, or a note extended."""

_RACED: Final = frozenset({"auction_locked", "auction_failed", "auction_cleared", "auction_settled"})
"""Another worker took the auction further; what is left to be done is seen at the next look."""

_NEVER: Final[frozenset[str]] = frozenset()
_GRANT_OVER: Final = frozenset({"grant_terminated", "grant_completed", "grant_over"})
_GRANT_ELSEWHERE: Final = _GRANT_OVER | {"grant_issued", "grant_active", "grant_degraded", "grant_suspended"}
_STATED_ANEW: Final = frozenset(
    {
        "nothing_to_adjust",
        "period_unknown",
        "statement_unknown",
        "statement_issued",
        "statement_disputed",
        "statement_resolved",
    }
)
"""Nothing differs, or the acceptance of what is open puts the task on again."""

TOO_EARLY: Final[Mapping[str, frozenset[str]]] = {
    "issue_statement": frozenset({"statement_out_of_order"}),
    "issue_service_statement": frozenset({"statement_out_of_order"}),
    "run_auction": _RACED | {"auction_waits", "supply_changed"},
}

NEEDLESS: Final[Mapping[str, frozenset[str]]] = {
    "expire_order": frozenset({"order_locked", "order_matched", "order_unmatched", "order_cancelled"}),
    "expire_quote": frozenset({"quote_taken", "quote_released"}),
    "expire_hold": _NEVER,
    "activate_grant": _GRANT_OVER,
    "issue_statement": frozenset({"period_unknown"}),
    "adjust_statement": _STATED_ANEW,
    "issue_service_statement": frozenset({"period_unknown"}),
    "adjust_service_statement": _STATED_ANEW,
    "accept_statement": frozenset({"statement_disputed", "statement_resolved"}),
    "vest_warrants": _NEVER,
    "vest_delivery": _NEVER,
    "expire_warrant": _NEVER,
    "mature_note": frozenset(
        {"not_a_note", "instrument_converted", "instrument_cancelled", "instrument_repaid", "instrument_lapsed"}
    ),
    "finish_grant": frozenset({"statements_open", "grant_issued"}),
    "indicate_auction": _RACED,
    "bind_auction": _RACED,
    "run_auction": _NEVER,
    "open_call": frozenset({"lock_past"}),
    "defer_order": frozenset(
        {
            "order_open",
            "order_matched",
            "order_unmatched",
            "order_cancelled",
            "order_expired",
            "order_locked_elsewhere",
        }
    ),
    "drain_pool": _NEVER,
    "close_pool": _NEVER,
    "serve_pool": _GRANT_ELSEWHERE,
    "observe_grant": _NEVER,
    "review_usage": _NEVER,
    "move_lots": _GRANT_ELSEWHERE,
}
"""For every kind of task, the refusals after which nothing is left to be done."""


def find_due(refusal: Refusal) -> datetime | None:
    """Return when what was refused is due, where the refusal states it."""
    due = refusal.facts.get("due")
    return datetime.fromisoformat(due) if isinstance(due, str) else None


def compute_pause(attempts: int) -> float:
    """Return how many seconds a stuck task rests after so many attempts."""
    return min(2.0 ** min(attempts, _DOUBLINGS_MAX), PAUSE_SECONDS_MAX)
