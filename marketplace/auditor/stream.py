"""Read the raw stream with nats-py, message by message."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

EMPTY: Final = "marketplace.log.empty"
"""The subject on which an import stores a placeholder for a position without a message."""

PAGE_MAX: Final = 500
FETCH_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 1.0
TRIES_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message as the server delivers it. The subject `EMPTY` marks a position without a message.

    `stored_at` is when the server stored it, by its clock; None if unknown.
    """

    sequence: int
    subject: str
    headers: dict[str, str]
    body: bytes
    stored_at: datetime | None = None

    @property
    def event_type(self) -> str:
        """Return the event type without its prefix, for example ``account.deposited.v1``."""
        return self.headers.get("ce-type", "").removeprefix("marketplace.")

    @property
    def decision(self) -> str:
        """Return the id of the command that stored the message; all messages of one command have the same."""
        return self.headers.get("ce-causationid", f"message {self.sequence}")

    def read(self) -> dict[str, Any]:
        """Return the body; an empty one if it is not a JSON object."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


def is_of_parties(decision: Sequence[Message]) -> bool:
    """Return whether parties decided: one by itself, or several by a proposal, which the worker may carry out."""
    is_carried = any(message.event_type == "proposal.carried_out.v1" for message in decision)
    return is_carried or decision[0].headers.get("ce-actor", "").startswith("pty_")


@dataclass(slots=True)
class Findings:
    """Broken rules.

    Attributes:
        kept_max: How many findings of each rule are kept.
        counts: How many there are by rule, those included that are not kept.
        kept: Rule, sequence and a sentence of each finding that is kept.
    """

    kept_max: int = 20
    counts: dict[str, int] = field(default_factory=dict)
    kept: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, rule: str, sequence: int, text: str) -> None:
        """Add one finding."""
        count = self.counts[rule] = self.counts.get(rule, 0) + 1
        if count <= self.kept_max:
            self.kept.append((rule, sequence, text))

    def require(self, holds: object, rule: str, sequence: int, text: str) -> bool:
        """Add a finding unless a condition holds; return whether it holds."""
        if not holds:
            self.add(rule, sequence, text)
        return bool(holds)


def name_inbox(url: str) -> str:
    """Return the inbox prefix that the shipped configuration gives to the user of a URL."""
    user = urlsplit(url.split(",", maxsplit=1)[0]).username
    return "_INBOX" if user is None else f"_INBOX_{user.upper()}"


async def read_stream(
    url: str, *, stream: str = "MARKETPLACE", inbox_prefix: str | None = None, after: int = 0
) -> AsyncGenerator[Message]:
    """Yield, in order, every message above a sequence that the stream holds when the call begins.

    Positions at its end without a message are yielded as messages on the subject `EMPTY`.

    Args:
        url: Servers and a user that may read, separated by commas.
        stream: Name of the stream.
        inbox_prefix: The inbox prefix of this user; by default that of the shipped configuration.
        after: The last sequence that is known already.
    """
    client = await _connect(url, inbox_prefix)
    try:
        jetstream = client.jetstream(timeout=FETCH_SECONDS)
        last = (await _patiently(lambda: jetstream.stream_info(stream))).state.last_seq
        sequence, silent = after, 0
        while sequence < last:
            try:
                async for message in _read_run(jetstream, stream, sequence):
                    if message.sequence <= last:
                        yield message
                    sequence, silent = message.sequence, 0
                    if sequence >= last:
                        break
            except (nats.errors.Error, TimeoutError):
                if await _is_end(jetstream, stream, sequence):
                    for empty in range(sequence + 1, last + 1):
                        yield Message(empty, EMPTY, {}, b"")
                    return
                silent += 1
                if silent >= TRIES_MAX:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
    finally:
        await client.close()


async def _is_end(jetstream: JetStreamContext, stream: str, sequence: int) -> bool:
    """Return whether the leader has no message after a sequence."""
    try:
        await jetstream.get_msg(stream, seq=sequence + 1, subject="marketplace.>", next=True)
    except NotFoundError:
        return True
    except (nats.errors.Error, TimeoutError):
        return False
    return False


async def read_annotations(url: str, *, stream: str = "MARKETPLACE", inbox_prefix: str | None = None) -> list[Message]:
    """Return every message on the log's own subject, which state how to treat damaged messages."""
    client = await _connect(url, inbox_prefix)
    found: list[Message] = []
    try:
        manager = client.jsm()
        while True:
            after = found[-1].sequence if found else 0
            try:
                raw = await manager.get_msg(stream, seq=after + 1, subject="marketplace.log.*", direct=True, next=True)
            except NotFoundError:
                return found
            found.append(Message(raw.seq or 0, raw.subject or "", dict(raw.headers or {}), raw.data or b""))
    finally:
        await client.close()


async def _connect(url: str, inbox_prefix: str | None) -> Client:
    prefix = (inbox_prefix or name_inbox(url)).encode()
    return await nats.connect(url.split(","), inbox_prefix=prefix, name="marketplace-auditor", error_cb=_ignore)


async def _read_run(jetstream: JetStreamContext, stream: str, after: int) -> AsyncIterator[Message]:
    """Yield messages through one consumer, for as long as the servers keep it."""
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=after + 1,
        inactive_threshold=IDLE_SECONDS,
        mem_storage=True,
        num_replicas=1,
    )
    reading = await jetstream.pull_subscribe("marketplace.>", stream=stream, config=config)
    while True:
        for message in await reading.fetch(PAGE_MAX, timeout=FETCH_SECONDS):
            stored = message.metadata
            headers = dict(message.headers or {})
            yield Message(stored.sequence.stream, message.subject, headers, message.data, stored.timestamp)


async def _patiently(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Return an answer; ask again while a cluster elects its leaders."""
    for attempt in range(1, TRIES_MAX + 1):
        try:
            return await ask()
        except nats.errors.Error:
            if attempt == TRIES_MAX:
                raise
        await asyncio.sleep(RETRY_SECONDS)
    raise AssertionError("the last attempt returns or raises")


async def _ignore(_: Exception) -> None:
    """Ignore lost connections; reads are repeated."""
