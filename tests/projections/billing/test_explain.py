"""A balance is explained down to entries, events and readings, and a statement of account sums in every form."""

import csv
import html
import io
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from events.account import AccountDeposited
from events.grant import GrantTerminated
from events.usage import UsageReported, UsageVoided
from marketplace.application.billing.statements import dispute_statement
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.domain.delivery.periods import list_periods
from marketplace.log.memory import MemoryLog
from marketplace.projections.billing.accounts import (
    explain_balance,
    find_account,
    list_balances,
    load_account_statement,
    render_csv,
    render_html,
)
from marketplace.projections.billing.accounts import statement as statements
from marketplace.projections.billing.accounts.meaning import find_cause, find_occurrence
from marketplace.projections.engine.recorded_events import parse_facts
from marketplace.projections.views import billing
from marketplace.projections.views.billing import AccountView
from tests.projections.conftest import fill, project
from tests.projections.market import CASH, PROVIDER, STARTUP, STRANGER
from tests.projections.story import Story, make_id, usd
from tests.projections.tales import begin, tell_everything
from tests.support.market.market import Market


async def _tell(engine: AsyncEngine, log: MemoryLog, story: Story | None = None) -> Story:
    story = story or tell_everything()
    await fill(log, story.recorded)
    await project(engine, log)
    return story


async def test_pages_of_an_explanation_sum_to_the_balance_and_name_their_events(
    engine: AsyncEngine, memory_log: MemoryLog
):
    await _tell(engine, memory_log)
    async with engine.connect() as connection:
        after, entries = (0, -1), []
        while (page := await explain_balance(connection, memory_log, CASH, after=after, limit=5)).entries:
            entries += page.entries
            after = (page.entries[-1].entry.sequence, page.entries[-1].entry.line)
        last = {one.entry.account: one.balance for one in entries}
        balances = {row.account: row.amount for row in await list_balances(connection, account_id=CASH)}
    assert last == balances
    assert balances.keys() == {f"{CASH}/available", f"{CASH}/held"}
    for one in entries:
        assert (one.event.sequence, one.event.tag) == (one.entry.sequence, one.entry.tag)
        assert CASH.encode() in bytes(one.event.body)


async def test_a_payment_leads_to_its_statement_and_to_the_readings_of_its_period(
    engine: AsyncEngine, memory_log: MemoryLog
):
    await _tell(engine, memory_log)
    async with engine.connect() as connection:
        found = await explain_balance(connection, memory_log, CASH, party_id=STARTUP, limit=50)
    paid = next(one for one in found.entries if one.entry.tag == "account.hold_captured.v1")
    assert paid.cause is not None
    assert paid.cause.id == paid.entry.cause == make_id("stm", 1)
    assert paid.cause.events[0].tag == "statement.issued.v1"
    assert paid.cause.readings
    assert {reading.grant_id for reading in paid.cause.readings} == {make_id("grt", 1)}
    assert all(event.sequence <= paid.entry.sequence for event in paid.cause.events)


async def test_a_payment_of_an_undisputed_part_leads_to_its_statement(engine: AsyncEngine, memory_log: MemoryLog):
    market = Market(memory_log)
    trade = await market.trade()
    async with market.worker():
        grant = await market.award(trade)
        await market.deliver(grant, 30)
        statement_id = list_periods(grant)[0].statement_id
        market.clock.at = list_periods(grant)[0].end + timedelta(hours=25)
        await market.until("statement", statement_id, "issued")
    claim = {"gpu_seconds_counted": 86_400, "reason": "less"}
    await dispute_statement(market.handler, market.context(trade.startup), statement_id, **claim)
    await project(engine, memory_log)
    async with engine.connect() as connection:
        found = await explain_balance(connection, memory_log, rename_id("acc", trade.provider), limit=50)
    paid = next(one for one in found.entries if one.entry.tag == "account.credited.v1")
    assert paid.cause is not None
    assert paid.cause.id == statement_id != paid.entry.cause
    assert paid.cause.events[0].tag == "statement.issued.v1"
    assert paid.cause.readings


async def test_a_grant_is_explained_in_gpu_seconds_and_nobody_sees_anothers_lines(
    engine: AsyncEngine, memory_log: MemoryLog
):
    await _tell(engine, memory_log)
    grant_id = make_id("grt", 1)
    async with engine.connect() as connection:
        mine = await explain_balance(connection, memory_log, grant_id, party_id=STARTUP, limit=50)
        others = await explain_balance(connection, memory_log, grant_id, party_id=STRANGER)
    assert {row.unit for row in mine.balances} == {"GPU-second:H100_SXM"}
    assert "usage.reported.v1" in {one.entry.tag for one in mine.entries}
    assert (others.balances, others.entries) == ((), ())


