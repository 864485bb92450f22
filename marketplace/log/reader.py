"""Reading the stream: one aggregate and short ranges by direct get, everything else by an ordered consumer."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
from nats.aio.msg import Msg

from events.subjects import ALL
from marketplace.core.errors import Corrupt, Unavailable
from marketplace.log.codec import parse_recorded
from marketplace.log.connection import Connection, NoAnswer, call_api
from marketplace.log.feed import open_feed
from marketplace.log.port import Recorded
from marketplace.log.stream import read_error

_RESTART_SECONDS = 0.1
_ATTEMPT_SECONDS_MAX = 1.0
_MESSAGE_NOT_FOUND = 10037
_Answer = TypeVar("_Answer")


class Reader:
    """Reads one stream.

    Args:
        connection: Where from.
        stream: Its name.
        page_max: Messages in a page.
        seconds_max: How long to wait for one answer.
        patience_seconds: How long a read that ends may stand still, long enough for an election.
        replicated: Whether a direct get may be answered by a replica that is behind.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        *,
        page_max: int,
        seconds_max: float,
        patience_seconds: float,
        replicated: bool,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._page_max = page_max
        self._seconds_max = seconds_max
        self._patience_seconds = patience_seconds
        self._replicated = replicated

    async def load(self, subject: str, after: int) -> list[Recorded]:
        """Return the events of one subject after a sequence, up to the leader's last one.

        Raises:
            Unavailable: No answer.
            Corrupt: What is stored there is not an event.
        """
        events: list[Recorded] = []
        end = asyncio.ensure_future(self._find_last(subject)) if self._replicated else None
        try:
            more = True
            while more:
                last_read = events[-1].sequence if events else after
                page, more = await self._load_page(subject, last_read, self._page_max)
                events += page
        finally:
            last = await end if end is not None else 0
        while (events[-1].sequence if events else after) < last:
            following = await self._get(
                {"seq": (events[-1].sequence if events else after) + 1, "next_by_subj": subject}
            )
            if following is None:
                break
            events.append(following)
        return events

    async def _load_page(self, subject: str, after: int, count: int) -> tuple[list[Recorded], bool]:
        """Return a page by one direct get, and whether there is more."""
        *found, end = await self._get_many({"seq": after + 1, "next_by_subj": subject, "batch": count})
        headers = end.headers or {}
        return [_parse_direct(answer) for answer in found], int(headers.get("Nats-Num-Pending", "0")) > 0

    async def find_lasts(self, subjects: Sequence[str]) -> dict[str, int]:
        """Return the last sequence of each subject that has one, as some replica knows it."""
        lasts: dict[str, int] = {}
        for first in range(0, len(subjects), self._page_max):
            *found, _ = await self._get_many({"multi_last": subjects[first : first + self._page_max]})
            for message in found:
                headers = message.headers or {}
                lasts[headers["Nats-Subject"]] = int(headers["Nats-Sequence"])
        return lasts

    async def _get_many(self, request: Mapping[str, object]) -> list[Msg]:
        """Return the answers to a direct get, the closing status included."""
        payload = msgspec.json.encode(request)

        async def ask(seconds_max: float) -> list[Msg]:
            return await self._connection.request_many(
                f"$JS.API.DIRECT.GET.{self._stream}", payload, is_last=_is_status, seconds_max=seconds_max
            )

        return await self._ask_again(ask)

    async def _find_last(self, subject: str) -> int:
        last = await self._get({"last_by_subj": subject})
        return last.sequence if last is not None else 0

    async def find(self, sequence: int) -> Recorded | None:
        """Return the event at a sequence, as the leader knows it."""
        return await self._get({"seq": sequence}) if sequence > 0 else None

    async def _get(self, request: Mapping[str, object]) -> Recorded | None:
        """Ask the leader for one message."""

        async def ask(seconds_max: float) -> dict[str, object]:
            return await call_api(
                self._connection, f"$JS.API.STREAM.MSG.GET.{self._stream}", request, seconds_max=seconds_max
            )

        answer = await self._ask_again(ask)
        error = read_error(answer)
        if error is None:
            return _parse_stored(answer)
        if error[0] == _MESSAGE_NOT_FOUND:
            return None
        raise Unavailable("NATS", f"stream {self._stream} cannot be read: {error[1]} (error {error[0]})")

    async def _ask_again(self, ask: Callable[[float], Awaitable[_Answer]]) -> _Answer:
        """Return an answer; where none comes, ask again for as long as one may take: a leader may be in election."""
        deadline = time.monotonic() + self._seconds_max
        while True:
            try:
                return await ask(min(_ATTEMPT_SECONDS_MAX, self._seconds_max))
            except NoAnswer:
                if time.monotonic() + _RESTART_SECONDS > deadline:
                    raise
            await asyncio.sleep(_RESTART_SECONDS)

    async def read(self, after: int, end: int | None) -> AsyncIterator[list[Recorded]]:
        """Yield pages after a sequence: up to `end`, or for ever where it is None.

        Raises:
            Unavailable: With an end, when no event came for as long as its patience lasts.
            Corrupt: A sequence is missing, or a message is not an event.
        """
        position = after
        if end is not None and 0 < end - position <= self._page_max:
            page, _ = await self._load_page(ALL, position, end - position)
            if page:
                _check_follows(page, position)
                position = page[-1].sequence
                yield page
        progress = time.monotonic()
        while end is None or position < end:
            try:
                await self._connection.wait_connected(time.monotonic() + self._seconds_max)
                async with open_feed(
                    self._connection,
                    self._stream,
                    position,
                    page_max=self._page_max,
                    seconds_max=self._seconds_max,
                ) as feed:
                    async for page in feed.pages():
                        wanted = page if end is None else page[: end - position]
                        position = wanted[-1].sequence
                        yield wanted
                        progress = time.monotonic()
                        if position == end:
                            return
            except NoAnswer:
                if end is not None and time.monotonic() - progress > self._patience_seconds:
                    raise
            await asyncio.sleep(_RESTART_SECONDS)


class _StoredMessage(msgspec.Struct):
    subject: str
    seq: int
    hdrs: bytes = b""
    data: bytes = b""


def _check_follows(page: list[Recorded], after: int) -> None:
    for expected, event in enumerate(page, after + 1):
        if event.sequence != expected:
            raise Corrupt(
                f"the event after sequence {expected - 1} has sequence {event.sequence}: the events between are "
                "missing; restore the log"
            )


def _parse_direct(message: Msg) -> Recorded:
    headers = message.headers or {}
    return parse_recorded(int(headers["Nats-Sequence"]), headers["Nats-Subject"], headers, message.data)


def _parse_stored(answer: Mapping[str, object]) -> Recorded:
    stored = msgspec.convert(answer["message"], _StoredMessage)
    lines = stored.hdrs.decode(errors="replace").split("\r\n")[1:]
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    return parse_recorded(stored.seq, stored.subject, headers, stored.data)


def _is_status(message: Msg) -> bool:
    return not message.data and "Status" in (message.headers or {})
