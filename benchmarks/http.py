"""How many durable orders a second come through HTTP, against a bare Litestar handler on the same server.

    uv run python -m benchmarks.http [--seconds 3] [--startups 64]

One process answers both: the API with its log on one nats-server that syncs every write, and beside it an application
whose only handler takes the same body and answers as many bytes. The clients run in a second process and share the
machine's cores with the servers. There is no database and no projector: commands need none.

It prints answers a second and the processor time that the process takes for each answer. The last columns are the
ratios of both to those of the bare handler. The target is either answers a second or a ratio of processor times, which
other work on the machine changes less. For one client it compares the median time of an order with that of a handler
that does nothing but append two events, byte for byte as many as an order's, which is its limit (ADR 33); with that of
the log's own append of them by one caller on a nats-server of its own, which is its target; and with that of a log
that the caller also follows, as every process of the market does. All take turns, because other work on the machine,
and the time of its disk, change from second to second.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import uvloop
from litestar import Litestar, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody

from benchmarks.http_load import Connection, build_request, connect, measure, number_from
from benchmarks.synthetic import make_write
from marketplace.api.application import create_application
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.trading import PlaceOrderBody
from marketplace.api.http.connections import Connections
from marketplace.api.http.server import ApiServer
from marketplace.api.http.services import ApiSettings
from marketplace.app import open_services
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import embedded_nats
from marketplace.embedded.process import find_free_port
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Write
from marketplace.process import running as running_tasks
from marketplace.runtime.process.collector import settle_collector
from marketplace.runtime.process.config import Settings

CLIENTS = (1, 64)
CONNECTIONS_MAX = 1_024
ADMIN_KEY = "mkp_01jdm5v5tze1xa6a4sbz1gk3c4_benchmarkbenchmarkbenchmark"
TURN_SECONDS = 0.5
ALONE = 400
"""Orders and appends of one client."""
TARGET_ALONE = 1.3
"""How many times as long as the log's own append an order of one client shall take."""
LIMIT_ALONE = 1.4
"""How many times as long as a handler that only appends it may take."""
EVENTS_BYTES = (430, 1_023)
"""Bodies whose events are as long as those of an order: its hold of cash, and itself."""
TARGET_ORDERS = 4_000
TARGET_SHARE = 0.20


@post("/bare")
async def bare(data: JSONBody[PlaceOrderBody]) -> ReceiptBody:
    return ReceiptBody(id=data.startup_id, sequence=1, version=1)


def build_appending(log: JetStreamLog) -> HTTPRouteHandler:
    """Return a handler that does nothing but append as many bytes as an order's events."""

    @post("/append")
    async def append(data: JSONBody[PlaceOrderBody]) -> ReceiptBody:
        await log.append(make_writes())
        return ReceiptBody(id=data.startup_id, sequence=1, version=1)

    return append


@get("/processor-seconds")
async def tell_processor_seconds() -> float:
    return time.process_time()


def build_bare_server(application: Litestar, port: int) -> ApiServer:
    """Return the API's own server, for any application."""
    bounds = ApiSettings()
    return ApiServer(application, bounds, Connections(bounds.connections_max, CONNECTIONS_MAX), "127.0.0.1", port)


async def serve(port: int, bare_port: int) -> None:
    """Answer both applications until the process is ended."""
    with temporary_folder() as folder:
        async with embedded_nats(folder / "nats") as nats:
            settings = Settings(
                nats_url=nats.url, nats_admin_url=nats.admin_url, api_key_secret="s" * 32, admin_key=ADMIN_KEY
            )
            async with open_services(settings) as services, open_log(is_followed=True) as log:
                handlers = [bare, build_appending(log), tell_processor_seconds]
                applications = (
                    (create_application(services), port),
                    (Litestar(handlers, openapi_config=None), bare_port),
                )
                servers = [build_bare_server(one, at) for one, at in applications]
                settle_collector()
                serving = [asyncio.create_task(server.serve()) for server in servers]
                await asyncio.to_thread(sys.stdin.read)
                for server in servers:
                    server.stop()
                await asyncio.gather(*serving)


