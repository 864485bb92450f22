"""Open event streams: their number, and how they end when their key or the process ends.

A server waits for its open connections before it stops, and a stream never ends by itself. The streams must therefore
be closed before the server is stopped.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Collection, Iterator
from typing import TypeVar

from marketplace.core.errors import Refusal, Unavailable

RETRY_SECONDS = 5
T = TypeVar("T")


class OpenStream:
    """One open stream.

    Attributes:
        key_id: The key that opened it.
        wake: Set when there may be new events, and when the stream must end.
        ended: Set when the stream must end.
    """

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self.wake = asyncio.Event()
        self.ended = asyncio.Event()

    def end(self) -> None:
        """End the stream at once, even while it waits."""
        self.ended.set()
        self.wake.set()

    async def unless_ended(self, awaitable: Awaitable[T]) -> T | None:
        """Return the result, or None as soon as the stream must end."""
        coming = asyncio.ensure_future(awaitable)
        ending = asyncio.create_task(self.ended.wait())
        try:
            await asyncio.wait({coming, ending}, return_when=asyncio.FIRST_COMPLETED)
            return None if self.ended.is_set() else coming.result()
        finally:
            ending.cancel()
            if not coming.done():
                coming.cancel()
            await asyncio.gather(ending, coming, return_exceptions=True)


class Streams:
    """The event streams of one process.

    Args:
        streams_max: Streams of the process.
        per_key_max: Streams of one key.
        per_party_max: Streams of all keys of one party.
    """

    def __init__(self, streams_max: int, per_key_max: int, per_party_max: int) -> None:
        self._streams_max = streams_max
        self._per_key_max = per_key_max
        self._per_party_max = per_party_max
        self._open: set[OpenStream] = set()
        self._by_key: Counter[str] = Counter()
        self._by_party: Counter[str] = Counter()
        self._is_closing = False

    def count(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def list_keys(self) -> Collection[str]:
        """Return the keys that have open streams."""
        return [key_id for key_id, count in self._by_key.items() if count]

    def require_room(self, key_id: str, tenant: str) -> None:
        """Refuse a stream above the limit.

        Raises:
            Refusal: ``streams_exhausted``.
            Unavailable: The process has its maximum of streams.
        """
        for of, count, count_max in (
            ("key", self._by_key[key_id], self._per_key_max),
            ("party", self._by_party[tenant], self._per_party_max),
        ):
            if count >= count_max:
                raise Refusal(
                    "streams_exhausted",
                    f"this {of} has {count} event streams open here, the maximum; close one first",
                    limit=count_max,
                    retry_after_seconds=RETRY_SECONDS,
                )
        if len(self._open) >= self._streams_max:
            raise Unavailable("event streams", f"{self._streams_max} are open here", RETRY_SECONDS)

    @contextlib.contextmanager
    def open(self, key_id: str, tenant: str) -> Iterator[OpenStream]:
        """Count a stream as open while the block runs.

        Raises:
            Refusal: As `require_room`, because others may have been opened meanwhile.
            Unavailable: As `require_room`.
        """
        self.require_room(key_id, tenant)
        stream = OpenStream(key_id)
        self._open.add(stream)
        self._by_key[key_id] += 1
        self._by_party[tenant] += 1
        if self._is_closing:
            stream.end()
        try:
            yield stream
        finally:
            self._open.discard(stream)
            for counter, name in ((self._by_key, key_id), (self._by_party, tenant)):
                counter[name] -= 1
                if not counter[name]:
                    del counter[name]

    def end_key(self, key_id: str) -> None:
        """End the streams of a key that no longer works."""
        for stream in self._open:
            if stream.key_id == key_id:
                stream.end()

    def close(self) -> None:
        """End every stream; call it before the server is stopped."""
        self._is_closing = True
        for stream in self._open:
            stream.end()
