"""The company as converted into common stock: the measure of limits and cap tables.

Elsewhere shares are counted as issued. A series whose conversion price was lowered converts into more common shares
than it has itself.
"""

from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction

from marketplace.domain.equity.issuer.state import Issuer, Row, StockClass, list_rows


def convert_row(state: Issuer, row: Row) -> Fraction:
    """Return how many common shares a cap table row is as converted now, as a fraction."""
    if row.kind == "stock":
        return row.shares * state.classes[row.security].conversion_ratio
    if row.kind == "warrant":
        return row.shares * state.classes[state.warrants[row.security].issued.class_id].conversion_ratio
    return Fraction(row.shares)


def measure_company(state: Issuer, at: datetime | None = None) -> Fraction:
    """Return the fully diluted shares as converted into common stock, exact; see `list_rows` for `at`."""
    return sum((convert_row(state, row) for row in list_rows(state, at)), Fraction(0))


def measure_stock(state: Issuer) -> Fraction:
    """Return the shares of stock as converted into common stock, exact, without rights and the pool."""
    return convert_shares(state, {class_id: each.shares_outstanding for class_id, each in state.classes.items()})


def find_preference(stock_class: StockClass) -> Fraction:
    """Return the dollars that a share of a class gets before common stock, exact; 0 for common stock."""
    price_usd, multiple = stock_class.price_usd, stock_class.created.liquidation_multiple
    return Fraction(0) if price_usd is None or multiple is None else price_usd * Fraction(multiple)


def measure_preference(state: Issuer) -> Fraction:
    """Return the dollars that preferred stock gets before common stock, exact."""
    return sum((each.shares_outstanding * find_preference(each) for each in state.classes.values()), Fraction(0))


def list_protected(state: Issuer, class_id: str, price_usd: Fraction) -> tuple[str, ...]:
    """Return who holds protected stock whose conversion price is above this price of a share of a class."""
    stock_class = state.classes.get(class_id)
    common = price_usd / (Fraction(1) if stock_class is None else stock_class.conversion_ratio)
    lowered = {
        name
        for name, each in state.classes.items()
        if each.created.price_protection is not None and (each.conversion_price_usd or 0) > common
    }
    return tuple(
        sorted({holder_id for (holder_id, name), shares in state.holdings.items() if shares and name in lowered})
    )


def convert_shares(state: Issuer, shares: Mapping[str, int]) -> Fraction:
    """Return how many common shares some shares, by class, are as converted now, as a fraction."""
    counted = (count * state.classes[class_id].conversion_ratio for class_id, count in shares.items())
    return sum(counted, Fraction(0))
