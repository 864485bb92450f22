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
    _shape("principal convention start", notes.accrued),
    _shape("principal", notes.converted_note),
    _shape("F_out V N", rounds.priced_round),
    _shape("pre_money new_money", rounds.priced_round),
    _shape("pre_money series", rounds.priced_round),
    _shape("safes", rounds.before_any_round),
    _shape("cases", rounds.ownership_sold),
    _shape("credits startups", rounds.press_estimate),
    _shape("stake investor pool", other.plain_dilution),
    _shape("new_investors_post safes_with_pro_rata", other.pro_rata_of_safes),
    _shape("own target", other.target_cheque),
    _shape("preferred contributed", other.pay_or_convert),
    _shape("strike fmv", other.net_exercised),
    _shape("shares strike", other.performance_warrant),
    _shape("quantity tranches", other.spread_shares),
    _shape("gpus hours_per_day days", other.metered_hours),
    _shape("paid_in distributed", other.fund_multiples),
    _shape("flows", other.dated_return),
    _shape("C0", other.counted_periods),
)


def calculation_for(inputs: Mapping[str, Any]) -> Calculation:
    for shape in SHAPES:
        if shape.needs <= inputs.keys():
            return shape.calculation
    raise AssertionError(f"no calculation reads inputs of the shape {sorted(inputs)}")


def problems(vector: Vector) -> list[str]:
    """Answer a vector and compare with everything that its source prints."""
    inputs = dict(vector["inputs"])
    rounding = vector.get("rounding") or "none (exact)"
    answers = dict_of(inputs, rounding)
    engine = vector.get("engine_inputs")
    if engine is not None:
        stated = {key: value for key, value in engine.items() if key != "kind"}
        answers.update(dict_of(stated, rounding))
    found = mismatches(vector["expected"], answers, "expected")
    exact = vector.get("exact") or {}
    wanted = {f"exact.{key}" if f"exact.{key}" in answers else key: value for key, value in exact.items()}
    return found + mismatches(wanted, answers, "exact")


def dict_of(inputs: Mapping[str, Any], rounding: str) -> dict[str, Any]:
    return calculation_for(inputs)(inputs, rounding)
