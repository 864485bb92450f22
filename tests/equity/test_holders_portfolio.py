"""Multiples, rates of return, concentration, recovery and MFN comparison."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.errors import Refusal
from marketplace.equity.mfn import compare_elections
from marketplace.equity.model import Safe, SafeTerms
from marketplace.equity.portfolio import Position, concentration, exposure_to_provider_usd, multiples, sum_positions
from marketplace.equity.rates import Flow, periodic_rates, xirr
from marketplace.equity.recovery import Assumptions, recovery_table, simulate
from tests.equity.builders import company, post_money, terms


def refused(code, call, *arguments, **named):
    with pytest.raises(Refusal) as caught:
        call(*arguments, **named)
    assert caught.value.code == code


def position(name, issuer, vendor, paid, mark, **more):
    return Position(name, issuer, "biology", vendor, "safe", paid, mark, "last_round", **more)


POSITIONS = [
    position("s1", "acme", "nvidia", 100, 300, distributed_usd=50, undrawn_usd=100, provider_id="p1"),
    position("s2", "acme", "amd", 100, 0),
    position("s3", "bold", "nvidia", 200, 200, undrawn_usd=400, provider_id="p2"),
]


def test_a_book_sums_its_positions():
    summed = sum_positions(POSITIONS)
    assert (summed.paid_in_usd, summed.mark_usd, summed.undrawn_usd, summed.gain_usd) == (400, 500, 500, 150)
    assert (summed.multiples.dpi, summed.multiples.tvpi) == (Fraction(1, 8), Fraction(11, 8))
    assert summed.multiples.moic == summed.multiples.tvpi


def test_nothing_paid_in_has_no_multiple():
    assert multiples(0, 5, 5).tvpi is None


def test_concentration_counts_mark_and_commitment():
    by_issuer = [(row.name, row.part) for row in concentration(POSITIONS, "issuer")]
    assert by_issuer == [("bold", Fraction(3, 5)), ("acme", Fraction(2, 5))]
    assert [row.name for row in concentration(POSITIONS, "provider")] == ["p2", "p1"]
    assert sum(row.part for row in concentration(POSITIONS, "gpu_vendor")) == 1
    assert exposure_to_provider_usd(POSITIONS, "p2") == 400


@pytest.mark.parametrize(
    ("flows", "status", "rates"),
    [
        ([-100, 110], "unique", ["0.1"]),
        ([-100, 230, -132], "multiple", ["0.1", "0.2"]),
        ([-1000, 3600, -4310, 1716], "multiple", ["0.1", "0.2", "0.3"]),
        ([100, -100, 100], "none", []),
        ([100, 200], "none", []),
        ([-100, 50], "unique", ["-0.5"]),
        ([-100, 220, -121], "unique", ["0.1"]),
    ],
)
def test_every_rate_is_found_and_none_is_picked(flows, status, rates):
    result = periodic_rates([(Fraction(period), amount) for period, amount in enumerate(flows)])
    assert result.status == status
    assert [rate.quantize(Decimal("1e-12")).normalize() for rate in result.rates] == [Decimal(rate) for rate in rates]
    assert (result.rate is None) == (status != "unique")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=7).filter(any))
def test_flows_are_worth_nothing_at_every_rate_that_is_reported(flows):
    result = periodic_rates([(Fraction(period), amount) for period, amount in enumerate(flows)])
    for rate in result.rates:
        worth = sum(Decimal(amount) / (1 + rate) ** period for period, amount in enumerate(flows))
        scale = sum(abs(Decimal(amount)) / (1 + rate) ** period for period, amount in enumerate(flows))
        assert abs(worth) <= scale * Decimal("1e-9")
    if sum(flows) and (flows[0] > 0) != (sum(flows) > 0) and flows[0]:
        assert result.rates


def test_flows_of_a_day_are_summed_in_any_order():
    flows = [Flow(date(2025, 1, 1), -60), Flow(date(2026, 1, 1), 110), Flow(date(2025, 1, 1), -40)]
    assert xirr(flows).rate == xirr(flows[::-1]).rate == Decimal("0.1")


def test_no_flows_and_too_many_are_refused():
    refused("no_flows", xirr, [])
    refused("too_many_flows", periodic_rates, [(Fraction(1), 1)] * 1001)
    refused("too_many_flows", periodic_rates, [(Fraction(day), (-1) ** day) for day in range(121)])


def test_what_must_succeed_is_cost_over_multiple():
    assert recovery_table([2, 10], [1, Fraction(1, 4)]) == (
        (2, (Fraction(1, 2), Fraction(1, 8))),
        (10, (Fraction(1, 10), Fraction(1, 40))),
    )


def test_the_same_seed_draws_the_same_portfolios():
    assumptions = Assumptions(Fraction(1, 10), 12, 1, grants=50, trials=400, seed=7)
    first = simulate(assumptions)
    assert simulate(assumptions) == first
    assert 0 < first.paid_back_part < 1
    assert abs(first.mean_multiple - Fraction(12, 10)) < Fraction(1, 5)
    assert list(first.deciles) == sorted(first.deciles)


def test_certain_success_and_certain_failure_leave_no_luck():
    assert simulate(Assumptions(1, 2, 1, 5, 20, 1)).paid_back_part == 1
    assert simulate(Assumptions(0, 2, 1, 5, 20, 1)).paid_back_part == 0
    refused("simulation_too_large", simulate, Assumptions(1, 2, 1, 5, 10**6, 1))
    refused("fraction_out_of_range", simulate, Assumptions(2, 2, 1, 5, 10, 1))


def test_the_better_election_comes_first_and_declining_is_always_one():
    mine = Safe("m", "h", 500_000, SafeTerms("post_money", most_favoured_nation=True))
    later = {"cap": SafeTerms("post_money", 10_000_000), "discount": SafeTerms("post_money", None, Fraction(1, 5))}
    values = compare_elections(company(), [mine], terms(), instrument_id="m", candidates=later)
    assert [value.candidate for value in values] == ["discount", "cap", "declined"]
    refused("instrument_not_found", compare_elections, company(), [], terms(), instrument_id="m", candidates={})
    plain = [post_money("m", 5, 10)]
    refused("not_most_favoured", compare_elections, company(), plain, terms(), instrument_id="m", candidates={})


def test_a_simulation_is_as_often_paid_back_as_the_binomial_distribution_says():
    """Two of twenty that each return twelve are enough: one less none of them, less exactly one."""
    exact = 1 - Fraction(9, 10) ** 20 - 20 * Fraction(1, 10) * Fraction(9, 10) ** 19
    simulated = simulate(Assumptions(Fraction(1, 10), 12, 1, grants=20, trials=10_000, seed=1))
    assert abs(simulated.paid_back_part - exact) < Fraction(2, 100)
    assert abs(simulated.mean_multiple - Fraction(12, 10)) < Fraction(3, 100)
