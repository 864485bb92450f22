"""The events that this process sent last, as bytes, so that a feed recognises them when they come back.

A feed checks what it delivers. An event that is byte for byte what this process sealed and sent needs no second check,
and its envelope is not read again.
"""

from events.envelope import Envelope
from marketplace.log.port import Message

SENT_MAX = 1_024
"""How many events are remembered, of those that have not come back."""


class Sent:
    """Remembers events by their header blocks."""

    def __init__(self) -> None:
        self._events: dict[bytes, tuple[str, Message]] = {}

    def put(self, subject: str, block: bytes, message: Message) -> None:
        """Remember an event that is being sent, and forget the oldest ones that never came back."""
        self._events[block] = subject, message
        while len(self._events) > SENT_MAX:
            del self._events[next(iter(self._events))]

    def take(self, subject: str, block: bytes, body: bytes) -> Envelope | None:
        """Return the envelope of a delivered message and forget it; None unless these very bytes were sent."""
        known = self._events.pop(block, None)
        if known is None or known[0] != subject or known[1].body != body:
            return None
        return known[1].envelope
