"""The typed client on warrants of customers and vendors, asked of a running API."""

from datetime import date
from decimal import Decimal
from typing import Any

from msgspec import structs

from events.vesting import AttestedMilestone, PriceAverage, PriceMilestone, Proportion, WarrantTranche
from marketplace.api.http.bodies.answers import Page
from marketplace.api.http.bodies.issuers import (
    AttestMilestoneBody,
    CorrectPriceBody,
    ExerciseWarrantBody,
    IssueWarrantBody,
    NamePriceSourceBody,
    ObservePriceBody,
    OpenProgrammeBody,
    StatePurchasesBody,
    TransferWarrantBody,
)
from marketplace.api.http.bodies.parties import RegisterPartyBody
from marketplace.api.http.cursors import render_cursor
from marketplace.projections.engine.database import build_engine
from marketplace.projections.equity.cap_tables import list_price_sources, list_programmes
from marketplace.projections.views.equity import PriceObservationView
from tests.api.test_client_issuers import DAY, found
from tests.api.test_client_parties import refuse

ABSENT = "grt_01jdm5v5tze1xa6a4sbz1gk3c4"


async def test_a_warrant_vests_by_payments_a_price_and_an_attestation_and_an_affiliate_exercises_it(database_url: str):
    async with found(database_url) as company:
        client, issuer, angel, founder = company.client, company.issuer, company.angel, company.founder
        sides = OpenProgrammeBody(
            name="Compute", customer_ids=(company.startup,), vendor_ids=(company.fund,), counts_outside=True
        )
        programme = (await client.warrants.open_programme(issuer, sides)).id
        source = (await client.warrants.name_price_source(issuer, NamePriceSourceBody(name="Exchange"))).id
        assert await refuse(client.warrants.add_programme_grant(issuer, programme, ABSENT)) == "grant_unknown"
        average = PriceAverage(source_id=source, days=30)
        works = AttestedMilestone(name="works", description="it trains")
        vesting = Proportion(basis="paid", from_usd=Decimal(0), to_usd=Decimal(100))
        terms = IssueWarrantBody(
            holder_id=angel,
            class_id="common",
            shares=1_100,
            exercise_price_usd=Decimal("0.10"),
            expires_at=company.now + 900 * DAY,
            settlement="cash",
            programme_id=programme,
            transfer="affiliates",
            affiliate_ids=(founder,),
            tranches=(
                WarrantTranche(shares=1_000, proportion=vesting),
                WarrantTranche(
                    shares=100,
                    conditions=((PriceMilestone(price_usd_per_share=Decimal(2), average=average),),),
                    exercise_conditions=((works,),),
                ),
            ),
        )
        warrant = (await client.warrants.issue(issuer, terms)).id
        paid = StatePurchasesBody(
            customer_id=company.startup,
            vendor_id=company.fund,
            starts_on=date(2025, 2, 1),
            ends_on=date(2025, 2, 28),
            purchased_usd=Decimal(40),
            paid_usd=Decimal(40),
            document="statement",
            excludes_market=True,
        )
        await client.warrants.state_purchases(issuer, programme, paid)
        seen = ObservePriceBody(day=company.now.date(), price_usd_per_share=Decimal(3), volume=10)
        await client.warrants.observe_price(issuer, source, seen)
        await client.warrants.correct_price(issuer, source, CorrectPriceBody(**structs.asdict(seen), reason="typo"))
        (opened,) = [each async for each in client.warrants.list_programmes(issuer)]
        assert [each.paid_usd for each in opened.purchases] == [40]
        (named,) = [each async for each in client.warrants.list_price_sources(issuer)]
        (priced,) = [each async for each in client.warrants.list_price_observations(issuer, named.source_id)]
        assert (named.name, priced.price_usd_per_share, priced.volume) == ("Exchange", 3, 10)
        shown = await client.warrants.get(issuer, warrant)
        assert [(each.shares_unvested, each.shares_exercisable) for each in shown.tranches] == [(600, 400), (0, 0)]
        reached = AttestMilestoneBody(milestone="works", document="report")
        await client.warrants.attest_milestone(issuer, warrant, reached)
        await client.warrants.transfer(issuer, warrant, TransferWarrantBody(holder_id=angel, holder_id_after=founder))
        (listed,) = [each async for each in client.warrants.list(issuer)]
        assert (listed.holder_id, listed.attested, listed.tranches[1].shares_exercisable) == (founder, ("works",), 100)
        await client.warrants.exercise(issuer, warrant, ExerciseWarrantBody(shares=500))
        assert await company.count(founder) == 1_000_000 + 500 + 600, "and the rest of the warrant"


async def test_a_party_reads_its_own_programmes_and_pages_hold_no_others(database_url: str):
    async with found(database_url) as company:
        client, issuer = company.client, company.issuer
        other = RegisterPartyBody(name="Other", roles=("provider",), jurisdiction="US")
        vendors = (company.fund, (await client.parties.register(other)).id)
        for vendor in vendors:
            sides = OpenProgrammeBody(name="Compute", customer_ids=(company.startup,), vendor_ids=(vendor,))
            await client.warrants.open_programme(issuer, sides)
        both = [each async for each in client.warrants.list_programmes(issuer)]
        engine = build_engine(database_url)
        async with engine.connect() as connection:
            own = {each.vendor_ids: each for each in both}
            for vendor in vendors:
                assert await list_programmes(connection, issuer, party_id=vendor, limit=1) == [own[(vendor,)]]
            assert await list_programmes(connection, issuer, party_id=company.founder) == []
        await engine.dispose()


async def test_a_recorder_reads_its_own_price_sources_and_no_others(database_url: str):
    async with found(database_url) as company:
        client, issuer = company.client, company.issuer
        for recorder_id in (None, company.fund):
            body = NamePriceSourceBody(name="Exchange", recorder_id=recorder_id)
            await client.warrants.name_price_source(issuer, body)
        both = {each.recorder_id: each async for each in client.warrants.list_price_sources(issuer)}
        assert both.keys() == {None, company.fund}
        engine = build_engine(database_url)
        async with engine.connect() as connection:
            assert await list_price_sources(connection, issuer, recorder_id=company.fund) == [both[company.fund]]
            assert await list_price_sources(connection, issuer, recorder_id=company.founder) == []
        await engine.dispose()


async def test_prices_are_read_in_pages_and_a_foreign_cursor_is_refused(database_url: str):
    async with found(database_url) as company:
        client, issuer = company.client, company.issuer
        source = (await client.warrants.name_price_source(issuer, NamePriceSourceBody(name="Exchange"))).id
        days = [company.now.date() - DAY * back for back in (2, 1, 0)]
        for day in days:
            await client.warrants.observe_price(
                issuer, source, ObservePriceBody(day=day, price_usd_per_share=Decimal("0.00000067"), volume=1)
            )
        path = f"/v1/issuers/{issuer}/price-sources/{source}/observations"
        first = await client.get(path, Page[PriceObservationView], limit=2)
        shown = await client.get(path, dict[str, Any], limit=1)
        assert shown["items"][0]["price_usd_per_share"] == "0.00000067"
        rest = await client.get(path, Page[PriceObservationView], limit=2, cursor=first.next_cursor)
        assert [each.day for each in (*first.items, *rest.items)] == days
        foreign = render_cursor("no day")
        assert await refuse(client.get(path, Page[PriceObservationView], cursor=foreign)) == "cursor_invalid"
