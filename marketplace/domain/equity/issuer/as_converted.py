"""A company as converted into common stock: what limits and cap tables measure once a conversion price was lowered.

Everywhere else shares are counted as they were issued; a series whose price was protected is more common stock than
that.
"""

from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction

from marketplace.domain.equity.issuer.state import Issuer, Row, list_rows


def convert_row(state: Issuer, row: Row) -> Fraction:
    """Return the common shares that a line of the cap table is or converts into by now, exact."""
    if row.kind == "stock":
        return row.shares * state.classes[row.security].conversion_ratio
    if row.kind == "warrant":
        return row.shares * state.classes[state.warrants[row.security].issued.class_id].conversion_ratio
    return Fraction(row.shares)


def measure_company(state: Issuer, at: datetime | None = None) -> Fraction:
    """Return the fully diluted company as converted into common stock, exact; see `list_rows` for `at`."""
    return sum((convert_row(state, row) for row in list_rows(state, at)), Fraction(0))


def convert_shares(state: Issuer, shares: Mapping[str, int]) -> Fraction:
    """Return the common shares that shares by class are or convert into by now, exact."""
    counted = (count * state.classes[class_id].conversion_ratio for class_id, count in shares.items())
    return sum(counted, Fraction(0))
