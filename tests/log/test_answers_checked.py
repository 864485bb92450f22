"""Answers that do not belong to their question are dropped and named, and the true one is taken.

On a NATS server without JetStream a client stands in for it, and says what a forger would before the truth. What the
log holds is checked as an event on a real log.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from structlog.testing import capture_logs

from events.envelope import render_headers
from marketplace.core.errors import Unavailable, UnreadableEvent
from marketplace.embedded.nats import NatsServers, find_nats_server
from marketplace.embedded.process import LOOPBACK, Child, find_free_port
from marketplace.log.answers import find_foreign
from marketplace.log.codec import hash_message, seal
from marketplace.log.connection import Connection, NoAnswer, call_api
from marketplace.log.direct_get import Gets
from marketplace.log.events import parse_event
from marketplace.log.headers import render_publish
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Head, Log, Message, Write
from tests.log.build import make_envelope, make_write, new_subject
from tests.support.clients import connected
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import open_log

STREAM = "FAKE"
TYPE = "io.nats.jetstream.api.v1.stream_msg_get_response"
Answer = tuple[bytes, dict[str, str]]


@dataclass
class Forger:
    """Says everything in `lies` before the truth."""

    client: Client
    lies: list[Answer] = field(default_factory=list)
    truths: list[Answer] = field(default_factory=list)

    async def answer(self, message: Msg) -> None:
        for data, headers in [*self.lies, *self.truths]:
            await self.client.publish(message.reply, data, headers=headers or None)


@pytest.fixture
async def plain_url(tmp_path: Path) -> AsyncIterator[str]:
    port = find_free_port()
    command = [str(find_nats_server()), "--addr", LOOPBACK, "--port", str(port)]
    child = Child(command, output=tmp_path / "server.log")
    try:
        assert await child.wait_for_port(port, PATIENCE_SECONDS), child.read_output()
        yield f"nats://{LOOPBACK}:{port}"
    finally:
        child.kill()


@pytest.fixture
async def forger(plain_url: str) -> AsyncIterator[Forger]:
    async with connected(plain_url) as client:
        forger = Forger(client)
        for subject in (f"$JS.API.STREAM.MSG.GET.{STREAM}", f"$JS.API.DIRECT.GET.{STREAM}", "question"):
            await client.subscribe(subject, cb=forger.answer)
        await client.flush()
        yield forger


@pytest.fixture
async def connection(plain_url: str) -> AsyncIterator[Connection]:
    connection = await Connection.open(plain_url, "tests")
    yield connection
    await connection.close()


WRITE = make_write(Head(new_subject()))
SUBJECT = WRITE.after.subject
HEADERS = render_publish(SUBJECT, WRITE.messages[0], 0, None)


def render_stored(subject: str = SUBJECT, sequence: object = 7, **more: object) -> Answer:
    block = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()) + "\r\n"
    message = {"subject": subject, "seq": sequence, "time": "2026-01-01T00:00:00Z"}
    message |= {"hdrs": base64.b64encode(block.encode()).decode()}
    message |= {"data": base64.b64encode(WRITE.messages[0].body).decode()}
    return json.dumps({"type": TYPE, "message": message} | more).encode(), {}


def render_direct(sequence: str = "7", subject: str = SUBJECT, stream: str = STREAM, **more: str) -> Answer:
    told = {"Nats-Sequence": sequence, "Nats-Subject": subject, "Nats-Stream": stream} | more
    return WRITE.messages[0].body, HEADERS | told


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ((b"forged", {}), "no JSON object"),
        ((b"", {}), "no JSON object"),
        ((b"[]", {}), "no JSON object"),
        ((b"{}", {}), "its type is None"),
        ((b'{"type":7}', {}), "its type is 7"),
        ((b'{"type":' + b"[" * 10_000, {}), "RecursionError"),
        ((json.dumps({"type": "io.nats.jetstream.api.v1.consumer_create_response"}).encode(), {}), "its type is"),
        ((json.dumps({"type": TYPE}).encode(), {}), "it holds no message"),
        ((json.dumps({"type": TYPE, "message": 7}).encode(), {}), "it holds no message"),
        ((json.dumps({"type": TYPE, "error": 7}).encode(), {}), "its error is 7"),
        (render_stored(sequence=8), "it holds message 8 on"),
        (render_stored(sequence="7"), "it holds no message"),
        (render_stored(sequence=-1), "it holds message -1 on"),
    ],
)
async def test_a_leaders_answer_to_another_question_is_dropped(
    forger: Forger, connection: Connection, lie: Answer, said: str
) -> None:
    forger.lies, forger.truths = [lie], [render_stored()]
    found = await Gets(connection, STREAM, 5).find_from_leader(sequence=7)
    assert found is not None
    assert (found.event.sequence, found.event.damage) == (7, None)
    assert connection.dropped == 1
    forger.truths = []
    with pytest.raises(NoAnswer, match=said):
        await Gets(connection, STREAM, 0.3).find_from_leader(sequence=7)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ((b"forged", {}), "message without sequence"),
        (render_direct("8"), "it holds message 8"),
        (render_direct("7x"), "it holds message 7x"),
        (render_direct("7", stream="OTHER"), "of OTHER"),
        (render_direct("7", subject=""), "on no subject"),
        ((b"", {"Status": "408"}), "status 408"),
    ],
)
async def test_a_direct_answer_to_another_question_is_dropped(
    forger: Forger, connection: Connection, lie: Answer, said: str
) -> None:
    forger.lies, forger.truths = [lie], [render_direct()]
    found = await Gets(connection, STREAM, 5).find(7)
    assert found is not None
    assert (found.event.sequence, connection.dropped) == (7, 1)
    forger.truths = []
    with pytest.raises(NoAnswer, match=said):
        await Gets(connection, STREAM, 0.3).find(7)


async def test_a_run_takes_only_what_follows(forger: Forger, connection: Connection) -> None:
    first = render_direct("7", **{"Nats-Last-Sequence": "0", "Nats-Num-Pending": "1"})
    second = render_direct("9", **{"Nats-Last-Sequence": "7", "Nats-Num-Pending": "0"})
    end = (b"", {"Status": "204", "Nats-Last-Sequence": "9", "Nats-Num-Pending": "0"})
    early = (b"", {"Status": "204", "Nats-Last-Sequence": "3"})
    inserted = render_direct("8", **{"Nats-Last-Sequence": "5"})
    foreign = render_direct("8", subject="marketplace.order.other", **{"Nats-Last-Sequence": "7"})
    forger.truths = [early, first, inserted, foreign, first, second, end]
    page, more = await Gets(connection, STREAM, 5).load_page(SUBJECT, 6, 10)
    assert ([event.sequence for event in page], more, connection.dropped) == ([7, 9], False, 4)


async def test_the_lasts_of_other_subjects_are_dropped(forger: Forger, connection: Connection) -> None:
    lie = render_direct("99", subject="marketplace.order.other", **{"Nats-Last-Sequence": "0"})
    truth = render_direct("7", **{"Nats-Last-Sequence": "0"})
    forger.truths = [lie, truth, (b"", {"Status": "204", "Nats-Last-Sequence": "7"})]
    assert await Gets(connection, STREAM, 5).find_lasts([SUBJECT]) == {SUBJECT: 7}
    assert connection.dropped == 1


async def test_an_error_that_the_leader_gives_is_named(forger: Forger, connection: Connection) -> None:
    error = {"code": 500, "err_code": 10099, "description": "no disk"}
    forger.truths = [(json.dumps({"type": TYPE, "error": error}).encode(), {})]
    with pytest.raises(Unavailable, match="no disk"):
        await Gets(connection, STREAM, 5).find_from_leader(sequence=7)


async def test_a_flood_of_messages_that_answer_nothing_writes_few_lines(connection: Connection) -> None:
    with capture_logs() as lines:
        for _ in range(1_000):
            connection.drop("turns.MARKETPLACE", "it is not a request for a turn")
    assert [line["dropped"] for line in lines] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


async def test_tokens_are_random_and_serve_once(forger: Forger, connection: Connection) -> None:
    replies: list[str] = []
    heard = asyncio.Event()

    async def hear(message: Msg) -> None:
        replies.append(message.reply)
        if len(replies) == 3:
            heard.set()

    await forger.client.subscribe("question", cb=hear)
    for _ in range(2):  # The client may send the first ping before the subscription.
        await forger.client.flush()
    forger.truths = [(b"one", {}), (b"two", {})]
    answers = [await connection.request("question", seconds_max=5) for _ in range(3)]
    assert [answer.data for answer in answers] == [b"one"] * 3
    await asyncio.wait_for(heard.wait(), PATIENCE_SECONDS)  # an answer may come before its question is heard here
    assert len(set(replies)) == 3
    assert all(len(reply.rpartition(".")[2]) == 32 for reply in replies)
    assert all(reply.startswith("_INBOX_APP.") for reply in replies)


async def test_what_is_no_json_is_named(forger: Forger, connection: Connection) -> None:
    forger.truths = [(b"garbage", {})]
    with pytest.raises(NoAnswer, match="no JSON object: b'garbage'"):
        await call_api(connection, "question", {}, seconds_max=0.3)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"garbage", "not an acknowledgement"),
        (b"{}", "names no stream"),
        (b'{"stream":"MARKETPLACE"}', "states sequence 0"),
        (b'{"stream":"MARKETPLACE","seq":"9"}', "not an acknowledgement"),
        (b'{"stream":"MARKETPLACE","seq":7,"batch":"b","count":2}', "states sequence 7, but 2 messages had to follow"),
        (b'{"stream":"MARKETPLACE","seq":9}', "it is for batch ''"),
        (b'{"stream":"MARKETPLACE","seq":9,"batch":"c","count":2}', "it is for batch 'c'"),
        (b'{"error":{}}', "names no error"),
        (b'{"stream":"MARKETPLACE","seq":9,"batch":"b","count":2}', ""),
        (b'{"stream":"MARKETPLACE","seq":1,"duplicate":true,"batch":"b","count":2}', ""),
        (b'{"error":{"err_code":10071,"description":"wrong last sequence: 3"},"stream":"MARKETPLACE","seq":0}', ""),
    ],
)
def test_an_acknowledgement_must_be_possible(payload: bytes, said: str) -> None:
    fault = find_foreign(payload, above=6, batch="b", count=2)
    assert said in fault
    assert bool(said) is bool(fault)


@pytest.fixture(params=["memory", "jetstream"])
async def log(request: pytest.FixtureRequest, nats_server: NatsServers) -> AsyncIterator[Log]:
    if request.param == "memory":
        yield MemoryLog()
    else:
        async with open_log(nats_server) as log:
            yield log


@pytest.fixture
async def rival(log: Log, nats_server: NatsServers) -> AsyncIterator[Log]:
    """Another process's view of the same log: what this one sends itself, it does not check again."""
    if isinstance(log, MemoryLog):
        yield log
        return
    other = await JetStreamLog.open(nats_server.url, system_url=nats_server.system_url)
    yield other
    await other.close()


