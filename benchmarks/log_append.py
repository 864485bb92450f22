"""How many events a second the log stores, against raw guarded publishes of the same events on the same server.

    uv run python -m benchmarks.log_append [--servers 3] [--seconds 2]

Both sync every write. `raw` is one guarded JetStream publish per event through nats-py, as many in flight as there are
callers; `log` is `JetStreamLog.append` by as many callers, each waiting for its answer before the next; `log, sealing`
also makes and seals the event inside the measured time, as a command does.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable

import nats

from benchmarks.synthetic import make_write
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import embedded_nats
from marketplace.log.headers import render_publish
from marketplace.log.inboxes import derive_inbox_prefix
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Write

IN_FLIGHT = (1, 32, 256)
PREPARED_MAX = 60_000


async def measure(
    store: Callable[[Write], Awaitable[object]], callers: int, seconds: float, *, prepared: bool
) -> float:
    """Return events a second."""
    writes = [make_write() for _ in range(PREPARED_MAX)] if prepared else []
    stored = 0
    end = time.perf_counter() + seconds

    async def call() -> None:
        nonlocal stored
        while time.perf_counter() < end:
            await store(writes.pop() if prepared else make_write())
            stored += 1

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return stored / (time.perf_counter() - began)


async def run(servers: int, seconds: float) -> None:
    with temporary_folder() as folder:
        async with embedded_nats(folder / "nats", servers=servers) as running:
            log = await JetStreamLog.open(running.url, replicas=servers, admin_url=running.admin_url)
            client = await nats.connect(running.url.split(","), inbox_prefix=derive_inbox_prefix(running.url))

            async def publish(write: Write) -> None:
                message = write.messages[0]
                headers = render_publish(write.after.subject, message, 0, None)
                answer = await client.request(write.after.subject, message.body, headers=headers, timeout=10)
                assert b'"error"' not in answer.data, answer.data

            async def append(write: Write) -> None:
                await log.append([write])

            await measure(publish, 32, 0.5, prepared=True)
            print(f"{servers} server(s), every write synced; events a second")
            print(f"{'in flight':>10} {'raw':>10} {'log':>10} {'ratio':>7} {'log, sealing':>14} {'ratio':>7}")
            for callers in IN_FLIGHT:
                raw = await measure(publish, callers, seconds, prepared=True)
                ours = await measure(append, callers, seconds, prepared=True)
                sealing = await measure(append, callers, seconds, prepared=False)
                figures = f"{callers:>10} {raw:>10,.0f} {ours:>10,.0f} {ours / raw:>7.2f}"
                print(f"{figures} {sealing:>14,.0f} {sealing / raw:>7.2f}")
            await client.close()
            await log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--servers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.servers, arguments.seconds))


if __name__ == "__main__":
    main()
