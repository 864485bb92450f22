"""The rate limit: the requests of the minute before count in part, and of a caller that is gone nothing remains."""

import time

import pytest

from marketplace.api.http.rate_limit import Headers, RateLimit
from marketplace.core.errors import Refusal


def test_requests_of_the_minute_before_count_for_as_much_of_it_as_is_less_than_a_minute_ago(monkeypatch):
    limit, now = RateLimit(4), 6_000.0
    monkeypatch.setattr(time, "time", lambda: now)

    def hit(caller: str = "one") -> tuple[bytes, bytes]:
        answer: Headers = []
        limit.hit(caller, answer)
        return dict(answer)[b"ratelimit-remaining"], dict(answer)[b"ratelimit-reset"]

    assert [hit() for _ in range(4)] == [(b"3", b"60"), (b"2", b"60"), (b"1", b"60"), (b"0", b"60")]
    now += 45
    with pytest.raises(Refusal, match="wait 15 s") as caught:
        hit()
    assert caught.value.facts["retry_after_seconds"] == 15
    now += 40
    assert [hit(), hit()] == [(b"1", b"5"), (b"0", b"5")], "two of the four count, in the middle of the next minute"
    with pytest.raises(Refusal):
        hit()
    now += 120
    assert hit("other") == (b"3", b"35")
    assert {*limit._before, *limit._now} == {"other"}, "the first caller is forgotten"
    assert hit() == (b"3", b"35")
