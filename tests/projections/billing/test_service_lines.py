"""Service lines as they stand, the hours of each, and its accounts in hours of their own."""

from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.log.memory import MemoryLog
from marketplace.projections.billing.accounts.explain import explain_balance
from marketplace.projections.billing.accounts.queries import list_balances
from marketplace.projections.billing.service_lines import find_service_line, list_hours, list_service_lines
from marketplace.projections.delivery.grants import find_grant
from tests.projections import lines
from tests.projections.conftest import fill, project
from tests.projections.market import FUND, PROVIDER, START, STARTUP, STRANGER
from tests.projections.story import HOUR, make_id, usd
from tests.projections.tales import tell_everything


async def test_service_lines_by_party_and_status_and_their_hours(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log)
    async with engine.connect() as connection:
        line = await find_service_line(connection, lines.LINE)
        assert line is not None
        assert (line.status, line.hours, line.hours_worked) == ("closed", 2, usd("1.5"))
        assert (line.approved_at is None, line.agreed_at, line.cash_commitment_usd) == (False, START, 4)
        for party_id, count in ((STARTUP, 2), (PROVIDER, 2), (FUND, 1), (STRANGER, 0)):
            assert len(await list_service_lines(connection, party_id=party_id)) == count
        (declined,) = await list_service_lines(connection, grant_id=line.grant_id, status="declined")
        assert (declined.declined_by, declined.reason, declined.hours_worked) == ("startup", "too dear", 0)
        readings = await list_hours(connection, lines.LINE)
        assert [(row.reading_id, row.hours, row.voided) for row in readings] == [
            ("h1", usd("1.5"), False),
            ("h2", usd("0.25"), True),
        ]
        assert await list_hours(connection, lines.LINE, start=START + 2 * HOUR) == []
        assert len(await list_hours(connection, lines.LINE, end=START + 2 * HOUR)) == 2
        grant = await find_grant(connection, line.grant_id)
        assert grant is not None
        assert grant.service_lines == (lines.LINE,)


async def test_its_accounts_are_in_hours_and_lead_to_its_readings(engine: AsyncEngine, memory_log: MemoryLog):
    await fill(memory_log, tell_everything().recorded)
    await project(engine, memory_log)
    async with engine.connect() as connection:
        rows = await list_balances(connection, account_id=lines.LINE)
        kinds = {row.account.partition("/")[2]: row.amount for row in rows}
        assert {row.unit for row in rows} == {f"service-hour:{lines.LINE}"}
        assert kinds["accepted"] == usd("1.5") == -kinds["offered"]
        assert not kinds["committed"]
        assert not kinds["delivered"]
        found = await explain_balance(connection, memory_log, lines.LINE, limit=50)
        statement = make_id("stm", 93)
        (cause,) = {each.cause.id: each.cause for each in found.entries if each.cause.id == statement}.values()
        assert [(row.reading_id, row.hours) for row in cause.hours] == [("h1", usd("1.5"))]
        assert cause.readings == ()
