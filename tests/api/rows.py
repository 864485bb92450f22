"""One row per endpoint, and what each caller gets: anonymous, another tenant, an unknown id, a refusal, an answer."""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from marketplace.api.http.visibility import EVERYBODY
from marketplace.client import MarketplaceClient
from marketplace.domain.deciders import PREFIXES
from scripts.visibility_page import list_reads
from tests.api.examples import Requests
from tests.api.stage import Stage
from tests.support.patience import PATIENCE_SECONDS

PLATFORM_ONLY = (403, "platform_only")
SEEN = (200, None)
ABSENT = "01jdm5v5tze1xa6a4sbz1gk3c4"
KINDS = {prefix: aggregate for aggregate, prefix in PREFIXES.items()} | {
    "key": "key",
    "rel": "relation",
    "fin": "financing",
    "liq": "liquidity",
    "hld": "hold",
    "apv": "approval",
    "bcl": "claim",
    "opt": "option",
    "wrt": "warrant",
    "trf": "offer",
    "prm": "promise",
    "prg": "programme",
    "src": "price_source",
}

READERS = {
    re.sub(r"\{\w+\}", "{}", path): readers.who
    for path, _, readers in list_reads()
    if path not in ("/v1/events", "/v1/statements/earnings")  # some events are public, and a sum is no list
}


@dataclass
class World:
    """A stage, its callers, and the ids of what the rows have made so far."""

    stage: Stage
    clients: dict[str, httpx.AsyncClient]
    ids: dict[str, str]
    begin: datetime = field(
        default_factory=lambda: datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    )
    days: float = -1
    requests: Requests = field(init=False)

    def __post_init__(self) -> None:
        self.requests = Requests(self.stage.admin, lambda: self.today)

    def day(self, days: float) -> str:
        return (self.begin + timedelta(days=days)).isoformat()

    async def move_to(self, days: float) -> None:
        """Let time pass until a day of the story."""
        clock = self.stage.services.handler.clock
        seconds = math.ceil((self.begin + timedelta(days=days) - clock.now()).total_seconds())
        answer = await self.stage.post(self.stage.admin, "/v1/test/clock", {"seconds": seconds})
        assert answer.status_code == 200, answer.text
        self.days = days

    @property
    def today(self) -> datetime:
        """The midnight before the day to which time was last moved."""
        return self.begin + timedelta(days=math.floor(self.days))

    async def find(self, path: str, accept: Callable[[Any], Any], seconds: float = PATIENCE_SECONDS) -> Any:
        """Return what `accept` finds in an answer to the platform, once it finds something."""
        async with asyncio.timeout(seconds):
            while True:
                answer = await self.stage.admin.get(path, headers={"Min-Seq": await self.stage.reach()})
                found = accept(answer.json()) if answer.is_success else None
                if found:
                    return found
                await asyncio.sleep(0.05)


Body = dict[str, Any] | Callable[[World], dict[str, Any]] | None


@dataclass
class Row:
    """One endpoint.

    Attributes:
        method: Its method.
        path: Its path, with names of ids in braces, and its query.
        actor: Who is answered.
        body: What it sends.
        status: What it gets.
        refused: A body, or for a read a query, that is refused, and how; reads are refused a wrong header by default.
        other: What another tenant gets; None: that there is no such thing.
        save: The name under which the id in the answer is kept.
        before: What has to happen first.
        check: What the answer has to be.
        ask: The same by the typed client, once more after that, with the ids of the story.
        media_type: Of what it sends.
    """

    method: str
    path: str
    actor: str = "startup"
    body: Body = None
    status: int = 200
    refused: tuple[Any, int, str] | None = None
    other: tuple[int, str | None] | None = None
    save: str | None = None
    before: Callable[[World], Awaitable[None]] | None = None
    check: Callable[[Any], bool] = lambda _: True
    ask: Callable[[MarketplaceClient, dict[str, str]], Awaitable[Any]] | None = None
    media_type: str = "application/json"

    @property
    def route(self) -> tuple[str, str]:
        """Method and path as the application spells them."""
        return self.method, re.sub(r"\{(\w+)\}", "{}", self.path.partition("?")[0])


@dataclass(frozen=True)
class Sent:
    """A request that was accepted, and its answer."""

    client: httpx.AsyncClient
    method: str
    path: str
    body: Any
    headers: dict[str, str]
    answer: httpx.Response


