"""Each process follows the log: what other processes store makes its cache forget, and moves its clock."""

from collections.abc import Callable

from events.clock import ClockAdvanced
from events.subjects import render_subject
from marketplace.domain.clock import CLOCK_ID
from marketplace.log.events import parse_event
from marketplace.log.port import Recorded
from marketplace.runtime.handler import Handler

_CLOCK_SUBJECT = render_subject("clock", CLOCK_ID)
Listener = Callable[[list[Recorded]], None]


class Follower:
    """Reads the log from where the process began, for ever.

    Attributes:
        position: Sequence of the last event seen.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._listeners: list[Listener] = []
        self.position = 0

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every page of events from now on; it must not block."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Stop calling a listener."""
        self._listeners.remove(listener)

    async def start(self) -> None:
        """Take the clock and the position from the log as it stands."""
        for recorded in await self._handler.log.load(_CLOCK_SUBJECT):
            self._advance(recorded)
        self.position = (await self._handler.log.health()).last_sequence

    async def run(self) -> None:
        """Follow the log until cancelled."""
        async for page in self._handler.log.read(self.position, follow=True):
            for recorded in page:
                self._handler.cache.notice(recorded)
                if recorded.subject == _CLOCK_SUBJECT:
                    self._advance(recorded)
            self.position = page[-1].sequence
            for listener in list(self._listeners):
                listener(page)

    def _advance(self, recorded: Recorded) -> None:
        event = parse_event(recorded)
        if isinstance(event, ClockAdvanced):
            self._handler.clock.offset_seconds = event.offset_seconds
