"""Answers of the engine to vectors of participation, warrants, vesting, metering and portfolio returns."""

import re
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any, get_args

from marketplace.equity.drawdown import gpu_hours
from marketplace.equity.participation import (
    diluted,
    effective_pre_money_usd,
    investment_for_target_usd,
    pay_to_play,
    pro_rata_beside,
    pro_rata_usd,
)
from marketplace.equity.portfolio import multiples
from marketplace.equity.rates import Flow, periodic_rates, xirr
from marketplace.equity.vesting import AllocationType, spread
from marketplace.equity.warrants import cash_exercise_usd, net_exercise_shares
from tests.equity.vector_values import number

Inputs = Mapping[str, Any]
Answers = dict[str, Any]


class _EffectivePreMoney(dict[str, Any]):
    """Answers ``effective_pre_<pre>_<raise>_<pool percent>``: a source that writes its inputs into the name."""

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or str(key).startswith("effective_pre_")

    def __missing__(self, key: str) -> Fraction:
        pre, money, pool = (Fraction(part) for part in key.removeprefix("effective_pre_").split("_"))
        return effective_pre_money_usd(pre, money, pool / 100)


def plain_dilution(inputs: Inputs, rounding: str) -> Answers:
    after = diluted(number(inputs["stake"]), number(inputs["investor"]), number(inputs["pool"]))
    return _EffectivePreMoney(after=after)


def pro_rata_of_safes(inputs: Inputs, rounding: str) -> Answers:
    part = pro_rata_beside(number(inputs["safes_with_pro_rata"]), number(inputs["new_investors_post"]))
    return {"safe_pro_rata_allocation": part, "x": part}


def target_cheque(inputs: Inputs, rounding: str) -> Answers:
    own, pre, money = number(inputs["own"]), number(inputs["pre_money_m"]), number(inputs["raise_m"])
    return {
        "check_m": investment_for_target_usd(own, number(inputs["target"]), pre, money),
        "pro_rata_m": pro_rata_usd(own, money),
    }


def kept_share(inputs: Inputs, rounding: str) -> Answers:
    money = number(inputs.get("new_money", inputs.get("round")))
    amount = pro_rata_usd(number(inputs.get("own", inputs.get("ownership"))), money)
    return {"pro_rata": amount, "check": amount, "amount": amount, "pro_rata_amount": amount, "allocation": amount}


def pay_or_convert(inputs: Inputs, rounding: str) -> Answers:
    if "obligation" in inputs:
        obligation = number(inputs["obligation"])
    else:
        obligation = pro_rata_usd(number(inputs["pro_rata"]), number(inputs["round"]))
    preferred, common = (Fraction(part) for part in inputs.get("ratio", "1:1").split(":"))
    result = pay_to_play(number(inputs["preferred"]), obligation, number(inputs["contributed"]), common / preferred)
    return {
        "obligation": obligation,
        "applicable_portion": result.applicable_portion,
        "preferred_remaining": result.preferred_remaining,
        "converted_to_common": result.common_issued,
    }


def net_exercised(inputs: Inputs, rounding: str) -> Answers:
    shares = number(next((inputs[key] for key in ("warrants", "options", "shares") if key in inputs), 1))
    issued = net_exercise_shares(shares, number(inputs["strike"]), number(inputs["fmv"]))
    intrinsic = issued * number(inputs["fmv"])
    return {"shares": issued, "net_shares": issued, "shares_per_warrant": issued / shares, "value": intrinsic}


def performance_warrant(inputs: Inputs, rounding: str) -> Answers:
    shares = number(inputs["shares"])
    cost = cash_exercise_usd(shares, number(inputs["strike"]))
    return {"max_shares": shares, "full_exercise_cost": cost, "exercise_cost": cost, "cost": cost}


def spread_shares(inputs: Inputs, rounding: str) -> Answers:
    quantity, tranches = int(inputs["quantity"]), int(inputs["tranches"])
    return {kind: spread(quantity, tranches, kind) for kind in get_args(AllocationType)}


def metered_hours(inputs: Inputs, rounding: str) -> Answers:
    """Count hours: of stated hours a day, of whole days, or of hours in all where no days are stated."""
    hours_per_day, days = number(inputs.get("hours_per_day", 24)), number(inputs.get("days", 1))
    hours = gpu_hours(number(inputs["gpus"]), hours_per_day, days)
    price = inputs.get("price_per_gpu_hour", inputs.get("rate", 0))
    return {"gpu_hours": hours, **dict.fromkeys(("amount", "cost", "principal"), hours * number(price))}


def fund_multiples(inputs: Inputs, rounding: str) -> Answers:
    result = multiples(number(inputs["paid_in"]), number(inputs["distributed"]), number(inputs.get("nav", 0)))
    answers: Answers = {"DPI": result.dpi, "RVPI": result.rvpi, "TVPI": result.tvpi, "MOIC": result.moic}
    return answers | (dated_return(inputs, rounding) if "flows" in inputs else {})


def dated_return(inputs: Inputs, rounding: str) -> Answers:
    flows = inputs["flows"]
    if isinstance(flows[0], list):
        result = xirr([Flow(date.fromisoformat(day), number(amount)) for day, amount in flows])
    else:
        result = periodic_rates([(Fraction(period), number(amount)) for period, amount in enumerate(flows)])
    keys = ("printed", "high_precision", "irr", "irr_printed", "xirr")
    found = {"status": result.status, "root_status": result.status, "roots": list(result.rates)}
    return dict.fromkeys(keys, result.rate) | found


def counted_periods(inputs: Inputs, rounding: str) -> Answers:
    """Read flows named by kind and period: ``C0`` is paid in, ``D1`` is received, ``NAV2`` is held at the end."""
    sums = {"C": Fraction(0), "D": Fraction(0), "NAV": Fraction(0)}
    flows: list[tuple[Fraction, Fraction]] = []
    for name, value in inputs.items():
        match = re.fullmatch(r"(C|D|NAV)(\d+)", name)
        if match:
            kind, period = match.group(1), Fraction(match.group(2))
            sums[kind] += number(value)
            flows.append((period, -number(value) if kind == "C" else number(value)))
    result = multiples(sums["C"], sums["D"], sums["NAV"])
    rates = periodic_rates(flows)
    return {
        "DPI": result.dpi,
        "RVPI": result.rvpi,
        "TVPI": result.tvpi,
        "irr": rates.rate,
        "status": rates.status,
    }
