"""Short ways to say a company, an instrument and a round in tests."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from marketplace.equity.checker import verify
from marketplace.equity.model import Capitalization, Holding, Investment, RoundResult, RoundTerms, Safe, SafeTerms
from marketplace.equity.rounds import price_round


def company(common: int | Fraction = 8_000_000, **reserved: Any) -> Capitalization:
    return Capitalization((Holding("founders", "common", common),), **reserved)


def post_money(name: str, amount: Any, cap: Any = None, discount: Any = None) -> Safe:
    return Safe(name, f"holder of {name}", amount, SafeTerms("post_money", cap, discount))


def pre_money(name: str, amount: Any, cap: Any = None, discount: Any = None) -> Safe:
    return Safe(name, f"holder of {name}", amount, SafeTerms("pre_money", cap, discount))


def terms(new_money_usd: Any = 3_000_000, **changes: Any) -> RoundTerms:
    stated: dict[str, Any] = {
        "pre_money_usd": 12_000_000,
        "investments": (Investment("new", new_money_usd),),
        "pricing_convention": "percent_ownership",
        "capitalization_definition": "yc_standard",
        "share_rounding": "floor",
        "price_places": 4,
        "price_rounding": "half_even",
        "pool_timing": "pre_money",
    }
    return RoundTerms(**(stated | changes))


def priced(before: Capitalization, safes: Sequence[Safe], round_terms: RoundTerms, **more: Any) -> RoundResult:
    """Price a round and let the independent checker agree."""
    result = price_round(before, safes, round_terms, **more)
    assert verify(result.certificate) == []
    return result
