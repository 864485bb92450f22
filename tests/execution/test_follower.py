"""A process that does not follow the log says so, takes nothing, and follows again by itself."""

import asyncio
import contextlib
from dataclasses import replace

import msgspec
import pytest

from marketplace.application.access.parties import suspend_party
from marketplace.core.errors import Corrupt, Unavailable, UnreadableEvent
from marketplace.domain.clock import CLOCK, CLOCK_ID, AdvanceClock
from marketplace.execution import follower as module
from marketplace.execution.follower import Follower
from marketplace.log.codec import seal
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Damage, Head, Write
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS


@contextlib.asynccontextmanager
async def running(follower):
    task = asyncio.create_task(follower.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(question):
    for _ in range(int(PATIENCE_SECONDS * 100)):
        if question():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


async def advance(market, seconds):
    async def work(unit):
        await unit.decide(CLOCK, CLOCK_ID, AdvanceClock(clock_id=CLOCK_ID, offset_seconds=seconds))

    await market.handler.run(market.context(), CLOCK, CLOCK_ID, work)


async def test_a_clock_that_moves_while_a_process_begins_is_not_missed(memory_log):
    market = Market(memory_log)
    await advance(market, 60)

    class Moving(MemoryLog):
        """Lets another process move the clock right after the first question of one that begins."""

        def __init__(self):
            self.asked = 0

        def __getattr__(self, name):
            return getattr(memory_log, name)

        async def _move(self):
            self.asked += 1
            if self.asked == 1:
                await advance(market, 120)

        async def health(self):
            found = await memory_log.health()
            await self._move()
            return found

        async def load(self, subject, after=0, *, previous_hash=None):
            found = await memory_log.load(subject, after, previous_hash=previous_hash)
            await self._move()
            return found

        def read(self, after=0, *, follow=False):
            return memory_log.read(after, follow=follow)

    process = Market(Moving(), "two")
    follower = Follower(process.handler)
    await follower.start()
    async with running(follower):
        await until(lambda: follower.position == 2)
        assert process.clock.offset_seconds == 120


async def test_a_follower_that_ended_refuses_commands_and_begins_again(memory_log, monkeypatch):
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.3)
    market = Market(memory_log)
    await advance(market, 60)
    process = market.process("two")
    follower = Follower(process.handler)
    fails = [Corrupt("the feed ended")]

    def listen(_):
        if fails:
            raise fails.pop()

    follower.listen(listen)
    async with running(follower):
        await until(follower.find_fault)
        with pytest.raises(Unavailable, match="following stopped after event 0: the feed ended"):
            follower.require_current()
        await until(lambda: follower.position == 1)
        follower.require_current()


async def test_a_follower_that_is_behind_for_too_long_refuses_commands(memory_log, monkeypatch):
    monkeypatch.setattr(module, "BEHIND_SECONDS_MAX", 0.05)
    follower = Follower(Market(memory_log).handler, lambda: 7)
    follower.require_current()
    await asyncio.sleep(0.1)
    with pytest.raises(Unavailable, match="it is at event 0 and has not seen event 7"):
        follower.require_current()
    follower.position = 7
    follower.require_current()


async def test_a_party_with_an_event_of_a_newer_release_takes_no_commands_and_others_do(memory_log):
    market = Market(memory_log)
    old, other = await market.party("Old", "startup"), await market.party("Other", "startup")
    process = market.process("two")
    follower = Follower(process.handler)
    await follower.start()
    subject = f"marketplace.party.{old}"
    last = (await memory_log.load(subject))[-1]
    async with running(follower):
        await store_unknown(memory_log, last)
        await until(lambda: follower.unreadable)
        with pytest.raises(UnreadableEvent, match="upgrade this process"):
            await suspend(process, old)
        await suspend(process, other)


async def test_what_a_state_includes_is_not_decoded_again_and_damage_to_it_is_noted(memory_log):
    market = Market(memory_log)
    await market.party("Own", "startup")
    [own, *_] = [event async for page in memory_log.read() for event in page]
    follower = Follower(market.handler)
    follower._take(replace(own, body=b"not read"))
    assert not follower.unreadable
    follower._take(replace(own, damage=Damage("hash", "it was changed", "f" * 64)))
    assert set(follower.unreadable) == {own.sequence}


async def store_unknown(log, last):
    envelope = msgspec.structs.replace(last.envelope, id="newer", type="marketplace.party.barred.v1")
    message = seal(last.subject, last.envelope.hash, envelope, b'{"type":"party.barred.v1"}')
    after = Head(last.subject, last.sequence, last.envelope.hash)
    await log.append([Write(after, (message,), Head(last.subject, None, message.envelope.hash))])


async def suspend(market, party_id):
    await suspend_party(market.handler, market.context(), party_id, reason="late")
