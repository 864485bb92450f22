"""Calls every method of the typed client with made-up arguments, and keeps what it sends; nothing answers."""

import inspect
import operator
import re
import types
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import httpx
import msgspec
import pytest

from marketplace.client import ProblemError
from marketplace.client.transport import Group, Transport

KEY, VERSION, SEQUENCE = "a-key", 3, 7
INSTANT = datetime(2026, 1, 31, tzinfo=UTC)
TEMPLATE = re.compile(r"\{[^}]*\}")
MADE_UP = re.compile(r"made-up-\w+")
VALUES: tuple[tuple[type, Any], ...] = (
    (bool, True),
    (int, 13),
    (Decimal, Decimal(1)),
    (datetime, INSTANT),
    (date, INSTANT.date()),
)
"""By type; text is made up from the parameter's name."""


@dataclass(frozen=True)
class Call:
    """One method of the client, and the one request that it sent.

    Attributes:
        name: The method, as the id of its operation: ``orders.place``.
        arguments: What it takes, options excepted.
        places: Those of them that may be given by position.
        takes_options: Whether it takes an idempotency key and a version.
        answer: What it says that it returns.
        request: What it sent.
    """

    name: str
    arguments: tuple[str, ...]
    places: tuple[str, ...]
    takes_options: bool
    answer: Any
    request: httpx.Request

    @property
    def route(self) -> tuple[str, str]:
        """Method, and path with ``{}`` in place of each id."""
        return self.request.method, MADE_UP.sub("{}", self.request.url.path)

    @property
    def members(self) -> set[str]:
        """Members of the body."""
        body = msgspec.json.decode(self.request.content) if self.request.content else {}
        return set(body) if isinstance(body, dict) else set()


class Silent(httpx.AsyncBaseTransport):
    """Keeps requests and refuses them."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(404, json={"code": "nobody_there"})


def name_route(method: str, path: str) -> tuple[str, str]:
    """Return an operation of the document as `Call.route` spells it."""
    return method.upper(), TEMPLATE.sub("{}", path)


def list_methods(client: type[Transport]) -> list[str]:
    """Return the methods that were written for an operation: ``<group>.<method>``."""
    groups = vars(client("http://test", "mkp_key")).items()
    return [
        f"{group}.{name}"
        for group, part in groups
        if isinstance(part, Group)
        for name, _ in inspect.getmembers(part, inspect.ismethod)
        if not name.startswith("_")
    ]


async def call_all(client: type[Transport]) -> list[Call]:
    """Return what every method of a client sends."""
    return [await call(client, name) for name in list_methods(client)]


async def call(client: type[Transport], name: str) -> Call:
    """Return what a method sends when it is given all that it takes."""
    silent = Silent()
    async with client("http://test", "mkp_key", silent) as caller:
        caller.last_sequence = SEQUENCE
        method = operator.attrgetter(name)(caller)
        hints = get_type_hints(method)
        parameters = inspect.signature(method).parameters.values()
        named = [each for each in parameters if each.kind is not each.VAR_KEYWORD]
        (more,) = get_args(hints.get("listed")) or (None,)
        takes_options = more is None and len(named) < len(parameters)
        given = {each.name: make_up(hints[each.name], each.name) for each in named}
        given |= {name: make_up(kind, name) for name, kind in (get_type_hints(more) if more else {}).items()}
        options = {"key": KEY, "if_match": VERSION} if takes_options else {}
        asked = method(**given, **options)
        with pytest.raises(ProblemError, match="nobody_there"):
            await (anext(asked) if isinstance(asked, AsyncIterator) else asked)
    (request,) = silent.requests
    places = tuple(each.name for each in named if each.kind is not each.KEYWORD_ONLY)
    return Call(name, tuple(given), places, takes_options, hints["return"], request)


def make_up(kind: Any, name: str) -> Any:
    """Return a value of an annotation that is no default, which would not be sent; a part of a body is text."""
    if get_origin(kind) is Literal:
        return get_args(kind)[-1]
    if get_origin(kind) in (Union, types.UnionType):
        return make_up(get_args(kind)[0], name)
    if kind is str:
        return f"made-up-{name}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"made-up-{name}"
    if get_origin(kind) in (tuple, Sequence, Mapping):
        return (f"made-up-{name}",)
    return next(value for known, value in VALUES if kind is known)
