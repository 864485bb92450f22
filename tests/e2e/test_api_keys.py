"""Keys on two API processes, while somebody writes to the table of keys by plain SQL."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import httpx
import pytest
import pytest_asyncio

from marketplace.embedded.nats import NatsServers
from tests.support.api_processes import Processes, running_apis
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import open_log

SECONDS_MAX = 1.0
PARTY = {"name": "Startup", "roles": ["startup"], "jurisdiction": "US"}
pytestmark = pytest.mark.xdist_group("stack")


class Scene:
    """Two processes, a tenant, and somebody who may write to the database."""

    def __init__(self, processes: Processes, clients: list[httpx.AsyncClient], sql: asyncpg.Connection) -> None:
        self.processes, self.clients, self.sql = processes, clients, sql
        self.numbers = iter(range(1_000))

    async def post(self, path: str, body: dict, number: int = 0, key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key or f"test-{next(self.numbers)}"}
        return await self.clients[number].post(path, json=body, headers=headers)

    async def issue(self, **more) -> tuple[str, str]:
        party_id = (await self.post("/v1/parties", PARTY)).json()["id"]
        body = {"name": "robot", "scopes": ["*:read"], "party_id": party_id, **more}
        answer = await self.post("/v1/api-keys", body)
        assert answer.status_code == 201, answer.text
        return answer.json()["key_id"], answer.json()["token"]

    async def ask(self, token: str, number: int, path: str = "/v1/orders") -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return (await self.clients[number].get(path, headers=headers)).status_code

    @asynccontextmanager
    async def streaming(self, token: str, number: int) -> AsyncIterator[httpx.Response]:
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        async with self.clients[number].stream("GET", "/v1/events", headers=headers) as answer:
            assert answer.status_code == 200
            yield answer


@pytest_asyncio.fixture
async def scene(tmp_path, nats_server: NatsServers, database_url: str) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_log(nats_server))
        processes = await stack.enter_async_context(running_apis(tmp_path, nats_server, database_url, 2))
        clients = [await stack.enter_async_context(processes.open_client(number)) for number in range(2)]
        sql = await asyncpg.connect(database_url.replace("+asyncpg", ""))
        stack.push_async_callback(sql.close)
        yield Scene(processes, clients, sql)


async def drain(answer: httpx.Response) -> None:
    async for _ in answer.aiter_raw():
        pass


WRITES = {
    "party": "UPDATE api_keys SET party_id = NULL WHERE key_id = $1",
    "scopes": "UPDATE api_keys SET scopes = '[\"*\"]' WHERE key_id = $1",
    "expiry": "UPDATE api_keys SET expires_at = now() + interval '9 years' WHERE key_id = $1",
    "hmac": "UPDATE api_keys SET hmac = 'x' WHERE key_id = $1",
    "deleted": "DELETE FROM api_keys WHERE key_id = $1",
    "truncated": "TRUNCATE api_keys",
}


async def test_a_key_whose_row_is_changed_by_sql_ends_with_its_streams_within_a_second_everywhere(scene: Scene):
    for name, write in WRITES.items():
        key_id, token = await scene.issue()
        assert [await scene.ask(token, number) for number in range(2)] == [200, 200]
        async with scene.streaming(token, 0) as first, scene.streaming(token, 1) as second:
            ending = [asyncio.create_task(drain(answer)) for answer in (first, second)]
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in ending)
            await scene.sql.execute(write, *([key_id] if "$1" in write else []))
            began = time.monotonic()
            await asyncio.wait_for(asyncio.gather(*ending), PATIENCE_SECONDS)
            seconds = time.monotonic() - began
        assert seconds < SECONDS_MAX, (name, seconds)
        await asyncio.sleep(max(0.0, began + SECONDS_MAX - time.monotonic()))
        for number in range(2):
            assert await scene.ask(token, number) == 401, (name, number)
            assert await scene.ask(token, number, "/v1/parties") == 401, (name, number)
            told = [line for line in scene.processes.read_log(number).splitlines() if f'"{key_id}"' in line]
            tampered = [line for line in told if json.loads(line)["event"] == "api_key_tampered"]
            assert bool(tampered) == (name not in {"deleted", "truncated"}), (name, told)


async def test_a_row_that_is_put_in_or_put_back_by_sql_lets_nobody_in(scene: Scene):
    key_id, token = await scene.issue()
    _, other = await scene.issue()
    copied = "key_" + other.split("_")[1]
    copy = "UPDATE api_keys SET hmac = (SELECT hmac FROM api_keys WHERE key_id = $2) WHERE key_id = $1"
    await scene.sql.execute(copy, key_id, copied)
    await asyncio.sleep(SECONDS_MAX)
    assert [await scene.ask(token, number) for number in range(2)] == [401, 401]
    assert (await scene.clients[0].delete(f"/v1/api-keys/{copied}")).status_code == 204
    await scene.sql.execute("UPDATE api_keys SET revoked_at = NULL WHERE key_id = $1", copied)
    await asyncio.sleep(SECONDS_MAX)
    assert [await scene.ask(other, number) for number in range(2)] == [401, 401]


async def test_a_key_that_is_revoked_suspended_or_expired_ends_with_its_streams_on_the_other_process(scene: Scene):
    async def revoke(key_id: str) -> None:
        assert (await scene.clients[0].delete(f"/v1/api-keys/{key_id}")).status_code == 204

    async def suspend(key_id: str) -> None:
        assert (await scene.post(f"/v1/api-keys/{key_id}/suspend", {"reason": "leaked"})).status_code == 200

    for end in (revoke, suspend):
        key_id, token = await scene.issue()
        assert await scene.ask(token, 1) == 200
        async with scene.streaming(token, 1) as answer:
            ending = asyncio.create_task(drain(answer))
            await end(key_id)
            await asyncio.wait_for(ending, SECONDS_MAX)
        assert await scene.ask(token, 1) == 401, end
        assert await scene.ask(token, 0) == 401, end


async def test_a_key_expires_by_itself_and_its_stream_with_it(scene: Scene):
    expires_at = time.time() + 4
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(expires_at)) + "Z"
    key_id, token = await scene.issue(expires_at=text)
    assert await scene.ask(token, 1) == 200
    async with scene.streaming(token, 1) as answer:
        await asyncio.wait_for(drain(answer), PATIENCE_SECONDS)
    assert int(expires_at) - 0.1 <= time.time() <= int(expires_at) + SECONDS_MAX
    assert [await scene.ask(token, number) for number in range(2)] == [401, 401]
    listed = (await scene.clients[0].get("/v1/api-keys")).json()["items"]
    assert [row["expires_at"] for row in listed if row["key_id"] == key_id] == [text]
