"""Certificates: inputs, policy and results of a calculation as JSON values, for readers who do not trust the solver.

Fractions are text (``n/d``), so that nothing is lost. The layout has a version, and `checker` reads it without
importing any part of the solver.
"""

from collections.abc import Iterable
from fractions import Fraction

from marketplace.equity.exact import render
from marketplace.equity.model import Capitalization, RoundTerms
from marketplace.equity.solver import Problem, Solution, claim_options
from marketplace.equity.whole_shares import Rows

ENGINE_VERSION = "equity-1"


def round_certificate(
    capitalization: Capitalization, terms: RoundTerms, problem: Problem, solution: Solution, rows: Rows
) -> dict[str, object]:
    """Return the certificate of a priced round: version 1 of the layout, kind ``priced_round``."""
    return {
        "kind": "priced_round",
        "version": 1,
        "engine": ENGINE_VERSION,
        "company": _company(capitalization),
        "terms": _terms(terms),
        "instruments": list(_instruments(problem, solution, rows)),
        "protections": list(_protections(problem, solution)),
        "result": {
            "price_usd": render(1 / solution.shares_per_usd),
            "price_usd_rounded": str(rows.price_usd),
            "new_money": [
                {
                    "holder_id": each.holder_id,
                    "amount_usd": render(Fraction(each.amount_usd)),
                    "shares_exact": render(Fraction(each.amount_usd) * solution.shares_per_usd),
                    "shares": shares,
                }
                for each, shares in zip(terms.investments, rows.new_money, strict=True)
            ],
            "pool_increase_exact": render(solution.increase),
            "pool_increase": rows.increase,
            "fully_diluted_exact": render(solution.total),
            "fully_diluted": rows.total,
            "slope": render(solution.slope),
        },
    }


def _company(capitalization: Capitalization) -> dict[str, object]:
    return {
        "outstanding_as_converted": render(capitalization.outstanding_as_converted),
        "options_granted": render(capitalization.options_granted),
        "options_promised": render(capitalization.options_promised),
        "options_available": render(capitalization.options_available),
        "warrants": render(capitalization.warrants),
    }


def _terms(terms: RoundTerms) -> dict[str, object]:
    return {
        "pre_money_usd": render(Fraction(terms.pre_money_usd)),
        "pricing_convention": terms.pricing_convention,
        "capitalization_definition": terms.capitalization_definition,
        "share_rounding": terms.share_rounding,
        "new_money_share_rounding": terms.new_money_share_rounding,
        "price_places": terms.price_places,
        "price_rounding": terms.price_rounding,
        "conversion_price_places": terms.conversion_price_places,
        "pool_post_money": None if terms.pool_post_money is None else render(Fraction(terms.pool_post_money)),
        "pool_timing": terms.pool_timing,
        "pool_increase_shares": None if terms.pool_increase_shares is None else render(terms.pool_increase_shares),
        "pool_counts_granted": terms.pool_counts_granted,
        "closing_date": None if terms.closing_date is None else terms.closing_date.isoformat(),
    }


def _instruments(problem: Problem, solution: Solution, rows: Rows) -> Iterable[dict[str, object]]:
    for index, claim in enumerate(problem.claims):
        yield {
            "instrument_id": claim.instrument_id,
            "holder_id": claim.holder_id,
            "amount_usd": render(claim.amount),
            "valuation_cap_usd": None if claim.cap is None else render(claim.cap),
            "ownership": None if claim.fixed_part is None else render(claim.fixed_part),
            "discount": render(1 - claim.price_factor),
            "counted": None if claim.counted is None else sorted(claim.counted),
            "branch": solution.policy.branches[index],
            "alternatives": [
                {"branch": branch, "shares_exact": render(shares)}
                for branch, shares in claim_options(problem, claim, solution)
            ],
            "shares_exact": render(solution.claim_shares[index]),
            "shares": rows.conversions[index],
        }


def _protections(problem: Problem, solution: Solution) -> Iterable[dict[str, object]]:
    for protection, triggered, extra in zip(
        problem.protections, solution.policy.triggered, solution.adjustments, strict=True
    ):
        yield {
            "class_id": protection.class_id,
            "as_converted": render(protection.as_converted),
            "conversion_price_usd": render(protection.conversion_price),
            "basis_shares": None if protection.basis is None else render(protection.basis),
            "triggered": triggered,
            "extra_shares_exact": render(extra),
        }