async def play(world: World, row: Row) -> Sent:
    if row.before is not None:
        await row.before(world)
    names = re.findall(r"\{(\w+)\}", row.path)
    path = row.path.format(**world.ids)
    body = row.body(world) if callable(row.body) else row.body
    send = _Sender(world, row)
    anonymous = await send("anonymous", path, body)
    _expect(row, "anonymous", anonymous, 401, "credentials_missing")
    assert anonymous.headers["www-authenticate"].startswith("Bearer")
    other = None
    if names:
        absent = re.sub(r"_\w{26}", f"_{ABSENT}", world.ids[names[-1]])
        unknown_path = row.path.replace(f"{{{names[-1]}}}", absent).format(**world.ids)
        unknown = await send(row.actor, unknown_path, body)
        code = f"{KINDS[absent[:3]]}_unknown"
        _expect(row, "unknown", unknown, 404, code)
        other = await send("other", path, body)
        if row.other is None:
            owned = f"{KINDS[world.ids[names[0]][:3]]}_unknown" if len(names) > 1 else code
            _expect(row, "other", other, 404, owned)
            if len(names) == 1:
                assert other.json()["detail"] == unknown.json()["detail"].replace(absent, world.ids[names[-1]])
    else:
        other = await send("other", path, body)
    if row.other is not None:
        _expect(row, "other", other, *row.other)
    await _refuse(world, row, send, path)
    answer = await send.send_accepted(path, body)
    _expect(row, "accepted", answer, row.status, None)
    content = _read(answer)
    assert row.check(content), (row.method, row.path, content)
    if row.other == SEEN and row.actor != "platform" and READERS.get(row.route[1], EVERYBODY) != EVERYBODY:
        pages = [page if isinstance(page, list) else page["items"] for page in (other.json(), content)]
        shared = [each for each in pages[0] if each in pages[1]]
        assert not shared, (row.path, shared)
    if row.save is not None:
        world.ids[row.save] = content["id"]
    if row.method != "GET" and row.status in (200, 201) and content is not None and "version" in content:
        assert answer.headers["commit-seq"] == str(content["sequence"])
        assert answer.headers["etag"] == f'"{content["version"]}"'
    if row.ask is not None:
        await _ask(world, row)
    return Sent(world.clients[row.actor], row.method, path, send.body, send.headers, answer)


async def _ask(world: World, row: Row) -> None:
    key = world.clients[row.actor].headers["Authorization"].removeprefix("Bearer ")
    async with MarketplaceClient("http://test", key, httpx.ASGITransport(world.stage.application)) as client:
        client.last_sequence = int(await world.stage.reach())
        await row.ask(client, world.ids)


def _read(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    return answer.json() if answer.headers["content-type"].startswith("application/json") else answer.text


async def _refuse(world: World, row: Row, send: "_Sender", path: str) -> None:
    if row.refused is not None:
        wrong, status, code = row.refused
        if row.method == "GET":
            refused = await send(row.actor, f"{path.partition('?')[0]}?{wrong.format(**world.ids)}", None)
        else:
            wrong = wrong(send.world) if callable(wrong) else wrong
            refused = await send(row.actor, path, wrong)
        _expect(row, "refused", refused, status, code)
    elif row.method == "GET":
        refused = await send(row.actor, path, None, {"Min-Seq": "soon"})
        _expect(row, "refused", refused, 400, "header_invalid")
    else:
        refused = await send(row.actor, path, row.body, {"If-Match": "soon"})
        _expect(row, "refused", refused, 400, "header_invalid")


class _Sender:
    def __init__(self, world: World, row: Row) -> None:
        self.world = world
        self.body: Any = None
        self.headers: dict[str, str] = {}
        self._row = row

    async def __call__(self, actor: str, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        client, stage = self.world.clients[actor], self.world.stage
        if self._row.method == "GET":
            return await client.get(path, headers={"Min-Seq": await stage.reach(), **(headers or {})})
        key = {"Idempotency-Key": f"row {next(stage.numbers)}".replace(" ", "-"), **(headers or {})}
        body = body(self.world) if callable(body) else body
        if body is not None:
            key["Content-Type"] = self._row.media_type
        self.body, self.headers = body, key
        return await client.request(self._row.method, path, json=body, headers=key)

    async def send_accepted(self, path: str, body: Any) -> httpx.Response:
        """Send the document's own example where it is this body, with this market's ids, and else the body."""
        row, world = self._row, self.world
        ids = [world.ids[name] for name in re.findall(r"\{(\w+)\}", row.path)]
        filled = None if body is None else await world.requests.fill(row.route, ids, body)
        if filled is None:
            return await self(row.actor, path, body)
        address, stated, text = filled
        assert (address, stated["Content-Type"]) == (path, row.media_type)
        assert stated["Authorization"] == "Bearer {{key}}"
        self.body, self.headers = json.loads(text), {"Content-Type": row.media_type}
        if "Idempotency-Key" in stated:
            self.headers["Idempotency-Key"] = f"example-{next(world.stage.numbers)}"
        client = world.clients[row.actor]
        return await client.request(row.method, address, content=text, headers=self.headers)


def _expect(row: Row, who: str, answer: httpx.Response, status: int, code: str | None) -> None:
    told = (answer.status_code, answer.json()["code"] if code is not None and answer.content else None)
    assert told == (status, code), f"{who}: {row.method} {row.path}: {answer.status_code} {answer.text}"
