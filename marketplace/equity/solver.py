"""The one linear equation of a priced round, solved exactly.

Each instrument converts on one of its branches (cap, discount, fixed part or round price). With the branches fixed,
every quantity of a round is linear in the number of shares: the price's reciprocal, the pool, the conversions, the
price protection. So the share count solves one linear equation. Branches are found by iteration: start with everyone at
the round price, solve, let each instrument take its best branch at that solution, and solve again. Each step only adds
shares, so no assignment occurs twice; the last one is self-consistent and unique. If the slope reaches one, no share
count exists.

The variable is the number of shares priced by the round: all shares less a pool increase that dilutes the new money.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from marketplace.core.errors import Refusal
from marketplace.equity.capitalization import Counted, refuse_full_stack
from marketplace.equity.convertibles import Claim
from marketplace.equity.exact import ONE, ZERO, show
from marketplace.equity.model import Branch, PoolTiming, PricingConvention

STEPS_MAX = 1_000


class Line(NamedTuple):
    """A quantity as ``constant + slope * shares``."""

    constant: Fraction
    slope: Fraction

    def plus(self, other: "Line") -> "Line":
        """Add two quantities."""
        return Line(self.constant + other.constant, self.slope + other.slope)

    def times(self, factor: Fraction) -> "Line":
        """Scale a quantity."""
        return Line(self.constant * factor, self.slope * factor)

    def at(self, shares: Fraction) -> Fraction:
        """Evaluate at a share count."""
        return self.constant + self.slope * shares


NOTHING = Line(ZERO, ZERO)


@dataclass(frozen=True, slots=True)
class Protection:
    """One protected series: common shares that it converts into now, its conversion price, and its weighting.

    Attributes:
        basis: Shares that a weighted average counts before the issue; None for a full ratchet.
    """

    class_id: str
    as_converted: Fraction
    conversion_price: Fraction
    basis: Fraction | None


@dataclass(frozen=True, slots=True)
class Problem:
    """A round reduced to numbers.

    Attributes:
        denominators: The existing shares that each capitalization definition counts.
        pre_money: Pre-money valuation in dollars.
        new_money: Cash of the round in dollars.
        existing: Everything before the round, as converted, the present pool included.
        pool_base: What already counts toward the pool's target.
        pool_target: Share of all shares after the round, or None.
        increase: Stated pool increase, used without a target.
    """

    existing: Fraction
    denominators: dict[Counted, Fraction]
    pre_money: Fraction
    new_money: Fraction
    convention: PricingConvention
    pool_base: Fraction
    pool_target: Fraction | None
    pool_timing: PoolTiming
    increase: Fraction
    claims: tuple[Claim, ...]
    protections: tuple[Protection, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """One assignment: the branch of every claim, whether the pool is topped up, and which protections are triggered."""

    branches: tuple[Branch, ...]
    topped_up: bool
    triggered: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """The share count that satisfies one assignment, with what everybody gets at it. All numbers are exact.

    Attributes:
        policy: The assignment.
        slope: The part of every further share that pool, new money and conversions claim; below 1.
        shares_per_usd: Shares for a dollar at the round price; the price's reciprocal.
        increase: Shares added to the pool.
        adjustments: Further as-converted shares of each protected series.
        converting: Shares of all claims together.
        claim_shares: Shares of each claim.
        total: All shares after the round, fully diluted.
    """

    policy: Policy
    slope: Fraction
    shares_per_usd: Fraction
    increase: Fraction
    adjustments: tuple[Fraction, ...]
    converting: Fraction
    claim_shares: tuple[Fraction, ...]
    total: Fraction


def solve(problem: Problem) -> Solution:
    """Find the self-consistent branches and the exact share count of a round.

    Raises:
        Refusal: ``stack_exceeds_company`` if pool, new money and conversions ask for the whole company or more.
    """
    policy = Policy(
        branches=tuple(claim.branches[-1] for claim in problem.claims),
        topped_up=False,
        triggered=tuple(False for _ in problem.protections),
    )
    for _ in range(STEPS_MAX):
        solution = _solve_policy(problem, policy)
        better = _improve(problem, solution)
        if better == policy:
            return solution
        policy = better
    raise AssertionError(f"branches did not settle in {STEPS_MAX} steps")


def claim_options(problem: Problem, claim: Claim, solution: Solution) -> list[tuple[Branch, Fraction]]:
    """List what a claim would convert into on each of its branches, at a solution."""
    options: list[tuple[Branch, Fraction]] = []
    for branch in claim.branches:
        if branch in ("cap", "fixed_ownership"):
            shares = claim.part * denominator_at(problem, _counted(claim), solution)
        else:
            shares = claim.amount * solution.shares_per_usd / (claim.price_factor if branch == "discount" else ONE)
        options.append((branch, shares))
    return options


def denominator_at(problem: Problem, counted: Counted, solution: Solution) -> Fraction:
    """Evaluate, at a solution, the shares that a cap is divided by."""
    shares = problem.denominators[counted]
    if "increase" in counted:
        shares += solution.increase
    if "converting" in counted:
        shares += solution.converting
    if "adjustments" in counted:
        shares += sum(solution.adjustments, ZERO)
    return shares


def _solve_policy(problem: Problem, policy: Policy) -> Solution:
    increase = _increase_line(problem, policy)
    inside = increase if problem.pool_timing == "pre_money" else NOTHING
    per_usd = _shares_per_usd(problem, inside)
    adjustments = [
        _adjustment_line(protection, triggered, per_usd, problem.new_money)
        for protection, triggered in zip(problem.protections, policy.triggered, strict=True)
    ]
    adjusted = _sum(adjustments)
    converting, inner = _converting_line(problem, policy, increase, adjusted, per_usd)
    whole = _sum([Line(problem.existing, ZERO), inside, adjusted, converting, per_usd.times(problem.new_money)])
    _refuse_slope(problem, whole.slope, inner)
    shares = whole.constant / (1 - whole.slope)
    partial = Solution(
        policy=policy,
        slope=whole.slope,
        shares_per_usd=per_usd.at(shares),
        increase=increase.at(shares),
        adjustments=tuple(line.at(shares) for line in adjustments),
        converting=converting.at(shares),
        claim_shares=(),
        total=shares + (ZERO if problem.pool_timing == "pre_money" else increase.at(shares)),
    )
    return _with_claim_shares(problem, partial)


def _with_claim_shares(problem: Problem, solution: Solution) -> Solution:
    shares = tuple(
        dict(claim_options(problem, claim, solution))[branch]
        for claim, branch in zip(problem.claims, solution.policy.branches, strict=True)
    )
    return Solution(
        solution.policy,
        solution.slope,
        solution.shares_per_usd,
        solution.increase,
        solution.adjustments,
        solution.converting,
        shares,
        solution.total,
    )


def _increase_line(problem: Problem, policy: Policy) -> Line:
    target = problem.pool_target
    if target is None:
        return Line(problem.increase, ZERO)
    if not policy.topped_up:
        return NOTHING
    if problem.pool_timing == "pre_money":
        return Line(-problem.pool_base, target)
    return Line(-problem.pool_base / (1 - target), target / (1 - target))


def _shares_per_usd(problem: Problem, inside: Line) -> Line:
    if problem.convention == "pre_money_method":
        return inside.plus(Line(problem.existing, ZERO)).times(1 / problem.pre_money)
    value = problem.pre_money + problem.new_money
    if problem.convention == "dollars_invested":
        value += sum((claim.amount for claim in problem.claims), ZERO)
    return Line(ZERO, 1 / value)


def _adjustment_line(protection: Protection, triggered: bool, per_usd: Line, new_money: Fraction) -> Line:
    if not triggered:
        return NOTHING
    if protection.basis is None:
        ratcheted = per_usd.times(protection.as_converted * protection.conversion_price)
        return ratcheted.plus(Line(-protection.as_converted, ZERO))
    would_have_bought = new_money / protection.conversion_price
    weight = protection.as_converted / (protection.basis + would_have_bought)
    return per_usd.times(new_money).plus(Line(-would_have_bought, ZERO)).times(weight)


def _converting_line(
    problem: Problem, policy: Policy, increase: Line, adjusted: Line, per_usd: Line
) -> tuple[Line, Fraction]:
    total = NOTHING
    inner = ZERO
    for claim, branch in zip(problem.claims, policy.branches, strict=True):
        if branch not in ("cap", "fixed_ownership"):
            factor = claim.price_factor if branch == "discount" else ONE
            total = total.plus(per_usd.times(claim.amount / factor))
            continue
        counted = _counted(claim)
        base = Line(problem.denominators[counted], ZERO)
        if "increase" in counted:
            base = base.plus(increase)
        if "adjustments" in counted:
            base = base.plus(adjusted)
        if "converting" in counted:
            inner += claim.part
        total = total.plus(base.times(claim.part))
    refuse_full_stack(
        inner, f"the caps and fixed shares together ask for {show(inner)} of the capitalization before the round"
    )
    return total.times(1 / (1 - inner)), inner


def _improve(problem: Problem, solution: Solution) -> Policy:
    branches: list[Branch] = []
    for claim, now, shares in zip(problem.claims, solution.policy.branches, solution.claim_shares, strict=True):
        best, most = max(claim_options(problem, claim, solution), key=lambda option: option[1])
        branches.append(best if most > shares else now)
    wanted = solution.total * (problem.pool_target or ZERO) - problem.pool_base
    triggered = tuple(
        was or protection.conversion_price * solution.shares_per_usd > 1
        for was, protection in zip(solution.policy.triggered, problem.protections, strict=True)
    )
    topped_up = solution.policy.topped_up or (problem.pool_target is not None and wanted > 0)
    return Policy(tuple(branches), topped_up, triggered)


def _refuse_slope(problem: Problem, slope: Fraction, inner: Fraction) -> None:
    if slope < 1:
        return
    raise Refusal(
        "stack_exceeds_company",
        f"pool, new money and conversions ask for {show(slope)} of every share that the round creates, so no share "
        "count exists; raise the pre-money or the caps, or lower the amounts or the pool",
        slope=show(slope),
        caps_part=show(inner),
        pool_part=show(problem.pool_target or ZERO),
        new_money_part=show(problem.new_money / (problem.pre_money + problem.new_money)),
    )


def _counted(claim: Claim) -> Counted:
    if claim.counted is None:
        raise AssertionError(f"{claim.instrument_id} has a cap but no capitalization definition")
    return claim.counted


def _sum(lines: Sequence[Line]) -> Line:
    total = NOTHING
    for line in lines:
        total = total.plus(line)
    return total
