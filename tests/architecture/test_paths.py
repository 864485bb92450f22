"""The paths of placing an order, reporting usage and running an auction are straight, and the documents name them.

A path is the sequence of modules of `domain`, `application` and `runtime` whose functions a use case calls, on a small
market in memory. A call that leads back to a module that the path left is a return. What `execution` calls to keep
states in memory is left out, and so are the words of refusals, which every room shares. An aggregate whose commands are
decided by a table (`core.decider.decide_by_type`) counts with the module of its table, as a reader opens it.
"""

import asyncio
import inspect
import sys
import threading
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from marketplace.application.metering import usage
from marketplace.application.trading import orders
from marketplace.core import decider
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.execution import snapshots, state_cache
from marketplace.log.memory import MemoryLog
from marketplace.runtime.auctions.auctioneer import Auctioneer
from marketplace.runtime.scheduling.market_state import MarketState
from tests.architecture.source import ROOT
from tests.support.market.market import Market

FLOORS = ("domain/", "application/", "runtime/")
SHARED = "domain/refusals.py"
RESUMED = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
"""The flags of functions whose frames are entered again after each wait."""
DECIDER = Path(decider.__file__)
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


class Walk:
    """The modules that a use case enters, in order."""

    def __init__(self):
        self.modules = []
        self._known = {}

    def note(self, frame, event, _):
        """Record a call of a named function, once for each call."""
        code = frame.f_code
        if event != "call" or code.co_name.startswith("<") or id(frame) in self._known:
            return
        if code.co_flags & RESUMED:
            self._known[id(frame)] = frame
        path = Path(code.co_filename)
        if path == DECIDER and "begin" in frame.f_locals:
            path = Path(sys.modules[frame.f_locals["begin"].__module__].__file__)
        name = path.relative_to(ROOT / "marketplace").as_posix() if path.is_relative_to(ROOT / "marketplace") else ""
        if name.startswith(FLOORS) and name != SHARED and not _keeps_states(frame) and self.modules[-1:] != [name]:
            self.modules.append(name)

    @property
    def rooms(self):
        return set(self.modules)

    @property
    def returns(self):
        return len(self.modules) - len(self.rooms)


def _keeps_states(frame):
    """Tell whether the cache calls a function, or the worker that follows the log beside the use case."""
    callers = []
    while frame is not None:
        callers.append(frame.f_code)
        frame = frame.f_back
    files = [code.co_filename for code in callers[1:] if code.co_filename != decider.__file__]
    return MarketState.take.__code__ in callers or files[:1] in ([state_cache.__file__], [snapshots.__file__])


@contextmanager
def walking():
    walk = Walk()
    threading.setprofile(walk.note)
    sys.setprofile(walk.note)
    try:
        yield walk
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def walk_order():
    market = Market(MemoryLog())
    trade = await market.trade(days=10)
    terms = market.terms(cash="1", equity="3", mandate_ids=(trade.mandate,), nodes=1, days=10, latest=1)
    context = market.context(trade.startup)
    with walking() as walk:
        await orders.place_order(market.handler, context, startup_id=trade.startup, terms=terms)
    return walk


async def walk_usage():
    market = Market(MemoryLog())
    trade = await market.trade(days=10)
    async with market.worker():
        issued = (await market.award(trade)).issued
    market.clock.at = issued.start + timedelta(days=2)
    day = Measurement(reading_id="1", start=issued.start, end=issued.start + timedelta(days=1), nodes=issued.nodes)
    context = market.context(issued.provider_id)
    with walking() as walk:
        _, answers = await usage.report_usage(
            market.handler, context, issued.grant_id, source="dcgm", measurements=(day,)
        )
    assert [answer.outcome for answer in answers] == ["accepted"]
    return walk


async def walk_auction(cash="4", equity="0"):
    market = Market(MemoryLog())
    trade = await market.trade(days=10, cash=cash, equity=equity)
    market.clock.at = market.day(0.5)
    state = MarketState(market.handler)

    async for page in market.log.read(0):
        state.take(page)

    async def follow():
        async for page in market.log.read(state.position, follow=True):
            state.take(page)

    following = asyncio.create_task(follow())
    with walking() as walk:
        await Auctioneer(market.handler, state).run(trade.auction)
    following.cancel()
    assert (await market.state("order", trade.order)).status == "matched"
    return walk


async def walk_equity_auction():
    return await walk_auction(cash="1", equity="3")


@pytest.mark.parametrize(
    ("titles", "follow", "rooms_max", "returns_max"),
    [
        (["Placing an order"], walk_order, 13, 13),
        (["Reporting usage"], walk_usage, 5, 11),
        (["Running an auction"], walk_auction, 20, 35),
        (["Running an auction", "Matching an order that offers equity"], walk_equity_auction, 33, 64),
    ],
    ids=["order", "usage", "auction", "auction with equity"],
)
async def test_a_path_is_straight_and_the_documents_name_its_modules(titles, follow, rooms_max, returns_max):
    walk = await follow()
    assert len(walk.rooms) <= rooms_max, walk.modules
    assert walk.returns <= returns_max, walk.modules
    told = "".join(ARCHITECTURE.split(f"**{title}.**")[1].split("\n**")[0].split("\n## ")[0] for title in titles)
    assert {name for name in walk.rooms if f"`{name}`" not in told} == set()
