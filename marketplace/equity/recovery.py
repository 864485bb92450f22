"""Whether a programme of granted compute is paid back.

A table gives the part that must succeed for each multiple. A seeded simulation gives the chance for a portfolio of
finite size. The assumptions are inputs and are returned with the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random

from marketplace.core.errors import Refusal
from marketplace.equity.exact import Exact, not_negative, positive
from marketplace.equity.portfolio import success_part_needed

TRIALS_MAX = 100_000
GRANTS_MAX = 1_000
DRAW_SCALE = 10**9


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The assumptions of a simulation.

    Attributes:
        success_part: Chance of one company's success, in [0, 1], independent of the others.
        multiple: What a success returns per dollar granted; a failure returns nothing.
        cost_per_granted_usd: What a granted dollar cost the holder, 1 at signed price.
        grants: Companies, each granted the same.
        trials: Portfolios drawn, at most 100,000.
        seed: The same seed draws the same portfolios.
    """

    success_part: Exact
    multiple: Exact
    cost_per_granted_usd: Exact
    grants: int
    trials: int
    seed: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """The part of trials that were paid back; mean and deciles of the return per dollar of cost."""

    assumptions: Assumptions
    paid_back_part: Fraction
    mean_multiple: Fraction
    deciles: tuple[Fraction, ...]


def recovery_table(
    multiples: Sequence[Exact], costs_per_granted_usd: Sequence[Exact]
) -> tuple[tuple[Fraction, tuple[Fraction, ...]], ...]:
    """Return the part that must succeed, a row per multiple and a column per cost.

    A part above 1 means that it cannot be paid back.
    """
    return tuple(
        (Fraction(multiple), tuple(success_part_needed(multiple, cost) for cost in costs_per_granted_usd))
        for multiple in multiples
    )


def simulate(assumptions: Assumptions) -> Simulation:
    """Draw portfolios and count how many are paid back; the same assumptions give the same answer.

    Raises:
        Refusal: ``fraction_out_of_range``, ``not_positive``, ``negative``, ``simulation_too_large``.
    """
    chance = not_negative(assumptions.success_part, "success_part")
    if chance > 1:
        raise Refusal("fraction_out_of_range", f"success_part is {assumptions.success_part}; it must be from 0 to 1")
    multiple = not_negative(assumptions.multiple, "multiple")
    cost = positive(assumptions.cost_per_granted_usd, "cost_per_granted_usd")
    if not 1 <= assumptions.grants <= GRANTS_MAX or not 1 <= assumptions.trials <= TRIALS_MAX:
        raise Refusal(
            "simulation_too_large",
            f"{assumptions.grants} grants in {assumptions.trials} trials; state 1 to {GRANTS_MAX} grants and 1 to"
            f" {TRIALS_MAX} trials",
        )
    draws = Random(assumptions.seed)  # noqa: S311 - a simulation, not a secret
    limit = int(chance * DRAW_SCALE)
    returns: list[Fraction] = []
    for _ in range(assumptions.trials):
        successes = sum(draws.randrange(DRAW_SCALE) < limit for _ in range(assumptions.grants))
        returns.append(successes * multiple / (assumptions.grants * cost))
    returns.sort()
    last = len(returns) - 1
    return Simulation(
        assumptions=assumptions,
        paid_back_part=Fraction(sum(value >= 1 for value in returns), len(returns)),
        mean_multiple=sum(returns, Fraction(0)) / len(returns),
        deciles=tuple(returns[last * tenth // 10] for tenth in range(1, 10)),
    )
