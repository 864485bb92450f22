"""A holder sees an issuer as deep as the holder terms say; a former holder and a stranger see nothing."""

import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from msgspec.structs import asdict

from events.financing import Approval, Investment
from events.issuer_holders import HolderTerms
from events.vesting import AttestedMilestone, VestingSchedule, WarrantTranche
from marketplace.api.http.bodies.equity import (
    BuyerStockBody,
)
from marketplace.api.http.bodies.issuers import (
    IssueWarrantBody,
)
from marketplace.captable.plots import Range
from marketplace.client import MarketplaceClient, ProblemError
from marketplace.core.ids import rename_id
from marketplace.domain.equity.issuer.terms import RoundDraft
from tests.api.doors import serve
from tests.api.test_feed import read_stream
from tests.api.test_note_walk import begin, form_company, lend
from tests.support.patience import PATIENCE_SECONDS

PAPER = Approval(document="minutes")
BOSS = {"price_per_share_usd": Decimal(1_000_000), "liquidation_multiple": Decimal(10)}
EXITS = {"range": Range(low_usd=Decimal(1_000_000), high_usd=Decimal(90_000_000), points=3)}


async def refuse(asked):
    with pytest.raises(ProblemError) as caught:
        await asked
    return caught.value.code


async def agree(parties, proposed, *voters):
    """Let the voters agree; what each reads afterwards includes what the last of them brought about."""
    for voter in voters:
        await voter.proposals.agree(proposed.id)
    everyone = (parties.startup, *voters)
    latest = max(client.last_sequence for client in everyone)
    for client in everyone:
        client.last_sequence = latest


async def join(parties, stack, role="fund"):
    """Register another fund or startup with its own key and money."""
    party = await parties.admin.parties.register(name="Other", roles=(role,), jurisdiction="US")
    await parties.admin.parties.clear(party.id, checks=("sanctions",))
    await parties.admin.accounts.deposit(
        rename_id("acc", party.id), amount_usd=Decimal(6_000_000), reference=f"wire {party.id}"
    )
    issued = await parties.admin.api_keys.issue(name="own", scopes=("*",), party_id=party.id)
    client = MarketplaceClient("http://test", issued.token, parties.transport)
    return party.id, await stack.enter_async_context(client)


async def buy(parties, holder_id, shares, *voters):
    """Let a holder buy common stock, with the votes of those who hold some."""
    issuer = parties.issuer_id
    await parties.startup.issuers.add_stakeholder(issuer, name="F", kind="investor", holder_id=holder_id)
    await agree(
        parties,
        await parties.startup.stock.issue(
            issuer, holder_id=holder_id, class_id="common", shares=shares, price_usd_per_share=Decimal("0.01")
        ),
        *voters,
    )


async def read_all(client, issuer):
    """Return how many rows of the cap table, stock classes, rounds and sales a party reads."""
    table = await client.cap_tables.get(issuer)
    rounds = [each async for each in client.financings.list(issuer)]
    sales = [each async for each in client.financings.list_liquidity_events(issuer)]
    classes = await client.issuers.list_stock_classes(issuer)
    return table, rounds, sales, classes


async def set_terms(parties, terms, *voters):
    proposed = await parties.startup.financings.agree_holder_terms(parties.issuer_id, terms=terms, approval=PAPER)
    await agree(parties, proposed, *voters)


