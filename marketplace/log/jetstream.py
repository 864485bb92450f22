"""The log on NATS JetStream: opens and checks the stream, appends by group commit, reads in order (ADR 0001)."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Self

from events.subjects import STREAM
from marketplace.core.errors import Corrupt
from marketplace.log.appender import Appender
from marketplace.log.connection import Connection
from marketplace.log.port import Health, Limits, Recorded, Write
from marketplace.log.reader import Reader
from marketplace.log.stream import Stream, StreamInfo, check_durability, check_server_version, check_stream

_PLAIN_MAX_ONE_SERVER = 8
_PLAIN_MAX_CLUSTER = 1
_FIND_TRIES_MAX = 50
_FIND_SECONDS = 0.1
_FIRST_ANSWER_SECONDS_MAX = 2.0


class JetStreamLog:
    """Implements `Log`; make one with `open`."""

    def __init__(self, stream: Stream, appender: Appender, reader: Reader, warnings: tuple[str, ...]) -> None:
        self._stream = stream
        self._appender = appender
        self._reader = reader
        self._warnings = warnings

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        stream: str = STREAM,
        replicas: int = 1,
        admin_url: str | None = None,
        system_url: str | None = None,
        limits: Limits | None = None,
    ) -> Self:
        """Connect, make the stream where it is missing, and check that it can be trusted.

        Args:
            url: Servers and the application's user, separated by commas.
            stream: Name of the stream.
            replicas: How many servers must keep each event.
            admin_url: A user that may create the stream; the application's own by default.
            system_url: A user of the system account, to check that the servers sync each write; without one
                `health` warns that this is not known.
            limits: Bounds of queues, batches, pages, attempts and waiting.

        Raises:
            Unavailable: No server can be reached.
            Corrupt: The server is too old, the stream is not set up as a log, or it has lost events.
        """
        limits = limits or Limits()
        connection = await Connection.open(url, "marketplace")
        try:
            version = connection.client.connected_server_version
            check_server_version((version.major, version.minor, version.patch))
            named = Stream(connection, stream, limits.ack_seconds_max)
            info = await named.find() or await _create(named, replicas, admin_url)
            check_stream(stream, info, replicas)
            copies = max(replicas, _read_copies(info))
            if system_url is None:
                warnings: tuple[str, ...] = ("whether the servers sync each write is not known: give the system URL",)
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
            patience_seconds=limits.append_seconds_max,
        )
        plain_max = _PLAIN_MAX_CLUSTER if copies > 1 else _PLAIN_MAX_ONE_SERVER
        return cls(named, Appender(connection, stream, limits, reader, plain_max), reader, warnings)

    async def append(self, writes: Sequence[Write]) -> int:
        """See `Log.append`."""
        return await self._appender.append(writes)

    async def load(self, subject: str, after: int = 0) -> list[Recorded]:
        """See `Log.load`."""
        return await self._reader.load(subject, after)

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
        return dataclasses.replace(health, warnings=self._warnings + health.warnings)

    async def close(self) -> None:
        """See `Log.close`."""
        await self._appender.close()
        await self._stream.connection.close()


async def _create(stream: Stream, replicas: int, admin_url: str | None) -> StreamInfo:
    if admin_url is None:
        await stream.create(replicas)
    else:
        connection = await Connection.open(admin_url, "marketplace-admin")
        try:
            await dataclasses.replace(stream, connection=connection).create(replicas)
        finally:
            await connection.close()
    for _ in range(_FIND_TRIES_MAX):
        info = await stream.find()
        if info is not None:
            return info
        await asyncio.sleep(_FIND_SECONDS)  # another server of the cluster may answer before it has heard of it
    raise Corrupt(f"stream {stream.name} was created and is not there: do both URLs name the same account?")


def _read_copies(info: StreamInfo) -> int:
    copies = info.config.get("num_replicas", 1)
    return copies if isinstance(copies, int) else 1
