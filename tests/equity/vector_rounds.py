"""Answers of the engine to vectors of priced rounds and SAFEs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from marketplace.equity.capitalization import company_capitalization
from marketplace.equity.checker import verify
from marketplace.equity.drawdown import Delivery, DrawdownTerms, draw_down
from marketplace.equity.mfn import compare_elections
from marketplace.equity.model import Capitalization, Holding, Investment, RoundResult, RoundTerms, Safe, SafeTerms
from marketplace.equity.rounds import price_round
from tests.equity.vector_round_inputs import Round, read_company, read_round, read_safes
from tests.equity.vector_values import OneOf, Whole, number

Inputs = Mapping[str, Any]
Answers = dict[str, Any]
BRANCHES = {"cap": "cap", "discount": "discount", "round_price": "round", "fixed_ownership": "fixed"}
SERVICE_LEVEL = Fraction(95, 100)
PRIMER_ROUND_PLACES = 3


def _sum(values: Iterable[Fraction]) -> Fraction:
    return sum(values, Fraction(0))


def solved(given: Round) -> RoundResult:
    result = price_round(given.company, given.safes, given.terms)
    assert verify(result.certificate) == []
    return result


def priced_round(inputs: Inputs, rounding: str) -> Answers:
    given = read_round(inputs, rounding)
    result = solved(given)
    total = result.fully_diluted_exact
    new_part = _sum(each.shares_exact for each in result.new_money) / total
    safe_exact = _sum(each.shares_exact for each in result.conversions)
    pool_exact = Fraction(given.company.options_available) + result.pool_increase_exact
    pool_whole = int(given.company.options_available) + result.pool_increase
    founders = given.company.common_shares / total
    answers: Answers = {
        "T": total,
        "price": result.price_usd,
        "pps": result.price_usd_rounded,
        "price_per_share": result.price_usd_rounded,
        "increase": result.pool_increase_exact,
        "additional_options": Whole(result.pool_increase),
        "founders_pct": founders,
        "founder_each": founders / 2,
        "common": founders,
        "safes_pct": [each.shares_exact / total for each in result.conversions],
        "new_pct": new_part,
        "investor": new_part,
        "series": OneOf((new_part, Whole(sum(each.shares for each in result.new_money)))),
        "pool": OneOf((pool_exact / total, Whole(pool_whole))),
        "branches": [BRANCHES[each.branch] for each in result.conversions],
        "safe_pct": safe_exact / total,
        "pre_round_pct": safe_exact / result.company_capitalization_exact,
    }
    for each in result.conversions:
        answers |= {"conv_price": each.price_usd, "safe_price": each.price_usd, "branch": BRANCHES[each.branch]}
        for name in _names(each.instrument_id):
            answers |= {f"{name}_branch": each.branch, f"{name}_safe_price": each.price_usd_rounded}
    return answers | _rows(given, result, rounding)


def _rows(given: Round, result: RoundResult, rounding: str) -> Answers:
    """Answer with each row: exact where the source prints exact figures, else whole by the source's policy."""
    is_exact = rounding.startswith("none") or "printed" in rounding
    new = (_sum(each.shares_exact for each in result.new_money), sum(each.shares for each in result.new_money))
    safes = (_sum(each.shares_exact for each in result.conversions), sum(each.shares for each in result.conversions))
    total = (result.fully_diluted_exact, result.fully_diluted)
    before = (result.company_capitalization_exact, int(given.company.fully_diluted) + safes[1])
    rows = {
        "new_shares": new,
        "new_money_shares": new,
        "new": new,
        "safe": safes,
        "safe_shares": safes,
        "total": total,
        "post_fully_diluted": total,
        "company_capitalization": before,
    }
    for each in result.conversions:
        for name in _names(each.instrument_id):
            rows[name] = rows[f"{name}_shares"] = (each.shares_exact, each.shares)
    answers: Answers = {}
    for name, (exact, whole) in rows.items():
        answers[name] = exact if is_exact else Whole(whole)
        answers[f"exact.{name}"] = exact
    return answers


