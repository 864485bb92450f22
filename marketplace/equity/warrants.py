"""Warrants: cash and net exercise."""

from fractions import Fraction

from marketplace.equity.exact import ZERO, Exact, not_negative, positive


def cash_exercise_usd(shares: Exact, strike_usd: Exact) -> Fraction:
    """Compute the price of an exercise in cash."""
    return not_negative(shares, "shares") * not_negative(strike_usd, "strike_usd")


def net_exercise_shares(shares: Exact, strike_usd: Exact, fair_value_usd: Exact) -> Fraction:
    """Compute the shares issued without cash, exact: ``X = Y * (A - B) / A``, zero under the strike.

    Args:
        shares: Shares exercised, ``Y``.
        strike_usd: ``B``.
        fair_value_usd: Fair value of a share, ``A``; above zero.
    """
    value = positive(fair_value_usd, "fair_value_usd")
    gain = max(ZERO, value - not_negative(strike_usd, "strike_usd"))
    return not_negative(shares, "shares") * gain / value