async def store(log: Log, after: Head, message: Message) -> Head:
    head = Head(after.subject, sequence=None, hash=message.envelope.hash)
    await log.append([Write(after, (message,), head)])
    return head


def misplace(message: Message, subject: str) -> Message:
    """An event of another aggregate, with the hash that is right on this subject."""
    return seal(subject, "", make_envelope("marketplace.order.another"), message.body)


def change(message: Message, subject: str) -> Message:
    return replace(message, body=b'{"nodes":400}')


def mistype(message: Message, subject: str) -> Message:
    envelope = msgspec.structs.replace(message.envelope, type="marketplace.account.deposited.v1", hash="")
    sealed = msgspec.structs.replace(envelope, hash=hash_message(subject, render_headers(envelope), message.body))
    return Message(sealed, message.body)


def unlink(message: Message, subject: str) -> Message:
    return seal(subject, "f" * 64, make_envelope(subject), message.body)


Change = Callable[[Message, str], Message]


@pytest.mark.parametrize(
    ("damage", "kind"),
    [(misplace, "subject"), (change, "hash"), (mistype, "subject"), (unlink, "link")],
)
async def test_what_is_read_is_checked_on_every_path(log: Log, rival: Log, damage: Change, kind: str) -> None:
    subject = new_subject()
    good = make_write(Head(subject))
    await log.append([good])
    bad = damage(make_write(good.head).messages[0], subject)
    if kind == "subject":  # linked and sealed, so that nothing else is wrong with it
        envelope = msgspec.structs.replace(bad.envelope, previoushash=good.head.hash, hash="")
        whole = hash_message(subject, render_headers(envelope), bad.body)
        bad = Message(msgspec.structs.replace(envelope, hash=whole), bad.body)
    head = await store(rival, good.head, bad)
    await log.append([make_write(head)])
    paths: list[Callable[[], Awaitable[list[str | None]]]] = [
        lambda: list_kinds(log.load(subject)),
        lambda: read_kinds(log, follow=False),
        lambda: read_kinds(log, follow=True),
    ]
    for path in paths:
        assert await asyncio.wait_for(path(), 30) == [None, kind, None]
    first, second, _ = await log.load(subject)
    assert await log.load(subject, after=1, previous_hash=first.envelope.hash) == (await log.load(subject))[1:]
    with pytest.raises(UnreadableEvent, match=f"event 2 on {subject}"):
        parse_event(second)
    if kind != "link":
        found = await log.find(2)
        assert found is not None
        assert found.damage is not None
        assert found.damage.kind == kind


