"""The company as converted into common stock: the measure of limits and cap tables.

Elsewhere shares are counted as issued. A series whose conversion price was lowered converts into more common stock than
that.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from events.types import PricedTerms, PrincipalTerms, WarrantTerms
from marketplace.core.money import floor_cents, parse_ratio
from marketplace.domain.equity.issuer.rules import get_class
from marketplace.domain.equity.issuer.state import Issuer, Row, list_rows


def convert_row(state: Issuer, row: Row) -> Fraction:
    """Return the common shares of a cap table row, as converted now, exact."""
    if row.kind == "stock":
        return row.shares * state.classes[row.security].conversion_ratio
    if row.kind == "warrant":
        return row.shares * state.classes[state.warrants[row.security].issued.class_id].conversion_ratio
    return Fraction(row.shares)


def measure_company(state: Issuer, at: datetime | None = None) -> Fraction:
    """Return the fully diluted shares as converted into common stock, exact; see `list_rows` for `at`."""
    return sum((convert_row(state, row) for row in list_rows(state, at)), Fraction(0))


def convert_shares(state: Issuer, shares: Mapping[str, int]) -> Fraction:
    """Return the common shares of shares by class, as converted now, exact."""
    counted = (count * state.classes[class_id].conversion_ratio for class_id, count in shares.items())
    return sum(counted, Fraction(0))


def find_implied_cap(issuer: Issuer, terms: PrincipalTerms, split_ratio: str | None = None) -> Decimal | None:
    """Return the as-converted value of the company at the agreed price; None for terms without a price.

    A share under a warrant costs its right plus its exercise price.

    Args:
        issuer: The company.
        terms: The terms.
        split_ratio: The split factor when the price was agreed; None: now. Splits since then lower the price.

    Raises:
        Refusal: ``stock_class_unknown``.
    """
    if not isinstance(terms, PricedTerms):
        return None
    ratio, price = get_class(issuer, terms.class_id).conversion_ratio, Fraction(terms.price_usd_per_share)
    if isinstance(terms, WarrantTerms):
        price += Fraction(terms.exercise_price_usd)
    since = Fraction(1) if split_ratio is None else issuer.split_ratio / parse_ratio(split_ratio)
    return floor_cents(price / since / ratio * measure_company(issuer))
