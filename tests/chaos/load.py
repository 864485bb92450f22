"""Sixteen clients that retry until they know, and a journal of what each was answered."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

TIMEOUT_SECONDS: Final = 20.0
PAUSE_SECONDS: Final = 0.2
ACCOUNTS: Final = 4
ORDERS_MAX: Final = 25
"""The most orders of a startup that stand; it cancels its oldest, which may be matched already, beyond that."""
UNSETTLED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same request is sent again under the same key."""
UNSETTLED_CODES: Final = frozenset({"command_in_flight", "conflict"})
"""Conflicts that are none of the request's own."""


@dataclass(slots=True)
class Entry:
    """One command and what became of it.

    Attributes:
        key: Its idempotency key, which its effect carries as reference where it is a payment.
        answers: Status, sequence and body of every definite answer.
        tries: How often it was sent.
        is_asked: Whether it is being sent, until there is a definite answer.
    """

    key: str
    path: str
    body: dict[str, Any]
    answers: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)
    tries: int = 0
    errors: list[str] = field(default_factory=list)
    is_asked: bool = False

    @property
    def accepted(self) -> bool:
        """Whether it was acknowledged."""
        return any(status < 300 for status, _, _ in self.answers)

    @property
    def answer(self) -> dict[str, Any]:
        """Return the body of its first acknowledgement."""
        return next(body for status, _, body in self.answers if status < 300)


@dataclass(slots=True)
class Journal:
    """What every client was told."""

    entries: list[Entry] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def list_unknown(self) -> list[Entry]:
        """Return the commands whose end nobody knows."""
        return [entry for entry in self.entries if not entry.answers]


class Client:
    """Sends commands under one API key to either API, and keeps the journal."""

    def __init__(self, urls: tuple[str, ...], token: str, journal: Journal, seed: int) -> None:
        self._urls = urls
        self._journal = journal
        self._random = random.Random(seed)
        self._names = itertools.count(1)
        self._name = f"c{seed}"
        self._http = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, headers={"Authorization": f"Bearer {token}"})

    async def close(self) -> None:
        """Leave."""
        await self._http.aclose()

    def new_key(self) -> str:
        """Return a key that nobody has used."""
        return f"{self._name}-{next(self._names)}"

    async def send(self, path: str, body: dict[str, Any], key: str | None = None) -> Entry:
        """Send a command until its end is known; every repeat has the same key."""
        entry = Entry(key or self.new_key(), path, body)
        self._journal.entries.append(entry)
        await self.settle(entry)
        if self._random.random() < 0.1:
            await self.settle(entry)
        return entry

    async def settle(self, entry: Entry) -> None:
        """Send a command once more, and go on until there is a definite answer."""
        begun, entry.is_asked = time.monotonic(), True
        while True:
            entry.tries += 1
            try:
                answer = await self._http.post(
                    f"{self._random.choice(self._urls)}{entry.path}",
                    json=entry.body,
                    headers={"Idempotency-Key": entry.key},
                )
            except httpx.HTTPError as error:
                entry.errors.append(repr(error))
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            content = _read(answer)
            if answer.status_code == 500:
                self._journal.wrong.append(f"{entry.path} answered 500: {answer.text[:300]}")
            if answer.status_code in UNSETTLED or content.get("code") in UNSETTLED_CODES:
                entry.errors.append(f"{answer.status_code} {content.get('code')}")
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self._check_repeat(entry, answer.status_code, content)
            entry.answers.append((answer.status_code, content.get("sequence", 0), content))
            entry.is_asked = False
            self._journal.seconds.append(time.monotonic() - begun)
            return

    def _check_repeat(self, entry: Entry, status: int, content: dict[str, Any]) -> None:
        """A command that was acknowledged is acknowledged again, with the same words."""
        if not entry.accepted:
            return
        first = next(answer for answer in entry.answers if answer[0] < 300)
        if (first[0], first[1], first[2].get("id")) != (status, content.get("sequence", 0), content.get("id")):
            self._journal.wrong.append(
                f"{entry.path} with key {entry.key}: {first[:2]} at first, {status} {content} later"
            )

    async def get(self, path: str, min_sequence: int = 0) -> dict[str, Any] | None:
        """Read, and return None where nobody answers now; a read never shows less than was asked for."""
        headers = {"Min-Seq": str(min_sequence)} if min_sequence else {}
        try:
            answer = await self._http.get(f"{self._random.choice(self._urls)}{path}", headers=headers)
        except httpx.HTTPError:
            return None
        if answer.status_code == 500:
            self._journal.wrong.append(f"GET {path} answered 500: {answer.text[:300]}")
        return _read(answer) if answer.is_success else None


