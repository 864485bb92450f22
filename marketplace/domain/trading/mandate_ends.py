"""When a mandate ends, and when the budget that it holds for an unmatched order is released.

Refusals: expiry_past · hold_not_due.
"""

from datetime import datetime

from events.mandate import MandateTerms
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.domain.trading.mandate import Mandate
from marketplace.domain.trading.mandate_rules import find_expiry


def require_lasting(terms: MandateTerms, before: MandateTerms | None, at: datetime) -> None:
    """Refuse a mandate that would have ended already. An amendment may keep the end of a mandate that has expired.

    Args:
        terms: The mandate's rules.
        before: Those that they amend; None if it is granted.
        at: Now.

    Raises:
        Refusal: ``expiry_past``.
    """
    if find_expiry(terms, at) is None or (before is not None and before.expires_at == terms.expires_at):
        return
    assert terms.expires_at is not None, "it has expired"
    raise Refusal(
        "expiry_past",
        f"the mandate would expire at {render_instant(terms.expires_at)}, which has passed; choose a later time, or"
        " revoke it",
        pointer="/terms/expires_at",
    )


def require_over(state: Mandate, hold_id: str, at: datetime) -> str:
    """Return, in words, why a hold that is not captured is over at `at`.

    Raises:
        Refusal: ``hold_not_due``, if it is not over.
    """
    hold, mandate_id, terms = state.holds[hold_id], state.granted.mandate_id, state.terms
    if state.revoked:
        return f"mandate {mandate_id} was revoked"
    if hold.ended:
        return f"the holder of mandate {mandate_id} refused the order"
    if (expired := find_expiry(terms, at)) is not None:
        return f"mandate {mandate_id} ended at {render_instant(expired)}"
    if hold.until is not None and hold.until <= at:
        return f"mandate {mandate_id} held its budget until {render_instant(hold.until)}, and the order was not matched"
    due = None if hold.until is None else render_instant(hold.until)
    raise Refusal("hold_not_due", f"hold {hold_id} of mandate {mandate_id} is not over", hold_id=hold_id, due=due)
