"""How many durable orders a second come through HTTP beside a crowd, against the same process without it, in turns.

    uv run python -m benchmarks.crowd [--seconds 5] [--rounds 3] [--idle 2000] [--slow 200] [--streams 500]

The crowd is a process of its own: silent connections, connections that send a byte of their headers every half second,
and event streams of a fund, into whose account a deposit is made every half second: the time from each deposit to its
arrival at each stream is measured. The API runs as an operator starts it, with a worker,
NATS and PostgreSQL from wheels; only the bounds per address, key and party are raised, because one machine plays
everybody. Connections that the API ends, because their headers took too long, are opened again at once; the end says
how often. Figures of one run share a machine with the load generator, so compare the ratio.
"""

import argparse
import asyncio
import contextlib
import re
import resource
import statistics
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvloop

from benchmarks.http import prepare
from benchmarks.http_load import build_request, measure, number_from
from benchmarks.machine import describe_machine
from marketplace.cli.stack import open_stack
from marketplace.embedded.folder import temporary_folder

CLIENTS = 64
FILES = 8_192
DRIP_SECONDS = 0.5
DEPOSIT_SECONDS = 0.5
_DEPOSITED = re.compile(rb'"type":"marketplace.account.deposited.v1".*?"time":"([^"]+)"')
BOUNDS = {
    "connections_per_address_max": 4_096,
    "streams_max": 1_000,
    "streams_per_key_max": 1_000,
    "streams_per_party_max": 1_000,
}


async def hold(port: int, key: str, after: int, sizes: list[int]) -> None:
    """Open the crowd, say so, and hold it until the input ends; exit with an error if a stream was not let in."""
    idle, slow, streams = sizes
    silent, dripping = Kept(port, idle, b""), Kept(port, slow, b"GET /health/live HTTP/1.1\r\nHost: a\r\nx-slow: ")
    head = f"GET /v1/events?after={after} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n"
    head += "Accept: text/event-stream\r\n\r\n"
    held = [await _open_stream(port, head.encode()) for _ in range(streams)]
    delays: list[float] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(kept.stay()) for kept in (silent, dripping) for _ in range(kept.size)]
        await silent.full.wait()
        await dripping.full.wait()
        tasks += [group.create_task(_drip(dripping))]
        tasks += [group.create_task(_hear(reader, delays)) for reader, _ in held]
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for name, kept in (("idle", silent), ("slow", dripping)):
            print(
                f"{name}: {len(kept.writers)} of {kept.size} were open at the end, {kept.again} opened again",
                flush=True,
            )
        for task in tasks:
            task.cancel()
    delays.sort()
    if delays:
        middle, late = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
        print(f"{len(delays)} deposits arrived at streams after {middle:.3f} s, p99 {late:.3f} s", flush=True)
    still = sum(not writer.is_closing() and not reader.at_eof() for reader, writer in held)
    print(f"stream: {still} of {len(held)} were held to the end", flush=True)
    for _, writer in held:
        writer.transport.abort()


class Kept:
    """Connections of one kind, each of which is opened again when the API ends it."""

    def __init__(self, port: int, size: int, sent: bytes) -> None:
        self.size = size
        self.full = asyncio.Event()
        self.writers: set[asyncio.StreamWriter] = set()
        self.again = 0
        self._port, self._sent = port, sent
        self._opening = asyncio.Semaphore(CLIENTS)

    async def stay(self) -> None:
        """Hold one connection until cancelled."""
        while True:
            async with self._opening:
                reader, writer = await _open(self._port, self._sent)
            self.writers.add(writer)
            if len(self.writers) == self.size:
                self.full.set()
            try:
                with contextlib.suppress(ConnectionError):
                    await reader.read()
            finally:
                self.writers.discard(writer)
                writer.transport.abort()
            self.again += 1


