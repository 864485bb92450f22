"""A simulated process: the real appender, reader, cache, handler and follower, over a simulated connection."""

import asyncio

from marketplace.core.errors import Conflict, Unavailable
from marketplace.execution.follower import Follower
from marketplace.execution.handler import Handler
from marketplace.log import appender, reader, retry, turns
from marketplace.log.codec import parse_recorded
from marketplace.log.connection import NoAnswer
from marketplace.log.port import Health, Limits
from tests.simulation.log.loop import start
from tests.simulation.log.network import SimulatedConnection

TIMED = (appender, retry, reader, turns)
STREAM = "MARKETPLACE"
LIMITS = Limits()


class SimulatedLog:
    """Implements `Log`; notes what was asked for and what was answered.

    Attributes:
        answers: For each append the hashes of its events by write, its heads, and the answer: a sequence or an error.
    """

    def __init__(self, servers, plain_max):
        self._servers = servers
        self.connection = SimulatedConnection(servers)
        self._reader = reader.Reader(
            self.connection,
            STREAM,
            page_max=LIMITS.page_messages_max,
            seconds_max=LIMITS.ack_seconds_max,
            stalled_seconds_max=LIMITS.append_seconds_max,
            load_end=self._load_end,
        )
        self.turns = turns.Turns(self._tell)
        servers.hear.append(self._hear)
        self.appender = appender.Appender(self.connection, STREAM, LIMITS, self._reader, plain_max)
        self.answers = []

    async def _tell(self, message):
        if self.connection.is_connected:
            self._servers.tell(message)

    def _hear(self, message):
        if self.connection.is_connected:
            fault = self.turns.hear(message)
            assert not fault, fault

    async def append(self, writes):
        record = [writes, None]
        self.answers.append(record)
        try:
            record[1] = await self.appender.submit(writes)
        except (Conflict, Unavailable, AssertionError) as error:
            record[1] = error
            raise
        return record[1]

    async def load(self, subject, after=0, **more):
        return await self._reader.load(subject, after, *more.values())

    async def read(self, after=0, *, follow=False):
        servers = self._servers
        if not follow:
            await asyncio.sleep(servers.delay())
            if not servers.led or not self.connection.is_connected:
                raise NoAnswer("the end of the stream is not known")
            if len(servers.stream.stored) > after:
                yield [recall(stored) for stored in servers.stream.stored[after:]]
            return
        while True:
            end = servers.look()
            if end <= after:
                watcher = servers.loop.create_future()
                servers.watchers.append(watcher)
                await watcher
                await asyncio.sleep(servers.random.expovariate(1 / servers.faults.feed_seconds))
                continue
            page = [recall(stored) for stored in servers.stream.stored[after:end]]
            after = end
            yield page

    async def find(self, sequence):
        return await self._reader.find(sequence)

    async def health(self):
        last = len(self._servers.stream.stored)
        return Health(min(1, last), last, last, 1)

    async def _load_end(self):
        return len(self._servers.stream.stored)

    async def close(self):
        await self.appender.close()


def recall(stored):
    """Return a stored message as the follower reads it; parsed once for all processes."""
    if stored.parsed is None:
        stored.parsed = parse_recorded(stored.sequence, stored.subject, stored.wire.headers, stored.wire.body)
    return stored.parsed


class Process:
    """One API process."""

    def __init__(self, name, servers, clock, plain_max):
        self.name = name
        self._clock = clock
        self.log = SimulatedLog(servers, plain_max)
        self.begin()

    def begin(self):
        """Begin with an empty memory."""
        self.handler = Handler(self.log, self._clock)
        follower = Follower(self.handler)
        follower.position = len(self.log._servers.stream.stored)
        self.following = start(self.name, follower.run())

    def forget(self):
        """Lose the memory, as a restart does."""
        self.following.cancel()
        self.begin()