def _names(instrument_id: str) -> list[str]:
    """List the short names by which sources print an instrument's row."""
    compact = instrument_id.lower().replace(" ", "")
    names = {instrument_id, compact, compact.removeprefix("yc"), compact.removesuffix("-on"), f"s{compact}"}
    return sorted(name for name in names if name)


def mixed_before_round(inputs: Inputs, rounding: str) -> Answers:
    given = read_round(inputs, rounding)
    result = solved(given)
    pre_money = [
        each
        for each, safe in zip(result.conversions, given.safes, strict=True)
        if safe.terms.conversion_timing == "pre_money"
    ]
    whole = given.company.fully_diluted + sum(each.shares for each in result.conversions)
    exact = sum((each.shares_exact for each in pre_money), Fraction(0)) / result.company_capitalization_exact
    return {
        "pre_money_safe_pre_round_pct": Fraction(sum(each.shares for each in pre_money)) / whole,
        "pct": exact,
    }


def before_any_round(inputs: Inputs, rounding: str) -> Answers:
    safes = read_safes(inputs)
    before = company_capitalization(read_company(inputs), safes)
    answers: Answers = {"company_capitalization": before.company_capitalization, "B": before.company_capitalization}
    for safe, shares in zip(safes, before.shares, strict=True):
        answers[f"{safe.instrument_id}_shares"] = shares
        answers[f"{safe.instrument_id}sh"] = shares
        answers.setdefault(safe.instrument_id, shares)
        answers[f"{safe.instrument_id}_pct"] = shares / before.company_capitalization
    return answers


def ownership_sold(inputs: Inputs, rounding: str) -> Answers:
    company = Capitalization((Holding("founders", "common", 1),))
    parts = []
    for amount, cap in inputs["cases"]:
        safe = Safe("safe", "investor", number(amount), SafeTerms("post_money", number(cap)))
        before = company_capitalization(company, [safe])
        parts.append(before.shares[0] / before.company_capitalization)
    return {"approx": parts}


def original_primer(inputs: Inputs, rounding: str) -> Answers:
    """Price as the SAFE Primer does: the round to a tenth of a cent, the SAFE to the digits that it states."""
    places = [int(digit) for digit in rounding if digit.isdigit()] or [PRIMER_ROUND_PLACES + 1]
    amount = number(inputs["amount"])
    pay = number(inputs.get("discount_rate_pct", 100)) / 100
    cap = inputs.get("pre_money_cap")
    safe = Safe(
        "safe", "investor", amount, SafeTerms("pre_money", None if cap is None else number(cap), (1 - pay) or None)
    )
    company = Capitalization((Holding("all", "common", number(inputs["fully_diluted_incl_new_pool"])),))
    terms = RoundTerms(
        pre_money_usd=number(inputs["pre_money"]),
        investments=(Investment("new", number(inputs["new_money"])),),
        pricing_convention="pre_money_method",
        capitalization_definition="existing_fully_diluted",
        share_rounding="floor_after_price",
        price_places=PRIMER_ROUND_PLACES,
        price_rounding="floor",
        conversion_price_places=places[-1],
    )
    result = solved(Round(company, [safe], terms))
    conversion = result.conversions[0]
    exact = {each.branch: each.price_usd for each in conversion.alternatives}
    return {
        "series_price": result.price_usd_rounded,
        "series_shares": Whole(result.new_money[0].shares),
        "exact.series_shares": result.new_money[0].shares_exact,
        "safe_price": conversion.price_usd_rounded,
        "conversion_price": conversion.price_usd_rounded,
        "cap_price": exact.get("cap"),
        "discount_price": Fraction(result.price_usd_rounded) * pay,
        "controlling": conversion.branch,
        "safe_shares": Whole(conversion.shares),
        "exact.safe_shares": conversion.shares_exact,
        "safe_liq_pref_total": amount,
    }


