"""Follow the marketplace's events from a position of one's own. Needs nats-py and `events`, nothing else of ours.

    python subscriber.py --url nats://subscriber:secret@127.0.0.1:4222 --aggregate grant --aggregate statement

Prints one line per event. The position is the stream sequence of the last event that was handled; it is kept in a
SQLite file, so a subscriber that is stopped or killed goes on where it was. Handling comes first and the position
after it, hence at least once: the last page may be printed again after a kill, never skipped.
Every consumer begins at the last event that was handled, not after it. If the log has another event there or none,
it is another log, or was restored to an earlier state: the program stops and prints nothing.
What an operator stated of damaged events and of empty positions is read first, and again every few seconds: an event
that is passed over is not handled. Of one that was handled before, or is lost, the program says so: undo it.
"""
# ruff: noqa: INP001, T201 - a program that stands alone and prints

import argparse
import asyncio
import hashlib
import json
import sqlite3
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError, ServiceUnavailableError

from events.envelope import parse_headers
from events.log import LogAnnotated, LogGapAccepted
from events.registry import UnknownEventType, parse_body, parse_type
from events.subjects import EMPTY_SUBJECT, LOG_SUBJECT, STREAM, parse_subject, render_subject

PAGE_EVENTS_MAX = 256
WAIT_SECONDS = 2.0
RETRY_SECONDS = 1
FAILURES_MAX = 60
CONSUMER_IDLE_SECONDS = 30.0
STATEMENTS_SECONDS = 10.0
DOMAIN = "MARKETPLACE"
RETRIED = (TimeoutError, NoRespondersError, ServiceUnavailableError)  # nats-py raises Python's own as well as its own


class BrokenChain(Exception):  # noqa: N818 - named for what it tells
    """A message is no event, is not what was sealed, or does not follow the one before it."""


class OtherLog(Exception):  # noqa: N818 - named for what it tells
    """The last event that was handled is not in this log, or not among what is read."""


@dataclass(frozen=True)
class Statement:
    """What an operator stated for ever of one position of the log.

    Attributes:
        sequence: The position.
        subject: Whose event it was.
        hash: The hash of the message that is meant; empty if none is there.
        effect: ``passed_over``: it has no effect. ``kept``: it counts. ``lost``: it was stored, and is gone.
    """

    sequence: int
    subject: str
    hash: str
    effect: str


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
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS stated "
            "(sequence INTEGER, subject TEXT, hash TEXT, effect TEXT, PRIMARY KEY (sequence, subject))"
        )
        self._file.execute("INSERT OR IGNORE INTO position VALUES (0, 0, '')")
        self._file.commit()

    @property
    def last(self) -> tuple[int, str]:
        """The stream sequence and the hash of the last event that was handled; 0 and none before the first."""
        sequence, link = self._file.execute("SELECT sequence, hash FROM position").fetchone()
        return int(sequence), str(link)

    def find_heads(self, subject: str) -> list[str]:
        """Return the hashes that the next event of a subject may follow: two after a damaged one, else one."""
        row = self._file.execute("SELECT hash FROM head WHERE subject = ?", (subject,)).fetchone()
        return str(row[0]).split(" ") if row else [""]

    def keep_heads(self, subject: str, *links: str) -> None:
        """Remember what the next event of a subject may follow; it is stored with the position."""
        self._file.execute("INSERT OR REPLACE INTO head VALUES (?, ?)", (subject, " ".join(links)))

    def keep_statement(self, stated: Statement) -> bool:
        """Remember a statement until `save`; return whether it is new. The first one about a message stands."""
        row = (stated.sequence, stated.subject, stated.hash, stated.effect)
        return self._file.execute("INSERT OR IGNORE INTO stated VALUES (?, ?, ?, ?)", row).rowcount == 1

    def find_effect(self, sequence: int, link: str) -> str | None:
        """Return what was stated of the message with this position and hash, if anything."""
        row = self._file.execute(
            "SELECT effect FROM stated WHERE sequence = ? AND hash = ?", (sequence, link)
        ).fetchone()
        return row and str(row[0])

    def move(self, last: Msg) -> None:
        """Store the position and the hashes in one transaction."""
        self._file.execute("UPDATE position SET sequence = ?, hash = ?", (find_sequence(last), find_hash(last)))
        self.save()

    def save(self) -> None:
        """Store what was remembered."""
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


