"""Groups, links, limits and sizes: the engine finds the optimum, the verifier refuses what breaks them."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.clearing.arrays.grid import compile_book
from marketplace.clearing.codec import parse_book, parse_clearing, render_book, render_clearing
from marketplace.clearing.engine import clear
from marketplace.clearing.model import Bid, Limit, RulePrice, Use
from marketplace.clearing.search.solving import solve
from marketplace.clearing.verify.verifier import find_violations
from marketplace.core.errors import Refusal
from tests.clearing.books import book, market_book, order
from tests.clearing.ruled_books import find_optimum, random_ruled_book


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6))
def test_a_small_book_with_rules_is_cleared_to_its_optimum(seed):
    ruled = random_ruled_book(seed, orders=4)
    result = clear(ruled, seed=1)
    assert find_violations(ruled, result) == ()
    assert result.certificate.welfare_usd == find_optimum(ruled)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_the_search_keeps_every_rule_without_the_exact_program(seed):
    ruled = random_ruled_book(seed, orders=14, pools=3)
    grid = compile_book(ruled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("marketplace.clearing.search.solving.EXACT_COLUMNS_MAX", 0)
        found = solve(grid, 1, 3)
        assert not found.allocation.breaks_rules()
        assert found.allocation.list_unsupported() == []
        assert find_violations(ruled, clear(ruled, seed=1, iterations=2)) == ()


def matched(result):
    return {decision.order_id: decision.match for decision in result.decisions if decision.match is not None}


def reasons(result, order_id):
    return [
        reason.code for decision in result.decisions if decision.order_id == order_id for reason in decision.reasons
    ]


def test_of_a_group_the_best_order_is_accepted():
    one, two = (order(name, 1, 1, (0, 0), value=value) for name, value in (("one", "5"), ("two", "7")))
    grouped = book(replace(one, group_id="g"), replace(two, group_id="g"))
    result = clear(grouped, seed=1)
    assert set(matched(result)) == {"two"}
    assert reasons(result, "one")[0] == "group_served"
    both = clear(book(one, two), seed=1)
    forged = replace(both, certificate=replace(both.certificate, book_hash=result.certificate.book_hash))
    assert "group" in {violation.code for violation in find_violations(grouped, forged)}


def test_a_child_runs_only_with_its_parent():
    parent, child = order("parent", 4, 1, (0, 0), value="2"), order("child", 2, 1, (1, 1), value="9")
    rival = order("rival", 4, 1, (0, 0), value="3")
    linked = book(parent, replace(child, parent_id="parent"), rival)
    assert set(matched(clear(linked, seed=1))) == {"parent", "child"}
    dear = book(parent, replace(child, parent_id="parent"), replace(rival, bids=(Bid("p", Decimal(50)),)))
    result = clear(dear, seed=1)
    assert set(matched(result)) == {"rival"}
    assert reasons(result, "child")[0] == "parent_unmatched"
    loose = clear(book(parent, child, replace(rival, bids=(Bid("p", Decimal(50)),))), seed=1)
    forged = replace(loose, certificate=replace(loose.certificate, book_hash=result.certificate.book_hash))
    assert "link" in {violation.code for violation in find_violations(dear, forged)}


def using(name, value, amount, *, limit_id="budget", window=(0, 0)):
    bid = Bid("p", Decimal(value), uses=(Use(limit_id, Decimal(amount)),))
    return order(name, 1, 1, window, bid)


@pytest.mark.parametrize(
    "limit", [Limit("budget", Decimal(10)), Limit("budget", Decimal(10), 0, 10)], ids=["in all", "in each period"]
)
def test_a_limit_is_not_overspent(limit):
    orders = (using("small", "5", "10"), using("large", "6", "10"), using("over", "9", "10.01"))
    limited = replace(book(*orders), limits=(limit,))
    result = clear(limited, seed=1)
    assert find_violations(limited, result) == ()
    assert set(matched(result)) == {"large"}
    assert reasons(result, "small")[0] == reasons(result, "over")[0] == "limit_reached"
    assert result.certificate.gap == 0, "the price of the limit proves the bound"
    roomy = replace(limited, limits=(replace(limit, amount=Decimal(100)),))
    forged = clear(roomy, seed=1)
    forged = replace(forged, certificate=replace(forged.certificate, book_hash=result.certificate.book_hash))
    assert "limit" in {violation.code for violation in find_violations(limited, forged)}


def test_a_limit_per_period_frees_its_room_for_the_next_period():
    orders = (using("one", "5", "10", window=(0, 1)), using("two", "6", "10", window=(0, 1)))
    assert len(matched(clear(replace(book(*orders), limits=(Limit("budget", Decimal(10), 0, 10),)), seed=1))) == 2
    assert len(matched(clear(replace(book(*orders), limits=(Limit("budget", Decimal(10)),)), seed=1))) == 1


def test_the_size_that_is_worth_most_beside_the_others_is_chosen():
    ranged = replace(order("ranged", 4, 2, (0, 0), value="3"), sizes=(1, 2, 3))
    result = clear(book(ranged, order("fixed", 2, 2, (0, 0), value="8")), seed=1)
    assert {name: match.nodes for name, match in matched(result).items()} == {"ranged": 2, "fixed": 2}
    assert find_violations(book(ranged, order("fixed", 2, 2, (0, 0), value="8")), result) == ()


@pytest.mark.parametrize(
    "price",
    [
        RulePrice("limit", "budget", Decimal(-1)),
        RulePrice("limit", "other", Decimal(1)),
        RulePrice("limit", "budget", Decimal(1), 0, 3),
        RulePrice("group", "budget", Decimal(1)),
        RulePrice("link", "one", Decimal(1)),
    ],
)
def test_a_price_of_a_rule_that_proves_nothing_is_refused(price):
    limited = replace(book(using("one", "5", "10")), limits=(Limit("budget", Decimal(5)),))
    forged = replace(clear(limited, seed=1), rule_prices=(price,))
    assert "rule_price" in {violation.code for violation in find_violations(limited, forged)}


def test_a_book_with_rules_and_its_result_survive_their_text():
    ruled = random_ruled_book(3)
    result = clear(ruled, seed=1)
    assert parse_book(json.loads(json.dumps(render_book(ruled)))).limits == ruled.limits
    assert clear(parse_book(json.loads(json.dumps(render_book(ruled)))), seed=1) == result
    assert parse_clearing(json.loads(json.dumps(render_clearing(result)))) == result


def test_a_plain_book_says_nothing_of_rules():
    assert "limits" not in render_book(book(order("one", 1, 1, (0, 0))))
    assert set(render_book(book(order("one", 1, 1, (0, 0))))["orders"][0]) == {
        "order_id",
        "nodes",
        "duration_periods",
        "start_earliest",
        "start_latest",
        "bids",
    }


one = order("one", 1, 1, (0, 0))
BUDGET = Limit("budget", Decimal(1))


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("invalid_sizes", book(replace(one, sizes=(0,)))),
        ("invalid_sizes", book(replace(one, sizes=tuple(range(1, 66))))),
        ("unknown_parent", book(replace(one, parent_id="two"))),
        ("linked_cycle", book(replace(one, parent_id="one"))),
        (
            "linked_cycle",
            book(replace(one, parent_id="two"), replace(one, order_id="two", parent_id="one")),
        ),
        ("invalid_limit", replace(book(one), limits=(Limit("", Decimal(1)),))),
        ("invalid_limit", replace(book(one), limits=(Limit("budget", Decimal(-1)),))),
        ("invalid_limit", replace(book(one), limits=(Limit("budget", Decimal("NaN")),))),
        ("invalid_limit", replace(book(one), limits=(Limit("budget", Decimal("0.0000001")),))),
        ("invalid_limit", replace(book(one), limits=(Limit("budget", Decimal(1), 3, 11),))),
        ("invalid_limit", replace(book(one), limits=(Limit("budget", Decimal(1), None, 3),))),
        ("invalid_limit", replace(book(one), limits=(BUDGET, BUDGET))),
        ("unknown_limit", book(using("one", "5", "1"))),
        ("invalid_use", replace(book(using("one", "5", "-1")), limits=(BUDGET,))),
        (
            "ambiguous_bid",
            replace(
                book(order("one", 1, 1, (0, 0), Bid("p", Decimal(5)), using("x", "5", "1").bids[0])), limits=(BUDGET,)
            ),
        ),
    ],
)
def test_rules_that_contradict_themselves_are_refused(code, made):
    with pytest.raises(Refusal) as refused:
        clear(made, seed=1)
    assert refused.value.code == code


def test_bids_alike_on_other_lots_may_take_other_limits():
    plain = Bid("p", Decimal(5), ("fresh",), None, (Use("power", Decimal(3)),))
    resold = Bid("p", Decimal(5), ("resold",))
    stated = book(
        order("one", 1, 1, (0, 0), plain, resold),
        order("two", 1, 1, (0, 0), plain, resold),
        lots=(("fresh", 2, 0, 10, "1"), ("resold", 1, 0, 10, "2")),
    )
    stated = replace(stated, limits=(Limit("power", Decimal(3)),))
    result = clear(stated, seed=1)
    assert find_violations(stated, result) == ()
    carried = sorted(share.lot_id for match in matched(result).values() for share in match.lots)
    assert carried == ["fresh", "resold"]


def test_a_larger_market_with_rules_keeps_them_and_repeats():
    market = market_book(5, orders=80, pools=6)
    orders = tuple(
        replace(
            one,
            group_id=f"g{at // 3}" if at % 5 == 0 else None,
            parent_id=market.orders[at - 1].order_id if at % 7 == 0 and at else None,
            sizes=(max(1, one.nodes // 2),) if at % 4 == 0 else (),
            bids=tuple(
                replace(bid, uses=(Use("budget", Decimal("1.37")), Use(f"power-{bid.pool_id}", Decimal("10.4"))))
                for bid in one.bids
            ),
        )
        for at, one in enumerate(market.orders)
    )
    limits = (Limit("budget", Decimal(4000)), *(Limit(f"power-p{at}", Decimal(500), 0, 90) for at in range(6)))
    ruled = replace(market, orders=orders, limits=limits)
    result = clear(ruled, seed=1, iterations=2)
    assert find_violations(ruled, result) == ()
    assert result.certificate.gap < Decimal("0.3")
    assert clear(ruled, seed=1, iterations=2) == result
