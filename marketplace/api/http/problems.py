"""Every error as a problem document (RFC 9457). Only this module knows the HTTP statuses of errors.

A problem has a stable `code`, a sentence with the remedy, the values as `facts`, and in `errors` a JSON pointer for
each wrong member of the request. An unexpected error is logged without the request's body or credentials, and answered
without internal details.
"""

import re
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.typing import FieldDefinition

from events.plain_json import encode_plain
from marketplace.api.http.body_faults import FAULTS_MAX, BodyFault, list_literals, render_faults
from marketplace.api.http.commands import parse_key, parse_version
from marketplace.api.http.drain import has_body
from marketplace.api.http.envelope import list_methods
from marketplace.api.http.known_values import suggest
from marketplace.api.http.strict_json import BodyInvalid, refuse_nested
from marketplace.core.errors import Conflict, Corrupt, Fact, LogChanged, Refusal, Unavailable, UnreadableEvent
from marketplace.domain.value_faults import render_fault
from marketplace.log.annotations import GAP
from marketplace.log.storage import STORAGE

MEDIA_TYPE: Final = "application/problem+json"
TYPE_BASE: Final = "/schema/errors/"
"""Where the page of each code is served, relative to the server that answers (RFC 9457, 3.1.1)."""
RETRY_SECONDS: Final = 1
OPERATOR_SECONDS: Final = 60
"""When to retry if an operator must act first."""
_FRAMES_MAX: Final = 20
_MISSING: Final = re.compile(r"Missing required \w+ parameter '([^']+)'")
_logger = structlog.get_logger(__name__)

_STATUSES: Final[dict[str, int]] = {
    "header_invalid": 400,
    "body_malformed": 400,
    "member_repeated": 400,
    "cursor_invalid": 400,
    "parameter_repeated": 400,
    "idempotency_key_missing": 400,
    "credentials_missing": 401,
    "credentials_invalid": 401,
    "platform_only": 403,
    "scope_missing": 403,
    "embedded_only": 403,
    "wrong_side": 403,
    "key_stronger": 403,
    "payer_only": 403,
    "person_foreign": 403,
    "person_missing": 403,
    "person_same": 403,
    "body_too_slow": 408,
    "command_in_flight": 409,
    "reading_in_flight": 409,
    "key_expired": 409,
    "key_revoked": 409,
    "key_suspended": 409,
    "version_stale": 412,
    "body_too_large": 413,
    "media_type_unsupported": 415,
    "encoding_unsupported": 415,
    "rate_limited": 429,
    "requests_exhausted": 429,
    "streams_exhausted": 429,
}
_HTTP_CODES: Final[dict[int, str]] = {
    400: "request_malformed",
    404: "route_unknown",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "media_type_unsupported",
    422: "request_invalid",
}
_KEY: Final = "Idempotency-Key"
_LEFT: Final = "client disconnected prematurely"
"""What the framework says of a client that is gone before its body was read. It is no error of the server's."""
RETRIED: Final = frozenset(
    {"command_in_flight", "rate_limited", "reading_in_flight", "requests_exhausted", "streams_exhausted"}
)
_UNAVAILABLE_CODES: Final = {
    "NATS": "nats_unavailable",
    STORAGE: "storage_full",
    "PostgreSQL": "postgresql_unavailable",
    "projections": "projection_behind",
    "a stopped projection": "projection_stopped",
    "the follower": "follower_behind",
    GAP: "log_gap",
}
FAULTS: Final[dict[str, int]] = {
    **{code: status for status, code in _HTTP_CODES.items()},
    **dict.fromkeys((*_UNAVAILABLE_CODES.values(), "unavailable", "event_unreadable"), 503),
    "request_refused": 400,
    "conflict": 409,
    "log_corrupt": 500,
    "internal_error": 500,
}
"""The codes that no refusal has, with their statuses. Those of a changed log have 503 too."""
_FOR_TENANTS: Final = {
    STORAGE: "the log's storage is full, so that no command can be stored until the operator has made room",
    GAP: "a position of the log is empty, so that no command can be stored until the operator has accepted it",
    "projections": "the projections have not reached the position that the request asks for",
    "a stopped projection": "a projection that the request reads has stopped at an event and waits for the operator",
    "the follower": "this process is behind the log",
    "event streams": "this process serves as many event streams as it can",
    "quotes": "the current book is not solved yet",
}
"""What a tenant reads; the reasons themselves name servers and folders. A server that is missing here is only named."""


