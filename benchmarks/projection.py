"""Benchmark (c): projecting a log, against a raw ordered read plus `unnest`, and against `eventsourcing`'s runner.

    uv run --group bench python benchmarks/projection.py [--events 100000] [--peer-events 5000]

Everything runs on the same embedded servers in one run, so compare the ratios. The raw reader is nats-py's own ordered
consumer; it decodes nothing and writes the very rows that the projection made, each once, in pages of 1,000 with one
`unnest` per table, on a plain asyncpg connection. The peer stores the same postings as its own events and writes the
same rows through its projection runner. PostgreSQL commits asynchronously for all three.
"""

import argparse
import asyncio
import importlib
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import nats
from sqlalchemy import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from events.subjects import ALL
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.embedded.postgres import embedded_postgres
from marketplace.log.inboxes import derive_inbox_prefix
from marketplace.log.jetstream import JetStreamLog
from marketplace.projections.billing.accounts import PROJECTION as ACCOUNTS
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from marketplace.projections.engine.projection import Projection
from marketplace.projections.engine.runner import Projector
from marketplace.projections.engine.schema import get_stamp
from marketplace.projections.engine.write_batch import arrange_insert
from marketplace.projections.registry import PROJECTIONS
from tests.projections.story import Heads, Story
from tests.projections.tales import tell_many

PAGE = 1_000
Pages = list[list[tuple[str, tuple[list[Any], ...]]]]


async def store(log: JetStreamLog, story: Story) -> float:
    heads, begun = Heads(), time.perf_counter()
    for begin in range(0, len(story.recorded), PAGE):
        await log.append(heads.writes(story.recorded[begin : begin + PAGE]))
    return time.perf_counter() - begun


async def measure_projection(log: JetStreamLog, url: str, projections: Sequence[Projection]) -> float:
    engine = build_engine(url)
    await migrate(engine)
    projector = Projector(log, engine, projections)
    await projector.claim()
    begun = time.perf_counter()
    await projector.catch_up()
    seconds = time.perf_counter() - begun
    await engine.dispose()
    return seconds


async def prepare_rows(url: str, projections: Sequence[Projection], events: int) -> tuple[Pages, int]:
    """Return, per page of the log, the statements that write what the projection made of it."""
    pages: Pages = [[] for _ in range(-(-events // PAGE))]
    total = 0
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    for table in (table for projection in projections for table in projection.tables):
        by_page: dict[int, list[Any]] = {}
        for row in await connection.fetch(f"SELECT * FROM {table.name}"):  # noqa: S608
            by_page.setdefault((row[get_stamp(table).name] - 1) // PAGE, []).append(row)
            total += 1
        for number, rows in by_page.items():
            pages[number].append(arrange_insert(table, rows))
    await connection.close()
    return pages, total


async def measure_raw(servers: NatsServers, url: str, pages: Pages, tables: Sequence[Table]) -> tuple[float, float]:
    """Return the seconds of reading and writing, and of reading alone."""
    connection = await asyncpg.connect(
        url.replace("+asyncpg", ""), server_settings={"synchronous_commit": "off", "jit": "off"}
    )
    await connection.execute(f"TRUNCATE {', '.join(table.name for table in tables)}")
    begun = time.perf_counter()
    await _read_raw(servers, len(pages), None)
    reading = time.perf_counter() - begun
    begun = time.perf_counter()

    async def write(number: int) -> None:
        async with connection.transaction():
            for statement, arrays in pages[number]:
                await connection.execute(statement, *arrays)

    await _read_raw(servers, len(pages), write)
    both = time.perf_counter() - begun
    await connection.close()
    return both, reading


async def _read_raw(servers: NatsServers, pages: int, write: Any) -> None:
    client = await nats.connect(servers.url.split(","), inbox_prefix=derive_inbox_prefix(servers.url))
    arrived: asyncio.Queue[int] = asyncio.Queue()
    counted = 0

    async def receive(_: Any) -> None:
        nonlocal counted
        counted += 1
        if counted % PAGE == 0:
            arrived.put_nowait(counted // PAGE - 1)

    subscription = await client.jetstream().subscribe(
        ALL, cb=receive, ordered_consumer=True, pending_msgs_limit=10_000_000, pending_bytes_limit=10_000_000_000
    )
    for _ in range(pages):
        number = await asyncio.wait_for(arrived.get(), 60)
        if write is not None:
            await write(number)
    await subscription.unsubscribe()
    await client.close()


def say(what: str, events: int, seconds: float, raw: float) -> None:
    print(f"{what:<58} {events / seconds:>9,.0f} events/s {raw / seconds:>7.0%} of raw")


async def compare(
    log: JetStreamLog, servers: NatsServers, urls: tuple[str, str], projections: Sequence[Projection], events: int
) -> float:
    """Measure one set of projections against raw, and return our rate."""
    tables = [table for projection in projections for table in projection.tables]
    ours = await measure_projection(log, urls[0], projections)
    pages, rows = await prepare_rows(urls[0], projections, events)
    engine = build_engine(urls[1])
    await migrate(engine)
    await engine.dispose()
    raw, reading = await measure_raw(servers, urls[1], pages, tables)
    name = f"{len(projections)} projections" if len(projections) > 1 else projections[0].name
    print(f"\n{name}: {events:,} events make {rows:,} rows in {len(tables)} tables")
    print(f"{'raw ordered read alone':<58} {events / reading:>9,.0f} events/s")
    say("raw ordered read + unnest of the same rows", events, raw, raw)
    say(f"marketplace, {name}", events, ours, raw)
    return events / ours


async def main(events_min: int, peer_events: int) -> None:
    story = tell_many(events_min)
    events = len(story.recorded) // PAGE * PAGE
    story.recorded = story.recorded[:events]
    with temporary_folder("marketplace-benchmark-") as folder:
        async with embedded_nats(folder / "nats") as servers, embedded_postgres(folder / "postgres") as postgres:
            log = await JetStreamLog.open(servers.url, admin_url=servers.admin_url, system_url=servers.system_url)
            seconds = await store(log, story)
            print(f"stored {events:,} events in atomic batches of {PAGE:,}: {events / seconds:,.0f} a second")
            rates = []
            for place, projections in enumerate(((ACCOUNTS,), PROJECTIONS)):
                urls = (await postgres.create_database(f"ours{place}"), await postgres.create_database(f"raw{place}"))
                rates.append(await compare(log, servers, urls, projections, events))
            await log.close()
            if importlib.util.find_spec("eventsourcing") is None:
                print("\neventsourcing is not installed: run with `uv run --group bench`")
                return
            peer_url = await postgres.create_database("peer")
            peer = importlib.import_module("benchmarks.projection_peer")
            rate = await asyncio.to_thread(peer.measure_peer, peer_url, story, peer_events)
            print(f"\neventsourcing's ProjectionRunner, {peer_events:,} events, rows of accounts: {rate:,.0f} events/s")
            print(f"marketplace, accounts: {rates[0] / rate:,.1f} times eventsourcing")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--peer-events", type=int, default=5_000)
    given = parser.parse_args()
    asyncio.run(main(given.events, given.peer_events))
