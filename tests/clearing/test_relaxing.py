"""What a loser is told would help does help: the relaxed order is accepted, by the whole engine run again."""

import pytest

from marketplace.clearing.engine import clear
from tests.clearing.books import book, order, random_book
from tests.clearing.tight_books import change_order, find_decision, tight_book

BOOKS_PER_TEST = 25


def relax(given, lost, name, value):
    """Return the book with one relaxation of one order applied."""
    request = next(one for one in given.orders if one.order_id == lost.order_id)
    if "start" in name:
        return change_order(given, lost.order_id, start_earliest=value, start_latest=value)
    if "nodes" in name:
        return change_order(given, lost.order_id, nodes=value)
    assert value < request.duration_periods
    return change_order(given, lost.order_id, duration_periods=value)


def list_relaxations(decision, words):
    return [(name, int(value)) for name, value in decision.reasons[0].facts.items() if name in words]


WINNING = {"nearest_start_that_wins", "largest_nodes_that_win", "longest_duration_that_wins"}


@pytest.mark.parametrize("first", range(0, 100, BOOKS_PER_TEST))
def test_every_relaxation_that_is_said_to_win_wins(first):
    tried = 0
    for seed in range(first, first + BOOKS_PER_TEST):
        given = tight_book(seed)
        for lost in clear(given, seed=seed).decisions:
            for name, value in () if lost.match is not None else list_relaxations(lost, WINNING):
                again = clear(relax(given, lost, name, value), seed=seed)
                assert find_decision(again, lost.order_id).match is not None, (seed, lost.order_id, name, value)
                tried += 1
    assert tried > 0


def loosen(given, order_id, names):
    """Return the book with some constraints of an order taken away altogether."""
    changes = {}
    if "duration" in names:
        changes["duration_periods"] = 1
    if "nodes" in names:
        changes["nodes"] = 1
    if "start_window" in names:
        changes |= {"start_earliest": 0, "start_latest": given.periods}
    return change_order(given, order_id, **changes)


def is_hopeless(given, order_id):
    reasons = find_decision(clear(given, seed=1), order_id).reasons
    return bool(reasons) and reasons[0].code == "never_feasible"


@pytest.mark.parametrize("seed", range(12))
def test_a_conflicting_set_cannot_be_met_and_without_any_one_of_it_could(seed):
    given = random_book(seed, orders=8, pools=1)
    others = {"start_window", "duration", "nodes"}
    for lost in clear(given, seed=seed).decisions:
        if lost.match is None and lost.reasons[0].code == "never_feasible":
            conflict = set(filter(None, lost.reasons[0].facts["conflict"].split(",")))
            assert is_hopeless(loosen(given, lost.order_id, others - conflict), lost.order_id)
            for one in sorted(conflict):
                freed = loosen(given, lost.order_id, (others - conflict) | {one})
                assert not is_hopeless(freed, lost.order_id), (lost.order_id, conflict, one)


def test_the_conflict_is_the_smallest_that_explains():
    lots = (("a", 4, 0, 6, "1"), ("b", 2, 0, 10, "1"))
    told = clear(book(order("o", 7, 4, (0, 2)), lots=lots), seed=1).decisions[0].reasons[0]
    assert (told.code, told.facts["conflict"]) == ("never_feasible", "nodes")
    told = clear(book(order("o", 3, 4, (5, 5)), lots=lots), seed=1).decisions[0].reasons[0]
    assert told.facts["conflict"] == "start_window,duration,nodes"
    told = clear(book(order("o", 1, 2, (6, 8)), lots=lots[:1]), seed=1).decisions[0].reasons[0]
    assert told.facts["conflict"] == "start_window"


def test_the_nearest_start_is_as_near_as_one_can_be():
    given = book(order("rich", 4, 4, (2, 2), value="9"), order("poor", 4, 2, (2, 3), value="2"))
    facts = find_decision(clear(given, seed=1), "poor").reasons[0].facts
    assert facts["nearest_start_that_wins"] == "0"


def serve_alone(given, order_id, **changes):
    """Tell whether an order with other terms could be served were the pools empty."""
    return not is_hopeless(change_order(given, order_id, **changes), order_id)


@pytest.mark.parametrize("seed", range(20))
def test_the_nearest_feasible_start_size_and_duration_are_feasible_and_none_is_nearer(seed):
    given = random_book(seed, orders=10, pools=1)
    for lost in clear(given, seed=seed).decisions:
        if lost.match is not None or lost.reasons[0].code != "never_feasible":
            continue
        asked = next(one for one in given.orders if one.order_id == lost.order_id)
        facts = {name: int(value) for name, value in lost.reasons[0].facts.items() if name != "conflict"}
        name = lost.order_id
        nearest = facts.get("nearest_feasible_start")
        for start in range(given.periods):
            away = max(asked.start_earliest - start, start - asked.start_latest, 0)
            if nearest is None or away < max(asked.start_earliest - nearest, nearest - asked.start_latest, 0):
                assert not serve_alone(given, name, start_earliest=start, start_latest=start), (name, start)
        if nearest is not None:
            assert serve_alone(given, name, start_earliest=nearest, start_latest=nearest)
        nodes, duration = facts["largest_nodes"], facts["longest_duration_periods"]
        assert not nodes or serve_alone(given, name, nodes=nodes)
        assert nodes < asked.nodes
        assert not serve_alone(given, name, nodes=nodes + 1)
        assert not duration or serve_alone(given, name, duration_periods=duration)
        assert duration == asked.duration_periods or not serve_alone(given, name, duration_periods=duration + 1)
