"""The most that an order's offers may cost: the cash and budget that are set aside when it is placed."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from events.order import ClassOffer, OrderTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import PRICE_PLACES, ZERO, ceil_cents


def get_offer(terms: OrderTerms, gpu_class: str) -> ClassOffer:
    """Return an order's offer for a class.

    Raises:
        Refusal: ``class_not_offered``.
    """
    for offer in terms.offers:
        if offer.gpu_class == gpu_class:
            return offer
    raise Refusal("class_not_offered", f"the order has no offer for {gpu_class}", gpu_class=gpu_class)


def compute_gpu_hours(terms: OrderTerms) -> int:
    """Return the GPU-hours of an order."""
    return terms.nodes * terms.gpus_per_node * terms.duration_hours


def compute_cash_hold(terms: OrderTerms) -> Decimal:
    """Return the dollars that cover any of the offers, in whole cents."""
    hours = compute_gpu_hours(terms)
    return max(ceil_cents(Fraction(offer.cash_usd_per_gpu_hour) * hours) for offer in terms.offers)


def compute_budget_hold(terms: OrderTerms, equity_credit: Decimal) -> Decimal:
    """Return the mandate's dollars that cover any of the offers, in whole cents.

    One cent more is never needed: the holder pays the rest of the provider's whole cents, which is less than one cent
    above its exact share (`settlement`).
    """
    _require_value(terms, equity_credit)
    hours = compute_gpu_hours(terms)
    needs = [
        ceil_cents(Fraction(offer.equity_usd_per_gpu_hour) * Fraction(equity_credit) * hours)
        for offer in terms.offers
        if offer.equity_usd_per_gpu_hour
    ]
    return max(needs, default=ZERO)


def compute_principal_max(terms: OrderTerms) -> Decimal:
    """Return the principal that the most expensive offer would owe in full, in whole cents."""
    hours = compute_gpu_hours(terms)
    return max(ceil_cents(Fraction(offer.equity_usd_per_gpu_hour) * hours) for offer in terms.offers)


def compute_value(offer: ClassOffer, equity_credit: Decimal) -> Decimal:
    """Return w = cash + h · equity, dollars per GPU-hour."""
    return offer.cash_usd_per_gpu_hour + equity_credit * offer.equity_usd_per_gpu_hour


def compute_value_max(terms: OrderTerms, equity_credits: Iterable[Decimal]) -> Decimal:
    """Return an order's highest possible value in US dollars: its best offer at the best credit, in full."""
    credit = max(equity_credits, default=ZERO)
    return max(compute_value(offer, credit) for offer in terms.offers) * compute_gpu_hours(terms)


def _require_value(terms: OrderTerms, equity_credit: Decimal) -> None:
    for index, offer in enumerate(terms.offers):
        value = compute_value(offer, equity_credit)
        if value != round(value, PRICE_PLACES):
            raise Refusal(
                "value_too_precise",
                f"the offer has a value of {value} at a mandate's credit of {equity_credit}, which has more than"
                f" {PRICE_PLACES} decimal places; offer a rounder amount",
                pointer=f"/terms/offers/{index}",
                value=str(value),
            )
