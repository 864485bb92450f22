"""The collector of a long-lived process: what lasts is left alone, what becomes garbage later is still found."""

import gc
import weakref

import pytest

from marketplace.runtime.process.collector import THRESHOLDS, settle_collector


class Node:
    """Something that can hold itself."""


@pytest.fixture(autouse=True)
def _as_before():
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_is_in_memory_is_not_walked_through_again():
    lasting = [Node()]
    settle_collector()
    assert not any(found is lasting for found in gc.get_objects())
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == THRESHOLDS


def test_a_cycle_from_before_is_freed_first():
    gc.disable()
    try:
        node = Node()
        node.itself = node
        gone = weakref.ref(node)
        del node
        settle_collector()
    finally:
        gc.enable()
    assert gone() is None


def test_cycles_that_are_made_later_are_freed_without_being_asked_for():
    settle_collector()
    gone = []
    for _ in range(THRESHOLDS[0] + 1):
        node = Node()
        node.itself = node
        gone.append(weakref.ref(node))
    del node
    assert any(one() is None for one in gone)