def require_same(progress: Progress, found: Msg | None) -> None:
    """Check that a log has the last event that was handled, where it was.

    Raises:
        OtherLog: It has another event there, or none, and no operator stated that just this one is lost.
    """
    last = progress.last
    if (found is None or (find_sequence(found), find_hash(found)) != last) and progress.find_effect(*last) != "lost":
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


def verify(message: Msg, progress: Progress, effect: str | None) -> None:
    """Check one event against its own hash and against the event before it.

    A damaged one that an operator annotated is not checked. The next one may follow it, or the event before it.

    Raises:
        BrokenChain: It was changed, or an event before it was removed, inserted or moved.
    """
    before = progress.find_heads(message.subject)
    said = find_hash(message)
    if effect is not None:
        progress.keep_heads(message.subject, before[0], said)
        return
    headers = message.headers or {}
    where = f"event {find_sequence(message)} on {message.subject}"
    computed = compute_hash(message.subject, headers, message.data)
    if computed != said:
        raise BrokenChain(f"{where} says that its hash is {said or None}, but it is {computed}")
    if headers.get("ce-previoushash", "") not in before:
        raise BrokenChain(
            f"{where} follows {headers.get('ce-previoushash')!r}, but the event before it is {before[0]!r}"
        )
    progress.keep_heads(message.subject, computed)


def render_line(message: Msg) -> str:
    """Return what is printed of one event, tab-separated: sequence, type, aggregate, time, id, fields.

    Raises:
        BrokenChain: It cannot be read.
    """
    sequence = find_sequence(message)
    try:
        envelope = parse_headers(message.headers or {})
        aggregate, key = parse_subject(message.subject)
        event = parse_body(parse_type(envelope.type), message.data)
        fields = f"{len(event.__struct_fields__)} fields"
    except UnknownEventType:
        fields = "unknown to this release"
    except ValueError as error:
        raise BrokenChain(f"event {sequence} on {message.subject} cannot be read: {error}") from error
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
            async with aclosing(read_consumer(source, progress)) as pages:
                async for page in pages:
                    failures = 0
                    yield page
        except RETRIED as error:
            failures += 1
            if failures == FAILURES_MAX:
                raise
            print(f"no answer, trying again in {RETRY_SECONDS} s: {str(error) or repr(error)}", file=sys.stderr)
            await asyncio.sleep(RETRY_SECONDS)


async def read_consumer(source: Source, progress: Progress) -> AsyncGenerator[list[Msg], None]:
    """Yield pages after the position, from a consumer in the server's memory, until the server has forgotten it.

    The consumer counts what it delivers. A count that is missing is an answer lost on the way, and ends it too. Where
    nothing arrives, the server is asked for the count: the lost one may be the last.
    It delivers the last event that was handled first, which shows that the log is the same. What operators stated is
    read before anything else.

    Raises:
        OtherLog: It is not.
    """
    stream, last = source.stream, progress.last
    await read_statements(source, progress)
    read_at = time.monotonic()
    info, subscription = await open_consumer(source, source.consumer, source.subjects, max(1, last[0]))
    delivered = 0
    try:
        if info.num_pending == 0:
            if last[0]:
                require_same(progress, None)
            yield []
        while True:
            page = await fetch_page(subscription)
            if [message.metadata.sequence.consumer - delivered for message in page] != [*range(1, len(page) + 1)]:
                return
            if page and last[0] > 0 and delivered == 0:
                require_same(progress, page[0])
            delivered += len(page)
            if not page and await count_delivered(stream, info.name) != delivered:
                return
            if time.monotonic() - read_at > STATEMENTS_SECONDS:
                await read_statements(source, progress)
                read_at = time.monotonic()
            later = [message for message in page if find_sequence(message) > last[0]]
            if later or not page or page[-1].metadata.num_pending == 0:
                yield later
    finally:
        await subscription.unsubscribe()


