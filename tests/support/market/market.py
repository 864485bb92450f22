"""A small market in one process on the log in memory: parties, supply, mandates and orders by the real commands."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

from msgspec.structs import replace

from events.instants import FOREVER
from events.lot import AskStep
from events.mandate import MandateTerms
from events.order import ClassOffer, OrderTerms
from events.service import STANDARD_SERVICE
from events.types import SafeTerms
from marketplace.application.access import parties
from marketplace.application.billing import accounts
from marketplace.application.equity import issuers
from marketplace.application.metering import usage
from marketplace.application.supply import inventory, sites
from marketplace.application.trading import auctions, mandates, orders
from marketplace.core.ids import derive_command_id, rename_id
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import Reserve
from marketplace.domain.deciders import DECIDERS
from marketplace.domain.delivery.periods import list_periods
from marketplace.domain.metering.usage_commands import Measurement
from marketplace.execution.clock import MarketClock
from marketplace.execution.handler import Handler
from marketplace.execution.state_cache import Cache
from marketplace.execution.unit_of_work import Context
from marketplace.runtime.worker import Worker
from tests.support.patience import PATIENCE_SECONDS

SAFE = SafeTerms(
    conversion_timing="post_money",
    valuation_cap_usd=Decimal(10_000_000),
    discount=Decimal("0.2"),
    service_consequence="credit",
)

INCIDENTS = replace(STANDARD_SERVICE, measure="incidents")
"""The standard promise, but what no meter counts is no outage, so that tests may deliver a part of a grant."""


class StandingClock(MarketClock):
    """A clock that a test moves."""

    def __init__(self, at=datetime(2026, 1, 1, tzinfo=UTC)):
        super().__init__()
        self.at = at

    def now(self):
        return self.at + timedelta(seconds=self.offset_seconds)


class Market:
    """One process on a log: its handler, its cache, and the market's clock.

    `name` keeps the idempotency keys of several processes apart.
    """

    def __init__(self, log, name="one", clock=None):
        self.log = log
        self.name = name
        self.clock = clock or StandingClock()
        self.handler = Handler(log, self.clock)
        self.count = 0
        self.instrument = SAFE
        self.service = INCIDENTS

    def process(self, name, log=None):
        """Return another process on the same log, which knows nothing yet."""
        return Market(log or self.log, name, self.clock)

    def context(self, party_id=None, key=None, fingerprint="", if_match=None):
        self.count += 1
        key = key or f"{self.name}-{self.count}"
        return Context(
            command_id=derive_command_id(party_id or "platform", key),
            fingerprint=fingerprint,
            actor=party_id or "platform",
            party_id=party_id,
            at=self.clock.now(),
            if_match=if_match,
        )

    def day(self, days):
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)

    async def party(self, name, *roles, usd=None, sector=None):
        receipt = await parties.register_party(
            self.handler, self.context(), name=name, roles=roles, jurisdiction="US", sector=sector
        )
        await parties.clear_party(self.handler, self.context(), receipt.id, checks=("sanctions",))
        if usd:
            await self.deposit(receipt.id, usd)
        return receipt.id

    async def deposit(self, party_id, usd):
        account_id, reference = rename_id("acc", party_id), f"wire-{party_id}"
        await accounts.deposit(self.handler, self.context(), account_id, amount_usd=Decimal(usd), reference=reference)

    async def withdraw_free(self, party_id):
        """Withdraw all that a party's account has free."""
        account_id = rename_id("acc", party_id)
        free_usd = (await self.state("account", account_id)).count_free(self.clock.now())
        await accounts.withdraw(self.handler, self.context(party_id), account_id, amount_usd=free_usd, reference="out")

    async def keep(self, party_id, usd, until=FOREVER):
        """Keep money of a party's account, as for a correction that it owes."""
        account_id = rename_id("acc", party_id)
        cause = rename_id("stm", party_id)
        command = Reserve(account_id=account_id, amount_usd=Decimal(usd), until=until, cause=cause)

        async def work(unit):
            await unit.decide(ACCOUNT, account_id, command)

        await self.handler.run(self.context(), ACCOUNT, account_id, work)

    async def pool(
        self,
        provider_id,
        nodes=4,
        gpu_class="H100_SXM",
        status="operating",
        region="us-east",
        interconnect="infiniband",
        renewable_share="0.5",
        power_usage_effectiveness="1.2",
        power_energised_kw=10_000,
    ):
        site = await sites.register_site(
            self.handler,
            self.context(provider_id),
            provider_id=provider_id,
            name="North",
            region=region,
            jurisdiction="US",
            status=status,
            power_contracted_kw=10_000,
            power_energised_kw=power_energised_kw,
            power_usage_effectiveness=Decimal(power_usage_effectiveness),
            renewable_share=Decimal(renewable_share),
        )
        pool = await inventory.open_pool(
            self.handler,
            self.context(provider_id),
            site_id=site.id,
            gpu_class=gpu_class,
            interconnect=interconnect,
            gpus_per_node=8,
            nodes=nodes,
            power_per_node_kw=11,
            service=self.service,
        )
        return site.id, pool.id

    async def lot(
        self, provider_id, pool_id, *, ask="2", nodes=4, start=1, end=91, mandate_ids=(), further=(), service=None
    ):
        receipt = await inventory.list_lot(
            self.handler,
            self.context(provider_id),
            pool_id=pool_id,
            nodes=nodes,
            start=self.day(start),
            end=self.day(end),
            ask_usd_per_gpu_hour=Decimal(ask),
            mandate_ids=mandate_ids,
            further_asks=tuple(AskStep(nodes=count, ask_usd_per_gpu_hour=Decimal(ask)) for count, ask in further),
            service=service,
        )
        return receipt.id

    async def mandate(self, holder_id, funding="cash", budget=1_000_000, credit="0.8", **rules):
        receipt = await mandates.grant_mandate(
            self.handler,
            self.context(holder_id),
            holder_id=holder_id,
            funding=funding,
            terms=MandateTerms(
                equity_credit=Decimal(credit),
                budget_usd=Decimal(budget),
                **{
                    "instrument_kinds": ("safe",),
                    "issuer_usd_max": Decimal(budget),
                    "valuation_cap_usd_max": Decimal(1_000_000_000),
                    "resale": True,
                    "startup_accepts_alone": True,
                    **rules,
                },
            ),
        )
        return receipt.id

    async def issuer(self, startup_id):
        receipt = await issuers.form_issuer(
            self.handler,
            self.context(startup_id),
            party_id=startup_id,
            legal_name="Startup, Inc.",
            jurisdiction="US",
            formed_on=datetime(2025, 1, 1, tzinfo=UTC).date(),
        )
        return receipt.id

    def terms(
        self,
        *,
        cash="3",
        equity="0",
        mandate_ids=(),
        nodes=2,
        days=2,
        hours=None,
        earliest=1,
        latest=30,
        offers=None,
        **more,
    ):
        return OrderTerms(
            nodes=nodes,
            duration_hours=24 * days if hours is None else hours,
            start_earliest=self.day(earliest),
            start_latest=self.day(latest),
            offers=offers
            or (
                ClassOffer(
                    gpu_class="H100_SXM",
                    cash_usd_per_gpu_hour=Decimal(cash),
                    equity_usd_per_gpu_hour=Decimal(equity),
                ),
            ),
            mandate_ids=mandate_ids,
            instrument=self.instrument if mandate_ids else None,
            **more,
        )

    async def place(self, startup_id, *, key=None, fingerprint="", **terms):
        context = self.context(startup_id, key, fingerprint)
        return await orders.place_order(self.handler, context, startup_id=startup_id, terms=self.terms(**terms))

    async def order(self, startup_id, **terms):
        return (await self.place(startup_id, **terms)).id

    async def cancel(self, startup_id, order_id):
        return await orders.cancel_order(self.handler, self.context(startup_id), order_id, reason="changed plans")

    async def trade(
        self,
        *,
        cash="1",
        equity="3",
        funding="cash",
        credit="0.8",
        nodes=2,
        days=40,
        status="operating",
        no_cancel_at=None,
        **rules,
    ):
        """Bring one startup, one provider and one mandate together; the auction has still to run."""
        fund = await self.party("Fund", "fund", "provider", usd=1_000_000)
        provider = fund if funding == "own_cash" else await self.party("Provider", "provider")
        startup = await self.party("Startup", "startup", usd=100_000, sector="robotics")
        issuer = await self.issuer(startup)
        holder = provider if funding == "own_capacity" else fund
        funding = funding.replace("own_cash", "cash")
        direct = Decimal(100_000) if funding == "cash" else None
        budgets = {"direct_budget_usd": direct, "issuer_usd_max": Decimal(900_000), **rules}
        mandate = await self.mandate(holder, funding, budget=900_000, credit=credit, **budgets)
        _, pool = await self.pool(provider, status=status)
        lot = await self.lot(provider, pool, mandate_ids=(mandate,))
        mandate_ids = (mandate,) if Decimal(equity) else ()
        order = await self.order(
            startup, cash=cash, equity=equity, mandate_ids=mandate_ids, nodes=nodes, days=days, latest=1
        )
        auction = await self.auction(no_cancel_at=no_cancel_at)
        return SimpleNamespace(
            provider=provider,
            fund=fund,
            startup=startup,
            issuer=issuer,
            mandate=mandate,
            pool=pool,
            lot=lot,
            order=order,
            auction=auction,
        )

    async def award(self, trade):
        """Let the auction of a trade run, and return the grant; a worker has to be at work."""
        self.clock.at = max(self.clock.at, self.day(0.5))
        await self.until_carried_out(trade.auction)
        return await self.state("grant", (await self.state("order", trade.order)).grant_id)

    async def deliver(self, grant, days, first=0):
        """Report whole days of a grant's use, and move the clock past them."""
        readings = tuple(
            Measurement(
                reading_id=f"day-{day}",
                start=grant.issued.start + timedelta(days=day),
                end=grant.issued.start + timedelta(days=day + 1),
                nodes=grant.issued.nodes,
            )
            for day in range(first, first + days)
        )
        self.clock.at = max(self.clock.at, grant.issued.start + timedelta(days=first + days))
        provider = self.context(grant.issued.provider_id)
        return await usage.report_usage(
            self.handler, provider, grant.issued.grant_id, source="dcgm", measurements=readings
        )

    async def complete(self, trade, days):
        """Award a grant, deliver whole days of it, wait until silence accepts its statement, and return it."""
        grant = await self.award(trade)
        await self.deliver(grant, days)
        self.clock.at = grant.end + timedelta(hours=25)
        issued = await self.until("statement", list_periods(grant)[0].statement_id, "issued")
        self.clock.at = issued.issued.accept_until
        return await self.until("grant", grant.issued.grant_id, "completed")

    async def account(self, party_id):
        return await self.state("account", rename_id("acc", party_id))

    async def auction(self, locks_at=0.5, horizon=1, periods=90, no_cancel_at=None):
        receipt = await auctions.open_auction(
            self.handler,
            self.context(),
            locks_at=self.day(locks_at),
            horizon_start=self.day(horizon),
            period_hours=24,
            periods=periods,
            seed=1,
            no_cancel_at=None if no_cancel_at is None else self.day(no_cancel_at),
        )
        return receipt.id

    async def state(self, aggregate, id):  # noqa: A002
        return (await Cache(self.log).load(DECIDERS[aggregate], id)).state

    @asynccontextmanager
    async def worker(self, log=None):
        async with running_worker(Worker(Handler(log or self.log, self.clock))) as worker:
            yield worker

    async def tick(self):
        await asyncio.sleep(0.02)

    async def until(self, aggregate, id, *statuses, seconds=PATIENCE_SECONDS):  # noqa: A002
        async with asyncio.timeout(seconds):
            while True:
                state = await self.state(aggregate, id)
                if state is not None and state.status in statuses:
                    return state
                await asyncio.sleep(0.02)

    async def until_carried_out(self, auction_id, seconds=PATIENCE_SECONDS):
        async with asyncio.timeout(seconds):
            while True:
                state = await self.until("auction", auction_id, "cleared", "failed")
                if state.is_carried_out:
                    return state
                await asyncio.sleep(0.02)


def for_cash(usd):
    """Return the rules of a mandate that pays no compute and startups draw cash from."""
    return {"budget": 0, "direct_budget_usd": Decimal(usd), "issuer_usd_max": Decimal(usd)}


@asynccontextmanager
async def running_worker(worker):
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
