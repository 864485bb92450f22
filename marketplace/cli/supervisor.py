"""Keep the processes of `marketplace up` running: restart what ends, on the same ports and data.

The market ends with the reason if a server fails repeatedly, or if the log went back or was replaced. A worker or an
API is restarted without limit, because the other processes continue without it. A nats-server whose disk was full
stores nothing until it is restarted, which happens once there is room.
"""

import asyncio
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from marketplace.cli.console import LOG_CHANGED
from marketplace.core.errors import MarketplaceError
from marketplace.embedded.folder import FREE_BYTES_MIN
from marketplace.embedded.nats import RESERVED_BYTES, NatsServers
from marketplace.embedded.postgres import PostgresServer
from marketplace.embedded.process import Child
from marketplace.log.connection import Connection
from marketplace.log.storage import ServerStorage, load_storage

WATCH_SECONDS: Final = 0.5
STORAGE_SECONDS: Final = 2.0
BACKOFF_SECONDS_MIN: Final = 0.5
BACKOFF_SECONDS_MAX: Final = 30.0
RESTARTS_MAX: Final = 5
STEADY_SECONDS: Final = 60.0
"""A process that ran this long has recovered, and its restarts are counted from zero."""
FREE_BYTES_WARN: Final = 1024 * 1024 * 1024
STOP_SECONDS_MAX: Final = 15.0
Tell = Callable[[str], None]


class Service(Protocol):
    """One process that is kept running."""

    @property
    def name(self) -> str:
        """Return its name for people."""
        ...

    @property
    def restarts_max(self) -> int | None:
        """Return after how many restarts in a row the market ends; None if it continues without this process."""
        ...

    @property
    def child(self) -> Child:
        """Return its latest process."""
        ...

    async def restart(self) -> None:
        """Stop it if it runs, and start it on the same ports and data.

        Raises:
            MarketplaceError: It does not start.
            OSError: The system does not let it start.
        """
        ...


@dataclass(slots=True)
class Role:
    """A process of ours: an API or a worker.

    Attributes:
        name: Its role.
        command: The command line.
        log: The file for its output. The previous process's output is kept as ``….previous``.
        environment: The whole environment.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    child: Child = field(init=False)
    restarts_max: int | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it for the first time."""
        self.child = Child(self.command, output=self.log, environment=self.environment)

    async def restart(self) -> None:
        """See `Service.restart`."""
        await self.stop()
        self.log.replace(self.log.with_suffix(".log.previous"))
        self.start()

    async def stop(self) -> None:
        """Ask it to end, and kill it if it still runs after `STOP_SECONDS_MAX`."""
        await self.child.stop(signal.SIGTERM, STOP_SECONDS_MAX)


@dataclass(frozen=True, slots=True)
class NatsMember:
    """One nats-server."""

    servers: NatsServers
    index: int
    restarts_max: int | None = RESTARTS_MAX

    @property
    def name(self) -> str:
        """See `Service.name`."""
        return f"nats-server {self.servers.members[self.index].name}"

    @property
    def child(self) -> Child:
        """See `Service.child`."""
        child = self.servers.members[self.index].child
        assert child is not None, "a member that is watched was started"
        return child

    async def restart(self) -> None:
        """See `Service.restart`."""
        await self.servers.restart(self.index)


@dataclass(frozen=True, slots=True)
class Postgres:
    """The PostgreSQL server."""

    server: PostgresServer
    restarts_max: int | None = RESTARTS_MAX
    name: str = "PostgreSQL"

    @property
    def child(self) -> Child:
        """See `Service.child`."""
        return self.server.child

    async def restart(self) -> None:
        """See `Service.restart`."""
        await self.server.restart()


class _GaveUpError(MarketplaceError):
    """A server cannot be kept running."""