@contextmanager
def running(port: int, bare_port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.http", "--serve", str(port), str(bare_port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            wait_until_live(port)
            yield
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)


def wait_until_live(port: int) -> None:
    for _ in range(300):
        try:
            httpx.get(f"http://127.0.0.1:{port}/health/live").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server did not start within 30 s")


def prepare(port: int, startups: int, admin_key: str = ADMIN_KEY) -> list[bytes]:
    """Register startups with money, and return the order that each of them places."""
    headers = {"Authorization": f"Bearer {admin_key}"}
    bodies = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20) as client:
        for number in range(startups):

            def send(path: str, body: Mapping[str, object], number: int = number) -> str:
                key = {"Idempotency-Key": f"prepare-{number}{path}"}
                answer = client.post(path, json=body, headers=key)
                answer.raise_for_status()
                return str(answer.json()["id"])

            party = send("/v1/parties", {"name": f"Startup {number}", "roles": ["startup"], "jurisdiction": "US"})
            send(f"/v1/parties/{party}/clear", {"checks": ["sanctions"]})
            money = {"amount_usd": "900000000000", "reference": f"wire {party}"}
            send(f"/v1/accounts/acc{party[3:]}/deposits", money)
            bodies.append(msgspec.json.encode(_build_order(party)))
    return bodies


def _build_order(party: str) -> dict[str, object]:
    start = datetime.now(UTC) + timedelta(days=1)
    offer = {"gpu_class": "H100_SXM", "cash_usd_per_gpu_hour": "2.50", "equity_usd_per_gpu_hour": "0"}
    terms = {
        "nodes": 4,
        "duration_hours": 48,
        "start_earliest": start.isoformat(),
        "start_latest": (start + timedelta(days=14)).isoformat(),
        "offers": [offer],
    }
    return {"startup_id": party, "terms": terms}


@asynccontextmanager
async def open_log(*, is_followed: bool) -> AsyncIterator[JetStreamLog]:
    """Yield a log on a nats-server of its own."""
    with temporary_folder() as folder:
        async with embedded_nats(folder / "nats") as nats:
            log = await JetStreamLog.open(nats.url, admin_url=nats.admin_url)
            following = [asyncio.create_task(follow(log))] if is_followed else []
            async with running_tasks(*following):
                yield log
            await log.close()


async def compare_alone(port: int, bare_port: int, body: bytes, numbers: Iterator[int]) -> None:
    """Time orders of one client and appends by turns, one of each: the time of a disk changes from second to second."""
    async with open_log(is_followed=False) as alone, open_log(is_followed=True) as followed:
        ordering, appending = await connect(port), await connect(bare_port)
        make_order = build_request("/v1/orders", ADMIN_KEY, body, numbers)
        make_append = build_request("/append", ADMIN_KEY, body, numbers)
        turns: dict[str, Callable[[], Awaitable[object]]] = {  # before each request one append: caches are as cold
            "an atomic append of the log": lambda: alone.append(make_writes()),
            "an order": lambda: ask(ordering, make_order),
            "one of a log that its writer follows": lambda: followed.append(make_writes()),
            "a handler that only appends": lambda: ask(appending, make_append),
        }
        taken: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(ALONE):
            for name, take in turns.items():
                began = time.perf_counter()
                await take()
                taken[name].append(time.perf_counter() - began)
        ordering.close()
        appending.close()
    medians = {name: statistics.median(times) * 1_000 for name, times in taken.items()}
    order = medians.pop("an order")
    print(f"by turns, p50: an order {order:.2f} ms")
    for name, median in medians.items():
        print(f"    {name} {median:.2f} ms: the order takes {order / median:.2f} times as long")
    for times, name in ((TARGET_ALONE, "an atomic append of the log"), (LIMIT_ALONE, "a handler that only appends")):
        reached = "reached" if order <= times * medians[name] else "not reached"
        print(f"target of one client: {times} times {name}, {reached}")