class FieldError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One wrong member of the request.

    Attributes:
        pointer: JSON pointer into the body, or into the query or headers by their names.
        detail: What is wrong with it.
        allowed: The values that it may have, where these are few.
    """

    pointer: str
    detail: str
    allowed: tuple[str, ...] = ()


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document.

    Attributes:
        type: Address of the page about the code, relative to this server.
        title: The status in words.
        status: The HTTP status.
        code: Stable code; branch on it.
        detail: What happened, with which values, and the remedy.
        errors: Members of the request that are to blame.
        facts: The values behind the sentence.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    facts: dict[str, Fact] = {}


def get_status(refusal: Refusal) -> int:
    """Return the HTTP status of a refusal: 409 where it names the states that are allowed, or another thing exists."""
    code = refusal.code
    if code in _STATUSES:
        return _STATUSES[code]
    if code.endswith("_unknown"):
        return HTTPStatus.NOT_FOUND
    if code.endswith("_exists") or "allowed" in refusal.facts:
        return HTTPStatus.CONFLICT
    return HTTPStatus.UNPROCESSABLE_ENTITY


def build_problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: tuple[FieldError, ...] = (),
    facts: dict[str, Fact] | None = None,
) -> Problem:
    """Return the document of one problem."""
    return Problem(
        type=TYPE_BASE + code,
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        errors=errors,
        facts=facts or {},
    )


def render_problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: tuple[FieldError, ...] = (),
    facts: dict[str, Fact] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    """Return the answer for one problem."""
    problem = build_problem(status, code, detail, errors=errors, facts=facts)
    return Response(encode_plain(problem), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def answer_refusal(request: Request[Any, Any, Any] | None, refusal: Refusal) -> Response[bytes]:
    """Answer a refusal. With a wrong body, the wrong headers of a command are named too."""
    if isinstance(refusal, BodyInvalid) and request is not None:
        refusal = BodyInvalid(*_find_wrong_headers(request), *refusal.faults)
    status = get_status(refusal)
    text = refusal.message
    if status == HTTPStatus.NOT_FOUND and request is not None and _may_be_behind(request):
        text += "; if it was made just now, send the Commit-Seq of that answer as Min-Seq"
    facts = dict(refusal.facts)
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="marketplace"'
    if refusal.code in RETRIED:
        headers["Retry-After"] = str(facts.get("retry_after_seconds", RETRY_SECONDS))
    errors: tuple[FieldError, ...] = ()
    if isinstance(refusal, BodyInvalid):
        errors = _list_errors(refusal.faults)
    elif refusal.pointer is not None:
        found = (refusal, *refusal.others)[:FAULTS_MAX]
        errors = tuple(
            FieldError(pointer=each.pointer or "", detail=each.message, allowed=each.choices) for each in found
        )
    return render_problem(status, refusal.code, text, errors=errors, facts=facts, headers=headers)


def _may_be_behind(request: Request[Any, Any, Any]) -> bool:
    """Return whether a request reads what projections know, and waits for none of them."""
    return request.method in {"GET", "HEAD"} and "min-seq" not in request.headers


def _find_wrong_headers(request: Request[Any, Any, Any]) -> Iterator[BodyFault]:
    """Yield the headers of a command that are wrong, which Litestar reads after the body."""
    handler, sent = request.route_handler, request.headers
    if "idempotency_key" not in list_fields(handler) or (_KEY not in sent and handler.opt.get("repeatable", False)):
        return
    for name, parse in ((_KEY, partial(parse_key, method=request.method)), ("If-Match", parse_version)):
        try:
            parse(sent.get(name))
        except Refusal as refusal:
            yield BodyFault(f"/{name}", refusal.message)


def answer_conflict(_: Request[Any, Any, Any] | None, conflict: Conflict) -> Response[bytes]:
    """Answer a command that lost to other writers on every attempt. Nothing was stored."""
    detail = f"{conflict}; nothing was stored after several attempts, so send the request again with the same key"
    return render_problem(HTTPStatus.CONFLICT, "conflict", detail, headers={"Retry-After": str(RETRY_SECONDS)})


def answer_unavailable(request: Request[Any, Any, Any] | None, error: Unavailable) -> Response[bytes]:
    """Answer that a server is unavailable. The same request may be sent again with the same key."""
    code = _UNAVAILABLE_CODES.get(error.what, "unavailable")
    _logger.warning("unavailable", what=error.what, reason=str(error))
    principal = None if request is None else request.scope.get("user")
    reason = describe_unavailable(error, is_operator=principal is not None and principal.party_id is None)
    detail = f"{reason}; send the request again after {error.retry_after_seconds} s"
    if error.what == STORAGE:
        detail += " with the same Idempotency-Key"
    headers = {"Retry-After": str(error.retry_after_seconds)}
    return render_problem(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, headers=headers)


def describe_unavailable(error: Unavailable, *, is_operator: bool) -> str:
    """Return which server is unavailable; its address, folder and answer only for an operator."""
    if is_operator:
        return str(error)
    return _FOR_TENANTS.get(error.what, f"{error.what} cannot be reached now")


def answer_unreadable(request: Request[Any, Any, Any] | None, error: UnreadableEvent) -> Response[bytes]:
    """Answer that the request depends on an unreadable event, which the operator must annotate."""
    _logger.error("event_unreadable", path=_get_path(request), sequence=error.sequence, reason=str(error))
    principal = None if request is None else request.scope.get("user")
    detail = describe_unreadable(error, is_operator=principal is not None and principal.party_id is None)
    return render_problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "event_unreadable",
        detail,
        facts={"sequence": error.sequence, "damage": error.kind},
        headers={"Retry-After": str(OPERATOR_SECONDS)},
    )


def describe_unreadable(error: UnreadableEvent, *, is_operator: bool) -> str:
    """Return which event cannot be read; for an operator also why, and the command that annotates it."""
    if is_operator:
        return str(error)
    return (
        f"event {error.sequence} of the log cannot be read and your request depends on it; everything else continues, "
        "and your request is served once the operator has annotated the event"
    )


def answer_changed(_: Request[Any, Any, Any] | None, error: LogChanged) -> Response[bytes]:
    """Answer that the log was replaced or went back. The process is about to stop."""
    detail = "the event log was replaced or went back; the process stops until the operator has restored the log"
    return render_problem(HTTPStatus.SERVICE_UNAVAILABLE, error.code, detail)


def answer_corrupt(request: Request[Any, Any, Any] | None, error: Corrupt) -> Response[bytes]:
    """Answer that stored data cannot be read. The process's log tells the operator what and where."""
    _logger.error("log_corrupt", path=_get_path(request), reason=str(error))
    detail = "stored data cannot be read; the operator finds the cause in the server's log"
    return render_problem(HTTPStatus.INTERNAL_SERVER_ERROR, "log_corrupt", detail)


