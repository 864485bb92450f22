"""The typed client through a trade: what is asked of book, auction, grant and meters while a grant lives."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from events.mandate import MandateTerms
from events.order import OrderTerms
from events.types import SafeTerms
from events.usage import Sample
from marketplace.api.http.bodies.allocations import (
    UseBody,
)
from marketplace.api.http.bodies.delivery import (
    ReadingBody,
)
from marketplace.client import ProblemError
from marketplace.log.memory import MemoryLog
from tests.api.rows import ABSENT
from tests.api.stage import open_stage
from tests.api.supplying import acting_for, open_pool
from tests.api.test_client_parties import refuse, speak
from tests.api.test_resale import Market

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SAFE = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(10_000_000), service_consequence="credit")


class Trade(Market):
    """A provider, a fund and a startup, and the grant of two nodes over four days that comes of them."""

    async def prepare(self) -> None:
        client = self.client
        self.begin = ((await client.clock.get()).now + 2 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
        self.provider, fund = await self.register("Plant", "provider"), await self.register("Fund", "fund", 10_000)
        self.startup = await self.register("Acme", "startup", 10_000)
        self.issuer = (
            await client.issuers.form(
                party_id=self.startup,
                legal_name="Acme, Inc.",
                jurisdiction="US",
                formed_on=self.begin.date() - 400 * DAY,
            )
        ).id
        rules = MandateTerms(
            instrument_kinds=("safe",),
            equity_credit=Decimal("0.8"),
            budget_usd=Decimal(9_000),
            issuer_usd_max=Decimal(9_000),
            resale=True,
            startup_accepts_alone=True,
        )
        async with acting_for(client, fund) as own:
            granted = await own.mandates.grant(holder_id=fund, funding="cash", terms=rules)
        self.mandate = granted.id
        self.pool = await self.list_nodes(self.provider, self.begin)

    async def list_nodes(self, provider_id: str, begin: Any) -> str:
        pool_id = await open_pool(self.client, provider_id, 100)
        await self.client.lots.offer(
            pool_id=pool_id,
            nodes=4,
            start=begin,
            end=begin + 4 * DAY,
            ask_usd_per_gpu_hour=Decimal(2),
            mandate_ids=(self.mandate,),
        )
        return pool_id

    def build_terms(self) -> OrderTerms:
        """Return an order that offers a dollar in cash and three in equity."""
        cash = self.terms(2, 96, self.begin, "1")
        offers = (msgspec.structs.replace(cash.offers[0], equity_usd_per_gpu_hour=Decimal(3)),)
        return msgspec.structs.replace(cash, offers=offers, mandate_ids=(self.mandate,), instrument=SAFE)

    async def call(self) -> str:
        """Open an auction that locks in a minute."""
        locks_at = (await self.client.clock.get()).now + timedelta(minutes=1)
        return (
            await self.client.auctions.open(
                locks_at=locks_at, horizon_start=self.begin, period_hours=24, periods=4, seed=1
            )
        ).id


async def test_a_trade_is_asked_about_from_its_order_to_its_end(database_url: str):
    async with open_stage(MemoryLog(), database_url, worker=True, embedded=True) as stage, speak(stage) as client:
        trade = Trade(client)
        await trade.prepare()
        await _quote(trade)
        await _change_mind(trade)
        grant_id = await _trade(trade)
        await _begin(trade, grant_id)
        await _meter(trade, grant_id)
        await _allocate(trade, grant_id)
        await _interrupt(trade, grant_id)
        await _move(trade, grant_id)
        await _end(trade, grant_id)


async def _quote(trade: Trade) -> None:
    """Hold a quote, and let it go."""
    client = trade.client
    held = (await client.quotes.hold(startup_id=trade.startup, terms=trade.terms(1, 24, trade.begin, "3"))).id
    assert [each.quote_id async for each in client.quotes.list(startup_id=trade.startup)] == [held]
    await client.quotes.release(held, reason="changed plans")
    (found,) = [each async for each in client.quotes.list(status="released")]
    assert (found.quote_id, found.reason) == (held, "changed plans")
    assert [each async for each in client.quotes.list(status="held")] == []


async def _change_mind(trade: Trade) -> None:
    """Place an order, change what it offers, and take it back."""
    client = trade.client
    order_id = (await client.orders.place(startup_id=trade.startup, terms=trade.terms(1, 24, trade.begin, "3"))).id
    better = trade.terms(1, 24, trade.begin, "4")
    await client.orders.amend(order_id, terms=better)
    (order,) = [each async for each in client.orders.list(startup_id=trade.startup, status="open")]
    assert (order.order_id, order.terms) == (order_id, better)
    await client.orders.cancel(order_id, reason="no longer needed")
    cancelled = await client.orders.get(order_id)
    assert (cancelled.status, cancelled.cancel_reason) == ("cancelled", "no longer needed")


async def _trade(trade: Trade) -> str:
    """Place an order with equity, and return the grant that an auction awards."""
    client = trade.client
    placed = await client.orders.place(startup_id=trade.startup, terms=trade.build_terms())
    assert [(each.order_id, each.status) async for each in client.orders.list_book()] == [(placed.id, "open")]
    (held,) = [each async for each in client.mandates.list_holds(trade.mandate)]
    assert (held.order_id, held.issuer_id, held.grant_id) == (placed.id, trade.issuer, None)
    assert held.held_usd == (await client.mandates.get(trade.mandate)).held_usd > 0
    assert [each async for each in client.orders.list_decisions(placed.id)] == []
    auction_id = await trade.call()
    assert await refuse(client.auctions.get_certificate(auction_id)) == "auction_collecting"
    assert await refuse(client.auctions.get_book(auction_id)) == "auction_collecting"
    await trade.move_to((await client.auctions.get(auction_id)).locks_at)
    order = await trade.wait(lambda: client.orders.get(placed.id), lambda one: one.status == "matched")
    auction = await trade.wait(lambda: client.auctions.get(auction_id), lambda one: one.carried_out_at is not None)
    assert [each.auction_id async for each in client.auctions.list(status="cleared")] == [auction_id]
    assert await client.auctions.get_certificate(auction_id) == auction.certificate
    book = await client.auctions.get_book(auction_id)
    assert ([each.order_id for each in book.orders], book.periods) == ([placed.id], 4)
    (decision,) = [each async for each in client.orders.list_decisions(placed.id)]
    assert (decision.auction_id, decision.match.grant_id) == (auction_id, order.grant_id)
    assert [each async for each in client.auctions.list_decisions(auction_id)] == [decision]
    assert [each.order_id async for each in client.orders.list(auction_id=auction_id)] == [placed.id]
    prices = [each async for each in client.market.list_prices(auction_id=auction_id, start=trade.begin)]
    assert {each.pool_id for each in prices} == {trade.pool}
    assert [each async for each in client.market.list_prices(end=trade.begin - DAY)] == []
    assert [each async for each in client.orders.list_book()] == []
    (then,) = [each async for each in client.orders.list_book(at=placed.sequence)]
    assert (then.order_id, then.terms) == (placed.id, trade.build_terms())
    await trade.wait(lambda: client.mandates.get(trade.mandate), lambda one: one.captured_usd > 0)
    (captured,) = [each async for each in client.mandates.list_holds(trade.mandate)]
    assert (captured.grant_id, captured.held_usd) == (order.grant_id, 0)
    assert 0 < captured.captured_usd <= held.held_usd
    return str(order.grant_id)


async def _begin(trade: Trade, grant_id: str) -> None:
    client = trade.client
    assert await refuse(client.grants.activate(grant_id)) == "grant_not_due"
    issued = await client.grants.get(grant_id)
    await trade.move_to(trade.begin)
    assert (await client.grants.activate(grant_id)).id == grant_id
    await trade.move_to(trade.begin + 5 * HOUR)
    assert (await client.grants.get_at(grant_id)).status == "active"
    for at in (issued.last_sequence, issued.issued_at, str(issued.last_sequence)):
        then = await client.grants.get_at(grant_id, at=at)
        assert (then.status, then.startup_id, then.nodes_available) == ("issued", trade.startup, 2)
    assert await refuse(client.grants.get_at(grant_id, at=1)) == "grant_unknown"


async def _meter(trade: Trade, grant_id: str) -> None:
    client, begin = trade.client, trade.begin
    first, second = (build_reading(name, begin + hours * HOUR) for name, hours in (("r1", 0), ("r2", 1)))
    await client.usage.report(grant_id, source="dcgm", readings=(first, second))
    assert (await client.usage.sum(grant_id)).gpu_seconds == 2 * 16 * 3_600
    assert (await client.usage.sum(grant_id, start=begin + HOUR, end=begin + 2 * HOUR)).readings == 1
    less = msgspec.structs.replace(first, nodes=1)
    await client.usage.correct(grant_id, source="dcgm", reading=less, reason="counted twice")
    await client.usage.void(grant_id, source="dcgm", reading_id="r2", reason="another grant's")
    corrected, voided = [each async for each in client.usage.list_readings(grant_id)]
    assert (corrected.reading_id, corrected.gpu_seconds, corrected.corrections) == ("r1", 8 * 3_600, 1)
    assert (voided.reading_id, voided.voided, voided.reason) == ("r2", True, "another grant's")
    summed = await client.usage.sum(grant_id)
    assert (summed.readings, summed.gpu_seconds, summed.gpu_seconds_startup) == (1, 8 * 3_600, 0)
    assert [each async for each in client.usage.list_readings(grant_id, start=begin + HOUR)] == [voided]
    (day,) = await client.usage.sum_days(grant_id)
    assert (day.day, day.gpu_seconds) == (begin.date(), summed.gpu_seconds)
    assert await refuse(client.usage.void(grant_id, source="dcgm", reading_id="r9", reason="x")) == "reading_unknown"
    assert (
        await refuse(
            client.usage.correct(grant_id, source="dcgm", reading=msgspec.structs.replace(first, nodes=3), reason="x")
        )
        == "nodes_above_grant"
    )
    busy = Sample(device="GPU-1", at=begin + 2 * HOUR, gpu_utilisation=Decimal("0.9"))
    early = msgspec.structs.replace(busy, at=begin - HOUR)
    for _ in range(2):
        (left,) = (
            await client.usage.keep_evidence(grant_id, source="dcgm", samples=(busy, early), key="looks")
        ).left_out
        assert (left.pointer, left.code, left.message[:11]) == ("/samples/1/at", "outside_grant", "1 left out:")
    (found,) = await client.usage.find_contradictions(grant_id)
    assert (found.kind, found.device, found.start) == ("busy_unmetered", "GPU-1", busy.at)
    assert await client.usage.find_contradictions(grant_id, start=begin, end=begin + HOUR) == []
    assert await refuse(client.usage.sum(f"grt_{ABSENT}")) == "grant_unknown"


async def _allocate(trade: Trade, grant_id: str) -> None:
    """Send a reading as a CloudEvent, and one of the startup, which the grant carries."""
    client, begin = trade.client, trade.begin
    data = {"start": (begin + HOUR).isoformat(), "end": (begin + 2 * HOUR).isoformat(), "nodes": 1}
    event = {
        "specversion": "1.0",
        "type": "marketplace.meter.reading.v1",
        "id": "r3",
        "source": "dcgm",
        "subject": grant_id,
        "data": data,
    }
    sent = await client.usage.ingest([event, {**event, "id": "r4", "data": {**data, "nodes": 9}}])
    assert [(each.outcome, each.code) for each in sent.readings] == [
        ("accepted", None),
        ("rejected", "nodes_above_grant"),
    ]
    await client.grants.prioritise(grant_id, priority=5)
    with pytest.raises(ProblemError, match="grant_prepaid"):
        await client.grants.pay_stage(grant_id)
    assert (await client.grants.get(grant_id)).priority == 5
    named = {"startup_id": trade.startup, "provider_id": trade.provider, "gpu_class": "H100_SXM", "source": "fleet"}
    use = UseBody(reading_id="u1", start=begin + 2 * HOUR, end=begin + 3 * HOUR, gpus=9)
    (answer,) = (await client.usage.allocate(**named, readings=(use,))).readings
    assert (answer.outcome, [(part.grant_id, part.gpus) for part in answer.parts]) == ("accepted", [(grant_id, 9)])
    await client.usage.correct_allocation(**named, reading=msgspec.structs.replace(use, gpus=4), reason="counted twice")
    (allocation,) = [each async for each in client.usage.list_allocations()]
    assert (allocation.reading_id, allocation.gpus, allocation.corrections) == ("u1", 4, 1)
    await client.usage.void_allocation(**named, reading_id="u1", reason="another startup's")
    assert [each.voided async for each in client.usage.list_allocations()] == [True]


def build_reading(name: str, start: datetime) -> ReadingBody:
    return ReadingBody(reading_id=name, start=start, end=start + HOUR, nodes=2)


async def _interrupt(trade: Trade, grant_id: str) -> None:
    """Let a node fail, all work again, none work, and all work again."""
    client, begin = trade.client, trade.begin
    one = {"nodes_available": 1, "at": begin + 2 * HOUR, "reason": "a node failed"}
    await client.grants.degrade(grant_id, **one)
    degraded = await client.grants.get(grant_id)
    assert (degraded.status, degraded.nodes_available, degraded.reason) == ("degraded", 1, "a node failed")
    assert await refuse(client.grants.degrade(grant_id, **one | {"nodes_available": 3})) == "nodes_above_grant"
    await client.grants.resume(grant_id, at=begin + 3 * HOUR)
    assert (await client.grants.get(grant_id)).nodes_available == 2
    cut = await client.grants.suspend(grant_id, at=begin + 3 * HOUR, reason="fibre cut")
    resumed = await client.grants.resume(grant_id, at=begin + 4 * HOUR, if_match=cut.version)
    suspended = await client.grants.get_at(grant_id, at=cut.sequence)
    assert (suspended.status, suspended.reason) == ("suspended", "fibre cut")
    assert (await client.grants.get_at(grant_id, at=resumed.sequence)).status == "active"


async def _move(trade: Trade, grant_id: str) -> None:
    """Move the grant to another pool, and let another startup use it."""
    client = trade.client
    assert await refuse(client.grants.substitute(grant_id, pool_id=f"pol_{ABSENT}", reason="x")) == "pool_unknown"
    spare = await trade.list_nodes(trade.provider, trade.begin)
    await client.grants.substitute(grant_id, pool_id=spare, reason="maintenance")
    assert (await client.grants.get(grant_id)).pool_id == spare
    heir = await trade.register("Heir", "startup")
    assert await refuse(client.grants.transfer(grant_id, startup_id=trade.provider)) == "role_missing"
    moved = await client.grants.transfer(grant_id, startup_id=heir)
    assert (await client.grants.get(grant_id)).startup_id == heir
    (now,) = [each async for each in client.grants.list_at(at=moved.sequence, party_id=heir)]
    assert (now.grant_id, now.pool_id, now.startup_id) == (grant_id, spare, heir)


async def _end(trade: Trade, grant_id: str) -> None:
    """Let the grant run to its end, and accept what was delivered."""
    client = trade.client
    before = await client.market.get_reliability(trade.provider)
    assert [each async for each in client.market.list_reliability()] == [before]
    await trade.move_to(trade.begin + 6 * DAY)
    statement = await trade.settle(grant_id)
    await trade.move_to(statement.accept_until)  # until then late readings count
    await trade.wait(lambda: client.grants.get(grant_id), lambda one: one.status == "completed")
    reliability = await trade.wait(
        lambda: client.market.get_reliability(trade.provider), lambda one: one.grants_completed == 1
    )
    assert [each async for each in client.market.list_reliability()] == [reliability]
    assert (reliability.provider_id, reliability.gpu_seconds_due) == (trade.provider, 16 * 96 * 3_600)
    undelivered = reliability.gpu_seconds_due - reliability.gpu_seconds_accepted
    assert reliability.gpu_seconds_lost == undelivered, "the default promise counts what is not metered as undelivered"
    assert await refuse(client.grants.activate(grant_id)) == "grant_completed"
