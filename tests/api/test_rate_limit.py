"""The counters of the rate limit: they take no thread, and of a caller that is gone nothing remains."""

import threading
import time

import pytest

from marketplace.api.http.rate_limit import Counters


def test_a_request_is_counted_without_a_thread(monkeypatch):
    counters = Counters()
    counters.timer.join()
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread was started"))
    assert [counters.incr("one", 120) for _ in range(3)] == [1, 2, 3]


def test_the_counters_of_a_caller_that_is_gone_are_forgotten(monkeypatch):
    counters, now = Counters(), time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    assert [counters.incr("one", 120), counters.incr("one", 120), counters.incr("other", 240)] == [1, 2, 1]
    now += 121
    assert counters.incr("other", 240) == 2
    assert set(counters.storage) == set(counters.expirations) == {"other"}
