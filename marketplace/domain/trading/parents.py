"""Orders that depend on a parent: which parents an order may name, and when it may be matched.

An order names an earlier one of the same startup, so there are no cycles. A match is final.

Refusals in order, when it is placed: order_unknown · order_<status> · parent_in_group · parents_too_many; when it is
matched: parent_unmatched.
"""

from collections.abc import Sequence
from typing import Final

from events.order import OrderTerms
from marketplace.core.errors import Refusal
from marketplace.domain.refusals import refuse_status, refuse_unknown
from marketplace.domain.trading.order import EndedOrder, Order

PARENTS_MAX: Final = 32
"""The longest chain of orders that depend on one another."""


def require_parents(startup_id: str, terms: OrderTerms, parents: Sequence[Order | None]) -> None:
    """Refuse an order whose parents make a match impossible.

    Each parent must be of the same startup, and matched or still open to a match. None may be in the order's own group,
    because at most one order of a group is matched.

    Args:
        startup_id: Whose order it is.
        terms: Its terms.
        parents: Its parent, the parent's parent and so on, at most `PARENTS_MAX`; None for one that does not exist.
            Empty for an order without a parent.

    Raises:
        Refusal: ``order_unknown`` · ``order_<status>`` · ``parent_in_group`` · ``parents_too_many``.
    """
    parent_id = terms.parent_order_id
    for parent in parents:
        assert parent_id is not None, "the chain names every parent that was loaded"
        if parent is None or parent.placed.startup_id != startup_id:
            raise refuse_unknown("order", parent_id)
        if isinstance(parent, EndedOrder):
            raise refuse_status("order", parent_id, parent.status, "open, locked or matched")
        if terms.group is not None and parent.terms.group == terms.group:
            raise Refusal(
                "parent_in_group",
                f"order {parent_id} is the parent of this order and in its group {terms.group}; at most one order of a"
                " group is matched, so leave out the group or the parent",
                pointer="/terms/parent_order_id",
            )
        parent_id = parent.terms.parent_order_id
    if len(parents) == PARENTS_MAX:
        raise Refusal(
            "parents_too_many",
            f"more than {PARENTS_MAX} orders would depend on one another in a chain; name an earlier parent",
            pointer="/terms/parent_order_id",
        )


def require_parent_matched(parent: Order) -> None:
    """Refuse to award an order whose parent is not matched.

    Raises:
        Refusal: ``parent_unmatched``.
    """
    if parent.status != "matched":
        parent_id = parent.placed.order_id
        raise Refusal(
            "parent_unmatched",
            f"the parent order {parent_id} must be matched first and is {parent.status}; place an order that depends on"
            " it, or hold a quote once it is matched",
            pointer="/terms/parent_order_id",
            parent_order_id=parent_id,
            status=parent.status,
        )
