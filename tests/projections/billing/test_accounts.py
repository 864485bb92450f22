"""Every event posts balanced entries, or nothing by name; balances can be asked as of any point."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from events.account import AccountDeposited, AccountReserved, AccountWithdrawn
from marketplace.core.errors import Corrupt
from marketplace.log.memory import MemoryLog
from marketplace.projections.billing.accounts import (
    find_account,
    list_accounts,
    list_balances,
    list_entries,
    load_trial_balance,
)
from marketplace.projections.billing.accounts.posting import Posting, Subject, sum_by_unit
from marketplace.projections.billing.accounts.projection import PROJECTION
from marketplace.projections.billing.accounts.rules import CLEARING, POSTS_NOTHING, RULES, UNITS, post
from marketplace.projections.engine.projection import all_of, tags_of
from marketplace.projections.engine.queries import parse_row
from marketplace.projections.engine.recorded_events import parse_facts
from marketplace.projections.views.billing import TrialBalanceView
from tests.projections import market
from tests.projections.conftest import fill, project
from tests.projections.market import CASH, FUND, FUNDS, PAID, PROVIDER, STARTUP, STRANGER
from tests.projections.story import Story, make_id, usd
from tests.projections.tales import TAKER, begin, tell_everything


class Subjects(dict[str, Subject]):
    def find(self, subject_id: str) -> Subject | None:
        return self.get(subject_id)

    def put(self, subject: Subject) -> None:
        self[subject.id] = subject


def post_all(story: Story) -> list[tuple[Any, tuple[Posting, ...]]]:
    subjects = Subjects()
    return [(fact, post(fact.event, subjects)) for fact in parse_facts(story.recorded)]


def test_every_event_type_has_a_rule_or_is_named_as_posting_nothing():
    ruled = tags_of(*RULES)
    assert ruled | POSTS_NOTHING == all_of(*PROJECTION.reads)
    assert not ruled & POSTS_NOTHING


def test_entries_sum_to_zero_per_unit_in_every_event():
    posted = post_all(tell_everything())
    assert sum(len(postings) for _, postings in posted) > 150
    for fact, postings in posted:
        assert not any(sum_by_unit(postings).values()), fact.tag
    kinds = {posting.unit.partition(":")[0] for _, postings in posted for posting in postings}
    assert kinds <= {unit.partition(":")[0] for unit in UNITS}


def test_money_in_transit_is_zero_after_every_command():
    command, transit = "", Decimal(0)
    seen = 0
    for fact, postings in post_all(tell_everything()):
        if fact.envelope.causationid != command:
            assert transit == 0
            command = fact.envelope.causationid
        for posting in postings:
            if posting.account == CLEARING:
                transit += posting.amount
                seen += 1
    assert transit == 0
    assert seen >= 6


def test_a_finished_grant_has_nothing_committed_or_waiting():
    sums: dict[str, Decimal] = {}
    for _, postings in post_all(tell_everything()):
        for posting in postings:
            sums[posting.account] = sums.get(posting.account, Decimal(0)) + posting.amount
    first, third = (f"{make_id('grt', number)}/{STARTUP}" for number in (1, 3))
    assert sums[f"{first}/committed"] == sums[f"{first}/delivered"] == sums[f"{third}/committed"] == 0
    assert sums[f"{first}/accepted"] == market.GPU_SECONDS
    assert sums[f"{make_id('ins', 1)}/converted"] == usd("360.00")
    assert sums[f"{make_id('ins', 1)}/due"] == -sums[f"{make_id('ins', 1)}/owed"] == usd("0.60")
    assert sums[f"{make_id('ins', 9)}/{TAKER}/repaid"] == usd("192.00")
    assert sums[f"{make_id('ins', 10)}/undrawn"] == sums[f"{make_id('ins', 10)}/promised"] == 0


def test_an_event_about_a_grant_that_was_never_issued_is_corrupt():
    story = Story()
    market.report_usage(story, 1, hours=1)
    with pytest.raises(Corrupt, match="which no earlier event of the log issued"):
        post_all(story)


@given(st.lists(st.tuples(st.booleans(), st.decimals("0.01", "1e15", places=2)), max_size=50))
def test_deposits_and_withdrawals_keep_every_cent(moves: list[tuple[bool, Decimal]]):
    subjects, sums = Subjects(), Decimal(0)
    for number, (inward, amount) in enumerate(moves):
        kind = AccountDeposited if inward else AccountWithdrawn
        event = kind(account_id=CASH, party_id=STARTUP, amount_usd=amount, reference=str(number))
        sums += sum((p.amount for p in post(event, subjects) if p.party_id == STARTUP), Decimal(0))
    assert sums == sum((amount if inward else -amount for inward, amount in moves), Decimal(0))


async def _project(engine: AsyncEngine, log: MemoryLog) -> Story:
    story = tell_everything()
    await fill(log, story.recorded)
    await project(engine, log)
    return story


async def test_balances_are_exact_and_per_party(engine: AsyncEngine, memory_log: MemoryLog):
    await _project(engine, memory_log)
    async with engine.connect() as connection:
        cash = {row.account: row.amount for row in await list_balances(connection, party_id=STARTUP, unit="USD")}
        paid = {row.account: row.amount for row in await list_balances(connection, party_id=PROVIDER, unit="USD")}
        funds = {row.account: row.amount for row in await list_balances(connection, party_id=FUND, unit="USD")}
        first = await list_balances(connection, limit=2)
        rest = await list_balances(connection, after=first[-1].account, limit=1000)
        assert len(first) == 2
        assert {row.account for row in first}.isdisjoint(row.account for row in rest)
    # Eight holds of 800.00; three grants released 32.00 each, two of them paid 768.00.
    assert cash[f"{CASH}/held"] == usd("8") * usd("800.00") - 3 * usd("32.00") - 2 * usd("768.00")
    assert sum(cash.values()) == usd("100000000") - usd("0.01") - 2 * usd("768.00") + usd("1.20") - usd("3.00")
    assert paid == {f"{PAID}/available": usd("1920.00") - usd("1.20") + usd("3.00")}
    assert funds == {f"{FUNDS}/available": usd("100000000") - 2 * usd("192.00")}


async def test_balances_as_of_a_sequence_and_an_instant(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _project(engine, memory_log)
    placed = next(r for r in story.recorded if r.envelope.type == "marketplace.account.hold_placed.v1")
    async with engine.connect() as connection:

        async def held(at: Any) -> Decimal:
            rows = await list_balances(connection, party_id=STARTUP, unit="USD", at=at)
            return {row.account: row.amount for row in rows}.get(f"{CASH}/held", Decimal(0))

        assert await held(placed.sequence - 1) == 0
        assert await held(placed.sequence) == usd("800.00")
        assert await held(placed.envelope.time) == usd("800.00")
        assert await held(placed.envelope.time - timedelta(microseconds=1)) == 0
        now = await list_balances(connection, limit=1000)
        assert await list_balances(connection, at=len(story.recorded), limit=1000) == now
        assert await list_balances(connection, at=story.now, limit=1000) == now


async def test_the_trial_balance_sums_to_zero_in_every_unit_at_every_point(engine: AsyncEngine, memory_log: MemoryLog):
    story = await _project(engine, memory_log)
    async with engine.connect() as connection:
        for at in (None, len(story.recorded), len(story.recorded) // 2, story.now):
            rows = await load_trial_balance(connection, at=at)
            sums: dict[str, Decimal] = {}
            for row in rows:
                sums[row.unit] = sums.get(row.unit, Decimal(0)) + row.amount
            assert not any(sums.values())
            assert {"USD", "GPU-second:H100_SXM"} <= sums.keys()
        kinds = {row.kind: row.amount for row in await load_trial_balance(connection) if row.unit == "USD"}
    assert kinds.keys() == {"external", "clearing", "available", "held"}
    assert kinds["clearing"] == 0


async def test_entries_explain_a_balance_page_by_page(engine: AsyncEngine, memory_log: MemoryLog):
    await _project(engine, memory_log)
    async with engine.connect() as connection:
        after, seen = (0, -1), []
        while page := await list_entries(connection, account_id=CASH, after=after, limit=7):
            seen += page
            after = (page[-1].sequence, page[-1].line)
        balances = await list_balances(connection, party_id=STARTUP, unit="USD")
        assert sum(entry.amount for entry in seen) == sum(row.amount for row in balances)
        assert {entry.party_id for entry in seen} == {STARTUP}
        one = await list_entries(connection, account=f"{CASH}/held", limit=1000)
        assert sum(entry.amount for entry in one) == {row.account: row.amount for row in balances}[f"{CASH}/held"]
        assert await list_entries(connection, party_id=STRANGER, account_id=CASH) == []


async def test_entries_are_paged_from_the_newest_on_and_within_a_span(engine: AsyncEngine, memory_log: MemoryLog):
    await _project(engine, memory_log)
    async with engine.connect() as connection:
        oldest = await list_entries(connection, account_id=CASH, limit=1000)
        after, seen = None, []
        while page := await list_entries(connection, account_id=CASH, newest=True, after=after, limit=7):
            seen += page
            after = (page[-1].sequence, page[-1].line)
        assert seen == oldest[::-1]
        begin, end = oldest[3].recorded_at, oldest[-3].recorded_at
        within = await list_entries(connection, account_id=CASH, created_from=begin, created_before=end, limit=1000)
    assert within == [entry for entry in oldest if begin <= entry.recorded_at < end]
    assert 0 < len(within) < len(oldest)


async def test_accounts_are_found_by_id_and_party(engine: AsyncEngine, memory_log: MemoryLog):
    story = Story()
    begin(story)
    now, day = story.now, timedelta(days=1)
    kept = {"account_id": PAID, "party_id": PROVIDER}
    for cause, amount, until in ((1, "5", now + day), (2, "7", now + day), (2, "3", now + day), (3, "9", now)):
        story.tell(AccountReserved(**kept, amount_usd=usd(amount), until=until, cause=make_id("stm", cause)))
    await fill(memory_log, story.recorded)
    await project(engine, memory_log)
    async with engine.connect() as connection:
        found = await find_account(connection, CASH, now=now)
        assert found is not None
        assert (found.party_id, found.unit, found.reserved_usd) == (STARTUP, "USD", 0)
        balances = {row.account: row.amount for row in await list_balances(connection, account_id=CASH)}
        assert balances[f"{CASH}/available"] == found.available_usd > 0
        assert balances.get(f"{CASH}/held", 0) == found.held_usd
        assert await find_account(connection, make_id("acc", 9), now=now) is None
        provider = await list_accounts(connection, now=now, party_id=PROVIDER)
        assert [(row.account_id, row.reserved_usd) for row in provider] == [(PAID, 8)]
        assert [row.account_id for row in await list_accounts(connection, now=now, after=CASH)] == [PAID, FUNDS]


def test_round_numbers_have_all_of_their_digits():
    row = {"unit": "USD", "kind": "external", "accounts": 1, "amount": Decimal("-1.280E+7")}
    assert str(parse_row(row, TrialBalanceView).amount) == "-12800000"
