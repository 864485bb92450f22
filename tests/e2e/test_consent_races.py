"""Two API processes on one log: votes that race have one outcome, whichever process takes them."""

import asyncio
import itertools
from contextlib import AsyncExitStack
from datetime import date

import httpx
import pytest

from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.runner import Projector
from marketplace.projections.registry import PROJECTIONS
from tests.api.stage import running
from tests.support.api_processes import Processes, running_apis
from tests.support.servers import open_log

pytestmark = pytest.mark.xdist_group("stack")
ROUNDS = 4
_keys = itertools.count()


async def post(client: httpx.AsyncClient, path: str, body: dict | None = None) -> httpx.Response:
    return await client.post(path, json=body, headers={"Idempotency-Key": f"race-{next(_keys)}"})


async def done(client: httpx.AsyncClient, path: str, body: dict | None = None) -> dict:
    answer = await post(client, path, body)
    assert answer.is_success, answer.text
    return answer.json()


class Company:
    """A startup and two funds, each with a client to each API."""

    def __init__(self, processes: Processes, stack: AsyncExitStack) -> None:
        self._processes, self._stack = processes, stack

    async def open(self, number: int, token: str | None = None) -> httpx.AsyncClient:
        return await self._stack.enter_async_context(self._processes.open_client(number, token))

    async def join(self, name: str, role: str) -> tuple[str, list[httpx.AsyncClient]]:
        """Register a party with money, and return its id and a client to each API."""
        admin = await self.open(0)
        party = (await done(admin, "/v1/parties", {"name": name, "roles": [role], "jurisdiction": "US"}))["id"]
        await done(admin, f"/v1/parties/{party}/clear", {"checks": ["sanctions"]})
        account = party.replace("pty", "acc")
        await done(admin, f"/v1/accounts/{account}/deposits", {"amount_usd": "1000", "reference": f"wire {party}"})
        token = (await done(admin, "/v1/api-keys", {"name": "own", "scopes": ["*"], "party_id": party}))["token"]
        return party, [await self.open(number, token) for number in (0, 1)]


async def test_votes_at_two_apis_have_one_outcome(tmp_path, nats_server, database_url):
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(open_log(nats_server))
        processes = await stack.enter_async_context(running_apis(tmp_path, nats_server, database_url, 2))
        engine = build_engine(database_url)
        stack.push_async_callback(engine.dispose)
        await stack.enter_async_context(running(Projector(log, engine, PROJECTIONS).run()))
        company = Company(processes, stack)
        startup_id, startup = await company.join("Acme", "startup")
        funds = [await company.join(name, "fund") for name in ("One", "Two")]
        formed = {
            "party_id": startup_id,
            "legal_name": "Acme",
            "jurisdiction": "US",
            "formed_on": str(date(2025, 1, 1)),
        }
        issuer = (await done(startup[0], "/v1/issuers", formed))["id"]
        common = {"class_id": "common", "kind": "common", "shares_authorised": 1_000_000}
        await done(startup[0], f"/v1/issuers/{issuer}/stock-classes", common)
        for fund_id, clients in funds:
            holder = {"holder_id": fund_id, "name": "F", "kind": "investor"}
            await done(startup[0], f"/v1/issuers/{issuer}/stakeholders", holder)
            proposed, _ = await propose(startup[0], issuer, fund_id)
            await agree_all(proposed, [clients[0], funds[0][1][0]])
        for number in range(ROUNDS):
            await race_last_agreements(startup[number % 2], issuer, funds)
            await race_agreement_and_refusal(startup[number % 2], issuer, funds)


async def propose(client: httpx.AsyncClient, issuer: str, holder_id: str, shares: int = 100) -> tuple[str, int]:
    body = {"holder_id": holder_id, "class_id": "common", "shares": shares, "price_usd_per_share": "0.01"}
    answer = await post(client, f"/v1/issuers/{issuer}/stock", body)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"], answer.json()["sequence"]


async def agree_all(proposal: str, clients: list[httpx.AsyncClient]) -> None:
    for client in clients:
        await post(client, f"/v1/proposals/{proposal}/agree")


async def read(client: httpx.AsyncClient, path: str, least: int) -> dict:
    answer = await client.get(path, headers={"Min-Seq": str(least)})
    assert answer.is_success, answer.text
    return answer.json()


async def count(client: httpx.AsyncClient, issuer: str, least: int) -> int:
    return (await read(client, f"/v1/issuers/{issuer}/cap-table", least))["outstanding_shares"]


async def race_last_agreements(startup, issuer, funds) -> None:
    """Both funds have to agree, and do at once, each at another API: the stock is issued once."""
    (one_id, one), (_, two) = funds
    proposal, made = await propose(startup, issuer, one_id)
    before = await count(startup, issuer, made)
    answers = await asyncio.gather(
        post(one[0], f"/v1/proposals/{proposal}/agree"), post(two[1], f"/v1/proposals/{proposal}/agree")
    )
    least = max(answer.json()["sequence"] for answer in answers if answer.is_success)
    seen = await read(startup, f"/v1/proposals/{proposal}", least)
    assert seen["status"] == "effective", seen
    codes = [answer.json()["code"] for answer in answers if not answer.is_success]
    assert codes in ([], ["proposal_effective"]), codes
    assert await count(startup, issuer, least) == before + 100


async def race_agreement_and_refusal(startup, issuer, funds) -> None:
    """A fund that both agrees and refuses at once has done one of them: nothing is half done."""
    (one_id, one), (_, two) = funds
    proposal, made = await propose(startup, issuer, one_id)
    before = await count(startup, issuer, made)
    await done(two[1], f"/v1/proposals/{proposal}/agree")
    answers = await asyncio.gather(
        post(one[0], f"/v1/proposals/{proposal}/agree"),
        post(one[1], f"/v1/proposals/{proposal}/refuse", {"reason": "no"}),
    )
    least = max(answer.json()["sequence"] for answer in answers if answer.is_success)
    seen = await read(startup, f"/v1/proposals/{proposal}", least)
    codes = [answer.json()["code"] for answer in answers if not answer.is_success]
    assert (seen["status"], codes) in (("effective", ["proposal_effective"]), ("refused", ["proposal_refused"])), seen
    issued = 100 if seen["status"] == "effective" else 0
    assert await count(startup, issuer, least) == before + issued
