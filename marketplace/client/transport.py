"""HTTP for the client: idempotent commands that are sent again when needed, and problems as exceptions."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Literal, Self, TypedDict, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import uuid_utils

from events.plain_json import encode_plain
from marketplace.api.http.bodies.answers import Page, ReceiptBody
from marketplace.core.instants import render_instant

T = TypeVar("T")
Point = int | datetime | str
"""A point in the past: a sequence or an instant, or either as text."""
Statuses = str | Sequence[str] | None
"""One status or several; None for all."""
ATTEMPTS_MAX: Final = 8
RETRY_SECONDS: Final = 0.2
RETRY_SECONDS_MAX: Final = 5.0
RETRY_AFTER_SECONDS_MAX: Final = 60
"""An answer that asks for a longer wait is raised at once."""
TIMEOUT_SECONDS: Final = 30.0
SILENCE_SECONDS_MAX: Final = 45.0
"""A stream shows every 15 s that it lives; a longer silence is a connection that broke."""
PAGE_ROWS: Final = 500
PAGES_MAX: Final = 10_000
_SEND_AGAIN: Final = frozenset({429, 502, 503, 504})
_SEND_AGAIN_CODES: Final = frozenset({"command_in_flight", "conflict"})


class ProblemError(Exception):
    """The API answered with an RFC 9457 problem.

    Attributes:
        status: HTTP status.
        code: Stable code; branch on it.
        detail: What happened, with which values, and the remedy.
        problem: The whole problem.
        request_id: The answer's `Request-Id`, by which the operator finds the request in the API's log; empty if it had
            none.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], request_id: str = "") -> None:
        self.status = status
        self.code = str(problem.get("code", "unknown"))
        self.detail = str(problem.get("detail", problem.get("title", "")))
        self.problem = problem
        self.request_id = request_id
        super().__init__(f"{status} {self.code}: {self.detail}")


class Listed(TypedDict, total=False):
    """Parameters of every list whose rows have a time of creation.

    Attributes:
        order: ``id``, or by creation ``oldest`` or ``newest`` first.
        created_from: Only what was created at this instant or later.
        created_before: Only what was created before this instant.
    """

    order: Literal["id", "oldest", "newest"]
    created_from: datetime
    created_before: datetime


def new_key() -> str:
    """Return a new idempotency key, a UUIDv7; ids that the command creates sort by its time."""
    return str(uuid_utils.uuid7())


