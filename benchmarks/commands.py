"""Benchmark (a): orders placed a second in process, against raw publishes and against `eventsourcing`.

    uv run --group bench python -m benchmarks.commands [--seconds 3] [--profile]

One command loads the account and the party, decides, and appends two events (hold placed, order placed) in one atomic
batch, and its answer comes once they are synced to disk. `raw` publishes the same events with the same headers, each
guarded, one JetStream publish an event through nats-py. `eventsourcing` saves the same two events by its own means on
PostgreSQL, one transaction a command, with as many threads as it is fastest with. All sync every write; all run one
after the other in one run, and the ratios are what counts.
"""

import argparse
import asyncio
import cProfile
import itertools
import pstats
import time
import uuid
from collections.abc import Awaitable, Callable

import nats

from benchmarks.commands_peer import measure_peer
from benchmarks.machine import describe_machine
from marketplace.application.trading import orders
from marketplace.core.ids import derive_command_id
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.embedded.postgres import embedded_postgres
from marketplace.execution.unit_of_work import Context
from marketplace.log.headers import render_publish
from marketplace.log.inboxes import derive_inbox_prefix
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Message
from marketplace.runtime.process.collector import settle_collector
from tests.support.market.market import Market

IN_FLIGHT = (1, 32, 256)
STARTUPS = 256
EVENTS_PER_COMMAND = 2
PEER_THREADS = (1, 8, 32)


class Placing:
    """Places orders of many startups, each of which can pay for all of them."""

    def __init__(self, log: JetStreamLog | MemoryLog) -> None:
        self.market = Market(log)
        self.startups: list[str] = []
        self._numbers = itertools.count()
        self._terms = self.market.terms()

    async def build(self, startups: int) -> None:
        for _ in range(startups):
            self.startups.append(await self.market.party("Startup", "startup", usd=500_000_000))

    async def place(self) -> None:
        number = next(self._numbers)
        startup_id = self.startups[number % len(self.startups)]
        context = Context(
            command_id=derive_command_id(startup_id, f"key-{number}"),
            fingerprint="0" * 64,
            actor=startup_id,
            party_id=startup_id,
            at=self.market.clock.at,
        )
        await orders.place_order(self.market.handler, context, startup_id=startup_id, terms=self._terms)


async def measure(work: Callable[[], Awaitable[object]], in_flight: int, seconds: float) -> float:
    """Return how often a second the work was done."""
    done = 0
    end = time.perf_counter() + seconds

    async def repeat() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await work()
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(repeat() for _ in range(in_flight)))
    return done / (time.perf_counter() - began)


async def prepare_messages() -> list[Message]:
    """Return the two events of one command as they are published."""
    log = MemoryLog()
    placing = Placing(log)
    await placing.build(1)
    before = (await log.health()).last_sequence
    await placing.place()
    return [Message(event.envelope, event.body) async for page in log.read(before) for event in page]


async def measure_raw(servers: NatsServers, seconds: float) -> dict[int, float]:
    """Return guarded publishes a second by how many are in flight."""
    messages = itertools.cycle(await prepare_messages())
    client = await nats.connect(servers.url.split(","), inbox_prefix=derive_inbox_prefix(servers.url))

    async def publish() -> None:
        message, subject = next(messages), f"marketplace.order.{uuid.uuid4().hex}"
        headers = render_publish(subject, message, 0, None)
        answer = await client.request(subject, message.body, headers=headers, timeout=10)
        assert b'"error"' not in answer.data, answer.data

    await measure(publish, 32, 0.5)
    figures = {in_flight: await measure(publish, in_flight, seconds) for in_flight in IN_FLIGHT}
    await client.close()
    return figures


async def measure_ours(log: JetStreamLog, seconds: float) -> tuple[dict[int, float], dict[int, float]]:
    """Return commands a second by how many are in flight: on many accounts, and on one."""
    many, hot = Placing(log), Placing(log)
    await many.build(STARTUPS)
    hot.market.name = "hot"
    await hot.build(1)
    await measure(many.place, 32, 0.5)
    spread = {in_flight: await measure(many.place, in_flight, seconds) for in_flight in IN_FLIGHT}
    return spread, {in_flight: await measure(hot.place, in_flight, seconds) for in_flight in IN_FLIGHT}


async def run(seconds: float) -> None:
    print(describe_machine())
    settle_collector()  # for all sides alike
    with temporary_folder() as folder:
        async with embedded_nats(folder / "raw") as servers:  # a log of its own: what it stores links to nothing
            log = await JetStreamLog.open(servers.url, admin_url=servers.admin_url)
            raw = await measure_raw(servers, seconds)
            await log.close()
        async with embedded_nats(folder / "nats") as servers:
            log = await JetStreamLog.open(servers.url, admin_url=servers.admin_url)
            spread, hot = await measure_ours(log, seconds)
            await log.close()
        async with embedded_postgres(folder / "postgres") as postgres:
            url = await postgres.create_database("peer")
            peer = {threads: await asyncio.to_thread(measure_peer, url, threads, seconds) for threads in PEER_THREADS}
    report(raw, spread, hot, peer)


def report(raw: dict[int, float], spread: dict[int, float], hot: dict[int, float], peer: dict[int, float]) -> None:
    best = max(peer.values())
    print(
        f"\n{'in flight':>9} {'commands/s':>11} {'events/s':>9} {'raw events/s':>13} {'ratio':>6} {'one account':>12}"
    )
    for in_flight in IN_FLIGHT:
        events = spread[in_flight] * EVENTS_PER_COMMAND
        print(
            f"{in_flight:>9}  {spread[in_flight]:>10,.0f}  {events:>8,.0f}  {raw[in_flight]:>12,.0f}"
            f"  {events / raw[in_flight]:>5.2f}  {hot[in_flight]:>23,.0f}"
        )
    print("\n  threads  eventsourcing commands/s")
    for threads, rate in peer.items():
        print(f"{threads:>9}  {rate:>24,.0f}")
    print(f"\nagainst eventsourcing at its best: {max(spread.values()) / best:.1f} times (target: 5)")
    print(f"one at a time against eventsourcing, one thread: {spread[1] / peer[1]:.1f} times")
    print(f"events at 256 in flight against raw publishes: {spread[256] * 2 / raw[256]:.2f} times (target: above 1)")


async def profile(seconds: float) -> None:
    """Print where the time of 256 in flight goes."""
    with temporary_folder() as folder:
        async with embedded_nats(folder / "nats") as servers:
            log = await JetStreamLog.open(servers.url, admin_url=servers.admin_url)
            placing = Placing(log)
            await placing.build(STARTUPS)
            await measure(placing.place, 32, 0.5)
            profiler = cProfile.Profile()
            profiler.enable()
            rate = await measure(placing.place, 256, seconds)
            profiler.disable()
            await log.close()
    print(f"{rate:,.0f} commands a second under the profiler")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    asyncio.run((profile if arguments.profile else run)(arguments.seconds))


if __name__ == "__main__":
    main()