async def test_what_is_known_and_what_had_occurred_are_asked_apart(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _tell(engine, memory_log)
    report = next(fact for fact in parse_facts(story.recorded) if isinstance(fact.event, UsageReported))
    ended, account = (
        max(reading.end for reading in report.event.readings),
        f"{report.event.grant_id}/{STARTUP}/delivered",
    )
    counted = Decimal(sum(reading.gpu_seconds for reading in report.event.readings))

    async with engine.connect() as connection:

        async def delivered(**point) -> Decimal:
            rows = await list_balances(connection, account_id=report.event.grant_id, **point)
            return next((row.amount for row in rows if row.account == account), Decimal(0))

        known = report.sequence
        assert await delivered(at=known - 1, occurred_until=ended) == 0
        assert await delivered(at=known, occurred_until=ended - timedelta(seconds=1)) == 0
        assert await delivered(at=known, occurred_until=ended) == counted


def test_an_event_occurred_when_it_says_and_otherwise_when_it_was_recorded():
    for fact in parse_facts(tell_everything().recorded):
        occurred = find_occurrence(fact.event, fact.time)
        match fact.event:
            case UsageReported():
                assert occurred == max(reading.end for reading in fact.event.readings)
            case UsageVoided():
                assert occurred == fact.event.reading.end
            case GrantTerminated():
                assert occurred == fact.event.at
            case AccountDeposited():
                assert (occurred, find_cause(fact.event)) == (fact.time, fact.event.reference)


async def _load(engine: AsyncEngine, **span) -> billing.AccountStatementView:
    async with engine.connect() as connection:
        account = await find_account(connection, CASH, now=Story().now)
        assert account is not None
        return await load_account_statement(connection, account, **span)


@pytest.mark.parametrize("basis", ["recorded", "occurred"])
async def test_opening_and_lines_sum_to_closing_and_spans_join(basis, engine: AsyncEngine, memory_log: MemoryLog):
    story = await _tell(engine, memory_log)
    facts = parse_facts(story.recorded)
    first, middle, end = facts[0].time, facts[len(facts) // 2].time, story.now + timedelta(days=400)
    whole = await _load(engine, start=first, end=end, basis=basis)
    one, two = [await _load(engine, start=a, end=b, basis=basis) for a, b in ((first, middle), (middle, end))]
    assert whole.opening == ()
    assert one.closing == two.opening
    assert whole.lines == one.lines + two.lines
    assert whole.closing == two.closing
    latest = await _load(engine, start=first, end=end, basis=basis, last=3)
    assert (latest.lines, latest.closing) == (whole.lines[-3:], whole.closing)
    for stand in whole.closing:
        lines = [line for line in whole.lines if line.account == stand.account]
        assert sum(line.amount for line in lines) == lines[-1].balance == stand.amount


async def test_a_statement_as_csv_holds_the_same_numbers(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _tell(engine, memory_log)
    statement = await _load(engine, start=parse_facts(story.recorded)[0].time, end=story.now + timedelta(days=1))
    rows = list(csv.DictReader(io.StringIO(render_csv(statement))))
    lines = [row for row in rows if row["sequence"]]
    assert [Decimal(row["amount"]) for row in lines] == [line.amount for line in statement.lines]
    closing = {row["account"]: Decimal(row["balance"]) for row in rows if row["event"] == "closing"}
    assert closing == {stand.account: stand.amount for stand in statement.closing}


async def test_the_page_to_print_has_cents_thousands_and_plain_instants(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _tell(engine, memory_log)
    statement = await _load(engine, start=parse_facts(story.recorded)[0].time, end=story.now + timedelta(days=1))
    page, line = render_html(statement), statement.lines[0]
    assert f'<td class="number">{line.balance:,.2f}</td>' in page
    assert "100,000,000.00" in page
    assert f"<td>{line.recorded_at:%Y-%m-%d %H:%M:%S} UTC</td>" in page
    assert "<td>available</td>" in page


async def test_words_of_others_are_neither_markup_nor_formulas(engine: AsyncEngine, memory_log: MemoryLog):
    story = Story()
    begin(story)
    evil = '=HYPERLINK("http://x","<script>alert(1)</script>")'
    story.tell(AccountDeposited(account_id=CASH, party_id=STARTUP, amount_usd=usd("1"), reference=evil))
    await _tell(engine, memory_log, story)
    statement = await _load(engine, start=parse_facts(story.recorded)[0].time, end=story.now + timedelta(days=1))
    page = render_html(statement)
    assert "<script" not in page
    assert html.escape(evil) in page
    cells = {row["cause"] for row in csv.DictReader(io.StringIO(render_csv(statement)))}
    assert f"'{evil}" in cells
    assert evil not in cells


async def test_a_span_that_is_empty_or_has_too_many_lines_is_refused(
    engine: AsyncEngine, memory_log: MemoryLog, monkeypatch: pytest.MonkeyPatch
):
    story = await _tell(engine, memory_log)
    start, end = parse_facts(story.recorded)[0].time, story.now + timedelta(days=1)
    with pytest.raises(Refusal, match="ends before it starts"):
        await _load(engine, start=end, end=start)
    monkeypatch.setattr(statements, "LINES_MAX", 3)
    with pytest.raises(Refusal, match="more than 3 lines"):
        await _load(engine, start=start, end=end)


async def test_an_account_that_nobody_posted_to_has_an_empty_statement(engine: AsyncEngine):
    opened = {"unit": "USD", "opened_at": Story().now, "closed_at": None, "limit_usd": None, "last_sequence": 1}
    opened |= dict.fromkeys(("available_usd", "held_usd", "reserved_usd"), usd("0"))
    opened |= {"order_limit_usd": None, "week_limit_usd": None}
    account = AccountView(account_id=CASH, party_id=PROVIDER, **opened)
    async with engine.connect() as connection:
        span = {"start": account.opened_at, "end": account.opened_at + timedelta(days=1)}
        statement = await load_account_statement(connection, account, **span)
    assert (statement.opening, statement.lines, statement.closing) == ((), (), ())
    assert "Nothing." in render_html(statement)
