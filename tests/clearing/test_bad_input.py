"""Odd and broken books give a right answer or a clear refusal, never a crash."""

from dataclasses import replace
from decimal import Decimal

import pytest

from marketplace.clearing.codec import hash_book, parse_book, parse_clearing, render_book, render_clearing
from marketplace.clearing.engine import clear
from marketplace.clearing.model import Bid, Book, Lot, Order, Pool
from marketplace.clearing.verify.verifier import find_violations, verify
from marketplace.core.errors import Refusal
from tests.clearing.books import book, order, random_book


def cleared(given, **options):
    result = clear(given, seed=7, **options)
    assert find_violations(given, result) == ()
    return result


def test_an_empty_book_clears_to_nothing():
    result = cleared(Book(24, 1, (), (), ()))
    assert (result.prices, result.decisions, result.certificate.welfare_usd) == ((), (), 0)
    assert result.certificate.gap == 0


def test_one_order_is_placed_on_its_lot_at_the_ask_or_more():
    result = cleared(book(order("o", 2, 3, (0, 0))))
    match = result.decisions[0].match
    assert match is not None
    assert 1 <= match.price_usd_per_gpu_hour <= 5
    assert result.certificate.welfare_usd == 2 * 8 * 3 * 24 * (5 - 1)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (book(order("o", 5, 3, (0, 9))), "never_feasible"),
        (book(order("o", 1, 3, (8, 9))), "never_feasible"),
        (book(order("o", 1, 3, (500, 900))), "never_feasible"),
        (book(order("o", 1, 3, (0, 9), value="0.99")), "below_ask"),
        (book(order("o", 1, 3, (0, 9)), lots=()), "never_feasible"),
        (book(replace(order("o", 1, 3, (0, 9)), bids=())), "no_eligible_pool"),
        (book(order("o", 1, 3, (0, 9), Bid("p", Decimal(5), ("gone",), "m"))), "never_feasible"),
    ],
)
def test_an_order_that_cannot_be_served_is_told_why(given, code):
    decision = cleared(given).decisions[0]
    assert decision.match is None
    assert decision.reasons[0].code == code
    assert (decision.price_to_win_usd_per_gpu_hour is None) == (code != "below_ask")


def test_never_feasible_says_what_would_help():
    facts = (
        cleared(book(order("o", 3, 4, (5, 7)), lots=(("a", 4, 0, 6, "1"), ("b", 2, 0, 10, "1"))))
        .decisions[0]
        .reasons[0]
        .facts
    )
    assert facts == {
        "conflict": "start_window,duration,nodes",
        "largest_nodes": "2",
        "longest_duration_periods": "1",
        "nearest_feasible_start": "2",
    }


def test_ties_are_decided_the_same_way_each_time():
    given = book(*(order(f"o{at}", 3, 5, (0, 5)) for at in range(6)))
    first, second = cleared(given), cleared(given)
    assert first == second
    assert sum(decision.match is not None for decision in first.decisions) == 2


def test_a_thousand_identical_orders_fill_the_pool_and_no_more():
    given = book(*(order(f"o{at}", 1, 2, (0, 8)) for at in range(1000)))
    result = cleared(given)
    assert sum(decision.match is not None for decision in result.decisions) == 20
    assert {decision.reasons[0].code for decision in result.decisions if not decision.match} <= {
        "outbid",
        "paradoxically_rejected",
    }


def test_asks_of_zero_are_lawful():
    result = cleared(book(order("o", 4, 10, (0, 0), value="0.01"), lots=(("a", 4, 0, 10, "0"),)))
    assert result.decisions[0].match is not None


def test_a_value_of_zero_against_an_ask_of_zero_gains_nothing_and_stays_out():
    assert cleared(book(order("o", 4, 10, (0, 0), value="0"), lots=(("a", 4, 0, 10, "0"),))).decisions[0].match is None


def test_limits_of_a_billion_stay_exact():
    given = book(
        order("rich", 4, 10, (0, 0), value="1000000000"),
        order("richer", 4, 10, (0, 0), value="999999999.999999"),
        lots=(("a", 4, 0, 10, "999999999.999998"),),
    )
    result = cleared(given)
    assert result.decisions[0].match is not None
    assert result.certificate.welfare_usd == 4 * 8 * 10 * 24 * Decimal("0.000002")


def test_one_period_is_a_horizon():
    result = cleared(book(order("o", 4, 1, (0, 0)), lots=(("a", 4, 0, 1, "1"),), periods=1))
    assert result.decisions[0].match is not None


def test_a_pool_with_no_lots_has_no_prices():
    given = book(order("o", 1, 1, (0, 0)), lots=())
    assert cleared(given).prices == ()


def test_a_lot_of_no_nodes_offers_nothing():
    assert cleared(book(order("o", 1, 1, (0, 0)), lots=(("a", 0, 0, 10, "1"),))).decisions[0].match is None


