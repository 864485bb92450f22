"""The peer of benchmark (a): an order placed and money held for it, by the `eventsourcing` package's own means."""

import os
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event


class Account(Aggregate):
    @event("Opened")
    def __init__(self, party_id: str, available_usd: Decimal) -> None:
        self.party_id = party_id
        self.available_usd = available_usd
        self.held_usd = Decimal(0)
        self.holds: dict[str, tuple[Decimal, str]] = {}

    def hold(self, hold_id: str, amount_usd: Decimal, purpose: str) -> None:
        """Refuse what the account cannot pay, and record the hold."""
        if amount_usd > self.available_usd:
            raise ValueError(f"{amount_usd} are needed and {self.available_usd} available")
        self.place_hold(hold_id, amount_usd, purpose)

    @event("HoldPlaced")
    def place_hold(self, hold_id: str, amount_usd: Decimal, purpose: str) -> None:
        self.holds[hold_id] = (amount_usd, purpose)
        self.available_usd -= amount_usd
        self.held_usd += amount_usd


class Order(Aggregate):
    @event("Placed")
    def __init__(
        self, startup_id: str, account_id: str, hold_id: str, terms: dict[str, Any], hold_usd: Decimal
    ) -> None:
        self.startup_id = startup_id
        self.account_id = account_id
        self.hold_id = hold_id
        self.terms = terms
        self.hold_usd = hold_usd


class Marketplace(Application):  # type: ignore[type-arg]
    """Keeps accounts in its own cache, as a process that is alone with them may."""

    def open_account(self, party_id: str) -> UUID:
        account = Account(party_id, Decimal(500_000_000))
        self.save(account)
        account_id: UUID = account.id
        return account_id

    def place_order(self, account_id: UUID, startup_id: str, hold_id: str) -> None:
        terms = {
            "nodes": 2,
            "duration_hours": 48,
            "start_earliest": datetime(2026, 1, 2, tzinfo=UTC).isoformat(),
            "start_latest": datetime(2026, 1, 31, tzinfo=UTC).isoformat(),
            "offers": [{"gpu_class": "H100_SXM", "cash_usd_per_gpu_hour": "3", "equity_usd_per_gpu_hour": "0"}],
        }
        hold_usd = Decimal(2 * 8 * 48 * 3)
        account: Account = self.repository.get(account_id)
        account.hold(hold_id, hold_usd, "order")
        self.save(account, Order(startup_id, str(account_id), hold_id, terms, hold_usd))


def measure_peer(url: str, threads: int, seconds: float) -> float:
    """Return commands a second, with so many threads on one database, each with accounts of its own."""
    parts = urlsplit(url)
    os.environ.update(
        PERSISTENCE_MODULE="eventsourcing.postgres",
        POSTGRES_DBNAME=parts.path.lstrip("/"),
        POSTGRES_HOST=parts.hostname or "",
        POSTGRES_PORT=str(parts.port),
        POSTGRES_USER=parts.username or "",
        POSTGRES_PASSWORD=parts.password or "",
        POSTGRES_POOL_SIZE=str(threads),
        POSTGRES_MAX_OVERFLOW=str(threads),
        AGGREGATE_CACHE_MAXSIZE="10000",
        AGGREGATE_CACHE_FASTFORWARD="n",
    )
    done = [0] * threads
    with Marketplace() as marketplace:
        accounts = [[marketplace.open_account(f"pty_{n}") for _ in range(4)] for n in range(threads)]
        end = time.perf_counter() + seconds

        def repeat(number: int) -> None:
            while time.perf_counter() < end:
                count = done[number]
                marketplace.place_order(accounts[number][count % 4], f"pty_{number}", f"hld_{number}_{count}")
                done[number] += 1

        workers = [threading.Thread(target=repeat, args=(number,)) for number in range(threads)]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(done) / (time.perf_counter() - began)
