"""Meters over NATS: a request on one subject gets the same answer as over HTTP.

Meters next to the machines can thus use an existing NATS connection. The body is that of ``POST /v1/usage``; the API
key, the content type and the optional encoding are in headers of the same names. The answer has its HTTP status in
`Marketplace-Status` and the id of the request in `Request-Id`. API processes share the requests as one queue group. An
unanswered request is sent again, and nothing is counted twice.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog
from litestar import Response
from nats.aio.msg import Msg

from marketplace.api.http.envelope import find_request_id
from marketplace.api.http.keys import Principal
from marketplace.api.http.problems import MEDIA_TYPE, answer_error
from marketplace.api.http.services import Services
from marketplace.api.metering.ingestion import ingest_request
from marketplace.core.errors import Refusal
from marketplace.log.connection import Connection
from marketplace.log.inboxes import SERVICE_REPLIES

SUBJECT: Final = "meters.usage"
QUEUE: Final = "api"
SCOPE: Final = "usage:write"
STATUS: Final = "Marketplace-Status"
AT_ONCE: Final = 64
log = structlog.get_logger(__name__)


class MeterSubject:
    """Answers requests of meters, at most `AT_ONCE` at a time; the others wait in the subscription.

    Only requests of another NATS account get an answer; others are carried out without one.

    Args:
        services: The services that the HTTP routes use too.
        url: NATS servers and the application's user.
        inbox_prefix: Where that user receives answers; by default ``_INBOX_`` and its name in capitals.
    """

    def __init__(self, services: Services, url: str, *, inbox_prefix: str | None = None) -> None:
        self._services = services
        self._url = url
        self._inbox_prefix = inbox_prefix
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._answering: set[asyncio.Task[None]] = set()
        self._refused = 0
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Answer until cancelled. A lost connection is made again, with the subscription."""
        connection = await Connection.open(self._url, "meters", inbox_prefix=self._inbox_prefix)
        try:
            subscription = await connection.client.subscribe(SUBJECT, queue=QUEUE)
            await connection.client.flush()
            self.listening.set()
            async for message in subscription.messages:
                await self._slots.acquire()
                task = asyncio.create_task(self._take(message))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
        finally:
            for task in list(self._answering):
                task.cancel()
            await connection.close()

    async def _take(self, message: Msg) -> None:
        """Take the readings of one request, and answer it if it came from another NATS account.

        The asker chooses the reply subject, and the answer is sent with the application's rights. Inside the
        application's own NATS account it could be stored in the log, or call the servers' API. The servers replace the
        reply subject of a request from another NATS account by a random one, so only such a subject gets an answer. Of
        the others the 1st, 2nd, 4th, 8th and so on are logged, so that a flood fills no disk.
        """
        try:
            sent = message.headers or {}
            request_id = find_request_id(
                {"headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()]}
            )
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                body, answered = await self._answer(sent, message.data)
            answered["Request-Id"] = request_id
            if message.reply.startswith(f"{SERVICE_REPLIES}."):
                await message._client.publish(message.reply, body, headers=answered)  # noqa: SLF001 - as `respond` does
            elif message.reply:
                self._refused += 1
                if self._refused.bit_count() == 1:
                    allowed = f"{SERVICE_REPLIES}.>"
                    log.warning("meter_reply_refused", reply=message.reply, allowed=allowed, refused=self._refused)
        finally:
            self._slots.release()

    async def _answer(self, sent: Mapping[str, str], body: bytes) -> tuple[bytes, dict[str, str]]:
        try:
            headers = _read_headers(sent)
            principal = await self._admit(headers.get("authorization"))
            self._services.follower.require_current()
            ingested = await ingest_request(self._services, principal, headers, body)
        except Exception as error:  # noqa: BLE001 - one request's error is its own answer, as over HTTP
            return _render(answer_error(error))
        answered = {STATUS: "200", "Content-Type": "application/json"} | ingested.headers
        return msgspec.json.encode(ingested.receipt), answered

    async def _admit(self, authorization: str | None) -> Principal:
        principal = await self._services.keys.verify(authorization)
        if not principal.allows(SCOPE):
            raise Refusal("scope_missing", f"this key lacks the scope {SCOPE}; ask for one that has it", scope=SCOPE)
        return principal


def _read_headers(sent: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers of a request by their names in small letters.

    Raises:
        Refusal: ``header_invalid`` if two differ in capitals alone.
    """
    headers = {name.lower(): value for name, value in sent.items()}
    if len(headers) < len(sent):
        raise Refusal("header_invalid", "a header stands twice in the request; send it once")
    return headers


def _render(response: Response[bytes]) -> tuple[bytes, dict[str, str]]:
    headers = {STATUS: str(response.status_code), "Content-Type": MEDIA_TYPE}
    headers |= {name: value for name, value in response.headers.items() if name.lower() == "retry-after"}
    return response.content, headers
