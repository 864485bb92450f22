"""A priced round: the price of a share, the conversion of every SAFE and note, and the increase of the pool.

Exact throughout (`solver`), then rounded once by the stated policy (`whole_shares`). A result carries a certificate
that an independent checker verifies (`checker`).
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction

from marketplace.core.errors import Refusal
from marketplace.core.rounding import allocate
from marketplace.equity.capitalization import Counted, check_capitalization, existing_shares, protection_basis_shares
from marketplace.equity.certificates import round_certificate
from marketplace.equity.conventions import check_terms
from marketplace.equity.convertibles import Claim, claims_of
from marketplace.equity.exact import ZERO
from marketplace.equity.model import (
    Alternative,
    Capitalization,
    Conversion,
    NewShares,
    Note,
    PreferredClass,
    PriceAdjustment,
    RoundResult,
    RoundTerms,
    Safe,
)
from marketplace.equity.solver import Problem, Protection, Solution, claim_options, solve
from marketplace.equity.whole_shares import Rows, print_conversion_price, whole_shares


def price_round(
    capitalization: Capitalization, safes: Sequence[Safe], terms: RoundTerms, notes: Sequence[Note] = ()
) -> RoundResult:
    """Price a round in which every SAFE and note converts.

    Conversions are not new issues to price-protected series (NVCA model charter 4.4.1 exempts them); the new money is.

    Args:
        capitalization: The company immediately before the round.
        safes: SAFEs, or tranches of them under one instrument id, in any order.
        terms: Money, pool and conventions.
        notes: Convertible notes; they need `terms.closing_date`.

    Returns:
        Exact and whole results in the order of the inputs.

    Raises:
        Refusal: First those of `conventions.check_terms`, then of `capitalization.check_capitalization`, then of
            `convertibles.claims_of`, then ``protection_basis_missing``, ``price_protection_needs_one_price``, and
            ``stack_exceeds_company`` with the slope.
    """
    check_terms(terms)
    check_capitalization(capitalization)
    claims = claims_of(safes, notes, terms)
    problem = _problem(capitalization, claims, terms)
    solution = solve(problem)
    rows = whole_shares(problem, solution, terms)
    return _result(capitalization, terms, problem, solution, rows)


def _problem(capitalization: Capitalization, claims: tuple[Claim, ...], terms: RoundTerms) -> Problem:
    if terms.pricing_convention is None:
        raise AssertionError("check_terms lets no round pass without a pricing convention")
    counts: set[Counted] = {claim.counted for claim in claims if claim.counted is not None}
    granted = Fraction(capitalization.options_granted) if terms.pool_counts_granted else ZERO
    return Problem(
        existing=capitalization.fully_diluted,
        denominators={counted: existing_shares(capitalization, counted) for counted in counts},
        pre_money=Fraction(terms.pre_money_usd),
        new_money=sum((Fraction(each.amount_usd) for each in terms.investments), ZERO),
        convention=terms.pricing_convention,
        pool_base=Fraction(capitalization.options_available) + granted,
        pool_target=None if terms.pool_post_money is None else Fraction(terms.pool_post_money),
        pool_timing=terms.pool_timing or "pre_money",
        increase=Fraction(terms.pool_increase_shares or 0),
        claims=claims,
        protections=tuple(_protections(capitalization)),
    )


def _protections(capitalization: Capitalization) -> Iterable[Protection]:
    for series in capitalization.preferred:
        if series.price_protection is None:
            continue
        shares = capitalization.shares_of(series.class_id) * series.conversion_ratio
        yield Protection(series.class_id, shares, conversion_price(series), _basis(capitalization, series))


def conversion_price(series: PreferredClass) -> Fraction:
    """Get the price at which a series converts now: the issue price unless it was adjusted."""
    price = series.issue_price_usd if series.conversion_price_usd is None else series.conversion_price_usd
    return Fraction(price)


def _basis(capitalization: Capitalization, series: PreferredClass) -> Fraction | None:
    if series.price_protection == "full_ratchet":
        return None
    if series.protection_basis is None:
        raise Refusal(
            "missing_convention",
            f"{series.class_id} is protected by a weighted average, but protection_basis does not say of what; state "
            "outstanding, outstanding_and_options or fully_diluted",
            pointer="/protection_basis",
            convention="protection_basis",
        )
    return protection_basis_shares(capitalization, series.protection_basis)


def _result(
    capitalization: Capitalization, terms: RoundTerms, problem: Problem, solution: Solution, rows: Rows
) -> RoundResult:
    conversions = tuple(_conversion(problem, solution, index, rows, terms) for index in range(len(problem.claims)))
    new_money = tuple(
        NewShares(
            each.holder_id,
            Fraction(each.amount_usd),
            Fraction(each.amount_usd) * solution.shares_per_usd,
            shares,
        )
        for each, shares in zip(terms.investments, rows.new_money, strict=True)
    )
    return RoundResult(
        price_usd=1 / solution.shares_per_usd,
        price_usd_rounded=rows.price_usd,
        conversions=conversions,
        new_money=new_money,
        pool_increase_exact=solution.increase,
        pool_increase=rows.increase,
        adjustments=tuple(_adjustments(problem, solution)),
        company_capitalization_exact=problem.existing + solution.converting,
        fully_diluted_exact=solution.total,
        fully_diluted=rows.total,
        slope=solution.slope,
        certificate=round_certificate(capitalization, terms, problem, solution, rows),
    )


def _conversion(problem: Problem, solution: Solution, index: int, rows: Rows, terms: RoundTerms) -> Conversion:
    claim, shares = problem.claims[index], rows.conversions[index]
    exact_shares = solution.claim_shares[index]
    price = claim.amount / exact_shares
    alternatives = [
        Alternative(branch, claim.amount / taken) for branch, taken in claim_options(problem, claim, solution) if taken
    ]
    return Conversion(
        instrument_id=claim.instrument_id,
        holder_id=claim.holder_id,
        amount_usd=claim.amount,
        branch=solution.policy.branches[index],
        alternatives=tuple(alternatives),
        price_usd=price,
        price_usd_rounded=print_conversion_price(price, claim, solution.policy.branches[index], rows.price_usd, terms),
        shares_exact=exact_shares,
        shares=shares,
        tranche_shares=tuple(allocate(shares, claim.tranches if claim.amount else (1,))),
    )


def _adjustments(problem: Problem, solution: Solution) -> Iterable[PriceAdjustment]:
    for protection, triggered, extra in zip(
        problem.protections, solution.policy.triggered, solution.adjustments, strict=True
    ):
        before = protection.as_converted
        price = protection.conversion_price
        yield PriceAdjustment(
            class_id=protection.class_id,
            triggered=triggered,
            conversion_price_before_usd=price,
            conversion_price_after_usd=price * before / (before + extra) if before else price,
            as_converted_before=before,
            as_converted_after=before + extra,
        )
