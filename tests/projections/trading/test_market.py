"""Parties, inventory, mandates, the book, auctions, capacity, grants, usage and statements as the API reads them."""

import itertools
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
import pytest_asyncio
from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from events.order import OrderUnmatched
from events.statement import ServiceCredit, StatementDisputed, StatementPartSettled
from events.types import Reason
from marketplace.log.memory import MemoryLog
from marketplace.projections.access import parties
from marketplace.projections.billing import statements
from marketplace.projections.billing.earnings import load_earnings
from marketplace.projections.delivery import grants
from marketplace.projections.engine.queries import Window, as_decimal
from marketplace.projections.metering import usage
from marketplace.projections.supply import capacity, inventory
from marketplace.projections.supply.capacity.depth import Ask, merge_asks
from marketplace.projections.trading import auctions, mandates, orders
from marketplace.projections.views.supply import DepthLevel
from tests.projections import lines, market, resales
from tests.projections.conftest import fill, project
from tests.projections.market import (
    AUCTION,
    FUND,
    LOT,
    LOT_B,
    MANDATE,
    POOL,
    POOL_B,
    PROVIDER,
    SITE,
    START,
    STARTUP,
    STRANGER,
)
from tests.projections.story import HOUR, Story, make_id, usd
from tests.projections.tales import tell_everything

STORY = tell_everything()


def sequence_of(tag: str, place: int = 0) -> int:
    found = [r.sequence for r in STORY.recorded if r.envelope.type == f"marketplace.{tag}"]
    return found[place]


@pytest_asyncio.fixture
async def connection(engine: AsyncEngine, memory_log: MemoryLog) -> AsyncIterator[AsyncConnection]:
    await fill(memory_log, STORY.recorded)
    await project(engine, memory_log)
    async with engine.connect() as opened:
        yield opened


async def test_parties_by_role_and_status(connection: AsyncConnection):
    provider = await parties.find_party(connection, PROVIDER)
    assert provider is not None
    assert (provider.roles, provider.status, provider.checks) == (("provider",), "cleared", ("sanctions",))
    assert [p.party_id for p in await parties.list_parties(connection, role="startup")] == [STARTUP, STRANGER]
    suspended = await parties.list_parties(connection, status="suspended")
    assert [(p.party_id, p.reason) for p in suspended] == [(STRANGER, "papers expired")]
    assert await parties.find_party(connection, make_id("pty", 99)) is None


async def test_inventory_as_it_is_now(connection: AsyncConnection):
    site = await inventory.find_site(connection, SITE)
    assert site is not None
    assert (site.status, site.power_energised_kw, site.former_use) == ("operating", 3500, "bitcoin mining")
    assert site.power_usage_effectiveness == usd("1.25")
    assert [p.pool_id for p in await inventory.list_pools(connection, gpu_class="H100_SXM")] == [POOL, POOL_B]
    assert await inventory.list_pools(connection, region="eu-north") == []
    lot = await inventory.find_lot(connection, LOT)
    assert lot is not None
    assert (lot.ask_usd_per_gpu_hour, lot.gpu_class, lot.gpus_per_node) == (usd("1.95"), "H100_SXM", 8)
    assert (lot.start, lot.end, lot.mandate_ids, lot.status) == (START, market.END, (MANDATE,), "listed")
    assert [row.lot_id for row in await inventory.list_lots(connection, status="withdrawn")] == [LOT_B]
    assert [row.lot_id for row in await inventory.list_lots(connection, window=Window(after=LOT))] == [
        LOT_B,
        resales.RESALE_LOT,
    ]


async def test_a_mandate_knows_what_is_held_and_what_is_committed(connection: AsyncConnection):
    mandate = await mandates.find_mandate(connection, MANDATE)
    assert mandate is not None
    # Eight orders held 200.00 each; three were matched: 192.00 committed and 8.00 freed.
    assert (mandate.held_usd, mandate.captured_usd) == (5 * usd("200.00"), 3 * usd("192.00"))
    assert (mandate.status, mandate.terms) == ("revoked", market.MANDATE_TERMS)
    first = (await mandates.list_budget_holds(connection, MANDATE, limit=1))[0]
    assert (first.held_usd, first.captured_usd, first.grant_id) == (0, usd("192.00"), make_id("grt", 1))
    assert [m.mandate_id for m in await mandates.list_mandates(connection, holder_id=FUND)] == [MANDATE]
    assert await mandates.list_mandates(connection, holder_id=STARTUP) == []


