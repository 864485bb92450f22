"""Open event streams: how many there are, and how they end when the process does.

A server waits for its open connections before it stops, and a stream never ends by itself; so whoever stops the server
closes the streams first.
"""

import asyncio
import contextlib
from collections.abc import Iterator


class Streams:
    """The event streams of one process.

    Attributes:
        closing: Whether they are to end.
    """

    def __init__(self) -> None:
        self.closing = False
        self._wakes: set[asyncio.Event] = set()

    def count(self) -> int:
        """Return how many are open."""
        return len(self._wakes)

    @contextlib.contextmanager
    def open(self) -> Iterator[asyncio.Event]:
        """Count a stream as open while the block runs, and yield the event that wakes it."""
        wake = asyncio.Event()
        self._wakes.add(wake)
        try:
            yield wake
        finally:
            self._wakes.discard(wake)

    def close(self) -> None:
        """End every stream; call it before the server is stopped."""
        self.closing = True
        for wake in self._wakes:
            wake.set()
