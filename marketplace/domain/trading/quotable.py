"""Which orders may be quoted, and which quotes may be held.

Refusals: backstop_unquoted · quote_outside_horizon for any quote; quote_linked · approval_missing · quote_unavailable
for a held one.
"""

from events.order import OrderTerms
from events.types import Reason
from marketplace.core.errors import Refusal
from marketplace.domain.trading.order import Order


def require_quotable(terms: OrderTerms) -> None:
    """Refuse to quote a backstop order.

    Raises:
        Refusal: ``backstop_unquoted``.
    """
    if terms.backstop:
        raise Refusal(
            "backstop_unquoted",
            "a backstop order pays the price that it sets and gets what is left over; it cannot be quoted, only placed",
            pointer="/terms/backstop",
        )


def refuse_horizon() -> Refusal:
    """Return the refusal ``quote_outside_horizon``, for an order that fits into no auction and no book."""
    return Refusal(
        "quote_outside_horizon",
        "no auction would take this order. Let it last whole hours and end within 14 days, or last whole days and end"
        " within 182 days. A longer one lasts a multiple of 120 hours, leaves five days or more between its earliest"
        " and its latest start, and ends within 2,015 days",
        pointer="/terms/start_earliest",
    )


def require_unlinked(terms: OrderTerms) -> None:
    """Refuse to hold a quote for an order that has a group or a parent.

    Raises:
        Refusal: ``quote_linked``.
    """
    if terms.group is not None or terms.parent_order_id is not None:
        raise Refusal(
            "quote_linked",
            "an order with a group or a parent needs an auction; place it, or leave the link out",
            pointer="/terms/group" if terms.group is not None else "/terms/parent_order_id",
        )


def require_approved(order: Order) -> None:
    """Refuse to hold a quote if a mandate that pays for it waits for its holder's approval.

    Raises:
        Refusal: ``approval_missing``.
    """
    for hold in order.budget_holds:
        if hold.needs_approval:
            text = f"mandate {hold.mandate_id} pays {hold.amount_usd} only once its holder approves it; place an order"
            raise Refusal("approval_missing", text, mandate_id=hold.mandate_id)


def refuse_unplaced(reason: Reason | None) -> Refusal:
    """Return the refusal to hold a quote that has no placement.

    With a reason, its code and text are those that an auction would state. Without one it is ``quote_unavailable``:
    others took the capacity after the book was read.
    """
    if reason is not None:
        return Refusal(reason.code, reason.text, **reason.facts)
    return Refusal("quote_unavailable", "the capacity that would serve this order was taken meanwhile; ask again")