async def test_an_order_keeps_its_last_decision(connection: AsyncConnection):
    statuses = {o.order_id: o.status for o in await orders.list_orders(connection, startup_id=STARTUP)}
    expected = ("matched", "matched", "matched", "open", "open", "unmatched", "cancelled", "expired")
    assert statuses == {make_id("ord", number): status for number, status in enumerate(expected, 1)}
    lost = await orders.find_order(connection, make_id("ord", 6))
    assert lost is not None
    assert lost.reasons is not None
    assert (lost.reasons[0].code, lost.price_to_win_usd_per_gpu_hour) == ("outbid", usd("3.10"))
    assert lost.reasons[0].facts == {"price_to_win": "3.10"}
    won = await orders.find_order(connection, make_id("ord", 1))
    assert won is not None
    assert (won.price_usd_per_gpu_hour, won.start) == (usd("2.5"), START)
    assert (lost.price_usd_per_gpu_hour, lost.start) == (None, None)
    for exact, shown in (
        ("7/3", "2.333333333333"),
        ("800000000000001/8", "100000000000000.125"),
        ("2/3", "0.666666666667"),
    ):
        assert (await connection.execute(select(as_decimal(literal(exact))))).scalar_one() == Decimal(shown)
    assert (won.grant_id, won.terms, won.last_sequence) == (
        make_id("grt", 1),
        market.TERMS,
        sequence_of("order.matched.v1"),
    )
    assert await orders.list_orders(connection, startup_id=STRANGER) == []
    assert len(await orders.list_orders(connection, status="open", window=Window(limit=1))) == 1


async def test_the_book_as_of_any_point(connection: AsyncConnection):
    def numbers(book):
        return [(int(row.order_id[4:]), row.status) for row in book]

    assert numbers(await orders.list_book(connection)) == [(4, "open"), (5, "open")]
    before = sequence_of("order.cancelled.v1") - 1
    assert numbers(await orders.list_book(connection, at=before)) == [(n, "open") for n in range(1, 9)]
    locked = sequence_of("auction.locked.v1")
    assert numbers(await orders.list_book(connection, at=locked)) == [
        (1, "locked"),
        (2, "locked"),
        (3, "locked"),
        (4, "open"),
        (5, "locked"),
        (6, "locked"),
    ]
    time = STORY.recorded[locked - 1].envelope.time
    assert await orders.list_book(connection, at=time) == await orders.list_book(connection, at=locked)
    assert await orders.list_book(connection, at=0) == []
    assert numbers(await orders.list_book(connection, at=locked, after=make_id("ord", 4), limit=1)) == [(5, "locked")]
    assert {row.terms for row in await orders.list_book(connection, at=locked)} == {market.TERMS}


async def test_an_auction_with_prices_and_decisions(connection: AsyncConnection):
    auction = await auctions.find_auction(connection, AUCTION)
    assert auction is not None
    assert auction.certificate is not None
    assert (auction.status, auction.matched, auction.unmatched, auction.book_orders) == ("cleared", 3, 2, 5)
    assert (auction.certificate.welfare_usd, auction.attempts) == (usd("633.60"), 1)
    assert auction.locked_sequence == sequence_of("auction.locked.v1")
    decided = await auctions.list_decisions(connection, auction_id=AUCTION, startup_id=STARTUP)
    assert [d.match is not None for d in decided] == [True, True, True, False, False, False]
    assert auction.deferred == 1
    assert sorted(d.reasons[0].code for d in decided[3:]) == ["auction_full", "outbid", "outbid"]
    assert await auctions.list_decisions(connection, startup_id=STRANGER) == []
    after = (AUCTION, decided[2].order_id)
    assert await auctions.list_decisions(connection, after=after) == decided[3:]
    (price,) = await auctions.list_prices(connection, gpu_class="H100_SXM")
    assert (price.start, price.end, price.price_usd_per_gpu_hour) == (START, START + 24 * HOUR, usd("2.5"))
    cursor = (price.last_sequence, price.pool_id, price.from_period)
    assert await auctions.list_prices(connection, after=cursor) == []
    assert await auctions.list_prices(connection, start=START + 24 * HOUR) == []


