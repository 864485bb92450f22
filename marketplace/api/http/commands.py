"""Commands over HTTP: idempotency keys in, receipts out."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import structlog
import uuid_utils
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, SkipValidation
from litestar.response.base import ASGIResponse
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_202_ACCEPTED
from litestar.types import HTTPResponseStartEvent, Receive, Scope, Send

from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.body_faults import BodyFault
from marketplace.api.http.keys import AGREE, DECIDE, SEALED, Principal
from marketplace.api.http.services import Services, get_services
from marketplace.api.http.strict_json import BodyInvalid, refuse_malformed
from marketplace.core.errors import Corrupt, Refusal, Unavailable
from marketplace.core.ids import derive_command_id, derive_id
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context

_KEY: Final = re.compile(r"^[!-~]{1,200}$")
_VERSION: Final = re.compile(r'^"(?P<version>[0-9]{1,18})"$')
REPLAYED: Final = {"Idempotent-Replayed": "true"}
"""A header of the answer to a command that had already taken effect."""
REUSED: Final = frozenset({"idempotency_key_reused", "command_in_flight"})
"""Refusals of a request's key. They apply to the whole request, even if only a part of it was refused."""
UNLOGGED_SECONDS_MAX: Final = 2.0
"""How long a command whose effect is outside the log waits for the log: to check its key, and to be recorded."""
_log = structlog.get_logger(__name__)
_TRACE: Final = re.compile(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the context for its use case, and its possible answers."""

    services: Services
    principal: Principal
    context: Context

    @property
    def handler(self) -> Handler:
        """The handler that runs it."""
        return self.services.handler

    def answer(self, receipt: Receipt) -> Response[ReceiptBody]:
        """Return the answer of a command that created nothing: 200, with its receipt."""
        return Receipted(_render_receipt(receipt), HTTP_200_OK, render_headers(receipt))

    def answer_created(self, receipt: Receipt, path: str, created_id: str | None = None) -> Response[ReceiptBody]:
        """Return the answer of a command that created something: 201, with its receipt and location.

        Args:
            receipt: The command's receipt.
            path: The path of its kind of resource.
            created_id: The id of what was created, if it is a part of the aggregate.
        """
        body, headers = _render_receipt(receipt, created_id), render_headers(receipt)
        headers["Location"] = f"{path}/{body.id}"
        return Receipted(body, HTTP_201_CREATED, headers)

    def answer_proposed(self, receipt: Receipt, proposal_id: str, path: str = "/v1/proposals") -> Response[ReceiptBody]:
        """Return the answer of a command that others must agree to first: 202, with the proposal's id and location.

        Args:
            receipt: The command's receipt.
            proposal_id: The proposal, or the request for approval.
            path: Where proposals or requests of this kind are.
        """
        body = ReceiptBody(id=proposal_id, sequence=receipt.sequence, version=receipt.version)
        headers = render_headers(receipt) | {"Location": f"{path}/{proposal_id}"}
        return Receipted(body, HTTP_202_ACCEPTED, headers)

    async def list_auctions(self) -> list[str]:
        """Return the auctions that are not completed, which may have frozen what this command changes.

        One that another process opened a moment ago binds too, so this process first reads to the end of the log.
        """
        await self.services.quoter.catch_up()
        return [auction.opened.auction_id for auction in await self.services.quoter.list_auctions()]

    def derive(self, prefix: str) -> str:
        """Return the id of what this command creates inside an aggregate."""
        return derive_id(prefix, self.context.command_id)


class _Sealed(ASGIResponse):
    """An encoded answer."""

    __slots__ = ("_start",)

    def __init__(self, start: HTTPResponseStartEvent, body: bytes) -> None:
        self._start = start
        self.body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del scope, receive
        await send(self._start)
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


class Receipted(Response[ReceiptBody]):
    """A receipt as a response, without the general response's work, which would double an order's answer time."""

    def __init__(self, receipt: ReceiptBody, status: int, headers: dict[str, str]) -> None:
        super().__init__(receipt, status_code=status, headers=headers)

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """Return the answer as bytes."""
        body = msgspec.json.encode(self.content)
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        assert self.status_code is not None, "a receipt states its status"
        return _Sealed({"type": "http.response.start", "status": self.status_code, "headers": headers}, body)


Commanded = NamedDependency[SkipValidation[Command]]


def _render_receipt(receipt: Receipt, created_id: str | None = None) -> ReceiptBody:
    return ReceiptBody(id=created_id or receipt.id, sequence=receipt.sequence, version=receipt.version)


def render_headers(receipt: Receipt) -> dict[str, str]:
    """Return the headers that every answer to a command carries."""
    headers = {"Commit-Seq": str(receipt.sequence), "ETag": f'"{receipt.version}"'}
    return headers | REPLAYED if receipt.repeated else headers


def split_context(context: Context, place: int, name: str) -> Context:
    """Return the context of a part of a request that is decided separately. The first part has the request's own id."""
    if not place:
        return context
    command_id = derive_id("cmd", context.command_id, f"{name}/{place}")
    return msgspec.structs.replace(context, command_id=command_id, correlation_id=context.command_id)


IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="Names the command for ever; required for POST, new for each command",
        schema_extra={"pattern": _KEY.pattern},
    ),
]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="ETag that the aggregate must still have; without it, any version",
        schema_extra={"pattern": '^"[0-9]{1,18}"$'},
    ),
]
TraceParent = Annotated[str | None, HeaderParameter(name="traceparent", description="W3C trace context")]


