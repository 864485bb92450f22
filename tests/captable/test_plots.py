"""What-if rounds and sales: the issuer's own decisions on a branch, which changes nothing of the issuer."""

from decimal import Decimal

import msgspec
import pytest

from events.financing import Investment
from marketplace.captable.branch import begin_branch
from marketplace.captable.plots import (
    Range,
    list_exit_lines,
    list_prices,
    list_round_lines,
    play_exits,
    play_rounds,
)
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.commands import CloseFinancing, OpenFinancing, PriceFinancing
from marketplace.domain.equity.issuer.state import total_shares
from tests.captable.company import (
    FOUNDER,
    FUND,
    MINUTES,
    PROVIDER,
    ROUND,
    SERIES_A,
    Life,
    borrow,
    decline,
    found,
    live,
    make_id,
)

LEAD = make_id("stk", 77)
SERIES_B = msgspec.structs.replace(
    ROUND,
    class_id="series-b",
    pre_money_usd=Decimal(90_000_000),
    investments=(Investment(holder_id=LEAD, amount_usd=Decimal(20_000_000)),),
    seniority=2,
)


def begin(*chapters):
    life = Life()
    for chapter in chapters:
        chapter(life)
    return life, begin_branch(life.history, life.time)


def test_a_branch_comes_to_what_the_issuer_itself_would_decide():
    life, branch = begin(found, borrow)
    after, pricing = branch.close_round(ROUND)
    members = {"financing_id": SERIES_A}
    life.act(OpenFinancing, **members, name="Series A", terms=ROUND, at=life.time)
    decline(life, SERIES_A)
    instruments = life.list_converting()
    life.act(PriceFinancing, **members, instruments=instruments, at=branch.at)
    life.act(CloseFinancing, **members, instruments=instruments, approval=MINUTES, at=branch.at)
    assert after.issuer.holdings == life.issuer.holdings
    assert pricing == life.issuer.financings[SERIES_A].pricing
    assert all(each.outstanding_usd == 0 for each in after.instruments.values())


def test_a_branch_changes_nothing_of_its_issuer():
    life, branch = begin(found, borrow)
    acts, issuer = list(life.acts), life.issuer
    play_rounds(branch, ROUND, [Decimal(40_000_000)])
    assert (life.acts, life.issuer, branch.issuer) == (acts, issuer, issuer)


def test_a_round_that_is_open_is_given_up_on_the_branch_only():
    life, _ = begin(found, borrow)
    life.act(OpenFinancing, financing_id=SERIES_A, name="Series A", terms=ROUND, at=life.time)
    branch = begin_branch(life.history, life.time)
    (point,) = play_rounds(branch, ROUND, [Decimal(40_000_000)])
    assert point.refused is None
    assert branch.issuer.find_open_financing() is not None


def test_points_over_a_range_sum_and_dilution_falls_as_the_price_rises():
    _, branch = begin(found, borrow)
    prices = list_prices(Range(low_usd=Decimal(10_000_000), high_usd=Decimal(90_000_000), points=9))
    points = play_rounds(branch, ROUND, prices)
    assert [point.pre_money_usd for point in points] == [10_000_000 * n for n in range(1, 10)]
    diluted = []
    for point in points:
        assert sum(holder.shares_after for holder in point.holders) == point.post_money_shares
        assert abs(sum(holder.part_after for holder in point.holders) - 1) <= Decimal("1E-6") * len(point.holders)
        founder = next(holder for holder in point.holders if holder.holder_id == FOUNDER)
        diluted.append(founder.dilution)
        provider = next(holder for holder in point.holders if holder.holder_id == PROVIDER)
        assert provider.shares_converted > 0
        assert provider.dilution is None
    assert diluted == sorted(diluted, reverse=True)
    lines = list_round_lines(points)
    assert len(lines) == 1 + sum(len(point.holders) for point in points)
    assert {len(line) for line in lines} == {10}


def test_a_price_that_the_engine_refuses_stays_in_the_series_with_its_reason():
    _, branch = begin(found, borrow)
    points = play_rounds(branch, ROUND, [Decimal("0.01"), Decimal(40_000_000)])
    assert points[0].refused is not None
    assert points[0].reason
    assert points[0].holders == ()
    assert points[1].refused is None
    assert list_round_lines(points)[1][-1] == points[0].refused


def test_exits_pay_out_the_proceeds_before_and_after_rounds():
    life = live()
    branch = begin_branch(life.history, life.time)
    prices = list_prices(Range(low_usd=Decimal(1_000_000), high_usd=Decimal(200_000_000), points=5))
    for rounds in ((), (SERIES_B,)):
        points = play_exits(branch, prices, rounds, safe_seniority=1)
        for point in points:
            assert point.refused is None, point.reason
            assert sum(holder.amount_usd for holder in point.holders) == point.proceeds_usd
            assert abs(sum(holder.part for holder in point.holders) - 1) <= Decimal("1E-6") * len(point.holders)
        assert points[-1].converted
        holders = {holder.holder_id for holder in points[-1].holders}
        assert FUND in holders
        assert (LEAD in holders) == bool(rounds)
        assert len(list_exit_lines(points)) == 1 + sum(len(point.holders) for point in points)


def test_bounds_are_kept():
    _, branch = begin(found)
    with pytest.raises(Refusal) as caught:
        list_prices(Range(low_usd=Decimal(1), high_usd=Decimal(2), points=201))
    assert caught.value.code == "too_many_points"
    for low, high, points in ((2, 1, 3), (5, 5, 10), (1, 5, 1)):
        with pytest.raises(Refusal) as caught:
            list_prices(Range(low_usd=Decimal(low), high_usd=Decimal(high), points=points))
        assert caught.value.code == "range_impossible"
    with pytest.raises(Refusal) as caught:
        play_exits(branch, [Decimal(1)], [ROUND] * 6)
    assert caught.value.code == "too_many_rounds"


def test_rounds_may_follow_each_other_on_a_branch():
    _, branch = begin(found, borrow)
    once, _ = branch.close_round(ROUND)
    twice, _ = once.close_round(SERIES_B)
    assert set(twice.issuer.classes) > set(once.issuer.classes)
    assert total_shares(twice.issuer).stock > total_shares(once.issuer).stock
