"""Checks that several commands of an account share: is it open, is there enough money, was this paid before."""

from decimal import Decimal

from immutables import Map

from marketplace.core.errors import Refusal
from marketplace.domain.billing.account_state import Account
from marketplace.domain.refusals import refuse_status


def is_repeat(seen: Map[str, Decimal], key: str, amount_usd: Decimal, what: str) -> bool:
    """Return whether a payment was made before.

    Raises:
        Refusal: ``reference_exists`` or ``cause_exists``: it was made with another amount.
    """
    before = seen.get(key)
    if before is None:
        return False
    if before == amount_usd:
        return True
    raise Refusal(
        f"{what}_exists",
        f"{key} already moved {before}, not {amount_usd}; use another {what}",
        pointer="/reference" if what == "reference" else None,
    )


def require_funds(account_id: str, state: Account, amount_usd: Decimal) -> None:
    """Refuse to spend more than is available.

    Raises:
        Refusal: ``funds_insufficient``.
    """
    if amount_usd > state.available_usd:
        raise Refusal(
            "funds_insufficient",
            f"{amount_usd} is needed and {state.available_usd} is available; deposit the difference",
            account_id=account_id,
            needed_usd=str(amount_usd),
            available_usd=str(state.available_usd),
        )


def require_open(account_id: str, state: Account) -> None:
    """Refuse to begin anything new on a closed account.

    Raises:
        Refusal: ``account_closed``.
    """
    if state.closed:
        raise refuse_status("account", account_id, "closed", "open")
