"""A market with a month behind it: what every desk of the console shows something of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import httpx

from marketplace.client import MarketplaceClient
from marketplace.console.application import mount_console
from marketplace.domain.delivery.periods import list_periods
from marketplace.log.memory import MemoryLog
from tests.api.stage import Stage, open_stage
from tests.support.market.market import Market

DAYS = 31


@dataclass
class Scene:
    """A stage with the console.

    Attributes:
        paths: Pages of one startup and its provider that nobody else sees.
        keys: Tokens of the startup, the provider, the fund, and a rival that is startup and provider.
        proposal: The startup's, to issue stock to a founder; it waits for the fund.
    """

    stage: Stage
    paths: dict[str, str]
    keys: dict[str, str]
    order: str
    auction: str
    grant: str
    statement: str
    account: str
    lot: str
    pool: str
    issuer: str
    startup: str
    fund: str
    rival: str
    proposal: str

    async def wait_for_statement(self) -> None:
        """Wait until everybody sees what anybody did to the statement."""
        seen = {"Min-Seq": await self.stage.reach()}
        answer = await self.stage.admin.get(f"/v1/statements/{self.statement}", headers=seen)
        assert answer.status_code == 200, answer.text


@asynccontextmanager
async def open_scene(database_url: str) -> AsyncIterator[Scene]:
    market = Market(MemoryLog())
    trade = await market.trade(cash="2.50", days=60)
    rival = await market.party("Rival", "startup", "provider", usd=100_000)
    async with market.worker():
        grant = await market.award(trade)
    await market.deliver(grant, DAYS)  # before a worker sees that the period is over
    async with market.worker():
        statement = list_periods(grant)[0].statement_id
        await market.until("statement", statement, "issued")
    async with open_stage(market.log, database_url, clock=market.clock) as stage:
        mount_console(stage.application, stage.services)
        keys = {}
        for name, party in (
            ("startup", trade.startup),
            ("provider", trade.provider),
            ("fund", trade.fund),
            ("rival", rival),
        ):
            body = {"name": "web", "scopes": ["*"], "party_id": party}
            keys[name] = (await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"]
        own = {"order": trade.order, "grant": grant.issued.grant_id, "statement": statement}
        own["account"] = "acc" + trade.startup[3:]
        paths = {kind: f"/console/{kind}{'' if kind == 'account' else 's'}/{name}" for kind, name in own.items()}
        equity = {"issuer": trade.issuer, "startup": trade.startup, "fund": trade.fund, "rival": rival}
        equity["proposal"] = await propose_stock(open_client(stage, keys["startup"]), trade.issuer)
        yield Scene(stage, paths, keys, auction=trade.auction, lot=trade.lot, pool=trade.pool, **own, **equity)


def open_client(stage: Stage, token: str) -> MarketplaceClient:
    return MarketplaceClient("http://test", token, httpx.ASGITransport(stage.application))


async def propose_stock(client: MarketplaceClient, issuer: str) -> str:
    async with client as startup:
        await startup.issuers.create_stock_class(issuer, class_id="common", kind="common", shares_authorised=1_000)
        founder = (await startup.issuers.add_stakeholder(issuer, name="F", kind="founder")).id
        proposal = (
            await startup.stock.issue(
                issuer, holder_id=founder, class_id="common", shares=900, price_usd_per_share=Decimal("0.01")
            )
        ).id
        assert (await startup.proposals.get(proposal)).status == "open"  # pages read what was written
    return proposal


async def form_company(client: MarketplaceClient, party_id: str) -> str:
    """Form a company whose only stock is a founder's, so that nobody votes on a sale."""
    issuer = (
        await client.issuers.form(
            party_id=party_id, legal_name="Rival Inc.", formed_on=date(2025, 1, 1), jurisdiction="US"
        )
    ).id
    await client.issuers.create_stock_class(issuer, class_id="common", kind="common", shares_authorised=1_000)
    founder = (await client.issuers.add_stakeholder(issuer, name="Founder", kind="founder")).id
    await client.stock.issue(
        issuer, holder_id=founder, class_id="common", shares=900, price_usd_per_share=Decimal("0.01")
    )
    return issuer
