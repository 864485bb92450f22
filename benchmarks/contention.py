"""Benchmark: two processes that write to the same sixteen accounts, against two that share none.

    uv run python -m benchmarks.contention [--seconds 5] [--clients 32]

Each process has its own handler, cache and follower on one log, as two APIs have. `apart`: each process works on
sixteen accounts of its own. `together`: both work on the same sixteen; where the other was first, a guard is refused
and the command is decided again. `alone`: one process with all clients on the same sixteen, the best that a lease per
account could reach. The ratio of `together` to `apart` is what contention costs. Fairness is the least done by any
client over the mean, of both processes together. All sync every write and run one after the other. Before the time
begins, each process reads its accounts from the log: `alone` finds there what `together` wrote (`read ms`).
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from dataclasses import dataclass
from decimal import Decimal
from threading import Barrier

from benchmarks.machine import describe_machine
from marketplace.application.billing import accounts
from marketplace.core.ids import derive_command_id, rename_id
from marketplace.domain.billing.account import ACCOUNT
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import embedded_nats
from marketplace.execution.follower import Follower
from marketplace.execution.unit_of_work import Context
from marketplace.log.jetstream import JetStreamLog
from marketplace.runtime.process.collector import settle_collector
from tests.support.market.market import Market

ACCOUNTS = 16
WARM_SECONDS = 1.0


@dataclass(frozen=True)
class Work:
    """What one process does: on which accounts, with how many clients, for how long."""

    name: str
    url: str
    account_ids: tuple[str, ...]
    clients: int
    seconds: float


def work_in_process(work: Work, ready: Barrier, answers: "multiprocessing.Queue[str]") -> None:
    """Deposit until the time is up, once all are ready. Send back the seconds of the read and of every command."""
    answers.put(json.dumps(asyncio.run(_work(work, ready))))


async def _work(work: Work, ready: Barrier) -> tuple[float, list[list[float]]]:
    log = await JetStreamLog.open(work.url)
    market = Market(log, work.name)
    follower = Follower(market.handler)
    await follower.start()
    await market.handler.processed.read_on()
    following = asyncio.create_task(follower.run())
    begun = time.perf_counter()
    await asyncio.gather(*(market.handler.cache.load(ACCOUNT, account_id) for account_id in work.account_ids))
    reading = time.perf_counter() - begun
    settle_collector()
    taken: list[list[float]] = [[] for _ in range(work.clients)]
    await asyncio.to_thread(ready.wait)
    begin = time.time() + WARM_SECONDS
    end = begin + work.seconds

    async def repeat(client: int) -> None:
        number = 0
        while time.time() < end:
            number += 1
            account_id = work.account_ids[(client + number) % len(work.account_ids)]
            key = f"{work.name}-{client}-{number}"
            context = Context(
                command_id=derive_command_id("platform", key),
                fingerprint="0" * 64,
                actor="platform",
                party_id=None,
                at=market.clock.at,
            )
            begun = time.perf_counter()
            await accounts.deposit(
                market.handler, context, account_id, amount_usd=Decimal(1), reference=context.command_id
            )
            if time.time() > begin:
                taken[client].append(time.perf_counter() - begun)

    await asyncio.gather(*(repeat(client) for client in range(work.clients)))
    following.cancel()
    await log.close()
    return reading, taken


async def measure(
    url: str, plans: list[tuple[str, tuple[str, ...], int]], seconds: float
) -> tuple[float, list[list[float]]]:
    """Run one process per plan at once. Return the seconds of the longest read, and of every command by client."""
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[str] = context.Queue()
    ready = context.Barrier(len(plans))
    works = [Work(name, url, account_ids, clients, seconds) for name, account_ids, clients in plans]
    processes = [context.Process(target=work_in_process, args=(work, ready, answers)) for work in works]
    for process in processes:
        process.start()
    found = [await asyncio.to_thread(answers.get, timeout=seconds + 60) for _ in processes]
    for process in processes:
        await asyncio.to_thread(process.join)
    works_done = [json.loads(answer) for answer in found]
    return max(reading for reading, _ in works_done), [client for _, taken in works_done for client in taken]


async def run(seconds: float, clients: int) -> None:
    print(describe_machine())
    with temporary_folder() as folder:
        async with embedded_nats(folder / "nats") as servers:
            log = await JetStreamLog.open(servers.url, admin_url=servers.admin_url)
            market = Market(log)
            parties = [await market.party("Startup", "startup") for _ in range(3 * ACCOUNTS)]
            await log.close()
            ids = tuple(rename_id("acc", party_id) for party_id in parties)
            first, second, shared = ids[:ACCOUNTS], ids[ACCOUNTS : 2 * ACCOUNTS], ids[2 * ACCOUNTS :]
            runs = {
                "apart": [("a1", first, clients), ("a2", second, clients)],
                "together": [("t1", shared, clients), ("t2", shared, clients)],
                "alone": [("o1", shared, 2 * clients)],
            }
            figures = {name: await measure(servers.url, plans, seconds) for name, plans in runs.items()}
    report(figures, seconds)


def report(figures: dict[str, tuple[float, list[list[float]]]], seconds: float) -> None:
    print(f"\n{'':10} {'commands/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'fairness':>9} {'read ms':>8}")
    rates = {}
    for name, (reading, clients) in figures.items():
        taken = sorted(second for client in clients for second in client)
        counts = [len(client) for client in clients]
        rates[name] = len(taken) / seconds
        p50, p99 = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
        fairness = min(counts) / statistics.mean(counts)
        print(
            f"{name:10} {rates[name]:>11,.0f} {p50 * 1000:>8.1f} {p99 * 1000:>8.1f} {taken[-1] * 1000:>8.0f} "
            f"{fairness:>9.2f} {reading * 1000:>8.0f}"
        )
    print(f"\ntogether over apart: {rates['together'] / rates['apart']:.2f}")
    print(f"together over one process alone: {rates['together'] / rates['alone']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=32, help="clients of each process")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.seconds, arguments.clients))


if __name__ == "__main__":
    main()
