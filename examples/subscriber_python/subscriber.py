"""Follow the marketplace's events from a position of one's own. Needs nats-py and `events`, nothing else of ours.

    python subscriber.py --url nats://subscriber:secret@127.0.0.1:4222 --aggregate grant --aggregate statement

Prints one line per event. The position is the stream sequence of the last event that was handled; it is kept in a
SQLite file, so a subscriber that is stopped or killed goes on where it was. Handling comes first and the position
after it, hence at least once: the last page may be printed again after a kill, never skipped.
Every consumer begins at the last event that was handled, not after it. If the log has another event there or none,
it is another log, or was restored to an earlier state: the program stops and prints nothing.
"""
# ruff: noqa: INP001, T201 - a program that stands alone and prints

import argparse
import asyncio
import hashlib
import json
import sqlite3
import sys
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError, ServiceUnavailableError

from events.envelope import parse_headers
from events.registry import UnknownEventType, parse_body, parse_type
from events.subjects import STREAM, parse_subject, render_subject

PAGE_EVENTS_MAX = 256
WAIT_SECONDS = 2.0
RETRY_SECONDS = 1
FAILURES_MAX = 60
CONSUMER_IDLE_SECONDS = 30.0
DOMAIN = "MARKETPLACE"
RETRIED = (TimeoutError, NoRespondersError, ServiceUnavailableError)  # nats-py raises Python's own as well as its own


class BrokenChain(Exception):  # noqa: N818 - named for what it tells
    """An event is not what was sealed, or does not follow the one before it."""


class OtherLog(Exception):  # noqa: N818 - named for what it tells
    """The last event that was handled is not in this log, or not among what is read."""


class Progress:
    """Where this subscriber is, in a file that survives it.

    Args:
        path: The SQLite file; created where missing.
    """

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path)
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS position (only INTEGER PRIMARY KEY, sequence INTEGER, hash TEXT)"
        )
        self._file.execute("CREATE TABLE IF NOT EXISTS head (subject TEXT PRIMARY KEY, hash TEXT)")
        self._file.execute("INSERT OR IGNORE INTO position VALUES (0, 0, '')")
        self._file.commit()

    @property
    def last(self) -> tuple[int, str]:
        """The stream sequence and the hash of the last event that was handled; 0 and none before the first."""
        sequence, link = self._file.execute("SELECT sequence, hash FROM position").fetchone()
        return int(sequence), str(link)

    def find_head(self, subject: str) -> str | None:
        """Return the hash of the last event of a subject, None where none was verified."""
        row = self._file.execute("SELECT hash FROM head WHERE subject = ?", (subject,)).fetchone()
        return row and str(row[0])

    def keep_head(self, subject: str, link: str) -> None:
        """Remember the hash of a subject's last event; it is stored with the position."""
        self._file.execute("INSERT OR REPLACE INTO head VALUES (?, ?)", (subject, link))

    def move(self, last: Msg) -> None:
        """Store the position and the hashes in one transaction."""
        self._file.execute("UPDATE position SET sequence = ?, hash = ?", (find_sequence(last), find_hash(last)))
        self._file.commit()

    def close(self) -> None:
        """Leave the file; what was not moved is forgotten."""
        self._file.close()


def find_sequence(message: Msg) -> int:
    """Return the position of an event."""
    return int(message.metadata.sequence.stream)


def find_hash(message: Msg) -> str:
    """Return the hash that was stored with an event."""
    return (message.headers or {}).get("ce-hash", "")


def require_same(last: tuple[int, str], found: Msg | None) -> None:
    """Check that a log has the last event that was handled, where it was.

    Raises:
        OtherLog: It has another event there, or none.
    """
    if found is None or (find_sequence(found), find_hash(found)) != last:
        raise OtherLog(f"event {last[0]}, the last that was handled, is not in this log or not of these aggregates")


