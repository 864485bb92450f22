"""The comparison itself: a printed figure agrees only with its own value."""

import copy
from fractions import Fraction
from pathlib import Path

import pytest

from tests.equity.vector_engine import problems
from tests.equity.vector_values import OneOf, Whole, load, mismatches, number

EXAMPLES = Path(__file__).parent / "worked_examples"
VECTORS = [vector for file in sorted(EXAMPLES.glob("*.json")) for vector in load(file)["vectors"]]


@pytest.mark.parametrize(
    ("expected", "actual", "agrees"),
    [
        ("0.67", Fraction(2, 3), True),
        ("0.66", Fraction(2, 3), True),
        ("0.68", Fraction(2, 3), False),
        ({"frac": "2/3"}, Fraction(2, 3), True),
        ({"frac": "667/1000"}, Fraction(2, 3), False),
        (5, Whole(5), True),
        (5, Whole(6), False),
        ("7M", Fraction(7_000_000), True),
        (True, True, True),
        (True, False, False),
        ("cap", "cap", True),
        ("cap", "discount", False),
        ([1, 2], [1, 2], True),
        ([1, 2], [1, 2, 3], False),
        ({"a": 1}, {"b": 1}, False),
        (3, OneOf((2, 3)), True),
        (4, OneOf((2, 3)), False),
        (1, None, False),
    ],
)
def test_figures_agree_or_not(expected, actual, agrees):
    assert (mismatches(expected, actual, "x") == []) is agrees


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_changed_expectation_is_found(vector):
    for key, value in vector["expected"].items():
        changed = copy.deepcopy(vector)
        changed["expected"][key] = _other(value)
        assert problems(changed) != [], key


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"principal": 1, "rate": 1, "start": "2024-01-01", "end": "2025-01-01", "convention": "30E/360"}, "30E/360"),
        ({"principal": 1, "rate": 1, "years": 1, "compounding": "continuous"}, "continuous"),
        ({"classes": [{"id": "A", "kind": "tracking", "shares": 1}], "exit": 1}, "tracking"),
        ({"classes": [{"id": "A", "kind": "np", "shares": 0, "pref": 1}], "exit": 1}, "no shares"),
        ({"common": 1, "pre_money": 1, "new_money": 1, "convention": "by_feeling"}, "by_feeling"),
        ({"common": 1, "pre_money": 1, "new_money": 1, "safes": [{"amount": 1, "kind": "kiss"}]}, "kiss"),
    ],
)
def test_what_nobody_can_read_is_named(inputs, named):
    with pytest.raises(ValueError, match=named):
        problems({"inputs": inputs, "expected": {"x": 1}})


def test_a_form_that_nothing_reads_is_named_by_its_inputs():
    with pytest.raises(AssertionError, match="no calculation reads inputs of the shape"):
        problems({"inputs": {"moon_phase": 1}, "expected": {"x": 1}})


def test_a_vector_that_expects_nothing_does_not_pass():
    found = problems({"inputs": {"warrants": 1, "strike": 1, "fmv": 2}, "expected": {}})
    assert found == ["the vector expects nothing, so that any answer would pass"]


def _other(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return [_other(value[0]), *value[1:]]
    if isinstance(value, dict) and "frac" not in value:
        return {key: _other(inner) for key, inner in value.items()}
    if value is None:
        return 0
    try:
        return {"frac": str(number(value) * Fraction(10_001, 10_000) + Fraction(1, 10**9))}
    except ValueError:
        return f"not {value}"
