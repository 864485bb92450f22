"""A growth company's two rounds in a row: compounding protection, notes, a pool that counts grants, a tender."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from marketplace.equity.checker import verify
from marketplace.equity.model import (
    Capitalization,
    Holding,
    Investment,
    PreferredClass,
    RoundResult,
    RoundTerms,
    Safe,
    SafeTerms,
)
from marketplace.equity.rounds import price_round
from tests.equity.vector_values import number

Inputs = Mapping[str, Any]
Answers = dict[str, Any]
FUND_PART = Fraction(1, 3)


def two_rounds(inputs: Inputs, rounding: str) -> Answers:
    before = inputs["pre_state"]
    company = _company(before, number(inputs["series_e"]["A_for_D_adjustment"]))
    first_money = number(inputs["series_e"]["raise_"])
    first = _priced(
        company,
        [],
        number(inputs["series_e"]["post_money"]) - first_money,
        first_money,
        inputs["series_e"]["pool_post"],
    )
    between = _after_first(company, first)
    safes = [_note(record) for record in inputs["notes"]]
    money = number(inputs["series_f"]["primary"])
    second = _priced(between, safes, number(inputs["series_f"]["pre_money"]), money, inputs["series_f"]["pool_post"])
    return _answers(inputs, between, second)


def _company(before: Inputs, counted: Fraction) -> Capitalization:
    holdings = [Holding("common", "common", number(before["common"]))]
    preferred: list[PreferredClass] = []
    for name, record in before.items():
        if not isinstance(record, Mapping):
            continue
        shares = number(record.get("original_shares", record.get("shares")))
        price = number(record["oip"]) if "oip" in record else number(record["pref"]) / shares
        holdings.append(Holding(name, name, shares))
        preferred.append(_protected(name, price))
    granted = number(before["issued_options_inside_pool"])
    stock = sum((Fraction(each.shares) for each in holdings), Fraction(0))
    return Capitalization(
        tuple(holdings), tuple(preferred), options_granted=granted, options_available=counted - stock - granted
    )


def _protected(name: str, price: Fraction, conversion_price: Fraction | None = None) -> PreferredClass:
    return PreferredClass(
        name,
        price,
        conversion_price_usd=conversion_price,
        price_protection="weighted_average",
        protection_basis="fully_diluted",
    )


def _after_first(company: Capitalization, first: RoundResult) -> Capitalization:
    prices = {each.class_id: each.conversion_price_after_usd for each in first.adjustments}
    preferred = [
        _protected(each.class_id, Fraction(each.issue_price_usd), prices[each.class_id]) for each in company.preferred
    ]
    bought = first.new_money[0].shares_exact
    return Capitalization(
        holdings=(*company.holdings, Holding("series_e", "series_e", bought)),
        preferred=(*preferred, _protected("series_e", first.price_usd)),
        options_granted=company.options_granted,
        options_available=Fraction(company.options_available) + first.pool_increase_exact,
    )


def _note(record: Inputs) -> Safe:
    terms = SafeTerms(
        "pre_money",
        number(record["cap"]),
        number(record["discount"]),
        capitalization_definition="pre_money_fully_diluted",
    )
    return Safe(record["id"], record["id"], number(record["amount_due"]), terms)


def _priced(
    company: Capitalization, safes: list[Safe], pre_money: Fraction, money: Fraction, pool_text: str
) -> RoundResult:
    result = price_round(
        company,
        safes,
        RoundTerms(
            pre_money_usd=pre_money,
            investments=(Investment("new", money),),
            pool_post_money=Fraction(pool_text.split(maxsplit=1)[0]),
            pool_counts_granted=True,
            pool_timing="pre_money",
            pricing_convention="percent_ownership",
            capitalization_definition="pre_money_fully_diluted",
            share_rounding="floor",
            price_places=6,
            price_rounding="half_up",
        ),
    )
    assert verify(result.certificate) == []
    return result


def _answers(inputs: Inputs, between: Capitalization, second: RoundResult) -> Answers:
    price = second.price_usd
    money = number(inputs["series_f"]["primary"])
    tendered = number(inputs["tender"]["amount"])
    factor = Fraction(inputs["tender"]["price"].split()[0])
    answers: Answers = {
        "round.f_pps_usd": price,
        "round.post_f_fd_shares": second.fully_diluted_exact,
        "round.our_fund_shares": money * FUND_PART / price,
        "round.f_lead_primary_shares": money * (1 - FUND_PART) / price,
        "tender.usd_to_founders": tendered,
        "tender.shares_transferred": tendered / (factor * price),
        "tender.f_lead_holding_secondary_shares": tendered / (factor * price),
        "price_dec": price,
        "T_dec": second.fully_diluted_exact,
    }
    issue_prices = {each.class_id: Fraction(each.issue_price_usd) for each in between.preferred}
    for each in second.adjustments:
        name = f"antidilution.{each.class_id}"
        answers[f"{name}.new_conversion_price_usd"] = each.conversion_price_after_usd
        answers[f"{name}.new_ratio"] = issue_prices[each.class_id] / each.conversion_price_after_usd
    for conversion in second.conversions:
        name = f"notes.{conversion.instrument_id}"
        prices = {each.branch: each.price_usd for each in conversion.alternatives}
        answers[f"{name}.cap_implied_pps_usd"] = prices["cap"]
        answers[f"{name}.discount_implied_pps_usd"] = prices["discount"]
        answers[f"{name}.conversion_pps_usd"] = conversion.price_usd
        answers[f"{name}.conversion_branch"] = conversion.branch
        answers[f"{name}.shares_issued"] = conversion.shares_exact
    return answers
