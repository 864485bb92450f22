"""The scenario as requests: every step goes through the HTTP API with the typed client, as its party."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from events.mandate import MandateTerms
from marketplace.api.http.bodies.delivery import ReadingBody
from marketplace.cli.scenario.demand import Order
from marketplace.cli.scenario.market import Scenario
from marketplace.client import MarketplaceClient, ProblemError
from marketplace.core.errors import Unavailable
from marketplace.core.ids import rename_id
from marketplace.domain.delivery.grant import OPEN
from marketplace.projections.views.billing import StatementView
from marketplace.projections.views.delivery import GrantView

AT_ONCE: Final = 32
DAY_SECONDS: Final = 86_400
POLL_SECONDS: Final = 0.05
WAIT_SECONDS_MAX: Final = 240.0
SEED: Final = 20_261_125


def name_mandate(key: str) -> str:
    """Return the id of a mandate in the list of ids. The scenario names a mandate by its holder."""
    return f"mandate {key}"


class Play:
    """One run of the scenario: the scenario's keys, and the ids and API keys that the market gave them.

    Args:
        scenario: What is played.
        platform: The operator's client.
        api_url: Where tenants' clients connect.
    """

    def __init__(self, scenario: Scenario, platform: MarketplaceClient, api_url: str) -> None:
        self.scenario = scenario
        self.platform = platform
        self.ids: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.auction_id = ""
        self.first_day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
        self._api_url = api_url
        self.tokens: dict[str, str] = {}
        self._clients: dict[str, MarketplaceClient] = {}

    def enter(self, key: str, token: str) -> None:
        """Keep a party's API key, and open its client."""
        self.tokens[key] = token
        self._clients[key] = MarketplaceClient(self._api_url, token)

    def client(self, key: str) -> MarketplaceClient:
        """Return a party's client. It sees everything that the platform did before."""
        client = self._clients[key]
        client.last_sequence = max(client.last_sequence, self.platform.last_sequence)
        return client

    async def close(self) -> None:
        """Close every party's client."""
        for client in self._clients.values():
            await client.close()

    def day(self, index: int) -> datetime:
        """Return the first instant of a day of the horizon."""
        return self.first_day + timedelta(days=index)

    async def each(self, items: Iterable[Any], work: Callable[[Any], Awaitable[Any]]) -> list[Any]:
        """Process all items, at most 32 at once, and return the results in the order of the items."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(item: Any) -> Any:
            async with gate:
                return await work(item)

        return list(await asyncio.gather(*(one(item) for item in items)))

    async def invest(self) -> None:
        """Invest cash in a startup besides compute, under a separate mandate."""
        direct = self.scenario.direct_investment
        safe = next(safe for safe in self.scenario.safes if safe.key == direct.safe)
        holder_id = self.ids[direct.holder]
        await self.platform.accounts.deposit(
            rename_id("acc", holder_id), amount_usd=direct.amount_usd, reference="wire for the direct investment"
        )
        terms = MandateTerms(
            instrument_kinds=("safe",),
            equity_credit=Decimal(1),
            budget_usd=Decimal(0),
            issuer_usd_max=direct.amount_usd,
            direct_budget_usd=direct.amount_usd,
        )
        mandate_id = (
            await self.client(direct.holder).mandates.grant(holder_id=holder_id, funding="cash", terms=terms)
        ).id
        await self.client(direct.startup).instruments.invest(
            startup_id=self.ids[direct.startup], mandate_id=mandate_id, amount_usd=direct.amount_usd, terms=safe.terms
        )

    async def place_orders(self) -> None:
        """Place every order as its startup."""
        await self.each(self.scenario.orders, self._place)

    async def _place(self, order: Order) -> None:
        startup = self.scenario.startups[order.startup]
        safe = next(safe for safe in self.scenario.safes if safe.key == startup.safe)
        pools = {offer.gpu_class for offer in order.offers}
        gpus = {pool.gpus_per_node for pool in self.scenario.pools if pool.gpu_class in pools}
        terms = order.build_terms(
            self.first_day,
            gpus_per_node=gpus.pop(),
            mandate_ids=tuple(self.ids[name_mandate(key)] for key in order.mandates),
            safe=safe.terms,
        )
        receipt = await self.client(startup.key).orders.place(startup_id=self.ids[startup.key], terms=terms)
        self.names[receipt.id] = order.key

    async def slip(self) -> None:
        """Move the date of the converting site. The worker moves its lots."""
        site = next(site for site in self.scenario.sites if site.conversion is not None)
        conversion = site.conversion
        assert conversion is not None, "the site was chosen because it is converting"
        ready_at = self.day(conversion.slipped_ready_day)
        await self.client(site.provider).sites.slip_conversion(
            self.ids[site.key], ready_at=ready_at, reason=conversion.slip_reason
        )

        async def moved() -> bool:
            pools = {self.ids[pool.key] for pool in self.scenario.pools if pool.site == site.key}
            lots = [lot async for lot in self.platform.lots.list() if lot.pool_id in pools]
            return all(lot.start >= ready_at or lot.status == "withdrawn" for lot in lots)

        await self.wait_for(moved, "the lots of the late site to move")

    async def clear(self) -> None:
        """Open an auction, advance the clock to its lock, and wait until every decision is carried out."""
        now = (await self.platform.clock.get()).now
        self.auction_id = (
            await self.platform.auctions.open(
                locks_at=now + timedelta(hours=1),
                horizon_start=self.first_day,
                period_hours=24,
                periods=self.scenario.horizon_days,
                seed=SEED,
            )
        ).id
        await self.platform.clock.advance(seconds=3_660)

        async def completed() -> bool:
            return (await self.platform.auctions.get(self.auction_id)).carried_out_at is not None

        await self.wait_for(completed, "the auction to be completed")

    async def deliver(self, say: Callable[[str], None]) -> None:
        """Advance the horizon day by day: meters report daily, statements are accepted weekly, principal accrues."""
        days = self.scenario.horizon_days
        first = int((self.first_day - (await self.platform.clock.get()).now).total_seconds())
        await self.platform.clock.advance(seconds=max(first, 0) + 60)
        grants = [grant async for grant in self.platform.grants.list()]
        for index in range(days):
            say(f"Delivering, day {index + 1} of {days} …")
            await self.platform.clock.advance(seconds=DAY_SECONDS)
            day = self.day(index)
            running = [grant for grant in grants if grant.start <= day < grant.end and grant.status != "terminated"]
            await self.each(running, partial(self._report, day))
            if index % 7 == 6:  # noqa: PLR2004 - once a week
                await self._accept()
        await self.platform.clock.advance(seconds=2 * DAY_SECONDS)

        async def ended() -> bool:
            await self._accept()
            return not [grant async for grant in self.platform.grants.list() if grant.status in OPEN]

        await self.wait_for(ended, "every grant to end")

    async def _report(self, day: datetime, grant: GrantView) -> None:
        reading = ReadingBody(
            reading_id=f"{grant.grant_id}-{day:%Y%m%d}", start=day, end=day + timedelta(days=1), nodes=grant.nodes
        )
        provider = self.names[grant.provider_id]
        answer = await self.client(provider).usage.report(
            grant.grant_id, source=f"meter.{provider}", readings=(reading,)
        )
        assert answer.readings[0].outcome == "accepted", answer.readings[0]

    async def _accept(self) -> None:
        issued = [statement async for statement in self.platform.statements.list(status="issued")]
        await self.each(issued, self._accept_one)

    async def _accept_one(self, statement: StatementView) -> None:
        """Accept a statement, unless it was accepted after the list was read: by silence, or by the previous round."""
        try:
            await self.client(self.names[statement.startup_id]).statements.accept(statement.statement_id)
        except ProblemError as problem:
            if problem.code != "statement_accepted":
                raise

    async def wait_for(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait until a condition holds that the worker brings about.

        Raises:
            Unavailable: It does not hold after 240 seconds.
        """
        waited = 0.0
        while not await condition():
            if waited > WAIT_SECONDS_MAX:
                raise Unavailable("the worker", f"waited {WAIT_SECONDS_MAX:.0f} s for {what}")
            await asyncio.sleep(POLL_SECONDS)
            waited += POLL_SECONDS