def answer_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer a refusal of the framework: routes, methods, sizes and parameters."""
    headers = dict(error.headers or {})
    if isinstance(error, ValidationException):
        faults = (*_find_missing(error.detail), *_parse_extra(request, error.extra))
        detail = (
            render_faults(faults, "the request", "parameters") if faults else "parameters of the request are invalid"
        )
        return render_problem(HTTPStatus.UNPROCESSABLE_ENTITY, "request_invalid", detail, errors=_list_errors(faults))
    status = error.status_code
    if "allow" in headers:
        headers["allow"] = ", ".join(list_methods(headers["allow"].split(", ")))
    if error.detail == _LEFT:
        return render_problem(HTTPStatus.BAD_REQUEST, "request_malformed", "the body did not arrive whole")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer_unforeseen(request, error)
    detail = _tell_refused(request, error)
    return render_problem(status, _HTTP_CODES.get(status, "request_refused"), detail, headers=headers)


def _tell_refused(request: Request[Any, Any, Any], error: HTTPException) -> str:
    path = request.url.path
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return f"there is nothing at {path}; /schema lists every route"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return f"{path} does not support {request.method}; see the Allow header"
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            bytes_max = request.route_handler.resolve_request_max_body_size()
            return f"{path} accepts a body of at most {bytes_max} bytes; split the request"
    return error.detail


def answer_nested(request: Request[Any, Any, Any], error: RecursionError) -> Response[bytes]:
    """Answer a body that is nested more deeply than the decoder reads; any other recursion is an unexpected error."""
    if not has_body(dict(request.scope["headers"])):
        return answer_unforeseen(request, error)
    return answer_refusal(request, refuse_nested())


def answer_unforeseen(request: Request[Any, Any, Any] | None, error: Exception) -> Response[bytes]:
    """Answer an unexpected error. The process's log gets the traceback, but no variable, body or header.

    If structlog's renderer were given the exception itself, it would show the variables of every frame.
    """
    lines = traceback.format_tb(error.__traceback__)
    where = "".join(lines[-_FRAMES_MAX:])
    method = "NATS" if request is None else request.method
    _logger.error("unforeseen_error", method=method, path=_get_path(request), error=repr(error), where=where)
    detail = "the server made an error; a command may be sent again with the same Idempotency-Key"
    return render_problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)


def _get_path(request: Request[Any, Any, Any] | None) -> str:
    """Return the path of a request; empty for one that came over NATS."""
    return "" if request is None else request.url.path


def _list_errors(faults: Sequence[BodyFault]) -> tuple[FieldError, ...]:
    return tuple(FieldError(**fault._asdict()) for fault in faults[:FAULTS_MAX])


def _find_missing(text: str) -> Iterator[BodyFault]:
    """Yield the parameter that the framework misses, which it names in its sentence only."""
    if (missing := _MISSING.match(text)) is not None:
        yield BodyFault(f"/{missing[1]}", f"{missing[1]} is missing")


def _parse_extra(request: Request[Any, Any, Any], extra: Any) -> Iterator[BodyFault]:
    for item in extra if isinstance(extra, list) else ():
        message = str(item.get("message", "invalid"))
        field = list_fields(request.route_handler).get(item.get("key") or "")
        name = getattr(field and field.kwarg_definition, "name", None) or item.get("key")
        choice, allowed = (None, ()) if field is None else _tell_choice(request, name, list_literals(field.annotation))
        yield BodyFault(f"/{name}" if name else "", choice or render_fault(message), allowed)


def list_fields(handler: Any) -> dict[str, FieldDefinition]:
    """Return the parameters of a route's function, and of what it depends on, by their names in Python."""
    signatures = [each.parsed_fn_signature for each in handler.resolve_dependencies().values()]
    signatures.append(handler.parsed_fn_signature)
    return {name: field for each in signatures for name, field in each.parameters.items()}