async def provide_command(
    request: Request[Principal, Any, Any],
    idempotency_key: IdempotencyKey = None,
    if_match: IfMatch = None,
    traceparent: TraceParent = None,
) -> Command:
    """Return the command in a request.

    Raises:
        Refusal: ``idempotency_key_missing`` · ``header_invalid`` · ``body_malformed`` · ``idempotency_key_reused`` ·
            ``body_invalid``.
        Unavailable: This process is not current with the log.
    """
    get_services(request).follower.require_current()
    command = await _parse_command(request, idempotency_key, if_match, traceparent)
    if command.context.recorded:
        await command.handler.check_key(command.context)
    await _require_body(request)
    return command


async def provide_unlogged_command(
    request: Request[Principal, Any, Any],
    idempotency_key: IdempotencyKey = None,
    if_match: IfMatch = None,
    traceparent: TraceParent = None,
) -> Command:
    """Return a command whose effect is outside the log. It does not wait for the log.

    A reused idempotency key is refused only while the log can be read.

    Raises:
        Refusal: As `provide_command`.
    """
    command = await _parse_command(request, idempotency_key, if_match, traceparent)
    if command.context.recorded:
        async with without_log("key_unchecked", command.context):
            await command.handler.check_key(command.context)
    await _require_body(request)
    return command


@asynccontextmanager
async def without_log(event: str, context: Context) -> AsyncIterator[None]:
    """Run a block that needs the log for at most `UNLOGGED_SECONDS_MAX`. If the log fails, only log a warning."""
    try:
        async with asyncio.timeout(UNLOGGED_SECONDS_MAX):
            yield
    except (Unavailable, Corrupt, TimeoutError) as error:
        _log.warning(event, command_id=context.command_id, reason=str(error) or "the log does not answer")


async def _parse_command(
    request: Request[Principal, Any, Any], idempotency_key: str | None, if_match: str | None, traceparent: str | None
) -> Command:
    services, principal = get_services(request), request.user
    key = parse_key(idempotency_key, request.method)
    content = render_content(request.method, request.scope["path"], await request.body())
    version = parse_version(if_match)
    context = build_context(services, principal, key, content, traceparent=traceparent, if_match=version)
    return Command(services, principal, context)


async def _require_body(request: Request[Principal, Any, Any]) -> None:
    body = await request.body()
    if request.route_handler.parsed_data_field is not None:
        if not body:
            raise BodyInvalid(BodyFault("", "this route needs a body, and there is none; send JSON"))
    elif body.strip() not in (b"", b"{}"):
        raise BodyInvalid(BodyFault("", "this route has no body; leave it out"))


def build_context(
    services: Services,
    principal: Principal,
    key: str | None,
    content: bytes,
    *,
    traceparent: str | None = None,
    if_match: int | None = None,
) -> Context:
    """Return the context of a tenant's command under an idempotency key. Without a key it cannot be repeated.

    Events state the fingerprint of its content, and some of them are shown to others. It is signed together with the
    command's id, so that nobody finds the content by trying, nor by sending the same content.
    """
    command_id = derive_command_id(principal.tenant, key or str(uuid_utils.uuid7()))
    return Context(
        command_id=command_id,
        recorded=key is not None,
        fingerprint=services.keys.sign_content(b"%b\n%b" % (command_id.encode(), content)),
        actor=principal.tenant,
        actor_key=principal.key_id,
        actor_person=principal.person or "",
        actor_operator=principal.operator,
        party_id=principal.party_id,
        at=services.handler.clock.now(),
        traceparent=traceparent if traceparent is not None and _TRACE.match(traceparent) else "",
        if_match=if_match,
        decides=principal.allows(DECIDE),
        agrees=principal.allows(AGREE),
        sees_sealed=principal.allows(SEALED),
    )


def render_content(method: str, path: str, body: bytes) -> bytes:
    """Return what a request states. The order of members and white space do not matter.

    Raises:
        Refusal: ``body_malformed``.
    """
    try:
        canonical = msgspec.json.encode(msgspec.json.decode(body), order="deterministic") if body else b""
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse_malformed(error) from None
    return b"%b %b\n%b" % (method.encode(), path.encode(), canonical)


def parse_key(key: str | None, method: str) -> str | None:
    """Return the idempotency key of a request; None if it has none and its method needs none.

    Raises:
        Refusal: ``idempotency_key_missing`` or ``header_invalid``.
    """
    if key is None and method != "POST":
        return None
    if key is None:
        raise Refusal("idempotency_key_missing", "send an Idempotency-Key, a new one for each new command")
    if not _KEY.match(key):
        text = "Idempotency-Key must be 1 to 200 characters of ASCII from ! to ~, without spaces, such as a UUID"
        raise Refusal("header_invalid", text)
    return key


def parse_version(if_match: str | None) -> int | None:
    """Return the version that `If-Match` states; None: any.

    Raises:
        Refusal: ``header_invalid``.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    match = _VERSION.match(if_match.strip())
    if match is None:
        raise Refusal("header_invalid", 'If-Match must be one ETag that the API returned, for example "42"')
    return int(match["version"])