def test_a_lot_in_pieces_carries_a_run_across_its_spans():
    given = book(order("o", 2, 10, (0, 0)), lots=(("a", 4, 0, 5, "1"), ("a", 2, 5, 10, "1")))
    match = cleared(given).decisions[0].match
    assert [(share.lot_id, share.nodes, share.from_period, share.to_period) for share in match.lots] == [
        ("a", 2, 0, 10)
    ]


def test_cheaper_lots_come_first_and_the_dearest_used_sets_the_least_price():
    given = book(order("o", 3, 2, (0, 0)), lots=(("dear", 4, 0, 10, "3"), ("cheap", 2, 0, 10, "1")))
    match = cleared(given).decisions[0].match
    assert sorted((share.lot_id, share.nodes) for share in match.lots) == [("cheap", 2), ("dear", 1)]
    assert match.price_usd_per_gpu_hour >= 3


def test_an_order_is_kept_out_where_no_uniform_price_would_suit_it():
    given = book(order("o", 3, 2, (0, 0), value="2.5"), lots=(("dear", 4, 0, 10, "3"), ("cheap", 2, 0, 10, "1")))
    decision = cleared(given).decisions[0]
    assert decision.match is None
    assert decision.price_to_win_usd_per_gpu_hour == 3


BROKEN = [
    (Book(0, 10, (), (), ()), "invalid_book", "/period_hours"),
    (Book(24, 0, (), (), ()), "invalid_book", "/periods"),
    (Book(24, 10, (Pool("p", 8), Pool("p", 8)), (), ()), "duplicate_id", "/pools/1"),
    (book(order("o", 1, 1, (0, 0)), order("o", 1, 1, (0, 0))), "duplicate_id", "/orders/1"),
    (Book(24, 10, (Pool("p", 0),), (), ()), "invalid_quantity", "/pools/0/gpus_per_node"),
    (Book(24, 10, (), (Lot("a", "q", 1, 0, 1, Decimal(1)),), ()), "unknown_pool", "/lots/0/pool_id"),
    (book(lots=(("a", -1, 0, 10, "1"),)), "invalid_quantity", "/lots/0/nodes"),
    (book(lots=(("a", 1, 5, 5, "1"),)), "invalid_span", "/lots/0/to_period"),
    (book(lots=(("a", 1, 5, 11, "1"),)), "invalid_span", "/lots/0/to_period"),
    (book(lots=(("a", 1, 0, 5, "-1"),)), "invalid_price", "/lots/0/ask_usd_per_gpu_hour"),
    (book(lots=(("a", 1, 0, 5, "NaN"),)), "invalid_price", "/lots/0/ask_usd_per_gpu_hour"),
    (book(lots=(("a", 1, 0, 5, "1.0000001"),)), "invalid_price", "/lots/0/ask_usd_per_gpu_hour"),
    (book(lots=(("a", 1, 0, 5, "1"), ("a", 1, 4, 8, "1"))), "overlapping_lot", "/lots/1/from_period"),
    (book(order("o", 0, 1, (0, 0))), "invalid_quantity", "/orders/0/nodes"),
    (book(order("o", 1, 0, (0, 0))), "invalid_quantity", "/orders/0/duration_periods"),
    (book(order("o", 1, 1, (3, 2))), "invalid_span", "/orders/0/start_latest"),
    (book(order("o", 1, 1, (-1, 2))), "invalid_span", "/orders/0/start_latest"),
    (book(order("o", 1, 1, (0, 0), Bid("q", Decimal(1)))), "unknown_pool", "/orders/0/bids/0/pool_id"),
    (book(order("o", 1, 1, (0, 0), value="1000000001")), "invalid_price", "/orders/0/bids/0/value_usd_per_gpu_hour"),
    (
        Book(
            24,
            10,
            (Pool("p", 8), Pool("q", 8)),
            (Lot("a", "q", 1, 0, 1, Decimal(1)),),
            (Order("o", 1, 1, 0, 0, (Bid("p", Decimal(1), ("a",)),)),),
        ),
        "foreign_lot",
        "/orders/0/bids/0/lot_ids",
    ),
]


@pytest.mark.parametrize(("given", "code", "pointer"), BROKEN)
def test_a_broken_book_is_refused_and_the_member_named(given, code, pointer):
    with pytest.raises(Refusal) as refused:
        clear(given, seed=1)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_books_and_results_survive_their_canonical_form():
    given = random_book(3, mandates=True)
    assert hash_book(parse_book(render_book(given))) == hash_book(given)
    result = clear(given, seed=1)
    assert parse_clearing(render_clearing(result)) == result
    verify(parse_book(render_book(given)), parse_clearing(render_clearing(result)))


@pytest.mark.parametrize("value", [{}, {"period_hours": 24}, {"period_hours": 24, "periods": 1, "pools": [1]}])
def test_a_malformed_book_is_refused(value):
    with pytest.raises(Refusal, match="cannot be read"):
        parse_book(value)


def test_a_malformed_result_is_refused():
    with pytest.raises(Refusal, match="cannot be read"):
        parse_clearing({})
