"""A newcomer takes a convertible note from its issue to stock, by the client alone, each party with its own key."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

import httpx
import pytest
from litestar import Litestar

from events.financing import Approval, Investment
from events.mandate import MandateTerms
from events.types import MaturityConversion, NoteTerms
from marketplace.client import MarketplaceClient, ProblemError
from marketplace.core.ids import rename_id
from marketplace.domain.equity.issuer.terms import RoundDraft
from marketplace.log.memory import MemoryLog
from tests.api.stage import ADMIN_KEY, open_stage
from tests.support.patience import PATIENCE_SECONDS

PAPER = Approval(document="board consent 1")
DAYS = 400


@dataclass
class Parties:
    admin: MarketplaceClient
    startup: MarketplaceClient
    fund: MarketplaceClient
    startup_id: str
    fund_id: str
    issuer_id: str
    mandate_id: str
    transport: httpx.AsyncBaseTransport
    application: Litestar


@asynccontextmanager
async def begin(database_url):
    """Register a startup and a fund, each with a key; form the company and grant the mandate."""
    async with open_stage(MemoryLog(), database_url, worker=True, embedded=True) as stage:
        transport = httpx.ASGITransport(stage.application)

        def speak(token):
            return MarketplaceClient("http://test", token, transport)

        async with speak(ADMIN_KEY) as admin:
            ids, keys = [], []
            for name, role in (("Acme", "startup"), ("Fund", "fund")):
                party = await admin.parties.register(name=name, roles=(role,), jurisdiction="US")
                await admin.parties.clear(party.id, checks=("sanctions",))
                issued = await admin.api_keys.issue(name="own", scopes=("*",), party_id=party.id)
                ids.append(party.id)
                keys.append(issued.token)
            await admin.accounts.deposit(rename_id("acc", ids[1]), amount_usd=Decimal(6_000_000), reference="wire 1")
            async with speak(keys[0]) as startup, speak(keys[1]) as fund:
                issuer = await form_company(startup, ids[0])
                rules = MandateTerms(
                    instrument_kinds=("convertible_note",),
                    equity_credit=Decimal(1),
                    budget_usd=Decimal(0),
                    issuer_usd_max=Decimal(500_000),
                    direct_budget_usd=Decimal(500_000),
                )
                mandate = await fund.mandates.grant(holder_id=ids[1], funding="cash", terms=rules)
                yield Parties(admin, startup, fund, *ids, issuer, mandate.id, transport, stage.application)


async def form_company(startup, startup_id):
    issuer = (
        await startup.issuers.form(
            party_id=startup_id, legal_name="Acme, Inc.", jurisdiction="US", formed_on=date(2025, 1, 1)
        )
    ).id
    await startup.issuers.create_stock_class(issuer, class_id="common", kind="common", shares_authorised=20_000_000)
    founder = (await startup.issuers.add_stakeholder(issuer, name="Founder", kind="founder")).id
    await startup.stock.issue(
        issuer,
        holder_id=founder,
        class_id="common",
        shares=8_000_000,
        price_usd_per_share=Decimal("0.0001"),
    )
    return issuer


async def lend(parties, **terms):
    """Let the startup draw 100,000 on a note under the mandate, and return the note's id."""
    now = (await parties.admin.clock.get()).now
    note = NoteTerms(
        annual_rate=Decimal("0.08"),
        interest="simple",
        day_count="actual_365",
        matures_on=(now + timedelta(days=DAYS)).date(),
        valuation_cap_usd=Decimal(8_000_000),
        discount=Decimal("0.20"),
        **terms,
    )
    return (
        await parties.startup.instruments.invest(
            startup_id=parties.startup_id, mandate_id=parties.mandate_id, amount_usd=Decimal(100_000), terms=note
        )
    ).id


async def list_open(client):
    return [each async for each in client.proposals.list(status="open")]


