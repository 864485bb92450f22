"""The typed client on warrants of customers and vendors, asked of a running API."""

from datetime import date
from decimal import Decimal
from typing import Any

from events.vesting import AttestedMilestone, PriceAverage, PriceMilestone, Proportion, WarrantTranche
from marketplace.api.http.bodies.answers import Page
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
        sides = {"customer_ids": (company.startup,), "vendor_ids": (company.fund,)}
        opened = await client.warrants.open_programme(issuer, name="Compute", **sides, counts_outside=True)
        programme = opened.id
        source = (await client.warrants.name_price_source(issuer, name="Exchange")).id
        assert await refuse(client.warrants.add_programme_grant(issuer, programme, grant_id=ABSENT)) == "grant_unknown"
        average = PriceAverage(source_id=source, days=30)
        works = AttestedMilestone(name="works", description="it trains")
        vesting = Proportion(basis="paid", from_usd=Decimal(0), to_usd=Decimal(100))
        issued = await client.warrants.issue(
            issuer,
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
        await client.warrants.state_purchases(
            issuer,
            programme,
            customer_id=company.startup,
            vendor_id=company.fund,
            starts_on=date(2025, 2, 1),
            ends_on=date(2025, 2, 28),
            purchased_usd=Decimal(40),
            paid_usd=Decimal(40),
            document="statement",
            excludes_market=True,
        )
        seen = {"day": company.now.date(), "price_usd_per_share": Decimal(3), "volume": 10}
        await client.warrants.observe_price(issuer, source, **seen)
        await client.warrants.correct_price(issuer, source, **seen, reason="typo")
        (opened,) = [each async for each in client.warrants.list_programmes(issuer)]
        assert [each.paid_usd for each in opened.purchases] == [40]
        (named,) = [each async for each in client.warrants.list_price_sources(issuer)]
        (priced,) = [each async for each in client.warrants.list_price_observations(issuer, named.source_id)]
        assert (named.name, priced.price_usd_per_share, priced.volume) == ("Exchange", 3, 10)
        shown = await client.warrants.get(issuer, issued.id)
        assert [(each.shares_unvested, each.shares_exercisable) for each in shown.tranches] == [(600, 400), (0, 0)]
        await client.warrants.attest_milestone(issuer, issued.id, milestone="works", document="report")
        await client.warrants.transfer(issuer, issued.id, holder_id=angel, holder_id_after=founder)
        (listed,) = [each async for each in client.warrants.list(issuer)]
        assert (listed.holder_id, listed.attested, listed.tranches[1].shares_exercisable) == (founder, ("works",), 100)
        await client.warrants.exercise(issuer, issued.id, shares=500)
        assert await company.count(founder) == 1_000_000 + 500 + 600, "and the rest of the warrant"


async def test_a_party_reads_its_own_programmes_and_pages_hold_no_others(database_url: str):
    async with found(database_url) as company:
        client, issuer = company.client, company.issuer
        vendors = (
            company.fund,
            (await client.parties.register(name="Other", roles=("provider",), jurisdiction="US")).id,
        )
        for vendor in vendors:
            await client.warrants.open_programme(
                issuer, name="Compute", customer_ids=(company.startup,), vendor_ids=(vendor,)
            )
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
            await client.warrants.name_price_source(issuer, name="Exchange", recorder_id=recorder_id)
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
        source = (await client.warrants.name_price_source(issuer, name="Exchange")).id
        days = [company.now.date() - DAY * back for back in (2, 1, 0)]
        for day in days:
            await client.warrants.observe_price(
                issuer, source, day=day, price_usd_per_share=Decimal("0.00000067"), volume=1
            )
        path = f"/v1/issuers/{issuer}/price-sources/{source}/observations"
        first = await client.get(path, Page[PriceObservationView], limit=2)
        shown = await client.get(path, dict[str, Any], limit=1)
        assert shown["items"][0]["price_usd_per_share"] == "0.00000067"
        rest = await client.get(path, Page[PriceObservationView], limit=2, cursor=first.next_cursor)
        assert [each.day for each in (*first.items, *rest.items)] == days
        foreign = render_cursor("no day")
        assert await refuse(client.get(path, Page[PriceObservationView], cursor=foreign)) == "cursor_invalid"
