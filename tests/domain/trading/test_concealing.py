"""Published demand: nobody's single offer can be read from it, and nothing of it is lost but what stands alone."""

from collections import defaultdict
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from marketplace.domain.trading.book.concealing import (
    STARTUPS_MIN,
    Demand,
    conceal_demand,
    round_down_price,
    round_up_price,
)

prices = st.integers(1, 10**10).map(lambda number: Decimal(number).scaleb(-6))
offers = st.lists(st.builds(Demand, prices, st.integers(1, 10_000), st.sampled_from("abcdef")), max_size=30)


@given(prices)
def test_a_price_stands_between_its_steps(price):
    low, high = round_down_price(price), round_up_price(price)
    assert low <= price <= high
    assert round_down_price(low) == low
    assert round_up_price(high) == high


@given(offers)
def test_every_step_is_made_of_enough_startups_and_the_sum_of_all_is_kept(made):
    steps = conceal_demand(made)
    assert [step.usd_per_gpu_hour for step in steps] == sorted({step.usd_per_gpu_hour for step in steps}, reverse=True)
    is_shown = len({offer.startup_id for offer in made}) >= STARTUPS_MIN
    assert sum(step.gpu_hours for step in steps) == (sum(offer.gpu_hours for offer in made) if is_shown else 0)
    startups = defaultdict(set)
    for offer in made:
        reached = [step for step in steps if step.usd_per_gpu_hour <= offer.usd_per_gpu_hour]
        if reached:
            startups[reached[0]].add(offer.startup_id)
    assert all(len(startups[step]) >= STARTUPS_MIN for step in steps)


@given(offers, st.permutations(range(30)))
def test_the_order_of_offers_changes_nothing(made, order):
    shuffled = [made[at] for at in order if at < len(made)]
    assert conceal_demand(shuffled) == conceal_demand(made)


def test_two_startups_with_many_orders_are_not_three():
    many = [Demand(Decimal("7.37"), 8, name) for name in "aabbb"]
    assert conceal_demand(many) == []
    assert conceal_demand([*many, Demand(Decimal("2.01"), 8, "c")]) == [(Decimal(2), 48, 6)]
