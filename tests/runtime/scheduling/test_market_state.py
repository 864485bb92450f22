"""The worker's memory of the market when an event is passed over or cannot be read."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from events.envelope import parse_headers
from events.types import Event
from marketplace.execution.clock import MarketClock
from marketplace.execution.handler import Handler
from marketplace.log.events import parse_event
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Damage, Recorded
from marketplace.runtime.scheduling import market_state
from marketplace.runtime.scheduling.market_state import MarketState
from tests.contracts.story.book import tell_story

PASSED_OVER = {"void": True, "annotated": True}
UNREADABLE = {"damage": Damage(kind="body", reason="it is not JSON", hash="0" * 64)}


@pytest.mark.parametrize("change", [PASSED_OVER, UNREADABLE], ids=["passed over", "unreadable"])
def test_any_event_can_be_missing_and_the_worker_reads_on(
    change: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
):
    events = [
        Recorded(number, told.subject, parse_headers(told.headers), told.body)
        for number, told in enumerate(tell_story(), start=1)
    ]
    parsed = {id(each): parse_event(each) for each in events}

    def parse_once(recorded: Recorded) -> Event:
        return parsed[id(recorded)] if id(recorded) in parsed else parse_event(recorded)

    monkeypatch.setattr(market_state, "parse_event", parse_once)
    for missing in events:
        market = MarketState(Handler(MemoryLog(), MarketClock()))
        market.take(replace(each, **change) if each is missing else each for each in events)
        assert market.position == events[-1].sequence
