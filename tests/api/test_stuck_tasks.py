"""What goes wrong in the workers is seen in ready and in the metrics of every API process."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from marketplace import worker_process
from marketplace.application.trading import auctions
from marketplace.domain.trading.auction import ClearAuction, CompleteAuction
from marketplace.execution.clock import MarketClock
from marketplace.execution.handler import Handler
from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.stuck_tasks import count_stuck
from marketplace.runtime.scheduling.scheduler import Task
from marketplace.runtime.worker import StuckTask, Worker
from tests.api.stage import open_stage, running
from tests.domain.trading.test_auction import BOOK, CERTIFICATE, DECISIONS
from tests.support.market.market import Market
from tests.support.patience import PATIENCE_SECONDS

LARGE = StuckTask("event_too_large", "an event has 9,000,000 bytes", 3)
METRIC = 'marketplace_worker_tasks_stuck{code="event_too_large",task="run_auction"}'


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(worker_process, "REPORT_SECONDS", 0.05)


def build_worker():
    worker = Worker(Handler(MemoryLog(), MarketClock()))
    worker.stuck[Task("run_auction", "auc_1")] = LARGE
    return worker


async def wait_for(engine, count):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while sum((await count_stuck(engine)).values()) != count:  # noqa: ASYNC110 - nothing tells of a row
            await asyncio.sleep(0.02)


async def test_a_stuck_task_is_told_by_every_api_process_until_it_is_done(database_url):
    async with open_stage(MemoryLog(), database_url) as stage:
        anyone, engine = await stage.open_client(None), stage.services.get_engine()
        workers = build_worker(), build_worker()
        async with running(*(worker_process.report_stuck(engine, worker) for worker in workers)):
            await wait_for(engine, 1)
            ready = (await anyone.get("/health/ready")).json()
            assert (ready["commands"], ready["stuck_tasks"]) == (True, {"event_too_large": 1})
            assert f"{METRIC} 1.0" in (await stage.admin.get("/metrics")).text
            for worker in workers:
                worker.stuck.clear()
            await wait_for(engine, 0)
        assert (await anyone.get("/health/ready")).json()["stuck_tasks"] == {}
        assert METRIC not in (await stage.admin.get("/metrics")).text


async def test_what_a_worker_said_that_is_gone_is_forgotten(database_url):
    async with open_stage(MemoryLog(), database_url) as stage:
        engine = stage.services.get_engine()
        async with running(worker_process.report_stuck(engine, build_worker())):
            await wait_for(engine, 1)
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE stuck_tasks SET reported_at = now() - interval '2 minutes'"))
        assert await count_stuck(engine) == {}
        worker = build_worker()
        worker.stuck.clear()
        async with (
            running(worker_process.report_stuck(engine, worker)),
            asyncio.timeout(PATIENCE_SECONDS),
            engine.connect() as db,
        ):
            while (await db.execute(text("SELECT count(*) FROM stuck_tasks"))).scalar_one():
                await db.rollback()
                await asyncio.sleep(0.02)


async def test_matches_that_became_impossible_are_counted():
    log = MemoryLog()
    async with open_stage(log) as stage:
        handler, market = stage.services.handler, Market(log)
        now = handler.clock.now()
        market.clock.at = now
        opened = await auctions.open_auction(
            handler,
            market.context(),
            locks_at=now + timedelta(seconds=1),
            horizon_start=now + timedelta(hours=1),
            period_hours=1,
            periods=48,
            seed=7,
        )
        await auctions.lock_auction(handler, market.context(), opened.id, book=BOOK, book_hash=CERTIFICATE.book_hash)
        clear = ClearAuction(auction_id=opened.id, prices=(), decisions=DECISIONS, certificate=CERTIFICATE)
        await auctions.record_step(handler, market.context(), clear)
        complete = CompleteAuction(auction_id=opened.id, matched=3, unmatched=1, impossible=2)
        await auctions.record_step(handler, market.context(), complete)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while stage.services.follower.position < (await log.health()).last_sequence:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        metrics = (await stage.admin.get("/metrics")).text
    assert 'marketplace_auction_matches_total{outcome="granted"} 3.0' in metrics
    assert 'marketplace_auction_matches_total{outcome="impossible"} 2.0' in metrics
