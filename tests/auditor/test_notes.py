"""The auditor computes the interest of notes by itself."""

from datetime import date
from fractions import Fraction

import pytest

from marketplace.auditor.notes import find_growth


@pytest.mark.parametrize(
    ("interest", "day_count", "since", "until", "rate", "growth"),
    [
        ("simple", "actual_365", "2024-01-01", "2025-01-01", "0.365", "1.366"),
        ("simple", "actual_360", "2025-01-01", "2026-01-01", "0.36", "1.365"),
        ("simple", "thirty_360", "2025-01-30", "2025-03-31", "0.36", "1.06"),
        ("simple", "thirty_360", "2025-01-31", "2025-02-28", "0.36", "1.028"),
        ("simple", "thirty_360", "2025-01-29", "2025-03-31", "0.36", "1.062"),
        ("compound_annual", "thirty_360", "2025-01-01", "2027-07-01", "0.1", "1.2705"),
        ("compound_semiannual", "thirty_360", "2025-01-01", "2026-01-01", "0.2", "1.21"),
        ("compound_quarterly", "thirty_360", "2025-01-01", "2025-07-01", "0.4", "1.21"),
        ("compound_monthly", "thirty_360", "2025-01-01", "2025-02-16", "0.12", "1.01505"),
        ("simple", "actual_365", "2025-01-01", "2024-01-01", "0.1", "1"),
    ],
)
def test_a_dollar_grows_by_the_terms_until_maturity(interest, day_count, since, until, rate, growth):
    terms = {"annual_rate": rate, "interest": interest, "day_count": day_count, "matures_on": until}
    assert find_growth(terms, date.fromisoformat(since)) == Fraction(growth)
