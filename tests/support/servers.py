"""Real servers for the tests: started from the wheels, once per xdist worker, on free ports.

`nats_server`, `nats_cluster` and `postgres_server` live for the session. For each test, `database_url` is a fresh
database with the tables of this release, copied from one that was migrated once, and `empty_database_url` one without
any; `jetstream_log`, `jetstream_cluster_log` and `memory_log` are empty logs. A server that does not start fails the
test; nothing is skipped.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio
from nats.js.errors import NotFoundError

from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.embedded.postgres import PostgresServer, embedded_postgres
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Limits
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from tests.support.clients import ask_until_answered, connected
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    with temporary_folder("marketplace-tests-") as folder:
        yield folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_server(servers_folder: Path) -> AsyncIterator[NatsServers]:
    async with embedded_nats(servers_folder / "nats") as servers:
        yield servers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_cluster(servers_folder: Path) -> AsyncIterator[NatsServers]:
    async with embedded_nats(servers_folder / "cluster", servers=3) as servers:
        yield servers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server(servers_folder: Path) -> AsyncIterator[PostgresServer]:
    async with embedded_postgres(servers_folder / "postgres", durable=False) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_database(postgres_server: PostgresServer) -> str:
    """Return the name of a database with every table, to which nobody is connected."""
    name = "migrated"
    engine = build_engine(await postgres_server.create_database(name))
    await migrate(engine)
    await engine.dispose()
    return name


@pytest_asyncio.fixture
async def database_url(postgres_server: PostgresServer, migrated_database: str) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    connection = await postgres_server.connect()
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_database} STRATEGY file_copy")
    await connection.close()
    yield postgres_server.render_url(name)
    await postgres_server.drop_database(name)


@pytest_asyncio.fixture
async def empty_database_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    yield await postgres_server.create_database(name)
    await postgres_server.drop_database(name)


@pytest.fixture
def memory_log() -> MemoryLog:
    return MemoryLog()


@asynccontextmanager
async def open_log(servers: NatsServers, limits: Limits | None = None) -> AsyncIterator[JetStreamLog]:
    """Yield an empty log on running servers, and remove its stream afterwards."""
    await delete_streams(servers)
    replicas = len(servers.members)
    log = await JetStreamLog.open(
        servers.url,
        replicas=replicas,
        admin_url=servers.admin_url,
        system_url=servers.system_url,
        limits=limits or Limits(append_seconds_max=PATIENCE_SECONDS),
    )
    try:
        yield log
    finally:
        await log.close()
        await delete_streams(servers)


async def delete_streams(servers: NatsServers) -> None:
    """Remove every stream; a cluster that is choosing its leaders is asked again."""
    async with connected(servers.admin_url) as client:
        manager = client.jsm()

        async def delete_each() -> None:
            for info in await manager.streams_info():
                with suppress(NotFoundError):
                    await manager.delete_stream(info.config.name)

        await ask_until_answered(delete_each)


@pytest_asyncio.fixture
async def jetstream_log(nats_server: NatsServers) -> AsyncIterator[JetStreamLog]:
    async with open_log(nats_server) as log:
        yield log


@pytest_asyncio.fixture
async def jetstream_cluster_log(nats_cluster: NatsServers) -> AsyncIterator[JetStreamLog]:
    async with open_log(nats_cluster) as log:
        yield log
