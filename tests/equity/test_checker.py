"""The checker accepts what the engine certifies and finds every figure that was changed."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from marketplace.equity.checker import verify
from marketplace.equity.liquidation import OptionGrant
from marketplace.equity.model import Capitalization, Holding, PreferredClass
from marketplace.equity.waterfall import distribute
from tests.equity.builders import company, post_money, pre_money, priced, terms

# What the checker cannot hold against anything else in the file: names, and inputs that this answer does not depend on.
INERT_IN_A_ROUND = {
    "engine",
    "capitalization_definition",
    "holder_id",
    "instrument_id",
    "class_id",
    "slope",
    "price_places",
}
RESULTS_OF_A_SALE = ("payouts", "price_per_common_share_usd", "proceeds_usd", "hold_usd", "choice", "values_usd")


def round_certificate() -> dict[str, Any]:
    protected = PreferredClass(
        "seed", 5, price_protection="weighted_average", protection_basis="outstanding_and_options"
    )
    before = Capitalization(
        (Holding("founders", "common", 8_000_000), Holding("seed", "seed", 1_000_000)),
        (protected,),
        options_granted=300_000,
        options_promised=50_000,
        options_available=100_000,
        warrants=10_000,
    )
    safes = [
        post_money("a", 400_000, 6_000_000),
        pre_money("b", 300_000, 9_000_000, Fraction(1, 5)),
        post_money("c", 250_000, None, Fraction(3, 20)),
    ]
    return priced(before, safes, terms(pool_post_money=Fraction(1, 10))).certificate


def sale_certificate() -> dict[str, Any]:
    preferred = (
        PreferredClass("a", 2, seniority=2, participation="capped", participation_cap_multiple=2),
        PreferredClass("b", 6, seniority=1),
    )
    before = Capitalization(
        (Holding("founders", "common", 8_000_000), Holding("x", "a", 2_000_000), Holding("y", "b", 1_500_000)),
        preferred,
        options_granted=400_000,
    )
    return distribute(
        31_000_000,
        before,
        safes=[post_money("s", 500_000, 10_000_000), post_money("t", 200_000, None, Fraction(1, 5))],
        options=[OptionGrant("g1", "e1", 250_000, 1), OptionGrant("g2", "e2", 150_000, 9)],
        safe_seniority=2,
    ).certificate


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    elif value is not None:
        yield path


def _changed(certificate: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(certificate)
    at: Any = changed
    for key in path[:-1]:
        at = at[key]
    old = at[path[-1]]
    if isinstance(old, bool):
        at[path[-1]] = not old
    elif isinstance(old, int):
        at[path[-1]] = old + 1
    else:
        try:
            at[path[-1]] = str(Fraction(old) + Fraction(1, 3))
        except ValueError:
            at[path[-1]] = "something else"
    return changed


@pytest.mark.parametrize("certificate", [round_certificate(), sale_certificate()], ids=["round", "sale"])
def test_a_certificate_that_the_engine_wrote_holds_after_a_trip_through_json(certificate):
    assert verify(json.loads(json.dumps(certificate))) == []


ROUND = round_certificate()
SALE = sale_certificate()


ROUND_FIGURES = [path for path in _leaves(ROUND) if not INERT_IN_A_ROUND.intersection(path)]
SALE_FIGURES = [path for path in _leaves(SALE) if any(name in path for name in RESULTS_OF_A_SALE)]


@pytest.mark.parametrize("path", ROUND_FIGURES, ids=lambda path: "/".join(map(str, path)))
def test_every_changed_figure_of_a_round_is_found(path):
    assert verify(_changed(ROUND, path)) != []


@pytest.mark.parametrize("path", SALE_FIGURES, ids=lambda path: "/".join(map(str, path)))
def test_every_changed_figure_of_a_sale_is_found(path):
    assert verify(_changed(SALE, path)) != []


def test_a_certificate_of_another_kind_or_none_at_all_is_told_apart_from_a_wrong_one():
    assert "is unknown" in verify({"kind": "poem", "version": 1})[0]
    assert "is unknown" in verify({})[0]
    assert "cannot be read" in verify({"kind": "priced_round", "version": 1})[0]


def test_the_checker_imports_nothing_of_the_solver():
    code = (
        "import sys, marketplace.equity.checker; "
        "print(sorted(name for name in sys.modules if name.startswith('marketplace.equity.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    names = ["marketplace.equity.checker", "marketplace.equity.distribution_check", "marketplace.equity.round_check"]
    assert loaded.strip() == str(names)


def run_verify(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from marketplace.cli import main; main()", "equity", "verify", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_says_ok_and_fails_on_a_changed_or_absent_file(tmp_path):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps([ROUND, {"certificate": SALE}]))
    bad.write_text(json.dumps(_changed(ROUND, ("result", "price_usd"))))
    held = run_verify(good)
    assert (held.returncode, held.stdout) == (0, "1 priced_round: ok\n2 distribution: ok\n2 checked, 0 failed\n")
    failed = run_verify(bad)
    assert failed.returncode == 1
    assert "FAILED" in failed.stdout
    absent = run_verify(tmp_path / "absent.json")
    assert absent.returncode == 2
    assert "cannot be read" in absent.stderr


def test_a_round_without_instruments_holds():
    assert verify(priced(company(), [], terms()).certificate) == []
