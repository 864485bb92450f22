"""Backstop orders buy what is left at the price that they set, and never take or move anything."""

import json
import random
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from marketplace.clearing.bundle import parse_bundle, render_bundle
from marketplace.clearing.codec import hash_json
from marketplace.clearing.engine import clear
from marketplace.clearing.model import Bid, Limit, Order, Use
from marketplace.clearing.verify.verifier import find_violations
from marketplace.core.errors import Refusal
from tests.clearing.books import book, order, random_book
from tests.clearing.ruled_books import random_ruled_book


def backstop(name, nodes, duration, window, value, *, sizes=(), **bid):
    return Order(name, nodes, duration, *window, (Bid("p", Decimal(value), **bid),), sizes)


def served(given, *backstops, **changes):
    whole = replace(given, backstops=backstops, **changes)
    clearing = clear(whole, seed=1)
    assert find_violations(whole, clearing) == ()
    return clearing


def test_it_gets_what_the_others_left_at_its_own_price():
    given = book(order("firm", 3, 6, (0, 0), value="5"), lots=(("a", 4, 0, 10, "1"),))
    clearing = served(given, backstop("stop", 4, 6, (0, 4), "1.50", sizes=(1, 2, 3)))
    [decision] = clearing.backstops
    match = decision.match
    assert (match.nodes, match.start_period, match.price_usd_per_gpu_hour) == (1, 0, Fraction(3, 2))
    assert match.total_usd == Decimal("1.5") * 6 * 8 * 24
    assert clearing.prices == clear(given, seed=1).prices


def test_the_largest_size_comes_before_the_earliest_start():
    given = book(order("firm", 3, 4, (0, 0), value="5"), lots=(("a", 4, 0, 10, "1"),))
    [decision] = served(given, backstop("stop", 4, 6, (0, 4), "1", sizes=(1, 2, 3))).backstops
    assert (decision.match.nodes, decision.match.start_period) == (4, 4)


def test_nothing_of_the_others_changes_by_it():
    for seed in range(30):
        given = random_book(seed, mandates=True)
        plain = clear(given, seed=seed)
        whole = replace(given, backstops=random_backstops(seed, given))
        clearing = clear(whole, seed=seed)
        assert find_violations(whole, clearing) == ()
        assert (clearing.decisions, clearing.prices) == (plain.decisions, plain.prices)
        assert clearing.certificate.welfare_usd == plain.certificate.welfare_usd
        assert clearing.certificate.book_hash != plain.certificate.book_hash


def random_backstops(seed, given, count=4):
    pick = random.Random(seed)
    made = []
    for at in range(count):
        duration, first = pick.randint(1, 6), pick.randint(0, given.periods - 1)
        pools = pick.sample([pool.pool_id for pool in given.pools], pick.randint(1, len(given.pools)))
        uses = tuple(Use(limit.limit_id, Decimal(1)) for limit in given.limits[:1])
        bids = tuple(Bid(pool, Decimal(pick.randint(80, 400)) / 100, uses=uses) for pool in sorted(pools))
        nodes = pick.randint(1, 5)
        made.append(Order(f"b{at}", nodes, duration, first, first + pick.randint(0, 6), bids, tuple(range(1, nodes))))
    return tuple(made)


@pytest.mark.parametrize("seed", range(40))
def test_on_random_books_with_rules_the_verifier_agrees_and_the_document_is_whole(seed):
    given = random_ruled_book(seed)
    whole = replace(given, backstops=random_backstops(seed, given))
    document = json.loads(json.dumps(render_bundle(whole, clear(whole, seed=seed))))
    read, clearing = parse_bundle(document)
    assert render_bundle(read, clearing) == document
    assert find_violations(read, clearing) == ()


def test_the_dearest_set_price_comes_first_and_of_equal_ones_the_first():
    given = book(lots=(("a", 2, 0, 4, "1"),), periods=4)
    low, first, second = (
        backstop(name, 1, 4, (0, 0), value) for name, value in (("low", "1"), ("first", "2"), ("second", "2"))
    )
    clearing = served(given, low, first, second)
    assert [decision.match is not None for decision in clearing.backstops] == [False, True, True]
    [reason] = clearing.backstops[0].reasons
    assert (reason.code, reason.facts["nodes_left"]) == ("nothing_left", "0")


def test_no_node_is_sold_to_it_that_asks_more():
    given = book(lots=(("a", 1, 0, 4, "1"), ("b", 3, 0, 4, "2")), periods=4)
    [decision] = served(given, backstop("stop", 2, 4, (0, 0), "1.99")).backstops
    assert decision.match is None
    assert decision.reasons[0].facts == {
        "nodes_left": "1",
        "nodes_least": "2",
        "price_usd_per_gpu_hour": "1.99",
    }
    [decision] = served(given, backstop("stop", 2, 4, (0, 0), "2")).backstops
    assert {share.lot_id for share in decision.match.lots} == {"a", "b"}


def test_it_keeps_the_limits_that_the_others_left_room_of():
    use = (Use("power", Decimal(10)),)
    firm = Order("firm", 2, 4, 0, 0, (Bid("p", Decimal(5), uses=use),))
    limits = (Limit("power", Decimal(30), 0, 4),)
    given = book(firm, lots=(("a", 4, 0, 4, "1"),), periods=4)
    [decision] = served(given, backstop("stop", 2, 4, (0, 0), "2", sizes=(1,), uses=use), limits=limits).backstops
    assert decision.match.nodes == 1


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (lambda document: document["backstops"].pop(), ["backstops"]),
        (lambda document: match(document).update(price_usd_per_gpu_hour="1"), ["backstop_price"]),
        (lambda document: match(document).update(total_usd="1"), ["backstop_price"]),
        (lambda document: match(document).update(end_period=2), ["backstop_bid"]),
        (lambda document: match(document)["lots"][0].update(nodes=9), ["backstop_lots", "backstop_oversold"]),
        (lambda document: match(document)["lots"][0].update(lot_id="b"), ["backstop_dear", "backstop_left_out"]),
        (lambda document: forget(document["backstops"][0]), ["backstop_left_out"]),
        (lambda document: document["backstops"][1].update(reasons=[]), ["backstop_reasons"]),
    ],
)
def test_whatever_is_forged_is_named(change, codes):
    given = book(lots=(("a", 2, 0, 4, "1"), ("b", 2, 0, 4, "3")), periods=4)
    whole = replace(given, backstops=(backstop("stop", 2, 3, (0, 1), "2"), backstop("late", 2, 3, (0, 1), "1")))
    document = json.loads(json.dumps(render_bundle(whole, clear(whole, seed=1))))
    forged = deepcopy(document)
    change(forged)
    forged["certificate"]["decisions_hash"] = hash_json(forged["decisions"] + forged["backstops"])
    found = [violation.code for violation in find_violations(*parse_bundle(forged))]
    assert sorted(set(found)) == codes


def match(document):
    return document["backstops"][0]["match"]


def forget(decision):
    reason = {"code": "nothing_left", "text": "nothing", "facts": {}}
    decision.update(match=None, reasons=[reason])


def test_a_backstop_that_needs_another_order_is_refused():
    stop = replace(backstop("stop", 1, 1, (0, 0), "2"), parent_id="firm")
    with pytest.raises(Refusal) as caught:
        clear(replace(book(order("firm", 1, 1, (0, 0))), backstops=(stop,)), seed=1)
    assert (caught.value.code, caught.value.pointer) == ("backstop_linked", "/backstops/0/parent_id")
