"""A worker that is told to end while the engine clears a book ends at once, and leaves no process."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from marketplace.execution.clock import MarketClock
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from tests.e2e.test_service_lifetime import STOP_SECONDS_MAX, Services, stop
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS

ORDERS, POOLS = 400, 12
"""A book that the engine works on for far longer than a stop may take."""


class RealMarket(Market):
    """A market on the clock of the machine, as the worker's is; its day 0 begins as the test does."""

    def __init__(self, log):
        super().__init__(log, clock=MarketClock())
        self.begun = datetime.now(UTC).replace(microsecond=0)

    def day(self, days):
        return self.begun + timedelta(days=days)


def list_children(pid):
    """Return every process that descends from one, by the parents that the kernel names."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(stat.parent.name)] = int(parent)
    found, level = set(), {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level} - found
        found |= level
    return found


def is_there(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def fill(market):
    """Open an auction that is due at once, of a book that is hard to clear."""
    provider = await market.party("Provider", "provider")
    for _ in range(POOLS):
        _, pool = await market.pool(provider, nodes=16)
        await market.lot(provider, pool, nodes=16, start=1, end=61)
    startup = await market.party("Startup", "startup", usd=900_000_000)
    chance = random.Random(7)
    for _ in range(ORDERS):
        cash, nodes, days = chance.randint(205, 900) / 100, chance.randint(1, 12), chance.randint(3, 30)
        terms = {"cash": str(cash), "nodes": nodes, "days": days}
        await market.order(startup, **terms, earliest=1, latest=chance.randint(2, 30))
    soon = market.clock.now() - market.begun + timedelta(seconds=1)
    return await market.auction(locks_at=soon / timedelta(days=1), horizon=1, periods=60)


@pytest.mark.timeout(300)
async def test_a_worker_that_clears_a_book_ends_on_sigterm_with_all_its_processes(
    jetstream_log, nats_server, database_url, tmp_path
):
    engine = build_engine(database_url)
    await migrate(engine)
    await engine.dispose()
    market = RealMarket(jetstream_log)
    auction = await fill(market)
    services = Services(tmp_path, nats_server.url, nats_server.admin_url, database_url)
    with services.stack:
        worker = services.start("worker")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not list_children(worker.pid):  # noqa: ASYNC110 - the kernel says nothing by itself
                await asyncio.sleep(0.05)
        await asyncio.sleep(2)
        clearing = list_children(worker.pid)
        assert clearing, services.read_events("worker")
        code, seconds = stop(worker)
        async with asyncio.timeout(STOP_SECONDS_MAX):
            while any(is_there(pid) for pid in clearing):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
    assert (code, seconds < STOP_SECONDS_MAX) == (0, True)
    assert (await market.state("auction", auction)).status == "locked"
