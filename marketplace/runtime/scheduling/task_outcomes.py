"""What happens to a task whose command was refused, by the kind of task and the refusal's code.

A refusal ends its task only if it is listed here as needless. After any other refusal, the worker keeps the task. It
logs the refusal, counts the task as stuck, and tries again after growing pauses.

| refusal | what follows |
|---|---|
| one that states a future time (`due`) | the task waits until then |
| `TOO_EARLY` | another task, which may run concurrently, comes first; tried again at once |
| `WAITING` | an account may be filled, a note extended (again after an hour), or an auction decided (10 minutes) |
| `NEEDLESS` | already done by another worker or command, or a later event schedules it again |
| any other | stuck: an error in the log, `marketplace_worker_tasks_stuck`, tried again after `compute_pause` |
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from marketplace.core.errors import Refusal

PAUSE_SECONDS_MAX: Final = 300.0
_DOUBLINGS_MAX: Final = 16

DECIDING: Final = frozenset({"lot_frozen", "market_deciding"})
"""Refusals that end once an auction is decided."""
WAITING: Final = DECIDING | {"funds_insufficient", "note_matured", "sale_declared"}
"""Refusals that may end once an account is filled, an auction is decided, a note extended or a sale withdrawn."""

_RACED: Final = frozenset({"auction_locked", "auction_failed", "auction_cleared", "auction_carried_out"})
"""Another worker moved the auction on. The next check finds what is left to do."""

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
"""Nothing differs, or accepting the open statement schedules the task again."""

TOO_EARLY: Final[Mapping[str, frozenset[str]]] = {
    "issue_statement": frozenset({"statement_out_of_order"}),
    "issue_service_statement": frozenset({"statement_out_of_order"}),
    "run_auction": _RACED | {"auction_waits", "supply_changed"},
}

NEEDLESS: Final[Mapping[str, frozenset[str]]] = {
    "expire_order": frozenset({"order_locked", "order_matched", "order_unmatched", "order_cancelled"}),
    "end_mandate": _NEVER,
    "expire_quote": frozenset({"quote_taken", "quote_released"}),
    "expire_hold": _NEVER,
    "activate_grant": _GRANT_OVER,
    "issue_statement": frozenset({"period_unknown"}),
    "adjust_statement": _STATED_ANEW,
    "issue_service_statement": frozenset({"period_unknown"}),
    "adjust_service_statement": _STATED_ANEW,
    "pay_rest": _NEVER,
    "accept_statement": frozenset({"statement_disputed"}),
    "settle_equity": frozenset({"statement_accepted"}),
    "lapse_dispute": frozenset({"statement_accepted", "statement_resolved"}),
    "vest_warrants": _NEVER,
    "vest_delivery": _NEVER,
    "expire_warrant": _NEVER,
    "carry_out_proposal": frozenset({"deadline_passed", "party_suspended", "funds_reserved"}),
    "lapse_proposal": frozenset({"proposal_effective", "proposal_refused", "proposal_withdrawn", "proposal_void"}),
    "lapse_financing": frozenset({"financing_closed"}),
    "lapse_sale": frozenset({"liquidity_paid", "liquidity_replaced"}),
    "end_grant": _GRANT_OVER,
    "lapse_approval": frozenset({"approval_approved", "approval_refused", "approval_withdrawn"}),
    "lapse_claim": _NEVER,
    "collect_stage": _GRANT_OVER,
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
    "mark_grant": _NEVER,
    "review_usage": _NEVER,
    "move_lots": _GRANT_ELSEWHERE,
}
"""For every kind of task, the refusals after which nothing is left to do."""


def find_due(refusal: Refusal) -> datetime | None:
    """Return when a refused command is due; None if the refusal does not state it."""
    due = refusal.facts.get("due")
    return datetime.fromisoformat(due) if isinstance(due, str) else None


def compute_pause(attempts: int) -> float:
    """Return the seconds that a stuck task pauses after `attempts` attempts: 2, doubled each time, at most 300."""
    return min(2.0 ** min(attempts, _DOUBLINGS_MAX), PAUSE_SECONDS_MAX)
