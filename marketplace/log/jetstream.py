"""The log on NATS JetStream: opens and checks the stream, appends by group commit, reads in order (ADR 0001)."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Self, TypeVar

from nats.aio.msg import Msg

from events.subjects import STREAM, TURNS
from marketplace.core.errors import Corrupt, Unavailable
from marketplace.log.appender import Appender
from marketplace.log.connection import Connection
from marketplace.log.port import Health, Limits, Recorded, Write
from marketplace.log.reader import Reader
from marketplace.log.storage import FAILURE_PUBLIC, StorageWatch
from marketplace.log.stream import Stream, StreamInfo, check_durability, check_server_version, check_stream
from marketplace.log.turns import Turns

_PLAIN_MAX_ONE_SERVER = 8
_PLAIN_MAX_CLUSTER = 1
_FIND_TRIES_MAX = 50
_PAUSE_SECONDS = 0.1
_ANSWER_SECONDS_MAX = 1.0
_FIRST_ANSWER_SECONDS_MAX = 2.0

_Answer = TypeVar("_Answer")


class JetStreamLog:
    """Implements `Log`; make one with `open`."""

    def __init__(
        self,
        stream: Stream,
        appender: Appender,
        reader: Reader,
        storage: StorageWatch,
        *,
        turns: Turns,
        warnings: tuple[str, ...],
    ) -> None:
        self._stream = stream
        self._appender = appender
        self._reader = reader
        self._storage = storage
        self._warnings = warnings
        self.turns = turns

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        stream: str = STREAM,
        replicas: int = 1,
        admin_url: str | None = None,
        system_url: str | None = None,
        inbox_prefix: str | None = None,
        limits: Limits | None = None,
    ) -> Self:
        """Connect, create the stream if it is missing, and check that it can be trusted.

        Args:
            url: Servers and the application's user, separated by commas.
            stream: Name of the stream.
            replicas: How many servers must store each event.
            admin_url: A user that may create the stream; the application's own by default.
            system_url: A user of the system account, to check that the servers sync each write and have room on their
                disks. Without one, `health` warns that syncing is not checked.
            inbox_prefix: Where the application's user receives answers; by default ``_INBOX_`` and its name.
            limits: Bounds of queues, batches, pages, attempts and waiting.

        Raises:
            Unavailable: No server can be reached.
            Corrupt: The server is too old, the stream is not set up as a log, or it has lost a disk.
        """
        limits = limits or Limits()
        connection = await Connection.open(url, "marketplace", inbox_prefix=inbox_prefix)
        try:
            version = connection.client.connected_server_version
            check_server_version((version.major, version.minor, version.patch))
            named = Stream(connection, stream, limits.ack_seconds_max)
            opening = _Opening(named, replicas, admin_url, limits.append_seconds_max)
            info = await opening.find() or await opening.create()
            check_stream(stream, info, replicas)
            copies = max(replicas, _read_copies(info))
            if system_url is None:
                warnings: tuple[str, ...] = (
                    "it is not known whether the servers sync each write: give the system URL",
                )
            else:
                warnings = await check_durability(system_url, copies, _FIRST_ANSWER_SECONDS_MAX)
        except BaseException:
            await connection.close()
            raise
        reader = Reader(
            connection,
            stream,
            page_max=limits.page_messages_max,
            seconds_max=limits.ack_seconds_max,
            stalled_seconds_max=limits.append_seconds_max,
            load_end=named.load_end,
        )
        system = None if system_url is None else await Connection.open(system_url, "marketplace-storage")
        storage = StorageWatch(connection, system, copies)
        plain_max = _PLAIN_MAX_CLUSTER if copies > 1 else _PLAIN_MAX_ONE_SERVER
        appender = Appender(connection, stream, limits, reader, plain_max)
        turns = await _open_turns(connection, stream)
        return cls(named, appender, reader, storage, turns=turns, warnings=warnings)

    def count_reconnections(self) -> int:
        """Return how often the connection to the servers was lost."""
        return self._stream.connection.lost

    async def append(self, writes: Sequence[Write]) -> int:
        """See `Log.append`."""
        return await self._storage.append(writes, self._appender.submit)

    async def load(self, subject: str, after: int = 0, *, previous_hash: str | None = None) -> list[Recorded]:
        """See `Log.load`."""
        return await self._reader.load(subject, after, previous_hash)

    async def read(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[list[Recorded]]:
        """See `Log.read`."""
        end = None if follow else (await self.health()).last_sequence
        async for page in self._reader.read(after, end):
            yield page

    async def find(self, sequence: int) -> Recorded | None:
        """See `Log.find`."""
        return await self._reader.find(sequence)

    async def health(self) -> Health:
        """See `Log.health`."""
        health = await self._stream.load_health()
        warnings, failure = self._warnings + health.warnings, self._storage.failure
        if not failure:
            return dataclasses.replace(health, warnings=warnings)
        return dataclasses.replace(
            health, warnings=warnings, append_failure=failure, append_failure_public=FAILURE_PUBLIC
        )

    async def close(self) -> None:
        """See `Log.close`."""
        await self._storage.close()
        await self._appender.close()
        await self._stream.connection.close()


async def _open_turns(connection: Connection, stream: str) -> Turns:
    """Return the turns of this process, connected to those of the others."""
    subject = f"{TURNS}.{stream}"
    turns = Turns(partial(connection.tell, subject))

    async def hear(message: Msg) -> None:
        fault = turns.hear(message.data)
        if fault:
            connection.drop(subject, fault)

    await connection.client.subscribe(subject, cb=hear)
    return turns


@dataclasses.dataclass(frozen=True, slots=True)
class _Opening:
    """Finds the stream, or creates it, while other processes do the same and the cluster elects leaders."""

    stream: Stream
    replicas: int
    admin_url: str | None
    seconds_max: float

    async def find(self) -> StreamInfo | None:
        """Return the servers' description of the stream, or None."""
        return await self._ask(dataclasses.replace(self.stream, seconds_max=_ANSWER_SECONDS_MAX).find)

    async def create(self) -> StreamInfo:
        """Create the stream as the user that may, and wait until the application's user sees it.

        Raises:
            Corrupt: It was created, and the application's user does not see it.
        """
        if self.admin_url is None:
            await self._ask(partial(self.stream.create, self.replicas))
        else:
            connection = await Connection.open(self.admin_url, "marketplace-admin")
            try:
                stream = dataclasses.replace(self.stream, connection=connection)
                await self._ask(partial(stream.create, self.replicas))
            finally:
                await connection.close()
        for _ in range(_FIND_TRIES_MAX):
            info = await self.find()
            if info is not None:
                return info
            await asyncio.sleep(_PAUSE_SECONDS)  # Another server may answer before it knows the stream.
        name = self.stream.name
        raise Corrupt(f"stream {name} was created but cannot be found: do both URLs name the same account?")

    async def _ask(self, question: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Ask until there is an answer: a cluster that elects a leader, or a stream without one, gives none.

        Raises:
            Unavailable: No server answers in the time allowed.
        """
        deadline = time.monotonic() + self.seconds_max
        while True:
            try:
                return await question()
            except Unavailable:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)


def _read_copies(info: StreamInfo) -> int:
    copies = info.config.get("num_replicas", 1)
    return copies if isinstance(copies, int) else 1