def _tell_choice(
    request: Request[Any, Any, Any], name: str, literals: tuple[str, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """Return that a parameter of the query has none of its allowed values, and these; None if it is no choice."""
    for value in request.query_params.getall(name, []):
        if literals and value not in literals:
            if set(value.split(",")) <= {*literals}:
                return (
                    f"{name} has one value each time; send {'&'.join(f'{name}={one}' for one in value.split(','))}",
                    literals,
                )
            return f"{name} cannot be {value!r}; use {', '.join(literals)}{suggest(value, literals)}", literals
    return None, ()


HANDLERS: Final[dict[Any, Any]] = {
    Refusal: answer_refusal,
    Conflict: answer_conflict,
    Unavailable: answer_unavailable,
    UnreadableEvent: answer_unreadable,
    LogChanged: answer_changed,
    Corrupt: answer_corrupt,
    HTTPException: answer_http,
    RecursionError: answer_nested,
    Exception: answer_unforeseen,
}


def answer_error(error: Exception) -> Response[bytes]:
    """Answer a request that came over NATS, as over HTTP."""
    kinds: tuple[type[Exception], ...] = (Refusal, Conflict, Unavailable, UnreadableEvent, LogChanged, Corrupt)
    kind = next((kind for kind in kinds if isinstance(error, kind)), Exception)
    answered: Response[bytes] = HANDLERS[kind](None, error)
    return answered
