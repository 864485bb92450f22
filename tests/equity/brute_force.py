"""Rounds and sales solved by trying everything: every assignment of branches, every profile of elections.

Shares no code and no method with the engine, which improves step by step; small inputs only, as the work doubles with
each instrument. Inputs are in the form of the worked examples.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise, product
from typing import Any, NamedTuple

Inputs = Mapping[str, Any]


class TriedRound(NamedTuple):
    """A share count at which everybody has the best of its branches."""

    total: Fraction
    price_usd: Fraction
    increase: Fraction
    safe_shares: tuple[Fraction, ...]
    new_shares: Fraction


def rounds_of(inputs: Inputs) -> list[TriedRound]:
    """List every self-consistent answer to a round; none if its instruments ask for the whole company."""
    branches = [_branches(safe) for safe in inputs["safes"]]
    topped_up = (True, False) if inputs["pool_target"] is not None else (False,)
    tried = (_try(inputs, chosen, up) for chosen in product(*branches) for up in topped_up)
    return [answer for answer in tried if answer is not None]


def _branches(safe: Inputs) -> tuple[str, ...]:
    by_price = "discount" if safe.get("discount") is not None else "round"
    return (by_price, "cap") if "cap" in safe else (by_price,)


def _try(inputs: Inputs, chosen: Sequence[str], is_topped_up: bool) -> TriedRound | None:
    existing = Fraction(inputs["F_out"]) + Fraction(inputs["E_pool"])
    money = Fraction(inputs["N"])
    equations = [_price_equation(inputs, existing), ((1, -1, -1, -money), existing)]
    equations.append(_pool_equation(inputs, is_topped_up))
    parts = [_parts(safe, branch, existing) for safe, branch in zip(inputs["safes"], chosen, strict=True)]
    sums = [sum((part[index] for part in parts), Fraction(0)) for index in range(4)]
    equations.append(((0, sums[0] - 1, sums[1], sums[2]), -sums[3]))
    solved = solve_linear(equations)
    if solved is None or solved[0] <= 0 or solved[1] < 0 or solved[3] <= 0:
        return None
    total, _, increase, per_usd = solved
    wanted = Fraction(inputs["pool_target"] or 0) * total - Fraction(inputs["E_pool"])
    if (is_topped_up and increase <= 0) or (inputs["pool_target"] is not None and not is_topped_up and wanted > 0):
        return None
    shares = []
    for safe, branch in zip(inputs["safes"], chosen, strict=True):
        worth = {name: _shares(_parts(safe, name, existing), solved) for name in _branches(safe)}
        if worth[branch] < max(worth.values()):
            return None
        shares.append(worth[branch])
    return TriedRound(total, 1 / per_usd, increase, tuple(shares), money * per_usd)


def _price_equation(inputs: Inputs, existing: Fraction) -> tuple[Sequence[Any], Fraction]:
    pre_money = Fraction(inputs["V"])
    if inputs["convention"] == "pre_money_method":
        return (0, 0, 1 / pre_money, -1), -existing / pre_money
    value = pre_money + Fraction(inputs["N"])
    if inputs["convention"] == "dollars_invested":
        value += sum(Fraction(safe["amount"]) for safe in inputs["safes"])
    return (1 / value, 0, 0, -1), Fraction(0)


def _pool_equation(inputs: Inputs, is_topped_up: bool) -> tuple[Sequence[Any], Fraction]:
    if is_topped_up:
        return (-Fraction(inputs["pool_target"]), 0, 1, 0), -Fraction(inputs["E_pool"])
    stated = inputs["pool_increase"] if inputs["pool_target"] is None else 0
    return (0, 0, 1, 0), Fraction(stated or 0)


def _parts(safe: Inputs, branch: str, existing: Fraction) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """Write a SAFE's shares as a line in converting shares, pool increase, shares per dollar, and a constant."""
    amount, none = Fraction(safe["amount"]), Fraction(0)
    if branch == "cap":
        part = amount / Fraction(safe["cap"])
        return (part, none, none, part * existing) if safe["kind"] == "post" else (none, part, none, part * existing)
    factor = 1 - Fraction(safe["discount"]) if branch == "discount" else Fraction(1)
    return none, none, amount / factor, none


