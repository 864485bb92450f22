"""Forged answers: a user that may only read the log races its own answers against those of the servers.

On a release whose tokens were 1, 2, 3 … in an inbox that every user could hear and publish to, the first
test made an account that held 100 USD pay 500,000.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from events.envelope import Envelope
from events.subjects import render_subject
from marketplace.embedded.nats import NatsServers
from marketplace.log.codec import seal
from marketplace.log.headers import render_publish
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.port import Recorded
from tests.api.stage import get_id, open_stage
from tests.support.clients import connected
from tests.support.servers import open_log

ATTEMPTS = 4


class Forger:
    """A subscriber that hears whatever it may, and sends one message to the next inbox of a victim without end."""

    def __init__(self, client: Client, victim: JetStreamLog) -> None:
        self._client = client
        self._victim = victim
        self._heard: list[str] = []

    async def listen(self) -> None:
        for subject in ("_INBOX.>", ">", "_INBOX_APP.>"):
            await self._client.subscribe(subject, cb=self._hear)
        await self._client.flush()

    async def _hear(self, message: Msg) -> None:
        self._heard.append(message.subject)

    def _guess(self, steps: int) -> list[str]:
        """Return the inbox so many steps after the last one heard; else guesses, as if the prefix were known."""
        if self._heard:
            prefix, _, token = self._heard[-1].rpartition(".")
            return [f"{prefix}.{int(token) + steps}"]
        inbox = self._victim._stream.connection._inbox  # type: ignore[attr-defined]
        return [f"{inbox}.{token}" for token in range(1, 3)]

    @contextlib.asynccontextmanager
    async def flooding(self, payload: bytes, *, steps: int) -> AsyncIterator[None]:
        subjects = self._guess(steps)

        ended = asyncio.Event()  # nats-py forgets a cancellation that meets it while it writes

        async def flood() -> None:
            while not ended.is_set():
                for subject in subjects * 8:
                    await self._client.publish(subject, payload)
                await asyncio.sleep(0)

        task = asyncio.create_task(flood())
        try:
            yield
        finally:
            ended.set()
            await asyncio.gather(task, return_exceptions=True)


def forge_deposit(opened: Recorded, deposited: Recorded) -> bytes:
    """Return the answer that a large deposit, rightly sealed, is the account's last event."""
    body = json.loads(deposited.body) | {"amount_usd": "1000000.00"}
    envelope: Envelope = deposited.envelope
    sealed = seal(deposited.subject, opened.envelope.hash, envelope, json.dumps(body).encode())
    headers = render_publish(deposited.subject, sealed, opened.sequence, None)
    block = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    message = {
        "subject": deposited.subject,
        "seq": deposited.sequence,
        "hdrs": base64.b64encode(block.encode()).decode(),
        "data": base64.b64encode(sealed.body).decode(),
        "time": "2026-01-01T00:00:00Z",
    }
    return json.dumps({"type": "io.nats.jetstream.api.v1.stream_msg_get_response", "message": message}).encode()


@pytest.fixture
async def log(nats_server: NatsServers) -> AsyncIterator[JetStreamLog]:
    async with open_log(nats_server) as log:
        yield log


@contextlib.asynccontextmanager
async def forging(servers: NatsServers, victim: JetStreamLog, refused: list[str]) -> AsyncIterator[Forger]:
    async def note(error: Exception) -> None:
        refused.append(str(error).lower())

    async with connected(servers.subscriber_url, error_cb=note) as client:
        forger = Forger(client, victim)
        await forger.listen()
        yield forger


async def test_a_forged_balance_pays_nothing(log: JetStreamLog, nats_server: NatsServers) -> None:
    paid, refused = [], list[str]()
    async with open_stage(log) as stage:
        party_id = await stage.register("Thin", "startup", usd="100.00")
    account_id = "acc" + party_id[3:]
    opened, deposited = await log.load(render_subject("account", account_id))
    for attempt in range(ATTEMPTS):
        victim = await JetStreamLog.open(nats_server.url)
        async with forging(nats_server, victim, refused) as forger, open_stage(victim) as stage:
            await victim.health()
            await asyncio.sleep(0.05)
            async with forger.flooding(forge_deposit(opened, deposited), steps=1):
                transfer = {"amount_usd": "500000.00", "reference": f"out {attempt}"}
                answer = await stage.post(
                    stage.admin, f"/v1/accounts/{account_id}/withdrawals", transfer, key=f"out-{attempt}"
                )
            paid.append((answer.status_code, answer.json().get("code")))
        await victim.close()
    assert paid == [(422, "funds_insufficient")] * ATTEMPTS
    assert len(await log.load(render_subject("account", account_id))) == 2
    assert any("permissions violation for publish" in text for text in refused), refused


async def test_a_forged_acknowledgement_acknowledges_nothing(log: JetStreamLog, nats_server: NatsServers) -> None:
    refused = list[str]()
    for attempt in range(ATTEMPTS):
        victim = await JetStreamLog.open(nats_server.url)
        async with forging(nats_server, victim, refused) as forger, open_stage(victim) as stage:
            await victim.health()
            await asyncio.sleep(0.05)
            async with forger.flooding(b'{"stream":"MARKETPLACE","seq":999999}', steps=2):
                body = {"name": f"P{attempt}", "roles": ["startup"], "jurisdiction": "US"}
                answer = await stage.post(stage.admin, "/v1/parties", body, key=f"forged-{attempt}")
            assert answer.status_code == 201, answer.text
            said = int(answer.headers["commit-seq"])
            stored = await log.find(said)
            assert stored is not None, said
            assert stored.subject == render_subject("party", get_id(answer))
        await victim.close()