async def test_the_calendar_shows_what_is_free_at_every_instant(connection: AsyncConnection):
    steps = await capacity.load_calendar(connection, [POOL], start=START - HOUR, end=START + 30 * HOUR)
    seen = [((s.start - START) / HOUR, s.offered, s.reserved, s.resold, s.failed, s.free) for s in steps]
    assert seen == [
        (-1, 0, 0, 0, 0, 0),
        (0, 64, 6, 0, 0, 58),
        (1, 64, 6, 0, 2, 56),
        (3, 64, 4, 0, 2, 58),
        (9, 64, 4, 0, 0, 60),
        (12, 64, 4, 1, 0, 60),
        (24, 64, 0, 0, 0, 64),
    ]
    assert all(one.end == two.start for one, two in itertools.pairwise(steps))
    recalled = await capacity.load_calendar(connection, [POOL_B], start=START, end=START + 24 * HOUR)
    assert [(s.offered, s.reserved, s.free) for s in recalled] == [(0, 0, 0), (0, 2, 0)]
    both = await capacity.load_calendar(connection, [POOL_B, POOL], start=START, end=START + 24 * HOUR)
    assert [step for step in both if step.pool_id == POOL_B] == recalled
    assert [step.pool_id for step in both] == [POOL_B] * 2 + [POOL] * 5
    nothing = await capacity.load_calendar(connection, [make_id("pol", 9)], start=START, end=START + HOUR)
    assert [(s.offered, s.free) for s in nothing] == [(0, 0)]


