"""Requests and answers: idempotency keys, retries with the same key, and reads that wait for what was written."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import httpx
import msgspec
import uuid_utils

from marketplace.api.commands import ReceiptBody
from marketplace.api.paging import Page
from marketplace.client.problems import ProblemError, parse_problem

At = int | datetime | None
Query = Mapping[str, str | int | datetime | None]
T = TypeVar("T")

_AGAIN: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.BAD_GATEWAY})
_AGAIN_CODES: Final = frozenset({"command_in_flight", "conflict"})
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how long a request is tried again.

    Attributes:
        attempts_max: Tries in all.
        seconds_first: Wait after the first try, where the server does not say; doubled each time.
        seconds_max: Longest wait between two tries.
    """

    attempts_max: int = 8
    seconds_first: float = 0.1
    seconds_max: float = 5.0


class Transport:
    """Sends requests over one `httpx.AsyncClient`.

    Attributes:
        last_sequence: Highest `Commit-Seq` that a command of this client was answered with.
    """

    def __init__(self, http: httpx.AsyncClient, retries: Retries) -> None:
        self.http = http
        self.last_sequence = 0
        self._retries = retries

    async def command(
        self,
        method: str,
        path: str,
        body: msgspec.Struct | None = None,
        *,
        answer: type[T] = ReceiptBody,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> T:
        """Send a command until it is answered, with one idempotency key.

        Raises:
            ProblemError: It was refused, or not answered within the retries.
            httpx.TransportError: The server could not be reached within the retries.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid_utils.uuid7())}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        content = b"" if body is None else msgspec.json.encode(body)
        if body is not None:
            headers["Content-Type"] = "application/json"
        response = await self._send(method, path, headers, content=content)
        self.last_sequence = max(self.last_sequence, int(response.headers.get("commit-seq", "0")))
        if answer is type(None):
            return None  # type: ignore[return-value]
        return msgspec.json.decode(response.content, type=answer)

    async def read(self, path: str, answer: type[T], query: Query | None = None) -> T:
        """Read, once the projections have reached what this client has written.

        Raises:
            ProblemError: It was refused, or not answered within the retries.
            httpx.TransportError: The server could not be reached within the retries.
        """
        headers = {"Min-Seq": str(self.last_sequence)} if self.last_sequence else {}
        response = await self._send("GET", path, headers, params=render_query(query or {}))
        return msgspec.json.decode(response.content, type=answer)

    async def read_all(self, path: str, item: type[T], query: Query | None = None) -> AsyncIterator[T]:
        """Yield the rows of every page."""
        cursor: str | None = None
        while True:
            asked = {"limit": PAGE, **(query or {}), "cursor": cursor}
            page = await self.read(path, Page[item], asked)  # type: ignore[valid-type]
            for row in page.items:
                yield row
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _send(self, method: str, path: str, headers: dict[str, str], **request: Any) -> httpx.Response:
        retries, wait = self._retries, self._retries.seconds_first
        for attempt in range(1, retries.attempts_max + 1):
            last = attempt == retries.attempts_max
            try:
                response = await self.http.request(method, path, headers=headers, **request)
                if response.is_success:
                    return response
                problem = parse_problem(response)
                if last or not is_passing(problem):
                    raise problem
                seconds = problem.retry_after_seconds or wait
            except httpx.TransportError:
                if last:
                    raise
                seconds = wait
            await asyncio.sleep(min(seconds, retries.seconds_max))
            wait = min(wait * 2, retries.seconds_max)
        raise AssertionError("the last attempt returns or raises")


def is_passing(problem: ProblemError) -> bool:
    """Tell whether the same request may be answered otherwise later."""
    return problem.status in _AGAIN or (problem.status == HTTPStatus.CONFLICT and problem.code in _AGAIN_CODES)


def render_query(query: Query) -> dict[str, str]:
    """Return the parameters that are given, as text."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else str(value)
        for name, value in query.items()
        if value is not None
    }
