"""PostgreSQL from its wheel, run by its own `initdb` and `postgres`, on loopback with a password.

Run as root, the wheel's helper creates a user and opens the permissions of every parent folder of the data. We run the
binaries ourselves instead: under root they run as an existing unprivileged user, and a folder that this user may not
reach is refused, with a suggestion where to put it (ADR 0003).
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from marketplace.core.errors import Corrupt
from marketplace.embedded.folder import FREE_BYTES_MIN, claim, load_passwords, write_private
from marketplace.embedded.pginstall import Installation, prepare_installation, remove_stale_pid
from marketplace.embedded.process import LOOPBACK, Account, Child, find_free_port, read_tail

USER = "marketplace"
DATABASE = "marketplace"
_STARTS_MAX = 5
_INITDB_SECONDS_MAX = 60.0
_READY_SECONDS_MAX = 60.0
_STOP_SECONDS_MAX = 30.0
_QUERY_SECONDS_MAX = 10.0
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PORT_TAKEN = "Address already in use"
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgres-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_checkpoints": "off",
    "jit": "off",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(slots=True)
class PostgresServer:
    """A server: its port stays the same over a restart."""

    data: Path
    port: int
    installation: Installation
    settings: Mapping[str, str]
    lock: int
    password: str = field(repr=False)
    child: Child = field(init=False)

    @property
    def account(self) -> Account | None:
        """The user that the server runs as; None: the user of this process."""
        return self.installation.account

    @property
    def url(self) -> str:
        """The marketplace's own database, for SQLAlchemy with asyncpg."""
        return self.render_url(DATABASE)

    def render_url(self, database: str) -> str:
        """Return the SQLAlchemy URL of one database."""
        return f"postgresql+asyncpg://{USER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    async def create_database(self, name: str) -> str:
        """Create an empty database, which must not exist yet, and return its URL.

        Args:
            name: Lower-case letters, digits and underscores, at most 63.

        Raises:
            ValueError: The name has other characters.
        """
        await self._execute(f"CREATE DATABASE {_check_name(name)} TEMPLATE template0")
        return self.render_url(name)

    async def drop_database(self, name: str) -> None:
        """Drop a database, if there is one, and disconnect its users.

        Raises:
            ValueError: The name is not one of `create_database`.
        """
        await self._execute(f"DROP DATABASE IF EXISTS {_check_name(name)} WITH (FORCE)")

    async def has_database(self, name: str) -> bool:
        """Return whether the database exists."""
        connection = await self.connect()
        try:
            return bool(await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name))
        finally:
            await connection.close(timeout=_QUERY_SECONDS_MAX)

    async def _execute(self, statement: str) -> None:
        connection = await self.connect()
        try:
            await connection.execute(statement)
        finally:
            await connection.close(timeout=_QUERY_SECONDS_MAX)

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Return a connection to the maintenance database, for administration of the server."""
        return await asyncpg.connect(
            host=LOOPBACK,
            port=self.port,
            user=USER,
            password=self.password,
            database="postgres",
            ssl=False,
            timeout=_QUERY_SECONDS_MAX,
        )

    def spawn(self) -> None:
        """Start it on its port, without waiting until it answers."""
        remove_stale_pid(self.data / "cluster")
        arguments = [str(self.installation.binary("postgres")), "-D", str(self.data / "cluster"), "-p", str(self.port)]
        for name, value in self.settings.items():
            arguments += ["-c", f"{name}={value}"]
        self.child = Child(
            arguments,
            output=self.data / "start.log",
            death_signal=signal.SIGINT,
            account=self.installation.account,
            inherited=[self.lock],
            environment=self.installation.environment,
        )

    async def restart(self) -> None:
        """Stop it if it runs, and start it on the same port and files.

        Raises:
            Corrupt: It does not start on these files.
        """
        await self.stop()
        self.spawn()
        await _wait_until_ready(self)

    async def stop(self) -> None:
        """End the sessions, write a checkpoint and stop (PostgreSQL's fast shutdown, SIGINT)."""
        await self.child.stop(signal.SIGINT, _STOP_SECONDS_MAX)

    def kill(self) -> None:
        """Kill the server as a power cut would; its sessions end by themselves."""
        self.child.kill()


@asynccontextmanager
async def embedded_postgres(
    data: Path,
    *,
    port: int | None = None,
    durable: bool = True,
    settings: Mapping[str, str] | None = None,
    free_bytes_min: int = FREE_BYTES_MIN,
) -> AsyncIterator[PostgresServer]:
    """Run PostgreSQL on a data folder that survives restarts.

    Args:
        data: Folder of the server's files; created if missing.
        port: The port; None: a free one.
        durable: False: a power cut may destroy the database, which is faster; for tests.
        settings: Further server settings, by name.
        free_bytes_min: Free bytes that the disk must have.

    Raises:
        Refusal: The folder is in use, or the user that PostgreSQL must run as may not reach it.
        Corrupt: The server does not start on these files, or the disk is full.
    """
    data = data.absolute()  # noqa: ASYNC240 - touches no disk
    async with AsyncExitStack() as stack:
        lock = await stack.enter_async_context(claim(data, free_bytes_min))
        installation = await asyncio.to_thread(prepare_installation, data)
        password = load_passwords(data / "passwords.json", (USER,))[USER]
        cluster = data / "cluster"
        if not cluster.exists():
            await _initialise(installation, data, password, durable=durable)
        installation.check_cluster(cluster)
        chosen = _SETTINGS | ({} if durable else _NOT_DURABLE) | dict(settings or {})
        server = await _start(installation, data, password, settings=chosen, port=port, lock=lock)
        stack.push_async_callback(server.stop)
        if not await server.has_database(DATABASE):
            await server.create_database(DATABASE)
        yield server


async def _initialise(installation: Installation, data: Path, password: str, *, durable: bool) -> None:
    """Run initdb in a temporary place and move the result, so that an incomplete cluster is never started.

    Raises:
        Corrupt: initdb failed or did not end in time.
    """
    draft = data / "cluster.new"
    password_file = data / "password.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    account = installation.account
    if account is not None:
        os.chown(draft, account.uid, account.gid)
    write_private(password_file, password, account)
    arguments = [str(installation.binary("initdb")), "--pgdata", str(draft), "--username", USER]
    arguments += ["--pwfile", str(password_file), "--auth", "scram-sha-256", "--encoding", "UTF8"]
    arguments += ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
    arguments += [] if durable else ["--no-sync"]
    output = data / "initdb.log"
    child = Child(arguments, output=output, account=account, environment=installation.environment)
    try:
        done = await child.wait_for_exit(_INITDB_SECONDS_MAX)
        if not done or child.exit_code != 0:
            raise Corrupt(f"initdb failed on {data}; it says:\n{child.read_output()}")
        draft.rename(data / "cluster")
    finally:
        child.kill()
        password_file.unlink(missing_ok=True)


async def _start(
    installation: Installation,
    data: Path,
    password: str,
    *,
    settings: Mapping[str, str],
    port: int | None,
    lock: int,
) -> PostgresServer:
    for start in range(1, _STARTS_MAX + 1):
        server = PostgresServer(data, port or find_free_port(), installation, settings, lock, password)
        server.spawn()
        try:
            await _wait_until_ready(server)
        except BaseException as error:
            await server.stop()
            taken = isinstance(error, Corrupt) and _PORT_TAKEN in str(error)
            if not taken or port is not None or start == _STARTS_MAX:
                raise
        else:
            return server
    raise AssertionError("the last start returns or raises")


async def _wait_until_ready(server: PostgresServer) -> None:
    deadline = time.monotonic() + _READY_SECONDS_MAX
    while time.monotonic() < deadline and await server.child.wait_for_port(server.port, _READY_SECONDS_MAX):
        try:
            connection = await server.connect()
        except asyncpg.InvalidPasswordError as error:
            raise Corrupt(
                f"{server.data / 'passwords.json'} does not fit {server.data / 'cluster'}: {error}"
            ) from error
        except (asyncpg.CannotConnectNowError, OSError, asyncpg.ConnectionDoesNotExistError):
            await asyncio.sleep(0.02)
        except asyncpg.PostgresError as error:
            raise Corrupt(f"PostgreSQL cannot use {server.data / 'cluster'}: {error}; {_read_log(server)}") from error
        else:
            await connection.close(timeout=_QUERY_SECONDS_MAX)
            return
    raise Corrupt(
        f"PostgreSQL did not start on {server.data / 'cluster'}; its content can be rebuilt from the log, so you may"
        " use "
        f"another folder. Its log ends with:\n{_read_log(server)}"
    )


def _read_log(server: PostgresServer) -> str:
    with contextlib.suppress(OSError):
        logs = sorted((server.data / "cluster" / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
        return "\n".join([server.child.read_output(), *(read_tail(path) for path in logs[-1:])])
    return server.child.read_output()


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a database name: lower-case letters, digits and underscores, at most 63")
    return name