async def ask(connection: Connection, make: Callable[[], bytes]) -> None:
    answer = await connection.send(make())
    assert answer.startswith(b"HTTP/1.1 201"), answer[:2_000]


def make_writes() -> list[Write]:
    """Return what an atomic append as long as that of an order stores."""
    return [make_write(body_bytes=count) for count in EVENTS_BYTES]


async def follow(log: JetStreamLog) -> None:
    """Read a log and what is appended to it, until cancelled."""
    async for _ in log.read(follow=True):
        pass


@dataclass
class Answers:
    """What some clients got in all of their turns: seconds of each answer, and of the turns and the processor."""

    times: list[float] = field(default_factory=list)
    turns: float = 0.0
    processor: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.times) / self.turns

    @property
    def cost(self) -> float:
        """Microseconds of processor time for each answer."""
        return self.processor / len(self.times) * 1e6


async def compare(port: int, bare_port: int, bodies: list[bytes], seconds: float) -> None:
    numbers = number_from(0)

    def read_processor_seconds() -> float:
        return float(httpx.get(f"http://127.0.0.1:{bare_port}/processor-seconds").text)

    async def run(answers: Answers, at: int, path: str, clients: int) -> None:
        chosen = [bodies[client % len(bodies)] for client in range(clients)]
        began = read_processor_seconds()
        rate, times = await measure(
            at, [build_request(path, ADMIN_KEY, body, numbers) for body in chosen], TURN_SECONDS
        )
        answers.times += times
        answers.turns += len(times) / rate
        answers.processor += read_processor_seconds() - began

    await run(Answers(), port, "/v1/orders", 64)
    await run(Answers(), port, "/v1/orders", 64)
    await run(Answers(), bare_port, "/bare", 64)
    names = ("clients", "bare/s", "µs", "orders/s", "µs", "p50 ms", "p99 ms", "rates", "µs")
    print(" ".join(f"{name:>8}" for name in names))
    for clients in CLIENTS:
        bare, orders = Answers(), Answers()
        for _ in range(round(seconds / TURN_SECONDS)):
            await run(bare, bare_port, "/bare", clients)
            await run(orders, port, "/v1/orders", clients)
        print_row(clients, bare, orders)
        if clients == 1:
            await compare_alone(port, bare_port, bodies[0], numbers)
    share = bare.cost / orders.cost
    reached = "reached" if orders.rate >= TARGET_ORDERS or share >= TARGET_SHARE else "not reached"
    print(
        f"target at {CLIENTS[-1]} clients: {TARGET_ORDERS:,} orders a second or {TARGET_SHARE:.0%} of bare, {reached}"
    )


def print_row(clients: int, bare: Answers, orders: Answers) -> None:
    times = sorted(orders.times)
    median, slow = times[len(times) // 2] * 1_000, times[len(times) * 99 // 100] * 1_000
    print(f"{clients:>8} {bare.rate:>8,.0f} {bare.cost:>8.0f} {orders.rate:>8,.0f} {orders.cost:>8.0f}", end=" ")
    print(f"{median:>8.2f} {slow:>8.2f} {orders.rate / bare.rate:>8.2f} {bare.cost / orders.cost:>8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--startups", type=int, default=64)
    parser.add_argument(
        "--serve", type=int, nargs=2, metavar=("PORT", "BARE_PORT"), help="used by the benchmark itself"
    )
    arguments = parser.parse_args()
    if arguments.serve is not None:
        uvloop.run(serve(*arguments.serve))
        return
    port, bare_port = find_free_port(), find_free_port()
    with running(port, bare_port):
        bodies = prepare(port, arguments.startups)
        uvloop.run(compare(port, bare_port, bodies, arguments.seconds))


if __name__ == "__main__":
    main()
