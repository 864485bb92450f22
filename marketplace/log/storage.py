"""Whether the servers can store events now, and if not, which disk is full.

A nats-server with a full disk answers everything except appends: those get no answer, or an error that a batch is
incomplete. After a failed write it stores nothing until it is restarted, even if there is room again. The servers are
therefore asked once a second, so that an append fails at once and names the server and the folder. If the folder is on
this machine, appends stop a little before the disk is full, so that no server's write fails.

Only users of the system account may ask. Without one, only failing appends show the fault.
"""

import asyncio
import contextlib
import re
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
import structlog
from nats.aio.msg import Msg

from marketplace.core.errors import Unavailable
from marketplace.log.connection import Connection, NoAnswer
from marketplace.log.port import Write

STORAGE: Final = "the log's storage"
POLL_SECONDS: Final = 1.0
FREE_BYTES_LEAST: Final = 16 * 1024 * 1024
"""Free bytes below which nothing is appended, on a disk that this process can see."""

RETRY_AFTER_SECONDS: Final = 10
FAILURE_SECONDS: Final = 30.0
"""How long a failed append counts as the state of the log if no append succeeds after it."""

FAILURE_PUBLIC: Final = "appends to the log fail, for example because a disk is full; the API's log names the server"

_logger = structlog.get_logger(__name__)
_HEALTH: Final = "$SYS.REQ.SERVER.PING.HEALTHZ"
_STORAGE: Final = "$SYS.REQ.SERVER.PING.JSZ"
_WRITE_ERROR: Final = re.compile(r"write error: (?:write (?P<path>\S+): )?(?P<cause>.*)")
_NEARLY: Final = 0.98
_Said = TypeVar("_Said", bound="_Health | _Storage")


class ServerStorage(msgspec.Struct, frozen=True, kw_only=True):
    """One server's report on its disk.

    Attributes:
        name: The server.
        folder: Where it stores, on its own machine.
        write_error: Why it stores nothing; empty if it does.
        stored_bytes: The bytes that it stores now.
        bytes_max: The most bytes that it may store.
        free_bytes: Free bytes of the disk; None if it is on another machine.
    """

    name: str
    folder: str
    write_error: str = ""
    stored_bytes: int = 0
    bytes_max: int = 0
    free_bytes: int | None = None

    @property
    def stores(self) -> bool:
        """Whether it can store events now."""
        return not self.write_error and (self.free_bytes is None or self.free_bytes >= FREE_BYTES_LEAST)

    @property
    def is_full(self) -> bool:
        """Whether it refuses appends because it has reached its storage limit."""
        return self.bytes_max > 0 and self.stored_bytes > _NEARLY * self.bytes_max

    def describe(self) -> str:
        """Return the server, the folder, why it does not store, and the remedy."""
        free = "" if self.free_bytes is None else f", {self.free_bytes} bytes are free"
        if self.write_error:
            is_full = self.free_bytes is not None and self.free_bytes < FREE_BYTES_LEAST
            server = f"nats-server {self.name}"
            what = f"the disk of {server} is full:" if is_full else f"{server} cannot write to"
            return (
                f"{what} {self.folder}: {self.write_error}{free}; make room on that disk and restart the server "
                "(`marketplace up` restarts it by itself)"
            )
        if not self.stores:
            return (
                f"the disk of nats-server {self.name} is full: {self.folder}{free} and {FREE_BYTES_LEAST} are needed; "
                "make room on that disk"
            )
        return (
            f"nats-server {self.name} stores {self.stored_bytes} of the {self.bytes_max} bytes that it may store in "
            f"{self.folder}{free}; make room on that disk or raise max_file_store, and restart the server "
            "(`marketplace up` does so by itself)"
        )


