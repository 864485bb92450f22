"""The typed client on companies: stock, rights, instruments, a round and a sale, each asked of a running API."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import msgspec

from events.financing import Approval, Investment
from events.issuer_holders import HolderTerms
from events.mandate import MandateTerms
from events.types import NoteTerms, PrincipalTerms, SafeTerms
from marketplace.client import MarketplaceClient
from marketplace.domain.equity.issuer.terms import RoundDraft
from marketplace.log.memory import MemoryLog
from tests.api.stage import open_stage
from tests.api.supplying import acting_for
from tests.api.test_client_parties import refuse, speak

DAY = timedelta(days=1)
CONSENT = Approval(document="board consent 1")
SAFE = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal(10_000_000))


@dataclass
class Company:
    """A startup with a founder and a million common shares, and a fund that may invest in it."""

    client: MarketplaceClient
    startup: str
    fund: str
    issuer: str
    founder: str
    angel: str
    mandate: str
    now: datetime

    async def count(self, holder_id: str, class_id: str = "common") -> int:
        """Return how many shares a holder has."""
        rows = (await self.client.cap_tables.get(self.issuer)).rows
        return sum(row.shares for row in rows if (row.holder_id, row.class_id) == (holder_id, class_id))

    async def invest(self, terms: PrincipalTerms, usd: int = 1_000) -> str:
        return (
            await self.client.instruments.invest(
                startup_id=self.startup, mandate_id=self.mandate, amount_usd=Decimal(usd), terms=terms
            )
        ).id


@asynccontextmanager
async def found(database_url: str) -> AsyncIterator[Company]:
    async with open_stage(MemoryLog(), database_url) as stage, speak(stage) as client:
        startup = await stage.register("Acme", "startup", usd="50000")
        fund = await stage.register("Fund", "fund", usd="50000")
        issuer = (
            await client.issuers.form(
                party_id=startup, legal_name="Acme, Inc.", jurisdiction="US", formed_on=date(2025, 1, 1)
            )
        ).id
        founder, angel = [
            (await client.issuers.add_stakeholder(issuer, name=name, kind=kind)).id
            for name, kind in (("Founder", "founder"), ("Angel", "investor"))
        ]
        await client.issuers.create_stock_class(issuer, class_id="common", kind="common", shares_authorised=2_000_000)
        await client.stock.issue(
            issuer, holder_id=founder, class_id="common", shares=1_000_000, price_usd_per_share=Decimal("0.0001")
        )
        rules = MandateTerms(
            instrument_kinds=("safe", "convertible_note", "stock"),
            equity_credit=Decimal("0.8"),
            budget_usd=Decimal(0),
            issuer_usd_max=Decimal(40_000),
            direct_budget_usd=Decimal(40_000),
        )
        async with acting_for(client, fund) as own:
            mandate = await own.mandates.grant(holder_id=fund, funding="cash", terms=rules)
        now = (await client.clock.get()).now
        yield Company(client, startup, fund, issuer, founder, angel, mandate.id, now)


async def test_stock_is_transferred_bought_back_converted_and_split(database_url: str):
    async with found(database_url) as company:
        client, issuer, founder, angel = company.client, company.issuer, company.founder, company.angel
        common = {"class_id": "common", "shares": 1_000}
        move = {"holder_id": founder, "holder_id_after": angel, **common}
        await client.stock.transfer(issuer, **move)
        assert (await company.count(founder), await company.count(angel)) == (999_000, 1_000)
        await client.stock.repurchase(issuer, holder_id=angel, **common, price_usd_per_share=Decimal("0.01"))
        assert await company.count(angel) == 0
        await client.issuers.create_stock_class(
            issuer,
            class_id="seed",
            kind="preferred",
            shares_authorised=1_000,
            price_per_share_usd=Decimal("0.50"),
            liquidation_multiple=Decimal(1),
        )
        await client.stock.issue(
            issuer, holder_id=angel, class_id="seed", shares=300, price_usd_per_share=Decimal("0.50")
        )
        assert await company.count(angel, "seed") == 300
        await client.stock.convert(issuer, holder_id=angel, class_id="seed", shares=300, class_id_after="common")
        assert (await company.count(angel), await company.count(angel, "seed")) == (300, 0)
        seen = await client.issuers.get(issuer)
        await client.stock.split(issuer, numerator=2, denominator=1, if_match=seen.last_sequence)
        assert (await company.count(founder), await company.count(angel)) == (1_998_000, 600)
        await client.issuers.adjust_authorised(issuer, class_id="common", shares_authorised=9_000_000, approval=CONSENT)
        classes = {each.class_id: each for each in await client.issuers.list_stock_classes(issuer)}
        assert (classes["common"].shares_authorised, classes["seed"].shares_authorised) == (9_000_000, 2_000)


async def test_offered_shares_are_waived_withdrawn_and_taken(database_url: str):
    async with found(database_url) as company:
        client, issuer = company.client, company.issuer
        offer = {
            "holder_id": company.founder,
            "holder_id_after": company.angel,
            "class_id": "common",
            "shares": 1_000,
            "price_usd_per_share": Decimal("0.02"),
            "decide_until": company.now + 30 * DAY,
        }
        first = (await client.stock.offer(issuer, **offer)).id
        await client.stock.waive_first_refusal(issuer, first, approval=CONSENT)
        second = (await client.stock.offer(issuer, **offer)).id
        await client.stock.withdraw_offer(issuer, second, reason="the founder keeps them")
        third = (await client.stock.offer(issuer, **offer)).id
        await client.stock.exercise_first_refusal(issuer, third, holder_id=company.angel)
        status = {each.transfer_id: each.status async for each in client.stock.list_offers(issuer)}
        assert status == {first: "waived", second: "withdrawn", third: "exercised"}
        assert await company.count(company.angel) == 1_000


async def test_options_promises_and_warrants_become_shares(database_url: str):
    async with found(database_url) as company:
        client, issuer, angel = company.client, company.issuer, company.angel
        await client.issuers.adjust_stock_plan(issuer, shares_reserved=10_000, approval=CONSENT)
        assert (await client.issuers.get(issuer)).plan_shares_reserved == 10_000
        promise = (await client.options.promise(issuer, holder_id=angel, shares=9_500)).id
        granted = {"holder_id": angel, "shares": 1_000, "exercise_price_usd": Decimal("0.10")}
        assert await refuse(client.options.grant(issuer, **granted)) == "pool_exhausted"
        await client.options.withdraw_promise(issuer, promise, reason="the candidate declined")
        option = (await client.options.grant(issuer, **granted)).id
        await client.options.exercise(issuer, option, class_id="common", shares=400)
        passes = {"holder_id": angel, "holder_id_after": company.fund}
        assert await refuse(client.options.transfer(issuer, option, **passes)) == "stakeholder_unknown"
        await client.issuers.add_stakeholder(issuer, holder_id=company.fund, name="Fund", kind="investor")
        await client.options.transfer(issuer, option, **passes)
        assert await refuse(client.options.transfer(issuer, option, **passes)) == "option_not_held"
        await client.options.cancel(issuer, option, shares=600, kind="cancelled", reason="by agreement")
        assert await refuse(client.options.exercise(issuer, option, class_id="common", shares=1)) == "option_overdrawn"
        warrant = (
            await client.warrants.issue(
                issuer,
                holder_id=angel,
                class_id="common",
                shares=900,
                exercise_price_usd=Decimal("0.10"),
                expires_at=company.now + 900 * DAY,
                settlement="either",
            )
        ).id
        net = {"shares": 900, "settlement": "net"}
        assert await refuse(client.warrants.exercise(issuer, warrant, **net)) == "fair_value_missing"
        await client.issuers.record_valuation(
            issuer, price_usd_per_share=Decimal("0.30"), method="409A", effective_on=date(2025, 5, 1)
        )
        await client.warrants.exercise(issuer, warrant, **net)
        assert await company.count(angel) == 400 + 600, "two thirds of the warrant are left once its price is paid"
        await client.issuers.record_valuation(
            issuer, price_usd_per_share=Decimal("0.12"), method="409A", effective_on=date(2025, 6, 1)
        )
        (_, valued) = [each async for each in client.issuers.list_valuations(issuer)]
        assert (valued.method, valued.price_usd_per_share) == ("409A", Decimal("0.12"))


async def test_an_instrument_is_amended_suspended_taken_back_and_cancelled(database_url: str):
    async with found(database_url) as company:
        client = company.client
        instrument = await company.invest(SAFE)
        discounted = msgspec.structs.replace(SAFE, discount=Decimal("0.20"))
        await client.instruments.amend(instrument, terms=discounted, applies_to_earlier=True)
        await client.instruments.suspend(instrument, reason="in dispute")
        seen = await client.instruments.get(instrument)
        assert (seen.terms, seen.status, seen.principal_usd) == (discounted, "suspended", 1_000)
        await client.instruments.resume(instrument)
        passes = {"holder_id": company.fund, "holder_id_after": company.fund}
        assert await refuse(client.instruments.transfer(instrument, **passes)) == "transfer_excluded"
        assert (await client.instruments.get(instrument)).status == "active"
        (accrued,) = [each async for each in client.instruments.list_movements(instrument)]
        await client.instruments.reverse_principal(
            instrument, tranche_id=accrued.tranche_id, principal_usd=Decimal(400), reason="refunded"
        )
        (row,) = [each async for each in client.issuers.list_principal(company.issuer)]
        assert (row.instrument_id, row.principal_usd) == (instrument, 600)
        assert (
            await refuse(client.instruments.cancel(instrument, at=company.now, reason="nothing accrued"))
            == "principal_accrued"
        )
        (listed,) = [each async for each in client.instruments.list(issuer_id=company.issuer, holder_id=company.fund)]
        assert (listed.instrument_id, listed.principal_usd) == (instrument, 600)


async def test_a_note_is_repaid_and_a_favoured_safe_takes_later_terms(database_url: str):
    async with found(database_url) as company:
        client = company.client
        note = await company.invest(
            NoteTerms(
                annual_rate=Decimal("0.08"),
                interest="simple",
                day_count="actual_365",
                matures_on=(company.now + 1_000 * DAY).date(),
                valuation_cap_usd=Decimal(10_000_000),
            )
        )
        await client.instruments.repay(note)
        assert (await client.instruments.get(note)).status == "repaid"
        favoured = await company.invest(msgspec.structs.replace(SAFE, most_favoured_nation=True))
        better = msgspec.structs.replace(SAFE, valuation_cap_usd=Decimal(5_000_000))
        later = await company.invest(better)
        until = company.now + 30 * DAY
        noticed = await client.instruments.notice_mfn(favoured, later_instrument_id=later, elect_until=until)
        seen = await client.instruments.get(favoured)
        assert seen.last_sequence == noticed.version, "what was read is what an election refers to"
        (offered,) = [each async for each in client.instruments.list_mfn_notices(favoured)]
        assert (offered.later_instrument_id, offered.terms, offered.elect_until) == (later, better, until)
        assert offered.elected is None
        await client.instruments.elect_mfn(favoured, later_instrument_id=later, if_match=seen.last_sequence)
        assert [each.elected async for each in client.instruments.list_mfn_notices(favoured)] == [True]
        assert (await client.instruments.get(favoured)).terms == better, (
            "it shows the terms in force, without the clause"
        )
        listed = {each.instrument_id: each.terms async for each in client.instruments.list(holder_id=company.fund)}
        assert listed[favoured] == better
        assert await refuse(client.instruments.elect_mfn(favoured, later_instrument_id=None)) == "election_made"


async def test_a_round_is_abandoned_another_closed_and_the_company_sold(database_url: str):
    async with found(database_url) as company:
        client, issuer = company.client, company.issuer
        instrument = await company.invest(SAFE)
        draft = RoundDraft(
            class_id="series-a",
            pre_money_usd=Decimal(20_000_000),
            investments=(Investment(holder_id=company.angel, amount_usd=Decimal(5_000_000)),),
            pool_post_money=Decimal("0.10"),
            pool_timing="pre_money",
            pricing_convention="percent_ownership",
            capitalization_definition="yc_standard",
            share_rounding="floor",
            price_places=4,
            price_rounding="half_even",
            liquidation_multiple=Decimal(1),
            seniority=1,
            participation="none",
        )
        body = {"name": "Series A", "terms": draft}
        left = (await client.financings.open(issuer, **body)).id
        await client.financings.abandon(issuer, left, reason="the lead left")
        financing = (await client.financings.open(issuer, **body)).id
        assert await refuse(client.financings.price(issuer, financing)) == "pro_rata_open"
        decline = {"amount_usd": Decimal(0), "holder_id": company.fund}
        await client.financings.answer_pro_rata(issuer, financing, **decline)
        await client.financings.price(issuer, financing)
        await client.financings.close(issuer, financing, approval=CONSENT)
        status = {each.financing_id: each.status async for each in client.financings.list(issuer)}
        assert status == {left: "abandoned", financing: "closed"}
        assert (await client.instruments.get(instrument)).status == "converted"
        assert await company.count(company.angel, "series-a") > 0
        portfolio = await client.parties.get_portfolio(company.fund)
        marks = {(line.mark_method, line.mark_source) for line in portfolio.positions}
        assert (marks, portfolio.sums.moic) == ({("cost", None)}, 1), "the angel's money is only stated"
        terms = HolderTerms(pro_rata=(company.angel,), pro_rata_waived=(company.fund,), pro_rata_days=7)
        await client.financings.agree_holder_terms(issuer, terms=terms, approval=CONSENT)
        assert (await client.issuers.get(issuer)).holder_terms.pro_rata == (company.angel,)
        lead = (Investment(holder_id=company.founder, amount_usd=Decimal(1_000_000)),)
        bridge = msgspec.structs.replace(draft, class_id="bridge", investments=lead)
        offered = (await client.financings.open(issuer, name="Bridge", terms=bridge)).id
        (offer,) = (await client.financings.get(issuer, offered)).pro_rata
        assert offer.holder_id == company.angel
        decline = {"amount_usd": Decimal(0)}
        assert await refuse(client.financings.answer_pro_rata(issuer, offered, **decline)) == "pro_rata_unknown", (
            "not its holder"
        )
        await client.financings.abandon(issuer, offered, reason="a buyer came")
        former = (await client.financings.declare_liquidity(issuer, proceeds_usd=Decimal(8_000))).id
        await client.financings.withdraw_liquidity(issuer, former, reason="too little")
        assert (await client.financings.get_liquidity_event(issuer, former)).status == "withdrawn"
        sale = (await client.financings.declare_liquidity(issuer, proceeds_usd=Decimal(9_000))).id
        await client.financings.pay_distribution(issuer, sale)
        sold = {each.liquidity_id: each async for each in client.financings.list_liquidity_events(issuer)}[sale]
        assert sold.status == "paid"
        assert sold.paid_usd == sum(each.cash_usd for each in sold.waterfall.payouts)


async def test_a_company_goes_out_as_a_package_and_another_comes_in_from_it(database_url: str):
    async with found(database_url) as company:
        client = company.client
        heir = (await client.parties.register(name="Heir", roles=("startup",), jurisdiction="US")).id
        await client.parties.clear(heir, checks=("sanctions",))
        package = await client.issuers.export_ocf(company.issuer)
        body = {"party_id": heir, "source": "x.zip", "package_base64": base64.b64encode(package).decode()}
        report = await client.issuers.check_ocf(**body)
        assert (report.clean, report.findings) == (True, ())
        inherited = (await client.issuers.import_ocf(**body)).id
        assert await client.issuers.export_ocf(inherited) == package
        assert {each.name async for each in client.issuers.list_stakeholders(inherited)} == {"Founder", "Angel"}
