"""Read the numbers of a vector file exactly, and compare an engine's answer with a printed one.

A printed figure is right if the exact answer rounds or truncates to it at the digits that are printed; a fraction must
be equal.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from marketplace.core.rounding import round_places

SUFFIXES = {"K": 10**3, "M": 10**6, "B": 10**9}
SPREADSHEET_TOLERANCE = Fraction(1, 10**8)


@dataclass(frozen=True)
class Whole:
    """A figure that a stated policy has already made whole: it must be equal."""

    value: int


@dataclass(frozen=True)
class OneOf:
    """Readings of a name that different sources use for different things."""

    readings: tuple[Any, ...]


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)


def number(value: Any) -> Fraction:
    if isinstance(value, dict):
        return Fraction(value["frac"])
    if isinstance(value, str) and value[-1:] in SUFFIXES:
        return Fraction(value[:-1]) * SUFFIXES[value[-1]]
    return Fraction(value)


def optional(value: Any) -> Fraction | None:
    return None if value is None else number(value)


def mismatches(expected: Any, actual: Any, at: str) -> list[str]:
    if isinstance(actual, OneOf):
        tried = [mismatches(expected, reading, at) for reading in actual.readings]
        return [] if any(not found for found in tried) else [problem for found in tried for problem in found]
    if isinstance(expected, dict) and "frac" not in expected:
        return _mapping_mismatches(expected, actual, at)
    if isinstance(expected, list):
        if not isinstance(actual, Sequence) or len(actual) != len(expected):
            return [f"{at}: expected {expected}, got {actual}"]
        pairs = enumerate(zip(expected, actual, strict=True))
        return [problem for index, (one, other) in pairs for problem in mismatches(one, other, f"{at}[{index}]")]
    return [] if agrees(expected, actual, at) else [f"{at}: expected {expected}, got {_shown(actual)}"]


def agrees(expected: Any, actual: Any, at: str) -> bool:
    if isinstance(actual, Whole):
        return Fraction(actual.value) == _maybe_number(expected)
    if isinstance(actual, bool | str) or isinstance(expected, bool):
        return expected == actual
    if actual is None or expected is None:
        return actual is expected
    if isinstance(expected, dict):
        return _agrees_fraction(expected, Fraction(actual), at)
    wanted = _maybe_number(expected)
    if wanted is None:
        return False
    exact = Fraction(actual)
    if exact == wanted:
        return True
    if at.endswith("printed") and abs(exact - wanted) < SPREADSHEET_TOLERANCE:
        return True
    places = _places(expected)
    return any(Fraction(round_places(exact, places, mode)) == wanted for mode in ("half_up", "floor"))


def _agrees_fraction(expected: Mapping[str, str], actual: Fraction, at: str) -> bool:
    wanted = Fraction(expected["frac"])
    if at.endswith("_dec"):
        places = len(str(wanted.denominator)) - 1 if wanted.denominator % 10 == 0 else 6
        return Fraction(round_places(actual, places, "half_up")) == Fraction(round_places(wanted, places, "half_up"))
    return actual == wanted


def _mapping_mismatches(expected: Mapping[str, Any], actual: Any, at: str) -> list[str]:
    if not isinstance(actual, Mapping):
        return [f"{at}: expected {expected}, got {actual}"]
    found: list[str] = []
    for key, value in expected.items():
        if key not in actual:
            found.append(f"{at}.{key}: the engine has no such answer, only {sorted(actual)}")
        else:
            found += mismatches(value, actual[key], f"{at}.{key}")
    return found


def _maybe_number(value: Any) -> Fraction | None:
    try:
        return number(value)
    except (ValueError, TypeError):
        return None


def _places(printed: Any) -> int:
    match = re.fullmatch(r"-?\d+\.(\d+)", str(printed))
    return len(match.group(1)) if match else 0


def _shown(actual: Any) -> str:
    return f"{actual} = {float(actual):.9f}" if isinstance(actual, Fraction) else str(actual)
