"""A whole API in one process: a log, projections where there is a database, and clients with keys."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import httpx
from litestar import Litestar

from marketplace import process
from marketplace.api.application import create_application
from marketplace.api.http.key_store import SqlKeys
from marketplace.api.http.keys import KeyRing
from marketplace.api.http.services import ApiSettings, Services
from marketplace.execution.clock import MarketClock
from marketplace.execution.follower import Follower
from marketplace.execution.handler import Handler
from marketplace.log.port import Log
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from marketplace.projections.engine.runner import Projector
from marketplace.projections.engine.watch import watch
from marketplace.projections.registry import PROJECTIONS
from marketplace.runtime.worker import Worker
from tests.api.documented import listen
from tests.support.patience import PATIENCE_SECONDS

ADMIN_KEY = "mkp_01jdm5v5tze1xa6a4sbz1gk3c4_abcdefghijklmnopqrstuvwxyz"
SECRET = b"a secret of thirty-two bytes or more"
ALL = ("*",)


@dataclass
class Stage:
    application: Litestar
    services: Services
    admin: httpx.AsyncClient
    stack: AsyncExitStack
    numbers: itertools.count = field(default_factory=itertools.count)

    async def open_client(self, token: str | None) -> httpx.AsyncClient:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(self.application, raise_app_exceptions=False)
        client = httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers, timeout=PATIENCE_SECONDS
        )
        return await self.stack.enter_async_context(client)

    async def post(self, client: httpx.AsyncClient, path: str, body=None, *, key: str | None = None, **headers: str):
        sent = {"Idempotency-Key": key or f"test-{next(self.numbers)}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.post(path, json=body, headers=sent)

    async def register(self, name: str, *roles: str, usd: str | None = None, **more) -> str:
        body = {"name": name, "roles": roles, "jurisdiction": "US", **more}
        party_id = get_id(await self.post(self.admin, "/v1/parties", body))
        get_id(await self.post(self.admin, f"/v1/parties/{party_id}/clear", {"checks": ["sanctions"]}))
        if usd is not None:
            transfer = {"amount_usd": usd, "reference": f"wire {party_id}"}
            account_id = "acc" + party_id[3:]
            get_id(await self.post(self.admin, f"/v1/accounts/{account_id}/deposits", transfer))
        return party_id

    async def open_tenant(
        self, party_id: str, scopes: Sequence[str] = ALL, *, person: str | None = None
    ) -> httpx.AsyncClient:
        body = {"name": "tests", "scopes": scopes, "party_id": party_id, "person": person}
        answer = await self.post(self.admin, "/v1/api-keys", body)
        assert answer.status_code == 201, answer.text
        return await self.open_client(answer.json()["token"])

    async def reach(self) -> str:
        """Return the log's last sequence, for `Min-Seq`."""
        return str((await self.services.handler.log.health()).last_sequence)


def get_id(answer: httpx.Response) -> str:
    assert answer.is_success, answer.text
    return answer.json()["id"]


def running(*coroutines) -> AbstractAsyncContextManager[None]:
    """Run coroutines as tasks while a block runs, and end them with it."""
    return process.running(*map(asyncio.create_task, coroutines))


@asynccontextmanager
async def open_stage(
    log: Log,
    database_url: str | None = None,
    *,
    worker: bool = False,
    projector: bool = True,
    listening: bool = True,
    clock: MarketClock | None = None,
    **settings,
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        handler = Handler(log, clock or MarketClock())
        follower = Follower(handler)
        await follower.start()
        await stack.enter_async_context(running(follower.run()))
        engine, watching, store = None, None, None
        if database_url is not None:
            engine = build_engine(database_url)
            stack.push_async_callback(engine.dispose)
            await migrate(engine)
            watching = await stack.enter_async_context(watch(engine, PROJECTIONS))
            if projector:
                await stack.enter_async_context(running(Projector(log, engine, PROJECTIONS).run()))
            store = SqlKeys(engine)
        if worker:
            working = Worker(Handler(log, handler.clock))
            await stack.enter_async_context(running(working.run()))
        services = Services(
            handler=handler,
            follower=follower,
            keys=KeyRing(SECRET, ADMIN_KEY, store),
            settings=ApiSettings(**{"read_wait_seconds_max": PATIENCE_SECONDS, **settings}),
            engine=engine,
            watch=watching,
        )
        stage = Stage(create_application(services), services, None, stack)  # type: ignore[arg-type]
        if listening:
            stack.enter_context(listen(stage.application))
        stage.admin = await stage.open_client(ADMIN_KEY)
        yield stage


def build_terms(now, *, cash: str = "3", equity: str = "0", mandate_ids: Sequence[str] = (), **more) -> dict:
    """Return an order's terms that fit the tests' pool of four nodes."""
    offer = {"gpu_class": "H100_SXM", "cash_usd_per_gpu_hour": cash, "equity_usd_per_gpu_hour": equity}
    terms = {
        "nodes": 2,
        "duration_hours": 48,
        "start_earliest": now(1),
        "start_latest": now(20),
        "offers": [offer],
        **more,
    }
    if Decimal(equity):
        cap = {
            "kind": "safe",
            "conversion_timing": "post_money",
            "valuation_cap_usd": "10000000",
            "service_consequence": "credit",
        }
        terms |= {"mandate_ids": list(mandate_ids), "instrument": cap}
    return terms
