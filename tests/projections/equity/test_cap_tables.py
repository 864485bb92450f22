"""A cap table's rows sum to its total, now and as of any sequence or instant."""

import re
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from events import instrument as ins
from events.issuer import IssuerDistributionPaid, IssuerStockSplit
from marketplace.core.money import parse_ratio, round_ratio
from marketplace.domain.equity.issuer.issuer import ISSUER as ISSUERS
from marketplace.domain.equity.issuer.state import list_rows
from marketplace.domain.equity.issuer.stock_commands import SplitStock
from marketplace.log.events import parse_event
from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.positions import load_positions
from marketplace.projections.engine.recorded_events import parse_facts
from marketplace.projections.engine.runner import Projector
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.equity import cap_tables, instruments
from marketplace.projections.feed import holders
from marketplace.projections.registry import PROJECTIONS
from tests.projections import company
from tests.projections.company import FOUNDER, REPLACED_SALE, ROUND, SALE, SOLD
from tests.projections.conftest import fill, project
from tests.projections.market import DRAW, FUND, ISSUER, PROVIDER, SAFE, STARTUP, STRANGER
from tests.projections.rights import BOUND, HEIR, WARRANTED
from tests.projections.story import DAY, Story, make_id, usd
from tests.projections.tales import TAKER, tell_everything


async def _project(engine: AsyncEngine, log: MemoryLog) -> Story:
    story = tell_everything()
    await fill(log, story.recorded)
    await project(engine, log)
    return story


async def test_the_cap_table_after_the_round(engine: AsyncEngine, memory_log: MemoryLog):
    await _project(engine, memory_log)
    async with engine.connect() as connection:
        table = await cap_tables.load_cap_table(connection, ISSUER)
    shares = {(row.kind, row.holder_id, row.security): row.shares for row in table.rows}
    assert shares == {
        ("stock", FOUNDER, "common"): 7_700_000,
        ("stock", FUND, "series-a"): 2_500_361,  # 384 were bought by compute, and 23 of them clawed back
        ("stock", FUND, "common"): 200_000,
        ("stock", make_id("hol", 2), "common"): 40_000,
        ("stock", PROVIDER, "common"): 10_000,
        ("option", make_id("hol", 2), make_id("opt", 1)): 60_000,
        ("warrant", PROVIDER, make_id("war", 1)): 35_000,
        ("pool", "", "pool"): 1_500_000,
    }
    assert table.outstanding_shares == 10_450_361
    assert table.fully_diluted_shares == sum(shares.values()) == 12_045_361
    assert [row.kind for row in table.rows] == ["stock"] * 5 + ["option", "warrant", "pool"]
    assert {row.holder_id: row.name for row in table.rows}[FUND] == "Fund LP"


