"""Computes the interest of notes from their terms, exact."""

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any, Final

_PERIODS: Final = {"compound_annual": 1, "compound_semiannual": 2, "compound_quarterly": 4, "compound_monthly": 12}
"""Compounding periods in a year."""
_DAYS: Final = 30
"""Days in a month of ``thirty_360``."""


def find_growth(terms: Mapping[str, Any], since: date) -> Fraction:
    """Return what a dollar of principal has become at maturity, with the interest since a day; 1 if it has matured.

    A part of a compounding period earns simple interest.
    """
    until = max(since, date.fromisoformat(terms["matures_on"]))
    years, rate = _count_years(since, until, terms["day_count"]), Fraction(terms["annual_rate"])
    if terms["interest"] == "simple":
        return 1 + rate * years
    in_year = _PERIODS[terms["interest"]]
    whole, part = divmod(years * in_year, 1)
    return Fraction((1 + rate / in_year) ** int(whole)) * (1 + rate / in_year * part)


def find_growth_of(exposure: Mapping[str, Any]) -> Fraction:
    """Return what a dollar that an instrument may still become equity for is at maturity; 1 if it earns no interest."""
    since = exposure.get("interest_from") if exposure["terms"]["kind"] == "note" else None
    return Fraction(1) if since is None else find_growth(exposure["terms"], date.fromisoformat(since))


def _count_years(since: date, until: date, day_count: str) -> Fraction:
    if day_count == "actual_365":
        return Fraction((until - since).days, 365)
    if day_count == "actual_360":
        return Fraction((until - since).days, 360)
    first = min(since.day, _DAYS)
    last = min(until.day, _DAYS) if first == _DAYS else until.day
    months = 12 * (until.year - since.year) + until.month - since.month
    return Fraction(_DAYS * months + last - first, 360)
