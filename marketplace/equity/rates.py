"""The internal rates of return of dated cash flows: all of them, since there may be several or none.

A rate is a root of a sum of powers. To isolate all roots, the sum is divided by its lowest power and differentiated.
The derivative has one term fewer, and one of its roots lies between any two roots of the sum. This repeats until
Descartes' rule of signs leaves at most one root. No root is preferred to another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from marketplace.core.errors import Refusal
from marketplace.equity.exact import Exact, exact

RootStatus = Literal["unique", "multiple", "none"]
FLOWS_MAX = 1_000
SEARCHED_FLOWS_MAX = 120
DAYS_PER_YEAR = 365
_DIGITS = 50
_STEP_MIN = Decimal("1e-42")
_RATE_MAX = Decimal(10) ** 6
_RATE_MIN = Decimal("-0.999999")
_PLACES = Decimal("1e-28")

_Terms = list[tuple[Decimal, Decimal]]


@dataclass(frozen=True, slots=True)
class Flow:
    """Money on a day: paid in below zero, received above."""

    day: date
    amount_usd: Exact


@dataclass(frozen=True, slots=True)
class RateResult:
    """Every annual rate at which the present value of the flows is zero, ascending, to 28 decimal places."""

    status: RootStatus
    rates: tuple[Decimal, ...]

    @property
    def rate(self) -> Decimal | None:
        """The rate if it is unique, else None."""
        return self.rates[0] if self.status == "unique" else None


def xirr(flows: Sequence[Flow]) -> RateResult:
    """Find every annual effective rate of return, with time counted in days over 365.

    Args:
        flows: At most 1,000, in any order; flows of the same day are summed. Where signs change more than once, at most
            120 days.

    Returns:
        Every rate from -99.9999% to 100,000,000%, as a fraction: 0.08 is 8%.

    Raises:
        Refusal: ``no_flows``, ``too_many_flows``.
    """
    if not flows:
        raise Refusal("no_flows", "a rate of return needs cash flows, and none was given")
    first = min(flow.day for flow in flows)
    return periodic_rates([(Fraction((flow.day - first).days, DAYS_PER_YEAR), flow.amount_usd) for flow in flows])


def periodic_rates(flows: Sequence[tuple[Fraction, Exact]]) -> RateResult:
    """Find every rate per period of flows at times counted in periods; limits and refusals as `xirr`.

    Raises:
        Refusal: ``too_many_flows``.
    """
    if len(flows) > FLOWS_MAX:
        raise Refusal("too_many_flows", f"{len(flows)} cash flows exceed the limit of {FLOWS_MAX}")
    sums: dict[Fraction, Fraction] = {}
    for time, amount in flows:
        sums[time] = sums.get(time, Fraction(0)) + exact(amount, "amount_usd")
    kept = {time: amount for time, amount in sorted(sums.items()) if amount}
    with localcontext(Context(prec=_DIGITS)):
        terms = [(_decimal(amount), _decimal(time)) for time, amount in kept.items()]
        if _sign_changes(terms) > 1 and len(terms) > SEARCHED_FLOWS_MAX:
            raise Refusal(
                "too_many_flows",
                f"{len(terms)} days of flows with several changes of sign exceed the limit of {SEARCHED_FLOWS_MAX}",
            )
        low, high = 1 / (1 + _RATE_MAX), 1 / (1 + _RATE_MIN)
        rates = sorted(((1 / root - 1).quantize(_PLACES) for root in _roots(terms, low, high)), key=Decimal)
    if not rates:
        return RateResult("none", ())
    return RateResult("unique" if len(rates) == 1 else "multiple", tuple(rates))


def _roots(terms: _Terms, low: Decimal, high: Decimal) -> list[Decimal]:
    """Find the roots of a sum of powers between two bounds; `terms` ascend in their powers."""
    changes = _sign_changes(terms)
    if changes == 0:
        return []
    lowest = terms[0][1]
    shifted = [(amount, power - lowest) for amount, power in terms]
    stops = [low, high]
    if changes > 1:
        slope = [(amount * power, power - 1) for amount, power in shifted if power]
        stops = [low, *_roots(slope, low, high), high]
    roots: list[Decimal] = []
    for left, right in pairwise(stops):
        root = _find_root(shifted, left, right)
        if root is not None and (not roots or abs(root - roots[-1]) > _PLACES):
            roots.append(root)
    return roots


def _find_root(terms: _Terms, left: Decimal, right: Decimal) -> Decimal | None:
    """Return the root of a sum that rises or falls throughout between two bounds; None if it has none there.

    Newton's method in the logarithm, and a halving of the bounds wherever it would leave them or gains less than that.
    """
    low, high = left.ln(), right.ln()
    at_left, at_right = _evaluate(terms, low)[0], _evaluate(terms, high)[0]
    negligible = sum(abs(amount) for amount, _ in terms) * Decimal(10) ** (12 - _DIGITS)
    if abs(at_left) < negligible:
        return left
    if abs(at_right) < negligible:
        return right
    if (at_left > 0) == (at_right > 0):
        return None
    last = step = high - low
    at = (low + high) / 2
    while abs(step) > _STEP_MIN:
        value, slope = _evaluate(terms, at)
        if (value > 0) == (at_left > 0):
            low = at
        else:
            high = at
        last, before = step, last
        if slope and low < at - value / slope < high and abs(2 * value) <= abs(before * slope):
            step = value / slope
            at -= step
        else:
            step = (high - low) / 2
            at = low + step
    return at.exp()


def _evaluate(terms: _Terms, log: Decimal) -> tuple[Decimal, Decimal]:
    """Return a sum of powers at the exponential of `log`, and its derivative by `log`."""
    value = slope = Decimal(0)
    for amount, power in terms:
        term = amount * (power * log).exp()
        value += term
        slope += power * term
    return value, slope


def _sign_changes(terms: _Terms) -> int:
    signs = [amount > 0 for amount, _ in terms if amount]
    return sum(before != after for before, after in pairwise(signs))


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)
