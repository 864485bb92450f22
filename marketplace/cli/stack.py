"""The whole stack on one machine: servers from wheels or given ones, migrated, with an API and a worker process."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import msgspec

from marketplace.api.http.keys import KeyRing
from marketplace.cli.supervisor import NatsMember, Postgres, Role, Service, Supervisor, Tell
from marketplace.console.sessions import PURPOSE, Sessions
from marketplace.core.errors import Corrupt, Unavailable
from marketplace.embedded.folder import write_private
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.embedded.postgres import embedded_postgres
from marketplace.embedded.process import LOOPBACK, find_free_port, require_free_port
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from marketplace.runtime.process.config import CLEARING_SECONDS_MAX, Settings, render_environment
from marketplace.runtime.process.log import open_log
from marketplace.runtime.process.secrets import new_admin_key, new_secret

READY_SECONDS_MAX: Final = 120.0
POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack.

    Attributes:
        settings: The settings of its processes.
        api_url: Where the API answers.
        nats: The embedded NATS servers; None if the servers were given.
        roles: Its API and its worker by name.
        supervisor: Keeps them and the servers running.
        waits_for: What an operator must do before commands are accepted; empty if they are.
    """

    settings: Settings
    api_url: str
    nats: NatsServers | None
    roles: dict[str, Role]
    supervisor: Supervisor
    waits_for: str

    def render_link(self, token: str | None = None) -> str:
        """Return the console's address with a link that signs in once, as an API key; by default the operator's."""
        keys = KeyRing(self.settings.api_key_secret.encode(), self.settings.admin_key, None)
        key_id = keys.admin_key_id if token is None else f"key_{token.split('_')[1]}"
        return Sessions(keys.derive_secret(PURPOSE)).render_link(self.api_url, key_id)

    async def watch(self, tell: Tell) -> str:
        """Keep everything running and report restarts. Return the reason if a server cannot be kept running.

        Args:
            tell: Prints one line for people.
        """
        self.supervisor.tell = tell
        return await self.supervisor.run()


@contextlib.asynccontextmanager
async def open_stack(
    data: Path,
    *,
    port: int | None = None,
    nats_url: str | None = None,
    database_url: str | None = None,
    calendar: bool = False,
    clearing_seconds_max: int = CLEARING_SECONDS_MAX,
    public_market: bool = False,
    bounds: Mapping[str, int] | None = None,
) -> AsyncIterator[Stack]:
    """Start everything on a data folder, and stop it at the end.

    Args:
        data: Folder that survives restarts; created if missing.
        port: Of the API; a free one by default.
        nats_url: Use this NATS instead of an embedded one.
        database_url: Use this PostgreSQL instead of an embedded one.
        calendar: Whether the worker opens auctions by the calendar.
        clearing_seconds_max: The longest run of the clearing engine, in seconds.
        public_market: Whether market data may be read without a key.
        bounds: Bounds of the API's connections and streams, by the names of `Settings`, in place of the defaults.

    Raises:
        Refusal: ``port_taken``; the data folder is in use, or the servers may not access it.
        Corrupt: Stored data is damaged, the disk is full, or a process does not start.
    """
    port = _choose_port(port)
    async with contextlib.AsyncExitStack() as stack:
        secrets = await asyncio.to_thread(_load_secrets, data)
        urls: dict[str, str] = {}
        servers = None
        watched: list[Service] = []
        if nats_url is None:
            servers = await stack.enter_async_context(embedded_nats(data / "nats"))
            urls |= {"nats_admin_url": servers.admin_url, "nats_system_url": servers.system_url}
            nats_url = servers.url
            watched += [NatsMember(servers, index) for index in range(len(servers.members))]
        if database_url is None:
            postgres = await stack.enter_async_context(embedded_postgres(data / "postgres"))
            watched.append(Postgres(postgres))
            database_url = postgres.url
        settings = Settings(
            nats_url=nats_url,
            nats_admin_url=urls.get("nats_admin_url"),
            nats_system_url=urls.get("nats_system_url"),
            database_url=database_url,
            api_key_secret=secrets["api_key_secret"],
            admin_key=secrets["admin_key"],
            embedded=servers is not None,
            calendar=calendar,
            clearing_seconds_max=clearing_seconds_max,
            public_market=public_market,
        )
        settings = msgspec.structs.replace(settings, **(bounds or {}))
        await _prepare(settings)
        roles, waits_for = await _start_roles(stack, settings, data, port)
        supervisor = Supervisor(data, [*watched, *roles.values()], servers)
        yield Stack(settings, f"http://{LOOPBACK}:{port}", servers, roles, supervisor, waits_for)


def _choose_port(port: int | None) -> int:
    """Return the port, which no other process may use; a free one if none is given."""
    if port is None:
        return find_free_port()
    require_free_port(port)
    return port


def _load_secrets(data: Path) -> dict[str, str]:
    """Return the API's secrets, created on the first start and kept in a file of mode 600.

    Raises:
        Corrupt: The file cannot be read.
    """
    data.mkdir(parents=True, exist_ok=True)
    path = data / "secrets.json"
    if not path.exists():
        write_private(path, json.dumps({"api_key_secret": new_secret(), "admin_key": new_admin_key()}))
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except msgspec.DecodeError as error:
        raise Corrupt(
            f"{path} cannot be read: {error}; restore it, or delete it to create new secrets, which invalidates every"
            " API key"
        ) from error


async def _prepare(settings: Settings) -> None:
    """Create the stream and the tables, and check existing ones."""
    async with open_log(settings):
        pass
    assert settings.database_url is not None, "a stack has a database"
    engine = build_engine(settings.database_url)
    try:
        await migrate(engine)
    finally:
        await engine.dispose()


async def _start_roles(
    stack: contextlib.AsyncExitStack, settings: Settings, data: Path, port: int
) -> tuple[dict[str, Role], str]:
    environment = {"PYTHONUNBUFFERED": "1", **render_environment(settings)}
    base = (sys.executable, "-m", "marketplace", "serve", "--log-level", "info", "--role")
    commands = {"worker": (*base, "worker"), "api": (*base, "api", "--host", LOOPBACK, "--port", str(port))}
    roles = {}
    for name, command in commands.items():
        role = Role(name, command, data / f"{name}.log", environment)
        role.start()
        stack.push_async_callback(role.stop)
        roles[name] = role
    return roles, await _wait_until_ready(roles["api"], f"http://{LOOPBACK}:{port}")


async def _wait_until_ready(api: Role, url: str) -> str:
    """Wait until commands are accepted. Return what an operator must do first, if a log position is empty.

    Raises:
        Corrupt: The API ended.
        Unavailable: It was not ready within `READY_SECONDS_MAX`.
    """
    async with httpx.AsyncClient(base_url=url) as client:
        waited = 0.0
        while waited < READY_SECONDS_MAX:
            if not api.child.running:
                raise Corrupt(f"the API ended during its start:\n{api.child.read_output()}")
            with contextlib.suppress(httpx.TransportError):
                answer = await client.get("/health/ready")
                if answer.is_success:
                    return ""
                ready = answer.json()
                if ready["log_sequence"] is not None and ready["unreadable"]:
                    return str(ready["reason"])
            await asyncio.sleep(POLL_SECONDS)
            waited += POLL_SECONDS
    raise Unavailable("the API", f"it was not ready within {READY_SECONDS_MAX:.0f} s; see {api.log}")