async def price(parties, investor_id):
    """Open and price a round, and return it."""
    draft = RoundDraft(
        class_id="series-a",
        pre_money_usd=Decimal(20_000_000),
        investments=(Investment(holder_id=investor_id, amount_usd=Decimal(5_000_000)),),
        pool_post_money=Decimal(0),
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
    issuer = parties.issuer_id
    financing = (await parties.startup.financings.open(issuer, name="A", terms=draft)).id
    for offer in (await parties.startup.financings.get(issuer, financing)).pro_rata:
        await parties.admin.financings.answer_pro_rata(
            issuer, financing, amount_usd=Decimal(0), holder_id=offer.holder_id
        )
    await parties.startup.financings.price(issuer, financing)
    return financing


async def finance(parties, investor_id, *voters):
    financing = await price(parties, investor_id)
    closing = await parties.startup.financings.close(parties.issuer_id, financing, approval=PAPER)
    await agree(parties, closing, *voters)


async def test_a_mark_ends_once_the_money_behind_it_went_back_to_its_investor(database_url):
    """A friend of the company paid for a round at a high price, and was bought out at that price in the next call."""
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        other_id, other = await join(parties, stack)
        await buy(parties, parties.fund_id, 1_000, parties.fund)
        await finance(parties, other_id, parties.fund, other)
        (line,) = (await parties.fund.parties.get_portfolio(parties.fund_id)).positions
        assert (line.mark_method, line.mark_source.new_usd) == ("last_round", 5_000_000)
        (known,) = [each async for each in parties.startup.financings.list(parties.issuer_id)]
        (bought,) = known.pricing.allotments
        back = {"shares": bought.shares * 9 // 10, "price_usd_per_share": known.pricing.price_usd_per_share}
        body = {"holder_id": other_id, "class_id": "series-a", **back}
        await agree(parties, await parties.startup.stock.repurchase(parties.issuer_id, **body), other, parties.fund)
        portfolio = await parties.fund.parties.get_portfolio(parties.fund_id)
        (line,) = portfolio.positions
        assert (line.mark_method, line.mark_source, portfolio.sums.moic) == ("cost", None, 1)


@pytest.mark.parametrize("answer", ["refuse", "agree"])
async def test_who_is_asked_to_sign_a_round_reads_what_ranks_before_it_until_it_has_answered(database_url, answer):
    """An outsider paid 2 M behind a preference of 100 M that stood in nothing that it could read."""
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer, (other_id, other) = parties.issuer_id, await join(parties, stack)
        await set_terms(parties, HolderTerms(depth="own"))
        boss = {"class_id": "boss", "kind": "preferred", "shares_authorised": 10, "seniority": 9, **BOSS}
        await parties.startup.issuers.create_stock_class(issuer, **boss)
        financing = await price(parties, other_id)
        assert await refuse(other.issuers.list_stock_classes(issuer)) == "issuer_unknown"
        closing = await parties.startup.financings.close(issuer, financing, approval=PAPER)
        other.last_sequence = parties.startup.last_sequence
        table, (one,), _, classes = await read_all(other, issuer)
        assert table.fully_diluted_shares == sum(row.shares for row in table.rows)
        assert one.terms.pre_money_usd == 20_000_000
        (first,) = [each for each in classes if each.class_id == "boss"]
        assert (first.seniority, first.liquidation_multiple, first.shares_outstanding) == (9, 10, 0)
        if answer == "agree":
            await agree(parties, closing, other)
            assert len((await read_all(other, issuer))[0].rows) == 2, "it did not agree to the terms: it sees a summary"
        else:
            await other.proposals.refuse(closing.id, reason="too much before us")
            assert await refuse(other.issuers.get(issuer)) == "issuer_unknown"


async def test_a_holder_a_former_holder_and_a_stranger(database_url):
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer = parties.issuer_id
        other_id, other = await join(parties, stack)
        for client in (parties.fund, other):
            assert await refuse(client.cap_tables.get(issuer)) == "issuer_unknown"
            assert await refuse(client.issuers.get(issuer)) == "issuer_unknown"
            assert await refuse(client.cap_tables.explain(issuer)) == "issuer_unknown"
            assert await refuse(client.cap_tables.plot_exits(issuer, **EXITS)) == "issuer_unknown"
        await buy(parties, parties.fund_id, 1_000, parties.fund)
        await finance(parties, other_id, parties.fund, other)

        table, rounds, sales, classes = await read_all(parties.fund, issuer)
        own = [row for row in table.rows if row.holder_id == parties.fund_id]
        sums = {(row.holder_id, row.security): row.shares for row in table.rows if row not in own}
        assert [row.shares for row in own] == [1_000]
        assert sums[issuer, "common"] == 8_000_000, "summary is the default: others stand in one row"
        explained = await parties.fund.cap_tables.explain(issuer)
        assert ({row.holder_id for row in explained.rows}, explained.numbers) == ({parties.fund_id}, ())
        assert await refuse(parties.fund.cap_tables.explain(issuer, holder_id=other_id)) == "party_unknown"
        whole = await parties.startup.cap_tables.plot_exits(issuer, **EXITS)
        assert await refuse(parties.fund.cap_tables.plot_exits(issuer, **EXITS)) == "depth_insufficient", (
            "it would find others' caps"
        )
        assert other_id not in str(table)
        assert sum(row.shares for row in table.rows) == table.fully_diluted_shares
        [one] = rounds
        assert (one.pricing.allotments, one.pricing.certificate_json, other_id in str(one)) == ((), "", False)
        assert [each.holder_id for each in one.terms.investments] == [issuer]
        assert sales == []
        assert {each.class_id for each in classes} == {"common", "series-a"}
        mine = [each async for each in other.financings.list(issuer)]
        assert [each.holder_id for each in mine[0].pricing.allotments] == [other_id]

        await set_terms(parties, HolderTerms(depth="own", depths={"series-a": "full"}), parties.fund, other)
        assert {row.holder_id for row in (await parties.fund.cap_tables.get(issuer)).rows} == {parties.fund_id}
        assert await refuse(parties.fund.cap_tables.plot_exits(issuer, **EXITS)) == "depth_insufficient"
        assert {each.shares_outstanding for each in await parties.fund.issuers.list_stock_classes(issuer)} == {None}
        assert await other.cap_tables.plot_exits(issuer, **EXITS) == whole
        assert (await other.cap_tables.explain(issuer, holder_id=parties.fund_id)).rows
        seen = await other.cap_tables.get(issuer)
        assert parties.fund_id in {row.holder_id for row in seen.rows}
        assert (await anext(other.financings.list(issuer))).pricing.certificate_json
        assert (await parties.fund.issuers.get(issuer)).holder_terms.depth == "own"
        for private in (parties.fund.issuers.list_stakeholders(issuer), parties.fund.issuers.list_valuations(issuer)):
            assert await refuse(anext(private)) == "issuer_unknown"

        await agree(
            parties,
            await parties.startup.stock.repurchase(
                issuer, holder_id=parties.fund_id, class_id="common", shares=1_000, price_usd_per_share=Decimal("0.01")
            ),
            parties.fund,
            other,
        )
        assert await refuse(parties.fund.cap_tables.get(issuer)) == "issuer_unknown"
        assert await refuse(parties.fund.cap_tables.plot_exits(issuer, **EXITS)) == "issuer_unknown"


@pytest.mark.parametrize("end", ["refuse", "agree", "withdraw"])
@pytest.mark.parametrize("asked_for", ["stock", "warrant"])
async def test_who_is_asked_to_pay_for_stock_or_a_warrant_reads_the_company_until_it_has_answered(
    database_url, asked_for, end
):
    """Its 404 told it nothing of what ranks before it, while the investor of a round read that."""
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer, (other_id, other) = parties.issuer_id, await join(parties, stack)
        _, stranger = await join(parties, stack)
        await set_terms(parties, HolderTerms(depth="own"))
        await parties.startup.issuers.add_stakeholder(issuer, name="O", kind="investor", holder_id=other_id)
        assert await refuse(other.cap_tables.get(issuer)) == "issuer_unknown"
        deed = {"holder_id": other_id, "class_id": "common", "shares": 1_000}
        if asked_for == "stock":
            asked = await parties.startup.stock.issue(issuer, **deed, price_usd_per_share=Decimal("0.01"))
        else:
            expires = (await parties.admin.clock.get()).now.replace(year=2040)
            terms = {"exercise_price_usd": Decimal(1), "expires_at": expires, "settlement": "cash"}
            asked = await parties.startup.warrants.issue(issuer, **deed, **terms)
        other.last_sequence = stranger.last_sequence = parties.startup.last_sequence
        table, _, _, classes = await read_all(other, issuer)
        assert ([row.shares for row in table.rows], [each.class_id for each in classes]) == ([8_000_000], ["common"])
        assert (await other.issuers.get(issuer)).issuer_id == issuer
        assert [one async for one in other.issuers.list_valuations(issuer)] == []
        assert await refuse(stranger.cap_tables.get(issuer)) == "issuer_unknown"
        if end == "agree":
            await agree(parties, asked, other)
            assert len((await read_all(other, issuer))[0].rows) == 2, "it holds it now"
        else:
            by = other.proposals.refuse if end == "refuse" else parties.startup.proposals.withdraw
            await by(asked.id, reason="too dear")
            other.last_sequence = max(other.last_sequence, parties.startup.last_sequence)
            assert await refuse(other.issuers.get(issuer)) == "issuer_unknown"
            assert await refuse(other.cap_tables.get(issuer)) == "issuer_unknown"


async def test_a_holder_reads_its_own_offers_and_the_valuations_that_its_rights_count_with(database_url):
    """It got 404 for its own offer, and for the value at which its net exercise counts."""
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer, (other_id, other) = parties.issuer_id, await join(parties, stack)
        (buyer_id, buyer), (_, stranger) = await join(parties, stack), await join(parties, stack)
        now = (await parties.admin.clock.get()).now
        day, until = now.date(), now + timedelta(days=30)
        value = {"price_usd_per_share": Decimal(2), "method": "409A", "effective_on": day}
        await parties.startup.issuers.record_valuation(issuer, **value)
        await buy(parties, parties.fund_id, 1_000, parties.fund)
        await buy(parties, other_id, 1_000, other, parties.fund)
        (seen,) = [one async for one in parties.fund.issuers.list_valuations(issuer)]
        assert seen.price_usd_per_share == 2
        shares = {"class_id": "common", "shares": 10, "price_usd_per_share": Decimal("0.01")}
        offered = await parties.fund.stock.offer(
            issuer, holder_id=parties.fund_id, holder_id_after=buyer_id, decide_until=until, **shares
        )
        for client in (parties.startup, other, buyer, stranger):
            client.last_sequence = parties.fund.last_sequence

        async def read(client):
            return [one.transfer_id async for one in client.stock.list_offers(issuer)]

        assert await read(parties.startup) == await read(parties.fund) == await read(buyer) == [offered.id]
        assert await read(other) == []
        assert buyer_id in {one.holder_id async for one in parties.startup.issuers.list_stakeholders(issuer)}
        for private in (
            buyer.warrants.list_programmes,
            buyer.warrants.list_price_sources,
            buyer.issuers.list_valuations,
        ):
            assert await refuse(anext(private(issuer))) == "issuer_unknown", "an offer lets nobody read the company"
        for read_private in (stranger.stock.list_offers, stranger.issuers.list_valuations):
            assert await refuse(anext(read_private(issuer))) == "issuer_unknown"
        await set_terms(parties, HolderTerms(depth="own", depths={}), parties.fund, other)
        assert await refuse(anext(parties.fund.issuers.list_valuations(issuer))) == "issuer_unknown"
        assert await read(parties.fund) == [offered.id]


async def test_an_employee_reads_the_strike_schedule_and_vested_shares_of_its_own_option(database_url):
    """It read "480,000" alone, and no more anywhere."""
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer, (other_id, other) = parties.issuer_id, await join(parties, stack)
        await parties.startup.issuers.adjust_stock_plan(issuer, shares_reserved=600_000, approval=PAPER)
        day = (await parties.admin.clock.get()).now.date()
        monthly = {"tranches": 48, "months_between": 1, "cliff_tranches": 12, "allocation": "CUMULATIVE_ROUNDING"}
        vesting = VestingSchedule(starts_on=day.replace(day=1, year=day.year - 2), **monthly)
        price_usd = Decimal("0.25")
        await parties.startup.issuers.add_stakeholder(issuer, name="E", kind="employee", holder_id=parties.fund_id)
        option = await parties.startup.options.grant(
            issuer,
            holder_id=parties.fund_id,
            shares=480_000,
            exercise_price_usd=price_usd,
            vesting=vesting,
            approval=PAPER,
            termination_exercise_days=90,
        )
        await agree(parties, option, parties.fund)
        (line,) = [one async for one in parties.fund.issuers.list_holdings(holder_id=parties.fund_id)]
        shown = line.option
        assert (line.row.shares, shown.vesting, shown.exercise_price_usd) == (480_000, vesting, price_usd)
        assert (shown.shares_vested, shown.shares_exercisable, shown.exercisable_until) == (240_000, 240_000, None)
        assert await refuse(anext(other.issuers.list_holdings(holder_id=parties.fund_id))) == "party_unknown"
        assert [one async for one in other.issuers.list_holdings(holder_id=other_id)] == []


async def test_a_director_reads_what_the_company_reads_while_it_is_one(database_url):
    """It was to judge sales, and read nothing of the company but what a proposed sale pays."""
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer = parties.issuer_id
        await buy(parties, parties.fund_id, 1_000, parties.fund)
        director_id, director = await join(parties, stack)
        await set_terms(parties, HolderTerms(directors=(director_id,)), parties.fund, director)
        await finance(parties, parties.fund_id, parties.fund)
        note = await lend(parties)
        director.last_sequence = parties.startup.last_sequence
        assert await read_all(director, issuer) == await read_all(parties.startup, issuer)
        assert (await director.issuers.get(issuer)).holder_terms.directors == (director_id,)
        reports = [await client.cap_tables.get_report(issuer) for client in (director, parties.startup)]
        assert reports[0].holders == reports[1].holders
        assert [each.instrument_id async for each in director.issuers.list_principal(issuer)] == [note]
        assert await director.cap_tables.plot_exits(issuer, **EXITS)
        assert "issuer.financing_closed.v1" in await follow(director, issuer)
        assert await refuse(anext(director.issuers.list_stakeholders(issuer))) == "issuer_unknown"
        await set_terms(parties, HolderTerms(), parties.fund, director)
        for read in (
            director.cap_tables.get(issuer),
            director.issuers.get(issuer),
            director.cap_tables.explain(issuer),
        ):
            assert await refuse(read) == "issuer_unknown"


async def test_the_whole_cap_table_and_all_principal_are_read_at_the_depth_full(database_url):
    """The two routes refused every holder, also one whose holder terms let it read the whole cap table."""
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer, (other_id, other) = parties.issuer_id, await join(parties, stack)

        async def read(client):
            lent = [each.instrument_id async for each in client.issuers.list_principal(issuer)]
            return lent, await client.cap_tables.get_report(issuer)

        assert await refuse(anext(other.issuers.list_principal(issuer))) == "issuer_unknown"
        assert await refuse(other.cap_tables.get_report(issuer)) == "issuer_unknown"
        note = await lend(parties)
        await buy(parties, other_id, 1_000, parties.fund, other)
        assert [each.instrument_id async for each in parties.fund.issuers.list_principal(issuer)] == [note]
        assert [each async for each in other.issuers.list_principal(issuer)] == [], "not what others lent"
        for client in (parties.fund, other):
            assert await refuse(client.cap_tables.get_report(issuer)) == "depth_insufficient"
        await set_terms(parties, HolderTerms(depths={"common": "full"}), parties.fund, other)
        (seen, report), (all_notes, whole) = await read(other), await read(parties.startup)
        assert seen == all_notes == [note]
        assert (report.holders, report.instruments) == (whole.holders, whole.instruments)
        assert await refuse(parties.fund.cap_tables.get_report(issuer)) == "depth_insufficient", "it has no stock"


async def test_who_attests_a_milestone_agrees_to_that_and_reads_the_warrant_alone(database_url):
    """It was named without being asked, and read nothing of what it was to attest."""
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer, (other_id, other) = parties.issuer_id, await join(parties, stack)
        _, stranger = await join(parties, stack)
        await parties.startup.issuers.add_stakeholder(issuer, name="F", kind="investor", holder_id=parties.fund_id)
        works = AttestedMilestone(name="works", description="it trains", attester_id=other_id)
        terms = IssueWarrantBody(
            holder_id=parties.fund_id,
            class_id="common",
            shares=100,
            exercise_price_usd=Decimal("0.10"),
            expires_at=datetime(2099, 1, 1, tzinfo=UTC),
            settlement="cash",
            tranches=(WarrantTranche(shares=100, conditions=((works,),)),),
        )
        proposed = await parties.startup.warrants.issue(issuer, **asdict(terms))
        await parties.fund.proposals.agree(proposed.id)
        other.last_sequence = parties.fund.last_sequence
        asked = await other.proposals.get(proposed.id)
        assert (asked.status, [each.type for each in asked.effects]) == ("open", ["issuer.warrant_issued.v1"])
        assert await refuse(anext(other.warrants.list(issuer))) == "issuer_unknown"
        await agree(parties, proposed, other)
        (listed,) = [each async for each in other.warrants.list(issuer)]
        warrant = listed.warrant_id
        assert (await other.warrants.get(issuer, warrant)).terms.tranches == terms.tranches
        for foreign in (stranger.warrants.get(issuer, warrant), anext(stranger.warrants.list(issuer))):
            assert await refuse(foreign) == "issuer_unknown"
        for private in (other.issuers.get(issuer), other.cap_tables.get(issuer), other.cap_tables.get_report(issuer)):
            assert await refuse(private) == "issuer_unknown"
        told = {name for name in await follow(other, issuer) if name.startswith("issuer.")}
        assert told == {"issuer.warrant_issued.v1"}
        await other.warrants.attest_milestone(issuer, warrant, milestone="works", document="report")
        assert (await other.warrants.get(issuer, warrant)).attested == ("works",)


async def test_voters_read_the_waterfall_of_a_sale_before_they_vote(database_url):
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer = parties.issuer_id
        other_id, other = await join(parties, stack)
        _, stranger = await join(parties, stack)
        await buy(parties, parties.fund_id, 1_000, parties.fund)
        await buy(parties, other_id, 3_000, parties.fund, other)
        proposed = (
            await parties.startup.financings.declare_liquidity(issuer, proceeds_usd=Decimal(8_004), safe_seniority=1)
        ).id
        await parties.startup.proposals.get(proposed)  # waits until what it wrote can be read

        waterfall = await parties.fund.proposals.get_waterfall(proposed)
        paid = {payout.holder_id: payout.amount_usd for payout in waterfall.payouts}
        assert paid == {parties.fund_id: Decimal("1.00"), issuer: Decimal("8003.00")}
        assert (waterfall.proceeds_usd, waterfall.certificate_json) == (8_004, "")
        seen = await parties.fund.proposals.get(proposed)
        assert other_id not in str(seen.effects), "what others get is not in the effects either"
        assert seen.sale.yours_usd == 1
        (listed,) = [row async for row in parties.fund.proposals.list(status="open")]
        assert listed == seen
        whole = await parties.startup.proposals.get_waterfall(proposed)
        assert {other_id, parties.fund_id} < {payout.holder_id for payout in whole.payouts}
        assert whole.certificate_json
        hidden = (stranger.proposals.get_waterfall, stranger.proposals.get, stranger.proposals.get_changes)
        for read in (one(proposed) for one in hidden):
            assert await refuse(read) == "proposal_unknown"
        other_act = await parties.startup.financings.agree_holder_terms(
            issuer, terms=HolderTerms(depth="own"), approval=PAPER
        )
        assert await refuse(parties.startup.proposals.get_waterfall(other_act.id)) == "not_a_sale"


async def test_who_proposes_a_sale_for_anothers_stock_reads_none_of_its_numbers(database_url):
    """A shell that was never to be sold read each round and draw of a company from the waterfall of its proposals."""
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        shell_id, shell = await join(parties, stack, "startup")
        shell_issuer = await form_company(shell, shell_id)
        stock = BuyerStockBody(
            buyer="Acme", price_usd_per_share=Decimal(1), buyer_issuer_id=parties.issuer_id, class_id="common"
        )
        proposed = (await shell.financings.declare_liquidity(shell_issuer, proceeds_usd=Decimal(9_000), stock=stock)).id
        for client, sees in ((shell, False), (parties.startup, True), (parties.admin, True)):
            shown = (await client.proposals.get_waterfall(proposed)).stock
            assert (shown.buyer_shares, shown.buyer_principal_usd) == ((8_000_000, 0) if sees else (None, None))
            assert (shown.buyer_preference_usd is not None) == sees


async def follow(client, issuer):
    """Return the last event of each type about an issuer or a proposal of it on a party's feed, with its body."""
    items = [(item, json.loads(bytes(item.event.data))) for item in (await client.events.read()).items]
    return {item.event.type[12:]: (item, body) for item, body in items if body.get("issuer_id") == issuer}


async def test_a_holders_feed_shows_what_it_may_read_while_it_holds(database_url):
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer = parties.issuer_id
        other_id, other = await join(parties, stack)
        stranger_id, stranger = await join(parties, stack)
        await buy(parties, parties.fund_id, 1_000, parties.fund)
        await finance(parties, other_id, parties.fund, other)
        await other.issuers.get(issuer)  # waits until what it agreed to can be read

        seen = await follow(parties.fund, issuer)
        for tag in ("issuer.financing_opened.v1", "issuer.financing_priced.v1", "issuer.financing_closed.v1"):
            assert (tag, seen[tag][0].depth, other_id in str(seen[tag][1])) == (tag, "summary", False)
        assert seen["issuer.financing_priced.v1"][1]["pricing"]["certificate_json"] == ""
        closing, body = seen["proposal.made.v1"]
        assert (closing.depth, other_id in str(body["effects"])) == ("summary", False), "nor what a round gives others"
        assert (closing.event.hash, closing.event.previoushash) == ("", ""), "a hash would tell it by trying"
        assert seen["issuer.stock_issued.v1"][1]["holder_id"] == parties.fund_id, "others' shares are not shown singly"
        assert "issuer.financing_opened.v1" not in await follow(other, issuer), "it held nothing then"

        await set_terms(parties, HolderTerms(depth="own", depths={"series-a": "full"}), parties.fund, other)
        sale = await parties.startup.financings.declare_liquidity(issuer, proceeds_usd=Decimal(9_000))
        await parties.startup.proposals.get(sale.id)
        made = {client: (await follow(client, issuer))["proposal.made.v1"] for client in (parties.fund, other)}
        assert (made[parties.fund][0].depth, made[other][0].depth) == ("own", "full")
        assert other_id not in str(made[parties.fund][1]["effects"])
        assert parties.fund_id in str(made[other][1]["effects"])

        back = {"holder_id": parties.fund_id, "class_id": "common", "shares": 1_000}
        bought = await parties.startup.stock.repurchase(issuer, **back, price_usd_per_share=Decimal("0.01"))
        await agree(parties, bought, parties.fund, other)
        limit = {"dilution_max": Decimal("0.2"), "valuation_usd": Decimal(9_000_000)}
        await agree(parties, await parties.startup.issuers.limit_dilution(issuer, **limit), other)
        await parties.startup.issuers.get(issuer)
        after = await follow(parties.fund, issuer)
        assert after["issuer.stock_repurchased.v1"][1]["holder_id"] == parties.fund_id, "the end itself is its own"
        assert "issuer.dilution_limited.v1" not in after
        there = await follow(other, issuer)
        assert there["issuer.stock_repurchased.v1"][1]["holder_id"] == parties.fund_id, "it sees everything"
        assert "issuer.dilution_limited.v1" in there
        assert await follow(stranger, issuer) == {}

        async with serve(parties.application) as address:
            for party_id, known in ((parties.fund_id, parties.fund), (stranger_id, stranger)):
                key = await parties.admin.api_keys.issue(name="sse", scopes=("*",), party_id=party_id)
                pages = (await known.events.read()).items
                headers = {"Authorization": f"Bearer {key.token}"}
                async with httpx.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE_SECONDS) as client:
                    streamed = [data for _, _, data in await read_stream(client, len(pages))]
                assert [(one["sequence"], one["depth"], one["event"]["data"]) for one in streamed] == [
                    (item.sequence, item.depth, json.loads(bytes(item.event.data))) for item in pages
                ]


async def test_a_clerk_who_may_not_agree_gives_away_nothing_by_asking(database_url):
    """A clerk's key that states what the company or the holder does is no key that agrees to a transfer for nothing."""
    async with begin(database_url) as parties, AsyncExitStack() as stack:
        issuer, fund = parties.issuer_id, parties.fund_id
        await buy(parties, fund, 1_000, parties.fund)
        mule_id, _ = await join(parties, stack)
        await parties.startup.issuers.add_stakeholder(issuer, name="Mule", kind="investor", holder_id=mule_id)
        clerks = []
        for party_id in (fund, rename_id("pty", issuer)):
            scopes = ("*:write", "*:read")
            token = (await parties.admin.api_keys.issue(name="clerk", scopes=scopes, party_id=party_id)).token
            clerks.append(await stack.enter_async_context(MarketplaceClient("http://test", token, parties.transport)))
        of_fund, of_company = clerks
        gift = {"holder_id": fund, "holder_id_after": mule_id, "class_id": "common", "shares": 1_000, "approval": PAPER}
        back = {
            "holder_id": fund,
            "class_id": "common",
            "shares": 1_000,
            "price_usd_per_share": Decimal(0),
            "approval": PAPER,
        }
        new = {"holder_id": mule_id, "class_id": "common", "shares": 1, "price_usd_per_share": Decimal("0.01")}
        for asked in (
            of_fund.stock.transfer(issuer, **gift),
            of_fund.stock.repurchase(issuer, **back),
            of_company.stock.issue(issuer, **new),
            of_company.stock.repurchase(issuer, **back),
        ):
            assert await refuse(asked) == "scope_missing"
        await of_company.issuers.add_stakeholder(issuer, name="Ada", kind="employee")
        proposed = await parties.fund.stock.transfer(issuer, **gift)
        assert (await parties.fund.proposals.get(proposed.id)).status == "open"
