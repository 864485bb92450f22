"""Read the round of a vector, in either of the forms that sources use, into the engine's values."""

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from marketplace.core.rounding import RoundingMode
from marketplace.equity.model import (
    Capitalization,
    Holding,
    Investment,
    PricingConvention,
    RoundTerms,
    Safe,
    SafeTerms,
    ShareRounding,
)
from tests.equity.vector_values import number, optional

Inputs = Mapping[str, Any]
COMMON_KEYS = ("common", "founder_shares", "shares", "common_incl_issued_options", "common_plus_granted", "F_out")
POOL_KEYS = ("existing_unissued_pool", "unissued_pool", "unused_pool", "available_pool", "E_pool")


SAFE_KINDS = ("post", "pre", "uncapped", "discount", "mfn", "fixed")


class RoundingText(NamedTuple):
    policy: ShareRounding
    price_places: int
    price_rounding: RoundingMode
    new_money: RoundingMode | None


class Round(NamedTuple):
    company: Capitalization
    safes: list[Safe]
    terms: RoundTerms


def read_rounding(text: str) -> RoundingText:
    """Turn a source's words about rounding into a policy; sources that say nothing print the exact answer."""
    price = re.search(r"price (half-up|half-even|floor|ceil) (\d)dp", text)
    new_money = re.search(r"new-money(?: shares)? (half-up|floor)", text)
    modes: dict[str, RoundingMode] = {
        "half-up": "half_up",
        "half-even": "half_even",
        "floor": "floor",
        "ceil": "ceiling",
    }
    mode = modes[price.group(1)] if price else "half_up"
    places = int(price.group(2)) if price else 6
    policy: ShareRounding = "floor" if "floor" in text else "nearest"
    if price and mode == "ceiling":
        policy = "floor_fixed_point"
    elif price:
        policy = "floor_after_price"
    return RoundingText(policy, places, mode, modes[new_money.group(1)] if new_money else None)


def read_company(inputs: Inputs) -> Capitalization:
    pre_safe = inputs.get("pre_safe")
    if pre_safe is not None:
        return Capitalization(
            holdings=(Holding("founders", "common", number(pre_safe["founder_common"])),),
            options_granted=number(pre_safe.get("options_outstanding", 0)),
            options_promised=number(pre_safe.get("options_promised", 0)),
            options_available=number(pre_safe.get("unissued_pool", 0)),
        )
    common = next((number(inputs[key]) for key in COMMON_KEYS if key in inputs), Fraction(0))
    pool = next((number(inputs[key]) for key in POOL_KEYS if key in inputs), Fraction(0))
    return Capitalization(
        holdings=(Holding("founders", "common", common),),
        options_granted=number(inputs.get("issued_options", 0)),
        options_promised=number(inputs.get("promised_options", 0)),
        options_available=pool,
        warrants=number(inputs.get("warrants", 0)),
    )


def read_safes(inputs: Inputs) -> list[Safe]:
    records = inputs.get("safes", [])
    for key in ("convertible", "safe"):
        if key in inputs:
            records = [*records, inputs[key]]
    safes = [_read_safe(record, index) for index, record in enumerate(records)]
    return [_with_best_election(safe, safes) for safe in safes]


def read_round(inputs: Inputs, rounding: str) -> Round:
    nested = inputs.get("round")
    money = {**inputs, **nested} if isinstance(nested, Mapping) else inputs
    text = read_rounding(rounding)
    amounts = money.get("series") or [money.get("new_money", money.get("N"))]
    target = next((money[key] for key in money if key.startswith("target_") or key == "pool_target"), None)
    increase = money.get("option_pool_increase_shares", money.get("pool_increase"))
    terms = RoundTerms(
        pre_money_usd=number(money["V"] if "V" in money else money["pre_money"]),
        investments=tuple(Investment(f"new_{index}", number(each)) for index, each in enumerate(amounts)),
        pool_post_money=optional(target),
        pool_increase_shares=number(increase) if increase and target is None else None,
        pool_timing="post_money" if "post" in str(money.get("pool_timing", "")) else "pre_money",
        pricing_convention=read_convention(money.get("convention")),
        capitalization_definition="yc_standard",
        share_rounding=text.policy,
        price_places=text.price_places,
        price_rounding=text.price_rounding,
        new_money_share_rounding=text.new_money,
    )
    return Round(read_company(inputs), read_safes(inputs), terms)


def read_convention(text: str | None) -> PricingConvention:
    for convention in ("pre_money_method", "dollars_invested", "percent_ownership"):
        if text and convention in text.replace("percentage", "percent"):
            return convention
    if text:
        raise ValueError(f"the pricing convention {text!r} is not known")
    return "percent_ownership"


def _read_safe(record: Inputs, index: int) -> Safe:
    name = str(record.get("id", index))
    post = record.get("post_money_cap", record.get("post_cap"))
    pre = record.get("pre_money_cap", record.get("pre_cap"))
    kind = str(record.get("kind", "post")).replace("-", "_").removesuffix("_money")
    if kind not in SAFE_KINDS:
        raise ValueError(f"the SAFE {name!r} is of the kind {kind!r}, which is not known")
    if "cap" in record:
        post, pre = (None, record["cap"]) if kind == "pre" else (record["cap"], None)
    terms = SafeTerms(
        conversion_timing="pre_money" if pre is not None else "post_money",
        valuation_cap_usd=optional(pre if pre is not None else post),
        discount=optional(record.get("discount")),
        most_favoured_nation=bool(record.get("mfn")),
        ownership=optional(record.get("fixed_pct")),
    )
    return Safe(name, name, number(record.get("amount", 0)), terms)


def _with_best_election(safe: Safe, safes: list[Safe]) -> Safe:
    """Elect the lowest cap among the others, as a source that only says "MFN" takes for granted."""
    if not safe.terms.most_favoured_nation:
        return safe
    capped = [each.terms for each in safes if each.terms.valuation_cap_usd is not None]
    if not capped:
        return replace(safe, mfn_election="declined")
    return replace(safe, mfn_election=min(capped, key=lambda terms: Decimal(str(terms.valuation_cap_usd))))