async def test_the_depth_of_a_class(connection: AsyncConnection):
    (ask,) = await capacity.load_depth(connection, "H100_SXM", now=STORY.now)
    hours = Decimal((market.END - START) // HOUR)
    # Grants 1 and 3 hold their lot for a day, grant 2 left it after three hours.
    sold = 2 * (24 + 24 + 3)
    assert (ask.price_usd_per_gpu_hour, ask.node_hours, ask.count) == (usd("1.95"), 64 * hours - sold, 1)
    assert await capacity.load_depth(connection, "A100", now=STORY.now) == []
    assert await capacity.list_classes(connection) == ["H100_SXM"]


async def test_of_a_lot_only_what_lies_ahead_is_asked(connection: AsyncConnection):
    async def ask(now: datetime, at: int | datetime | None = None) -> list[Decimal]:
        levels = await capacity.load_depth(connection, "H100_SXM", now=now, at=at)
        return [level.node_hours for level in levels]

    day = 24 * HOUR
    [whole] = await ask(START)
    assert await ask(START + day) == [whole - 64 * 24 + 2 * (24 + 24 + 3)]
    assert await ask(START, START + day) == await ask(START + day)
    assert await ask(market.END) == await ask(START, market.END) == []


async def test_what_is_held_of_a_resale_is_asked_no_more_and_still_its_sellers(connection: AsyncConnection):
    async def read(tag: str, nth: int = 0) -> tuple[Decimal, int, int]:
        at = sequence_of(tag, nth)
        levels = await capacity.load_depth(connection, "H100_SXM", now=STORY.now, at=at)
        [step, *_] = await capacity.load_calendar(connection, [POOL], start=resales.NOON, end=resales.END, at=at)
        found = [level.node_hours for level in levels if level.price_usd_per_gpu_hour == usd("2.75")]
        return sum(found, Decimal(0)), step.reserved, step.resold

    hours = Decimal((resales.END - resales.NOON) // HOUR)
    offered = (await read("pool.capacity_offered.v1", 2), await read("pool.capacity_held.v1"))
    assert [asked for asked, _, _ in offered] == [hours, 0]
    assert offered[0][1] == offered[1][1]
    assert await read("pool.capacity_held.v1", 1) == (0, offered[0][1], 0)
    assert (await read("pool.capacity_resold.v1")) == (0, offered[0][1], 1)


async def test_the_depth_and_the_calendar_as_they_were(connection: AsyncConnection):
    span = {"start": START - HOUR, "end": START + 30 * HOUR}

    async def read(at: int | datetime | None) -> list[DepthLevel]:
        return await capacity.load_depth(connection, "H100_SXM", now=STORY.now, at=at)

    for at in (len(STORY.recorded), STORY.now):
        assert await read(at) == await read(None)
        for pool_id in (POOL, POOL_B):
            now = await capacity.load_calendar(connection, [pool_id], **span)
            assert await capacity.load_calendar(connection, [pool_id], **span, at=at) == now
    assert await read(1) == []
    assert [level.count for level in await read(sequence_of("lot.listed.v1"))] == [1]


async def test_what_a_grant_sold_on_stands_with_the_seller_and_the_buyer(connection: AsyncConnection):
    seller = await grants.find_grant(connection, resales.SELLER)
    bought = await grants.find_grant(connection, resales.BUYER)
    lot = await inventory.find_lot(connection, resales.RESALE_LOT)
    assert seller is not None
    assert bought is not None
    assert lot is not None
    assert seller.equity is not None
    assert bought.resale is not None
    assert [(part.resale_grant_id, part.nodes, part.start) for part in seller.resold] == [
        (resales.BUYER, 1, resales.NOON)
    ]
    assert (seller.cash_commitment_usd, seller.equity.principal_commitment_usd) == (usd("576.00"), usd("288.00"))
    assert (bought.resale.seller_id, bought.resale.owed_usd_per_gpu_hour, bought.resold) == (STARTUP, usd("2.5"), ())
    assert (lot.grant_id, lot.provider_id) == (resales.SELLER, STARTUP)


async def test_grants_by_party_and_over_their_life(connection: AsyncConnection):
    first = await grants.find_grant(connection, make_id("grt", 1))
    assert first is not None
    assert first.equity is not None
    assert (first.status, first.price_usd_per_gpu_hour, first.holder_id) == ("completed", usd("2.5"), FUND)
    assert first.gpu_seconds_accepted == market.GPU_SECONDS
    for party_id, count in ((STARTUP, 3), (PROVIDER, 4), (FUND, 3), (STRANGER, 2)):
        assert len(await grants.list_grants(connection, party_id=party_id)) == count
    second = make_id("grt", 2)
    life = []
    for tag in ("grant.issued.v1", "grant.degraded.v1", "grant.substituted.v1", "grant.resumed.v1"):
        at = sequence_of(tag, 1 if tag == "grant.issued.v1" else 0)
        seen = await grants.find_grant_at(connection, second, at)
        assert seen is not None
        assert seen.last_sequence == at
        life.append((seen.status, seen.pool_id, seen.nodes_available))
    assert life == [("issued", POOL, 2), ("degraded", POOL, 1), ("suspended", POOL_B, 0), ("active", POOL_B, 2)]
    transferred = await grants.find_grant_at(connection, second, None)
    assert transferred is not None
    assert transferred.startup_id == STRANGER
    assert await grants.find_grant_at(connection, second, 1) is None
    then = await grants.list_grants_at(connection, sequence_of("grant.activated.v1"), party_id=PROVIDER)
    assert [grant.status for grant in then] == ["active", "issued", "issued"]


async def test_an_allocation_that_was_taken_back_is_shown_with_what_it_said_last(connection: AsyncConnection):
    (allocation,) = await usage.list_allocations(connection, party_id=STARTUP)
    assert (allocation.gpus, allocation.corrections, allocation.voided, allocation.parts) == (1, 1, True, ())
    assert [rank.grant_id for rank in allocation.ranks] == [make_id("grt", 1)]
    assert await usage.list_allocations(connection, party_id=STRANGER) == []
    assert await usage.list_allocations(connection, after=(allocation.reported_sequence, "fleet", "u1")) == []
    first = await grants.find_grant(connection, make_id("grt", 1))
    assert first is not None
    assert first.priority == 3


async def test_usage_counts_every_reading_once(connection: AsyncConnection):
    grant_id = make_id("grt", 1)
    total = await usage.load_usage(connection, grant_id)
    assert (total.readings, total.gpu_seconds) == (24, market.GPU_SECONDS)
    hour = await usage.load_usage(connection, grant_id, start=START, end=START + HOUR)
    assert (hour.readings, hour.gpu_seconds) == (1, 2 * 8 * 3600)
    none = await usage.load_usage(connection, make_id("grt", 3))
    assert (none.readings, none.gpu_seconds, none.start) == (0, 0, None)
    corrected = await usage.find_reading(connection, grant_id, "dcgm", "h3")
    voided = await usage.find_reading(connection, grant_id, "dcgm", "h30")
    assert corrected is not None
    assert voided is not None
    assert (corrected.corrections, corrected.nodes, corrected.voided) == (2, 2, False)
    assert (voided.voided, voided.reason) == (True, "double")
    after, seen = (0, "", ""), []
    while page := await usage.list_readings(connection, grant_id=grant_id, after=after, limit=10):
        seen += page
        after = (page[-1].reported_sequence, page[-1].source, page[-1].reading_id)
    assert len(seen) == len({row.reading_id for row in seen}) == 26
    assert await usage.list_readings(connection, party_id=FUND) == []
    assert len(await usage.list_readings(connection, party_id=PROVIDER, limit=1000)) == 50


async def test_statements_by_party_and_status(connection: AsyncConnection):
    first = await statements.find_statement(connection, make_id("stm", 1))
    assert first is not None
    assert (first.status, first.accepted_by, first.charges) == ("accepted", "acceptance", market.CHARGES)
    (credited,) = await statements.list_statements(connection, status="credited")
    assert credited.adjustment is not None
    assert (credited.adjustment.statement_id, credited.charges.gpu_seconds) == (first.statement_id, 0)
    assert credited.charges_net.provider_usd == usd("2.00")
    earned = await load_earnings(connection, PROVIDER, start=START, end=START + 999 * HOUR)
    # One credit of 1.20 as the statement was accepted, one of 2.00 afterwards.
    assert earned.total.credited_usd == usd("3.20")
    resolved = await statements.list_statements(connection, status="resolved")
    assert [(row.gpu_seconds_counted, row.holder_id) for row in resolved] == [(3600, FUND)]
    assert [(one.by, one.act, one.reason) for one in resolved[0].remarks] == [
        ("startup", "disputed", "idle"),
        ("provider", "answered", "no"),
        ("provider", "conceded", "no"),
        ("provider", "referred", "no"),
        ("platform", "resolved", "logs agree"),
    ], "what one side says replaces nothing that the other one said"
    for party_id, count in ((STARTUP, 4), (PROVIDER, 4), (FUND, 4), (STRANGER, 0)):
        assert len(await statements.list_statements(connection, party_id=party_id)) == count
    assert len(await statements.list_statements(connection, grant_id=make_id("grt", 2))) == 2
    (of_line,) = await statements.list_statements(connection, service_line_id=lines.LINE)
    assert (of_line.charges.service_hours, of_line.hours_counted) == (usd("1.5"), 1)
    assert of_line.gpu_seconds_counted is None


async def test_a_provider_earned_of_a_part_what_its_service_credit_leaves(engine: AsyncEngine, memory_log: MemoryLog):
    story, statement_id = Story(), make_id("stm", 2)
    market.settle(story, 2)
    named = {"statement_id": statement_id, "grant_id": make_id("grt", 2)}
    story.tell(StatementDisputed(**named, gpu_seconds_counted=3600, reason="slow", answer_until=START))
    before = market.CHARGES.provider_usd
    part = msgspec.structs.replace(market.CHARGES, provider_usd=usd("110.83"), provider_fee_usd=usd("1.11"))
    zero = {"holder_usd": usd("0"), "principal_usd": usd("0")}
    credit = ServiceCredit(provider_usd=usd("55.41"), cash_usd=usd("55.41"), provider_fee_usd=usd("0.55"), **zero)
    story.tell(StatementPartSettled(**named, charges=part, part_id=make_id("stm", 4), credit=credit))
    await fill(memory_log, story.recorded)
    await project(engine, memory_log, [statements.PROJECTION])
    async with engine.connect() as connection:
        found = await statements.find_statement(connection, statement_id)
        total = (await load_earnings(connection, PROVIDER, start=START, end=START + 999 * HOUR)).total
    assert found is not None
    assert (found.status, found.service_credit) == ("disputed", credit)
    assert total.earned_usd == usd("110.83") - usd("1.11") - usd("55.41") + usd("0.55")
    assert total.credited_usd == usd("55.41")
    assert total.waiting_usd == before - usd("110.83") + usd("1.11"), "what is not settled yet waits"


async def test_a_page_never_holds_more_than_its_bound(engine: AsyncEngine, memory_log: MemoryLog):
    story = Story()
    market.tell_parties(story)
    market.tell_supply(story)
    for number in range(1, 1_005):
        market.place_order(story, number)
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    async with engine.connect() as connection:
        first = await orders.list_orders(connection, window=Window(limit=10_000))
        rest = await orders.list_orders(connection, window=Window(limit=10_000, after=first[-1].order_id))
        assert (len(first), len(rest)) == (1_000, 4)
        assert first[0].placed_at - rest[-1].placed_at < timedelta(0)
        placed = {one.order_id: one.placed_at for one in (*first, *rest)}
        await check_walks(connection, placed)
        newest = await orders.list_orders(connection, window=Window(limit=3, order="newest"))
        market.place_order(story, 1_005)
        await fill(memory_log, story.recorded[-3:])
        await project(engine, memory_log)
        after = (newest[-1].placed_at, newest[-1].order_id)
        following = await orders.list_orders(connection, window=Window(limit=1_000, order="newest", after=after))
        walked = [one.order_id for one in (*newest, *following)]
        assert walked == sorted(placed, key=lambda id_: (placed[id_], id_), reverse=True)[:1_003]


async def check_walks(connection: AsyncConnection, placed: dict[str, datetime]) -> None:
    """Walk the orders by when they were placed, in both directions, within a span that ends before its last one."""
    by_time = sorted(placed, key=lambda id_: (placed[id_], id_))
    span = {"created_from": placed[by_time[3]], "created_before": placed[by_time[503]]}
    for order in ("oldest", "newest"):
        seen, after = [], None
        while page := await orders.list_orders(
            connection,
            status=("open", "matched"),
            window=Window(limit=77, order=order, after=after, counts=True, **span),
        ):
            assert page.total == 500
            seen += [one.order_id for one in page]
            after = (page[-1].placed_at, page[-1].order_id)
        assert (seen if order == "oldest" else seen[::-1]) == by_time[3:503]
    assert (await orders.list_orders(connection, status=("matched",), window=Window(counts=True))).total == 0


def test_public_depth_hides_each_provider():
    asks = [Ask(Decimal(price), Decimal(10), provider) for price, provider in ((2, "a"), (2, "b"), (4, "a"), (6, "c"))]
    assert [(float(one.mean_usd_per_gpu_hour), one.node_hours) for one in merge_asks(asks)] == [(3.5, 40)]
    more = [*asks, Ask(Decimal(7), Decimal(1), "a"), Ask(Decimal(8), Decimal(1), "b"), Ask(Decimal(8), Decimal(1), "c")]
    assert [one.node_hours for one in merge_asks(more)] == [40, 3]
    assert [one.node_hours for one in merge_asks(more[:-1])] == [42], "two are left, and join the step before"
    assert merge_asks(asks[:3]) == merge_asks([]) == []


async def test_a_decision_says_why_what_it_won_could_not_be_had(engine: AsyncEngine, memory_log: MemoryLog):
    story = tell_everything()
    reason = Reason(code="became_impossible", text="it won, but its nodes failed", facts={"cause": "nodes_failed"})
    broken = make_id("ord", 1)
    story.tell(OrderUnmatched(order_id=broken, auction_id=AUCTION, reasons=(reason,), open_again=True))
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    async with engine.connect() as connection:
        first, second, *_ = await auctions.list_decisions(connection, auction_id=AUCTION, startup_id=STARTUP)
        found = await auctions.find_decisions(connection, {(AUCTION, broken)})
    assert (first.order_id, first.reasons, first.match is None) == (broken, (reason,), False)
    assert second.reasons == ()
    assert found[AUCTION, broken] == first