async def test_the_rows_sum_to_the_total_at_every_sequence(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _project(engine, memory_log)
    async with engine.connect() as connection:
        acts = [r.sequence for r in story.recorded if r.subject.startswith("marketplace.issuer.")]
        for at in acts:
            for issuer_id in (ISSUER, SOLD, BOUND):
                table = await cap_tables.load_cap_table(connection, issuer_id, at=at)
                assert table.fully_diluted_shares == sum(row.shares for row in table.rows)
                assert table.outstanding_shares == sum(row.shares for row in table.rows if row.kind == "stock")
                assert all(row.shares > 0 for row in table.rows)
                assert table.last_sequence <= at


async def test_the_cap_table_before_the_round_is_there_by_sequence_and_by_instant(
    engine: AsyncEngine, memory_log: MemoryLog
):
    story = await _project(engine, memory_log)
    opened = next(r for r in story.recorded if r.envelope.type == "marketplace.issuer.financing_opened.v1")
    async with engine.connect() as connection:
        by_sequence = await cap_tables.load_cap_table(connection, ISSUER, at=opened.sequence)
        by_instant = await cap_tables.load_cap_table(connection, ISSUER, at=opened.envelope.time)
        nothing = await cap_tables.load_cap_table(connection, ISSUER, at=1)
        unknown = await cap_tables.load_cap_table(connection, make_id("iss", 99))
    assert by_sequence == by_instant
    assert by_sequence.outstanding_shares == 7_950_000
    assert not any(row.security == "series-a" for row in by_sequence.rows)
    assert nothing.rows == unknown.rows == ()
    assert nothing.fully_diluted_shares == unknown.last_sequence == 0


async def test_a_split_multiplies_everything_and_divides_prices(engine: AsyncEngine, memory_log: MemoryLog):
    await _project(engine, memory_log)
    async with engine.connect() as connection:
        table = await cap_tables.load_cap_table(connection, SOLD)
        classes = await cap_tables.list_stock_classes(connection, SOLD)
        issuer = await cap_tables.find_issuer(connection, SOLD)
    assert {row.kind: row.shares for row in table.rows} == {"stock": 1_350_000, "option": 45_000, "pool": 105_000}
    assert [(row.shares_authorised, row.shares_outstanding) for row in classes] == [(15_000_000, 1_350_000)]
    assert issuer is not None
    assert (issuer.plan_shares_reserved, issuer.status, issuer.source) == (150_000, "ended", "other.ocf.zip")


async def test_promises_offers_and_conversions_show(engine: AsyncEngine, memory_log: MemoryLog):
    await _project(engine, memory_log)
    async with engine.connect() as connection:
        table = await cap_tables.load_cap_table(connection, BOUND)
        classes = {row.class_id: row for row in await cap_tables.list_stock_classes(connection, BOUND)}
        offers = await cap_tables.list_offers(connection, BOUND)
    assert {(row.kind, row.holder_id, row.security): row.shares for row in table.rows} == {
        ("stock", FOUNDER, "common"): 1_349_700,
        ("stock", HEIR, "common"): 3_150,
        ("stock", PROVIDER, "common"): 150,
        ("stock", HEIR, "seed"): 3_000,
        ("option", HEIR, make_id("opt", 8)): 6_000,
        ("promised", FOUNDER, make_id("prm", 3)): 1_500,
        ("pool", "", "pool"): 142_500,
    }
    assert [row.kind for row in table.rows][-3:] == ["option", "promised", "pool"]
    seed = classes["seed"]
    assert (seed.price_per_share_usd, seed.conversion_price_usd, seed.price_protection) == (
        Decimal("0.666666666667"),
        Decimal("0.333333333333"),
        "full_ratchet",
    )
    assert (classes["common"].shares_authorised, classes["common"].first_refusal) == (18_000_000, True)
    assert [(row.transfer_id, row.status) for row in offers] == [
        (make_id("trf", 2), "exercised"),
        (make_id("trf", 3), "withdrawn"),
        (make_id("trf", 4), "transferred"),
    ]


@pytest.mark.parametrize("denominator", [7, 10, 1_000])
async def test_a_consolidation_of_odd_rights_gives_the_rows_that_the_issuer_has(
    engine: AsyncEngine, memory_log: MemoryLog, denominator: int
):
    story = tell_everything()
    told = [parse_event(r) for r in story.recorded if r.subject == f"marketplace.issuer.{ISSUER}"]
    state = ISSUERS.fold([event for event in told if not isinstance(event, IssuerDistributionPaid)])
    policy = {"fractions": "cash_in_lieu", "cash_usd_per_share": Decimal("0.5")}
    command = SplitStock(issuer_id=ISSUER, split_id=make_id("spl", 7), numerator=1, denominator=denominator, **policy)
    made = ISSUERS.decide(command, state)
    for event in made:
        story.tell(event)
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    async with engine.connect() as connection:
        table = await cap_tables.load_cap_table(connection, ISSUER)
    after = ISSUERS.fold(made, state)
    expected = {(row.kind, row.holder_id or "", row.security): row.shares for row in list_rows(after) if row.shares}
    assert {(row.kind, row.holder_id, row.security): row.shares for row in table.rows} == expected


async def test_a_split_that_leaves_fractions_stops_the_projector(engine: AsyncEngine, memory_log: MemoryLog):
    story = Story()
    company.form(story)
    story.tell(IssuerStockSplit(issuer_id=ISSUER, split_id=make_id("spl", 7), numerator=1, denominator=7))
    await fill(memory_log, story.recorded)
    await Projector(memory_log, engine, PROJECTIONS).catch_up()
    async with engine.connect() as connection:
        stopped = {at.name: at.stopped_because for at in await load_positions(connection) if at.stopped_at is not None}
    assert set(stopped) == {"cap_tables"}
    assert re.search(r"leaves .* shares", stopped["cap_tables"])


async def test_a_financing_keeps_its_pricing_and_a_sale_its_waterfall(engine: AsyncEngine, memory_log: MemoryLog):
    await _project(engine, memory_log)
    async with engine.connect() as connection:
        financing = await cap_tables.find_financing(connection, ROUND)
        statuses = [row.status for row in await cap_tables.list_financings(connection, ISSUER)]
        sale = await cap_tables.find_liquidity_event(connection, SALE)
        replaced = await cap_tables.find_liquidity_event(connection, REPLACED_SALE)
        valuations = await cap_tables.list_valuations(connection, ISSUER)
        classes = await cap_tables.list_stock_classes(connection, ISSUER)
    assert financing is not None
    assert financing.pricing is not None
    assert (financing.status, financing.pricing.price_usd_per_share) == ("closed", Decimal("1.2000"))
    assert str(financing.pricing.price_usd_per_share) == "1.20"
    assert statuses == ["closed", "abandoned"]
    assert sale is not None
    assert replaced is not None
    assert replaced.status == "replaced"
    assert (sale.status, sale.paid_usd, len(sale.waterfall.payouts)) == ("paid", usd("1000000"), 2)
    assert [row.method for row in valuations] == ["409A"]
    assert {row.class_id: row.price_per_share_usd for row in classes} == {"common": None, "series-a": Decimal("1.2")}


async def test_principal_at_any_point_is_what_accrued_and_is_not_converted(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _project(engine, memory_log)
    converted = next(r for r in story.recorded if r.envelope.type == "marketplace.instrument.converted.v1")
    async with engine.connect() as connection:
        before = await instruments.list_principal(connection, ISSUER, at=converted.sequence - 1)
        heirs = await instruments.list_principal(connection, ISSUER, holder_id=TAKER, at=converted.sequence - 1)
        after = await instruments.list_principal(connection, ISSUER, at=converted.sequence)
        first = await instruments.find_instrument(connection, make_id("ins", 1))
        paid = await instruments.find_instrument(connection, make_id("ins", 9))
        movements = await instruments.list_movements(connection, make_id("ins", 9))
        later = await instruments.list_movements(connection, make_id("ins", 9), created_from=movements[-1].occurred_at)
        earlier = await instruments.list_movements(
            connection, make_id("ins", 9), newest=True, created_before=movements[-1].occurred_at
        )
        rest = await instruments.list_movements(
            connection, make_id("ins", 9), newest=True, after=movements[-1].sequence
        )
        mine = await instruments.list_instruments(connection, party=(STARTUP, ISSUER))
        none = await instruments.list_instruments(connection, holder_id=STRANGER)
    assert {row.instrument_id: row.principal_usd for row in before} == {
        make_id("ins", 1): usd("384.00"),
        make_id("ins", 2): usd("384.00"),
        make_id("ins", 9): usd("192.00"),
    }
    assert later == [row for row in movements if row.occurred_at == movements[-1].occurred_at]
    assert earlier == [row for row in movements[::-1] if row not in later]
    assert rest == movements[-2::-1]
    assert make_id("ins", 1) not in {row.instrument_id for row in after}
    assert first is not None
    assert first.conversion is not None
    assert paid is not None
    assert paid.draw is None
    assert first.draw is not None
    assert (first.draw.start, first.draw.source) == (DRAW.start, DRAW.source)
    assert first.draw.price_usd_per_gpu_hour == parse_ratio(DRAW.price_usd_per_gpu_hour)
    assert (first.status, first.principal_usd, first.conversion.shares) == (
        "active",
        0,
        384,
    )  # 24.00 was clawed back, and may accrue again
    assert (first.converted_usd, first.debt_usd) == (usd("360.00"), usd("0.60"))
    kinds = [(row.kind, row.amount_usd) for row in movements]
    assert kinds == [
        ("accrued", usd("250.50")),
        ("reversed", usd("-58.50")),
        ("transferred", usd("0")),
        ("repaid", usd("-192")),
    ]
    assert [row.holder_id for row in before] == [FUND, FUND, TAKER]
    assert [row.instrument_id for row in heirs] == [make_id("ins", 9)]
    assert len(mine) == 5
    assert none == []


async def test_an_instrument_that_converted_draws_on_until_nothing_is_left_of_its_commitment(
    engine: AsyncEngine, memory_log: MemoryLog
):
    story, name = tell_everything(), make_id("ins", 11)
    signed = {"instrument_id": name, "issuer_id": ISSUER, "holder_id": STRANGER}
    story.tell(ins.InstrumentIssued(**signed, terms=SAFE, commitment_usd=usd("250"), funding="paid_at_once"))
    for number in (20, 21):
        drawn = {**signed, "tranche_id": make_id("trn", number), "statement_id": None, "interest_from": DAY}
        story.tell(ins.InstrumentPrincipalAccrued(**drawn, principal_usd=usd("100"), terms_version=1))
        story.tell(company.convert(name, STRANGER, 100))
    story.tell(ins.InstrumentCommitmentReduced(**signed, amount_usd=usd("50"), cause=make_id("grt", 9)))
    seen = []
    for left in (3, 1, 0):
        await fill(memory_log, story.recorded[: len(story.recorded) - left])
        await project(engine, memory_log)
        async with engine.connect() as connection:
            row = await instruments.find_instrument(connection, name)
            reads = await instruments.holds_principal(connection, ISSUER, STRANGER)
            changes = WriteBatch()
            await holders.load(changes, parse_facts(story.recorded), connection)
        assert (STRANGER in holders.list_depths(changes, ISSUER)) == reads
        assert row is not None
        seen.append((row.status, row.converted_usd, reads))
    assert seen == [("active", usd("100"), True), ("active", usd("200"), True), ("converted", usd("200"), False)]


async def test_holders_find_their_issuers_and_holdings(engine: AsyncEngine, memory_log: MemoryLog):
    await _project(engine, memory_log)
    async with engine.connect() as connection:
        assert [i.issuer_id for i in await cap_tables.list_issuers(connection, party_id=STRANGER)] == [SOLD]
        assert [i.issuer_id for i in await cap_tables.list_issuers(connection, holder_id=FUND)] == [ISSUER]
        held = await cap_tables.list_holdings(connection, FUND)
        assert [(issuer_id, row.security) for issuer_id, row in held] == [(ISSUER, "common"), (ISSUER, "series-a")]
        names = [row.name for row in await cap_tables.list_stakeholders(connection, ISSUER)]
        assert names == ["Founder", "Fund LP"]


async def test_an_option_shows_its_strike_and_what_has_vested(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _project(engine, memory_log)
    states = {
        issuer_id: ISSUERS.fold(
            parse_event(r) for r in story.recorded if r.subject == f"marketplace.issuer.{issuer_id}"
        )
        for issuer_id in (SOLD, BOUND)
    }
    found = {}
    async with engine.connect() as connection:
        for state in states.values():
            for option_id, option in state.options.items():
                holder_id, day = option.holder_id, date(2040, 1, 1)
                known = await cap_tables.load_options(connection, holder_id, [option_id], on_day=day)
                found[option_id] = known[option_id]
                assert await cap_tables.load_options(connection, STRANGER, [option_id], on_day=day) == {}
                assert known[option_id].exercise_price_usd == round_ratio(option.exercise_price_usd)
                assert known[option_id].shares_exercisable == option.shares_outstanding
                assert known[option_id].shares_granted == option.shares_granted
                assert known[option_id].shares_vested == option.shares
    shown = found[make_id("opt", 8)]
    assert (shown.shares_granted, shown.exercise_price_usd) == (9_000, Decimal("0.333333333333")), "after a split"


async def test_a_warrant_shows_what_has_vested_and_may_be_exercised_after_a_split(
    engine: AsyncEngine, memory_log: MemoryLog
):
    await _project(engine, memory_log)
    async with engine.connect() as connection:
        warrant = await cap_tables.find_warrant(connection, WARRANTED, make_id("war", 10))
        held = await cap_tables.list_warrants(connection, WARRANTED, party_id=HEIR)
    assert warrant is not None
    assert held == [warrant]
    assert (warrant.status, warrant.attested, warrant.exercise_price_usd) == (
        "open",
        ("works",),
        Decimal("0.333333333333"),
    )
    shown = [
        (each.shares, each.shares_outstanding, each.shares_unvested, each.shares_exercisable, each.exercise_price_usd)
        for each in warrant.tranches
    ]
    assert shown == [(900, 600, 450, 150, Decimal("0.333333333333")), (450, 450, 0, 450, Decimal("1.8"))]
