"""Real servers for the tests: started from the wheels, once per xdist worker, on free ports.

`nats_server`, `nats_cluster` and `postgres_server` live for the session; `database_url` is a fresh
database and `memory_log` a fresh log for each test. A server that does not start fails the test; nothing is skipped.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from marketplace.embedded import (
    NatsServers,
    PostgresServer,
    embedded_nats,
    embedded_postgres,
    temporary_folder,
)
from marketplace.log.memory import MemoryLog


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


@pytest_asyncio.fixture
async def database_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    yield await postgres_server.create_database(name)
    await postgres_server.drop_database(name)


@pytest.fixture
def memory_log() -> MemoryLog:
    return MemoryLog()