async def open_consumer(
    source: Source, name: str | None, subjects: list[str], start: int
) -> tuple[ConsumerInfo, JetStreamContext.PullSubscription]:
    """Return a new consumer, with what is pending for it, and the subscription that pulls from it."""
    stream = source.stream
    if name:
        with suppress(NotFoundError):
            await stream.delete_consumer(STREAM, name)
    info = await stream.add_consumer(STREAM, build_consumer(name, subjects, start))
    return info, await stream.pull_subscribe_bind(consumer=info.name, stream=STREAM)


async def read_statements(source: Source, progress: Progress) -> None:
    """Remember what operators stated of the log, and say which events that were handled have no effect any more.

    Raises:
        TimeoutError: A part of it did not arrive.
    """
    name = source.consumer and f"{source.consumer}_log"
    info, subscription = await open_consumer(source, name, [LOG_SUBJECT], 1)
    try:
        for left in range(info.num_pending or 0, 0, -PAGE_EVENTS_MAX):
            page = await subscription.fetch(min(left, PAGE_EVENTS_MAX), timeout=WAIT_SECONDS)
            if len(page) < min(left, PAGE_EVENTS_MAX):
                raise TimeoutError("what operators stated did not arrive")
            for stated in (stated for message in page for stated in parse_statements(message)):
                if progress.keep_statement(stated) and stated.sequence <= progress.last[0]:
                    tell_undone(stated, source.subjects)
        progress.save()
    finally:
        await subscription.unsubscribe()


def parse_statements(message: Msg) -> list[Statement]:
    """Return what an event of the log's own subject states of positions; nothing if it is damaged."""
    headers = message.headers or {}
    if compute_hash(message.subject, headers, message.data) != find_hash(message):
        return []
    try:
        event = parse_body(parse_type(headers["ce-type"]), message.data)
    except UnknownEventType:
        return []
    match event:
        case LogAnnotated(sequence=sequence, subject=subject, hash=link, effect=effect):
            return [Statement(sequence, subject, link, effect)]
        case LogGapAccepted(sequence=sequence, lost=lost):
            return [Statement(sequence, one.subject, one.hash or "", "lost") for one in lost]
        case _:
            return []


def tell_undone(stated: Statement, subjects: list[str]) -> None:
    """Say that an event that was handled has no effect: put what undoes it in place of `print`."""
    read = any(fnmatchcase(stated.subject, one) for one in subjects)
    if read and stated.effect != "kept":
        said = stated.effect.replace("_", " ")
        print(f"event {stated.sequence} on {stated.subject}, which was handled, is {said}: undo it", file=sys.stderr)


async def count_delivered(stream: JetStreamContext, consumer: str) -> int | None:
    """Return how many messages the consumer has delivered; None if the server forgot it, as when it restarts."""
    try:
        info = await stream.consumer_info(STREAM, consumer)
    except NotFoundError:
        return None
    return info.delivered.consumer_seq if info.delivered else 0


async def fetch_page(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    """Return the next events, none after a while without any."""
    try:
        return await subscription.fetch(PAGE_EVENTS_MAX, timeout=WAIT_SECONDS)
    except TimeoutError:
        return []


def build_consumer(name: str | None, subjects: list[str], start: int) -> ConsumerConfig:
    """Return a consumer that begins at a sequence and is forgotten soon after this program is gone.

    With one subject the request itself names it, so that the server's permissions can allow that subject alone.
    """
    return ConsumerConfig(
        name=name or f"subscriber-{uuid.uuid4().hex}",
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
        if message.subject == EMPTY_SUBJECT:  # a position without an event, in a log that was restored from an archive
            continue
        sequence = find_sequence(message)
        effect = progress.find_effect(sequence, compute_hash(message.subject, message.headers or {}, message.data))
        if verify_chain:
            verify(message, progress, effect)
        if effect == "passed_over":
            print(f"event {sequence} on {message.subject} is passed over: its operator annotated it", file=sys.stderr)
        else:
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
            print(
                f"the log was tampered with: {broken}; tell its operator, and start again once it is annotated",
                file=sys.stderr,
            )
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
