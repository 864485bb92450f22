"""How fast quotes are at 1,000 open orders x 40 pools, through HTTP, as a ratio to the limit of 300 ms at p99.

    uv run python -m benchmarks.quotes [--orders 1000] [--pools 40] [--seconds 10] [--clients 2]

One process is the API on one nats-server and PostgreSQL, filled by the real commands; the clients run in a second one,
and all share the machine's cores. Quotes are measured on a book at rest, and then while an order is placed every half
second, so that the book is solved again all the time; and last, one by one, quotes that must see an order which was
placed just before (`Min-Seq`).
"""

import argparse
import asyncio
import contextlib
import itertools
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import uvloop

from benchmarks.http_load import build_request, measure, number_from
from benchmarks.machine import describe_machine
from events.order import ClassOffer, OrderTerms
from marketplace.api.application import create_application
from marketplace.api.http.services import Services
from marketplace.app import build_server, open_services
from marketplace.application.access import parties
from marketplace.application.billing import accounts
from marketplace.application.supply import inventory, sites
from marketplace.application.trading import orders
from marketplace.core.ids import derive_command_id, rename_id
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import embedded_nats
from marketplace.embedded.postgres import embedded_postgres
from marketplace.embedded.process import find_free_port
from marketplace.execution.unit_of_work import Context
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from marketplace.projections.engine.runner import Projector
from marketplace.projections.registry import PROJECTIONS
from marketplace.runtime.process.collector import settle_collector
from marketplace.runtime.process.config import Settings

ADMIN_KEY = "mkp_01jdm5v5tze1xa6a4sbz1gk3c4_benchmarkbenchmarkbenchmark"
LIMIT_MS = 300
CLASSES = ("A100_80G", "B200", "H100_SXM", "H200", "L40S")
REGIONS = ("eu-north", "us-east", "us-west")
AT_ONCE = 32
CHANGE_SECONDS = 0.5
SOLVING_SECONDS = 30.0
TOMORROW = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)


