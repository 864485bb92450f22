"""The engine gives what trying everything gives, on seeded rounds and sales with odd numbers in them."""

from fractions import Fraction
from random import Random
from typing import Any

import pytest

from marketplace.core.errors import Refusal
from tests.equity.brute_force import equilibria_of, rounds_of
from tests.equity.vector_engine import dict_of

EACH = 120


def _safe(draw: Random) -> dict[str, Any]:
    safe: dict[str, Any] = {
        "amount": draw.choice([100_000, 1_000_000, draw.randint(1, 2 * 10**6)]),
        "kind": draw.choice(["post", "post", "pre", "uncapped"]),
    }
    if safe["kind"] != "uncapped":
        safe["cap"] = draw.choice([4_000_000, 10**7, draw.randint(2 * 10**6, 10**8)])
    if draw.random() < 0.5:
        safe["discount"] = draw.choice(["1/5", "0.15", "0.01", "0.99"])
    return safe


def _round(draw: Random) -> dict[str, Any]:
    target = draw.choice([None, "1/10", "0.05", "3/20", "0"])
    return {
        "F_out": draw.choice([8_000_000, 1, 100, 10**12 + 7, draw.randint(1_000, 10**7)]),
        "E_pool": draw.choice([0, 1, 1_000_000, draw.randint(0, 10**6)]),
        "V": draw.choice([4_000_000, 48_000_000, draw.randint(10**6, 10**9)]),
        "N": draw.choice([1, 3_000_000, draw.randint(1, 10**8)]),
        "safes": [_safe(draw) for _ in range(draw.randint(0, 4))],
        "pool_target": target,
        "pool_increase": draw.choice([0, 1_695_000, 7]) if target is None else None,
        "convention": draw.choice(["percent_ownership", "dollars_invested", "pre_money_method"]),
    }


def _series(draw: Random, name: str) -> dict[str, Any]:
    preference = draw.choice([5_000_000, 1, 10**9, draw.randint(1, 10**8)])
    record: dict[str, Any] = {
        "id": name,
        "shares": draw.choice([2_000_000, 1, 30, "18000000/7", draw.randint(1, 10**7)]),
        "kind": draw.choice(["np", "np", "part"]),
        "pref": preference,
        "rank": draw.randint(1, 3),
        "ratio": draw.choice(["1", "1", "1", "9/8", "2"]),
    }
    if record["kind"] == "part":
        record["cap"] = draw.choice([None, preference, preference * 2, preference * 3])
    return record


def _classes(draw: Random) -> list[dict[str, Any]]:
    common = {"id": "common", "kind": "common", "shares": draw.choice([8_000_000, 1, 70, draw.randint(1, 10**8)])}
    options = [
        {
            "id": f"options_{index}",
            "kind": "common",
            "shares": draw.choice([2_500_000, 1_000, draw.randint(1, 10**6)]),
            "strike": draw.choice(["1/2", "0.01", "0", "3", draw.randint(1, 50)]),
        }
        for index in range(draw.choice([0, 0, 1, 3]))
    ]
    return [common, *(_series(draw, name) for name in "ABCD"[: draw.randint(0, 4)]), *options]


@pytest.mark.parametrize("seed", range(3))
def test_a_round_is_the_one_self_consistent_answer_or_refused_where_there_is_none(seed):
    draw = Random(seed)
    for _ in range(EACH):
        inputs = _round(draw)
        tried = rounds_of(inputs)
        if not tried:
            with pytest.raises(Refusal) as refused:
                dict_of(inputs, "none (exact)")
            assert refused.value.code == "stack_exceeds_company", inputs
            continue
        answers = dict_of(inputs, "none (exact)")
        assert {(each.total, each.price_usd, each.increase) for each in tried} == {
            (answers["T"], answers["price"], answers["increase"])
        }, inputs
        assert answers["new_pct"] == tried[0].new_shares / tried[0].total, inputs
        assert answers["safes_pct"] == [shares / tried[0].total for shares in tried[0].safe_shares], inputs


@pytest.mark.parametrize("seed", range(3))
def test_a_sale_pays_what_a_profile_pays_from_which_nobody_gains_by_changing(seed):
    draw = Random(seed)
    for _ in range(EACH):
        classes = _classes(draw)
        proceeds = draw.choice([0, 1, 15_000_000, 6 * 10**7, 10**12, draw.randint(1, 10**9)])
        answers = dict_of({"classes": classes, "exit": proceeds}, "none (exact)")
        paid = {record["id"]: answers[record["id"]] for record in classes}
        assert paid in equilibria_of(classes, proceeds), (classes, proceeds)
        assert sum(paid.values(), Fraction(0)) == proceeds
