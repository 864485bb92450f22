"""Meters over NATS get the answers that HTTP gives, and can do nothing else there."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import pytest
import pytest_asyncio
import structlog
from nats.aio.client import Client
from structlog.testing import capture_logs

from marketplace.api.metering.meter_subject import AT_ONCE, SUBJECT, MeterSubject
from marketplace.core.errors import Corrupt, LogChanged, UnreadableEvent
from marketplace.embedded.nats import NatsServers
from marketplace.log.inboxes import METER_INBOX
from marketplace.log.jetstream import JetStreamLog
from tests.api.meters import BATCH, ONE, Site, open_site
from tests.api.stage import ADMIN_KEY, running
from tests.domain.build import PROVIDER
from tests.support.clients import connected
from tests.support.patience import PATIENCE_SECONDS

HEADERS = {"Authorization": f"Bearer {ADMIN_KEY}", **BATCH}


@asynccontextmanager
async def answering(site: Site, url: str) -> AsyncIterator[None]:
    subject = MeterSubject(site.stage.services, url)
    async with running(subject.run()):
        await asyncio.wait_for(subject.listening.wait(), PATIENCE_SECONDS)
        yield


@pytest_asyncio.fixture
async def site(jetstream_log: JetStreamLog, nats_server: NatsServers) -> AsyncIterator[Site]:
    async with open_site(jetstream_log) as opened, answering(opened, nats_server.url):
        yield opened


@pytest_asyncio.fixture
async def meter(nats_server: NatsServers) -> AsyncIterator[Client]:
    complaints: asyncio.Queue[Exception] = asyncio.Queue()
    client = await nats.connect(nats_server.meter_url, inbox_prefix=METER_INBOX, error_cb=complaints.put)
    client.complaints = complaints  # type: ignore[attr-defined]
    yield client
    await client.close()


async def ask(meter: Client, body, headers=HEADERS):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    message = await meter.request(SUBJECT, content, headers=headers, timeout=PATIENCE_SECONDS)
    return message.headers["Marketplace-Status"], json.loads(message.data), message.headers


async def test_readings_are_answered_as_over_http(site: Site, meter: Client):
    grant_id = await site.grant()
    readings = [site.event(grant_id, "r1"), site.event(grant_id, "r2", nodes=9), site.event(grant_id, "r3", 1, 2)]
    status, answer, headers = await ask(meter, readings)
    assert (status, headers["Commit-Seq"]) == ("200", str(answer["sequence"]))
    assert [reading["outcome"] for reading in answer["readings"]] == ["accepted", "rejected", "accepted"]
    again = await site.stage.admin.post("/v1/usage", json=readings, headers=BATCH)
    over_nats = (
        await ask(meter, gzip.compress(json.dumps(readings).encode()), HEADERS | {"Content-Encoding": "gzip"})
    )[1]
    assert over_nats == again.json()
    assert [reading["outcome"] for reading in over_nats["readings"]] == ["duplicate", "rejected", "duplicate"]


async def test_more_requests_than_are_answered_at_once_are_all_answered(site: Site, meter: Client):
    grant_id = await site.grant(nodes=1_000)
    events = [[site.event(grant_id, f"r{number}", nodes=1)] for number in range(3 * AT_ONCE)]
    answers = await asyncio.gather(*(ask(meter, event) for event in events))
    assert {answer["readings"][0]["outcome"] for _, answer, _ in answers} == {"accepted"}
    assert (await site.count(grant_id)).readings.count == 3 * AT_ONCE


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"Authorization": ""}, "401", "credentials_invalid"),
        ({"Authorization": f"Bearer {ADMIN_KEY}x"}, "401", "credentials_invalid"),
        ({"Content-Type": "application/json"}, "415", "media_type_unsupported"),
        ({"Content-Type": f"{BATCH['Content-Type']}; charset=utf-16"}, "415", "media_type_unsupported"),
        ({"Content-Encoding": "br"}, "415", "encoding_unsupported"),
        ({"Idempotency-Key": "a b"}, "400", "header_invalid"),
        ({"authorization": f"Bearer {ADMIN_KEY}"}, "400", "header_invalid"),
    ],
)
async def test_what_is_refused_over_http_is_refused_here(site: Site, meter: Client, change, status, code):
    said, problem, headers = await ask(meter, [site.event("grt", "r1")], HEADERS | change)
    assert (said, problem["code"], headers["Content-Type"]) == (status, code, "application/problem+json")
    assert headers["Request-Id"]


async def test_a_body_that_is_nested_deeply_or_says_something_twice_is_answered(site: Site, meter: Client):
    grant_id = await site.grant()
    deep = b"[" * 5_000
    for body, headers in ((deep, HEADERS), (b'{"data":' + deep, HEADERS | ONE)):
        status, problem, _ = await ask(meter, body, headers)
        assert (status, problem["code"]) == ("400", "body_malformed")
        answer = await site.stage.admin.post("/v1/usage", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "body_malformed")
    event = json.dumps(site.event(grant_id, "r1"))
    twice = f'[{event[:-1]},"id":"r2"}},{event}]'.encode()
    for answered in (
        (await ask(meter, twice))[1],
        (await site.stage.admin.post("/v1/usage", content=twice, headers=BATCH)).json(),
    ):
        first, second = answered["readings"]
        assert (first["outcome"], first["code"]) == ("rejected", "member_repeated")
        assert second["outcome"] in {"accepted", "duplicate"}


async def test_an_error_of_the_server_is_answered_too(site: Site, meter: Client, monkeypatch):
    monkeypatch.setattr("marketplace.api.metering.meter_subject.ingest_request", None)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        status, problem, headers = await ask(meter, [], HEADERS | {"Request-Id": "of-the-meter"})
    assert (status, problem["code"], headers["Request-Id"]) == ("500", "internal_error", "of-the-meter")
    assert [line["request_id"] for line in lines if line["event"] == "unforeseen_error"] == ["of-the-meter"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UnreadableEvent(7, "marketplace.grant.x", "hash", "it was changed", "0"), "503", "event_unreadable"),
        (LogChanged("log_replaced", "it is another log"), "503", "log_replaced"),
        (Corrupt("a row cannot be read"), "500", "log_corrupt"),
    ],
)
@pytest.mark.usefixtures("site")
async def test_a_fault_of_the_log_is_answered_as_over_http(meter: Client, monkeypatch, error, status, code):
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("marketplace.api.metering.meter_subject.ingest_request", fail)
    answered, problem, _ = await ask(meter, [], HEADERS)
    assert (answered, problem["code"]) == (status, code)


async def test_a_key_needs_the_scope(site: Site, meter: Client):
    token = (await site.client(PROVIDER, scopes=("usage:read",))).headers["authorization"]
    status, problem, _ = await ask(meter, [], HEADERS | {"Authorization": token})
    assert (status, problem["code"]) == ("403", "scope_missing")


async def test_a_meter_may_neither_write_nor_read_the_log_nor_hear_other_answers(site: Site, meter: Client):
    before = (await site.stage.services.handler.log.health()).last_sequence
    await meter.publish("marketplace.party.one", b"{}")
    for subject in ("marketplace.>", "_INBOX.>", "meters.>"):
        await meter.subscribe(subject)
    await meter.publish("$JS.API.STREAM.INFO.MARKETPLACE", b"")
    complaints = [str(await asyncio.wait_for(meter.complaints.get(), PATIENCE_SECONDS)).lower() for _ in range(5)]  # type: ignore[attr-defined]
    assert all("permissions violation" in complaint for complaint in complaints), complaints
    assert (await site.stage.services.handler.log.health()).last_sequence == before


@pytest.mark.parametrize("user", ["meter", "admin"])
@pytest.mark.parametrize("reply", ["marketplace.account.acc_forged", "_INBOX_APP.guess.1"])
async def test_an_answer_reaches_nothing_of_the_logs_account(
    site: Site, meter: Client, nats_server: NatsServers, reply: str, user: str
):
    log = site.stage.services.handler.log
    before = (await log.health()).last_sequence
    async with connected(nats_server.admin_url if user == "admin" else nats_server.meter_url) as asker:
        await asker.publish(SUBJECT, b"[]", reply=reply, headers=HEADERS)
        await asker.flush()
    assert (await ask(meter, []))[0] != "", "the request before it was answered too"
    await asyncio.sleep(0.2)
    assert (await log.health()).last_sequence == before
    assert await log.load("marketplace.account.acc_forged") == []


async def test_a_flood_of_requests_of_the_logs_account_writes_few_lines(
    site: Site, meter: Client, nats_server: NatsServers
):
    with capture_logs() as lines:
        async with connected(nats_server.admin_url) as asker:
            for _ in range(20):
                await asker.publish(SUBJECT, b"[]", reply="_INBOX_APP.guess.1")
            await asker.flush(PATIENCE_SECONDS)
        for _ in range(2):  # requests are taken in their order
            await meter.request(SUBJECT, b"[]", timeout=PATIENCE_SECONDS)
    refused = [line["refused"] for line in lines if line["event"] == "meter_reply_refused"]
    assert refused == [1, 2, 4, 8, 16]


async def test_a_process_that_does_not_follow_the_log_counts_nothing(site: Site, meter: Client, monkeypatch):
    grant_id = await site.grant()
    monkeypatch.setattr(site.stage.services.follower, "find_fault", lambda: "following stopped after event 7")
    status, problem, headers = await ask(meter, [site.event(grant_id, "r1")])
    assert (status, problem["code"]) == ("503", "follower_behind")
    assert "this process is behind the log" in problem["detail"]
    assert headers["Retry-After"]
    monkeypatch.undo()
    status, answer, _ = await ask(meter, [site.event(grant_id, "r1")])
    assert (status, answer["readings"][0]["outcome"]) == ("200", "accepted")
