"""The money that moves with stock: what parties here pay each other for an act on an issuer.

A holder that is not here (``stk_…``) pays and is paid outside. An act whose price is 0 moves no money. Amounts are
rounded up to the cent, so that nobody receives less than the stated price.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from events.issuer import (
    IssuerOptionExercised,
    IssuerStockIssued,
    IssuerStockRepurchased,
    IssuerStockTransferred,
    IssuerWarrantExercised,
)
from events.types import Event
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.core.money import ZERO, ceil_cents
from marketplace.domain.equity.issuer.state import Issuer

GAPS_SHOWN: Final = 10
"""The most payees that the text of a refusal names; its facts name all."""
_SEVERAL: Final = 2


class Payment(NamedTuple):
    """Money that one party pays to another for stock.

    Attributes:
        payer_id: Who pays.
        payee_id: Who is paid.
        amount_usd: How much, in whole cents, above 0.
        cause: The id of what is paid for: a security, repurchase, transfer or exercise.
    """

    payer_id: str
    payee_id: str
    amount_usd: Decimal
    cause: str


def refuse_payer(payment: Payment) -> Refusal:
    """Return the refusal ``funds_insufficient`` of a payment, without the payer's balance, for another party to see."""
    return Refusal(
        "funds_insufficient",
        f"{payment.payer_id} pays {payment.amount_usd} USD for {payment.cause} but has less available; nothing was"
        " stored; send this again once it has deposited the difference",
        party_id=payment.payer_id,
        needed_usd=str(payment.amount_usd),
    )


def list_gaps(payouts: Mapping[str, Decimal], available_usd: Decimal) -> list[str]:
    """Return what every payee still lacks when they are paid by id, as ``id: USD``, down to those that lack nothing."""
    left, gaps = available_usd, []
    for payee_id, amount_usd in sorted(payouts.items()):
        if amount_usd > left:
            gaps.append(f"{payee_id}: {amount_usd - left}")
        left = max(left - amount_usd, ZERO)
    return gaps


def require_all(payments: Sequence[Payment], available_usd: Decimal) -> None:
    """Refuse to pay several parties from one account before the money for all is there; the payer reads the refusal.

    Raises:
        Refusal: ``funds_insufficient``, with what every payee still lacks.
    """
    payouts: dict[str, Decimal] = {}
    for each in payments:
        payouts[each.payee_id] = payouts.get(each.payee_id, ZERO) + each.amount_usd
    needed = sum(payouts.values(), ZERO)
    if needed <= available_usd or len(payouts) < _SEVERAL:
        return
    gaps, missing = list_gaps(payouts, available_usd), needed - available_usd
    raise Refusal(
        "funds_insufficient",
        f"{needed} USD is needed and {available_usd} USD is available; deposit {missing} USD more for"
        f" {', '.join(gaps[:GAPS_SHOWN])}",
        needed_usd=str(needed),
        available_usd=str(available_usd),
        missing_usd=str(missing),
        missing_by_payee_usd=gaps,
    )


def list_payments(before: Issuer, events: Iterable[Event]) -> Iterator[Payment]:
    """Yield what parties of this market pay each other for an act, each amount rounded up to the cent.

    Args:
        before: The issuer before the act.
        events: What the act records.
    """
    for event in events:
        due = _find_due(before, event)
        if due is None:
            continue
        payer_id, payee_id, exact, cause = due
        if exact and payer_id != payee_id and is_id(payer_id, "pty") and is_id(payee_id, "pty"):
            yield Payment(payer_id, payee_id, ceil_cents(exact), cause)


def _find_due(before: Issuer, event: Event) -> tuple[str, str, Fraction, str] | None:
    """Return payer, payee, exact dollars and cause of one event; None if nothing is paid for it."""
    company_id = before.formed.party_id
    match event:
        case IssuerStockIssued(cause=None):
            exact = event.shares * Fraction(event.price_usd_per_share)
            return event.holder_id, company_id, exact, event.security_id
        case IssuerStockRepurchased():
            exact = event.shares * Fraction(event.price_usd_per_share)
            return company_id, event.holder_id, exact, event.repurchase_id
        case IssuerStockTransferred() if event.transfer_id in before.offers:
            offered = before.offers[event.transfer_id].offered
            exact = event.shares * Fraction(offered.price_usd_per_share)
            return event.holder_id_after, event.holder_id, exact, event.transfer_id
        case IssuerOptionExercised():
            exact = event.shares * before.options[event.option_id].exercise_price_usd
            return event.holder_id, company_id, exact, event.exercise_id
        case IssuerWarrantExercised(fair_value_usd=None, shares_surrendered=0):
            own = event.exercise_price_usd
            price = before.warrants[event.warrant_id].exercise_price_usd if own is None else Fraction(own)
            return event.holder_id, company_id, event.shares * price, event.exercise_id
        case _:
            return None