def _measure_free(folder: str) -> int | None:
    """Return the free bytes of a folder's disk; None if it is on another machine."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


class _ServersFullError(Exception):
    """Ends the wait for an append that the servers cannot store now."""


class StorageWatch:
    """Tracks whether enough servers store, and ends waiting appends as soon as they do not.

    Args:
        connection: The application's.
        system: A connection of the system account; None if there is none.
        copies: How many servers must store each event.
    """

    def __init__(self, connection: Connection, system: Connection | None, copies: int) -> None:
        self._connection = connection
        self._system = system
        self._copies = copies
        self._reason = ""
        self._failure = ""
        self._failed_at = 0.0
        self._lost = 0
        self._waiting: set[asyncio.Future[int]] = set()
        self._task = asyncio.create_task(self._run(), name="log-storage") if system is not None else None

    @property
    def failure(self) -> str:
        """Return why appends fail now; empty if they do not.

        Without a system connection, only a failed append of the last `FAILURE_SECONDS` shows it.
        """
        if self._reason:
            return self._reason
        is_recent = time.monotonic() - self._failed_at < FAILURE_SECONDS and self._lost == self._connection.lost
        return self._failure if is_recent else ""

    async def append(self, writes: Sequence[Write], submit: Callable[[Sequence[Write]], asyncio.Future[int]]) -> int:
        """Submit an append, and return the sequence of its last event.

        Raises:
            Unavailable: The servers cannot store. If this is found while the append waits, the append may still be
                stored. The text says which.
        """
        if self._reason:
            for write in writes:
                write.head.fail()
            raise Unavailable(STORAGE, f"nothing was stored: {self._reason}", RETRY_AFTER_SECONDS)
        try:
            answer = submit(writes)
            self._waiting.add(answer)
            try:
                sequence = await answer
            finally:
                self._waiting.discard(answer)
        except _ServersFullError:
            text = (
                f"no answer to an append; send the same command again to find out whether it was stored: {self._reason}"
            )
            raise Unavailable(STORAGE, text, RETRY_AFTER_SECONDS) from None
        except Unavailable as error:
            raise await self._explain(error) from error
        self._failure = ""
        return sequence

    async def _explain(self, error: Unavailable) -> Unavailable:
        """Return an append's failure with the servers' reports on their disks."""
        full = [server for server in await self.load() if not server.stores or server.is_full]
        text = "; ".join([str(error).partition(" is unavailable: ")[2], *(server.describe() for server in full)])
        self._failure, self._failed_at, self._lost = text, time.monotonic(), self._connection.lost
        return Unavailable(STORAGE if full else error.what, text, error.retry_after_seconds)

    async def _run(self) -> None:
        while True:
            bad = [server for server in await self.load() if not server.stores]
            if len(bad) > self._copies - (self._copies // 2 + 1):
                reason = "; ".join(server.describe() for server in bad)
                if not self._reason:
                    _logger.error("log_storage_full", reason=reason)
                self._reason = reason
                for answer in self._waiting:
                    if not answer.done():
                        answer.set_exception(_ServersFullError())
            else:
                self._reason = ""
            await asyncio.sleep(POLL_SECONDS)

    async def load(self) -> list[ServerStorage]:
        """Return the disk reports of the servers that answer within a second; empty without a system connection."""
        return [] if self._system is None else await load_storage(self._system, self._copies)

    async def close(self) -> None:
        """End the watch and its connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._system is not None:
            await self._system.close()


async def load_storage(system: Connection, servers: int) -> list[ServerStorage]:
    """Return the disk reports of the servers that answer within a second.

    Args:
        system: A connection of the system account.
        servers: How many to wait for.
    """
    stored = await _ask(system, servers, _STORAGE, b'{"config":true}', _Storage)
    healths = await _ask(system, servers, _HEALTH, b"{}", _Health)
    errors = {said.server.name: _WRITE_ERROR.search(said.data.error) for said in healths}
    return [
        ServerStorage(
            name=said.server.name,
            folder=said.data.config.store_dir,
            write_error=found["cause"] if (found := errors.get(said.server.name)) else "",
            stored_bytes=said.data.storage,
            bytes_max=said.data.config.max_storage,
            free_bytes=_measure_free(said.data.config.store_dir),
        )
        for said in stored
    ]


async def _ask(system: Connection, servers: int, subject: str, body: bytes, kind: type[_Said]) -> list[_Said]:
    answers: list[_Said] = []

    def check(message: Msg) -> str:
        try:
            answers.append(msgspec.json.decode(message.data, type=kind))
        except msgspec.DecodeError as error:
            return f"it does not describe a server: {error}"
        return ""

    with contextlib.suppress(NoAnswer):
        await system.request_many(
            subject, body, check=check, is_last=lambda _: len(answers) >= servers, seconds_max=POLL_SECONDS
        )
    return answers


class _Server(msgspec.Struct):
    name: str


class _HealthData(msgspec.Struct):
    error: str = ""


class _Health(msgspec.Struct):
    server: _Server
    data: _HealthData


class _Config(msgspec.Struct):
    store_dir: str = ""
    max_storage: int = 0


class _StorageData(msgspec.Struct):
    storage: int = 0
    config: _Config = msgspec.field(default_factory=_Config)


class _Storage(msgspec.Struct):
    server: _Server
    data: _StorageData
