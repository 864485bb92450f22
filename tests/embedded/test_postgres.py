"""PostgreSQL from the wheel: quick start, data that stays, nothing left behind."""

import asyncpg

from marketplace.embedded.postgres import PostgresServer


async def _connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url.replace("+asyncpg", ""), ssl=False)


async def test_each_test_gets_an_empty_database_of_postgresql_18(empty_database_url: str) -> None:
    connection = await _connect(empty_database_url)
    version = await connection.fetchval("SHOW server_version")
    tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert version.startswith("18.")
    assert tables == 0


async def test_a_database_can_be_dropped_while_someone_is_connected(postgres_server: PostgresServer) -> None:
    connection = await _connect(await postgres_server.create_database("in_use"))
    await postgres_server.drop_database("in_use")
    assert not await postgres_server.has_database("in_use")
    connection.terminate()