def compute_hash(subject: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return the hash that an event must carry, by the recipe of `events/README.md`."""
    written = sorted(
        [name, value]
        for name, value in headers.items()
        if name in {"content-type", "traceparent"} or (name.startswith("ce-") and name != "ce-hash")
    )
    line = json.dumps([subject, written], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(line.encode() + b"\n" + body).hexdigest()


def verify(message: Msg, progress: Progress) -> None:
    """Check one event against its own hash and against the event before it.

    Raises:
        BrokenChain: It was changed, or an event before it was removed, inserted or moved.
    """
    headers = message.headers or {}
    where = f"event {message.metadata.sequence.stream} on {message.subject}"
    computed = compute_hash(message.subject, headers, message.data)
    if computed != headers.get("ce-hash"):
        raise BrokenChain(f"{where} says that its hash is {headers.get('ce-hash')}, but it is {computed}")
    before = progress.find_head(message.subject) or ""
    if headers.get("ce-previoushash", "") != before:
        raise BrokenChain(f"{where} follows {headers.get('ce-previoushash')!r}, but the event before it is {before!r}")
    progress.keep_head(message.subject, computed)


def render_line(message: Msg) -> str:
    """Return what is printed of one event, tab-separated: sequence, type, aggregate, time, id, fields."""
    envelope = parse_headers(message.headers or {})
    aggregate, key = parse_subject(message.subject)
    try:
        event = parse_body(parse_type(envelope.type), message.data)
        fields = f"{len(event.__struct_fields__)} fields"
    except UnknownEventType:
        fields = "unknown to this release"
    sequence = message.metadata.sequence.stream
    when = (message.headers or {})["ce-time"]
    return "\t".join((str(sequence), envelope.type, f"{aggregate}/{key}", when, envelope.id, fields))


@dataclass(frozen=True)
class Source:
    """What is read, and from where.

    Attributes:
        client: The connection.
        subjects: Filters of the events.
        consumer: The one consumer that an account of its own may use; None in the log's account.
    """

    client: Client
    subjects: list[str]
    consumer: str | None

    @property
    def stream(self) -> JetStreamContext:
        """JetStream, which an account of its own reaches by the domain."""
        return self.client.jetstream(domain=DOMAIN) if self.consumer else self.client.jetstream()


async def read_pages(source: Source, progress: Progress) -> AsyncGenerator[list[Msg], None]:
    """Yield pages of events above the position for ever; an empty page says that there is nothing new now.

    Raises:
        nats.errors.Error: The servers did not answer for `FAILURES_MAX` times, or refuse for good.
        OtherLog: The position is of another log.
    """
    failures = 0
    while True:
        try:
            async with aclosing(read_consumer(source, progress.last)) as pages:
                async for page in pages:
                    failures = 0
                    yield page
        except RETRIED as error:
            failures += 1
            if failures == FAILURES_MAX:
                raise
            print(f"no answer, trying again in {RETRY_SECONDS} s: {str(error) or repr(error)}", file=sys.stderr)
            await asyncio.sleep(RETRY_SECONDS)


async def read_consumer(source: Source, last: tuple[int, str]) -> AsyncGenerator[list[Msg], None]:
    """Yield pages after an event, from a consumer in the server's memory, until the server has forgotten it.

    The consumer counts what it delivers. A count that is missing is an answer lost on the way, and ends it too.
    It delivers that event first, which shows that the log is the same.

    Raises:
        OtherLog: It is not.
    """
    stream = source.stream
    if source.consumer:
        with suppress(NotFoundError):
            await stream.delete_consumer(STREAM, source.consumer)
    info = await stream.add_consumer(STREAM, build_consumer(source, max(1, last[0])))
    subscription = await stream.pull_subscribe_bind(consumer=info.name, stream=STREAM)
    delivered = 0
    try:
        if info.num_pending == 0:
            if last[0]:
                require_same(last, None)
            yield []
        while True:
            page = await fetch_page(subscription)
            if [message.metadata.sequence.consumer - delivered for message in page] != [*range(1, len(page) + 1)]:
                return
            begins = bool(page) and last[0] > 0 and delivered == 0
            if begins:
                require_same(last, page[0])
            delivered += len(page)
            if len(page) > begins or not page or page[-1].metadata.num_pending == 0:
                yield page[begins:]
            if not page and not await is_alive(stream, info.name):
                return
    finally:
        await subscription.unsubscribe()


async def is_alive(stream: JetStreamContext, consumer: str) -> bool:
    """Tell whether the server still has the consumer: it forgets it when it restarts, or after a long silence."""
    try:
        await stream.consumer_info(STREAM, consumer)
    except NotFoundError:
        return False
    return True


async def fetch_page(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    """Return the next events, none after a while without any."""
    try:
        return await subscription.fetch(PAGE_EVENTS_MAX, timeout=WAIT_SECONDS)
    except TimeoutError:
        return []


def build_consumer(source: Source, start: int) -> ConsumerConfig:
    """Return a consumer that begins at a sequence and is forgotten soon after this program is gone.

    With one subject the request itself names it, so that the server's permissions can allow that subject alone.
    """
    subjects = source.subjects
    return ConsumerConfig(
        name=source.consumer or f"subscriber-{uuid.uuid4().hex}",
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=start,
        ack_policy=AckPolicy.NONE,
        filter_subject=subjects[0] if len(subjects) == 1 else None,
        filter_subjects=subjects if len(subjects) > 1 else None,
        inactive_threshold=CONSUMER_IDLE_SECONDS,
        mem_storage=True,
        num_replicas=1,
    )


def handle(page: list[Msg], progress: Progress, *, verify_chain: bool) -> None:
    """Do what this subscriber is for, then move the position: put your own effect in place of `print`."""
    for message in page:
        if verify_chain:
            verify(message, progress)
        print(render_line(message), flush=True)
    if page:
        progress.move(page[-1])


async def tell(error: Exception) -> None:
    """Say what the client met, for example a refused permission; it goes on by itself where it can."""
    print(f"NATS says: {str(error) or repr(error)}", file=sys.stderr)


def derive_inbox_prefix(url: str) -> str:
    """Return where this user hears answers: the servers let each user hear an inbox of its own only."""
    return f"_INBOX_{(urlsplit(url.split(',', maxsplit=1)[0]).username or 'subscriber').upper()}"


async def follow(arguments: argparse.Namespace, progress: Progress) -> None:
    """Print events as they come; with `--once` until there are no more."""
    subjects = [render_subject(aggregate, "*") for aggregate in arguments.aggregate or ["*"]]
    client = await nats.connect(
        arguments.url.split(","),
        inbox_prefix=arguments.inbox_prefix or derive_inbox_prefix(arguments.url),
        error_cb=tell,
        max_reconnect_attempts=FAILURES_MAX,
        reconnect_time_wait=RETRY_SECONDS,
    )
    try:
        source = Source(client, subjects, arguments.consumer)
        async with aclosing(read_pages(source, progress)) as pages:
            async for page in pages:
                handle(page, progress, verify_chain=arguments.verify_chain)
                if arguments.once and (not page or page[-1].metadata.num_pending == 0):
                    return
    finally:
        await client.close()


def main() -> int:
    """Run; 0 when stopped, 1 for a broken chain, 2 if the servers refuse or do not answer, 3 for another log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="of the NATS servers, separated by commas")
    parser.add_argument("--inbox-prefix", help="of this NATS user; by default _INBOX_ and its name in capitals")
    parser.add_argument("--consumer", help="the consumer of an account of its own, by events/README.md")
    parser.add_argument("--position", type=Path, default=Path("position.sqlite"), help="file that keeps the position")
    parser.add_argument(
        "--aggregate", action="append", help="only these aggregates, for example order; may be repeated"
    )
    parser.add_argument("--verify-chain", action="store_true", help="verify the hash chain from the first event on")
    parser.add_argument("--once", action="store_true", help="stop when there is nothing new")
    arguments = parser.parse_args()
    with closing(Progress(arguments.position)) as progress:
        try:
            asyncio.run(follow(arguments, progress))
        except BrokenChain as broken:
            print(f"the log was tampered with: {broken}; stop and tell its operator", file=sys.stderr)
            return 1
        except OtherLog as other:
            print(
                f"{other}; undo what you did for its events, delete {arguments.position}, begin anew", file=sys.stderr
            )
            return 3
        except nats.errors.Error as error:
            print(f"the servers refuse or do not answer: {str(error) or repr(error)}", file=sys.stderr)
            return 2
        except (KeyboardInterrupt, asyncio.CancelledError):  # asyncio says the latter where a wait was ending anyway
            print(f"stopped after sequence {progress.last[0]}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
