"""Answers of the engine to vectors of convertible notes, interest and day counts."""

import re
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any

from marketplace.equity.capitalization import company_capitalization
from marketplace.equity.model import (
    Capitalization,
    Conversion,
    DayCount,
    Holding,
    Interest,
    Investment,
    RoundTerms,
    Safe,
    SafeTerms,
)
from marketplace.equity.notes import days_between, interest_on, year_fraction
from marketplace.equity.rounds import price_round
from tests.equity.vector_values import number

Inputs = Mapping[str, Any]
Answers = dict[str, Any]
DAY_COUNTS: Mapping[str, DayCount] = {
    "ACT/365F": "actual_365",
    "ACT/365FIXED": "actual_365",
    "ACT/365": "actual_365",
    "ACT/360": "actual_360",
    "30/360": "thirty_360",
    "30U/360": "thirty_360",
    "ACT/ACT": "actual_actual",
    "ACT/ACTISDA": "actual_actual",
}
COMPOUNDING: Mapping[str, Interest] = {
    "1": "compound_annual",
    "annual": "compound_annual",
    "year": "compound_annual",
    "2": "compound_semiannual",
    "4": "compound_quarterly",
    "12": "compound_monthly",
    "semiannual": "compound_semiannual",
    "quarter": "compound_quarterly",
    "month": "compound_monthly",
    "dai": "compound_daily",
}


def day_count_of(text: str | None) -> DayCount:
    """Sources that name no convention count whole years between the same days."""
    if text is None:
        return "whole_years"
    name = re.sub(r"[^A-Z0-9/]", "", text.upper().replace("ACTUAL", "ACT"))
    if name not in DAY_COUNTS:
        raise ValueError(f"the day count {text!r} is not known, only {sorted(DAY_COUNTS)}")
    return DAY_COUNTS[name]


def years_of(inputs: Inputs) -> Fraction:
    if "years" in inputs:
        return number(inputs["years"])
    if "months" in inputs:
        return number(inputs["months"]) / 12
    if "start" in inputs:
        start, end = date.fromisoformat(inputs["start"]), date.fromisoformat(inputs["end"])
        return year_fraction(start, end, day_count_of(inputs.get("convention")))
    return Fraction(0)


def interest_of(inputs: Inputs) -> Fraction:
    if "rate" not in inputs:
        return Fraction(0)
    stated = str(inputs.get("compounding", "none"))
    if inputs.get("simple", "compounding" not in inputs) or stated in ("none", "simple"):
        kind: Interest = "simple" if inputs.get("simple", True) else "compound_annual"
    elif "compounding" not in inputs:
        kind = "compound_annual"
    else:
        name = stated.replace("-", "").removesuffix("ly")
        if name not in COMPOUNDING:
            raise ValueError(f"the compounding {stated!r} is not known, only {sorted(COMPOUNDING)}")
        kind = COMPOUNDING[name]
    return interest_on(number(inputs["principal"]), number(inputs["rate"]), years_of(inputs), kind)


def accrued(inputs: Inputs, rounding: str) -> Answers:
    start, end = date.fromisoformat(inputs["start"]), date.fromisoformat(inputs["end"])
    interest = interest_of(inputs)
    days = days_between(start, end, day_count_of(inputs.get("convention")))
    balance = number(inputs["principal"]) + interest
    years = years_of(inputs)
    return {
        "days": days,
        "accrued": interest,
        "interest": interest,
        "balance": balance,
        "claim": balance,
        "years": years,
        "year_fraction": years,
    }


def converted_note(inputs: Inputs, rounding: str) -> Answers:
    principal = number(inputs.get("principal", inputs.get("balance")))
    interest = interest_of(inputs)
    balance = principal + interest
    price = number(inputs.get("series_price", 1))
    if "pre_shares" in inputs:
        shares_before = number(inputs["pre_shares"])
    else:
        shares_before = number(inputs.get("pre_money", price)) / price
    cap = inputs.get("cap")
    discount = inputs.get("discount")
    terms = SafeTerms("pre_money", None if cap is None else number(cap), None if discount is None else number(discount))
    conversion = _convert(balance, terms, shares_before, price)
    prices = {each.branch: each.price_usd for each in conversion.alternatives}
    value = conversion.shares_exact * price
    return {
        "interest": interest,
        "balance": balance,
        "conversion_price": conversion.price_usd,
        "price": conversion.price_usd,
        "discount_price": prices.get("discount"),
        "cap_price": prices.get("cap"),
        "shares": conversion.shares_exact,
        "value": value,
        "fmv": value,
        "return_pct": value / principal - 1,
        "paper_multiple": value / principal,
        "branch": conversion.branch,
        "ownership_printed": None if cap is None else balance / number(cap),
    }


def _convert(balance: Fraction, terms: SafeTerms, shares_before: Fraction, price: Fraction) -> Conversion:
    """Convert at a stated series price: a round whose price leaves the converting note out."""
    company = Capitalization((Holding("all", "common", shares_before),))
    round_terms = RoundTerms(
        pre_money_usd=price * shares_before,
        investments=(Investment("new", 1),),
        pricing_convention="pre_money_method",
        capitalization_definition="existing_fully_diluted",
        share_rounding="floor",
        price_places=4,
        price_rounding="half_up",
    )
    return price_round(company, [Safe("note", "holder", balance, terms)], round_terms).conversions[0]


def note_then_safe(inputs: Inputs, rounding: str) -> Answers:
    """Convert a note measured on issued shares, then a post-money SAFE that counts the note's shares."""
    company = Capitalization(
        holdings=(Holding("all", "common", number(inputs["common_plus_granted"])),),
        options_available=number(inputs["available_pool"]),
    )
    note, safe = inputs["note"], inputs["safe"]
    note_terms = SafeTerms("pre_money", number(note["cap"]), capitalization_definition="outstanding_and_granted")
    before = company_capitalization(
        company,
        [
            Safe("note", "note", number(note["balance"]), note_terms),
            Safe("safe", "safe", number(safe["amount"]), SafeTerms("post_money", number(safe["post_cap"]))),
        ],
    )
    note_shares, safe_shares = before.shares
    return {
        "note_price": number(note["balance"]) / note_shares,
        "note_shares": note_shares,
        "safe_company_capitalization": before.company_capitalization,
        "safe_price": number(safe["amount"]) / safe_shares,
        "safe_shares": safe_shares,
    }
