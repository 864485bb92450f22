"""The typed client: one effect per command whatever breaks, problems as exceptions, and its own writes in its reads."""

import asyncio
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from importlib import import_module
from itertools import islice
from pkgutil import iter_modules
from uuid import UUID

import httpx
import pytest

from marketplace.api.http import bodies as http_bodies
from marketplace.client import MarketplaceClient, ProblemError, SyncMarketplaceClient, bodies
from marketplace.client.transport import ATTEMPTS_MAX, RETRY_SECONDS, RETRY_SECONDS_MAX, compute_wait
from marketplace.log.memory import MemoryLog
from marketplace.projections.views.access import PartyView
from tests.api.doors import serve
from tests.api.stage import ADMIN_KEY, Stage, open_stage
from tests.support.patience import PATIENCE_SECONDS

BODY = {"name": "Acme", "roles": ("startup",), "jurisdiction": "US"}


class Breaking(httpx.AsyncBaseTransport):
    """Reaches the application, and loses the first answers."""

    def __init__(self, stage: Stage, losses: int, status: int | None = None, wait: int = 0) -> None:
        self._wait = str(wait)
        self._inner = httpx.ASGITransport(stage.application)
        self._losses = losses
        self._status = status
        self.keys: list[str | None] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers.get("idempotency-key"))
        answer = await self._inner.handle_async_request(request)
        self._losses -= 1
        if self._losses < 0:
            return answer
        if self._status is None:
            raise httpx.ReadError("the connection broke")
        return httpx.Response(self._status, headers={"Retry-After": self._wait}, json={"code": "busy"})


async def test_an_id_leads_to_no_other_route_and_a_text_is_one_name():
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(404, json={"code": "order_unknown"})

    async with MarketplaceClient("http://test", ADMIN_KEY, httpx.MockTransport(answer)) as client:
        for order_id in ("../lots?limit=1", "a/b#c", "ord_x/cancel?reason=%2e"):
            with pytest.raises(ProblemError, match="404"):
                await client.orders.cancel(order_id, reason="test")
        for order_id in ("", ".", ".."):
            with pytest.raises(ValueError, match="is no id"):
                await client.orders.cancel(order_id, reason="test")
        with pytest.raises(ProblemError, match="404"):
            await client.events.read(type="order.placed.v1", aggregate="order")
    *paths, feed = [url.raw_path.decode() for url in asked]
    assert paths == [
        "/v1/orders/..%2Flots%3Flimit%3D1/cancel",
        "/v1/orders/a%2Fb%23c/cancel",
        "/v1/orders/ord_x%2Fcancel%3Freason%3D%252e/cancel",
    ]
    assert "type=order.placed.v1&aggregate=order" in feed


@pytest.mark.parametrize("status", [None, 503, 429])
async def test_a_command_whose_answer_is_lost_takes_effect_once(status):
    async with open_stage(MemoryLog()) as stage:
        transport = Breaking(stage, 2, status)
        async with MarketplaceClient("http://test", ADMIN_KEY, transport) as client:
            receipt = await client.parties.register(**BODY)
        assert len(transport.keys) == 3
        assert len(set(transport.keys)) == 1
        assert receipt.sequence == (await stage.services.handler.log.health()).last_sequence == 2


async def test_a_refusal_is_raised_with_its_code_at_once():
    with pytest.raises(ValueError, match="not the mkp_… of an example"):
        MarketplaceClient("http://test", "mkp_…")
    async with open_stage(MemoryLog()) as stage:
        transport = Breaking(stage, 0)
        async with MarketplaceClient("http://test", ADMIN_KEY, transport) as client:
            with pytest.raises(ProblemError) as caught:
                await client.accounts.deposit("acc_01jdm5v5tze1xa6a4sbz1gk3c4", amount_usd=Decimal(5), reference="wire")
        assert (caught.value.status, caught.value.code) == (404, "account_unknown")
        assert UUID(caught.value.request_id)
        assert len(transport.keys) == 1


def test_waits_grow_differ_and_are_never_shorter_than_asked():
    longest = [min(RETRY_SECONDS * 2**number, RETRY_SECONDS_MAX) for number in range(ATTEMPTS_MAX - 1)]
    assert longest[-1] == RETRY_SECONDS_MAX
    for attempt, wait in enumerate(longest, 1):
        drawn = {compute_wait(attempt) for _ in range(100)}
        assert len(drawn) > 1
        assert wait / 2 <= min(drawn) < max(drawn) <= wait
        assert compute_wait(attempt, 7) > 7


