"""Resale through HTTP: a startup sells on what it does not use, and everyone is paid to the cent."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import httpx
import pytest

from events.order import ClassOffer, OrderTerms
from marketplace.api.http.bodies.delivery import ReadingBody, TransferGrantBody
from marketplace.client import MarketplaceClient
from marketplace.client.transport import ProblemError
from marketplace.core.ids import rename_id
from marketplace.log.memory import MemoryLog
from tests.api.stage import ADMIN_KEY, open_stage
from tests.api.supplying import open_pool

DAY = timedelta(days=1)


class Market:
    """What the platform does through the typed client."""

    def __init__(self, client: MarketplaceClient) -> None:
        self.client = client

    async def register(self, name: str, role: Any, usd: int = 0) -> str:
        party_id = (await self.client.parties.register(name=name, roles=(role,), jurisdiction="US")).id
        await self.client.parties.clear(party_id, checks=("sanctions",))
        if usd:
            await self.client.accounts.deposit(
                rename_id("acc", party_id), amount_usd=Decimal(usd), reference=f"wire {name}"
            )
        return party_id

    async def list_nodes(self, provider_id: str, begin: Any) -> str:
        pool_id = await open_pool(self.client, provider_id, 100)
        await self.client.lots.offer(
            pool_id=pool_id, nodes=4, start=begin, end=begin + 4 * DAY, ask_usd_per_gpu_hour=Decimal(2)
        )
        return pool_id

    def terms(self, nodes: int, hours: int, start: Any, cash: str) -> OrderTerms:
        offer = ClassOffer(
            gpu_class="H100_SXM", cash_usd_per_gpu_hour=Decimal(cash), equity_usd_per_gpu_hour=Decimal(0)
        )
        return OrderTerms(nodes=nodes, duration_hours=hours, start_earliest=start, start_latest=start, offers=(offer,))

    async def move_to(self, at: Any) -> None:
        seconds = int((at - (await self.client.clock.get()).now).total_seconds()) + 1
        if seconds > 0:
            await self.client.clock.advance(seconds=seconds)

    async def wait(self, ask: Callable[[], Awaitable[Any]], accept: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(60):
            while True:
                found = await ask()
                if accept(found):
                    return found
                await asyncio.sleep(0.05)

    async def report(self, grant_id: str, start: Any, end: Any, nodes: int) -> None:
        reading = ReadingBody(reading_id=f"{grant_id}-{start:%d}", start=start, end=end, nodes=nodes)
        receipt = await self.client.usage.report(grant_id, source="dcgm", readings=(reading,))
        assert [answer.outcome for answer in receipt.readings] == ["accepted"]

    async def settle(self, grant_id: str) -> Any:
        """Accept the one statement of a grant that is over."""

        async def ask() -> list[Any]:
            return [row async for row in self.client.statements.list(grant_id=grant_id)]

        [statement] = await self.wait(ask, bool)
        await self.client.statements.accept(statement.statement_id)
        return statement

    async def get_cash(self, party_id: str) -> Decimal:
        balances = [row async for row in self.client.accounts.list_balances(party_id=party_id) if row.unit == "USD"]
        return sum((row.amount for row in balances), Decimal(0))


async def play(market: Market) -> tuple[dict[str, Decimal], Fraction]:
    """Sell half of a grant on for a day, deliver and settle; return the dollars of all, and the grant's price."""
    client = market.client
    begin = ((await client.clock.get()).now + 2 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    provider, seller = await market.register("Provider", "provider"), await market.register("Seller", "startup", 10_000)
    buyer, noon = await market.register("Buyer", "startup", 10_000), begin + DAY
    await market.list_nodes(provider, begin)
    order_id = (
        await client.quotes.take(
            (await client.quotes.hold(startup_id=seller, terms=market.terms(4, 96, begin, "3"))).id
        )
    ).id
    grant_id = str((await client.orders.get(order_id)).grant_id)
    span = {"start": noon, "end": noon + DAY}
    resale = {"nodes": 2, **span, "ask_usd_per_gpu_hour": Decimal("2.50")}
    await client.grants.resell(grant_id, **resale)
    quoted = await client.quotes.ask(startup_id=buyer, terms=market.terms(2, 24, noon, "2.75"))
    assert [placement.resold for placement in quoted.placements] == [True]
    wanted = (await client.orders.place(startup_id=buyer, terms=market.terms(2, 24, noon, "2.75"))).id
    lock = (await client.clock.get()).now + timedelta(hours=1)
    await client.auctions.open(locks_at=lock, horizon_start=begin, period_hours=24, periods=4, seed=1)
    await market.move_to(lock)
    order = await market.wait(lambda: client.orders.get(wanted), lambda one: one.status == "matched")
    await market.move_to(begin + 2 * DAY)
    await market.report(str(order.grant_id), noon, noon + DAY, 2)
    await market.move_to(begin + 4 * DAY)
    for first, last, nodes in ((0, 1, 4), (1, 2, 2), (2, 4, 4)):
        await market.report(grant_id, begin + first * DAY, begin + last * DAY, nodes)
    await market.move_to(begin + 5 * DAY + timedelta(hours=1))
    sold, own = await market.settle(order.grant_id), await market.settle(grant_id)
    assert sold.charges.gpu_seconds + own.charges.gpu_seconds == 4 * 8 * 4 * 86_400
    parties = {"provider": provider, "seller": seller, "buyer": buyer}
    cash = {name: await market.get_cash(party) for name, party in parties.items()}
    grants = {row.grant_id: row async for row in client.grants.list()}
    return cash, Fraction(grants[grant_id].price_usd_per_gpu_hour)


async def test_what_is_sold_on_is_paid_by_the_buyer_to_the_seller_and_the_provider(database_url: str):
    async with open_stage(MemoryLog(), database_url, worker=True, embedded=True) as stage:
        transport = httpx.ASGITransport(stage.application)
        async with MarketplaceClient("http://test", ADMIN_KEY, transport) as client:
            cash, price = await play(Market(client))
    resold = 2 * 8 * 24
    assert cash["buyer"] == 10_000 - Decimal("2.50") * resold
    assert sum(cash.values()) == 20_000
    assert cash["provider"] == price * 4 * 8 * 96
    assert cash["seller"] == 10_000 - price * 4 * 8 * 96 + Fraction("2.50") * resold


async def hold_and_take(market: Market) -> None:
    """Hold what a startup resells and read the market as it was before and after."""
    client = market.client
    begin = ((await client.clock.get()).now + 2 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    provider, seller = await market.register("Provider", "provider"), await market.register("Seller", "startup", 10_000)
    buyer, noon = await market.register("Buyer", "startup", 10_000), begin + DAY
    await market.list_nodes(provider, begin)
    order_id = (
        await client.quotes.take(
            (await client.quotes.hold(startup_id=seller, terms=market.terms(4, 96, begin, "3"))).id
        )
    ).id
    grant_id = str((await client.orders.get(order_id)).grant_id)
    offered = await client.grants.resell(
        grant_id, nodes=2, start=noon, end=noon + DAY, ask_usd_per_gpu_hour=Decimal("2.50")
    )
    held = await client.quotes.hold(startup_id=buyer, terms=market.terms(2, 24, noon, "2.75"))
    assert [await read_asked(client, at) for at in (offered.sequence, held.sequence, None)] == [48, 0, 0]
    other = await market.register("Other", "startup")
    with pytest.raises(ProblemError) as refused:
        await client.command(f"/v1/grants/{grant_id}/transfer", TransferGrantBody(startup_id=other))
    assert (refused.value.status, refused.value.code) == (409, "resale_held")
    taken = await client.quotes.take(held.id)
    bought = str((await client.orders.get(taken.id)).grant_id)
    assert {row.grant_id async for row in client.grants.list_at(at=held.sequence)} == {grant_id}
    assert {row.grant_id async for row in client.grants.list_at(at=taken.sequence)} == {grant_id, bought}
    grants = {row.grant_id: row async for row in client.grants.list()}
    assert grants[bought].resale is not None
    assert [part.resale_grant_id for part in grants[grant_id].resold] == [bought]


async def read_asked(client: MarketplaceClient, at: int | None) -> Decimal:
    """Return the node-hours that are asked for at the price of the resale."""
    levels = await client.market.get_depth(gpu_class="H100_SXM", at=at)
    return sum((level.node_hours for level in levels if level.price_usd_per_gpu_hour == Decimal("2.50")), Decimal(0))


async def test_what_is_sold_on_is_held_and_taken(database_url: str):
    async with open_stage(MemoryLog(), database_url, worker=True, embedded=True) as stage:
        transport = httpx.ASGITransport(stage.application)
        async with MarketplaceClient("http://test", ADMIN_KEY, transport) as client:
            await hold_and_take(Market(client))
