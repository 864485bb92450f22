"""Warrants: cash and net exercise, and tranches that vest by delivered compute, by date, by price or by several."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import assert_never

from marketplace.core.errors import Refusal
from marketplace.equity.exact import ZERO, Exact, not_negative, positive

CONDITION_DEPTH_MAX = 8


@dataclass(frozen=True, slots=True)
class DeliveredAtLeast:
    """Accepted delivery has reached a number of GPU-seconds."""

    gpu_seconds: int


@dataclass(frozen=True, slots=True)
class OnOrAfter:
    """A day has come."""

    day: date


@dataclass(frozen=True, slots=True)
class PriceAtLeast:
    """The share price has reached a level, in USD."""

    price_usd: Exact


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition is met."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition is met."""

    conditions: tuple["Condition", ...]


Condition = DeliveredAtLeast | OnOrAfter | PriceAtLeast | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class WarrantTranche:
    """Shares that become exercisable under a condition; None vests at signing."""

    shares: int
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class WarrantFacts:
    """What is known when vesting is asked; a price of None means that no price is established."""

    delivered_gpu_seconds: int
    on_day: date
    price_usd: Exact | None = None


def cash_exercise_usd(shares: Exact, strike_usd: Exact) -> Fraction:
    """Work out what exercising costs in cash."""
    return not_negative(shares, "shares") * not_negative(strike_usd, "strike_usd")


def net_exercise_shares(shares: Exact, strike_usd: Exact, fair_value_usd: Exact) -> Fraction:
    """Work out the shares issued without cash, exact: ``X = Y * (A - B) / A``, zero under the strike.

    Args:
        shares: Shares exercised, ``Y``.
        strike_usd: ``B``.
        fair_value_usd: Fair value of a share, ``A``; above zero.
    """
    value = positive(fair_value_usd, "fair_value_usd")
    gain = max(ZERO, value - not_negative(strike_usd, "strike_usd"))
    return not_negative(shares, "shares") * gain / value


def is_met(condition: Condition | None, facts: WarrantFacts, depth: int = 0) -> bool:
    """Decide whether a condition is met by facts.

    Raises:
        Refusal: ``condition_too_deep`` beyond eight levels.
    """
    if depth > CONDITION_DEPTH_MAX:
        raise Refusal("condition_too_deep", f"vesting conditions are nested deeper than {CONDITION_DEPTH_MAX} levels")
    match condition:
        case None:
            return True
        case DeliveredAtLeast(gpu_seconds):
            return facts.delivered_gpu_seconds >= gpu_seconds
        case OnOrAfter(day):
            return facts.on_day >= day
        case PriceAtLeast(price):
            return facts.price_usd is not None and Fraction(facts.price_usd) >= Fraction(price)
        case AllOf(conditions):
            return all(is_met(each, facts, depth + 1) for each in conditions)
        case AnyOf(conditions):
            return any(is_met(each, facts, depth + 1) for each in conditions)
        case _:
            assert_never(condition)


def vested_shares(tranches: Sequence[WarrantTranche], facts: WarrantFacts) -> int:
    """Sum the tranches whose conditions are met."""
    return sum(tranche.shares for tranche in tranches if is_met(tranche.condition, facts))


def exercisable_shares(
    tranches: Sequence[WarrantTranche], exercised: int, expires_on: date | None, facts: WarrantFacts
) -> int:
    """Work out what may be exercised now: vested, not yet exercised, and nothing after the day of expiry."""
    if expires_on is not None and facts.on_day > expires_on:
        return 0
    return max(0, vested_shares(tranches, facts) - exercised)
