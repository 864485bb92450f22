"""Where more orders stand than an auction clears, cheap ones displace nobody, and each is told."""

from events.auction import AuctionOrdersDeferred
from marketplace.execution.handler import Handler
from marketplace.log.events import parse_event
from marketplace.log.memory import MemoryLog
from marketplace.runtime.worker import Worker
from tests.application.trading.test_related import relate
from tests.support.market.invariants import check_log
from tests.support.market.market import Market, running_worker

PLACES = 40


async def list_deferrals(log):
    return [
        deferral
        async for page in log.read()
        for recorded in page
        if isinstance(event := parse_event(recorded), AuctionOrdersDeferred)
        for deferral in event.deferrals
    ]


async def test_cheap_standing_orders_starve_no_auction_and_are_told():
    market = Market(MemoryLog())
    provider = await market.party("Provider", "provider")
    _, pool = await market.pool(provider)
    await market.lot(provider, pool)
    cheap = await market.party("Cheap", "startup", usd=100_000)
    for _ in range(3 * PLACES):
        await market.order(cheap, cash="0.01", nodes=1, days=1, standing=True)
    worker = Worker(Handler(market.log, market.clock))
    worker._auctioneer._places = PLACES
    async with running_worker(worker):
        for number, cash in enumerate(("3", "4")):
            honest = await market.party("Honest", "startup", usd=100_000)
            good = await market.order(honest, cash=cash, nodes=2, days=2)
            auction = await market.auction(locks_at=0.2 + 0.2 * number)
            market.clock.at = market.day(0.25 + 0.2 * number)
            completed = await market.until_carried_out(auction)
            assert (completed.completed.matched, len(completed.locked.book.orders)) == (1, PLACES)
            assert (await market.state("order", good)).status == "matched"
    states = (await check_log(market.log)).states
    assert {order.status for order in states["order"].values() if order.placed.startup_id == cheap} == {"open"}
    deferrals = await list_deferrals(market.log)
    assert len(deferrals) == 2 * (2 * PLACES + 1)
    assert {deferral.reason.code for deferral in deferrals} == {"auction_full"}
    assert all(deferral.rank > 1 for deferral in deferrals)


async def test_startups_of_one_owner_have_the_places_of_one_and_a_rival_that_names_them_takes_none():
    market = Market(MemoryLog())
    provider = await market.party("Provider", "provider")
    _, pool = await market.pool(provider)
    await market.lot(provider, pool)
    one, two, rival, *others = [await market.party(f"Startup {number}", "startup", usd=100_000) for number in range(13)]
    await relate(market, one, related_id=two)
    await relate(market, rival, by=rival, related_id=one)
    rich = [await market.order(startup, cash="9", nodes=1, days=1) for startup in (one, two) * 2]
    named = await market.order(rival, cash="8", nodes=1, days=1)
    for startup in others:
        await market.order(startup, cash="3", nodes=1, days=1)
    worker = Worker(Handler(market.log, market.clock))
    worker._auctioneer._places = 10
    async with running_worker(worker):
        auction = await market.auction(locks_at=0.2)
        market.clock.at = market.day(0.25)
        book = (await market.until_carried_out(auction)).locked.book
    taken = {order.order_id for order in book.orders}
    assert (len(taken), len(taken & set(rich))) == (10, 2), "one by rank, and one that has waited longest"
    assert named in taken
