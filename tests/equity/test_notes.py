"""Day counts and interest worked by hand."""

from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.errors import Refusal
from marketplace.equity.model import Note, NoteTerms
from marketplace.equity.notes import balance, days_between, interest_on, year_fraction

YEAR = date(2025, 1, 1), date(2026, 1, 1)


@pytest.mark.parametrize(
    ("start", "end", "day_count", "years"),
    [
        (*YEAR, "actual_365", Fraction(1)),
        (*YEAR, "actual_360", Fraction(365, 360)),
        (*YEAR, "thirty_360", Fraction(1)),
        (*YEAR, "actual_actual", Fraction(1)),
        (date(2024, 1, 1), date(2025, 1, 1), "actual_365", Fraction(366, 365)),
        (date(2024, 1, 1), date(2025, 1, 1), "actual_actual", Fraction(1)),
        (date(2023, 7, 1), date(2025, 3, 1), "actual_actual", Fraction(184, 365) + 1 + Fraction(59, 365)),
        (date(2025, 1, 31), date(2025, 3, 31), "thirty_360", Fraction(60, 360)),
        (date(2025, 1, 15), date(2025, 3, 31), "thirty_360", Fraction(76, 360)),
        (date(2025, 2, 28), date(2025, 3, 31), "thirty_360", Fraction(33, 360)),
        (date(2020, 5, 10), date(2025, 5, 9), "whole_years", Fraction(4)),
        (date(2020, 5, 10), date(2025, 5, 10), "whole_years", Fraction(5)),
        (date(2024, 1, 31), date(2025, 7, 30), "whole_months", Fraction(17, 12)),
    ],
)
def test_days_become_years_by_the_stated_convention(start, end, day_count, years):
    assert year_fraction(start, end, day_count) == years


def test_thirty_to_a_month_ignores_the_calendar():
    assert days_between(date(2024, 2, 1), date(2024, 3, 1), "thirty_360") == 30
    assert days_between(date(2024, 2, 1), date(2024, 3, 1), "actual_365") == 29


@pytest.mark.parametrize(
    ("interest", "years", "earned"),
    [
        ("simple", Fraction(3, 2), 15_000),
        ("compound_annual", Fraction(2), 21_000),
        ("compound_annual", Fraction(3, 2), Fraction(100_000 * 11 * 21, 200) - 100_000),
        ("compound_semiannual", Fraction(2), 100_000 * (Fraction(105, 100) ** 4 - 1)),
        ("compound_quarterly", Fraction(1, 2), 100_000 * (Fraction(1025, 1000) ** 2 - 1)),
        ("compound_monthly", Fraction(1, 6), 100_000 * (Fraction(121, 120) ** 2 - 1)),
        ("compound_daily", Fraction(2, 365), 100_000 * (Fraction(3651, 3650) ** 2 - 1)),
    ],
)
def test_interest_is_exact(interest, years, earned):
    assert interest_on(Fraction(100_000), Fraction(1, 10), years, interest) == earned


@given(st.integers(0, 3000), st.integers(0, 3000), st.sampled_from(["simple", "compound_annual", "compound_monthly"]))
def test_interest_never_falls_as_days_pass(first, more, interest):
    def earned(days):
        return interest_on(Fraction(1000), Fraction(8, 100), Fraction(days, 365), interest)

    assert earned(first + more) >= earned(first) >= 0


def test_a_balance_is_principal_and_interest():
    terms = NoteTerms(Fraction(6, 100), "simple", "actual_365", date(2025, 1, 1))
    assert balance(Note("n", "h", 500_000, terms), date(2026, 1, 1)) == 530_000


def refused(code, call, *arguments):
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    assert caught.value.code == code


def test_impossible_notes_are_refused():
    refused("dates_reversed", year_fraction, date(2025, 2, 1), date(2025, 1, 1), "actual_365")
    refused("missing_convention", year_fraction, *YEAR, None)
    refused("missing_convention", interest_on, Fraction(1), Fraction(1), Fraction(1), None)
    refused("too_many_periods", interest_on, Fraction(1), Fraction(1), Fraction(40), "compound_daily")
    terms = NoteTerms(-1, "simple", "actual_365", date(2025, 1, 1))
    refused("negative", balance, Note("n", "h", 1, terms), date(2026, 1, 1))
    refused("not_positive", balance, Note("n", "h", 0, terms), date(2026, 1, 1))


def test_a_note_earns_to_its_maturity_and_not_beyond_without_an_extension():
    terms = NoteTerms(Fraction(6, 100), "simple", "actual_365", date(2026, 1, 1), matures_on=date(2027, 1, 1))
    assert balance(Note("n", "h", 500_000, terms), date(2027, 1, 1)) == 530_000
    refused("note_matured", balance, Note("n", "h", 500_000, terms), date(2027, 1, 2))
    extended = replace(terms, matures_on=date(2028, 1, 1))
    assert balance(Note("n", "h", 500_000, extended), date(2028, 1, 1)) == 560_000
