"""A log that counts what is read, holds appends back, and fails those that a test names."""

import asyncio
from dataclasses import replace

from marketplace.core.errors import Conflict, Unavailable
from marketplace.log.port import Head
from tests.support.patience import PATIENCE_SECONDS


class Meddling:
    """Stands between a handler and a log.

    Attributes:
        loads: What was read, as (subject, after).
        appends: For each append, whether it was built on heads that were still pending.
        faults: What happens to the append of that number, counted from 0: ``conflict``, ``lost`` (nothing was stored
            and nobody knows) or ``unanswered`` (stored, and nobody knows). A type of event in place of a number
            means the first append that holds one.
        before: What to await, once, before the first append that holds an event of that type.
        after_load: What to await, once, between the next read and its answer.
        dies_after: After so many appends the process hears nothing any more; None for never.
        dies_storing: Whether the append at which it dies is stored.
        dead: Set once it hears nothing any more.
    """

    def __init__(self, log):
        self.log = log
        self.turns = log.turns
        self.loads = []
        self.appends = []
        self.faults = {}
        self.before = {}
        self.after_load = None
        self.dies_after = None
        self.dies_storing = False
        self.dead = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._turn = asyncio.Lock()
        self._asked = asyncio.Condition()

    def hold(self):
        """Keep appends waiting, in order, until they are let go."""
        self._open.clear()

    def let_go(self):
        self._open.set()

    async def until_appends(self, count):
        """Wait until so many appends were asked for."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._asked:
            await self._asked.wait_for(lambda: len(self.appends) >= count)

    def _take_fault(self, number, writes):
        types = [message.envelope.type for write in writes for message in write.messages]
        return next((self.faults.pop(key) for key in (number, *types) if key in self.faults), None)

    async def _intervene(self, writes):
        types = {message.envelope.type for write in writes for message in write.messages}
        for name in types & set(self.before):
            await self.before.pop(name)()

    async def _tell(self):
        async with self._asked:
            self._asked.notify_all()

    async def append(self, writes):
        handed = []
        try:
            return await self._append(writes, handed)
        except asyncio.CancelledError:
            for write in writes if not handed else ():
                write.head.fail()  # no log was asked for it, so that nobody else will say so
            raise

    async def _append(self, writes, handed):
        await self._intervene(writes)
        number = len(self.appends)
        if self.dies_after is not None and number >= self.dies_after:
            if self.dies_storing and number == self.dies_after:
                self.appends.append(False)
                async with self._turn:
                    await self.log.append(writes)
            self.dead.set()
            await asyncio.Event().wait()
        self.appends.append(any(write.after.sequence is None for write in writes))
        asked = asyncio.create_task(self._tell())
        async with self._turn:
            await asked
            await self._open.wait()
            fault = self._take_fault(number, writes)
            if fault is None:
                handed.append(True)
                return await self.log.append(writes)
            if fault == "unanswered":
                await self.log.append([replace(write, head=Head(write.head.subject, None)) for write in writes])
            for write in writes:
                write.head.fail()
            if fault == "conflict":
                raise Conflict(writes[0].after.subject)
            raise Unavailable("NATS", f"the append was {fault}")

    async def load(self, subject, after=0, *, previous_hash=None):
        self.loads.append((subject, after))
        events = await self.log.load(subject, after, previous_hash=previous_hash)
        if self.after_load is not None:
            after_load, self.after_load = self.after_load, None
            await after_load()
        return events

    def read(self, after=0, *, follow=False):
        return self.log.read(after, follow=follow)

    async def find(self, sequence):
        return await self.log.find(sequence)

    async def health(self):
        return await self.log.health()

    async def close(self):
        await self.log.close()