async def list_kinds(loading: Awaitable[list[object]]) -> list[str | None]:
    return [event.damage and event.damage.kind for event in await loading]  # type: ignore[attr-defined]


async def read_kinds(log: Log, *, follow: bool) -> list[str | None]:
    kinds: list[str | None] = []
    async for page in log.read(0, follow=follow):
        kinds += [event.damage and event.damage.kind for event in page]
        if len(kinds) >= 3:
            break
    return kinds


async def test_the_event_after_a_known_head_must_follow_it(log: Log) -> None:
    subject = new_subject()
    first = make_write(Head(subject))
    await log.append([first])
    await log.append([make_write(first.head)])
    (whole,) = await log.load(subject, after=1, previous_hash=first.head.hash)
    (broken,) = await log.load(subject, after=1, previous_hash="0" * 64)
    assert whole.damage is None
    assert broken.damage is not None
    assert broken.damage.kind == "link"
    assert "but the event before it is 0000" in broken.damage.reason


async def test_a_foreign_attribute_is_damage(jetstream_log: JetStreamLog, nats_server: NatsServers) -> None:
    async with connected(nats_server.admin_url) as admin:
        headers = HEADERS | {"ce-extra": "x"}
        await admin.request(SUBJECT, WRITE.messages[0].body, headers=headers, timeout=10)
    (event,) = await jetstream_log.load(SUBJECT)
    assert event.damage is not None
    assert event.damage.kind == "hash", "the recipe covers every ce- header"