async def test_an_answer_that_asks_for_a_long_wait_is_raised_at_once():
    async with open_stage(MemoryLog()) as stage:
        transport = Breaking(stage, 1, 503, wait=61)
        async with MarketplaceClient("http://test", ADMIN_KEY, transport) as client:
            with pytest.raises(ProblemError, match="503 busy"):
                await client.parties.register(**BODY)
        assert len(transport.keys) == 1


async def test_the_client_without_asyncio_commands_reads_follows_and_refuses():
    def use(address: str) -> None:
        with SyncMarketplaceClient(address, ADMIN_KEY) as client:
            receipt = client.parties.register(**BODY)
            assert client.last_sequence == receipt.sequence == client.events.read().next_after
            assert [item.sequence for item in islice(client.events.follow(), 2)] == [1, 2]
            with pytest.raises(ProblemError, match="account_unknown"):
                client.accounts.deposit("acc_01jdm5v5tze1xa6a4sbz1gk3c4", amount_usd=Decimal(5), reference="wire")
        with pytest.raises(RuntimeError, match="outside its `with` block"):
            client.clock.get()

    async with open_stage(MemoryLog()) as stage, serve(stage.application) as address:
        await asyncio.to_thread(use, address)


LEFT_OPEN = """
import sys
from marketplace.client import SyncMarketplaceClient

client = SyncMarketplaceClient(*sys.argv[1:]).__enter__()
stream = client.events.follow()
print(next(stream).sequence, client.clock.get().offset_seconds, flush=True)
"""
FOLLOWED_BY_A_THREAD = """
import sys, threading
from marketplace.client import SyncMarketplaceClient

def follow():
    for item in client.events.follow():
        print(item.sequence, flush=True)
        if item.sequence == 2:
            reached.set()

client, reached = SyncMarketplaceClient(*sys.argv[1:]), threading.Event()
threading.Thread(target=follow, daemon=True).start()
reached.wait()
"""
INTERRUPTED = """
import os, signal, sys, threading
from marketplace.client import SyncMarketplaceClient

client = SyncMarketplaceClient(*sys.argv[1:])
try:
    for item in client.events.follow():
        print(item.sequence, flush=True)
        if item.sequence == 2:
            threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
except KeyboardInterrupt:
    print("interrupted", client.events.read().next_after)
client.close()
client.close()
"""


ENDING = {LEFT_OPEN: "1 0\n", FOLLOWED_BY_A_THREAD: "1\n2\n", INTERRUPTED: "1\n2\ninterrupted 2\n"}
"""Programs that end by themselves, and what they print."""


@pytest.mark.parametrize("program", ENDING, ids=["open", "followed", "interrupted"])
async def test_a_program_that_leaves_the_client_open_or_is_interrupted_ends(program):
    async with open_stage(MemoryLog()) as stage, serve(stage.application) as address:
        await stage.post(stage.admin, "/v1/parties", BODY)
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-c", program, address, ADMIN_KEY)
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        try:
            begun = await process.stdout.readline()  # the time limit is for its end, not for its start
            async with asyncio.timeout(PATIENCE_SECONDS):
                output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert (process.returncode, (begun + output).decode()) == (0, ENDING[program]), errors.decode()


async def test_reads_see_what_the_client_wrote(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        transport = httpx.ASGITransport(stage.application)
        async with MarketplaceClient("http://test", ADMIN_KEY, transport) as client:
            made = [(await client.parties.register(**BODY)).id for _ in range(3)]
            rows: AsyncIterator[PartyView] = client.rows("/v1/parties", PartyView)
            assert [row.party_id async for row in rows] == sorted(made)
            page = await client.events.read()
            assert len(page.items) == 6


def test_every_type_of_a_body_is_imported_from_one_module_of_the_client():
    rooms = [import_module(f"{http_bodies.__name__}.{room.name}") for room in iter_modules(http_bodies.__path__)]
    own = [
        (name, one)
        for room in rooms
        for name, one in vars(room).items()
        if getattr(one, "__module__", "") == room.__name__
    ]
    types = {name: one for name, one in own if isinstance(one, type) and not name.startswith("_")}
    assert len(types) > 100
    assert {name: getattr(bodies, name) for name in types} == types
