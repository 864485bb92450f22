"""One full auction on real servers: its orders are placed, locked, cleared by the engine's own process, and completed.

The worker reads and writes over a connection of its own. Meanwhile another process deposits, one deposit after the
other, so that what a large append costs everybody else is seen.
"""

import asyncio
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from events.registry import render_body
from marketplace.domain.trading.auction import AUCTION
from marketplace.domain.trading.order import ORDER
from marketplace.embedded.nats import NatsServers
from marketplace.execution.handler import Handler
from marketplace.log.events import parse_event
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Limits
from marketplace.runtime.auctions.clearing import EngineInProcess
from marketplace.runtime.worker import Worker
from tests.support.market.market import Market, running_worker

AT_ONCE = 256
CHECK_SECONDS = 0.5
ORDERS_PER_STARTUP = 50
POOL_NODES_MAX = 700
"""What the power of one site allows."""


class Sizes(NamedTuple):
    """How large the market is.

    Attributes:
        orders: Orders that stand when the auction locks.
        pools: Pools, each with one lot; every order may be placed on each of them.
    """

    orders: int
    pools: int


class Figures(msgspec.Struct, kw_only=True):
    """What one auction took.

    Attributes:
        statuses: Orders by the status in which the auction left them.
        seconds: Of each phase.
        parts: Events of the auction, by type.
        book_bytes: Bytes of the book as it is stored.
        part_bytes_max: Bytes of its largest part.
        waits_seconds: How long deposits of another process took during each phase: the median and the longest.
        memory_bytes: The most that this process, the engine's processes and the servers held.
    """

    statuses: dict[str, int]
    seconds: dict[str, float]
    parts: dict[str, int]
    book_bytes: int
    part_bytes_max: int
    waits_seconds: dict[str, tuple[float, float]]
    memory_bytes: dict[str, int]


async def run_auction(servers: NatsServers, sizes: Sizes, seconds_max: float) -> Figures:
    """Place the orders, let one auction run to its end, and say what it took."""
    async with open_log(servers) as log, open_log(servers) as worker_log:
        market = Market(log)
        began = time.monotonic()
        orders = await _place(market, sizes)
        marks = {"place": time.monotonic() - began}
        auction = await market.auction(periods=14)
        worker = Worker(Handler(worker_log, market.clock), engine=EngineInProcess(seconds_max))
        async with _deposits(servers, await market.party("Depositor", "startup")) as waits, running_worker(worker):
            await _wait_until(lambda: _is_read(worker, log), seconds_max)
            market.clock.at = market.day(0.5)
            began = time.monotonic()
            for status in ("locked", "cleared", "carried out"):
                await _wait_until(lambda status=status: _has_reached(worker, auction, status), seconds_max)
                marks[status] = time.monotonic() - began
                waits.mark(status)
                print(status, f"{marks[status]:.1f} s", flush=True)  # noqa: T201 - a large one takes minutes
                began = time.monotonic()
            found = [(await worker._handler.cache.load(ORDER, order)).state for order in orders]
        stored = await _measure_parts(log, auction)
        return Figures(
            statuses=dict(Counter(order.status for order in found)),
            seconds=marks,
            waits_seconds=waits.summarise(),
            memory_bytes=_measure_memory(servers),
            **stored,
        )


@asynccontextmanager
async def open_log(servers: NatsServers) -> AsyncIterator[JetStreamLog]:
    log = await JetStreamLog.open(
        servers.url,
        replicas=len(servers.members),
        admin_url=servers.admin_url,
        system_url=servers.system_url,
        limits=Limits(),
    )
    try:
        yield log
    finally:
        await log.close()


async def _place(market: Market, sizes: Sizes) -> list[str]:
    """Return the orders of startups whose offers differ, more of them than there is room for."""
    nodes = min(max(sizes.orders // sizes.pools, 4), POOL_NODES_MAX)
    for number in range(sizes.pools):
        provider = await market.party(f"Provider {number}", "provider")
        _, pool = await market.pool(provider, nodes=nodes)
        await market.lot(provider, pool, nodes=nodes, ask=f"1.{number:02}")
    gate = asyncio.Semaphore(AT_ONCE)
    startups = [
        await market.party(f"Startup {number}", "startup", usd=1_000_000)
        for number in range(-(-sizes.orders // ORDERS_PER_STARTUP))
    ]

    async def place(number: int) -> str:
        async with gate:
            return await market.order(
                startups[number % len(startups)],
                cash=f"{1 + number % 997 / 250:.3f}",
                nodes=1 + number % 3,
                days=1 + number % 5,
                earliest=1 + number % 7,
                latest=2 + number % 7,
            )

    return await asyncio.gather(*(place(number) for number in range(sizes.orders)))


async def _wait_until(is_done: Callable[[], Awaitable[bool]], seconds_max: float) -> None:
    async with asyncio.timeout(seconds_max):
        while not await is_done():  # noqa: ASYNC110 - the worker is the one to wait for
            await asyncio.sleep(CHECK_SECONDS)


async def _is_read(worker: Worker, log: JetStreamLog) -> bool:
    return worker.market.position >= (await log.health()).last_sequence - AT_ONCE


async def _has_reached(worker: Worker, auction: str, status: str) -> bool:
    order = ("collecting", "locked", "cleared", "carried out")
    state = (await worker._handler.cache.load(AUCTION, auction)).state
    reached = "carried out" if state.is_carried_out else state.status
    assert reached in order, reached
    return order.index(reached) >= order.index(status)


async def _measure_parts(log: JetStreamLog, auction: str) -> dict[str, Any]:
    """Return what the auction stored, read from the log."""
    kinds: Counter[str] = Counter()
    sizes: list[int] = []
    async for page in log.read():
        for recorded in page:
            if recorded.subject == f"marketplace.auction.{auction}":
                event = parse_event(recorded)
                kinds[type(event).__name__] += 1
                if type(event).__name__ == "AuctionBookFrozen":
                    sizes.append(len(render_body(event)))
    return {"parts": dict(kinds), "book_bytes": sum(sizes), "part_bytes_max": max(sizes)}


def _measure_memory(servers: NatsServers) -> dict[str, int]:
    """Return the peak of what each process held in memory."""
    peaks = {
        "worker": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "engine": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    }
    for number, member in enumerate(servers.members):
        assert member.child is not None, "the server runs"
        status = Path(f"/proc/{member.child.pid}/status").read_text(encoding="utf-8")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        peaks[f"server {number}"] = int(line.split()[1]) * 1024
    return peaks


class Waits:
    """How long each deposit of the other process took, by the phase in which it was answered."""

    def __init__(self) -> None:
        self.phases: dict[str, list[float]] = {}
        self._now: list[float] = []

    def take(self, seconds: float) -> None:
        self._now.append(seconds)

    def mark(self, phase: str) -> None:
        self.phases[phase], self._now = self._now, []

    def summarise(self) -> dict[str, tuple[float, float]]:
        return {phase: (_median(known), max(known)) for phase, known in self.phases.items() if known}


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


@asynccontextmanager
async def _deposits(servers: NatsServers, party: str) -> AsyncIterator[Waits]:
    """Deposit in a process of its own, as often as the log answers."""
    waits = Waits()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.large_auction.depositor",
        servers.url,
        party,
        str(len(servers.members)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None

    async def read() -> None:
        async for line in process.stdout:
            waits.take(float(line))

    reading = asyncio.create_task(read())
    try:
        yield waits
    finally:
        process.terminate()
        await process.wait()
        await reading