class Transport:
    """Sends requests with one API key.

    Args:
        base_url: For example ``http://127.0.0.1:8000``.
        api_key: ``mkp_…``.
        transport: Replaces the network, for tests.

    Attributes:
        last_sequence: The position of this client's last write, which its reads wait for; 0 before one.

    Raises:
        ValueError: The key has a character that no key has, such as the `…` of an example.
    """

    def __init__(self, base_url: str, api_key: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        if not api_key.isascii():
            raise ValueError(
                "the API key has a character that no key has; state a whole key, not the mkp_… of an example"
            )
        headers = {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=TIMEOUT_SECONDS, transport=transport)
        self.last_sequence = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def command(
        self, path: str, body: Any = None, *, key: str | None = None, if_match: int | None = None, method: str = "POST"
    ) -> ReceiptBody:
        """Send a command and return its receipt. An attempt waits at most 30 s for the answer.

        It is sent again with the same key, at most eight times in all, while the API cannot be reached, answers 429,
        502, 503 or 504, or is busy with another command (``command_in_flight``, ``conflict``). Waits between attempts
        grow, differ at random, and are never shorter than ``Retry-After``.

        Raises:
            ProblemError: The command was refused, or the last attempt got one of these answers.
            httpx.TransportError: The last attempt did not reach the API.
        """
        return await self.send(path, ReceiptBody, body, key=key, if_match=if_match, method=method)

    async def send(
        self,
        path: str,
        answer: type[T],
        body: Any = None,
        *,
        key: str | None = None,
        if_match: int | None = None,
        method: str = "POST",
        fresh: bool = False,
        media_type: str = "application/json",
    ) -> T:
        """Send a command, and return its answer as a type. It is repeated as by `command`.

        Args:
            path: The path.
            answer: The type of the answer.
            body: The body; None: none.
            key: The idempotency key; None: a new one.
            if_match: The version that the aggregate must still have; None: any.
            method: The HTTP method.
            fresh: Whether the answer must show this client's earlier writes.
            media_type: The body's media type.

        Raises:
            ProblemError: As `command`.
            httpx.TransportError: As `command`.
        """
        headers = {"Idempotency-Key": key or new_key()}
        if fresh:
            headers["Min-Seq"] = str(self.last_sequence)
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        content = None
        if body is not None:
            headers["Content-Type"] = media_type
            content = encode_plain(body)
        response = await self._request(method, path, headers=headers, content=content)
        self.last_sequence = max(self.last_sequence, int(response.headers.get("Commit-Seq", 0)))
        return msgspec.json.decode(response.content or b"null", type=answer)

    async def get(self, path: str, answer: type[T], *, fresh: bool = True, **query: Any) -> T:
        """Return the answer of a path, including this client's earlier writes unless `fresh` is false.

        The request is repeated as by `command`. In `query`, None states nothing.

        Raises:
            ProblemError: As `command`.
            httpx.TransportError: As `command`.
        """
        response = await self._read(path, query, fresh=fresh)
        return msgspec.json.decode(response.content, type=answer)

    async def download(self, path: str, **query: Any) -> bytes:
        """Return the bytes of a path, including this client's earlier writes."""
        return (await self._read(path, query)).content

    async def probe(self, path: str, answer: type[T]) -> T:
        """Return the answer of a health path, healthy or not, by one request that is not repeated.

        Raises:
            ProblemError: The answer is not one of a health path.
            httpx.TransportError: The API could not be reached.
        """
        response = await self._http.get(path)
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.DecodeError:
            raise _parse_problem(response) from None

    async def rows(self, path: str, row: type[T], **query: Any) -> AsyncIterator[T]:
        """Yield every row of a list, page by page, at most `PAGES_MAX` pages of `PAGE_ROWS` rows."""
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await self.get(path, Page[row], limit=PAGE_ROWS, cursor=cursor, **query)  # type: ignore[valid-type]
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    async def count(self, path: str, **query: Any) -> int | None:
        """Return how many rows a list such as ``/v1/orders`` has with these filters; None if more than 10,000."""
        return (await self.get(path, Page[Any], limit=1, count="true", **query)).count

    async def _read(self, path: str, query: Mapping[str, Any], *, fresh: bool = True) -> httpx.Response:
        headers = {"Min-Seq": str(self.last_sequence)} if fresh and self.last_sequence else {}
        parameters = {name: _render(value) for name, value in query.items() if value is not None}
        return await self._request("GET", path, headers=headers, params=parameters)

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            last = attempt == ATTEMPTS_MAX
            try:
                response = await self._http.request(method, path, **options)
            except httpx.TransportError:
                if last:
                    raise
                await asyncio.sleep(compute_wait(attempt))
                continue
            if response.is_success:
                return response
            problem, asked = _parse_problem(response), _parse_retry_after(response)
            again = problem.status in _SEND_AGAIN or problem.code in _SEND_AGAIN_CODES
            if last or not again or asked > RETRY_AFTER_SECONDS_MAX:
                raise problem
            await asyncio.sleep(compute_wait(attempt, asked))
        raise AssertionError("a request is answered or raises")

    async def stream(self, path: str, last_event_id: int, **query: Any) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield sequence and data of server-sent events after `last_event_id`.

        A stream that ends, breaks or is silent for `SILENCE_SECONDS_MAX` is opened again after the last event, with
        waits as between the attempts of `command`.

        Raises:
            ProblemError: The stream was refused.
            httpx.TransportError: Eight attempts in a row did not reach the API, or their streams ended at once.
        """
        parameters = {name: _render(value) for name, value in query.items() if value is not None}
        sequence, failed = last_event_id, 0
        while True:
            error: ProblemError | httpx.TransportError = httpx.RemoteProtocolError("the server ended the stream")
            try:
                async with aclosing(self._open_stream(path, sequence, parameters)) as lines:
                    async for line in lines:
                        failed = 0
                        if line.startswith("id:"):
                            sequence = int(line[3:])
                        elif line.startswith("data:"):
                            yield sequence, line[5:].strip().encode()
            except httpx.TransportError as caught:
                error = caught
            except ProblemError as caught:
                if caught.status not in _SEND_AGAIN:
                    raise
                error = caught
            failed += 1
            if failed == ATTEMPTS_MAX:
                raise error
            await asyncio.sleep(compute_wait(failed))

    async def _open_stream(self, path: str, last_event_id: int, query: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last_event_id)}
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=SILENCE_SECONDS_MAX)
        async with self._http.stream("GET", path, headers=headers, params=query, timeout=timeout) as response:
            if not response.is_success:
                await response.aread()
                raise _parse_problem(response)
            async for line in response.aiter_lines():
                yield line


class Group:
    """Methods for one group of operations: their ids are ``<group>.<method>``."""

    def __init__(self, api: Transport) -> None:
        self._api = api


def segment(text: str) -> str:
    """Return a value as one segment of a path, so that no id that came from elsewhere leads to another route.

    Raises:
        ValueError: It is no segment: empty, or one that leads to another folder.
    """
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} is no id")
    return quote(text, safe="")


def _render(value: Any) -> Any:
    """Return a value as text for a query."""
    return render_instant(value) if isinstance(value, datetime) else value


def _parse_problem(response: httpx.Response) -> ProblemError:
    try:
        problem = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        problem = {"title": response.text[:200]}
    return ProblemError(response.status_code, problem, response.headers.get("Request-Id", ""))


def _parse_retry_after(response: httpx.Response) -> int:
    """Return the seconds that an answer asks to wait; 0 if it names none."""
    seconds = response.headers.get("Retry-After", "")
    return int(seconds) if seconds.isdecimal() else 0


def compute_wait(attempt: int, asked: int = 0) -> float:
    """Return the seconds to wait before the next attempt.

    The wait doubles from attempt to attempt, up to `RETRY_SECONDS_MAX`. Up to half of it is taken off at random, so
    that clients that failed together do not return together. The seconds of ``Retry-After`` are added.

    Args:
        attempt: How often the request was sent.
        asked: Seconds of ``Retry-After``.
    """
    wait = min(RETRY_SECONDS * 2.0 ** (attempt - 1), RETRY_SECONDS_MAX)
    return asked + wait * random.uniform(0.5, 1)  # noqa: S311 - spreads load, protects nothing
