"""The log in memory, with the same rules as on JetStream, for tests and experiments. It is lost with its process."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from marketplace.core.errors import Conflict, MarketplaceError, Unavailable
from marketplace.log.codec import Links, check_history, check_recorded
from marketplace.log.port import Head, Health, Limits, Recorded, Write
from marketplace.log.turns import Turns
from marketplace.log.writes import check_writes


class MemoryLog:
    """Implements `Log` on a list.

    Args:
        limits: Bounds of appends and pages; `Limits()` if None.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.turns = Turns()
        self._events: list[Recorded] = []
        self._checked: list[Recorded] = []
        self._tails: dict[str, list[int]] = {}
        self._once: set[str] = set()
        self._grown = asyncio.Condition()
        self._closed = False

    async def append(self, writes: Sequence[Write]) -> int:
        """See `Log.append`."""
        try:
            check_writes(writes, self._limits)
            if self._closed:
                raise Unavailable("the log", "it was closed")
            self._check_guards(writes)
        except Conflict:
            if self._resolve_stored(writes):
                return max(write.head.sequence or 0 for write in writes)
            _fail(writes)
            raise
        except (MarketplaceError, AssertionError):
            _fail(writes)
            raise
        for write in writes:
            self._store(write)
        async with self._grown:
            self._grown.notify_all()
        return len(self._events)

    def _resolve_stored(self, writes: Sequence[Write]) -> bool:
        """Return whether exactly these events are already stored, and set their heads if so."""
        found: list[int] = []
        for write in writes:
            stored = {self._events[n - 1].envelope.hash: n for n in self._tails.get(write.after.subject, ())}
            if any(message.envelope.hash not in stored for message in write.messages):
                return False
            found.append(stored[write.messages[-1].envelope.hash])
        for write, sequence in zip(writes, found, strict=True):
            write.head.settle(sequence)
        return True

    def _check_guards(self, writes: Sequence[Write]) -> None:
        made: dict[str, Head] = {}
        for write in writes:
            subject = write.after.subject
            last = self._last(subject)
            if write.after.failed:
                raise Conflict(subject, None, last)
            if made.get(subject) is not write.after:
                if write.after.sequence is None:
                    raise AssertionError(f"{subject}: the head before this write was never appended")
                if write.after.sequence != last:
                    raise Conflict(subject, write.after.sequence, last)
            made[subject] = write.head
        for message in (message for write in writes for message in write.messages):
            if message.once in self._once:
                raise Conflict(f"an append named {message.once}")

    def _store(self, write: Write) -> None:
        tail = self._tails.setdefault(write.after.subject, [])
        for message in write.messages:
            sequence = len(self._events) + 1
            self._events.append(Recorded(sequence, write.after.subject, message.envelope, message.body))
            tail.append(sequence)
            if message.once:
                self._once.add(message.once)
        write.head.settle(len(self._events))

    def _last(self, subject: str) -> int:
        tail = self._tails.get(subject)
        return tail[-1] if tail else 0

    async def load(self, subject: str, after: int = 0, *, previous_hash: str | None = None) -> list[Recorded]:
        """See `Log.load`."""
        events = [self._get(sequence) for sequence in self._tails.get(subject, ()) if sequence > after]
        return check_history(events, previous_hash if after else "")

    def _get(self, sequence: int) -> Recorded:
        """Return an event, which is checked when first read."""
        for event in self._events[len(self._checked) : sequence]:
            self._checked.append(check_recorded(event))
        return self._checked[sequence - 1]

    async def read(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[list[Recorded]]:
        """See `Log.read`."""
        end = len(self._events)
        position, links = after, Links(after)
        while follow or position < end:
            limit = min(position + self._limits.page_messages_max, len(self._events) if follow else end)
            page = [links.check(self._get(sequence)) for sequence in range(position + 1, limit + 1)]
            if page:
                position = page[-1].sequence
                yield page
                continue
            async with self._grown:
                while len(self._events) <= position:
                    await self._grown.wait()

    async def find(self, sequence: int) -> Recorded | None:
        """See `Log.find`."""
        return self._get(sequence) if 1 <= sequence <= len(self._events) else None

    async def health(self) -> Health:
        """See `Log.health`."""
        last = len(self._events)
        return Health(first_sequence=min(1, last), last_sequence=last, messages=last, replicas=1)

    async def close(self) -> None:
        """See `Log.close`."""
        self._closed = True


def _fail(writes: Sequence[Write]) -> None:
    for write in writes:
        write.head.fail()
