"""The balance of a convertible note on a day: day counts, simple and compound interest.

Interest is exact. A part of a compounding period earns simple interest, so that no root is ever taken.
"""

from datetime import date
from fractions import Fraction

from marketplace.core.errors import Refusal
from marketplace.equity.exact import not_negative, positive
from marketplace.equity.model import DayCount, Interest, Note

_PERIODS_PER_YEAR = {
    "compound_annual": 1,
    "compound_semiannual": 2,
    "compound_quarterly": 4,
    "compound_monthly": 12,
    "compound_daily": 365,
}
PERIODS_MAX = 12_000
_MONTHS_PER_YEAR = 12
_LAST_DAY_OF_30 = 30


def days_between(start: date, end: date, day_count: DayCount) -> int:
    """Count days: by the calendar, or thirty to a month for ``thirty_360`` (bond basis, ISDA 4.16(f))."""
    if day_count != "thirty_360":
        return (end - start).days
    first = min(start.day, _LAST_DAY_OF_30)
    last = _LAST_DAY_OF_30 if end.day > _LAST_DAY_OF_30 and first == _LAST_DAY_OF_30 else end.day
    return 360 * (end.year - start.year) + 30 * (end.month - start.month) + (last - first)


def year_fraction(start: date, end: date, day_count: DayCount | None) -> Fraction:
    """Turn two days into years by a stated convention; the start counts, the end does not.

    ``actual_365`` divides by 365 also in leap years (fixed); ``actual_actual`` splits at each new year (ISDA);
    ``whole_years`` and ``whole_months`` count completed anniversaries.

    Raises:
        Refusal: ``missing_convention`` without a day count; ``dates_reversed`` if the end is before the start.
    """
    if day_count is None:
        raise Refusal(
            "missing_convention",
            "the day count of a note is not given; state one, for example actual_365 or thirty_360",
            pointer="/day_count",
            convention="day_count",
        )
    if end < start:
        raise Refusal(
            "dates_reversed", f"{end} is before {start}; interest cannot run backward", start=str(start), end=str(end)
        )
    if day_count == "actual_365":
        return Fraction((end - start).days, 365)
    if day_count in ("actual_360", "thirty_360"):
        return Fraction(days_between(start, end, day_count), 360)
    if day_count == "actual_actual":
        return _actual_actual(start, end)
    months = _whole_months(start, end)
    return Fraction(months // _MONTHS_PER_YEAR if day_count == "whole_years" else Fraction(months, _MONTHS_PER_YEAR))


def interest_on(principal: Fraction, annual_rate: Fraction, years: Fraction, interest: Interest | None) -> Fraction:
    """Compute the interest earned over a time in years, exact.

    Raises:
        Refusal: ``missing_convention`` without a kind of interest; ``too_many_periods`` beyond 12,000 periods.
    """
    if interest is None:
        raise Refusal(
            "missing_convention",
            "whether the interest of a note is simple or compound is not given; state it",
            pointer="/interest",
            convention="interest",
        )
    if interest == "simple":
        return principal * annual_rate * years
    periods_per_year = _PERIODS_PER_YEAR[interest]
    periods = years * periods_per_year
    whole = periods.numerator // periods.denominator
    if whole > PERIODS_MAX:
        raise Refusal(
            "too_many_periods", f"{whole} compounding periods exceed the limit of {PERIODS_MAX}", periods=whole
        )
    rate = annual_rate / periods_per_year
    return principal * ((1 + rate) ** whole * (1 + rate * (periods - whole)) - 1)


def balance(note: Note, on_day: date) -> Fraction:
    """Compute principal and interest of a note on a day.

    Raises:
        Refusal: ``not_positive`` for a principal of zero or less; ``negative`` for a rate below zero; ``note_matured``
            after its maturity, because further interest needs a new agreement; then as `year_fraction` and
            `interest_on`.
    """
    terms = note.terms
    principal = positive(note.principal_usd, f"principal of {note.instrument_id}")
    rate = not_negative(terms.annual_rate, f"annual_rate of {note.instrument_id}")
    if terms.matures_on is not None and on_day > terms.matures_on:
        raise Refusal(
            "note_matured",
            f"{note.instrument_id} fell due on {terms.matures_on}, before {on_day}; record its extension or repayment",
            instrument_id=note.instrument_id,
            matures_on=str(terms.matures_on),
        )
    years = year_fraction(terms.issued_on, on_day, terms.day_count)
    return principal + interest_on(principal, rate, years, terms.interest)


def _whole_months(start: date, end: date) -> int:
    months = _MONTHS_PER_YEAR * (end.year - start.year) + end.month - start.month
    return months - 1 if end.day < start.day else months


def _actual_actual(start: date, end: date) -> Fraction:
    if start.year == end.year:
        return Fraction((end - start).days, _days_in(start.year))
    head = Fraction((date(start.year + 1, 1, 1) - start).days, _days_in(start.year))
    tail = Fraction((end - date(end.year, 1, 1)).days, _days_in(end.year))
    return head + tail + (end.year - start.year - 1)


def _days_in(year: int) -> int:
    return (date(year + 1, 1, 1) - date(year, 1, 1)).days
