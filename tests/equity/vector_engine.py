"""Choose the calculation for a vector by the shape of its inputs, never by its name."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.equity import vector_exits as exits
from tests.equity import vector_growth_round as growth
from tests.equity import vector_notes as notes
from tests.equity import vector_other as other
from tests.equity import vector_rounds as rounds
from tests.equity.vector_values import mismatches

Vector = Mapping[str, Any]
Calculation = Callable[[Mapping[str, Any], str], dict[str, Any]]


class Shape(NamedTuple):
    """Inputs that a calculation reads; the first shape whose inputs are all there is taken."""

    needs: frozenset[str]
    calculation: Calculation


def _shape(needs: str, calculation: Calculation) -> Shape:
    return Shape(frozenset(needs.split()), calculation)


SHAPES = (
    _shape("holdings ratio fractions", exits.split),
    _shape("classes exit", exits.waterfall),
    _shape("pre_state series_e series_f notes tender", growth.two_rounds),
    _shape("months commitment oracle_price_per_gpu_hour", rounds.drawn_down),
    _shape("tranches cap_post", rounds.rounded_tranches),
    _shape("mfn later pre_money", rounds.favoured_reversal),
    _shape("investors_safe ef_fixed_pct mfn_safe", rounds.favoured_beside_fixed),
    _shape("fully_diluted_incl_new_pool amount", rounds.original_primer),
    _shape("common_incl_issued_options safes series", rounds.mixed_before_round),
    _shape("note safe common_plus_granted", notes.note_then_safe),
    _shape("series_a series_b exit", exits.protection_at_exit),
    _shape("issue common", exits.price_protection),
    _shape("CP1 A consideration", exits.formula),
    _shape("CP1 A issue", exits.formula),
    _shape("CP1 A new_shares new_price", exits.formula),
    _shape("CP1 A B C", exits.formula),
    _shape("principal convention start", notes.accrued),
    _shape("principal", notes.converted_note),
    _shape("balance series_price", notes.converted_note),
    _shape("F_out V N", rounds.priced_round),
    _shape("pre_money new_money", rounds.priced_round),
    _shape("pre_money series", rounds.priced_round),
    _shape("safes", rounds.before_any_round),
    _shape("cases", rounds.ownership_sold),
    _shape("credits startups", rounds.press_estimate),
    _shape("stake investor pool", other.plain_dilution),
    _shape("new_investors_post safes_with_pro_rata", other.pro_rata_of_safes),
    _shape("own target", other.target_cheque),
    _shape("own new_money", other.kept_share),
    _shape("ownership new_money", other.kept_share),
    _shape("own round", other.kept_share),
    _shape("ownership round", other.kept_share),
    _shape("preferred contributed", other.pay_or_convert),
    _shape("strike fmv", other.net_exercised),
    _shape("shares strike", other.performance_warrant),
    _shape("quantity tranches", other.spread_shares),
    _shape("gpus hours_per_day days", other.metered_hours),
    _shape("gpus hours_per_day", other.metered_hours),
    _shape("gpus days", other.metered_hours),
    _shape("paid_in distributed", other.fund_multiples),
    _shape("flows", other.dated_return),
    _shape("C0", other.counted_periods),
)


# Names that sources use for the same input.
ALIASES = {
    "round_price": "series_price",
    "price_per_share": "series_price",
    "capitalization_shares": "pre_shares",
    "issue_date": "start",
    "start_date": "start",
    "as_of": "end",
    "end_date": "end",
    "day_count": "convention",
    "day_count_convention": "convention",
    "invested": "paid_in",
    "contributed_capital": "paid_in",
    "distributions": "distributed",
    "residual": "nav",
    "fair_value": "fmv",
    "market_price": "fmv",
    "old_price": "CP1",
    "conversion_price": "CP1",
    "outstanding": "A",
    "exercise_price": "strike",
    "proceeds": "exit",
    "exit_value": "exit",
    "cash_flows": "flows",
    "raise": "new_money",
    "investment": "new_money",
    "pre_money_valuation": "pre_money",
    "pre": "pre_money",
    "hours": "hours_per_day",
}


def normalised(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Rename inputs to the names that the calculations read, where those are not given themselves."""
    renamed = {ALIASES[key]: value for key, value in inputs.items() if key in ALIASES and ALIASES[key] not in inputs}
    return {**inputs, **renamed}


def is_readable(inputs: Mapping[str, Any]) -> bool:
    names = normalised(inputs).keys()
    return any(shape.needs <= names for shape in SHAPES)


def calculation_for(inputs: Mapping[str, Any]) -> Calculation:
    for shape in SHAPES:
        if shape.needs <= inputs.keys():
            return shape.calculation
    raise AssertionError(f"no calculation reads inputs of the shape {sorted(inputs)}")


def problems(vector: Vector) -> list[str]:
    """Answer a vector and compare with everything that its source prints."""
    inputs = dict(vector["inputs"])
    rounding = vector.get("rounding") or "none (exact)"
    engine = vector.get("engine_inputs")
    stated = {key: value for key, value in (engine or {}).items() if key != "kind"}
    answers = dict_of(inputs, rounding) if engine is None or is_readable(inputs) else {}
    if engine is not None:
        answers.update(dict_of(stated, rounding))
    exact = vector.get("exact") or {}
    if not vector["expected"] and not exact:
        return ["the vector expects nothing, so that any answer would pass"]
    found = mismatches(vector["expected"], answers, "expected")
    wanted = {f"exact.{key}" if f"exact.{key}" in answers else key: value for key, value in exact.items()}
    return found + mismatches(wanted, answers, "exact")


def dict_of(inputs: Mapping[str, Any], rounding: str) -> dict[str, Any]:
    read = normalised(inputs)
    return calculation_for(read)(read, rounding)
