"""Money that moves between an account and the outside world, who may hold it for another, and who reads how much."""

import unicodedata
from datetime import datetime

from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware


def require_booked(booked_at: datetime, at: datetime) -> None:
    """Refuse a booking time in the future.

    Raises:
        Refusal: ``time_naive`` · ``booked_in_future``.
    """
    require_aware(booked_at, "/booked_at")
    if booked_at > at:
        raise Refusal(
            "booked_in_future",
            f"the transfer is booked at {render_instant(booked_at)}, which is after now, {render_instant(at)}",
            pointer="/booked_at",
        )


def require_reference(reference: str) -> str:
    """Return the key of a payment: the letters and digits of its reference, in lower case and compatibility form.

    Raises:
        Refusal: ``reference_empty``.
    """
    told = "".join(letter for letter in unicodedata.normalize("NFKC", reference).casefold() if letter.isalnum())
    if not told:
        text = f"{reference!r} has no letter or digit; give the id by which the bank knows the payment"
        raise Refusal("reference_empty", text, pointer="/reference")
    return told


def require_unused(reference: str, account_id: str | None) -> None:
    """Refuse a payment that is recorded already.

    Args:
        reference: The payment's.
        account_id: The account to which it is recorded as a deposit; None if it is not.

    Raises:
        Refusal: ``reference_exists``.
    """
    if account_id is not None:
        text = f"{reference} is recorded as a deposit to {account_id} already; a payment counts once"
        raise Refusal("reference_exists", text, pointer="/reference")


def require_payer(owner_id: str, party_id: str | None) -> None:
    """Refuse to let anyone but the payer `owner_id` set its money aside for others or approve that.

    `party_id` is whose key asks; None, for the platform's, is refused too.

    Raises:
        Refusal: ``payer_only``.
    """
    if party_id != owner_id:
        raise Refusal("payer_only", f"only {owner_id}, whose money it is, may set it aside or approve that")


def conceal_balance(refusal: Refusal, party_id: str | None, *, sealed: bool = True) -> Refusal:
    """Return a refusal as a party may read it: ``funds_insufficient`` without the balance of another party's account.

    The platform, for which `party_id` is None, reads every balance. Without `sealed` it reads none that depends on what
    orders hold, nor does ``holds_left`` state it.
    """
    if party_id is None and sealed:
        return refusal
    if party_id is None and refusal.code == "holds_left":
        return Refusal(
            "holds_left", "this account still holds money; close it once its orders, grants and mandates have ended"
        )
    account_id = refusal.facts.get("account_id")
    if account_id is None or (party_id is not None and account_id == rename_id("acc", party_id)):
        return refusal
    if refusal.code not in {"funds_insufficient", "funds_reserved"}:
        return refusal
    payer_id = rename_id("pty", str(account_id))
    text = f"{payer_id} pays this, and its account has less money than it takes; nothing was stored: ask it to deposit"
    text += " more, then send this again"
    return Refusal("funds_insufficient", text, account_id=account_id)