async def _open(port: int, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    return reader, writer


async def _open_stream(port: int, head: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await _open(port, head)
    status = await reader.readline()
    if b" 200 " not in status:
        raise SystemExit(f"a stream was answered {status!r}")
    return reader, writer


async def _hear(reader: asyncio.StreamReader, delays: list[float]) -> None:
    """Note how long after its recording each deposit arrives."""
    while line := await reader.readline():
        if line.startswith(b"data:") and (found := _DEPOSITED.search(line)):
            recorded = datetime.fromisoformat(found[1].decode())
            delays.append((datetime.now(UTC) - recorded).total_seconds())


async def _deposit(port: int, admin_key: str, party_id: str) -> None:
    """Deposit into a party's account every half second, until cancelled."""
    path = f"/v1/accounts/acc{party_id.removeprefix('pty')}/deposits"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        while True:
            key = uuid.uuid4().hex
            headers = {"Authorization": f"Bearer {admin_key}", "Idempotency-Key": key}
            answer = await client.post(path, json={"amount_usd": "1", "reference": key}, headers=headers)
            answer.raise_for_status()
            await asyncio.sleep(DEPOSIT_SECONDS)


async def _drip(slow: Kept) -> None:
    while True:
        for writer in slow.writers:
            if not writer.is_closing():
                writer.write(b"a")
        await asyncio.sleep(DRIP_SECONDS)


@asynccontextmanager
async def crowd(port: int, key: str, sizes: list[int]) -> AsyncIterator[None]:
    """Hold the crowd in a process of its own."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        page = await client.get("/v1/events", params={"limit": 1}, headers={"Authorization": f"Bearer {key}"})
    head = page.raise_for_status().json()["head"]
    command = [sys.executable, "-m", "benchmarks.crowd", "--hold", str(port), key, str(head), *map(str, sizes)]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    if await process.stdout.readline() != b"held\n":
        raise SystemExit("the crowd was not let in")
    try:
        yield
    finally:
        process.stdin.close()
        print((await process.stdout.read()).decode().strip())
        await process.wait()


def issue_key(port: int, admin_key: str) -> tuple[str, str]:
    """Return a fund, which no order concerns, and its key."""
    headers = {"Authorization": f"Bearer {admin_key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
        body: dict[str, object] = {"name": "Watching fund", "roles": ["fund"], "jurisdiction": "US"}
        party = client.post("/v1/parties", json=body, headers={"Idempotency-Key": "fund"}).raise_for_status().json()
        key = {"name": "watch", "scopes": ["*"], "party_id": party["id"]}
        answer = client.post("/v1/api-keys", json=key, headers={"Idempotency-Key": "key"}).raise_for_status().json()
        return str(party["id"]), str(answer["token"])


async def compare(folder: Path, arguments: argparse.Namespace) -> None:
    """Measure orders without and with the crowd by turns, and print the median of each and their ratio."""
    async with AsyncExitStack() as closing:
        stack = await closing.enter_async_context(open_stack(folder, bounds=BOUNDS))
        port, admin_key = int(stack.api_url.rpartition(":")[2]), stack.settings.admin_key
        bodies = await asyncio.to_thread(prepare, port, CLIENTS, admin_key)
        numbers = number_from(0)
        requests = [build_request("/v1/orders", admin_key, body, numbers) for body in bodies]
        fund_id, token = await asyncio.to_thread(issue_key, port, admin_key)
        await measure(port, requests, 1.0)
        rates: dict[bool, list[float]] = {False: [], True: []}
        slowest: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(arguments.rounds):
            for beside in (False, True):
                held = crowd(port, token, [arguments.idle, arguments.slow, arguments.streams])
                async with held if beside else contextlib.nullcontext():
                    depositing = asyncio.create_task(_deposit(port, admin_key, fund_id))
                    rate, times = await measure(port, requests, arguments.seconds)
                    depositing.cancel()
                rates[beside].append(rate)
                slowest[beside].append(sorted(times)[len(times) * 99 // 100] * 1_000)
        alone, among = statistics.median(rates[False]), statistics.median(rates[True])
        print(describe_machine())
        print(f"alone: {alone:,.0f} orders a second, p99 {statistics.median(slowest[False]):.0f} ms")
        print(f"beside the crowd: {among:,.0f} orders a second, p99 {statistics.median(slowest[True]):.0f} ms")
        print(f"ratio: {among / alone:.2f}")


def main() -> None:
    """Run, or hold the crowd for the run that asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=2_000)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--hold", nargs=6, help="used by the benchmark itself")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    if arguments.hold is not None:
        port, key, *numbers = arguments.hold
        after, *sizes = map(int, numbers)
        uvloop.run(hold(int(port), key, after, sizes))
        return
    with temporary_folder() as folder:
        uvloop.run(compare(folder, arguments))


if __name__ == "__main__":
    main()
