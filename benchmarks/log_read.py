"""How many events a second the log reads, against nats-py's own ways to read the same stream.

    uv run python -m benchmarks.log_read [--servers 3] [--events 100000]

`ordered` is nats-py's ordered consumer, message by message (`next_msg`) and by callback, both without looking at the
headers; `fetch` pulls 1,000 at a time. `log.read` gives pages of parsed events, refuses a gap, and checks the hash and
the link of every event (ADR 13). `load` is one aggregate of 20 events that lie scattered in the stream. What the checks
cost is measured in processor time, reading with and without them by turns.
"""

import argparse
import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from unittest import mock

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from benchmarks.synthetic import make_write
from events.envelope import parse_headers
from events.subjects import ALL, STREAM
from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import embedded_nats
from marketplace.log import feed, reader
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Head, Recorded

AGGREGATE_EVENTS = 20
LOADS = 200
ROUNDS = 5


async def fill(log: JetStreamLog, count: int) -> list[str]:
    """Store the events in batches of 1,000, and return the subjects."""
    heads: list[Head | None] = [None] * (count // AGGREGATE_EVENTS)
    for _ in range(AGGREGATE_EVENTS):
        for first in range(0, len(heads), 1_000):
            writes = [make_write(head) for head in heads[first : first + 1_000]]
            await log.append(writes)
            heads[first : first + 1_000] = [write.head for write in writes]
    return [head.subject for head in heads if head is not None]


async def read_next(client: Client, count: int) -> None:
    subscription = await client.jetstream().subscribe(ALL, ordered_consumer=True)
    for _ in range(count):
        await subscription.next_msg(timeout=10)
    await subscription.unsubscribe()


async def read_callback(client: Client, count: int) -> None:
    seen, done = 0, asyncio.Event()

    async def take(_: Msg) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            done.set()

    subscription = await client.jetstream().subscribe(ALL, ordered_consumer=True, cb=take)
    await done.wait()
    await subscription.unsubscribe()


async def read_fetch(client: Client, count: int) -> None:
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, mem_storage=True)
    subscription = await client.jetstream().pull_subscribe(ALL, stream=STREAM, config=config)
    seen = 0
    while seen < count:
        seen += len(await subscription.fetch(1_000, timeout=10))


async def read_log(log: JetStreamLog, count: int) -> None:
    seen = 0
    async for page in log.read():
        seen += len(page)
    assert seen == count, (seen, count)


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Read as if nothing had to be checked."""

    def parse(sequence: int, subject: str, headers: Mapping[str, str], body: bytes) -> Recorded:
        return Recorded(sequence, subject, parse_headers(headers), body)

    with mock.patch.object(feed, "parse_recorded", parse), mock.patch.object(reader, "Links", _NoLinks):
        yield


class _NoLinks:
    def __init__(self, _: int) -> None:
        pass

    def check(self, event: Recorded) -> Recorded:
        return event


async def compare_checks(log: JetStreamLog, events: int) -> None:
    """Print the processor time of reading with the checks and without, by turns, the least of each."""
    seconds: dict[str, list[float]] = {"unchecked": [], "checked": []}
    for _ in range(ROUNDS):
        for name, around in (("unchecked", unchecked()), ("checked", contextlib.nullcontext())):
            began = time.process_time()
            with around:
                await read_log(log, events)
            seconds[name].append(time.process_time() - began)
    least = {name: min(taken) / events * 1_000_000 for name, taken in seconds.items()}
    extra = least["checked"] - least["unchecked"]
    print(
        f"{'checks':>20} {extra:.1f} us of processor time an event: {least['checked']:.1f} us with them, "
        f"{least['checked'] / least['unchecked']:.2f} times those without"
    )


async def run(servers: int, events: int) -> None:
    with temporary_folder() as folder:
        async with embedded_nats(folder / "nats", servers=servers) as running:
            log = await JetStreamLog.open(running.url, replicas=servers, admin_url=running.admin_url)
            client = await nats.connect(running.admin_url.split(","))
            subjects = await fill(log, events)
            events = len(subjects) * AGGREGATE_EVENTS
            print(f"{servers} server(s), {events:,} events of 300 bytes")
            candidates = {
                "ordered, next_msg": read_next(client, events),
                "ordered, callback": read_callback(client, events),
                "fetch of 1,000": read_fetch(client, events),
                "log.read": read_log(log, events),
            }
            rates = {}
            for name, candidate in candidates.items():
                began = time.perf_counter()
                await candidate
                rates[name] = events / (time.perf_counter() - began)
            for name, rate in rates.items():
                print(f"{name:>20} {rate:>9,.0f} events/s  log.read is {rates['log.read'] / rate:.2f} of it")
            began = time.perf_counter()
            for subject in subjects[:: len(subjects) // LOADS][:LOADS]:
                assert len(await log.load(subject)) == AGGREGATE_EVENTS
            print(f"{'load':>20} {(time.perf_counter() - began) / LOADS * 1_000:>9.2f} ms for 20 scattered events")
            await compare_checks(log, events)
            await client.close()
            await log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--servers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--events", type=int, default=100_000)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.servers, arguments.events))


if __name__ == "__main__":
    main()
