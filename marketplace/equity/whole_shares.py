"""From exact shares to whole ones, by the policy that the terms state.

Three families exist in closing tables. Dividing by the exact price keeps every row within one share of its exact value.
Rounding the price first, as Y Combinator's post-money guide does, moves new money by hundreds of shares. The fixed
point, as spreadsheet models do it, makes every printed row follow from the other printed rows.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from marketplace.core.errors import Refusal
from marketplace.core.rounding import RoundingMode, round_places, round_whole
from marketplace.equity.convertibles import Claim
from marketplace.equity.exact import ONE, ZERO
from marketplace.equity.model import AFTER_PRICE, Branch, RoundTerms, ShareRounding
from marketplace.equity.solver import Problem, Protection, Solution

FIXED_POINT_STEPS_MAX = 10_000
_MODES: Mapping[ShareRounding, RoundingMode] = {
    "floor": "floor",
    "nearest": "half_up",
    "ceiling": "ceiling",
    "floor_after_price": "floor",
    "nearest_after_price": "half_up",
    "floor_fixed_point": "floor",
}


class Rows(NamedTuple):
    """The whole-share rows of a closing table, which sum to `total` with the shares that existed before.

    Attributes:
        price_usd: Price of one share in the round.
        conversions: Shares that each instrument becomes, in the order of the problem.
        new_money: Shares of each investment, in that order too.
        increase: Shares that are added to the pool.
        total: Fully diluted shares after the round.
    """

    price_usd: Decimal
    conversions: tuple[int, ...]
    new_money: tuple[int, ...]
    increase: int
    total: int


class _Policy(NamedTuple):
    places: int
    price: RoundingMode
    shares: RoundingMode
    new_money: RoundingMode

    def printed(self, price: Fraction) -> Fraction:
        """Round a price as it is printed."""
        return _require_price(round_places(price, self.places, self.price), price, "price_places")


def _require_price(printed: Decimal, exact: Fraction, places: str) -> Fraction:
    """Refuse a price that is printed as zero, because it cannot divide money.

    Raises:
        Refusal: ``price_rounds_to_zero``.
    """
    if printed == 0:
        raise Refusal(
            "price_rounds_to_zero",
            f"a price of {exact} USD is printed as {printed}; use more {places}",
            pointer=f"/{places}",
        )
    return Fraction(printed)


def print_conversion_price(
    exact: Fraction, claim: Claim, branch: Branch, round_price: Decimal, terms: RoundTerms
) -> Decimal:
    """Round the price at which a claim converts, as the terms state.

    Args:
        exact: The price.
        claim: What converts.
        branch: The right that it takes. Where the price is rounded first, the round price is the printed one, and a
            discount is off the printed one.
        round_price: The printed price of the round.
        terms: The policy.
    """
    places, mode = terms.price_places or 0, terms.price_rounding or "half_even"
    if terms.share_rounding not in AFTER_PRICE:
        return round_places(exact, places, mode)
    if branch == "round_price":
        return round_price
    own = Fraction(round_price) * claim.price_factor if branch == "discount" else exact
    return round_places(own, places if terms.conversion_price_places is None else terms.conversion_price_places, mode)


def whole_shares(problem: Problem, solution: Solution, terms: RoundTerms) -> Rows:
    """Round a solved round to whole shares, once, by the terms' policy.

    Raises:
        Refusal: ``price_rounds_to_zero`` where the policy divides by a printed price that is zero;
            ``rounding_does_not_settle`` if no whole-share table is consistent with itself.
    """
    if terms.share_rounding is None or terms.price_places is None or terms.price_rounding is None:
        raise AssertionError("check_terms lets no round pass without a rounding policy")
    mode = _MODES[terms.share_rounding]
    policy = _Policy(terms.price_places, terms.price_rounding, mode, terms.new_money_share_rounding or mode)
    if terms.share_rounding == "floor_fixed_point":
        return _fixed_point(problem, terms, policy)
    if terms.share_rounding in AFTER_PRICE:
        return _after_price(problem, solution, terms, policy)
    increase = round_whole(solution.increase, policy.shares)
    new_money = [
        round_whole(Fraction(each.amount_usd) * solution.shares_per_usd, policy.new_money) for each in terms.investments
    ]
    conversions = [round_whole(shares, policy.shares) for shares in solution.claim_shares]
    price = round_places(1 / solution.shares_per_usd, policy.places, policy.price)
    return _rows(problem, solution, price=price, conversions=conversions, new_money=new_money, increase=increase)


def _rows(
    problem: Problem,
    solution: Solution,
    *,
    price: Decimal,
    conversions: list[int],
    new_money: list[int],
    increase: int,
) -> Rows:
    existing = round_whole(problem.existing + sum(solution.adjustments, ZERO), "floor")
    total = existing + sum(conversions) + sum(new_money) + increase
    return Rows(price, tuple(conversions), tuple(new_money), increase, total)


def _after_price(problem: Problem, solution: Solution, terms: RoundTerms, policy: _Policy) -> Rows:
    price = policy.printed(1 / solution.shares_per_usd)
    printed = round_places(price, policy.places, policy.price)
    increase = round_whole(solution.increase, policy.shares)
    places = "price_places" if terms.conversion_price_places is None else "conversion_price_places"
    whole: dict[int, int] = {}
    inside: list[int] = []
    for index, (claim, branch) in enumerate(zip(problem.claims, solution.policy.branches, strict=True)):
        if _is_part(claim, branch, terms):
            inside.append(index)
            continue
        exact = claim.amount / solution.claim_shares[index]
        own = _require_price(print_conversion_price(exact, claim, branch, printed, terms), exact, places)
        whole[index] = round_whole(claim.amount / own, policy.shares)
    whole |= _inside_parts(problem, solution, whole, inside, policy)
    conversions = [whole[index] for index in range(len(problem.claims))]
    new_money = [round_whole(Fraction(each.amount_usd) / price, policy.new_money) for each in terms.investments]
    return _rows(problem, solution, price=printed, conversions=conversions, new_money=new_money, increase=increase)


def _is_part(claim: Claim, branch: Branch, terms: RoundTerms) -> bool:
    """Return whether a claim gets its part of the capitalization instead of its amount over a printed price."""
    if branch not in ("cap", "fixed_ownership") or claim.counted is None or "converting" not in claim.counted:
        return False
    return branch == "fixed_ownership" or terms.conversion_price_places is None


def _inside_parts(
    problem: Problem, solution: Solution, whole: Mapping[int, int], inside: list[int], policy: _Policy
) -> dict[int, int]:
    """Return the shares of caps that count all conversions: parts of a capitalization whose other rows are whole."""
    parts = {index: problem.claims[index].part for index in inside}
    left = 1 - sum(parts.values(), ZERO)
    rows: dict[int, int] = {}
    for index, part in parts.items():
        exact_base = solution.claim_shares[index] / part
        others = sum((solution.claim_shares[known] for known in whole), ZERO)
        base = exact_base + (sum(whole.values()) - others) / left
        rows[index] = round_whole(part * base, policy.shares)
    return rows


def _fixed_point(problem: Problem, terms: RoundTerms, policy: _Policy) -> Rows:
    """Find the least table that reproduces itself, from below: every row only grows with the total.

    Raises:
        Refusal: ``rounding_does_not_settle``: no table was found within `FIXED_POINT_STEPS_MAX` steps.
    """
    value = problem.pre_money + problem.new_money
    left = 1 - (problem.pool_target or ZERO) - problem.new_money / value
    if left <= 0:
        raise AssertionError("the solver lets no round pass in which pool and new money take the whole company")
    total = round_whole(problem.existing / left, "floor")
    for _ in range(FIXED_POINT_STEPS_MAX):
        rows = _attempt(problem, terms, policy, total)
        if rows.total == total:
            return rows
        total = rows.total
    raise Refusal(
        "rounding_does_not_settle",
        f"no whole-share table is consistent with itself after {FIXED_POINT_STEPS_MAX} steps; "
        "choose another share_rounding",
        pointer="/share_rounding",
    )


def _attempt(problem: Problem, terms: RoundTerms, policy: _Policy, total: int) -> Rows:
    if problem.pool_target is None:
        increase = round_whole(problem.increase, "floor")
    else:
        increase = max(0, round_whole(problem.pool_target * total - problem.pool_base, "floor"))
    priced = total if problem.pool_timing == "pre_money" else total - increase
    price = policy.printed((problem.pre_money + problem.new_money) / priced)
    new_money = [round_whole(Fraction(each.amount_usd) / price, policy.new_money) for each in terms.investments]
    adjusted = sum((_attempt_adjustment(problem, each, price) for each in problem.protections), ZERO)
    existing = round_whole(problem.existing + adjusted, "floor")
    converting = total - sum(new_money) - increase - existing
    conversions = [
        _attempt_claim(problem, claim, policy, price=price, increase=increase, converting=converting)
        for claim in problem.claims
    ]
    printed = round_places(price, policy.places, policy.price)
    total = existing + sum(conversions) + sum(new_money) + increase
    return Rows(printed, tuple(conversions), tuple(new_money), increase, total)


def _attempt_adjustment(problem: Problem, protection: Protection, price: Fraction) -> Fraction:
    if price >= protection.conversion_price:
        return ZERO
    if protection.basis is None:
        return protection.as_converted * (protection.conversion_price / price - 1)
    bought, would_have_bought = problem.new_money / price, problem.new_money / protection.conversion_price
    return protection.as_converted * (bought - would_have_bought) / (protection.basis + would_have_bought)


def _attempt_claim(
    problem: Problem, claim: Claim, policy: _Policy, *, price: Fraction, increase: int, converting: int
) -> int:
    shares: dict[Branch, int] = {}
    base = ZERO
    if claim.counted is not None:
        base = problem.denominators[claim.counted] + (increase if "increase" in claim.counted else 0)
        base += converting if "converting" in claim.counted else 0
    for branch in claim.branches:
        if branch == "fixed_ownership":
            shares[branch] = round_whole(claim.part * base, policy.shares)
        elif branch == "cap" and claim.cap is not None and base > 0:
            shares[branch] = round_whole(claim.amount / policy.printed(claim.cap / base), policy.shares)
        else:
            factor = claim.price_factor if branch == "discount" else ONE
            shares[branch] = round_whole(claim.amount / policy.printed(price * factor), policy.shares)
    return max(shares.values())