def favoured_reversal(inputs: Inputs, rounding: str) -> Answers:
    later = {("elect_cap" if "cap" in record else "elect_discount"): record for record in inputs["later"]}
    given = read_round({**inputs, "safes": list(later.values())}, rounding)
    mine = Safe("mfn", "mfn", number(inputs["mfn"]), SafeTerms("post_money", most_favoured_nation=True))
    candidates = {name: safe.terms for name, safe in zip(later, given.safes, strict=True)}
    values = compare_elections(
        given.company, [mine, *given.safes], given.terms, instrument_id="mfn", candidates=candidates
    )
    return {value.candidate: value.ownership for value in values} | {"best": values[0].candidate}


def favoured_beside_fixed(inputs: Inputs, rounding: str) -> Answers:
    capped = inputs["investors_safe"]
    records = [
        {"id": "investors", **capped},
        {"id": "ef", "fixed_pct": inputs["ef_fixed_pct"]},
        {"id": "mfn", "mfn": True, **inputs["mfn_safe"]},
    ]
    given = read_round({**inputs, "safes": records, "common": 1_000_000}, rounding)
    result = solved(given)
    parts = {
        f"{each.instrument_id}_pct": each.shares_exact / result.company_capitalization_exact
        for each in result.conversions
    }
    election = given.safes[2].mfn_election
    assert isinstance(election, SafeTerms)
    new = sum((each.shares_exact for each in result.new_money), Fraction(0))
    return {
        **parts,
        "mfn_inherits_cap": election.valuation_cap_usd,
        "new_investor_pct": new / result.fully_diluted_exact,
    }


def drawn_down(inputs: Inputs, rounding: str) -> Answers:
    terms = DrawdownTerms(
        commitment_usd=number(inputs["commitment"]),
        price_usd_per_gpu_hour=number(inputs["oracle_price_per_gpu_hour"]),
        uptime_min=number(inputs.get("sla_uptime", SERVICE_LEVEL)),
        consequence="roll_forward",
    )
    deliveries = [
        Delivery(str(month["m"]), number(month["hours"]), number(month["uptime"])) for month in inputs["months"]
    ]
    drawdown = draw_down(terms, deliveries)

    def converted(amount: Fraction) -> tuple[Answers, RoundResult]:
        record = {"amount": amount, "post_cap": inputs["cap_post"], "discount": inputs.get("discount")}
        given = {**inputs, "safes": [record]}
        return priced_round(given, rounding), solved(read_round(given, rounding))

    answers, result = converted(drawdown.principal_usd)
    full, _ = converted(number(inputs["commitment"]))
    return answers | {
        "accepted_hours": drawdown.gpu_hours,
        "delivered_amount": drawdown.principal_usd,
        "branch": result.conversions[0].branch,
        "if_full_commitment_pct": full["safe_pct"],
    }


def rounded_tranches(inputs: Inputs, rounding: str) -> Answers:
    records = [
        {"id": str(index), "amount": amount, "post_cap": inputs["cap_post"], "discount": inputs.get("discount")}
        for index, amount in enumerate(inputs["tranches"])
    ]
    apart = read_round({**inputs, "safes": records}, "floor shares")
    together = Round(
        apart.company, [replace(safe, instrument_id="one", holder_id="one") for safe in apart.safes], apart.terms
    )
    floored = sum(each.shares for each in solved(apart).conversions)
    whole = solved(together).conversions[0].shares
    return {"sum_of_floored_tranches": floored, "floor_of_sum": whole, "difference": whole - floored}


def press_estimate(inputs: Inputs, rounding: str) -> Answers:
    credits_usd = number(inputs["credits"])
    return {
        "program_retail": credits_usd * number(inputs["startups"]),
        "approx_stake": credits_usd / number(inputs["series_a_valuation"]),
    }