def _shares(parts: Sequence[Fraction], solved: Sequence[Fraction]) -> Fraction:
    return parts[0] * solved[1] + parts[1] * solved[2] + parts[2] * solved[3] + parts[3]


def solve_linear(equations: Sequence[tuple[Sequence[Any], Fraction]]) -> list[Fraction] | None:
    """Solve by elimination; None if the equations do not say one answer."""
    rows = [[*map(Fraction, left), Fraction(right)] for left, right in equations]
    for column in range(len(rows)):
        pivot = next((index for index in range(column, len(rows)) if rows[index][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for index, row in enumerate(rows):
            if index != column:
                rows[index] = [a - row[column] * b for a, b in zip(row, rows[column], strict=True)]
    return [row[-1] for row in rows]


def equilibria_of(classes: Sequence[Inputs], proceeds: Any) -> list[dict[str, Fraction]]:
    """List what everybody is paid under every profile of elections from which nobody gains by changing alone."""
    voters = [record["id"] for record in classes if record["kind"] != "common"]
    paid = {
        profile: _paid(classes, Fraction(proceeds), dict(zip(voters, profile, strict=True)))
        for profile in product((False, True), repeat=len(voters))
    }

    def is_stable(profile: tuple[bool, ...]) -> bool:
        flips = ((*profile[:index], not profile[index], *profile[index + 1 :]) for index in range(len(voters)))
        return all(paid[flip][voter] <= paid[profile][voter] for flip, voter in zip(flips, voters, strict=True))

    return [payouts for profile, payouts in paid.items() if is_stable(profile)]


def _paid(classes: Sequence[Inputs], proceeds: Fraction, converts: Mapping[str, bool]) -> dict[str, Fraction]:
    paid = {record["id"]: Fraction(0) for record in classes}
    left = proceeds
    holding = [record for record in classes if not converts.get(record["id"], True)]
    for rank in sorted({record["rank"] for record in holding}):
        tier = [record for record in holding if record["rank"] == rank]
        owed = sum(Fraction(record["pref"]) for record in tier)
        given = min(left, owed)
        for record in tier:
            paid[record["id"]] = Fraction(record["pref"]) * given / owed
        left -= given
    asking = [_asking(record, converts, paid) for record in classes]
    price = _price([line for line in asking if line is not None], left)
    for record, line in zip(classes, asking, strict=True):
        if line is not None:
            paid[record["id"]] += _asked(line, price)
    return paid


def _asking(record: Inputs, converts: Mapping[str, bool], paid: Mapping[str, Fraction]) -> tuple[Any, ...] | None:
    shares = Fraction(record["shares"]) * Fraction(record.get("ratio", 1))
    if record["kind"] == "common":
        return shares, Fraction(record.get("strike") or 0), None
    if converts[record["id"]]:
        return shares, Fraction(0), None
    if record["kind"] == "np":
        return None
    cap = record.get("cap")
    return shares, Fraction(0), None if cap is None else max(Fraction(0), Fraction(cap) - paid[record["id"]]) / shares


def _asked(line: tuple[Any, ...], price: Fraction) -> Fraction:
    shares, start, most = line
    gain = max(price - start, Fraction(0))
    return Fraction(shares * (gain if most is None else min(gain, most)))


def _price(lines: Sequence[tuple[Any, ...]], left: Fraction) -> Fraction:
    corners = {Fraction(0)} | {start for _, start, _ in lines} | {start + most for _, start, most in lines if most}
    last = max(corners)
    for low, high in pairwise([*sorted(corners), last + 1]):
        at_low, at_high = (sum(_asked(line, price) for line in lines) for price in (low, high))
        if (at_high >= left or high > last) and at_high > at_low:
            return low + (left - at_low) * (high - low) / (at_high - at_low)
    return Fraction(0)
