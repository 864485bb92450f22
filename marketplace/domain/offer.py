"""What an order's offers may cost at most: the cash and the budget that are set aside when it is placed."""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from events.order import OrderTerms
from marketplace.core.money import ZERO, ceil_cents

CENT: Final = Decimal("0.01")


def compute_gpu_hours(terms: OrderTerms) -> int:
    """Return the GPU-hours of an order."""
    return terms.nodes * terms.gpus_per_node * terms.duration_hours


def compute_cash_hold(terms: OrderTerms) -> Decimal:
    """Return the dollars that suffice for any of the offers, in whole cents."""
    hours = compute_gpu_hours(terms)
    return max(ceil_cents(Fraction(offer.cash_usd_per_gpu_hour) * hours) for offer in terms.offers)


def compute_budget_hold(terms: OrderTerms, equity_credit: Decimal) -> Decimal:
    """Return the mandate's dollars that suffice for any of the offers, in whole cents.

    A cent more is never needed: what the holder pays is the rest of the provider's whole cents, and lies less than one
    cent above its exact share (`settlement`).
    """
    hours = compute_gpu_hours(terms)
    needs = [
        ceil_cents(Fraction(offer.equity_usd_per_gpu_hour) * Fraction(equity_credit) * hours)
        for offer in terms.offers
        if offer.equity_usd_per_gpu_hour
    ]
    return max(needs, default=ZERO)


def compute_principal_max(terms: OrderTerms) -> Decimal:
    """Return the principal that the dearest offer would owe in full, in whole cents."""
    hours = compute_gpu_hours(terms)
    return max(ceil_cents(Fraction(offer.equity_usd_per_gpu_hour) * hours) for offer in terms.offers)
