"""The typed client: one effect per command whatever breaks, problems as exceptions, and its own writes in its reads."""

from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest

from marketplace.api.http.bodies.parties import RegisterPartyBody
from marketplace.client import MarketplaceClient, ProblemError
from marketplace.log.memory import MemoryLog
from marketplace.projections.views.access import PartyView
from tests.api.stage import ADMIN_KEY, Stage, open_stage

BODY = RegisterPartyBody(name="Acme", roles=("startup",), jurisdiction="US")


class Breaking(httpx.AsyncBaseTransport):
    """Reaches the application, and loses the first answers."""

    def __init__(self, stage: Stage, losses: int, status: int | None = None) -> None:
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
        return httpx.Response(self._status, headers={"Retry-After": "0"}, json={"code": "busy"})


@pytest.mark.parametrize("status", [None, 503, 429])
async def test_a_command_whose_answer_is_lost_takes_effect_once(status):
    async with open_stage(MemoryLog()) as stage:
        transport = Breaking(stage, 2, status)
        async with MarketplaceClient("http://test", ADMIN_KEY, transport) as client:
            receipt = await client.register_party(BODY)
        assert len(transport.keys) == 3
        assert len(set(transport.keys)) == 1
        assert receipt.sequence == (await stage.services.handler.log.health()).last_sequence == 2


async def test_a_refusal_is_raised_with_its_code_at_once():
    async with open_stage(MemoryLog()) as stage:
        transport = Breaking(stage, 0)
        async with MarketplaceClient("http://test", ADMIN_KEY, transport) as client:
            with pytest.raises(ProblemError) as caught:
                await client.deposit("acc_01jdm5v5tze1xa6a4sbz1gk3c4", Decimal(5), "wire")
        assert (caught.value.status, caught.value.code) == (404, "account_unknown")
        assert len(transport.keys) == 1


async def test_reads_see_what_the_client_wrote(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        transport = httpx.ASGITransport(stage.application)
        async with MarketplaceClient("http://test", ADMIN_KEY, transport) as client:
            made = [(await client.register_party(BODY)).id for _ in range(3)]
            rows: AsyncIterator[PartyView] = client.rows("/v1/parties", PartyView)
            assert [row.party_id async for row in rows] == sorted(made)
            page = await client.read_events()
            assert len(page.items) == 6
