"""Readings of meters: how many a second come through HTTP, how soon a balance shows them, what one costs.

    uv run python -m benchmarks.usage [http] [visible] [stored] [--seconds 5] [--stored-max 1000000]

`http`: durable readings a second in batches of 1,000, beside a bare Litestar handler that decodes the same batch and
answers as many bytes; one API process with its log on one nats-server that syncs every write.
`visible`: the whole stack takes 5,000 readings a second; the time from sending a reading until its balance shows it.
`stored`: processor time of a reading, decided and projected, with 10^5, 10^6 and, by `--stored-max`, 3 · 10^6 and
10^7 readings stored; how long the first batch of a process that has just begun takes then, without snapshots and with
them; and the memory of the states. The clients share the machine's cores with the servers, so compare the ratios.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import msgspec
import uvloop
from litestar import Litestar, Request, post
from litestar.response import Response

from benchmarks.http import ADMIN_KEY, build_bare_server, wait_until_live
from benchmarks.http_load import measure
from benchmarks.machine import describe_machine
from benchmarks.usage_site import BATCH, build_batch, issue
from marketplace.api.http.bodies.meters import BATCHED, ReadingData, ReadingEvent
from marketplace.api.http.sql_archive import SqlArchive
from marketplace.api.metering.ingestion import ingest
from marketplace.cli.stack import open_stack
from marketplace.core.ids import derive_command_id, derive_id
from marketplace.domain.metering.usage import USAGE, name_usage
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import embedded_nats
from marketplace.embedded.postgres import embedded_postgres
from marketplace.embedded.process import find_free_port
from marketplace.execution.archive import Archive
from marketplace.execution.clock import MarketClock
from marketplace.execution.handler import Handler
from marketplace.execution.snapshots import weigh
from marketplace.execution.unit_of_work import Context
from marketplace.log.jetstream import JetStreamLog
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.migrate import migrate
from marketplace.projections.engine.runner import Projector
from marketplace.projections.registry import PROJECTIONS
from marketplace.runtime.process.config import Settings, render_environment
from marketplace.runtime.process.log import open_log
from tests.domain import build

TARGET_READINGS = 20_000
CLIENTS = 4
GRANTS = 16
CHECKPOINTS = (100_000, 1_000_000, 3_000_000, 10_000_000)
VISIBLE_RATE, VISIBLE_BATCH = 5_000, 250
TARGET_VISIBLE_MS = 250
ANSWER = b"[" + b",".join([b'{"outcome":"accepted","source":"urn:meter:1","reading_id":"node-123/45"}'] * BATCH) + b"]"


@post("/bare", status_code=200)
async def bare(request: Request) -> Response[bytes]:
    for item in msgspec.json.decode(await request.body(), type=list[ReadingEvent]):
        msgspec.json.decode(item.data, type=ReadingData)
    return Response(ANSWER, media_type="application/json")


async def serve_bare(port: int) -> None:
    application = Litestar([bare], openapi_config=None)
    server = build_bare_server(application, port)
    serving = asyncio.create_task(server.serve())
    await asyncio.to_thread(sys.stdin.read)
    server.stop()
    await serving


def render_request(path: str, key: str, body: bytes) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {BATCHED.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def hand_out(path: str, bodies: Sequence[bytes]) -> Callable[[], bytes]:
    """Return what hands out each request once."""
    waiting = iter(bodies)
    return lambda: render_request(path, ADMIN_KEY, next(waiting))


@asynccontextmanager
async def running(*command: str, environment: dict[str, str] | None = None) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, stdin=asyncio.subprocess.PIPE, env=environment
    )
    try:
        yield
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def measure_http(seconds: float) -> None:
    with temporary_folder() as folder:
        async with embedded_nats(folder / "nats") as servers:
            settings = Settings(
                nats_url=servers.url, nats_admin_url=servers.admin_url, api_key_secret="s" * 32, admin_key=ADMIN_KEY
            )
            async with open_log(settings) as log:
                grants = await issue(Handler(log, MarketClock()), GRANTS)
            port, bare_port = find_free_port(), find_free_port()
            api = ("marketplace", "serve", "--role", "api", "--port", str(port), "--log-level", "warning")
            async with (
                running(*api, environment=render_environment(settings)),
                running("benchmarks.usage", "--serve-bare", str(bare_port)),
            ):
                await asyncio.to_thread(wait_until_live, port)
                await _compare_http(port, bare_port, grants, seconds)


async def _compare_http(port: int, bare_port: int, grants: list[str], seconds: float) -> None:
    batches = [build_batch(grants[number % GRANTS], number // GRANTS) for number in range(int(seconds * 60) + 40)]
    shares = [batches[client::CLIENTS] for client in range(CLIENTS)]
    warm = [build_batch(grants[number], 10_000) for number in range(CLIENTS)]
    await measure(port, [hand_out("/v1/usage", [body] * 1_000) for body in warm], 1.0)
    plain, _ = await measure(bare_port, [hand_out("/bare", share * 100) for share in shares], seconds)
    rate, times = await measure(port, [hand_out("/v1/usage", share) for share in shares], seconds)
    times.sort()
    print(f"\nhttp: batches of {BATCH:,} from {CLIENTS} clients, {len(batches[0]) / 1_024:,.0f} KiB each")
    print(f"{'bare readings a second':>24} {'durable readings a second':>26} {'ratio':>6} {'p50 ms':>7} {'p99 ms':>7}")
    median, slow = times[len(times) // 2] * 1_000, times[len(times) * 99 // 100] * 1_000
    print(f"{plain * BATCH:>24,.0f} {rate * BATCH:>26,.0f} {rate / plain:>6.2f} {median:>7.0f} {slow:>7.0f}")
    print(f"target {TARGET_READINGS:,}: {'reached' if rate * BATCH >= TARGET_READINGS else 'not reached'}")


async def measure_visible(seconds: float) -> None:
    with temporary_folder() as folder:
        async with open_stack(folder) as stack:
            async with open_log(stack.settings) as log:
                grants = await issue(Handler(log, MarketClock()), GRANTS)
            port = int(stack.api_url.rpartition(":")[2])
            await _load_visible(port, stack.settings.admin_key, grants, seconds)


async def _load_visible(port: int, key: str, grants: list[str], seconds: float) -> None:
    """Send batches at a steady rate, whatever their answers take, and wait for each in the balances."""
    every, total = VISIBLE_BATCH / VISIBLE_RATE, int(seconds * VISIBLE_RATE / VISIBLE_BATCH)
    bodies = [build_batch(grants[number % GRANTS], number // GRANTS, VISIBLE_BATCH) for number in range(total + 20)]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": BATCHED.decode()}
    times: list[float] = []

    async def send(client: httpx.AsyncClient, number: int, begun: float) -> None:
        answer = await client.post("/v1/usage", content=bodies[number], headers=headers)
        assert answer.status_code == 200, answer.text
        sums = {"Authorization": headers["Authorization"], "Min-Seq": answer.headers["commit-seq"]}
        seen = await client.get(f"/v1/grants/{grants[number % GRANTS]}/usage", headers=sums)
        assert seen.status_code == 200, seen.text
        times.append(time.perf_counter() - begun)

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for number in range(total, total + 20):
            await send(client, number, time.perf_counter())
        times.clear()
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(total):
                due = begun + number * every
                await asyncio.sleep(max(due - time.perf_counter(), 0))
                group.create_task(send(client, number, due))
        rate = total * VISIBLE_BATCH / (time.perf_counter() - begun)
    times.sort()
    slow = times[len(times) * 99 // 100] * 1_000
    print(f"\nvisible: {rate:,.0f} readings a second in batches of {VISIBLE_BATCH}, until the balance shows them:")
    print(f"p50 {times[len(times) // 2] * 1_000:,.0f} ms, p99 {slow:,.0f} ms")
    print(f"target p99 {TARGET_VISIBLE_MS} ms: {'reached' if slow < TARGET_VISIBLE_MS else 'not reached'}")


async def measure_stored(stored_max: int) -> None:
    with temporary_folder() as folder:
        async with embedded_nats(folder / "nats") as servers, embedded_postgres(folder / "postgres") as postgres:
            log = await JetStreamLog.open(servers.url, admin_url=servers.admin_url, system_url=servers.system_url)
            engine = build_engine(postgres.url)
            await migrate(engine)
            projector = Projector(log, engine, PROJECTIONS)
            await projector.claim()
            handler = Handler(log, MarketClock(), archive=SqlArchive(engine))
            grants = await issue(handler, GRANTS)
            print(
                f"\nstored: processor time of a reading, the mean of the last {BATCH * 50:,}; the first batch after a"
            )
            print(f"restart, folded from the log and from a snapshot; the states of {GRANTS} grants and their sources")
            columns = ("readings", "take µs", "project µs", "fold ms", "restored ms", "MiB")
            print(" ".join(f"{column:>11}" for column in columns))
            await _fill(handler, projector, grants, stored_max)
            await engine.dispose()
            await log.close()


async def _fill(handler: Handler, projector: Projector, grants: list[str], stored_max: int) -> None:
    checkpoints = [number for number in CHECKPOINTS if number <= stored_max]
    taking = projecting = 0.0
    for number in range(stored_max // BATCH):
        stored = (number + 1) * BATCH
        if any(0 <= checkpoint - stored - BATCH * 50 < BATCH for checkpoint in checkpoints):
            taking = projecting = 0.0
        taking += await _take(handler, grants, number)
        await handler.cache.snapshots.flush()
        if number % 10 == 9:
            begun = time.process_time()
            await projector.catch_up()
            projecting += time.process_time() - begun
        if stored in checkpoints:
            scale = 1_000_000 / (BATCH * 50)
            folded = await _begin_again(handler, grants, number, None)
            restored = await _begin_again(handler, grants, number, handler.archive)
            mebibytes = await _weigh(handler, grants)
            figures = (f"{taking * scale:.1f}", f"{projecting * scale:.1f}", f"{folded:,.0f}", f"{restored:,.0f}")
            columns = (f"{stored:,}", *figures, f"{mebibytes:,.1f}")
            print(" ".join(f"{column:>11}" for column in columns), flush=True)


async def _take(handler: Handler, grants: list[str], number: int, expected: str = "accepted") -> float:
    """Report one batch; return the processor seconds that it took."""
    body = build_batch(grants[number % GRANTS], number // GRANTS)
    context = Context(
        command_id=derive_command_id("benchmark", f"{expected}-{number}"),
        fingerprint="fill",
        actor="benchmark",
        party_id=None,
        at=handler.clock.now(),
    )
    begun = time.process_time()
    receipt, _ = await ingest(handler, context, BATCHED, body)
    took = time.process_time() - begun
    assert {reading.outcome for reading in receipt.readings} == {expected}
    return took


async def _begin_again(handler: Handler, grants: list[str], number: int, archive: Archive | None) -> float:
    """Report the last batch again to a process that has just begun; return the milliseconds until its answer."""
    fresh = Handler(handler.log, handler.clock, archive=archive)
    begun = time.perf_counter()
    await _take(fresh, grants, number, "duplicate")
    return (time.perf_counter() - begun) * 1_000


async def _weigh(handler: Handler, grants: list[str]) -> float:
    records = [name_usage(grant_id) for grant_id in grants]
    records += [derive_id("usg", build.PROVIDER, f"urn:meter:{grant_id}") for grant_id in grants]
    states = [(await handler.cache.load(USAGE, record)).state for record in records]
    return sum(map(weigh, states)) / 2**20


async def main(parts: Sequence[str], seconds: float, stored_max: int) -> None:
    print(describe_machine())
    if "http" in parts:
        await measure_http(seconds)
    if "visible" in parts:
        await measure_visible(seconds)
    if "stored" in parts:
        await measure_stored(stored_max)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="of http, visible and stored; all by default")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--stored-max", type=int, default=1_000_000)
    parser.add_argument("--serve-bare", type=int, metavar="PORT", help="used by the benchmark itself")
    given = parser.parse_args()
    if given.serve_bare is not None:
        uvloop.run(serve_bare(given.serve_bare))
    else:
        uvloop.run(main(given.parts or ("http", "visible", "stored"), given.seconds, given.stored_max))
