"""What the log relies on the server to do, tested on the servers of the `log` fixture."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import msgspec
import pytest_asyncio
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event
from nats.aio.client import Client
from nats.aio.msg import Msg

from marketplace.embedded.nats import NatsServers
from marketplace.log.answers import Kind, parse_answer
from marketplace.log.headers import BatchPlace, render_publish
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Head, Message, Write
from tests.log.build import make_write, make_writes, new_subject
from tests.support.clients import ask_until_answered, connected
from tests.support.patience import PATIENCE_SECONDS

CONFLICT = 10071
GUARDED = "Nats-Expected-Last-Subject-Sequence-Subject"


async def publish(client: Client, write: Write, guard: int | None, **headers: str) -> dict[str, object]:
    """Publish the first message of a write as it is, with more headers, and return the decoded answer."""
    message = write.messages[0]
    rendered = render_publish(write.after.subject, message, guard, None) | headers
    answer: Msg = await client.request(write.after.subject, message.body, headers=rendered, timeout=PATIENCE_SECONDS)
    decoded: dict[str, object] = json.loads(answer.data)
    return decoded


async def publish_batch(
    client: Client,
    batch: str,
    messages: list[tuple[str, Message, int | None]],
    more: Mapping[int, dict[str, str]] = {},
) -> Msg:
    """Publish an atomic batch, with more headers for some of its messages by their number from 1."""
    for number, (subject, message, guard) in enumerate(messages, 1):
        place = BatchPlace(batch, number, last=number == len(messages))
        headers = render_publish(subject, message, guard, place) | more.get(number, {})
        if place.last:
            return await client.request(subject, message.body, headers=headers, timeout=PATIENCE_SECONDS)
        await client.publish(subject, message.body, headers=headers)
    raise AssertionError("no message")


async def reach(client: Client) -> None:
    """Wait until the client's server knows who listens for the log.

    Asked for another stream, the log's refuses and stores nothing.
    """
    headers = {"Nats-Expected-Stream": "ANOTHER"}
    answer = await ask_until_answered(lambda: client.request(new_subject(), b"", headers=headers, timeout=2))
    assert "error" in json.loads(answer.data)


async def hear_append(log: JetStreamLog, client: Client, body: bytes) -> tuple[Msg, Write]:
    """Append events until the client hears one, and give the message with what was written."""
    heard = await client.subscribe("marketplace.>")
    await client.flush()
    written: dict[str, Write] = {}

    async def append_and_hear() -> Msg:
        write = make_write(Head(new_subject()), body)
        written[write.after.subject] = write
        await log.append([write])
        return await heard.next_msg(timeout=2)

    message = await ask_until_answered(append_and_hear)
    return message, written[message.subject]


def read_code(answer: dict[str, object]) -> int | None:
    error = answer.get("error")
    return error["err_code"] if isinstance(error, dict) else None


class WireCases:
    """Needs the fixtures `log` and `servers`, the servers that the log stands on."""

    @pytest_asyncio.fixture
    async def client(
        self,
        log: JetStreamLog,  # noqa: ARG002 - its stream must be there to be reached
        servers: NatsServers,
    ) -> AsyncIterator[Client]:
        async with connected(servers.url) as client:
            await reach(client)
            yield client

    async def test_of_rivals_with_one_literal_guard_one_wins(self, log: JetStreamLog, servers: NatsServers) -> None:
        async with AsyncExitStack() as opened:
            clients = [await opened.enter_async_context(connected(servers.url)) for _ in range(4)]
            for client in clients:
                await reach(client)
            for _ in range(25):
                subject = new_subject()
                rivals = [make_write(Head(subject)) for _ in range(8)]
                answers = await asyncio.gather(
                    *(publish(clients[n % 4], write, 0) for n, write in enumerate(rivals)),
                )
                assert len([answer for answer in answers if "error" not in answer]) == 1
                assert len(await log.load(subject)) == 1

    async def test_a_guard_in_lower_case_is_ignored_by_the_server(self, log: JetStreamLog, client: Client) -> None:
        await log.append([make_write(Head(subject := new_subject()))])
        wrong = {"nats-expected-last-subject-sequence": "0"}
        assert read_code(await publish(client, make_write(Head(subject)), None, **wrong)) is None
        assert read_code(await publish(client, make_write(Head(subject)), 0)) == CONFLICT
        assert len(await log.load(subject)) == 2

    async def test_a_conflict_tells_the_true_sequence(self, log: JetStreamLog, client: Client) -> None:
        await log.append([make_write(Head(subject := new_subject()), b"1", b"2")])
        write = make_write(Head(subject))
        headers = render_publish(subject, write.messages[0], 1, None)
        message = await client.request(subject, b"{}", headers=headers, timeout=PATIENCE_SECONDS)
        answer = parse_answer(message.data, "MARKETPLACE")
        assert (answer.kind, answer.sequence) == (Kind.REFUSED, 2)

    async def test_the_same_bytes_again_store_nothing_whatever_is_answered(
        self, log: JetStreamLog, client: Client, servers: NatsServers
    ) -> None:
        write = make_write(Head(new_subject()))
        first = await publish(client, write, 0)
        second = await publish(client, write, 0)
        assert first["seq"] == 1
        if len(servers.members) == 1:
            assert read_code(second) == CONFLICT
        else:
            assert (second.get("duplicate"), second["seq"]) == (True, 1)
        assert (await log.health()).messages == 1

    async def test_an_id_reused_on_another_subject_swallows_the_event(self, log: JetStreamLog, client: Client) -> None:
        one, other = make_writes(2)
        shared = {"Nats-Msg-Id": "cmd_1"}
        await publish(client, one, None, **shared)
        assert (await publish(client, other, None, **shared)).get("duplicate") is True
        assert await log.load(other.after.subject) == []

    async def test_ids_of_the_log_name_the_subject(self, log: JetStreamLog, servers: NatsServers) -> None:
        async with connected(servers.admin_url) as admin:
            message, write = await hear_append(log, admin, b"{}")
        assert message.headers is not None
        assert message.headers["Nats-Msg-Id"] == f"{write.after.subject}/{write.head.hash}"
        assert message.headers["Nats-Expected-Last-Subject-Sequence"] == "0"

    async def test_a_batch_with_a_stale_guard_anywhere_stores_nothing(self, log: JetStreamLog, client: Client) -> None:
        await log.append([make_write(Head(taken := new_subject()))])
        writes = [*make_writes(3), make_write(Head(taken))]
        messages = [(write.after.subject, write.messages[0], 0) for write in writes]
        answer = await publish_batch(client, "stale", messages)
        assert parse_answer(answer.data, "MARKETPLACE").kind is Kind.REFUSED
        assert (await log.health()).messages == 1

    async def test_a_batch_guards_each_subject_by_its_first_message(self, log: JetStreamLog, client: Client) -> None:
        first = make_write(Head(new_subject()))
        second, other = make_write(first.head), make_write(Head(new_subject()))
        messages = [
            (first.after.subject, first.messages[0], 0),
            (other.after.subject, other.messages[0], 0),
            (first.after.subject, second.messages[0], None),
        ]
        answer = parse_answer((await publish_batch(client, "good", messages)).data, "MARKETPLACE")
        assert (answer.kind, answer.sequence) == (Kind.STORED, 3)
        assert [event.sequence for event in await log.load(first.after.subject)] == [1, 3]

    async def test_a_guard_may_name_another_subject_and_a_message_has_one_guard(
        self, log: JetStreamLog, client: Client
    ) -> None:
        """Why what is only read is not guarded by the log: both messages of a report guard themselves (ADR 8)."""
        await log.append([make_write(Head(read := new_subject()), b"1", b"2")])
        assert read_code(await publish(client, make_write(Head(new_subject())), 2, **{GUARDED: read})) is None
        assert read_code(await publish(client, make_write(Head(new_subject())), 1, **{GUARDED: read})) == CONFLICT
        assert read_code(await publish(client, make_write(Head(read)), 0, **{GUARDED: new_subject()})) is None
        assert (await log.health()).messages == 4

    async def test_a_batch_may_guard_what_it_writes_later_and_not_what_it_wrote(
        self, log: JetStreamLog, client: Client
    ) -> None:
        await log.append([make_write(Head(read := new_subject()))])
        own, other = make_write(Head(read, 1, "0" * 64)), make_write(Head(new_subject()))
        guarding, writing = (other.after.subject, other.messages[0], 1), (read, own.messages[0], 1)
        late = await publish_batch(client, "late", [writing, guarding], {2: {GUARDED: read}})
        assert parse_answer(late.data, "MARKETPLACE").kind is Kind.RETRY
        early = await publish_batch(client, "early", [guarding, writing], {1: {GUARDED: read}})
        assert parse_answer(early.data, "MARKETPLACE").kind is Kind.STORED

    async def test_a_batch_that_was_stored_is_told_from_its_ids(self, log: JetStreamLog, client: Client) -> None:
        messages = [(write.after.subject, write.messages[0], 0) for write in make_writes(3)]
        await publish_batch(client, "first", messages)
        again = parse_answer((await publish_batch(client, "again", messages)).data, "MARKETPLACE")
        assert again.kind in {Kind.REFUSED, Kind.REPEATED}
        assert (await log.health()).messages == 3

    async def test_a_batch_above_a_thousand_is_refused_by_the_server_too(
        self, log: JetStreamLog, client: Client
    ) -> None:
        messages = [(write.after.subject, write.messages[0], 0) for write in make_writes(1_001)]
        answer = parse_answer((await publish_batch(client, "large", messages)).data, "MARKETPLACE")
        assert (answer.kind, "too large" in answer.text) == (Kind.FATAL, True)
        assert (await log.health()).messages == 0

    async def test_a_batch_that_is_never_committed_stores_nothing(self, log: JetStreamLog, client: Client) -> None:
        write = make_write(Head(new_subject()))
        headers = render_publish(write.after.subject, write.messages[0], 0, BatchPlace("open", 1, last=False))
        await client.publish(write.after.subject, write.messages[0].body, headers=headers)
        await client.flush()
        assert await log.append(make_writes(1)) == 1

    async def test_cloudevents_of_others_read_our_events(self, log: JetStreamLog, servers: NatsServers) -> None:
        async with connected(servers.admin_url) as admin:
            message, write = await hear_append(log, admin, b'{"price":"2.10"}')
        assert message.headers is not None
        headers = {str(name): value for name, value in message.headers.items()}
        event = from_binary_event(HTTPMessage(headers, message.data))
        ours = write.messages[0].envelope
        attributes = event.get_attributes()
        for name in msgspec.structs.asdict(ours).keys() - {
            "traceparent",
            "previoushash",
            "fingerprint",
            "actorkey",
            "actorperson",
        }:
            assert attributes[name] == getattr(ours, name), name
        assert attributes["specversion"] == "1.0"
        assert attributes["datacontenttype"] == "application/json"
        assert event.get_data() == {"price": "2.10"}
        assert headers["traceparent"] == ours.traceparent