@dataclass(slots=True)
class Supervisor:
    """Watches processes and the disk of their data.

    Attributes:
        data: The folder of all their files.
        services: The processes to keep running.
        servers: The embedded NATS servers, whose disks are checked; None if they were given.
        tell: Prints one line for people.
        free_bytes_min: Free bytes that a server needs to be restarted.
        backoff_seconds_min: Pause before the first restart, doubled for each further one.
    """

    data: Path
    services: Sequence[Service]
    servers: NatsServers | None
    tell: Tell = print
    free_bytes_min: int = FREE_BYTES_MIN
    backoff_seconds_min: float = BACKOFF_SECONDS_MIN
    _busy: set[str] = field(default_factory=set, init=False)

    async def run(self) -> str:
        """Keep everything running. Return the reason, with its last output, if a server cannot be kept running."""
        reason = ""
        try:
            await self._keep_all()
        except* _GaveUpError as group:
            reason = str(group.exceptions[0])
        return reason

    async def _keep_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for service in self.services:
                group.create_task(self._keep(service), name=f"keep {service.name}")
            group.create_task(self._watch_disk(), name="watch the disk")
            if self.servers is not None:
                group.create_task(self._watch_storage(self.servers), name="watch the servers' storage")

    async def _keep(self, service: Service) -> None:
        restarts, started = 0, time.monotonic()
        while True:
            while service.child.running or service.name in self._busy:  # noqa: ASYNC110 - no event loop sees it end
                await asyncio.sleep(WATCH_SECONDS)
            restarts = 1 if time.monotonic() - started > STEADY_SECONDS else restarts + 1
            ended = f"{service.name} {_describe_end(service.child)}"
            if service.child.exit_code == LOG_CHANGED:
                raise _GaveUpError(f"{ended}; its last output:\n{service.child.read_output()}")
            if service.restarts_max is not None and restarts > service.restarts_max:
                raise _GaveUpError(
                    f"{ended} and was restarted {service.restarts_max} times in a row without success; its last "
                    f"output:\n{service.child.read_output()}"
                )
            pause = min(self.backoff_seconds_min * 2 ** (restarts - 1), BACKOFF_SECONDS_MAX)
            self.tell(f"{ended}; it restarts in {pause:.1f} s (restart {restarts})")
            await asyncio.sleep(pause)
            await self._wait_for_room(service.name)
            started = time.monotonic()
            await self._restart(service)

    async def _restart(self, service: Service) -> None:
        try:
            await service.restart()
        except (MarketplaceError, OSError) as error:
            self.tell(f"{service.name} does not start: {error}")
        else:
            self.tell(f"{service.name} runs again (process {service.child.pid})")

    async def _wait_for_room(self, name: str) -> None:
        if _measure_free(self.data) >= self.free_bytes_min:
            return
        self.tell(
            f"{name} waits for room: {_measure_free(self.data)} bytes are free on the disk of {self.data}, "
            f"{self.free_bytes_min} are needed"
        )
        while _measure_free(self.data) < self.free_bytes_min:  # noqa: ASYNC110 - no event loop sees room being made
            await asyncio.sleep(WATCH_SECONDS)

    async def _watch_disk(self) -> None:
        warned = False
        while True:
            free = _measure_free(self.data)
            if (free < FREE_BYTES_WARN) != warned:
                warned = not warned
                state = "is nearly full" if warned else "has room again"
                self.tell(f"the disk of {self.data} {state}: {free} bytes are free (warned below {FREE_BYTES_WARN})")
            await asyncio.sleep(STORAGE_SECONDS)

    async def _watch_storage(self, servers: NatsServers) -> None:
        """Restart a server that cannot store once its disk has room, because it does not retry by itself."""
        system = await Connection.open(servers.system_url, "marketplace-up")
        members = {member.name: NatsMember(servers, index) for index, member in enumerate(servers.members)}
        told = set[str]()
        try:
            while True:
                for storage in await load_storage(system, len(members)):
                    await self._tend(members[storage.name], storage, told)
                await asyncio.sleep(STORAGE_SECONDS)
        finally:
            await system.close()

    async def _tend(self, member: NatsMember, storage: ServerStorage, told: set[str]) -> None:
        """Report once that a server does not store. Restart it if that helps and its disk has room.

        Args:
            member: The server.
            storage: Its report on its disk.
            told: Names of the servers that were already reported; updated.
        """
        if storage.stores and not storage.is_full:
            if storage.name in told:
                self.tell(f"{member.name} stores again")
                told.discard(storage.name)
            return
        if storage.name not in told:
            self.tell(storage.describe())
            told.add(storage.name)
        needs_restart = storage.write_error or storage.is_full
        if needs_restart and _measure_free(self.data) >= self.free_bytes_min + RESERVED_BYTES:
            self.tell(f"there is room again; {member.name} is restarted")
            self._busy.add(member.name)
            await self._restart(member)
            self._busy.discard(member.name)


def _measure_free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _describe_end(child: Child) -> str:
    code = child.exit_code or 0
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"was ended by {name}"
    return f"ended with code {code}"
