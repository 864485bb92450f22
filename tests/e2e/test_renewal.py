"""A worker, as a process of its own on real servers, builds anew the rows that another release made."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager

import pytest
from sqlalchemy import text

from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from marketplace.projections.engine.positions import load_positions
from marketplace.projections.engine.runner import Projector
from marketplace.projections.engine.verify import verify_all
from marketplace.projections.registry import PROJECTIONS
from tests.projections.conftest import dump
from tests.projections.engine.test_automatic_rebuild import OLDER, list_made_here, make_older
from tests.runtime.auctions.test_auctions import build
from tests.support.patience import PATIENCE_SECONDS

ALL = {projection.name for projection in PROJECTIONS}


@pytest.fixture
async def traded(jetstream_log, database_url):
    """A market that traded, its rows up to date, as a release made them that knew less."""
    market, trade = await build(jetstream_log)
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 3)
    engine = build_engine(database_url)
    await migrate(engine)
    await Projector(jetstream_log, engine, PROJECTIONS).catch_up()
    yield market, engine
    await engine.dispose()


def start_worker(stack, url, database_url, folder, name):
    environment = {**os.environ, "MARKETPLACE_NATS_URL": url, "MARKETPLACE_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "marketplace", "serve", "--role", "worker"]
    output = stack.enter_context((folder / f"{name}.log").open("wb"))
    process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


async def wait_for(condition):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():  # noqa: ASYNC110 - another process does what is waited for
            await asyncio.sleep(0.1)


async def has_reached(engine, sequence):
    async with engine.connect() as connection:
        positions = await load_positions(connection)
    live = {at.name: at.position for at in positions if at.live}
    return live.keys() == ALL and min(live.values()) >= sequence


async def was_renewed(engine):
    return await list_made_here(engine) == ALL


def read_renewed(path):
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    return [line["name"] for line in lines if line["event"] == "projection_renewed"]


@asynccontextmanager
async def holding_off_rebuilds(engine):
    """Keep whoever wants to rebuild the first of the older projections waiting."""
    key = {"key": f"rebuild {OLDER[0]}"}
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_advisory_lock(hashtextextended(:key, 0))"), key)
        yield
        await connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), key)


@pytest.mark.timeout(240)
async def test_a_worker_builds_anew_what_another_release_made(traded, nats_server, database_url, tmp_path):
    market, engine = traded
    right = await dump(engine)
    await make_older(engine)
    assert await list_made_here(engine) == ALL - set(OLDER)
    with ExitStack() as stack:
        async with holding_off_rebuilds(engine):
            killed = start_worker(stack, nats_server.url, database_url, tmp_path, "killed")
            party = await market.place(await market.party("Late", "startup", usd=50_000), nodes=1, days=2)
            await wait_for(lambda: has_reached(engine, party.sequence))
            assert await list_made_here(engine) < ALL
            assert await dump(engine) != right
            killed.kill()
            killed.wait()
        worker = start_worker(stack, nats_server.url, database_url, tmp_path, "worker")
        await wait_for(lambda: was_renewed(engine))
        last = await market.party("Last", "startup")
        sequence = (await market.log.health()).last_sequence
        await wait_for(lambda: has_reached(engine, sequence))
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, PATIENCE_SECONDS) == 0
    assert (await market.state("party", last)).registered.name == "Last"
    results = await verify_all(PROJECTIONS, market.log, engine)
    assert {result.name for result in results if result.differences} == set()
    renewed = [name for log in ("killed", "worker") for name in read_renewed(tmp_path / f"{log}.log")]
    assert sorted(renewed) == sorted(OLDER), "each is built anew once"
    assert read_renewed(tmp_path / "worker.log"), "what was interrupted is begun again"
