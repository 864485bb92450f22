"""The typed client asks what the story left behind: every answer decodes, and is about what was asked for."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import msgspec
import pytest
from msgspec.structs import asdict

from events.lot import AskStep
from events.order import ClassOffer, OrderTerms
from events.pricelist import ListPrice
from events.service import STANDARD_SERVICE
from events.service_line import HoursReading
from marketplace.api.http.bodies.allocations import UseBody
from marketplace.api.http.bodies.cap_tables import AskRecoveryBody, PlotExitsBody, PlotRoundsBody, ScenarioBody
from marketplace.api.http.bodies.trading import HoldQuoteBody
from marketplace.client import MarketplaceClient, ProblemError
from tests.api.rows import World
from tests.api.rows_captables import ASSUMED, RANGE, build_plot, build_scenario
from tests.api.rows_trading import build_cash_order
from tests.api.stage import ADMIN_KEY


async def tour(world: World) -> None:
    """Ask through the client as the platform."""
    transport = httpx.ASGITransport(world.stage.application)
    async with MarketplaceClient("http://test", ADMIN_KEY, transport) as client:
        await _see_trading(client, world.ids)
        await _see_quotes(client, world)
        await _trade(client, world)
        await _see_statement(client, world.ids["statement"])
        await _see_accounts(client, world.ids)
        await _see_companies(client, world)
        await _see_projections(client)


async def _see_projections(client: MarketplaceClient) -> None:
    seen = {each.name: each for each in await client.operation.list_projections()}
    assert seen["parties"].state == "live"
    assert seen["parties"].position > 0
    assert await client.operation.list_stuck() == []
    assert (await client.operation.verify_projection(name="parties")).kind == "verify"
    assert (await client.operation.rebuild_projection(name="grants")).kind == "rebuild"
    first = (await client.events.read(limit=1)).items[0].sequence
    assert first in {event.sequence for each in await client.events.get_chain(sequence=first) for event in each.events}
    around = await client.events.get_states(sequence=first)
    assert around.before is None
    assert around.after is not None


async def _see_trading(client: MarketplaceClient, ids: dict) -> None:
    assert (await client.orders.get(ids["order"])).order_id == ids["order"]
    audit = await client.auctions.get_audit(ids["auction"])
    certificate = (await client.auctions.get(ids["auction"])).certificate
    assert audit["certificate"]["book_hash"] == certificate.book_hash
    assert audit["certificate"]["price_loss_kind"] == certificate.price_loss_kind
    assert Decimal(audit["certificate"]["price_loss_max"]) == certificate.price_loss_max
    assert Decimal(audit["certificate"]["dual_bound_usd"]) == certificate.dual_bound_usd
    assert (await client.market.get_reliability(ids["provider"])).provider_id == ids["provider"]
    await _see_allocations(client, ids)
    await _see_service_lines(client, ids)
    assert await client.market.get_index(gpu_class="H100_SXM")
    assert len((await client.market.get_public()).index) == 90
    [generation] = await client.market.list_generations()
    assert (generation.gpu_vendor, generation.gpu_generation) == ("nvidia", "hopper")
    assert generation.awarded_gpu_hours == sum(one.awarded_gpu_hours for one in generation.classes) > 0
    assert {row.gpu_generation for row in await client.mandates.list_exposure()} == {"hopper"}
    curves = await client.market.get_curves(gpu_class="H100_SXM")
    assert {step.side for step in curves} == {"ask"}, "demand of fewer than three startups is sealed"
    [listed] = [row async for row in client.market.list_pricelists()]
    price = ListPrice(
        gpu_class="H100_SXM",
        provider=listed.provider,
        usd_per_gpu_hour=listed.usd_per_gpu_hour,
        listed_on=listed.listed_on,
        source=listed.source,
    )
    assert (await client.market.publish_pricelist(name="list prices", prices=(price,))).id == listed.pricelist_id
    terms = await client.market.get_schedule()
    await client.market.publish_schedule(terms=msgspec.structs.replace(terms, quotes_max=14))


async def _see_allocations(client: MarketplaceClient, ids: dict) -> None:
    """See what was allocated, and correct and take back what was not."""
    (allocation,) = [each async for each in client.usage.list_allocations()]
    assert allocation.voided
    named = {"startup_id": ids["startup"], "provider_id": ids["provider"], "gpu_class": "H100_SXM", "source": "fleet"}
    use = UseBody(reading_id="never-sent", start=allocation.start, end=allocation.end, gpus=1)
    with pytest.raises(ProblemError) as caught:
        await client.usage.correct_allocation(**named, reading=use, reason="a tour")
    assert caught.value.code == "allocation_unknown"
    with pytest.raises(ProblemError) as caught:
        await client.usage.void_allocation(**named, reading_id="never-sent", reason="a tour")
    assert caught.value.code == "allocation_unknown"


async def _see_service_lines(client: MarketplaceClient, ids: dict) -> None:
    """See what was agreed on, and let the same be proposed again and decline it."""
    (line,) = [each async for each in client.service_lines.list(grant_id=ids["second_grant"])]
    assert (await client.service_lines.get(line.service_line_id)).status in {"agreed", "closed"}
    (hours,) = [each async for each in client.service_lines.list_hours(line.service_line_id)]
    reading = HoursReading(reading_id="never-sent", start=hours.start, end=hours.end, hours=Decimal(1))
    asked = (
        (client.service_lines.correct_hours, {"reading": reading}),
        (client.service_lines.void_hours, {"reading_id": "never-sent"}),
    )
    for ask, body in asked:
        with pytest.raises(ProblemError) as caught:
            await ask(line.service_line_id, source=hours.source, reason="a tour", **body)
        assert caught.value.code == "reading_unknown"
    offer = {
        "grant_id": ids["second_grant"],
        "name": "support",
        "price_usd_per_hour": Decimal(1),
        "hours": Decimal(1),
        "workers": 1,
    }
    for ask in (client.service_lines.propose(**offer), client.service_lines.agree(ids["declined_line"])):
        with pytest.raises(ProblemError) as caught:
            await ask
        assert caught.value.code in {"grant_terminated", "service_line_declined"}
    assert (await client.service_lines.approve(ids["declined_line"])).id == ids["declined_line"]
    assert (await client.service_lines.decline(ids["declined_line"], reason="still")).id == ids["declined_line"]


async def _see_quotes(client: MarketplaceClient, world: World) -> None:
    body = msgspec.convert(build_cash_order(world, cash="2.5"), HoldQuoteBody)
    now = world.stage.services.handler.clock.now()
    answer = await client.quotes.ask(
        startup_id=body.startup_id,
        terms=msgspec.structs.replace(
            body.terms, start_earliest=now + timedelta(days=2), start_latest=now + timedelta(days=3)
        ),
    )
    assert answer.guarantee in {"sure", "indicative"}
    taken = await client.quotes.get(world.ids["taken_quote"])
    assert (taken.quote_id, taken.status) == (world.ids["taken_quote"], "taken")


async def _trade(client: MarketplaceClient, world: World) -> None:
    """Bring a fabric, hold and take a quote on it, sell part of that on and take it back, and leave the market."""
    now, ids = world.stage.services.handler.clock.now(), world.ids
    begin = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    await client.accounts.deposit(ids["account"], amount_usd=Decimal(10_000), reference="for the tour")
    pool_id = (
        await client.pools.open(
            site_id=ids["site"],
            gpu_class="GB300",
            interconnect="infiniband",
            gpus_per_node=8,
            nodes=4,
            power_per_node_kw=1,
        )
    ).id
    lot = {
        "pool_id": pool_id,
        "nodes": 4,
        "start": begin,
        "end": begin + timedelta(days=9),
        "ask_usd_per_gpu_hour": Decimal(1),
    }
    steps = (AskStep(nodes=1, ask_usd_per_gpu_hour=Decimal(3)),)
    listed = (await client.lots.offer(**lot)).id
    await client.lots.reprice(listed, ask_usd_per_gpu_hour=Decimal(2), further_asks=steps)
    stepped = {known.lot_id: known async for known in client.lots.list(pool_id=pool_id)}[listed]
    assert (stepped.ask_usd_per_gpu_hour, stepped.further_asks) == (2, steps)
    grant_id = await _take(client, ids["startup"], begin)
    lot_id = (
        await client.grants.resell(
            grant_id, nodes=1, start=begin, end=begin + timedelta(days=1), ask_usd_per_gpu_hour=Decimal("2.50")
        )
    ).id
    assert lot_id in {known.lot_id async for known in client.lots.list(pool_id=pool_id)}
    await client.lots.withdraw(lot_id, reason="needed after all")
    left = {known.lot_id: known async for known in client.lots.list(pool_id=pool_id)}[lot_id]
    assert (left.status, left.grant_id, left.provider_id) == ("withdrawn", grant_id, ids["startup"])
    await _fail_and_end(client, pool_id, grant_id, now)
    await client.pools.close(pool_id, closes_at=now + timedelta(days=30), reason="the lease ends")
    pools = {known.pool_id: known async for known in client.pools.list(gpu_class="GB300")}
    assert pools[pool_id].closes_at == now + timedelta(days=30)


async def _fail_and_end(client: MarketplaceClient, pool_id: str, grant_id: str, now: datetime) -> None:
    """Let a node fail and come back, and end a grant as the platform, which owes no notice."""
    grant = await client.grants.get(grant_id)
    assert grant.service == STANDARD_SERVICE
    await client.pools.fail_nodes(pool_id, incident_id="fans", nodes=1, at=now - timedelta(hours=2))
    await client.pools.restore_nodes(pool_id, incident_id="fans", at=now - timedelta(hours=1))
    await client.grants.terminate(grant_id, at=grant.end - timedelta(hours=1), reason="a change of plans")
    assert (await client.grants.get(grant_id)).status == "terminated"


async def _see_statement(client: MarketplaceClient, statement_id: str) -> None:
    """Look at a statement that is settled; nobody disputes it any more."""
    assert (await client.statements.get(statement_id)).status == "accepted"
    late = {"reason": "it comes late"}
    for sent in (
        client.statements.dispute(statement_id, gpu_seconds_counted=0, **late),
        client.statements.answer_dispute(statement_id, **late),
        client.statements.concede_part(statement_id, gpu_seconds=0, **late),
        client.statements.refer_dispute(statement_id, **late),
        client.statements.resolve(statement_id, gpu_seconds=0, **late),
    ):
        with pytest.raises(ProblemError) as caught:
            await sent
        assert caught.value.code == "statement_accepted"


async def _take(client: MarketplaceClient, startup_id: str, begin: datetime) -> str:
    """Let one quote go and take another; return the grant that it became."""
    offer = ClassOffer(gpu_class="GB300", cash_usd_per_gpu_hour=Decimal(3), equity_usd_per_gpu_hour=Decimal(0))
    terms = OrderTerms(nodes=2, duration_hours=48, start_earliest=begin, start_latest=begin, offers=(offer,))
    body = {"startup_id": startup_id, "terms": terms}
    gone = (await client.quotes.hold(**body)).id
    await client.quotes.release(gone, reason="changed plans")
    assert (await client.quotes.get(gone)).status == "released"
    kept = (await client.quotes.hold(**body)).id
    order_id = (await client.quotes.take(kept)).id
    assert (await client.quotes.get(kept)).status == "taken"
    order = await client.orders.get(order_id)
    assert (order.status, order.grant_id is None) == ("matched", False)
    return str(order.grant_id)


async def _see_accounts(client: MarketplaceClient, ids: dict) -> None:
    account, now = ids["account"], datetime.now(UTC)
    assert "USD" in {row.unit async for row in client.accounts.list_balances(party_id=ids["startup"])}
    assert [hold.hold_id async for hold in client.accounts.list_holds(account)]
    explained = await client.accounts.explain_balance(account, limit=3)
    assert len(explained.entries) == 3
    statement = await client.accounts.get_statement(
        account, start=now - timedelta(days=400), end=now + timedelta(days=400)
    )
    assert statement.lines


async def _see_proposals(client: MarketplaceClient, world: World) -> None:
    closing, spare = world.ids["closing"], world.ids["spare_transfer"]
    assert (await client.proposals.get_rights()).decide_within_days == 14
    assert (await client.proposals.get(closing)).status == "effective"
    assert (await client.proposals.get_changes(closing)).shares == ()
    found = {proposal.proposal_id: proposal.status async for proposal in client.proposals.list()}
    assert (found[closing], found[spare], found[world.ids["transfer"]]) == ("effective", "withdrawn", "refused")
    with pytest.raises(ProblemError) as caught:
        await client.proposals.get_waterfall(closing)
    assert caught.value.code == "not_a_sale"
    with pytest.raises(ProblemError) as caught:
        await client.proposals.agree(spare)
    assert caught.value.code == "proposal_withdrawn"
    with pytest.raises(ProblemError) as caught:
        await client.proposals.refuse(closing, reason="too late")
    assert caught.value.code == "proposal_effective"
    with pytest.raises(ProblemError) as caught:
        await client.proposals.withdraw_consent(closing, reason="too late")
    assert caught.value.code == "proposal_effective"
    with pytest.raises(ProblemError) as caught:
        await client.proposals.withdraw(closing, reason="too late")
    assert caught.value.code == "proposal_effective"


async def _see_position(client: MarketplaceClient, issuer_id: str) -> tuple[int, object]:
    """Return how far the log goes, and what the projections know of a company."""
    page, last = await client.events.read(), 0
    while page.next_after > last:
        last = page.next_after
        page = await client.events.read(after=last)
    return last, (await client.cap_tables.get(issuer_id), await client.issuers.get(issuer_id))


async def _see_companies(client: MarketplaceClient, world: World) -> None:
    issuer, fund = world.ids["issuer"], world.ids["fund"]
    await _see_proposals(client, world)
    instrument = await client.instruments.get(world.ids["instrument"])
    assert (instrument.status, instrument.draw) == ("active", None), instrument.status
    drawn = await client.instruments.get(world.ids["drawn"])
    assert drawn.draw is not None
    assert drawn.draw.source.id == world.ids["auction"]
    kinds = [movement.kind async for movement in client.instruments.list_movements(instrument.instrument_id)]
    assert kinds == ["accrued", "reversed", "converted", "reversed"]
    with pytest.raises(ProblemError) as caught:
        await client.instruments.pay_debt(instrument.instrument_id, amount_usd=Decimal(1))
    assert caught.value.code == "debt_exceeded"
    with pytest.raises(ProblemError) as caught:
        await client.instruments.mature(instrument.instrument_id)
    assert caught.value.code == "not_a_note"
    with pytest.raises(ProblemError) as caught:
        await client.instruments.issue_shares(instrument.instrument_id)
    assert caught.value.code == "nothing_to_convert"
    assert [each.issuer_id async for each in client.issuers.list()]
    assert await client.issuers.list_stock_classes(issuer)
    assert [each.holder_id async for each in client.issuers.list_stakeholders(issuer)]
    assert [each.issuer_id async for each in client.issuers.list_holdings(holder_id=fund)]
    limit = {"dilution_max": Decimal("0.5"), "valuation_usd": Decimal(10_000_000)}
    with pytest.raises(ProblemError) as caught:
        await client.issuers.limit_dilution(issuer, **limit)
    assert caught.value.code == "issuer_ended"
    assert (await client.issuers.get(issuer)).dilution_max == Decimal("0.90")
    assert (await client.financings.get(issuer, world.ids["financing"])).pricing is not None
    assert (await client.financings.get_liquidity_event(issuer, world.ids["liquidity"])).issuer_id == issuer
    report = await client.cap_tables.get_report(issuer)
    assert report.dilution is not None
    assert report.fully_diluted_shares > 0
    assert (await client.cap_tables.explain(issuer)).rows
    assert (await client.issuers.export_ocf(issuer)).startswith(b"PK")
    body = asdict(msgspec.convert(build_scenario(world), ScenarioBody, strict=False))
    with pytest.raises(ProblemError) as caught:
        await client.cap_tables.run_scenario(issuer, **body)
    assert caught.value.code == "issuer_ended"
    numbers = {number.name: number for number in (await client.cap_tables.explain(issuer)).numbers}
    known = numbers["outstanding"].entries[-1].sequence
    pending = await client.cap_tables.run_scenario(issuer, **body | {"known": known})
    assert pending.before.issuer_id == pending.after.issuer_id == issuer
    position, companies = await _see_position(client, issuer)
    rounds = await client.cap_tables.plot_rounds(
        issuer, **asdict(msgspec.convert(build_plot(world), PlotRoundsBody, strict=False))
    )
    exits = await client.cap_tables.plot_exits(
        issuer, **asdict(msgspec.convert({"range": RANGE}, PlotExitsBody, strict=False))
    )
    assert len(rounds) == len(exits) == RANGE["points"]
    assert await _see_position(client, issuer) == (position, companies), "what if records nothing"
    assert (await client.parties.get_portfolio(fund, retail="H100_SXM:4")).positions
    recovery = await client.parties.estimate_recovery(
        fund, **asdict(msgspec.convert(ASSUMED, AskRecoveryBody, strict=False))
    )
    assert recovery.table