class Filler:
    """Fills a market by commands, the same every time."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.pick = random.Random(1)  # noqa: S311 - the same market every time
        self.numbers = itertools.count()

    def context(self) -> Context:
        command_id = derive_command_id("platform", f"fill-{next(self.numbers)}")
        return Context(
            command_id=command_id,
            fingerprint="",
            actor="platform",
            party_id=None,
            at=self.services.handler.clock.now(),
        )

    async def party(self, name: str, role: Any) -> str:
        handler = self.services.handler
        receipt = await parties.register_party(
            handler, self.context(), name=name, roles=(role,), jurisdiction="US", sector=None
        )
        await parties.clear_party(handler, self.context(), receipt.id, checks=("sanctions",))
        return receipt.id

    async def pool(self, provider: str) -> None:
        handler, pick = self.services.handler, self.pick
        site = await sites.register_site(
            handler,
            self.context(),
            provider_id=provider,
            name="Site",
            region=pick.choice(REGIONS),
            jurisdiction="US",
            status="operating",
            power_contracted_kw=100_000,
            power_energised_kw=100_000,
            power_usage_effectiveness=Decimal("1.2"),
            renewable_share=Decimal("0.5"),
        )
        pool = await inventory.open_pool(
            handler,
            self.context(),
            site_id=site.id,
            gpu_class=pick.choice(CLASSES),
            interconnect="infiniband",
            gpus_per_node=8,
            nodes=192,
            power_per_node_kw=11,
        )
        for _ in range(pick.randint(2, 3)):
            begin = pick.randint(0, 30)
            await inventory.list_lot(
                handler,
                self.context(),
                pool_id=pool.id,
                nodes=pick.choice((8, 16, 32, 64)),
                start=TOMORROW + timedelta(days=begin),
                end=TOMORROW + timedelta(days=begin + pick.randint(30, 70)),
                ask_usd_per_gpu_hour=Decimal(pick.randint(150, 400)) / 100,
            )

    def terms(self) -> OrderTerms:
        pick = self.pick
        first = pick.randint(0, 60)
        return OrderTerms(
            nodes=pick.choice((1, 1, 2, 2, 4, 4, 8, 16, 32)),
            duration_hours=24 * max(1, min(40, round(pick.lognormvariate(2.4, 0.7)))),
            start_earliest=TOMORROW + timedelta(days=first),
            start_latest=TOMORROW + timedelta(days=first + pick.randint(0, 14)),
            offers=tuple(
                ClassOffer(
                    gpu_class=name,
                    cash_usd_per_gpu_hour=Decimal(pick.randint(150, 600)) / 100,
                    equity_usd_per_gpu_hour=Decimal(0),
                )
                for name in sorted(pick.sample(CLASSES, pick.randint(1, 2)))
            ),
            standing=True,
        )

    async def order(self, startup: str) -> None:
        await orders.place_order(self.services.handler, self.context(), startup_id=startup, terms=self.terms())

    async def fill(self, pools: int, count: int) -> str:
        """Return a startup with money, once the market has its pools and orders."""
        provider = await self.party("Provider", "provider")
        for _ in range(pools):
            await self.pool(provider)
        startup = await self.party("Startup", "startup")
        await accounts.deposit(
            self.services.handler,
            self.context(),
            rename_id("acc", startup),
            amount_usd=Decimal(900_000_000_000),
            reference=f"wire {startup}",
        )
        for begin in range(0, count, AT_ONCE):
            await asyncio.gather(*(self.order(startup) for _ in range(min(AT_ONCE, count - begin))))
        return startup


@contextlib.asynccontextmanager
async def open_market() -> AsyncIterator[tuple[Services, str]]:
    with temporary_folder() as folder:
        async with embedded_nats(folder / "nats") as nats, embedded_postgres(folder / "postgres") as postgres:
            engine = build_engine(postgres.url)
            await migrate(engine)
            await engine.dispose()
            settings = Settings(
                nats_url=nats.url,
                nats_admin_url=nats.admin_url,
                database_url=postgres.url,
                api_key_secret="s" * 32,
                admin_key=ADMIN_KEY,
            )
            async with open_services(settings) as services:
                yield services, postgres.url


async def serve(port: int, pools: int, count: int) -> None:
    """Fill a market, answer quotes, and place an order whenever a line comes in; end with the input."""
    async with open_market() as (services, url):
        filler = Filler(services)
        startup = await filler.fill(pools, count)
        engine = build_engine(url)
        projector = Projector(services.handler.log, engine, PROJECTIONS)
        await projector.claim()
        await projector.catch_up()
        server = build_server(create_application(services), "127.0.0.1", port)
        settle_collector()
        serving = asyncio.create_task(server.serve())
        bodies = [{"startup_id": startup, "terms": filler.terms()} for _ in range(256)]
        print(msgspec.json.encode(bodies).decode(), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            await filler.order(startup)
        server.stop()
        await serving
        await engine.dispose()


async def ask(port: int, bodies: list[bytes], clients: int, seconds: float) -> list[float]:
    numbers = number_from(time.time_ns())
    mixed = itertools.cycle(build_request("/v1/quotes", ADMIN_KEY, body, numbers) for body in bodies)

    def make() -> bytes:
        return next(mixed)()

    _, times = await measure(port, [make] * clients, seconds)
    return sorted(times)


def report(name: str, times: list[float]) -> None:
    median, slow = times[len(times) // 2] * 1_000, times[len(times) * 99 // 100] * 1_000
    print(f"{name:>18} {len(times):>8,} {median:>8.1f} {slow:>8.1f} {times[-1] * 1_000:>8.1f} {slow / LIMIT_MS:>7.2f}")


async def compare(port: int, process: subprocess.Popen[str], bodies: list[bytes], arguments: Any) -> None:
    took, guarantee = await asyncio.to_thread(_ask_first, port, bodies[0])
    print(f"the first quote after the start took {took * 1_000:.0f} ms and was {guarantee}")
    print(f"{'book':>18} {'quotes':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'ratio':>7}")
    report("just begun", await ask(port, bodies, arguments.clients, arguments.seconds))
    await asyncio.sleep(SOLVING_SECONDS)
    report("at rest", await ask(port, bodies, arguments.clients, arguments.seconds))
    changing = asyncio.create_task(_change(process))
    report("changing", await ask(port, bodies, arguments.clients, arguments.seconds))
    changing.cancel()
    report("must see a change", await asyncio.to_thread(_ask_after_orders, port, bodies, arguments.seconds))


async def _change(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    while True:
        process.stdin.write("\n")
        process.stdin.flush()
        await asyncio.sleep(CHANGE_SECONDS)


def _ask_after_orders(port: int, bodies: list[bytes], seconds: float) -> list[float]:
    """Place an order and ask for a quote that has seen it, again and again; return how long the quotes took."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for number, body in enumerate(itertools.cycle(bodies)):
            if time.perf_counter() > end:
                break
            headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
            keys = ({"Idempotency-Key": f"after-{number}-{kind}"} for kind in ("order", "quote"))
            placed = client.post("/v1/orders", content=body, headers=headers | next(keys)).raise_for_status()
            seen, begun = {"Min-Seq": placed.headers["Commit-Seq"]}, time.perf_counter()
            client.post("/v1/quotes", content=body, headers=headers | next(keys) | seen).raise_for_status()
            times.append(time.perf_counter() - begun)
    return sorted(times)


def _ask_first(port: int, body: bytes) -> tuple[float, str]:
    """Ask as soon as somebody listens, and return how long the answer took and how sure it was."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
    for number in range(300):
        with contextlib.suppress(httpx.TransportError):
            headers["Idempotency-Key"] = f"first-{number}"
            url, begun = f"http://127.0.0.1:{port}/v1/quotes", time.perf_counter()
            answer = httpx.post(url, content=body, headers=headers, timeout=60)
            if answer.is_success:
                return time.perf_counter() - begun, answer.json()["guarantee"]
        time.sleep(0.1)
    raise SystemExit("the server did not answer within 30 s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--orders", type=int, default=1_000)
    parser.add_argument("--pools", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--serve", type=int, metavar="PORT", help="used by the benchmark itself")
    arguments = parser.parse_args()
    if arguments.serve is not None:
        uvloop.run(serve(arguments.serve, arguments.pools, arguments.orders))
        return
    print(describe_machine())
    port = find_free_port()
    command = [sys.executable, "-m", "benchmarks.quotes", "--serve", str(port)]
    command += ["--orders", str(arguments.orders), "--pools", str(arguments.pools)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        bodies = [msgspec.json.encode(body) for body in msgspec.json.decode(process.stdout.readline())]
        uvloop.run(compare(port, process, bodies, arguments))
        process.stdin.close()
        process.wait(30)


if __name__ == "__main__":
    main()