async def wait(read, holds):
    """Return what is read once it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            seen = await read()
            if holds(seen):
                return seen
            await asyncio.sleep(0.05)


async def test_a_note_that_matures_becomes_stock_by_itself(database_url):
    at_maturity = MaturityConversion(
        class_id="common", capitalization_definition="existing_fully_diluted", share_rounding="floor"
    )
    async with begin(database_url) as parties:
        note = await lend(parties, at_maturity=at_maturity)
        seen = await parties.fund.instruments.get(note)
        assert (seen.status, seen.principal_usd) == ("active", 100_000)
        await parties.admin.clock.advance(seconds=int(timedelta(days=DAYS + 2).total_seconds()))

        after = await wait(lambda: parties.fund.instruments.get(note), lambda one: one.status == "converted")
        interest = Decimal(100_000) * Decimal("0.08") * DAYS / 365
        shares = int((100_000 + interest) / 1)
        assert after.conversion.shares == pytest.approx(shares, abs=1)
        (row,) = [each async for each in parties.fund.issuers.list_holdings(holder_id=parties.fund_id)]
        assert (row.issuer_id, row.row.class_id, row.row.shares) == (
            parties.issuer_id,
            "common",
            after.conversion.shares,
        )


async def test_a_note_converts_in_a_round_that_its_holder_agrees_to(database_url):
    async with begin(database_url) as parties:
        note = await lend(parties)
        draft = {
            "class_id": "series-a",
            "pre_money_usd": Decimal(20_000_000),
            "investments": (Investment(holder_id=parties.fund_id, amount_usd=Decimal(5_000_000)),),
            "pool_post_money": Decimal("0.10"),
            "pool_timing": "pre_money",
            "pricing_convention": "percent_ownership",
            "capitalization_definition": "yc_standard",
            "share_rounding": "floor",
            "price_places": 4,
            "price_rounding": "half_even",
            "liquidation_multiple": Decimal(1),
            "seniority": 1,
            "participation": "none",
        }
        issuer = parties.issuer_id
        undated = (await parties.startup.financings.open(issuer, name="A", terms=RoundDraft(**draft))).id
        with pytest.raises(ProblemError) as caught:
            await parties.startup.financings.price(issuer, undated)
        assert (caught.value.code, "closing_date" in str(caught.value)) == ("missing_convention", True)
        await parties.startup.financings.abandon(issuer, undated, reason="it lacked a closing date")
        closing = (await parties.admin.clock.get()).now.date() + timedelta(days=30)
        terms = RoundDraft(**draft, closing_date=closing)
        financing = (await parties.startup.financings.open(issuer, name="A", terms=terms)).id
        await parties.startup.financings.price(issuer, financing)
        await parties.startup.financings.get(issuer, financing)  # waits until what it wrote can be read
        (mine,) = (await parties.fund.financings.get(issuer, financing)).pricing.conversions
        assert (mine.instrument_id, mine.branch) == (note, "cap")
        proposed = await parties.startup.financings.close(issuer, financing, approval=PAPER)
        (proposal,) = await wait(lambda: list_open(parties.fund), bool)
        assert proposal.proposal_id == proposed.id
        assert {vote.party_id for vote in proposal.votes} >= {parties.fund_id}
        await parties.fund.proposals.agree(proposed.id)
        assert (await parties.fund.instruments.get(note)).status == "converted"
        rows = [each async for each in parties.fund.issuers.list_holdings(holder_id=parties.fund_id)]
        assert sum(each.row.shares for each in rows) > mine.shares > 0


async def test_an_investor_reads_the_proposal_that_its_mandate_agrees_to(database_url):
    async with begin(database_url) as parties:
        await lend(parties)
        angel = await parties.admin.parties.register(name="Angel", roles=("fund",), jurisdiction="US")
        await parties.admin.parties.clear(angel.id, checks=("sanctions",))
        token = (await parties.admin.api_keys.issue(name="own", scopes=("*",), party_id=angel.id)).token
        await parties.admin.accounts.deposit(
            rename_id("acc", angel.id), amount_usd=Decimal(500_000), reference="wire 2"
        )
        async with MarketplaceClient("http://test", token, parties.transport) as client:
            rules = (await parties.fund.mandates.get(parties.mandate_id)).terms
            mandate = await client.mandates.grant(holder_id=angel.id, funding="cash", terms=rules)
            proposed = await lend(replace(parties, mandate_id=mandate.id))
            (mine,) = await wait(lambda: list_open(client), bool)
            assert {(each.party_id, each.vote) for each in mine.votes} == {
                (angel.id, "mandated"),
                (parties.fund_id, "asked"),
            }
            assert (await client.proposals.get(mine.proposal_id)).effects == mine.effects
            with pytest.raises(ProblemError) as caught:
                await client.proposals.refuse(mine.proposal_id, reason="no")
            assert caught.value.code == "not_asked"
            await parties.fund.proposals.agree(mine.proposal_id)
            effective = await wait(
                lambda: client.proposals.get(mine.proposal_id), lambda one: one.status == "effective"
            )
            assert proposed in {effective.proposal_id, *(each.aggregate_id for each in effective.effects)}