def _read(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


@dataclass(slots=True)
class Market:
    """Parties, capacity and keys that the clients work with."""

    platform: Client
    accounts: list[str] = field(default_factory=list)
    startups: list[tuple[str, Client]] = field(default_factory=list)
    provider: Client | None = None
    site_id: str = ""
    lot_id: str = ""


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


async def lay_market(urls: tuple[str, ...], admin_key: str, journal: Journal, seed: int) -> Market:
    """Register parties, open a pool and list its nodes."""
    platform = Client(urls, admin_key, journal, seed)
    market = Market(platform)

    async def register(name: str, *roles: str) -> str:
        body = {"name": name, "roles": list(roles), "jurisdiction": "US"}
        party_id: str = (await platform.send("/v1/parties", body)).answer["id"]
        await platform.send(f"/v1/parties/{party_id}/clear", {"checks": ["identity"]})
        return party_id

    async def issue_key(party_id: str, number: int) -> Client:
        body = {"name": "chaos", "scopes": ["*"], "party_id": party_id}
        token = (await platform.send("/v1/api-keys", body)).answer["token"]
        return Client(urls, token, journal, number)

    for number in range(ACCOUNTS):
        party_id = await register(f"Startup {number}", "startup")
        account_id = f"acc{party_id[3:]}"
        market.accounts.append(account_id)
        market.startups.append((party_id, await issue_key(party_id, seed + 100 + number)))
        form = {
            "party_id": party_id,
            "legal_name": f"Startup {number}, Inc.",
            "jurisdiction": "US",
            "formed_on": "2025-01-01",
        }
        await market.startups[-1][1].send("/v1/issuers", form)
        deposit = {"amount_usd": "1000000.00", "reference": f"first-{number}"}
        await platform.send(f"/v1/accounts/{account_id}/deposits", deposit, key=f"first-{number}")
    provider_id = await register("Provider", "provider")
    market.provider = await issue_key(provider_id, seed + 200)
    await _open_supply(market, provider_id)
    return market


async def _open_supply(market: Market, provider_id: str) -> None:
    assert market.provider is not None, "the provider was registered"
    site = {
        "provider_id": provider_id, "name": "North", "region": "us-east", "jurisdiction": "US", "status": "operating",
        "power_contracted_kw": 100_000, "power_energised_kw": 100_000, "power_usage_effectiveness": "1.2",
        "renewable_share": "0.5",
    }  # fmt: skip
    market.site_id = (await market.provider.send("/v1/sites", site)).answer["id"]
    market.lot_id = await _list_nodes(market, 64)


async def _list_nodes(market: Market, nodes: int) -> str:
    """Open a pool of so many nodes and list all of them; return the lot."""
    assert market.provider is not None, "the provider was registered"
    pool = {
        "site_id": market.site_id, "gpu_class": "H100_SXM", "interconnect": "infiniband", "gpus_per_node": 8,
        "nodes": nodes, "power_per_node_kw": 11,
    }  # fmt: skip
    pool_id = (await market.provider.send("/v1/pools", pool)).answer["id"]
    begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    lot = {
        "pool_id": pool_id, "nodes": nodes, "start": _instant(begin), "end": _instant(begin + timedelta(days=60)),
        "ask_usd_per_gpu_hour": "2.00",
    }  # fmt: skip
    lot_id: str = (await market.provider.send("/v1/lots", lot)).answer["id"]
    return lot_id


class Load:
    """The clients at work; `stop` lets each finish what it does."""

    def __init__(self, market: Market, urls: tuple[str, ...], admin_key: str, journal: Journal, seed: int) -> None:
        self._market = market
        self._journal = journal
        self._random = random.Random(seed)
        self._stopping = asyncio.Event()
        self._clients = [Client(urls, admin_key, journal, seed + 1_000 + number) for number in range(12)]
        self._tasks: list[asyncio.Task[None]] = []
        self._holds: list[tuple[str, str]] = []
        self._orders: dict[str, list[str]] = {}
        self._auctions = 0
        self._last = 0

    def start(self) -> None:
        """Let sixteen clients work."""
        roles: list[tuple[Client, Callable[[Client], Awaitable[None]]]] = [
            *((client, self._bank) for client in self._clients[:9]),
            (self._clients[9], self._read),
            (self._clients[10], self._call_auctions),
            (self._clients[11], self._follow),
            *((client, self._order) for _, client in self._market.startups),
        ]
        self._tasks = [asyncio.create_task(self._repeat(client, work)) for client, work in roles]

    async def _repeat(self, client: Client, work: Callable[[Client], Awaitable[None]]) -> None:
        while not self._stopping.is_set():
            await work(client)
            await asyncio.sleep(self._random.uniform(0, 0.1))

    async def stop(self, seconds_max: float) -> None:
        """Stop, and wait until every command that was sent has its end."""
        self._stopping.set()
        done, pending = await asyncio.wait(self._tasks, timeout=seconds_max)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()

    async def _bank(self, client: Client) -> None:
        """Deposit, hold, pay and release on the accounts that all clients share."""
        account_id, choice = self._random.choice(self._market.accounts), self._random.random()
        if choice < 0.45:
            key = client.new_key()
            body = {"amount_usd": f"{self._random.randint(1, 999)}.{self._random.randint(10, 99)}", "reference": key}
            entry = await client.send(f"/v1/accounts/{account_id}/deposits", body, key)
        elif choice < 0.75 or not self._holds:
            payee = self._random.choice([other for other in self._market.accounts if other != account_id])
            expiry = datetime.now(UTC) + timedelta(seconds=self._random.uniform(1, 15))
            body = {
                "payee_account_id": payee,
                "amount_usd": f"{self._random.randint(1, 50)}.12",
                "expires_at": _instant(expiry),
            }
            _, payer = self._market.startups[self._market.accounts.index(account_id)]
            entry = await payer.send(f"/v1/accounts/{account_id}/holds", body)
            if entry.accepted:
                self._holds.append((account_id, entry.answer["id"]))
                del self._holds[:-50]
        else:
            account_id, hold_id = self._random.choice(self._holds)
            act, body = self._random.choice([("capture", {"amount_usd": "0.50"}), ("release", {"reason": "done"})])
            entry = await client.send(f"/v1/accounts/{account_id}/holds/{hold_id}/{act}", body)
        if entry.accepted:
            self._last = max(self._last, entry.answers[0][1])

    async def _read(self, client: Client) -> None:
        """Read what was just written: a balance is never older than the sequence that was asked for."""
        wanted, account_id = self._last, self._random.choice(self._market.accounts)
        await client.get(f"/v1/accounts/{account_id}", wanted)
        await client.get(f"/v1/balances?account_id={account_id}", wanted)

    async def _order(self, client: Client) -> None:
        """Place orders that win, lose or are taken back, and pause the lot that they want now and then."""
        startup_id = next(party_id for party_id, known in self._market.startups if known is client)
        begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        terms = {
            "nodes": self._random.randint(1, 3), "duration_hours": 24, "start_earliest": _instant(begin),
            "start_latest": _instant(begin + timedelta(days=10)),
            "offers": [{
                "gpu_class": "H100_SXM", "cash_usd_per_gpu_hour": self._random.choice(["1.50", "2.50", "3.00"]),
                "equity_usd_per_gpu_hour": "0",
            }],
            "standing": self._random.random() < 0.5,
        }  # fmt: skip
        entry = await client.send("/v1/orders", {"startup_id": startup_id, "terms": terms})
        placed = self._orders.setdefault(startup_id, [])
        if entry.accepted:
            placed.append(entry.answer["id"])
        if placed and (len(placed) > ORDERS_MAX or self._random.random() < 0.3):
            gone = placed.pop(0 if len(placed) > ORDERS_MAX else -1)
            await client.send(f"/v1/orders/{gone}/cancel", {"reason": "changed plans"})
        if self._random.random() < 0.1 and self._market.provider is not None:
            act = self._random.choice(["pause", "resume", "resume"])
            await self._market.provider.send(
                f"/v1/lots/{self._market.lot_id}/{act}", {"reason": "chaos"} if act == "pause" else {}
            )
        await asyncio.sleep(0.3)

    async def _call_auctions(self, client: Client) -> None:
        """Open an auction that locks soon, again and again; list new nodes before every third, so that some sell."""
        self._auctions += 1
        if self._auctions % 3 == 0:
            await _list_nodes(self._market, 16)
        now = datetime.now(UTC)
        begin = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        body = {
            "locks_at": _instant(now + timedelta(seconds=3)), "horizon_start": _instant(begin), "period_hours": 24,
            "periods": 20, "seed": self._random.randint(0, 2**31 - 1),
        }  # fmt: skip
        await client.send("/v1/auctions", body)
        await asyncio.sleep(10)

    async def _follow(self, client: Client) -> None:
        """Follow the feed from page to page, and require that no position goes back or is left out."""
        position = 0
        while not self._stopping.is_set():
            page = await client.get(f"/v1/events?after={position}&limit=500")
            for item in (page or {}).get("items", ()):
                sequence = int(item["sequence"])
                if sequence <= position:
                    self._journal.wrong.append(f"the feed showed {sequence} after {position}")
                position = max(position, sequence)
            if not (page or {}).get("items"):
                await asyncio.sleep(1)
