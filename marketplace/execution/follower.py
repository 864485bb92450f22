"""Each process follows the log. Events of other processes invalidate its cache and move its clock.

A process that does not follow the log may serve outdated state: for example, a party may have been suspended since.
Whoever accepts commands therefore checks first that the follower is current.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from events.clock import ClockAdvanced
from events.subjects import LOG_SUBJECT, parse_subject, render_subject
from events.types import Event
from marketplace.core.errors import LogChanged, Unavailable, UnreadableEvent
from marketplace.domain.clock import CLOCK_ID
from marketplace.domain.deciders import DECIDERS
from marketplace.domain.metering.usage import USAGE
from marketplace.execution.handler import Handler
from marketplace.log.annotations import find_annotated
from marketplace.log.events import parse_event
from marketplace.log.port import Recorded

BEHIND_SECONDS_MAX: Final = 5.0
"""The most seconds that the follower may need to see an event that is known to be stored."""

RESTART_SECONDS: Final = 1.0
"""Wait before following again after an error."""
_CLOCK_SUBJECT: Final = render_subject("clock", CLOCK_ID)
_OF_PROCESS: Final = frozenset({_CLOCK_SUBJECT, LOG_SUBJECT})
"""The aggregates whose events change more than a state."""
Listener = Callable[[list[Recorded]], None]
_logger = structlog.get_logger(__name__)


class Follower:
    """Reads the log continuously, starting where the process started.

    Args:
        handler: The handler whose cache and clock are updated.
        get_end: Returns the last sequence that the process knows to be stored; 0 if it knows of none.

    Attributes:
        position: Sequence of the last event seen.
        unreadable: Events seen that cannot be read, by sequence. An annotation removes its event from this set.
    """

    def __init__(self, handler: Handler, get_end: Callable[[], int] = lambda: 0) -> None:
        self._handler = handler
        self._get_end = get_end
        self._listeners: list[Listener] = []
        self._failure = ""
        self._target = 0
        self._since = 0.0
        self.position = 0
        self.unreadable: dict[int, UnreadableEvent] = {}

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every page of events from now on. It must not block."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Stop calling a listener."""
        self._listeners.remove(listener)

    async def start(self) -> None:
        """Take the end of the log as the position, and set the clock from the log. `run` goes on from there.

        Raises:
            Unavailable: The log cannot be read.
        """
        self.position = (await self._handler.log.health()).last_sequence
        for recorded in await self._handler.log.load(_CLOCK_SUBJECT):
            event = self._parse(recorded)
            if isinstance(event, ClockAdvanced):
                self._handler.clock.offset_seconds = event.offset_seconds

    async def run(self) -> None:
        """Follow the log until cancelled. After any other error, log it and resume at the same position.

        Raises:
            LogChanged: This is a different log.
        """
        while True:
            try:
                await self._follow()
            except LogChanged as error:
                self._failure = str(error)
                raise
            except Exception as error:
                # The top of a worker: whatever error a page causes, the process must not go on serving outdated state.
                self._failure = f"following stopped after event {self.position}: {error}"
                _logger.exception("follower_ended", position=self.position, reason=str(error))
            await asyncio.sleep(RESTART_SECONDS)

    async def _follow(self) -> None:
        async for page in self._handler.log.read(self.position, follow=True):
            for recorded in page:
                self._take(recorded)
            for listener in list(self._listeners):
                listener(page)
            self.position = page[-1].sequence
            self._failure = ""

    def _take(self, recorded: Recorded) -> None:
        self._handler.processed.notice(recorded)
        if recorded.subject not in _OF_PROCESS and self._handler.cache.includes(recorded):
            return
        event = self._parse(recorded)
        aggregate, _ = parse_subject(recorded.subject)
        if event is None or aggregate == USAGE.aggregate:
            self._handler.cache.notice(recorded)
        else:
            self._handler.cache.apply(DECIDERS[aggregate], recorded, event)
        if isinstance(event, ClockAdvanced):
            self._handler.clock.offset_seconds = event.offset_seconds
        if event is not None and recorded.subject == LOG_SUBJECT and (annotated := find_annotated(event)) is not None:
            sequence, subjects = annotated
            self._handler.cache.forget_at(sequence, subjects)
            self.unreadable.pop(sequence, None)

    def _parse(self, recorded: Recorded) -> Event | None:
        """Return the event; None where it has no effect or cannot be read."""
        try:
            return None if recorded.void else parse_event(recorded)
        except UnreadableEvent as error:
            self._note(error)
            return None

    def _note(self, error: UnreadableEvent) -> None:
        if error.sequence not in self.unreadable:
            _logger.error("event_unreadable", sequence=error.sequence, subject=error.subject, reason=str(error))
        self.unreadable[error.sequence] = error

    def find_fault(self) -> str:
        """Return why this process may be behind the log; empty if it is current."""
        if self._failure:
            return self._failure
        now = time.monotonic()
        if self.position >= self._target:
            self._target, self._since = self._get_end(), now
        elif now - self._since > BEHIND_SECONDS_MAX:
            return (
                f"it is at event {self.position} and has not seen event {self._target} for more than "
                f"{BEHIND_SECONDS_MAX:.0f} s"
            )
        return ""

    def require_current(self) -> None:
        """Return if this process is current with the log.

        Raises:
            Unavailable: It is not current; the text says why.
        """
        fault = self.find_fault()
        if fault:
            raise Unavailable("the follower", fault)
